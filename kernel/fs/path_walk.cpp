#include "kernel/fs/path_walk.hpp"

#include <algorithm>

#include "kernel/fs/file_system.hpp"

namespace faultline {

Ref<Inode> top_of_mounts(Ref<Inode> inode) {
  while (FileSystem* mounted = inode->mounted_here()) inode = mounted->root();
  return inode;
}

Result<Ref<Inode>> directory_above(Inode& directory, Inode& root) {
  Ref<Inode> here = Ref<Inode>::share(directory);
  // From the root of a mounted file system to the directory that it covers.
  while (here.get() != &root && here->file_system().root() == here &&
         here->file_system().covered() != nullptr)
    here = Ref<Inode>::share(*here->file_system().covered());
  if (here.get() == &root) return here;
  return here->lookup("..");
}

Result<> PathWalk::begin(std::string_view path) {
  if (path.empty()) return failure(KernelError::NoSuchFile);
  if (path.size() >= kMaxPathLength) return failure(KernelError::NameTooLong);
  if (path.front() == '/') current_ = Ref<Inode>::share(*context_.root);
  rest_ = path;
  return {};
}

// The next name of rest_, or nothing at its end.
std::string_view PathWalk::take_name() {
  rest_.remove_prefix(std::min(rest_.find_first_not_of('/'), rest_.size()));
  const std::string_view name = rest_.substr(0, rest_.find('/'));
  rest_.remove_prefix(name.size());
  return name;
}

// One step: current_ becomes what `name` refers to in it. A link is followed when `follow` holds.
Result<> PathWalk::enter(std::string_view name, bool follow) {
  if (name.size() > kMaxNameLength) return failure(KernelError::NameTooLong);
  if (!current_->is_directory()) return failure(KernelError::NotDirectory);
  TRY(check_access(*current_, access_mode::kExecute, context_.credentials));
  if (name == ".") return {};
  if (name == "..") {
    current_ = TRY(directory_above(*current_, *context_.root));
    return {};
  }
  Ref<Inode> next = top_of_mounts(TRY(current_->lookup(name)));
  if (next->kind() == FileKind::SymbolicLink && follow) return prepend_target(*next);
  current_ = std::move(next);
  return {};
}

Result<> PathWalk::prepend_target(Inode& link) {
  if (++links_ > kMaxSymbolicLinks) return failure(KernelError::TooManySymbolicLinks);
  if (Ref<Inode> target = link.link_target()) {
    current_ = std::move(target);  // a link of /proc, which refers to the file itself
    return {};
  }
  if (!spare_) spare_ = TRY(make_box<Buffer>());
  const std::size_t length = TRY(link.read_link({spare_->text, sizeof(spare_->text)}));
  if (length == 0) return failure(KernelError::NoSuchFile);
  if (length + rest_.size() >= sizeof(spare_->text)) return failure(KernelError::NameTooLong);
  std::ranges::copy(rest_, spare_->text + length);
  rest_ = {spare_->text, length + rest_.size()};
  std::swap(buffer_, spare_);
  if (rest_.front() == '/') current_ = Ref<Inode>::share(*context_.root);
  return {};
}

Result<Ref<Inode>> PathWalk::resolve(std::string_view path, FollowLast follow) {
  TRY(begin(path));
  for (std::string_view name = take_name(); !name.empty(); name = take_name()) {
    // A slash behind the last name asks for a directory, so a link there is followed in any case.
    const bool last = rest_.empty();
    TRY(enter(name, !last || follow == FollowLast::Yes));
  }
  if (path.back() == '/' && !current_->is_directory()) return failure(KernelError::NotDirectory);
  return current_;
}

Result<PathWalk::Parent> PathWalk::parent_of(std::string_view path) {
  TRY(begin(path));
  Parent parent;
  for (;;) {
    const std::string_view name = take_name();
    if (at_end()) {
      if (name.size() > kMaxNameLength) return failure(KernelError::NameTooLong);
      if (!current_->is_directory()) return failure(KernelError::NotDirectory);
      TRY(check_access(*current_, access_mode::kExecute, context_.credentials));
      parent.directory = current_;
      parent.trailing_slash = !rest_.empty();
      parent.length = static_cast<std::uint8_t>(name.size());
      std::ranges::copy(name, parent.text.begin());
      return parent;
    }
    TRY(enter(name, true));
  }
}

Result<PathWalk::Parent> PathWalk::parent_of_target(Ref<Inode> directory, Inode& link) {
  current_ = std::move(directory);
  rest_ = {};
  TRY(prepend_target(link));
  const std::string_view target = rest_;
  return parent_of(target);
}

}  // namespace faultline
