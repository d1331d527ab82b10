#!/usr/bin/env python3
"""Costs of memory operations in instructions, beside what Linux needs for them.

Boots one hart under `-icount shift=0,sleep=off`, where QEMU counts one nanosecond an instruction, runs mmbench, and
prints its rows with those of a table measured on Linux with the same program. Two runs differ by less than one per
cent: times are read to 100 instructions, and the disk, whose time is the host's, may interrupt.
"""

import argparse
import pathlib
import re
import sys

sys.dont_write_bytecode = True

from guest.console import Console, qemu_command  # noqa: E402  (no bytecode in the source tree)


def rows(text):
    """{name: instructions} of mmbench's output; None where it skipped a row."""
    found = {}
    for name, value in re.findall(r"^BENCH (\w+) +([\d.]+ insns/op|SKIP)", text, re.MULTILINE):
        found[name] = None if value == "SKIP" else float(value.split()[0])
    return found


def table(ours, linux):
    """The comparison as text, one line a row of either side."""
    lines = [f"{'':<32}{'Faultline':>14}{'Linux 6.1':>14}{'ratio':>8}"]
    for name in [*linux, *(name for name in ours if name not in linux)]:
        mine, theirs = ours.get(name), linux.get(name)
        columns = [f"{value:.1f}" if value is not None else "-" for value in (mine, theirs)]
        ratio = f"{mine / theirs:.3f}" if mine is not None and theirs else "-"
        lines.append(f"{name:<32}{columns[0]:>14}{columns[1]:>14}{ratio:>8}")
    return "\n".join(lines)


def measure(build, pager):
    """Runs mmbench on one hart: ({row: instructions}, page faults, frames in use at the shell's prompt)."""
    log_path = build / f"bench-{pager}.log"
    command = qemu_command(build / f"kernel-{pager}.elf", build / "fs.img", cpus=1, mem="1G", icount=True)

    def number(machine, file, name):
        return int(re.search(rf"^{name}:? +(\d+)", machine.check(f"cat {file}"), re.MULTILINE)[1])

    with open(log_path, "w", encoding="utf-8") as log, Console(command, log) as machine:
        machine.wait_prompt()
        used = number(machine, "/proc/meminfo", "MemTotal") - number(machine, "/proc/meminfo", "MemFree")
        faults = number(machine, "/proc/vmstat", "fault_total")
        output = machine.check("cd /tmp; mmbench", limit=300)
        faults = number(machine, "/proc/vmstat", "fault_total") - faults
        machine.poweroff()
    if "BENCH done" not in output:
        sys.exit(f"mmbench did not print its last line; see {log_path}")
    return rows(output), faults, used // 4


def compare(build, pagers):
    """One table of several pagers as text."""
    measured = [measure(build, pager) for pager in pagers]
    lines = [f"{'':<32}" + "".join(f"{pager:>14}" for pager in pagers)]
    for name in dict.fromkeys(name for found, _, _ in measured for name in found):
        values = [found.get(name) for found, _, _ in measured]
        lines.append(f"{name:<32}" + "".join(f"{'-' if value is None else f'{value:.1f}':>14}" for value in values))
    for title, column in (("page faults of mmbench", 1), ("frames in use at the prompt", 2)):
        lines.append(f"{title:<32}" + "".join(f"{result[column]:>14}" for result in measured))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Compare the costs of memory operations, with Linux's or of pagers.")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--pager", required=True, help="one, or with --compare several: lazy,eager")
    parser.add_argument("--linux", type=pathlib.Path, help="mmbench's output on Linux")
    parser.add_argument("--compare", action="store_true", help="the pagers with one another instead of with Linux")
    arguments = parser.parse_args()

    if arguments.compare:
        print("Instructions per operation, one hart")
        print(compare(arguments.build, arguments.pager.split(",")))
        return
    ours, _, _ = measure(arguments.build, arguments.pager)
    linux = rows(arguments.linux.read_text())
    print(f"Instructions per operation, one hart, PAGER={arguments.pager}")
    print(table(ours, linux))
    missing = [name for name in linux if ours.get(name) is None]
    if missing:
        sys.exit(f"mmbench did not print {', '.join(missing)}; see {arguments.build}/bench-{arguments.pager}.log")


if __name__ == "__main__":
    main()
