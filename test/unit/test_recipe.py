"""The recipes of README.md and .github/CONTRIBUTING.md, done to the letter in a scratch copy of the tree."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / os.environ.get("BUILD", "build")
sys.path[:0] = [str(REPOSITORY / "test"), str(REPOSITORY / "test" / "host")]

from guest.console import Console, qemu_command  # noqa: E402  (the path above makes it importable)
from mutant import Mutant  # noqa: E402

SOURCES = ["Makefile", "README.md", ".gdbinit.tmpl", "kernel", "mkfs", "test", "user"]
OWN_FILES = {"kernel/mm/my_pager.hpp", "kernel/mm/my_pager.cpp"}
MOST_OTHER_FILES = 3
MUTANT = "test/mutants/frame-goes-with-its-last-but-one-owner.patch"


def recipe(document, heading):
    """The commands of a section: its indented lines, those of a here-document and continued ones together."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", (REPOSITORY / document).read_text(), re.MULTILINE | re.DOTALL)
    # A paragraph may separate commands; an empty line within a here-document is not indented either.
    lines = iter(re.findall(r"^(?:    .*|)$", section[1], re.MULTILINE))
    commands = []
    for line in lines:
        command = line[4:]
        while command.endswith("\\"):
            command += "\n" + next(lines)[4:]
        if command.endswith("<<'END'"):
            while not command.endswith("\nEND"):
                command += "\n" + next(lines)[4:]
        if command:
            commands.append(command)
    return commands


class RecipeTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.tree = pathlib.Path(temporary.name)
        for name in SOURCES:
            copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy2
            copy(REPOSITORY / name, self.tree / name)
        # What is built already need not be built again: a copy keeps the times of change.
        for name in ("host", "kernel", "user", "fs.img"):
            if (BUILD / name).exists():
                copy = shutil.copytree if (BUILD / name).is_dir() else shutil.copy2
                (self.tree / "build").mkdir(exist_ok=True)
                copy(BUILD / name, self.tree / "build" / name)

    def run_command(self, command, status=0):
        """Runs a command of a recipe as a shell would, and expects it to end with a status."""
        # A few steps of the random sequences show that they run with the new pager.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("MAKE") and name not in ("MFLAGS", "BUILD", "PAGERS", "KERNEL_SUFFIX")}
        result = subprocess.run(command, shell=True, cwd=self.tree, env=environment | {"FAULTLINE_STEPS": "20000"},
                                check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, status, f"{command}\n{result.stdout[-4000:]}")
        return result.stdout

    def changed_files(self):
        """Files of the scratch tree that are new, or not as in the repository."""
        files = [path for name in SOURCES for path in [self.tree / name, *(self.tree / name).rglob("*")]
                 if path.is_file() and "__pycache__" not in path.parts]
        names = [str(path.relative_to(self.tree)) for path in files]
        return {name for name in names if not (REPOSITORY / name).is_file()
                or (REPOSITORY / name).read_bytes() != (self.tree / name).read_bytes()}

    def follow(self, document, heading, *checks):
        """Carries out what a recipe changes. `checks` are the commands in it with which one looks at what came of it; the
        test does that once for all recipes. Returns the files that are new or changed."""
        before = self.changed_files()
        commands = recipe(document, heading)
        self.assertEqual([command for command in commands if command.startswith("make ")], list(checks))
        for command in commands:
            if command not in checks:
                self.run_command(command)
        return self.changed_files() - before

    def test_the_recipes_give_what_they_promise(self):
        self.follow(".github/CONTRIBUTING.md", "A system call")
        self.follow(".github/CONTRIBUTING.md", "A test", "make grade ONLY='programs.tap:*program=test_harts'", "make test")
        self.follow(".github/CONTRIBUTING.md", "A device",
                    "make qemu           # and in the guest: head -c 4 /dev/ones | hexdump")
        changed = self.follow("README.md", "Write a pager", "make test", "make qemu PAGER=my")
        self.assertLessEqual(OWN_FILES, changed)
        self.assertLessEqual(len(changed - OWN_FILES), MOST_OTHER_FILES, changed - OWN_FILES)

        tests = self.run_command("make test")
        self.assertRegex(tests, r"# my: \d+ steps")
        self.assertRegex(tests, r"\d+ passed, 0 failed\n")
        self.assertIn("programs.tap:pager=lazy,program=test_harts ", self.run_command("python3 -B test/grade.py --build build --list"))

        # `make qemu` builds these two and starts QEMU on a terminal.
        self.run_command("make kernel image PAGER=my")
        with open(self.tree / "boot.log", "w", encoding="utf-8") as log, \
                Console(qemu_command(self.tree / "build/kernel-my.elf", self.tree / "build/fs.img"), log) as machine:
            machine.expect(r"faultline: my pager")
            machine.wait_prompt()
            self.assertIn("pager my\n", machine.check("cat /proc/self/pager").replace("\r", ""))
            self.assertIn("ok 1 - there are between one and eight harts", machine.check("test_harts"))
            self.assertIn("ffff ffff", machine.check("head -c 4 /dev/ones | hexdump"))
            machine.poweroff()

        # `make mutants` builds all tests anew in a copy; here the one that has to notice is enough.
        self.assertEqual(self.follow(".github/CONTRIBUTING.md", "A mutant", f"make mutants ONLY={pathlib.Path(MUTANT).stem}"),
                         {MUTANT})
        for name, text in Mutant(self.tree / MUTANT).apply(self.tree).items():
            (self.tree / name).write_text(text, encoding="utf-8")
        self.run_command("make build/host/mm_test")
        self.run_command("build/host/mm_test -tc='a frame of two owners*'", status=1)


if __name__ == "__main__":
    unittest.main()
