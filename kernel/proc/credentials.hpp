#pragma once
// Who a process acts for. The kernel keeps user and group numbers as POSIX asks; user 0 may do everything.

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernel/fs/path.hpp"

namespace faultline {

struct ProcessCredentials {
  static constexpr std::size_t kMaxGroups = 16;

  std::uint32_t user = 0, effective_user = 0, saved_user = 0;
  std::uint32_t group = 0, effective_group = 0, saved_group = 0;
  std::array<std::uint32_t, kMaxGroups> supplementary = {};
  std::size_t supplementary_count = 0;

  bool privileged() const { return effective_user == 0; }
  /// What files are opened with. Borrows the supplementary groups.
  FileCredentials effective() const {
    return {.user = effective_user,
            .group = effective_group,
            .groups = {supplementary.data(), supplementary_count}};
  }
  /// What access(2) asks about.
  FileCredentials real() const {
    return {.user = user, .group = group, .groups = {supplementary.data(), supplementary_count}};
  }
};

}  // namespace faultline
