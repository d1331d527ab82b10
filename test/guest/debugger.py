"""`make qemu-gdb` and `make gdb`, as two terminals use them."""

import re
import socket

from guest.boot import make_command, own_environment
from guest.console import Console, GuestError

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
    ("add-symbol-file {build}/user/debug/init", r"add symbol table"),
    ("tbreak init.c:main", r"[Bb]reakpoint 2"),
    ("continue", r"(?s)hit Temporary breakpoint 2.*main"),
    ("walk $pc", r"VR?-?XU.*page.*\n0x\w+ is physical"),
    ("vmmap", r"r-xp .*file"),
    ("harts", r"gdb thread \d+ +user"),
    # The functions that the interface names are those that run: init forks the shell, and one of them writes.
    ("tbreak do_copy_on_write", r"[Bb]reakpoint 3"),
    ("continue", r"(?s)hit Temporary breakpoint 3.*do_copy_on_write.*\n\d+\t"),
    ("backtrace", r"(?s)#0 +.*do_copy_on_write.*handle_page_fault.*handle_user_page_fault"),
    ("detach", r"Detaching|detached"),
]


def free_port():
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_session(guest):
    """gdb attaches, breaks in the page-fault handler and in a user program, shows areas, tables and harts, detaches"""
    port = f"GDB_PORT={free_port()}"
    settings = f"GDB_INIT={guest.files.resolve()}/gdbinit"
    machine = Console(make_command("qemu-gdb", guest, port, settings, "CPUS=2"), guest.log, own_environment(),
                      terminal=True)
    guest.machines.append(machine)
    machine.expect("waits for gdb")
    plain = dict(own_environment(), TERM="dumb")  # no control sequences around gdb's prompt
    debugger = Console(make_command("gdb", guest, port, settings), guest.log, plain, terminal=True)
    guest.machines.append(debugger)
    prompt = r"\(gdb\) $"
    debugger.expect(prompt)
    for typed, pattern in SESSION:
        typed = typed.format(build=guest.build.resolve())
        debugger.type(typed + "\n")
        debugger.expect(r"\n")
        debugger.expect(prompt)
        if not re.search(pattern, debugger.before):
            raise GuestError(f"gdb's answer to {typed!r} lacks {pattern!r}:\n{debugger.before}")
    debugger.type("quit\n")
    debugger.wait()
    machine.wait_prompt()
    machine.check("ls /bin | wc")
    machine.poweroff()
