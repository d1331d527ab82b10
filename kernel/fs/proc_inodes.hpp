#pragma once
// The inodes of /proc. They are made when they are looked up and hold a process's number, not the process:
// one that is gone gives NoSuchProcess.

#include "kernel/fs/inode.hpp"
#include "kernel/fs/proc_files.hpp"

namespace faultline::proc {

/// Where the texts come from; null before register_proc_source.
ProcSource* process_source();
FileSystem& file_system();

/// Inode numbers: those of a process's files are its number and an entry.
namespace number_of {
inline constexpr std::uint64_t kRoot = 1, kSelf = 2, kFrameCounts = 3, kSettings = 4, kFirstSystemFile = 16;
inline constexpr unsigned kProcessShift = 20;
inline constexpr std::uint32_t kProcessDirectory = 0, kFirstProcessFile = 16, kExecutable = 1,
                               kWorkingDirectory = 2, kRootLink = 3, kDescriptors = 4, kPageMap = 5,
                               kFirstDescriptor = 1 << 16;
constexpr std::uint64_t of(ProcessId id, std::uint32_t entry) {
  return static_cast<std::uint64_t>(id) << kProcessShift | entry;
}
constexpr ProcessId process(std::uint64_t number) { return static_cast<ProcessId>(number >> kProcessShift); }
constexpr std::uint32_t entry(std::uint64_t number) {
  return static_cast<std::uint32_t>(number & ((1u << kProcessShift) - 1));
}
}  // namespace number_of

class ProcInode : public Inode {
 public:
  ProcInode(std::uint64_t number, FileKind kind, std::uint32_t permissions);

  FileSystem& file_system() const override { return proc::file_system(); }
  FileKind kind() const override { return kind_; }
  Stat stat() const override;
  std::uint64_t inode_number() const override { return number_; }

 protected:
  ProcessId process() const { return number_of::process(number_); }

 private:
  std::uint64_t number_;
  FileKind kind_;
  std::uint32_t permissions_;
};

// The inodes behind names. Errors: NoSuchFile when the process is gone, OutOfMemory.
Result<Ref<Inode>> system_file(std::size_t index);
Result<Ref<Inode>> self_link();
Result<Ref<Inode>> frame_counts();
/// `entry` is kProcessDirectory or kDescriptors.
Result<Ref<Inode>> process_directory(ProcessId id, std::uint32_t entry);

}  // namespace faultline::proc
