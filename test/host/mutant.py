"""A mutant: a unified diff of a few lines, as test/mutants keeps them."""

import pathlib
import re


class DoesNotApply(Exception):
    """The lines that the patch changes are not there, or are not alone."""


class Hunk:
    def __init__(self, line):
        self.line = line  # where the old lines begin, counted from 0; the file may have moved on since
        self.old, self.new = [], []


class Mutant:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.name = self.path.stem
        self.hunks = {}  # by the file's path in the tree
        hunks = hunk = None
        for line in self.path.read_text(encoding="utf-8").splitlines():
            start = re.match(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@", line)
            if line.startswith("+++ "):
                hunks = self.hunks.setdefault(line.removeprefix("+++ b/").split("\t")[0], [])
                hunk = None
            elif start and hunks is not None:
                hunk = Hunk(int(start[1]) - 1)
                hunks.append(hunk)
            elif hunk is not None and not line.startswith(("--- ", "diff ", "index ")):
                if line[:1] in ("-", " ", ""):
                    hunk.old.append(line[1:])
                if line[:1] in ("+", " ", ""):
                    hunk.new.append(line[1:])

    def changes_headers(self):
        return any(name.endswith(".hpp") for name in self.hunks)

    def apply(self, root):
        """The changed files' texts, by path. Every old line must be as the patch has it; only their place may differ.
        Raises DoesNotApply."""
        changed = {}
        for name, hunks in self.hunks.items():
            path = pathlib.Path(root) / name
            if not path.is_file():
                raise DoesNotApply(f"{name} does not exist")
            lines = path.read_text(encoding="utf-8").splitlines()
            moved = 0
            for hunk in hunks:
                size = len(hunk.old)
                places = [i for i in range(len(lines) - size + 1) if lines[i:i + size] == hunk.old]
                if not places:
                    raise DoesNotApply(f"{name} has other lines near {hunk.line + 1}")
                place = min(places, key=lambda i: abs(i - hunk.line - moved))
                lines[place:place + size] = hunk.new
                moved = place + len(hunk.new) - hunk.line - size
            changed[name] = "\n".join(lines) + "\n"
        if not changed or all(hunk.old == hunk.new for hunks in self.hunks.values() for hunk in hunks):
            raise DoesNotApply("the patch changes nothing")
        return changed
