"""The shell at a terminal: prompts, Ctrl-C, Ctrl-D, Ctrl-Z and jobs, on a pseudo-terminal of this machine."""

import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time
import unittest

from programs import HOST_PROGRAMS, build

TIMEOUT = 15


class Terminal:
    """A shell on a terminal; what it writes is waited for, never slept for."""

    def __init__(self, directory, controlling=True):
        self.master, slave = pty.openpty()
        self.set_flushing(False)
        environment = {"PATH": HOST_PROGRAMS, "HOME": "/"}
        # start_new_session makes the child a session leader; opening a terminal then makes it its own.
        program = [os.path.join(HOST_PROGRAMS, "sh")]
        if controlling:
            program = ["/bin/sh", "-c", 'exec 0<>"$0" 1>&0 2>&0; exec "$1"', os.ttyname(slave), program[0]]
        self.process = subprocess.Popen(program, stdin=slave, stdout=slave, stderr=slave, cwd=directory,
                                        env=environment, start_new_session=True)
        os.close(slave)
        self.text = ""

    def set_flushing(self, flushing):
        """Whether Ctrl-C discards what waits in the terminal. Linux does so after it has sent the signal, and
        then discards the prompt too if the shell is quick: most tests are better off without."""
        modes = termios.tcgetattr(self.master)
        modes[3] = modes[3] & ~termios.NOFLSH if flushing else modes[3] | termios.NOFLSH
        termios.tcsetattr(self.master, termios.TCSANOW, modes)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Waits for a pattern in what has not been matched yet; returns all text up to its end."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            found = re.search(pattern, self.text)
            if found:
                taken, self.text = self.text[:found.end()], self.text[found.end():]
                return taken
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError("waited in vain for %r; there was %r" % (pattern, self.text))
            try:
                data = os.read(self.master, 4096)
            except OSError:  # the last one who had the terminal open has closed it
                data = b""
            if not data:
                raise AssertionError("the terminal was closed before %r; there was %r" % (pattern, self.text))
            self.text += data.decode("latin-1").replace("\r\n", "\n")

    def run(self, command):
        """Types a command at the prompt and returns what it writes before the next prompt."""
        self.type(command + "\n")
        self.expect(re.escape(command) + "\n")
        return self.expect(r"(^|\n)\$ ")[:-2]


