"""The kernel's folders are floors of a house: a source includes within its floor or downwards, never up."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# From the top down, as in the README's map; two folders in one line share a floor.
FLOORS = [
    ["start", "syscall"],
    ["proc"],
    ["fs"],
    ["sync"],
    ["sched"],
    ["dev"],
    ["riscv"],
    ["mm"],
    ["lib"],
]
# The seam that mm/platform.hpp declares: the machine defines part of it inline, by this name in its include path.
INLINE_FOLDER = "kernel/riscv/inline/"
SEAM = ("kernel/mm/platform.hpp", INLINE_FOLDER + "platform_inline.hpp")
HEIGHT = {folder: len(FLOORS) - level for level, floor in enumerate(FLOORS) for folder in floor}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def sources(root):
    """What the kernel is compiled from: name below `root` -> the files of this project that it includes."""
    files = sorted(path for path in (root / "kernel").rglob("*") if path.suffix in (".cpp", ".hpp", ".h", ".S"))

    def included(path):
        places = [place + name for name in INCLUDE.findall(path.read_text()) for place in ("", INLINE_FOLDER)]
        return [place for place in places if (root / place).is_file()]

    return {str(path.relative_to(root)): included(path) for path in files}


def upward(includes):
    """The includes that lead out of the kernel or to a floor above."""
    found = []
    for name, included in includes.items():
        for target in included:
            if (name, target) == SEAM:
                continue
            top, folder = target.split("/")[:2]
            if top != "kernel" or HEIGHT[folder] > HEIGHT[name.split("/")[1]]:
                found.append(f"{name} includes {target}")
    return found


def cycles(includes):
    """Headers that include themselves by way of others, each as the path that does."""
    found, done = [], set()

    def visit(name, path):
        if name in path:
            found.append(" -> ".join(path[path.index(name):] + [name]))
        elif name not in done:
            for target in includes.get(name, []):
                visit(target, path + [name])
            done.add(name)

    for name in includes:
        visit(name, [])
    return found


class FloorsTest(unittest.TestCase):
    def setUp(self):
        self.includes = sources(ROOT)

    def test_every_folder_is_a_floor(self):
        folders = {path.name for path in (ROOT / "kernel").iterdir() if path.is_dir()}
        self.assertEqual(folders, set(HEIGHT))

    def test_every_source_stands_on_a_floor(self):
        self.assertEqual([name for name in self.includes if name.count("/") < 2], [])

    def test_no_include_leads_up(self):
        self.assertEqual(upward(self.includes), [])

    def test_no_header_includes_itself(self):
        self.assertEqual(cycles(self.includes), [])

    def test_the_seam_is_used(self):
        self.assertIn(SEAM[1], self.includes[SEAM[0]])

    def test_the_map_in_the_readme_has_the_same_order(self):
        listed = re.findall(r"^    kernel/(\w+)/ ", (ROOT / "README.md").read_text(), re.MULTILINE)
        self.assertEqual(listed, [folder for floor in FLOORS for folder in floor])

    def test_an_include_upwards_is_found(self):
        self.assertEqual(upward({"kernel/mm/a.hpp": ["kernel/lib/b.hpp", "kernel/mm/c.hpp", "kernel/fs/d.hpp"]}),
                         ["kernel/mm/a.hpp includes kernel/fs/d.hpp"])
        self.assertEqual(upward({"kernel/mm/a.hpp": [SEAM[1]]}), [f"kernel/mm/a.hpp includes {SEAM[1]}"])

    def test_a_cycle_is_found(self):
        self.assertEqual(cycles({"a": ["b"], "b": ["c"], "c": ["b"]}), ["b -> c -> b"])


if __name__ == "__main__":
    unittest.main()
