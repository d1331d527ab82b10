// Every allocation fails in turn: in each operation, for each n, until the operation succeeds. It must end in
// an error and leave what the program can see as it was; and when all is unmapped, nothing may have leaked.

#include <doctest/doctest.h>

#include <array>
#include <functional>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

const Va kStart = va_at(kGigapageSize - 3 * kPageSize);  // over a boundary of 1 GiB
constexpr std::uint64_t kPages = 8;
const Va kFile = kStart + 20 * kPageSize;
const Va kShared = kStart + 40 * kPageSize;

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

  Ref<MemoryFile> file = MemoryFile::with_pattern(kPages * kPageSize);
};

/// Runs the operation on fresh scenes with the n-th allocation failing, and then with all from the n-th on
/// failing (so that dropping cached pages does not help), each for n = 1, 2, … until it succeeds. Returns how
/// often it failed the second way.
template <class P>
std::uint64_t fail_in_turn(const std::function<void(Scene<P>&)>& prepare,
                           const std::function<Result<>(Scene<P>&)>& operation) {
  std::uint64_t n = 0;
  for (bool and_all_after : {false, true}) {
    for (n = 1;; ++n) {
      Scene<P> scene;
      if (prepare) prepare(scene);
      const std::uint64_t before = scene.world.machine.allocations();
      scene.world.machine.fail_allocation(n, and_all_after);
      const Result<> result = operation(scene);
      scene.world.machine.fail_allocation(0);
      scene.mm.pager().areas().check();
      if (!result) {
        CHECK(result.error() == KernelError::OutOfMemory);
        scene.check_contents();
      } else if (scene.world.machine.allocations() - before < n) {
        break;  // it did not need that many
      }
      REQUIRE(n < 500);
    }
  }
  return n - 1;
}

template <class T>
Result<> only_error(Result<T> result) {
  if (!result) return failure(result.error());
  return {};
}

}  // namespace

TEST_SUITE_BEGIN("every allocation fails in turn");

TEST_CASE_TEMPLATE("in mmap of anonymous memory", P, LazyPager, EagerPager) {
  CHECK(fail_in_turn<P>(nullptr, [](Scene<P>& scene) {
          return only_error(scene.map(va_at(7 * kGigapageSize), 3 * kPageSize));
        }) > 0);
}

TEST_CASE_TEMPLATE("in mmap of a file, private and shared", P, LazyPager, EagerPager) {
  for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
    CHECK(fail_in_turn<P>(nullptr, [&](Scene<P>& scene) {
            return only_error(scene.map(va_at(7 * kGigapageSize), 3 * kPageSize, Permission::read_write(),
                                        scene.file.get(), kPageSize, sharing));
          }) > 0);
  }
}

TEST_CASE_TEMPLATE("in mmap of shared anonymous memory", P, LazyPager, EagerPager) {
  CHECK(fail_in_turn<P>(nullptr, [](Scene<P>& scene) {
          return only_error(scene.map(va_at(7 * kGigapageSize), 3 * kPageSize, Permission::read_write(),
                                      nullptr, 0, Sharing::Shared));
        }) > 0);
}

TEST_CASE_TEMPLATE("in a munmap that splits a mapping", P, LazyPager, EagerPager) {
  CHECK(fail_in_turn<P>(nullptr, [](Scene<P>& scene) {
          return only_error(scene.mm.munmap(pages_at(kStart + 2 * kPageSize, 2)));
        }) > 0);
}

TEST_CASE_TEMPLATE("in a munmap after fork", P, LazyPager, EagerPager) {
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    Child<P> child(scene.world, *scene.mm.fork(), hart_id(1));
    scene.world.machine.fail_allocation(n, true);
    const auto result = scene.mm.munmap(pages_at(kStart + 2 * kPageSize, 2));
    scene.world.machine.fail_allocation(0);
    CHECK(child.read(kStart + 2 * kPageSize) == 3);
    if (result) break;
    CHECK(result.error() == KernelError::OutOfMemory);
    scene.check_contents();
  }
}

TEST_CASE_TEMPLATE("in protect", P, LazyPager, EagerPager) {
  CHECK(fail_in_turn<P>(nullptr, [](Scene<P>& scene) {
          return scene.mm.protect(pages_at(kStart + 2 * kPageSize, 2), Permission::read());
        }) > 0);
}

