#pragma once
// Cache of a file system's own blocks: bitmaps, inode tables, indirect blocks, directories. File data is not
// here but in the pages of its inode.
//
// A Buffer is in one of these states; only Ready ones can be held by anybody:
//
//     Loading --read ok--> Ready <--> Ready and dirty
//        \--error--> gone (the waiters get the error and find it no more)
//
// What a buffer's bytes mean, and who may change them when, is the file system's business: the lock that
// covers the structure covers its blocks. A block may be changed while it is written; it is dirty again then,
// and the next write takes the rest.
//
// A power failure may come between any two writes. So write_back(), and nothing else, decides what reaches
// the disk, and the file system calls it only while its structures fit together:
//
//     with a log      all dirty blocks go to the log; flush; the mark that they are whole; flush; each to its
//                     own place. Either the mark is there, and the log is written again at the next mount, or
//                     no block has changed.
//     without one     new blocks first, then what refers to them, then those marked WriteOrder::Late, with a
//                     flush between

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "kernel/dev/block_device.hpp"
#include "kernel/fs/write_back.hpp"
#include "kernel/lib/heap.hpp"
#include "kernel/lib/list.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/lib/spin_lock.hpp"
#include "kernel/sync/mutex.hpp"

namespace faultline {

class BufferCache;

/// When a block goes to the disk that has no log.
enum class WriteOrder : std::uint8_t {
  New,    // nothing on the disk refers to it yet
  Early,  // refers to new ones at most
  Late    // refers to what stands in others
};
inline constexpr WriteOrder kWriteOrders[] = {WriteOrder::New, WriteOrder::Early, WriteOrder::Late};

/// A place where the blocks of one write_back are written before they go to their own.
class BufferLog {
 public:
  struct Block {
    std::uint64_t number;
    std::span<std::byte> bytes;
  };
  /// The most blocks that can be written as one.
  virtual std::size_t capacity() const = 0;
  virtual Result<> begin() = 0;
  virtual Result<> add(std::span<const Block> blocks) = 0;
  /// When it returns, a power failure does not lose the blocks that were added since begin().
  virtual Result<> commit() = 0;

 protected:
  ~BufferLog() = default;
};

struct BufferByAge;
struct BufferByNumber;

class Buffer : public ListNode<BufferByAge>, public ListNode<BufferByNumber> {
 public:
  Buffer(std::uint64_t number, std::byte* data) : number_(number), data_(data) {}

 private:
  friend class BufferCache;
  friend class BufferRef;
  static constexpr std::uint32_t kLoading = 0, kReady = 1, kFailed = 2;

  std::uint64_t number_;
  std::byte* data_;
  std::atomic<std::uint32_t> state_ = kLoading;
  std::atomic<std::uint32_t> writing_ = 0;  // 1 while a write is in flight
  std::atomic<bool> dirty_ = false;
  std::atomic<WriteOrder> order_ = WriteOrder::Early;
  bool frozen_ = false;      // belongs to the write_back that runs; under its lock
  std::uint32_t users_ = 0;  // BufferRefs, and threads that wait for it to load; under the cache's lock
  KernelError error_ = KernelError::InputOutput;
};

/// Holds one block in the cache. The bytes are valid while it lives.
class [[nodiscard]] BufferRef {
 public:
  BufferRef() = default;
  BufferRef(BufferRef&& other) noexcept
      : cache_(other.cache_), buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef&& other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef();

  explicit operator bool() const { return buffer_ != nullptr; }
  std::uint64_t number() const { return buffer_->number_; }
  std::span<std::byte> bytes() const;
  /// The object of type T at byte `offset` of the block.
  template <class T>
  T& at(std::size_t offset) const {
    ASSERT(offset % alignof(T) == 0 && offset + sizeof(T) <= bytes().size());
    return *reinterpret_cast<T*>(buffer_->data_ + offset);
  }
  /// The block as an array of 32-bit words.
  std::span<std::uint32_t> words() const {
    return {reinterpret_cast<std::uint32_t*>(buffer_->data_), bytes().size() / sizeof(std::uint32_t)};
  }
  /// To be called after the bytes have been changed. A new block stays one until it is on the disk.
  void mark_dirty(WriteOrder order = WriteOrder::Early) const;

 private:
  friend class BufferCache;
  BufferRef(BufferCache& cache, Buffer& buffer) : cache_(&cache), buffer_(&buffer) {}
  BufferCache* cache_ = nullptr;
  Buffer* buffer_ = nullptr;
};

class BufferCache {
 public:
  /// `block_size`: a power of two, multiple of kSectorSize. `capacity`: blocks kept when nobody uses them.
  BufferCache(BlockDevice& device, std::size_t block_size, std::size_t capacity);
  ~BufferCache();

