#pragma once
// The process's one SIGSEGV handler, shared by all signal servers.

#include <cstddef>

namespace faultline::host {

class FaultHandler {
 public:
  /// Someone who can resolve faults. All three functions run inside the signal handler.
  class Target {
   public:
    virtual ~Target() = default;
    /// True if a fault at `address` is this target's.
    virtual bool takes(const std::byte* address) const = 0;
    /// Makes the access possible and returns true, or returns false: the fault then goes to the previous
    /// handler.
    virtual bool resolve(const std::byte* address) = 0;
    /// Told of each fault that no target takes.
    virtual void forwarded() = 0;
  };

  /// Installs the handler if need be and adds a target; false when there are too many.
  static bool add(Target& target);
  /// Removes a target, waiting until no thread is inside it; with the last one the previous handler comes
  /// back, if ours is still in place.
  static void remove(Target& target);
  /// If something else has replaced the handler, puts it back, with the replacement as the previous handler.
  /// True if it did.
  static bool reinstall();
};

}  // namespace faultline::host
