#pragma once
// Sv39 page tables: three levels of 512 entries, the user half of one address space.
//
//   root (level 2) ── 1 GiB an entry ──► level 1 ── 2 MiB an entry ──► last level (level 0) ── 4 KiB an entry
//
// Who may change what:
//   root and level-1 entries   from empty to a table by compare-and-swap, by any fault; from table to shared
//                              table and back under the level-1 table's lock; to empty only by who excludes
//                              all faults
//   last-level entries         under the lock of their table (FrameInfo::table_lock of the table's frame)
//   A and D bits               by any hart, at any moment
//
// Who walks without excluding faults: truncation of a file (RegularFile::unmap_beyond). It holds the level-1
// table's lock while it works on a last-level table; the mapped area that leads it there keeps the tables
// from being freed. Order of locks: level 1, then last level.
//
// FrameInfo of a table's frame: references = entries that point to it (more than one after fork, see shared
// tables), tag = how many of its entries are not empty (of the root: in the user half).
//
// Shared tables: fork does not copy last-level tables. It makes the level-1 entry not valid in both spaces,
// with the table's address still in it, and counts the table once more. The first access of either side
// copies the table (and write-protects private pages in both copies), or takes it over when it is the last.

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "kernel/lib/heap.hpp"
#include "kernel/mm/pte.hpp"
#include "kernel/mm/tlb.hpp"

namespace faultline {

namespace detail {
void wait_and_lock(FrameInfo& table) noexcept;
}

/// Holds the lock of one page table's frame for a scope.
template <LockRank kRank>
class [[nodiscard]] BasicTableGuard {
 public:
  explicit BasicTableGuard(FrameInfo& table) noexcept : table_(&table) {
    lock_rank_acquired(kRank);
    if (table.table_lock.exchange(1, std::memory_order_acquire) != 0) [[unlikely]]
      detail::wait_and_lock(table);
  }
  BasicTableGuard(BasicTableGuard&& other) noexcept : table_(std::exchange(other.table_, nullptr)) {}
  BasicTableGuard& operator=(BasicTableGuard&&) = delete;
  ~BasicTableGuard() {
    if (table_ == nullptr) return;
    lock_rank_released(kRank);
    table_->table_lock.store(0, std::memory_order_release);
  }
  FrameInfo& table() const noexcept { return *table_; }

 private:
  FrameInfo* table_;
};

/// Of a last-level table.
using TableGuard = BasicTableGuard<LockRank::PageTable>;
/// Of a table above the last level; taken before the ones below it.
using UpperTableGuard = BasicTableGuard<LockRank::UpperPageTable>;

namespace tables {

/// The entry for `va` in a table of `level`.
inline PteSlot slot(Pa table, Va va, unsigned level) noexcept {
  return PteSlot(reinterpret_cast<std::uint64_t*>(platform::frame_bytes(table)) + va.table_index(level));
}

/// How many entries lie between two pages of one last-level table.
inline std::ptrdiff_t entries_between(Va from, Va to) noexcept {
  ASSERT((from.value() ^ to.value()) < kMegapageSize);
  return (to - from) >> kPageShift;
}

}  // namespace tables

/// A last-level entry with its table locked: the only way to change one.
class [[nodiscard]] LockedEntry {
 public:
  LockedEntry(Space& space, Va page, PteSlot slot, TableGuard&& guard) noexcept
      : space_(&space), page_(page), slot_(slot), guard_(std::move(guard)) {}

  Va va() const noexcept { return page_; }
  /// What stands there now; the hart may set A and D at any time.
  Pte get() const noexcept { return slot_.load(); }

  /// Fills an empty entry. The entry takes the reference over. A hart that cached "not valid" faults once
  /// more.
  void install(Frame frame, Permission permission, std::uint64_t software, bool dirty) const noexcept {
    ASSERT(get().is_empty());
    slot_.store(Pte::user(frame.leak(), permission, software, dirty));
    add_to_count(1);
  }
  /// Fills an empty entry with a page that is not counted (the zero page).
  void install_uncounted(Pa page, Permission permission, std::uint64_t software) const noexcept {
    ASSERT(get().is_empty());
    slot_.store(Pte::user(page, permission, software | Pte::kUncounted, false));
    add_to_count(1);
  }

