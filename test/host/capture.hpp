#pragma once
// For the tests of the simulated machine itself: collects what it objects to instead of failing the case.

#include <string>
#include <vector>

namespace faultline::sim {

class [[nodiscard]] CaptureReports {
 public:
  CaptureReports();
  CaptureReports(const CaptureReports&) = delete;
  CaptureReports& operator=(const CaptureReports&) = delete;
  ~CaptureReports();

  /// The messages so far that contain `part`; all of them are forgotten.
  std::size_t take(const std::string& part);

 private:
  friend void report_failure(const std::string& message);
  std::vector<std::string> messages_;
};

}  // namespace faultline::sim
