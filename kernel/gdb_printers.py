"""How gdb prints the kernel's values: as what they mean. Read before gdb.py, which uses the functions here."""

import gdb
import gdb.printing

PAGE_SHIFT = 12
FLAGS = "VRWXUGAD"
RIGHTS = 0b1110
SOFTWARE = {8: "uncounted", 9: "shared mapping"}  # kernel/mm/pte.hpp


def decode(entry):
    """A page-table entry's flags, as letters in the order of their bits, and its physical address."""
    flags = "".join(letter if entry >> bit & 1 else "-" for bit, letter in enumerate(FLAGS))
    return flags, (entry >> 10 & (1 << 44) - 1) << PAGE_SHIFT


def entry_kind(entry):
    """What a page-table entry stands for: the kinds of kernel/mm/pte.hpp."""
    if entry & 1:
        return "page" if entry & RIGHTS else "table"
    return {0b0010: "retained page", 0b0100: "shared table"}.get(entry & RIGHTS, "empty" if entry == 0 else "not valid")


def entry_text(entry):
    """A page-table entry in words, with its letters and software bits."""
    kind = entry_kind(entry)
    if kind == "empty":
        return kind
    flags, pa = decode(entry)
    return ", ".join([f"{kind} {pa:#x} {flags}", *(name for bit, name in SOFTWARE.items() if entry >> bit & 1)])


def enumerator(value):
    """The name of an enumeration's value without the enumeration's."""
    return str(value).rsplit("::", 1)[-1]


def permission_text(permission):
    """A Permission as `ls` would show it."""
    bits = int(permission["bits_"])
    return "".join(letter if bits >> bit & 1 else "-" for bit, letter in enumerate("rwx"))


def range_text(va_range):
    """A VaRange as /proc/PID/maps writes it."""
    start, end = (int(va_range[which]["value_"]) for which in ("start_", "end_"))
    return f"{start:#013x}-{end:#013x}"


def area_text(area):
    """A VmArea in one line."""
    start, end = (int(area["range_"][which]["value_"]) for which in ("start_", "end_"))
    sharing = "s" if enumerator(area["sharing_"]) == "Shared" else "p"
    loader = ("anonymous", "file", "page source")[int(area["loader_"]["_M_index"])]
    return (f"{range_text(area['range_'])}  {permission_text(area['permission_'])}{sharing}"
            f"  {(end - start) // 1024:>9} KiB  {loader}")


def frame_text(frame):
    """A Frame: whose page it is, and how many own it."""
    address = int(frame["address_"])
    if address == (1 << 64) - 1:
        return "no frame"
    origin = gdb.parse_and_eval("faultline::platform::frame_info_origin")
    info_type = gdb.lookup_type("faultline::FrameInfo")
    info = gdb.Value(int(origin) + (address >> PAGE_SHIFT) * info_type.sizeof).cast(info_type.pointer())
    return f"frame {address:#x}, references {int(info['references']['_M_i'])}"


def result_text(result):
    """A Result: its value, or the name of its error."""
    if not result["_M_has_value"]:
        return f"error {enumerator(result['_M_unex'])}"
    if result.type.strip_typedefs().template_argument(0).code == gdb.TYPE_CODE_VOID:
        return "success"
    return f"success: {result['_M_val']}"


def address_text(address):
    """A Va, Pa or Kva; a value may be seen as the base class that the three share."""
    kind = address.type.strip_typedefs().name.rsplit("::", 1)[-1].rstrip(">")
    return f"{kind} {int(address['value_']):#x}"


PRINTERS = {
    r"(Va|Pa|Kva)": address_text,
    r"VaRange": range_text,
    r"Permission": permission_text,
    r"Pte": lambda entry: entry_text(int(entry["raw_"])),
    r"Frame": frame_text,
    r"VmArea": area_text,
}


class Printer:
    """Prints a value by one of the functions above."""

    def __init__(self, function, value):
        self.function = function
        self.value = value

    def to_string(self):
        return self.function(self.value)


def printers():
    """The printers by the names of types, as gdb wants them."""
    collection = gdb.printing.RegexpCollectionPrettyPrinter("faultline")

    def add(pattern, function):
        collection.add_printer(pattern, pattern, lambda value: Printer(function, value))

    for name, function in PRINTERS.items():
        add(f"^faultline::{name}$", function)
    add(r"^std::expected<.*, faultline::KernelError>$", result_text)
    return collection


gdb.printing.register_pretty_printer(None, printers(), replace=True)
