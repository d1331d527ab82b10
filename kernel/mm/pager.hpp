#pragma once
// The pager: the memory policy of an address space. A pager knows which ranges are mapped and to what (its
// areas), and decides when pages come to be. EagerPager makes them in mmap; LazyPager at the first access.
//
// Pagers do not lock. The caller (MmStruct) makes sure that handle_page_fault, get_user_page and access_ok
// run only together with one another, and everything else alone.

#include <concepts>
#include <cstdint>
#include <optional>
#include <utility>

#include "kernel/mm/frame.hpp"
#include "kernel/mm/page_table.hpp"
#include "kernel/mm/permission.hpp"
#include "kernel/mm/vm_area.hpp"

namespace faultline {

/// Why the hart could not perform an access.
struct PageFaultReason {
  /// What the page table says about the page. The hart does not tell, so a trap reports Unknown and
  /// handle_page_fault finds out.
  enum class Entry : std::uint8_t { Unknown, Missing, Present };

  Va address;
  Access access;
  Entry entry = Entry::Unknown;
  /// What has been looked up already, valid while the caller keeps the mappings from changing: the area,
  /// which allows the access, and the page's entry. A step looks for itself where they are missing.
  const VmArea* area = nullptr;
  const EntryRef* place = nullptr;

  /// The page was never loaded.
  bool is_demand_paging_fault() const { return entry == Entry::Missing; }
  /// The page is there, but may not be written as it is.
  bool is_cow_fault() const { return entry == Entry::Present && access == Access::Write; }
};

/// A user page in memory. `pin` keeps it so even if a sibling thread replaces or unmaps it meanwhile.
struct UserPage {
  PageRef page;
  Permission permission;  // what the mapping allows
  Frame pin;              // nothing for the zero page, which always stays
};

/// Whether a file of length zero is mapped: no page of it can be had until it grows.
enum class EmptyFile : std::uint8_t { Refused, Mapped };

enum class Advice : std::uint8_t {
  DontNeed,  // contents may go: anonymous memory reads as zeroes again, files are read anew
  Free,      // the same, of private anonymous memory only; MmStruct passes it on as DontNeed
  WillNeed,  // read files ahead, as far as memory allows
  Populate   // make every page present, as far as memory allows (MAP_POPULATE)
};

template <class P>
class MmStruct;

/// What a program, or a test, may expect of a policy.
struct PagerTraits {
  const char* name;                  // as in PAGER=name
  bool loads_in_mmap = false;        // no access faults afterwards, and mmap reports what a fault would
  bool may_load_neighbours = false;  // a fault may make other pages of anonymous memory present
  bool copies_in_fork = false;       // private pages are nobody else's at any time
};

/// Whether a policy forks whole address spaces by itself.
template <class P>
concept ForksByWriteProtection = requires {
  { &P::write_protect_ptes } -> std::same_as<Result<MmStruct<P>> (*)(MmStruct<P>&)>;
};

/// A memory policy. All sizes are in bytes; addresses and ranges that an operation changes must be
/// page-aligned.
///
/// mmap(table, addr, size, permission, file, offset, sharing, empty)
///   maps [addr, addr + size), size rounded up to pages, and returns that range. `file` null: anonymous
///   memory. Errors, with nothing changed: InvalidArgument for addr 0, an unaligned addr or offset, size 0,
///   an end that overflows or lies beyond the user half, an offset whose end overflows, a file of length
///   zero (unless `empty` says otherwise); AlreadyMapped for any overlap; OutOfMemory. EagerPager also
///   reports errors of reading the file.
///
/// munmap(table, addr)
///   removes the whole mapping that starts at addr (all pieces that one mmap made and that still follow one
///   another without a hole) and returns its bytes. NotMapped when none starts there.
///
/// munmap(table, range)
///   removes what is mapped in the range, splitting mappings, holes allowed; returns the bytes.
///
/// protect(table, range, permission)
///   NotMapped unless all of the range is mapped.
///
/// advise(table, range, advice)
///   NotMapped unless all of the range is mapped.
///
/// move(table, from, to, size)
///   makes the mapping at `from`, one area or part of one, a mapping of `size` bytes at `to` (mremap).
///   to == from.start() grows or shrinks it in place. AlreadyMapped when the new range is not free.
///
/// get_user_page(table, va, access)
///   is the page in memory, loaded and its copy-on-write broken first where that is needed; nothing when the
///   mapping does not allow the access or the page cannot be had.
///
/// access_ok(va, access)
///   policy only: never loads a page.
///
/// handle_page_fault(table, reason)
///   makes the access possible (if another thread changes the page meanwhile, it faults again), or says why
///   not: NotMapped, AccessDenied, BeyondEndOfFile, InputOutput, OutOfMemory.
///
/// fork(table, child_table)
///   is a pager for a child whose empty table then maps the same memory, private parts copied. OutOfMemory
///   leaves this one as it was.
///
/// write_protect_ptes(space), if there is one
///   is the child's whole MmStruct, made through MmStruct::fork_with; neither side has write rights on
///   private pages any more when it returns, on any hart.
///
/// clear(table)
///   removes every mapping.
///
/// synchronize(table, range)
///   writes dirty pages of shared file mappings in the range to their files (msync). NotMapped when part of
///   the range is not mapped, after the rest is written; InputOutput.
///
/// grow_down(table, area, start)
///   makes an area of anonymous memory begin at `start`, lower than it does; nothing is mapped in between.
///
/// change_flags(range, given, taken)
///   changes the flags of what is mapped in the range. OutOfMemory, with nothing changed.
///
/// forbid_write(range)
///   makes protect refuse write rights on what is mapped there (AccessDenied).
///
/// kTraits
///   what is particular to the policy.
template <class P>
concept Pager =
    std::default_initializable<P> && std::movable<P> &&
    requires(P pager, const P& constant, PageTable& table, Va va, VaRange range, std::size_t size,
             Permission permission, RegularFile* file, std::uint64_t offset, Sharing sharing, Access access,
             Advice advice, const PageFaultReason& reason, EmptyFile empty, VmArea& area, AreaFlags flags) {
      { pager.mmap(table, va, size, permission, file, offset) } -> std::same_as<Result<VaRange>>;
      {
        pager.mmap(table, va, size, permission, file, offset, sharing, empty)
      } -> std::same_as<Result<VaRange>>;
      { pager.munmap(table, va) } -> std::same_as<Result<std::size_t>>;
      { pager.munmap(table, range) } -> std::same_as<Result<std::size_t>>;
      { pager.get_user_page(table, va, access) } -> std::same_as<std::optional<UserPage>>;
      { constant.access_ok(va, access) } -> std::same_as<bool>;
      { pager.protect(table, range, permission) } -> std::same_as<Result<>>;
      { pager.advise(table, range, advice) } -> std::same_as<Result<>>;
      { pager.move(table, range, va, size) } -> std::same_as<Result<VaRange>>;
      { pager.handle_page_fault(table, reason) } -> std::same_as<Result<>>;
      { pager.fork(table, table) } -> std::same_as<Result<P>>;
      { pager.clear(table) } -> std::same_as<void>;
      { pager.grow_down(table, area, va) } -> std::same_as<Result<>>;
      { pager.change_flags(range, flags, flags) } -> std::same_as<Result<>>;
      { pager.forbid_write(range) } -> std::same_as<void>;
      { pager.synchronize(table, range) } -> std::same_as<Result<>>;
      { constant.areas() } -> std::same_as<const AreaIndex&>;
      { P::kTraits } -> std::same_as<const PagerTraits&>;
    };

}  // namespace faultline
