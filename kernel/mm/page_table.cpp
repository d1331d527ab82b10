#include "kernel/mm/page_table.hpp"

#include <cstring>

#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/page_cache.hpp"
#include "kernel/mm/table_words.hpp"

namespace faultline {

namespace {
constexpr VaRange user_half() { return VaRange(Va::checked(0), Va::checked(kUserEnd)); }
}  // namespace

void detail::wait_and_lock(FrameInfo& table) noexcept {
  do {
    while (table.table_lock.load(std::memory_order_relaxed) != 0) cpu_relax();
  } while (table.table_lock.exchange(1, std::memory_order_acquire) != 0);
}

// --- One entry ---

void LockedEntry::widen(Permission permission, bool dirty) const noexcept {
  const Pte old = get();
  ASSERT(old.has_page() && permission.includes(old.permission()));
  const Pte wider = Pte::user(old.pa(), permission, old.raw() & Pte::kSoftware, dirty || old.is_dirty());
  // Setting bits, one at a time or all at once, never loses an A or D that the hart sets meanwhile. A
  // retained entry is not valid, so the hart does not touch it.
  if (old.is_retained()) {
    slot_.store(wider);
  } else {
    slot_.fetch_or(wider.raw());
  }
}

void LockedEntry::replace(Frame frame, Permission permission, bool dirty) const noexcept {
  const Pa page = frame.leak();
  const std::uint64_t software = get().raw() & Pte::kSharedMapping;
  {
    TlbBatch batch(*space_);
    const Pte old = slot_.exchange(Pte::user(page, permission.without_write(), software, dirty));
    ASSERT(old.has_page());
    batch.absorb(StaleEntry(*space_, page_, old.is_counted() ? Frame::adopt(old.pa()) : Frame()));
  }
  if (permission.writable()) slot_.fetch_or(Pte::kWrite);
}

StaleEntry LockedEntry::remove() const noexcept {
  const Pte old = slot_.exchange(Pte());
  ASSERT(old.has_page());
  add_to_count(-1);
  return StaleEntry(*space_, page_, old.is_counted() ? Frame::adopt(old.pa()) : Frame());
}

// --- The table as a whole ---

Result<PageTable> PageTable::create() {
  Frame root = TRY(tables::new_table());
  if (const std::optional<Pa> kernel_root = MemorySystem::current().kernel_root()) {
    constexpr std::size_t kHalf = kEntriesPerTable / 2;
    std::copy_n(tables::words(*kernel_root) + kHalf, kHalf, tables::words(root.pa()) + kHalf);
  }
  Box<Space> space = TRY(make_box<Space>(root.pa()));
  static_cast<void>(root.leak());
  return PageTable(std::move(space));
}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  if (this != &other) {
    PageTable old(std::move(*this));
    space_ = std::move(other.space_);
  }
  return *this;
}

PageTable::~PageTable() {
  if (space_ == nullptr) return;
  ASSERT(!space_->is_active());
  clear();
  const Frame root = Frame::adopt(space_->root());
}

void PageTable::clear() noexcept {
  // As a rule the areas have taken their pages and tables with them already.
  if (tables::used_entries(space_->root()) == 0) return;
  TlbBatch batch(*space_);
  remove_pages(user_half(), user_half(), batch);
  free_tables(user_half(), user_half(), batch);
}

Result<> PageTable::map(Va page, Frame frame, Permission permission, std::uint64_t software) {
  if (!page.page_aligned() || page.value() == kUserEnd) return failure(KernelError::InvalidArgument);
  const LockedEntry entry = TRY(walk_mut(page));
  if (!entry.get().is_empty()) return failure(KernelError::AlreadyMapped);
  entry.install(std::move(frame), permission, software, permission.writable());
  return {};
}

Result<StaleEntry> PageTable::unmap(Va page) {
  const std::optional<Translation> found = walk(page);
  if (!found || found->level != 0 || !page.page_aligned()) return failure(KernelError::NotMapped);
  const LockedEntry entry = TRY(walk_mut(page));
  if (!entry.get().has_page()) return failure(KernelError::NotMapped);
  return entry.remove();
}

