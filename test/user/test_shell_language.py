"""What scripts mean to the shell: a table of scripts and what they write."""

import os
import unittest

from programs import HOST_PROGRAMS, ProgramTest


class Words(ProgramTest):
    def test_quotes_keep_blanks_and_specials(self):
        self.check("""echo 'a  $b' "c  d" e\\ \\ f""", "a  $b c  d e  f\n")

    def test_backslash_in_double_quotes_protects_only_four_characters(self):
        self.check(r'''echo "\$x \` \" \\ \a"''', '$x ` " \\ \\a\n')

    def test_backslash_newline_joins_lines(self):
        self.check("echo a\\\nb \\\n  c", "ab c\n")

    def test_empty_quotes_are_an_empty_argument(self):
        self.check("""set -- '' "" a; echo $#""", "3\n")

    def test_comment_ends_with_the_line_and_needs_a_blank_before_it(self):
        self.check("echo a#b # c\necho d", "a#b\nd\n")

    def test_tilde_is_home(self):
        self.check("echo ~ ~/x a~ '~'", "/home/nobody /home/nobody/x a~ ~\n")


class Parameters(ProgramTest):
    def test_assignment_and_use(self):
        self.check("x=1 y=$x; echo $x$y ${x}2 \"$x\" '$x'", "11 12 1 $x\n")

    def test_unset_expands_to_nothing(self):
        self.check("echo [$nothing] [\"$nothing\"]; set -- $nothing; echo $#", "[] []\n0\n")

    def test_defaults(self):
        self.check("e=; echo ${u-a} ${u:-b c} ${e-d}. ${e:-f} ${u:+g}. ${e+h} ${HOME:+i}", "a b c . f . h i\n")

    def test_assigning_default(self):
        self.check("echo ${x:=5} $x; y=; echo ${y=6}.", "5 5\n.\n")

    def test_error_operator_ends_the_shell(self):
        self.check("echo ${x:?is needed}; echo no", "", 2)
        self.check_error("echo ${x:?is needed}", "sh: x: is needed", 2)

    def test_lengths_and_trimming(self):
        self.check("p=/a/b/c.tar.gz; echo ${#p} ${p##*/} ${p#*/} ${p%.*} ${p%%.*} ${p%/*}",
                   "13 c.tar.gz a/b/c.tar.gz /a/b/c.tar /a/b/c /a/b\n")

    def test_trimming_pattern_may_be_quoted(self):
        self.check("""p='a*b*c'; echo "${p#*'*'}" "${p%'*'*}" ${#p}""", "b*c a*b 5\n")

    def test_trimming_in_quotes(self):
        self.check("""p='a b.c.d'; echo "${p%.*}" "${p##*.}" "${p#'a '}" """, "a b.c d b.c.d\n")

    def test_special_parameters(self):
        self.check("set -- a 'b c'; echo $# $1 $2 \"$*\" ${2}; false; echo $?; echo $$ | grep -c '^[0-9]*$'",
                   "2 a b c a b c b c\n1\n1\n")

    def test_at_keeps_arguments_apart(self):
        self.check("set -- 'a b' '' c; for i in \"$@\"; do echo [$i]; done; for i in $@; do echo -n $i.; done",
                   "[a b]\n[]\n[c]\na.b.c.")

    def test_at_without_arguments_is_no_argument(self):
        self.check("set --; set -- \"$@\"; echo $#; set -- a\"$@\"; echo $#", "0\n1\n")

    def test_more_than_nine_arguments(self):
        self.check("set -- 1 2 3 4 5 6 7 8 9 ten; echo $10 ${10}; shift 9; echo $1 $#", "10 ten\nten 1\n")

    def test_splitting_by_ifs(self):
        self.check("x='a:b::c:'; IFS=:; set -- $x; echo $#; for i in $x; do echo \"[$i]\"; done",
                   "4\n[a]\n[b]\n[]\n[c]\n")
        self.check("x='  a   b '; set -- $x; echo $#", "2\n")
        self.check("IFS=', '; x='a , b,c'; set -- $x; echo $#", "3\n")

    def test_no_splitting_in_quotes_and_assignments(self):
        self.check("x='a  b'; y=$x; echo \"$y\"; case $x in 'a  b') echo same;; esac", "a  b\nsame\n")

    def test_prefix_assignment_is_for_one_command(self):
        self.check("x=1; x=2 sh -c 'echo $x'; echo $x; y=3 env | grep ^y=; echo [$y]", "2\n1\ny=3\n[]\n")

    def test_export_unset_readonly(self):
        self.check("x=1; sh -c 'echo [$x]'; export x; sh -c 'echo [$x]'; unset x; sh -c 'echo [$x]'; echo [$x]",
                   "[]\n[1]\n[]\n[]\n")
        self.check("readonly r=1; r=2; echo no", "", 2)

    def test_nounset(self):
        self.check("set -u; echo ${x-ok}; echo $x; echo no", "ok\n", 2)


