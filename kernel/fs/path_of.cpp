// From an inode back to its path: up through ".." and, at each step, a search for the name in the directory
// above.

#include <cstring>

#include "kernel/fs/file_system.hpp"
#include "kernel/fs/path.hpp"

namespace faultline {
namespace {

// Fills a span from its end.
class ReversePath {
 public:
  explicit ReversePath(std::span<char> space) : space_(space), start_(space.size()) {}
  Result<> prepend(std::string_view text) {
    if (text.size() > start_) return failure(KernelError::OutOfRange);
    start_ -= text.size();
    std::memcpy(space_.data() + start_, text.data(), text.size());
    return {};
  }
  // Moves the path to the front of the span and returns its length.
  std::size_t finish() {
    std::memmove(space_.data(), space_.data() + start_, space_.size() - start_);
    return space_.size() - start_;
  }
  bool empty() const { return start_ == space_.size(); }

 private:
  std::span<char> space_;
  std::size_t start_;
};

// Puts the name that an inode has in a directory in front of a path.
class NameSearch final : public DirectoryVisitor {
 public:
  NameSearch(std::uint64_t wanted, ReversePath& path) : wanted_(wanted), path_(path) {}
  bool visit(const DirectoryEntry& entry) override {
    if (entry.inode != wanted_ || entry.name == "." || entry.name == "..") return true;
    outcome = path_.prepend(entry.name);
    return false;
  }
  Result<> outcome = failure(KernelError::NoSuchFile);

 private:
  std::uint64_t wanted_;
  ReversePath& path_;
};

Result<Ref<Inode>> parent_of(Inode& inode) {
  if (inode.is_directory()) return inode.lookup("..");
  if (inode.parent_hint() == 0) return failure(KernelError::NoSuchFile);
  return inode.file_system().directory(inode.parent_hint());
}

}  // namespace

Result<std::size_t> path_of(Inode& inode, Inode& root, std::span<char> space) {
  ReversePath path(space);
  Ref<Inode> here = Ref<Inode>::share(inode);
  while (here.get() != &root) {
    if (here->file_system().root() == here) {
      if (here->file_system().covered() == nullptr)
        break;  // `root` does not lie above: the path from the real one
      here = Ref<Inode>::share(*here->file_system().covered());
      continue;
    }
    const Ref<Inode> parent = TRY(parent_of(*here));
    NameSearch search(here->inode_number(), path);
    std::uint64_t position = 0;
    TRY(parent->iterate(position, search));
    TRY(search.outcome);
    TRY(path.prepend("/"));
    here = parent;
  }
  if (path.empty()) TRY(path.prepend("/"));
  return path.finish();
}

}  // namespace faultline
