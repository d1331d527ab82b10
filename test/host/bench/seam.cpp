// The seam for benchmarks: the kernel's own allocators over plain host memory, and no TLB at all. What is
// measured is the core, not the simulated machine's suspicion.

#include "test/host/bench/seam.hpp"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/panic.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/mm/buddy.hpp"
#include "kernel/mm/slab.hpp"

namespace faultline {
namespace {

constexpr std::uint64_t kFirst = 0x8000'0000;
constexpr std::size_t kFrames = std::size_t{1} << 18;  // 1 GiB

thread_local HartId hart_of_this_thread{0};

struct Memory {
  std::byte* bytes = static_cast<std::byte*>(::mmap(nullptr, kFrames* kPageSize, PROT_READ | PROT_WRITE,
                                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  std::unique_ptr<FrameInfo[]> info = std::make_unique<FrameInfo[]>(kFrames);
  BuddyAllocator buddy{Pa::checked(kFirst), kFrames, info.get()};
  FrameAllocator frames{buddy};
  SlabAllocator slabs{[](const void* object) {
    return Pa::checked(kFirst +
                       static_cast<std::uint64_t>(static_cast<const std::byte*>(object) - memory().bytes))
        .page();
  }};

  Memory() {
    if (bytes == MAP_FAILED) std::abort();
    buddy.add_free_range(Pa::checked(kFirst), Pa::checked(kFirst + kFrames * kPageSize));
  }
  static Memory& memory() {
    static Memory the_memory;
    return the_memory;
  }
};

Memory& memory() { return Memory::memory(); }

}  // namespace

void bench::become_hart(unsigned number) { hart_of_this_thread = HartId{static_cast<std::uint8_t>(number)}; }

void panic(const char* message, std::source_location where) {
  std::fprintf(stderr, "%s:%u: panic: %s\n", where.file_name(), static_cast<unsigned>(where.line()), message);
  std::abort();
}

void* heap_allocate(std::size_t bytes, std::size_t alignment) noexcept {
  return memory().slabs.allocate(bytes, alignment);
}
void heap_release(void* object, std::size_t bytes, std::size_t alignment) noexcept {
  memory().slabs.release(object, bytes, alignment);
}
void cpu_relax() noexcept { std::this_thread::yield(); }

namespace platform {

HartId current_hart() noexcept { return hart_of_this_thread; }
std::optional<Pa> allocate_frame(FrameContents contents) noexcept {
  return memory().frames.allocate(contents);
}
void release_frame(Pa frame) noexcept { memory().frames.release(frame); }
std::optional<Pa> allocate_block(unsigned order, FrameContents contents) noexcept {
  return memory().frames.allocate_block(order, contents);
}
void release_block(Pa block, unsigned order) noexcept { memory().frames.release_block(block, order); }
std::byte* frame_bytes(Pa frame) noexcept { return memory().bytes + (frame.value() - kFirst); }
FrameInfo& frame_info(Pa frame) noexcept { return memory().frames.info(frame); }
void fence_local(const FenceScope&) noexcept {}
void fence_remote(HartSet, const FenceScope&) noexcept {}
void synchronize_instructions() noexcept {}
void wait_while_equal(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  word.wait(expected);
}
void wake_waiters(const std::atomic<std::uint32_t>& word) noexcept {
  const_cast<std::atomic<std::uint32_t>&>(word).notify_all();
}

}  // namespace platform
}  // namespace faultline
