#pragma once
// Runs pieces of code in every order in which their steps can follow one another.
//
// Each piece has a thread of its own, but only one runs at a time, up to its next step(); then it is chosen
// who goes on. The choices of a run are kept, and the next run takes the last one that has an alternative
// differently, until none is left: what depends on the order is found by construction.

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

  Interleavings() = default;
  ~Interleavings() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  /// Calls `stage` before each order, for fresh work on fresh objects, and `end` after it. The number of
  /// orders.
  std::size_t run_all(const std::function<std::vector<Work>()>& stage, const std::function<void()>& end) {
    std::size_t orders = 0;
    do {
      work_ = stage();
      while (threads_.size() < work_.size())
        threads_.emplace_back([this, self = threads_.size()] { serve(self); });
      run_once();
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
    hand_on(lock, self);
  }

 private:
  static constexpr std::size_t kExplorer = static_cast<std::size_t>(-1);
  struct Choice {
    std::size_t taken, alternatives;
  };

  /// A piece's thread, for all orders: making one takes longer than most pieces do.
  void serve(std::size_t self) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return running_ == self || over_; });
      if (over_) return;
      lock.unlock();
      work_[self]();
      lock.lock();
      finished_[self] = true;
      choose();
      changed_.notify_all();
    }
  }

  void run_once() {
    std::unique_lock lock(mutex_);
    finished_.assign(work_.size(), false);
    ready_.assign(work_.size(), [] { return true; });
    depth_ = 0;
    hand_on(lock, kExplorer);
    if (std::ranges::find(finished_, false) != finished_.end()) panic("deadlock: each waits for another");
  }

  /// Returns when it is `self`'s turn again.
  void hand_on(std::unique_lock<std::mutex>& lock, std::size_t self) {
    choose();
    if (running_ == self) return;
    changed_.notify_all();
    changed_.wait(lock, [&] { return running_ == self; });
  }

  /// Says whose turn it is: the explorer's when nobody can go on.
  void choose() {
    std::vector<std::size_t> able;
    for (std::size_t i = 0; i < finished_.size(); ++i) {
      if (!finished_[i] && ready_[i]()) able.push_back(i);
    }
    running_ = kExplorer;
    if (able.empty()) return;
    if (depth_ == choices_.size()) choices_.push_back({0, able.size()});
    running_ = able[choices_[depth_++].taken];
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
  std::vector<std::thread> threads_;
  bool over_ = false;
  std::vector<Work> work_;           // of this run
  std::size_t running_ = kExplorer;  // whose turn it is
  std::vector<bool> finished_;
  std::vector<std::function<bool()>> ready_;
  std::size_t depth_ = 0;  // choices made in this run
  std::vector<Choice> choices_;
};

}  // namespace faultline::sim
