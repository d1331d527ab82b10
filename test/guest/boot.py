"""Booting, the shell's everyday, and the ways a machine ends."""

import os
import pathlib
import subprocess

from guest.console import END_OF_FILE, INTERRUPT, Console, GuestError
from guest.suite import PAGERS, REPOSITORY, panics, parameters


def busy_loop_interrupted(machine):
    """Starts a program that never ends and stops it from the keyboard."""
    machine.type("sh -c 'echo spin\"ning\"; while true; do true; done'\n")
    machine.expect(r"\nspinning\n")
    machine.type(INTERRUPT)
    machine.wait_prompt()
    status = machine.check("echo $?").strip()
    assert status == "130", f"a command ended by Ctrl-C leaves status {status}"


@parameters(cpus=[1, 2, 4, 8], mem=["64M", "1G"], pager=PAGERS)
def test_shell(guest, cpus, mem, pager):
    """Boots to a shell with pipes, redirection, background jobs, Ctrl-C and Ctrl-D, and powers off with a clean disk"""
    machine, disk = guest.boot_writable(cpus=cpus, mem=mem, pager=pager)

    lines, words, _ = map(int, machine.check("ls /bin | wc").split())
    programs = len(os.listdir(guest.build / "user" / "bin"))
    assert lines == words and lines >= programs, f"ls /bin lists {lines} names, the build has {programs} programs"

    motd = (REPOSITORY / "mkfs" / "root" / "etc" / "motd").read_text()
    assert machine.check("cat /etc/motd > /tmp/x; cat /tmp/x") == motd

    machine.check("cat /tmp/x > /tmp/y & wait; cmp /tmp/x /tmp/y")
    # SIGKILL: the shell ignores SIGTERM, and so does its child until shortly before it becomes `sleep`.
    machine.check("sleep 1000 & kill -9 $!")
    output, status = machine.run("wait $!")
    assert status == 137, f"a killed background job leaves status {status}: {output}"

    busy_loop_interrupted(machine)

    machine.type("cat\n")
    machine.expect(r"\n")
    machine.type(f"one line\n{END_OF_FILE}")
    machine.expect(r"one line\none line\n")
    machine.wait_prompt()
    machine.type(END_OF_FILE)  # ends the shell; init starts another
    machine.wait_prompt()
    machine.check("true")
    guest.power_off_clean(machine, disk)


def test_pager_of_the_first_process(guest):
    """The boot argument pager= names the first program's policy; a kernel with one pager has only that"""
    default, other = PAGERS[0], PAGERS[-1]
    machine = guest.boot(cpus=1, pager="any", append=f"pager={other}")
    assert f"Pager:\t{other}\n" in machine.check("cat /proc/1/status"), f"init does not run under {other}"
    assert machine.check("pager") == "".join(f"{'*' if name == other else ' '} {name}\n" for name in PAGERS)
    assert machine.check(f"pager {default} vmmap self").startswith(f"pager: {default}\n")
    assert f" {default} " in machine.check(f"pager {default} ps").splitlines()[-1]
    output, status = machine.run("pager no-such true")
    assert status == 125 and f"no-such: this kernel has only {' '.join(PAGERS)}; " in output, (output, status)
    machine.poweroff()

    guest.expect_end(f"pager=none: this kernel has: {' '.join(PAGERS)}", pager="any", append="pager=none")
    guest.expect_end(f"pager={other}: this kernel has: {default}\n", pager=default, append=f"pager={other}")


def make_command(goal, guest, *variables):
    """`make GOAL` as a user types it, with a disk of this test's own."""
    return ["make", "--no-print-directory", "-C", str(REPOSITORY), goal, f"BUILD={guest.build}",
            f"FS_IMAGE={guest.files.resolve()}/fs.img", f"DISK_IMAGE={guest.files.resolve()}/disk.img", *variables]


