"""What the tools write, option by option."""

import os
import unittest

from programs import HOST_PROGRAMS, ProgramTest


class Text(ProgramTest):
    def test_cat(self):
        self.check("printf 'a\\nb' >f; echo c | cat f - ; cat -n f", "a\nbc\n     1\ta\n     2\tb")

    def test_echo(self):
        self.check("$(which echo) -n a b; $(which echo) -e 'c\\td\\n\\0101\\c' e; $(which echo) -x", "a bc\td\nA-x\n")

    def test_grep(self):
        self.check("printf 'one\\nTwo\\nthree\\n' >f; grep o f; grep -v o f; grep -in t f; grep -c e f; grep -E 'o|th' f; "
                   "grep -q zzz f; echo $?; grep -x one f; grep -F 'e.' f; echo $?",
                   "one\nTwo\nthree\n2:Two\n3:three\n2\none\nTwo\nthree\n1\none\n1\n")
        self.check("echo a >f; echo a >g; mkdir d; echo a >d/h; grep a f g; grep -l a f g; grep -h a f g; grep -r a d; "
                   "grep -e a -e b f", "f:a\ng:a\nf\ng\na\na\nd/h:a\na\n")
        self.check("grep '[' /dev/null", "", 2)
        self.check_error("grep x none", "grep: none: No such file or directory", 2)

    def test_wc(self):
        self.check("printf 'a b\\nc\\n' >f; wc f; wc -l <f; wc -w f; wc -c f f", "2 3 6 f\n2\n3 f\n6 f\n6 f\n12 total\n")

    def test_head_and_tail(self):
        self.check("seq 1 20 >f; head -n 2 f; head -c 3 f; head -1 f; tail -n 2 f; tail -n +19 f; tail -c 3 f; tail -1 f; "
                   "head -n 0 f; seq 1 30 | tail -n 1; printf 'x\\ny' | tail -n 1",
                   "1\n2\n1\n21\n19\n20\n19\n20\n20\n20\n30\ny")
        self.check("seq 1 100000 | tail -n 3; seq 1 3 | head | wc -l; seq 1 3 | tail | wc -l",
                   "99998\n99999\n100000\n3\n3\n")
        self.check("echo a >f; echo b >g; head -n1 f g", "==> f <==\na\n\n==> g <==\nb\n")

    def test_sort(self):
        self.check("printf '10\\n9\\n-1\\n1.5\\n' >f; sort f | tr '\\n' ' '; sort -n f | tr '\\n' ' '; sort -nr f | tr '\\n' ' '",
                   "-1 1.5 10 9 -1 1.5 9 10 10 9 1.5 -1 ")
        self.check("printf 'b 2\\na 10\\nc 1\\n' >f; sort -k2n f; sort -k 2 f; printf 'x:3\\ny:1\\n' | sort -t: -k2,2n; "
                   "printf 'a\\nA\\nb\\n' | sort -fu; printf 'b\\na\\nb\\n' | sort -u; sort -c f; echo $?",
                   "c 1\nb 2\na 10\nc 1\na 10\nb 2\ny:1\nx:3\na\nb\na\nb\n1\n")

    def test_uniq(self):
        self.check("printf 'a\\na\\nb\\nc\\nc' >f; uniq f; uniq -d f; uniq -u f; uniq -c f",
                   "a\nb\nc\na\nc\nb\n      2 a\n      1 b\n      2 c\n")

    def test_cut(self):
        self.check("printf 'a:b:c\\nnone\\n' >f; cut -d: -f1,3 f; cut -d: -f2- -s f; cut -c2-3 f", "a:c\nnone\nb:c\n:b\non\n")

    def test_tr(self):
        self.check("echo 'Hello  World' >f; tr a-z A-Z <f; tr -d lo <f; tr -s ' ' <f; tr '[:upper:]' x <f; tr -cd '[:alpha:]' <f; "
                   "echo; tr '\\n' . <f", "HELLO  WORLD\nHe  Wrd\nHelo World\n".replace("Helo", "Hello") +
                   "xello  xorld\nHelloWorld\nHello  World.")

    def test_seq(self):
        self.check("seq 3; seq 2 3; seq 5 -2 1; seq -s , 1 3; seq -w 8 10; seq 2 1", "1\n2\n3\n2\n3\n5\n3\n1\n1,2,3\n08\n09\n10\n")

    def test_printf(self):
        self.check("printf '%s-%5d|%-5s|%05x\\n' a 42 b 255; printf '%s\\n' x y; printf '%d %i\\n' 0x10 \"'A\"; "
                   "printf '%b%%\\101\\n' 'a\\tb'; printf '%c%c\\n' abc d; printf '%.2f\\n' 1.005; printf 'no args %s|%d\\n'; "
                   "printf '%*d\\n' 4 7", "a-   42|b    |000ff\nx\ny\n16 65\na\tb%A\nad\n1.00\nno args |0\n   7\n")
        self.check("printf '%d\\n' x", "0\n", 1)

    def test_hexdump(self):
        self.check("printf 'Hello\\0\\001\\377 world, more' >f; hexdump -C f; hexdump f",
                   "00000000  48 65 6c 6c 6f 00 01 ff  20 77 6f 72 6c 64 2c 20  |Hello... world, |\n"
                   "00000010  6d 6f 72 65                                       |more|\n00000014\n"
                   "0000000 6548 6c6c 006f ff01 7720 726f 646c 202c\n0000010 6f6d 6572\n0000014\n")
        self.check("printf '%064d' | tr 0 '\\0' | hexdump -C",
                   "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n00000040\n")

    def test_cmp_and_diff(self):
        self.check("printf 'a\\nb\\nc\\n' >f; printf 'a\\nx\\nc\\nd\\n' >g; cmp f g; cmp -s f f; echo $?; diff f g; diff f f; echo $?; "
                   "diff -q f g", "f g differ: byte 3, line 2\n0\n2c2\n< b\n---\n> x\n3a4\n> d\n0\nf and g differ\n", 1)
        self.check("seq 1 10 >f; seq 3 12 >g; diff f g", "1,2d0\n< 1\n< 2\n10a9,10\n> 11\n> 12\n", 1)
        self.check("cmp none none 2>/dev/null; echo $?", "2\n")

    def test_tee(self):
        self.check("echo a | tee f g; echo b | tee -a f >/dev/null; cat f g", "a\na\nb\na\n")

    def test_xargs(self):
        self.check("seq 1 5 | xargs -n 2 echo x; echo 'a \"b c\" d\\ e' | xargs -n1 echo; printf 'p q\\nr\\n' | xargs -I % echo '[%]'; "
                   "printf 'x y\\0z\\0' | xargs -0 -n1 echo; echo a | xargs false; echo $?; xargs -r echo no </dev/null",
                   "x 1 2\nx 3 4\nx 5\na\nb c\nd e\n[p q]\n[r]\nx y\nz\n123\n")


