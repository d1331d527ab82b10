// Several harts at once in one space: faults, mapping, fork, truncation. Meant for ThreadSanitizer too, so
// these cases provoke meetings rather than check every byte; the random sequences do that on one thread.

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <functional>

#include "test/host/space.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

constexpr unsigned kThreads = 4;
/// Another thread may undo what a fault did, any number of times.
constexpr unsigned kManyFaults = 100000;
const Va kStart = va_at(0x4000'0000);

/// One space, run by the first kThreads harts.
template <class P>
class Crowd : public Process<P> {
 public:
  Crowd() {
    this->world.check_switches = false;
    for (unsigned i = 1; i < kThreads; ++i) this->world.run(hart_id(i), this->mm.space());
  }
  Result<std::uint64_t> load(Va va) {
    return user_access(this->world, platform::current_hart(), this->mm, va, Access::Read, 8, 0, kManyFaults);
  }
  Result<std::uint64_t> store(Va va, std::uint64_t value) {
    return user_access(this->world, platform::current_hart(), this->mm, va, Access::Write, 8, value,
                       kManyFaults);
  }
  /// work(i) on hart i, all at the same time.
  void together(const std::function<void(unsigned)>& work) {
    std::vector<std::function<void()>> all;
    for (unsigned i = 0; i < kThreads; ++i) all.push_back([&work, i] { work(i); });
    this->world.machine.run_in_parallel(all);
    this->world.machine.check_coherence();
  }
};

}  // namespace

TEST_SUITE_BEGIN("threads");

TEST_CASE_TEMPLATE("harts that fault on the same pages at once see one page each", P, EVERY_PAGER) {
  Crowd<P> crowd;
  constexpr std::uint64_t kPages = 200;
  REQUIRE(crowd.map(kStart, kPages * kPageSize).has_value());
  crowd.together([&](unsigned me) {
    for (std::uint64_t i = 0; i < kPages; ++i) {
      CHECK(crowd.store(kStart + i * kPageSize + 8 * me, i + me).has_value());
    }
  });
  for (std::uint64_t i = 0; i < kPages; ++i) {
    for (unsigned t = 0; t < kThreads; ++t) CHECK(crowd.load(kStart + i * kPageSize + 8 * t) == i + t);
  }
  CHECK(crowd.resident() == kPages);
}

TEST_CASE_TEMPLATE("harts that fault in different regions do not disturb each other", P, EVERY_PAGER) {
  Crowd<P> crowd;
  constexpr std::uint64_t kPages = 100;
  REQUIRE(crowd.map(kStart, kThreads * kMegapageSize).has_value());
  crowd.together([&](unsigned me) {
    const Va mine = kStart + me * kMegapageSize;
    for (std::uint64_t i = 0; i < kPages; ++i) CHECK(crowd.load(mine + i * kPageSize) == 0u);
    for (std::uint64_t i = 0; i < kPages; ++i)
      CHECK(crowd.store(mine + i * kPageSize, me * 1000 + i).has_value());
    for (std::uint64_t i = 0; i < kPages; ++i) CHECK(crowd.load(mine + i * kPageSize) == me * 1000 + i);
  });
}

TEST_CASE_TEMPLATE("one file page faulted by all harts at once is read once and shared", P, EVERY_PAGER) {
  Crowd<P> crowd;
  Ref<MemoryFile> file = MemoryFile::with_pattern(64 * kPageSize);
  REQUIRE(crowd.map(kStart, 64 * kPageSize, Permission::read_write(), file.get(), 0, Sharing::Shared)
              .has_value());
  crowd.together([&](unsigned me) {
    for (std::uint64_t i = 0; i < 64; ++i) {
      std::uint64_t expected = 0;
      for (unsigned b = 0; b < 8; ++b) {
        expected |= static_cast<std::uint64_t>(MemoryFile::pattern_byte(i * kPageSize + 1024 + b)) << (8 * b);
      }
      CHECK(crowd.load(kStart + i * kPageSize + 1024) == expected);
      CHECK(crowd.store(kStart + i * kPageSize + 8 * me, i).has_value());
    }
  });
  CHECK(file->reads <= 64);
  for (std::uint64_t i = 0; i < 64; ++i) CHECK(file->read(i * kPageSize + 24) == i);
}

