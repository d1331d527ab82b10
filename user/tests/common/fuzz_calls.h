// Which system calls test_fuzz_syscalls may make where. On Faultline, whose kernel is what it tests, all but
// those that end or reset the machine or reach other processes; elsewhere only those that cannot harm the
// host.
#pragma once

#include <sys/syscall.h>

#include "tap.h"

enum { fuzz_numbers = 460 };

// Elsewhere than on Faultline nothing else is called.
static const long fuzz_harmless[] = {
    SYS_read,           SYS_write,        SYS_readv,         SYS_writev,       SYS_pread64,
    SYS_pwrite64,       SYS_lseek,        SYS_fstat,         SYS_newfstatat,   SYS_statx,
    SYS_openat,         SYS_close,        SYS_dup,           SYS_dup3,         SYS_fcntl,
    SYS_pipe2,          SYS_ppoll,        SYS_ftruncate,     SYS_getcwd,       SYS_getdents64,
    SYS_faccessat,      SYS_mkdirat,      SYS_unlinkat,      SYS_linkat,       SYS_symlinkat,
    SYS_renameat2,      SYS_readlinkat,   SYS_mmap,          SYS_munmap,       SYS_mprotect,
    SYS_mremap,         SYS_madvise,      SYS_msync,         SYS_brk,          SYS_futex,
    SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigpending, SYS_sigaltstack,  SYS_nanosleep,
    SYS_clock_gettime,  SYS_clock_getres, SYS_getitimer,     SYS_gettimeofday, SYS_times,
    SYS_getrusage,      SYS_uname,        SYS_sysinfo,       SYS_getrandom,    SYS_sched_yield,
    SYS_gettid,         SYS_getpid,       SYS_getppid,       SYS_wait4,        SYS_set_tid_address,
};

// Never called: they end the machine, change what all processes share, or leave the test's directory.
static const long fuzz_forbidden[] = {
    SYS_reboot,      SYS_settimeofday,  SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
    SYS_sethostname, SYS_setdomainname, SYS_chdir,         SYS_fchdir,        SYS_chroot,
    SYS_pivot_root,  SYS_mount,         SYS_umount2,       SYS_swapon,        SYS_swapoff,
    SYS_kexec_load,  SYS_init_module,   SYS_finit_module,  SYS_delete_module, SYS_setpriority,
    SYS_ioprio_set,  SYS_vhangup,       SYS_ptrace,        SYS_exit,          SYS_exit_group,
};

// The first argument names a process: only this one is put there.
static const long fuzz_on_process[] = {
    SYS_kill,
    SYS_tkill,
    SYS_tgkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_prlimit64,
    SYS_setpgid,
    SYS_sched_setparam,
    SYS_sched_setscheduler,
    SYS_sched_setaffinity,
    SYS_sched_setattr,
    SYS_migrate_pages,
    SYS_move_pages,
    SYS_process_vm_writev,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_process_madvise,
};

#define FUZZ_LISTED(list, number) fuzz_listed(list, sizeof list / sizeof *list, number)

static bool fuzz_listed(const long* list, size_t count, long number) {
  for (size_t i = 0; i < count; i++)
    if (list[i] == number) return true;
  return false;
}

static long fuzz_number(bool any) {
  if (!any) return fuzz_harmless[tap_below(sizeof fuzz_harmless / sizeof *fuzz_harmless)];
  // The calls that exist get half of the turns, all the other numbers the rest.
  if (tap_below(2)) return fuzz_harmless[tap_below(sizeof fuzz_harmless / sizeof *fuzz_harmless)];
  long number;
  do number = tap_below(64) ? (long)tap_below(fuzz_numbers) : (long)tap_random();
  while (FUZZ_LISTED(fuzz_forbidden, number));
  return number;
}
