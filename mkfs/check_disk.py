#!/usr/bin/env python3
"""Has e2fsck mend, before a boot, a disk image that was not unmounted. An image that was is not touched."""

import argparse
import os
import pathlib
import struct
import subprocess
import sys

import mkfs

# ext2's superblock: where it begins, and what is read of it.
SUPERBLOCK = 1024
STATE = SUPERBLOCK + 0x3A  # s_state, 16 bits
STATE_CLEAN = 0x1
INCOMPATIBLE = SUPERBLOCK + 0x60  # s_feature_incompat, 32 bits
INCOMPATIBLE_RECOVER = 0x4  # the journal holds writes that the disk lacks

# e2fsck's exit status: 0 is clean, 1 is mended, all else is not.
MENDED = 1


def was_unmounted(image):
    """Whether the superblock says so. What is no file system at all is for the kernel to complain of."""
    with open(image, "rb") as disk:
        start = disk.read(2 * SUPERBLOCK)
    if len(start) < 2 * SUPERBLOCK:
        return True
    state, = struct.unpack_from("<H", start, STATE)
    incompatible, = struct.unpack_from("<I", start, INCOMPATIBLE)
    return bool(state & STATE_CLEAN) and not incompatible & INCOMPATIBLE_RECOVER


def main():
    parser = argparse.ArgumentParser(description="Mend a disk image that was not unmounted.")
    parser.add_argument("image", type=pathlib.Path)
    image = parser.parse_args().image
    if was_unmounted(image):
        return
    try:
        result = subprocess.run([mkfs.tool("e2fsck"), "-p", image], env=dict(os.environ, LC_ALL="C"), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except mkfs.BuildError as error:
        sys.exit(f"{image} was not unmounted: {error}")
    if result.returncode > MENDED:
        sys.exit(f"{image} was not unmounted, and e2fsck -p cannot mend it; `rm {image}` has it made anew")
    print(f"{image} was not unmounted: e2fsck -p mended it", flush=True)


if __name__ == "__main__":
    main()
