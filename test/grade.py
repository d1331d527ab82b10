#!/usr/bin/env python3
"""Judges the project: tests of the memory core on this machine, unit tests of the tools, then the kernel in QEMU.

`make grade` builds what this needs and runs it. It prints one line a test as it ends, keeps what a failed test
printed in BUILD/grade/NAME.log, writes BUILD/grade/junit.xml, and closes with the line `N passed, N failed`.
"""

import argparse
import concurrent.futures
import fnmatch
import importlib
import inspect
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import xml.etree.ElementTree as ElementTree

TEST_DIRECTORY = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TEST_DIRECTORY))
sys.dont_write_bytecode = True

from guest.console import STOP  # noqa: E402  (the path above makes it importable)
from guest.suite import Guest, instances  # noqa: E402  (the path above makes it importable)

GUEST_FILES = ["boot", "programs", "robustness", "disk", "elf", "debugger", "load"]
TAIL_LINES = 25
NAME_WIDTH = 62


class Report:
    """The verdicts so far: prints each as it comes, keeps logs of failures, writes JUnit's XML."""

    def __init__(self, directory):
        self.directory = directory
        self.passed = 0
        self.failed = 0
        self.suites = {}
        self.lock = threading.Lock()

    def log_path(self, name):
        """Where a test's output goes."""
        return self.directory / (re.sub(r"[^\w.,=-]+", "_", name) + ".log")

    def add(self, suite, name, cases, seconds, skipped=0):
        """Takes one test's verdict: its cases as [(name, passed, message)], at least one."""
        with self.lock:
            self._add(suite, name, cases, seconds, skipped)

    def _add(self, suite, name, cases, seconds, skipped):
        failures = [case for case in cases if not case[1]]
        self.passed += len(cases) - len(failures)
        self.failed += len(failures)
        self.suites.setdefault(suite, []).append((name, cases, seconds))
        count = f"{len(cases) - len(failures)}/{len(cases)}" if len(cases) > 1 else ""
        note = f"  ({skipped} skipped)" if skipped else ""
        verdict = "FAIL" if failures else "ok"
        print(f"{suite:<6} {name:<{NAME_WIDTH}} {verdict:<5}{count:>9} {seconds:7.1f} s{note}", flush=True)
        for case_name, _, message in failures:
            print(f"       not ok: {case_name}")
            for line in message.splitlines()[-TAIL_LINES:]:
                print(f"         | {line}")
        if failures:
            print(f"       log: {self.log_path(name)}", flush=True)
        else:
            self.log_path(name).unlink(missing_ok=True)

    def write_junit(self):
        """The same verdicts for tools that read JUnit's format."""
        root = ElementTree.Element("testsuites", tests=str(self.passed + self.failed), failures=str(self.failed))
        for suite, tests in self.suites.items():
            element = ElementTree.SubElement(root, "testsuite", name=suite)
            for name, cases, seconds in tests:
                for case_name, passed, message in cases:
                    case = ElementTree.SubElement(element, "testcase", classname=name, name=printable(case_name),
                                                  time=f"{seconds / len(cases):.3f}")
                    if not passed:
                        ElementTree.SubElement(case, "failure").text = printable(message)
        ElementTree.ElementTree(root).write(self.directory / "junit.xml", encoding="utf-8", xml_declaration=True)


