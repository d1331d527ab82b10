// A C++ program as people write them: threads, exceptions, containers, locks, thread-local objects.
#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/tap.h"
#include "common/threads.h"

namespace {

std::atomic<int> live_objects{0};

struct Counted {
  Counted() { live_objects++; }
  Counted(const Counted&) { live_objects++; }
  ~Counted() { live_objects--; }
};

[[gnu::noinline]] int throw_at(int depth) {
  Counted counted;
  if (depth == 0) throw std::runtime_error("from the bottom");
  return throw_at(depth - 1) + 1;
}

struct AtExit {
  ~AtExit() { live_objects += 100; }
};

int fibonacci(int n) {
  if (n < 2) return n;
  auto first = std::async(n > 6 ? std::launch::async : std::launch::deferred, fibonacci, n - 1);
  int second = fibonacci(n - 2);
  return first.get() + second;
}

}  // namespace

TEST(exceptions, "an exception unwinds fifty frames, destroys what is in them and arrives with its message") {
  std::string message;
  try {
    throw_at(50);
  } catch (const std::exception& error) {
    message = error.what();
  }
  CHECK(message == "from the bottom");
  CHECK_EQ(live_objects, 0);
}

TEST(exceptions_in_threads, "eight threads throw and catch at once, each its own") {
  std::vector<std::thread> threads;
  std::atomic<int> caught{0};
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; i++) {
        try {
          throw t * 1000 + i;
        } catch (int value) {
          caught += value == t * 1000 + i;
        }
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK_EQ(caught, 800);
}

TEST(bad_allocation, "a request for more memory than there can be throws std::bad_alloc") {
  volatile std::size_t size = std::size_t{1} << 60;
  bool thrown = false;
  try {
    ::operator delete(::operator new(size));  // a plain new may be optimised away
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  CHECK(thrown);
}

TEST(containers, "a map and strings built by four threads under a lock hold everything") {
  std::map<std::string, int> words;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; i++) {
        std::string word = "word " + std::to_string(t) + " " + std::to_string(i);
        std::lock_guard lock(mutex);
        words[word] = i;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK_EQ(words.size(), 2000);
  CHECK_EQ(words["word 3 499"], 499);
}

TEST(futures, "a tree of asynchronous tasks computes what it should") { CHECK_EQ(fibonacci(10), 55); }

TEST(waiting, "threads that wait for a condition all go on when it comes true") {
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false;
  std::atomic<int> gone_on{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&] {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return ready; });
      gone_on++;
    });
  {
    std::lock_guard lock(mutex);
    ready = true;
  }
  changed.notify_all();
  for (auto& thread : threads) thread.join();
  CHECK_EQ(gone_on, 8);
}

TEST(thread_local_objects, "a thread's thread-local objects are destroyed when it ends") {
  std::thread([] {
    thread_local AtExit object;
    (void)&object;
  }).join();
  CHECK_EQ(live_objects, 100);
}

TEST(timed_wait, "a wait with a time limit ends at its limit, not before") {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  auto start = std::chrono::steady_clock::now();
  CHECK(never.wait_for(lock, std::chrono::milliseconds(20)) == std::cv_status::timeout);
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(20));
}

TEST(uncaught, "an exception that nobody catches ends the process by SIGABRT") {
  pid_t child = tap_fork();
  if (child == 0) {
    close(STDERR_FILENO);
    std::thread([] { throw 1; }).join();
    tap_exit();
  }
  int status = tap_wait(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
