// Transfers that lack memory in the middle: for the caller's pages, for the file's, for what leads to its
// blocks.

#include <cstring>
#include <functional>

#include "kernel/fs/pipe.hpp"
#include "kernel/fs/pipe_buffer.hpp"
#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

/// What relieve_memory() does while this lives.
class Relief {
 public:
  explicit Relief(std::function<bool()> give_up) {
    set_relief([this, give_up = std::move(give_up)] {
      ++count;
      return give_up();
    });
  }
  Relief(const Relief&) = delete;
  Relief& operator=(const Relief&) = delete;
  ~Relief() { set_relief(nullptr); }

  unsigned count = 0;
};

/// A caller's memory of which the first bytes are there; for the others there is none.
class ScarceMemory final : public IoBuffer {
 public:
  ScarceMemory(std::span<char> memory, std::size_t present)
      : IoBuffer(memory.size()), present(present), memory_(memory) {}
  std::size_t present;

 private:
  Copied copy_to_caller(std::span<const std::byte> bytes) override {
    const std::size_t count = there(bytes.size());
    std::memcpy(memory_.data() + transferred(), bytes.data(), count);
    return outcome_of(count, bytes.size());
  }
  Copied copy_from_caller(std::span<std::byte> bytes) override {
    const std::size_t count = there(bytes.size());
    std::memcpy(bytes.data(), memory_.data() + transferred(), count);
    return outcome_of(count, bytes.size());
  }
  std::size_t there(std::size_t wanted) const { return std::min(wanted, present - transferred()); }
  static Copied outcome_of(std::size_t count, std::size_t wanted) {
    if (count < wanted) return {count, failure(KernelError::OutOfMemory)};
    return {count, {}};
  }

  std::span<char> memory_;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

constexpr std::size_t kSome = 1500;    // neither pages nor blocks
constexpr std::size_t kSize = 10'000;  // no more than the blocks that the inode itself points to
const ImageKind kSmallBlocks{.block_size = 1024, .mebibytes = 4};

}  // namespace

TEST_SUITE_BEGIN("transfers short of memory");

TEST_CASE("a read goes on where it was when memory has been made free, as often as it takes") {
  Mounted disk(kSmallBlocks);
  const std::string text = pattern(kSize);
  REQUIRE(disk.write("/file", 0, text).has_value());
  const Ref<Inode> file = *disk.find("/file");
  std::string got(kSize, '\0');
  ScarceMemory buffer(got, 0);
  const Relief relief([&] {
    buffer.present += kSome;
    return true;
  });
  CHECK(*file->read_at(0, buffer) == kSize);
  CHECK((got == text));
  CHECK(relief.count == (kSize + kSome - 1) / kSome);
}

TEST_CASE("so does a write; and while memory is made free no blocks lie beyond the end of the file") {
  Mounted disk(kSmallBlocks);
  std::string text = pattern(kSize);
  REQUIRE(disk.write("/file", 0, "").has_value());
  const Ref<Inode> file = *disk.find("/file");
  ScarceMemory buffer(text, 0);
  {
    const Relief relief([&] {
      const Stat stat = file->stat();
      CHECK(stat.size == buffer.transferred());
      CHECK(stat.blocks * kSectorSize == (stat.size + 1023) / 1024 * 1024);
      buffer.present += kSome;
      return true;
    });
    std::uint64_t offset = 0;
    CHECK(*file->write_at(offset, buffer, false) == kSize);
    CHECK(relief.count == (kSize + kSome - 1) / kSome);
  }
  CHECK((*disk.read("/file", 0, 2 * kSize) == text));
  disk.check_clean();
}

TEST_CASE("where nothing can be made free a transfer is short, and an error when nothing has been moved") {
  Mounted disk(kSmallBlocks);
  std::string text = pattern(kSize);
  REQUIRE(disk.write("/file", 0, text).has_value());
  const Ref<Inode> file = *disk.find("/file");
  const Relief relief([] { return false; });
  for (const bool writes : {false, true}) {
    const auto transfer = [&](std::size_t present) {
      ScarceMemory buffer(text, present);
      std::uint64_t offset = 0;
      return writes ? file->write_at(offset, buffer, false) : file->read_at(0, buffer);
    };
    CHECK(*transfer(kSome) == kSome);
    CHECK(error_of(transfer(0)) == KernelError::OutOfMemory);
  }
  CHECK(relief.count == 4);
}

TEST_CASE("what is made free may never suffice: the transfer ends") {
  Mounted disk(kSmallBlocks);
  std::string text = pattern(kSize);
  REQUIRE(disk.write("/file", 0, text).has_value());
  const Ref<Inode> file = *disk.find("/file");
  const Relief relief([] { return true; });
  ScarceMemory target(text, kSome), source(text, kSome);
  CHECK(*file->read_at(0, target) == kSome);
  CHECK(relief.count == kMaxReliefs);
  std::uint64_t offset = 0;
  CHECK(*file->write_at(offset, source, false) == kSome);
  CHECK(relief.count == 2 * kMaxReliefs);
}

TEST_CASE(
    "memory that is exhausted from any allocation on costs a transfer nothing when some can be made free") {
  std::string text = pattern(5 * kPageSize + kSome);
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(n);
    Mounted disk(ImageKind{.block_size = 1024, .mebibytes = 4});
    REQUIRE(disk.write("/file", 0, "").has_value());
    const Ref<OpenFile> file = *disk.open("/file", OpenFlags::kReadWrite);
    disk.world.machine.fail_allocation(n, true);
    Relief relief([&] {
      disk.world.machine.fail_allocation(0);
      return true;
    });
    KernelIoBuffer source(std::as_bytes(std::span(text)));
    CHECK(*file->write_at(0, source) == text.size());
    std::string got(text.size(), '\0');
    KernelIoBuffer target(std::as_writable_bytes(std::span(got)));
    CHECK(*file->read_at(0, target) == text.size());
    CHECK((got == text));
    if (relief.count == 0) {
      CHECK(n > 6);  // a page each at least
      break;
    }
  }
}

TEST_CASE("a pipe takes a small write as a whole when a page for it can be made free") {
  World world;
  {
    PipeBuffer pipe;
    REQUIRE(pipe.set_capacity(16 * kPageSize).has_value());
    std::string text = pattern(kPipeAtomicWrite);
    KernelIoBuffer first(std::as_bytes(std::span(text).first(100)));
    REQUIRE(pipe.fill(first, PipeBuffer::Write::Bytes).has_value());
    world.machine.fail_allocation(1, true);
    ScarceMemory second(text, kSome);
    const Relief relief([&] {
      // First the caller's memory, then the pipe's: whatever is lacking.
      if (std::exchange(second.present, text.size()) == text.size()) world.machine.fail_allocation(0);
      return true;
    });
    REQUIRE(pipe.fill(second, PipeBuffer::Write::Bytes).has_value());
    CHECK(pipe.size() == 100 + kPipeAtomicWrite);
    CHECK(relief.count == 2);
  }
  CHECK(world.objects_used() == 0);
}

TEST_SUITE_END();
