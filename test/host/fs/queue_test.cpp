// The ring of a pipe, the cache of blocks, and the queue that is shared with a device that may be hostile.

#include <cstring>
#include <deque>
#include <random>

#include "kernel/dev/request_parts.hpp"
#include "kernel/dev/virtqueue.hpp"
#include "kernel/fs/pipe_buffer.hpp"
#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("pipe buffer");

constexpr std::size_t kCapacity = 16 * kPageSize;
using Write = PipeBuffer::Write;

TEST_CASE("bytes come out in the order they went in, whatever the sizes") {
  World world;
  {
    PipeBuffer pipe;
    REQUIRE(pipe.set_capacity(kCapacity).has_value());
    std::deque<char> model;
    std::mt19937 random(1);
    unsigned char next = 0;
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t size = random() % (i % 3 == 0 ? 70'000 : 3'000);
      std::string bytes(size, '\0');
      if (random() % 2 == 0) {
        for (char& c : bytes) c = static_cast<char>(next++);
        KernelIoBuffer source(std::as_bytes(std::span(bytes)));
        REQUIRE(pipe.fill(source, Write::Bytes).has_value());
        next = static_cast<unsigned char>(next - source.remaining());
        model.insert(model.end(), bytes.begin(),
                     bytes.begin() + static_cast<std::ptrdiff_t>(source.transferred()));
        // The page read last may be in use in part; all others are full when there is no more room.
        REQUIRE(model.size() <= kCapacity);
        if (source.remaining() > 0) {
          CHECK(!pipe.has_room(1, Write::Bytes));
          CHECK(model.size() > kCapacity - kPageSize);
        }
      } else {
        KernelIoBuffer target(std::as_writable_bytes(std::span(bytes)));
        REQUIRE(pipe.drain(target).has_value());
        REQUIRE(target.transferred() == std::min(size, model.size()));
        REQUIRE(std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(target.transferred()),
                           model.begin()));
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(target.transferred()));
      }
      REQUIRE(pipe.size() == model.size());
    }
  }
  CHECK(world.frames_used() == 0);
}

TEST_CASE("packets are read one by one, also when the pipe grows and shrinks meanwhile") {
  World world;
  {
    PipeBuffer pipe;
    REQUIRE(pipe.set_capacity(kCapacity).has_value());
    std::deque<std::string> model;
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
      std::string bytes(1 + random() % (i % 3 == 0 ? kPageSize : 100), static_cast<char>('a' + i % 26));
      switch (random() % 5) {
        case 0:
        case 1: {
          KernelIoBuffer source(std::as_bytes(std::span(bytes)));
          REQUIRE(pipe.fill(source, Write::Packets).has_value());
          CHECK((source.remaining() == 0) == (model.size() < pipe.capacity() / kPageSize));
          if (source.remaining() == 0) model.push_back(bytes);
          break;
        }
        case 2:
        case 3: {
          KernelIoBuffer target(std::as_writable_bytes(std::span(bytes)));
          REQUIRE(pipe.drain(target).has_value());
          bytes.resize(target.transferred());
          REQUIRE(pipe.empty() == (model.size() <= 1));
          if (model.empty()) break;
          CHECK(bytes == model.front().substr(0, bytes.size()));
          model.pop_front();
          break;
        }
        default: {
          const std::size_t pages = std::size_t{1} << random() % 5;
          CHECK(pipe.set_capacity(pages * kPageSize).has_value() == (model.size() <= pages));
        }
      }
      std::size_t size = 0;
      for (const std::string& packet : model) size += packet.size();
      REQUIRE(pipe.size() == size);
    }
  }
  CHECK(world.frames_used() == 0);
}

