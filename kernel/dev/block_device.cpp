#include "kernel/dev/block_device.hpp"

#include <cstring>

#include "kernel/lib/vector.hpp"
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
  if (!is_whole_blocks(request.sector(), request.bytes())) return failure(KernelError::InvalidArgument);
  const std::uint64_t count = request.bytes() / kSectorSize;
  if (request.sector() > sectors() || count > sectors() - request.sector())
    return failure(KernelError::OutOfRange);
  if (request.kind() == BlockRequest::Kind::Write && read_only())
    return failure(KernelError::ReadOnlyFileSystem);
  return {};
}

// The whole blocks around some sectors.
struct BlockDevice::Covering {
  std::uint64_t first;
  Vector<std::byte> bytes;
  std::size_t offset;  // of those sectors
  std::span<std::byte> all() { return {bytes.data(), bytes.size()}; }
};

Result<BlockDevice::Covering> BlockDevice::read_covering(std::uint64_t sector, std::size_t bytes) {
  const std::size_t per_block = block_bytes() / kSectorSize;
  const std::size_t before = sector % per_block;
  const std::size_t count = before + bytes / kSectorSize;
  Covering covering{sector - before, {}, before * kSectorSize};
  TRY(covering.bytes.resize((count + per_block - 1) / per_block * block_bytes()));
  TRY(transfer(BlockRequest::Kind::Read, covering.first, covering.all()));
  return covering;
}

Result<> BlockDevice::transfer(BlockRequest::Kind kind, std::uint64_t sector, std::span<std::byte> bytes) {
  const BlockRequest::Piece piece = bytes;
  BlockRequest request(kind, sector, {&piece, 1});
  submit(request);
  return wait(request);
}

Result<> BlockDevice::read(std::uint64_t sector, std::span<std::byte> bytes) {
  if (is_whole_blocks(sector, bytes.size())) return transfer(BlockRequest::Kind::Read, sector, bytes);
  Covering covering = TRY(read_covering(sector, bytes.size()));
  std::memcpy(bytes.data(), covering.bytes.data() + covering.offset, bytes.size());
  return {};
}

Result<> BlockDevice::write(std::uint64_t sector, std::span<const std::byte> bytes) {
  if (is_whole_blocks(sector, bytes.size())) {
    // A request has one kind of piece for both directions; the device only reads the bytes of a Write.
    return transfer(BlockRequest::Kind::Write, sector, {const_cast<std::byte*>(bytes.data()), bytes.size()});
  }
  Covering covering = TRY(read_covering(sector, bytes.size()));
  std::memcpy(covering.bytes.data() + covering.offset, bytes.data(), bytes.size());
  return transfer(BlockRequest::Kind::Write, covering.first, covering.all());
}

Result<> BlockDevice::flush() {
  BlockRequest request(BlockRequest::Kind::Flush, 0, {});
  submit(request);
  return wait(request);
}

}  // namespace faultline