class Substitutions(ProgramTest):
    def test_command_substitution_loses_newlines_at_the_end(self):
        self.check("x=$(printf 'a\\nb\\n\\n'); echo \"[$x]\"", "[a\nb]\n")

    def test_nesting_and_quoting(self):
        self.check("""echo "$(echo "$(echo 'a  b')")" $(echo ')' "(" $(echo c))""", "a  b ) ( c\n")

    def test_backquotes(self):
        self.check(r"""echo `echo a \`echo b\``  "`echo 'c  d'`" """, "a b c  d\n")

    def test_status_of_an_assignment_is_that_of_its_substitution(self):
        self.check("x=$(exit 3); echo $?; x=1; echo $?; false; y=$?; echo $y", "3\n0\n1\n")

    def test_case_inside_substitution(self):
        self.check("echo $(case a in a) echo yes;; esac)", "yes\n")

    def test_arithmetic(self):
        self.check("x=7; echo $((1+2*3)) $(((1+2)*3)) $((x%4)) $(( $x << 2 )) $((-x / 2)) $((x > 3 && x < 9)) $((!x)) $((~0))",
                   "7 9 3 28 -3 1 0 -1\n")
        self.check("echo $((x = 5, 1))", "", 2)
        self.check("echo $((x = 5)) $x $((x += 2)) $((x *= 3)) $((x == 21 ? 1 : 2)) $((0x10 + 010))", "5 5 7 21 1 24\n")

    def test_arithmetic_wraps_around(self):
        self.check("echo $((9223372036854775807 + 1)) $(((-9223372036854775807 - 1) / -1))",
                   "-9223372036854775808 -9223372036854775808\n")

    def test_arithmetic_errors(self):
        self.check_error("echo $((1 / 0))", "sh: arithmetic expression '1 / 0': division by zero", 2)
        self.check_error("echo $((1 + ))", "sh: arithmetic expression '1 + ': operand expected at the end", 2)
        self.check("echo $((0 && 1 / 0)) $((1 ? 2 : 1 % 0))", "0 2\n")

    def test_globs(self):
        self.check("touch b.c a.c .h 'x y'; mkdir d; touch d/a.c; echo *.c; echo */*.c; echo '*'.c *.q; echo .h* [ab].c [!a].c ?.c",
                   "a.c b.c\nd/a.c\n*.c *.q\n.h a.c b.c b.c a.c b.c\n")
        self.check("touch 'x y'; for i in x*; do echo \"[$i]\"; done; p='x*'; echo $p \"$p\"", "[x y]\nx y x*\n")
        self.check("touch a; set -f; echo *", "*\n")

    def test_bracket_ranges_and_odd_brackets(self):
        self.check("touch 1 5 a ']' '-'; echo [1-4] [[] []] [a", "1 [[] ] [a\n")


