#pragma once
// MmStruct: the calls that change what is mapped, and those that report it. Included by mm_struct.hpp behind
// the class.

namespace faultline {

template <class P>
Result<VaRange> MmStruct<P>::whole_pages(VaRange range) {
  const std::optional<std::uint64_t> end = page_ceiling(range.end().value());
  if (!range.start().page_aligned() || range.empty() || !end || *end > kUserEnd) {
    return failure(KernelError::InvalidArgument);
  }
  return VaRange(range.start(), Va::checked(*end));
}

template <class P>
std::optional<VaRange> MmStruct<P>::place(Va hint, std::uint64_t size) const {
  const AreaIndex& areas = pager_.areas();
  if (hint.value() >= kLowestFreeAddress) {
    const Result<VaRange> wish = VaRange::from(page_floor(hint.value()), size);
    const VmArea* const above = wish ? areas.first_ending_after(wish->start()) : nullptr;
    if (wish && (above == nullptr || guarded_start(*above) >= wish->end().value())) return *wish;
  }
  VaRange bounds(Va::checked(kLowestFreeAddress), Va::checked(kUserEnd - kStackGap));
  for (;;) {
    const std::optional<VaRange> found = areas.highest_free(size, bounds);
    if (!found) return std::nullopt;
    const VmArea* const above = areas.first_ending_after(found->end());
    const std::uint64_t highest_end = above != nullptr ? guarded_start(*above) : kUserEnd;
    if (found->end().value() <= highest_end) return *found;
    if (highest_end <= kLowestFreeAddress) return std::nullopt;
    bounds = VaRange(bounds.start(), Va::checked(highest_end));
  }
}

template <class P>
Result<VaRange> MmStruct<P>::mmap(Va hint, std::size_t size, Permission permission, MapFlags flags,
                                  RegularFile* file, std::uint64_t offset) {
  const std::optional<std::uint64_t> bytes = page_ceiling(size);
  if (size == 0) return failure(KernelError::InvalidArgument);
  if (!bytes || *bytes > kUserEnd) return failure(KernelError::OutOfMemory);
  WriteGuard guard(lock_);
  if (pager_.areas().count() >= limits_.areas) return failure(KernelError::OutOfMemory);
  if (flags.fixed) {
    const Result<VaRange> range = VaRange::from(hint.value(), *bytes);
    // Refused before anything is unmapped, as far as it can be foreseen.
    const bool refused = !range || !hint.page_aligned() || hint.value() == 0 || !is_page_aligned(offset) ||
                         (file != nullptr && file->size() == 0 && flags.empty_file == EmptyFile::Refused);
    if (!refused) {
      TRY(check_limits(*bytes, permission, flags.sharing, flags.area, *range));
      if (!flags.no_replace) TRY(pager_.munmap(*table_, *range));
    }
    return map_at(hint, size, permission, flags, file, offset);
  }
  const std::optional<VaRange> range = place(hint, *bytes);
  if (!range) return failure(KernelError::OutOfMemory);
  TRY(check_limits(*bytes, permission, flags.sharing, flags.area));
  return map_at(range->start(), size, permission, flags, file, offset);
}

template <class P>
Result<VaRange> MmStruct<P>::map_at(Va start, std::size_t size, Permission permission, MapFlags flags,
                                    RegularFile* file, std::uint64_t offset) {
  const VaRange mapped =
      TRY(pager_.mmap(*table_, start, size, permission, file, offset, flags.sharing, flags.empty_file));
  if (!flags.may_write) pager_.forbid_write(mapped);
  const AreaFlags given = locks_new_ ? flags.area.with(AreaFlag::Locked) : flags.area;
  if (given != AreaFlags()) {
    const Result<> changed = pager_.change_flags(mapped, given, {});
    ASSERT(changed.has_value());  // the mapping is an area of its own: nothing is split
  }
  return mapped;
}

template <class P>
Result<std::size_t> MmStruct<P>::munmap(VaRange range) {
  const VaRange pages = TRY(whole_pages(range));
  WriteGuard guard(lock_);
  if (pager_.areas().mapping_at(pages.start()) == pages) return pager_.munmap(*table_, pages.start());
  // A hole in one area is what makes more of them.
  const VmArea* const around = pager_.areas().find(pages.start());
  if (around != nullptr && around->start() < pages.start() && pages.end() < around->end())
    TRY(check_cuts(pages));
  return pager_.munmap(*table_, pages);
}

template <class P>
Result<> MmStruct<P>::protect(VaRange range, Permission permission, WriteOnly write_only) {
  const VaRange pages = TRY(whole_pages(range));
  WriteGuard guard(lock_);
  TRY(check_cuts(pages));
  if (permission.writable()) TRY(check_newly_writable(pages));
  TRY(pager_.protect(*table_, pages, permission));
  const bool wanted = write_only == WriteOnly::Yes;
  const auto differs = [wanted](const VmArea& area) {
    return area.flags().has(AreaFlag::WriteOnly) != wanted;
  };
  if (first_where(pages, differs) == nullptr) return {};
  const AreaFlags given = wanted ? AreaFlags(AreaFlag::WriteOnly) : AreaFlags();
  return pager_.change_flags(pages, given, AreaFlag::WriteOnly);
}

template <class P>
Result<> MmStruct<P>::synchronize(VaRange range) {
  const VaRange pages = TRY(whole_pages(range));
  ReadGuard guard(lock_);
  return pager_.synchronize(*table_, pages);
}

template <class P>
Result<VaRange> MmStruct<P>::remap(VaRange old_range, std::size_t new_size, RemapFlags flags) {
  const VaRange old = TRY(whole_pages(old_range));
  const std::optional<std::uint64_t> bytes = page_ceiling(new_size);
  if (new_size == 0 || !bytes) return failure(KernelError::InvalidArgument);
  if (*bytes > kUserEnd) return failure(KernelError::OutOfMemory);
  WriteGuard guard(lock_);
  const VmArea* area = pager_.areas().find(old.start());
  if (area == nullptr || !area->range().contains(old)) return failure(KernelError::BadAddress);
  if (*bytes > old.size())
    TRY(check_limits(*bytes - old.size(), area->permission(), area->sharing(), area->flags()));

  if (flags.fixed) {
    const VaRange target = TRY(VaRange::from(flags.fixed->value(), *bytes));
    if (!flags.may_move || !target.page_aligned() || target.start().value() == 0 || target.overlaps(old)) {
      return failure(KernelError::InvalidArgument);
    }
    TRY(pager_.munmap(*table_, target));
    return pager_.move(*table_, old, target.start(), *bytes);
  }
  const Result<VaRange> in_place = pager_.move(*table_, old, old.start(), *bytes);
  if (in_place) return in_place;
  // Beyond the user half, or something is in the way.
  const bool no_room =
      in_place.error() == KernelError::AlreadyMapped || old.start().value() + *bytes > kUserEnd;
  if (!no_room) return in_place;
  const std::optional<VaRange> elsewhere = place(Va::checked(0), *bytes);
  if (!flags.may_move || !elsewhere) return failure(KernelError::OutOfMemory);
  return pager_.move(*table_, old, elsewhere->start(), *bytes);
}

template <class P>
Va MmStruct<P>::brk(Va new_end) {
  WriteGuard guard(lock_);
  const std::optional<std::uint64_t> wanted = page_ceiling(new_end.value());
  if (new_end < heap_start_ || !wanted || *wanted > kUserEnd) return heap_end_;
  const Va old_top = Va::checked(*page_ceiling(heap_end_.value()));
  const Va new_top = Va::checked(*wanted);
  if (new_top < old_top && !pager_.munmap(*table_, VaRange(new_top, old_top))) return heap_end_;
  if (new_top > old_top && !grow_heap(VaRange(old_top, new_top))) return heap_end_;
  heap_end_ = new_end;
  return heap_end_;
}

template <class P>
bool MmStruct<P>::grow_heap(VaRange more) {
  const AreaFlags flags = locks_new_ ? AreaFlags(AreaFlag::Locked) : AreaFlags();
  if (!check_limits(more.size(), Permission::read_write(), Sharing::Private, flags)) return false;
  // The heap's last area grows, if it still is the heap's: a program may have changed or replaced it.
  if (more.start() > heap_start_) {
    const VmArea* last = pager_.areas().find(more.start() - 1);
    if (last != nullptr && last->start() >= heap_start_ && last->is_anonymous() && !last->is_shared() &&
        last->permission() == Permission::read_write() && last->flags() == flags) {
      return pager_.move(*table_, last->range(), last->start(), last->range().size() + more.size())
          .has_value();
    }
  }
  if (pager_.areas().count() >= limits_.areas) return false;
  return map_at(more.start(), more.size(), Permission::read_write(), {}, nullptr, 0).has_value();
}

// --- Fork ---

template <class P>
Result<> MmStruct<P>::become_child() {
  constexpr AreaFlags kNotInherited =
      AreaFlags(AreaFlag::DontFork).with(AreaFlag::WipeOnFork).with(AreaFlag::Locked);
  const auto concerned = [](const VmArea& area) {
    return area.flags() != area.flags().without(kNotInherited);
  };
  VaRange rest(Va::checked(0), Va::checked(kUserEnd));
  // Looked up anew after each: what is done to one may remove its neighbour, or join it.
  while (const VmArea* area = first_where(rest, concerned)) {
    const VaRange range = area->range();
    const AreaFlags flags = area->flags();
    if (flags.has(AreaFlag::DontFork)) {
      TRY(pager_.munmap(*table_, range));
    } else {
      if (flags.has(AreaFlag::WipeOnFork)) TRY(pager_.advise(*table_, range, Advice::DontNeed));
      if (flags.has(AreaFlag::Locked)) TRY(pager_.change_flags(range, {}, AreaFlag::Locked));
    }
    rest = VaRange(range.end(), rest.end());
  }
  return {};
}

// --- Reports ---

template <class P>
bool MmStruct<P>::access_ok(VaRange range, Access access) const {
  ReadGuard guard(lock_);
  for (Va at = range.start(); at < range.end();) {
    const VmArea* area = pager_.areas().find(at);
    if (area == nullptr || !pager_.access_ok(at, access)) return false;
    at = area->end();
  }
  return true;
}

template <class P>
MemoryUsage MmStruct<P>::usage(VaRange range) const {
  ReadGuard guard(lock_);
  return usage_of(range);
}

template <class P>
MemoryUsage MmStruct<P>::usage() const {
  ReadGuard guard(lock_);
  MemoryUsage total;
  for (const VmArea& area : pager_.areas().all()) {
    const MemoryUsage part = usage_of(area.range());
    total.virtual_pages += area.range().pages();
    total.resident_pages += part.resident_pages;
    total.shared_pages += part.shared_pages;
  }
  return total;
}

template <class P>
std::size_t MmStruct<P>::footprint() const {
  const std::size_t resident = usage().resident_pages;
  ReadGuard guard(lock_);
  return resident + pager_.areas().count() * sizeof(VmArea) / kPageSize;
}

template <class P>
MemoryUsage MmStruct<P>::usage_of(VaRange range) const {
  MemoryUsage usage{.virtual_pages = range.pages()};
  table_->for_each_page(range, [&](Va, Pte entry) {
    ++usage.resident_pages;
    const bool sole = entry.is_counted() && !entry.is_shared_mapping() && Frame::has_sole_owner(entry.pa());
    if (!sole) ++usage.shared_pages;
    return true;
  });
  return usage;
}

template <class P>
std::uint64_t MmStruct<P>::fault_count() const {
  std::uint64_t total = 0;
  faults_.for_each([&](const auto& faults) { total += faults.load(std::memory_order_relaxed); });
  return total;
}

template <class P>
Result<std::optional<typename MmStruct<P>::SharedLocation>> MmStruct<P>::shared_location(Va va) const {
  ReadGuard guard(lock_);
  const VmArea* area = pager_.areas().find(va);
  if (area == nullptr) return failure(KernelError::BadAddress);
  if (!area->is_shared()) return std::nullopt;
  return SharedLocation{area->file(), area->page_index(va) * kPageSize + va.page_offset()};
}

}  // namespace faultline
