#include "kernel/fs/memory_devices.hpp"

#include "kernel/dev/random.hpp"
#include "kernel/fs/devfs.hpp"
#include "kernel/fs/open_file.hpp"
#include "kernel/mm/memory_system.hpp"

namespace faultline {
namespace {

// Linux's numbers of these devices (Documentation/admin-guide/devices.txt).
constexpr std::uint32_t kMemoryMajor = 1;
enum class Device : std::uint32_t { Null = 3, Zero = 5, Full = 7, Random = 8, Urandom = 9 };

class MemoryDevice final : public OpenFile {
 public:
  MemoryDevice(Ref<Inode> inode, OpenFlags flags, Device device)
      : OpenFile(std::move(inode), flags), device_(device) {}

  bool seekable() const override { return false; }
  bool maps_as_memory() const override { return device_ == Device::Zero; }
  // lseek succeeds and means nothing, as on Linux.
  Result<std::uint64_t> seek(std::int64_t, SeekFrom) override { return 0; }

 protected:
  Result<std::size_t> do_read(std::uint64_t, IoBuffer& buffer) override {
    const std::size_t before = buffer.transferred();
    Result<> outcome;
    while (outcome && buffer.remaining() > 0 && device_ != Device::Null) outcome = put_some(buffer);
    return buffer.outcome(before, outcome);
  }

  Result<std::size_t> do_write(std::uint64_t&, IoBuffer& buffer, bool) override {
    if (device_ == Device::Full) return failure(KernelError::NoSpace);
    if (device_ == Device::Null || device_ == Device::Zero) return buffer.remaining();
    const std::size_t before = buffer.transferred();
    Result<> outcome;
    while (outcome && buffer.remaining() > 0) {
      std::byte bytes[64];
      const std::size_t count = std::min(sizeof(bytes), buffer.remaining());
      outcome = buffer.get({bytes, count});
      if (outcome) add_entropy({bytes, count});
    }
    return buffer.outcome(before, outcome);
  }

 private:
  Result<> put_some(IoBuffer& buffer) {
    if (device_ == Device::Zero || device_ == Device::Full)
      return buffer.put(PageRef::from_pa(MemorySystem::current().zero_page()).bytes());
    std::byte bytes[256];
    random_bytes({bytes, std::min(sizeof(bytes), buffer.remaining())});
    return buffer.put(bytes);
  }

  Device device_;
};

template <Device device>
Result<Ref<OpenFile>> open_memory_device(Ref<Inode> inode, OpenFlags flags) {
  return make_ref<MemoryDevice>(std::move(inode), flags, device);
}

}  // namespace

Result<> register_memory_devices() {
  const auto add = [](std::string_view name, Device device, DeviceOpener open) {
    return register_character_device(name, {kMemoryMajor, static_cast<std::uint32_t>(device)}, 0666, open);
  };
  TRY(add("null", Device::Null, open_memory_device<Device::Null>));
  TRY(add("zero", Device::Zero, open_memory_device<Device::Zero>));
  TRY(add("full", Device::Full, open_memory_device<Device::Full>));
  TRY(add("random", Device::Random, open_memory_device<Device::Random>));
  return add("urandom", Device::Urandom, open_memory_device<Device::Urandom>);
}

}  // namespace faultline