class Redirections(ProgramTest):
    def test_files(self):
        self.check("echo a >f; echo b >>f; cat <f; wc -l <f; >f; cat f; echo $?", "a\nb\n2\n0\n")

    def test_descriptors(self):
        self.check("(echo out; echo err >&2) 2>&1 >f; cat f", "err\nout\n")
        self.check("(echo out; echo err >&2) >f 2>&1; cat f", "out\nerr\n")
        self.check("(echo out; echo err >&2) &>f; cat f", "out\nerr\n")
        self.check("echo a 3>f >&3; cat f; exec 4<f; cat <&4; exec 4<&-; cat <&4; echo $?", "a\na\n1\n")

    def test_of_compound_commands(self):
        self.check("for i in 1 2; do echo $i; done >f; while read l; do echo got $l; done <f; { echo a; echo b; } | wc -l",
                   "got 1\ngot 2\n2\n")

    def test_of_builtins_do_not_last(self):
        self.check("echo a >f; echo b; cd / 2>f; pwd >/dev/null; echo c", "b\nc\n")

    def test_exec_makes_them_last(self):
        self.check("exec >f; echo hidden; exec >&2; cat f", "")
        self.check("(exec >f; echo a; echo b); wc -l <f", "2\n")

    def test_missing_file_is_an_error_of_the_command_only(self):
        self.check("cat <nothing || echo failed $?; echo after", "failed 1\nafter\n")
        self.check_error("cat <nothing", "sh: nothing: No such file or directory", 1)

    def test_here_documents(self):
        self.check("x=5; cat <<END\na $x $((x+1)) $(echo b) \\$x 'q'\nEND\necho done", "a 5 6 b $x 'q'\ndone\n")
        self.check("cat <<'END'\na $x\nEND", "a $x\n")
        self.check("cat <<-END\n\t\ttabs\n\tEND\necho after", "tabs\nafter\n")
        self.check("cat <<A; cat <<B\na\nA\nb\nB\n", "a\nb\n")
        self.check("cat <<A | tr a-z A-Z && echo ok\nabc\nA", "ABC\nok\n")

    def test_large_here_document(self):
        with open(os.path.join(self.directory, "script"), "w") as script:
            script.write("wc -c <<END\n" + "x" * 200000 + "\nEND\n")
        self.check("sh script", "200001\n")


class Pipelines(ProgramTest):
    def test_data_goes_through(self):
        self.check("seq 1 1000 | grep 7 | wc -l", "271\n")
        self.check("echo a | cat | cat | cat | cat | cat", "a\n")

    def test_status_is_that_of_the_last(self):
        self.check("false | true; echo $?; true | false; echo $?; ! false | false; echo $?", "0\n1\n0\n")

    def test_reader_that_leaves_ends_the_writer(self):
        self.check("yes | head -n 2", "y\ny\n")

    def test_compound_commands_in_pipelines(self):
        self.check("for i in 3 1 2; do echo $i; done | sort | while read n; do echo -n $n; done; echo", "123\n")

    def test_pipeline_over_lines(self):
        self.check("echo a |\n# comment\n cat &&\n echo b", "a\nb\n")

    def test_variables_of_a_pipeline_are_its_own(self):
        self.check("x=1; echo 2 | read x; echo $x", "1\n")


