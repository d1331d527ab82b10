// Small objects: size classes over frames, and large ones.

#include "kernel/mm/slab.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "test/host/world.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

/// The inverse of frame_bytes: the arena is one mapping, its first frame's bytes are its start.
Pa frame_of(const void* memory) {
  FrameArena& arena = Machine::current().frames();
  const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(memory) - arena.base());
  return Pa::checked(FrameArena::kFirstPa + offset).page();
}

struct Object {
  std::byte* memory;
  std::size_t bytes;
  std::size_t alignment;
  std::byte mark;
};

void fill(const Object& object) { std::memset(object.memory, static_cast<int>(object.mark), object.bytes); }
bool intact(const Object& object) {
  return std::all_of(object.memory, object.memory + object.bytes,
                     [&](std::byte b) { return b == object.mark; });
}

}  // namespace

TEST_SUITE_BEGIN("slab allocator");

TEST_CASE("objects of every size are aligned, disjoint, and go back") {
  World world;
  SlabAllocator slab(frame_of);
  std::vector<Object> objects;
  for (std::size_t bytes = 1; bytes <= 3 * kPageSize; bytes += 1 + bytes / 7) {
    for (std::size_t alignment = 1; alignment <= 64; alignment *= 2) {
      auto* memory = static_cast<std::byte*>(slab.allocate(bytes, alignment));
      REQUIRE(memory != nullptr);
      CHECK(reinterpret_cast<std::uintptr_t>(memory) % alignment == 0);
      objects.push_back({memory, bytes, alignment, static_cast<std::byte>(objects.size())});
      fill(objects.back());
    }
  }
  for (const Object& object : objects) REQUIRE(intact(object));
  for (const Object& object : objects) slab.release(object.memory, object.bytes, object.alignment);
  slab.trim();
  CHECK(slab.frames_in_use() == 0);
  CHECK(world.frames_used() == 0);
}

TEST_CASE("small objects share frames: a thousand of 64 bytes fit in little more than 16") {
  World world;
  SlabAllocator slab(frame_of);
  std::vector<void*> objects;
  for (int i = 0; i < 1000; ++i) objects.push_back(slab.allocate(64, 8));
  CHECK(slab.frames_in_use() <= 18);
  for (void* object : objects) slab.release(object, 64, 8);
  slab.trim();
  CHECK(world.frames_used() == 0);
}

TEST_CASE("each size class tells how many objects are in use and how many slabs hold them") {
  World world;
  SlabAllocator slab(frame_of);
  const auto total = [&] {
    slab.trim();
    std::size_t objects = 0, slabs = 0, bytes = 0;
    for (std::size_t i = 0; const auto use = slab.class_use(i); ++i) {
      CHECK(use->object_bytes > bytes);
      bytes = use->object_bytes;
      CHECK(use->objects_in_use <= use->slabs * (kPageSize / use->object_bytes));
      objects += use->objects_in_use;
      slabs += use->slabs;
    }
    return std::pair(objects, slabs);
  };
  CHECK(total() == std::pair<std::size_t, std::size_t>(0, 0));
  std::vector<void*> objects;
  for (int i = 0; i < 65; ++i) objects.push_back(slab.allocate(64, 8));
  void* large = slab.allocate(3 * kPageSize, 8);
  CHECK(total() == std::pair<std::size_t, std::size_t>(65, 2));
  slab.release(objects.back(), 64, 8);
  objects.pop_back();
  CHECK(total() == std::pair<std::size_t, std::size_t>(64, 1));
  for (void* object : objects) slab.release(object, 64, 8);
  slab.release(large, 3 * kPageSize, 8);
  CHECK(total() == std::pair<std::size_t, std::size_t>(0, 0));
}

