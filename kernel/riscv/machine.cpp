#include "kernel/riscv/machine.hpp"

#include <algorithm>

namespace faultline {

Machine machine;

namespace {

constexpr std::uint64_t kPhysicalEnd = std::uint64_t{1} << 56;

std::optional<PaRange> physical_range(std::optional<fdt::Node::Region> region) {
  if (!region || region->size == 0 || region->base + region->size > kPhysicalEnd) return std::nullopt;
  return PaRange{region->base, region->base + region->size};
}

/// True when `isa` ("rv64imafdc_zicsr_sstc") names a multi-letter extension.
bool isa_has(std::string_view isa, std::string_view extension) {
  while (!isa.empty()) {
    const std::size_t end = std::min(isa.find('_'), isa.size());
    if (isa.substr(0, end) == extension) return true;
    isa.remove_prefix(std::min(end + 1, isa.size()));
  }
  return false;
}

/// True when the single letters of `isa` name this extension, or G, which stands for IMAFD.
bool isa_has_letter(std::string_view isa, char extension) {
  constexpr std::string_view kBase = "rv64";
  if (!isa.starts_with(kBase)) return false;
  isa.remove_prefix(kBase.size());
  const std::string_view letters = isa.substr(0, isa.find_first_of("_zsx"));
  return letters.contains(extension) || letters.contains('g');
}

void describe_memory(const fdt::Node& node, BoundedList<PaRange, 16>& ranges) {
  for (std::size_t i = 0; node.region(i); ++i) {
    if (const auto range = physical_range(node.region(i))) ranges.add(*range);
  }
}

void describe_hart(const fdt::Node& node, Machine& machine) {
  // A hart without an MMU cannot run this kernel; such harts sit beside others on some boards.
  const auto mmu = node.property("mmu-type");
  const auto number = node.property("reg");
  if (!mmu || !number || mmu->text() == "riscv,none") return;
  const auto id = number->number();
  if (!id) return;
  HartDescription hart;
  hart.hardware_id = *id;
  if (const auto isa = node.property("riscv,isa")) {
    hart.isa = isa->text();
    hart.has_sstc = isa_has(hart.isa, "sstc");
    hart.has_floating_point = isa_has_letter(hart.isa, 'f') && isa_has_letter(hart.isa, 'd');
  }
  if (const auto extensions = node.property("riscv,isa-extensions")) {
    if (hart.isa.empty()) hart.isa = extensions->text();
    hart.has_sstc |= extensions->lists("sstc");
    hart.has_floating_point |= extensions->lists("f") && extensions->lists("d");
  }
  machine.harts.add(hart);
}

/// The local interrupt controller of the hart described last: a child of its node.
void describe_local_controller(const fdt::Node& node, Machine& machine) {
  const auto number = node.parent()->property("reg");
  const auto phandle = node.property("phandle");
  if (!number || !phandle) return;
  for (HartDescription& hart : machine.harts) {
    if (number->number() == hart.hardware_id) hart.interrupt_controller = phandle->cell(0).value_or(0);
  }
}

std::optional<InterruptTarget> describe_interrupt_target(const fdt::Node& node) {
  const auto registers = physical_range(node.region(0));
  const auto targets = node.property("interrupts-extended");
  if (!registers || !targets) return std::nullopt;
  InterruptTarget target;
  target.registers = *registers;
  if (const auto phandle = node.property("phandle")) target.phandle = phandle->cell(0).value_or(0);
  if (const auto sources = node.property("riscv,ndev")) target.sources = sources->cell(0).value_or(0);
  for (std::size_t i = 0; targets->cell(i + 1); i += 2) {
    target.contexts.add({*targets->cell(i), *targets->cell(i + 1)});
  }
  return target;
}

/// The nearest `interrupt-parent` at the node or above it.
std::uint32_t interrupt_parent(const fdt::Node& node) {
  for (const fdt::Node* at = &node; at != nullptr; at = at->parent()) {
    if (const auto parent = at->property("interrupt-parent")) return parent->cell(0).value_or(0);
  }
  return 0;
}

InterruptSource first_interrupt(const fdt::Node& node) {
  if (const auto extended = node.property("interrupts-extended"))
    return {extended->cell(0).value_or(0), extended->cell(1).value_or(0)};
  const auto interrupts = node.property("interrupts");
  if (!interrupts) return {};
  return {interrupt_parent(node), interrupts->cell(0).value_or(0)};
}

/// True for an interrupt controller that devices can name; those of harts' own interrupts have no cells for
/// it.
bool serves_devices(const fdt::Node& node) {
  const auto cells = node.property("#interrupt-cells");
  return node.property("interrupt-controller") && cells && cells->cell(0).value_or(0) != 0;
}

template <std::size_t kCapacity>
void add_interrupt_target(const fdt::Node& node, BoundedList<InterruptTarget, kCapacity>& targets) {
  if (const auto target = describe_interrupt_target(node)) targets.add(*target);
}

void describe_device(const fdt::Node& node, Machine& machine) {
  const auto registers = physical_range(node.region(0));
  if (node.compatible("riscv,plic0") || node.compatible("sifive,plic-1.0.0")) {
    add_interrupt_target(node, machine.plics);
  } else if (node.compatible("riscv,aclint-sswi")) {
    add_interrupt_target(node, machine.software_interrupts);
  } else if (serves_devices(node)) {
    const auto compatible = node.property("compatible");
    if (compatible && machine.unsupported_controller.empty())
      machine.unsupported_controller = compatible->text();
  } else if (!registers) {
    return;
  } else if (node.compatible("ns16550a") || node.compatible("ns16550")) {
    if (machine.uart) return;
    UartDescription uart{*registers, first_interrupt(node), 0};
    if (const auto shift = node.property("reg-shift")) uart.register_shift = shift->cell(0).value_or(0);
    if (uart.register_shift <= 3 && registers->size() >= std::uint64_t{8} << uart.register_shift)
      machine.uart = uart;
  } else if (node.compatible("virtio,mmio")) {
    machine.virtio.add({Pa::checked(registers->start), registers->size(), first_interrupt(node)});
  } else if (node.compatible("sifive,test0")) {
    if (!machine.test_finisher) machine.test_finisher = *registers;
  } else if (node.compatible("google,goldfish-rtc")) {
    if (!machine.real_time_clock) machine.real_time_clock = *registers;
  }
}

void describe_node(const fdt::Node& node, Machine& machine) {
  if (node.parent() == nullptr || !node.enabled()) return;
  const std::string_view parent = node.parent()->base_name();
  const auto type = node.property("device_type");
  if (node.name() == "chosen") {
    if (const auto arguments = node.property("bootargs")) machine.boot_arguments = arguments->text();
  } else if (node.name() == "cpus") {
    if (const auto frequency = node.property("timebase-frequency")) {
      machine.timebase_frequency = frequency->number().value_or(0);
    }
  } else if (type && type->text() == "memory") {
    describe_memory(node, machine.memory);
  } else if (type && type->text() == "cpu" && parent == "cpus") {
    describe_hart(node, machine);
  } else if (parent == "cpu" && node.compatible("riscv,cpu-intc")) {
    describe_local_controller(node, machine);
  } else if (parent == "reserved-memory") {
    for (std::size_t i = 0; node.region(i); ++i) {
      if (const auto range = physical_range(node.region(i))) machine.reserved.add(*range);
    }
  } else {
    describe_device(node, machine);
  }
}

}  // namespace

std::optional<std::string_view> Machine::boot_argument(std::string_view key) const {
  std::string_view rest = boot_arguments;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    if (word.size() > key.size() && word.starts_with(key) && word[key.size()] == '=') {
      return word.substr(key.size() + 1);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

std::expected<void, fdt::Error> describe_machine(fdt::Bytes blob, Machine& machine) {
  const auto tree = fdt::Tree::from(blob);
  if (!tree) return std::unexpected(tree.error());
  tree->walk([&](const fdt::Node& node) { describe_node(node, machine); });
  tree->for_each_reservation([&](fdt::Node::Region region) {
    if (const auto range = physical_range(region)) machine.reserved.add(*range);
  });
  if (machine.reserved.dropped() != 0) return std::unexpected("device tree with too many reserved ranges");
  if (machine.memory.size() == 0) return std::unexpected("device tree without memory");
  if (machine.harts.size() == 0) return std::unexpected("device tree without a usable hart");
  if (machine.timebase_frequency == 0 || machine.timebase_frequency > 1'000'000'000) {
    return std::unexpected("device tree without a usable timebase-frequency");
  }
  return {};
}

}  // namespace faultline