  /// Gives a present page more rights, or sets its A and D bits; no right may go away. Harts that still hold
  /// the old entry fault once more.
  void widen(Permission permission, bool dirty) const noexcept;

  /// Puts another page in the place of the present one, and returns when no hart uses the old one any more.
  /// While other harts may still read the old page, the new one, whose contents must be the same, cannot be
  /// written.
  void replace(Frame frame, Permission permission, bool dirty) const noexcept;

  /// Empties the entry.
  StaleEntry remove() const noexcept;

  /// Goes on to the entry of another page in the same table, under the same lock.
  void select(Va page) noexcept {
    slot_ = slot_ + tables::entries_between(page_, page);
    page_ = page;
  }

 private:
  void add_to_count(std::int64_t change) const noexcept {
    std::atomic<std::uint64_t>& count = guard_.table().tag;
    // Plain load and store: last-level counts change under the lock only.
    count.store(count.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(change),
                std::memory_order_relaxed);
  }
  Space* space_;
  Va page_;
  PteSlot slot_;
  TableGuard guard_;
};

/// A last-level entry, not locked: where a fault looks before it decides what to prepare. Stays valid while
/// tables cannot go.
class EntryRef {
 public:
  EntryRef(Space& space, Va page, PteSlot slot, FrameInfo& table) noexcept
      : space_(&space), page_(page), slot_(slot), table_(&table) {}
  Va va() const noexcept { return page_; }
  Pte peek() const noexcept { return slot_.load(); }
  LockedEntry lock() const noexcept { return LockedEntry(*space_, page_, slot_, TableGuard(*table_)); }

 private:
  Space* space_;
  Va page_;
  PteSlot slot_;
  FrameInfo* table_;
};

/// Where a walk ended.
struct Translation {
  Pte entry;       // the leaf, or the retained entry
  unsigned level;  // 0: 4 KiB, 1: 2 MiB, 2: 1 GiB
  bool shared;  // reached through a table that fork shared: no access goes through it before it is resolved
  /// The physical address of the byte at `va`.
  Pa pa(Va va) const { return entry.pa() + va.value() % entry_span(level); }
};

/// When protect() may set W on a page that lacks it.
enum class GrantWrite : std::uint8_t {
  Always,
  ToSoleOwner,  // only where the entry is the page's one owner; elsewhere the write fault decides
                // (copy-on-write)
  Never         // the first write must fault (shared file pages become dirty there)
};

/// A last-level table with no more entries than this is copied by fork itself: sharing it would cost both
/// sides a fault. To be changed, if at all, before the first fork; host tests lower it, so that small spaces
/// share tables.
inline constinit std::uint64_t entries_copied_at_fork = 128;

class PageTable {
 public:
  /// A root table whose kernel half is the machine's. Error: OutOfMemory.
  [[nodiscard]] static Result<PageTable> create();

  PageTable(PageTable&&) noexcept = default;
  PageTable& operator=(PageTable&&) noexcept;
  /// Releases every page and table of the user half. Panics when a hart still runs the space.
  ~PageTable();

  Space& space() const noexcept { return *space_; }

  /// Maps one page; the table takes the reference over. Errors: InvalidArgument (unaligned), AlreadyMapped,
  /// OutOfMemory.
  [[nodiscard]] Result<> map(Va page, Frame frame, Permission permission, std::uint64_t software = 0);

  /// Maps physical memory that somebody else owns and keeps, in the largest leaves that alignment allows.
  /// Errors: as map; then nothing has changed.
  [[nodiscard]] Result<> map_range(VaRange range, Pa first, Permission permission);

  /// Removes one 4 KiB page. Error: NotMapped.
  [[nodiscard]] Result<StaleEntry> unmap(Va page);

  /// Removes every page in the range, holes allowed, and the tables that become empty. Errors, with nothing
  /// changed: InvalidArgument when unaligned or when it would cut a large leaf; OutOfMemory when a shared
  /// table needs a copy.
  [[nodiscard]] Result<> unmap(VaRange range, TlbBatch& batch);

  /// Gives every page in the range these rights, holes allowed. Errors as unmap.
  [[nodiscard]] Result<> protect(VaRange range, Permission permission, TlbBatch& batch,
                                 GrantWrite grant = GrantWrite::Always);

