"""`make qemu-gdb` and `make gdb`, as two terminals use them."""

import re
import socket

from guest.boot import make_command, own_environment
from guest.console import Console, GuestError
from guest.suite import panics


def value(kind, number, size=8):
    """What one types to print a value of a type that has these bytes."""
    return (f"python gdb.set_convenience_variable('v', gdb.Value(({number}).to_bytes({size}, 'little'), "
            f"gdb.lookup_type('{kind}')))\nprint $v")


def pte(bits):
    """The same for a page-table entry."""
    return value("faultline::Pte", bits)


# What one types at gdb, and a regular expression for what has to come of it.
SESSION = [
    ("break handle_page_fault", r"Breakpoint 1"),
    ("continue", r"(?s)hit Breakpoint 1.*handle_page_fault"),
    ("info source", r"Current source file is \S*kernel/mm/\w+"),
    ("list", r"\d+\t.*handle_page_fault"),
    ("backtrace", r"#1 "),
    ("harts", r"\* gdb thread \d+ +kernel +pc 0xffffff\w+.*hart \d: process \d+"),
    ("ps", r"ID +PARENT +STATE.*\n +1 +0 +Running"),
    ("vmmap", r"process \d+ .*\n +0x\w+-0x\w+ +[r-][w-][x-][ps] +\d+ KiB"),
    ("walk $pc", r"level 2 .*\n(level . .*\n)*0xffffff\w+ is physical 0x\w+"),
    ("walk 0", r"level 2 .*\n(level . .*\n)*an access faults here"),
    ("walk 0x4000000000", r"not canonical"),
    # The kernel's text is mapped to read and execute, its constants to read, and nothing to both write and execute.
    ("monitor info mem", r"(?s)^(?!.*wx).*ffffffff80200000 \S+ \S+ r-x-g\S*\s.*ffffffff80\w+ \S+ \S+ r---g\S*\s"
                         r".*ffffffff80\w+ \S+ \S+ rw--g"),
    ("delete", r""),
    ("user no-such-program", r"no program 'no-such-program' in"),
    ("break-in init no_such_function", r"(?i)no_such_function"),
    ("break-in init main", r"Breakpoint 2"),
    ("continue", r"(?s)hit Breakpoint 2.*main"),
    ("walk $pc", r"page 0x\w+ VR-XU-A.*\n0x\w+ is physical"),
    ("vmmap", r"r-xp .*file"),
    ("harts", r"gdb thread \d+ +user"),
    # From the kernel through the trap into the program that called it, at least to the function that did. Behind that,
    # gdb needs the program's stack, which QEMU does not read in the kernel's mode.
    ("tbreak handle_system_call", r"[Bb]reakpoint 3"),
    ("continue", r"(?s)hit Temporary breakpoint 3"),
    ("backtrace", r"(?s)#0 +.*handle_system_call.*<signal handler called>.*\n#2 +0x0{6}[0-9a-f]{10} in \w+ \("),
    # The functions that the interface names are those that run: init forks the shell, and one of them writes. (The kernel
    # may write to a page of theirs, too, which is no fault.)
    ('tbreak do_copy_on_write if $_any_caller_matches("handle_user_page_fault", 12)', r"[Bb]reakpoint 4"),
    ("continue", r"(?s)hit Temporary breakpoint 4.*do_copy_on_write.*\n\d+\t"),
    ("backtrace", r"(?s)#0 +.*do_copy_on_write.*handle_page_fault.*handle_user_page_fault"
                  r".*handle_user_trap.*<signal handler called>.*\n#\d+ +0x0000[0-9a-f]{12} in \w+ \("),
    # What they mean, not how they are laid out.
    ("print reason.address", r"= Va 0x[0-9a-f]+\n"),
    ("print *reason.area", r"= 0x\w+-0x\w+ +rw-[ps] +\d+ KiB  (anonymous|file)\n"),
    ("print reason.area->range_", r"= 0x\w+-0x\w+\n"),
    ("print reason.area->permission_", r"= rw-\n"),
    (pte(0), r"= empty\n"),
    (pte(0x20200001), r"= table 0x80800000 V-------\n"),
    (pte(0x202002df), r"= page 0x80800000 VRWXU-AD, shared mapping\n"),
    (pte(0x20200102), r"= retained page 0x80800000 -R------, uncounted\n"),
    (pte(0x20200004), r"= shared table 0x80800000 --W-----\n"),
    (value("faultline::Pa", 0x80800000), r"= Pa 0x80800000\n"),
    (value("faultline::Kva", 0xffffffff80200000), r"= Kva 0xffffffff80200000\n"),
    ("print faultline::MemorySystem::the_one_._M_b._M_p.zero_page_", r"= frame 0x[89]\w+, references 1\n"),
    (value("faultline::Frame", 2 ** 64 - 1), r"= no frame\n"),
    ("finish", r"Value returned is \$\d+ = success\n"),
    (value("std::expected<void, faultline::KernelError>", 8, 4), r"= error BadFileDescriptor\n"),
    ("delete", r""),
    # A program and its copy: every function of one has the same address in the other.
    ("break-in [ main", r"Breakpoint \d"),
]
STOPPED_IN_COPY = [
    ("vmmap", r"process \d+ \[\n"),
    ("backtrace", r"#0 +main \(argc=5.*user/bin/test\.c:\d+"),
    ("detach", r"Detaching|detached"),
]
PROMPT = r"\(gdb\) $"


