#include "kernel/proc/program_image.hpp"

#include <array>

#include "kernel/dev/random.hpp"
#include "kernel/proc/process.hpp"

namespace faultline {

namespace {

Result<> read_exactly(Inode& file, std::uint64_t offset, std::span<std::byte> bytes) {
  KernelIoBuffer buffer(bytes);
  while (buffer.remaining() > 0) {
    if (TRY(file.read_at(offset + buffer.transferred(), buffer)) == 0)
      return failure(KernelError::NotExecutable);
  }
  return {};
}

// Of a program's stack there is so much from the start; the rest comes as it grows.
constexpr std::uint64_t kFirstStackBytes = 128 * 1024;

Result<> map_anonymous(SystemMm& mm, std::uint64_t start, std::uint64_t end, Permission permission,
                       AreaFlags flags = {}) {
  if (start >= end) return {};
  TRY(mm.mmap(Va::checked(start), end - start, permission,
              {.fixed = true, .no_replace = true, .area = flags}));
  return {};
}

Result<> map_segment(SystemMm& mm, Inode& file, const ElfSegment& segment, std::uint64_t base) {
  if (segment.file_bytes > 0) {
    const std::uint64_t start = base + segment.first_page();
    const std::uint64_t end = base + segment.file_pages_end();
    TRY(mm.mmap(Va::checked(start), end - start, segment.permission, {.fixed = true, .no_replace = true},
                file.mappable(), page_floor(segment.file_offset)));
    if (segment.memory_bytes > segment.file_bytes) {
      // The bytes of the file behind the segment's are not the program's: its zero-initialised data begins
      // there.
      TRY(mm.zero_out(VaRange(Va::checked(base + segment.address + segment.file_bytes), Va::checked(end))));
    }
  }
  return map_anonymous(mm, base + segment.file_pages_end(), base + segment.pages_end(), segment.permission);
}

/// Writes words to user memory in ascending order, some at a time.
class WordWriter {
 public:
  WordWriter(SystemMm& mm, std::uint64_t address) : mm_(mm), address_(address) {}
  Result<> put(std::uint64_t word) {
    words_[count_++] = word;
    return count_ == words_.size() ? flush() : Result<>();
  }
  Result<> flush() {
    const std::span<const std::uint64_t> words(words_.data(), count_);
    TRY(mm_.copy_out(Va::checked(address_), std::as_bytes(words)));
    address_ += words.size_bytes();
    count_ = 0;
    return {};
  }

 private:
  SystemMm& mm_;
  std::uint64_t address_;
  std::size_t count_ = 0;
  std::array<std::uint64_t, 64> words_;
};

// Tags of the auxiliary vector (System V ABI; Linux's uapi/linux/auxvec.h).
enum class Auxiliary : std::uint64_t {
  Null = 0,
  ProgramHeaders = 3,
  ProgramHeaderBytes = 4,
  ProgramHeaderCount = 5,
  PageSize = 6,
  Base = 7,
  Flags = 8,
  Entry = 9,
  User = 11,
  EffectiveUser = 12,
  Group = 13,
  EffectiveGroup = 14,
  HardwareCapabilities = 16,
  ClockTicks = 17,
  Secure = 23,
  Random = 25,
  ExecutedName = 31,
};

constexpr std::uint64_t extension_bit(char letter) { return std::uint64_t{1} << (letter - 'a'); }
constexpr std::uint64_t kHardwareCapabilities = extension_bit('i') | extension_bit('m') | extension_bit('a') |
                                                extension_bit('f') | extension_bit('d') | extension_bit('c');
constexpr std::size_t kRandomBytes = 16;

/// Where things lie on a program's first stack, from the top down.
struct StackPlan {
  std::uint64_t name;         // the path, for AT_EXECFN
  std::uint64_t environment;  // strings
  std::uint64_t arguments;    // strings, directly below the environment's
  std::uint64_t random;
  std::uint64_t stack_pointer;

