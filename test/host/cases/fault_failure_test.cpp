// Every allocation fails in turn (failing.hpp), in a fault of each kind. A page that could not be had is not
// mapped; it comes at the next try. Tables made for it may stay: a fault on another hart may use them
// already. They go with the mapping.

#include <doctest/doctest.h>

#include <array>

#include "kernel/mm/statistics.hpp"
#include "test/host/cases/failing.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

using Lazy = Scene<LazyPager>;

constexpr std::uint8_t kWritten = 222;

/// Tries the first access of a page at kFar, to which no table leads yet. `byte` is what the page begins
/// with.
std::uint64_t fail_first_access(Access access, std::uint64_t byte, const std::function<void(Lazy&)>& map) {
  const auto touch = [&](Lazy& scene) -> Result<> {
    const auto value = user_access(scene.world, hart_id(0), scene.mm, kFar, access, 1, kWritten);
    if (value && access == Access::Read) CHECK(*value == byte);
    return only_error(value);
  };
  const auto try_again = [&](Lazy& scene) {
    CHECK_FALSE(scene.mm.walk(kFar).has_value());
    REQUIRE(touch(scene).has_value());
    CHECK(scene.read(kFar) == (access == Access::Write ? kWritten : byte));
    CHECK(scene.read(kFar + kPageSize - 1).has_value());
    const std::size_t frames = scene.frames();
    REQUIRE(scene.unmap(kFar).has_value());
    CHECK(scene.frames() + 2 <= frames);  // both tables have gone at least
  };
  return fail_in_turn<LazyPager>(
      {.prepare = map, .operation = touch, .changes_nothing = false, .after_error = try_again});
}

std::function<void(Lazy&)> mapping(Sharing sharing, bool of_file) {
  return [=](Lazy& scene) {
    REQUIRE(scene
                .map(kFar, 4 * kPageSize, Permission::read_write(),
                     of_file ? scene.unread_file.get() : nullptr, 0, sharing)
                .has_value());
  };
}

/// Tries an access of a page that the scene has mapped.
std::uint64_t fail_access(Va va, Access access, const std::function<void(Lazy&)>& prepare = nullptr) {
  const auto touch = [&](Lazy& scene) {
    return only_error(user_access(scene.world, hart_id(0), scene.mm, va, access, 1, kWritten));
  };
  return fail_in_turn<LazyPager>({.prepare = prepare, .operation = touch, .changes_nothing = false});
}

}  // namespace

TEST_SUITE_BEGIN("every allocation fails in turn in a fault");

TEST_CASE("LazyPager: every allocation failing in turn in the fault that maps the zero page") {
  CHECK(fail_first_access(Access::Read, 0, mapping(Sharing::Private, false)) == 2);  // two tables
}

TEST_CASE("LazyPager: every allocation failing in turn in the fault that makes a zeroed page") {
  CHECK(fail_first_access(Access::Write, 0, mapping(Sharing::Private, false)) == 3);  // and the page
}

TEST_CASE("LazyPager: every allocation failing in turn in the write fault on the zero page") {
  CHECK(fail_access(kStart + kPageSize, Access::Write) == 1);
}

TEST_CASE("LazyPager: every allocation failing in turn in the read fault on a file, private and shared") {
  for (Sharing sharing : {Sharing::Private, Sharing::Shared})
    CHECK(fail_first_access(Access::Read, Lazy::pattern(0), mapping(sharing, true)) > 3);
}

TEST_CASE("LazyPager: every allocation failing in turn in the write fault on a file, private and shared") {
  for (Sharing sharing : {Sharing::Private, Sharing::Shared})
    CHECK(fail_first_access(Access::Write, Lazy::pattern(0), mapping(sharing, true)) > 3);
}

TEST_CASE("LazyPager: every allocation failing in turn in the faults on shared anonymous memory") {
  for (Access access : {Access::Read, Access::Write})
    CHECK(fail_first_access(access, 0, mapping(Sharing::Shared, false)) > 2);
}

