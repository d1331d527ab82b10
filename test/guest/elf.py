"""Executables that lie about themselves."""

import struct

from guest.suite import PAGERS, parameters

PAGE = 4096
BASE = 0x10000
LOAD, INTERP, STACK = 1, 3, 0x6474E551
EXECUTE, WRITE, READ = 1, 2, 4

# A program that exits with status 42: li a0, 42; li a7, 93 (exit); ecall.
CODE = struct.pack("<III", 0x02A00513, 0x05D00893, 0x00000073)
# A program that jumps to 0: jr zero.
JUMP_TO_ZERO = struct.pack("<I", 0x00000067)


def header(entry=BASE + 0x1000, phnum=1, **changed):
    """An ELF64 file header; `changed` replaces fields by name."""
    fields = dict(magic=b"\x7fELF", bits=2, order=1, version=1, abi=0, kind=2, machine=243, version2=1, entry=entry,
                  phoff=64, shoff=0, flags=5, ehsize=64, phentsize=56, phnum=phnum, shentsize=64, shnum=0, shstrndx=0)
    fields.update(changed)
    values = list(fields.values())
    return struct.pack("<4sBBBB8xHHIQQQIHHHHHH", *values)


def segment(kind=LOAD, flags=READ | EXECUTE, offset=0, address=BASE, filesz=0x1000 + len(CODE), memsz=None, align=PAGE):
    """One program header."""
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, filesz,
                       filesz if memsz is None else memsz, align)


def image(head, segments, code=CODE):
    """A file: headers in its first page, code in the second."""
    return (head + b"".join(segments)).ljust(PAGE, b"\0") + code


GOOD = image(header(), [segment()])


def hostile():
    """{name: bytes} of files none of which may harm more than the process that becomes one."""
    huge = (1 << 64) - PAGE
    kernel = 0xFFFFFFC080200000
    files = {
        "empty": b"",
        "one_byte": b"\x7f",
        "magic_only": b"\x7fELF",
        "half_header": GOOD[:32],
        "header_only": GOOD[:64],
        "half_program_header": GOOD[:90],
        "cut_in_code": GOOD[:PAGE],
        "bits_32": image(header(bits=1), [segment()]),
        "big_endian": image(header(order=2), [segment()]),
        "x86": image(header(machine=62), [segment()]),
        "relocatable": image(header(kind=1), [segment()]),
        "core_file": image(header(kind=4), [segment()]),
        "no_segments": image(header(phnum=0), []),
        "huge_phnum": image(header(phnum=0xFFFF), [segment()]),
        "phentsize_0": image(header(phentsize=0), [segment()]),
        "phentsize_1": image(header(phentsize=1), [segment()]),
        "phoff_end": image(header(phoff=2 * PAGE), [segment()]),
        "phoff_huge": image(header(phoff=huge), [segment()]),
        "phoff_odd": image(header(phoff=65), [segment()]),
        "offset_huge": image(header(), [segment(offset=huge)]),
        "offset_unaligned": image(header(), [segment(offset=123)]),
        "filesz_huge": image(header(), [segment(filesz=huge)]),
        "memsz_huge": image(header(), [segment(memsz=huge)]),
        "memsz_small": image(header(), [segment(memsz=16)]),
        "memsz_terabyte": image(header(), [segment(memsz=1 << 40)]),
        "filesz_past_end": image(header(), [segment(filesz=64 * PAGE)]),
        "address_0": image(header(entry=PAGE), [segment(address=0)]),
        "address_kernel": image(header(entry=kernel), [segment(address=kernel)]),
        "address_wraps": image(header(), [segment(address=huge)]),
        "address_user_end": image(header(), [segment(address=(1 << 38) - PAGE, memsz=4 * PAGE)]),
        "address_noncanonical": image(header(), [segment(address=1 << 45)]),
        "overlapping": image(header(phnum=2), [segment(), segment(flags=READ | WRITE)]),
        "overlap_in_part": image(header(phnum=2), [segment(memsz=8 * PAGE), segment(address=BASE + 4 * PAGE)]),
        "write_only": image(header(), [segment(flags=WRITE)]),
        "no_permission": image(header(), [segment(flags=0)]),
        "write_and_execute": image(header(entry=0), [segment(flags=7)]),
        "align_3": image(header(), [segment(align=3)]),
        "align_huge": image(header(), [segment(align=1 << 63)]),
        "entry_0": image(header(entry=0), [segment()]),
        "entry_kernel": image(header(entry=kernel), [segment()]),
        "entry_unmapped": image(header(entry=0x77770000), [segment()]),
        "entry_odd": image(header(entry=BASE + 0x1001), [segment()]),
        "entry_noncanonical": image(header(entry=1 << 60), [segment()]),
        "entry_in_header": image(header(entry=BASE), [segment()]),
        "jump_to_zero": image(header(), [segment()], JUMP_TO_ZERO),
        "interpreter_missing": image(header(phnum=2), [segment(INTERP, READ, 200, BASE, 4), segment()]),
        "interpreter_huge": image(header(phnum=2), [segment(INTERP, READ, 0, 0, huge), segment()]),
        "only_stack": image(header(), [segment(STACK, 6, 0, 0, 0)]),
        "many_overlaps": image(header(phnum=60), [segment(flags=READ | WRITE, memsz=1 << 30)] * 60),
    }
    return files


