// The parts of the standard library that most of the kernel uses. The makefile compiles this header once and
// gives it to every file, which saves a third of the time; no file names it, and each includes what it uses
// itself (clang-tidy and the fuzzer's build of the core do without it).

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
