// Truncation against faults, fork and mremap, in every order of their steps.

#include "test/host/cases/truncation_stage.hpp"

namespace faultline::sim {
namespace {

constexpr std::array kEachSharing = {Sharing::Shared, Sharing::Private};
constexpr std::array kReadAndWrite = {Access::Read, Access::Write};
constexpr VaRange kBehind(kBoth.end(), kBoth.end() + kPageSize);

}  // namespace

TEST_SUITE_BEGIN("truncation");

TEST_CASE_TEMPLATE(
    "a fault gets the page that truncation takes away before it goes, or an error, in any order", P,
    LazyPager, EagerPager) {
  for (const Sharing sharing : kEachSharing) {
    for (const Access how : kReadAndWrite) {
      CAPTURE(sharing == Sharing::Shared);
      CAPTURE(how == Access::Write);
      const std::size_t orders =
          run_all_orders<P>(sharing, Other::Faults, map_and_grow<P>,
                            [how](Stage<P>& stage) { stage.access_page_that_goes(how); });
      CHECK(orders > 100);
    }
  }
}

TEST_CASE(
    "a fault that reads the page from the device, for which truncation waits, leaves nothing, in any order") {
  const std::size_t orders = run_all_orders<LazyPager>(
      Sharing::Shared, Other::Faults,
      [](Stage<LazyPager>& stage) {
        CHECK(stage.file->page(0).has_value());
        stage.map(kBoth);
        stage.file->grow(2 * kPageSize);
      },
      [](Stage<LazyPager>& stage) { stage.access_page_that_goes(Access::Read); });
  CHECK(orders > 100);
}

TEST_CASE("a fault maps no neighbour that truncation takes away, in any order") {
  const std::size_t orders = run_all_orders<LazyPager>(
      Sharing::Shared, Other::Faults, map_and_grow<LazyPager>,
      [](Stage<LazyPager>& stage) { CHECK(stage.access(kStays, Access::Read) == kContents); });
  CHECK(orders > 100);
}

TEST_CASE(
    "a write to a page that was read, or written, before succeeds before truncation takes the page, or not "
    "at all, in any order") {
  for (const Sharing sharing : kEachSharing) {
    for (const Access before : kReadAndWrite) {
      CAPTURE(sharing == Sharing::Shared);
      CAPTURE(before == Access::Write);
      const std::size_t orders = run_all_orders<LazyPager>(
          sharing, Other::Faults,
          [before](Stage<LazyPager>& stage) {
            map_and_grow(stage);
            CHECK(stage.access(kGoes, before).has_value());
            CHECK(stage.access(kGoes, Access::Read, kTruncating).has_value());
          },
          [](Stage<LazyPager>& stage) { stage.access_page_that_goes(Access::Write); });
      CHECK(orders > (before == Access::Read ? 100 : 5));
    }
  }
}

TEST_CASE("mmap makes no page that truncation takes away, in any order") {
  for (const Sharing sharing : kEachSharing) {
    CAPTURE(sharing == Sharing::Shared);
    const std::size_t orders =
        run_all_orders<EagerPager>(sharing, Other::ChangesMappings, grow<EagerPager>,
                                   [](Stage<EagerPager>& stage) { stage.map(kSecond); });
    CHECK(orders > 100);
  }
}

TEST_CASE(
    "fork that copies or shares a table leaves a child nothing that truncation takes away, in any order") {
  for (const Sharing sharing : kEachSharing) {
    for (const std::uint64_t entries_copied : {16, 0}) {
      CAPTURE(sharing == Sharing::Shared);
      CAPTURE(entries_copied);
      files_in_steps::entries_copied_at_fork = entries_copied;
      const std::size_t orders = run_all_orders<LazyPager>(
          sharing, Other::ChangesMappings,
          [](Stage<LazyPager>& stage) {
            map_and_grow(stage);
            CHECK(stage.access(kGoes, Access::Read).has_value());
            CHECK(stage.access(kGoes, Access::Read, kTruncating).has_value());
          },
          [](Stage<LazyPager>& stage) { stage.fork(); });
      CHECK(orders > 10);
    }
  }
}

TEST_CASE(
    "who takes a copy of a table shared by fork gets nothing that truncation takes away, in any order") {
  files_in_steps::entries_copied_at_fork = 0;
  for (const HartId side : {kOther, kChilds}) {
    CAPTURE(side == kChilds);
    const std::size_t orders = run_all_orders<LazyPager>(
        Sharing::Private, Other::Faults,
        [](Stage<LazyPager>& stage) {
          map_and_grow(stage);
          CHECK(stage.access(kGoes, Access::Read).has_value());
          stage.fork();
        },
        [side](Stage<LazyPager>& stage) { stage.access_page_that_goes(Access::Read, side); });
    CHECK(orders > 100);
  }
}

TEST_CASE("fork that copies pages copies none that truncation takes away, in any order") {
  for (const Sharing sharing : kEachSharing) {
    CAPTURE(sharing == Sharing::Shared);
    const std::size_t orders = run_all_orders<EagerPager>(
        sharing, Other::ChangesMappings,
        [](Stage<EagerPager>& stage) {
          grow(stage);
          stage.map(kSecond, Permission::read());
        },
        [](Stage<EagerPager>& stage) { stage.fork(); });
    CHECK(orders > 100);
  }
}

TEST_CASE_TEMPLATE("mremap carries no page past truncation, in any order", P, LazyPager, EagerPager) {
  for (const Sharing sharing : kEachSharing) {
    CAPTURE(sharing == Sharing::Shared);
    const std::size_t orders = run_all_orders<P>(
        sharing, Other::ChangesMappings,
        [](Stage<P>& stage) {
          grow(stage);
          stage.map(kSecond);
          CHECK(stage.access(kGoes, Access::Read).has_value());
        },
        [](Stage<P>& stage) { CHECK(stage.move(kSecond, kPageSize).has_value()); }, kElsewhere);
    CHECK(orders > 100);
  }
}

/// All orders of truncation and of an attempt at what takes memory, which lacks it once at each place in
/// turn.
void run_all_orders_failing_in_turn(auto&& prepare, auto&& attempt, Va page = kGoes) {
  bool succeeded = false;
  for (std::uint64_t allocation = 1; !succeeded; ++allocation) {
    CAPTURE(allocation);
    const std::size_t orders = run_all_orders<EagerPager>(
        Sharing::Shared, Other::ChangesMappings,
        [&](Stage<EagerPager>& stage) {
          grow(stage);
          prepare(stage);
        },
        [&](Stage<EagerPager>& stage) {
          Machine::current().fail_allocation(allocation);
          const auto done = attempt(stage);
          Machine::current().fail_allocation(0);
          succeeded = done.has_value();
          if (!succeeded) CHECK(done.error() == KernelError::OutOfMemory);
        },
        page);
    CHECK(orders > 1);
  }
}

TEST_CASE(
    "mremap that makes pages makes none that truncation takes away, and if memory runs out frees no table in "
    "which truncation looks for pages, in any order") {
  run_all_orders_failing_in_turn([](Stage<EagerPager>& stage) { stage.map(kFirst); },
                                 [](Stage<EagerPager>& stage) { return stage.move(kFirst, 2 * kPageSize); },
                                 kElsewhere + kPageSize);
}

TEST_CASE("mprotect that runs out of memory takes back what truncation may have taken, in any order") {
  run_all_orders_failing_in_turn(
      [](Stage<EagerPager>& stage) {
        stage.map(kSecond, Permission::none());
        CHECK(
            stage.mm.mmap(kBehind.start(), kBehind.size(), Permission::none(), {.fixed = true}).has_value());
      },
      [](Stage<EagerPager>& stage) {
        return stage.mm.protect(VaRange(kGoes, kBehind.end()), Permission::read_write());
      });
}

TEST_CASE("contents that start over are written to no page that truncation takes away, in any order") {
  const std::size_t orders = run_all_orders<EagerPager>(
      Sharing::Private, Other::Faults,
      [](Stage<EagerPager>& stage) {
        grow(stage);
        stage.map(kSecond);
      },
      [](Stage<EagerPager>& stage) {
        const Result<> done = stage.mm.advise(kSecond, files_in_steps::Advice::DontNeed);
        CHECK(done.has_value());
      });
  CHECK(orders > 20);
}

TEST_SUITE_END();

}  // namespace faultline::sim