class Files(ProgramTest):
    def test_ls(self):
        self.check("mkdir d; touch d/b d/a d/.h; ln -s a d/l; ls d; ls -a d; ls -A d | head -n1; ls -d d; ls -l d/l | cut -c1; ls -l d/l | tr ' ' '\\n' | tail -n 3 | tr '\\n' ' '; ls none; echo $?",
                   "a\nb\nl\n.\n..\n.h\na\nb\nl\n.h\nd\nl\nd/l -> a 1\n")
        self.check("mkdir -p p/e; touch p/f p/e/g x; ls -R p; ls x p", "p:\ne\nf\n\np/e:\ng\nx\n\np:\ne\nf\n")
        self.check("touch f; [ \"$(ls -i f | tr -d a-z' ')\" = $(stat -c %i f) ] && echo same",
                   "same\n")

    def test_ls_long_format(self):
        self.check("umask 022; printf abc >f; chmod 4751 f; ls -l f | cut -c1-14; ls -l f | tr -s ' ' | cut -d' ' -f5; ls -ld . | cut -c1",
                   "-rwsr-x--x   1\n3\nd\n")

    def test_mkdir_and_rmdir(self):
        self.check("mkdir a a/b; mkdir -p a/b/c/d x/y; mkdir -p a; mkdir a; echo $?; rmdir a; echo $?; rmdir -p x/y; rmdir a/b/c/d; "
                   "mkdir -m 700 p; stat -c %a p; find a", "1\n1\n700\na\na/b\na/b/c\n")

    def test_rm(self):
        self.check("mkdir -p d/e; touch f g d/e/h; rm f; rm d; echo $?; rm none; echo $?; rm -f none; echo $?; rm -r d g; ls", "1\n1\n0\n")
        self.check("rm -rf .; echo $?; rm -rf /; echo $?", "1\n1\n")

    def test_ln_and_readlink(self):
        self.check("echo a >f; ln f g; ln -s f s; readlink s; cat g s; stat -c %h f; ln f g; echo $?; ln -sf g s; readlink s; "
                   "mkdir d; ln -s ../f d; cat d/f; basename $(readlink -f d/f); readlink f; echo $?",
                   "f\na\na\n2\n1\ng\na\nf\n1\n")

    def test_cp(self):
        self.check("echo a >f; cp f g; cat g; mkdir d; cp f g d; ls d; cp -r d e; ls e; cp -r d e; ls e; cp d x; echo $?; cp f f; echo $?; "
                   "ln -s f s; cp s t; [ -L t ]; echo $?; cp -r s u; readlink u", "a\nf\ng\nf\ng\nd\nf\ng\n1\n1\n1\nf\n")
        self.check("mkdir p; touch p/f; cp -r p p/e; find p; cp -r p p/e; echo $?", "p\np/e\np/e/f\np/f\n1\n")

    def test_mv(self):
        self.check("echo a >f; mv f g; cat g; mkdir d; mv g d; cat d/g; mv d e; ls e; mv none x; echo $?; touch p q; mv p q e; ls e",
                   "a\na\ng\n1\ng\np\nq\n")

    def test_touch_and_stat(self):
        self.check("touch f; stat -c '%s %F %h' f; touch -c none; ls none; echo $?; touch d/none; echo $?",
                   "0 regular file 1\n1\n1\n")
        self.check("printf abc >f; chmod 640 f; stat f | head -n 2 | tail -n 1 | cut -c1-9; stat -c '%a %A' f; stat -c %F .",
                   "  Size: 3\n640 -rw-r-----\ndirectory\n")

    def test_chmod(self):
        self.check("umask 022; touch f; chmod u+x,go-r f; stat -c %a f; chmod a=r f; stat -c %a f; chmod +w f; stat -c %a f; chmod 7777 f; "
                   "stat -c %A f; chmod u+z f; echo $?; mkdir d; touch d/f; chmod -R 700 d; stat -c %a d d/f",
                   "700\n444\n644\n-rwsrwsrwt\n2\n700\n700\n")

    def test_find(self):
        self.check("mkdir -p d/e; touch d/a.c d/e/b.c d/x; find d -name '*.c'; find d -type d; find d -maxdepth 1 -type f; "
                   "find d -mindepth 2; find d -size 0c -name x; find none; echo $?; find d -what x; echo $?",
                   "d/a.c\nd/e/b.c\nd\nd/e\nd/a.c\nd/x\nd/e/b.c\nd/x\n1\n2\n")

    def test_dd(self):
        self.check("seq 1 100 | dd of=f status=none; dd if=f bs=10 count=2 skip=1 status=none; printf XX | dd of=f conv=notrunc seek=1 bs=4 "
                   "status=none; head -c 8 f; printf '%03072d' | dd of=g bs=1k count=3 2>err; wc -c <g; head -n 2 err",
                   "6\n7\n8\n9\n10\n11\n12\n13\n1\n2\nXX4\n" + "3072\n3+0 records in\n3+0 records out\n")

    def test_du_and_df(self):
        self.check("mkdir d; printf '%0100000d' >d/f; [ $(du -s d | cut -f1) -ge 96 ] && echo big; df . | wc -l", "big\n2\n")

    def test_basename_and_dirname(self):
        self.check("basename /a/b.c; basename /a/b.c .c; basename /; basename a/; dirname /a/b; dirname a; dirname /a; dirname a/b//",
                   "b.c\nb\n/\na\n/a\n.\n/\na\n")


