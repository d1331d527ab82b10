#pragma once
// Errors as values. Everything that can fail returns a Result<T>; TRY propagates the error to the caller.
//
// One enum names every failure the kernel can report, and one table gives each its Linux errno and the words
// that a person sees. The table is the only place where an errno number stands.

#include <cstdint>
#include <expected>
#include <string_view>
#include <type_traits>
#include <utility>

namespace faultline {

// X(name, errno, words). Two names may share an errno where callers inside the kernel must tell them apart.
#define FAULTLINE_KERNEL_ERRORS(X)                                 \
  X(NotPermitted, 1, "operation not permitted")                    \
  X(NoSuchFile, 2, "no such file or directory")                    \
  X(NoSuchProcess, 3, "no such process")                           \
  X(Interrupted, 4, "interrupted by a signal")                     \
  X(InputOutput, 5, "input/output error")                          \
  X(NoSuchAddress, 6, "no such device or address")                 \
  X(ArgumentsTooLong, 7, "argument list too long")                 \
  X(NotExecutable, 8, "not an executable format")                  \
  X(BadFileDescriptor, 9, "bad file descriptor")                   \
  X(NoChild, 10, "no child process")                               \
  X(TryAgain, 11, "try again")                                     \
  X(OutOfMemory, 12, "out of memory")                              \
  X(NotMapped, 12, "address range is not mapped")                  \
  X(AccessDenied, 13, "permission denied")                         \
  X(BadAddress, 14, "bad address")                                 \
  X(Busy, 16, "device or resource busy")                           \
  X(AlreadyExists, 17, "file exists")                              \
  X(AlreadyMapped, 17, "address range is already mapped")          \
  X(CrossDevice, 18, "link crosses file systems")                  \
  X(NoDevice, 19, "no such device")                                \
  X(NotDirectory, 20, "not a directory")                           \
  X(IsDirectory, 21, "is a directory")                             \
  X(InvalidArgument, 22, "invalid argument")                       \
  X(TooManyFilesInSystem, 23, "too many open files in system")     \
  X(TooManyFiles, 24, "too many open files")                       \
  X(NotTerminal, 25, "not a terminal")                             \
  X(TextBusy, 26, "text file busy")                                \
  X(FileTooLarge, 27, "file too large")                            \
  X(NoSpace, 28, "no space left on device")                        \
  X(IllegalSeek, 29, "illegal seek")                               \
  X(ReadOnlyFileSystem, 30, "read-only file system")               \
  X(TooManyLinks, 31, "too many links")                            \
  X(BrokenPipe, 32, "broken pipe")                                 \
  X(OutOfRange, 34, "result out of range")                         \
  X(Deadlock, 35, "would wait for itself")                         \
  X(NameTooLong, 36, "file name too long")                         \
  X(NotImplemented, 38, "function not implemented")                \
  X(DirectoryNotEmpty, 39, "directory not empty")                  \
  X(TooManySymbolicLinks, 40, "too many levels of symbolic links") \
  X(Overflow, 75, "value too large for its type")                  \
  X(NotSocket, 88, "not a socket")                                 \
  X(NotSupported, 95, "operation not supported")                   \
  X(TimedOut, 110, "timed out")                                    \
  X(Corrupt, 117, "file system structure is damaged")              \
  X(BeyondEndOfFile, 14, "page lies beyond the end of its file")   \
  X(RestartSystemCall, 4, "system call to be restarted after a signal")

enum class KernelError : std::uint16_t {
#define FAULTLINE_ERROR_NAME(name, number, words) name,
  FAULTLINE_KERNEL_ERRORS(FAULTLINE_ERROR_NAME)
#undef FAULTLINE_ERROR_NAME
};

/// The positive Linux errno of an error.
constexpr int to_errno(KernelError error) {
  constexpr std::uint8_t kNumbers[] = {
#define FAULTLINE_ERROR_NUMBER(name, number, words) number,
      FAULTLINE_KERNEL_ERRORS(FAULTLINE_ERROR_NUMBER)
#undef FAULTLINE_ERROR_NUMBER
  };
  return kNumbers[static_cast<std::size_t>(error)];
}

/// What happened, for a person; lower case, without a full stop.
constexpr std::string_view describe(KernelError error) {
  constexpr std::string_view kWords[] = {
#define FAULTLINE_ERROR_WORDS(name, number, words) words,
      FAULTLINE_KERNEL_ERRORS(FAULTLINE_ERROR_WORDS)
#undef FAULTLINE_ERROR_WORDS
  };
  return kWords[static_cast<std::size_t>(error)];
}

/// A value or a KernelError. Functions that return one are declared [[nodiscard]].
template <class T = void>
using Result = std::expected<T, KernelError>;

/// The unexpected half of a Result: `return failure(KernelError::BadAddress);`
constexpr std::unexpected<KernelError> failure(KernelError error) { return std::unexpected(error); }

namespace detail {
template <class T>
constexpr T take(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}
}  // namespace detail

}  // namespace faultline

/// Evaluates a Result; yields its value, or returns its error from the enclosing function.
#define TRY(...)                                        \
  ({                                                    \
    auto try_result = (__VA_ARGS__);                    \
    if (!try_result.has_value()) [[unlikely]]           \
      return ::std::unexpected(try_result.error());     \
    ::faultline::detail::take(::std::move(try_result)); \
  })
