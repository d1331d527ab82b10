// Mappings, what /proc/self/pagemap says of them, and machine code small enough to write by hand.
#pragma once

#include <sys/mman.h>

#include "tap.h"

enum { page_size = 4096 };

TAP_UNUSED static char* map_pages(size_t pages, int protection, int flags) {
  void* at = mmap(NULL, pages * page_size, protection, flags, -1, 0);
  REQUIRE(at != MAP_FAILED);
#ifdef MADV_NOHUGEPAGE
  madvise(at, pages * page_size, MADV_NOHUGEPAGE);  // a kernel with huge pages must not blur single ones
#endif
  return (char*)at;
}

TAP_UNUSED static char* map_anonymous(size_t pages) {
  return map_pages(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
}

TAP_UNUSED static char* map_shared(size_t pages) {
  return map_pages(pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
}

enum { pagemap_present_bit = 63, pagemap_frame_bits = 55 };

// The 64-bit entry of the page that holds `address` (Linux, Documentation/admin-guide/mm/pagemap), or 0
// if it cannot be read.
static uint64_t pagemap_entry(const volatile void* address) {
  uint64_t entry = 0;
  int fd = open("/proc/self/pagemap", O_RDONLY);
  if (fd < 0) return 0;
  if (pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)address / page_size * sizeof entry)) != sizeof entry)
    entry = 0;
  close(fd);
  return entry;
}

TAP_UNUSED static bool page_present(const volatile void* address) {
  return pagemap_entry(address) >> pagemap_present_bit & 1;
}

// The frame that backs a present page, or 0 where the kernel does not tell it.
TAP_UNUSED static uint64_t page_frame(const volatile void* address) {
  uint64_t entry = pagemap_entry(address);
  return entry >> pagemap_present_bit & 1 ? entry & ((UINT64_C(1) << pagemap_frame_bits) - 1) : 0;
}

TAP_UNUSED static size_t pages_present(const char* start, size_t pages) {
  size_t present = 0;
  for (size_t i = 0; i < pages; i++) present += page_present(start + i * page_size);
  return present;
}

// Ends the case as skipped where frame numbers are not to be had.
TAP_UNUSED static void require_pagemap(bool frames) {
  volatile char probe = 1;
  if (tap_emulated()) SKIP("pagemap describes the emulator, not this program");
  if (!page_present(&probe)) SKIP("/proc/self/pagemap is not readable");
  if (frames && !page_frame(&probe)) SKIP("frame numbers are hidden from this user");
}

// Writes a function that returns `value` (0..2047) at `at`; the caller sees to protection and fence.i.
TAP_UNUSED static void emit_return(void* at, unsigned value) {
#if defined __riscv
  uint32_t code[] = {0x00000513u | value << 20, 0x00008067u};  // addi a0, x0, value; jalr x0, 0(ra)
#elif defined __x86_64__
  unsigned char code[] = {0xb8, (unsigned char)value, (unsigned char)(value >> 8), 0, 0,
                          0xc3};  // mov eax; ret
#else
#error "no machine code known for this architecture"
#endif
  memcpy(at, code, sizeof code);
  __builtin___clear_cache((char*)at, (char*)at + sizeof code);
}

TAP_UNUSED static int call_code(const void* at) {
  int (*function)(void) = (int (*)(void))(uintptr_t)at;
  return function();
}

TAP_UNUSED static int create_file(const char* path, const void* bytes, size_t size) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  REQUIRE(fd >= 0);
  REQUIRE(write(fd, bytes, size) == (ssize_t)size);
  return fd;
}
