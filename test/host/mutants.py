#!/usr/bin/env python3
"""Do the tests notice? Seeds one small bug after another into copies of the tree and runs the host tests on each.

Every test/mutants/*.patch changes a few lines of kernel/mm or kernel/lib. A mutant is killed when a test fails, crashes
or does not end; one that does not compile proves nothing and is an error, as is a patch that does not apply.
The tests are those of `make test`, whole: one program after the other, until one fails. The directed cases come first,
because they find most and say what is wrong; the others by the time they take without a mutant.
The tree itself is never touched: each thread has its own copy, in which only what the patch changed is compiled again,
and which goes back to the objects without the bug afterwards.
"""

import argparse
import concurrent.futures
import os
import pathlib
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

from mutant import DoesNotApply, Mutant

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIRECTED = "mm_test"
# Nothing else calls what stands in this folder.
POSTCOPY_FOLDER, POSTCOPY_PROGRAMS = "kernel/mm/postcopy/", ["mm_postcopy"]


def environment():
    """The same random sequences for every mutant, as many as make test runs."""
    return {key: value for key, value in os.environ.items() if key != "FAULTLINE_STEPS"} | {"FAULTLINE_SEED": "1"}


class Copy:
    """A copy of the tree with the tests built in it, so that only what a mutant changes is compiled again."""

    def __init__(self, tree, make, programs):
        self.tree = tree
        self.build = tree / "build"
        self.make = make
        self.programs = programs  # in the order in which they run
        self.cpu_limit = {}  # seconds for each program

    def bring_up_to_date(self):
        """What has not changed since the last time keeps its time of change, and so its object."""
        self.tree.mkdir(parents=True, exist_ok=True)
        wanted = {path.relative_to(ROOT) for path in [ROOT / "Makefile", *(ROOT / "test").glob("*.mk")]}
        for folder in ["kernel", "test/host", "mkfs", "user"]:
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

    def check_sound(self, jobs):
        """Builds the tests without a mutant, and sees them pass. What they take now orders them, and bounds them later."""
        seconds = {}
        for program in self.programs:
            built, output = self.compile(program, jobs)
            if not built:
                sys.exit(f"the tree without a mutant does not build:\n{output}")
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            noticed_by, output = self.run(program)
            if noticed_by is not None:
                sys.exit(f"the tests fail without a mutant ({noticed_by}):\n{output}")
            seconds[program] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
            self.cpu_limit[program] = int(20 + 5 * seconds[program])
        self.programs = sorted(self.programs, key=lambda program: (program != DIRECTED, seconds[program]))
        print(", ".join(f"{program} {seconds[program]:.0f} s" for program in self.programs), flush=True)

    def duplicate(self, tree):
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(self.tree, tree)
        other = Copy(tree, self.make, self.programs)
        other.cpu_limit = self.cpu_limit
        return other

    def compile(self, program, jobs=1):
        """(success, output) of building one test program."""
        # The build directory is named as make sees it from the tree: then a duplicate's dependency files are right, too.
        done = subprocess.run([self.make, "-s", f"-j{jobs}", "BUILD=build", "HOST_DEBUG=-g0",
                               f"build/host/{program}"],
                              cwd=self.tree, capture_output=True, text=True, errors="replace",
                              env={key: value for key, value in os.environ.items() if key != "MAKEFLAGS"})
        return done.returncode == 0, done.stdout + done.stderr

    def run(self, program):
        """(what noticed the bug, output) of one test program, which stops at the first failure; (None, "") if nothing did."""
        # A bug that makes the tests run for ever is found by the CPU time, which a busy machine does not change.
        limit = self.cpu_limit.get(program, 600)
        try:
            done = subprocess.run(["prlimit", f"--cpu={limit}", str(self.build / "host" / program), "--abort-after=1",
                                   "--no-colors=true"], capture_output=True, text=True, errors="replace",
                                  timeout=30 * limit, cwd=self.tree, env=environment())
        except subprocess.TimeoutExpired:
            return f"{program} hangs", ""
        if done.returncode == 0:
            return None, ""
        if done.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
            return f"{program} runs for ever", ""
        case = re.findall(r"TEST CASE:\s+(.+)", done.stdout)
        return case[-1].strip() if case else f"{program} ends with status {done.returncode}", done.stdout + done.stderr

    def programs_for(self, mutant):
        """The programs that may notice."""
        if all(name.startswith(POSTCOPY_FOLDER) for name in mutant.hunks):
            return POSTCOPY_PROGRAMS
        return self.programs

    def judge(self, mutant, sound_build):
        """The verdict on one mutant. `sound_build` has the objects of the tree without it."""
        try:
            changed = mutant.apply(self.tree)
        except DoesNotApply as problem:
            return f"error: {problem}"
        sound = {name: ((self.tree / name).read_bytes(), (self.tree / name).stat()) for name in changed}
        started = time.time()
        for name, text in changed.items():
            (self.tree / name).write_text(text, encoding="utf-8")
        try:
            for program in self.programs_for(mutant):
                built, _ = self.compile(program)
                if not built:
                    return "error: does not compile"
                noticed_by, _ = self.run(program)
                if noticed_by is not None:
                    return f"killed: {noticed_by}"
            return "survived"
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--make", default="make")
    parser.add_argument("--programs", nargs="+", required=True, help="names of the test programs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--only", default="*", help="names of mutants, with wildcards")
    options = parser.parse_args()

    # Those that change headers take longest to compile, so they go first.
    mutants = sorted(map(Mutant, (ROOT / "test" / "mutants").glob(f"{options.only}.patch")),
                     key=lambda mutant: (not mutant.changes_headers(), mutant.name))
    directory = pathlib.Path(options.build).resolve() / "mutants"
    if not mutants:
        sys.exit(f"no mutant is named {options.only}")
    jobs = min(options.jobs, len(mutants))
    started = time.monotonic()
    print(f"{len(mutants)} mutants; first the tests without any", flush=True)
    first = Copy(directory / "tree0", options.make, options.programs)
    first.bring_up_to_date()
    first.check_sound(options.jobs)
    sound = first.duplicate(directory / "sound")
    idle = queue.Queue()
    idle.put(first)
    for number in range(1, jobs):
        idle.put(first.duplicate(directory / f"tree{number}"))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:

        def judge(mutant):
            copy = idle.get()
            begun = time.monotonic()
            try:
                verdict = copy.judge(mutant, sound.build)
            finally:
                idle.put(copy)
            print(f"{mutant.name:<52} {time.monotonic() - begun:6.1f} s  {verdict}", flush=True)
            return verdict

        verdicts = dict(zip((mutant.name for mutant in mutants), pool.map(judge, mutants)))
    killed = sum(verdict.startswith("killed") for verdict in verdicts.values())
    for name, verdict in verdicts.items():
        if not verdict.startswith("killed"):
            print(f"NOT KILLED: {name}: {verdict}")
    print(f"{killed}/{len(mutants)} killed in {(time.monotonic() - started) / 60:.0f} minutes")
    return 0 if killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
