// Executable files that are wrong in every way the format allows: execve fails and its caller lives on, or
// the process dies by a signal; nothing hangs, nothing else is harmed. The files are made here, byte by byte.
#include "common/elf_image.h"
#include "common/pages.h"

static void require_native_programs(void) {
  if (tap_emulated()) SKIP("the host below the emulator does not execute this architecture's files");
}

static struct execution execute_image(const void* image, size_t size) {
  const char* path = elf_store("program", image, size);
  char* arguments[] = {(char*)"program", NULL};
  return execute(path, arguments);
}

static void expect_runs(const struct elf_image* image, const char* what) {
  struct execution result = execute_image(image, sizeof *image);
  if (result.error || result.status)
    FAIL("%s: error %s, status %#x", what, result.error ? strerrorname_np(result.error) : "none",
         result.status);
}

// An error of execve or death by a signal other than the alarm's.
static void expect_refused(const char* what, struct execution result) {
  if (result.error) return;
  if (WIFSIGNALED(result.status) && WTERMSIG(result.status) != SIGALRM) return;
  FAIL("%s: neither refused nor killed: status %#x", what, result.status);
}

// As expect_refused, for damage that a kernel may also overlook: then the program must run as if undamaged.
static void expect_harmless(const char* what, struct execution result) {
  if (result.error == 0 && result.status == 0) return;
  expect_refused(what, result);
}

TEST(valid, "the undamaged program runs, with its stack aligned to 16 bytes") {
  require_native_programs();
  struct elf_image image = elf_valid_image();
  expect_runs(&image, "ET_EXEC");
}

TEST(position_independent, "a position-independent program without an interpreter (static-PIE) runs") {
  require_native_programs();
  struct elf_image image = elf_valid_image();
  image.header.e_type = ET_DYN;
  image.header.e_entry = elf_code_offset;
  image.segments[0].p_vaddr = image.segments[0].p_paddr = 0;
  expect_runs(&image, "ET_DYN");
}

TEST(zeroed_tail, "memory beyond a segment's file part is zero, in its last file page and after") {
  require_native_programs();
#ifdef __riscv
  // Exits with the bitwise or of a byte in the file's last page and one four pages on.
  static const uint32_t code[] = {0x00010537, 0x31054503, 0x000145b7, 0x3105c583,
                                  0x00b56533, 0x05d00893, 0x00000073};
  struct elf_image image = elf_valid_image();
  memcpy((unsigned char*)&image + elf_code_offset, code, sizeof code);
  image.segments[0].p_flags = PF_R | PF_W | PF_X;
  image.segments[0].p_memsz = 8 * page_size;
  unsigned char file[page_size];
  memset(file, 0xff, sizeof file);
  memcpy(file, &image, sizeof image);
  struct execution result = execute_image(file, sizeof file);
  CHECK_EQ(result.error, 0);
  CHECK_EQ(result.status, 0);
#else
  SKIP("the probe is RISC-V code");
#endif
}

TEST(truncated, "a file cut off anywhere in its headers is refused") {
  struct elf_image image = elf_valid_image();
  for (size_t size = 0; size < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); size += size < 20 ? 1 : 9) {
    char what[32];
    snprintf(what, sizeof what, "%zu bytes", size);
    expect_refused(what, execute_image(&image, size));
  }
}

struct damage {
  const char* what;
  void (*apply)(struct elf_image* image);
};

#define DAMAGE(id, statement) \
  static void id(struct elf_image* image) { statement; }

