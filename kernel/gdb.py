"""gdb's commands that know the kernel; `make gdb` reads this after gdb_printers.py.

  vmmap [ID]              the memory areas of a process; without a number, of the one the selected hart runs
  walk VA                 the page-table entries that translate VA on the current hart, level by level, decoded
  ps                      all processes
  harts                   what each hart runs now
  user NAME               the symbols of a user program, in place of another's
  break-in NAME FUNCTION  stops where the program NAME, and no other, enters FUNCTION
"""

import pathlib

import gdb

SV39 = 8  # satp.MODE, RISC-V Privileged Architecture, section "Supervisor Address Translation and Protection"
USER_END = 1 << 38


class PhysicalMemory:
    """While it is entered, addresses given to QEMU's stub are physical ones."""

    def _mode(self, mode):
        gdb.execute(f"maintenance packet Qqemu.PhyMemMode:{mode}", to_string=True)
        gdb.execute("maintenance flush dcache", to_string=True)

    def __enter__(self):
        self._mode(1)
        return self

    def __exit__(self, *_):
        self._mode(0)

    def read_u64(self, address):
        """The eight bytes at a physical address."""
        return int.from_bytes(gdb.selected_inferior().read_memory(address, 8).tobytes(), "little")


def register(name):
    """A register of the selected hart as an unsigned number."""
    return int(gdb.parse_and_eval(f"${name}")) & (1 << 64) - 1


class Walk(gdb.Command):
    """walk VA: the page-table entries that translate VA on the selected hart, from the root down."""

    def __init__(self):
        super().__init__("walk", gdb.COMMAND_DATA)

    def invoke(self, argument, _):
        if not argument:
            raise gdb.GdbError("walk: which address?")
        va = int(gdb.parse_and_eval(argument)) & (1 << 64) - 1
        satp = register("satp")
        if satp >> 60 != SV39:
            raise gdb.GdbError(f"walk: satp is {satp:#x}: no Sv39 table is in use on this hart")
        if va + (1 << 38) & (1 << 64) - 1 >= 1 << 39:
            raise gdb.GdbError(f"walk: {va:#x} is not canonical: bits 63 to 39 have to repeat bit 38")
        table = (satp & (1 << 44) - 1) << PAGE_SHIFT
        print(f"satp {satp:#018x}  ASID {satp >> 44 & 0xffff}  root table {table:#x}")
        with PhysicalMemory() as memory:
            for level in (2, 1, 0):
                shift = PAGE_SHIFT + 9 * level
                index = va >> shift & 511
                entry = memory.read_u64(table + 8 * index)
                flags, pa = decode(entry)
                print(f"level {level} [{index:3}] at {table + 8 * index:#x}: {entry:#018x}  {entry_text(entry)}")
                if not entry & 1:
                    print("an access faults here")
                    return
                if entry & 0xe:
                    offset = va & (1 << shift) - 1
                    print(f"{va:#x} is physical {pa + offset:#x}, in a page of {1 << shift - 10} KiB")
                    return
                table = pa
        print("the last level holds no leaf: an access faults here")


class SupervisorView:
    """While it is entered, kernel memory can be read although the selected hart is in user mode: QEMU's stub reads
    with the rights of the hart's mode, and lets us set that."""

    def __enter__(self):
        self.mode = register("priv")
        if self.mode == 0:
            gdb.execute("set var $priv = 1")
            gdb.execute("maintenance flush dcache", to_string=True)
        return self

    def __exit__(self, *_):
        if self.mode == 0:
            gdb.execute("set var $priv = 0")
            gdb.execute("maintenance flush dcache", to_string=True)


def kernel_type(name):
    """A pointer to one of the kernel's types."""
    return gdb.lookup_type(f"faultline::{name}").pointer()


def kernel_object(name):
    """One of the kernel's global objects."""
    return gdb.parse_and_eval(f"faultline::{name}")


def pointed_to(handle):
    """The pointer in a Ref."""
    return handle["object_"]


def text(characters):
    """A character array up to its 0."""
    return characters.string(errors="replace")


def processes():
    """All processes, by number."""
    table = kernel_object("process_table")["processes_"]
    size = table.type.sizeof // 8
    words = gdb.selected_inferior().read_memory(int(table.address), 8 * size).cast("Q")
    return [gdb.Value(word).cast(kernel_type("Process")) for word in words if word]


def threads_of(process):
    """The UserThreads of a process that have not begun to exit."""
    head = process["threads"]["head_"]
    node = head["next_"]
    while node != head.address:
        yield node.cast(kernel_type("UserThread"))
        node = node["next_"]


def current_thread():
    """The kernel's Thread on the selected hart, or None while the hart is in the firmware or not started."""
    if register("priv") == 3 or register("satp") == 0:
        return None
    # sscratch is 0 in the kernel, where tp is the thread. In user mode it points to the trap frame at the top of the
    # thread's kernel stack; the thread's address stands behind the frame.
    scratch = register("sscratch")
    with SupervisorView():
        if scratch == 0:
            control = gdb.Value(register("tp"))
        else:
            frame_size = gdb.lookup_type("faultline::TrapFrame").sizeof
            memory = gdb.selected_inferior().read_memory(scratch + frame_size, 8)
            control = gdb.Value(int.from_bytes(memory.tobytes(), "little"))
        thread = control.cast(kernel_type("ThreadControl")).cast(kernel_type("Thread"))
        thread["id"].fetch_lazy()
    return thread


