#pragma once
// Sequence's machinery: setting up, choosing, comparing. The operations stand in operations.hpp.

#include <algorithm>

#include "test/host/random/sequence.hpp"

namespace faultline::sim {

/// Where sequences map: over a boundary of 1 GiB, over one of 2 MiB, and at the very end of the user half.
/// Wide enough that some last-level tables have the entries it takes for fork to share them, and some do not.
inline constexpr std::uint64_t kClusterPages = 40;
inline constexpr std::uint64_t kPagesBelowBoundary = 8;
inline constexpr std::array<std::uint64_t, 3> kClusters = {
    (kGigapageSize >> kPageShift) - kPagesBelowBoundary,
    (3 * kMegapageSize >> kPageShift) - kPagesBelowBoundary, (kUserEnd >> kPageShift) - kClusterPages};

inline Va sample_va(std::uint64_t page, std::size_t sample) {
  return va_at(page * kPageSize + kSampleOffsets[sample]);
}

template <class P>
Sequence<P>::Sequence(Choices& choices) : choices_(choices), world_(std::size_t{1} << 14) {
  for (unsigned i = 0; i < kFiles; ++i) {
    const std::uint64_t size = choices_.pick(6 * kPageSize) + 1;
    files_[i] = {MemoryFile::with_pattern(size), std::make_shared<ModelFile>()};
    files_[i].model->size = size;
    for (std::uint64_t index = 0; index * kPageSize < size; ++index) {
      for (std::size_t sample = 0; sample < kSampleOffsets.size(); ++sample) {
        const std::uint64_t offset = index * kPageSize + kSampleOffsets[sample];
        if (offset < size) {
          files_[i].model->write(index, sample, static_cast<std::uint8_t>(MemoryFile::pattern_byte(offset)));
        }
      }
    }
  }
  source_ = *make_ref<CountingSource>();
  PagerConfig config;
  for (std::uint64_t page : {0, 2, 3, 5})
    static_cast<void>(config.prewarm.push_back(CountingSource::kBase + page * kPageSize));
  postcopy_ = *PostcopyPager::create(source_, std::move(config));
  // No sequence can move and grow a mapping to its end.
  source_model_->size = std::uint64_t{1} << 50;
  source_model_->is_source = true;
  static_cast<void>(postcopy_->register_region(CountingSource::kBase, source_model_->size));

  slots_[0].mm = std::make_unique<MmStruct<P>>(*MmStruct<P>::create());
  for (unsigned h = 0; h < 2; ++h) world_.run(hart_id(h), slots_[0].mm->space());
}

template <class P>
Sequence<P>::~Sequence() {
  world_.machine.fail_allocation(0);
  for (unsigned h = 0; h < kHarts; ++h) world_.leave(hart_id(h));
}

template <class P>
template <class... Parts>
void Sequence<P>::log(const Parts&... parts) {
  history_.push_back(text("step ", steps_, ": ", parts...));
  if (history_.size() > 25) history_.pop_front();
}

template <class P>
std::string Sequence<P>::history() const {
  std::string all;
  for (const std::string& line : history_) all += line + "\n";
  return all;
}

template <class P>
typename Sequence<P>::Slot& Sequence<P>::pick_slot() {
  for (;;) {
    Slot& slot = slots_[choices_.pick(kProcesses)];
    if (slot.mm) return slot;
    if (choices_.exhausted())
      return *std::ranges::find_if(slots_, [](const Slot& s) { return s.mm != nullptr; });
  }
}

template <class P>
std::uint64_t Sequence<P>::pick_page() {
  return kClusters[choices_.pick(kClusters.size())] + choices_.pick(kClusterPages);
}

template <class P>
typename Sequence<P>::Range Sequence<P>::pick_range() {
  const std::uint64_t cluster = kClusters[choices_.pick(kClusters.size())];
  const std::uint64_t first = choices_.pick(kClusterPages);
  const std::uint64_t longest = std::min<std::uint64_t>(kClusterPages - first, chance(8) ? kClusterPages : 5);
  return {cluster + first, 1 + choices_.pick(longest)};
}

template <class P>
Permission Sequence<P>::pick_permission() {
  switch (choices_.pick(8)) {
    case 0:
      return Permission::none();
    case 1:
      return Permission::read();
    case 2:
      return Permission::read_execute();
    case 3:
      return Permission::execute();
    case 4:
      return Permission::read_write_execute();
    default:
      return Permission::read_write();
  }
}

template <class P>
bool Sequence<P>::maybe_fail_allocation() {
  injected_ = chance(24);
  if (injected_) world_.machine.fail_allocation(1 + choices_.pick(6), chance(2));
  return injected_;
}

template <class P>
template <class T>
bool Sequence<P>::failed_by_injection(const Result<T>& result) {
  world_.machine.fail_allocation(0);
  if (!injected_ || result.has_value()) return false;
  return result.error() == KernelError::OutOfMemory;
}

template <class P>
template <class T>
void Sequence<P>::expect_error(const Result<T>& result, std::optional<KernelError> expected,
                               const char* operation) {
  if (result.has_value() && expected) {
    mismatch(text(operation, " succeeded where the model says: ", describe(*expected)));
  }
  if (!result.has_value() && (!expected || result.error() != *expected)) {
    mismatch(text(operation, " failed with \"", describe(result.error()),
                  "\" where the model says: ", expected ? describe(*expected) : "success"));
  }
}

template <class P>
void Sequence<P>::check_everything() {
  for (Slot& slot : slots_) {
    if (!slot.mm) continue;
    slot.mm->pager().areas().check();
    std::size_t mapped = 0;
    slot.mm->for_each_area([&](const VmArea& area) { mapped += area.range().pages(); });
    if (mapped != slot.model.pages().size()) {
      mismatch(text(mapped, " pages are mapped, the model has ", slot.model.pages().size()));
    }
    for (const auto& [number, page] : slot.model.pages()) {
      for (Access access : {Access::Read, Access::Write, Access::Execute}) {
        if (slot.mm->access_ok(*VaRange::from(number * kPageSize, kPageSize), access) !=
            page.permission.allows(access)) {
          mismatch(text("access_ok is wrong at ", hex(number << kPageShift)));
        }
      }
    }
  }
  world_.check_zero_page();
  world_.machine.check_coherence();
}

template <class P>
void Sequence<P>::step() {
  ++steps_;
  const std::uint64_t which = choices_.pick(100);
  if (which < 46) {
    access();
  } else if (which < 51) {
    kernel_access();
  } else if (which < 55) {
    touch_range();
  } else {
    using Operation = void (Sequence::*)();
    static constexpr std::pair<unsigned, Operation> kOperations[] = {
        {63, &Sequence::map},           {65, &Sequence::map_source},      {66, &Sequence::map_anywhere},
        {71, &Sequence::unmap},         {73, &Sequence::unmap_mapping},   {81, &Sequence::protect},
        {84, &Sequence::remap},         {87, &Sequence::advise},          {89, &Sequence::fork},
        {90, &Sequence::exit},          {94, &Sequence::switch_hart},     {96, &Sequence::write_file},
        {97, &Sequence::truncate_file}, {98, &Sequence::write_back_file}, {99, &Sequence::prewarm},
        {100, &Sequence::disturb},
    };
    const auto chosen =
        std::ranges::find_if(kOperations, [&](const auto& operation) { return which < operation.first; });
    (this->*chosen->second)();
    world_.machine.fail_allocation(0);
    world_.machine.check_coherence();
  }
  if (steps_ % 64 == 0) check_everything();
}

}  // namespace faultline::sim
