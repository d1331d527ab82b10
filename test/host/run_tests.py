#!/usr/bin/env python3
"""Runs the host test programs side by side and adds up their cases. The last line is `N passed, N failed`.

Each program prints doctest's summary line. Arguments: the programs. What failed is shown in full.
"""

import os
import re
import subprocess
import sys
import time


def start(program):
    """The running program, its output collected."""
    return subprocess.Popen([program, "--no-colors=true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace")


def judge(program, process, started):
    """Waits for a program; prints its verdict; (passed, failed)."""
    output, _ = process.communicate()
    seconds = time.monotonic() - started
    summary = re.search(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed", output)
    passed, failed = (int(summary[2]), int(summary[3])) if summary else (0, 1)
    if process.returncode != 0 and failed == 0:
        failed = 1
    print(f"{os.path.basename(program):<12} {passed:4} passed {failed:4} failed {seconds:7.1f} s", flush=True)
    for line in output.splitlines():
        if failed or line.startswith("#"):
            print("  " + line)
    if failed:
        print(f"  exit status {process.returncode}", flush=True)
    return passed, failed


def main():
    started = time.monotonic()
    processes = [(program, start(program)) for program in sys.argv[1:]]
    verdicts = [judge(program, process, started) for program, process in processes]
    passed, failed = (sum(column) for column in zip(*verdicts))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
