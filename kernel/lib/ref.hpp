#pragma once
// Shared ownership with the count inside the object, so that a reference costs one pointer and no allocation.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernel/lib/heap.hpp"
#include "kernel/lib/panic.hpp"

namespace faultline {

template <class T>
class Ref;

/// Base of reference-counted heap objects. Derive, create with make_ref, hold through Ref<T>.
/// The last Ref destroys the object through last_reference_dropped(), which derived classes may override to
/// do more (an inode cache, for instance, decides there whether the object stays).
// The destructor is protected because destroy() alone may call it, and virtual because it stands for the most
// derived one. NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void acquire_reference() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }

  void release_reference() const noexcept {
    // Release on every drop, acquire on the last one: all uses of the object happen before its destruction.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      const_cast<RefCounted*>(this)->last_reference_dropped();
    }
  }

  /// Takes a reference only if the object is still alive (count > 0): for caches that point weakly at
  /// objects.
  [[nodiscard]] bool try_acquire_reference() const noexcept {
    std::uint32_t seen = references_.load(std::memory_order_relaxed);
    while (seen != 0) {
      if (references_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire)) return true;
    }
    return false;
  }

  /// Whoever sees a count that a dropped reference has left sees all that was done through that reference.
  std::uint32_t references() const noexcept { return references_.load(std::memory_order_acquire); }

 protected:
  RefCounted() = default;
  virtual ~RefCounted() = default;

  /// Called once, when no reference is left. The default destroys the object and frees its memory.
  virtual void last_reference_dropped() { destroy(); }

  /// Destroys the most derived object and returns its memory to the heap.
  void destroy() noexcept {
    const std::size_t bytes = allocated_bytes_, alignment = allocated_alignment_;
    void* memory = allocated_;
    this->~RefCounted();
    heap_release(memory, bytes, alignment);
  }

 private:
  template <class T, class... Arguments>
  friend Result<Ref<T>> make_ref(Arguments&&...);
  template <class T>
  friend class Ref;

  mutable std::atomic<std::uint32_t> references_{1};
  std::uint32_t allocated_bytes_ = 0;
  std::uint32_t allocated_alignment_ = 0;
  void* allocated_ = nullptr;
};

/// Owning pointer to a RefCounted object; never dangling, may be null.
template <class T>
class Ref {
 public:
  constexpr Ref() noexcept = default;
  constexpr Ref(std::nullptr_t) noexcept {}
  Ref(const Ref& other) noexcept : object_(other.object_) {
    if (object_ != nullptr) object_->acquire_reference();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(Ref<U> other) noexcept : object_(other.leak()) {}
  ~Ref() {
    if (object_ != nullptr) object_->release_reference();
  }
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }

  /// Takes one more reference to an object that someone else keeps alive during the call.
  static Ref share(T& object) noexcept {
    object.acquire_reference();
    return adopt(&object);
  }
  /// Takes over a reference already counted (from leak() or make_ref).
  static Ref adopt(T* object) noexcept {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  /// Gives up ownership without dropping the count.
  [[nodiscard]] T* leak() noexcept { return std::exchange(object_, nullptr); }

  T* get() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.object_ == b.object_; }

 private:
  T* object_ = nullptr;
};

/// Constructs a reference-counted T with one reference. Error: OutOfMemory.
template <class T, class... Arguments>
[[nodiscard]] Result<Ref<T>> make_ref(Arguments&&... arguments) {
  void* memory = heap_allocate(sizeof(T), alignof(T));
  if (memory == nullptr) return failure(KernelError::OutOfMemory);
  T* object = ::new (memory) T(std::forward<Arguments>(arguments)...);
  object->allocated_ = memory;
  object->allocated_bytes_ = sizeof(T);
  object->allocated_alignment_ = alignof(T);
  return Ref<T>::adopt(object);
}

}  // namespace faultline