TEST_CASE_TEMPLATE("harts map, touch and unmap their own ranges while others do the same", P, EVERY_PAGER) {
  Crowd<P> crowd;
  crowd.together([&](unsigned me) {
    for (std::uint64_t round = 0; round < 60; ++round) {
      const auto range = crowd.mm.mmap(va_at(0), (1 + round % 5) * kPageSize, Permission::read_write());
      REQUIRE(range.has_value());
      for (std::uint64_t i = 0; i < range->pages(); ++i) {
        CHECK(crowd.load(range->start() + i * kPageSize) == 0u);
        CHECK(crowd.store(range->start() + i * kPageSize, me + 1).has_value());
      }
      for (std::uint64_t i = 0; i < range->pages(); ++i) {
        CHECK(crowd.load(range->start() + i * kPageSize) == me + 1);
      }
      if (round % 3 == 0) CHECK(crowd.mm.protect(*range, Permission::read()).has_value());
      CHECK(crowd.mm.munmap(*range) == range->size());
    }
  });
  CHECK(crowd.mm.pager().areas().empty());
  CHECK(crowd.frames() == 0);
}

TEST_CASE_TEMPLATE("while one hart forks again and again, no write of the others reaches a child", P,
                   EVERY_PAGER) {
  Crowd<P> crowd;
  constexpr std::uint64_t kPages = 16;
  REQUIRE(crowd.map(kStart, kPages * kPageSize).has_value());
  std::atomic<bool> stop = false;
  crowd.together([&](unsigned me) {
    if (me != 0) {
      for (std::uint64_t value = 1; !stop; ++value) {
        for (std::uint64_t i = 0; i < kPages; ++i)
          CHECK(crowd.store(kStart + i * kPageSize + 8 * me, value).has_value());
      }
      return;
    }
    for (int round = 0; round < 25; ++round) {
      auto forked = crowd.mm.fork();
      REQUIRE(forked.has_value());
      MmStruct<P> child = *std::move(forked);
      crowd.world.run(hart_id(7), child.space());
      auto in_child = [&](Va va) { return user_access(crowd.world, hart_id(7), child, va, Access::Read, 8); };
      std::array<std::uint64_t, kPages * kThreads> first;
      for (std::size_t i = 0; i < first.size(); ++i) {
        first[i] = in_child(kStart + (i / kThreads) * kPageSize + 8 * (i % kThreads)).value();
      }
      for (std::size_t i = 0; i < first.size(); ++i) {
        CHECK(in_child(kStart + (i / kThreads) * kPageSize + 8 * (i % kThreads)) == first[i]);
      }
      crowd.world.leave(hart_id(7));
    }
    stop = true;
  });
}

TEST_CASE_TEMPLATE("harts fault, map and fork in one space, all at once", P, EVERY_PAGER) {
  Crowd<P> crowd;
  constexpr std::uint64_t kPages = 24;
  REQUIRE(crowd.map(kStart, kPages * kPageSize).has_value());
  crowd.together([&](unsigned me) {
    for (std::uint64_t round = 1; round <= 12; ++round) {
      for (std::uint64_t i = 0; i < kPages; ++i)
        CHECK(crowd.store(kStart + i * kPageSize + 8 * me, round).has_value());
      const auto mine = crowd.mm.mmap(va_at(0), 2 * kPageSize, Permission::read_write());
      REQUIRE(mine.has_value());
      CHECK(crowd.store(mine->start(), round).has_value());
      auto forked = crowd.mm.fork();
      REQUIRE(forked.has_value());
      CHECK(crowd.store(mine->start(), round + 1).has_value());
      // Through the kernel: no hart is free to run the child.
      CHECK(forked->template copy_in<std::uint64_t>(mine->start()) == round);
      CHECK(forked->template copy_in<std::uint64_t>(kStart + 8 * me) == round);
      CHECK(forked->copy_out(kStart + 8 * me, std::uint64_t{0}).has_value());
      CHECK(crowd.load(kStart + 8 * me) == round);
      CHECK(crowd.mm.munmap(*mine) == mine->size());
    }
  });
  for (std::uint64_t i = 0; i < kPages; ++i) {
    for (unsigned t = 0; t < kThreads; ++t) CHECK(crowd.load(kStart + i * kPageSize + 8 * t) == 12u);
  }
  CHECK(crowd.mm.pager().areas().count() == 1);
}

