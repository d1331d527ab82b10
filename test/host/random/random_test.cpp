// Random sequences of all operations against the reference model, for both pagers.
//
// FAULTLINE_SEED=n starts from sequence n instead of a fresh random number; FAULTLINE_STEPS=n does n steps
// for each pager. A failure names the seed of its sequence: with it, the first sequence run is the one that
// failed.

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "test/host/random/sequence.hpp"

using namespace faultline;
using namespace faultline::sim;

namespace {

constexpr std::uint64_t kSequenceLength = 4000;
// For each pager. AddressSanitizer makes a step several times as dear, so fewer are done: still a million in
// all. ThreadSanitizer finds nothing where one thread plays every hart; a few show that the sequences run.
#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kDefaultSteps = 100'000;
#elif defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t kDefaultSteps = 500'000;
#else
constexpr std::uint64_t kDefaultSteps = 2'000'000;
#endif

class RandomChoices final : public Choices {
 public:
  explicit RandomChoices(std::uint64_t seed) : random_(seed) {}
  std::uint64_t pick(std::uint64_t n) override { return random_() % n; }

 private:
  std::mt19937_64 random_;
};

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::strtoull(value, nullptr, 0) : otherwise;
}

/// Fails the test case and says how to see it again.
template <class P>
bool run_sequence(std::uint64_t seed, std::uint64_t steps) {
  RandomChoices choices(seed);
  INFO("to see this again: FAULTLINE_SEED=", seed, " FAULTLINE_STEPS=", kSequenceLength);
  Sequence<P> sequence(choices);
  try {
    for (std::uint64_t step = 0; step < steps; ++step) sequence.step();
    sequence.check_everything();
  } catch (const Mismatch& mismatch) {
    FAIL_CHECK(std::string(mismatch.what()), "\n", sequence.history());
    return false;
  }
  return true;
}

}  // namespace

TEST_SUITE_BEGIN("random sequences");

TEST_CASE_TEMPLATE("random operations by several harts on several processes agree with the model", P,
                   EVERY_PAGER) {
  std::uint64_t seed = setting("FAULTLINE_SEED", std::random_device()());
  const std::uint64_t steps = setting("FAULTLINE_STEPS", kDefaultSteps);
  std::printf("# %s: %llu steps from FAULTLINE_SEED=%llu\n", P::kTraits.name,
              static_cast<unsigned long long>(steps), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (std::uint64_t done = 0; done < steps; done += kSequenceLength, ++seed) {
    if (!run_sequence<P>(seed, std::min(kSequenceLength, steps - done))) break;
  }
}

TEST_SUITE_END();
