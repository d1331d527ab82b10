// Entry of the doctest programs, and what a rule of the machine broken means there: the current case fails.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <utility>

#include "test/host/capture.hpp"
#include "test/host/machine/report.hpp"

namespace faultline::sim {
namespace {
CaptureReports* capture = nullptr;
}

void report_failure(const std::string& message) {
  if (capture != nullptr) {
    capture->messages_.push_back(message);
  } else {
    FAIL_CHECK("the machine objects: " << message);
    // After so many the machine is in pieces, and a loop that relies on it may never end.
    static std::atomic<unsigned> count = 0;
    if (++count == 200) std::abort();
  }
}

CaptureReports::CaptureReports() { capture = this; }
CaptureReports::~CaptureReports() { capture = nullptr; }

std::size_t CaptureReports::take(const std::string& part) {
  const auto messages = std::exchange(messages_, {});
  return static_cast<std::size_t>(std::ranges::count_if(
      messages, [&](const std::string& m) { return m.find(part) != std::string::npos; }));
}

}  // namespace faultline::sim