TEST_CASE_TEMPLATE("write-protecting under writers: after protect returns no write comes through", P,
                   EVERY_PAGER) {
  Crowd<P> crowd;
  REQUIRE(crowd.map(kStart, kPageSize).has_value());
  std::atomic<bool> stop = false;
  crowd.together([&](unsigned me) {
    if (me != 0) {
      for (std::uint64_t value = 1; !stop; ++value) {
        const auto stored = crowd.store(kStart + 8 * me, value);
        if (!stored) CHECK(stored.error() == KernelError::AccessDenied);
      }
      return;
    }
    for (int round = 0; round < 100; ++round) {
      REQUIRE(crowd.mm.protect(pages_at(kStart, 1), Permission::read()).has_value());
      std::array<std::uint64_t, kThreads> seen;
      for (unsigned t = 1; t < kThreads; ++t) seen[t] = crowd.load(kStart + 8 * t).value();
      for (int again = 0; again < 10; ++again) {
        for (unsigned t = 1; t < kThreads; ++t) CHECK(crowd.load(kStart + 8 * t) == seen[t]);
      }
      REQUIRE(crowd.mm.protect(pages_at(kStart, 1), Permission::read_write()).has_value());
    }
    stop = true;
  });
}

TEST_CASE_TEMPLATE("a file that is truncated and written again and again under its readers", P, EVERY_PAGER) {
  Crowd<P> crowd;
  Ref<MemoryFile> file = MemoryFile::with_pattern(8 * kPageSize);
  REQUIRE(crowd.map(kStart, 8 * kPageSize, Permission::read(), file.get(), 0, Sharing::Shared).has_value());
  std::atomic<bool> stop = false;
  crowd.together([&](unsigned me) {
    if (me != 0) {
      for (std::uint64_t i = me; !stop; ++i) {
        const auto loaded = crowd.load(kStart + (i % 8) * kPageSize);
        if (!loaded) CHECK(loaded.error() == KernelError::BeyondEndOfFile);
      }
      return;
    }
    for (std::uint64_t round = 0; round < 60; ++round) {
      REQUIRE(file->truncate((round % 8) * kPageSize + 8).has_value());
      CHECK(crowd.load(kStart + 7 * kPageSize).has_value() == (round % 8 == 7));
      REQUIRE(file->truncate(8 * kPageSize).has_value());
    }
    stop = true;
  });
}

TEST_CASE_TEMPLATE("the kernel copies to memory that a sibling unmaps and maps meanwhile", P, EVERY_PAGER) {
  Crowd<P> crowd;
  std::atomic<unsigned> working = kThreads - 1;
  crowd.together([&](unsigned me) {
    if (me == 0) {
      while (working > 0) {
        REQUIRE(crowd.mm.mmap(kStart, 2 * kPageSize, Permission::read_write(), {.fixed = true}).has_value());
        REQUIRE(crowd.mm.munmap(pages_at(kStart + kPageSize, 1)).has_value());
      }
      return;
    }
    for (std::uint64_t i = 0; i < 300; ++i) {
      const Va at = kStart + (kPageSize - 64 + 16 * me);  // in the first page, read by nobody
      const auto written = crowd.mm.copy_out(at, i);
      if (!written) CHECK(written.error() == KernelError::BadAddress);
      const auto across = crowd.mm.template copy_in<std::array<std::uint64_t, 4>>(kStart + (kPageSize - 8));
      if (!across) CHECK(across.error() == KernelError::BadAddress);
    }
    --working;
  });
}

TEST_CASE_TEMPLATE("copy-on-write faults of one page from several harts leave one page, and no write is lost",
                   P, EVERY_PAGER) {
  Crowd<P> crowd;
  REQUIRE(crowd.map(kStart, 8 * kPageSize).has_value());
  for (int round = 0; round < 30; ++round) {
    for (std::uint64_t i = 0; i < 8; ++i) REQUIRE(crowd.store(kStart + i * kPageSize, 1).has_value());
    auto child = crowd.mm.fork();
    REQUIRE(child.has_value());
    crowd.together([&](unsigned me) {
      for (std::uint64_t i = 0; i < 8; ++i) {
        CHECK(crowd.store(kStart + i * kPageSize + 64 + 8 * me, me + 10).has_value());
      }
    });
    for (std::uint64_t i = 0; i < 8; ++i) {
      for (unsigned t = 0; t < kThreads; ++t)
        CHECK(crowd.load(kStart + i * kPageSize + 64 + 8 * t) == t + 10);
      CHECK(crowd.load(kStart + i * kPageSize) == 1u);
    }
  }
}

TEST_SUITE_END();
