#!/usr/bin/env python3
"""Do the guest tests notice? Seeds one small bug after another into a copy of the tree and boots the kernel with it.

Every test/mutants/guest/*.patch changes a few lines of the kernel outside its core. Its first line,
`# killed by: PATTERN`, names the tests of `make grade` that are to notice. The named tests pass without the patch,
which is seen first; with it one of them must fail, panic or not end. A patch that does not apply or does not compile, and
a pattern that names no test, are errors. The tree itself is never touched.
"""

import argparse
import fnmatch
import pathlib
import re
import subprocess
import sys
import time

TEST_DIRECTORY = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEST_DIRECTORY), str(TEST_DIRECTORY / "host")]
sys.dont_write_bytecode = True

import grade  # noqa: E402  (the path above makes these importable)
from mutant import DoesNotApply, Mutant  # noqa: E402
from mutant_tree import Tree, environment, patches, summarize, timed  # noqa: E402

NOT_YET_TIMED = 900  # seconds for tests whose time is not known


class GuestMutant(Mutant):
    """A patch that says in its first line which tests are to notice."""

    def __init__(self, path):
        super().__init__(path)
        first = self.path.read_text(encoding="utf-8").splitlines()[0]
        named = re.fullmatch(r"# killed by: (.*\S)\s*", first)
        if not named:
            sys.exit(f"{path}: the first line is not `# killed by: PATTERN`")
        self.tests = named[1]


class Copy(Tree):
    """A copy of the tree with kernels, an image and the whole test folder."""

    FOLDERS = ["kernel", "test", "mkfs", "user"]

    def __init__(self, tree, make):
        super().__init__(tree, make)
        self.seconds = {}  # how long tests took without a mutant, by their pattern

    @staticmethod
    def targets(tests):
        """What the named tests run on."""
        if tests.startswith("host."):
            return [f"build/host/{tests.removeprefix('host.')}"]
        eager = [] if "pager=lazy" in tests else ["build/kernel-eager.elf"]
        return ["build/kernel-lazy.elf", *eager, "build/fs.img"]

    def build_for(self, tests, jobs):
        return self.compile(self.targets(tests), jobs)

    def run(self, tests):
        """(what noticed the bug or None, output) of the named tests."""
        host = [f"--host={target}" for target in self.targets(tests) if target.startswith("build/host/")]
        # A machine waits more than it computes, so the limit is of time; it is wide, for others may use this computer.
        limit = 60 + 5 * self.seconds[tests] if tests in self.seconds else NOT_YET_TIMED
        with subprocess.Popen([sys.executable, "test/grade.py", "--build=build", f"--only={tests}", "--jobs=1",
                               "--seed=1", *host], cwd=self.tree, env=environment(), text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.terminate()  # its machines end with it
                process.communicate()
                return f"{tests} does not end", ""
        if process.returncode == 0:
            return None, output
        failed = re.search(r"not ok: (.+)", output)
        return failed[1].strip() if failed else f"{tests} ends with status {process.returncode}", output

    def check_sound(self, tests, jobs):
        """Sees the named tests pass without a mutant, and how long they take."""
        built, output = self.build_for(tests, jobs)
        if not built:
            sys.exit(f"the tree without a mutant does not build:\n{output}")
        started = time.monotonic()
        noticed_by, output = self.run(tests)
        if noticed_by is not None:
            sys.exit(f"{tests} fails without a mutant ({noticed_by}):\n{output}")
        self.seconds[tests] = time.monotonic() - started
        print(f"{tests:<56} {self.seconds[tests]:6.1f} s  passes", flush=True)

    def judge(self, mutant, jobs, sound_build):
        """The verdict on one mutant. `sound_build` has the objects of the tree without it."""
        try:
            with self.seeded(mutant, sound_build):
                built, _ = self.build_for(mutant.tests, jobs)
                if not built:
                    return "error: does not compile"
                noticed_by, _ = self.run(mutant.tests)
                return "survived" if noticed_by is None else f"killed: {noticed_by}"
        except DoesNotApply as problem:
            return f"error: {problem}"


def names_a_test(pattern):
    """Whether grade.py would run anything."""
    if pattern.startswith("host."):
        return True
    return any(word in name or fnmatch.fnmatch(name, word) for name, _, _ in grade.guest_tests()
               for word in pattern.split())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--make", default="make")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time; the machines run one after another")
    parser.add_argument("--only", default="*", help="names of mutants, with wildcards")
    options = parser.parse_args()

    mutants = sorted(map(GuestMutant, patches("test/mutants/guest", options.only)),
                     key=lambda mutant: (mutant.tests, mutant.name))
    if not mutants:
        sys.exit(f"no mutant is named {options.only}")
    patterns = sorted({mutant.tests for mutant in mutants})
    for tests in patterns:
        if not names_a_test(tests):
            sys.exit(f"no test matches {tests}")
    started = time.monotonic()
    print(f"{len(mutants)} mutants for guest tests; first the tests without any", flush=True)
    directory = pathlib.Path(options.build).resolve() / "mutants"
    copy = Copy(directory / "guest", options.make)
    copy.bring_up_to_date()
    for tests in patterns:
        copy.check_sound(tests, options.jobs)
    sound = copy.duplicate(directory / "guest-sound")
    verdicts = {mutant.name: timed(lambda seed: copy.judge(seed, options.jobs, sound.build), mutant)
                for mutant in mutants}
    return summarize(verdicts, started)


if __name__ == "__main__":
    sys.exit(main())
