"""Disks that are missing, empty, cut off or damaged, and what the kernel writes to good ones."""

import json
import os
import re
import shutil
import socket
import subprocess

from guest.console import file_system_errors, repair
from guest.suite import PAGERS, parameters


def test_no_disk(guest):
    """Without a disk the kernel says so in one line and powers off"""
    guest.expect_end(r"(?im)^.*(disk|block|root).*$", disk=None)


@parameters(size=[0, 512, 4096, 1 << 20])
def test_zeroed_disk(guest, size):
    """A disk of zeroes is refused in one line"""
    disk = guest.files / "zero.img"
    with open(disk, "wb") as file:
        file.truncate(size)
    guest.expect_end(r"(?im)^.*(disk|ext2|file system|filesystem|root).*$", disk=disk)


@parameters(size=[2048, 64 << 10, 2 << 20])
def test_cut_off_disk(guest, size):
    """A disk that ends before its file system does gives errors, never a panic"""
    disk = guest.copy_image()
    with open(disk, "r+b") as file:
        file.truncate(size)
    guest.expect_end(r"(?im)^.*(disk|ext2|file system|filesystem|root|init).*$", disk=disk)


def test_random_superblock(guest):
    """A superblock of random fields around the right magic number is refused in one line"""
    for _ in range(4):
        disk = guest.copy_image()
        with open(disk, "r+b") as file:
            file.seek(1024)
            block = bytearray(guest.random.randbytes(1024))
            block[56:58] = b"\x53\xef"
            file.write(block)
        guest.expect_end(r"(?im)^.*(disk|ext2|file system|filesystem|root|init).*$", disk=disk)


def test_small_blocks(guest):
    """A file system of 1 KiB blocks works as well as one of 4 KiB, through indirect blocks too"""
    disk = guest.make_image(block=1024)
    machine = guest.boot(cpus=2, disk=disk, snapshot=False)
    machine.check("seq 100000 > /tmp/numbers")
    assert machine.check("wc /tmp/numbers").split()[:3] == ["100000", "100000", "588895"]
    machine.check("rm /tmp/numbers")
    guest.power_off_clean(machine, disk)


def test_what_was_written_is_there(guest):
    """Files, directories, links and renames survive poweroff, and other tools read them from the image"""
    machine, disk = guest.boot_writable(cpus=4)
    machine.check("mkdir -p /root/a/b")
    machine.check("seq 1 20000 > /root/a/numbers")
    machine.check("ln -s numbers /root/a/link; ln /root/a/numbers /root/a/b/other")
    machine.check("echo first > /root/note; echo second >> /root/note; mv /root/note /root/a/note")
    machine.check("cp /bin/sh /root/sh; cmp /bin/sh /root/sh; touch /tmp/empty; rm /tmp/empty; sync")
    guest.power_off_clean(machine, disk)

    def debugfs(request):
        return subprocess.run(["debugfs", "-R", request, str(disk)], capture_output=True, check=True,
                              env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}).stdout

    assert debugfs("cat /root/a/note") == b"first\nsecond\n"
    assert debugfs("cat /root/a/b/other") == "".join(f"{n}\n" for n in range(1, 20001)).encode()
    assert debugfs("cat /root/sh") == (guest.build / "user" / "bin" / "sh").read_bytes()
    assert b"numbers" in debugfs("stat /root/a/link")

    machine = guest.boot(cpus=1, pager=PAGERS[-1], disk=disk, snapshot=False)
    assert machine.check("cat /root/a/link | wc -l").split() == ["20000"]
    machine.check("rm -r /root/a /root/sh")
    guest.power_off_clean(machine, disk)


def test_full_disk(guest):
    """A full disk gives an error that names it; removing the file makes room again"""
    machine, disk = guest.boot_writable(cpus=2)
    output, status = machine.run("yes > /root/fill", limit=180)
    assert status != 0 and "space" in output.lower(), f"status {status}: {output}"
    machine.check("rm /root/fill; echo room > /root/note; cat /root/note")
    guest.power_off_clean(machine, disk)


def test_killed_in_the_middle(guest):
    """After a machine is cut off while it writes, e2fsck repairs the disk and the kernel boots from it again"""
    machine, disk = guest.boot_writable(cpus=2)
    machine.check("mkdir /root/d; echo safe > /root/safe; sync")
    machine.type("while true; do cp /bin/sh /root/d/x; mv /root/d/x /root/d/y; rm /root/d/y; echo -n .; done\n")
    machine.expect(r"\.\.\.\.")
    machine.close()
    repair(disk)
    assert not file_system_errors(disk)
    machine = guest.boot(cpus=2, disk=disk, snapshot=False)
    assert machine.check("cat /root/safe") == "safe\n"
    guest.power_off_clean(machine, disk)


KILLS = int(os.environ.get("KILLS", "3"))


