#pragma once
// Pages from a page server over a byte stream (on the host, a Unix socket).
//
//   request   u64 address, u64 page size                 both little-endian
//   reply     u64 address, u64 page size, page bytes     the first two echo the request
//
// Requests of several threads take turns on one connection. After any failure the stream's position is
// unknown, so the connection is dropped and the next request makes a new one: a late or cut-off reply can
// never be taken for the answer to another request.

#include "kernel/lib/duration.hpp"
#include "kernel/mm/page_source.hpp"

namespace faultline {

/// A connected byte stream; the machine's part of PageServerSource. Each call moves all the bytes or fails:
/// Short when the peer closed the stream, TimedOut when `deadline` passed first, Io otherwise.
class ByteStream : public RefCounted {
 public:
  using Deadline = Duration;  // on the connector's own monotonic clock
  [[nodiscard]] virtual std::expected<void, SourceError> send(std::span<const std::byte> bytes,
                                                              Deadline deadline) = 0;
  [[nodiscard]] virtual std::expected<void, SourceError> receive(std::span<std::byte> bytes,
                                                                 Deadline deadline) = 0;
};

/// Makes connections to the page server and tells the time for deadlines. Also serialises the turns of
/// requests, since waiting for a turn is a sleep, and how to sleep is the machine's matter.
class PageServerConnector : public RefCounted {
 public:
  [[nodiscard]] virtual std::expected<Ref<ByteStream>, SourceError> connect(
      ByteStream::Deadline deadline) = 0;
  virtual ByteStream::Deadline now() = 0;
  /// Begins a turn: returns when no other thread has one. TimedOut after `deadline`.
  [[nodiscard]] virtual std::expected<void, SourceError> begin_turn(ByteStream::Deadline deadline) = 0;
  virtual void end_turn() = 0;
};

class PageServerSource : public PageSource {
 public:
  /// Every fetch, the wait for its turn included, ends within `patience`.
  PageServerSource(Ref<PageServerConnector> connector, Duration patience)
      : connector_(std::move(connector)), patience_(patience) {}

  [[nodiscard]] std::expected<void, SourceError> fetch(const PageRequest& request,
                                                       std::span<std::byte> out) override;

 private:
  std::expected<void, SourceError> exchange(const PageRequest& request, std::span<std::byte> out,
                                            ByteStream::Deadline deadline);

  Ref<PageServerConnector> connector_;
  Duration patience_;
  Ref<ByteStream> stream_;  // touched only by the thread whose turn it is
};

}  // namespace faultline