TEST_CASE("a pipe without memory keeps what it has") {
  World world;
  PipeBuffer pipe;
  REQUIRE(pipe.set_capacity(kCapacity).has_value());
  const std::string bytes(10'000, 'b');
  world.machine.fail_allocation(2);
  KernelIoBuffer source(std::as_bytes(std::span(bytes)));
  CHECK(error_of(pipe.fill(source, Write::Bytes)) == KernelError::OutOfMemory);
  CHECK(pipe.size() == 4096);
  REQUIRE(pipe.fill(source, Write::Bytes).has_value());
  CHECK(pipe.size() == bytes.size());
}

TEST_SUITE_END();
TEST_SUITE_BEGIN("buffer cache");

TEST_CASE("blocks are read once, written in ascending runs, and dropped when there are too many") {
  World world;
  MemoryDisk disk(std::vector<std::byte>(1 << 20));
  {
    BufferCache cache(disk, 1024, 16);
    for (int i = 0; i < 3; ++i) REQUIRE(cache.read(7).has_value());
    CHECK(disk.requests == 1);
    for (std::uint64_t number = 100; number < 112; ++number) {
      const BufferRef buffer = *cache.zeroed(111 - (number - 100));
      std::memset(buffer.bytes().data(), static_cast<int>(number), 1024);
      buffer.mark_dirty();
    }
    disk.requests = 0;
    REQUIRE(cache.write_back().has_value());
    CHECK(disk.requests == 1);  // twelve neighbours
    CHECK(std::to_integer<int>(disk.bytes[105 * 1024]) == 106);
    for (std::uint64_t number = 200; number < 300; ++number) {
      REQUIRE(cache.zeroed(number).has_value());
      if (cache.is_full_of_dirty()) REQUIRE(cache.write_back().has_value());
    }
    CHECK(BufferCache::total_bytes() <= 16 * 1024);
    for (std::uint64_t number = 200; number < 300; ++number)
      CHECK(cache.read(number)->bytes()[0] == std::byte{0});
  }
  CHECK(BufferCache::total_bytes() == 0);
}

TEST_CASE("a block that was forgotten is not written") {
  World world;
  MemoryDisk disk(std::vector<std::byte>(1 << 20));
  BufferCache cache(disk, 4096, 16);
  {
    const BufferRef buffer = *cache.zeroed(5);
    buffer.bytes()[0] = std::byte{1};
    buffer.mark_dirty();
  }
  cache.forget(5);
  REQUIRE(cache.write_back().has_value());
  CHECK(disk.requests == 0);
}

TEST_CASE("a block that cannot be read gives its error to all who wait, and is tried again") {
  World world;
  MemoryDisk disk(std::vector<std::byte>(1 << 20));
  bool broken = true;
  disk.fails = [&](const BlockRequest&) { return broken; };
  BufferCache cache(disk, 4096, 16);
  CHECK(error_of(cache.read(3)) == KernelError::InputOutput);
  CHECK(error_of(cache.read(255 * 4)) == KernelError::OutOfRange);
  broken = false;
  CHECK(cache.read(3).has_value());
}

TEST_SUITE_END();
TEST_SUITE_BEGIN("virtqueue");

namespace {

// The device's side of the queue, with its own idea of the layout (virtio 1.2, section 2.7).
class Device {
 public:
  explicit Device(Virtqueue& queue) : queue_(queue) {}
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t size;
    std::uint16_t flags, next;
  };
  Descriptor* descriptors() { return at<Descriptor>(queue_.descriptors_address()); }
  std::uint16_t* available() { return at<std::uint16_t>(queue_.available_address()); }
  std::uint16_t* used() { return at<std::uint16_t>(queue_.used_address()); }
  std::uint16_t available_index() { return available()[1]; }
  std::uint16_t head_at(std::uint16_t index) { return available()[2 + index % queue_.size()]; }
  void finish(std::uint32_t head, std::uint32_t length) {
    std::uint32_t element[2] = {head, length};
    std::memcpy(used() + 2 + used()[1] % queue_.size() * 4, element, sizeof element);
    ++used()[1];
  }

 private:
  template <class T>
  T* at(Pa address) {
    return reinterpret_cast<T*>(platform::frame_bytes(address.page()) + address.page_offset());
  }
  Virtqueue& queue_;
};

}  // namespace

TEST_CASE("requests travel to the device and back in any order") {
  World world;
  Virtqueue queue;
  REQUIRE(queue.allocate(16).has_value());
  Device device(queue);
  std::mt19937 random(3);
  std::vector<std::uint16_t> in_flight;
  std::uint16_t seen = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::size_t count = 1 + random() % 4;
    if (random() % 2 == 0 && queue.free_descriptors() >= count) {
      std::vector<Virtqueue::Segment> segments(count);
      for (std::size_t s = 0; s < count; ++s)
        segments[s] = {Pa::checked(0x1000 * (s + 1)), static_cast<std::uint32_t>(s + 1), s + 1 == count};
      const std::uint16_t expected = queue.next_head();
      CHECK(queue.add(segments) == expected);
      REQUIRE(device.available_index() == static_cast<std::uint16_t>(seen + 1));
      std::uint16_t at = device.head_at(seen++);
      CHECK(at == expected);
      for (std::size_t s = 0; s < count; ++s) {
        const Device::Descriptor& descriptor = device.descriptors()[at];
        CHECK(descriptor.address == 0x1000 * (s + 1));
        CHECK(descriptor.flags == (s + 1 == count ? 2 : 1));
        at = descriptor.next;
      }
      in_flight.push_back(expected);
    } else if (!in_flight.empty()) {
      const std::size_t which = random() % in_flight.size();
      device.finish(in_flight[which], 42);
      const auto finished = queue.take_finished();
      REQUIRE((finished && *finished));
      CHECK((*finished)->head == in_flight[which]);
      CHECK((*finished)->length == 42);
      in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(which));
    }
    if (in_flight.empty()) CHECK(queue.free_descriptors() == 16);
  }
}

