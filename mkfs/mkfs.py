#!/usr/bin/env python3
"""Builds the disk image of the guest: an ext3 file system, the same bytes for the same input, by any user.

    mkfs.py --output fs.img --root DIRECTORY [PROGRAM...]

The tree below DIRECTORY becomes the root of the file system, the programs go to /bin, and /init is a link to
/bin/init. mke2fs formats an empty file and debugfs fills it: unlike `mke2fs -d`, a debugfs script names every file
in an order, with an owner and with times that do not depend on who builds, where and when. SOURCE_DATE_EPOCH
sets the times.
"""

import argparse
import os
import pathlib
import shutil
import stat
import subprocess
import sys

# Identities that mke2fs would draw at random.
VOLUME_ID = "fa017113-0000-4000-8000-000000000001"
HASH_SEED = "fa017113-0000-4000-8000-000000000002"
DEFAULT_EPOCH = 1735689600  # 2025-01-01 00:00:00 UTC

# Directories that exist empty; a source tree under git cannot hold those.
DIRECTORIES = {"/bin": 0o755, "/dev": 0o755, "/etc": 0o755, "/proc": 0o555, "/root": 0o700, "/tmp": 0o1777}

# Linux's numbers of the character devices (Documentation/admin-guide/devices.txt): major, minor, mode.
DEVICES = {
    "null": (1, 3, 0o666),
    "zero": (1, 5, 0o666),
    "full": (1, 7, 0o666),
    "random": (1, 8, 0o666),
    "urandom": (1, 9, 0o666),
    "tty": (5, 0, 0o666),
    "console": (5, 1, 0o600),
}


class BuildError(Exception):
    """A message for the person who builds."""


def tool(name):
    """The path of an e2fsprogs tool. Debian keeps them where an ordinary user's PATH does not look."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise BuildError(f"{name} not found; run `make deps`")
    return path


def run(command, environment, script=None):
    """Runs a tool and returns what it printed; its failure becomes one line."""
    result = subprocess.run(command, env=environment, input=script, text=True, capture_output=True)
    if result.returncode != 0:
        raise BuildError(f"{os.path.basename(command[0])}: {result.stderr.strip() or result.stdout.strip()}")
    return result


def collect(root, programs):
    """({directory: mode}, {path in the image: (file on this machine, mode)}), both by absolute path."""
    directories = dict(DIRECTORIES)
    files = {}
    for source in sorted(root.rglob("*")):
        path = "/" + source.relative_to(root).as_posix()
        if source.is_dir():
            directories.setdefault(path, 0o755)
        elif source.is_file():
            executable = source.stat().st_mode & stat.S_IXUSR
            files[path] = (source, 0o755 if executable else 0o644)
    for program in programs:
        if not program.is_file():
            raise BuildError(f"{program}: not a file")
        files[f"/bin/{program.name}"] = (program, 0o755)
    for path in [*files, *map(str, programs)]:
        if any(character in path for character in '"\n\\'):
            raise BuildError(f"{path}: a file name here cannot hold quotes, backslashes or line ends")
    return directories, files


def fill_script(directories, files, epoch):
    """The commands with which debugfs fills the empty file system."""
    script = []

    def attributes(path, mode):
        fields = {"mode": oct(mode).replace("0o", "0"), "uid": 0, "gid": 0}
        fields.update({f"{time}time": f"@{epoch}" for time in ("a", "c", "m", "cr")})
        script.extend(f'set_inode_field "{path}" {field} {value}' for field, value in fields.items())

    for path in sorted(directories):
        script.append(f'mkdir "{path}"')
    for name, (major, minor, _) in sorted(DEVICES.items()):
        script.extend(["cd /dev", f"mknod {name} c {major} {minor}"])
    for path, (source, _) in sorted(files.items()):
        parent, name = path.rsplit("/", 1)
        script.extend([f'cd "{parent or "/"}"', f'write "{source.absolute()}" "{name}"'])
    if "/bin/init" in files and "/init" not in files:
        script.extend(["cd /", "symlink init bin/init"])
        attributes("/init", stat.S_IFLNK | 0o777)

    # Adding an entry changes a directory's times, so attributes come last.
    for path, (_, mode) in sorted(files.items()):
        attributes(path, stat.S_IFREG | mode)
    for name, (_, _, mode) in sorted(DEVICES.items()):
        attributes(f"/dev/{name}", stat.S_IFCHR | mode)
    for path, mode in [("/", 0o755), ("/lost+found", 0o700), *sorted(directories.items())]:
        attributes(path, stat.S_IFDIR | mode)
    return "\n".join(script) + "\n"


def build(output, root, programs, block, size_mib, epoch):
    """Writes the image to `output`; an image that is not whole never stands there."""
    # Time zone and language would show in what the tools parse and print.
    environment = dict(os.environ, E2FSPROGS_FAKE_TIME=str(epoch), TZ="UTC", LC_ALL="C", DEBUGFS_PAGER="__none__")
    directories, files = collect(root, programs)
    unfinished = output.with_name(output.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with open(unfinished, "wb") as image:
        image.truncate(size_mib << 20)
    options = f"root_owner=0:0,hash_seed={HASH_SEED},lazy_itable_init=0,nodiscard"
    run([tool("mke2fs"), "-q", "-F", "-t", "ext3", "-J", "size=4", "-b", str(block), "-m", "0", "-L", "faultline", "-U", VOLUME_ID,
         "-N", "8192", "-O", "^resize_inode,^dir_index,^ext_attr", "-E", options, str(unfinished)], environment)
    filled = run([tool("debugfs"), "-w", "-f", "-", str(unfinished)], environment,
                 fill_script(directories, files, epoch))
    # debugfs goes on after an error and exits with 0; all it prints unasked to stderr but its name is an error.
    complaints = [line for line in filled.stderr.splitlines() if line and not line.startswith("debugfs 1.")]
    if complaints:
        raise BuildError(f"debugfs: {complaints[0]}")
    run([tool("e2fsck"), "-fn", str(unfinished)], environment)
    unfinished.replace(output)


def main():
    parser = argparse.ArgumentParser(description="Build the guest's disk image.")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="tree that becomes the root directory")
    parser.add_argument("--block", type=int, default=4096, choices=(1024, 2048, 4096), help="bytes in a block")
    parser.add_argument("--size", type=int, default=128, metavar="MIB", help="size of the image in MiB")
    parser.add_argument("programs", nargs="*", type=pathlib.Path, help="files for /bin; a later name wins")
    arguments = parser.parse_args()
    try:
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", DEFAULT_EPOCH))
        build(arguments.output, arguments.root, arguments.programs, arguments.block, arguments.size, epoch)
    except (BuildError, OSError, ValueError) as error:
        sys.exit(f"mkfs: {error}")


if __name__ == "__main__":
    main()
