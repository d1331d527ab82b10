#!/usr/bin/env python3
"""Costs of memory operations in instructions, beside what Linux needs for them.

Boots one hart under `-icount shift=0,sleep=off`, where QEMU counts one nanosecond an instruction and every run gives
the same figures, runs mmbench, and prints its rows with those of a table measured on Linux with the same program.
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


def main():
    parser = argparse.ArgumentParser(description="Compare the costs of memory operations with Linux's.")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--pager", default="lazy", choices=("lazy", "eager"))
    parser.add_argument("--linux", type=pathlib.Path, required=True, help="mmbench's output on Linux")
    arguments = parser.parse_args()

    log_path = arguments.build / f"bench-{arguments.pager}.log"
    command = qemu_command(arguments.build / f"kernel-{arguments.pager}.elf", arguments.build / "fs.img", cpus=1,
                           mem="1G", icount=True)
    with open(log_path, "w", encoding="utf-8") as log, Console(command, log) as machine:
        machine.wait_prompt()
        output = machine.check("cd /tmp; mmbench", limit=300)
        machine.poweroff()
    linux = rows(arguments.linux.read_text())
    ours = rows(output)
    print(f"Instructions per operation, one hart, PAGER={arguments.pager}")
    print(table(ours, linux))
    missing = [name for name in linux if ours.get(name) is None]
    if missing or "BENCH done" not in output:
        sys.exit(f"mmbench did not print {', '.join(missing) or 'its last line'}; see {log_path}")


if __name__ == "__main__":
    main()
