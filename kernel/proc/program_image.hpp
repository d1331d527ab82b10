#pragma once
// Turning an executable file into an address space that can run it.

#include <cstdint>

#include "kernel/fs/inode.hpp"
#include "kernel/proc/address_space.hpp"
#include "kernel/proc/credentials.hpp"
#include "kernel/proc/elf.hpp"
#include "kernel/proc/string_list.hpp"

namespace faultline {

struct ProgramStart {
  Ref<AddressSpace> memory;
  std::uint64_t entry;
  std::uint64_t stack_pointer;
  VaRange arguments;  // the argument strings, for /proc/PID/cmdline
};

/// Reads and checks the headers of `file`. Errors: NotExecutable, InputOutput.
Result<ElfImage> read_elf(Inode& file);

/// A new address space with the program's segments, its heap's start and its first stack, on which arguments,
/// environment and auxiliary vector lie as the RISC-V ELF psABI and Linux's ABI want them. `path` is what
/// AT_EXECFN tells.
Result<ProgramStart> load_program(Inode& file, const ElfImage& image, std::string_view path,
                                  const StringList& arguments, const StringList& environment,
                                  const ProcessCredentials& credentials, bool secure);

}  // namespace faultline