class Processes(ProgramTest):
    def test_true_false_sleep(self):
        self.check("$(which true); echo $?; $(which false); echo $?; sleep 0.01; sleep x; echo $?", "0\n1\n2\n")

    def test_kill(self):
        self.check("sleep 30 & $(which kill) -KILL $!; wait $!; echo $?; $(which kill) -l 9; $(which kill) -l | wc -l; $(which kill) -0 $$; echo $?; "
                   "$(which kill) x; echo $?; $(which kill) -BAD 1; echo $?", "137\nKILL\n29\n0\n1\n2\n")

    def test_env(self):
        self.check("env -i A=b env; env -u HOME A=c sh -c 'echo $A $HOME.'; env no-such; echo $?", "A=b\nc .\n127\n")

    def test_time(self):
        self.check("time -p sh -c 'exit 3' 2>err; echo $?; cut -d' ' -f1 err", "3\nreal\nuser\nsys\n")

    def test_ps_lists_itself(self):
        self.check("ps | grep -c ' ps$'; ps | head -n 1 | cut -c1-5", "1\n  PID\n")

    def test_uname_date_id_pwd_which_tty_clear(self):
        self.check("uname; uname -z; echo $?; date -u -d @0; date -u -d @86400 +%Y-%m-%d; [ $(id -u) = $(id -u) ] && echo id; "
                   "[ $(basename $($(which pwd))) = $(basename $PWD) ] || echo differ; basename $(which ls); which none; echo $?; tty </dev/null; "
                   "clear | wc -c",
                   "Linux\n2\nThu Jan  1 00:00:00 UTC 1970\n1970-01-02\nid\n" + "ls\n1\nnot a tty\n7\n")

    def test_free_and_vmstat(self):
        self.check("free | wc -l; [ $(free | tail -n 1 | tr -s ' ' | cut -d' ' -f2) -gt 0 ] && echo ok; vmstat -a | wc -l | grep -q '^0$'; echo $?",
                   "2\nok\n1\n")


