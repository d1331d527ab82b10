#include "test/host/machine/panic.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernel/lib/panic.hpp"

namespace faultline::sim {
namespace {
constexpr int kPanicStatus = 42;
int panic_pipe = -1;
}  // namespace

std::optional<std::string> panic_of(const std::function<void()>& function) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    ::close(ends[0]);
    panic_pipe = ends[1];
    function();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string message;
  char buffer[256];
  for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    message.append(buffer, buffer + count);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kPanicStatus) return message;
  return std::nullopt;
}

}  // namespace faultline::sim

namespace faultline {

void panic(const char* message, std::source_location where) {
  using namespace sim;
  if (panic_pipe >= 0) {
    if (::write(panic_pipe, message, std::strlen(message)) < 0) std::abort();
    ::_exit(kPanicStatus);
  }
  std::fprintf(stderr, "%s:%u: panic: %s\n", where.file_name(), static_cast<unsigned>(where.line()), message);
  std::abort();
}

}  // namespace faultline
