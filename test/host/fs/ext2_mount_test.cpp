// Disks that are no ext2, or one that is damaged: one clear line, an error, never a crash.

#include <random>

#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

constexpr std::size_t kSuperblock = 1024;

void patch32(std::vector<std::byte>& image, std::size_t offset, std::uint32_t value) {
  std::memcpy(image.data() + offset, &value, sizeof value);
}

// What mount says of an image: its error, and the one line on the console.
struct Refusal {
  std::optional<KernelError> error;
  std::string line;
};
Refusal try_mount(std::vector<std::byte> image) {
  World world;
  MemoryDisk disk(std::move(image));
  take_console();
  Refusal refusal;
  {
    auto mounted = ext2::Ext2FileSystem::mount(disk);
    if (!mounted) refusal.error = mounted.error();
  }
  refusal.line = take_console();
  CHECK(disk.malformed == 0);
  return refusal;
}

bool is_one_line(const std::string& text) {
  return !text.empty() && text.back() == '\n' && text.find('\n') == text.size() - 1;
}

}  // namespace

TEST_SUITE_BEGIN("ext2 mount");

TEST_CASE("a zeroed disk, an empty one and one of noise are refused with one line") {
  std::vector<std::byte> noise(1 << 20);
  std::mt19937 random(5);
  for (std::byte& b : noise) b = static_cast<std::byte>(random());
  for (const auto& image :
       {std::vector<std::byte>(), std::vector<std::byte>(512), std::vector<std::byte>(1 << 20), noise}) {
    const Refusal refusal = try_mount(image);
    CHECK(refusal.error == KernelError::Corrupt);
    INFO(refusal.line);
    CHECK(is_one_line(refusal.line));
  }
}

TEST_CASE("a disk that is cut off is refused with its two sizes") {
  std::vector<std::byte> image = make_image({});
  for (std::size_t size : {image.size() - 512, image.size() / 2, std::size_t{4096}}) {
    std::vector<std::byte> cut(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size));
    const Refusal refusal = try_mount(cut);
    CHECK(refusal.error == KernelError::Corrupt);
    INFO(refusal.line);
    CHECK(is_one_line(refusal.line));
    CHECK(refusal.line.find("16384 KiB") != std::string::npos);
  }
}

TEST_CASE("features that this kernel does not know are refused, or allow reading only") {
  std::vector<std::byte> image = make_image({});
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    if (((ext2::kIncompatSupported | ext2::kIncompatRecover) >> bit & 1) != 0) continue;
    std::vector<std::byte> changed = image;
    patch32(changed, kSuperblock + 96, ext2::kIncompatFileType | 1u << bit);
    const Refusal refusal = try_mount(changed);
    CHECK(refusal.error == KernelError::NotSupported);
    CHECK(is_one_line(refusal.line));
  }
  std::vector<std::byte> changed = image;
  patch32(changed, kSuperblock + 100, 0x400);  // metadata_csum
  const std::vector<std::byte> before = changed;
  Mounted disk(std::move(changed));
  CHECK(disk.file_system->read_only());
  CHECK(error_of(disk.write("/x", 0, "x")) == KernelError::ReadOnlyFileSystem);
  CHECK(error_of(disk.mkdir("/x")) == KernelError::ReadOnlyFileSystem);
  CHECK(disk.list("/").has_value());
  disk.unmount();
  CHECK((disk.disk.bytes == before));
  disk.mount();
}

TEST_CASE("a journal that is to be replayed is, and one that is none is refused") {
  std::vector<std::byte> image = make_image({});
  patch32(image, kSuperblock + 96, ext2::kIncompatFileType | ext2::kIncompatRecover);
  const Refusal refusal = try_mount(image);
  CHECK(refusal.error == KernelError::Corrupt);
  CHECK(is_one_line(refusal.line));
  image = make_image({.type = "ext3"});
  patch32(image, kSuperblock + 96, ext2::kIncompatFileType | ext2::kIncompatRecover);
  Mounted disk(std::move(image));
  REQUIRE(disk.write("/file", 0, "text").has_value());
  disk.check_clean();
}

TEST_CASE("a disk that cannot be written is mounted for reading and not touched") {
  World world;
  MemoryDisk disk(make_image({}));
  const auto before = disk.bytes;
  disk.write_protected = true;
  {
    auto mounted = ext2::Ext2FileSystem::mount(disk);
    REQUIRE(mounted.has_value());
    CHECK((*mounted)->read_only());
    CHECK((*mounted)->synchronize().has_value());
    CHECK((*mounted)->unmount().has_value());
  }
  CHECK((disk.bytes == before));
}

TEST_CASE("any field of the superblock may hold anything") {
  const std::vector<std::byte> image = make_image({.mebibytes = 4});
  for (std::size_t offset = 0; offset < 352; offset += 4) {
    for (std::uint32_t value : {0u, 1u, 0x7fffffffu, 0xffffffffu, 0x00010000u}) {
      std::vector<std::byte> changed = image;
      patch32(changed, kSuperblock + offset, value);
      const Refusal refusal = try_mount(std::move(changed));
      CAPTURE(offset);
      if (refusal.error) CHECK(is_one_line(refusal.line));
    }
  }
}

TEST_CASE("any field of the group descriptors may hold anything") {
  const std::vector<std::byte> image = make_image({.block_size = 1024, .mebibytes = 16});
  for (std::size_t offset = 0; offset < 64; offset += 4) {
    for (std::uint32_t value : {0u, 1u, 0x7fffffffu, 0xffffffffu, 16000u}) {
      std::vector<std::byte> changed = image;
      patch32(changed, 2048 + offset, value);
      const Refusal refusal = try_mount(std::move(changed));
      CAPTURE(offset);
      if (refusal.error) CHECK(is_one_line(refusal.line));
    }
  }
}

TEST_SUITE_END();
