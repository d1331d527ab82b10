"""The disk image: the same bytes whoever builds it, and what the kernel expects in it."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
E2FSPROGS = {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


class MkfsTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.programs = []
        for name, size in (("init", 100_000), ("[", 10), ("zz", 5_000_000)):
            program = self.directory / name
            program.write_bytes(name.encode() * (size // len(name)))
            self.programs.append(program)

    def mkfs(self, name, programs, block=4096, environment=None, umask=0o022):
        output = self.directory / name
        result = subprocess.run([sys.executable, REPOSITORY / "mkfs" / "mkfs.py", "--root", REPOSITORY / "mkfs" / "root",
                                 "--block", str(block), "--output", output, *programs], check=False,
                                env=dict(os.environ, **(environment or {})), umask=umask, capture_output=True, text=True)
        return output, result

    def debugfs(self, image, request):
        return subprocess.run(["debugfs", "-R", request, image], env=E2FSPROGS, capture_output=True, check=True).stdout

    def test_two_builds_are_the_same_bytes(self):
        for block in (1024, 4096):
            first, result = self.mkfs("first", self.programs, block)
            self.assertEqual(result.returncode, 0, result.stderr)
            for program in self.programs:
                os.utime(program, (1, 1))
                program.chmod(0o700)
            other = {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
            second, _ = self.mkfs("second", list(reversed(self.programs)), block, other, 0o077)
            self.assertEqual(first.read_bytes(), second.read_bytes())

    def test_root_owns_every_file_and_modes_are_the_image_s(self):
        image, _ = self.mkfs("image", self.programs)
        listing = self.debugfs(image, "ls -l /").decode() + self.debugfs(image, "ls -l /bin").decode()
        for line in filter(str.strip, listing.splitlines()):
            self.assertEqual(line.split()[3:5], ["0", "0"], line)
        self.assertRegex(listing, r" 41777 .* tmp")
        self.assertRegex(listing, r" 100755 .* zz")
        self.assertRegex(listing, r" 120777 .* init")

    def test_contents_arrive(self):
        for block in (1024, 4096):
            image, _ = self.mkfs("image", self.programs, block)
            for program in self.programs:
                self.assertEqual(self.debugfs(image, f'cat "/bin/{program.name}"'), program.read_bytes())

    def test_a_missing_file_is_one_line(self):
        output, result = self.mkfs("image", [self.directory / "missing"])
        self.assertEqual((result.returncode, result.stderr.count("\n")), (1, 1))
        self.assertIn("missing", result.stderr)
        self.assertFalse(output.exists())

    def test_too_much_for_the_disk_is_an_error(self):
        big = self.directory / "big"
        big.write_bytes(b"x" * (130 << 20))
        output, result = self.mkfs("image", [big])
        self.assertNotEqual(result.returncode, 0)
        self.assertFalse(output.exists())

    def check_disk(self, image):
        return subprocess.run([sys.executable, "-B", REPOSITORY / "mkfs" / "check_disk.py", image], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_a_disk_that_was_unmounted_is_booted_as_it_is(self):
        image, _ = self.mkfs("image", self.programs)
        before = image.read_bytes()
        result = self.check_disk(image)
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertEqual(image.read_bytes(), before)

    def test_a_disk_that_was_not_unmounted_is_mended_and_one_line_says_so(self):
        # The superblock's s_state without its first bit; the flag of a journal that has yet to be written to the disk.
        for field, size, clear, set_bit in ((0x3A, 2, 0x1, 0), (0x60, 4, 0, 0x4)):
            image, _ = self.mkfs("image", self.programs)
            with open(image, "r+b") as disk:
                disk.seek(1024 + field)
                value = int.from_bytes(disk.read(size), "little")
                disk.seek(1024 + field)
                disk.write((value & ~clear | set_bit).to_bytes(size, "little"))
            result = self.check_disk(image)
            self.assertEqual((result.returncode, result.stdout),
                             (0, f"{image} was not unmounted: e2fsck -p mended it\n"))
            self.assertEqual(self.check_disk(image).stdout, "")

    def test_a_disk_that_e2fsck_will_not_mend_unasked_stops_the_boot(self):
        image, _ = self.mkfs("image", self.programs)
        subprocess.run(["debugfs", "-w", "-R", "set_inode_field <2> mode 0", image], env=E2FSPROGS, check=True,
                       capture_output=True)
        subprocess.run(["debugfs", "-w", "-R", "set_super_value state 0", image], env=E2FSPROGS, check=True,
                       capture_output=True)
        result = self.check_disk(image)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout.count("\n"), 1, result.stdout)
        self.assertIn(f"rm {image}", result.stdout)


if __name__ == "__main__":
    unittest.main()
