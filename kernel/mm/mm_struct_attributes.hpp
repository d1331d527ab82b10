#pragma once
// MmStruct: advice, flags of areas, limits, and the growth of stacks. Included by mm_struct.hpp behind the
// class.
//
// A range that these calls are given may have holes: what is mapped is done, and the holes are reported
// afterwards, as Linux does.

namespace faultline {

namespace mm_detail {

inline bool is_private_anonymous(const VmArea& area) { return area.is_anonymous() && !area.is_shared(); }

/// Memory that counts as data: RLIMIT_DATA.
inline bool is_data(Permission permission, Sharing sharing, AreaFlags flags) {
  return permission.writable() && sharing == Sharing::Private && !flags.has(AreaFlag::GrowsDown);
}
inline bool is_data_area(const VmArea& area) {
  return is_data(area.permission(), area.sharing(), area.flags());
}

}  // namespace mm_detail

// --- Parts of a range ---

template <class P>
template <class F>
Result<> MmStruct<P>::for_each_mapped_piece(VaRange pages, F&& f) {
  bool hole = false;
  for (VaRange rest = pages; !rest.empty();) {
    VaRange piece(rest.end(), rest.end());
    for (const VmArea& area : pager_.areas().overlapping(rest)) {
      const VaRange part = area.range().intersection(rest);
      if (!piece.empty() && piece.end() != part.start()) break;
      piece = VaRange(std::min(piece.start(), part.start()), part.end());
    }
    if (piece.start() != rest.start()) hole = true;
    if (!piece.empty()) TRY(f(piece));
    rest = VaRange(piece.end(), rest.end());
  }
  return hole ? failure(KernelError::NotMapped) : Result<>();
}

template <class P>
template <class F>
const VmArea* MmStruct<P>::first_where(VaRange pages, F&& f) const {
  for (const VmArea& area : pager_.areas().overlapping(pages))
    if (f(area)) return &area;
  return nullptr;
}

template <class P>
template <class F>
std::uint64_t MmStruct<P>::bytes_where(F&& f, VaRange without) const {
  std::uint64_t bytes = 0;
  for (const VmArea& area : pager_.areas().all())
    if (f(area)) bytes += area.range().size() - area.range().intersection(without).size();
  return bytes;
}

// --- Advice and flags ---

template <class P>
Result<> MmStruct<P>::advise(VaRange range, Advice advice) {
  const VaRange pages = TRY(whole_pages(range));
  const bool drops = advice == Advice::DontNeed || advice == Advice::Free;
  const auto refuses = [&](const VmArea& area) {
    return (drops && area.flags().has(AreaFlag::Locked)) ||
           (advice == Advice::Free && !mm_detail::is_private_anonymous(area));
  };
  WriteGuard guard(lock_);
  return for_each_mapped_piece(pages, [&](VaRange piece) -> Result<> {
    const VmArea* const refusing = first_where(piece, refuses);
    const Va end = refusing != nullptr ? std::max(refusing->start(), piece.start()) : piece.end();
    if (piece.start() < end) {
      TRY(pager_.advise(*table_, VaRange(piece.start(), end), drops ? Advice::DontNeed : advice));
    }
    return refusing != nullptr ? failure(KernelError::InvalidArgument) : Result<>();
  });
}

template <class P>
Result<> MmStruct<P>::change_flags(VaRange range, AreaFlags given, AreaFlags taken) {
  const VaRange pages = TRY(whole_pages(range));
  WriteGuard guard(lock_);
  return for_each_mapped_piece(pages, [&](VaRange piece) -> Result<> {
    const VmArea* const file =
        first_where(piece, [](const VmArea& area) { return !mm_detail::is_private_anonymous(area); });
    if (given.has(AreaFlag::WipeOnFork) && file != nullptr) return failure(KernelError::InvalidArgument);
    TRY(check_cuts(piece));
    return pager_.change_flags(piece, given, taken);
  });
}

template <class P>
Result<> MmStruct<P>::lock_pages(VaRange range, std::uint64_t limit) {
  const VaRange pages = TRY(whole_pages(range));
  WriteGuard guard(lock_);
  const auto locked = [](const VmArea& area) { return area.flags().has(AreaFlag::Locked); };
  if (bytes_where(locked, pages) + pages.size() > limit) return failure(KernelError::OutOfMemory);
  return for_each_mapped_piece(pages, [&](VaRange piece) -> Result<> {
    TRY(check_cuts(piece));
    return pager_.change_flags(piece, AreaFlag::Locked, {});
  });
}

template <class P>
std::uint64_t MmStruct<P>::locked_bytes() const {
  ReadGuard guard(lock_);
  return bytes_where([](const VmArea& area) { return area.flags().has(AreaFlag::Locked); });
}

template <class P>
Result<> MmStruct<P>::resident(VaRange pages, std::span<std::byte> present) const {
  ReadGuard guard(lock_);
  for (std::size_t i = 0; i < present.size(); ++i) {
    const Va page = pages.start() + i * kPageSize;
    const VmArea* const area = pager_.areas().find(page);
    if (area == nullptr) return failure(KernelError::NotMapped);
    Frame cached;
    const bool in_memory = table_->walk(page).has_value() ||
                           (area->file() != nullptr &&
                            area->file()->cached_pages(area->page_index(page), std::span(&cached, 1)) != 0);
    present[i] = static_cast<std::byte>(in_memory);
  }
  return {};
}

// --- Limits ---

template <class P>
Result<> MmStruct<P>::check_limits(std::uint64_t bytes, Permission permission, Sharing sharing,
                                   AreaFlags flags, VaRange replaced) const {
  if (exceeds(limits_.address_space, bytes, [](const VmArea&) { return true; }, replaced))
    return failure(KernelError::OutOfMemory);
  return check_kind(bytes, permission, sharing, flags, replaced);
}

template <class P>
Result<> MmStruct<P>::check_kind(std::uint64_t bytes, Permission permission, Sharing sharing, AreaFlags flags,
                                 VaRange replaced) const {
  if (mm_detail::is_data(permission, sharing, flags) &&
      exceeds(limits_.data, bytes, mm_detail::is_data_area, replaced)) {
    return failure(KernelError::OutOfMemory);
  }
  const bool promised =
      permission.writable() && sharing == Sharing::Private && !flags.has(AreaFlag::Unreserved);
  if (promised && bytes > limits_.commitment) return failure(KernelError::OutOfMemory);
  return {};
}

template <class P>
Result<> MmStruct<P>::check_cuts(VaRange pages) const {
  const AreaIndex& areas = pager_.areas();
  const auto cuts = [&](Va at) -> std::size_t {
    const VmArea* const area = at.value() < kUserEnd ? areas.find(at) : nullptr;
    return area != nullptr && area->start() < at ? 1 : 0;
  };
  const std::size_t more = cuts(pages.start()) + cuts(pages.end());
  if (more > 0 && areas.count() + more > limits_.areas) return failure(KernelError::OutOfMemory);
  return {};
}

template <class P>
Result<> MmStruct<P>::check_newly_writable(VaRange pages) const {
  for (const VmArea& area : pager_.areas().overlapping(pages)) {
    if (area.permission().writable()) continue;
    TRY(check_kind(area.range().intersection(pages).size(), Permission::read_write(), area.sharing(),
                   area.flags(), kNothing));
  }
  return {};
}

// --- Stacks ---

// Out of line, so that a fault that succeeds saves few registers.
template <class P>
[[gnu::noinline]] Result<> MmStruct<P>::try_growing_stack(const PageFaultReason& reason, KernelError error) {
  while (error == KernelError::NotMapped) {
    const Result<> grown = grow_stack(reason.address);
    const Result<> handled = grown ? try_page_fault(reason) : grown;
    if (handled) return {};
    error = handled.error();
    if (!grown) break;
  }
  count(Counter::FailedFault);
  return failure(error);
}

template <class P>
Result<> MmStruct<P>::grow_stack(Va va) {
  WriteGuard guard(lock_);
  VmArea* const stack = pager_.areas().first_ending_after(va);
  if (stack == nullptr) return failure(KernelError::NotMapped);
  if (stack->start() <= va) return {};  // another thread was faster
  if (!stack->flags().has(AreaFlag::GrowsDown)) return failure(KernelError::NotMapped);
  const Va start = va.page();
  const auto size = static_cast<std::uint64_t>(stack->end() - start);
  if (start.value() < kLowestFreeAddress || size > limits().stack) return failure(KernelError::NotMapped);
  const VmArea* const below = AreaIndex::previous(*stack);
  if (below != nullptr && !below->permission().is_none() && !below->flags().has(AreaFlag::GrowsDown) &&
      static_cast<std::uint64_t>(start - below->end()) < kStackGuardGap) {
    return failure(KernelError::NotMapped);
  }
  const auto more = static_cast<std::uint64_t>(stack->start() - start);
  if (!check_limits(more, stack->permission(), stack->sharing(), stack->flags()))
    return failure(KernelError::NotMapped);
  return pager_.grow_down(*table_, *stack, start);
}

}  // namespace faultline