def own_environment():
    """The environment without what the make around this test left in it."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def test_make_qemu_with_an_outside_program(guest):
    """`make qemu EXTRA=hello` runs a program that was compiled outside the tree; Ctrl-A x ends the emulator"""
    source = guest.files / "hello.c"
    source.write_text('#include <stdio.h>\nint main(int n, char** v) { printf("hello %s, %d\\n", v[0], n); }\n')
    hello = guest.files.resolve() / "hello"
    compiler = os.environ.get("CROSS_CC", "riscv64-linux-gnu-gcc")
    subprocess.run([compiler, "-static", str(source), "-o", str(hello)], check=True)
    command = make_command("qemu", guest, f"EXTRA={hello}", "QEMUEXTRA=-icount shift=0,sleep=off", "CPUS=1")
    with Console(command, guest.log, own_environment(), terminal=True) as machine:
        machine.wait_prompt(limit=180)
        assert machine.check("hello a b") == "hello hello, 3\n"
        busy_loop_interrupted(machine)
        machine.type("\x01x")
        machine.expect("QEMU: Terminated")
        status = machine.wait()
        assert status == 0, f"Ctrl-A x ends make qemu with status {status}"


def test_make_qemu_keeps_the_disk(guest):
    """What one `make qemu` wrote to the disk the next one finds; `poweroff` ends make with status 0"""
    for command, expected in (("echo kept > /root/note; cat /root/note", "kept\n"), ("cat /root/note", "kept\n")):
        with Console(make_command("qemu", guest), guest.log, own_environment(), terminal=True) as machine:
            machine.wait_prompt(limit=180)
            assert machine.check(command) == expected
            machine.poweroff()


@panics
@parameters(cpus=[1, 4])
def test_panic(guest, cpus):
    """A kernel panic prints the hart, the registers and a backtrace with names, and ends QEMU with a status not 0"""
    machine = guest.start(cpus=cpus, append="panic=boot")
    machine.expect(r"(?i)panic")
    status = machine.wait()
    assert status != 0, "a panic ends QEMU with status 0"
    report = machine.text[machine.text.lower().index("panic"):]
    for wanted in (r"(?i)hart\s*\d", r"(?i)\bsp\b", r"(?i)\bra\b", r"faultline::\w+|kernel_main"):
        machine.position = machine.text.lower().index("panic")
        try:
            machine.expect(wanted)
        except GuestError:
            raise GuestError(f"the panic report lacks {wanted!r}:\n{report}") from None


@panics
def test_panic_while_panicking(guest):
    """A report that traps before it has said why still tells what began it"""
    machine = guest.start(cpus=2, append="panic=report")
    # An ebreak may leave its address in stval, or 0 (privileged architecture, 12.1.9).
    machine.expect(r"(?m)^faultline: panic while panicking; the first: breakpoint at pc (0x[0-9a-f]+), stval (0x0|\1): "
                   r"asked for by the boot arguments$")
    assert machine.wait() != 0, "a panic ends QEMU with status 0"


def test_banner(guest):
    """One hart is one hart, two are two harts"""
    for cpus, words in ((1, "1 of 1 hart,"), (2, "2 of 2 harts,")):
        machine = guest.boot(cpus=cpus)
        assert words in machine.text, machine.text.splitlines()[-3:]
        machine.poweroff()


def test_boots_within_its_budget(guest):
    """From reset to the prompt one hart retires at most 60 million instructions"""
    machine = guest.boot(cpus=1, icount=True)
    # Under -icount shift=0 one instruction is one nanosecond of the guest's time, except while the hart waits for us to
    # type: then time jumps to its next timer.
    uptime, idle = map(float, machine.check("cat /proc/uptime").split()[:2])
    seconds = uptime - idle
    assert seconds <= 0.06, f"{seconds * 1000:.0f} million instructions"


def packaged_firmware():
    """OpenSBI as a distribution packages it beside QEMU's own; None where it does not."""
    folders = ("lib/riscv64-linux-gnu/opensbi/generic", "share/opensbi/lp64/generic/firmware", "share/opensbi/generic")
    files = (pathlib.Path("/usr", folder, "fw_jump.bin") for folder in folders)
    return next((file for file in files if file.exists()), None)


def test_packaged_firmware(guest):
    """Boots from the firmware that distributions package as fw_jump, given with -bios"""
    firmware = packaged_firmware()
    if firmware is None:
        guest.skipped += 1
        return
    machine = guest.boot(cpus=2, extra=["-bios", str(firmware)])
    machine.check("ls /")
    machine.poweroff()


def test_uncommon_boards(guest):
    """Boots where the disk is a legacy virtio device, without the interrupt registers, and with 8 GiB of memory"""
    for options in ({"extra": ["-global", "virtio-mmio.force-legacy=true"]},
                    {"extra": ["-M", "virt,aclint=off"]},
                    {"mem": "8G", "cpus": 2},
                    {"extra": ["-cpu", "rv64,sstc=off"]}):
        machine = guest.boot(**options)
        machine.check("ls /bin | wc")
        machine.check("free")
        machine.poweroff()


@parameters(options=["-M virt,aia=aplic", "-M virt,aia=aplic-imsic"])
def test_interrupt_controller_that_is_not_supported(guest, options):
    """A board without a PLIC is refused in one line that names what it has, not after the disk's patience"""
    guest.expect_end(r"(?m)^faultline: interrupt controller (riscv|qemu),aplic is not supported, only a PLIC is$",
                     extra=options.split())


def emulator_version():
    """QEMU's version as numbers."""
    output = subprocess.run(["qemu-system-riscv64", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in output.split("version ")[1].split()[0].split(".")[:2])


@parameters(missing=["f=off,d=off", "d=off"])
def test_harts_without_floating_point(guest, missing):
    """A hart without F or D is refused in one line, not with a panic at the first program"""
    # Zfa, which needs F, is there by default since QEMU 8.
    without = f"rv64,{missing},zfa=off" if emulator_version() >= (8, 0) else f"rv64,{missing}"
    guest.expect_end(r"(?m)^faultline: hart \d cannot run programs: no floating-point registers",
                     extra=["-cpu", without])


def test_two_sockets(guest):
    """Two sockets, each with memory and an interrupt controller of its own, are one machine: every device works"""
    if emulator_version() < (8, 0):
        # QEMU 7.2 connects no supervisor interrupt of a second socket's PLIC to a hart: its disk cannot be heard.
        guest.skipped += 1
        return
    sockets = ["-smp", "4,sockets=2"]
    for node, cpus in ((0, "0-1"), (1, "2-3")):
        sockets += ["-object", f"memory-backend-ram,id=m{node},size=256M",
                    "-numa", f"node,memdev=m{node},nodeid={node},cpus={cpus}"]
    machine = guest.boot(cpus=4, mem="512M", extra=sockets)
    assert int(machine.check("grep MemTotal /proc/meminfo").split()[1]) > 480 << 10
    machine.check("ls /bin | wc; cat /bin/sh > /tmp/sh; sync; cmp /bin/sh /tmp/sh")
    machine.poweroff()
