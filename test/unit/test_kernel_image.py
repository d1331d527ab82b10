"""The kernel's ELF file: its size, its permissions, its table of symbols."""

import os
import pathlib
import struct
import subprocess
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / os.environ.get("BUILD", "build")
TOOLPREFIX = os.environ.get("TOOLPREFIX", "riscv64-linux-gnu-")
SIZE_LIMIT = 640 * 1024


class KernelImageTest(unittest.TestCase):
    """Each test looks at the kernels of all pagers."""

    def each_kernel(self):
        for pager in os.environ.get("PAGERS", "lazy").split():
            with self.subTest(pager=pager):
                yield BUILD / f"kernel-{pager}.elf"

    def sections(self, kernel):
        """{name: (address, bytes)} of the sections that are loaded with contents."""
        data = kernel.read_bytes()
        offset, = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        headers = [struct.unpack_from("<IIQQQQ", data, offset + size * n) for n in range(count)]
        strings = headers[names][4]

        def name(header):
            start = strings + header[0]
            return data[start:data.index(b"\0", start)].decode()

        return {name(header): (header[3], data[header[4]:header[4] + header[5]])
                for header in headers if header[2] & 2 and header[1] != 8}  # SHF_ALLOC, not SHT_NOBITS

    def symbol(self, kernel, name):
        listing = subprocess.run([TOOLPREFIX + "nm", kernel], check=True, capture_output=True, text=True).stdout
        return next(int(line.split()[0], 16) for line in listing.splitlines() if line.split()[-1] == name)

    def test_the_interface_is_what_runs(self):
        # The linker drops what nothing calls, so a function that is here is one that a fault, a fork or a system call
        # goes through, and a breakpoint on it stops.
        common = {"AreaPager::munmap(PageTable&, Va)", "AreaPager::munmap(PageTable&, VaRange)", "AreaPager::access_ok(Va, Access)"}
        own = {"lazy": "LazyPager::mmap LazyPager::get_user_page LazyPager::handle_page_fault LazyPager::do_lazy_load "
                       "LazyPager::do_copy_on_write LazyPager::write_protect_ptes LazyPager::clone",
               "eager": "EagerPager::mmap EagerPager::get_user_page EagerPager::handle_page_fault EagerPager::fork"}
        for pager, names in own.items():
            listing = subprocess.run([TOOLPREFIX + "nm", "-C", BUILD / f"kernel-{pager}.elf"], check=True,
                                     capture_output=True, text=True).stdout.replace("faultline::", "")
            symbols = [line.split(" ", 2)[2] for line in listing.splitlines() if line.split(" ", 2)[1] in "Tt"]
            for name in sorted(common | set(names.split())):
                with self.subTest(pager=pager, function=name):
                    self.assertTrue(any(symbol.startswith(name if "(" in name else name + "(") for symbol in symbols),
                                    f"{name} is not in the kernel: nothing calls it")

    def test_code_and_data_fit_in_640_kib(self):
        for kernel in self.each_kernel():
            sections = self.sections(kernel)
            self.assertLessEqual(sum(len(sections[name][1]) for name in (".text", ".rodata", ".data")), SIZE_LIMIT)

    def test_no_segment_is_both_writable_and_executable(self):
        for kernel in self.each_kernel():
            data = kernel.read_bytes()
            offset, = struct.unpack_from("<Q", data, 32)
            size, count = struct.unpack_from("<HH", data, 54)
            for number in range(count):
                kind, flags = struct.unpack_from("<II", data, offset + size * number)
                self.assertFalse(kind == 1 and flags & 3 == 3, f"segment {number} of {kernel.name}")

    def test_no_floating_point_and_no_gp_in_the_kernel(self):
        # The registers of the program that trapped stay where they are until its thread is switched away; trap.S and
        # the code that saves them are the exception, in assembly.
        for kernel in self.each_kernel():
            header = kernel.read_bytes()[:64]
            self.assertEqual(struct.unpack_from("<I", header, 48)[0] & 6, 0, "the kernel's ABI passes floats")
            self.assertNotIn(b"__global_pointer$", kernel.read_bytes())

    def test_the_table_of_symbols_is_ordered_and_names_each_function(self):
        for kernel in self.each_kernel():
            begin, end, names = (self.symbol(kernel, f"faultline_symbol{suffix}")
                                 for suffix in ("s_begin", "s_end", "_names"))
            address, contents = self.sections(kernel)[".symbols"]
            entries = [struct.unpack_from("<QII", contents, at) for at in range(begin - address, end - address, 16)]
            addresses = [entry[0] for entry in entries]
            self.assertEqual(addresses, sorted(set(addresses)))

            def name(offset):
                start = names - address + offset
                return contents[start:contents.index(b"\0", start)].decode()

            table = {entry[0]: name(entry[1]) for entry in entries}
            for function in ("_start", "trap_entry"):
                self.assertEqual(table[self.symbol(kernel, function)], function)


if __name__ == "__main__":
    unittest.main()
