#pragma once
// MmStruct: one address space as system calls and traps see it: a page table, a pager, the lock over both,
// the heap's end.
//
// Kernel code reaches user memory only through this class: copy_in, copy_out, copy_string_in,
// get_user_page_and. They load pages and break copy-on-write as an access by the program would, and give
// BadAddress where it would get a signal.
//
// Arguments may come straight from a program; every address and size is checked here or in the pager.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "kernel/mm/address_space_lock.hpp"
#include "kernel/mm/pager.hpp"
#include "kernel/mm/statistics.hpp"

namespace faultline {

/// Lowest address that a mapping without a fixed place gets; a null pointer plus an offset stays unmapped.
inline constexpr std::uint64_t kLowestFreeAddress = 0x10000;
/// Left free below the end of the user half for the main stack and its growth.
inline constexpr std::uint64_t kStackGap = std::uint64_t{64} << 20;

struct MapFlags {
  bool fixed = false;       // at the hint exactly, in place of what is mapped there
  bool no_replace = false;  // with fixed: AlreadyMapped instead of replacing
  bool may_write = true;    // false: protect may never make the mapping writable (a shared, read-only file)
  Sharing sharing = Sharing::Private;
};

struct RemapFlags {
  bool may_move = false;
  std::optional<Va> fixed = std::nullopt;  // the new place exactly, in place of what is mapped there
};

/// Sizes of an address space in pages, for /proc.
struct MemoryUsage {
  std::size_t virtual_pages = 0;
  std::size_t resident_pages = 0;
  std::size_t shared_pages = 0;  // resident, and of a shared mapping or the page cache
};

template <class P>
class MmStruct {
  static_assert(Pager<P>);
  using ReadGuard = AddressSpaceLock::ReadGuard;
  using WriteGuard = AddressSpaceLock::WriteGuard;

 public:
  /// An empty address space. Error: OutOfMemory.
  [[nodiscard]] static Result<MmStruct> create() {
    PageTable table = TRY(PageTable::create());
    return MmStruct(std::move(table), P());
  }

  /// Nobody may use `other` at the time, nor later.
  MmStruct(MmStruct&& other) noexcept
      : table_(std::exchange(other.table_, std::nullopt)),
        pager_(std::move(other.pager_)),
        heap_start_(other.heap_start_),
        heap_end_(other.heap_end_) {
    ASSERT(other.lock_.is_free());
  }
  MmStruct& operator=(MmStruct&&) = delete;
  /// No hart may run the space any more.
  ~MmStruct() {
    if (table_) pager_.clear(*table_);
  }

  /// Maps `size` bytes, rounded up to pages. Without flags.fixed `hint` is a wish (0: none): the range is
  /// taken there if it is free, otherwise the highest free one below the stack. Errors: those of the pager's
  /// mmap.
  [[nodiscard]] Result<VaRange> mmap(Va hint, std::size_t size, Permission permission, MapFlags flags = {},
                                     RegularFile* file = nullptr, std::uint64_t offset = 0);

  /// Removes what is mapped in the range; holes allowed; the end is rounded up to a page. Errors:
  /// InvalidArgument for an unaligned start or an empty range; OutOfMemory when a mapping cannot be split.
  [[nodiscard]] Result<std::size_t> munmap(VaRange range);

  /// Errors as munmap; NotMapped when part of the range is not mapped. Nothing has changed then.
  [[nodiscard]] Result<> protect(VaRange range, Permission permission);
  /// Errors as protect; Advice::DontNeed may also fail where the pages must be read anew.
  [[nodiscard]] Result<> advise(VaRange range, Advice advice);
  /// Writes dirty pages of shared file mappings to their files. May sleep. Errors: InvalidArgument as munmap;
  /// NotMapped when part of the range is not mapped, after the rest is written; InputOutput.
  [[nodiscard]] Result<> synchronize(VaRange range);

