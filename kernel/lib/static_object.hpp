#pragma once
// An object with static storage that start-up constructs at a moment of its choosing, and that lives forever.

#include <cstddef>
#include <new>
#include <utility>

#include "kernel/lib/panic.hpp"

namespace faultline {

template <class T>
class StaticObject {
 public:
  constexpr StaticObject() = default;
  StaticObject(const StaticObject&) = delete;
  StaticObject& operator=(const StaticObject&) = delete;

  template <class... Arguments>
  T& construct(Arguments&&... arguments) {
    ASSERT(object_ == nullptr);
    object_ = ::new (static_cast<void*>(storage_)) T(std::forward<Arguments>(arguments)...);
    return *object_;
  }
  bool exists() const { return object_ != nullptr; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

 private:
  T* object_ = nullptr;
  alignas(T) std::byte storage_[sizeof(T)] = {};
};

}  // namespace faultline
