// Power failures: the disk as it is after the n-th write, for every n, and with any of the writes since the
// last flush missing, is one that e2fsck -p mends and that mounts; and what was fsync'ed is there.

#include <map>
#include <random>

#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("ext2 power failures");

namespace {

std::string contents_of(int number) {
  return std::string(static_cast<std::size_t>(1 + number * 1717 % 9000),
                     static_cast<char>('a' + number % 26));
}

// What a program was promised: once the disk has seen `since` events the file is there, until the program has
// begun, at `until`, to change it.
struct Promise {
  std::size_t since, until;
  std::string path, contents;
};

// A disk that remembers how it came to be what it is.
class Workload {
 public:
  Workload(const ImageKind& kind, unsigned seed) : running_(std::in_place, kind), random_(seed) {
    running_->disk.recording = true;
    // The mount has written already.
    start_ = running_->disk.bytes;
  }
  /// The power fails for good.
  void stop() {
    history_ = std::move(running_->disk.history);
    running_.reset();
  }

  void create_and_synchronize(const std::string& path) {
    const std::string text = contents_of(++number_);
    REQUIRE(running_->write(path, 0, text).has_value());
    REQUIRE((*running_->find(path))->synchronize().has_value());
    kept_[path] = promises_.size();
    promises_.push_back({now(), SIZE_MAX, path, text});
  }
  void about_to_change(const std::string& path) {
    if (const auto kept = kept_.find(path); kept != kept_.end()) {
      promises_[kept->second].until = now();
      kept_.erase(kept);
    }
  }

  void make_names_only() {
    for (int i = 0; i < 6; ++i) {
      const std::string directory = "/d" + std::to_string(i);
      REQUIRE(running_->mkdir(directory).has_value());
      REQUIRE(running_->symlink("target", directory + "/link").has_value());
      REQUIRE(running_->symlink(std::string(100, 't'), directory + "/long").has_value());
      create_and_synchronize(directory + "/kept");
      REQUIRE(running_->write(directory + "/other", 0, contents_of(i)).has_value());
    }
    REQUIRE(running_->file_system->synchronize().has_value());
  }

  void change_everything() {
    make_names_only();
    for (int step = 0; step < 40; ++step) {
      const std::string path = "/d" + std::to_string(random_() % 6) + "/f" + std::to_string(random_() % 4);
      about_to_change(path);
      switch (random_() % 7) {
        case 0:
        case 1:
          (void)running_->truncate(path, 0);
          create_and_synchronize(path);
          break;
        case 2:
          (void)running_->unlink(path);
          break;
        case 3:
          (void)running_->rename(path, "/moved");
          break;
        case 4:
          // A directory to another parent, and back.
          (void)running_->mkdir("/d0/sub");
          (void)running_->rename("/d0/sub", "/d1/sub");
          (void)running_->rmdir("/d1/sub");
          break;
        case 5:
          (void)running_->write(path, 3000, contents_of(step));
          break;
        default:
          REQUIRE(running_->file_system->synchronize().has_value());
      }
    }
  }

  std::size_t events() const { return history_.size(); }

  // The disk after `count` events; of the writes since the last flush those are missing that `keep` says.
  template <class Keep>
  std::vector<std::byte> image_after(std::size_t count, Keep keep) const {
    std::size_t flushed = count;
    while (flushed > 0 && !history_[flushed - 1].is_flush()) --flushed;
    std::vector<std::byte> image = start_;
    for (std::size_t i = 0; i < count; ++i) {
      if (i >= flushed && !keep()) continue;
      std::ranges::copy(history_[i].bytes,
                        image.begin() + static_cast<long>(history_[i].sector * kSectorSize));
    }
    return image;
  }

  void check_promises(Mounted& disk, std::size_t count) const {
    for (const Promise& promise : promises_) {
      if (count < promise.since || count > promise.until) continue;
      INFO(promise.path);
      CHECK((disk.read(promise.path, 0, promise.contents.size() + 1) == promise.contents));
    }
  }

 private:
  std::size_t now() const { return running_->disk.history.size(); }

  std::vector<std::byte> start_;
  std::optional<Mounted> running_;
  std::vector<MemoryDisk::Event> history_;
  std::mt19937 random_;
  int number_ = 0;
  std::vector<Promise> promises_;
  std::map<std::string, std::size_t> kept_;
};

// Looks at every name: what an entry leads to is an inode that makes sense.
void visit_all(Mounted& disk, const std::string& path) {
  const auto names = disk.list(path.empty() ? "/" : path);
  REQUIRE(names.has_value());
  for (const std::string& name : *names) {
    if (name == "." || name == "..") continue;
    const std::string inside = path + "/" + name;
    INFO(inside);
    const auto inode = disk.find(inside);
    REQUIRE(inode.has_value());
    if ((*inode)->kind() == FileKind::Directory) visit_all(disk, inside);
    if ((*inode)->kind() == FileKind::SymbolicLink) CHECK(disk.readlink(inside).has_value());
  }
}

void check_mounts(std::vector<std::byte> image, const Workload& workload, std::size_t count) {
  Mounted disk(std::move(image));
  take_console();
  visit_all(disk, "");
  workload.check_promises(disk, count);
  CHECK(take_console() == "");
  CHECK_FALSE(disk.file_system->read_only());
}

}  // namespace

TEST_CASE("wherever the power fails, the journal makes the disk whole: by e2fsck -p, or by the mount alone") {
  for (const unsigned block_size : {1024u, 4096u}) {
    CAPTURE(block_size);
    Workload workload({.block_size = block_size, .mebibytes = 8, .type = "ext3", .options = "-N 128"}, 3);
    workload.change_everything();
    workload.stop();
    std::mt19937 random(block_size);
    // A sample of some hundred events.
    for (std::size_t count = random() % 3; count <= workload.events(); count += 1 + random() % 16) {
      CAPTURE(count);
      for (const bool torn : {false, true}) {
        CAPTURE(torn);
        auto image = workload.image_after(count, [&] { return !torn || random() % 2 == 0; });
        check_mounts(image, workload, count);
        CHECK(repair_image(image) == "");
        check_mounts(std::move(image), workload, count);
      }
    }
  }
}

TEST_CASE("without a journal no name reaches the disk before the inode that it names") {
  Workload workload({.mebibytes = 4, .options = "-N 128"}, 5);
  workload.make_names_only();
  workload.stop();
  std::mt19937 random(7);
  for (std::size_t count = 0; count <= workload.events(); ++count) {
    CAPTURE(count);
    check_mounts(workload.image_after(count, [&] { return random() % 2 == 0; }), workload, count);
  }
}

TEST_CASE("a disk that was not unmounted says so in one line, and one that was says nothing") {
  for (const char* type : {"ext2", "ext3"}) {
    CAPTURE(type);
    std::vector<std::byte> image;
    {
      Mounted disk(ImageKind{.mebibytes = 8, .type = type});
      REQUIRE(disk.write("/file", 0, "text").has_value());
      REQUIRE(disk.file_system->synchronize().has_value());
      image = disk.disk.bytes;
      disk.remount();
      CHECK(take_console() == "");
    }
    MemoryDisk again(std::move(image));
    World world;
    REQUIRE(ext2::Ext2FileSystem::mount(again).has_value());
    const std::string said = take_console();
    CHECK(said.find("was not unmounted") != std::string::npos);
    CHECK(std::ranges::count(said, '\n') == 1);
  }
}

TEST_SUITE_END();
