// What files do that do not do anything special: they refuse, with the errors that POSIX gives.

#include "kernel/fs/inode.hpp"

#include "kernel/fs/file_lock.hpp"

namespace faultline {
namespace {

// An operation on names: only directories have it, and this one's file system does not allow it.
KernelError names_refused(const Inode& inode) {
  return inode.is_directory() ? KernelError::NotPermitted : KernelError::NotDirectory;
}

KernelError contents_refused(const Inode& inode) {
  return inode.is_directory() ? KernelError::IsDirectory : KernelError::InvalidArgument;
}

}  // namespace

Inode::~Inode() { Box<FileLocks>{locks()}.reset(); }

Result<FileLocks*> Inode::locks_for_use() {
  if (FileLocks* const existing = locks()) return existing;
  Box<FileLocks> made = TRY(make_box<FileLocks>());
  FileLocks* seen = nullptr;
  if (!locks_.compare_exchange_strong(seen, made.get(), std::memory_order_acq_rel)) return seen;
  return made.release();
}

bool Inode::count_use(std::int32_t step) {
  std::int32_t uses = uses_.load(std::memory_order_relaxed);
  do {
    if (uses != 0 && (uses < 0) != (step < 0)) return false;
  } while (!uses_.compare_exchange_weak(uses, uses + step, std::memory_order_acquire));
  return true;
}

Result<Ref<Inode>> Inode::lookup(std::string_view) { return failure(KernelError::NotDirectory); }
Result<Ref<Inode>> Inode::create(std::string_view, const NewFile&) { return failure(names_refused(*this)); }
Result<Ref<Inode>> Inode::make_symbolic_link(std::string_view, std::string_view, const NewFile&) {
  return failure(names_refused(*this));
}
Result<> Inode::link(std::string_view, Inode&) { return failure(names_refused(*this)); }
Result<> Inode::unlink(std::string_view) { return failure(names_refused(*this)); }
Result<> Inode::remove_directory(std::string_view) { return failure(names_refused(*this)); }
Result<> Inode::rename(std::string_view, Inode&, std::string_view, RenameMode) {
  return failure(names_refused(*this));
}
Result<> Inode::iterate(std::uint64_t&, DirectoryVisitor&) { return failure(KernelError::NotDirectory); }
Result<std::size_t> Inode::read_link(std::span<char>) { return failure(KernelError::InvalidArgument); }
Result<std::size_t> Inode::read_at(std::uint64_t, IoBuffer&) { return failure(contents_refused(*this)); }
Result<std::size_t> Inode::write_at(std::uint64_t&, IoBuffer&, bool) {
  return failure(contents_refused(*this));
}
Result<> Inode::truncate(std::uint64_t) { return failure(contents_refused(*this)); }
Result<> Inode::synchronize() { return {}; }
Result<> Inode::change_attributes(const AttributeChange&) { return failure(KernelError::NotPermitted); }
Result<> Inode::read_pages(std::uint64_t, std::span<const Pa>) { return failure(KernelError::NotSupported); }
Result<> Inode::write_pages(std::uint64_t, std::span<const Pa>) { return failure(KernelError::NotSupported); }

}  // namespace faultline