TEST_CASE("without memory it gives null, and works again when there is some") {
  World world;
  SlabAllocator slab(frame_of);
  world.machine.limit_frames(world.machine.frames_in_use());
  CHECK(slab.allocate(100, 8) == nullptr);
  CHECK(slab.allocate(3 * kPageSize, 8) == nullptr);
  CHECK(slab.allocate(SIZE_MAX, 8) == nullptr);
  CHECK(slab.allocate(std::size_t{1} << 40, 8) == nullptr);
  world.machine.limit_frames(SIZE_MAX);
  void* object = slab.allocate(100, 8);
  REQUIRE(object != nullptr);
  slab.release(object, 100, 8);
  slab.trim();
  CHECK(slab.frames_in_use() == 0);
}

TEST_CASE("random allocations and releases keep every object's bytes") {
  World world;
  SlabAllocator slab(frame_of);
  std::mt19937 random(5);
  std::vector<Object> objects;
  for (int step = 0; step < 50000; ++step) {
    if (random() % 2 == 0 || objects.empty()) {
      const std::size_t bytes = random() % 16 == 0 ? random() % (2 * kPageSize) + 1 : random() % 300 + 1;
      const std::size_t alignment = std::size_t{1} << random() % 7;
      auto* memory = static_cast<std::byte*>(slab.allocate(bytes, alignment));
      REQUIRE(memory != nullptr);
      objects.push_back({memory, bytes, alignment, static_cast<std::byte>(random())});
      fill(objects.back());
    } else {
      std::swap(objects[random() % objects.size()], objects.back());
      REQUIRE(intact(objects.back()));
      slab.release(objects.back().memory, objects.back().bytes, objects.back().alignment);
      objects.pop_back();
    }
  }
  for (const Object& object : objects) slab.release(object.memory, object.bytes, object.alignment);
  slab.trim();
  CHECK(slab.frames_in_use() == 0);
}

TEST_CASE("several harts allocate and release at once, objects of each other too") {
  World world;
  SlabAllocator slab(frame_of);
  std::mutex mutex;
  std::vector<Object> pool;
  auto work = [&] {
    std::mt19937 random(static_cast<unsigned>(platform::current_hart()) + 1);
    for (int step = 0; step < 4000; ++step) {
      if (random() % 2 == 0) {
        const std::size_t bytes = random() % 200 + 1;
        auto* memory = static_cast<std::byte*>(slab.allocate(bytes, 8));
        CHECK(memory != nullptr);
        const Object object{memory, bytes, 8, static_cast<std::byte>(random())};
        fill(object);
        std::lock_guard guard(mutex);
        pool.push_back(object);
      } else {
        std::unique_lock guard(mutex);
        if (pool.empty()) continue;
        std::swap(pool[random() % pool.size()], pool.back());
        const Object object = pool.back();
        pool.pop_back();
        guard.unlock();
        CHECK(intact(object));
        slab.release(object.memory, object.bytes, object.alignment);
      }
    }
  };
  world.machine.run_in_parallel({work, work, work});
  for (const Object& object : pool) slab.release(object.memory, object.bytes, object.alignment);
  slab.trim();
  CHECK(slab.frames_in_use() == 0);
}

TEST_CASE("harts that make the very first slabs at the same moment keep each object's bytes") {
  World world;
  constexpr int kRounds = 200;
  std::vector<std::unique_ptr<SlabAllocator>> slabs;
  for (int i = 0; i < kRounds; ++i) slabs.push_back(std::make_unique<SlabAllocator>(frame_of));
  std::barrier together(2);
  const auto work = [&] {
    const std::size_t bytes = platform::current_hart() == HartId{0} ? 16 : 2048;
    for (const auto& slab : slabs) {
      together.arrive_and_wait();
      std::array<Object, 40> objects;
      for (Object& object : objects) {
        object = {static_cast<std::byte*>(slab->allocate(bytes, 8)), bytes, 8, std::byte{0x5a}};
        CHECK(object.memory != nullptr);
        fill(object);
      }
      for (const Object& object : objects) {
        CHECK(intact(object));
        slab->release(object.memory, object.bytes, object.alignment);
      }
    }
  };
  world.machine.run_in_parallel({work, work});
  for (const auto& slab : slabs) {
    slab->trim();
    CHECK(slab->frames_in_use() == 0);
  }
}

TEST_SUITE_END();
