#pragma once
// The independent judges: e2fsprogs' mke2fs makes images, e2fsck and debugfs look at what the kernel wrote.

#include <cstddef>
#include <string>
#include <vector>

namespace faultline::sim {

struct ImageKind {
  unsigned block_size = 4096;
  unsigned inode_size = 256;
  unsigned mebibytes = 16;
  std::string type = "ext2";
  std::string options = {};  // further arguments of mke2fs
};

/// A fresh file system. `script` holds debugfs commands that fill it.
std::vector<std::byte> make_image(const ImageKind& kind, const std::string& script = "");

/// What e2fsck -fn objects to; empty when it finds nothing.
std::string check_image(const std::vector<std::byte>& image);

/// Lets e2fsck -p mend the image, as an unattended start does. What it says when it will not (status 4 and
/// above), else nothing.
std::string repair_image(std::vector<std::byte>& image);

/// What debugfs prints for a command.
std::string ask_debugfs(const std::vector<std::byte>& image, const std::string& command);

/// The contents of a file on the image, as debugfs reads it.
std::vector<std::byte> dump_file(const std::vector<std::byte>& image, const std::string& path);

}  // namespace faultline::sim
