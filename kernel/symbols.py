#!/usr/bin/env python3
"""Writes the kernel's table of function names as assembly, for backtraces.

    symbols.py [--nm NM] KERNEL.ELF > symbols.S

The section `.symbols` holds, between `faultline_symbols_begin` and `faultline_symbols_end`, one entry a function,
ordered by address: { u64 address, u32 offset of its name, u32 zero }. The names, each ended by a zero byte,
start at `faultline_symbol_names`. An empty file gives an empty table: the first link of the kernel uses it.
"""

import argparse
import os
import re
import subprocess

NAME_LIMIT = 96  # A backtrace line has to fit a terminal; template arguments can be endless.


def without_arguments(name):
    """`faultline::f(int)::{lambda()#1}` without its parameter lists and template arguments' tails."""
    depth = 0
    kept = []
    for character in name.replace("(anonymous namespace)::", "").replace("operator()", "operator call"):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif depth == 0:
            kept.append(character)
    short = re.sub(r"( const| volatile| &&?)+$", "", "".join(kept)).strip()
    short = re.sub(r" \[clone [^]]*\]", "", short)
    return short[:NAME_LIMIT]


def functions(nm, elf):
    """[(address, name)] of the functions of an ELF file, ordered, one name an address."""
    if os.path.getsize(elf) == 0:
        return []
    listing = subprocess.run([nm, "--demangle", elf], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in listing.splitlines():
        match = re.match(r"([0-9a-f]{16}) ([tTwW]) (.+)$", line)
        if match and not match[3].startswith((".L", "$")):
            found.setdefault(int(match[1], 16), without_arguments(match[3]) or "?")
    return sorted(found.items())


def assembly(table):
    """The table as text for the assembler. Equal names share their bytes."""
    offsets = {}
    size = 0
    for _, name in table:
        if name not in offsets:
            offsets[name] = size
            size += len(name.encode()) + 1
    lines = ["  .section .symbols, \"a\"", "  .balign 8"]
    lines += ["  .globl faultline_symbols_begin, faultline_symbols_end, faultline_symbol_names"]
    lines += ["faultline_symbols_begin:"]
    lines += [f"  .dword {address:#x}\n  .word {offsets[name]}, 0" for address, name in table]
    lines += ["faultline_symbols_end:", "faultline_symbol_names:"]
    for name in offsets:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'  .asciz "{quoted}"')
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Write the kernel's symbol table as assembly.")
    parser.add_argument("--nm", default="nm")
    parser.add_argument("elf")
    arguments = parser.parse_args()
    print(assembly(functions(arguments.nm, arguments.elf)), end="")


if __name__ == "__main__":
    main()
