#include "kernel/dev/virtio_block.hpp"

#include <algorithm>
#include <bit>

#include "kernel/dev/console.hpp"
#include "kernel/lib/decimal.hpp"
#include "kernel/lib/heap.hpp"
#include "kernel/riscv/machine.hpp"
#include "kernel/riscv/memory_map.hpp"

namespace faultline {
namespace {

constexpr std::uint32_t kFeatureSizeMax = 1u << 1, kFeatureSegMax = 1u << 2, kFeatureReadOnly = 1u << 5,
                        kFeatureBlockSize = 1u << 6, kFeatureFlush = 1u << 9;
constexpr std::uint32_t kRead = 0, kWrite = 1, kFlush = 4;
constexpr std::uint8_t kStatusOk = 0, kStatusUnsupported = 2, kStatusUnanswered = 0xff;
// Offsets in the device's configuration.
constexpr std::size_t kCapacity = 0, kSizeMax = 8, kSegMax = 12, kBlockSize = 20;
constexpr std::size_t kMostBlockBytes = 4096;

// How long a disk that has requests may answer none of them. `disk-timeout=SECONDS` among the boot arguments
// changes it.
constexpr std::uint64_t kDefaultTimeoutSeconds = 30;

std::uint64_t timeout_from(const Machine& machine) {
  constexpr std::uint64_t kShortest = 1, kLongest = 3600;
  std::uint64_t seconds = kDefaultTimeoutSeconds;
  if (const auto text = machine.boot_argument("disk-timeout"))
    seconds = parse_decimal<std::uint64_t>(*text).value_or(kDefaultTimeoutSeconds);
  return std::clamp(seconds, kShortest, kLongest) * kNanosecondsPerSecond;
}

}  // namespace

Result<> VirtioBlock::start() {
  static_assert(sizeof(Shared) <= kPageSize);
  shared_ = platform::allocate_frame(FrameContents::Zeroed);
  if (!shared_) return failure(KernelError::OutOfMemory);
  const std::uint32_t features = TRY(transport_.negotiate(
      kFeatureSizeMax | kFeatureSegMax | kFeatureReadOnly | kFeatureBlockSize | kFeatureFlush));
  read_only_ = (features & kFeatureReadOnly) != 0;
  can_flush_ = (features & kFeatureFlush) != 0;
  TRY(transport_.set_up_queue(queue_, kLeastDescriptors));
  sectors_ = transport_.configuration_u64(kCapacity);
  if ((features & kFeatureBlockSize) != 0) block_bytes_ = transport_.configuration_u32(kBlockSize);
  if (!std::has_single_bit(block_bytes_) || block_bytes_ < kSectorSize || block_bytes_ > kMostBlockBytes)
    return failure(KernelError::NotSupported);
  limits_.pieces = std::min<std::size_t>(limits_.pieces, queue_.size() - kExtraDescriptors);
  if ((features & kFeatureSegMax) != 0)
    limits_.pieces = std::min<std::size_t>(limits_.pieces, transport_.configuration_u32(kSegMax));
  if ((features & kFeatureSizeMax) != 0) limits_.piece_bytes = transport_.configuration_u32(kSizeMax);
  if (limits_.pieces == 0 || limits_.piece_bytes < block_bytes_) return failure(KernelError::NotSupported);
  timeout_ = timeout_from(machine);
  plic::register_handler(transport_.interrupt(), *this);
  transport_.start();
  return {};
}

void VirtioBlock::submit(BlockRequest& request) {
  request.accept();
  if (const Result<> valid = validate(request); !valid) return request.complete(valid);
  if (request.kind() == BlockRequest::Kind::Flush && !can_flush_) return request.complete({});
  if (!limits_.allow(request.pieces())) return request.complete(transfer_in_parts(request));
  for (;;) {
    const std::uint32_t seen = completions_.load(std::memory_order_acquire);
    if (try_start(request)) return;
    platform::wait_while_equal(completions_, seen);
  }
}

// One after the other: what comes here is the rare disk that cannot take what others can.
Result<> VirtioBlock::transfer_in_parts(const BlockRequest& request) {
  const Box<RequestParts> part = TRY(make_box<RequestParts>(request, limits_));
  while (part->next()) {
    BlockRequest transfer(request.kind(), part->sector(), part->pieces());
    submit(transfer);
    TRY(wait(transfer));
  }
  return {};
}

// Starts the watch over the requests in flight, unless it goes on already.
void VirtioBlock::watch() {
  Ticks deadline;
  {
    SpinGuard guard(lock_);
    if (std::exchange(watching_, true)) return;
    deadline = begin_watch(guard);
  }
  watchdog_.start(deadline);
}

// From now on the disk has its time to answer something. When to look whether it has.
Ticks VirtioBlock::begin_watch(const SpinGuard&) {
  answers_seen_ = answers_;
  watched_since_ = clock::board_nanoseconds();
  return clock::now() + clock::from_nanoseconds(timeout_);
}

// The time is up, by a counter that an emulator may have let jump ahead: the board's clock decides. Returns
// when to look again; nothing once there is nothing to wait for.
std::optional<Ticks> VirtioBlock::look_for_silence() {
  List<BlockRequest> finished;
  std::optional<Ticks> again;
  {
    SpinGuard guard(lock_);
    const bool silent = answers_ == answers_seen_;
    if (broken_ || queue_.free_descriptors() == queue_.size()) {
      watching_ = false;
    } else if (!silent) {
      again = begin_watch(guard);
    } else if (clock::board_nanoseconds() - watched_since_ < timeout_) {
      again = clock::now() + clock::from_nanoseconds(timeout_);
    } else {
      watching_ = false;
      give_up(finished, "has not answered for too long");
    }
  }
  complete_all(finished);
  return again;
}

void VirtioBlock::Watchdog::expired() {
  if (const std::optional<Ticks> again = disk_.look_for_silence()) start(*again);
}

// False when the device has no room for it now.
bool VirtioBlock::try_start(BlockRequest& request) {
  SpinGuard guard(lock_);
  if (broken_) {
    guard.release();
    request.complete(failure(KernelError::InputOutput));
    return true;
  }
  const std::size_t needed = request.pieces().size() + 2;
  if (queue_.free_descriptors() < needed) return false;

  const bool reads = request.kind() == BlockRequest::Kind::Read;
  // The queue gives the next head out of the list of free ones: it is known before the chain is built.
  const std::uint16_t head = queue_.next_head();
  Shared& memory = shared();
  memory.headers[head] = {reads                                         ? kRead
                          : request.kind() == BlockRequest::Kind::Write ? kWrite
                                                                        : kFlush,
                          0, request.sector()};
  memory.status[head] = kStatusUnanswered;
  Virtqueue::Segment segments[kMostDescriptors];
  std::size_t count = 0;
  segments[count++] = {*shared_ + offsetof(Shared, headers) + head * sizeof(Header), sizeof(Header), false};
  for (const BlockRequest::Piece& piece : request.pieces())
    segments[count++] = {physical_address(piece.data()), static_cast<std::uint32_t>(piece.size()), reads};
  segments[count++] = {*shared_ + offsetof(Shared, status) + head, 1, true};
  in_flight_[head] = &request;
  queue_.add({segments, count});
  guard.release();
  transport_.notify();
  watch();
  return true;
}

Result<> VirtioBlock::wait(BlockRequest& request) {
  while (!request.done()) platform::wait_while_equal(request.state(), BlockRequest::kPending);
  return request.result();
}

Result<> VirtioBlock::outcome_of(std::uint16_t head) const {
  switch (shared().status[head]) {
    case kStatusOk:
      return {};
    case kStatusUnsupported:
      return failure(KernelError::NotSupported);
    default:
      return failure(KernelError::InputOutput);
  }
}

void VirtioBlock::on_interrupt() {
  if (!transport_.acknowledge_interrupt()) return;
  // Waiters are woken, and their requests perhaps destroyed, only after the lock has been released.
  List<BlockRequest> finished;
  {
    SpinGuard guard(lock_);
    while (!broken_) {
      const auto taken = queue_.take_finished();
      if (!taken) {
        give_up(finished, "broke the virtio protocol");
        break;
      }
      if (!*taken) break;
      ++answers_;
      const std::uint16_t head = (*taken)->head;
      BlockRequest& request = *std::exchange(in_flight_[head], nullptr);
      request.set_result(outcome_of(head));
      finished.push_back(request);
    }
  }
  complete_all(finished);
}

// The device is stopped, so that it writes no memory that others will own, and every request fails.
void VirtioBlock::give_up(List<BlockRequest>& finished, std::string_view why) {
  broken_ = true;
  transport_.stop();
  print("faultline: {}: the disk {} and has been stopped\n", name(), why);
  for (BlockRequest*& slot : in_flight_) {
    if (slot == nullptr) continue;
    slot->set_result(failure(KernelError::InputOutput));
    finished.push_back(*std::exchange(slot, nullptr));
  }
}

void VirtioBlock::complete_all(List<BlockRequest>& finished) {
  if (finished.empty()) return;
  while (BlockRequest* request = finished.pop_front()) request->complete(request->result());
  completions_.fetch_add(1, std::memory_order_release);
  platform::wake_waiters(completions_);
}

}  // namespace faultline