  StackPlan(std::size_t name_bytes, const StringList& argument_list, const StringList& environment_list,
            std::size_t auxiliary_words) {
    name = kStackTop - sizeof(std::uint64_t) - name_bytes;
    environment = name - environment_list.bytes();
    arguments = environment - argument_list.bytes();
    random = (arguments - kRandomBytes) & ~std::uint64_t{15};
    // argc, the two arrays with their null pointers, the auxiliary vector.
    const std::uint64_t words =
        1 + argument_list.count() + 1 + environment_list.count() + 1 + auxiliary_words;
    stack_pointer = (random - words * sizeof(std::uint64_t)) & ~std::uint64_t{15};
  }
};

Result<> put_pointers(WordWriter& writer, const StringList& strings, std::uint64_t start) {
  TRY(strings.for_each_offset([&](std::size_t offset) { return writer.put(start + offset); }));
  return writer.put(0);
}

Result<std::uint64_t> build_stack(SystemMm& mm, const ElfImage& image, std::uint64_t base,
                                  std::string_view path, const StringList& arguments,
                                  const StringList& environment, const ProcessCredentials& credentials,
                                  bool secure) {
  struct Entry {
    Auxiliary tag;
    std::uint64_t value;
  };
  constexpr std::size_t kEntries = 17;
  const StackPlan plan(path.size() + 1, arguments, environment, kEntries * 2);
  const std::uint64_t headers = image.program_header_address();
  const Entry entries[] = {{Auxiliary::HardwareCapabilities, kHardwareCapabilities},
                           {Auxiliary::PageSize, kPageSize},
                           {Auxiliary::ClockTicks, kUserTicksPerSecond},
                           {Auxiliary::ProgramHeaders, headers == 0 ? 0 : base + headers},
                           {Auxiliary::ProgramHeaderBytes, ElfImage::kProgramHeaderBytes},
                           {Auxiliary::ProgramHeaderCount, image.program_header_count()},
                           {Auxiliary::Base, 0},
                           {Auxiliary::Flags, 0},
                           {Auxiliary::Entry, base + image.entry()},
                           {Auxiliary::User, credentials.user},
                           {Auxiliary::EffectiveUser, credentials.effective_user},
                           {Auxiliary::Group, credentials.group},
                           {Auxiliary::EffectiveGroup, credentials.effective_group},
                           {Auxiliary::Secure, secure ? 1u : 0u},
                           {Auxiliary::Random, plan.random},
                           {Auxiliary::ExecutedName, plan.name},
                           {Auxiliary::Null, 0}};
  static_assert(std::size(entries) == kEntries);

  std::array<std::byte, kRandomBytes> random;
  random_bytes(random);
  TRY(mm.copy_out(Va::checked(plan.random), random));
  TRY(arguments.copy_out(mm, Va::checked(plan.arguments)));
  TRY(environment.copy_out(mm, Va::checked(plan.environment)));
  TRY(mm.copy_out(Va::checked(plan.name), std::as_bytes(std::span(path))));

  WordWriter writer(mm, plan.stack_pointer);
  TRY(writer.put(arguments.count()));
  TRY(put_pointers(writer, arguments, plan.arguments));
  TRY(put_pointers(writer, environment, plan.environment));
  for (const Entry& entry : entries) {
    TRY(writer.put(static_cast<std::uint64_t>(entry.tag)));
    TRY(writer.put(entry.value));
  }
  TRY(writer.flush());
  return plan.stack_pointer;
}

}  // namespace

Result<ElfImage> read_elf(Inode& file) {
  std::array<std::byte, ElfImage::kHeaderBytes> header;
  const std::uint64_t size = file.size();
  if (size < header.size()) return failure(KernelError::NotExecutable);
  TRY(read_exactly(file, 0, header));
  ElfImage image = TRY(ElfImage::parse_header(header, size));
  std::array<std::byte, ElfImage::kMaxProgramHeaders * ElfImage::kProgramHeaderBytes> table;
  const auto [offset, count] = image.program_headers();
  const std::span<std::byte> headers = std::span(table).first(count * ElfImage::kProgramHeaderBytes);
  TRY(read_exactly(file, offset, headers));
  TRY(image.parse_segments(headers));
  return image;
}

Result<ProgramStart> load_program(Inode& file, const ElfImage& image, std::string_view path,
                                  const StringList& arguments, const StringList& environment,
                                  const ProcessCredentials& credentials, bool secure) {
  const std::uint64_t base = image.position_independent() ? kPieBase & ~(image.alignment() - 1) : 0;
  const Process& process = Process::current();
  Ref<AddressSpace> memory = TRY(AddressSpace::create(process.mm().limits(), process.next_pager));
  SystemMm& mm = memory->mm();
  for (const ElfSegment& segment : image.segments()) TRY(map_segment(mm, file, segment, base));
  mm.set_heap_start(Va::checked(page_floor(base + image.end() + kPageSize - 1)));
  TRY(map_anonymous(mm, kStackTop - kFirstStackBytes, kStackTop, Permission::read_write(),
                    AreaFlag::GrowsDown));
  const std::uint64_t stack_pointer =
      TRY(build_stack(mm, image, base, path, arguments, environment, credentials, secure));
  const StackPlan plan(path.size() + 1, arguments, environment, 0);
  return ProgramStart{.memory = std::move(memory),
                      .entry = base + image.entry(),
                      .stack_pointer = stack_pointer,
                      .arguments = VaRange(Va::checked(plan.arguments), Va::checked(plan.environment))};
}

}  // namespace faultline
