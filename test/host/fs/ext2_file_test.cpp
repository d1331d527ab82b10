// Contents of files on ext2: reading, writing, holes, truncation, limits; for every block size and inode
// size.

#include <random>

#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

constexpr unsigned kBlockSizes[] = {1024, 2048, 4096};

std::string pattern(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  std::minstd_rand random(seed + 1);
  for (char& c : text) c = static_cast<char>(random() >> 8);
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("ext2 files");

TEST_CASE("a file that debugfs wrote reads the same here") {
  for (unsigned block_size : kBlockSizes) {
    CAPTURE(block_size);
    // A program of this machine that is there for sure, and large enough for indirect blocks.
    Mounted disk(make_image({.block_size = block_size}, "write /proc/self/exe program\n"));
    const std::vector<std::byte> expected = dump_file(disk.disk.bytes, "/program");
    REQUIRE(expected.size() > 100'000);
    const auto text = disk.read("/program", 0, expected.size() + 1);
    REQUIRE(text.has_value());
    CHECK(text->size() == expected.size());
    CHECK(std::memcmp(text->data(), expected.data(), expected.size()) == 0);
  }
}

TEST_CASE("what is written is read back, by us and by debugfs, through indirect blocks of every level") {
  for (unsigned block_size : kBlockSizes) {
    CAPTURE(block_size);
    Mounted disk(ImageKind{.block_size = block_size, .mebibytes = 32});
    const std::string text = pattern(6'000'000, block_size);
    CHECK(disk.write("/file", 0, text).value_or(0) == text.size());
    CHECK((disk.read("/file", 0, text.size()) == text));
    disk.remount();
    CHECK((disk.read("/file", 0, text.size() + 100) == text));
    disk.check_clean();
    const auto dumped = dump_file(disk.disk.bytes, "/file");
    REQUIRE(dumped.size() == text.size());
    CHECK(std::memcmp(dumped.data(), text.data(), text.size()) == 0);
  }
}

TEST_CASE("small writes at odd offsets leave the bytes around them alone") {
  for (unsigned block_size : kBlockSizes) {
    CAPTURE(block_size);
    Mounted disk(ImageKind{.block_size = block_size});
    std::string model = pattern(50'000, 7);
    REQUIRE(disk.write("/file", 0, model).has_value());
    std::mt19937 random(block_size);
    for (int i = 0; i < 500; ++i) {
      const std::size_t offset = random() % model.size();
      const std::string bytes = pattern(random() % 3000, i);
      REQUIRE(disk.write("/file", offset, bytes).has_value());
      if (offset + bytes.size() > model.size()) model.resize(offset + bytes.size());
      model.replace(offset, bytes.size(), bytes);
      if (i % 100 == 50) disk.remount();
    }
    CHECK((disk.read("/file", 0, model.size() + 1) == model));
    disk.check_clean();
  }
}

TEST_CASE("a file may be sparse up to the format's limit, and no further") {
  for (unsigned block_size : kBlockSizes) {
    CAPTURE(block_size);
    Mounted disk(ImageKind{.block_size = block_size});
    const std::uint64_t limit = ext2::BlockMap::limit(block_size) * block_size;
    CHECK(disk.write("/far", limit - 3, "end").value_or(0) == 3);
    CHECK(error_of(disk.write("/far", limit, "x")) == KernelError::FileTooLarge);
    CHECK(disk.write("/far", limit - 1, "dX").value_or(0) == 1);
    CHECK(error_of(disk.truncate("/far", limit + 1)) == KernelError::FileTooLarge);
    CHECK(disk.stat("/far").size == limit);
    // The data block and three levels of indirection above it.
    CHECK(disk.stat("/far").blocks == 4 * block_size / 512);
    CHECK((disk.read("/far", limit - 4, 10) == std::string("\0end", 4)));
    CHECK((disk.read("/far", limit / 2, 10) == std::string(10, '\0')));
    disk.check_clean();
    CHECK((disk.read("/far", limit - 3, 10) == "end"));
    REQUIRE(disk.truncate("/far", 0).has_value());
    CHECK(disk.stat("/far").blocks == 0);
    disk.check_clean();
  }
}

TEST_CASE("truncation frees what lies beyond, at every border between levels") {
  for (unsigned block_size : kBlockSizes) {
    CAPTURE(block_size);
    Mounted disk(ImageKind{.block_size = block_size, .mebibytes = 32});
    const std::uint64_t free_at_start = disk.file_system->statistics().free_blocks;
    const std::uint64_t n = block_size / 4;
    const std::uint64_t borders[] = {0,          1,      11,         12,         13,
                                     12 + n - 1, 12 + n, 12 + n + 1, 12 + 2 * n, 12 + 2 * n + 1};
    for (std::uint64_t border : borders) {
      for (int delta : {-1, 0, 1}) {
        const std::uint64_t size = border * block_size + delta;
        if (size > 20'000'000) continue;
        CAPTURE(size);
        const std::uint64_t full = size + 3 * block_size;
        const std::string text = pattern(full, 3);
        REQUIRE(disk.write("/file", 0, text).has_value());
        REQUIRE(disk.truncate("/file", size).has_value());
        CHECK((disk.read("/file", 0, full) == text.substr(0, size)));
        // What was cut off does not come back when the file grows again.
        REQUIRE(disk.truncate("/file", full).has_value());
        const auto again = disk.read("/file", size, full);
        CHECK((again == std::string(full - size, '\0')));
        REQUIRE(disk.unlink("/file").has_value());
        CHECK(disk.file_system->statistics().free_blocks == free_at_start);
      }
    }
    disk.check_clean();
  }
}

TEST_CASE("bytes that stood behind the end do not appear when the file grows, even over a remount") {
  Mounted disk(ImageKind{.block_size = 1024});
  REQUIRE(disk.write("/file", 0, std::string(5000, 'x')).has_value());
  REQUIRE(disk.truncate("/file", 100).has_value());
  disk.remount();
  REQUIRE(disk.write("/file", 3000, "y").has_value());
  CHECK((disk.read("/file", 0, 5000) == std::string(100, 'x') + std::string(2900, '\0') + "y"));
  disk.remount();
  CHECK((disk.read("/file", 0, 5000) == std::string(100, 'x') + std::string(2900, '\0') + "y"));
}

TEST_CASE("what a mapping left behind the end is zero when a write past the end makes it part of the file") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.write("/file", 0, "0123456789").has_value());
  {
    const Ref<Inode> inode = *disk.find("/file");
    const Frame frame = *inode->page(0);
    std::memset(frame.bytes().data() + 10, 'x', 100);
    inode->mark_dirty(0);
  }
  REQUIRE(disk.write("/file", 50, "end").has_value());
  CHECK((disk.read("/file", 0, 100) == "0123456789" + std::string(40, '\0') + "end"));
  disk.remount();
  CHECK((disk.read("/file", 0, 100) == "0123456789" + std::string(40, '\0') + "end"));
}

TEST_CASE("a write through a mapping reaches the disk, and what stays zero over a hole stays a hole") {
  Mounted disk(ImageKind{.block_size = 1024});
  REQUIRE(disk.write("/file", 20'000, "z").has_value());
  const std::uint64_t blocks = disk.stat("/file").blocks;
  {
    const Ref<Inode> inode = *disk.find("/file");
    const Frame frame = *inode->mappable()->page(1);
    frame.bytes()[1500] = std::byte{'m'};
    inode->mappable()->mark_dirty(1);
    REQUIRE(inode->mappable()->write_back(0, 100).has_value());
  }
  CHECK(disk.stat("/file").blocks == blocks + 2);  // one block of the page's four
  disk.remount();
  CHECK((disk.read("/file", 4096 + 1499, 3) == std::string("\0m\0", 3)));
  disk.check_clean();
}

TEST_CASE("a full disk gives NoSpace, keeps what fitted, and is whole again when files go") {
  Mounted disk(ImageKind{.block_size = 1024, .mebibytes = 4});
  const std::uint64_t free_at_start = disk.file_system->statistics().free_blocks;
  const std::string chunk = pattern(100'000, 1);
  std::string model;
  for (;;) {
    const auto written = disk.write("/big", model.size(), chunk);
    if (!written) {
      CHECK(written.error() == KernelError::NoSpace);
      break;
    }
    model += chunk.substr(0, *written);
    if (*written < chunk.size()) break;
  }
  CHECK(error_of(disk.write("/other", 0, "x")).value_or(KernelError::NoSpace) == KernelError::NoSpace);
  CHECK((disk.read("/big", 0, model.size() + 1) == model));
  disk.check_clean();
  CHECK((disk.read("/big", 0, model.size() + 1) == model));
  REQUIRE(disk.unlink("/big").has_value());
  (void)disk.unlink("/other");
  CHECK(disk.file_system->statistics().free_blocks == free_at_start);
  disk.check_clean();
}

TEST_CASE("a write from a bad address keeps what came before it, and no block that it did not fill") {
  // The caller's memory ends after some bytes.
  class ShortBuffer final : public IoBuffer {
   public:
    explicit ShortBuffer(std::size_t good) : IoBuffer(20'000), good_(good) {}

   private:
    Copied copy_to_caller(std::span<const std::byte>) override {
      return {0, failure(KernelError::BadAddress)};
    }
    Copied copy_from_caller(std::span<std::byte> bytes) override {
      const std::size_t count = std::min(bytes.size(), good_ - transferred());
      std::memset(bytes.data(), 'g', count);
      if (count < bytes.size()) return {count, failure(KernelError::BadAddress)};
      return {count, {}};
    }
    std::size_t good_;
  };
  for (unsigned block_size : kBlockSizes) {
    for (std::size_t good : {0, 1, 1024, 5000, 8192}) {
      CAPTURE(good);
      Mounted disk(ImageKind{.block_size = block_size});
      REQUIRE(disk.write("/file", 0, "head").has_value());
      const auto file = disk.open("/file", OpenFlags::kReadWrite);
      ShortBuffer buffer(good);
      const auto written = (*file)->write_at(4, buffer);
      if (good == 0) {
        CHECK(error_of(written) == KernelError::BadAddress);
      } else {
        CHECK(written.value_or(0) == good);
      }
      CHECK((disk.read("/file", 0, 30'000) == "head" + std::string(good, 'g')));
      CHECK(error_of((*file)->read_at(0, buffer)) == KernelError::BadAddress);
      disk.file_system->synchronize().value();
      CHECK(disk.stat("/file").blocks == (4 + good + block_size - 1) / block_size * block_size / 512);
    }
  }
}

TEST_CASE("files above 2 GiB mark the superblock") {
  Mounted disk(make_image({.options = "-O ^large_file,^resize_inode"}));
  REQUIRE(disk.write("/small", 0, "x").has_value());
  disk.remount();
  CHECK(ask_debugfs(disk.disk.bytes, "stats").find("large_file") == std::string::npos);
  REQUIRE(disk.write("/large", (std::uint64_t{1} << 31) + 5, "x").has_value());
  disk.check_clean();
  CHECK(ask_debugfs(disk.disk.bytes, "stats").find("large_file") != std::string::npos);
}

TEST_CASE("revision 0 has inodes of 128 bytes and no file of 2 GiB") {
  // mke2fs has no option for it that works in every version.
  Mounted disk(make_image({.inode_size = 128, .options = "-O none"}, "set_super_value rev_level 0\n"));
  REQUIRE(disk.write("/file", 0, "old").has_value());
  REQUIRE(disk.mkdir("/directory").has_value());
  CHECK(error_of(disk.write("/file", std::uint64_t{1} << 31, "x")) == KernelError::FileTooLarge);
  disk.check_clean();
  CHECK((disk.read("/file", 0, 10) == "old"));
}

TEST_CASE("appending goes to the end, whatever the offset") {
  Mounted disk(ImageKind{});
  const auto file = disk.open("/log", OpenFlags::kWriteOnly | OpenFlags::kCreate | OpenFlags::kAppend);
  REQUIRE(file.has_value());
  for (std::string_view line : {"one\n", "two\n", "three\n"}) {
    KernelIoBuffer buffer(std::as_bytes(std::span(line)));
    REQUIRE((*file)->seek(0, SeekFrom::Start).has_value());
    REQUIRE((*file)->write(buffer).has_value());
  }
  CHECK((disk.read("/log", 0, 100) == "one\ntwo\nthree\n"));
}

TEST_CASE("an open file without a name lives until it is closed, and its space comes back then") {
  Mounted disk(ImageKind{});
  const std::uint64_t blocks = disk.file_system->statistics().free_blocks;
  const std::uint64_t inodes = disk.file_system->statistics().free_inodes;
  {
    REQUIRE(disk.write("/file", 0, pattern(100'000, 2)).has_value());
    const auto file = disk.open("/file", OpenFlags::kReadWrite);
    REQUIRE(disk.unlink("/file").has_value());
    CHECK(error_of(disk.find("/file")) == KernelError::NoSuchFile);
    CHECK(disk.file_system->statistics().free_blocks < blocks);
    std::string text(100'000, '\0');
    KernelIoBuffer buffer(std::as_writable_bytes(std::span(text)));
    CHECK((*file)->read(buffer).value_or(0) == text.size());
    CHECK(text == pattern(100'000, 2));
  }
  CHECK(disk.file_system->statistics().free_blocks == blocks);
  CHECK(disk.file_system->statistics().free_inodes == inodes);
  disk.check_clean();
}

TEST_CASE("dropping the caches forgets what nobody uses and the disk knows, and nothing else") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.write("/clean", 0, pattern(50'000, 1)).has_value());
  REQUIRE(disk.write("/open", 0, pattern(50'000, 2)).has_value());
  const auto file = disk.open("/open", OpenFlags::kReadOnly);
  REQUIRE(disk.file_system->synchronize().has_value());
  REQUIRE(disk.write("/dirty", 0, pattern(50'000, 3)).has_value());

  const std::size_t frames = disk.world.frames_used();
  CHECK(disk.file_system->drop_caches() > 0);
  CHECK(disk.world.frames_used() + 12 <= frames);  // the pages of /clean, if no more
  CHECK(disk.file_system->has_changes());

  const std::uint64_t requests = disk.disk.requests;
  std::string text(50'000, '\0');
  KernelIoBuffer buffer(std::as_writable_bytes(std::span(text)));
  CHECK((*file)->read(buffer).value_or(0) == text.size());
  CHECK((text == pattern(50'000, 2)));
  CHECK(disk.disk.requests == requests);
  CHECK((disk.read("/clean", 0, 60'000) == pattern(50'000, 1)));
  CHECK(disk.disk.requests > requests);
  CHECK((disk.read("/dirty", 0, 60'000) == pattern(50'000, 3)));
  disk.check_clean();
}

TEST_CASE("a file that is still open without a name when the power goes off in order leaves a clean disk") {
  std::vector<std::byte> image;
  {
    Mounted disk(ImageKind{});
    REQUIRE(disk.write("/file", 0, pattern(100'000, 2)).has_value());
    const auto file = disk.open("/file", OpenFlags::kReadWrite);
    REQUIRE(disk.unlink("/file").has_value());
    REQUIRE(disk.file_system->unmount().has_value());
    image = disk.disk.bytes;
  }
  CHECK(check_image(image) == "");
}

TEST_CASE("after a power failure the next mount deletes files that had lost their names") {
  std::vector<std::byte> image;
  std::uint64_t blocks;
  {
    Mounted disk(ImageKind{});
    blocks = disk.file_system->statistics().free_blocks;
    std::vector<Ref<OpenFile>> files;
    for (const char* name : {"/a", "/b", "/c"}) {
      REQUIRE(disk.write(name, 0, pattern(50'000, 2)).has_value());
      files.push_back(*disk.open(name, OpenFlags::kReadWrite));
      REQUIRE(disk.unlink(name).has_value());
    }
    REQUIRE(disk.file_system->synchronize().has_value());
    image = disk.disk.bytes;  // the power fails here
  }
  Mounted disk(std::move(image));
  CHECK(disk.file_system->statistics().free_blocks == blocks);
  disk.check_clean();
}

TEST_CASE("the disk is marked in use while it is mounted, and clean after") {
  Mounted disk(ImageKind{});
  CHECK(ask_debugfs(disk.disk.bytes, "stats").find("not clean") != std::string::npos);
  disk.unmount();
  const std::string after = ask_debugfs(disk.disk.bytes, "stats");
  CHECK(after.find("not clean") == std::string::npos);
  CHECK(after.find("clean") != std::string::npos);
  disk.mount();
}

TEST_CASE("times of a file follow what is done with it, to the nanosecond where the inode has room") {
  for (unsigned inode_size : {128u, 256u}) {
    Mounted disk(ImageKind{.inode_size = inode_size});
    REQUIRE(disk.write("/file", 0, "x").has_value());
    const Stat made = disk.stat("/file");
    advance_clock(100);
    REQUIRE(disk.write("/file", 0, "y").has_value());
    const Stat written = disk.stat("/file");
    CHECK(written.modified.seconds == made.modified.seconds + 100);
    CHECK(written.changed.seconds == made.changed.seconds + 100);
    advance_clock(100);
    REQUIRE(disk.read("/file", 0, 1).has_value());
    const Stat read = disk.stat("/file");
    CHECK(read.accessed.seconds == made.modified.seconds + 200);
    CHECK(read.modified.seconds == written.modified.seconds);
    disk.remount();
    CHECK(disk.stat("/file").modified.nanoseconds == (inode_size == 128 ? 0 : 123'456'789));
    REQUIRE((*disk.find("/file"))->change_attributes({.modified = Timestamp{5'000'000'000, 7}}).has_value());
    disk.remount();
    if (inode_size == 256) CHECK(disk.stat("/file").modified.seconds == 5'000'000'000);
  }
}

TEST_SUITE_END();
