#include "test/host/machine/machine.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernel/lib/panic.hpp"

namespace faultline::sim {
namespace {

Machine* current_machine = nullptr;
thread_local HartId hart_of_this_thread = hart_id(0);

// Stands before each heap object, so that a release with another size or alignment is noticed.
struct ObjectHeader {
  static constexpr std::uint64_t kMagic = 0x0b1ec7'f417'11ee;
  std::uint64_t magic;
  std::size_t bytes;
  std::size_t alignment;
};

std::size_t header_size(std::size_t alignment) {
  return (sizeof(ObjectHeader) + alignment - 1) / alignment * alignment;
}

}  // namespace

Machine::Machine(std::size_t frames) : frames_(frames) {
  if (current_machine != nullptr) {
    std::fputs("two simulated machines at a time\n", stderr);
    std::abort();
  }
  for (unsigned i = 0; i < kMaxHarts; ++i) harts_.push_back(std::make_unique<Hart>(frames_, hart_id(i)));
  current_machine = this;
}

Machine::~Machine() {
  if (frames_in_use() != 0) {
    std::string report = text(frames_in_use(), " frames were never released:");
    for (Pa frame : frames_.allocated_frames()) {
      if (report.size() > 400) break;
      report += text(" ", hex(frame), "(", frames_.info(frame).references.load(), " references)");
    }
    report_failure(report);
  }
  if (objects_in_use() != 0) report_failure(text(objects_in_use(), " heap objects were never released"));
  current_machine = nullptr;
}

Machine& Machine::current() {
  if (current_machine == nullptr) {
    std::fputs("memory core used without a simulated machine\n", stderr);
    std::abort();
  }
  return *current_machine;
}

bool Machine::exists() { return current_machine != nullptr; }

void Machine::count_call() {
  if (calls_left_.fetch_sub(1, std::memory_order_relaxed) == 0) panic("the memory core goes on and on");
}

bool Machine::allocation_fails() {
  count_call();
  if (at_each_allocation_) at_each_allocation_();
  allocations_.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t left = until_failure_.load();
  while (left != 0) {
    if (left == 1 && keep_failing_.load()) return true;
    if (until_failure_.compare_exchange_weak(left, left - 1)) return left == 1;
  }
  return false;
}

std::optional<Pa> Machine::allocate(unsigned order, FrameContents contents) {
  if (allocation_fails() || frames_in_use() + (std::size_t{1} << order) > frame_limit_.load())
    return std::nullopt;
  return frames_.allocate(order, contents);
}

void Machine::release(Pa block, unsigned order) {
  if (frames_.serial(block) != 0) {
    for (const auto& hart : harts_) hart->check_unused(block);
  }
  frames_.release(block, order);
}

void* Machine::allocate_object(std::size_t bytes, std::size_t alignment) {
  if (bytes == 0 || alignment == 0 || alignment > 64 || (alignment & (alignment - 1)) != 0) {
    report_failure(text("heap_allocate(", bytes, ", ", alignment, ") breaks its precondition"));
    return nullptr;
  }
  // What no heap of this size could give fails here, not in the sanitizers' malloc, which would abort.
  if (allocation_fails() || bytes > frames_.frames() * kPageSize) return nullptr;
  const std::size_t header = header_size(alignment);
  const std::size_t total = (header + bytes + alignment - 1) / alignment * alignment;
  auto* memory =
      static_cast<std::byte*>(std::aligned_alloc(std::max(alignment, alignof(ObjectHeader)), total));
  if (memory == nullptr) return nullptr;
  const ObjectHeader written{ObjectHeader::kMagic, bytes, alignment};
  std::memcpy(memory + header - sizeof(ObjectHeader), &written, sizeof written);
  std::memset(memory + header, 0xc7, bytes);
  objects_.fetch_add(1, std::memory_order_relaxed);
  return memory + header;
}

void Machine::release_object(void* object, std::size_t bytes, std::size_t alignment) {
  auto* memory = static_cast<std::byte*>(object);
  ObjectHeader header;
  std::memcpy(&header, memory - sizeof header, sizeof header);
  if (header.magic != ObjectHeader::kMagic) {
    report_failure("heap_release of something that is not a live heap object");
    return;
  }
  if (header.bytes != bytes || header.alignment != alignment) {
    report_failure(text("heap_release(", bytes, ", ", alignment, ") of an object allocated with (",
                        header.bytes, ", ", header.alignment, ")"));
  }
  std::memset(memory - sizeof header, 0xc8, sizeof header + header.bytes);
  objects_.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory - header_size(header.alignment));
}

