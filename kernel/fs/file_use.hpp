#pragma once
// Writing to a file and executing it exclude each other (ETXTBSY): a program whose pages are read from the
// file as it goes would run on as something else. Both are counted in the inode for as long as these objects
// live.
//
// A mapping that outlives its descriptor does not count as a writer.

#include <utility>

#include "kernel/fs/inode.hpp"

namespace faultline {

/// The right to write to a file; the holder keeps the inode alive.
class WriteAccess {
 public:
  WriteAccess() = default;
  /// Error: TextBusy, while a program runs from the file.
  [[nodiscard]] static Result<WriteAccess> to(Inode& file) {
    if (!file.count_writer()) return failure(KernelError::TextBusy);
    return WriteAccess(file);
  }
  WriteAccess(WriteAccess&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  WriteAccess& operator=(WriteAccess&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~WriteAccess() {
    if (file_ != nullptr) file_->uncount_writer();
  }

 private:
  explicit WriteAccess(Inode& file) : file_(&file) {}
  Inode* file_ = nullptr;
};

/// The file that a program runs from. Copies are for those who run the same program.
class ExecutedFile {
 public:
  ExecutedFile() = default;
  /// Error: TextBusy, while the file is open for writing.
  [[nodiscard]] static Result<ExecutedFile> from(Ref<Inode> file) {
    if (!file->count_program()) return failure(KernelError::TextBusy);
    return ExecutedFile(std::move(file));
  }
  ExecutedFile(const ExecutedFile& other) : file_(other.file_) {
    // Never refused: `other` keeps writers out.
    if (file_) (void)file_->count_program();
  }
  ExecutedFile(ExecutedFile&& other) noexcept : file_(std::move(other.file_)) {}
  ExecutedFile& operator=(ExecutedFile other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~ExecutedFile() {
    if (file_) file_->uncount_program();
  }

  const Ref<Inode>& inode() const { return file_; }

 private:
  explicit ExecutedFile(Ref<Inode> file) : file_(std::move(file)) {}
  Ref<Inode> file_;
};

}  // namespace faultline
