#pragma once
// A growable array whose growth can fail. For places where an intrusive container does not fit.

#include <algorithm>
#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/panic.hpp"

namespace faultline {

template <class T>
class Vector {
 public:
  Vector() = default;
  Vector(const Vector&) = delete;
  Vector(Vector&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Vector& operator=(Vector other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Vector() {
    clear();
    if (data_ != nullptr) heap_release(data_, capacity_ * sizeof(T), alignof(T));
  }

  /// Makes room for `count` elements in all. Error: OutOfMemory; the contents are then as before.
  [[nodiscard]] Result<> reserve(std::size_t count) {
    if (count <= capacity_) return {};
    if (count > SIZE_MAX / sizeof(T)) return failure(KernelError::OutOfMemory);
    void* memory = heap_allocate(count * sizeof(T), alignof(T));
    if (memory == nullptr) return failure(KernelError::OutOfMemory);
    T* moved = static_cast<T*>(memory);
    for (std::size_t i = 0; i < size_; ++i) {
      ::new (moved + i) T(std::move(data_[i]));
      data_[i].~T();
    }
    if (data_ != nullptr) heap_release(data_, capacity_ * sizeof(T), alignof(T));
    data_ = moved;
    capacity_ = count;
    return {};
  }

  /// Appends; the value is dropped when memory is out. Error: OutOfMemory.
  [[nodiscard]] Result<> push_back(T value) {
    if (size_ == capacity_) TRY(reserve(std::max<std::size_t>(4, capacity_ * 2)));
    ::new (data_ + size_) T(std::move(value));
    ++size_;
    return {};
  }

  /// Grows with value-initialised elements, or shrinks. Error: OutOfMemory.
  [[nodiscard]] Result<> resize(std::size_t count) {
    TRY(reserve(count));
    while (size_ > count) pop_back();
    for (; size_ < count; ++size_) ::new (data_ + size_) T();
    return {};
  }

  void pop_back() {
    ASSERT(size_ > 0);
    data_[--size_].~T();
  }
  void clear() {
    while (size_ > 0) pop_back();
  }

  T& operator[](std::size_t index) {
    ASSERT(index < size_);
    return data_[index];
  }
  const T& operator[](std::size_t index) const {
    ASSERT(index < size_);
    return data_[index];
  }
  T& back() { return (*this)[size_ - 1]; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace faultline
