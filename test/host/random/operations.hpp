#pragma once
// The operations of a Sequence: each does the same to the implementation and to the model, and compares.

#include "test/host/random/sequence_impl.hpp"

namespace faultline::sim {

template <class P>
void Sequence<P>::access() {
  const unsigned h = static_cast<unsigned>(choices_.pick(kHarts));
  if (world_.running(hart_id(h)) == nullptr) return;
  const std::uint64_t page = pick_page();
  const std::size_t sample = choices_.pick(kSampleOffsets.size());
  access(h, page, sample, pick_access());
}

template <class P>
void Sequence<P>::touch_range() {
  const unsigned h = static_cast<unsigned>(choices_.pick(kHarts));
  if (world_.running(hart_id(h)) == nullptr) return;
  const Range range = pick_range();
  const std::size_t sample = choices_.pick(kSampleOffsets.size());
  const Access kind = pick_access();
  for (std::uint64_t page = range.first; page < range.first + range.count; ++page)
    access(h, page, sample, kind);
}

template <class P>
void Sequence<P>::access(unsigned h, std::uint64_t page, std::size_t sample, Access kind) {
  Slot& slot = slots_[hart_slot_[h]];
  const ModelPage* model = slot.model.find(page);
  // Bytes past the end of a file in its last page are nobody's: what a program writes there may vanish at any
  // time.
  if (kind == Access::Write && model != nullptr && model->is_shared() &&
      model->index * kPageSize + kSampleOffsets[sample] >= model->file->size) {
    return;
  }
  const std::uint8_t value = ++next_value_;
  log("hart ", h, " process ", hart_slot_[h], " access ", static_cast<int>(kind), " ",
      hex(page << kPageShift), "+", kSampleOffsets[sample], " value ", int{value});
  maybe_fail_allocation();
  const auto result = user_access(world_, hart_id(h), *slot.mm, sample_va(page, sample), kind, 1, value);
  if (failed_by_injection(result)) return;
  expect_error(result, slot.model.check(page, kind), "an access");
  if (!result) return;
  if (kind == Access::Write) {
    slot.model.write(page, sample, value);
  } else if (const std::uint8_t expected = slot.model.read(page, sample); *result != expected) {
    mismatch(text("read ", *result, ", the model has ", int{expected}));
  }
}

template <class P>
void Sequence<P>::kernel_access() {
  Slot& slot = pick_slot();
  const std::uint64_t page = pick_page();
  const std::size_t sample = choices_.pick(kSampleOffsets.size());
  const bool write = chance(2);
  const Access kind = write ? Access::Write : Access::Read;
  const ModelPage* model = slot.model.find(page);
  if (write && model != nullptr && model->is_shared() &&
      model->index * kPageSize + kSampleOffsets[sample] >= model->file->size) {
    return;
  }
  const std::uint8_t value = ++next_value_;
  log("kernel for ", number(slot), write ? " writes " : " reads ", hex(page << kPageShift), "+",
      kSampleOffsets[sample], " value ", int{value});
  std::uint8_t seen = 0;
  const auto result =
      write ? slot.mm->copy_out(sample_va(page, sample), value)
            : slot.mm->copy_in(std::as_writable_bytes(std::span(&seen, 1)), sample_va(page, sample));
  const bool allowed = !slot.model.check(page, kind);
  expect_error(result, allowed ? std::nullopt : std::optional(KernelError::BadAddress), "a kernel copy");
  if (!allowed) return;
  if (write) {
    slot.model.write(page, sample, value);
  } else if (const std::uint8_t expected = slot.model.read(page, sample); seen != expected) {
    mismatch(text("the kernel read ", int{seen}, ", the model has ", int{expected}));
  }
}

template <class P>
void Sequence<P>::map() {
  Slot& slot = pick_slot();
  const Range range = pick_range();
  ModelPage like;
  like.permission = pick_permission();
  like.sharing = chance(3) ? Sharing::Shared : Sharing::Private;
  RegularFile* file = nullptr;
  if (chance(2)) {
    const File& chosen = files_[choices_.pick(kFiles)];
    file = chosen.real.get();
    like.file = chosen.model;
    like.index = choices_.pick(4);
  } else if (like.is_shared()) {
    like.file = std::make_shared<ModelFile>();
    like.file->size = range.count * kPageSize;
  }
  const bool replace = chance(2);
  log("process ", number(slot), " map ", hex(range.va().start()), " ", range.count,
      file != nullptr ? " file" : " anonymous", like.is_shared() ? " shared" : "",
      replace ? " replacing" : "", " writable ", like.permission.writable());
  if (!replace) maybe_fail_allocation();
  const auto result =
      slot.mm->mmap(range.va().start(), range.count * kPageSize - choices_.pick(100), like.permission,
                    {.fixed = true, .no_replace = !replace, .sharing = like.sharing}, file,
                    file != nullptr ? like.index * kPageSize : 0);
  if (!replace && failed_by_injection(result)) return;
  std::optional<KernelError> expected;
  if (file != nullptr && like.file->size == 0) {
    expected = KernelError::InvalidArgument;
  } else if (!replace && !slot.model.is_free(range.first, range.count)) {
    expected = KernelError::AlreadyMapped;
  }
  expect_error(result, expected, "mmap");
  if (expected) return;
  if (*result != range.va()) mismatch("mmap returned another range");
  slot.model.map(range.first, range.count, like);
}

template <class P>
void Sequence<P>::map_source() {
  Slot& slot = pick_slot();
  const Range range = pick_range();
  ModelPage like;
  like.permission = pick_permission();
  like.file = source_model_;
  like.index = choices_.pick(4);
  log("process ", number(slot), " map ", hex(range.va().start()), " ", range.count, " of the page source");
  // The source of this mapping; memory for it is not what this step is about.
  Ref<PageSource> source = *make_ref<PostcopySource>(postcopy_->handle());
  maybe_fail_allocation();
  const auto result = slot.mm->pager().mmap(slot.mm->page_table(), range.va().start(),
                                            range.count * kPageSize, like.permission, std::move(source),
                                            CountingSource::kBase + like.index * kPageSize);
  if (failed_by_injection(result)) return;
  const bool free = slot.model.is_free(range.first, range.count);
  expect_error(result, free ? std::nullopt : std::optional(KernelError::AlreadyMapped), "mmap of a source");
  if (free) slot.model.map(range.first, range.count, like);
}

template <class P>
void Sequence<P>::map_anywhere() {
  Slot& slot = pick_slot();
  const std::uint64_t count = 1 + choices_.pick(4);
  log("process ", number(slot), " map anywhere ", count);
  const auto range = slot.mm->mmap(va_at(chance(2) ? 0 : pick_page() * kPageSize), count * kPageSize,
                                   Permission::read_write());
  expect_error(range, std::nullopt, "mmap anywhere");
  const std::uint64_t first = range->start().value() >> kPageShift;
  if (range->size() != count * kPageSize || !slot.model.is_free(first, count)) {
    mismatch(text("mmap chose ", hex(range->start()), ", which is not free"));
  }
  expect_error(slot.mm->copy_out(range->start(), next_value_), std::nullopt, "a copy to a new mapping");
  const auto removed = slot.mm->munmap(*range);
  if (removed != range->size()) mismatch("munmap of a new mapping did not remove it");
}

template <class P>
void Sequence<P>::unmap() {
  Slot& slot = pick_slot();
  const Range range = pick_range();
  log("process ", number(slot), " unmap ", hex(range.va().start()), " ", range.count);
  maybe_fail_allocation();
  const auto result = slot.mm->munmap(range.va());
  if (failed_by_injection(result)) return;
  expect_error(result, std::nullopt, "munmap");
  std::size_t mapped = 0;
  for (std::uint64_t page = range.first; page < range.first + range.count; ++page) {
    mapped += slot.model.find(page) != nullptr;
  }
  if (*result != mapped * kPageSize)
    mismatch(text("munmap removed ", *result, " bytes of ", mapped, " pages"));
  slot.model.unmap(range.first, range.count);
}

template <class P>
void Sequence<P>::unmap_mapping() {
  Slot& slot = pick_slot();
  const std::uint64_t first = pick_page();
  log("process ", number(slot), " unmap the mapping at ", hex(first << kPageShift));
  const std::uint64_t count = slot.model.rest_of_mapping(first);
  const ModelPage* const below = slot.model.find(first - 1);
  const bool begins = count != 0 && (below == nullptr || below->mapping != slot.model.find(first)->mapping);
  maybe_fail_allocation();
  const auto result = slot.mm->pager().munmap(slot.mm->page_table(), va_at(first << kPageShift));
  if (failed_by_injection(result)) return;
  // Inside a mapping, what protect cut apart may begin here or not: that is the implementation's affair.
  const bool cut_here = count != 0 && !begins && result.has_value();
  expect_error(result, begins || cut_here ? std::nullopt : std::optional(KernelError::NotMapped),
               "munmap of a mapping");
  if (!result) return;
  if (*result != count * kPageSize) mismatch(text("munmap removed ", *result, " bytes of ", count, " pages"));
  slot.model.unmap(first, count);
}

template <class P>
void Sequence<P>::protect() {
  Slot& slot = pick_slot();
  const Range range = pick_range();
  const Permission permission = pick_permission();
  log("process ", number(slot), " protect ", hex(range.va().start()), " ", range.count, " ",
      permission.readable(), permission.writable(), permission.executable());
  maybe_fail_allocation();
  const auto result = slot.mm->protect(range.va(), permission);
  if (failed_by_injection(result)) return;
  const bool mapped = slot.model.is_mapped(range.first, range.count);
  expect_error(result, mapped ? std::nullopt : std::optional(KernelError::NotMapped), "protect");
  if (mapped) slot.model.protect(range.first, range.count, permission);
}

template <class P>
void Sequence<P>::remap() {
  Slot& slot = pick_slot();
  const Range from = pick_range();
  const Range to = pick_range();
  const bool fixed = chance(2);
  const ModelPage* head = slot.model.find(from.first);
  std::uint64_t new_count = to.count;
  // A shared anonymous object does not grow with its mapping; what lies past its end is left to other tests.
  if (head != nullptr && head->is_shared()) new_count = std::min(new_count, from.count);
  const Range target{to.first, new_count};
  if (fixed && from.va().overlaps(target.va())) return;
  const bool in_place_possible =
      new_count <= from.count || (from.first + new_count <= kUserEnd >> kPageShift &&
                                  slot.model.is_free(from.first + from.count, new_count - from.count));
  log("process ", number(slot), " remap ", hex(from.va().start()), " ", from.count, " to ",
      fixed ? hex(target.va().start()) : hex(0), " ", new_count);
  const auto result = fixed ? slot.mm->remap(from.va(), new_count * kPageSize, {true, target.va().start()})
                            : slot.mm->remap(from.va(), new_count * kPageSize, {});
  if (!result) {
    // Whether pieces with the same properties are one area is the implementation's affair.
    const bool excusable = result.error() == KernelError::BadAddress ||
                           (!fixed && !in_place_possible && result.error() == KernelError::OutOfMemory);
    if (!excusable) mismatch(text("remap failed: ", describe(result.error())));
    return;
  }
  if (!slot.model.is_uniform(from.first, from.count)) mismatch("remap moved what is not one mapping");
  if (!fixed && !in_place_possible) mismatch("remap grew into another mapping");
  const std::uint64_t now = fixed ? target.first : from.first;
  if (*result != (Range{now, new_count}.va())) mismatch("remap returned another range");
  if (fixed) slot.model.unmap(target.first, new_count);
  slot.model.move(from.first, from.count, now, new_count);
}

template <class P>
void Sequence<P>::advise() {
  Slot& slot = pick_slot();
  const Range range = pick_range();
  constexpr std::array kAdvice = {Advice::DontNeed, Advice::WillNeed, Advice::Populate};
  const Advice advice = kAdvice[choices_.pick(kAdvice.size())];
  log("process ", number(slot), " advise ", hex(range.va().start()), " ", range.count,
      advice == Advice::DontNeed   ? " not needed"
      : advice == Advice::WillNeed ? " needed"
                                   : " populate");
  const auto result = slot.mm->advise(range.va(), advice);
  const bool mapped = slot.model.is_mapped(range.first, range.count);
  expect_error(result, mapped ? std::nullopt : std::optional(KernelError::NotMapped), "advise");
  // What is mapped is done, whatever holes there are.
  for (std::uint64_t page = range.first; page < range.first + range.count; ++page) {
    if (!slot.model.is_mapped(page, 1)) continue;
    if (advice == Advice::DontNeed) slot.model.discard(page, 1);
    if (advice == Advice::Populate) slot.model.populate(page, 1);
  }
}

template <class P>
void Sequence<P>::fork() {
  const auto free_slot = std::ranges::find_if(slots_, [](const Slot& slot) { return slot.mm == nullptr; });
  if (free_slot == slots_.end()) return exit();
  Slot& parent = pick_slot();
  log("fork ", number(parent), " to ", number(*free_slot));
  maybe_fail_allocation();
  auto child = parent.mm->fork();
  if (failed_by_injection(child)) return;
  expect_error(child, std::nullopt, "fork");
  free_slot->mm = std::make_unique<MmStruct<P>>(*std::move(child));
  free_slot->model = parent.model;
}

template <class P>
void Sequence<P>::exit() {
  if (std::ranges::count_if(slots_, [](const Slot& slot) { return slot.mm != nullptr; }) < 2) return;
  Slot& slot = pick_slot();
  log("exit ", number(slot));
  if (chance(2)) slot.mm->clear();  // while harts still run it
  world_.leave_everywhere(slot.mm->space());
  slot.mm.reset();
  slot.model = ModelSpace(kPolicy);
}

template <class P>
void Sequence<P>::switch_hart() {
  const unsigned h = static_cast<unsigned>(choices_.pick(kHarts));
  Slot& slot = pick_slot();
  hart_slot_[h] = number(slot);
  log("hart ", h, " runs ", hart_slot_[h]);
  world_.run(hart_id(h), slot.mm->space());
}

template <class P>
void Sequence<P>::write_file() {
  const File& file = files_[choices_.pick(kFiles)];
  const std::uint64_t offset = choices_.pick(kMaxFilePages * kPageSize / 2);
  const std::uint64_t count = 1 + choices_.pick(2 * kPageSize);
  const std::uint8_t value = ++next_value_;
  log("write ", count, " bytes at ", offset, " of a file, value ", int{value});
  const std::vector<std::byte> bytes(count, std::byte{value});
  expect_error(file.real->write(offset, bytes), std::nullopt, "write");
  file.model->write_bytes(offset, count, value);
  load_pages_that_appeared();
}

template <class P>
void Sequence<P>::truncate_file() {
  const File& file = files_[choices_.pick(kFiles)];
  std::uint64_t size = choices_.pick(kMaxFilePages * kPageSize / 2);
  if (chance(3)) size -= size % kPageSize;
  log("truncate a file from ", file.model->size, " to ", size);
  maybe_fail_allocation();
  const auto result = file.real->truncate(size);
  if (failed_by_injection(result)) return;
  expect_error(result, std::nullopt, "truncate");
  file.model->truncate(size);
  for (Slot& slot : slots_) slot.model.forget_pages_beyond_end();
  load_pages_that_appeared();
}

// When exactly a policy that copies early copies a page that its file did not have before, is left to it;
// from here on it must have done so.
template <class P>
void Sequence<P>::load_pages_that_appeared() {
  if (!kPolicy.copies_file_pages_early) return;
  for (Slot& slot : slots_) {
    for (const auto& [number, page] : slot.model.pages()) {
      if (page.own || page.is_shared() || page.permission.is_none() || !page.file->has_page(page.index))
        continue;
      const Access allowed = page.permission.readable() ? Access::Read : Access::Execute;
      expect_error(slot.mm->get_user_page_and(sample_va(number, 0), allowed, [](const UserPage&) {}),
                   std::nullopt, "loading a page that its file has now");
      static_cast<void>(slot.model.read(number, 0));
    }
  }
}

template <class P>
void Sequence<P>::write_back_file() {
  const File& file = files_[choices_.pick(kFiles)];
  log("write back");
  expect_error(file.real->write_back(0, UINT64_MAX), std::nullopt, "write-back");
  for (std::uint64_t index = 0; file.model->has_page(index); ++index) {
    for (std::size_t sample = 0; sample < kSampleOffsets.size(); ++sample) {
      const std::uint64_t offset = index * kPageSize + kSampleOffsets[sample];
      if (offset >= file.model->size) continue;
      const std::uint8_t expected = file.model->read(index, sample);
      if (file.real->on_device(offset) != expected) {
        mismatch(text("the device has ", int{file.real->on_device(offset)}, " at ", offset, ", the model ",
                      int{expected}));
      }
    }
  }
}

template <class P>
void Sequence<P>::prewarm() {
  log("prewarm");
  maybe_fail_allocation();
  const bool warmed = postcopy_->prewarm().has_value();
  world_.machine.fail_allocation(0);
  if (!warmed && !injected_) mismatch("prewarm failed");
  const std::uint64_t fetches = source_->fetches;
  if (!postcopy_->prewarm()) mismatch("prewarm failed");
  if (warmed && source_->fetches != fetches) mismatch("prewarm fetched again what it keeps");
}

template <class P>
void Sequence<P>::disturb() {
  log("disturb");
  if (chance(2)) {
    world_.machine.hart(hart_id(static_cast<unsigned>(choices_.pick(kHarts))))
        .evict(choices_.pick(UINT64_MAX));
  } else if (chance(2)) {
    const auto reclaimed = PageCache::reclaim(choices_.pick(8));
    static_cast<void>(reclaimed);
  } else {
    const auto h = static_cast<unsigned>(choices_.pick(kHarts));
    world_.machine.hart(hart_id(h)).speculate(va_at(pick_page() * kPageSize));
  }
}

}  // namespace faultline::sim
