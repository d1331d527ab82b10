#pragma once
// What programs may rely on finding on a disk: the names, and what stands behind each.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "test/host/fs/mounted.hpp"

namespace faultline::sim {

/// Paths without a slash at the end; the root itself is not listed.
class ExpectedTree {
 public:
  /// What the disk has now. Link counts that do not fit the names fail the test case.
  static ExpectedTree of(Mounted& disk);

  /// The same paths with the same contents, and the same of them are names of one file.
  friend bool operator==(const ExpectedTree& a, const ExpectedTree& b);

  /// For a message: each path with its kind and size.
  std::string text() const;
  std::string contents(const std::string& path) const { return nodes_.at(path)->contents; }

  // What each system call does when it succeeds. False when it cannot: then nothing has changed.

  bool make(const std::string& path, FileKind kind, std::string contents = {});
  bool write(const std::string& path, std::size_t offset, std::string_view bytes);
  bool truncate(const std::string& path, std::size_t size);
  bool link(const std::string& old_path, const std::string& path);
  bool unlink(const std::string& path);
  bool remove_directory(const std::string& path);
  bool rename(const std::string& from, const std::string& to);

 private:
  struct Node {
    FileKind kind;
    std::string contents;  // of a file; the target of a symbolic link
  };
  // Nodes do not change, so that copies of a tree can share them: whoever changes a file gives all its names
  // a new one.
  using NodeRef = std::shared_ptr<const Node>;

  void add_directory(Mounted& disk, const std::string& path, std::map<std::uint64_t, NodeRef>& by_inode);
  bool is(const std::string& path, FileKind kind) const;
  bool has_directory_of(const std::string& path) const;
  bool is_empty_directory(const std::string& path) const;
  void replace(const std::string& path, std::string contents);

  std::map<std::string, NodeRef> nodes_;
};

/// A system call, and what it does to the tree.
struct Operation {
  std::string name;
  /// The result holds the number of bytes written, if it is a write.
  std::function<Result<std::size_t>(Mounted&)> perform;
  /// False when the call must fail on such a tree. The second argument is what perform returned.
  std::function<bool(ExpectedTree&, std::size_t)> effect;
};

/// A long list of calls of every kind, for a disk that prepare_disk has filled. Between them everything is
/// written back and dropped from the caches, so that each has to read what it needs.
std::vector<Operation> every_kind_of_operation();
void prepare_disk(Mounted& disk);

}  // namespace faultline::sim
