// The device tree comes from outside: what a good one tells, and that no bad one leads outside its bytes (the
// blobs are in buffers of exactly their size, so the address sanitizer sees every step too far).

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory.hpp"

namespace faultline {
namespace {

/// Writes a flattened device tree, node by node.
class TreeBuilder {
 public:
  TreeBuilder& begin(const std::string& name) {
    cell(structure_, 1);
    structure_.insert(structure_.end(), name.begin(), name.end());
    structure_.push_back(0);
    pad();
    return *this;
  }
  TreeBuilder& end() {
    cell(structure_, 2);
    return *this;
  }
  TreeBuilder& cells(const std::string& name, std::initializer_list<std::uint32_t> values) {
    std::vector<unsigned char> bytes;
    for (const std::uint32_t value : values) cell(bytes, value);
    return property(name, bytes);
  }
  TreeBuilder& text(const std::string& name, const std::string& value) {
    return property(name, std::vector<unsigned char>(value.c_str(), value.c_str() + value.size() + 1));
  }
  TreeBuilder& reserve(std::uint64_t base, std::uint64_t size) {
    for (const std::uint64_t number : {base, size}) {
      cell(reservations_, static_cast<std::uint32_t>(number >> 32));
      cell(reservations_, static_cast<std::uint32_t>(number));
    }
    return *this;
  }

  std::vector<std::byte> blob() const {
    std::vector<unsigned char> structure = structure_, reservations = reservations_;
    cell(structure, 9);
    for (int i = 0; i < 4; ++i) cell(reservations, 0);
    const auto reservations_at = std::uint32_t{40};
    const auto structure_at = static_cast<std::uint32_t>(reservations_at + reservations.size());
    const auto strings_at = static_cast<std::uint32_t>(structure_at + structure.size());
    std::vector<unsigned char> bytes;
    for (const std::uint32_t word :
         {std::uint32_t{0xd00dfeed}, static_cast<std::uint32_t>(strings_at + strings_.size()), structure_at,
          strings_at, reservations_at, std::uint32_t{17}, std::uint32_t{16}, std::uint32_t{0},
          static_cast<std::uint32_t>(strings_.size()), static_cast<std::uint32_t>(structure.size())}) {
      cell(bytes, word);
    }
    bytes.insert(bytes.end(), reservations.begin(), reservations.end());
    bytes.insert(bytes.end(), structure.begin(), structure.end());
    bytes.insert(bytes.end(), strings_.begin(), strings_.end());
    std::vector<std::byte> result(bytes.size());
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }

