#!/usr/bin/env python3
"""Writes compile_commands.json: for each source file the command that compiles it.

    compile_commands.py --output FILE (--flags 'COMPILER FLAGS' SOURCE...)...
"""

import json
import os
import shlex
import sys


def entries(words):
    """The database's entries from the command line's groups of flags and sources."""
    result = []
    flags = None
    remaining = iter(words)
    for word in remaining:
        if word == "--flags":
            flags = [flag for flag in shlex.split(next(remaining)) if flag not in ("-MMD", "-MP")]
        elif flags is None:
            sys.exit(f"compile_commands: {word} stands before any --flags")
        else:
            result.append({"directory": os.getcwd(), "file": word, "arguments": [*flags, "-c", word]})
    return result


def main():
    if len(sys.argv) < 3 or sys.argv[1] != "--output":
        sys.exit(__doc__)
    with open(sys.argv[2], "w", encoding="utf-8") as output:
        json.dump(entries(sys.argv[3:]), output, indent=1)
        output.write("\n")


if __name__ == "__main__":
    main()
