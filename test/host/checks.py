#!/usr/bin/env python3
"""Checks of the memory core that need the compiler or the objects rather than a run.

- Each file in test/host/compile_fail holds one mistake behind `#ifdef MISTAKE`. Without it the file must compile; with
  it the compiler must refuse, with a message that matches the file's line `// refused: REGEX`.
- Each patch in test/mutants still finds the lines that it changes (what the tests make of it is `make mutants`).
- The core's objects, those of the host and those the kernel links, need nothing but the seam and what a freestanding
  compiler may call by itself.

Prints a summary as doctest does.
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys

from mutant import DoesNotApply, Mutant

HERE = pathlib.Path(__file__).resolve().parent

# kernel/mm/platform.hpp with what its inline functions may read, lib/heap.hpp, lib/spin_lock.hpp, lib/lock_rank.hpp, lib/panic.hpp.
SEAM = [
    r"faultline::platform::\w+(\(.*\))?",
    r"faultline::heap_allocate\(.*\)", r"faultline::heap_release\(.*\)",
    r"faultline::cpu_relax\(\)", r"faultline::panic\(.*\)",
    r"faultline::held_ranks\(\)",
]
# What GCC and the headers of a freestanding libstdc++ call of their own accord: block copies and searches, bit counts that
# the instruction set lacks, the end of a pure virtual call. kernel/riscv/compiler_support.cpp has them.
COMPILER = [r"mem(cpy|set|move|cmp|chr)", r"strlen", r"__(popcount|clz|ctz)di2", r"__cxa_pure_virtual",
            r"_GLOBAL_OFFSET_TABLE_",
            r"operator delete\(void\*, unsigned long(, std::align_val_t)?\)"]
# What the sanitizers of this build call.
INSTRUMENTATION = [r"__(a|ub|t)san_\w+", r"__sanitizer_\w+", r"__stack_chk_fail", r"__gxx_personality_v0",
                   r"vtable for __cxxabiv1::\w+"]


def compile_file(compiler, path, mistake):
    """(compiled, what the compiler said)."""
    command = compiler.split() + ["-fsyntax-only"] + (["-DMISTAKE"] if mistake else []) + [str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def check_refused(compiler, path):
    """Verdict on one compile-fail file, or None."""
    wanted = re.search(r"^// refused: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if not wanted:
        return "has no line `// refused: REGEX`"
    compiled, said = compile_file(compiler, path, False)
    if not compiled:
        return f"does not compile without the mistake:\n{said}"
    compiled, said = compile_file(compiler, path, True)
    if compiled:
        return "compiles with the mistake"
    if not re.search(wanted[1], said):
        return f"is refused for another reason than {wanted[1]!r}:\n{said}"
    return None


def check_undefined(nm, objects, sanitized):
    """What the objects together leave undefined beyond what they may, or None."""
    listing = subprocess.run([nm, "--demangle", "--no-sort", *objects], capture_output=True, text=True)
    if listing.returncode != 0:
        return f"{nm}: {listing.stderr}"
    defined, undefined = set(), set()
    for line in listing.stdout.splitlines():
        entry = re.match(r"^(?:[0-9a-f]+| +) ([A-Za-z]) (.+)$", line)
        if entry:
            (undefined if entry[1] in "Uw" else defined).add(entry[2])
    allowed = SEAM + COMPILER + (INSTRUMENTATION if sanitized else [])
    excess = [name for name in sorted(undefined - defined) if not any(re.fullmatch(p, name) for p in allowed)]
    if not defined:
        return "the objects define nothing"
    return "undefined beyond the seam: " + ", ".join(excess) if excess else None


def check_mutants_apply(paths):
    """Which patches of test/mutants do not apply to the tree, or None."""
    problems = [] if paths else ["there are none"]
    for path in paths:
        try:
            Mutant(path).apply(HERE.parents[1])
        except DoesNotApply as problem:
            problems.append(f"{path.name}: {problem}")
    return "\n".join(problems) or None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--objects", required=True)
    parser.add_argument("--cross-nm", required=True)
    parser.add_argument("--cross-objects", required=True)
    options, _ = parser.parse_known_args()  # doctest's own options mean nothing here

    files = sorted((HERE / "compile_fail").glob("*.cpp"))
    sanitized = "/host-" in options.objects
    checks = {f"the compiler refuses {path.stem.replace('_', ' ')}":
              (lambda path=path: check_refused(options.compiler, path)) for path in files}
    # A copy of the tree that is a mutant itself has no such folder.
    if (HERE.parent / "mutants").is_dir():
        mutants = sorted((HERE.parent / "mutants").glob("*.patch"))
        checks["every mutant can be made"] = lambda: check_mutants_apply(mutants)
    checks["the core's host objects need nothing beyond the seam"] = (
        lambda: check_undefined("nm", options.objects.split(), sanitized))
    checks["the core's kernel objects need nothing beyond the seam"] = (
        lambda: check_undefined(options.cross_nm, options.cross_objects.split(), False))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        verdicts = dict(zip(checks, pool.map(lambda check: check(), checks.values())))
    failed = 0
    for name, verdict in verdicts.items():
        if verdict is not None:
            failed += 1
            print(f"FAILED: {name}: {verdict}")
    print(f"test cases: {len(checks)} | {len(checks) - failed} passed | {failed} failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