TEST_CASE_TEMPLATE("in protect after fork, where shared tables are copied", P, LazyPager, EagerPager) {
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    Child<P> child(scene.world, *scene.mm.fork(), hart_id(1));
    scene.world.machine.fail_allocation(n, true);
    const auto result = scene.mm.protect(pages_at(kStart, kPages), Permission::read());
    scene.world.machine.fail_allocation(0);
    CHECK(child.write(kStart, 3).has_value());
    if (result) break;
    CHECK(result.error() == KernelError::OutOfMemory);
    scene.check_contents();
  }
}

TEST_CASE("EagerPager: in the protect that gives a mapping its first right") {
  CHECK(fail_in_turn<EagerPager>(
            [](Scene<EagerPager>& scene) {
              REQUIRE(scene.map(va_at(7 * kGigapageSize), 4 * kPageSize, Permission::none()).has_value());
            },
            [](Scene<EagerPager>& scene) {
              const VaRange range = pages_at(va_at(7 * kGigapageSize), 4);
              const auto result = scene.mm.protect(range, Permission::read());
              if (result) return result;
              CHECK(scene.read(range.start()).error() == KernelError::AccessDenied);
              // The pages that were made before the one that failed are gone again.
              for (Va page = range.start(); page < range.end(); page = page + kPageSize)
                CHECK_FALSE(scene.mm.page_table().walk(page).has_value());
              return result;
            }) > 4);
}

TEST_CASE("LazyPager: in a fault of each kind") {
  struct Row {
    Va va;
    Access access;
  };
  const Row rows[] = {
      {kStart + 3 * kPageSize, Access::Write},   // demand zero
      {kStart + kPageSize, Access::Write},       // the zero page, written
      {kFile + 3 * kPageSize, Access::Read},     // file page
      {kFile + 3 * kPageSize, Access::Write},    // file page, written at once
      {kFile + kPageSize, Access::Write},        // copy-on-write of a cached page
      {kShared + 5 * kPageSize, Access::Write},  // shared file page
  };
  for (const Row& row : rows) {
    fail_in_turn<LazyPager>(nullptr, [&](Scene<LazyPager>& scene) {
      return only_error(user_access(scene.world, hart_id(0), scene.mm, row.va, row.access, 1,
                                    static_cast<std::uint64_t>(MemoryFile::pattern_byte(5 * kPageSize))));
    });
  }
  const Va far = va_at(9 * kGigapageSize);
  CHECK(fail_in_turn<LazyPager>(
            [&](Scene<LazyPager>& scene) { REQUIRE(scene.map(far, kPageSize).has_value()); },
            [&](Scene<LazyPager>& scene) { return only_error(scene.write(far, 1)); }) >=
        3);  // two tables and a page
  CHECK(fail_in_turn<LazyPager>(
            [&](Scene<LazyPager>& scene) { REQUIRE(scene.map(far, kPageSize).has_value()); },
            [&](Scene<LazyPager>& scene) { return only_error(scene.read(far)); }) >= 2);
}

TEST_CASE("LazyPager: in the faults after fork, on both sides") {
  for (bool in_child : {false, true}) {
    for (Access access : {Access::Read, Access::Write}) {
      for (std::uint64_t n = 1;; ++n) {
        Scene<LazyPager> scene;
        Child<LazyPager> child(scene.world, *scene.mm.fork(), hart_id(1));
        scene.world.machine.fail_allocation(n, true);
        const auto result = in_child ? user_access(scene.world, hart_id(1), child.mm, kStart, access, 1, 1)
                                     : user_access(scene.world, hart_id(0), scene.mm, kStart, access, 1, 1);
        scene.world.machine.fail_allocation(0);
        CHECK(child.read(kStart + 2 * kPageSize) == 3);
        scene.check_contents();
        if (result) break;
        CHECK(result.error() == KernelError::OutOfMemory);
        REQUIRE(n < 20);
      }
    }
  }
}

TEST_CASE_TEMPLATE("in fork", P, LazyPager, EagerPager) {
  CHECK(fail_in_turn<P>(nullptr, [](Scene<P>& scene) -> Result<> {
          auto child = scene.mm.fork();
          if (!child) return failure(child.error());
          return {};
        }) > 0);
}

TEST_CASE("EagerPager: in the fault on a page that its file got later") {
  for (std::uint64_t n = 1;; ++n) {
    Scene<EagerPager> scene;
    const Va va = va_at(7 * kGigapageSize);
    REQUIRE(scene.map(va, 2 * kPageSize, Permission::read(), scene.file.get(), (kPages - 1) * kPageSize)
                .has_value());
    REQUIRE(scene.file->write(kPages * kPageSize, "!").has_value());
    scene.world.machine.fail_allocation(n, true);
    const auto result = scene.read(va + kPageSize);
    scene.world.machine.fail_allocation(0);
    scene.check_contents();
    if (result) {
      CHECK(n > 1);
      CHECK(*result == '!');
      break;
    }
    CHECK(result.error() == KernelError::OutOfMemory);
  }
}

