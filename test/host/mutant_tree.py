"""Copies of the tree in which mutants are built, and the table of verdicts: what the runners of all mutants share."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Tree:
    """A copy of the tree and of what is built in it, so that only what a mutant changes is compiled again."""

    FOLDERS = ["kernel", "test/host", "mkfs", "user"]

    def __init__(self, tree, make):
        self.tree = tree
        self.build = tree / "build"
        self.make = make

    def bring_up_to_date(self):
        """What has not changed since the last time keeps its time of change, and so its object."""
        self.tree.mkdir(parents=True, exist_ok=True)
        wanted = {path.relative_to(ROOT) for path in [ROOT / "Makefile", *(ROOT / "test").glob("*.mk")]}
        for folder in self.FOLDERS:
            wanted |= {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*")
                       if path.is_file() and "__pycache__" not in path.parts}
        for path in self.tree.rglob("*"):
            if path.is_file() and self.build not in path.parents and path.relative_to(self.tree) not in wanted:
                path.unlink()
        for path in sorted(wanted):
            target, contents = self.tree / path, (ROOT / path).read_bytes()
            if not target.exists() or target.read_bytes() != contents:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(contents)

    def duplicate(self, tree):
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(self.tree, tree)
        return type(self)(tree, self.make)

    def compile(self, targets, jobs, *variables):
        """(success, output) of building some files."""
        # The build directory is named as make sees it from the tree: then a duplicate's dependency files are right, too.
        done = subprocess.run([self.make, "-s", f"-j{jobs}", "BUILD=build", *variables, *targets],
                              cwd=self.tree, capture_output=True, text=True, errors="replace", env=environment())
        return done.returncode == 0, done.stdout + done.stderr

    @contextlib.contextmanager
    def seeded(self, mutant, sound_build):
        """The tree has the bug within. Afterwards it goes back to the objects without, which `sound_build` has.
        Raises DoesNotApply."""
        changed = mutant.apply(self.tree)
        sound = {name: ((self.tree / name).read_bytes(), (self.tree / name).stat()) for name in changed}
        started = time.time()
        for name, text in changed.items():
            (self.tree / name).write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            for name, (contents, status) in sound.items():
                (self.tree / name).write_bytes(contents)
                os.utime(self.tree / name, ns=(status.st_atime_ns, status.st_mtime_ns))
            self.restore_objects(started, sound_build)

    def restore_objects(self, since, sound_build):
        """Puts the objects without the bug in the place of those built since a time."""
        for path in self.build.rglob("*"):
            if not path.is_file() or path.stat().st_mtime < since - 1:
                continue
            sound = sound_build / path.relative_to(self.build)
            if sound.exists():
                shutil.copy2(sound, path)
            else:
                path.unlink()


def patches(folder, names):
    """The files of mutants in a folder, by their names: words with wildcards."""
    return {path for name in names.split() for path in (ROOT / folder).glob(f"{name}.patch")}


def environment():
    """The environment without what the make around this runner left in it."""
    return {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def timed(judge, mutant):
    """The verdict on one mutant, printed."""
    begun = time.monotonic()
    verdict = judge(mutant)
    print(f"{mutant.name:<56} {time.monotonic() - begun:6.1f} s  {verdict}", flush=True)
    return verdict


def summarize(verdicts, started):
    """Names the mutants that live, and gives the exit status. `verdicts` is by the mutant's name."""
    killed = sum(verdict.startswith("killed") for verdict in verdicts.values())
    for name, verdict in verdicts.items():
        if not verdict.startswith("killed"):
            print(f"NOT KILLED: {name}: {verdict}")
    print(f"{killed}/{len(verdicts)} killed in {(time.monotonic() - started) / 60:.0f} minutes", flush=True)
    return 0 if killed == len(verdicts) else 1