void Machine::fence_local(const FenceScope& scope) {
  count_call();
  if (at_next_fence_) std::exchange(at_next_fence_, nullptr)();
  if (recording_.load(std::memory_order_relaxed)) {
    std::lock_guard guard(fences_mutex_);
    fences_.push_back({platform::current_hart(), HartSet(), scope});
  }
  hart(platform::current_hart()).fence(scope);
}

void Machine::fence_remote(HartSet targets, const FenceScope& scope) {
  count_call();
  if (at_next_fence_) std::exchange(at_next_fence_, nullptr)();
  if (recording_.load(std::memory_order_relaxed)) {
    std::lock_guard guard(fences_mutex_);
    fences_.push_back({platform::current_hart(), targets, scope});
  }
  if (targets.contains(platform::current_hart())) report_failure("fence_remote names the current hart");
  if (scope.range && (scope.range->empty() || !scope.range->page_aligned())) {
    report_failure("fence of an empty range or of parts of pages");
  }
  for (const auto& hart : harts_) {
    if (targets.contains(hart->id())) hart->fence(scope);
  }
}

std::vector<FenceRecord> Machine::take_fences() {
  std::lock_guard guard(fences_mutex_);
  return std::exchange(fences_, {});
}

void Machine::check_coherence() {
  for (const auto& hart : harts_) hart->check_coherence();
}

// A sleeping thread waits for any wake-up and looks at its word again: more wake-ups than on a real kernel,
// never fewer. When the last running thread goes to sleep nobody is left to wake it.
void Machine::wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  std::unique_lock guard(sleep_mutex_);
  if (word.load(std::memory_order_seq_cst) != expected) return;
  if (running_threads_ == 1) panic("deadlock: every thread of the simulated machine sleeps");
  --running_threads_;
  ++sleeping_threads_;
  const std::uint64_t wakes = wakes_;
  sleepers_changed_.wait(guard, [&] { return wakes_ != wakes; });
}

unsigned Machine::sleeping_threads() {
  std::lock_guard guard(sleep_mutex_);
  return sleeping_threads_;
}

void Machine::wake_waiters(const std::atomic<std::uint32_t>&) {
  std::lock_guard guard(sleep_mutex_);
  ++wakes_;
  // Counted as running from now on, not from when the host lets them: who woke them may be about to sleep
  // itself.
  running_threads_ += std::exchange(sleeping_threads_, 0);
  sleepers_changed_.notify_all();
}

void Machine::run_in_parallel(const std::vector<std::function<void()>>& functions) {
  {
    std::lock_guard guard(sleep_mutex_);
    running_threads_ = static_cast<unsigned>(functions.size());
  }
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < functions.size(); ++i) {
    threads.emplace_back([this, i, &functions] {
      OnHart here(hart_id(i % kMaxHarts));
      functions[i]();
      std::lock_guard guard(sleep_mutex_);
      if (--running_threads_ == 0 && sleeping_threads_ > 0)
        panic("deadlock: the last running thread has ended");
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::lock_guard guard(sleep_mutex_);
  running_threads_ = 1;
}

OnHart::OnHart(HartId id) : before_(std::exchange(hart_of_this_thread, id)) {}
OnHart::~OnHart() { hart_of_this_thread = before_; }

}  // namespace faultline::sim

namespace faultline::platform {
HartId current_hart() noexcept { return sim::hart_of_this_thread; }
}  // namespace faultline::platform
