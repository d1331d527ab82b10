#pragma once
// The first process.

#include <optional>
#include <string_view>

#include "kernel/lib/result.hpp"
#include "kernel/proc/system_pager.hpp"

namespace faultline {

/// Prepares what processes need: terminal, signal-return page, limits. Once, before any process. Error:
/// OutOfMemory.
Result<> initialize_processes();

/// Starts process 1, under a memory policy, with `program` or without one with the first of /init, /bin/init
/// and /bin/sh that can be executed; its standard input and output are the console. The root file system is
/// mounted. When no program can be executed it prints one line and powers off with a failing status, from the
/// new process's thread.
Result<> start_first_process(std::optional<std::string_view> program, PagerChoice pager);

}  // namespace faultline
