#include "kernel/mm/postcopy/page_server_source.hpp"

#include <array>

namespace faultline {

namespace {

constexpr std::size_t kHeaderBytes = 16;
using Header = std::array<std::byte, kHeaderBytes>;

Header encode(const PageRequest& request) {
  Header header;
  for (std::size_t i = 0; i < 8; ++i) {
    header[i] = static_cast<std::byte>(request.ipa >> (8 * i));
    header[8 + i] = static_cast<std::byte>(request.page_size >> (8 * i));
  }
  return header;
}

}  // namespace

std::expected<void, SourceError> PageServerSource::fetch(const PageRequest& request,
                                                         std::span<std::byte> out) {
  if (out.size() < request.page_size) return std::unexpected(SourceError::Short);
  const ByteStream::Deadline deadline = connector_->now() + patience_;
  if (auto turn = connector_->begin_turn(deadline); !turn) return turn;
  auto result = exchange(request, out.first(request.page_size), deadline);
  if (!result) stream_ = nullptr;
  connector_->end_turn();
  return result;
}

std::expected<void, SourceError> PageServerSource::exchange(const PageRequest& request,
                                                            std::span<std::byte> out,
                                                            ByteStream::Deadline deadline) {
  if (!stream_) {
    auto connected = connector_->connect(deadline);
    if (!connected) return std::unexpected(connected.error());
    stream_ = std::move(*connected);
  }
  const Header header = encode(request);
  if (auto sent = stream_->send(header, deadline); !sent) return sent;
  Header echo;
  if (auto received = stream_->receive(echo, deadline); !received) return received;
  if (echo != header) return std::unexpected(SourceError::Protocol);
  return stream_->receive(out, deadline);
}

}  // namespace faultline
