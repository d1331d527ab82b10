// The smallest ELF64 program of this architecture, made at run time so that a test can damage any part of it:
// one segment that holds the headers and the code, which exits with the misalignment of its stack (0 is
// right).
#pragma once

#include <elf.h>

#include "tap.h"

enum { elf_code_offset = 0x200, elf_image_bytes = 0x300, elf_segments = 4 };

#if defined __riscv
enum { elf_machine = EM_RISCV };
static const uint64_t elf_base = 0x10000;
static const uint32_t elf_code[] = {
    0x00f17513,  // andi a0, sp, 15
    0x05d00893,  // addi a7, x0, 93 (exit)
    0x00000073,  // ecall
    0x0000006f,  // jal  x0, 0
};
#elif defined __x86_64__
enum { elf_machine = EM_X86_64 };
static const uint64_t elf_base = 0x400000;
static const unsigned char elf_code[] = {
    0x89, 0xe7,                    // mov edi, esp
    0x83, 0xe7, 0x0f,              // and edi, 15
    0xb8, 0x3c, 0x00, 0x00, 0x00,  // mov eax, 60 (exit)
    0x0f, 0x05,                    // syscall
    0xeb, 0xfe,                    // jmp .
};
#else
#error "no program known for this architecture"
#endif

struct elf_image {
  Elf64_Ehdr header;
  Elf64_Phdr segments[elf_segments];
  unsigned char rest[elf_image_bytes - sizeof(Elf64_Ehdr) - elf_segments * sizeof(Elf64_Phdr)];
};

TAP_UNUSED static struct elf_image elf_valid_image(void) {
  struct elf_image image;
  memset(&image, 0, sizeof image);
  Elf64_Ehdr* header = &image.header;
  memcpy(header->e_ident, ELFMAG, SELFMAG);
  header->e_ident[EI_CLASS] = ELFCLASS64;
  header->e_ident[EI_DATA] = ELFDATA2LSB;
  header->e_ident[EI_VERSION] = EV_CURRENT;
  header->e_type = ET_EXEC;
  header->e_machine = elf_machine;
  header->e_version = EV_CURRENT;
  header->e_entry = elf_base + elf_code_offset;
  header->e_phoff = sizeof *header;
  header->e_ehsize = sizeof *header;
  header->e_phentsize = sizeof(Elf64_Phdr);
  header->e_phnum = 1;
#ifdef __riscv
  header->e_flags = 0x5;  // RVC, double-float ABI: what the toolchain's programs say
#endif
  Elf64_Phdr* segment = &image.segments[0];
  segment->p_type = PT_LOAD;
  segment->p_flags = PF_R | PF_X;
  segment->p_vaddr = segment->p_paddr = elf_base;
  segment->p_filesz = segment->p_memsz = sizeof image;
  segment->p_align = 4096;
  memcpy((unsigned char*)&image + elf_code_offset, elf_code, sizeof elf_code);
  return image;
}

// Stores the first `size` bytes of the image as an executable file and returns its path.
TAP_UNUSED static const char* elf_store(const char* name, const void* image, size_t size) {
  const char* path = tap_path(name);
  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  REQUIRE(fd >= 0);
  REQUIRE(write(fd, image, size) == (ssize_t)size);
  close(fd);
  return path;
}

// How an attempt to execute a file ended: execve's error, or the wait status of the process that it became.
struct execution {
  int error;
  int status;
};

enum { execution_seconds = 20 };

// Executes `path` in a child; SIGALRM ends one that neither runs nor fails.
TAP_UNUSED static struct execution execute(const char* path, char* const arguments[]) {
  int report[2];
  REQUIRE(pipe2(report, O_CLOEXEC) == 0);
  pid_t child = tap_fork();
  if (child == 0) {
    char* none[] = {NULL};
    alarm(execution_seconds);
    execve(path, arguments, none);
    int error = errno;
    REQUIRE(write(report[1], &error, sizeof error) == sizeof error);
    _exit(tap_status_failed);
  }
  close(report[1]);
  struct execution result = {0, 0};
  if (read(report[0], &result.error, sizeof result.error) != sizeof result.error) result.error = 0;
  close(report[0]);
  result.status = tap_wait(child);
  return result;
}
