#pragma once
// The kernel's own half of the root table: global leaves of 1 GiB, 2 MiB and 4 KiB, built once at start-up,
// before there is an allocator or a direct map. Hence the caller says where tables come from and how their
// words are reached.

#include <concepts>
#include <optional>

#include "kernel/mm/pte.hpp"

namespace faultline {

template <class M>
concept TableMemory = requires(M memory, Pa table) {
  /// A zeroed frame for a table.
  { memory.allocate_table() } -> std::same_as<std::optional<Pa>>;
  /// Its 512 words.
  { memory.words(table) } -> std::same_as<std::uint64_t*>;
};

/// Maps [from, from + size) to [to, to + size) in the largest leaves that alignment allows.
/// Errors: InvalidArgument (unaligned, empty, wraps), AlreadyMapped, OutOfMemory; part may then be mapped.
template <TableMemory M>
[[nodiscard]] Result<> map_kernel_range(M& memory, Pa root, Kva from, Pa to, std::uint64_t size,
                                        Permission permission) {
  if (!from.page_aligned() || !to.page_aligned() || !is_page_aligned(size) || size == 0 ||
      size - 1 > UINT64_MAX - from.value()) {
    return failure(KernelError::InvalidArgument);
  }
  for (std::uint64_t done = 0; done < size;) {
    const std::uint64_t virtual_address = from.value() + done;
    const std::uint64_t physical_address = to.value() + done;
    unsigned level = kTableLevels - 1;
    while ((virtual_address | physical_address) % entry_span(level) != 0 || size - done < entry_span(level))
      --level;

    Pa table = root;
    for (unsigned at = kTableLevels - 1; at > level; --at) {
      const PteSlot slot(memory.words(table) + ((virtual_address >> (kPageShift + 9 * at)) & 0x1ff));
      Pte entry = slot.load();
      if (entry.is_leaf()) return failure(KernelError::AlreadyMapped);
      if (entry.is_empty()) {
        const std::optional<Pa> fresh = memory.allocate_table();
        if (!fresh) return failure(KernelError::OutOfMemory);
        entry = Pte::table(*fresh);
        slot.store(entry);
      }
      table = entry.pa();
    }
    const PteSlot slot(memory.words(table) + ((virtual_address >> (kPageShift + 9 * level)) & 0x1ff));
    if (!slot.load().is_empty()) return failure(KernelError::AlreadyMapped);
    slot.store(Pte::kernel(Pa::checked(physical_address), permission));
    done += entry_span(level);
  }
  return {};
}

}  // namespace faultline
