// Timers, and the one hardware timer of each hart that serves them all.

#include "kernel/riscv/timer.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "kernel/dev/clock.hpp"
#include "kernel/riscv/csr.hpp"
#include "kernel/riscv/sbi.hpp"
#include "test/host/machine/machine.hpp"

using namespace faultline;
using namespace faultline::sim;

void sbi::set_timer(std::uint64_t) { FAIL("the hart has stimecmp"); }

namespace {

constexpr auto kHere = HartId(0), kThere = HartId(1);

class Alarm final : public Timer {
 public:
  ~Alarm() { cancel(); }
  /// When it has rung, and where.
  std::vector<std::uint64_t> rings;
  std::vector<HartId> places;

 private:
  void expired() override {
    rings.push_back(csr::time);
    places.push_back(platform::current_hart());
  }
};

/// Two harts whose time goes on when the test says so, from one interrupt to the next.
class Clocks {
 public:
  Clocks() {
    csr::time = 0;
    for (HartId hart : {kHere, kThere}) on(hart, [] { timer::initialize_hart(true); });
  }

  void on(HartId hart, auto&& work) {
    OnHart there(hart);
    work();
  }
  void start(HartId hart, Timer& timer, std::uint64_t deadline) {
    on(hart, [&] { timer.start(Ticks(deadline)); });
  }
  /// When the hart's next interrupt comes.
  std::uint64_t armed(HartId hart) { return csr::compare[hart]; }

  void run_until(std::uint64_t end) {
    for (;;) {
      const HartId next = armed(kThere) < armed(kHere) ? kThere : kHere;
      if (armed(next) > end) break;
      csr::time = std::max(csr::time, armed(next));
      on(next, [] { interrupt(); });
    }
    csr::time = end;
  }

  /// As the kernel serves it.
  static void interrupt() {
    timer::acknowledge();
    clock::run_expired_timers();
    timer::program(clock::next_timer());
  }
};

}  // namespace

TEST_SUITE_BEGIN("timers");

TEST_CASE(
    "a timer that is due before the one that is armed brings the interrupt forward; the other follows") {
  Clocks clocks;
  Alarm late, early;
  clocks.start(kHere, late, 1000);
  CHECK(clocks.armed(kHere) == 1000);
  clocks.start(kHere, early, 100);
  CHECK(clocks.armed(kHere) == 100);
  clocks.run_until(500);
  CHECK(early.rings == std::vector<std::uint64_t>{100});
  CHECK(late.rings.empty());
  clocks.run_until(2000);
  CHECK(early.rings.size() == 1);
  CHECK(late.rings == std::vector<std::uint64_t>{1000});
}

TEST_CASE("a timer that is due after the one that is armed leaves the interrupt where it is") {
  Clocks clocks;
  Alarm late, early;
  clocks.start(kHere, early, 100);
  clocks.start(kHere, late, 1000);
  CHECK(clocks.armed(kHere) == 100);
  clocks.run_until(2000);
  CHECK(early.rings == std::vector<std::uint64_t>{100});
  CHECK(late.rings == std::vector<std::uint64_t>{1000});
}

TEST_CASE("a timer that is moved to an earlier time rings then, and only then") {
  Clocks clocks;
  Alarm alarm;
  clocks.start(kHere, alarm, 1000);
  clocks.start(kHere, alarm, 100);
  clocks.run_until(2000);
  CHECK(alarm.rings == std::vector<std::uint64_t>{100});
}

TEST_CASE(
    "a timer that another hart moves to an earlier time rings on that hart, before what is armed there") {
  Clocks clocks;
  Alarm moved, other;
  clocks.start(kHere, moved, 1000);
  clocks.start(kThere, other, 500);
  clocks.start(kThere, moved, 100);
  CHECK(clocks.armed(kThere) == 100);
  clocks.run_until(2000);
  CHECK(moved.rings == std::vector<std::uint64_t>{100});
  CHECK(moved.places == std::vector<HartId>{kThere});
  CHECK(other.rings == std::vector<std::uint64_t>{500});
}

TEST_CASE("a deadline in the past is due at once") {
  Clocks clocks;
  Alarm alarm;
  clocks.run_until(700);
  clocks.start(kHere, alarm, 300);
  clocks.run_until(700);
  CHECK(alarm.rings == std::vector<std::uint64_t>{700});
}

TEST_CASE("a hart that waits for nothing still has an interrupt to come") {
  Clocks clocks;
  const std::uint64_t idle = clocks.armed(kHere);
  CHECK(idle < Ticks::forever().count());
  clocks.run_until(idle);
  CHECK(clocks.armed(kHere) > idle);
  CHECK(clocks.armed(kHere) < Ticks::forever().count());
}

TEST_CASE("an interrupt before its time is taken back, which takes a write, and comes again in time") {
  Clocks clocks;
  Alarm alarm;
  clocks.start(kHere, alarm, 1000);
  csr::compare[kHere] = 0;  // as a hart does that has not seen the last write yet
  clocks.on(kHere, [] { Clocks::interrupt(); });
  CHECK(alarm.rings.empty());
  CHECK(clocks.armed(kHere) == 1000);
  clocks.run_until(1000);
  CHECK(alarm.rings == std::vector<std::uint64_t>{1000});
}

TEST_CASE("a cancelled timer does not ring, and those beside it do") {
  Clocks clocks;
  Alarm first, second;
  clocks.start(kHere, first, 100);
  clocks.start(kHere, second, 200);
  clocks.on(kThere, [&] { first.cancel(); });
  clocks.run_until(1000);
  CHECK(first.rings.empty());
  CHECK(second.rings == std::vector<std::uint64_t>{200});
}

TEST_SUITE_END();
