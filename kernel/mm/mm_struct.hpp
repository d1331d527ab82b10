#pragma once
// MmStruct: one address space as system calls and traps see it: a page table, a pager, the lock over both,
// the heap's end.
//
// Kernel code reaches user memory only through this class: copy_in, copy_out, copy_string_in,
// get_user_page_and. They load pages and break copy-on-write as an access by the program would, and give
// BadAddress where it would get a signal, OutOfMemory where it would have to wait for memory.
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

/// Left unmapped below an area that grows down, so that a stack does not run into what lies there: as Linux.
inline constexpr std::uint64_t kStackGuardGap = 256 * kPageSize;

/// What one address space may hold, in bytes but for the areas; whoever sets them knows whom they bind.
struct MemoryLimits {
  static constexpr std::uint64_t kUnlimited = UINT64_MAX;
  std::uint64_t address_space = kUnlimited;  // RLIMIT_AS
  std::uint64_t data = kUnlimited;           // RLIMIT_DATA: private and writable
  std::uint64_t stack = kUnlimited;          // RLIMIT_STACK: how far each area that grows down may grow
  std::uint64_t locked = kUnlimited;         // RLIMIT_MEMLOCK; asked by those whom it binds
  std::uint64_t areas = kUnlimited;          // so that nobody fills the kernel's memory with them
  std::uint64_t commitment = kUnlimited;     // private, writable memory that one call may ask for
};

struct MapFlags {
  bool fixed = false;       // at the hint exactly, in place of what is mapped there
  bool no_replace = false;  // with fixed: AlreadyMapped instead of replacing
  bool may_write = true;    // false: protect may never make the mapping writable (a shared, read-only file)
  Sharing sharing = Sharing::Private;
  EmptyFile empty_file = EmptyFile::Refused;
  AreaFlags area = {};
};

