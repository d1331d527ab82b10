"""Runs a command that must not outlive whoever asked for it: `keeper.py PARENT COMMAND...`.

The command gets a process group of its own. When the process PARENT, which started this one, ends in whatever way, or
this one is told to (SIGTERM), the whole group is killed; that reaches what the command itself has started (`make` its
QEMU), and what ignores milder signals. The command's status becomes this process's.
"""

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1  # prctl(2): the signal a process gets when its parent ends


def die_with_parent(how, parent):
    """Asks for a signal at the parent's end; the parent may have ended before that took effect."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, how) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def main(parent, command):
    """Keeps the command until it ends or has to; returns its status."""
    # Blocked, not handled: it may come at any moment from here on and waits until there is something to kill.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    die_with_parent(signal.SIGTERM, parent)
    keeper = os.getpid()

    def in_child():
        os.setpgid(0, 0)
        # Should this process be killed, at least the command itself goes with it.
        die_with_parent(signal.SIGKILL, keeper)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})

    child = subprocess.Popen(command, preexec_fn=in_child)
    # Looked at without being collected: until then the group's number cannot become another's.
    ended = lambda: os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    while not ended() and signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) != signal.SIGTERM:
        pass
    os.killpg(child.pid, signal.SIGKILL)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