TEST_CASE_TEMPLATE("in brk that moves the end of a heap in use", P, LazyPager, EagerPager) {
  const Va heap = va_at(7 * kGigapageSize - kPageSize);
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    scene.mm.set_heap_start(heap);
    REQUIRE(scene.mm.brk(heap + kPageSize) == heap + kPageSize);
    REQUIRE(scene.write(heap, 5).has_value());
    const std::string before = scene.snapshot();
    scene.world.machine.fail_allocation(n, true);
    const Va end = scene.mm.brk(heap + 3 * kPageSize);
    scene.world.machine.fail_allocation(0);
    CHECK(scene.read(heap) == 5);
    if (end == heap + 3 * kPageSize) break;
    CHECK(end == heap + kPageSize);
    CHECK(scene.snapshot() == before);
    REQUIRE(n < 100);
  }
}

TEST_CASE_TEMPLATE("in remap, growing in place and moving", P, LazyPager, EagerPager) {
  fail_in_turn<P>(nullptr, [](Scene<P>& scene) {
    return only_error(scene.mm.remap(pages_at(kFile, kPages), (kPages + 4) * kPageSize, {}));
  });
  CHECK(fail_in_turn<P>(nullptr, [](Scene<P>& scene) {
          return only_error(
              scene.mm.remap(pages_at(kStart + 2 * kPageSize, 3), 5 * kPageSize, {.may_move = true}));
        }) > 0);
}

TEST_CASE_TEMPLATE("in a fixed mmap over others", P, LazyPager, EagerPager) {
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    scene.world.machine.fail_allocation(n, true);
    const auto result =
        scene.mm.mmap(kStart + 2 * kPageSize, 3 * kPageSize, Permission::read(), {.fixed = true});
    scene.world.machine.fail_allocation(0);
    scene.mm.pager().areas().check();
    CHECK(scene.read(kStart) == 1);  // what lies beside it is untouched in any case
    CHECK(scene.read(kStart + 6 * kPageSize) == 7);
    if (result) {
      CHECK(scene.read(kStart + 2 * kPageSize) == 0);
      break;
    }
    CHECK(result.error() == KernelError::OutOfMemory);
  }
}

TEST_CASE_TEMPLATE("in brk, which then leaves the heap as it was", P, LazyPager, EagerPager) {
  const Va heap = va_at(7 * kGigapageSize);
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    scene.mm.set_heap_start(heap);
    scene.world.machine.fail_allocation(n, true);
    const Va end = scene.mm.brk(heap + 3 * kPageSize);
    scene.world.machine.fail_allocation(0);
    scene.check_contents();
    if (end == heap + 3 * kPageSize) break;
    CHECK(end == heap);
    CHECK_FALSE(scene.mm.access_ok(pages_at(heap, 1), Access::Read));
    REQUIRE(n < 100);
  }
}

TEST_CASE_TEMPLATE("in advice", P, LazyPager, EagerPager) {
  for (Advice advice : {Advice::DontNeed, Advice::WillNeed, Advice::Populate}) {
    for (std::uint64_t n = 1; n < 30; ++n) {
      Scene<P> scene;
      scene.world.machine.fail_allocation(n, true);
      const auto result = scene.mm.advise(pages_at(kStart, kPages), advice);
      scene.world.machine.fail_allocation(0);
      scene.mm.pager().areas().check();
      scene.world.machine.check_coherence();
      for (std::uint64_t i = 0; i < kPages; ++i) {
        const auto value = scene.read(kStart + i * kPageSize);
        // Advice not taken keeps the old contents; taken, there are zeroes.
        REQUIRE(value.has_value());
        CHECK((*value == 0 || *value == i + 1));
        if (advice != Advice::DontNeed) CHECK(*value == (i % 2 == 0 ? i + 1 : 0));
      }
      if (result && n > 20) break;
    }
  }
}

TEST_CASE_TEMPLATE("in kernel copies", P, LazyPager, EagerPager) {
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    Child<P> child(scene.world, *scene.mm.fork(), hart_id(1));
    std::array<std::byte, 2 * kPageSize> bytes{};
    scene.world.machine.fail_allocation(n, true);
    const auto result = scene.mm.copy_out(kStart, bytes);
    scene.world.machine.fail_allocation(0);
    CHECK(child.read(kStart) == 1);
    if (result) break;
    CHECK(result.error() == KernelError::BadAddress);
    REQUIRE(n < 50);
  }
}

TEST_SUITE_END();