def areas(process):
    """The VmAreas of a process from the lowest up; none while it has no memory."""
    space = pointed_to(process["memory"])
    if not space:
        return
    pager = space["mm_"]["pager_"]
    if pager.type.fields()[-1].name == "policy_":
        # AnyPager: whichever policy the variant holds, it begins with its AreaPager.
        pager = pager["policy_"].address.cast(kernel_type("AreaPager")).dereference()
    pending = []
    node = pager["areas_"]["root_"]
    while pending or node:
        while node:
            pending.append(node)
            node = node["left_"]
        node = pending.pop()
        yield node
        node = node["right_"]


class VmMap(gdb.Command):
    """vmmap [ID]: the memory areas of a process; without a number, of the one that the selected hart runs."""

    def __init__(self):
        super().__init__("vmmap", gdb.COMMAND_DATA)

    def invoke(self, argument, _):
        thread = None if argument else current_thread()
        with SupervisorView():
            if argument:
                wanted = int(gdb.parse_and_eval(argument))
                process = next((process for process in processes() if int(process["id"]) == wanted), None)
                if process is None:
                    raise gdb.GdbError(f"vmmap: no process {wanted}")
            elif thread is None or not thread["process"]:
                raise gdb.GdbError("vmmap: this hart runs no process; name one (see ps)")
            else:
                process = thread["process"]
            print(f"process {int(process['id'])} {text(process['name'])}")
            for area in areas(process):
                print(f"  {area_text(area)}")


class Ps(gdb.Command):
    """ps: all processes with their threads."""

    def __init__(self):
        super().__init__("ps", gdb.COMMAND_STATUS)

    def invoke(self, _, __):
        with SupervisorView():
            print(f"{'ID':>5} {'PARENT':>6} {'STATE':<8} {'THREADS':>7} {'AREAS':>5}  NAME")
            for process in processes():
                state = enumerator(process["state"])
                threads = sum(1 for _ in threads_of(process))
                count = sum(1 for _ in areas(process))
                parent = int(process["parent_id"]["_M_i"])
                name = text(process["name"])
                print(f"{int(process['id']):>5} {parent:>6} {state:<8} {threads:>7} {count:>5}  {name}")


class Harts(gdb.Command):
    """harts: what each hart runs now."""

    MODES = {0: "user", 1: "kernel", 3: "firmware"}

    def __init__(self):
        super().__init__("harts", gdb.COMMAND_STATUS)

    def describe(self):
        """What the selected hart runs."""
        try:
            thread = current_thread()
            if thread is None:
                return "not started" if register("priv") == 3 else "starting"
            with SupervisorView():
                hart = thread["hart"]
                name = text(thread["name"])
                work = "idle" if thread == hart["idle"] else f"kernel thread {name}"
                if thread["process"]:
                    work = f"process {int(thread['process']['id'])} {name}, thread {int(thread['id'])}"
                return f"hart {int(hart['id'])}: {work}"
        except gdb.error:
            return "starting"  # its registers do not yet point to a thread

    def invoke(self, _, __):
        selected = gdb.selected_thread()
        for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
            thread.switch()
            pc = register("pc")
            place = gdb.execute(f"info symbol {pc:#x}", to_string=True).splitlines()[0]
            place = "" if place.startswith("No symbol") else f" {place.split(' in section')[0]}"
            mark = "*" if thread.num == selected.num else " "
            print(f"{mark} gdb thread {thread.num}  {self.MODES.get(register('priv'), '?'):<8} pc {pc:#018x}{place}"
                  f"  {self.describe()}")
        selected.switch()


class User(gdb.Command):
    """user NAME: the symbols of a user program, in place of those of another. Programs lie at the same addresses, so that
    gdb could not tell two of them apart."""

    loaded = None

    def __init__(self):
        super().__init__("user", gdb.COMMAND_FILES)

    @classmethod
    def load(cls, name):
        """Loads the program's symbols unless they are."""
        path = pathlib.Path(PROGRAMS, name).resolve()
        if not name or not path.is_file():
            raise gdb.GdbError(f"user: there is no program '{name}' in {PROGRAMS}")
        if cls.loaded == path:
            return
        if cls.loaded:
            gdb.execute(f"remove-symbol-file '{cls.loaded}'", to_string=True)
        gdb.execute(f"add-symbol-file '{path}'", to_string=True)
        cls.loaded = path

    def invoke(self, argument, _):
        self.load(argument)
        print(f"Symbols of the program {argument}.")


class BreakpointInProgram(gdb.Breakpoint):
    """Stops a process that has executed the program; others go on although they have the address."""

    def __init__(self, program, address):
        super().__init__(f"*{address:#x}")
        self.program = program[:15]  # as Process::name keeps it

    def stop(self):
        thread = current_thread()
        with SupervisorView():
            return bool(thread and thread["process"]) and text(thread["process"]["name"]) == self.program


class BreakIn(gdb.Command):
    """break-in NAME FUNCTION: stops where the program NAME, and no other, enters FUNCTION, on any hart."""

    def __init__(self):
        super().__init__("break-in", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, _):
        words = argument.split()
        if len(words) != 2:
            raise gdb.GdbError("break-in: which program, and which of its functions?")
        program, function = words
        User.load(program)
        # A kernel's function of that name lies in the upper half.
        places = [place.pc for place in gdb.decode_line(function)[1] or () if place.pc < USER_END]
        if not places:
            raise gdb.GdbError(f"break-in: {program} has no function {function}")
        for address in places:
            BreakpointInProgram(program, address)


for command in (Walk, VmMap, Ps, Harts, User, BreakIn):
    command()