TEST_CASE("LazyPager: every allocation failing in turn in the copy-on-write fault on a file's page") {
  CHECK(fail_access(kFile + kPageSize, Access::Write) == 1);
}

TEST_CASE(
    "LazyPager: every allocation failing in turn in the first write to a shared file page read before") {
  fail_access(kShared + 5 * kPageSize, Access::Write,
              [](Lazy& scene) { REQUIRE(scene.read(kShared + 5 * kPageSize).has_value()); });
}

TEST_CASE("LazyPager: every allocation failing in turn in the faults after fork, on both sides") {
  for (bool in_child : {false, true}) {
    for (Access access : {Access::Read, Access::Write}) {
      const auto touch = [&](Lazy& scene) {
        MmStruct<LazyPager>& mm = in_child ? scene.child->mm : scene.mm;
        return only_error(user_access(scene.world, hart_id(in_child ? 1 : 0), mm, kStart, access, 1, 1));
      };
      // The shared table is copied; to write, the page as well.
      const std::uint64_t needed = access == Access::Write ? 2 : 1;
      CHECK(fail_in_turn<LazyPager>(
                {.prepare = &Lazy::fork_child, .operation = touch, .changes_nothing = false}) == needed);
    }
  }
}

TEST_CASE("LazyPager: the fault that takes over a table whose other owner has gone needs no memory") {
  const std::uint64_t before = counter_total(Counter::TableTakeover);
  CHECK(fail_access(kStart, Access::Write, [](Lazy& scene) {
          scene.fork_child();
          scene.child = nullptr;
        }) == 0);
  CHECK(counter_total(Counter::TableTakeover) == before + 2);  // once for each way that allocations fail
}

TEST_CASE(
    "LazyPager: the copy-on-write fault that takes over a page whose other owner has gone needs no memory") {
  const std::uint64_t before = counter_total(Counter::CopyOnWriteTakeover);
  CHECK(fail_access(kStart, Access::Write, [](Lazy& scene) {
          scene.fork_child();
          REQUIRE(scene.child->read(kStart).has_value());  // by a copy of the table
          scene.child = nullptr;
        }) == 0);
  CHECK(counter_total(Counter::CopyOnWriteTakeover) == before + 2);
}

TEST_CASE("EagerPager: every allocation failing in turn in the fault on a page that its file got later") {
  const Va last = kFar + kPageSize;
  const auto prepare = [&](Scene<EagerPager>& scene) {
    REQUIRE(scene.map(kFar, 2 * kPageSize, Permission::read(), scene.file.get(), (kPages - 1) * kPageSize)
                .has_value());
    REQUIRE(scene.file->write(kPages * kPageSize, "!").has_value());
  };
  const auto touch = [&](Scene<EagerPager>& scene) { return only_error(scene.read(last)); };
  const auto try_again = [&](Scene<EagerPager>& scene) {
    CHECK_FALSE(scene.mm.walk(last).has_value());
    CHECK(scene.read(last) == '!');
  };
  CHECK(fail_in_turn<EagerPager>({.prepare = prepare, .operation = touch, .after_error = try_again}) > 0);
}

TEST_CASE_TEMPLATE("every allocation failing in turn in kernel copies", P, EVERY_PAGER) {
  for (std::uint64_t n = 1;; ++n) {
    Scene<P> scene;
    scene.fork_child();
    std::array<std::byte, 2 * kPageSize> bytes{};
    scene.world.machine.fail_allocation(n, true);
    const auto result = scene.mm.copy_out(kStart, bytes);
    scene.world.machine.fail_allocation(0);
    scene.check_child();
    CHECK(scene.read(kStart + 2 * kPageSize) == 3);
    if (result) {
      CHECK((n > 1) == !P::kTraits.loads_in_mmap);
      break;
    }
    CHECK(result.error() == KernelError::OutOfMemory);
    REQUIRE(n < 50);
  }
}

TEST_SUITE_END();
