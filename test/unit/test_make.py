"""The build as a newcomer meets it: what it says when something is missing."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# What every Debian has; no compiler, emulator or Python among it.
COMMON_TOOLS = ["bash", "cat", "cmp", "cp", "expr", "find", "grep", "id", "make", "mkdir", "printf", "rm", "sed", "sh",
                "sort"]


class MakeTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def make(self, *arguments, tools=None):
        """(exit status, output lines) of make with BUILD in a directory of its own."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("MAKE") and name not in ("MFLAGS", "TOOLPREFIX", "BUILD")}
        if tools is not None:
            path = self.directory / "path"
            path.mkdir(exist_ok=True)
            for tool in tools:
                found = shutil.which(tool)
                if found and not (path / tool).exists():
                    (path / tool).symlink_to(found)
            environment["PATH"] = str(path)
        result = subprocess.run([shutil.which("make"), "--no-print-directory", "-C", str(REPOSITORY),
                                 f"BUILD={self.directory}/build", *arguments], env=environment, text=True, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return result.returncode, result.stdout.splitlines()

    def test_a_missing_tool_is_one_line_that_names_it_and_make_deps(self):
        for goal, tool in (("kernel", "riscv64-linux-gnu-g++"), ("check-format", "clang-format")):
            status, lines = self.make(goal, tools=COMMON_TOOLS)
            complaints = [line for line in lines if not line.startswith("  ")]
            self.assertNotEqual(status, 0)
            self.assertEqual(len(complaints), 1, complaints)
            self.assertIn(tool, complaints[0])
            self.assertIn("make deps", complaints[0])

    def test_an_unknown_pager_is_one_line(self):
        status, lines = self.make("kernel", "PAGER=greedy")
        self.assertNotEqual(status, 0)
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"PAGER=greedy: expected one of: lazy( \w+)+")

    def test_help_needs_no_tool_and_names_every_goal(self):
        status, lines = self.make("help", tools=COMMON_TOOLS)
        self.assertEqual(status, 0)
        text = "\n".join(lines)
        for goal in ("deps", "qemu", "qemu-gdb", "gdb", "test", "grade", "bench", "check-format", "tidy",
                     "compile_commands.json", "clean"):
            self.assertIn(f"make {goal}", text)

    def test_deps_without_apt_names_what_to_install(self):
        status, lines = self.make("deps", tools=COMMON_TOOLS)
        self.assertEqual(status, 0)
        self.assertIn("g++-riscv64-linux-gnu", "\n".join(lines))

    def test_deps_runs_before_what_stands_beside_it(self):
        for jobs in ("-j1", "-j4"):
            _, lines = self.make("kernel", "deps", jobs, tools=COMMON_TOOLS)
            text = "\n".join(lines)
            self.assertLess(text.index("make deps installs"), text.index("riscv64-linux-gnu-g++ not found"))


if __name__ == "__main__":
    unittest.main()
