#include "kernel/lib/lock_rank.hpp"

#include <algorithm>

#include "kernel/lib/format.hpp"
#include "kernel/lib/panic.hpp"

namespace faultline {

std::string_view name_of(LockRank rank) {
  switch (rank) {
    case LockRank::FileLease:
      return "FileLease";
    case LockRank::FileSignals:
      return "FileSignals";
    case LockRank::Process:
      return "Process";
    case LockRank::FileSystem:
      return "FileSystem";
    case LockRank::Inode:
      return "Inode";
    case LockRank::InodeState:
      return "InodeState";
    case LockRank::FileMappings:
      return "FileMappings";
    case LockRank::Futex:
      return "Futex";
    case LockRank::UpperPageTable:
      return "UpperPageTable";
    case LockRank::PageTable:
      return "PageTable";
    case LockRank::PageCache:
      return "PageCache";
    case LockRank::PollQueue:
      return "PollQueue";
    case LockRank::Condition:
      return "Condition";
    case LockRank::WaitQueue:
      return "WaitQueue";
    case LockRank::Scheduler:
      return "Scheduler";
    case LockRank::Device:
      return "Device";
    case LockRank::HeapMagazine:
      return "HeapMagazine";
    case LockRank::Heap:
      return "Heap";
    case LockRank::FrameAllocator:
      return "FrameAllocator";
    case LockRank::Console:
      return "Console";
    case LockRank::Leaf:
      return "Leaf";
  }
  return "?";
}

void HeldRanks::acquire(LockRank rank) {
  const auto held = ranks_.begin() + static_cast<std::ptrdiff_t>(count_);
  if (const auto highest = std::max_element(ranks_.begin(), held); highest != held && *highest >= rank) {
    SpanSink text(message_space());
    format_to(text, "lock of rank {} wanted while one of rank {} is held", name_of(rank), name_of(*highest));
    panic(message_.data());
  }
  acquire_without_waiting(rank);
}

void HeldRanks::acquire_without_waiting(LockRank rank) {
  ASSERT(count_ < kDeepest);
  ranks_[count_++] = rank;
}

void HeldRanks::release(LockRank rank) {
  const auto held = ranks_.begin() + static_cast<std::ptrdiff_t>(count_);
  const auto released = std::find(ranks_.begin(), held, rank);
  if (released == held) panic("a lock is released by a hart that does not hold it");
  std::copy(released + 1, held, released);
  --count_;
}

void HeldRanks::check_none_held() {
  if (count_ == 0) return;
  SpanSink text(message_space());
  format_to(text, "a thread may sleep while a lock of rank {} is held", name_of(ranks_[count_ - 1]));
  panic(message_.data());
}

}  // namespace faultline