  /// The leaf or retained entry for an address, at any level.
  [[nodiscard]] std::optional<Translation> walk(Va va) const noexcept;

  /// The last-level entry of a page, empty or not, locked; makes the tables that are missing and resolves a
  /// shared one. Errors: OutOfMemory; AlreadyMapped when a large leaf covers the page.
  [[nodiscard]] Result<LockedEntry> walk_mut(Va page);

  /// The same entry, not locked. Errors as walk_mut.
  [[nodiscard]] Result<EntryRef> locate(Va page) {
    for (;;) {
      if (const std::optional<EntryRef> entry = find(page)) [[likely]]
        return *entry;
      TRY(make_tables(page));
    }
  }

  /// Makes the tables exist that lead to a page's entry, and be this space's own. Errors as walk_mut.
  [[nodiscard]] Result<> make_tables(Va page);

  /// The entry where its table exists already and is this space's own; makes nothing.
  [[nodiscard]] std::optional<EntryRef> find(Va page) const noexcept {
    if (page.value() == kUserEnd) return std::nullopt;
    const Pte level1 = tables::slot(space_->root(), page, 2).load();
    if (!level1.is_table()) return std::nullopt;
    const Pte table = tables::slot(level1.pa(), page, 1).load();
    if (!table.is_table()) return std::nullopt;
    return EntryRef(*space_, page.page(), tables::slot(table.pa(), page, 0),
                    platform::frame_info(table.pa()));
  }

  /// Removes everything in the user half, tables included.
  void clear() noexcept;

  // What pagers need beyond that; they exclude all faults, except where it says otherwise.

  /// Makes every last-level table of the range exist, unshared. Errors as walk_mut; tables made so far may
  /// stay, empty.
  [[nodiscard]] Result<> prepare(VaRange range);

  /// Makes sure that the shared tables that the range cuts belong to this space alone. A table whose whole
  /// span lies in `whole` stays shared: remove_pages will let go of it. Error: OutOfMemory.
  [[nodiscard]] Result<> unshare(VaRange range, VaRange whole);

  /// Removes the pages of the range; cannot fail after unshare with the same arguments. Where `dirty` is
  /// given, the range has at most 64 pages and bit i is set when page i had been written.
  void remove_pages(VaRange range, VaRange whole, TlbBatch& batch, std::uint64_t* dirty = nullptr) noexcept;

  /// Frees the tables that only served `range` and lie, with all they could map, in `gap`, where no area is
  /// mapped.
  void free_tables(VaRange range, VaRange gap, TlbBatch& batch) noexcept;

  /// Moves the pages of `from` to the same offsets of `to`, which is empty and prepared.
  void move_pages(VaRange from, Va to, TlbBatch& batch) noexcept;

  /// Makes `child`, which nobody uses yet, map what this one maps in the range and in the rest of the
  /// last-level tables that the range reaches into: private pages copy-on-write, shared ones in common. Takes
  /// the write rights on private pages from this space as well. To be called for all areas, from the lowest
  /// up. Error: OutOfMemory; this space then still works, and the child can be destroyed.
  [[nodiscard]] Result<> fork_into(PageTable& child, VaRange range, TlbBatch& batch);

  /// Calls f(Va, Pte) for each 4 KiB of the range that is present or retained, until f returns false. Runs f
  /// under a spin lock; the entries may change meanwhile.
  template <std::predicate<Va, Pte> F>
  void for_each_page(VaRange range, F&& f) const {
    const auto call = [](void* context, Va va, Pte entry) -> bool {
      return (*static_cast<std::remove_reference_t<F>*>(context))(va, entry);
    };
    visit_pages(range, call, &f);
  }

  /// Pages that are present in the user half, 4 KiB each.
  [[nodiscard]] std::size_t resident_pages() const noexcept;

 private:
  using PageVisitor = bool (*)(void* context, Va va, Pte entry);
  void visit_pages(VaRange range, PageVisitor visit, void* context) const;

  explicit PageTable(Box<Space> space) noexcept : space_(std::move(space)) {}
  Box<Space> space_;
};

}  // namespace faultline
