#include "kernel/dev/virtio_random.hpp"

#include <algorithm>
#include <cstring>

#include "kernel/dev/console.hpp"
#include "kernel/dev/random.hpp"

namespace faultline {

Result<> VirtioRandom::start() {
  memory_ = platform::allocate_frame(FrameContents::Zeroed);
  if (!memory_) return failure(KernelError::OutOfMemory);
  plic::register_handler(transport_.interrupt(), *this);
  SpinGuard guard(lock_);
  return start_request();
}

// The device is brought up for each request, which is rare: while one runs, its host may keep a timer for it.
Result<> VirtioRandom::start_request() {
  TRY(transport_.negotiate(0));
  TRY(transport_.set_up_queue(queue_, 1));
  transport_.start();
  const Virtqueue::Segment segment{*memory_, kRequestBytes, true};
  queue_.add({&segment, 1});
  requested_ = true;
  transport_.notify();
  return {};
}

void VirtioRandom::request() {
  SpinGuard guard(lock_);
  if (requested_ || broken_) return;
  broken_ = !start_request();  // it has worked once; the generator goes on without more
}

void VirtioRandom::on_interrupt() {
  if (!transport_.acknowledge_interrupt()) return;
  std::byte bytes[kRequestBytes];
  std::size_t count = 0;
  {
    SpinGuard guard(lock_);
    if (broken_ || !requested_) return;
    const auto finished = queue_.take_finished();
    if (finished && !*finished) return;
    transport_.stop();
    requested_ = false;
    if (!finished) {
      broken_ = true;
      print("faultline: the source of randomness broke the virtio protocol and has been stopped\n");
      return;
    }
    count = std::min((*finished)->length, kRequestBytes);
    std::memcpy(bytes, platform::frame_bytes(*memory_), count);
  }
  add_entropy({bytes, count});
}

}  // namespace faultline
