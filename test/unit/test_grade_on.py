"""What a run on another Debian says when it cannot be, what it copies, and what it leaves behind when it is killed."""

import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

TEST = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TEST))
import grade_on  # noqa: E402  (the path above makes it importable)

TIMEOUT = 60
NEEDS_ROOT = unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "mounts as root only")


class GradeOnTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def arguments(self):
        return ["--dist", "trixie", "--build", str(self.directory / "build"), "grade"]

    def start(self, debootstrap):
        """A run where debootstrap is these shell commands; its target is $4."""
        script = self.directory / "debootstrap"
        script.write_text(f"#!/bin/sh\n{debootstrap}\n")
        script.chmod(0o755)
        environment = dict(os.environ, PATH=f"{self.directory}:{os.environ['PATH']}")
        return subprocess.Popen([sys.executable, "-B", TEST / "grade_on.py", *self.arguments()], env=environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read_when_ready(self, pipe):
        """What comes through a pipe next, empty at its end."""
        self.assertTrue(select.select([pipe], [], [], TIMEOUT)[0], "nothing came, and the pipe is still held open")
        return os.read(pipe, 100)

    def refusal(self, user, tools):
        with mock.patch("os.geteuid", return_value=user), \
             mock.patch("shutil.which", side_effect=lambda name: name if name in tools else None), \
             mock.patch.object(sys, "argv", ["grade_on.py", *self.arguments()]), self.assertRaises(SystemExit) as ended:
            grade_on.main()
        return str(ended.exception)

    def test_who_is_not_root_is_told_so_in_one_line(self):
        self.assertRegex(self.refusal(1000, ["debootstrap", "setpriv", "unshare"]), r"^make grade-on: .*as root$")

    def test_without_debootstrap_one_line_says_what_installs_it(self):
        self.assertRegex(self.refusal(0, ["setpriv", "unshare"]), r"^make grade-on: debootstrap not found; run `make deps .*`$")

    @NEEDS_ROOT
    def test_a_mirror_that_is_not_reached_is_one_line_and_leaves_no_root(self):
        run = self.start("echo 'E: Failed getting release file' >&2; exit 1")
        output, _ = run.communicate()
        self.assertNotEqual(run.returncode, 0)
        self.assertRegex(output.splitlines()[-1], r"^make grade-on: debootstrap could not make a root of trixie")
        self.assertNotIn("Traceback", output)
        self.assertFalse((self.directory / "build" / "roots" / "trixie").exists())

    @NEEDS_ROOT
    def test_a_killed_run_leaves_nothing_mounted_and_nothing_running(self):
        alive = self.directory / "alive"
        os.mkfifo(alive)
        # Whatever still runs holds the pipe open for writing; its reader sees the end when all are gone.
        run = self.start(f'exec 3>{alive}; mkdir -p "$4/proc"; mount -t proc proc "$4/proc"; echo mounted >&3; sleep 1000')
        pipe = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, pipe)
        self.assertEqual(self.read_when_ready(pipe), b"mounted\n")
        run.kill()
        run.wait()
        run.stdout.close()
        self.assertEqual(self.read_when_ready(pipe), b"")
        self.assertNotIn(str(self.directory), pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8"))

    def test_the_copy_follows_the_tree_and_keeps_what_was_built(self):
        tree, copy = self.directory / "tree", self.directory / "copy"
        (tree / "build").mkdir(parents=True)
        for name, text in ((".gitignore", "/build/\n"), ("kept", "a"), ("changed", "a"), ("removed", "a"), ("build/host", "a")):
            (tree / name).write_text(text)
        subprocess.run(["git", "init", "-q", tree], check=True)
        with mock.patch.object(grade_on, "ROOT", tree):
            grade_on.copy_sources(copy)
            self.assertFalse((copy / "build").exists())
            (copy / "build").mkdir()
            (copy / "build" / "object").write_text("built")
            before = (copy / "kept").stat().st_mtime_ns
            os.utime(tree / "kept")
            (tree / "changed").write_text("b")
            (tree / "removed").unlink()
            grade_on.copy_sources(copy)
        self.assertEqual((copy / "kept").stat().st_mtime_ns, before)
        self.assertEqual((copy / "changed").read_text(), "b")
        self.assertFalse((copy / "removed").exists())
        self.assertEqual((copy / "build" / "object").read_text(), "built")


if __name__ == "__main__":
    unittest.main()
