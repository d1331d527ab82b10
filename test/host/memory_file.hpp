#pragma once
// A file whose device is a piece of host memory that can refuse to be read or written.

#include <algorithm>
#include <cstring>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "kernel/mm/page_cache.hpp"

namespace faultline::sim {

class MemoryFile : public PageCache {
 public:
  explicit MemoryFile(std::vector<std::byte> contents)
      : PageCache(contents.size()), device_(std::move(contents)) {}
  /// A file of `size` bytes that takes no memory: it reads as pattern_byte of each offset.
  explicit MemoryFile(std::uint64_t size) : PageCache(size), sparse_(true) {}
  ~MemoryFile() override { drop_all_pages(); }

  static Ref<MemoryFile> with_pattern(std::size_t size) {
    std::vector<std::byte> contents(size);
    for (std::size_t i = 0; i < size; ++i) contents[i] = pattern_byte(i);
    return *make_ref<MemoryFile>(std::move(contents));
  }
  /// Never 0, and different in neighbouring pages and bytes.
  static std::byte pattern_byte(std::uint64_t offset) {
    return static_cast<std::byte>(1 + (offset * 31 + offset / kPageSize * 7) % 251);
  }

  /// As write(2) does it.
  Result<> write(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t in_page = offset % kPageSize;
      const std::size_t count = std::min(bytes.size(), kPageSize - in_page);
      Frame frame = TRY(page_for_write(offset / kPageSize, count == kPageSize));
      std::memcpy(frame.bytes().data() + in_page, bytes.data(), count);
      mark_dirty(offset / kPageSize);
      offset += count;
      grow(offset);
      bytes = bytes.subspan(count);
    }
    return {};
  }
  Result<> write(std::uint64_t offset, std::string_view bytes) {
    return write(offset, std::as_bytes(std::span(bytes)));
  }
  /// As truncate(2): the device forgets whole pages only, and keeps what it has of the last one.
  Result<> truncate(std::uint64_t size) {
    TRY(truncate_pages(size));
    std::lock_guard guard(mutex_);
    if (size < device_.size()) resize_device(size, std::byte{0});
    return {};
  }
  /// As read(2) of one byte inside the file.
  Result<std::uint8_t> read(std::uint64_t offset) {
    const Frame frame = TRY(page(offset / kPageSize));
    return static_cast<std::uint8_t>(frame.bytes()[offset % kPageSize]);
  }

  /// What has reached the device.
  std::uint8_t on_device(std::uint64_t offset) {
    std::lock_guard guard(mutex_);
    return offset < device_.size() ? static_cast<std::uint8_t>(device_[offset]) : 0;
  }

  std::atomic<bool> fail_reads = false;
  /// Of which no request can read anything.
  std::atomic<std::uint64_t> unreadable_page = UINT64_MAX;
  std::atomic<bool> fail_writes = false;
  std::atomic<unsigned> reads = 0;
  std::atomic<unsigned> writes = 0;

 protected:
  Result<> read_pages(std::uint64_t first, std::span<const Pa> frames) override {
    ++reads;
    if (fail_reads) return failure(KernelError::InputOutput);
    if (unreadable_page - first < frames.size()) return failure(KernelError::InputOutput);
    std::lock_guard guard(mutex_);
    for (std::size_t n = 0; n < frames.size(); ++n) {
      std::byte* to = platform::frame_bytes(frames[n]);
      for (std::size_t i = 0; i < kPageSize; ++i) {
        const std::uint64_t offset = (first + n) * kPageSize + i;
        to[i] = sparse_ ? pattern_byte(offset) : offset < device_.size() ? device_[offset] : std::byte{0};
      }
    }
    return {};
  }
  Result<> write_pages(std::uint64_t first, std::span<const Pa> frames) override {
    ++writes;
    if (fail_writes) return failure(KernelError::InputOutput);
    std::lock_guard guard(mutex_);
    if (sparse_) return {};
    if (device_.size() < (first + frames.size()) * kPageSize) {
      resize_device((first + frames.size()) * kPageSize, std::byte{0});
    }
    for (std::size_t n = 0; n < frames.size(); ++n) {
      // A program may write through its mapping at the same time.
      const auto* from = reinterpret_cast<const std::uint64_t*>(platform::frame_bytes(frames[n]));
      std::byte* to = device_.data() + (first + n) * kPageSize;
      for (std::size_t i = 0; i < kPageSize / 8; ++i) {
        const std::uint64_t word = __atomic_load_n(from + i, __ATOMIC_RELAXED);
        std::memcpy(to + 8 * i, &word, 8);
      }
    }
    return {};
  }

 private:
  void resize_device(std::uint64_t size, std::byte fill) { device_.resize(*page_ceiling(size), fill); }

  std::mutex mutex_;
  // Whole pages. Past the end of the file the last one has whatever was there before: the cache must zero it.
  std::vector<std::byte> device_;
  bool sparse_ = false;
};

}  // namespace faultline::sim
