// Random sequences of operations against a model of a few maps; e2fsck judges the disk in between.

#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <random>

#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

struct ModelFile {
  std::string contents;
};

// Paths of directories and files; hard links share the file. One level of links, for paths stay simple
// strings.
class Model {
 public:
  Model(Mounted& disk, unsigned seed) : disk_(disk), random_(seed) { directories_.insert(""); }

  /// One operation. What it left to be written it has announced: else nobody would come to write it.
  void step() {
    operate();
    if (disk_.file_system->has_changes()) CHECK((change_noted_ |= take_change_note()));
    if (random_() % 4 != 0) return;
    REQUIRE(disk_.file_system->synchronize().has_value());
    CHECK(!disk_.file_system->has_changes());
    (void)take_change_note();
    change_noted_ = false;
  }

  void check_everything() {
    for (const auto& [path, file] : files_) {
      CAPTURE(path);
      const auto text = disk_.read(path, 0, file->contents.size() + 1);
      REQUIRE(text.has_value());
      CHECK((*text == file->contents));
      CHECK(disk_.stat(path).links == file.use_count());
    }
  }

 private:
  void operate() {
    switch (random_() % 15) {
      case 0:
        return make_directory();
      case 1:
        return remove_directory();
      case 2:
        return remove_file();
      case 3:
        return link();
      case 4:
        return rename_file();
      case 5:
        return rename_directory();
      case 6:
        return truncate();
      case 7:
        return check_file();
      case 8:
        return check_directory();
      case 9:
        if (random_() % 20 == 0) disk_.remount();
        return;
      case 10:
        (void)disk_.file_system->drop_caches();
        return;
      default:
        return write();
    }
  }
  std::string pick_directory() { return *std::next(directories_.begin(), random_() % directories_.size()); }
  std::string pick_file() {
    return files_.empty() ? std::string() : std::next(files_.begin(), random_() % files_.size())->first;
  }
  std::string new_name() {
    return pick_directory() + "/n" + std::to_string(random_() % 40) + std::string(random_() % 30, 'x');
  }
  bool exists(const std::string& path) { return files_.contains(path) || directories_.contains(path); }

