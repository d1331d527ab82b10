#pragma once
// A path that a system call was given: its characters, and where it starts.

#include <cstdint>

#include "kernel/fs/path.hpp"
#include "kernel/proc/process.hpp"
#include "kernel/proc/user_memory.hpp"

namespace faultline::system_call {

// Flags of the *at calls.
inline constexpr std::uint32_t kNoFollow = 0x100, kRemoveDirectory = 0x200, kEffectiveAccess = 0x200,
                               kFollow = 0x400, kNoAutomount = 0x800, kEmptyPath = 0x1000, kSyncType = 0x6000;

/// The open file of a descriptor of the current process. Error: BadFileDescriptor.
inline Result<Ref<OpenFile>> open_file(int descriptor) { return Process::current().files->get(descriptor); }

/// The same for calls that are about the file's contents or attributes, which O_PATH gives no access to.
inline Result<> check_accessible(const OpenFile& file) {
  if (file.flags().has(OpenFlags::kPath)) return failure(KernelError::BadFileDescriptor);
  return {};
}
inline Result<Ref<OpenFile>> accessible_file(int descriptor) {
  Ref<OpenFile> file = TRY(open_file(descriptor));
  TRY(check_accessible(*file));
  return file;
}

class UserPath {
 public:
  /// Copies the path in. A relative one starts at `directory`, a descriptor or kWorkingDirectory. Errors:
  /// BadAddress, NameTooLong; BadFileDescriptor and NotDirectory for a relative path.
  static Result<UserPath> from(int directory, std::uint64_t address);

  std::string_view view() const { return string_.view(); }
  PathContext context() const {
    return {.root = root_.get(),
            .start = start_.get(),
            .credentials = Process::current().credentials.effective()};
  }
  /// The file that the path names; with kEmptyPath in `flags` and an empty path, what the descriptor stands
  /// for.
  Result<Ref<Inode>> inode(FollowLast follow, std::uint32_t flags = 0) const;

 private:
  explicit UserPath(UserString string) : string_(std::move(string)) {}

  UserString string_;
  Ref<Inode> root_;
  Ref<Inode> start_;  // for an empty path any file
};

}  // namespace faultline::system_call