def free_port():
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(guest, goal, *variables):
    """`make GOAL` on a terminal of its own, without control sequences around gdb's prompt."""
    console = Console(make_command(goal, guest, f"GDB_INIT={guest.files.resolve()}/gdbinit", "CPUS=2", *variables),
                      guest.log, dict(own_environment(), TERM="dumb"), terminal=True)
    guest.machines.append(console)
    return console


def machine_and_debugger(guest, *variables):
    """A machine that waits, and the debugger that is attached to it."""
    port = f"GDB_PORT={free_port()}"
    machine = start(guest, "qemu-gdb", port, *variables)
    machine.expect("waits for gdb")
    debugger = start(guest, "gdb", port)
    debugger.expect(PROMPT)
    return machine, debugger


def ask(debugger, session):
    """Types each command; its answer has to match."""
    for typed, pattern in session:
        for line in typed.splitlines():
            debugger.type(line + "\n")
            debugger.expect(r"\n")
            debugger.expect(PROMPT)
        if not re.search(pattern, debugger.before):
            raise GuestError(f"gdb's answer to {typed!r} lacks {pattern!r}:\n{debugger.before}")


def test_session(guest):
    """gdb breaks in the page-fault handler and in a user program, shows values, areas, tables and harts, detaches"""
    machine, debugger = machine_and_debugger(guest)
    ask(debugger, SESSION)
    debugger.type("continue\n")
    machine.wait_prompt()
    machine.type("/bin/test a = a; /bin/[ a = a ]\n")
    debugger.expect(r"hit Breakpoint \d+, main")
    debugger.expect(PROMPT)
    ask(debugger, STOPPED_IN_COPY)
    debugger.type("quit\n")
    debugger.wait()
    machine.wait_prompt()
    machine.check("ls /bin | wc")
    machine.poweroff()


@panics
def test_backtrace_of_a_panic(guest):
    """gdb's backtrace goes on from the report of a panic, which has a stack of its own, to where it began"""
    machine, debugger = machine_and_debugger(guest, "QEMUEXTRA=-append panic=boot")
    ask(debugger, [
        ("tbreak handle_kernel_trap", r"[Bb]reakpoint 1"),
        ("continue", r"hit Temporary breakpoint 1"),
        ("backtrace", r"(?s)#0 +.*handle_kernel_trap.*<signal handler called>.*panic_trap.* in faultline::panic .*start_system \(\)"),
    ])
    debugger.type("continue\n")
    machine.expect("panic")
    if machine.wait() == 0:
        raise GuestError("a panic ended with status 0")


def test_without_a_machine(guest):
    """`make gdb` where no machine runs says what to run"""
    port = free_port()
    debugger = start(guest, "gdb", f"GDB_PORT={port}")
    debugger.expect(rf"\nNothing answers on port {port}: run `make qemu-gdb` in another terminal first\.\n")
    if debugger.wait() == 0:
        raise GuestError("`make gdb` without a machine ended with status 0")