class Control(ProgramTest):
    def test_and_or_not(self):
        self.check("true && echo a || echo b; false && echo c || echo d; ! true; echo $?; ! ! true; echo $?",
                   "a\nd\n1\n0\n")

    def test_if(self):
        self.check("if false; then echo a; elif true; then echo b; else echo c; fi; if false; then :; fi; echo $?",
                   "b\n0\n")

    def test_loops(self):
        self.check("i=0; while [ $i -lt 3 ]; do i=$((i+1)); echo -n $i; done; until [ $i = 0 ]; do i=$((i-1)); done; echo $i",
                   "1230\n")
        self.check("for i in a b c; do if [ $i = b ]; then continue; fi; echo $i; done; for i in; do echo no; done",
                   "a\nc\n")
        self.check("for i in 1 2; do for j in 1 2; do [ $j = 2 ] && continue 2; echo $i$j; done; done; "
                   "while true; do while true; do break 2; done; done; echo out", "11\n21\nout\n")
        self.check("set -- x y; for i do echo $i; done", "x\ny\n")

    def test_case(self):
        self.check("for w in a.c b.h 'x y' '*' ''; do case $w in *.c|*.cc) echo c;; *.h) echo h;; 'x y') echo xy;; "
                   "\\*) echo star;; '') echo empty;; *) echo other;; esac; done", "c\nh\nxy\nstar\nempty\n")
        self.check("case a in (b) echo b;; (a) echo a; esac; case q in a) ;; esac; echo $?", "a\n0\n")

    def test_subshells_keep_changes_to_themselves(self):
        self.check("x=1; (x=2; cd /; exit 3); echo $? $x; { x=4; }; echo $x", "3 1\n4\n")

    def test_functions(self):
        self.check("f() { echo $1 $#; local v=2; x=$v; return 4; }; v=1; f a b; echo $? $v $x $#", "a 2\n4 1 2 0\n")
        self.check("f() { [ $1 = 0 ] || { echo -n $1; f $(($1-1)); }; }; f 5; echo", "54321\n")
        self.check("f() { for i in 1 2 3; do return 7; done; }; f; echo $?", "7\n")
        self.check("f() echo no", "", 0)

    def test_errexit(self):
        self.check("set -e; if false; then :; fi; false || true; ! true; echo a; false; echo no", "a\n", 1)

    def test_exit(self):
        self.check("exit 7", "", 7)
        self.check("(exit 5); exit", "", 5)
        self.check("f() { exit 3; }; f; echo no", "", 3)

    def test_eval_and_source(self):
        self.check("x='echo a; y=5'; eval $x; echo $y; echo 'z=6; return 2; z=7' >s; . ./s; echo $? $z", "a\n5\n2 6\n")

    def test_read(self):
        self.check("printf 'a b  c d\\n' | { read x y z; echo \"[$x][$y][$z]\"; }; "
                   "printf 'p\\\\\\nq\\n' | { read x; echo $x; }; read x </dev/null; echo $?", "[a][b][c d]\npq\n1\n")
        self.check("read a; cat", "b\n", stdin="a\nb\n")


class Running(ProgramTest):
    def test_unknown_command(self):
        self.check_error("no-such-program", "sh: no-such-program: not found", 127)
        self.check_error("./none", "sh: ./none: not found", 127)
        self.check("no-such-program 2>/dev/null; echo $?", "127\n")

    def test_file_that_is_not_executable(self):
        self.check("echo x >f; ./f; echo $?", "126\n")
        self.check("mkdir d; ./d; echo $?", "126\n")

    def test_scripts(self):
        self.check("printf '#!%s\\necho script $0 $1\\n' $(which sh) >s; chmod +x s; ./s arg; sh s arg2; echo 'echo plain' >p; "
                   "sh ./p", "script ./s arg\nscript s arg2\nplain\n")

    def test_script_that_does_not_exist(self):
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), "none"])
        self.assertEqual((done.returncode, done.stderr), (127, b"sh: none: No such file or directory\n"))

    def test_binary_is_not_taken_for_a_script(self):
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), os.path.join(HOST_PROGRAMS, "true")])
        self.assertEqual(done.returncode, 126)

    def test_script_from_standard_input_shares_it_with_its_commands(self):
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh")], stdin="read x\nline\necho got $x\nexit 3\nno\n")
        self.assertEqual((done.stdout, done.returncode), (b"got line\n", 3))

    def test_no_prompt_without_a_terminal(self):
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh")], stdin="echo a\n")
        self.assertEqual((done.stdout, done.stderr), (b"a\n", b""))

    def test_killed_by_a_signal(self):
        self.check("sh -c 'kill -9 $$'; echo $?; sh -c 'kill -SEGV $$'; echo $?", "137\n139\n")

    def test_background(self):
        self.check("true & wait $!; echo $?; sh -c 'exit 4' & p=$!; wait $p; echo $?; sleep 0.2 & wait; echo done",
                   "0\n4\ndone\n")
        self.check("sleep 30 & kill $!; wait $!; echo $?; sleep 30 & kill %1; wait; echo ok", "143\nok\n")

    def test_background_input_is_empty(self):
        self.check("cat & wait; echo end", "end\n", stdin="not for cat\n")

    def test_cd(self):
        self.check("mkdir -p d/e; cd d/e; pwd | grep -o nothing; basename $(pwd); cd ..; basename $PWD; cd - >/dev/null; "
                   "basename $PWD; cd /none; echo $?", "e\nd\ne\n1\n")

    def test_umask(self):
        self.check("umask 027; umask; touch f; stat -c %a f; umask 9", "0027\n640\n", 2)

    def test_builtin_test(self):
        self.check("touch f; mkdir d; [ -f f ] && [ -d d ] && [ ! -e g ] && [ a = a ] && [ a != b ] && [ 3 -gt 2 ] && "
                   "[ -n x -a -z '' ] && [ ! '(' a = b ')' ] && test f -ef f && echo ok", "ok\n")
        self.check("[ a = ; echo $?; [ 1 -eq x ]; echo $?; [ x; echo $?; [ ]; echo $?; [ -f ]; echo $?",
                   "2\n2\n2\n1\n0\n")

    def test_command_and_type(self):
        self.check("f() { :; }; type f cd no-such; command -v cd; command echo x", "f is a function\ncd is a shell builtin\ncd\nx\n")


