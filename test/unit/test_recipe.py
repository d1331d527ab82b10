"""The README's recipe for a pager of one's own, done to the letter in a scratch copy of the tree."""

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
sys.path.insert(0, str(REPOSITORY / "test"))

from guest.console import Console, qemu_command  # noqa: E402  (the path above makes it importable)

SOURCES = ["Makefile", "README.md", ".gdbinit.tmpl", "kernel", "mkfs", "test", "user"]
OWN_FILES = {"kernel/mm/my_pager.hpp", "kernel/mm/my_pager.cpp"}
MOST_OTHER_FILES = 3


def recipe():
    """The commands of the section "Write a pager"."""
    section = re.search(r"^## Write a pager\n(.*?)^## ", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^    (.*)", section[1], re.MULTILINE)


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

    def run_command(self, command):
        """Runs a line of the recipe as a shell would."""
        # A few steps of the random sequences show that they run with the new pager.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("MAKE") and name not in ("MFLAGS", "BUILD", "PAGERS", "KERNEL_SUFFIX")}
        result = subprocess.run(command, shell=True, cwd=self.tree, env=environment | {"FAULTLINE_STEPS": "20000"},
                                check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout[-4000:]}")
        return result.stdout

    def changed_files(self):
        """Files of the scratch tree that are new, or not as in the repository."""
        files = [path for name in SOURCES for path in [self.tree / name, *(self.tree / name).rglob("*")]
                 if path.is_file() and "__pycache__" not in path.parts]
        names = [str(path.relative_to(self.tree)) for path in files]
        return {name for name in names if not (REPOSITORY / name).is_file()
                or (REPOSITORY / name).read_bytes() != (self.tree / name).read_bytes()}

    def test_the_recipe_gives_a_pager_that_passes_the_tests_and_boots(self):
        commands = recipe()
        self.assertEqual(commands[-2:], ["make test", "make qemu PAGER=my"])
        for command in commands[:-2]:
            self.run_command(command)
        changed = self.changed_files()
        self.assertLessEqual(OWN_FILES, changed)
        self.assertLessEqual(len(changed - OWN_FILES), MOST_OTHER_FILES, changed - OWN_FILES)

        tests = self.run_command("make test")
        self.assertRegex(tests, r"# my: \d+ steps")
        self.assertRegex(tests, r"\d+ passed, 0 failed\n")

        # `make qemu` builds these two and starts QEMU on a terminal.
        self.run_command("make kernel image PAGER=my")
        with open(self.tree / "boot.log", "w", encoding="utf-8") as log, \
                Console(qemu_command(self.tree / "build/kernel-my.elf", self.tree / "build/fs.img"), log) as machine:
            machine.expect(r"faultline: my pager")
            machine.wait_prompt()
            self.assertIn("pager my\n", machine.check("cat /proc/self/pager").replace("\r", ""))
            machine.poweroff()


if __name__ == "__main__":
    unittest.main()