DAMAGE(bad_magic, image->header.e_ident[1] = 'X')
DAMAGE(class_32, image->header.e_ident[EI_CLASS] = ELFCLASS32)
DAMAGE(other_machine, image->header.e_machine = EM_SPARC)
DAMAGE(relocatable, image->header.e_type = ET_REL)
DAMAGE(core, image->header.e_type = ET_CORE)
DAMAGE(no_segments, image->header.e_phnum = 0)
DAMAGE(many_segments, image->header.e_phnum = 65535)
DAMAGE(small_entries, image->header.e_phentsize = 8)
DAMAGE(no_entries, image->header.e_phentsize = 0)
DAMAGE(table_behind_file, image->header.e_phoff = 1 << 20)
DAMAGE(table_at_end, image->header.e_phoff = elf_image_bytes - 8)
DAMAGE(table_far_away, image->header.e_phoff = UINT64_MAX - 20)
DAMAGE(table_negative, image->header.e_phoff = UINT64_C(1) << 63)
DAMAGE(nothing_to_load, image->segments[0].p_type = PT_NOTE)
DAMAGE(kernel_half, image->segments[0].p_vaddr = UINT64_C(0xffffffc000200000))
DAMAGE(top_of_space, image->segments[0].p_vaddr = UINT64_MAX - 4095)
DAMAGE(end_of_user_half, image->segments[0].p_vaddr = (UINT64_C(1) << 47) - 4096;
       image->segments[0].p_memsz = 8192)
DAMAGE(wrapping, image->segments[0].p_memsz = UINT64_MAX - 4096)
DAMAGE(huge_memory, image->segments[0].p_memsz = UINT64_C(1) << 62)
DAMAGE(huge_file, image->segments[0].p_filesz = image->segments[0].p_memsz = UINT64_C(1) << 62)
DAMAGE(file_over_memory, image->segments[0].p_filesz = 0x1000; image->segments[0].p_memsz = 0x100)
DAMAGE(misaligned, image->segments[0].p_offset = 0x10)
DAMAGE(behind_file, image->segments[0].p_offset = 1 << 20)
DAMAGE(offset_negative, image->segments[0].p_offset = UINT64_MAX - 4095)
DAMAGE(entry_null, image->header.e_entry = 0)
DAMAGE(entry_kernel, image->header.e_entry = UINT64_C(0xffffffc000200000))
DAMAGE(entry_last, image->header.e_entry = UINT64_MAX)
DAMAGE(entry_hole, image->header.e_entry = elf_base + (1 << 20))
DAMAGE(entry_not_executable, image->segments[0].p_flags = PF_R)
DAMAGE(no_permission, image->segments[0].p_flags = 0)
DAMAGE(missing_interpreter, image->header.e_phnum = 2; image->segments[1] = image->segments[0];
       image->segments[1].p_type = PT_INTERP; image->segments[1].p_offset = 0x280;
       image->segments[1].p_filesz = 17; memcpy((char*)image + 0x280, "/lib/nonexistent", 17))
DAMAGE(interpreter_unterminated, image->header.e_phnum = 2; image->segments[1] = image->segments[0];
       image->segments[1].p_type = PT_INTERP; image->segments[1].p_filesz = 8)
DAMAGE(interpreter_huge, image->header.e_phnum = 2; image->segments[1] = image->segments[0];
       image->segments[1].p_type = PT_INTERP; image->segments[1].p_filesz = UINT64_MAX)

#define DAMAGED(id) {#id, id}

static void refuse_each(const struct damage* damages, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct elf_image image = elf_valid_image();
    damages[i].apply(&image);
    expect_refused(damages[i].what, execute_image(&image, sizeof image));
  }
}

TEST(identification, "a file of another machine or type, or without segments to load, is refused") {
  static const struct damage damages[] = {DAMAGED(bad_magic),   DAMAGED(other_machine),
                                          DAMAGED(relocatable), DAMAGED(core),
                                          DAMAGED(no_segments), DAMAGED(nothing_to_load)};
  refuse_each(damages, sizeof damages / sizeof *damages);
}

TEST(other_class, "a file of this machine that says it is for 32 bits is refused or taken at its contents") {
  struct elf_image image = elf_valid_image();
  class_32(&image);
  expect_harmless("32 bits", execute_image(&image, sizeof image));
}