class Demonstrations(ProgramTest):
    def test_vmmap_shows_the_areas_of_a_process(self):
        output, status = self.shell("vmmap $$")
        self.assertEqual(status, 0)
        lines = output.splitlines()
        self.assertEqual(lines[0].split(), ["range", "perm", "size", "KiB", "resident", "shared", "COW", "file"])
        self.assertTrue(any(line.endswith("/sh") and " r-xp " in line for line in lines))
        self.assertTrue(any("[stack]" in line for line in lines))
        areas = [line.split()[1:] for line in lines[1:-1]]
        total = lines[-1].split()
        self.assertEqual(total[0], "total")
        for column in range(4):
            if total[1 + column] != "?":
                self.assertEqual(sum(int(area[1 + column]) for area in areas), int(total[1 + column]))

    def test_vmmap_of_nobody(self):
        self.check_error("vmmap 999999999", "vmmap: /proc/999999999/maps: No such file or directory", 1)
        self.check("vmmap x", "", 2)

    def test_cowdemo_isolates_parent_and_child(self):
        output, status = self.shell("cowdemo 4")
        self.assertEqual(status, 0)
        self.assertIn("the parent's pages still hold what the parent wrote\n", output)
        self.assertEqual(sum(line.startswith("child writes page") for line in output.splitlines()), 4)

    def test_lazydemo_ends(self):
        output, status = self.shell("lazydemo")
        self.assertEqual(status, 0)
        self.assertEqual(output.count("faults\n"), 8)


class Usage(ProgramTest):
    """A bad option gives a line of usage and status 2."""

    def test_bad_options(self):
        skipped = {"init", "poweroff", "true", "false", "sync", "test", "echo", "yes", "printf", "expr", "pwd", "tty", "clear",
                   "basename", "dirname", "kill", "chmod", "seq", "find", "sh"}
        for name in sorted(os.listdir(HOST_PROGRAMS)):
            path = os.path.join(HOST_PROGRAMS, name)
            if name in skipped or not os.path.isfile(path):
                continue
            with self.subTest(program=name):
                done = self.run_program([path, "-?"])
                self.assertEqual(done.returncode, 2)
                self.assertIn(b"usage: " + name.encode(), done.stderr)

    def test_full_disk_is_reported(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        for command in ["echo a", "$(which echo) a", "cat /etc/passwd", "seq 3", "ls /", "sort /etc/passwd", "date", "head /etc/passwd"]:
            with self.subTest(command=command):
                self.check(command + " >/dev/full; echo $? >&2", "", 0)
                self.check("(" + command + ") >/dev/full", "", 1)


if __name__ == "__main__":
    unittest.main()