TEST_CASE("the queue finds out a device that breaks its rules, and stays whole") {
  World world;
  const Virtqueue::Segment segment{Pa::checked(0x1000), 1, true};
  SUBCASE("it finishes what it was not given") {
    Virtqueue queue;
    REQUIRE(queue.allocate(8).has_value());
    queue.add({&segment, 1});
    Device(queue).finish(3, 0);
    CHECK(!queue.take_finished().has_value());
  }
  SUBCASE("it names a descriptor that does not exist") {
    Virtqueue queue;
    REQUIRE(queue.allocate(8).has_value());
    queue.add({&segment, 1});
    Device(queue).finish(0xdead'beef, 0);
    CHECK(!queue.take_finished().has_value());
  }
  SUBCASE("it finishes one request twice") {
    Virtqueue queue;
    REQUIRE(queue.allocate(8).has_value());
    const std::uint16_t head = queue.add({&segment, 1});
    Device device(queue);
    device.finish(head, 0);
    device.finish(head, 0);
    CHECK(queue.take_finished().has_value());
    CHECK(!queue.take_finished().has_value());
  }
  SUBCASE("its index runs away") {
    Virtqueue queue;
    REQUIRE(queue.allocate(8).has_value());
    queue.add({&segment, 1});
    Device(queue).used()[1] = 1000;
    CHECK(!queue.take_finished().has_value());
  }
  SUBCASE("it changes the descriptors") {
    Virtqueue queue;
    REQUIRE(queue.allocate(8).has_value());
    const Virtqueue::Segment segments[3] = {segment, segment, segment};
    const std::uint16_t head = queue.add(segments);
    Device device(queue);
    std::memset(device.descriptors(), 0xff, 8 * sizeof(Device::Descriptor));
    device.finish(head, 0);
    CHECK(queue.take_finished().has_value());
    CHECK(queue.free_descriptors() == 8);
  }
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("request parts");

TEST_CASE("the parts of a transfer are the transfer, in order, and within the device's limits") {
  std::mt19937 random(7);
  std::vector<std::byte> memory(64 * 4096);
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    std::vector<BlockRequest::Piece> pieces(1 + random() % BlockRequest::kMaxPieces);
    std::byte* next = memory.data();
    for (auto& piece : pieces) {
      piece = {next, kSectorSize * (1 + random() % 8)};
      next += piece.size();
    }
    const BlockRequest request(BlockRequest::Kind::Write, 1000, pieces);
    const RequestLimits limits{.pieces = 1 + random() % 5, .piece_bytes = kSectorSize + random() % 5000};
    RequestParts parts(request, limits);
    std::uint64_t sector = 1000;
    std::byte* at = memory.data();
    while (parts.next()) {
      CHECK(parts.sector() == sector);
      CHECK(limits.allow(parts.pieces()));
      for (const auto& piece : parts.pieces()) {
        REQUIRE(piece.data() == at);
        REQUIRE(piece.size() % kSectorSize == 0);
        at += piece.size();
        sector += piece.size() / kSectorSize;
      }
    }
    CHECK(at == next);
    CHECK(!parts.next());
  }
}

TEST_CASE("limits allow what keeps within them alone") {
  std::byte bytes[4 * kSectorSize];
  const BlockRequest::Piece one[] = {bytes}, two[] = {{bytes, kSectorSize}, {bytes, kSectorSize}};
  CHECK(RequestLimits{}.allow(one));
  CHECK(RequestLimits{.pieces = 2, .piece_bytes = kSectorSize}.allow(two));
  CHECK(!RequestLimits{.pieces = 1, .piece_bytes = kSectorSize}.allow(two));
  CHECK(!RequestLimits{.pieces = 2, .piece_bytes = 2 * kSectorSize}.allow(one));
}

TEST_SUITE_END();
