#include "kernel/fs/buffer_cache.hpp"

#include <algorithm>
#include <cstring>

#include "kernel/mm/platform.hpp"

namespace faultline {
namespace {

std::atomic<std::size_t> bytes_in_caches = 0;

}  // namespace

std::size_t BufferCache::total_bytes() { return bytes_in_caches.load(std::memory_order_relaxed); }

BufferRef::~BufferRef() {
  if (buffer_ != nullptr) cache_->release(*buffer_);
}

BufferCache::BufferCache(BlockDevice& device, std::size_t block_size, std::size_t capacity)
    : device_(device), block_size_(block_size), capacity_(capacity) {
  ASSERT(block_size % kSectorSize == 0 && capacity > 0);
}

BufferCache::~BufferCache() {
  while (!by_age_.empty()) {
    Buffer& buffer = by_age_.front();
    ASSERT(buffer.users_ == 0);
    remove(buffer);
    destroy(buffer);
  }
}

Result<BufferRef> BufferCache::read(std::uint64_t number) { return get(number, Fill::FromDisk); }
Result<BufferRef> BufferCache::zeroed(std::uint64_t number) { return get(number, Fill::WithZeroes); }

Result<BufferRef> BufferCache::get(std::uint64_t number, Fill fill) {
  may_sleep();
  SpinGuard guard(lock_);
  if (Buffer* existing = find(number)) {
    ++existing->users_;
    static_cast<ListNode<BufferByAge>&>(*existing).unlink();
    by_age_.push_back(*existing);
    guard.release();
    return use_existing(*existing, fill);
  }
  // When all are dirty or in use the cache grows: writing them here could tear a change in two. Who changes
  // much asks is_full_of_dirty() first.
  while (count_ >= capacity_ && drop_one_clean()) {
  }
  Result<Buffer*> inserted = insert(number);
  // Writing pages back must not fail for want of the memory that it is to free.
  while (!inserted && drop_one_clean()) inserted = insert(number);
  Buffer* const fresh = TRY(inserted);
  guard.release();
  return load(*fresh, fill);
}

Result<BufferRef> BufferCache::use_existing(Buffer& buffer, Fill fill) {
  while (buffer.state_.load(std::memory_order_acquire) == Buffer::kLoading)
    platform::wait_while_equal(buffer.state_, Buffer::kLoading);
  if (buffer.state_.load(std::memory_order_acquire) == Buffer::kFailed) {
    const KernelError error = buffer.error_;
    release(buffer);
    return failure(error);
  }
  BufferRef ref(*this, buffer);
  if (fill == Fill::WithZeroes) {
    std::memset(buffer.data_, 0, block_size_);
    buffer.order_.store(WriteOrder::New, std::memory_order_relaxed);
    ref.mark_dirty();
  }
  return ref;
}

Result<BufferRef> BufferCache::load(Buffer& buffer, Fill fill) {
  Result<> outcome;
  if (fill == Fill::FromDisk) {
    outcome = device_.read(sector_of(buffer.number_), {buffer.data_, block_size_});
  } else {
    std::memset(buffer.data_, 0, block_size_);
    buffer.order_.store(WriteOrder::New, std::memory_order_relaxed);
    set_dirty(buffer);
  }
  if (!outcome) {
    // Out of the index before anybody can see the failure: the next reader tries the disk again.
    SpinGuard guard(lock_);
    buffer.error_ = outcome.error();
    remove(buffer);
  }
  buffer.state_.store(outcome ? Buffer::kReady : Buffer::kFailed, std::memory_order_release);
  platform::wake_waiters(buffer.state_);
  if (outcome) return BufferRef(*this, buffer);
  release(buffer);
  return failure(outcome.error());
}

Buffer* BufferCache::find(std::uint64_t number) const {
  for (Buffer& buffer : by_number_[number % kBuckets])
    if (buffer.number_ == number) return &buffer;
  return nullptr;
}

Result<Buffer*> BufferCache::insert(std::uint64_t number) {
  void* data = heap_allocate(block_size_, 64);
  if (data == nullptr) return failure(KernelError::OutOfMemory);
  Result<Box<Buffer>> buffer = make_box<Buffer>(number, static_cast<std::byte*>(data));
  if (!buffer) {
    heap_release(data, block_size_, 64);
    return failure(KernelError::OutOfMemory);
  }
  bytes_in_caches.fetch_add(block_size_, std::memory_order_relaxed);
  Buffer* inserted = buffer->release();
  inserted->users_ = 1;
  by_age_.push_back(*inserted);
  bucket(number).push_back(*inserted);
  ++count_;
  return inserted;
}

void BufferCache::remove(Buffer& buffer) {
  static_cast<ListNode<BufferByAge>&>(buffer).unlink();
  static_cast<ListNode<BufferByNumber>&>(buffer).unlink();
  --count_;
}

void BufferCache::destroy(Buffer& buffer) {
  heap_release(buffer.data_, block_size_, 64);
  bytes_in_caches.fetch_sub(block_size_, std::memory_order_relaxed);
  Box<Buffer>{&buffer}.reset();
}

void BufferCache::release(Buffer& buffer) {
  SpinGuard guard(lock_);
  ASSERT(buffer.users_ > 0);
  const bool gone = --buffer.users_ == 0 && !static_cast<ListNode<BufferByAge>&>(buffer).linked();
  guard.release();
  if (gone) destroy(buffer);
}

bool BufferCache::drop_one_clean() {
  for (Buffer& buffer : by_age_) {
    if (buffer.users_ != 0 || buffer.dirty_.load(std::memory_order_acquire)) continue;
    remove(buffer);
    destroy(buffer);
    return true;
  }
  return false;
}

std::size_t BufferCache::drop_clean(std::size_t count) {
  SpinGuard guard(lock_);
  std::size_t dropped = 0;
  while (dropped < count && drop_one_clean()) ++dropped;
  return dropped;
}

bool BufferCache::set_clean(Buffer& buffer) {
  if (!buffer.dirty_.exchange(false, std::memory_order_acq_rel)) return false;
  dirty_count_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

void BufferCache::forget(std::uint64_t number) {
  SpinGuard guard(lock_);
  Buffer* buffer = find(number);
  if (buffer == nullptr) return;
  ++buffer->users_;
  set_clean(*buffer);
  guard.release();
  // A write that is under way must end before the block gets a new owner, whose own write it could overtake.
  while (buffer->writing_.load(std::memory_order_acquire) != 0)
    platform::wait_while_equal(buffer->writing_, 1);
  SpinGuard again(lock_);
  set_clean(*buffer);  // that write may have failed
  if (--buffer->users_ != 0) return;
  if (static_cast<ListNode<BufferByAge>&>(*buffer).linked()) remove(*buffer);
  destroy(*buffer);
}

Result<> BufferCache::write_back() {
  MutexGuard guard(write_lock_);
  const std::size_t count = freeze();
  if (count == 0) return {};
  const bool logged = log_ != nullptr && count <= log_->capacity();
  Result<> outcome;
  if (logged) outcome = write_to_log();
  // What the log has may go to its place in any order, whatever fails.
  const bool in_log = logged && outcome;
  for (bool first = true; const WriteOrder order : kWriteOrders) {
    if (!std::exchange(first, false) && outcome && !logged) outcome = device_.flush();
    if (!outcome && !in_log) break;
    const Result<> written = write_frozen(order);
    if (outcome) outcome = written;
  }
  while (const std::size_t left = collect_frozen(0, kWriteOrders))
    for (std::size_t i = 0; i < left; ++i) thaw(*batch_[i], Outcome::NotWritten);
  return outcome;
}

// Takes all dirty blocks for the write_back that begins; each gets a user more.
std::size_t BufferCache::freeze() {
  SpinGuard guard(lock_);
  std::size_t count = 0;
  for (Buffer& buffer : by_age_) {
    // Dirty is cleared before the bytes leave: a change from now on makes the block dirty again.
    if (!set_clean(buffer)) continue;
    buffer.frozen_ = true;
    buffer.writing_.store(1, std::memory_order_relaxed);
    ++buffer.users_;
    ++count;
  }
  return count;
}

void BufferCache::thaw(Buffer& buffer, Outcome outcome) {
  if (outcome == Outcome::NotWritten) {
    set_dirty(buffer);
  } else if (buffer.order_.load(std::memory_order_relaxed) == WriteOrder::New) {
    buffer.order_.store(WriteOrder::Early, std::memory_order_relaxed);
  }
  buffer.frozen_ = false;
  buffer.writing_.store(0, std::memory_order_release);
  platform::wake_waiters(buffer.writing_);
  release(buffer);
}

// Fills batch_ with the first frozen blocks from number `from` on, in ascending order.
std::size_t BufferCache::collect_frozen(std::uint64_t from, std::span<const WriteOrder> orders) {
  SpinGuard guard(lock_);
  std::size_t count = 0;
  for (Buffer& buffer : by_age_) {
    if (buffer.number_ < from || !buffer.frozen_) continue;
    if (std::ranges::find(orders, buffer.order_.load(std::memory_order_relaxed)) == orders.end()) continue;
    if (count == kBatch && batch_[count - 1]->number_ < buffer.number_) continue;
    Buffer** place =
        std::upper_bound(batch_, batch_ + count, buffer.number_,
                         [](std::uint64_t number, const Buffer* b) { return number < b->number_; });
    if (count < kBatch) ++count;
    std::move_backward(place, batch_ + count - 1, batch_ + count);
    *place = &buffer;
  }
  return count;
}

Result<> BufferCache::write_to_log() {
  TRY(log_->begin());
  std::uint64_t from = 0;
  while (const std::size_t count = collect_frozen(from, kWriteOrders)) {
    for (std::size_t i = 0; i < count; ++i)
      logged_[i] = {batch_[i]->number_, {batch_[i]->data_, block_size_}};
    TRY(log_->add(std::span(logged_).first(count)));
    from = batch_[count - 1]->number_ + 1;
  }
  return log_->commit();
}

Result<> BufferCache::write_frozen(WriteOrder order) {
  Result<> outcome;
  std::uint64_t from = 0;
  while (const std::size_t count = collect_frozen(from, {&order, 1})) {
    from = batch_[count - 1]->number_ + 1;  // before the batch is released
    const Result<> written = write_batch(count);
    if (outcome && !written) outcome = written;
  }
  return outcome;
}

// Writes batch_, one request for each run of neighbours, all in flight together.
Result<> BufferCache::write_batch(std::size_t count) {
  std::size_t request_count = 0;
  std::size_t start_of[kBatch + 1] = {};
  for (std::size_t i = 0; i < count; ++i) {
    pieces_[i] = {batch_[i]->data_, block_size_};
    if (i == 0 || batch_[i]->number_ != batch_[i - 1]->number_ + 1) start_of[request_count++] = i;
  }
  start_of[request_count] = count;
  for (std::size_t r = 0; r < request_count; ++r) {
    const std::size_t first = start_of[r];
    requests_[r].emplace(BlockRequest::Kind::Write, sector_of(batch_[first]->number_),
                         std::span<const BlockRequest::Piece>(pieces_ + first, start_of[r + 1] - first));
    device_.submit(*requests_[r]);
  }
  Result<> outcome;
  for (std::size_t r = 0; r < request_count; ++r) {
    const Result<> written = device_.wait(*requests_[r]);
    requests_[r].reset();
    if (outcome && !written) outcome = written;
    for (std::size_t i = start_of[r]; i < start_of[r + 1]; ++i)
      thaw(*batch_[i], written ? Outcome::Written : Outcome::NotWritten);
  }
  return outcome;
}

}  // namespace faultline
