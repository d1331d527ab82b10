#pragma once
// The memory of a user program, and where things lie in it.
//
//   0x40_0000_0000     kUserEnd, end of the user half
//                      two pages never mapped
//   kSignalReturnPage  the code that signal handlers return to, read-execute, the same frame in every space
//                      one page never mapped
//   kStackTop          the first thread's stack, grows down as far as the limit of stacks allows
//                      guard gap; below it mmap without a hint places areas, top down
//   …
//   end of the program's image, then the heap (brk), going up
//   0x10000 …          the program's image (ET_EXEC as linked; static PIE at kPieBase)
//   0                  never mapped by the kernel itself, so that null pointers fault

#include <cstdint>

#include "kernel/lib/ref.hpp"
#include "kernel/proc/system_pager.hpp"

namespace faultline {

inline constexpr std::uint64_t kSignalReturnPage = kUserEnd - 3 * kPageSize;
inline constexpr std::uint64_t kStackTop = kSignalReturnPage - kPageSize;
inline constexpr std::uint64_t kPieBase = 0x20'0000'0000;

/// An MmStruct that several holders keep alive: the threads of a process, a vfork child, readers of procfs.
/// The last reference is dropped where sleeping is allowed (shared file pages may be written back).
class AddressSpace final : public RefCounted {
 public:
  explicit AddressSpace(SystemMm&& mm) : mm_(std::move(mm)) {}

  /// A space that holds only the signal-return page. Error: OutOfMemory.
  static Result<Ref<AddressSpace>> create(const MemoryLimits& limits, PagerChoice pager);

  /// The child's space for fork. Error: OutOfMemory.
  Result<Ref<AddressSpace>> fork();

  SystemMm& mm() { return mm_; }

 private:
  SystemMm mm_;
};

/// The first process's, until somebody sets others.
MemoryLimits initial_memory_limits();

/// Prepares the frame of the signal-return page; once, at start-up. Error: OutOfMemory.
Result<> create_signal_return_page();

}  // namespace faultline
