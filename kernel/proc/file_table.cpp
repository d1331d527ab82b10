#include "kernel/proc/file_table.hpp"

#include <algorithm>

#include "kernel/fs/file_lock.hpp"
#include "kernel/proc/process.hpp"

namespace faultline {

FileTable::~FileTable() {
  for (std::size_t i = 0; i < entries_.size(); ++i) let_go(std::move(entries_[i].file));
}

unsigned FileTable::limit() {
  const std::uint64_t soft = Process::current().limits.soft(Resource::OpenFiles);
  return static_cast<unsigned>(std::min<std::uint64_t>(soft, kMaxLimit));
}

// The reference ends here. NOLINTNEXTLINE(performance-unnecessary-value-param)
void FileTable::let_go(Ref<OpenFile> file) const {
  if (!file || file->inode() == nullptr) return;
  if (FileLocks* const locks = file->inode()->locks()) locks->release_all(FileLocks::Kind::Range, this);
}

Result<Ref<OpenFile>> FileTable::get(int descriptor) const {
  const auto index = static_cast<unsigned>(descriptor);
  SpinGuard guard(lock_);
  if (index >= entries_.size() || !entries_[index].file) return failure(KernelError::BadFileDescriptor);
  return entries_[index].file;
}

// Grows the table so that `count` slots exist. The allocation is made without the lock, so another thread may
// have grown the table meanwhile; then ours is dropped.
Result<> FileTable::make_room(std::size_t count) {
  Vector<Entry> larger;
  {
    SpinGuard guard(lock_);
    if (entries_.size() >= count) return {};
  }
  const std::size_t rounded = std::max<std::size_t>(16, std::bit_ceil(count));
  TRY(larger.resize(rounded));
  SpinGuard guard(lock_);
  if (entries_.size() >= rounded) return {};
  for (std::size_t i = 0; i < entries_.size(); ++i) larger[i] = std::move(entries_[i]);
  std::swap(entries_, larger);
  guard.release();
  return {};
}

Result<int> FileTable::install(Ref<OpenFile> file, bool close_on_exec, int lowest) {
  if (lowest < 0 || static_cast<unsigned>(lowest) >= limit()) return failure(KernelError::InvalidArgument);
  for (;;) {
    std::size_t wanted;
    {
      SpinGuard guard(lock_);
      std::size_t index = static_cast<std::size_t>(lowest);
      while (index < entries_.size() && entries_[index].file) ++index;
      if (index >= limit()) return failure(KernelError::TooManyFiles);
      if (index < entries_.size()) {
        entries_[index].file = std::move(file);
        entries_[index].close_on_exec = close_on_exec;
        return static_cast<int>(index);
      }
      wanted = index + 1;
    }
    TRY(make_room(wanted));
  }
}

Result<> FileTable::replace(int descriptor, Ref<OpenFile> file, bool close_on_exec) {
  const auto index = static_cast<unsigned>(descriptor);
  if (index >= limit()) return failure(KernelError::BadFileDescriptor);
  TRY(make_room(index + 1));
  SpinGuard guard(lock_);
  std::swap(entries_[index].file, file);
  entries_[index].close_on_exec = close_on_exec;
  guard.release();
  let_go(std::move(file));
  return {};
}

Result<> FileTable::close(int descriptor) {
  const auto index = static_cast<unsigned>(descriptor);
  Ref<OpenFile> closed;
  SpinGuard guard(lock_);
  if (index >= entries_.size() || !entries_[index].file) return failure(KernelError::BadFileDescriptor);
  std::swap(entries_[index].file, closed);
  guard.release();
  let_go(std::move(closed));
  return {};
}

void FileTable::close_range(unsigned first, unsigned last, bool only_mark) {
  for (unsigned index = first; index <= last; ++index) {
    Ref<OpenFile> closed;
    SpinGuard guard(lock_);
    if (index >= entries_.size()) return;
    if (only_mark) {
      entries_[index].close_on_exec = true;
    } else {
      std::swap(entries_[index].file, closed);
    }
    guard.release();
    let_go(std::move(closed));
  }
}

void FileTable::close_for_exec() {
  for (std::size_t index = 0;; ++index) {
    Ref<OpenFile> closed;
    SpinGuard guard(lock_);
    if (index >= entries_.size()) return;
    if (entries_[index].close_on_exec) std::swap(entries_[index].file, closed);
    entries_[index].close_on_exec = false;
    guard.release();
    let_go(std::move(closed));
  }
}

Result<bool> FileTable::close_on_exec(int descriptor) const {
  const auto index = static_cast<unsigned>(descriptor);
  SpinGuard guard(lock_);
  if (index >= entries_.size() || !entries_[index].file) return failure(KernelError::BadFileDescriptor);
  return entries_[index].close_on_exec;
}

Result<> FileTable::set_close_on_exec(int descriptor, bool value) {
  const auto index = static_cast<unsigned>(descriptor);
  SpinGuard guard(lock_);
  if (index >= entries_.size() || !entries_[index].file) return failure(KernelError::BadFileDescriptor);
  entries_[index].close_on_exec = value;
  return {};
}

Result<Ref<FileTable>> FileTable::clone() const {
  Ref<FileTable> copy = TRY(make_ref<FileTable>());
  for (;;) {
    std::size_t count;
    {
      SpinGuard guard(lock_);
      count = entries_.size();
      while (count > 0 && !entries_[count - 1].file) --count;
      if (count <= copy->entries_.size()) {
        for (std::size_t i = 0; i < count; ++i) {
          copy->entries_[i].file = entries_[i].file;
          copy->entries_[i].close_on_exec = entries_[i].close_on_exec;
        }
        return copy;
      }
    }
    TRY(copy->make_room(count));
  }
}

int FileTable::next_in_use(int from) const {
  SpinGuard guard(lock_);
  for (std::size_t i = static_cast<std::size_t>(std::max(from, 0)); i < entries_.size(); ++i) {
    if (entries_[i].file) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace faultline