class Nonsense(ProgramTest):
    """One clear line and status 2, whatever is typed."""

    TABLE = [
        ("fi", "sh: line 1: syntax error near 'fi'"),
        ("if true; fi", "sh: line 1: syntax error near 'fi'"),
        ("echo a | | b", "sh: line 1: syntax error near '|'"),
        ("| a", "sh: line 1: syntax error near '|'"),
        (";", "sh: line 1: syntax error near ';'"),
        ("a ; ; b", "sh: line 1: syntax error near ';'"),
        ("a ;; b", "sh: line 1: syntax error near ';;'"),
        ("( a", "sh: line 1: syntax error: unexpected end of input"),
        ("a )", "sh: line 1: syntax error near ')'"),
        ("( )", "sh: line 1: syntax error near ')'"),
        ("{ a", "sh: line 1: syntax error: unexpected end of input"),
        ("while true; do", "sh: line 1: syntax error: unexpected end of input"),
        ("for 1 in a; do b; done", "sh: line 1: syntax error near '1'"),
        ("case a in", "sh: line 1: syntax error: unexpected end of input"),
        ("echo 'a", "sh: line 1: end of input inside single quotes"),
        ('echo "a', "sh: line 1: end of input inside double quotes"),
        ("echo `a", "sh: line 1: end of input inside backquotes"),
        ("echo $(a", "sh: line 1: syntax error: unexpected end of input"),
        ("echo ${a", "sh: line 1: end of input inside ${"),
        ("echo ${a!b}", "sh: line 1: bad substitution: unknown operator in ${"),
        ("echo ${}", "sh: line 1: bad parameter name in ${"),
        ("echo ${1a}", "sh: line 1: bad parameter name in ${"),
        ("echo $((1", "sh: line 1: end of input inside $(("),
        ("cat <", "sh: line 1: syntax error: unexpected end of input"),
        ("cat < >", "sh: line 1: syntax error near '>'"),
        ("cat 2>&x", None),
        ("a &&", "sh: line 1: syntax error: unexpected end of input"),
        ("&& a", "sh: line 1: syntax error near '&&'"),
        ("echo ok\necho 'b", None),
    ]

    def test_each(self):
        for script, error in self.TABLE:
            with self.subTest(script=script):
                if error is None:
                    done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), "-c", script])
                    self.assertEqual(done.stderr.count(b"\n"), 1)
                    self.assertNotEqual(done.returncode, 0)
                else:
                    self.check_error(script, error, 2)

    def test_depth_is_limited(self):
        for script in ["(" * 5000, "$(" * 5000, "${a:-" * 5000, "if " * 5000, "{ " * 5000, "echo $((" + "(" * 5000,
                       "f() { f; }; f", "f() { eval f; }; f", "f() { $(f); }; f"]:
            with self.subTest(script=script[:20]):
                done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), "-c", script])
                self.assertEqual(done.returncode, 2)
                self.assertLess(len(done.stderr), 2000)

    def test_sourced_file_that_contains_itself(self):
        self.check("echo '. ./s' >s; . ./s; echo no", "", 2)

    def test_bad_option(self):
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), "-q"])
        self.assertEqual(done.returncode, 2)
        self.assertTrue(done.stderr.startswith(b"usage: sh"))


if __name__ == "__main__":
    unittest.main()
