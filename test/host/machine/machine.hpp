#pragma once
// The simulated machine: frames, harts and a heap behind the seam of the memory core
// (kernel/mm/platform.hpp).
//
// A test case makes one Machine; while it lives, the seam's functions act on it. When it dies every frame and
// heap object must have been given back. Rules of the machine that the code breaks are reported (report.hpp).
//
// Kernel code runs on the host thread's current hart: hart 0 at first, another one inside an OnHart scope.

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernel/mm/platform.hpp"
#include "test/host/machine/frame_arena.hpp"
#include "test/host/machine/hart.hpp"
#include "test/host/machine/report.hpp"

namespace faultline::sim {

constexpr HartId hart_id(unsigned number) { return HartId{static_cast<std::uint8_t>(number)}; }

/// One call of the seam's fence functions.
struct FenceRecord {
  HartId from;
  HartSet remote;  // empty: a local fence
  FenceScope scope;
};

class Machine {
 public:
  static constexpr std::size_t kDefaultFrames = std::size_t{1} << 16;

  explicit Machine(std::size_t frames = kDefaultFrames);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  /// The machine that the seam acts on. Aborts when there is none.
  static Machine& current();
  static bool exists();

  FrameArena& frames() { return frames_; }
  Hart& hart(HartId id) { return *harts_[static_cast<unsigned>(id)]; }

  /// Frames and heap objects in use.
  std::size_t frames_in_use() const { return frames_.allocated(); }
  std::size_t objects_in_use() const { return objects_.load(std::memory_order_relaxed); }

  /// Makes the n-th allocation from now on fail (1: the next one, 0: none), be it a frame, a block or a heap
  /// object. `and_all_after`: and every later one, until the next call.
  void fail_allocation(std::uint64_t n, bool and_all_after = false) {
    keep_failing_.store(and_all_after);
    until_failure_.store(n);
  }
  /// Makes every allocation fail that would take more than `frames` frames.
  void limit_frames(std::size_t frames) { frame_limit_.store(frames); }
  /// Panics when the core has allocated and fenced more than `calls` times from now on: what it was asked to
  /// do has no end.
  void limit_calls(std::uint64_t calls) { calls_left_.store(calls); }
  /// Number of allocations asked for so far.
  std::uint64_t allocations() const { return allocations_.load(); }

  /// The fences since the last call.
  std::vector<FenceRecord> take_fences();
  void record_fences(bool on) { recording_.store(on); }
  /// Calls the function once, before the next fence of any kind takes effect. For tests with one thread.
  void at_next_fence(std::function<void()> function) { at_next_fence_ = std::move(function); }
  /// Calls the function before each allocation; null: no more. For tests with one thread.
  void at_each_allocation(std::function<void()> function) { at_each_allocation_ = std::move(function); }

  /// Hart::set_gentle for all harts.
  void set_gentle(bool gentle) {
    for (const auto& hart : harts_) hart->set_gentle(gentle);
  }

  /// Reports what any hart remembers beyond what the page tables say (Hart::check_coherence).
  void check_coherence();

  /// Runs the functions at the same time, the i-th on hart i, each in a thread of its own; returns when all
  /// have ended. Reports a failure when all of them sleep for good.
  void run_in_parallel(const std::vector<std::function<void()>>& functions);

  // What the seam calls.
  std::optional<Pa> allocate(unsigned order, FrameContents contents);
  void release(Pa block, unsigned order);
  void* allocate_object(std::size_t bytes, std::size_t alignment);
  void release_object(void* memory, std::size_t bytes, std::size_t alignment);
  void fence_local(const FenceScope& scope);
  void fence_remote(HartSet targets, const FenceScope& scope);
  void synchronize_instructions() { instruction_fences_.fetch_add(1); }
  std::uint64_t instruction_fences() const { return instruction_fences_.load(); }
  void wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t expected);
  void wake_waiters(const std::atomic<std::uint32_t>& word);
  /// Threads of run_in_parallel that sleep now.
  unsigned sleeping_threads();

 private:
  bool allocation_fails();
  void count_call();

  FrameArena frames_;
  std::vector<std::unique_ptr<Hart>> harts_;
  std::atomic<std::size_t> objects_ = 0;
  std::atomic<std::uint64_t> until_failure_ = 0;
  std::atomic<bool> keep_failing_ = false;
  std::atomic<std::size_t> frame_limit_ = SIZE_MAX;
  std::atomic<std::uint64_t> allocations_ = 0;
  std::atomic<std::uint64_t> calls_left_ = UINT64_MAX;
  std::atomic<std::uint64_t> instruction_fences_ = 0;

  std::atomic<bool> recording_ = false;
  std::function<void()> at_next_fence_;
  std::function<void()> at_each_allocation_;
  std::mutex fences_mutex_;
  std::vector<FenceRecord> fences_;

  // No thread running and one asleep is a deadlock.
  std::mutex sleep_mutex_;
  std::condition_variable sleepers_changed_;
  unsigned running_threads_ = 1;
  unsigned sleeping_threads_ = 0;
  std::uint64_t wakes_ = 0;
};

/// For one call into the core, which ends long before it has allocated and fenced so often: panics if it does
/// not, so that a test says what goes on for ever.
class [[nodiscard]] CallLimit {
 public:
  explicit CallLimit(Machine& machine) : machine_(machine) { machine_.limit_calls(kCalls); }
  CallLimit(const CallLimit&) = delete;
  CallLimit& operator=(const CallLimit&) = delete;
  ~CallLimit() { machine_.limit_calls(UINT64_MAX); }

 private:
  static constexpr std::uint64_t kCalls = 100'000;
  Machine& machine_;
};

/// Lets the calling host thread act as another hart for a scope.
class [[nodiscard]] OnHart {
 public:
  explicit OnHart(HartId id);
  OnHart(const OnHart&) = delete;
  OnHart& operator=(const OnHart&) = delete;
  ~OnHart();

 private:
  HartId before_;
};

}  // namespace faultline::sim
