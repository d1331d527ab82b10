#pragma once
// Many small transfers of one direction as few requests, all in flight together.

#include <optional>
#include <span>

#include "kernel/dev/block_device.hpp"

namespace faultline {

/// Neighbours on the disk become one request. Small enough for a kernel stack.
///
///     TransferBatch batch(device, BlockRequest::Kind::Read);
///     batch.add(sector, memory); ...
///     TRY(batch.finish());
class TransferBatch {
 public:
  TransferBatch(BlockDevice& device, BlockRequest::Kind kind) : device_(device), kind_(kind) {}
  TransferBatch(const TransferBatch&) = delete;
  TransferBatch& operator=(const TransferBatch&) = delete;
  ~TransferBatch() { (void)finish(); }

  /// Adds a transfer; `memory` as BlockRequest's pieces. May sleep.
  void add(std::uint64_t sector, std::span<std::byte> memory) {
    const bool neighbour = piece_count_ > first_piece_ && sector == next_sector_;
    if (neighbour && pieces_[piece_count_ - 1].data() + pieces_[piece_count_ - 1].size() == memory.data()) {
      pieces_[piece_count_ - 1] = {pieces_[piece_count_ - 1].data(),
                                   pieces_[piece_count_ - 1].size() + memory.size()};
    } else {
      if (!neighbour) submit();
      if (piece_count_ - first_piece_ == BlockRequest::kMaxPieces) submit();
      // A request can always be started for the pieces that are added: submit() never finds the array full.
      if (piece_count_ == kPieces || request_count_ == kRequests) wait();
      if (piece_count_ == first_piece_) first_sector_ = sector;
      pieces_[piece_count_++] = memory;
    }
    next_sector_ = sector + memory.size() / kSectorSize;
  }

  /// Waits for all of them. Returns the first error of any since the last finish().
  [[nodiscard]] Result<> finish() {
    wait();
    return std::exchange(outcome_, Result<>());
  }

 private:
  static constexpr std::size_t kPieces = 64, kRequests = 12;

  // Starts the request that the pieces since first_piece_ make up.
  void submit() {
    if (piece_count_ == first_piece_) return;
    const std::span<const BlockRequest::Piece> pieces(pieces_ + first_piece_, piece_count_ - first_piece_);
    requests_[request_count_].emplace(kind_, first_sector_, pieces);
    device_.submit(*requests_[request_count_++]);
    first_piece_ = piece_count_;
  }

  void wait() {
    submit();
    for (std::size_t i = 0; i < request_count_; ++i) {
      const Result<> result = device_.wait(*requests_[i]);
      if (outcome_ && !result) outcome_ = result;
      requests_[i].reset();
    }
    piece_count_ = first_piece_ = request_count_ = 0;
  }

  BlockDevice& device_;
  BlockRequest::Kind kind_;
  std::size_t piece_count_ = 0, first_piece_ = 0, request_count_ = 0;
  std::uint64_t first_sector_ = 0, next_sector_ = 0;
  Result<> outcome_;
  BlockRequest::Piece pieces_[kPieces];
  std::optional<BlockRequest> requests_[kRequests];
};

}  // namespace faultline
