#pragma once
// One walk along a path. Symbolic links are followed by putting their target in front of what is left to
// walk, so a walk needs neither recursion nor more than two buffers, and those only when it meets a link.

#include <array>
#include <string_view>

#include "kernel/fs/path.hpp"
#include "kernel/lib/heap.hpp"

namespace faultline {

class PathWalk {
 public:
  /// A directory and the last name of a path, which may or may not exist there.
  struct Parent {
    Ref<Inode> directory;
    bool trailing_slash = false;
    std::uint8_t length = 0;
    std::array<char, kMaxNameLength> text;
    std::string_view name() const { return {text.data(), length}; }
    /// The path ends in ".", "..", or is the root: there is no name to be made or removed.
    bool is_special() const { return length == 0 || name() == "." || name() == ".."; }
  };

  explicit PathWalk(const PathContext& context)
      : context_(context), current_(Ref<Inode>::share(*context.start)) {}

  /// The whole path. May be called again after parent_of(), to go on from there.
  Result<Ref<Inode>> resolve(std::string_view path, FollowLast follow);

  /// All but the last name. Links on the way are followed, the last name is not looked at.
  Result<Parent> parent_of(std::string_view path);

  /// The parent of what a link names; `link` stands in `directory`. Counts against the limit of links of this
  /// walk.
  Result<Parent> parent_of_target(Ref<Inode> directory, Inode& link);

 private:
  struct Buffer {
    char text[kMaxPathLength];
  };
  Result<> begin(std::string_view path);
  std::string_view take_name();
  Result<> enter(std::string_view name, bool follow);
  Result<> prepend_target(Inode& link);
  bool at_end() const { return rest_.find_first_not_of('/') == std::string_view::npos; }

  const PathContext& context_;
  Ref<Inode> current_;
  std::string_view rest_;
  unsigned links_ = 0;
  Box<Buffer> buffer_, spare_;  // rest_ points into buffer_ once a link has been met
};

/// The directory above, across mount points; `root` is above itself.
Result<Ref<Inode>> directory_above(Inode& directory, Inode& root);

/// The root of what is mounted on an inode, or the inode itself.
Ref<Inode> top_of_mounts(Ref<Inode> inode);

}  // namespace faultline
