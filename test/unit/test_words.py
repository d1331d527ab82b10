"""What kernel/README.md and .github/CONTRIBUTING.md name exists: files, functions, floors, ranks."""

import pathlib
import re
import unittest

from test_floors import FLOORS

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "kernel" / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
MOST_LINES = 250
NAME = re.compile(r"~?[A-Za-z_]\w*(::\w+)*")
PATH = re.compile(r"\w[\w.-]*/[\w./-]*")

# The words of each source but for its comments.
SOURCES = {str(path.relative_to(ROOT)): set(re.findall(r"\w+", re.sub(r"//.*", "", path.read_text())))
           for path in (ROOT / "kernel").rglob("*") if path.suffix in (".cpp", ".hpp", ".h", ".S")}


def spans(text):
    """What stands in backquotes, on one line."""
    return re.findall(r"`([^`\n]+)`", text)


def blocks(text):
    """Items of lists, rows of tables and paragraphs, without indented commands."""
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    return re.split(r"\n(?=\d+\. |- |\| )|\n\n+", "\n".join(lines))


def place(name):
    """The file or folder of that name below kernel/ or the root, or None."""
    return next((path for path in (ROOT / "kernel" / name, ROOT / name) if path.exists()), None)


def missing(text):
    """The names in a text that the tree does not have. A numbered step's functions have to be in a file that it names."""
    found = []
    for block in blocks(text):
        paths = [span for span in spans(block) if PATH.fullmatch(span)]
        found += [path for path in paths if place(path) is None]
        files = [str(place(path).relative_to(ROOT)) for path in paths if place(path) is not None]
        step = re.match(r"\d+\. `[^`]*/", block) is not None
        for span in spans(block):
            if not NAME.fullmatch(span):
                continue
            words = set(span.split("::"))
            candidates = [SOURCES[file] for file in files if file in SOURCES] if step else SOURCES.values()
            if not any(words <= words_of_file for words_of_file in candidates):
                found.append(span)
    return found


class WordsTest(unittest.TestCase):
    def setUp(self):
        self.guide = GUIDE.read_text()

    def test_every_name_exists(self):
        self.assertEqual(missing(self.guide), [])
        self.assertEqual(missing(CONTRIBUTING.read_text()), [])

    def test_a_name_that_does_not_exist_is_found(self):
        self.assertEqual(missing("See `mm/nowhere.hpp`, `mm/pager.hpp` and `Frame::lost`, `Frame::leak`."),
                         ["mm/nowhere.hpp", "Frame::lost"])
        self.assertEqual(missing("1. `mm/pager.hpp`, `handle_user_trap`: is elsewhere."), ["handle_user_trap"])

    def test_the_floors_are_those_of_the_house(self):
        listed = re.findall(r"^\| `(\w+)/` ", self.guide, re.MULTILINE)
        self.assertEqual(listed, [folder for floor in FLOORS for folder in floor])

    def test_the_ranks_are_those_of_the_locks(self):
        section = re.search(r"^## Locks\n(.*?)^## ", self.guide, re.MULTILINE | re.DOTALL)[1]
        enumeration = re.search(r"enum class LockRank.*?\{(.*?)\}", (ROOT / "kernel/lib/lock_rank.hpp").read_text(), re.DOTALL)[1]
        self.assertEqual(re.findall(r"^\| `(\w+)`", section, re.MULTILINE), re.findall(r"^\s*(\w+) =", enumeration, re.MULTILINE))

    def test_it_is_short_enough_to_be_read(self):
        self.assertLessEqual(len(self.guide.splitlines()), MOST_LINES)


if __name__ == "__main__":
    unittest.main()
