#pragma once
// A sequence of operations on a few processes of the simulated machine, each done to the model as well, and
// everything that a program can see compared. What to do next is asked of a Choices: a random generator, or a
// fuzzer's bytes.

#include <deque>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernel/mm/postcopy/postcopy_pager.hpp"
#include "test/host/random/model.hpp"
#include "test/host/space.hpp"

namespace faultline::sim {

class Choices {
 public:
  virtual ~Choices() = default;
  /// A number below `n` (> 0).
  virtual std::uint64_t pick(std::uint64_t n) = 0;
  /// True when there is nothing left to choose by.
  virtual bool exhausted() const { return false; }
};

/// The implementation and the model disagree.
class Mismatch : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Delivers MemoryFile's pattern of the address, counted from kBase.
struct CountingSource final : PageSource {
  static constexpr std::uint64_t kBase = 0x8000'0000;
  std::expected<void, SourceError> fetch(const PageRequest& request, std::span<std::byte> out) override {
    ++fetches;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = MemoryFile::pattern_byte(request.ipa - kBase + i);
    return {};
  }
  std::uint64_t fetches = 0;
};

template <class P>
class Sequence {
 public:
  explicit Sequence(Choices& choices);
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence();

  /// One operation. Throws Mismatch.
  void step();
  /// Everything that can be compared without changing anything. Throws Mismatch.
  void check_everything();
  /// The last operations, one on a line.
  std::string history() const;

 private:
  static constexpr unsigned kHarts = 4;
  static constexpr unsigned kProcesses = 4;
  static constexpr unsigned kFiles = 3;
  static constexpr std::uint64_t kMaxFilePages = 12;
  static constexpr ModelPolicy kPolicy{.copies_file_pages_early = P::kTraits.loads_in_mmap};

  struct Slot {
    std::unique_ptr<MmStruct<P>> mm;
    ModelSpace model{kPolicy};
  };
  struct File {
    Ref<MemoryFile> real;
    std::shared_ptr<ModelFile> model;
  };
  struct Range {
    std::uint64_t first;
    std::uint64_t count;
    VaRange va() const { return *VaRange::from(first * kPageSize, count * kPageSize); }
  };

  void access();
  void access(unsigned hart, std::uint64_t page, std::size_t sample, Access kind);
  void touch_range();
  void kernel_access();
  void map();
  void map_source();
  void map_anywhere();
  void unmap();
  void unmap_mapping();
  void protect();
  void remap();
  void advise();
  void fork();
  void exit();
  void switch_hart();
  void write_file();
  void truncate_file();
  void write_back_file();
  void prewarm();
  void disturb();
  void load_pages_that_appeared();

  Slot& pick_slot();
  unsigned number(const Slot& slot) const { return static_cast<unsigned>(&slot - slots_.data()); }
  std::uint64_t pick_page();
  Range pick_range();
  Permission pick_permission();
  Access pick_access() { return static_cast<Access>(choices_.pick(3)); }
  bool chance(std::uint64_t one_in) { return choices_.pick(one_in) == 0; }

  /// Makes an allocation in the next operation fail, now and then. Returns whether.
  bool maybe_fail_allocation();
  /// After such an operation: true if its error is the injected one, so that nothing must have changed.
  template <class T>
  bool failed_by_injection(const Result<T>& result);

  template <class... Parts>
  void log(const Parts&... parts);
  [[noreturn]] void mismatch(const std::string& what) const { throw Mismatch(what); }
  template <class T>
  void expect_error(const Result<T>& result, std::optional<KernelError> expected, const char* operation);

  Choices& choices_;
  World world_;
  std::array<Slot, kProcesses> slots_;
  std::array<File, kFiles> files_;
  Ref<CountingSource> source_;
  PagerHandle postcopy_;  // over source_, with one region
  std::shared_ptr<ModelFile> source_model_ = std::make_shared<ModelFile>();
  std::array<unsigned, kHarts> hart_slot_{};  // which process a hart runs
  std::deque<std::string> history_;
  bool injected_ = false;
  std::uint8_t next_value_ = 0;
  std::uint64_t steps_ = 0;
};

#define DECLARE(P) extern template class Sequence<P>
FAULTLINE_PAGERS(DECLARE, ;);
#undef DECLARE

}  // namespace faultline::sim
