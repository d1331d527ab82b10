// libFuzzer's way into the random sequences: the input's bytes choose the pager, the operations and their
// arguments.

#include <cstdio>
#include <cstdlib>

#include "test/host/random/sequence.hpp"

namespace faultline::sim {

void report_failure(const std::string& message) {
  std::fprintf(stderr, "the machine objects: %s\n", message.c_str());
  std::abort();
}

namespace {

class ByteChoices final : public Choices {
 public:
  explicit ByteChoices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  /// As many bytes as `n` needs; zeroes once they have run out.
  std::uint64_t pick(std::uint64_t n) override {
    std::uint64_t value = 0;
    for (std::uint64_t range = n - 1; range > 0 && !exhausted(); range >>= 8) {
      value = value << 8 | bytes_.front();
      bytes_ = bytes_.subspan(1);
    }
    return value % n;
  }
  bool exhausted() const override { return bytes_.empty(); }

 private:
  std::span<const std::uint8_t> bytes_;
};

template <class P>
void run(ByteChoices& choices) {
  Sequence<P> sequence(choices);
  try {
    while (!choices.exhausted()) sequence.step();
    sequence.check_everything();
  } catch (const Mismatch& mismatch) {
    std::fprintf(stderr, "%s\n%s", mismatch.what(), sequence.history().c_str());
    std::abort();
  }
}

}  // namespace
}  // namespace faultline::sim

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace faultline;
  sim::ByteChoices choices(std::span(data, size));
  using Run = void (*)(sim::ByteChoices&);
#define RUN(P) sim::run<P>
  constexpr Run kRuns[] = {FAULTLINE_PAGERS(RUN, COMMA)};
#undef RUN
  kRuns[choices.pick(std::size(kRuns))](choices);
  return 0;
}
