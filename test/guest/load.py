"""Random load on several harts, and what is left of it afterwards."""

import os

from guest.console import INTERRUPT


def test_soak(guest):
    """Random fork, exec, mmap, pipe and file load ends with free memory as before, and a clean disk"""
    seconds = int(os.environ.get("SOAK_SECONDS", "10"))
    machine, disk = guest.boot_writable(cpus=4, mem="256M")
    # soak compares the free memory before and after by itself.
    guest.tap(machine, f"soak {seconds} --seed={guest.seed}", limit=seconds + 120)
    guest.power_off_clean(machine, disk)


if os.environ.get("KERNEL_SUFFIX"):  # make grade CHECK_LOCKS=1: compiling such a kernel takes too long for every run

    def test_order_of_locks(guest):
        """A kernel that checks the order of its locks finds no fault under random load, input, signals and a shell's use"""
        machine, disk = guest.boot_writable(cpus=4, mem="256M")
        guest.tap(machine, f"soak 10 --seed={guest.seed}")
        for program in ("test_pipe", "test_signal", "test_thread"):
            guest.tap(machine, f"{program} --seed={guest.seed}")
        machine.check("ls -l /proc/$$ /dev | wc; cat /proc/meminfo /proc/vmstat > /tmp/x; sync")
        machine.type("cat\n")
        machine.type(INTERRUPT)
        machine.wait_prompt()
        guest.power_off_clean(machine, disk)
