// Files of /proc about the whole system.

#include "kernel/fs/buffer_cache.hpp"
#include "kernel/fs/file_system.hpp"
#include "kernel/fs/path.hpp"
#include "kernel/fs/proc_files.hpp"
#include "kernel/mm/statistics.hpp"

namespace faultline::proc {
namespace {

constexpr std::uint64_t kibibytes(std::uint64_t frames) { return frames * kPageSize / 1024; }

void memory_information(ProcSource& source, WindowSink& sink) {
  const SystemReport system = source.system();
  const std::uint64_t buffers = BufferCache::total_bytes() / 1024;
  const auto line = [&](std::string_view name, std::uint64_t value) {
    format_to(sink, "{:<16}{:>8} kB\n", name, value);
  };
  line("MemTotal:", kibibytes(system.total_frames));
  line("MemFree:", kibibytes(system.free_frames));
  line("MemAvailable:", kibibytes(system.free_frames + PageCache::reclaimable_pages()));
  line("Buffers:", buffers);
  line("Cached:", kibibytes(system.cached_frames));
  std::uint64_t slabs = 0;
  for (std::size_t i = 0; const auto objects = source.slab_class(i); ++i) slabs += objects->slabs;
  line("Slab:", kibibytes(slabs));
  line("SwapTotal:", 0);
  line("SwapFree:", 0);
}

void counters(ProcSource& source, WindowSink& sink) {
  const SystemReport system = source.system();
  format_to(sink, "nr_free_pages {}\n", system.free_frames);
  format_to(sink, "nr_file_pages {}\n", system.cached_frames);
  for (std::size_t i = 0; i < kCounters; ++i)
    format_to(sink, "{} {}\n", kCounterNames[i], counter_total(static_cast<Counter>(i)));
}

// The columns behind "tunables" are an allocator's that has such; they are 0 here.
void small_objects(ProcSource& source, WindowSink& sink) {
  sink.write(
      "slabinfo - version: 2.1\n"
      "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
      " : tunables <limit> <batchcount> <sharedfactor>"
      " : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
  for (std::size_t i = 0; const auto use = source.slab_class(i); ++i) {
    const std::size_t objects_per_slab = kPageSize / use->object_bytes;
    char name[24];
    format_to(
        sink,
        "{:<17} {:>6} {:>6} {:>6} {:>4} {:>4} : tunables {:>4} {:>4} {:>4} : slabdata {:>6} {:>6} {:>6}\n",
        format_into(name, "kmalloc-{}", use->object_bytes), use->objects, use->slabs * objects_per_slab,
        use->object_bytes, objects_per_slab, 1, 0, 0, 0, use->slabs, use->slabs, 0);
  }
}

void processors(ProcSource& source, WindowSink& sink) {
  for (std::uint32_t i = 0; const auto hart = source.hart(i); ++i)
    format_to(sink, "processor\t: {}\nhart\t\t: {}\nisa\t\t: {}\nmmu\t\t: sv39\n\n", i, hart->hart_id,
              hart->isa);
}

void uptime(ProcSource& source, WindowSink& sink) {
  const SystemReport system = source.system();
  const auto seconds = [&](std::uint64_t milliseconds, char end) {
    format_to(sink, "{}.{:02}{}", milliseconds / 1000, milliseconds % 1000 / 10, end);
  };
  seconds(system.uptime_milliseconds, ' ');
  seconds(system.idle_milliseconds, '\n');
}

void statistics(ProcSource& source, WindowSink& sink) {
  const SystemReport system = source.system();
  // Times are in 1/100 s. What is not idle is not told apart here.
  const auto line = [&](std::uint64_t all, std::uint64_t idle) {
    idle = std::min(all, idle);
    format_to(sink, " 0 0 {} {} 0 0 0 0 0 0\n", all - idle, idle);
  };
  const std::uint64_t all = system.uptime_milliseconds / 10;
  sink.write("cpu ");
  line(all * system.harts, system.idle_milliseconds / 10);
  for (std::uint32_t i = 0; const auto hart = source.hart(i); ++i) {
    format_to(sink, "cpu{}", i);
    line(all, hart->idle_milliseconds / 10);
  }
  format_to(sink, "ctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked {}\n",
            system.context_switches, system.boot_time_seconds, system.processes_created, system.running,
            system.blocked);
}

void load_average(ProcSource& source, WindowSink& sink) {
  const SystemReport system = source.system();
  for (const std::uint64_t load : system.load_hundredths)
    format_to(sink, "{}.{:02} ", load / 100, load % 100);
  format_to(sink, "{}/{} {}\n", system.running, system.threads, system.newest);
}

void mounts(ProcSource&, WindowSink& sink) {
  for_each_mount([&](FileSystem& mounted) {
    char space[256];
    std::string_view path = "/";
    if (Inode* covered = mounted.covered()) {
      const Ref<Inode> root = root_directory();
      const Result<std::size_t> length = path_of(*covered, *root, space);
      path = length ? std::string_view(space, *length) : "?";
    }
    format_to(sink, "{} {} {} {} 0 0\n", mounted.source(), path, mounted.type(),
              mounted.read_only() ? "ro" : "rw");
  });
}

void version(ProcSource&, WindowSink& sink) {
  format_to(sink, "Faultline kernel, built with g++ " __VERSION__ "\n");
}

void file_systems(ProcSource&, WindowSink& sink) { sink.write("\text2\nnodev\tdevtmpfs\nnodev\tproc\n"); }

/// Not of Linux: the names that /proc/PID/pager takes.
void pagers(ProcSource& source, WindowSink& sink) {
  for (const PagerTraits* traits : source.pagers()) format_to(sink, "{}\n", traits->name);
}

constexpr SystemFile kFiles[] = {
    {"meminfo", memory_information},
    {"slabinfo", small_objects, 0400},
    {"vmstat", counters},
    {"cpuinfo", processors},
    {"uptime", uptime},
    {"stat", statistics},
    {"loadavg", load_average},
    {"mounts", mounts},
    {"version", version},
    {"filesystems", file_systems},
    {"pagers", pagers},
};

}  // namespace

std::span<const SystemFile> system_files() { return kFiles; }

}  // namespace faultline::proc
