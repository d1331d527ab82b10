// Cost of the memory core on this machine: how it grows with the number of areas, how it scales to two
// threads, and what a fault costs beside the zeroing that nobody can avoid. Figures are nanoseconds of this
// host; what matters are their ratios and the fitted complexity (the rows that end in _BigO).

#include <benchmark/benchmark.h>

#include <barrier>
#include <chrono>
#include <memory>
#include <vector>

#include "kernel/mm/eager_pager.hpp"
#include "kernel/mm/lazy_pager.hpp"
#include "kernel/mm/memory_system.hpp"
#include "kernel/mm/mm_struct.hpp"
#include "test/host/bench/seam.hpp"

namespace faultline {
namespace {

Va at(std::uint64_t address) { return Va::checked(address); }
VaRange pages(Va start, std::uint64_t count) { return VaRange(start, start + count * kPageSize); }

/// Spread over the space by a step that is coprime to every number of areas used here.
std::uint64_t scattered(std::uint64_t i, std::uint64_t count) { return (i * 7919) % count; }

/// A space with `count` areas of one page each, every other page free.
template <class P>
std::unique_ptr<MmStruct<P>> space_with_areas(std::uint64_t count) {
  auto mm = std::make_unique<MmStruct<P>>(*MmStruct<P>::create());
  for (std::uint64_t i = 0; i < count; ++i) {
    const Va start = at(0x10'0000 + scattered(i, count) * 2 * kPageSize);
    if (!mm->pager().mmap(mm->page_table(), start, kPageSize, Permission::read_write(), nullptr, 0))
      std::abort();
  }
  return mm;
}
/// The i-th of a few areas spread evenly over the space: so few that the paths to them stay in the innermost
/// cache, and the tree's depth is measured rather than the host's memory.
Va area_start(std::uint64_t i, std::uint64_t count) {
  constexpr std::uint64_t kProbes = 8;
  const std::uint64_t area = count < kProbes ? i % count : i % kProbes * (count / kProbes);
  return at(0x10'0000 + area * 2 * kPageSize);
}

void find_and_check_access(benchmark::State& state) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto mm = space_with_areas<LazyPager>(count);
  std::uint64_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(mm->pager().access_ok(area_start(++i, count), Access::Write));
  state.SetComplexityN(state.range(0));
}

void map_and_unmap_where_there_is_room(benchmark::State& state) {
  const auto mm = space_with_areas<LazyPager>(static_cast<std::uint64_t>(state.range(0)));
  for (auto _ : state) {
    const auto range = mm->mmap(at(0), 4 * kPageSize, Permission::read_write());
    if (!range || !mm->munmap(*range)) std::abort();
  }
  state.SetComplexityN(state.range(0));
}

void unmap_and_map_among_the_others(benchmark::State& state) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto mm = space_with_areas<LazyPager>(count);
  std::uint64_t i = 0;
  for (auto _ : state) {
    const Va start = area_start(++i, count);
    if (!mm->munmap(pages(start, 1))) std::abort();
    if (!mm->mmap(start, kPageSize, Permission::read_write(), {.fixed = true, .no_replace = true}))
      std::abort();
  }
  state.SetComplexityN(state.range(0));
}

/// The page is given back on the clock: to stop it costs more than the fault.
void fault_and_discard_among_areas(benchmark::State& state) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto mm = space_with_areas<LazyPager>(count);
  std::uint64_t i = 0;
  for (auto _ : state) {
    const Va start = area_start(++i, count);
    if (!mm->handle_page_fault({start, Access::Write})) std::abort();
    if (!mm->advise(pages(start, 1), Advice::DontNeed)) std::abort();
  }
  state.SetComplexityN(state.range(0));
}

BENCHMARK(find_and_check_access)->RangeMultiplier(10)->Range(10, 100'000)->Complexity(benchmark::oAuto);
BENCHMARK(map_and_unmap_where_there_is_room)
    ->RangeMultiplier(10)
    ->Range(10, 100'000)
    ->Complexity(benchmark::oAuto);
BENCHMARK(unmap_and_map_among_the_others)
    ->RangeMultiplier(10)
    ->Range(10, 100'000)
    ->Complexity(benchmark::oAuto);
BENCHMARK(fault_and_discard_among_areas)
    ->RangeMultiplier(10)
    ->Range(10, 100'000)
    ->Complexity(benchmark::oAuto);

// --- The fault path beside what it cannot avoid ---

constexpr std::uint64_t kBatch = 4096;  // pages faulted between two pauses

void zero_a_page(benchmark::State& state) {
  Frame frame = *Frame::allocate(FrameContents::Any);
  for (auto _ : state) {
    frame.page().zero();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(zero_a_page);

/// Faults on kBatch pages of the calling thread's own region, then gives them back off the clock.
template <class Fault>
void fault_in_batches(benchmark::State& state, MmStruct<LazyPager>& mm, Va region, Fault&& fault) {
  for (auto _ : state) {
    for (std::uint64_t i = 0; i < kBatch; ++i) fault(region + i * kPageSize);
    state.PauseTiming();
    if (!mm.advise(pages(region, kBatch), Advice::DontNeed)) std::abort();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}

void write_fault(benchmark::State& state) {
  auto mm = *MmStruct<LazyPager>::create();
  if (!mm.mmap(at(kGigapageSize), kBatch * kPageSize, Permission::read_write(), {.fixed = true}))
    std::abort();
  fault_in_batches(state, mm, at(kGigapageSize), [&](Va va) {
    if (!mm.handle_page_fault({va, Access::Write})) std::abort();
  });
}
BENCHMARK(write_fault);

void read_fault_on_the_zero_page(benchmark::State& state) {
  auto mm = *MmStruct<LazyPager>::create();
  if (!mm.mmap(at(kGigapageSize), kBatch * kPageSize, Permission::read_write(), {.fixed = true}))
    std::abort();
  fault_in_batches(state, mm, at(kGigapageSize), [&](Va va) {
    if (!mm.handle_page_fault({va, Access::Read})) std::abort();
  });
}
BENCHMARK(read_fault_on_the_zero_page);

void copy_on_write_fault(benchmark::State& state) {
  auto mm = *MmStruct<LazyPager>::create();
  const Va region = at(kGigapageSize);
  if (!mm.mmap(region, kBatch * kPageSize, Permission::read_write(), {.fixed = true})) std::abort();
  for (auto _ : state) {
    state.PauseTiming();
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      if (!mm.handle_page_fault({region + i * kPageSize, Access::Write})) std::abort();
    }
    {
      auto child = *mm.fork();
      state.ResumeTiming();
      for (std::uint64_t i = 0; i < kBatch; ++i) {
        if (!mm.handle_page_fault({region + i * kPageSize, Access::Write})) std::abort();
      }
      state.PauseTiming();
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}
BENCHMARK(copy_on_write_fault);

// --- Two threads in one space, each in its own region ---

/// Times `work` of all threads at the same moments, and then lets each `undo` it: giving pages back takes the
/// space alone, so on the clock it would measure how long the others wait for that.
template <class Work, class Undo>
void time_together(benchmark::State& state, std::barrier<>& all, Work&& work, Undo&& undo) {
  for (auto _ : state) {
    all.arrive_and_wait();
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(taken.count());
    all.arrive_and_wait();
    undo();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
}

constexpr int kThreads = 2;
std::barrier<>& barrier_of(int threads) {
  static std::barrier<> alone(1), together(kThreads);
  return threads == 1 ? alone : together;
}

void faults_in_disjoint_regions(benchmark::State& state, Access access) {
  static std::unique_ptr<MmStruct<LazyPager>> shared;
  bench::become_hart(static_cast<unsigned>(state.thread_index()));
  if (state.thread_index() == 0) {
    shared = std::make_unique<MmStruct<LazyPager>>(*MmStruct<LazyPager>::create());
    if (!shared->mmap(at(kGigapageSize), kThreads * kGigapageSize, Permission::read_write(), {.fixed = true}))
      std::abort();
  }
  const Va region = at(kGigapageSize + static_cast<std::uint64_t>(state.thread_index()) * kGigapageSize);
  const auto fault = [&] {
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      if (!shared->handle_page_fault({region + i * kPageSize, access})) std::abort();
    }
  };
  time_together(state, barrier_of(state.threads()), fault, [&] {
    if (!shared->advise(pages(region, kBatch), Advice::DontNeed)) std::abort();
  });
  if (state.thread_index() == 0) shared.reset();
}

/// What two threads can gain at most where every fault zeroes a page: the memory of this host.
void zeroing_of_disjoint_pages(benchmark::State& state) {
  bench::become_hart(static_cast<unsigned>(state.thread_index()));
  std::vector<Frame> frames;
  for (std::uint64_t i = 0; i < kBatch; ++i) frames.push_back(*Frame::allocate(FrameContents::Any));
  const auto zero = [&] {
    for (const Frame& frame : frames) frame.page().zero();
    benchmark::ClobberMemory();
  };
  time_together(state, barrier_of(state.threads()), zero, [] {});
}

// A fixed number of iterations, for the threads wait for each other in each.
#define FAULTLINE_ALONE_AND_TOGETHER Threads(1)->Threads(kThreads)->UseManualTime()->Iterations(300)
BENCHMARK_CAPTURE(faults_in_disjoint_regions, read, Access::Read)->FAULTLINE_ALONE_AND_TOGETHER;
BENCHMARK_CAPTURE(faults_in_disjoint_regions, write, Access::Write)->FAULTLINE_ALONE_AND_TOGETHER;
BENCHMARK(zeroing_of_disjoint_pages)->FAULTLINE_ALONE_AND_TOGETHER;

void fork_of_touched_pages(benchmark::State& state) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  auto mm = *MmStruct<LazyPager>::create();
  const Va region = at(kGigapageSize);
  if (!mm.mmap(region, count * kPageSize, Permission::read_write(), {.fixed = true})) std::abort();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!mm.handle_page_fault({region + i * kPageSize, Access::Write})) std::abort();
  }
  for (auto _ : state) {
    auto child = mm.fork();
    benchmark::DoNotOptimize(child);
  }
}
BENCHMARK(fork_of_touched_pages)->RangeMultiplier(16)->Range(16, 65536);

}  // namespace
}  // namespace faultline

int main(int argc, char** argv) {
  auto system = faultline::MemorySystem::create(std::nullopt, 16);
  if (!system) return 1;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
