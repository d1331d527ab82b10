// Disks and memory that fail, and disks that lie: every operation ends, with success or with an error and no
// effect; nothing is lost and nothing leaks.

#include <cstdlib>
#include <random>

#include "test/host/fs/expected_tree.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

void patch(std::vector<std::byte>& image, std::size_t place, std::uint32_t value) {
  std::memcpy(image.data() + place, &value, sizeof value);
}

// A bit of everything, whatever the outcome. The visitor of listings counts, so that a ring would show.
void use_everything(Mounted& disk) {
  const std::string text(30'000, 't');
  (void)disk.list("/");
  (void)disk.read("/file", 0, 400'000);
  (void)disk.read("/directory/inner", 0, 100);
  (void)disk.readlink("/fast");
  (void)disk.readlink("/slow");
  (void)disk.read("/slow", 0, 10);
  (void)disk.list("/directory");
  (void)disk.write("/new", 0, text);
  (void)disk.write("/file", 200'000, text);
  (void)disk.mkdir("/directory/sub");
  (void)disk.write("/directory/sub/x", 5000, "x");
  (void)disk.rename("/new", "/directory/moved");
  (void)disk.rename("/directory", "/directory2");
  (void)disk.link("/file", "/hard");
  (void)disk.symlink(std::string(200, 's'), "/link");
  (void)disk.truncate("/file", 5000);
  (void)disk.unlink("/hard");
  (void)disk.unlink("/directory2/inner");
  (void)disk.rmdir("/directory2/sub");
  (void)disk.file_system->synchronize();
  (void)disk.file_system->statistics();
  (void)disk.unlink("/file");
  (void)disk.unlink("/slow");
  (void)disk.file_system->unmount();
}

const char* kScript =
    "write /proc/self/exe file\nmkdir directory\ncd directory\nwrite /etc/passwd inner\nmkdir deep\ncd ..\n"
    "symlink fast target\nsymlink slow "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";

// What fails: the n-th of them, or all from the n-th on, until heal().
enum class Failing { OneTransfer, AllTransfersFrom, OneAllocation, AllAllocationsFrom };

class Fault {
 public:
  Fault(World& world, MemoryDisk& disk, Failing what, std::uint64_t n)
      : world_(world), disk_(disk), what_(what), n_(n), allocations_before_(world.machine.allocations()) {
    if (what == Failing::OneAllocation || what == Failing::AllAllocationsFrom) {
      world.machine.fail_allocation(n, what == Failing::AllAllocationsFrom);
    } else {
      disk.fails = [this](const BlockRequest&) {
        ++transfers_;
        return what_ == Failing::OneTransfer ? transfers_ == n_ : transfers_ >= n_;
      };
    }
  }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  ~Fault() { heal(); }

  bool happened() const {
    const std::uint64_t allocations = world_.machine.allocations() - allocations_before_;
    return (disk_.fails ? transfers_ : allocations) >= n_;
  }
  void heal() {
    disk_.fails = nullptr;
    world_.machine.fail_allocation(0);
  }
  static KernelError error(Failing what) {
    const bool transfer = what == Failing::OneTransfer || what == Failing::AllTransfersFrom;
    return transfer ? KernelError::InputOutput : KernelError::OutOfMemory;
  }

 private:
  World& world_;
  MemoryDisk& disk_;
  const Failing what_;
  const std::uint64_t n_, allocations_before_;
  std::uint64_t transfers_ = 0;
};

// Runs the operations with the n-th transfer or allocation failing, and compares the disk with what the
// operations that succeeded make of it. False when nothing failed, for there were fewer than n.
bool run_with_fault(const std::vector<std::byte>& image, const ExpectedTree& at_start, Failing what,
                    std::uint64_t n) {
  static const std::vector<Operation> operations = every_kind_of_operation();
  CAPTURE(n);
  Mounted disk(image);
  ExpectedTree expected = at_start;
  std::optional<Fault> fault(std::in_place, disk.world, disk.disk, what, n);
  bool happened = false;
  for (const Operation& operation : operations) {
    INFO(operation.name);
    const Result<std::size_t> result = operation.perform(disk);
    ExpectedTree after = expected;
    const bool possible = operation.effect(after, result.value_or(0));
    if (fault && fault->happened()) {
      happened = true;
      fault.reset();
      if (!result) {
        CHECK(error_of(result) == Fault::error(what));
        after = expected;  // a call that fails has changed nothing
      }
      const ExpectedTree found = ExpectedTree::of(disk);
      CHECK_MESSAGE((found == after), "found:\n", found.text(), "expected:\n", after.text());
    } else {
      CHECK(result.has_value() == possible);
    }
    if (result) expected = after;
  }
  fault.reset();
  disk.check_clean();
  CHECK((ExpectedTree::of(disk) == expected));
  return happened;
}

// ThreadSanitizer has nothing to find here, where one thread runs, and takes ten times as long.
#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kFaultStep = 10;
#else
constexpr std::uint64_t kFaultStep = 1;
#endif

// The same for each n, until there are fewer.
void run_with_every_fault(unsigned block_size, Failing what) {
  CAPTURE(block_size);
  std::vector<std::byte> image;
  ExpectedTree tree;
  {
    Mounted disk(ImageKind{.block_size = block_size, .inode_size = 128, .mebibytes = 2, .options = "-N 64"});
    prepare_disk(disk);
    tree = ExpectedTree::of(disk);
    disk.check_clean();
    disk.unmount();
    image = disk.disk.bytes;
  }
  std::uint64_t n = 1;
  while (run_with_fault(image, tree, what, n)) n += kFaultStep;
  CHECK(n > 100);  // so many transfers there are at least, and allocations many more
}

}  // namespace

TEST_SUITE_BEGIN("ext2 faults");

TEST_CASE(
    "every transfer failing in turn: the call fails without effect or succeeds, and all else is right") {
  for (unsigned block_size : {1024u, 4096u}) run_with_every_fault(block_size, Failing::OneTransfer);
}

TEST_CASE("a disk that stops answering from any transfer on, until the call has returned, does no harm") {
  for (unsigned block_size : {1024u, 4096u}) run_with_every_fault(block_size, Failing::AllTransfersFrom);
}

TEST_CASE("every allocation failing in turn: the call fails without effect or succeeds, and nothing leaks") {
  run_with_every_fault(1024, Failing::OneAllocation);
}

TEST_CASE("memory that is exhausted from any allocation on, until the call has returned, does no harm") {
  run_with_every_fault(1024, Failing::AllAllocationsFrom);
}

TEST_CASE("a mount that meets any failure says so in one line, and leaks nothing") {
  std::vector<std::byte> image = make_image({.block_size = 1024, .mebibytes = 4}, kScript);
  for (Failing what : {Failing::OneTransfer, Failing::AllTransfersFrom, Failing::OneAllocation}) {
    for (std::uint64_t n = 1;; ++n) {
      CAPTURE(n);
      World world;
      MemoryDisk disk(image);
      take_console();
      {
        Fault fault(world, disk, what, n);
        const auto mounted = ext2::Ext2FileSystem::mount(disk);
        if (!fault.happened()) {
          CHECK(mounted.has_value());
          CHECK(n > 3);
          break;
        }
        if (!mounted) {
          CHECK(error_of(mounted) == Fault::error(what));
          const std::string line = take_console();
          INFO(line);
          CHECK(std::ranges::count(line, '\n') == 1);
        }
      }
      CHECK(world.objects_used() == 0);
    }
  }
}

TEST_CASE("a disk that fails for good gives errors, and its unmount ends") {
  const std::vector<std::byte> image = make_image({.block_size = 4096, .mebibytes = 4}, kScript);
  for (std::uint64_t n = 1;; ++n) {
    CAPTURE(n);
    Mounted disk(image);
    Fault fault(disk.world, disk.disk, Failing::AllTransfersFrom, n);
    use_everything(disk);
    if (!fault.happened()) break;
    CHECK(disk.file_system->synchronize().has_value());  // after unmount there is nothing to do
    disk.file_system.reset();
  }
}

TEST_CASE("a write that failed is told by fsync, and tried again") {
  Mounted disk(ImageKind{});
  bool broken = true;
  disk.disk.fails = [&](const BlockRequest& request) {
    return broken && request.kind() == BlockRequest::Kind::Write;
  };
  REQUIRE(disk.write("/file", 0, "precious").has_value());
  {
    const Ref<Inode> inode = *disk.find("/file");
    CHECK(error_of(inode->synchronize()) == KernelError::InputOutput);
    broken = false;
    CHECK(inode->synchronize().has_value());
  }
  disk.check_clean();
  CHECK((disk.read("/file", 0, 100) == "precious"));
}

TEST_CASE("random damage anywhere in the metadata is met with errors") {
  const unsigned rounds =
      std::getenv("FAULTLINE_STEPS") != nullptr
          ? static_cast<unsigned>(std::strtoul(std::getenv("FAULTLINE_STEPS"), nullptr, 10))
          : 400;
  const char* seed_text = std::getenv("FAULTLINE_SEED");
  const unsigned first_seed =
      seed_text != nullptr ? static_cast<unsigned>(std::strtoul(seed_text, nullptr, 10)) : 1;
  std::vector<std::vector<std::byte>> images;
  for (unsigned block_size : {1024u, 4096u})
    images.push_back(make_image({.block_size = block_size, .mebibytes = 4, .options = "-N 64"}, kScript));
  for (unsigned seed = first_seed; seed < first_seed + rounds; ++seed) {
    CAPTURE(seed);  // replay: FAULTLINE_SEED=seed FAULTLINE_STEPS=1
    std::mt19937 random(seed);
    std::vector<std::byte> image = images[seed % images.size()];
    // Most of what matters stands at the front: descriptors, bitmaps, the inode table, the first directories.
    const unsigned damages = 1 + random() % 20;
    for (unsigned i = 0; i < damages; ++i) {
      const std::size_t limit = random() % 4 != 0 ? 64 * 1024 : image.size();
      const std::size_t place = 1024 + 64 + random() % (limit - 2048);
      const auto value = static_cast<std::byte>(random());
      switch (random() % 3) {
        case 0:
          image[place] = value;
          break;
        case 1:
          patch(image, place & ~std::size_t{3}, random() % 3 == 0 ? random() % 4096 : random());
          break;
        default:
          std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(place), random() % 64, value);
          break;
      }
    }
    Mounted disk(std::move(image), Mounted::May::Fail);
    if (disk.file_system) use_everything(disk);
    CHECK(disk.disk.malformed == 0);
    // Mount's line or the damage's, each at most once.
    const std::string console = take_console();
    CHECK(std::count(console.begin(), console.end(), '\n') <= 3);
  }
}

TEST_SUITE_END();
