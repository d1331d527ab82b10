// Waiting for files: ppoll and pselect6.
//
// Both turn into a list of descriptors with the events wanted of each, poll all of it, and sleep until one of
// the files says that something has changed. With only a timeout they are a sleep that signals interrupt.

#include "kernel/fs/poll.hpp"

#include "kernel/dev/clock.hpp"
#include "kernel/proc/signal.hpp"
#include "kernel/syscall/sleep_deadline.hpp"
#include "kernel/syscall/system_calls.hpp"
#include "kernel/syscall/user_path.hpp"

namespace faultline::system_call {

namespace {

using Descriptors = Vector<abi::PollDescriptor>;

// What poll reports whether it was asked for or not.
constexpr std::uint32_t kAlways = PollEvents::kError | PollEvents::kHangUp | PollEvents::kInvalid;
// The normal-data bits are the plain ones under other names (POLLRDNORM, POLLWRNORM).
constexpr std::uint32_t kReadNormal = 0x040, kWriteNormal = 0x100;

// Conditions that hold of those in `wanted`. The file is kept in `held` while the waiter watches it.
std::uint32_t poll_one(const abi::PollDescriptor& entry, PollWaiter* waiter, Vector<Ref<OpenFile>>& held) {
  if (entry.descriptor < 0) return 0;
  Result<Ref<OpenFile>> file = open_file(entry.descriptor);
  if (!file) return PollEvents::kInvalid;
  std::uint32_t found = (*file)->poll(waiter).bits();
  if ((found & PollEvents::kReadable) != 0) found |= kReadNormal;
  if ((found & PollEvents::kWritable) != 0) found |= kWriteNormal;
  // Room was made before.
  if (waiter != nullptr) (void)held.push_back(std::move(*file));
  return found & (static_cast<std::uint16_t>(entry.wanted) | kAlways);
}

// Fills in what holds; returns how many entries have something, after waiting until one has or `deadline`.
Result<std::uint64_t> wait_for_any(Descriptors& descriptors, Ticks deadline) {
  Vector<Ref<OpenFile>> held;  // outlives the waiter
  TRY(held.reserve(descriptors.size()));
  PollWaiter waiter;
  bool watching = true;  // the first round registers the waiter, unless something is ready by then
  for (;;) {
    std::uint64_t ready = 0;
    for (abi::PollDescriptor& entry : descriptors) {
      entry.found =
          static_cast<std::int16_t>(poll_one(entry, watching && ready == 0 ? &waiter : nullptr, held));
      if (entry.found != 0) ++ready;
    }
    if (ready > 0) return ready;
    watching = false;
    const Result<> waited = waiter.wait(deadline.is_forever() ? std::nullopt : std::optional(deadline));
    if (!waited && waited.error() == KernelError::TimedOut) return 0;
    if (!waited) return failure(waited.error());
  }
}

Result<Ticks> deadline_of(UserPointer<abi::TimeSpec> timeout) {
  if (timeout.null()) return Ticks::forever();
  return begin_wait(TRY(abi::to_ticks(TRY(timeout.read()))));
}

// Linux stores the time that is left; a program that does not want that passes a copy, as libc does.
void finish_timeout(const Value& result, UserPointer<abi::TimeSpec> timeout, Ticks deadline) {
  end_wait(result, deadline);
  if (timeout.null() || (!result && result.error() == KernelError::Interrupted)) return;
  (void)timeout.write(abi::to_time_spec(deadline - clock::now()));
}

Result<> apply_mask(UserPointer<SignalSet> mask, std::uint64_t mask_bytes) {
  if (mask.null()) return {};
  if (mask_bytes != abi::kSignalSetBytes) return failure(KernelError::InvalidArgument);
  signals::set_blocked_temporarily(TRY(mask.read()));
  return {};
}

}  // namespace

Value ppoll(Address address, std::uint32_t count, UserPointer<abi::TimeSpec> timeout,
            UserPointer<SignalSet> mask, std::uint64_t mask_bytes) {
  if (count > FileTable::limit()) return failure(KernelError::InvalidArgument);
  const Ticks deadline = TRY(deadline_of(timeout));
  Descriptors descriptors;
  TRY(descriptors.resize(count));
  const std::span<abi::PollDescriptor> list(descriptors.data(), count);
  TRY(copy_from_user(std::as_writable_bytes(list), address));
  TRY(apply_mask(mask, mask_bytes));
  const Value ready = wait_for_any(descriptors, deadline);
  finish_timeout(ready, timeout, deadline);
  if (!ready) return ready;
  TRY(copy_to_user(address, std::as_bytes(list)));
  return ready;
}

namespace {

/// select's three sets of descriptors.
class DescriptorSets {
 public:
  static constexpr int kMaxDescriptors = 1024;  // FD_SETSIZE
  // What makes a descriptor readable, writable, exceptional.
  static constexpr std::uint32_t kEvents[3] = {
      PollEvents::kReadable | PollEvents::kHangUp | PollEvents::kError,
      PollEvents::kWritable | PollEvents::kError,
      PollEvents::kPriority,
  };

