#pragma once
// Runs pieces of code in every order in which their steps can follow one another.
//
// Each piece has a thread of its own, but only one runs at a time, up to its next step(); then the explorer
// chooses who goes on. It keeps the choices of a run, and the next run takes the last choice that has an
// alternative differently, until none is left: what depends on the order is found by construction.

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernel/lib/panic.hpp"

namespace faultline::sim {

class Interleavings {
 public:
  using Work = std::function<void()>;

  /// Calls `stage` before each order, for fresh work on fresh objects, and `end` after it. The number of
  /// orders.
  std::size_t run_all(const std::function<std::vector<Work>()>& stage, const std::function<void()>& end) {
    std::size_t orders = 0;
    do {
      run_once(stage());
      end();
      ++orders;
    } while (next_order());
    return orders;
  }

  /// Called by work, with no lock held: here others may come in between. Nothing while the stage is being
  /// set.
  void step() {
    wait_until([] { return true; });
  }
  /// A step, after which the work does not go on before others have made `ready` true.
  void wait_until(std::function<bool()> ready) {
    std::unique_lock lock(mutex_);
    const std::size_t self = running_;
    if (self == kExplorer) return;
    ready_[self] = std::move(ready);
    running_ = kExplorer;
    changed_.notify_all();
    changed_.wait(lock, [&] { return running_ == self; });
  }

 private:
  static constexpr std::size_t kExplorer = static_cast<std::size_t>(-1);
  struct Choice {
    std::size_t taken, alternatives;
  };

  void run_once(const std::vector<Work>& work) {
    std::vector<bool> finished(work.size());
    ready_.assign(work.size(), [] { return true; });
    std::vector<std::thread> threads;
    for (std::size_t self = 0; self < work.size(); ++self) {
      threads.emplace_back([&, self] {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return running_ == self; });
        lock.unlock();
        work[self]();
        lock.lock();
        finished[self] = true;
        running_ = kExplorer;
        changed_.notify_all();
      });
    }
    for (std::size_t depth = 0;; ++depth) {
      std::unique_lock lock(mutex_);
      std::vector<std::size_t> able;
      for (std::size_t i = 0; i < work.size(); ++i) {
        if (!finished[i] && ready_[i]()) able.push_back(i);
      }
      if (able.empty()) break;
      if (depth == choices_.size()) choices_.push_back({0, able.size()});
      running_ = able[choices_[depth].taken];
      changed_.notify_all();
      changed_.wait(lock, [&] { return running_ == kExplorer; });
    }
    if (std::ranges::find(finished, false) != finished.end()) panic("deadlock: each waits for another");
    for (std::thread& thread : threads) thread.join();
  }

  bool next_order() {
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().alternatives)
      choices_.pop_back();
    if (choices_.empty()) return false;
    ++choices_.back().taken;
    return true;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t running_ = kExplorer;  // whose turn it is
  std::vector<std::function<bool()>> ready_;
  std::vector<Choice> choices_;
};

}  // namespace faultline::sim
