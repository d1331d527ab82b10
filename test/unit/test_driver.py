"""The test driver judged by itself: a driver that cannot see a failure would pass every kernel."""

import io
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time
import unittest

TEST_DIRECTORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST_DIRECTORY))

from guest.console import Console, GuestError  # noqa: E402  (the path above makes it importable)
from guest.suite import parse_tap  # noqa: E402
import bench  # noqa: E402


class ConsoleTest(unittest.TestCase):
    """The console against this machine's own shell on a terminal."""

    def setUp(self):
        environment = {"PS1": "$ ", "PATH": "/usr/bin:/bin", "TERM": "dumb"}
        self.console = Console(["sh", "-i"], io.StringIO(), environment, terminal=True)
        self.addCleanup(self.console.close)

    def test_output_and_status_of_a_command_are_told_apart_from_its_echo(self):
        self.console.wait_prompt()
        self.assertEqual(self.console.run("echo one; echo two"), ("one\ntwo\n", 0))
        self.assertEqual(self.console.run("false"), ("", 1))
        self.assertEqual(self.console.run("printf 'no line end'"), ("no line end", 0))
        self.assertEqual(self.console.run("sh -c 'exit 42'"), ("", 42))

    def test_a_command_that_fails_fails_the_check(self):
        self.console.wait_prompt()
        with self.assertRaisesRegex(GuestError, "status 1"):
            self.console.check("false")

    def test_the_end_of_the_guest_ends_a_wait_at_once(self):
        self.console.wait_prompt()
        started = time.monotonic()
        self.console.type("exit 7\n")
        with self.assertRaisesRegex(GuestError, "status 7"):
            self.console.expect("never printed")
        self.assertLess(time.monotonic() - started, 20)

    def test_silence_ends_a_wait(self):
        self.console.wait_prompt()
        with self.assertRaisesRegex(GuestError, "printed nothing"):
            self.console.expect("never printed", limit=0.2)

    def test_a_status_other_than_0_fails_poweroff(self):
        self.console.wait_prompt()
        self.console.run("alias poweroff='exit 3'")
        with self.assertRaisesRegex(GuestError, "status 3"):
            self.console.poweroff()


class KeeperTest(unittest.TestCase):
    """What the console starts ends with the console and with the driver, however little it wants to."""

    # Ignores all that can be ignored, as does what it starts; says the numbers of both.
    STUBBORN = ["sh", "-c", "trap '' TERM HUP INT; sleep 1000 & echo $$ $!; wait"]

    def is_gone(self, process):
        """Waits for the end of a process that is not a child of this one; false if that does not come."""
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([descriptor], [], [], 20)[0])
        finally:
            os.close(descriptor)

    def test_closing_the_console_ends_all_that_it_started(self):
        with Console(self.STUBBORN, io.StringIO()) as console:
            numbers = console.expect(r"(\d+) (\d+)\n").groups()
        self.assertTrue(all(self.is_gone(int(number)) for number in numbers))

    def test_a_driver_that_is_killed_leaves_nothing_behind(self):
        driver = ("import sys; sys.path.insert(0, sys.argv[1])\n"
                  "from guest.console import Console\n"
                  "Console(sys.argv[2:], sys.stdout).expect('never printed')")
        with subprocess.Popen([sys.executable, "-c", driver, str(TEST_DIRECTORY), *self.STUBBORN],
                              stdout=subprocess.PIPE, text=True) as process:
            numbers = None
            while not numbers:
                numbers = re.fullmatch(r"(\d+) (\d+)\n", process.stdout.readline())
            process.kill()
        self.assertTrue(all(self.is_gone(int(number)) for number in numbers.groups()))

    def test_the_status_is_the_commands(self):
        for script, status in (("exit 7", 7), ("kill -9 $$", 137)):
            self.assertEqual(Console(["sh", "-c", script], io.StringIO()).wait(), status)


class TapTest(unittest.TestCase):
    """What a program in the guest may print, and what it must not get away with."""

    def failures(self, output, status):
        return [name for name, passed, _ in parse_tap(output, status) if not passed]

    def test_all_cases_pass(self):
        cases = parse_tap("1..2\nok 1 - a\nok 2 - b # skip not here\n", 0)
        self.assertEqual([(name, passed) for name, passed, _ in cases], [("a", True), ("b # skip not here", True)])

    def test_a_failed_case_keeps_its_diagnostics(self):
        cases = parse_tap("ok 1 - a\nnot ok 2 - b\n# file:3 wanted 1\n1..2\n", 1)
        self.assertEqual([passed for _, passed, _ in cases], [True, False])
        self.assertIn("wanted 1", cases[1][2])

    def test_a_program_that_dies_half_way_fails(self):
        self.assertTrue(self.failures("1..2\nok 1 - a\n", 139))
        self.assertTrue(self.failures("1..2\nok 1 - a\n", 0))
        self.assertTrue(self.failures("", 0))
        self.assertTrue(self.failures("ok 1 - a\n", 0))

    def test_a_status_that_contradicts_the_cases_fails(self):
        self.assertTrue(self.failures("1..1\nok 1 - a\n", 1))
        self.assertEqual(len(self.failures("1..1\nnot ok 1 - a\n", 0)), 2)

    def test_cases_out_of_order_fail(self):
        self.assertTrue(self.failures("1..2\nok 2 - b\nok 1 - a\n", 0))


class BenchTest(unittest.TestCase):
    """The table of `make bench`."""

    def test_rows_and_ratios(self):
        ours = bench.rows("BENCH a       50.0 insns/op\nBENCH b  SKIP\nBENCH done\n")
        self.assertEqual(ours, {"a": 50.0, "b": None})
        text = bench.table(ours, {"a": 200.0, "b": 10.0, "c": 1.0})
        self.assertRegex(text, r"a +50\.0 +200\.0 +0\.250\nb +- +10\.0 +-\nc +- +1\.0 +-")


class GradeTest(unittest.TestCase):
    """The last line and the exit status of the whole."""

    def grade(self, *arguments):
        with tempfile.TemporaryDirectory() as build:
            return subprocess.run([sys.executable, str(TEST_DIRECTORY / "grade.py"), "--build", build, *arguments],
                                  capture_output=True, text=True, check=False)

    def test_no_matching_test_is_an_error(self):
        self.assertEqual(self.grade("--only", "no-such-test").returncode, 2)

    def test_a_failing_host_program_fails_the_grade(self):
        with tempfile.TemporaryDirectory() as directory:
            program = pathlib.Path(directory) / "tests"
            line = "[doctest] test cases:  3 |  2 passed | 1 failed | 0 skipped"
            program.write_text(f"#!/bin/sh\necho '{line}'\nexit 1\n")
            program.chmod(0o755)
            result = self.grade("--host", str(program), "--only", "host.*")
        self.assertEqual((result.returncode, result.stdout.splitlines()[-1]), (1, "2 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
