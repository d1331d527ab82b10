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

    def make(self, *arguments, tools=None, scripts=None):
        """(exit status, output lines) of make with BUILD in a directory of its own; with `tools` it finds these only, with
        `scripts`, {name: shell commands}, also or instead the ones given."""
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
        if scripts is not None:
            path = self.directory / "scripts"
            path.mkdir(exist_ok=True)
            for name, commands in scripts.items():
                (path / name).write_text(f"#!/bin/sh\n{commands}\n")
                (path / name).chmod(0o755)
            environment["PATH"] = f"{path}:{environment['PATH']}"
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

    def test_a_tool_that_is_too_old_is_one_line_that_names_both_versions(self):
        gcc, qemu = "riscv64-linux-gnu-g++", "qemu-system-riscv64"
        for goal, tool, answer, found, needed in (
                ("kernel", gcc, "echo 11.4.0", "11.4.0", "12"),
                ("qemu", qemu, "echo 'QEMU emulator version 6.2.0 (Debian 1:6.2)'", "6.2.0", "7.2")):
            status, lines = self.make(goal, tools=COMMON_TOOLS + ["cut", "head"], scripts={tool: answer})
            complaints = [line for line in lines if found in line]
            self.assertNotEqual(status, 0)
            self.assertEqual(len(complaints), 1, lines)
            self.assertIn(f"{tool} is version {found} and {needed} or later is needed", complaints[0])
            self.assertFalse([line for line in lines if line.startswith("  ")], "something was built before")

    def test_a_versioned_name_serves_where_the_plain_one_is_too_old(self):
        status, lines = self.make("-n", "kernel", "V=1", scripts={
            "riscv64-linux-gnu-g++": "echo 11.4.0", "riscv64-linux-gnu-gcc": "echo 11.4.0",
            "riscv64-linux-gnu-g++-13": "echo 13.2.0", "riscv64-linux-gnu-gcc-13": "echo 13.2.0"})
        self.assertEqual(status, 0, lines)
        compilers = {os.path.basename(line.split()[0]) for line in lines if " -c " in line and "riscv64" in line.split()[0]}
        self.assertEqual(compilers, {"riscv64-linux-gnu-g++-13", "riscv64-linux-gnu-gcc-13"})

    def test_the_tools_of_the_upstream_toolchain_build_kernel_and_programs(self):
        links = {}
        for tool in ("gcc", "g++", "nm", "strip"):
            links[f"riscv64-unknown-linux-gnu-{tool}"] = f'exec {shutil.which("riscv64-linux-gnu-" + tool)} "$@"'
        build = self.directory / "build"
        targets = [build / "kernel/kernel/mm/asid.o", build / "kernel/kernel/start/entry.S.o", build / "user/bin/true"]
        status, lines = self.make("V=1", "TOOLPREFIX=riscv64-unknown-linux-gnu-", *map(str, targets), scripts=links)
        self.assertEqual(status, 0, lines)
        self.assertNotIn("riscv64-linux-gnu-", "\n".join(line for line in lines if not line.startswith("  ")))
        for target in targets:
            self.assertTrue(target.exists(), target)

    def test_an_unknown_pager_is_one_line(self):
        status, lines = self.make("kernel", "PAGER=greedy")
        self.assertNotEqual(status, 0)
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"PAGER=greedy: expected one of: lazy( \w+)+")

    def test_a_warning_stops_the_build_unless_werror_is_0(self):
        for variables, strict in (((), True), (("WERROR=0",), False)):
            status, lines = self.make("-n", "kernel", "user", "V=1", *variables)
            self.assertEqual(status, 0)
            compilations = [line for line in lines if " -c " in line and "-Wextra" in line]
            self.assertTrue(compilations)
            for line in compilations:
                self.assertEqual("-Werror" in line.split(), strict, line)

    def test_help_needs_no_tool_and_names_every_goal(self):
        status, lines = self.make("help", tools=COMMON_TOOLS)
        self.assertEqual(status, 0)
        text = "\n".join(lines)
        for goal in ("deps", "qemu", "qemu-gdb", "gdb", "test", "grade", "grade-on", "bench", "check-format", "tidy",
                     "compile_commands.json", "clean"):
            self.assertIn(f"make {goal}", text)

    def test_deps_without_apt_names_what_to_install(self):
        status, lines = self.make("deps", tools=COMMON_TOOLS)
        self.assertEqual(status, 0)
        self.assertIn("g++-riscv64-linux-gnu", "\n".join(lines))

    def test_deps_installs_only_what_the_goals_beside_it_need(self):
        for goal, tests, checks in (("qemu", False, False), ("grade", True, False), ("tidy", True, True)):
            _, lines = self.make("deps", goal, tools=COMMON_TOOLS)
            text = "\n".join(lines)
            self.assertIn("qemu-system-misc", text)
            self.assertEqual("doctest-dev" in text, tests, text)
            self.assertEqual("clang-tidy" in text.split("\n")[1], checks, text)

    def test_deps_runs_before_what_stands_beside_it(self):
        for jobs in ("-j1", "-j4"):
            _, lines = self.make("kernel", "deps", jobs, tools=COMMON_TOOLS)
            text = "\n".join(lines)
            self.assertLess(text.index("make deps installs"), text.index("riscv64-linux-gnu-g++ not found"))


if __name__ == "__main__":
    unittest.main()
