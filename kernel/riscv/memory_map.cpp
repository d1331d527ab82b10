#include "kernel/riscv/memory_map.hpp"

#include <algorithm>

#include "kernel/mm/kernel_map.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/image.hpp"
#include "kernel/riscv/kernel_stack.hpp"
#include "kernel/riscv/memory.hpp"

namespace faultline {

namespace {

std::uint64_t root_pa = 0;
std::uint64_t image_pa = 0;

/// A section of the image: virtual [start, end).
struct Section {
  std::uint64_t start;
  std::uint64_t end;
  Permission permission;
};

class MapBuilder {
 public:
  MapBuilder(EarlyMemory& early, Pa root) : early_(early), root_(root) {}

  Result<> map(std::uint64_t from, std::uint64_t to, std::uint64_t size, Permission permission) {
    if (size == 0) return {};
    return map_kernel_range(early_, root_, Kva::checked(from), Pa::checked(to), size, permission);
  }

  Result<> map_direct(std::uint64_t start, std::uint64_t end, Permission permission) {
    return map(kDirectMap + start, start, end - start, permission);
  }

  /// A device's registers, by whole pages. Neighbours may share a page.
  Result<> map_device(PaRange registers) {
    const std::uint64_t end = page_ceiling(registers.end).value_or(0);
    if (end > kDirectMapSize) return failure(KernelError::InvalidArgument);
    for (std::uint64_t page = page_floor(registers.start); page < end;) {
      const std::uint64_t size =
          page % kMegapageSize == 0 && end - page >= kMegapageSize ? kMegapageSize : kPageSize;
      const auto mapped = map_direct(page, page + size, Permission::read_write());
      if (!mapped && mapped.error() != KernelError::AlreadyMapped) return mapped;
      page += size;
    }
    return {};
  }

 private:
  EarlyMemory& early_;
  Pa root_;
};

Result<> map_image(MapBuilder& builder) {
  const std::uint64_t start = address_of(image_start), guard = address_of(boot_stack_guard);
  const Section sections[] = {
      {start, address_of(rodata_start), Permission::read_execute()},
      {address_of(rodata_start), address_of(data_start), Permission::read()},
      {address_of(data_start), guard, Permission::read_write()},
      {guard + kPageSize, address_of(symbols_start), Permission::read_write()},
      {address_of(symbols_start), address_of(image_end), Permission::read()},
  };
  for (const Section& section : sections) {
    const std::uint64_t pa = image_pa + (section.start - start);
    TRY(builder.map(section.start, pa, section.end - section.start, section.permission));
    // The same bytes in the direct map: never executable there.
    const Permission alias = section.permission.writable() ? Permission::read_write() : Permission::read();
    TRY(builder.map_direct(pa, pa + (section.end - section.start), alias));
  }
  return {};
}

Result<> map_memory(MapBuilder& builder, const memory::Layout& layout, PaRange image) {
  for (const PaRange& range : layout.mapped) {
    // The image is mapped section by section.
    if (range.start < image.start)
      TRY(builder.map_direct(range.start, std::min(range.end, image.start), Permission::read_write()));
    if (range.end > image.end) {
      TRY(builder.map_direct(std::max(range.start, image.end), range.end, Permission::read_write()));
    }
  }
  return {};
}

Result<> map_devices(MapBuilder& builder, const Machine& machine) {
  if (machine.uart) TRY(builder.map_device(machine.uart->registers));
  for (const InterruptTarget& plic : machine.plics) TRY(builder.map_device(plic.registers));
  for (const InterruptTarget& target : machine.software_interrupts) TRY(builder.map_device(target.registers));
  if (machine.test_finisher) TRY(builder.map_device(*machine.test_finisher));
  if (machine.real_time_clock) TRY(builder.map_device(*machine.real_time_clock));
  for (const MmioDevice& device : machine.virtio) {
    TRY(builder.map_device({device.base.value(), device.base.value() + device.size}));
  }
  return {};
}

}  // namespace

std::optional<Pa> EarlyMemory::allocate(std::uint64_t bytes) {
  const auto size = page_ceiling(bytes);
  if (!size || *size > end_ - next_) return std::nullopt;
  const Pa block = Pa::checked(next_);
  next_ += *size;
  std::uint64_t* const words_of_block = words(block);
  std::fill_n(words_of_block, *size / sizeof(std::uint64_t), 0);
  return block;
}

Result<Pa> build_kernel_map(EarlyMemory& early, const Machine& machine, const memory::Layout& layout,
                            PaRange image) {
  const auto root = early.allocate_table();
  if (!root) return failure(KernelError::OutOfMemory);
  image_pa = image.start;
  MapBuilder builder(early, *root);
  TRY(map_image(builder));
  TRY(map_memory(builder, layout, image));
  TRY(map_devices(builder, machine));
  TRY(kernel_stacks::create_tables(early, *root, layout.managed.size()));
  root_pa = root->value();
  csr::fence_translations();  // the walker sees the tables before it is led to them
  csr::write_satp(kernel_satp());
  csr::fence_translations();
  return *root;
}

Pa kernel_root() { return Pa::checked(root_pa); }

std::uint64_t kernel_satp() { return csr::kSatpSv39 | root_pa >> kPageShift; }

Pa physical_address(const void* object) {
  const std::uint64_t address = address_of(object);
  if (address - kDirectMap < kDirectMapSize) return Pa::checked(address - kDirectMap);
  ASSERT(address >= address_of(image_start) && address < address_of(image_end));
  return Pa::checked(image_pa + (address - address_of(image_start)));
}

}  // namespace faultline