 private:
  static void cell(std::vector<unsigned char>& bytes, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<unsigned char>(value >> shift));
  }
  TreeBuilder& property(const std::string& name, const std::vector<unsigned char>& value) {
    cell(structure_, 3);
    cell(structure_, static_cast<std::uint32_t>(value.size()));
    cell(structure_, static_cast<std::uint32_t>(strings_.size()));
    strings_.insert(strings_.end(), name.begin(), name.end());
    strings_.push_back(0);
    structure_.insert(structure_.end(), value.begin(), value.end());
    pad();
    return *this;
  }
  void pad() {
    while (structure_.size() % 4 != 0) structure_.push_back(0);
  }
  std::vector<unsigned char> structure_, strings_, reservations_;
};

/// Two harts, one memory of 128 MiB, the usual devices.
TreeBuilder small_board() {
  TreeBuilder tree;
  tree.reserve(0x87e00000, 0x1000);
  tree.begin("").cells("#address-cells", {2}).cells("#size-cells", {2});
  tree.begin("chosen").text("bootargs", "init=/bin/x  panic=boot root=vda").end();
  tree.begin("memory@80000000")
      .text("device_type", "memory")
      .cells("reg", {0, 0x80000000, 0, 0x8000000})
      .end();
  tree.begin("reserved-memory").cells("#address-cells", {2}).cells("#size-cells", {2}).cells("ranges", {});
  tree.begin("mmode@80000000").cells("reg", {0, 0x80000000, 0, 0x80000}).end().end();
  tree.begin("cpus")
      .cells("#address-cells", {1})
      .cells("#size-cells", {0})
      .cells("timebase-frequency", {10000000});
  for (const std::uint32_t hart : {0u, 5u}) {
    tree.begin("cpu@" + std::to_string(hart)).text("device_type", "cpu").cells("reg", {hart});
    tree.text("riscv,isa", hart == 0 ? "rv64imac_zicsr_sstc" : "rv64imac_zicsr")
        .text("mmu-type", "riscv,sv48");
    tree.begin("interrupt-controller")
        .text("compatible", "riscv,cpu-intc")
        .cells("phandle", {hart + 10})
        .end()
        .end();
  }
  tree.end();
  tree.begin("soc").cells("#address-cells", {2}).cells("#size-cells", {2}).cells("ranges", {});
  tree.begin("serial@10000000").text("compatible", "ns16550a").cells("reg", {0, 0x10000000, 0, 0x100});
  tree.cells("interrupts", {10}).end();
  tree.begin("virtio@10001000").text("compatible", "virtio,mmio").cells("reg", {0, 0x10001000, 0, 0x1000});
  tree.cells("interrupts", {1}).end();
  tree.begin("plic@c000000").text("compatible", "riscv,plic0").cells("reg", {0, 0xc000000, 0, 0x600000});
  tree.cells("riscv,ndev", {96}).cells("interrupts-extended", {10, 11, 10, 9, 15, 11, 15, 9}).end();
  return tree;
}

std::vector<std::byte> finished(TreeBuilder tree) { return tree.end().end().blob(); }

/// Describes a copy of the blob in a buffer of its own size.
struct Described {
  explicit Described(const std::vector<std::byte>& blob)
      : size(blob.size()), bytes(new std::byte[blob.size()]), machine(std::make_unique<Machine>()) {
    std::copy(blob.begin(), blob.end(), bytes.get());
    result = describe_machine({bytes.get(), size}, *machine);
  }
  std::size_t size;
  std::unique_ptr<std::byte[]> bytes;
  std::unique_ptr<Machine> machine;
  std::expected<void, fdt::Error> result;
};

TEST_CASE("device tree: memory, reserved ranges, harts and devices are found") {
  const Described board(finished(small_board()));
  REQUIRE(board.result.has_value());
  const Machine& machine = *board.machine;
  REQUIRE(machine.memory.size() == 1);
  CHECK(machine.memory[0].start == 0x80000000);
  CHECK(machine.memory[0].end == 0x88000000);
  REQUIRE(machine.reserved.size() == 2);
  CHECK(machine.reserved[0].end == 0x80080000);
  CHECK(machine.reserved[1].start == 0x87e00000);
  CHECK(machine.timebase_frequency == 10000000);
  REQUIRE(machine.harts.size() == 2);
  CHECK(machine.harts[1].hardware_id == 5);
  CHECK(machine.harts[1].interrupt_controller == 15);
  CHECK(machine.harts[0].has_sstc);
  CHECK_FALSE(machine.harts[1].has_sstc);
  REQUIRE(machine.uart.has_value());
  CHECK(machine.uart->interrupt.number == 10);
  REQUIRE(machine.plics.size() == 1);
  CHECK(machine.plics[0].sources == 96);
  CHECK(machine.plics[0].contexts.size() == 4);
  CHECK(machine.plics[0].contexts[3].controller == 15);
  REQUIRE(machine.virtio.size() == 1);
  CHECK(machine.virtio[0].interrupt.number == 1);
  CHECK(machine.virtio[0].interrupt.controller == 0);
  CHECK(machine.software_interrupts.size() == 0);
  CHECK(machine.unsupported_controller.empty());
}

TEST_CASE(
    "device tree: every interrupt controller is found, and each device's own is the nearest "
    "interrupt-parent") {
  TreeBuilder tree = small_board();
  tree.begin("plic@d000000").text("compatible", "riscv,plic0").cells("reg", {0, 0xd000000, 0, 0x600000});
  tree.cells("phandle", {21}).cells("riscv,ndev", {53}).cells("interrupts-extended", {15, 9}).end();
  const auto device = [&](const char* name, std::uint32_t base) -> TreeBuilder& {
    return tree.begin(name).text("compatible", "virtio,mmio").cells("reg", {0, base, 0, 0x1000});
  };
  tree.begin("bus").cells("#address-cells", {2}).cells("#size-cells", {2}).cells("ranges", {});
  tree.cells("interrupt-parent", {21});
  device("virtio@1", 0x1000).cells("interrupts", {2}).end();
  device("virtio@2", 0x2000).cells("interrupts", {3}).cells("interrupt-parent", {20}).end();
  device("virtio@3", 0x3000).cells("interrupts-extended", {22, 4}).end();
  tree.end();
  const Described board(finished(tree));
  REQUIRE(board.result.has_value());
  REQUIRE(board.machine->plics.size() == 2);
  CHECK(board.machine->plics[1].phandle == 21);
  CHECK(board.machine->plics[1].sources == 53);
  const auto& virtio = board.machine->virtio;
  REQUIRE(virtio.size() == 4);
  for (std::uint32_t i = 1; i < 4; ++i) CHECK(virtio[i].interrupt.number == i + 1);
  CHECK(virtio[1].interrupt.controller == 21);
  CHECK(virtio[2].interrupt.controller == 20);
  CHECK(virtio[3].interrupt.controller == 22);
}

TEST_CASE("device tree: an interrupt controller that is no PLIC is named, a hart's own is not") {
  TreeBuilder tree = small_board();
  for (const char* kind : {"riscv,aclint-mswi", "riscv,aplic", "riscv,other"}) {
    tree.begin("controller").text("compatible", kind).cells("interrupt-controller", {});
    tree.cells("#interrupt-cells", {kind == std::string("riscv,aclint-mswi") ? 0u : 2u}).end();
  }
  const Described board(finished(tree));
  REQUIRE(board.result.has_value());
  CHECK(board.machine->unsupported_controller == "riscv,aplic");
}

TEST_CASE("device tree: a hart has floating-point registers where its letters, or its list, say F and D") {
  const auto has = [](const char* isa) {
    TreeBuilder tree;
    tree.begin("").cells("#address-cells", {2}).cells("#size-cells", {2});
    tree.begin("memory@1").text("device_type", "memory").cells("reg", {0, 0x80000000, 0, 0x8000000}).end();
    tree.begin("cpus").cells("#address-cells", {1}).cells("#size-cells", {0});
    tree.cells("timebase-frequency", {10000000});
    tree.begin("cpu@0").text("device_type", "cpu").cells("reg", {0}).text("mmu-type", "riscv,sv39");
    tree.text("riscv,isa", isa).end().end().end();
    const Described board(tree.blob());
    REQUIRE(board.result.has_value());
    return board.machine->harts[0].has_floating_point;
  };
  CHECK(has("rv64imafdc"));
  CHECK(has("rv64gc_zba"));
  CHECK(has("rv64imafdczicsr"));
  CHECK_FALSE(has("rv64imac"));
  CHECK_FALSE(has("rv64imafc_zicsr_zfd"));
  CHECK_FALSE(has("rv64imac_svadu_zfh"));
  CHECK_FALSE(has("rv32imafdc"));
  CHECK_FALSE(has(""));
}

TEST_CASE("memory layout: ranges that join are one memory, in whatever order they are listed") {
  TreeBuilder tree = small_board();
  tree.end();
  tree.begin("memory@98000000")
      .text("device_type", "memory")
      .cells("reg", {0, 0x90000000, 0, 0x8000000})
      .end();
  tree.begin("memory@88000000")
      .text("device_type", "memory")
      .cells("reg", {0, 0x88000000, 0, 0x8000000})
      .end();
  tree.begin("memory@a0000000")
      .text("device_type", "memory")
      .cells("reg", {0, 0xa0000000, 0, 0x8000000})
      .end();
  tree.end();
  const Described board(tree.blob());
  REQUIRE(board.result.has_value());
  memory::Layout layout;
  REQUIRE(memory::find_layout(*board.machine, {0x80200000, 0x80280000}, {0x87e00000, 0x87e00800}, layout));
  CHECK(layout.managed.end == 0x98000000);
}

TEST_CASE("device tree: boot arguments are words key=value") {
  const Described board(finished(small_board()));
  REQUIRE(board.result.has_value());
  CHECK(board.machine->boot_argument("init") == "/bin/x");
  CHECK(board.machine->boot_argument("panic") == "boot");
  CHECK(board.machine->boot_argument("root") == "vda");
  CHECK_FALSE(board.machine->boot_argument("roo").has_value());
  CHECK_FALSE(board.machine->boot_argument("").has_value());
}

TEST_CASE("device tree: cut off anywhere, it is refused") {
  const std::vector<std::byte> whole = finished(small_board());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Described board(
        std::vector<std::byte>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    CHECK_FALSE(board.result.has_value());
  }
}

TEST_CASE("device tree: with any byte changed, nothing outside its bytes is read") {
  std::vector<std::byte> blob = finished(small_board());
  unsigned refused = 0;
  for (std::byte& byte : blob) {
    const std::byte before = byte;
    for (const auto value :
         {std::byte{0}, std::byte{0xff}, before ^ std::byte{1}, before ^ std::byte{0x80}}) {
      byte = value;
      if (!Described(blob).result) ++refused;
    }
    byte = before;
  }
  CHECK(refused > 0);
  CHECK(Described(blob).result.has_value());
}

TEST_CASE("device tree: nesting without end is refused") {
  TreeBuilder tree;
  for (int i = 0; i < 1000; ++i) tree.begin("n");
  for (int i = 0; i < 1000; ++i) tree.end();
  CHECK(Described(tree.blob()).result.error() == "device tree nested too deeply");
}

TEST_CASE("device tree: more ends than beginnings are refused") {
  TreeBuilder tree;
  tree.begin("").end().end();
  CHECK_FALSE(Described(tree.blob()).result.has_value());
}

TEST_CASE("device tree: a board without memory, harts or a clock is refused") {
  TreeBuilder tree;
  tree.begin("").end();
  CHECK(Described(tree.blob()).result.error() == "device tree without memory");
}

TEST_CASE("device tree: ranges that wrap or are empty are not memory") {
  TreeBuilder tree = small_board();
  tree.end();
  tree.begin("memory@1").text("device_type", "memory");
  tree.cells("reg", {0xffffffff, 0xfffff000, 0, 0x2000, 0, 0x90000000, 0, 0}).end().end();
  const Described board(tree.blob());
  REQUIRE(board.result.has_value());
  CHECK(board.machine->memory.size() == 1);
}

TEST_CASE("device tree: devices that are disabled or behind a translating bus are left alone") {
  TreeBuilder tree = small_board();
  tree.begin("virtio@1").text("compatible", "virtio,mmio").cells("reg", {0, 0x1000, 0, 0x1000});
  tree.text("status", "disabled").end();
  tree.end();
  tree.begin("bus")
      .cells("#address-cells", {2})
      .cells("#size-cells", {2})
      .cells("ranges", {0, 0, 0, 0x40000000, 0, 1});
  tree.begin("virtio@2").text("compatible", "virtio,mmio").cells("reg", {0, 0x2000, 0, 0x1000}).end();
  tree.end().end();
  const Described board(tree.blob());
  REQUIRE(board.result.has_value());
  CHECK(board.machine->virtio.size() == 1);
}

TEST_CASE("device tree: more reserved ranges than the kernel can keep are refused, not forgotten") {
  TreeBuilder tree = small_board();
  for (std::uint64_t i = 0; i < 40; ++i) tree.reserve(0x81000000 + i * 0x10000, 0x1000);
  CHECK(Described(finished(tree)).result.error() == "device tree with too many reserved ranges");
}

TEST_CASE("memory layout: image, device tree and reserved ranges are not free") {
  const Described board(finished(small_board()));
  const PaRange image{0x80200000, 0x80280000}, tree{0x87e00000, 0x87e00800};
  memory::Layout layout;
  REQUIRE(memory::find_layout(*board.machine, image, tree, layout));
  CHECK(layout.managed.start == image.start);
  CHECK(layout.managed.end == 0x88000000);
  REQUIRE(layout.free.size() == 2);
  CHECK(layout.free[0].start == image.end);
  CHECK(layout.free[0].end == 0x87e00000);
  CHECK(layout.free[1].start == 0x87e01000);
  // Reserved by the firmware, but it is the device tree itself: it stays readable.
  REQUIRE(layout.mapped.size() == 1);
  CHECK(layout.mapped[0].start == image.start);
}

TEST_CASE("memory layout: a reserved range in the middle is neither free nor mapped") {
  TreeBuilder tree = small_board();
  tree.reserve(0x82000800, 0x1000);
  const Described board(finished(tree));
  memory::Layout layout;
  REQUIRE(memory::find_layout(*board.machine, {0x80200000, 0x80280000}, {0x87e00000, 0x87e00800}, layout));
  REQUIRE(layout.mapped.size() == 2);
  CHECK(layout.mapped[0].end == 0x82000000);
  CHECK(layout.mapped[1].start == 0x82002000);
}

TEST_CASE("memory layout: an image outside of all memory is refused") {
  const Described board(finished(small_board()));
  memory::Layout layout;
  CHECK_FALSE(
      memory::find_layout(*board.machine, {0x40200000, 0x40280000}, {0x87e00000, 0x87e00800}, layout));
}

}  // namespace
}  // namespace faultline
