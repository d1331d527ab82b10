#pragma once
// What a mapping allows, and what an access asks for.

#include <cstdint>
#include <optional>

namespace faultline {

enum class Access : std::uint8_t { Read, Write, Execute };

/// Read, write and execute rights of user pages. Writable without readable does not exist in Sv39 (the
/// encoding is reserved; RISC-V privileged architecture, 4.3.1) and cannot be made.
class Permission {
 public:
  static constexpr Permission none() { return Permission(0); }
  static constexpr Permission read() { return Permission(kRead); }
  static constexpr Permission read_write() { return Permission(kRead | kWrite); }
  static constexpr Permission read_execute() { return Permission(kRead | kExecute); }
  static constexpr Permission execute() { return Permission(kExecute); }
  static constexpr Permission read_write_execute() { return Permission(kRead | kWrite | kExecute); }

  /// Nothing for writable without readable.
  static constexpr std::optional<Permission> from(bool readable, bool writable, bool executable) {
    if (writable && !readable) return std::nullopt;
    return Permission(static_cast<std::uint8_t>((readable ? kRead : 0) | (writable ? kWrite : 0) |
                                                (executable ? kExecute : 0)));
  }

  constexpr bool readable() const { return (bits_ & kRead) != 0; }
  constexpr bool writable() const { return (bits_ & kWrite) != 0; }
  constexpr bool executable() const { return (bits_ & kExecute) != 0; }
  constexpr bool is_none() const { return bits_ == 0; }

  /// Access counts in the order of the bits.
  constexpr bool allows(Access access) const { return ((bits_ >> static_cast<unsigned>(access)) & 1) != 0; }
  /// Read 1, write 2, execute 4: the order in which an Sv39 entry has them too.
  constexpr std::uint8_t bits() const { return bits_; }

  constexpr Permission without_write() const { return Permission(bits_ & ~kWrite); }
  /// True when every right of `other` is also given here.
  constexpr bool includes(Permission other) const { return (other.bits_ & ~bits_) == 0; }
  friend constexpr bool operator==(const Permission&, const Permission&) = default;

 private:
  static constexpr std::uint8_t kRead = 1 << static_cast<unsigned>(Access::Read);
  static constexpr std::uint8_t kWrite = 1 << static_cast<unsigned>(Access::Write);
  static constexpr std::uint8_t kExecute = 1 << static_cast<unsigned>(Access::Execute);
  explicit constexpr Permission(std::uint8_t bits) : bits_(bits) {}
  std::uint8_t bits_;
};

}  // namespace faultline
