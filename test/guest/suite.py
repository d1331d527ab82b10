"""What a guest test is made of: its name, its parameters, the machine it asks for and the verdict it leaves.

A test is a function `test_NAME(guest)` in one of this folder's test files. Its docstring is the sentence it proves.
`guest` is a Guest below. A test passes if it returns; a GuestError or AssertionError fails it.
"""

import itertools
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

from guest.console import Console, GuestError, file_system_errors, private_copy, qemu_command

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# The kernels there are, one for each pager; the makefile says which.
PAGERS = os.environ.get("PAGERS", "lazy").split()


def parameters(**axes):
    """Runs a test once for each combination of the values; they arrive as keyword arguments."""
    names = list(axes)

    def mark(function):
        function.parameters = [dict(zip(names, values)) for values in itertools.product(*axes.values())]
        return function

    return mark


def panics(function):
    """Marks a test in which a kernel panic is the expected end; in every other one it is a failure."""
    function.panics = True
    return function


def instances(function):
    """[(name, keyword arguments)] of one test function."""
    name = function.__name__.removeprefix("test_")
    result = []
    for arguments in getattr(function, "parameters", [{}]):
        label = ",".join(f"{key}={value}" for key, value in arguments.items())
        result.append((f"{name}:{label}" if label else name, arguments))
    return result


class Guest:
    """A test's access to machines and files; one object for one run of one test."""

    def __init__(self, name, build, log, seed):
        self.name = name
        self.build = pathlib.Path(build)
        self.log = log
        self.seed = seed
        self.random = random.Random(f"{seed}:{name}")
        self.skipped = 0  # cases that a program in the guest said it cannot judge there
        self.cases = []  # [(name, passed, message)] of the cases a program in the guest reported
        self.machines = []
        self.directory = self.build / "grade" / "files" / re.sub(r"[^\w.-]+", "_", name)

    @property
    def files(self):
        """A directory of this run's own, empty at its start."""
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
        return self.directory

    @property
    def image(self):
        """The disk image as built; not to be written."""
        return self.build / "fs.img"

    def kernel(self, pager="lazy"):
        """The kernel built with that pager; under `make grade CHECK_LOCKS=1` the one that checks its locks."""
        return self.build / f"kernel-{pager}{os.environ.get('KERNEL_SUFFIX', '')}.elf"

    def copy_image(self):
        """A copy of the image for this run, kept until the run ends."""
        return private_copy(self.image, self.files)

    def make_image(self, extra=(), without=(), init=None, block=4096, size=128):
        """An image of this run's own with the built programs and more files in /bin.

        without  names of programs to leave out
        init     another file for /init and /bin/init
        size     of the image in MiB
        """
        without = {*without, "init"} if init else set(without)
        programs = sorted(path for path in (self.build / "user" / "bin").iterdir() if path.name not in without)
        programs += [init] if init else []
        output = self.files / "made.img"
        result = subprocess.run([sys.executable, str(REPOSITORY / "mkfs" / "mkfs.py"), "--output", str(output),
                                 "--root", str(REPOSITORY / "mkfs" / "root"), "--block", str(block),
                                 "--size", str(size),
                                 *map(str, programs), *map(str, extra)], capture_output=True, text=True)
        if result.returncode != 0:
            raise GuestError(result.stderr)
        return output

    def start(self, pager="lazy", disk="", **options):
        """Starts a machine and returns its console at once. Without `disk` it gets the image, its writes forgotten."""
        disk = self.image if disk == "" else disk
        machine = Console(qemu_command(self.kernel(pager), disk, **options), self.log)
        self.machines.append(machine)
        return machine

    def boot(self, **options):
        """Starts a machine and waits for its shell's prompt."""
        machine = self.start(**options)
        machine.wait_prompt()
        return machine

    def boot_writable(self, **options):
        """(machine at its prompt, its own disk image): for tests that look at the disk afterwards."""
        disk = self.copy_image()
        return self.boot(disk=disk, snapshot=False, **options), disk

    def power_off_clean(self, machine, disk):
        """Shuts down with status 0 and leaves a file system without errors."""
        machine.poweroff()
        errors = file_system_errors(disk)
        if errors:
            raise GuestError(f"e2fsck found errors after poweroff:\n{errors}")

    def tap(self, machine, command, limit=180):
        """Runs a program that prints TAP and adds its cases to the verdict of this test."""
        output, status = machine.run(command, limit)
        cases = parse_tap(output, status)
        skipped = [case for case in cases if case[1] and re.search(r"# skip", case[0], re.IGNORECASE)]
        self.skipped += len(skipped)
        cases = [case for case in cases if case not in skipped]
        self.cases += [(f"{command.split()[0]}: {name}", passed, message) for name, passed, message in cases]

    def expect_end(self, pattern, **options):
        """Starts a machine that cannot work: it says why in a line that matches, and ends with a status not 0."""
        machine = self.start(cpus=2, **options)
        machine.expect(pattern)
        status = machine.wait()
        if status == 0:
            raise GuestError("the machine ends with status 0")

    def check_no_panic(self):
        """Fails if a kernel of this run panicked."""
        for machine in self.machines:
            at = machine.text.lower().find("panic")
            if at >= 0:
                raise GuestError(f"the kernel panicked:\n{machine.text[at:]}")

    def close(self):
        """Ends what still runs and removes this run's files."""
        for machine in self.machines:
            machine.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def parse_tap(output, status):
    """[(case, passed, diagnostics)] from TAP output and the program's exit status.

    A plan that is missing or does not fit, a case out of order, and a status that contradicts the cases are failed
    cases of their own: a program that dies half-way must not look like one with fewer cases.
    """
    cases = []
    plan = None
    diagnostics = []
    for line in output.splitlines():
        case = re.match(r"\s*(not )?ok\s+(\d+)\s*-?\s*(.*)$", line)
        planned = re.match(r"1\.\.(\d+)", line)
        if case:
            if int(case[2]) != len(cases) + 1:
                cases.append((f"case number {len(cases) + 1} is reported", False, f"got: {line}"))
                return cases
            cases.append((case[3], not case[1], "\n".join(diagnostics)))
            diagnostics = []
        elif planned:
            plan = int(planned[1])
        else:
            diagnostics.append(line)
            if line.startswith("#") and cases and not cases[-1][1]:
                name, passed, message = cases[-1]
                cases[-1] = (name, passed, f"{message}\n{line}".strip())
    if plan is None or plan != len(cases):
        cases.append((f"runs its {plan if plan is not None else 'planned'} cases", False,
                      f"{len(cases)} reported, status {status}:\n" + "\n".join(output.splitlines()[-15:])))
    all_passed = all(passed for _, passed, _ in cases)
    if all_passed != (status == 0):
        cases.append(("exit status agrees with the cases", False, f"status {status}"))
    return cases
