#include "kernel/dev/block_device.hpp"

#include "kernel/mm/platform.hpp"

namespace faultline {

void BlockRequest::complete(Result<> result) {
  result_ = result;
  if (submitted_) in_flight_.fetch_sub(1, std::memory_order_relaxed);
  // The waiter may return and destroy the request as soon as it sees the state, so the address alone is used
  // then; a wake-up that finds nobody is harmless.
  const std::atomic<std::uint32_t>& word = state_;
  state_.store(kDone, std::memory_order_release);
  platform::wake_waiters(word);
}

Result<> BlockDevice::validate(const BlockRequest& request) const {
  if (request.kind() == BlockRequest::Kind::Flush) return {};
  if (request.pieces().empty() || request.pieces().size() > BlockRequest::kMaxPieces)
    return failure(KernelError::InvalidArgument);
  for (const BlockRequest::Piece& piece : request.pieces())
    if (piece.empty() || piece.size() % kSectorSize != 0) return failure(KernelError::InvalidArgument);
  const std::uint64_t count = request.bytes() / kSectorSize;
  if (request.sector() > sectors() || count > sectors() - request.sector())
    return failure(KernelError::OutOfRange);
  if (request.kind() == BlockRequest::Kind::Write && read_only())
    return failure(KernelError::ReadOnlyFileSystem);
  return {};
}

Result<> BlockDevice::read(std::uint64_t sector, std::span<std::byte> bytes) {
  const BlockRequest::Piece piece = bytes;
  BlockRequest request(BlockRequest::Kind::Read, sector, {&piece, 1});
  submit(request);
  return wait(request);
}

Result<> BlockDevice::write(std::uint64_t sector, std::span<const std::byte> bytes) {
  // A request has one kind of piece for both directions; the device only reads the bytes of a Write.
  const BlockRequest::Piece piece(const_cast<std::byte*>(bytes.data()), bytes.size());
  BlockRequest request(BlockRequest::Kind::Write, sector, {&piece, 1});
  submit(request);
  return wait(request);
}

Result<> BlockDevice::flush() {
  BlockRequest request(BlockRequest::Kind::Flush, 0, {});
  submit(request);
  return wait(request);
}

}  // namespace faultline
