"""What users do to a kernel: nonsense, exhaustion, death of init. The kernel says one line and lives, or powers off."""

import re

from guest.suite import PAGERS, parameters

NONSENSE = [
    "nosuchcommand", "/", "/etc/motd", "cat /nosuchfile", "ls | nosuchcommand", ")(", "'", '"', "| |", "&& ||", ";;",
    "< /nosuchfile", "> /nosuchdirectory/x", "echo $(", "if", "while", "${", "cd /nosuchdirectory", "kill -9 99999",
    "\x7f\x7f\x7f", "a" * 4000, "\x01\x02\x15",
]


def test_nonsense_at_the_shell(guest):
    """Lines that make no sense give an error and the next prompt, never a hang"""
    machine = guest.boot(cpus=2)
    for line in NONSENSE:
        machine.type(line + "\n")
        # An open quote or a compound command waits for more lines: Ctrl-C takes the line back.
        machine.expect(r"(?m)^(\$|>) $")
        if machine.text.endswith("> "):
            machine.type("\x03")
            machine.wait_prompt()
    assert machine.check("echo alive") == "alive\n"
    machine.poweroff()


def test_a_process_that_faults_dies_alone(guest):
    """Killing signals end their process with status 128 plus the signal; the shell goes on"""
    machine = guest.boot(cpus=2)
    for signal in (4, 6, 7, 8, 9, 11, 15):
        output, status = machine.run(f"sh -c 'kill -{signal} $$'")
        assert status == 128 + signal, f"signal {signal} leaves status {status}: {output}"
    machine.check("true")
    machine.poweroff()


@parameters(pager=PAGERS)
def test_memory_exhaustion(guest, pager):
    """A program that takes all memory gets ENOMEM or is killed; the shell lives and the memory comes back"""
    machine = guest.boot(cpus=2, mem="64M", pager=pager)
    guest.tap(machine, f"test_fork --exhaust --seed={guest.seed} bomb", limit=240)
    guest.tap(machine, f"exhaust --seed={guest.seed}", limit=240)
    assert "init: " not in machine.text, "the shell was ended"
    machine.check("ls /bin | wc")
    machine.poweroff()


def test_output_nobody_reads(guest):
    """A pipe whose reader has gone ends the writer"""
    machine = guest.boot(cpus=2)
    output = machine.check("yes | head -n 2")
    assert output == "y\ny\n", output
    machine.check("seq 100000 | true; true")
    machine.poweroff()


def test_no_init(guest):
    """Where there is neither an init nor a shell the kernel says so in one line and ends the machine"""
    guest.expect_end(r"(?m)^faultline: no init found", disk=guest.make_image(without=["init", "sh"]))


def test_shell_in_place_of_init(guest):
    """Where there is a shell but no init, the shell is the first process; its end is reported"""
    machine = guest.boot(disk=guest.make_image(without=["init"]), cpus=2)
    assert machine.check("echo $$") == "1\n"
    machine.type("exit 3\n")
    machine.expect(r"(?m)^faultline: init exited with status 3")
    assert machine.wait() != 0


def test_init_that_is_no_program(guest):
    """An /init of random bytes is named in one line"""
    init = guest.files / "init"
    init.write_bytes(guest.random.randbytes(5000))
    guest.expect_end(r"(?m)^faultline: /init: ", disk=guest.make_image(init=init, without=["sh"]))


def test_init_that_exits(guest):
    """An init that exits is reported with its status, and the machine ends"""
    init = guest.files / "init"
    init.write_bytes((guest.build / "user" / "bin" / "true").read_bytes())
    guest.expect_end(r"(?m)^faultline: init exited with status 0", disk=guest.make_image(init=init))


def test_idle_machine(guest):
    """A machine that nobody uses does nothing: once all is written back no timer wakes a thread"""
    # Under icount the time in which all harts wait passes at once.
    machine = guest.boot(cpus=1, icount=True)

    def context_switches():
        return int(machine.check("grep ctxt /proc/stat").split()[1])

    # Running a program for the first time is a change as well: the time of access of its file.
    context_switches()
    machine.check("echo changed > /tmp/x; sync; sleep 20")
    before = context_switches()
    machine.check("sleep 1")
    for_a_second = context_switches() - before
    machine.check("sleep 600")
    for_ten_minutes = context_switches() - before - for_a_second
    assert for_ten_minutes <= for_a_second + 4, f"{for_ten_minutes} context switches while 600 s pass"

    def pages_written():
        return int(re.search(r"page_cache_write (\d+)", machine.check("cat /proc/vmstat"))[1])

    before = pages_written()
    machine.check("echo again > /tmp/x; sleep 10")
    assert pages_written() > before, "a change was not written back by itself"
    machine.poweroff()


@parameters(cpus=[1, 4])
def test_clock_while_the_disk_works(guest, cpus):
    """Where instructions are the clock, megabytes from the disk take less than a second of it"""
    big = guest.files / "big"
    big.write_bytes(guest.random.randbytes(6 << 20))
    machine = guest.boot(cpus=cpus, icount=True, disk=guest.make_image(extra=[big]))
    uptimes = machine.check("cat /proc/uptime; cat /bin/big > /dev/null; cat /proc/uptime").splitlines()
    before, after = (float(line.split()[0]) for line in uptimes)
    assert after - before < 1, f"the clock advances by {after - before:.2f} s"
    machine.poweroff()


@parameters(cpus=[1, 8])
def test_fork_bomb_of_the_shell(guest, cpus):
    """While every process keeps making more, the shell still answers; when they are killed all is as before"""
    machine = guest.boot(cpus=cpus, mem="64M")
    machine.type("b() { while :; do b & done; }; b 2> /tmp/errors &\n")
    machine.expect(r"\[1\] \d+\n")
    # Until there is no room for one process more.
    machine.type('until test -s /tmp/errors; do :; done; echo no "room"\n')
    machine.expect(r"(?m)^(\$ )?no room\n", limit=120)
    machine.type('echo still "here"\n')
    machine.expect(r"(?m)^(\$ )?still here\n", limit=120)
    # No process is made for this; those that are left have nobody who makes more.
    machine.type('kill -9 -1; wait; echo all "gone"\n')
    machine.expect(r"(?m)^(\$ )?all gone\n", limit=120)
    machine.wait_prompt()
    assert machine.check("echo alive | cat", limit=120) == "alive\n"
    machine.poweroff()