std::optional<Translation> PageTable::walk(Va va) const noexcept {
  if (va.value() == kUserEnd) return std::nullopt;
  Pa table = space_->root();
  for (unsigned level = kTableLevels - 1;; --level) {
    const PteSlot slot = tables::slot(table, va, level);
    Pte entry = slot.load();
    if (entry.has_page()) return Translation{entry, level, false};
    if (level == 0) return std::nullopt;
    if (entry.is_shared_table()) {
      // Under the lock the entry keeps the table alive.
      const UpperTableGuard guard(platform::frame_info(table));
      entry = slot.load();
      if (entry.is_shared_table()) {
        Pte page = tables::slot(entry.pa(), va, 0).load();
        if (!page.has_page()) return std::nullopt;
        if (page.is_leaf() && !page.is_shared_mapping()) page = Pte(page.raw() & ~Pte::kWrite);
        return Translation{page, 0, true};
      }
    }
    if (!entry.is_table()) return std::nullopt;
    table = entry.pa();
  }
}

Result<LockedEntry> PageTable::walk_mut(Va page) { return TRY(locate(page)).lock(); }

Result<> PageTable::make_tables(Va page) {
  ASSERT(page.value() < kUserEnd);
  Pa table = space_->root();
  for (unsigned level = kTableLevels - 1; level > 0;) {
    const PteSlot slot = tables::slot(table, page, level);
    Pte entry = slot.load();
    if (entry.is_table()) [[likely]] {
      table = entry.pa();
      --level;
    } else if (entry.is_empty()) {
      TRY(tables::fill_with_table(table, slot));
    } else if (entry.is_shared_table()) {
      TRY(tables::unshare_table(table, slot));
    } else {
      return failure(KernelError::AlreadyMapped);
    }
  }
  return {};
}

Result<> PageTable::map_range(VaRange range, Pa first, Permission permission) {
  if (!range.page_aligned() || !is_page_aligned(first.value()) || range.empty() || permission.is_none()) {
    return failure(KernelError::InvalidArgument);
  }
  bool occupied = false;
  for_each_page(range, [&](Va, Pte) {
    occupied = true;
    return false;
  });
  if (occupied) return failure(KernelError::AlreadyMapped);

  Va at = range.start();
  const auto map_next = [&]() -> Result<> {
    const Pa physical = first + static_cast<std::uint64_t>(at - range.start());
    const std::uint64_t alignment = at.value() | physical.value();
    const auto left = static_cast<std::uint64_t>(range.end() - at);
    unsigned level = kTableLevels - 1;
    while (alignment % entry_span(level) != 0 || left < entry_span(level)) --level;

    Pa table = space_->root();
    for (unsigned above = kTableLevels - 1; above > level; --above) {
      const PteSlot slot = tables::slot(table, at, above);
      Pte entry = slot.load();
      if (entry.is_empty()) entry = TRY(tables::fill_with_table(table, slot));
      if (entry.is_shared_table()) {
        TRY(tables::unshare_table(table, slot));
        entry = slot.load();
      }
      table = entry.pa();
    }
    const UpperTableGuard guard(platform::frame_info(table));
    const PteSlot slot = tables::slot(table, at, level);
    // A large leaf can only stand where no table does, even an empty one.
    if (!slot.load().is_empty()) return failure(KernelError::AlreadyMapped);
    tables::fill_with_leaf(
        table, slot,
        Pte::user(physical, permission, Pte::kUncounted | Pte::kSharedMapping, permission.writable()));
    at = at + entry_span(level);
    return {};
  };
  while (at < range.end()) {
    if (const Result<> mapped = map_next(); !mapped) {
      TlbBatch batch(*space_);
      const VaRange done(range.start(), at);
      remove_pages(done, done, batch);
      free_tables(range, user_half(), batch);
      return mapped;
    }
  }
  return {};
}

std::size_t PageTable::resident_pages() const noexcept {
  std::size_t pages = 0;
  for_each_page(user_half(), [&](Va, Pte) {
    ++pages;
    return true;
  });
  return pages;
}

}  // namespace faultline
