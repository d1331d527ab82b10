"""The test programs of user/tests in the guest; each prints TAP and each of its cases counts."""

import re

from guest.suite import PAGERS, REPOSITORY, parameters

# Options of one program; all take the seed.
OPTIONS = {"test_fuzz_syscalls": ["--seconds=3"], "test_files": ["--fill"]}

PROGRAMS = sorted(source.stem for source in (REPOSITORY / "user" / "tests").glob("test_*.c*"))


def command(guest, program):
    """How a test program is called."""
    return " ".join([program, f"--seed={guest.seed}", *OPTIONS.get(program, [])])


@parameters(pager=PAGERS, program=PROGRAMS)
def test_tap(guest, pager, program):
    """The test program passes on four harts, leaves a clean disk and no message from the kernel"""
    machine, disk = guest.boot_writable(cpus=4, mem="256M", pager=pager)
    guest.tap(machine, command(guest, program))
    guest.power_off_clean(machine, disk)


@parameters(pager=PAGERS, program=["test_cow_memory", "test_demand", "test_fork", "test_pager"])
def test_tap_under_a_chosen_pager(guest, pager, program):
    """In a kernel with all pagers a program runs under the one it was started with as in a kernel with that one alone"""
    machine = guest.boot(cpus=4, mem="256M", pager="any")
    guest.tap(machine, f"pager {pager} {command(guest, program)}")
    machine.poweroff()


@parameters(program=["test_cow", "test_shootdown", "test_thread"])
def test_tap_on_one_hart(guest, program):
    """The test programs about several harts also pass where there is one, in 64 MiB"""
    machine = guest.boot(cpus=1, mem="64M")
    guest.tap(machine, command(guest, program))
    machine.poweroff()


def test_demonstrations(guest):
    """The programs that show what this kernel is about print what they promise"""
    machine = guest.boot(cpus=2)
    areas = machine.check("vmmap $$")
    assert "rw-" in areas and "r-x" in areas, areas
    assert "cow" in machine.check("vmstat").lower()
    for program in ("cowdemo", "lazydemo"):
        assert machine.check(program, limit=120).strip(), f"{program} prints nothing"
    machine.poweroff()


def test_memory_core(guest):
    """The host tests of the memory core, built for RISC-V, pass as an ordinary program of the kernel they test"""
    # Each simulated machine reserves memory for a few gigabytes of frames; a pager that loads in mmap would have to provide them.
    image = guest.make_image(extra=[guest.build / "guest" / "mm_test"])
    machine = guest.boot(cpus=4, mem="1G", pager="lazy", disk=image)
    output = machine.check("mm_test --no-colors=true", limit=600)
    summary = re.search(r"test cases: +(\d+) \| +(\d+) passed \| +0 failed", output)
    assert summary and int(summary[1]) == int(summary[2]) > 0, output[-2000:]
    machine.poweroff()
