#pragma once
// A borrowed callable: two words, no allocation. For parameters only; it must not outlive what it was made
// from.

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace faultline {

template <class Signature>
class FunctionRef;

template <class Value, class... Arguments>
class FunctionRef<Value(Arguments...)> {
 public:
  template <class Callable>
    requires(!std::same_as<std::remove_cvref_t<Callable>, FunctionRef> &&
             std::is_invocable_r_v<Value, Callable&, Arguments...>)
  FunctionRef(Callable&& callable) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        invoke_([](void* object, Arguments... arguments) -> Value {
          return (*static_cast<std::remove_reference_t<Callable>*>(object))(
              std::forward<Arguments>(arguments)...);
        }) {}

  Value operator()(Arguments... arguments) const {
    return invoke_(object_, std::forward<Arguments>(arguments)...);
  }

 private:
  void* object_;
  Value (*invoke_)(void*, Arguments...);
};

}  // namespace faultline
