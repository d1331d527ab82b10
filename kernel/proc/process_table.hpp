#pragma once
// All processes, by number, and all process groups.

#include <array>

#include "kernel/proc/process.hpp"

namespace faultline {

/// Every process from fork until its parent has waited for it. Under process_lock.
class ProcessTable {
 public:
  /// Takes over a reference, which lasts until remove().
  void add(Ref<Process> process);
  /// Hands the reference back; drop it without process_lock.
  [[nodiscard]] Ref<Process> remove(Process& process);

  /// The process with this number, or null. Any number may be asked for.
  Process* find(ProcessId id) const;
  /// The process with the smallest number greater than `after`, or null.
  Process* next(ProcessId after) const;
  /// The process that has a thread with this number, or has it itself; or null.
  Process* find_by_thread(ProcessId id) const;
  /// The thread with this number, or null.
  UserThread* find_thread(ProcessId id) const;

  void add(ProcessGroup& group) { groups_.push_back(group); }
  ProcessGroup* find_group(ProcessId id) const;

  Process& init() const { return *init_; }
  unsigned count() const { return count_; }

 private:
  std::array<Process*, kMaxProcessId + 1> processes_ = {};  // indexed by number
  List<ProcessGroup, GroupTableTag> groups_;
  Process* init_ = nullptr;  // the first one added; inherits orphans
  unsigned count_ = 0;
};

extern ProcessTable process_table;

}  // namespace faultline