  Result<> read(const Address (&addresses)[3], int count) {
    bytes_ = static_cast<std::size_t>(count + 63) / 64 * 8;
    for (std::size_t set = 0; set < 3; ++set) {
      const std::span<std::byte> bytes = std::as_writable_bytes(std::span(words_[set])).first(bytes_);
      if (addresses[set] != 0) TRY(copy_from_user(bytes, addresses[set]));
    }
    return {};
  }
  Result<> write(const Address (&addresses)[3]) const {
    for (std::size_t set = 0; set < 3; ++set) {
      const std::span<const std::byte> bytes = std::as_bytes(std::span(words_[set])).first(bytes_);
      if (addresses[set] != 0) TRY(copy_to_user(addresses[set], bytes));
    }
    return {};
  }
  std::uint32_t wanted(int descriptor) const {
    std::uint32_t events = 0;
    for (std::size_t set = 0; set < 3; ++set) {
      if ((words_[set][descriptor / 64] >> (descriptor % 64) & 1) != 0) events |= kEvents[set];
    }
    return events;
  }
  /// Leaves in the sets only what was found; returns how many members they keep.
  std::uint64_t keep(const Descriptors& found) {
    const DescriptorSets asked = *this;
    words_ = {};
    std::uint64_t kept = 0;
    for (const abi::PollDescriptor& entry : found) {
      for (std::size_t set = 0; set < 3; ++set) {
        const std::uint64_t bit = std::uint64_t{1} << (entry.descriptor % 64);
        const std::size_t word = static_cast<std::size_t>(entry.descriptor) / 64;
        if ((asked.words_[set][word] & bit) == 0 ||
            (static_cast<std::uint16_t>(entry.found) & kEvents[set]) == 0)
          continue;
        words_[set][word] |= bit;
        ++kept;
      }
    }
    return kept;
  }

 private:
  std::size_t bytes_ = 0;
  std::array<std::array<std::uint64_t, kMaxDescriptors / 64>, 3> words_ = {};
};

// The descriptors that are in any set. Error: BadFileDescriptor when one of them is not open.
Result<> list_descriptors(const DescriptorSets& sets, int count, Descriptors& list) {
  for (int descriptor = 0; descriptor < count; ++descriptor) {
    const std::uint32_t events = sets.wanted(descriptor);
    if (events == 0) continue;
    TRY(open_file(descriptor));
    TRY(list.push_back({.descriptor = descriptor, .wanted = static_cast<std::int16_t>(events), .found = 0}));
  }
  return {};
}

Value select(DescriptorSets& sets, int count, Ticks deadline) {
  Descriptors list;
  TRY(list_descriptors(sets, count, list));
  TRY(wait_for_any(list, deadline));
  return sets.keep(list);
}

}  // namespace

Value pselect6(int count, Address read, Address write, Address except, UserPointer<abi::TimeSpec> timeout,
               UserPointer<abi::SignalMaskArgument> mask) {
  if (count < 0) return failure(KernelError::InvalidArgument);
  count = std::min(count, DescriptorSets::kMaxDescriptors);
  const Ticks deadline = TRY(deadline_of(timeout));
  const Address addresses[] = {read, write, except};
  DescriptorSets sets;
  TRY(sets.read(addresses, count));
  if (!mask.null()) {
    const abi::SignalMaskArgument argument = TRY(mask.read());
    TRY(apply_mask(UserPointer<SignalSet>(argument.mask), argument.size));
  }
  const Value ready = select(sets, count, deadline);
  finish_timeout(ready, timeout, deadline);
  if (!ready) return ready;
  TRY(sets.write(addresses));
  return ready;
}

}  // namespace faultline::system_call
