#pragma once
// /dev: the character devices, each registered by whoever has it.

#include <string_view>

#include "kernel/fs/file_system.hpp"

namespace faultline {

/// Opens a character device: makes the open file description. `inode` is its node.
using DeviceOpener = Result<Ref<OpenFile>> (*)(Ref<Inode> inode, OpenFlags flags);

/// Adds a character device: /dev/NAME opens through `open`, and so does any node with that number on a disk.
/// Call at start-up, before or after mounting. `name` must be a string literal. Errors: NoSpace when the
/// table is full, AlreadyExists.
[[nodiscard]] Result<> register_character_device(std::string_view name, DeviceNumber number,
                                                 std::uint32_t permissions, DeviceOpener open);

/// Opens a character special file wherever its node stands. NoSuchAddress when no driver has the number.
[[nodiscard]] Result<Ref<OpenFile>> open_character_device(Ref<Inode> inode, OpenFlags flags);

/// The file system. Error: OutOfMemory.
[[nodiscard]] Result<FileSystem*> start_device_file_system();

}  // namespace faultline