@parameters(mend=["e2fsck", "mount"])
def test_what_was_synchronized_survives_kills(guest, mend):
    """However often the machine is killed at its files, the next start has a writable root and what fsync promised

    KILLS=50 makes it 50 times. In between e2fsck -p mends the disk, or the kernel's own mount replays the journal.
    """
    disk = guest.copy_image()
    kept = set()
    for seed in range(KILLS):
        machine = guest.boot(cpus=2, disk=disk, snapshot=False)
        assert ("was not unmounted" in machine.text) == (seed > 0 and mend == "mount"), machine.text
        if kept:
            # A line of the terminal holds only so many.
            numbers = sorted(kept)
            for start in range(0, len(numbers), 300):
                machine.check(f"file_workload check {' '.join(numbers[start:start + 300])}")
        machine.check(f"echo {seed} > /root/writable && sync")
        machine.type(f"file_workload run {seed}\n")
        for _ in range(guest.random.randrange(1, 120)):
            if machine.expect(r"(?m)^(kept|leaving) \d+\n")[1] == "leaving":
                machine.type("\n")
        machine.close()
        for promise, number in re.findall(r"(?m)^(kept|leaving) (\d+)\n", machine.text):
            (kept.add if promise == "kept" else kept.discard)(number)
        if mend == "e2fsck":
            repair(disk)
    machine = guest.boot(cpus=2, disk=disk, snapshot=False)
    machine.poweroff()
    repair(disk)
    assert not file_system_errors(disk)


LARGE_SECTORS = ["-global", "virtio-blk-device.logical_block_size=4096", "-global",
                 "virtio-blk-device.physical_block_size=4096"]


def test_large_sectors(guest):
    """A disk that is read and written in units of 4096 bytes works"""
    disk = guest.copy_image()
    machine = guest.boot(cpus=2, disk=disk, snapshot=False, extra=LARGE_SECTORS)
    machine.check("cp /bin/sh /root/sh; seq 20000 > /root/numbers; sync; cmp /bin/sh /root/sh")
    guest.power_off_clean(machine, disk)
    machine = guest.boot(cpus=2, disk=disk, snapshot=False, extra=LARGE_SECTORS)
    assert machine.check("wc -l < /root/numbers").split() == ["20000"]
    guest.power_off_clean(machine, disk)


def test_large_sectors_and_small_blocks(guest):
    """A file system whose blocks are smaller than the disk's units is refused in one line"""
    guest.expect_end(r"(?m)^faultline: vda: ext2 has smaller blocks than the disk", disk=guest.make_image(block=1024),
                     extra=LARGE_SECTORS)


def test_root_on_any_disk(guest):
    """Of several disks the first that holds a file system is the root, and the kernel says which that is"""
    empty = guest.files / "empty.img"
    empty.write_bytes(bytes(1 << 20))
    second = guest.files / "second.img"
    shutil.copyfile(guest.image, second)
    for order in ([empty, second], [second, empty]):
        extra = []
        for i, image in enumerate(order):
            extra += ["-drive", f"file={image},if=none,format=raw,id=d{i},snapshot=on", "-device",
                      f"virtio-blk-device,drive=d{i}"]
        machine = guest.boot(cpus=2, disk=None, extra=extra)
        root = re.search(r"(?m)^faultline: the root is on (vd[ab])$", machine.text)
        assert root, machine.text
        assert f"/dev/{root[1]}" in machine.check("cat /proc/mounts") or root[1] in machine.check("cat /proc/mounts")
        machine.check("echo written > /root/note; sync; cat /root/note")
        machine.poweroff()


@parameters(cpus=[1, 4])
def test_write_pressure(guest, cpus):
    """A file of 100 MB is written through a mapping where there are 64 MB of memory"""
    disk = guest.make_image(size=320)
    machine = guest.boot(cpus=cpus, mem="64M", disk=disk, snapshot=False)
    guest.tap(machine, f"write_pressure --mib=100 --timeout=600 --seed={guest.seed}", limit=600)
    guest.power_off_clean(machine, disk)


@parameters(pager=PAGERS)
def test_transfer_pressure(guest, pager):
    """Reads and writes are whole where the memory for them holds dirty pages of files"""
    machine, disk = guest.boot_writable(cpus=2, mem="64M", pager=pager)
    guest.tap(machine, f"transfer_pressure --fresh=36 --dirty=42 --timeout=600 --seed={guest.seed}", limit=600)
    guest.power_off_clean(machine, disk)


def test_narrow_disk(guest):
    """A disk that takes few pieces of memory in one request works, only more slowly"""
    disk = guest.copy_image()
    machine = guest.boot(cpus=2, disk=disk, snapshot=False, extra=["-global", "virtio-blk-device.queue-size=4"])
    machine.check("cp /bin/sh /root/sh; seq 20000 > /root/numbers; sync; cmp /bin/sh /root/sh")
    machine.check("rm /root/sh /root/numbers")
    guest.power_off_clean(machine, disk)


def throttle(path, device):
    """Makes a disk so slow, over QEMU's control socket, that it answers nothing in the time of a test."""
    limits = {name: 0 for name in ("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")}
    commands = ({"execute": "qmp_capabilities"},
                {"execute": "block_set_io_throttle", "arguments": {"device": device, "bps": 1, **limits}})
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(path))
        with control.makefile("rw") as stream:
            stream.readline()
            for command in commands:
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                assert "return" in answer, answer


def test_silent_disk(guest):
    """A disk that does not answer any more is given up after a while, in one line; programs get an error and go on"""
    control = guest.files / "control"
    machine = guest.boot(cpus=2, append="disk-timeout=2", extra=["-qmp", f"unix:{control},server=on,wait=off"])
    # What must go on without the disk has to be in memory.
    machine.check("cat /init /bin/sh /bin/cat /bin/wc > /dev/null")
    throttle(control, "disk")
    machine.type("cat /bin/* | wc -c\n")
    machine.expect(r"(?m)^faultline: vda: the disk has not answered for too long and has been stopped")
    machine.expect(r"(?i)input/output error")
    machine.wait_prompt()
    assert machine.check("echo alive") == "alive\n"
    assert machine.text.count("has not answered") == 1