/// Whether writing was asked for without reading.
enum class WriteOnly : bool { No, Yes };

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
  [[nodiscard]] static Result<MmStruct> create(P pager = P()) {
    PageTable table = TRY(PageTable::create());
    return MmStruct(std::move(table), std::move(pager));
  }

  /// Nobody may use `other` at the time, nor later.
  MmStruct(MmStruct&& other) noexcept
      : table_(std::exchange(other.table_, std::nullopt)),
        pager_(std::move(other.pager_)),
        heap_start_(other.heap_start_),
        heap_end_(other.heap_end_),
        limits_(other.limits_),
        locks_new_(other.locks_new_) {
    ASSERT(other.lock_.is_free());
  }
  MmStruct& operator=(MmStruct&&) = delete;
  /// No hart may run the space any more.
  ~MmStruct() {
    if (table_) pager_.clear(*table_);
  }

  /// Maps `size` bytes, rounded up to pages. Without flags.fixed `hint` is a wish (0: none): the range is
  /// taken there if it is free, otherwise the highest free one below the stack. Errors: those of the pager's
  /// mmap; OutOfMemory also where a limit says so.
  [[nodiscard]] Result<VaRange> mmap(Va hint, std::size_t size, Permission permission, MapFlags flags = {},
                                     RegularFile* file = nullptr, std::uint64_t offset = 0);

  /// Removes what is mapped in the range; holes allowed; the end is rounded up to a page. Errors:
  /// InvalidArgument for an unaligned start or an empty range; OutOfMemory when a mapping cannot be split.
  [[nodiscard]] Result<std::size_t> munmap(VaRange range);

  /// `write_only` is what AreaFlag::WriteOnly keeps. Errors as munmap; NotMapped when part of the range is
  /// not mapped; OutOfMemory also where a limit says so. Nothing has changed then.
  [[nodiscard]] Result<> protect(VaRange range, Permission permission, WriteOnly write_only = WriteOnly::No);
  /// Errors: NotMapped, after all else is done, when part of the range is not mapped; InvalidArgument at a
  /// mapping that the advice is not for (DontNeed and Free: locked; Free: of a file), after what lies below
  /// it is done; Advice::DontNeed may also fail where the pages must be read anew.
  [[nodiscard]] Result<> advise(VaRange range, Advice advice);
  /// Errors: NotMapped as advise; InvalidArgument for WipeOnFork on anything but private anonymous memory;
  /// OutOfMemory.
  [[nodiscard]] Result<> change_flags(VaRange range, AreaFlags given, AreaFlags taken);
  /// Sets AreaFlag::Locked. Error: OutOfMemory when more than `limit` bytes of the space would then be
  /// locked; others as change_flags.
  [[nodiscard]] Result<> lock_pages(VaRange range, std::uint64_t limit);
  [[nodiscard]] std::uint64_t locked_bytes() const;
  /// Mappings made from now on are locked from the start, or not (MCL_FUTURE).
  void lock_new_mappings(bool locked) {
    WriteGuard guard(lock_);
    locks_new_ = locked;
  }
  [[nodiscard]] bool locks_new_mappings() const { return locks_new_; }
  /// Which pages of a range need no loading: present[i] becomes 1 for page i if it is mapped or its file has
  /// it in memory. Error: NotMapped.
  [[nodiscard]] Result<> resident(VaRange pages, std::span<std::byte> present) const;

  [[nodiscard]] MemoryLimits limits() const { return limits_; }
  /// Sets one of them.
  void set_limit(std::uint64_t MemoryLimits::* which, std::uint64_t bytes) {
    WriteGuard guard(lock_);
    limits_.*which = bytes;
  }
  void set_limits(const MemoryLimits& limits) {
    WriteGuard guard(lock_);
    limits_ = limits;
  }
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
    child.limits_ = limits_;
    TRY(child.become_child());
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
    faults_[platform::current_hart()].fetch_add(1, std::memory_order_relaxed);
    count(Counter::PageFault);
    const Result<> handled = try_page_fault(reason);
    if (handled) [[likely]]
      return {};
    return try_growing_stack(reason, handled.error());
  }

  /// True when every byte of the range is mapped and its mapping allows the access. Loads nothing.
  [[nodiscard]] bool access_ok(VaRange range, Access access) const;

  /// Runs f(const UserPage&) on the page that holds `va`, in memory and ready for the access. f must not come
  /// back to this MmStruct. Returns what f returns, or an error as the copies below. May sleep.
  template <class F>
  [[nodiscard]] auto get_user_page_and(Va va, Access access, F&& f)
      -> Result<std::invoke_result_t<F, const UserPage&>> {
    for (;;) {
      {
        ReadGuard guard(lock_);
        if (const std::optional<UserPage> page = pager_.get_user_page(*table_, va, access)) {
          if constexpr (std::is_void_v<std::invoke_result_t<F, const UserPage&>>) {
            std::forward<F>(f)(*page);
            return {};
          } else {
            return std::forward<F>(f)(*page);
          }
        }
      }
      TRY(make_accessible(va, access));
    }
  }

  /// Copies between kernel and user memory. BadAddress when any byte cannot be accessed, OutOfMemory when
  /// there is no frame for it now; bytes before it may then have been copied. May sleep.
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
    for (const VmArea& area : pager_.areas().all()) f(area);
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

  /// What its pager promises.
  const PagerTraits& traits() const {
    if constexpr (requires { pager_.traits(); }) {
      return pager_.traits();
    } else {
      return P::kTraits;
    }
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
  /// Where get_user_page has nothing: asks handle_page_fault why. It may be there by now; errors: BadAddress,
  /// OutOfMemory.
  Result<> make_accessible(Va va, Access access);
  [[nodiscard]] Result<> try_page_fault(const PageFaultReason& reason) {
    ReadGuard guard(lock_);
    return pager_.handle_page_fault(*table_, reason);
  }
  /// A fault that has failed, unless all it needs is a longer stack. Errors as handle_page_fault.
  [[nodiscard]] Result<> try_growing_stack(const PageFaultReason& reason, KernelError error);
  /// Lets the stack above an address where nothing is mapped grow down to it. Errors: NotMapped when there is
  /// none, or it may not; OutOfMemory.
  [[nodiscard]] Result<> grow_stack(Va va);
  /// What fork's copy does not have in common with its parent. Error: OutOfMemory.
  Result<> become_child();

  /// Calls f(VaRange) for each part of the range that is mapped without a hole. Error, after all of them:
  /// NotMapped when there are holes.
  template <class F>
  Result<> for_each_mapped_piece(VaRange pages, F&& f);
  /// The lowest area in the range for which f(const VmArea&) is true, or null.
  template <class F>
  const VmArea* first_where(VaRange pages, F&& f) const;
  /// Bytes of the areas for which f(const VmArea&) is true, but for what lies in `without`.
  template <class F>
  std::uint64_t bytes_where(F&& f, VaRange without = kNothing) const;
  /// Whether so much more may be mapped in place of what is mapped at `replaced`. Error: OutOfMemory.
  Result<> check_limits(std::uint64_t bytes, Permission permission, Sharing sharing, AreaFlags flags,
                        VaRange replaced = kNothing) const;
  /// The part of check_limits that asks what kind of memory it is.
  Result<> check_kind(std::uint64_t bytes, Permission permission, Sharing sharing, AreaFlags flags,
                      VaRange replaced) const;
  bool exceeds(std::uint64_t limit, std::uint64_t bytes, auto&& counts, VaRange replaced) const {
    return limit != MemoryLimits::kUnlimited && bytes_where(counts, replaced) + bytes > limit;
  }
  Result<> check_newly_writable(VaRange pages) const;
  /// Whether areas may be cut so that the range begins and ends at area boundaries. Error: OutOfMemory.
  Result<> check_cuts(VaRange pages) const;

  static constexpr VaRange kNothing{Va::checked(0), Va::checked(0)};

  std::optional<VaRange> place(Va hint, std::uint64_t size) const;
  /// Where what is placed below an area has to end.
  static std::uint64_t guarded_start(const VmArea& area) {
    const std::uint64_t start = area.start().value();
    return area.flags().has(AreaFlag::GrowsDown) ? start - std::min(start, kStackGuardGap) : start;
  }
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
  MemoryLimits limits_;
  bool locks_new_ = false;
};

}  // namespace faultline

#include "kernel/mm/mm_struct_attributes.hpp"  // IWYU pragma: export
#include "kernel/mm/mm_struct_copy.hpp"        // IWYU pragma: export
#include "kernel/mm/mm_struct_layout.hpp"      // IWYU pragma: export
