#pragma once
// The machine's part of the page sources, for a POSIX host: files read with pread, page servers behind Unix
// sockets.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "kernel/mm/postcopy/memory_file_source.hpp"
#include "kernel/mm/postcopy/page_server_source.hpp"

namespace faultline::host {

/// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

/// Opens `path` at the first read, so that a file that is missing is an Open error of the fetch that needed
/// it.
class PosixFile : public PositionedReader {
 public:
  explicit PosixFile(std::string path) : path_(std::move(path)) {}
  std::expected<std::size_t, SourceError> read_at(std::uint64_t position, std::span<std::byte> out) override;

 private:
  std::string path_;
  std::mutex opening_;
  FileDescriptor file_;
};

/// Connects to a page server that listens at the Unix socket `path`. Time is CLOCK_MONOTONIC.
class UnixSocketConnector : public PageServerConnector {
 public:
  explicit UnixSocketConnector(std::string path) : path_(std::move(path)) {}
  std::expected<Ref<ByteStream>, SourceError> connect(ByteStream::Deadline deadline) override;
  ByteStream::Deadline now() override;
  std::expected<void, SourceError> begin_turn(ByteStream::Deadline deadline) override;
  void end_turn() override;

 private:
  std::string path_;
  std::mutex lock_;
  std::condition_variable turn_ended_;
  bool turn_taken_ = false;
};

/// The usual compositions.
Ref<PageSource> memory_file_source(std::string path, std::uint64_t base);
Ref<PageSource> page_server_source(std::string socket_path, std::chrono::nanoseconds patience);

}  // namespace faultline::host
