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
import signal
import subprocess
import sys
import time

from mutant import DoesNotApply, Mutant
from mutant_tree import Tree, patches, summarize, timed

DIRECTED = "mm_test"
# Nothing else calls what stands in this folder.
POSTCOPY_FOLDER, POSTCOPY_PROGRAMS = "kernel/mm/postcopy/", ["mm_postcopy"]


def test_environment():
    """The same random sequences for every mutant, as many as make test runs."""
    return {key: value for key, value in os.environ.items() if key != "FAULTLINE_STEPS"} | {"FAULTLINE_SEED": "1"}


class Copy(Tree):
    """A copy of the tree with the host tests built in it."""

    def __init__(self, tree, make):
        super().__init__(tree, make)
        self.programs = []  # in the order in which they run
        self.cpu_limit = {}  # seconds for each program

    def check_sound(self, programs, jobs):
        """Builds the tests without a mutant, and sees them pass. What they take now orders them, and bounds them later."""
        seconds = {}
        for program in programs:
            built, output = self.compile(program, jobs)
            if not built:
                sys.exit(f"the tree without a mutant does not build:\n{output}")
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            noticed_by, output = self.run(program)
            if noticed_by is not None:
                sys.exit(f"the tests fail without a mutant ({noticed_by}):\n{output}")
            seconds[program] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
            self.cpu_limit[program] = int(20 + 5 * seconds[program])
        self.programs = sorted(programs, key=lambda program: (program != DIRECTED, seconds[program]))
        print(", ".join(f"{program} {seconds[program]:.0f} s" for program in self.programs), flush=True)

    def duplicate(self, tree):
        other = super().duplicate(tree)
        other.programs = self.programs
        other.cpu_limit = self.cpu_limit
        return other

    def compile(self, program, jobs=1):
        """(success, output) of building one test program."""
        return super().compile([f"build/host/{program}"], jobs, "HOST_DEBUG=-g0")

    def run(self, program):
        """(what noticed the bug, output) of one test program, which stops at the first failure; (None, "") if nothing did."""
        # A bug that makes the tests run for ever is found by the CPU time, which a busy machine does not change.
        limit = self.cpu_limit.get(program, 600)
        try:
            done = subprocess.run(["prlimit", f"--cpu={limit}", str(self.build / "host" / program), "--abort-after=1",
                                   "--no-colors=true"], capture_output=True, text=True, errors="replace",
                                  timeout=30 * limit, cwd=self.tree, env=test_environment())
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
            with self.seeded(mutant, sound_build):
                for program in self.programs_for(mutant):
                    built, _ = self.compile(program)
                    if not built:
                        return "error: does not compile"
                    noticed_by, _ = self.run(program)
                    if noticed_by is not None:
                        return f"killed: {noticed_by}"
                return "survived"
        except DoesNotApply as problem:
            return f"error: {problem}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--make", default="make")
    parser.add_argument("--programs", nargs="+", required=True, help="names of the test programs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--only", default="*", help="names of mutants, with wildcards")
    options = parser.parse_args()

    # Those that change headers take longest to compile, so they go first.
    mutants = sorted(map(Mutant, patches("test/mutants", options.only)),
                     key=lambda mutant: (not mutant.changes_headers(), mutant.name))
    directory = pathlib.Path(options.build).resolve() / "mutants"
    if not mutants:
        sys.exit(f"no mutant is named {options.only}")
    jobs = min(options.jobs, len(mutants))
    started = time.monotonic()
    print(f"{len(mutants)} mutants; first the tests without any", flush=True)
    first = Copy(directory / "tree0", options.make)
    first.bring_up_to_date()
    first.check_sound(options.programs, options.jobs)
    sound = first.duplicate(directory / "sound")
    idle = queue.Queue()
    idle.put(first)
    for number in range(1, jobs):
        idle.put(first.duplicate(directory / f"tree{number}"))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:

        def judge(mutant):
            copy = idle.get()
            try:
                return timed(lambda seed: copy.judge(seed, sound.build), mutant)
            finally:
                idle.put(copy)

        verdicts = dict(zip((mutant.name for mutant in mutants), pool.map(judge, mutants)))
    return summarize(verdicts, started)


if __name__ == "__main__":
    sys.exit(main())