def printable(text):
    """Text without the control characters that XML cannot hold."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def run_logged(command, log_path, environment=None):
    """(exit status, output) of a command; the output is in the log as it comes."""
    with open(log_path, "w", encoding="utf-8") as log:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                env=environment).returncode
    return status, log_path.read_text(encoding="utf-8", errors="replace")


def grade_host(report, program, environment):
    """The doctest binary: each of its cases counts."""
    name = program.stem
    started = time.monotonic()
    status, output = run_logged([str(program), "--no-colors=true", "--success=false"], report.log_path(name),
                                dict(os.environ, **environment))
    summary = re.search(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed", output)
    tail = "\n".join(output.splitlines()[-TAIL_LINES:])
    if not summary:
        cases = [("ends with a summary", False, f"status {status}\n{tail}")]
    else:
        cases = [(f"case {n + 1}", True, "") for n in range(int(summary[2]))]
        cases += [(f"failed case {n + 1}", False, tail) for n in range(int(summary[3]))]
        if status != 0 and summary[3] == "0":
            cases.append(("ends with status 0", False, f"status {status}\n{tail}"))
        if not cases:
            cases.append(("runs at least one case", False, tail))
    report.add("host", name, cases, time.monotonic() - started)


def grade_unittest(report, directory, environment):
    """Python unit tests: each counts."""
    name = f"test/{directory}"
    started = time.monotonic()
    command = [sys.executable, "-m", "unittest", "discover", "-v", "-s", str(TEST_DIRECTORY / directory)]
    status, output = run_logged(command, report.log_path(name), dict(os.environ, **environment))
    tail = "\n".join(output.splitlines()[-TAIL_LINES:])
    ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", output))
    if not ran or ran[1] == "0":
        cases = [("runs its tests", False, f"status {status}\n{tail}")]
    else:
        bad = max(bad, int(status != 0))
        cases = [(f"case {n + 1}", True, "") for n in range(int(ran[1]) - bad)]
        cases += [(f"failed case {n + 1}", False, tail) for n in range(bad)]
    report.add("unit", name, cases, time.monotonic() - started)


def guest_tests():
    """[(name, function, arguments)] of all guest tests, in the order of their files."""
    result = []
    for file in GUEST_FILES:
        module = importlib.import_module(f"guest.{file}")
        functions = inspect.getmembers(module, inspect.isfunction)
        for function_name, function in sorted(functions, key=lambda item: item[1].__code__.co_firstlineno):
            if function_name.startswith("test_") and function.__module__ == module.__name__:
                if not function.__doc__:
                    sys.exit(f"{function_name} in guest/{file}.py has no docstring")
                for name, arguments in instances(function):
                    result.append((f"{file}.{name}", function, arguments))
    return result


def grade_guest(report, build, name, function, arguments, seed):
    """Runs one guest test: its own cases if a program in the guest reported some, else itself as one case."""
    started = time.monotonic()
    sentence = inspect.getdoc(function).splitlines()[0]
    with open(report.log_path(name), "w", encoding="utf-8") as log:
        log.write(f"# {name}: {sentence}\n# seed {seed}\n")
        guest = Guest(name, build, log, seed)
        error = None
        try:
            function(guest, **arguments)
            if not getattr(function, "panics", False):
                guest.check_no_panic()
        except AssertionError as failure:
            error = str(failure) or traceback.format_exc()
        except Exception:  # A broken test is a failed one; the others still run.
            error = traceback.format_exc()
        finally:
            guest.close()
        if error:
            log.write(f"\n# FAIL: {error}\n")
    cases = list(guest.cases)
    if error or not cases:
        cases.append((sentence, error is None, error or ""))
    report.add("guest", name, cases, time.monotonic() - started, guest.skipped)


def main():
    parser = argparse.ArgumentParser(description="Run the project's tests.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build directory")
    parser.add_argument("--only", default="", help="run tests whose name contains one of these words or matches it as a pattern")
    parser.add_argument("--host", type=pathlib.Path, action="append", default=[], help="a doctest binary")
    parser.add_argument("--seed", type=int, default=None, help="seed of what is random in the tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="guest tests that run at a time")
    parser.add_argument("--list", action="store_true", help="print the guest tests and what they prove")
    arguments = parser.parse_args()

    tests = guest_tests()
    if arguments.list:
        for name, function, _ in tests:
            print(f"{name:<{NAME_WIDTH}} {inspect.getdoc(function).splitlines()[0]}")
        return 0

    def wanted(name):
        words = arguments.only.split()
        return not words or any(word in name or fnmatch.fnmatch(name, word) for word in words)

    directory = arguments.build / "grade"
    directory.mkdir(parents=True, exist_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}; repeat with SEED={seed}", flush=True)
    report = Report(directory)
    environment = {"BUILD": str(arguments.build.resolve()), "SEED": str(seed), "FAULTLINE_SEED": str(seed),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    # Being terminated is being interrupted: no machine may outlive its test.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A machine mostly waits for its console, so several share the processors well. Threads serve: the work is done by
    # other processes.
    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        runs = [pool.submit(grade_host, report, program, environment)
                for program in arguments.host if wanted(f"host.{program.stem}")]
        runs += [pool.submit(grade_unittest, report, suite, environment)
                 for suite in ("user", "unit") if wanted(f"unit.{suite}")]
        runs += [pool.submit(grade_guest, report, arguments.build, *test, seed) for test in tests if wanted(test[0])]
        try:
            for run in concurrent.futures.as_completed(runs):
                run.result()
        except KeyboardInterrupt:
            STOP.set()
            pool.shutdown(cancel_futures=True)
    report.write_junit()
    if report.passed + report.failed == 0:
        print(f"no test matches {arguments.only!r}")
        return 2
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or STOP.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
