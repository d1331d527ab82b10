"""The build as a newcomer meets it: what it says when something is missing."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

# The cross tools that this build found.
TOOLPREFIX = os.environ.get("TOOLPREFIX", "riscv64-linux-gnu-")
CROSS_CC = os.environ.get("CROSS_CC", TOOLPREFIX + "gcc")
CROSS_CXX = os.environ.get("CROSS_CXX", TOOLPREFIX + "g++")

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# What every Debian has; no compiler, emulator or Python among it.
COMMON_TOOLS = ["bash", "cat", "cmp", "cp", "expr", "find", "grep", "id", "make", "mkdir", "printf", "rm", "sed", "sh",
                "sort"]


def compilers(lines):
    """What the recipes that `make -n V=1` shows compile with."""
    first_words = {line.split()[0] for line in lines if line.startswith("riscv64-")}
    return {word for word in first_words if "g++" in word or "gcc" in word}


class MakeTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def make(self, *arguments, tools=None):
        """(exit status, output lines) of make with BUILD in a directory of its own."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("MAKE") and name not in ("MFLAGS", "TOOLPREFIX", "CROSS_CC", "CROSS_CXX", "BUILD")}
        if tools is not None:
            for tool in tools:
                self.link(tool, tool)
            environment["PATH"] = str(self.directory / "path")
        result = subprocess.run([shutil.which("make"), "--no-print-directory", "-C", str(REPOSITORY),
                                 f"BUILD={self.directory}/build", *arguments], env=environment, text=True, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return result.returncode, result.stdout.splitlines()

    def link(self, name, tool):
        """Puts an installed tool into the PATH of `make(tools=)`, under that name."""
        path = self.directory / "path"
        path.mkdir(exist_ok=True)
        found = shutil.which(tool)
        if found and not (path / name).exists():
            (path / name).symlink_to(found)

    def pretend(self, **versions):
        """Puts programs into that PATH that do nothing but say their version as GCC, clang's tools and QEMU do."""
        path = self.directory / "path"
        path.mkdir(exist_ok=True)
        for name, version in versions.items():
            (path / name).write_text(f"#!/bin/sh\necho '{version}'\n")
            (path / name).chmod(0o755)

    def refused(self, goal, *words):
        """`make GOAL` says one line, with these words, and builds nothing."""
        status, lines = self.make(goal, tools=COMMON_TOOLS)
        self.assertNotEqual(status, 0)
        self.assertEqual(len(lines), 1, lines)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertFalse((self.directory / "build").exists())

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

    def test_a_warning_stops_the_build_unless_werror_is_0(self):
        for variables, strict in (((), True), (("WERROR=0",), False)):
            status, lines = self.make("-n", "kernel", "user", "user-host", "test", "V=1", *variables)
            self.assertEqual(status, 0)
            compilations = [line for line in lines if " -c " in line and "-Wextra" in line]
            self.assertTrue(compilations)
            for line in compilations:
                self.assertEqual("-Werror" in line.split(), strict, line)

    def test_what_the_compiler_warns_of_builds_with_werror_0_only(self):
        header = self.directory / "warning.h"
        header.write_text("static void nobody_calls_this(void) {}\n")
        program = self.directory / "build" / "user" / "obj" / "bin" / "true.o"
        for variables, builds in (((), False), (("WERROR=0",), True)):
            status, lines = self.make(str(program), f"CROSS_CC={CROSS_CC} -include {header}", *variables)
            self.assertIn("nobody_calls_this", "\n".join(lines))
            self.assertEqual(status == 0, builds, lines)
            self.assertEqual(program.exists(), builds)

    def test_too_old_a_compiler_or_emulator_is_one_line_before_anything_is_built(self):
        self.pretend(**{"riscv64-linux-gnu-g++": "riscv64-linux-gnu-g++ (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0"})
        for goal in ("kernel", "all", "qemu", "grade"):
            self.refused(goal, "riscv64-linux-gnu-g++", "version 11.4.0", "12 or later")
        self.pretend(**{"riscv64-linux-gnu-g++": "riscv64-linux-gnu-g++ (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)",
                        "g++": "g++ (Debian 10.2.1-6) 10.2.1 20210110"})
        self.refused("qemu", "qemu-system-riscv64 not found", "make deps")
        self.pretend(**{"qemu-system-riscv64": "QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2ubuntu6.26)"})
        for goal in ("qemu", "qemu-gdb", "grade", "soak", "bench", "compare"):
            self.refused(goal, "qemu-system-riscv64", "version 6.2.0", "7.2 or later")
        self.refused("test", "g++", "version 10.2.1", "12 or later")
        self.pretend(**{"qemu-system-riscv64": "QEMU emulator version 10.0.7 (Debian 1:10.0.7+ds-0+deb13u1)"})
        self.refused("grade", "g++", "version 10.2.1", "12 or later")

    def test_a_versioned_name_is_found_where_the_default_is_older_or_missing(self):
        for prefix in ("riscv64-linux-gnu-", "riscv64-unknown-linux-gnu-"):
            for default in (True, False):
                with self.subTest(prefix=prefix, default=default):
                    shutil.rmtree(self.directory / "path", ignore_errors=True)
                    if default:
                        self.pretend(**{prefix + "g++": f"{prefix}g++ (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0"})
                    for version in (9, 12, 14):
                        self.pretend(**{f"{prefix}g++-{version}": f"{prefix}g++-{version} (Ubuntu) {version}.2.0"})
                    status, lines = self.make("-n", "V=1", "kernel", "user", tools=[*COMMON_TOOLS, "python3"])
                    self.assertEqual(status, 0, lines)
                    self.assertEqual(compilers(lines), {f"{prefix}g++-14", f"{prefix}gcc-14"})
        self.pretend(**{"riscv64-linux-gnu-g++": "riscv64-linux-gnu-g++ (Debian 12.2.0-14) 12.2.0"})
        _, lines = self.make("-n", "V=1", "kernel", tools=[*COMMON_TOOLS, "python3"])
        self.assertEqual(compilers(lines), {"riscv64-linux-gnu-g++", "riscv64-linux-gnu-gcc"})

    def test_the_clang_tools_are_the_newest_of_17_or_later(self):
        self.pretend(**{"clang-format": "Debian clang-format version 14.0.6",
                        "clang-format-16": "Debian clang-format version 16.0.6 (15~deb12u1)",
                        "clang-format-diff-90": "not clang-format"})
        self.refused("check-format", "clang-format", "17 or later")
        self.pretend(**{"clang-format-18": "Ubuntu clang-format version 18.1.3 (1ubuntu1)",
                        "clang-format-21": "clang-format version 21.1.0"})
        _, lines = self.make("-n", "V=1", "check-format", tools=COMMON_TOOLS)
        self.assertEqual(lines[0].split()[0], "clang-format-21")
        self.pretend(**{"clang-format": "clang-format version 100.0.0"})
        _, lines = self.make("-n", "V=1", "check-format", tools=COMMON_TOOLS)
        self.assertEqual(lines[0].split()[0], "clang-format")

    def test_another_prefix_of_the_cross_tools_builds(self):
        other = "riscv64-unknown-linux-gnu-"
        for tool in ("nm", "strip"):
            self.link(other + tool, TOOLPREFIX + tool)
        self.link(other + "gcc", CROSS_CC)
        self.link(other + "g++", CROSS_CXX)
        goals = [f"{self.directory}/build/{file}" for file in
                 ("kernel/kernel/lib/format.o", "kernel/kernel/start/entry.S.o", "user/bin/true")]
        tools = [*COMMON_TOOLS, "python3", "touch"]
        status, lines = self.make(*goals, f"TOOLPREFIX={other}", tools=tools)
        self.assertEqual(status, 0, lines)
        for goal in goals:
            self.assertEqual(pathlib.Path(goal).read_bytes()[:4], b"\x7fELF")
        # Without being told, where no other is installed.
        _, lines = self.make("-n", "V=1", "kernel", tools=tools)
        self.assertEqual(compilers(lines), {other + "g++", other + "gcc"})

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
        for goals, tests, checks in ((["qemu"], False, False), (["grade"], True, False), (["clean", "grade"], True, False),
                                     (["tidy"], True, True), ([], True, True)):
            _, lines = self.make("deps", *goals, tools=COMMON_TOOLS)
            packages = lines[1].split()
            self.assertIn("qemu-system-misc", packages)
            self.assertEqual("doctest-dev" in packages, tests, lines)
            for package in ("clang-tidy-N", "libbenchmark-dev"):
                self.assertEqual(package in packages, checks, lines)

    def pretend_apt(self, installed, available):
        """A Debian that has these packages. Returns the file in which it says what it was asked to install."""
        path = self.directory / "path"
        path.mkdir(exist_ok=True)
        asked = self.directory / "apt"
        asked.write_text("")
        for name, script in (
                ("apt-get", f'case "$*" in *" install "*) echo "${{*#* install }}" >> {asked};; esac'),
                ("dpkg-query", f'for p in {" ".join(installed)}; do [ "$3" != "$p" ] || echo "install ok installed"; done'),
                ("apt-cache", f'for p in {" ".join(available)}; do case $1 in show) [ "$2" != "$p" ] || echo "Package: $p";; '
                              '*) case $p in "$2"*) echo "$p";; esac;; esac; done'),
                ("sudo", 'exec "$@"')):
            (path / name).write_text(f"#!/bin/sh\n{script}\n")
            (path / name).chmod(0o755)
        return asked

    def test_deps_installs_the_newest_clang_and_leaves_out_what_the_system_lacks(self):
        tools = [*COMMON_TOOLS, "tail", "env"]
        clang = [f"{name}-{version}" for name in ("clang", "clang-format", "clang-tidy") for version in (9, 17, 20)]
        build = ["g++-riscv64-linux-gnu", "libc6-dev-riscv64-cross", "qemu-system-misc", "opensbi", "e2fsprogs",
                 "python3"]
        tests = ["g++", "qemu-user", "gdb-multiarch", "device-tree-compiler"]

        asked = self.pretend_apt(build + tests + ["debootstrap"], clang + ["libclang-rt-20-dev", "libbenchmark-dev"])
        status, lines = self.make("deps", tools=tools)
        self.assertEqual((status, len(lines)), (0, 2), lines)
        self.assertIn("no package doctest-dev", lines[0])
        self.assertEqual(asked.read_text().split(),
                         ["libbenchmark-dev", "clang-20", "libclang-rt-20-dev", "clang-format-20", "clang-tidy-20"])

        asked = self.pretend_apt(build[1:], ["clang-format", "clang-format-14"])
        status, lines = self.make("deps", "clean", tools=tools)
        self.assertEqual(sum("no clang of 17 or later" in line for line in lines), 1, lines)
        self.assertEqual(asked.read_text().split(), ["g++-riscv64-linux-gnu"])

        asked = self.pretend_apt(build, ["clang-format", "clang-format-14"])
        self.make("deps", "kernel", tools=tools)
        self.assertEqual(asked.read_text(), "")

    def test_deps_runs_before_what_stands_beside_it(self):
        for jobs in ("-j1", "-j4"):
            _, lines = self.make("kernel", "deps", jobs, tools=COMMON_TOOLS)
            text = "\n".join(lines)
            self.assertLess(text.index("make deps installs"), text.index("riscv64-linux-gnu-g++ not found"))


class StyleTest(unittest.TestCase):
    def test_lines_of_makefiles_have_the_width_that_editors_are_told(self):
        width = int(re.search(r"^\[\*\]\n(?:.+\n)*?max_line_length = (\d+)", (REPOSITORY / ".editorconfig").read_text(),
                              re.MULTILINE)[1])
        folders = [REPOSITORY / name for name in ("kernel", "mkfs", "test", "user")]
        makefiles = [REPOSITORY / "Makefile", *(path for folder in folders for path in folder.rglob("*.mk"))]
        self.assertEqual([f"{path.name}:{number}" for path in makefiles
                          for number, line in enumerate(path.read_text().splitlines(), 1)
                          if len(line.expandtabs(8)) > width], [])


if __name__ == "__main__":
    unittest.main()
