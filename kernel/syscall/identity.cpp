// Users and groups. Only the process's own threads change its credentials; the lock is for readers in other
// processes.

#include "kernel/proc/process.hpp"
#include "kernel/syscall/system_calls.hpp"

namespace faultline::system_call {

namespace {

ProcessCredentials& credentials() { return Process::current().credentials; }

/// The three user numbers, or the three group numbers, of a process.
struct Triple {
  std::uint32_t& real;
  std::uint32_t& effective;
  std::uint32_t& saved;

  bool contains(std::uint32_t id) const { return id == real || id == effective || id == saved; }
};
Triple users() { return {credentials().user, credentials().effective_user, credentials().saved_user}; }
Triple groups() { return {credentials().group, credentials().effective_group, credentials().saved_group}; }

Value set_three(Triple ids, std::uint32_t real, std::uint32_t effective, std::uint32_t saved) {
  if (!credentials().privileged()) {
    for (const std::uint32_t id : {real, effective, saved}) {
      if (id != abi::kUnchanged && !ids.contains(id)) return failure(KernelError::NotPermitted);
    }
  }
  SpinGuard guard(process_lock);
  if (effective != abi::kUnchanged && effective != ids.effective) {
    Process::current().dumpable = false;
    UserThread::current().parent_death_signal.reset();
  }
  if (real != abi::kUnchanged) ids.real = real;
  if (effective != abi::kUnchanged) ids.effective = effective;
  if (saved != abi::kUnchanged) ids.saved = saved;
  return 0;
}

// setuid: a privileged process gives up all three, another changes the effective one.
Value set_one(Triple ids, std::uint32_t id) {
  if (id == abi::kUnchanged) return failure(KernelError::InvalidArgument);
  return credentials().privileged() ? set_three(ids, id, id, id)
                                    : set_three(ids, abi::kUnchanged, id, abi::kUnchanged);
}

// setreuid: the saved one follows the effective one when the real one is set, or the effective one to
// something new.
Value set_two(Triple ids, std::uint32_t real, std::uint32_t effective) {
  const bool saves = real != abi::kUnchanged || (effective != abi::kUnchanged && effective != ids.real);
  const std::uint32_t saved = effective != abi::kUnchanged ? effective : ids.effective;
  return set_three(ids, real, effective, saves ? saved : abi::kUnchanged);
}

Value get_three(Triple ids, UserPointer<std::uint32_t> real, UserPointer<std::uint32_t> effective,
                UserPointer<std::uint32_t> saved) {
  TRY(real.write(ids.real));
  TRY(effective.write(ids.effective));
  TRY(saved.write(ids.saved));
  return 0;
}

}  // namespace

Value getuid() { return credentials().user; }
Value geteuid() { return credentials().effective_user; }
Value getgid() { return credentials().group; }
Value getegid() { return credentials().effective_group; }

Value getresuid(UserPointer<std::uint32_t> real, UserPointer<std::uint32_t> effective,
                UserPointer<std::uint32_t> saved) {
  return get_three(users(), real, effective, saved);
}
Value getresgid(UserPointer<std::uint32_t> real, UserPointer<std::uint32_t> effective,
                UserPointer<std::uint32_t> saved) {
  return get_three(groups(), real, effective, saved);
}
Value setuid(std::uint32_t user) { return set_one(users(), user); }
Value setgid(std::uint32_t group) { return set_one(groups(), group); }
Value setreuid(std::uint32_t real, std::uint32_t effective) { return set_two(users(), real, effective); }
Value setregid(std::uint32_t real, std::uint32_t effective) { return set_two(groups(), real, effective); }
Value setresuid(std::uint32_t real, std::uint32_t effective, std::uint32_t saved) {
  return set_three(users(), real, effective, saved);
}
Value setresgid(std::uint32_t real, std::uint32_t effective, std::uint32_t saved) {
  return set_three(groups(), real, effective, saved);
}

Value getgroups(std::int32_t size, UserPointer<std::uint32_t> list) {
  const ProcessCredentials& own = credentials();
  if (size < 0) return failure(KernelError::InvalidArgument);
  if (size == 0) return own.supplementary_count;
  if (static_cast<std::size_t>(size) < own.supplementary_count) return failure(KernelError::InvalidArgument);
  const std::span<const std::uint32_t> groups(own.supplementary.data(), own.supplementary_count);
  TRY(copy_to_user(list.address(), std::as_bytes(groups)));
  return own.supplementary_count;
}

Value setgroups(std::int32_t size, UserPointer<std::uint32_t> list) {
  ProcessCredentials& own = credentials();
  if (!own.privileged()) return failure(KernelError::NotPermitted);
  if (size < 0 || static_cast<std::size_t>(size) > own.supplementary.size())
    return failure(KernelError::InvalidArgument);
  std::array<std::uint32_t, ProcessCredentials::kMaxGroups> groups = {};
  const std::span<std::uint32_t> given = std::span(groups).first(static_cast<std::size_t>(size));
  TRY(copy_from_user(std::as_writable_bytes(given), list.address()));
  SpinGuard guard(process_lock);
  own.supplementary = groups;
  own.supplementary_count = given.size();
  return 0;
}

// Capabilities: a process has all of them or none.
Value capget(Address header_address, Address data_address) {
  struct Header {
    std::uint32_t version;
    std::int32_t process;
  };
  struct Data {
    std::uint32_t effective, permitted, inheritable;
  };
  constexpr std::uint32_t kVersion3 = 0x20080522;
  constexpr std::uint32_t kAllLow = UINT32_MAX, kAllHigh = 0x1ff;  // 41 capabilities
  const UserPointer<Header> header(header_address);
  const Header asked = TRY(header.read());
  if (asked.version != kVersion3) {
    TRY(header.write({.version = kVersion3, .process = asked.process}));
    return data_address == 0 ? Value(0) : failure(KernelError::InvalidArgument);
  }
  if (data_address == 0) return 0;
  const bool all = credentials().privileged();
  const UserPointer<Data> data(data_address);
  const std::uint32_t low = all ? kAllLow : 0;
  const std::uint32_t high = all ? kAllHigh : 0;
  TRY(data.write({.effective = low, .permitted = low, .inheritable = 0}));
  TRY((data + 1).write({.effective = high, .permitted = high, .inheritable = 0}));
  return 0;
}

}  // namespace faultline::system_call