  std::size_t block_size() const { return block_size_; }

  /// The block, read from the disk if need be. Errors: InputOutput, OutOfMemory.
  Result<BufferRef> read(std::uint64_t number);
  /// The block without reading it, filled with zeroes and dirty: for blocks just allocated.
  Result<BufferRef> zeroed(std::uint64_t number);
  /// The block has been freed: its contents need not reach the disk, and will not after this returns.
  void forget(std::uint64_t number);

  /// From now on write_back() goes through the log, if all dirty blocks fit into it. Null: no more.
  void use_log(BufferLog* log) { log_ = log; }

  /// Writes all dirty blocks, several requests in flight. The first error; blocks that could not be written
  /// stay dirty.
  Result<> write_back();

  std::size_t dirty_count() const { return dirty_count_.load(std::memory_order_relaxed); }
  bool has_dirty() const { return dirty_count() != 0; }
  /// True when so much is dirty that it should be written before more is changed.
  bool is_full_of_dirty() const {
    return dirty_count() >= (log_ != nullptr ? std::min(capacity_, log_->capacity()) : capacity_) / 2;
  }

  /// Memory that the contents of blocks take, of all caches.
  static std::size_t total_bytes();

  /// Gives memory back: drops clean blocks that nobody uses. Returns their number. Does not sleep.
  std::size_t drop_clean(std::size_t count);

 private:
  friend class BufferRef;
  static constexpr std::size_t kBuckets = 256;
  static constexpr std::size_t kBatch = BlockRequest::kMaxPieces;  // blocks of one round of write_back

  enum class Fill : std::uint8_t { FromDisk, WithZeroes };
  Result<BufferRef> get(std::uint64_t number, Fill fill);
  Result<BufferRef> use_existing(Buffer& buffer, Fill fill);
  Result<BufferRef> load(Buffer& buffer, Fill fill);
  Buffer* find(std::uint64_t number) const;
  Result<Buffer*> insert(std::uint64_t number);
  bool drop_one_clean();
  void set_dirty(Buffer& buffer);
  bool set_clean(Buffer& buffer);
  void remove(Buffer& buffer);
  void destroy(Buffer& buffer);
  void release(Buffer& buffer);

  enum class Outcome : std::uint8_t { Written, NotWritten };
  std::size_t freeze();
  std::size_t collect_frozen(std::uint64_t from, std::span<const WriteOrder> orders);
  Result<> write_to_log();
  Result<> write_frozen(WriteOrder order);
  Result<> write_batch(std::size_t count);
  void thaw(Buffer& buffer, Outcome outcome);
  std::uint64_t sector_of(std::uint64_t number) const { return number * (block_size_ / kSectorSize); }
  List<Buffer, BufferByNumber>& bucket(std::uint64_t number) { return by_number_[number % kBuckets]; }

  BlockDevice& device_;
  std::size_t block_size_;
  std::size_t capacity_;
  BufferLog* log_ = nullptr;
  std::atomic<std::size_t> dirty_count_ = 0;

  SpinLock lock_{LockRank::Device};
  std::size_t count_ = 0;
  List<Buffer, BufferByAge> by_age_;  // least recently used first
  List<Buffer, BufferByNumber> by_number_[kBuckets];

  // One write_back at a time: it uses the arrays below. Taken last of the file system's mutexes.
  Mutex write_lock_{LockRank::PageCache};
  Buffer* batch_[kBatch] = {};  // in ascending order of block numbers
  BufferLog::Block logged_[kBatch];
  BlockRequest::Piece pieces_[kBatch];
  std::optional<BlockRequest> requests_[kBatch];
};

inline void BufferCache::set_dirty(Buffer& buffer) {
  if (!buffer.dirty_.exchange(true, std::memory_order_acq_rel))
    dirty_count_.fetch_add(1, std::memory_order_relaxed);
  note_unwritten_change();
}

inline void BufferRef::mark_dirty(WriteOrder order) const {
  if (buffer_->order_.load(std::memory_order_relaxed) != WriteOrder::New)
    buffer_->order_.store(order, std::memory_order_relaxed);
  cache_->set_dirty(*buffer_);
}

inline std::span<std::byte> BufferRef::bytes() const { return {buffer_->data_, cache_->block_size_}; }

}  // namespace faultline