  void make_directory() {
    const std::string path = new_name();
    const bool made = disk_.mkdir(path).has_value();
    CHECK(made == !exists(path));
    if (made) directories_.insert(path);
  }
  bool is_empty(const std::string& path) {
    const auto below = [&](const std::string& other) { return other.starts_with(path + "/"); };
    for (const auto& [name, file] : files_)
      if (below(name)) return false;
    return std::ranges::none_of(directories_, below);
  }
  void remove_directory() {
    const std::string path = pick_directory();
    if (path.empty()) return;
    const bool removed = disk_.rmdir(path).has_value();
    CHECK(removed == is_empty(path));
    if (removed) directories_.erase(path);
  }
  void remove_file() {
    const std::string path = pick_file();
    if (path.empty()) return;
    REQUIRE(disk_.unlink(path).has_value());
    files_.erase(path);
  }
  void link() {
    const std::string old_path = pick_file(), path = new_name();
    if (old_path.empty()) return;
    const bool linked = disk_.link(old_path, path).has_value();
    CHECK(linked == !exists(path));
    if (linked) files_[path] = files_[old_path];
  }
  void rename_file() {
    const std::string from = pick_file(), to = new_name();
    if (from.empty()) return;
    const bool renamed = disk_.rename(from, to).has_value();
    CHECK(renamed == !directories_.contains(to));
    if (!renamed || from == to) return;
    // Two names of one file stay both.
    if (files_.contains(to) && files_[to] == files_[from]) return;
    files_[to] = files_[from];
    files_.erase(from);
  }
  void rename_directory() {
    const std::string from = pick_directory(), to = new_name();
    if (from.empty() || from == to) return;
    const bool inside = to.starts_with(from + "/");
    const bool possible = !inside && !files_.contains(to) && (!directories_.contains(to) || is_empty(to));
    const bool renamed = disk_.rename(from, to).has_value();
    CHECK(renamed == possible);
    if (!renamed) return;
    const auto moved = [&](const std::string& path) { return path == from || path.starts_with(from + "/"); };
    std::set<std::string> directories;
    for (const std::string& path : directories_)
      directories.insert(moved(path) ? to + path.substr(from.size()) : path);
    std::map<std::string, std::shared_ptr<ModelFile>> files;
    for (auto& [path, file] : files_) files[moved(path) ? to + path.substr(from.size()) : path] = file;
    directories_ = std::move(directories);
    files_ = std::move(files);
  }
  void truncate() {
    const std::string path = pick_file();
    if (path.empty()) return;
    const std::size_t size = random_() % 70'000;
    REQUIRE(disk_.truncate(path, size).has_value());
    files_[path]->contents.resize(size);
  }
  void write() {
    std::string path = random_() % 2 == 0 ? pick_file() : new_name();
    if (path.empty()) path = new_name();
    const std::size_t offset = random_() % 60'000;
    const std::string bytes(1 + random_() % 9000, static_cast<char>('a' + random_() % 26));
    const auto written = disk_.write(path, offset, bytes);
    if (directories_.contains(path)) {
      CHECK(error_of(written) == KernelError::IsDirectory);
      return;
    }
    REQUIRE(written.value_or(0) == bytes.size());
    auto& file = files_[path];
    if (!file) file = std::make_shared<ModelFile>();
    if (file->contents.size() < offset + bytes.size()) file->contents.resize(offset + bytes.size());
    file->contents.replace(offset, bytes.size(), bytes);
  }
  void check_file() {
    const std::string path = pick_file();
    if (path.empty()) return;
    const auto& contents = files_[path]->contents;
    const std::size_t offset = random_() % (contents.size() + 10);
    const std::size_t size = random_() % 20'000;
    const auto text = disk_.read(path, offset, size);
    REQUIRE(text.has_value());
    CHECK((*text == (offset < contents.size() ? contents.substr(offset, size) : "")));
  }
  void check_directory() {
    const std::string path = pick_directory();
    std::set<std::string> expected{".", ".."};
    if (path.empty()) expected.insert("lost+found");
    const auto add = [&](const std::string& other) {
      if (other.starts_with(path + "/") && other.find('/', path.size() + 1) == std::string::npos)
        expected.insert(other.substr(path.size() + 1));
    };
    for (const std::string& other : directories_) add(other);
    for (const auto& [other, file] : files_) add(other);
    const auto names = disk_.list(path.empty() ? "/" : path);
    REQUIRE(names.has_value());
    CHECK((*names == expected));
  }

  Mounted& disk_;
  bool change_noted_ = false;  // since the disk was last synchronized
  std::mt19937 random_;
  std::set<std::string> directories_;
  std::map<std::string, std::shared_ptr<ModelFile>> files_;
};

}  // namespace

TEST_SUITE_BEGIN("ext2 model");

TEST_CASE("random operations agree with a model, and e2fsck with the disk") {
  const char* seed_text = std::getenv("FAULTLINE_SEED");
  const unsigned seed =
      seed_text != nullptr ? static_cast<unsigned>(std::strtoul(seed_text, nullptr, 10)) : 20'250'101;
  for (const ImageKind& kind : {ImageKind{.block_size = 1024, .inode_size = 128, .mebibytes = 24},
                                ImageKind{.block_size = 2048, .mebibytes = 24, .type = "ext3"},
                                ImageKind{.block_size = 4096, .mebibytes = 24}}) {
    CAPTURE(seed);
    CAPTURE(kind.block_size);
    Mounted disk(kind);
    const std::uint64_t inodes = disk.file_system->statistics().free_inodes;
    Model model(disk, seed);
    for (int i = 0; i < 3000; ++i) {
      CAPTURE(i);
      model.step();
      if (i % 1000 == 999) {
        disk.check_clean();
        model.check_everything();
      }
    }
    CHECK(disk.file_system->statistics().free_inodes < inodes);
  }
}

TEST_SUITE_END();
