#include "test/host/machine/hart.hpp"

#include <atomic>
#include <cstring>
#include <vector>

#include "test/host/machine/report.hpp"

namespace faultline::sim {
namespace {

using namespace pte_bits;

constexpr unsigned kLevels = 3;

bool allows(std::uint64_t pte, Access access) {
  switch (access) {
    case Access::Read:
      return (pte & kRead) != 0;
    case Access::Write:
      return (pte & kWrite) != 0;
    case Access::Execute:
      return (pte & kExecute) != 0;
  }
  return false;
}

std::uint64_t table_index(std::uint64_t page, unsigned level) { return (page >> (9 * level)) & 0x1ff; }

/// What is wrong with a valid entry as Sv39 defines it, or null.
const char* malformed(std::uint64_t pte, unsigned level) {
  if ((pte & kReservedMask) != 0) return "has reserved bits set";
  if ((pte & kRights) == 0) {
    if (level == 0) return "points to a table below the last level";
    if ((pte & (kUser | kAccessed | kDirty)) != 0) return "is a pointer with U, A or D set";
    return nullptr;
  }
  if ((pte & kWrite) != 0 && (pte & kRead) == 0) return "is writable but not readable";
  if ((pte & kUser) == 0) return "is a leaf without U in the user half";
  if ((pte & kGlobal) != 0) return "is global in the user half";
  if ((frame_address(pte) >> kPageShift) % (std::uint64_t{1} << (9 * level)) != 0)
    return "is a misaligned large leaf";
  return nullptr;
}

/// User accesses of several harts may meet, so each is one atomic operation of the host.
template <class T>
std::uint64_t access_bytes(std::byte* bytes, Access access, std::uint64_t value) {
  T* object = reinterpret_cast<T*>(bytes);
  if (access != Access::Write) return __atomic_load_n(object, __ATOMIC_ACQUIRE);
  __atomic_store_n(object, static_cast<T>(value), __ATOMIC_RELEASE);
  return 0;
}

}  // namespace

void Hart::write_satp(std::optional<Satp> satp) {
  std::lock_guard guard(mutex_);
  satp_ = satp;
}

std::optional<Satp> Hart::satp() const {
  std::lock_guard guard(mutex_);
  return satp_;
}

void Hart::fence(const FenceScope& scope) {
  std::lock_guard guard(mutex_);
  const std::vector<std::uint64_t> forgotten = tlb_.fence(scope);
  if (gentle_ || !satp_ || satp_->asid != scope.asid) return;
  for (std::uint64_t page : forgotten) translate(page);
}

void Hart::fence_everything() {
  std::lock_guard guard(mutex_);
  tlb_.clear();
}

std::uint64_t* Hart::slot_pointer(Pa slot) const {
  return reinterpret_cast<std::uint64_t*>(arena_.bytes(slot.page()) + slot.page_offset());
}

Hart::WalkEnd Hart::walk(std::uint64_t page, bool use_cache) {
  unsigned level = kLevels - 1;
  Pa table = satp_->root;
  if (use_cache) {
    // The entry nearest to the leaf decides, as it would in hardware with page-walk caches.
    for (unsigned cached = 1; cached < kLevels; ++cached) {
      if (const TlbEntry* entry = tlb_.find_table(satp_->asid, page, cached)) {
        check_entry_in_use(*entry);
        table = entry->frame;
        level = cached - 1;
        break;
      }
    }
  }
  for (;; --level) {
    if (arena_.serial(table) == 0) {
      report_failure(text("hart ", static_cast<unsigned>(id_), " walks page ", hex(page << kPageShift),
                          " through ", hex(table), ", which is not an allocated frame"));
      return {table, 0, level, false};
    }
    const Pa slot = table + 8 * table_index(page, level);
    const std::uint64_t pte = __atomic_load_n(slot_pointer(slot), __ATOMIC_ACQUIRE);
    if ((pte & kValid) == 0) return {slot, pte, level, false};
    if (const char* fault = malformed(pte, level)) {
      report_failure(
          text("entry ", hex(pte), " of level ", level, " for ", hex(page << kPageShift), " ", fault));
      return {slot, pte, level, false};
    }
    if ((pte & kRights) != 0) return {slot, pte, level, true};
    const Pa next = Pa::checked(frame_address(pte));
    if (use_cache) tlb_.insert(make_entry(TlbEntry::Kind::Table, {slot, pte, level, false}, page, next));
    table = next;
  }
}

TlbEntry Hart::make_entry(TlbEntry::Kind kind, const WalkEnd& end, std::uint64_t page, Pa frame) const {
  const std::uint64_t span = std::uint64_t{1} << (9 * end.level);
  return {.kind = kind,
          .level = static_cast<std::uint8_t>(end.level),
          .pte = end.pte,
          .first_page = kind == TlbEntry::Kind::NotValid ? page : page & ~(span - 1),
          .asid = satp_->asid,
          .root = satp_->root,
          .root_serial = arena_.serial(satp_->root),
          .frame = frame,
          .frame_serial = arena_.serial(frame)};
}

// Walks, sets A (and D, for a store) in memory and remembers the outcome. The update is one compare-and-swap
// against the entry that was read: hardware must not set a bit in an entry that has changed meanwhile
// (4.3.1).
const TlbEntry* Hart::fetch(std::uint64_t page, std::uint64_t accessed_or_dirty) {
  for (;;) {
    WalkEnd end = walk(page, true);
    if (!end.leaf) {
      if (gentle_) return nullptr;
      tlb_.insert(make_entry(TlbEntry::Kind::NotValid, end, page, satp_->root));
      return tlb_.find_result(satp_->asid, page);
    }
    // D is set only by a store that the entry allows.
    const std::uint64_t wanted = (end.pte & kWrite) != 0 ? accessed_or_dirty : accessed_or_dirty & ~kDirty;
    std::uint64_t expected = end.pte;
    if ((end.pte & wanted) != wanted &&
        !__atomic_compare_exchange_n(slot_pointer(end.slot), &expected, end.pte | wanted, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      continue;
    }
    end.pte |= wanted;
    tlb_.insert(make_entry(TlbEntry::Kind::Leaf, end, page, Pa::checked(frame_address(end.pte))));
    return tlb_.find_result(satp_->asid, page);
  }
}

const TlbEntry* Hart::translate(std::uint64_t page) {
  if (TlbEntry* entry = tlb_.find_result(satp_->asid, page)) return entry;
  return fetch(page, kAccessed);
}

// An entry in use must belong to the space that runs and lead to a frame that has not been released since.
void Hart::check_entry_in_use(const TlbEntry& entry) {
  if (entry.root != satp_->root || entry.root_serial != arena_.serial(satp_->root)) {
    report_failure(text("hart ", static_cast<unsigned>(id_), " uses a translation of another space for ",
                        hex(entry.first_page << kPageShift), ": the ASID was given on without a flush"));
  }
  if (entry.frame_serial == 0 || entry.frame_serial != arena_.serial(entry.frame)) {
    report_failure(text("hart ", static_cast<unsigned>(id_), " uses a stale translation of ",
                        hex(entry.first_page << kPageShift), " to ", hex(entry.frame),
                        ", which has been released since"));
  }
}

std::expected<std::uint64_t, PageFault> Hart::access(Va va, Access access, unsigned size,
                                                     std::uint64_t value) {
  std::lock_guard guard(mutex_);
  if (!satp_ || va.value() % size != 0 || va.value() >= kUserEnd) {
    report_failure(text("test error: access to ", hex(va), " without a space or not aligned"));
    return 0;
  }
  const std::uint64_t page = va.value() >> kPageShift;
  const TlbEntry* entry = translate(page);
  if (entry != nullptr && access == Access::Write && entry->kind == TlbEntry::Kind::Leaf &&
      (entry->pte & kWrite) != 0 && (entry->pte & kDirty) == 0) {
    // D must be set in memory, so memory is read again; what stands there now replaces the remembered entry.
    tlb_.erase(*entry);
    entry = fetch(page, kAccessed | kDirty);
  }
  if (entry == nullptr || entry->kind != TlbEntry::Kind::Leaf || !allows(entry->pte, access))
    return std::unexpected(PageFault{access, va});
  check_entry_in_use(*entry);
  const Pa frame = entry->frame + (page - entry->first_page) * kPageSize;
  std::byte* bytes = arena_.bytes(frame) + va.page_offset();
  switch (size) {
    case 1:
      return access_bytes<std::uint8_t>(bytes, access, value);
    case 2:
      return access_bytes<std::uint16_t>(bytes, access, value);
    case 4:
      return access_bytes<std::uint32_t>(bytes, access, value);
    default:
      return access_bytes<std::uint64_t>(bytes, access, value);
  }
}

void Hart::speculate(Va va) {
  std::lock_guard guard(mutex_);
  if (satp_ && va.value() < kUserEnd) translate(va.value() >> kPageShift);
}

void Hart::set_gentle(bool gentle) {
  std::lock_guard guard(mutex_);
  gentle_ = gentle;
  tlb_.clear();
}

void Hart::evict(std::uint64_t random) {
  std::lock_guard guard(mutex_);
  tlb_.evict(random);
}

void Hart::check_coherence() {
  std::lock_guard guard(mutex_);
  if (!satp_) return;
  tlb_.for_each([&](const TlbEntry& entry) {
    if (entry.asid != satp_->asid || entry.kind == TlbEntry::Kind::NotValid) return;
    check_entry_in_use(entry);
    const WalkEnd now = walk(entry.first_page, false);
    const std::uint64_t granted = entry.pte & (kRights | kUser | kDirty);
    if (entry.kind == TlbEntry::Kind::Table) {
      // A valid pointer leads on, so the walk must end below it, having come through the same table.
      const bool same = now.level < entry.level && (entry.level > 1 || now.slot.page() == entry.frame);
      if (!same) {
        report_failure(text("hart ", static_cast<unsigned>(id_), " still walks through table ",
                            hex(entry.frame), " for ", hex(entry.first_page << kPageShift),
                            ", which is linked there no more"));
      }
    } else if (!now.leaf || frame_address(now.pte) != frame_address(entry.pte) || (granted & ~now.pte) != 0) {
      report_failure(text("hart ", static_cast<unsigned>(id_), " still holds ", hex(entry.pte), " for ",
                          hex(entry.first_page << kPageShift), " where the page table says ", hex(now.pte)));
    }
  });
}

void Hart::check_unused(Pa frame) {
  std::lock_guard guard(mutex_);
  if (!satp_) return;
  if (satp_->root == frame) {
    report_failure(
        text("root table ", hex(frame), " released while hart ", static_cast<unsigned>(id_), " runs on it"));
  }
  if (arena_.cached_translations(frame).load() == 0) return;
  tlb_.for_each([&](const TlbEntry& entry) {
    if (entry.asid != satp_->asid || entry.kind == TlbEntry::Kind::NotValid || entry.frame != frame ||
        entry.frame_serial != arena_.serial(frame)) {
      return;
    }
    report_failure(text("frame ", hex(frame), " released while hart ", static_cast<unsigned>(id_),
                        " can reach it at ", hex(entry.first_page << kPageShift), " without a page fault"));
  });
}

std::size_t Hart::tlb_size() const {
  std::lock_guard guard(mutex_);
  return tlb_.size();
}

}  // namespace faultline::sim
