#pragma once
// A transfer cut into parts that a device with narrow limits can take.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/dev/block_device.hpp"

namespace faultline {

/// What a device takes in one request.
struct RequestLimits {
  std::size_t pieces = BlockRequest::kMaxPieces;  // at least 1, at most kMaxPieces
  std::size_t piece_bytes = SIZE_MAX;             // at least kSectorSize

  bool allow(std::span<const BlockRequest::Piece> list) const {
    return list.size() <= pieces && std::all_of(list.begin(), list.end(), [&](const auto& piece) {
             return piece.size() <= piece_bytes;
           });
  }
};

/// Walks through a read or write: each next() is the transfer of the sectors behind the last one's, as many
/// as the limits allow. The pieces lie in this object until the following next().
class RequestParts {
 public:
  RequestParts(const BlockRequest& request, const RequestLimits& limits)
      : rest_(request.pieces()),
        next_sector_(request.sector()),
        limit_(limits.pieces),
        piece_limit_(limits.piece_bytes / kSectorSize * kSectorSize) {}

  /// False when all has been dealt with.
  bool next() {
    sector_ = next_sector_;
    count_ = 0;
    while (count_ < limit_ && !rest_.empty()) {
      const BlockRequest::Piece piece = rest_.front().subspan(offset_);
      const std::size_t size = std::min(piece.size(), piece_limit_);
      pieces_[count_++] = piece.first(size);
      next_sector_ += size / kSectorSize;
      offset_ += size;
      if (offset_ < rest_.front().size()) continue;
      rest_ = rest_.subspan(1);
      offset_ = 0;
    }
    return count_ > 0;
  }

  std::uint64_t sector() const { return sector_; }
  std::span<const BlockRequest::Piece> pieces() const { return {pieces_.data(), count_}; }

 private:
  std::span<const BlockRequest::Piece> rest_;
  std::size_t offset_ = 0;  // of the first piece, how much has been dealt with
  std::uint64_t sector_ = 0, next_sector_;
  std::size_t limit_, piece_limit_;
  std::array<BlockRequest::Piece, BlockRequest::kMaxPieces> pieces_;
  std::size_t count_ = 0;
};

}  // namespace faultline
