#include "test/host/machine/frame_arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "test/host/machine/report.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define FAULTLINE_HOST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FAULTLINE_HOST_ASAN 1
#endif
#endif
#ifdef FAULTLINE_HOST_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) static_cast<void>(0)
#endif

namespace faultline::sim {
namespace {

constexpr int kJunk = 0xb5;

const std::array<std::byte, kPageSize>& junk_page() {
  static const auto page = [] {
    std::array<std::byte, kPageSize> bytes;
    bytes.fill(std::byte{kJunk});
    return bytes;
  }();
  return page;
}

void* map_sparse(std::size_t bytes) {
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("simulated machine: mmap");
    std::abort();
  }
  return memory;
}

}  // namespace

void FrameArena::Unmap::operator()(void* memory) const {
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
  ::munmap(memory, bytes);
}

// The states stand in fresh zero pages of the host, which is what their constructors would write:
// constructing them would touch all of a sparse machine.
FrameArena::FrameArena(std::size_t frames)
    : frames_(frames),
      memory_(static_cast<std::byte*>(map_sparse(frames * kPageSize)), {frames * kPageSize}),
      state_memory_(static_cast<State*>(map_sparse(frames * sizeof(State))), {frames * sizeof(State)}),
      states_(state_memory_.get()),
      next_block_(frames) {}

FrameArena::~FrameArena() = default;

std::optional<std::size_t> FrameArena::find_block(unsigned order) {
  if (!free_[order].empty()) {
    const std::size_t found = free_[order].back();
    free_[order].pop_back();
    return found;
  }
  if (order == 0) {
    if (next_single_ == next_block_) return std::nullopt;
    return next_single_++;
  }
  const std::size_t count = std::size_t{1} << order;
  const std::size_t first_number = kFirstPa / kPageSize;  // alignment is one of physical addresses
  if (next_block_ < count) return std::nullopt;
  const std::size_t start = ((first_number + next_block_ - count) & ~(count - 1)) - first_number;
  if (start < next_single_ || start > next_block_) return std::nullopt;
  for (std::size_t skipped = start + count; skipped < next_block_; ++skipped) free_[0].push_back(skipped);
  next_block_ = start;
  return start;
}

std::optional<Pa> FrameArena::allocate(unsigned order, FrameContents contents) {
  std::lock_guard guard(mutex_);
  if (order > kMaxOrder) return std::nullopt;
  const std::optional<std::size_t> start = find_block(order);
  if (!start) return std::nullopt;
  const std::size_t count = std::size_t{1} << order;
  for (std::size_t i = *start; i < *start + count; ++i) {
    State& state = states_[i];
    ASAN_UNPOISON_MEMORY_REGION(raw(i), kPageSize);
    if (state.was_used) check_junk(i);
    if (contents == FrameContents::Zeroed) {
      if (state.was_used) std::memset(raw(i), 0, kPageSize);
    } else if (!state.was_used) {
      std::memset(raw(i), kJunk, kPageSize);
    }
    state.info.references.store(1, std::memory_order_relaxed);
    state.serial.store(next_serial_++, std::memory_order_release);
  }
  states_[*start].starts_block = true;
  states_[*start].order = static_cast<std::uint8_t>(order);
  allocated_.fetch_add(count, std::memory_order_relaxed);
  return pa(*start);
}

void FrameArena::release(Pa block, unsigned order) {
  std::lock_guard guard(mutex_);
  if (serial(block) == 0) {
    report_failure(text("release of ", hex(block), ", which is not allocated"));
    return;
  }
  State& first = states_[index(block)];
  if (!first.starts_block || first.order != order) {
    report_failure(text("release of ", hex(block), " with order ", order, ", allocated otherwise"));
    return;
  }
  first.starts_block = false;
  const std::size_t count = std::size_t{1} << order;
  for (std::size_t i = index(block); i < index(block) + count; ++i) {
    State& state = states_[i];
    if (const auto references = state.info.references.load(); i == index(block) && references != 0) {
      report_failure(text("release of ", hex(pa(i)), " with ", references, " references"));
    }
    if (state.info.table_lock.load() != 0) {
      report_failure(text("release of ", hex(pa(i)), " while its table lock is held"));
    }
    state.serial.store(0, std::memory_order_release);
    std::memset(raw(i), kJunk, kPageSize);
    state.was_used = true;
    ASAN_POISON_MEMORY_REGION(raw(i), kPageSize);
  }
  free_[order].push_back(index(block));
  allocated_.fetch_sub(count, std::memory_order_relaxed);
}

void FrameArena::check_junk(std::size_t index) {
  if (std::memcmp(raw(index), junk_page().data(), kPageSize) == 0) return;
  const std::byte* bytes = raw(index);
  const auto changed =
      std::find_if(bytes, bytes + kPageSize, [](std::byte b) { return b != std::byte{kJunk}; });
  report_failure(text("frame ", hex(pa(index)), " was written at offset ",
                      hex(static_cast<std::uint64_t>(changed - bytes)), " after it had been released"));
  std::memset(raw(index), kJunk, kPageSize);
}

std::uint32_t FrameArena::serial(Pa frame) const {
  if (!contains(frame)) return 0;
  return states_[index(frame)].serial.load(std::memory_order_acquire);
}

std::byte* FrameArena::bytes(Pa frame) {
  if (!frame.page_aligned() || serial(frame) == 0) {
    report_failure(text("access to the bytes of ", hex(frame), ", which is not an allocated frame"));
    static std::array<std::byte, kPageSize> scratch;
    return scratch.data();
  }
  return raw(index(frame));
}

FrameInfo& FrameArena::info(Pa frame) {
  if (!contains(frame)) {
    report_failure(text("bookkeeping of ", hex(frame), ", which is not memory"));
    static FrameInfo scratch;
    return scratch;
  }
  return states_[index(frame)].info;
}

std::vector<Pa> FrameArena::allocated_frames() const {
  std::vector<Pa> found;
  for (std::size_t i = 0; i < frames_ && found.size() < allocated(); ++i) {
    if (states_[i].serial.load() != 0) found.push_back(pa(i));
  }
  return found;
}

}  // namespace faultline::sim
