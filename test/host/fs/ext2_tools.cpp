#include "test/host/fs/ext2_tools.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>
#include <unordered_set>

namespace faultline::sim {
namespace {

// A directory of this process's own, removed at its end.
class Workplace {
 public:
  Workplace() : path_(std::filesystem::temp_directory_path() / ("fs_test." + std::to_string(getpid()))) {
    std::filesystem::create_directory(path_);
  }
  ~Workplace() { std::filesystem::remove_all(path_); }
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};
const Workplace workplace;

struct Run {
  int status;
  std::string output;
};

Run run(const std::string& command) {
  Run result;
  FILE* pipe = popen(("PATH=$PATH:/usr/sbin:/sbin LC_ALL=C " + command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  char text[4096];
  while (const std::size_t count = fread(text, 1, sizeof text, pipe)) result.output.append(text, count);
  result.status = pclose(pipe);
  return result;
}

std::vector<std::byte> load(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  REQUIRE(file.good());
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.tellg()));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

void store(const std::string& path, const std::vector<std::byte>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  REQUIRE(file.good());
}

}  // namespace

std::vector<std::byte> make_image(const ImageKind& kind, const std::string& script) {
  const std::string image = workplace.file("image");
  std::filesystem::remove(image);
  std::ofstream(image).close();
  std::filesystem::resize_file(image, std::uintmax_t{kind.mebibytes} << 20);
  const Run made = run("mke2fs -q -F -t " + kind.type + " -b " + std::to_string(kind.block_size) + " -I " +
                       std::to_string(kind.inode_size) + " " + kind.options + " " + image);
  INFO(made.output);
  REQUIRE(made.status == 0);
  if (!script.empty()) {
    const std::string commands = workplace.file("script");
    std::ofstream(commands) << script;
    const Run filled = run("debugfs -w -f " + commands + " " + image);
    INFO(filled.output);
    REQUIRE(filled.status == 0);
  }
  return load(image);
}

std::string check_image(const std::vector<std::byte>& image) {
  // Tests that fail in every possible place come to few different disks, and e2fsck says of equal bytes what
  // it said before. Two images of one 64-bit hash would take some billion of them.
  static std::unordered_set<std::size_t> clean;
  const std::string_view bytes(reinterpret_cast<const char*>(image.data()), image.size());
  const std::size_t digest = std::hash<std::string_view>()(bytes);
  if (clean.contains(digest)) return "";
  const std::string path = workplace.file("checked");
  store(path, image);
  const Run checked = run("e2fsck -fn " + path);
  if (checked.status != 0) return checked.output;
  clean.insert(digest);
  return "";
}

std::string repair_image(std::vector<std::byte>& image) {
  const std::string path = workplace.file("repaired");
  store(path, image);
  const Run repaired = run("e2fsck -p " + path);
  image = load(path);
  return WIFEXITED(repaired.status) && WEXITSTATUS(repaired.status) <= 1 ? "" : repaired.output;
}

std::string ask_debugfs(const std::vector<std::byte>& image, const std::string& command) {
  const std::string path = workplace.file("asked");
  store(path, image);
  return run("debugfs -R '" + command + "' " + path).output;
}

std::vector<std::byte> dump_file(const std::vector<std::byte>& image, const std::string& path) {
  const std::string copy = workplace.file("dumped");
  std::filesystem::remove(copy);
  ask_debugfs(image, "dump " + path + " " + copy);
  return std::filesystem::exists(copy) ? load(copy) : std::vector<std::byte>();
}

}  // namespace faultline::sim
