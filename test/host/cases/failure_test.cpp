// Every allocation fails in turn (failing.hpp), in each operation on a layout.

#include <doctest/doctest.h>

#include "test/host/cases/failing.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

/// brk, as a Result: it says that there was no memory by the old end.
template <class P>
Result<> move_heap_end(Scene<P>& scene, Va end) {
  const Va before = scene.mm.heap_end();
  const Va now = scene.mm.brk(end);
  if (now == end) return {};
  CHECK(now == before);
  return failure(KernelError::OutOfMemory);
}

}  // namespace

TEST_SUITE_BEGIN("every allocation fails in turn");

TEST_CASE_TEMPLATE("every allocation failing in turn in mmap of anonymous memory", P, EVERY_PAGER) {
  const auto map = [](Scene<P>& scene) { return only_error(scene.map(kFar, 3 * kPageSize)); };
  CHECK(fail_in_turn<P>({.operation = map}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in mmap of a file, private and shared", P, EVERY_PAGER) {
  for (Sharing sharing : {Sharing::Private, Sharing::Shared}) {
    const auto map = [&](Scene<P>& scene) {
      return only_error(scene.map(kFar, 3 * kPageSize, Permission::read_write(), scene.unread_file.get(),
                                  kPageSize, sharing));
    };
    CHECK(fail_in_turn<P>({.operation = map}) > 0);
  }
}

TEST_CASE_TEMPLATE("every allocation failing in turn in mmap of shared anonymous memory", P, EVERY_PAGER) {
  const auto map = [](Scene<P>& scene) {
    return only_error(scene.map(kFar, 3 * kPageSize, Permission::read_write(), nullptr, 0, Sharing::Shared));
  };
  CHECK(fail_in_turn<P>({.operation = map}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in mmap at a fixed place over others", P, EVERY_PAGER) {
  const VaRange place = pages_at(kStart + 2 * kPageSize, 3);
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    scene.world.machine.fail_allocation(n, true);
    const auto result = scene.mm.mmap(place.start(), place.size(), Permission::read(), {.fixed = true});
    scene.world.machine.fail_allocation(0);
    scene.mm.pager().areas().check();
    scene.world.machine.check_coherence();
    for (std::uint64_t i : {0, 1, 5, 6, 7})  // what lies beside it is untouched in any case
      CHECK(scene.read(kStart + i * kPageSize) == (i % 2 == 0 ? i + 1 : 0));
    if (result) {
      CHECK(n > 1);
      CHECK(scene.read(place.start()) == 0);
      break;
    }
    CHECK(result.error() == KernelError::OutOfMemory);
    // All of the old mapping, or, once it has gone, nothing.
    const bool there = scene.mm.access_ok(pages_at(place.start(), 1), Access::Read);
    for (std::uint64_t i = 2; i < 5; ++i) {
      const auto value = scene.read(kStart + i * kPageSize);
      if (there) CHECK(value == (i % 2 == 0 ? i + 1 : 0));
      if (!there) CHECK(value.error() == KernelError::NotMapped);
    }
  }
}

TEST_CASE_TEMPLATE("every allocation failing in turn in a munmap that splits a mapping", P, EVERY_PAGER) {
  const auto unmap = [](Scene<P>& scene) {
    return only_error(scene.mm.munmap(pages_at(kStart + 2 * kPageSize, 2)));
  };
  CHECK(fail_in_turn<P>({.operation = unmap}) > 0);
}

TEST_CASE_TEMPLATE("a munmap of a whole mapping needs no memory", P, EVERY_PAGER) {
  const auto unmap = [](Scene<P>& scene) { return only_error(scene.unmap(kStart)); };
  CHECK(fail_in_turn<P>({.operation = unmap}) == 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in a munmap after fork", P, EVERY_PAGER) {
  const auto unmap = [](Scene<P>& scene) {
    return only_error(scene.mm.munmap(pages_at(kStart + 2 * kPageSize, 2)));
  };
  // The tables of its own that were made before the one that could not be had stay; the child has the shared
  // ones.
  CHECK(fail_in_turn<P>({.prepare = &Scene<P>::fork_child, .operation = unmap, .changes_nothing = false}) >
        0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in protect", P, EVERY_PAGER) {
  const auto protect = [](Scene<P>& scene) {
    return scene.mm.protect(pages_at(kStart + 2 * kPageSize, 2), Permission::read());
  };
  CHECK(fail_in_turn<P>({.operation = protect}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in protect after fork, where shared tables are copied",
                   P, EVERY_PAGER) {
  const auto protect = [](Scene<P>& scene) {
    return scene.mm.protect(pages_at(kStart + kPageSize, kPages - 1), Permission::read());
  };
  CHECK(fail_in_turn<P>({.prepare = &Scene<P>::fork_child, .operation = protect, .changes_nothing = false}) >
        0);
}

TEST_CASE(
    "EagerPager: every allocation failing in turn in the protect that gives a mapping its first right") {
  const Va start = va_at(kFar.value() - 2 * kPageSize);  // over a boundary of 1 GiB
  for (bool of_file : {false, true}) {
    for (const VaRange part : {pages_at(start, 5), pages_at(start + kPageSize, 3)}) {
      const auto prepare = [&](Scene<EagerPager>& scene) {
        RegularFile* const file = of_file ? scene.unread_file.get() : nullptr;
        REQUIRE(scene.map(start, 5 * kPageSize, Permission::none(), file).has_value());
      };
      const auto protect = [&](Scene<EagerPager>& scene) {
        return scene.mm.protect(part, Permission::read());
      };
      const auto refused = [&](Scene<EagerPager>& scene) {
        CHECK(scene.read(part.start()).error() == KernelError::AccessDenied);
      };
      // Four tables and the pages.
      CHECK(fail_in_turn<EagerPager>({.prepare = prepare, .operation = protect, .after_error = refused}) >=
            4 + part.pages());
    }
  }
}

TEST_CASE_TEMPLATE("every allocation failing in turn in fork", P, EVERY_PAGER) {
  const auto fork = [](Scene<P>& scene) { return only_error(scene.mm.fork()); };
  // The parent's tables may be marked as shared already, by it alone.
  const std::uint64_t failures = fail_in_turn<P>({.operation = fork, .changes_nothing = false});
  CHECK(failures > 3);  // three areas
}

TEST_CASE_TEMPLATE("every allocation failing in turn in brk that makes the heap", P, EVERY_PAGER) {
  const auto prepare = [](Scene<P>& scene) { scene.mm.set_heap_start(kFar); };
  const auto grow = [](Scene<P>& scene) { return move_heap_end(scene, kFar + 3 * kPageSize); };
  CHECK(fail_in_turn<P>({.prepare = prepare, .operation = grow}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in brk that moves the end of a heap in use", P,
                   EVERY_PAGER) {
  const Va heap = va_at(kFar.value() - kPageSize);
  const auto prepare = [&](Scene<P>& scene) {
    scene.mm.set_heap_start(heap);
    REQUIRE(scene.mm.brk(heap + kPageSize) == heap + kPageSize);
    REQUIRE(scene.write(heap, 5).has_value());
  };
  const auto grow = [&](Scene<P>& scene) { return move_heap_end(scene, heap + 3 * kPageSize); };
  const auto kept = [&](Scene<P>& scene) { CHECK(scene.read(heap) == 5); };
  const std::uint64_t failures =
      fail_in_turn<P>({.prepare = prepare, .operation = grow, .after_error = kept});
  CHECK((failures > 0) == P::kTraits.loads_in_mmap);  // the others only move the end of the area
}

TEST_CASE_TEMPLATE("every allocation failing in turn in a remap that grows in place", P, EVERY_PAGER) {
  const auto grow = [](Scene<P>& scene) {
    return only_error(scene.mm.remap(pages_at(kFile, kPages), (kPages + 4) * kPageSize, {}));
  };
  fail_in_turn<P>({.operation = grow});
  const auto grow_anonymous = [](Scene<P>& scene) {
    return only_error(scene.mm.remap(pages_at(kStart, kPages), (kPages + 4) * kPageSize, {}));
  };
  CHECK((fail_in_turn<P>({.operation = grow_anonymous}) > 0) == P::kTraits.loads_in_mmap);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in a remap that moves, grows and splits", P,
                   EVERY_PAGER) {
  const auto move = [](Scene<P>& scene) {
    return only_error(scene.mm.remap(pages_at(kStart + 2 * kPageSize, 3), 5 * kPageSize, {.may_move = true}));
  };
  CHECK(fail_in_turn<P>({.operation = move}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in a remap after fork", P, EVERY_PAGER) {
  const auto move = [](Scene<P>& scene) {
    return only_error(scene.mm.remap(pages_at(kStart + 2 * kPageSize, 3), 3 * kPageSize,
                                     {.may_move = true, .fixed = kFar}));
  };
  CHECK(fail_in_turn<P>({.prepare = &Scene<P>::fork_child, .operation = move, .changes_nothing = false}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in advice", P, EVERY_PAGER) {
  for (Advice advice : {Advice::DontNeed, Advice::WillNeed, Advice::Populate}) {
    for (bool forked : {false, true}) {
      const auto advise = [&](Scene<P>& scene) -> Result<> {
        const auto taken = scene.mm.advise(pages_at(kStart, kPages), advice);
        for (std::uint64_t i = 0; i < kPages && taken; ++i) {
          scene.world.machine.fail_allocation(0);
          const bool emptied = advice == Advice::DontNeed || i % 2 != 0;
          REQUIRE(scene.read(kStart + i * kPageSize) == (emptied ? 0 : i + 1));
        }
        return taken;
      };
      Trial<P> trial{.operation = advise, .changes_nothing = !forked};
      if (forked) trial.prepare = &Scene<P>::fork_child;
      fail_in_turn<P>(trial);
    }
  }
}

TEST_SUITE_END();