# What a kernel may take as it is: odd, but the code is mapped and the entry points at it. (Hardware clears the lowest
# bit of an entry address.)
MAY_RUN = {"entry_odd", "filesz_past_end", "memsz_small", "align_3", "align_huge", "phoff_odd", "overlapping",
           "overlap_in_part"}


def test_the_generator_makes_a_program(guest):
    """The file from which the hostile ones are derived runs, so their faults are the ones they are named for"""
    machine = boot_with(guest, {"good": GOOD})
    output, status = machine.run("elf_good")
    assert status == 42, f"status {status}: {output}"
    machine.poweroff()


def boot_with(guest, files, **options):
    """A machine whose /bin has each of the files as elf_NAME."""
    paths = []
    for name, content in files.items():
        path = guest.files / f"elf_{name}"
        path.write_bytes(content)
        paths.append(path)
    return guest.boot(disk=guest.make_image(extra=paths), cpus=2, **options)


@parameters(pager=PAGERS)
def test_hostile_executables(guest, pager):
    """A lying executable fails to start or is killed by a signal; the shell and the kernel go on"""
    files = hostile()
    machine = boot_with(guest, files, pager=pager)
    for name in files:
        output, status = machine.run(f"elf_{name}")
        refused = status in (126, 127) or status > 128
        ran = status == 42 and name in MAY_RUN
        # An empty file is an empty shell script.
        assert refused or ran or (name == "empty" and status == 0), f"{name}: status {status}: {output}"
    machine.check("ls /bin | wc")
    machine.poweroff()


@parameters(pager=PAGERS)
def test_too_large_for_memory(guest, pager):
    """A program that needs more memory than the machine has: the shell says that, and not that there is no such program"""
    variables = segment(flags=READ | WRITE, address=1 << 20, filesz=0, memsz=1 << 32)
    machine = boot_with(guest, {"large": image(header(phnum=2), [segment(), variables])}, pager=pager)
    output, status = machine.run("elf_large")
    assert "elf_large: Cannot allocate memory" in output and status == 126, f"status {status}: {output}"
    machine.poweroff()


def test_random_damage(guest):
    """A good executable with random bytes of its headers changed never hangs or harms the kernel"""
    files = {}
    for number in range(40):
        damaged = bytearray(GOOD)
        for _ in range(guest.random.randrange(1, 6)):
            damaged[guest.random.randrange(4, 120)] = guest.random.randrange(256)
        files[f"damaged{number}"] = bytes(damaged)
    machine = boot_with(guest, files)
    for name in files:
        machine.type(f"elf_{name} & wait\n")
        machine.wait_prompt()
    assert machine.check("echo alive") == "alive\n"
    machine.poweroff()
