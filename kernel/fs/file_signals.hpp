#pragma once
// Signals about files: whom an open file tells that it has become ready (O_ASYNC), or that its lease is to
// end.
//
//   FileOwner     a thread, a process or a group; proc makes them (F_SETOWN)
//   FileSignals   of one open file: its owner, and with which signal it is told (F_SETSIG)
//   AsyncFiles    the open files of one pipe or terminal that tell
//
// One spin lock covers them all. A process is told with it held, so it ranks before process_lock.

#include <atomic>
#include <cstdint>

#include "kernel/lib/list.hpp"
#include "kernel/lib/ref.hpp"

namespace faultline {

using ProcessId = std::int32_t;

/// What has happened; the numbers are the si_code of the signal (POLL_IN and so on).
enum class FileEvent : std::uint8_t { Readable = 1, Writable = 2, Message = 3 };

struct FileNotice {
  FileEvent event;
  int descriptor;       // that the file was known by when it was asked to tell
  std::uint8_t signal;  // 0: SIGIO, which says nothing more
};

struct FileOwnerName {
  enum class Kind : std::int32_t { Thread, Process, Group };  // F_OWNER_TID and so on
  Kind kind = Kind::Process;
  ProcessId id = 0;  // 0: nobody
};

class FileOwner : public RefCounted {
 public:
  /// The name, with 0 for the number once the owner is gone.
  virtual FileOwnerName name() const = 0;
  /// Sends the signal, if whoever made this the owner may.
  virtual void tell(const FileNotice& notice) const = 0;
};

class FileSignals : public ListNode<> {
 public:
  FileSignals() = default;
  FileSignals(const FileSignals&) = delete;
  FileSignals& operator=(const FileSignals&) = delete;
  ~FileSignals() { end(); }

  Ref<FileOwner> owner() const;
  void set_owner(Ref<FileOwner> owner);
  std::uint8_t signal() const;
  void set_signal(std::uint8_t number);

  void tell(FileEvent event, int descriptor) const;

  /// Leaves the AsyncFiles that it is in, if any.
  void stop();
  /// The same for an open file that nobody can reach any more.
  void end() {
    if (linked()) stop();
  }

 private:
  friend class AsyncFiles;
  Ref<FileOwner> owner_;
  int descriptor_ = -1;
  std::uint8_t signal_ = 0;
  bool reads_ = false, writes_ = false;
};

class AsyncFiles {
 public:
  /// From now on the file tells what concerns readers, or writers, or both.
  void add(FileSignals& file, int descriptor, bool reads, bool writes);
  /// Has the files tell. Cheap when there are none. No spin lock may be held.
  void notify(FileEvent event) {
    if (any_.load(std::memory_order_relaxed)) tell(event);
  }

 private:
  void tell(FileEvent event);

  List<FileSignals> files_;
  std::atomic<bool> any_ = false;  // have ever been
};

}  // namespace faultline
