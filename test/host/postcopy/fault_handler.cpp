#include "test/host/postcopy/fault_handler.hpp"

#include <sched.h>
#include <ucontext.h>

#include <array>
#include <atomic>
#include <csignal>
#include <mutex>

namespace faultline::host {

namespace {

struct Slot {
  std::atomic<FaultHandler::Target*> target = nullptr;
  std::atomic<int> inside = 0;  // threads whose handler may use the target
};

std::array<Slot, 64> slots;
std::mutex installation;
bool installed = false;

// The handler to forward to. The handler itself reads it, so it is published by index and never changed in
// place while it is current. Sixteen replacements may follow each other before an entry is used again, each
// of them at least a poll interval apart.
std::array<struct sigaction, 16> previous_actions;
std::atomic<unsigned> previous_index = 0;

thread_local int depth = 0;

void handle_fault(int signal, siginfo_t* info, void* context);

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == handle_fault;
}

void forward(int signal, siginfo_t* info, void* context) {
  const struct sigaction& previous = previous_actions[previous_index.load(std::memory_order_acquire)];
  if ((previous.sa_flags & SA_SIGINFO) != 0 && depth == 1) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN && depth == 1) {
    previous.sa_handler(signal);
  } else {
    // No handler, or one that chains back to us: the access faults again and ends the process, as it would
    // have.
    struct sigaction fatal{};
    fatal.sa_handler = SIG_DFL;
    sigaction(signal, &fatal, nullptr);
  }
}

/// Leaves the handler by any way, also by a jump out of a forwarded-to handler that never returns: the depth
/// is restored by the next entry, which sees that the stack pointer is above the recorded one.
thread_local const void* outermost_frame = nullptr;

void handle_fault(int signal, siginfo_t* info, void* context) {
  const void* frame = __builtin_frame_address(0);
  if (depth > 0 && frame >= outermost_frame) depth = 0;
  if (depth++ == 0) outermost_frame = frame;

  const auto* address = static_cast<const std::byte*>(info->si_addr);
  bool taken = false, resolved = false;
  for (Slot& slot : slots) {
    slot.inside.fetch_add(1);
    if (FaultHandler::Target* target = slot.target.load(); target != nullptr && target->takes(address)) {
      taken = true;
      resolved = target->resolve(address);
    }
    slot.inside.fetch_sub(1);
    if (taken) break;
  }
  if (!taken) {
    for (Slot& slot : slots) {
      slot.inside.fetch_add(1);
      if (FaultHandler::Target* target = slot.target.load()) target->forwarded();
      slot.inside.fetch_sub(1);
    }
  }
  if (!resolved) forward(signal, info, context);
  --depth;
}

void publish_previous(const struct sigaction& action) {
  const unsigned next = (previous_index.load() + 1) % previous_actions.size();
  previous_actions[next] = action;
  previous_index.store(next, std::memory_order_release);
}

void install() {
  struct sigaction current{};
  sigaction(SIGSEGV, nullptr, &current);
  publish_previous(current);
  struct sigaction ours{};
  ours.sa_sigaction = handle_fault;
  // NODEFER: a forwarded-to handler may jump out, and a fault inside a fault must reach us rather than kill.
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &ours, nullptr);
}

}  // namespace

bool FaultHandler::add(Target& target) {
  std::lock_guard guard(installation);
  for (Slot& slot : slots) {
    if (slot.target.load() != nullptr) continue;
    slot.target.store(&target);
    if (!installed) install();
    installed = true;
    return true;
  }
  return false;
}

void FaultHandler::remove(Target& target) {
  std::lock_guard guard(installation);
  bool others = false;
  for (Slot& slot : slots) {
    if (slot.target.load() == &target) {
      slot.target.store(nullptr);
      while (slot.inside.load() != 0) sched_yield();
    } else if (slot.target.load() != nullptr) {
      others = true;
    }
  }
  if (others) return;
  struct sigaction current{};
  sigaction(SIGSEGV, nullptr, &current);
  if (is_ours(current)) sigaction(SIGSEGV, &previous_actions[previous_index.load()], nullptr);
  installed = false;
}

bool FaultHandler::reinstall() {
  std::lock_guard guard(installation);
  struct sigaction current{};
  sigaction(SIGSEGV, nullptr, &current);
  if (!installed || is_ours(current)) return false;
  install();
  return true;
}

}  // namespace faultline::host
