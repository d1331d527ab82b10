#!/usr/bin/env python3
"""Judges the project on another Debian: `make deps GOALS` in a root of that distribution, made with debootstrap.

The root stays in BUILD/roots/DIST for the next time, with what was built in it; only sources that changed are copied in
again. All of it runs in namespaces of its own for mounts and processes, so that nothing is left mounted or running,
whichever way this ends. Needs root.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCE = "src"  # where the tree stands in the root
IN_NAMESPACES = "FAULTLINE_GRADE_ON_IN_NAMESPACES"
# What a fresh machine of somebody who clones the project has.
INCLUDED = "make,git,ca-certificates"


def make_root(distribution, directory):
    """A fresh system of that distribution; one that was begun and not ended is begun anew."""
    if directory.exists():
        return
    unfinished = directory.with_name(directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    print(f"make grade-on: a root of {distribution} in {directory}", flush=True)
    log = directory.with_name(directory.name + ".log")
    with open(log, "w", encoding="utf-8") as output:
        made = subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDED}", distribution, unfinished],
                              stdout=output, stderr=subprocess.STDOUT)
    if made.returncode != 0:
        sys.exit(f"make grade-on: debootstrap could not make a root of {distribution}; its output is in {log}")
    unfinished.rename(directory)


def tracked_files():
    """The tree as it is, without what is built: what git has, and what it would take."""
    # Root is seldom who owns the clone.
    listing = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], check=True, capture_output=True)
    return {name for name in os.fsdecode(listing.stdout).split("\0") if name and (ROOT / name).is_file()}


def copy_sources(target):
    """Brings the copy up to date; what has not changed keeps its time, and so what was built of it."""
    wanted = tracked_files()
    for path in [path for path in target.rglob("*") if path.is_file() or path.is_symlink()]:
        name = path.relative_to(target)
        if name.parts[0] not in ("build", ".git") and str(name) not in wanted:
            path.unlink()
    for name in wanted:
        source, copy = ROOT / name, target / name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        shutil.copymode(source, copy)


def run_in(root, goals):
    """Runs `make deps GOALS` inside; returns its status."""
    # The tests inside have namespaces of mounts too, and unshare wants a root that is a mount point.
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    subprocess.run(["mount", "--rbind", "/dev", root / "dev"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "tmp"], check=True)
    for name in ("resolv.conf", "hosts"):
        if pathlib.Path("/etc", name).exists():
            shutil.copyfile(pathlib.Path("/etc", name), root / "etc" / name)
    # Nothing of the make around this one, nor of this machine's settings, but how it reaches the network.
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name == "TERM"}
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
                   **kept}
    command = ["chroot", root, "env", "-C", f"/{SOURCE}", "make", "--no-print-directory", "deps", *goals]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode


def main():
    parser = argparse.ArgumentParser(description="Run the project's goals in a root of another Debian.")
    parser.add_argument("--dist", required=True, help="the distribution's name, for instance trixie")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build directory")
    parser.add_argument("goals", nargs="+", help="goals and variables of make")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("make grade-on: makes a root of another distribution, and so has to be run as root")
    for tool in ("debootstrap", "setpriv", "unshare"):
        if shutil.which(tool) is None:
            sys.exit(f"make grade-on: {tool} not found; run `make deps grade-on DIST={arguments.dist}`")
    directory = (arguments.build / "roots" / arguments.dist).resolve()
    if IN_NAMESPACES in os.environ:
        # debootstrap mounts too: what is begun anew after a killed run must not be removed through its mounts.
        make_root(arguments.dist, directory)
        copy_sources(directory / SOURCE)
        sys.exit(run_in(directory, arguments.goals))
    # Whatever kills this process kills unshare too, and so all that is in the namespaces.
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
               "--kill-child", sys.executable, "-B", __file__, *sys.argv[1:]]
    sys.exit(subprocess.run(command, env=dict(os.environ, **{IN_NAMESPACES: "1"})).returncode)


if __name__ == "__main__":
    main()
