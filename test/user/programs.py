"""The user programs built for this machine, and a way to run scripts with them."""

import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
HOST_PROGRAMS = os.path.join(BUILD, "user", "host")
SANITIZED_SHELL = os.path.join(BUILD, "user", "host-sanitized", "sh")

_built = set()


def build(goal):
    """Builds a goal of user/user.mk once in the life of this process."""
    if goal in _built:
        return
    jobs = str(os.cpu_count() or 1)
    done = subprocess.run(["make", "-s", "-j", jobs, "-f", "user/user.mk", goal, "BUILD=" + BUILD], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    if done.returncode != 0:
        raise RuntimeError("make %s failed:\n%s" % (goal, done.stdout))
    _built.add(goal)


class ProgramTest(unittest.TestCase):
    """Runs each test in an empty directory of its own, with nothing but our programs in PATH."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        build("user-host")

    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        self.directory = self._directory.name
        self.environment = {"PATH": HOST_PROGRAMS, "HOME": "/home/nobody", "TZ": "UTC"}

    def run_program(self, arguments, stdin=b"", timeout=20):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        return subprocess.run(arguments, cwd=self.directory, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment, timeout=timeout)

    def shell(self, script, *arguments, stdin=b""):
        """(output, status) of `sh -c script`; what it writes to standard error is left out."""
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), "-c", script, "sh", *arguments], stdin=stdin)
        return done.stdout.decode("latin-1"), done.returncode

    def check(self, script, output, status=0, stdin=b""):
        self.assertEqual(self.shell(script, stdin=stdin), (output, status), "script:\n" + script)

    def check_error(self, script, error, status):
        """Checks for exactly one line on standard error."""
        done = self.run_program([os.path.join(HOST_PROGRAMS, "sh"), "-c", script])
        self.assertEqual((done.stderr.decode("latin-1"), done.returncode), (error + "\n", status), "script:\n" + script)