  /// Gives the mapping at `old_range`, which lies in one area, a new size, and a new place where it must and
  /// may. Errors: BadAddress (not mapped, or more than one area), InvalidArgument, OutOfMemory (no room).
  [[nodiscard]] Result<VaRange> remap(VaRange old_range, std::size_t new_size, RemapFlags flags);

  /// Says where the heap begins, behind the program; called by exec.
  void set_heap_start(Va start) {
    WriteGuard guard(lock_);
    heap_start_ = heap_end_ = start;
  }
  /// Moves the heap's end and returns it; the old end when the new one cannot be had (as Linux's brk).
  Va brk(Va new_end);

  /// A copy of this address space. Error: OutOfMemory.
  [[nodiscard]] Result<MmStruct> fork() {
    if constexpr (ForksByWriteProtection<P>) {
      return P::write_protect_ptes(*this);
    } else {
      return fork_with([](P& pager, PageTable& table, PageTable& child) { return pager.fork(table, child); });
    }
  }

  /// A child space whose pager is what `copy(P&, PageTable&, PageTable& child_table)`, a Result<P>, makes of
  /// this one's, which nobody uses meanwhile. Errors: OutOfMemory; those of `copy`.
  template <class Copy>
  [[nodiscard]] Result<MmStruct> fork_with(Copy&& copy) {
    WriteGuard guard(lock_);
    count(Counter::Fork);
    PageTable child_table = TRY(PageTable::create());
    P child_pager = TRY(copy(pager_, *table_, child_table));
    MmStruct child(std::move(child_table), std::move(child_pager));
    child.heap_start_ = heap_start_;
    child.heap_end_ = heap_end_;
    return child;
  }

  /// Removes every mapping (exec, exit).
  void clear() {
    WriteGuard guard(lock_);
    pager_.clear(*table_);
    heap_start_ = heap_end_ = Va::checked(0);
  }

  /// Errors, and the signal the program gets: NotMapped, AccessDenied (SIGSEGV); BeyondEndOfFile, InputOutput
  /// (SIGBUS); OutOfMemory (SIGKILL). May sleep.
  [[nodiscard]] Result<> handle_page_fault(const PageFaultReason& reason) {
    ReadGuard guard(lock_);
    faults_[platform::current_hart()].fetch_add(1, std::memory_order_relaxed);
    count(Counter::PageFault);
    const Result<> result = pager_.handle_page_fault(*table_, reason);
    if (!result) [[unlikely]]
      count(Counter::FailedFault);
    return result;
  }

  /// True when every byte of the range is mapped and its mapping allows the access. Loads nothing.
  [[nodiscard]] bool access_ok(VaRange range, Access access) const;

  /// Runs f(const UserPage&) on the page that holds `va`, in memory and ready for the access. f must not come
  /// back to this MmStruct. Returns what f returns, or BadAddress. May sleep.
  template <class F>
  [[nodiscard]] auto get_user_page_and(Va va, Access access, F&& f)
      -> Result<std::invoke_result_t<F, const UserPage&>> {
    ReadGuard guard(lock_);
    const std::optional<UserPage> page = pager_.get_user_page(*table_, va, access);
    if (!page) return failure(KernelError::BadAddress);
    if constexpr (std::is_void_v<std::invoke_result_t<F, const UserPage&>>) {
      std::forward<F>(f)(*page);
      return {};
    } else {
      return std::forward<F>(f)(*page);
    }
  }

  /// Copies between kernel and user memory. BadAddress when any byte cannot be accessed; bytes before it may
  /// then have been copied. May sleep.
  [[nodiscard]] Result<> copy_in(std::span<std::byte> to, Va from);
  [[nodiscard]] Result<> copy_out(Va to, std::span<const std::byte> from);
  /// Sets user memory to zero.
  [[nodiscard]] Result<> zero_out(VaRange range);
  /// Copies a string up to and including its terminating 0 and returns its length without it. Errors:
  /// BadAddress; NameTooLong when there is no 0 in the first to.size() bytes.
  [[nodiscard]] Result<std::size_t> copy_string_in(std::span<char> to, Va from);
  /// Copies an object whose bytes are its value.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Result<T> copy_in(Va from) {
    T object;
    TRY(copy_in(std::as_writable_bytes(std::span(&object, 1)), from));
    return object;
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Result<> copy_out(Va to, const T& object) {
    return copy_out(to, std::as_bytes(std::span(&object, 1)));
  }

