#pragma once
// Text made for one read: the whole of it is generated, and the part between two offsets is kept.

#include <algorithm>
#include <cstring>
#include <span>

#include "kernel/lib/format.hpp"

namespace faultline {

class WindowSink final : public TextSink {
 public:
  /// Keeps what lies from byte `offset` of the text on, as far as it fits into `space`.
  WindowSink(std::uint64_t offset, std::span<char> space) : skip_(offset), space_(space) {}

  void write(std::string_view text) override {
    const std::size_t skipped = std::min<std::uint64_t>(skip_, text.size());
    skip_ -= skipped;
    text.remove_prefix(skipped);
    const std::size_t count = std::min(text.size(), space_.size() - used_);
    std::memcpy(space_.data() + used_, text.data(), count);
    used_ += count;
  }
  std::string_view text() const { return {space_.data(), used_}; }
  /// The rest of the text would be thrown away.
  bool full() const { return used_ == space_.size(); }

 private:
  std::uint64_t skip_;
  std::span<char> space_;
  std::size_t used_ = 0;
};

}  // namespace faultline
