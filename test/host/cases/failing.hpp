#pragma once
// A scene in which every allocation fails in turn: for each n, until the operation no longer asks for that
// many. It must end in an error or succeed, and leave what the program can see as it was; and when the scene
// ends, nothing may have leaked.

#include <doctest/doctest.h>

#include <functional>
#include <memory>

#include "test/host/space.hpp"

namespace faultline::sim {

inline const Va kStart = va_at(kGigapageSize - 3 * kPageSize);  // over a boundary of 1 GiB
inline constexpr std::uint64_t kPages = 8;
inline const Va kFile = kStart + 20 * kPageSize;
inline const Va kShared = kStart + 40 * kPageSize;
/// Where nothing is mapped, and no table leads to.
inline const Va kFar = va_at(7 * kGigapageSize);

/// A space with a bit of everything, whose visible contents are known.
template <class P>
class Scene : public Process<P> {
 public:
  Scene() {
    REQUIRE(this->map(kStart, kPages * kPageSize).has_value());
    REQUIRE(this->map(kFile, kPages * kPageSize, Permission::read_write(), file.get()).has_value());
    REQUIRE(this->map(kShared, kPages * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
                .has_value());
    for (std::uint64_t i = 0; i < kPages; i += 2) {
      REQUIRE(this->write(kStart + i * kPageSize, static_cast<std::uint8_t>(i + 1)).has_value());
      REQUIRE(this->write(kFile + i * kPageSize, static_cast<std::uint8_t>(i + 101)).has_value());
    }
    REQUIRE(this->read(kStart + kPageSize).has_value());
    REQUIRE(this->read(kFile + kPageSize).has_value());
  }

  /// What the program sees; accesses every page.
  void check_contents() {
    for (std::uint64_t i = 0; i < kPages; ++i) {
      const bool written = i % 2 == 0;
      REQUIRE(this->read(kStart + i * kPageSize) == (written ? i + 1 : 0));
      REQUIRE(this->read(kFile + i * kPageSize) == (written ? i + 101 : pattern(i)));
      REQUIRE(this->read(kShared + i * kPageSize) == pattern(i));
      REQUIRE(this->mm.access_ok(pages_at(kStart + i * kPageSize, 1), Access::Write));
    }
    REQUIRE_FALSE(this->mm.access_ok(pages_at(kStart + kPages * kPageSize, 1), Access::Read));
    this->world.machine.check_coherence();
  }
  static std::uint64_t pattern(std::uint64_t page) {
    return static_cast<std::uint64_t>(MemoryFile::pattern_byte(page * kPageSize));
  }

  /// Forks; every last-level table that can be shared then is.
  void fork_child() {
    entries_copied_at_fork = 0;
    child = std::make_unique<Child<P>>(this->world, *this->mm.fork(), hart_id(1));
  }
  /// That the child still has what the scene had when it was forked.
  void check_child() {
    for (std::uint64_t i = 0; i < kPages; ++i) {
      REQUIRE(child->read(kStart + i * kPageSize) == (i % 2 == 0 ? i + 1 : 0));
      REQUIRE(child->read(kFile + i * kPageSize) == (i % 2 == 0 ? i + 101 : pattern(i)));
    }
  }

  std::unique_ptr<Child<P>> child;
  Ref<MemoryFile> file = MemoryFile::with_pattern(kPages * kPageSize);
  /// With the same contents, none of which are in memory.
  Ref<MemoryFile> unread_file = MemoryFile::with_pattern(kPages * kPageSize);
};

/// What an operation on a scene is tried with.
template <class P>
struct Trial {
  std::function<void(Scene<P>&)> prepare = nullptr;
  std::function<Result<>(Scene<P>&)> operation;
  /// Whether an error leaves areas and page table entry by entry as before, and no frame and no object more
  /// in use. Not so where other harts may already use what was made.
  bool changes_nothing = true;
  /// Looks at the scene after an error, when there is memory again.
  std::function<void(Scene<P>&)> after_error = nullptr;
};

/// Tries the operation on fresh scenes with the n-th allocation failing, and then with all from the n-th on
/// failing (so that dropping cached pages does not help), each for n = 1, 2, … until it succeeds. Returns how
/// often it failed the second way.
template <class P>
std::uint64_t fail_in_turn(const Trial<P>& trial) {
  std::uint64_t n = 0;
  for (bool and_all_after : {false, true}) {
    for (n = 1;; ++n) {
      Scene<P> scene;
      if (trial.prepare) trial.prepare(scene);
      const std::string layout = scene.layout();
      const std::size_t frames = scene.frames(), objects = scene.world.objects_used();
      const std::uint64_t before = scene.world.machine.allocations();
      scene.world.machine.fail_allocation(n, and_all_after);
      const Result<> result = trial.operation(scene);
      scene.world.machine.fail_allocation(0);
      scene.mm.pager().areas().check();
      if (!result) {
        CHECK(result.error() == KernelError::OutOfMemory);
        if (trial.changes_nothing) {
          CHECK(scene.layout() == layout);
          // What the page cache has read meanwhile is the file's, and goes when room is needed; some may have
          // gone.
          static_cast<void>(PageCache::reclaim(SIZE_MAX));
          CHECK(scene.frames() <= frames);
          CHECK(scene.world.objects_used() <= objects);
        }
        if (trial.after_error) trial.after_error(scene);
        scene.check_contents();
        if (scene.child) scene.check_child();
      } else if (scene.world.machine.allocations() - before < n) {
        break;  // it did not need that many
      }
      REQUIRE(n < 500);
    }
  }
  return n - 1;
}

template <class T>
Result<> only_error(const Result<T>& result) {
  if (!result) return failure(result.error());
  return {};
}

}  // namespace faultline::sim
