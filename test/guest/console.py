"""A machine under QEMU, driven as a person would: boot it, read the serial console, type at the shell.

Nothing here waits for a fixed time. Each wait names the text that ends it; it fails when the guest ends, and when
the guest has printed nothing new for longer than a limit that grows with the load of the machine beneath.
"""

import os
import pathlib
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
import time

PROMPT = r"(?m)^\$ $"
INTERRUPT = "\x03"  # Ctrl-C
END_OF_FILE = "\x04"  # Ctrl-D

QUIET_LIMIT = 60.0  # seconds without output on an idle machine
TOTAL_FACTOR = 10  # a guest that prints for ever is stopped after this many quiet limits

KEEPER = pathlib.Path(__file__).with_name("keeper.py")

STOP = threading.Event()  # set when the person at the keyboard ends the tests: every wait fails


class GuestError(AssertionError):
    """The guest did not do what the test waited for; the message ends with what it printed last."""


def load_factor():
    """How much slower than alone a process runs here now; bounded, so that what hangs is found in a bounded time."""
    return min(4.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def qemu_command(kernel, disk=None, cpus=4, mem="512M", icount=False, append=None, snapshot=True, extra=()):
    """QEMU's arguments for one machine; the same board as `make qemu`, its console on standard input and output.

    kernel    the ELF file
    disk      an image, or None for a machine without one
    snapshot  the guest's writes are forgotten at the end instead of going to the image
    append    the kernel's boot arguments
    """
    # Without `-nic none`, the timers of QEMU's user network are all that an idle machine serves under -icount.
    command = ["qemu-system-riscv64", "-M", "virt,aclint=on", "-cpu", "rv64", "-smp", str(cpus), "-m", mem, "-nic", "none",
               "-bios", os.environ.get("BIOS", "default"), "-kernel", str(kernel), "-display", "none", "-monitor",
               "none", "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
               "-global", "virtio-mmio.force-legacy=false", "-device", "virtio-rng-device"]
    if disk is not None:
        command += ["-drive", f"file={disk},if=none,format=raw,id=disk,snapshot={'on' if snapshot else 'off'}",
                    "-device", "virtio-blk-device,drive=disk"]
    if icount:
        command += ["-icount", "shift=0,sleep=off"]
    if append:
        command += ["-append", append]
    return command + list(extra)


class Console:
    """A running process whose output is read and to which one types. Use as a context manager: it ends with it."""

    def __init__(self, command, log, environment=None, terminal=False):
        """Starts the command; with `terminal`, on a terminal of its own instead of pipes."""
        self.log = log
        self.text = ""  # all output so far, carriage returns removed
        self.position = 0  # up to here it has been matched
        self.counter = 0
        self.log.write(f"\n# {' '.join(map(str, command))}\n")
        self.log.flush()
        if terminal:
            self.descriptor, theirs = pty.openpty()
        else:
            ours, theirs = socket.socketpair()
            self.descriptor = ours.detach()
        # Whichever way this driver ends, no emulator may be left behind.
        self.process = subprocess.Popen([sys.executable, "-S", str(KEEPER), str(os.getpid()), *map(str, command)],
                                        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
                                        start_new_session=True)
        os.close(theirs) if terminal else theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Cuts the process off if it still runs, and all that it has started."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _read(self, seconds):
        """Waits at most `seconds` for output: False at its end, None if nothing came."""
        if STOP.is_set():
            raise GuestError("interrupted")
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return None
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # How a terminal, or a socket with unread input, tells that the other end is closed.
            data = b""
        if not data:
            return False
        text = data.decode("utf-8", "replace").replace("\r", "")
        self.text += text
        self.log.write(text)
        self.log.flush()
        return True

    def _fail(self, what):
        tail = "\n".join(self.text.splitlines()[-15:])
        raise GuestError(f"{what}; the last it printed:\n{tail}")

    def expect(self, pattern, limit=QUIET_LIMIT):
        """Reads until the regular expression matches new output; returns the match.

        limit  seconds without any output after which the wait fails, on an idle machine
        """
        compiled = re.compile(pattern)
        started = heard = time.monotonic()
        while True:
            match = compiled.search(self.text, self.position)
            if match:
                self.before = self.text[self.position:match.start()]
                self.position = match.end()
                return match
            came = self._read(1.0)
            now = time.monotonic()
            scale = load_factor()
            if came is False:
                self._fail(f"ended with status {self.wait()} before {pattern!r} came")
            elif came:
                heard = now
            elif now - heard > limit * scale:
                self._fail(f"printed nothing for {now - heard:.0f} s while {pattern!r} was awaited")
            if now - started > limit * scale * TOTAL_FACTOR:
                self._fail(f"{pattern!r} did not come in {now - started:.0f} s")

    def type(self, text):
        """Types characters, control characters among them."""
        try:
            os.write(self.descriptor, text.encode())
        except OSError:
            self._fail(f"ended with status {self.wait()} before one could type")

    def wait_prompt(self, limit=QUIET_LIMIT):
        """Reads until the shell asks for a command."""
        self.expect(PROMPT, limit)

    def run(self, command, limit=QUIET_LIMIT):
        """Types a command at a waiting shell; returns (its output, its exit status) when the next prompt is there.

        The echo of what is typed carries the end marker in quotes, so only the command's end prints it whole.
        """
        self.counter += 1
        self.type(f'{command}; echo "@"{self.counter}= $?\n')
        self.expect(rf'echo "@"{self.counter}= \$\?\n', limit)
        match = self.expect(rf"@{self.counter}= (\d+)\n", limit)
        output = self.before
        self.wait_prompt(limit)
        return output, int(match[1])

    def check(self, command, limit=QUIET_LIMIT):
        """Like run, for a command that has to succeed; returns its output."""
        output, status = self.run(command, limit)
        if status != 0:
            raise GuestError(f"{command!r} ended with status {status}:\n{output}")
        return output

    def wait(self, limit=QUIET_LIMIT):
        """Reads to the end of the process; returns its exit status."""
        heard = time.monotonic()
        while True:
            came = self._read(1.0)
            if came is False:
                return self.process.wait()
            if came:
                heard = time.monotonic()
            elif time.monotonic() - heard > limit * load_factor():
                self._fail("did not end")

    def poweroff(self):
        """Shuts the machine down; fails unless QEMU ends with status 0."""
        self.type("poweroff\n")
        status = self.wait()
        if status != 0:
            self._fail(f"poweroff ended QEMU with status {status}")


def private_copy(image, directory):
    """A copy of a disk image that one test may write to; holes stay holes."""
    target = os.path.join(directory, "disk.img")
    subprocess.run(["cp", "--sparse=always", str(image), target], check=True)
    return target


def repair(image):
    """Lets e2fsck mend, unasked, an image whose machine was cut off, as `make qemu` does; fails when it will not."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    result = subprocess.run([shutil.which("e2fsck", path=path) or "e2fsck", "-p", str(image)],
                            capture_output=True, text=True)
    if result.returncode > 1:
        raise GuestError(f"e2fsck -p ends with status {result.returncode}:\n{result.stdout}{result.stderr}")


def file_system_errors(image):
    """What e2fsck finds wrong with an image, as text; empty if it is clean. The image is not changed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    result = subprocess.run([shutil.which("e2fsck", path=path) or "e2fsck", "-fn", str(image)],
                            capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stdout + result.stderr
