"""Whatever text it gets, the shell neither crashes nor hangs: random programs for a shell built with AddressSanitizer
and UndefinedBehaviorSanitizer. FUZZ_SEED repeats a run, FUZZ_SECONDS makes it longer."""

import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

from programs import SANITIZED_SHELL, build

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))

# Pieces that make up programs. No piece names a file outside the working directory, a process or a program: PATH
# is empty, `/`, `~` and digits that could be process numbers for `kill` do not occur, so nothing can be harmed.
PIECES = [
    "echo", "a", "b", "x=a", "$x", "${x}", "${x:-", "${x#", "${#x}", "$(", ")", "`", "'", '"', "\\", "\n", " ", " ", " ", ";", "&&", "||", "|",
    "&", "!", "(", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "in", "case", "esac", ";;",
    "f()", "f", "return", "break", "continue", ":", "true", "false", "set", "--", "-u", "-e", "shift", "eval", "read", "x", "unset", "export",
    "local", "[", "]", "-n", "=", "*", "?", "[a-z]", "[!", "<", ">", ">>", "<<", "<<-", "EOF\n", "<&", ">&", "2>&1", "1", "2", "$((", "))", "+",
    "*", "%", "<<", "?", "$@", "$*", '"$@"', "$#", "$?", "$1", "$", "#", "wait", "jobs", "test", "command", "type", "umask", "pwd", "readonly",
    "\0", "\xff", "\t", ",", "=", "==", "trap", "exec",
]


def random_program(choose):
    kind = choose.random()
    if kind < 0.2:
        return bytes(choose.choice(b"$(){}`'\"\\|&;<>!#*?[]= \n\tafx12") for _ in range(choose.randrange(1, 60)))
    pieces = [choose.choice(PIECES) for _ in range(choose.randrange(1, 40))]
    separator = " " if kind < 0.8 else ""
    return separator.join(pieces).encode("latin-1")


class Fuzz(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        build("user-host-sanitized")

    def run_shell(self, arguments, program, directory):
        environment = {"PATH": "", "HOME": directory, "ASAN_OPTIONS": "detect_leaks=0:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1"}
        process = subprocess.Popen([SANITIZED_SHELL, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=directory, env=environment, start_new_session=True, preexec_fn=limit_processes)
        try:
            _, errors = process.communicate(program, timeout=10)
            return process.returncode, errors
        except subprocess.TimeoutExpired:
            return None, b""
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what it left in the background
            except ProcessLookupError:
                pass
            process.wait()

    def fuzz(self, arguments, transform=lambda program: program, loops_are_allowed=False):
        seed = int(os.environ.get("FUZZ_SEED", random.randrange(1 << 32)))
        choose = random.Random(seed)
        end = time.monotonic() + SECONDS
        count = 0
        while time.monotonic() < end:
            program = transform(random_program(choose))
            count += 1
            with tempfile.TemporaryDirectory() as directory:
                status, errors = self.run_shell(arguments, program, directory)
            what = "seed %d, program %d: %r\n%s" % (seed, count, program, errors.decode("latin-1"))
            self.assertFalse(status is None and not loops_are_allowed, "hangs: " + what)
            self.assertFalse(status is not None and (status < 0 or status == 99) or b"Sanitizer" in errors or b"runtime error" in errors,
                             "crashes: " + what)
        print("  %d programs, FUZZ_SEED=%d" % (count, seed))

    def test_parsing(self):
        """Many programs in one process, parsed only."""
        self.fuzz(["-n"])

    def test_executing(self):
        """Programs without loops, which might be endless with good reason."""
        def without_loops(program):
            return program.replace(b"while", b"if").replace(b"until", b"if").replace(b"eval", b"echo").replace(b"f()", b"f").replace(b". ", b"")
        self.fuzz([], without_loops)


def limit_processes():
    """Neither endless output nor files can fill the machine."""
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))


if __name__ == "__main__":
    unittest.main()
