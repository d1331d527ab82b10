#pragma once
// The texts of /proc. The formats are those of Linux (Documentation/filesystems/proc.rst), so that programs
// written for it find what they look for.

#include "kernel/fs/proc_source.hpp"
#include "kernel/fs/proc_text.hpp"

namespace faultline::proc {

/// Writes a file about the whole system.
using SystemText = void (*)(ProcSource& source, WindowSink& sink);
/// Writes a file about one process. NoSuchProcess when it is gone.
using ProcessText = Result<> (*)(ProcSource& source, ProcessId id, WindowSink& sink);

struct SystemFile {
  std::string_view name;
  SystemText text;
  std::uint32_t permissions = 0444;
};
/// Who may open a file about a process: all, or those who may see its inside (ProcSource::check_inspection).
enum class Audience : std::uint8_t { Everybody, Inspectors };
struct ProcessFile {
  std::string_view name;
  ProcessText text;
  Audience audience = Audience::Everybody;
  /// Takes a word that the process writes into its own file; null where nothing can be written.
  Result<> (*set)(ProcSource& source, std::string_view word) = nullptr;
};

/// The word that is written in one piece, with white space around it or not. Error: InvalidArgument when all
/// of it is longer than `space`.
Result<std::string_view> word_written(IoBuffer& buffer, std::span<char> space);

std::span<const SystemFile> system_files();
std::span<const ProcessFile> process_files();

/// A path for people: of a file as seen from the root, "pipe:[N]" for a pipe, with " (deleted)" when no name
/// is left.
Result<std::size_t> describe_file(Inode& inode, std::span<char> space);

}  // namespace faultline::proc