def read_file(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # the process has ended meanwhile
        return b""


class TerminalTest(unittest.TestCase):
    controlling = True

    @classmethod
    def setUpClass(cls):
        build("user-host")

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.terminal = Terminal(directory.name, self.controlling)
        self.addCleanup(self.terminal.close)
        self.terminal.expect(r"^\$ ")


class Interactive(TerminalTest):
    def test_commands_and_their_status(self):
        self.assertEqual(self.terminal.run("echo hello"), "hello\n")
        self.assertEqual(self.terminal.run("false"), "")
        self.assertEqual(self.terminal.run("echo $?"), "1\n")

    def test_more_lines_are_asked_for(self):
        self.terminal.type("for i in 1 2\n")
        self.terminal.expect("\n> ")
        self.terminal.type("do echo $i; done\n")
        self.terminal.expect("done\n1\n2\n\\$ ")
        self.terminal.type("cat <<END\n")
        self.terminal.expect("\n> ")
        self.terminal.type("text\nEND\n")
        self.terminal.expect("text\n> END\ntext\n\\$ |text\nEND\n(> )*text\n\\$ ")

    def test_nonsense_does_not_end_the_shell(self):
        self.assertEqual(self.terminal.run("fi"), "sh: line 1: syntax error near 'fi'\n")
        self.assertEqual(self.terminal.run("echo ) ; echo no"), "sh: line 2: syntax error near ')'\n")
        self.assertEqual(self.terminal.run("echo $?"), "2\n")
        self.assertEqual(self.terminal.run("echo ${x:?gone}"), "sh: x: gone\n")
        self.assertEqual(self.terminal.run("f() { f; }; f"), "sh: commands nested too deeply\n")
        self.assertEqual(self.terminal.run("echo still"), "still\n")

    def test_interrupt_ends_a_program(self):
        self.terminal.type("sleep 100; echo after\n")
        self.terminal.expect("after\n")
        self.wait_for_child()
        self.terminal.type("\x03")
        self.terminal.expect(r"\^C\n\n?\$ ")
        self.assertEqual(self.terminal.run("echo $?"), "130\n")

    def test_interrupt_ends_a_busy_loop_of_the_shell(self):
        self.terminal.type("echo ready; while true; do true; done\n")
        self.terminal.expect("\nready\n")
        self.terminal.type("\x03")
        self.terminal.expect(r"\n\$ ")
        self.assertEqual(self.terminal.run("echo $?"), "130\n")

    def test_interrupt_ends_a_loop_of_programs(self):
        self.terminal.type("while true; do sleep 100; done\n")
        self.terminal.expect("done\n")
        self.wait_for_child()
        self.terminal.type("\x03")
        self.terminal.expect(r"\n\$ ")
        self.assertEqual(self.terminal.run("echo ok"), "ok\n")

    def test_interrupt_discards_a_line(self):
        self.terminal.set_flushing(True)
        self.terminal.type("echo not this\x03")
        # The quotes tell what is written from what is typed, which may come in between each other here.
        self.terminal.type("echo t''his\n")
        self.terminal.expect(r"(\n|\$ )this\n")
        self.terminal.type("if true\n")
        self.terminal.expect("> ")
        self.terminal.type("\x03")
        self.terminal.type("echo t''hat\n")
        self.terminal.expect(r"(\n|\$ |> )that\n")
    def test_interrupt_of_read_and_wait(self):
        for command in ["read x", "sleep 100 & wait"]:
            self.terminal.type("echo ready; " + command + "; echo no\n")
            self.terminal.expect("\nready\n")
            if "wait" in command:
                self.terminal.expect(r"\[1\] \d+\n")
            self.terminal.type("\x03")
            self.terminal.expect(r"\n\$ ")
        self.assertEqual(self.terminal.run("echo ok; kill %1"), "ok\n")

    def test_end_of_input_ends_the_shell(self):
        self.terminal.run("false")
        self.terminal.type("\x04")
        self.assertEqual(self.terminal.process.wait(TIMEOUT), 1)

    def test_exit(self):
        self.terminal.type("exit 9\n")
        self.assertEqual(self.terminal.process.wait(TIMEOUT), 9)

    def test_background_job_is_announced_at_both_ends(self):
        self.assertRegex(self.terminal.run("cat </dev/null &"), r"^\[1\] \d+\n")
        self.assertRegex(self.terminal.run("wait; echo waited"), r"waited\n")
        text = self.terminal.run("sh -c 'kill -9 $$' &")
        for _ in range(200):
            if "Killed" in text:
                break
            text += self.terminal.run("sleep 0.02")
        self.assertRegex(text, r"\[1\]  Killed +sh -c 'kill -9 \$\$' ?\n")

    def test_crash_is_named(self):
        self.assertIn("Segmentation fault", self.terminal.run("sh -c 'kill -SEGV $$'"))

    def wait_for_child(self, argument="100"):
        """Until the shell has a child that has become `sleep ARGUMENT`: a Ctrl-C is then for that child."""
        deadline = time.monotonic() + TIMEOUT
        wanted = b"sleep\0" + argument.encode() + b"\0"
        pid = self.terminal.process.pid
        while time.monotonic() < deadline:
            for child in read_file("/proc/%d/task/%d/children" % (pid, pid)).split():
                if read_file("/proc/%s/cmdline" % child.decode()) == wanted:
                    return
            time.sleep(0.005)
        self.fail("the shell started no child")


class JobControl(Interactive):
    def test_stop_list_and_continue(self):
        self.terminal.type("sleep 100\n")
        self.terminal.expect("100\n")
        self.wait_for_child()
        self.terminal.type("\x1a")
        self.terminal.expect(r"\[1\]  Stopped +sleep 100\n\$ ")
        self.assertRegex(self.terminal.run("jobs"), r"^\[1\]  Stopped +sleep 100\n$")
        self.assertRegex(self.terminal.run("bg"), r"\[1\] sleep 100\n")
        self.assertRegex(self.terminal.run("jobs"), r"\[1\]  Running +sleep 100\n")
        self.terminal.type("fg %1\n")
        self.terminal.expect("sleep 100\n")
        self.terminal.type("\x03")
        self.terminal.expect(r"\n\$ ")
        self.assertEqual(self.terminal.run("jobs; fg"), "sh: fg: current: no such job\n")

    def test_interrupt_spares_the_background(self):
        self.terminal.run("sleep 100 &")
        self.terminal.type("sleep 99\n")
        self.terminal.expect("99\n")
        self.wait_for_child("99")
        self.terminal.type("\x03")
        self.terminal.expect(r"\n\$ ")
        self.assertRegex(self.terminal.run("jobs"), r"\[1\]  Running +sleep 100 ?\n")
        self.terminal.run("kill %1")

    def test_background_reader_of_the_terminal_is_stopped(self):
        self.terminal.run("cat &")
        # The shell may answer any number of commands before cat runs for the first time.
        deadline = time.monotonic() + TIMEOUT
        while "Stopped" not in (found := self.terminal.run("jobs")) and time.monotonic() < deadline:
            pass
        self.assertIn("Stopped", found)
        self.terminal.run("kill -KILL %1")

    def test_shell_within_the_shell(self):
        self.assertEqual(self.terminal.run("sh"), "")
        self.assertEqual(self.terminal.run("echo inner"), "inner\n")
        self.terminal.type("echo ready; sleep 100\n")
        self.terminal.expect("\nready\n")
        # The Ctrl-C may come before or after the start of the program: both must return to the prompt.
        self.terminal.type("\x03")
        self.terminal.expect(r"\n\$ ")
        self.terminal.type("exit\n")
        self.terminal.expect(r"\$ ")
        self.assertEqual(self.terminal.run("echo outer"), "outer\n")


class WithoutControllingTerminal(TerminalTest):
    """The terminal is not the shell's own, so tcsetpgrp fails: everything but job control works."""

    controlling = False

    def test_commands_pipelines_and_background(self):
        self.assertEqual(self.terminal.run("echo a | cat; (echo b); true && echo c"), "a\nb\nc\n")
        self.assertRegex(self.terminal.run("sleep 0.05 & wait; echo done"), r"^\[1\] \d+\ndone\n")

    def test_signal_to_the_whole_group_spares_the_shell(self):
        self.terminal.type("sleep 100\n")
        self.terminal.expect("100\n")
        Interactive.wait_for_child(self)
        os.killpg(self.terminal.process.pid, signal.SIGINT)
        self.terminal.expect(r"\$ ")
        self.assertEqual(self.terminal.run("echo $?"), "130\n")


if __name__ == "__main__":
    unittest.main()