  /// The naturally aligned word at `va`, or nothing when it cannot be had at once: the page is not in memory
  /// or not readable, or the layout is being changed. Never sleeps and may be called under a spin lock
  /// (futexes).
  [[nodiscard]] std::optional<std::uint32_t> try_load_word(Va va) const noexcept;

  /// Compares and exchanges an aligned word; true when it was exchanged, otherwise `expected` is what stands
  /// there. Errors: InvalidArgument (unaligned), BadAddress. May sleep.
  [[nodiscard]] Result<bool> compare_exchange_word(Va va, std::uint32_t& expected, std::uint32_t desired);

  /// What names a byte of shared memory in every space that maps it: the file and the byte's offset.
  struct SharedLocation {
    const RegularFile* file;
    std::uint64_t offset;
  };
  /// Nothing for private memory. Error: BadAddress when nothing is mapped at `va`.
  [[nodiscard]] Result<std::optional<SharedLocation>> shared_location(Va va) const;

  /// Calls f(const VmArea&) for each area from the lowest up. f must not come back to this MmStruct.
  template <std::invocable<const VmArea&> F>
  void for_each_area(F&& f) const {
    ReadGuard guard(lock_);
    for (const VmArea* area = pager_.areas().first(); area != nullptr; area = AreaIndex::next(*area))
      f(*area);
  }
  /// Resident and shared pages of a range, for example of an area seen through for_each_area a moment ago.
  [[nodiscard]] MemoryUsage usage(VaRange range) const;
  /// Of the whole space.
  [[nodiscard]] MemoryUsage usage() const;
  /// About how many frames the space holds: its resident pages, and what its areas take of the kernel's
  /// memory.
  [[nodiscard]] std::size_t footprint() const;
  /// Faults handled for this space since it was created; forked and executed programs start anew.
  [[nodiscard]] std::uint64_t fault_count() const;
  /// What the page table says about an address at this moment.
  [[nodiscard]] std::optional<Translation> walk(Va va) const {
    ReadGuard guard(lock_);
    return table_->walk(va);
  }

  Va heap_start() const { return heap_start_; }
  Va heap_end() const { return heap_end_; }

  /// For the switcher.
  Space& space() const { return table_->space(); }
  /// For tests and for the pager's own fork; not locked.
  PageTable& page_table() { return *table_; }
  P& pager() { return pager_; }

 private:
  MmStruct(PageTable table, P pager) : table_(std::move(table)), pager_(std::move(pager)) {}

  /// Calls f(const UserPage&, offset in page, bytes) for each page of the range, under one read guard.
  template <class F>
  Result<> for_user_pages(Va start, std::size_t size, Access access, F&& f);
  std::optional<VaRange> place(Va hint, std::uint64_t size) const;
  bool grow_heap(VaRange more);
  Result<VaRange> map_at(Va start, std::size_t size, Permission permission, MapFlags flags, RegularFile* file,
                         std::uint64_t offset);
  MemoryUsage usage_of(VaRange range) const;
  static Result<VaRange> whole_pages(VaRange range);

  mutable AddressSpaceLock lock_;
  HartLocal<std::atomic<std::uint64_t>> faults_;
  std::optional<PageTable> table_;  // nothing after it has been moved away
  P pager_;
  Va heap_start_ = Va::checked(0);
  Va heap_end_ = Va::checked(0);
};

}  // namespace faultline

#include "kernel/mm/mm_struct_copy.hpp"    // IWYU pragma: export
#include "kernel/mm/mm_struct_layout.hpp"  // IWYU pragma: export