TEST(segment_table, "a segment table of a wrong size or outside of the file is refused") {
  static const struct damage damages[] = {
      DAMAGED(many_segments), DAMAGED(small_entries),  DAMAGED(no_entries),    DAMAGED(table_behind_file),
      DAMAGED(table_at_end),  DAMAGED(table_far_away), DAMAGED(table_negative)};
  refuse_each(damages, sizeof damages / sizeof *damages);
}

TEST(segment_ranges, "a segment outside of user space or of the file, or that wraps around, does not run") {
  static const struct damage damages[] = {
      DAMAGED(kernel_half), DAMAGED(top_of_space),   DAMAGED(end_of_user_half), DAMAGED(wrapping),
      DAMAGED(huge_memory), DAMAGED(huge_file),      DAMAGED(file_over_memory), DAMAGED(misaligned),
      DAMAGED(behind_file), DAMAGED(offset_negative)};
  refuse_each(damages, sizeof damages / sizeof *damages);
}

TEST(entries, "an entry point in nothing, in the kernel or in memory not executable ends the process") {
  static const struct damage damages[] = {DAMAGED(entry_null),           DAMAGED(entry_kernel),
                                          DAMAGED(entry_last),           DAMAGED(entry_hole),
                                          DAMAGED(entry_not_executable), DAMAGED(no_permission)};
  refuse_each(damages, sizeof damages / sizeof *damages);
}

TEST(interpreters, "an interpreter that is missing, unterminated or too long is refused") {
  static const struct damage damages[] = {DAMAGED(missing_interpreter), DAMAGED(interpreter_unterminated),
                                          DAMAGED(interpreter_huge)};
  refuse_each(damages, sizeof damages / sizeof *damages);
}

TEST(overlapping, "segments that overlap each other are refused or loaded, the later over the earlier") {
  struct elf_image image = elf_valid_image();
  image.header.e_phnum = 3;
  image.segments[1] = image.segments[2] = image.segments[0];
  expect_harmless("identical", execute_image(&image, sizeof image));
  image.segments[2].p_vaddr += page_size;
  image.segments[1].p_memsz = 4 * page_size;
  expect_harmless("partly", execute_image(&image, sizeof image));
  image.segments[1].p_flags = PF_R | PF_W;
  expect_harmless("with other permissions", execute_image(&image, sizeof image));
}

TEST(cut_off_content, "a segment whose file ends early is refused, or SIGBUS where it is touched") {
  require_native_programs();
  struct elf_image image = elf_valid_image();
  image.header.e_entry = elf_base + 4 * page_size;
  image.segments[0].p_filesz = image.segments[0].p_memsz = 8 * page_size;
  expect_refused("cut off", execute_image(&image, sizeof image));
}

TEST(text, "a file without a known magic number is ENOEXEC") {
  CHECK_EQ(execute_image("just some text\n", 15).error, ENOEXEC);
  CHECK_EQ(execute_image("", 0).error, ENOEXEC);
  CHECK_EQ(execute_image("\177ELF", 4).error, ENOEXEC);
}

TEST(random_damage,
     "a program with random bytes changed in its headers is refused, killed or runs; it never hangs") {
  enum { tries = 300 };
  for (int i = 0; i < tries && !tap_failures; i++) {
    uint64_t seed = tap_seed;
    struct elf_image image = elf_valid_image();
    for (uint64_t n = 1 + tap_below(4); n > 0; n--) {
      static const unsigned char likely[] = {0, 1, 0x7f, 0x80, 0xff};
      unsigned char value = tap_below(2) ? likely[tap_below(sizeof likely)] : (unsigned char)tap_random();
      ((unsigned char*)&image)[tap_below(sizeof image.header + sizeof image.segments[0])] = value;
    }
    struct execution result = execute_image(&image, sizeof image);
    if (result.error) continue;
    if (WIFEXITED(result.status) && WEXITSTATUS(result.status) < 16) continue;
    if (WIFSIGNALED(result.status) && WTERMSIG(result.status) != SIGALRM) continue;
    FAIL("status %#x: replay with --seed=%llu", result.status, (unsigned long long)seed);
  }
}
