#pragma once
// All system calls, by family. Each is a function of what the user passed, in the types that Linux gives the
// arguments: a 32-bit argument is the low half of its register, whatever the upper half holds. They run for
// the current thread.
//
// A call that fails has changed nothing, so the dispatcher may begin it again when it failed for want of
// memory. What a call means is documented where POSIX or Linux documents it; comments here and in the
// families' files tell only what is particular to this kernel.

#include <cstdint>

#include "kernel/fs/open_file.hpp"
#include "kernel/lib/result.hpp"
#include "kernel/proc/signal_actions.hpp"
#include "kernel/proc/signal_frame.hpp"
#include "kernel/proc/user_memory.hpp"
#include "kernel/syscall/linux_abi.hpp"

namespace faultline::system_call {

using Value = Result<std::uint64_t>;
using Address = std::uint64_t;

/// What the *at calls take for the working directory.
inline constexpr int kWorkingDirectory = -100;

// files.cpp: descriptors and what goes through them
/// O_NOATIME: reading without a trace is for the owner. Error: NotPermitted.
Result<> check_flags(const OpenFile& file, std::uint32_t flags);
Value openat(int directory, Address path, std::uint32_t flags, std::uint32_t permissions);
Value close(int descriptor);
Value close_range(std::uint32_t first, std::uint32_t last, std::uint32_t flags);
Value dup(int descriptor);
Value dup3(int from, int to, std::uint32_t flags);
Value ioctl(int descriptor, std::uint32_t request, std::uint64_t argument);
Value pipe2(UserPointer<int> descriptors, std::uint32_t flags);
Value lseek(int descriptor, std::int64_t offset, std::uint32_t whence);
Value ftruncate(int descriptor, std::int64_t size);
Value fallocate(int descriptor, std::uint32_t mode, std::int64_t offset, std::int64_t size);
Value fsync(int descriptor);
Value sync();
Value fadvise64(int descriptor, std::int64_t offset, std::int64_t size, int advice);

// fcntl.cpp
Value fcntl(int descriptor, std::uint32_t command, std::uint64_t argument);

// locks.cpp: advisory locks; the second and third serve fcntl
Value flock(int descriptor, std::uint32_t operation);
enum class RecordLockOwner : std::uint8_t { Process, OpenFile };
Value get_record_lock(OpenFile& file, Address lock, RecordLockOwner owner);
Value set_record_lock(int descriptor, const Ref<OpenFile>& file, Address lock, RecordLockOwner owner,
                      bool wait);

// transfer.cpp: reading and writing
Value read(int descriptor, Address buffer, std::uint64_t count);
Value write(int descriptor, Address buffer, std::uint64_t count);
Value readv(int descriptor, Address vectors, std::uint64_t count);
Value writev(int descriptor, Address vectors, std::uint64_t count);
Value pread64(int descriptor, Address buffer, std::uint64_t count, std::int64_t offset);
Value pwrite64(int descriptor, Address buffer, std::uint64_t count, std::int64_t offset);
Value preadv(int descriptor, Address vectors, std::uint64_t count, std::int64_t offset);
Value pwritev(int descriptor, Address vectors, std::uint64_t count, std::int64_t offset);
Value sendfile(int out, int in, UserPointer<std::int64_t> offset, std::uint64_t count);
Value getdents64(int descriptor, Address buffer, std::uint32_t size);
/// RLIMIT_FSIZE for the calls that set a size: SIGXFSZ and FileTooLarge when the file would grow past it.
Result<> check_new_size(const Inode& inode, std::int64_t size);

// paths.cpp: names
Value mkdirat(int directory, Address path, std::uint32_t permissions);
Value mknodat(int directory, Address path, std::uint32_t mode, std::uint32_t device);
Value unlinkat(int directory, Address path, std::uint32_t flags);
Value symlinkat(Address target, int directory, Address path);
Value linkat(int old_directory, Address old_path, int new_directory, Address new_path, std::uint32_t flags);
Value renameat2(int old_directory, Address old_path, int new_directory, Address new_path,
                std::uint32_t flags);
Value readlinkat(int directory, Address path, Address buffer, std::int32_t size);
Value chdir(Address path);
Value fchdir(int descriptor);
Value chroot(Address path);
Value getcwd(Address buffer, std::uint64_t size);
Value umask(std::uint32_t mask);
Value truncate(Address path, std::int64_t size);

// attributes.cpp: what is known of files
Value fstat(int descriptor, UserPointer<abi::FileStatus> status);
Value newfstatat(int directory, Address path, UserPointer<abi::FileStatus> status, std::uint32_t flags);
Value statx(int directory, Address path, std::uint32_t flags, std::uint32_t mask,
            UserPointer<abi::Statx> status);
Value statfs(Address path, UserPointer<abi::FileSystemStatus> status);
Value fstatfs(int descriptor, UserPointer<abi::FileSystemStatus> status);
Value faccessat(int directory, Address path, std::uint32_t mode);
Value faccessat2(int directory, Address path, std::uint32_t mode, std::uint32_t flags);
Value fchmod(int descriptor, std::uint32_t permissions);
Value fchmodat(int directory, Address path, std::uint32_t permissions);
Value fchown(int descriptor, std::uint32_t user, std::uint32_t group);
Value fchownat(int directory, Address path, std::uint32_t user, std::uint32_t group, std::uint32_t flags);
Value utimensat(int directory, Address path, UserPointer<abi::TimeSpec> times, std::uint32_t flags);

// poll.cpp
Value ppoll(Address descriptors, std::uint32_t count, UserPointer<abi::TimeSpec> timeout,
            UserPointer<SignalSet> mask, std::uint64_t mask_bytes);
Value pselect6(int count, Address read, Address write, Address except, UserPointer<abi::TimeSpec> timeout,
               UserPointer<abi::SignalMaskArgument> mask);

// memory.cpp
Value brk(Address end);
Value mmap(Address hint, std::uint64_t size, std::uint32_t protection, std::uint32_t flags, int descriptor,
           std::uint64_t offset);
Value munmap(Address start, std::uint64_t size);
Value mprotect(Address start, std::uint64_t size, std::uint32_t protection);
Value mremap(Address old_start, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
             Address new_start);
Value madvise(Address start, std::uint64_t size, std::uint32_t advice);
Value msync(Address start, std::uint64_t size, std::uint32_t flags);
Value mincore(Address start, std::uint64_t size, Address vector);
Value mlock(Address start, std::uint64_t size);
Value mlock2(Address start, std::uint64_t size, std::uint32_t flags);
Value munlock(Address start, std::uint64_t size);
Value mlockall(std::uint32_t flags);
Value munlockall();
Value riscv_flush_icache(Address start, Address end, std::uint64_t flags);

// processes.cpp
Value clone(std::uint64_t flags, Address stack, Address parent_id, Address thread_local_storage,
            Address child_id);
Value execve(Address path, Address arguments, Address environment);
Value execveat(int directory, Address path, Address arguments, Address environment, std::uint32_t flags);
Value exit(int code);
Value exit_group(int code);
Value wait4(std::int32_t id, UserPointer<std::int32_t> status, std::uint32_t options,
            UserPointer<abi::ResourceUse> usage);
Value waitid(std::uint32_t kind, std::int32_t id, UserPointer<SignalInfo> info, std::uint32_t options,
             UserPointer<abi::ResourceUse> usage);
Value set_tid_address(Address address);
Value set_robust_list(Address head, std::uint64_t size);
Value get_robust_list(std::int32_t id, UserPointer<std::uint64_t> head, UserPointer<std::uint64_t> size);
Value getpid();
Value getppid();
Value gettid();
Value getpgid(std::int32_t id);
Value setpgid(std::int32_t id, std::int32_t group);
Value getsid(std::int32_t id);
Value setsid();

// limits.cpp: resources and scheduling
Value getrusage(std::int32_t who, UserPointer<abi::ResourceUse> usage);
Value prlimit64(std::int32_t id, std::uint32_t resource, UserPointer<abi::ResourceLimit> new_limit,
                UserPointer<abi::ResourceLimit> old_limit);
Value getrlimit(std::uint32_t resource, UserPointer<abi::ResourceLimit> limit);
Value setrlimit(std::uint32_t resource, UserPointer<abi::ResourceLimit> limit);
Value sched_yield();
Value sched_getaffinity(std::int32_t id, std::uint64_t size, Address mask);
Value sched_setaffinity(std::int32_t id, std::uint64_t size, Address mask);
Value sched_getscheduler(std::int32_t id);
Value sched_setscheduler(std::int32_t id, std::int32_t policy, UserPointer<std::int32_t> parameter);
Value sched_getparam(std::int32_t id, UserPointer<std::int32_t> parameter);
Value sched_setparam(std::int32_t id, UserPointer<std::int32_t> parameter);
Value sched_get_priority_max(std::uint32_t policy);
Value sched_get_priority_min(std::uint32_t policy);
Value sched_rr_get_interval(std::int32_t thread, UserPointer<abi::TimeSpec> interval);
Value getpriority(std::int32_t which, std::int32_t id);
Value setpriority(std::int32_t which, std::int32_t id, std::int32_t value);
Value getcpu(UserPointer<std::uint32_t> cpu, UserPointer<std::uint32_t> node);

// identity.cpp: users and groups
Value getuid();
Value geteuid();
Value getgid();
Value getegid();
Value getresuid(UserPointer<std::uint32_t> real, UserPointer<std::uint32_t> effective,
                UserPointer<std::uint32_t> saved);
Value getresgid(UserPointer<std::uint32_t> real, UserPointer<std::uint32_t> effective,
                UserPointer<std::uint32_t> saved);
Value setuid(std::uint32_t user);
Value setgid(std::uint32_t group);
Value setreuid(std::uint32_t real, std::uint32_t effective);
Value setregid(std::uint32_t real, std::uint32_t effective);
Value setresuid(std::uint32_t real, std::uint32_t effective, std::uint32_t saved);
Value setresgid(std::uint32_t real, std::uint32_t effective, std::uint32_t saved);
Value getgroups(std::int32_t size, UserPointer<std::uint32_t> groups);
Value setgroups(std::int32_t size, UserPointer<std::uint32_t> groups);
Value capget(Address header, Address data);

// signals.cpp
Value kill(std::int32_t id, std::int32_t signal);
Value tkill(std::int32_t thread, std::int32_t signal);
Value tgkill(std::int32_t process, std::int32_t thread, std::int32_t signal);
Value rt_sigqueueinfo(std::int32_t process, std::int32_t signal, UserPointer<SignalInfo> info);
Value rt_tgsigqueueinfo(std::int32_t process, std::int32_t thread, std::int32_t signal,
                        UserPointer<SignalInfo> info);
Value rt_sigaction(std::int32_t signal, UserPointer<SignalAction> action,
                   UserPointer<SignalAction> old_action, std::uint64_t mask_bytes);
Value rt_sigprocmask(std::int32_t how, UserPointer<SignalSet> set, UserPointer<SignalSet> old_set,
                     std::uint64_t mask_bytes);
Value rt_sigpending(UserPointer<SignalSet> set, std::uint64_t mask_bytes);
Value rt_sigsuspend(UserPointer<SignalSet> mask, std::uint64_t mask_bytes);
Value rt_sigtimedwait(UserPointer<SignalSet> set, UserPointer<SignalInfo> info,
                      UserPointer<abi::TimeSpec> timeout, std::uint64_t mask_bytes);
Value rt_sigreturn();
Value sigaltstack(UserPointer<UserStackDescription> stack, UserPointer<UserStackDescription> old_stack);

// time.cpp
Value clock_gettime(std::int32_t clock, UserPointer<abi::TimeSpec> time);
Value clock_settime(std::int32_t clock, UserPointer<abi::TimeSpec> time);
Value clock_getres(std::int32_t clock, UserPointer<abi::TimeSpec> resolution);
Value gettimeofday(UserPointer<abi::TimeVal> time, Address zone);
Value nanosleep(UserPointer<abi::TimeSpec> duration, UserPointer<abi::TimeSpec> remaining);
Value clock_nanosleep(std::int32_t clock, std::uint32_t flags, UserPointer<abi::TimeSpec> time,
                      UserPointer<abi::TimeSpec> remaining);
Value getitimer(std::uint32_t which, UserPointer<abi::IntervalTimerValue> value);
Value setitimer(std::uint32_t which, UserPointer<abi::IntervalTimerValue> value,
                UserPointer<abi::IntervalTimerValue> old_value);
Value times(UserPointer<abi::ProcessTimes> times);

// futex.cpp
Value futex(Address word, std::uint32_t operation, std::uint32_t value, Address timeout_or_count,
            Address word2, std::uint32_t value3);

// system.cpp
Value uname(UserPointer<abi::SystemName> name);
Value sethostname(Address name, std::uint64_t length);
Value sysinfo(UserPointer<abi::SystemInformation> information);
Value getrandom(Address buffer, std::uint64_t size, std::uint32_t flags);
Value reboot(std::uint32_t magic1, std::uint32_t magic2, std::uint32_t command, Address argument);
Value personality(std::uint32_t persona);
Value mount_not_permitted();

// prctl.cpp
Value prctl(std::uint32_t option, std::uint64_t argument, std::uint64_t third, std::uint64_t fourth,
            std::uint64_t fifth);

}  // namespace faultline::system_call
