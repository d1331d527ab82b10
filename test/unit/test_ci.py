"""What continuous integration concludes from its two runs."""

import os
import pathlib
import subprocess
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class ContinuousIntegrationTest(unittest.TestCase):
    def run_ci(self, here, other, user=0):
        """(exit status, lines) of .ci/run where `make deps grade` and `make deps grade-on` are these shell commands."""
        with tempfile.TemporaryDirectory() as directory:
            for name, commands in (("make", f'case "$2" in grade) {here} ;; grade-on) {other} ;; esac'), ("id", f"echo {user}")):
                script = pathlib.Path(directory, name)
                script.write_text(f"#!/bin/sh\n{commands}\n")
                script.chmod(0o755)
            environment = dict(os.environ, PATH=f"{directory}:{os.environ['PATH']}")
            run = subprocess.run([REPOSITORY / ".ci" / "run"], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                                 text=True)
            return run.returncode, run.stdout.splitlines()

    def test_the_closing_line_covers_both_runs(self):
        status, lines = self.run_ci("echo '5 passed, 0 failed'", "echo '3 passed, 0 failed'")
        self.assertEqual((status, lines[-1]), (0, "8 passed, 0 failed"))

    def test_a_failed_test_of_either_run_fails(self):
        good, bad = "echo '5 passed, 0 failed'", "echo '4 passed, 2 failed'; exit 1"
        for here, other in ((good, bad), (bad, good)):
            status, lines = self.run_ci(here, other)
            self.assertEqual((status, lines[-1]), (1, "9 passed, 2 failed"))

    def test_a_run_that_comes_to_no_verdict_is_a_failure(self):
        good = "echo '5 passed, 0 failed'"
        for bad in ("exit 2", "true", "echo '0 passed, 0 failed'; exit 1"):
            for here, other in ((good, bad), (bad, good)):
                status, lines = self.run_ci(here, other)
                self.assertEqual((status, lines[-1]), (1, "5 passed, 1 failed"), bad)

    def test_who_is_not_root_is_told_that_the_other_debian_was_not_tried(self):
        status, lines = self.run_ci("echo '5 passed, 0 failed'", "exit 1", user=1000)
        self.assertEqual((status, lines[-1]), (0, "5 passed, 0 failed"))
        self.assertIn("NOT TRIED", "\n".join(lines))


if __name__ == "__main__":
    unittest.main()
