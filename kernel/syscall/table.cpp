#include "kernel/syscall/table.hpp"

#include <type_traits>
#include <utility>

#include "kernel/syscall/system_calls.hpp"

namespace faultline {

namespace {

template <class T>
T argument(std::uint64_t value) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(value);
  } else {
    return T(value);
  }
}

/// Calls Function with as many registers as it has parameters, each converted to its parameter's type.
template <auto Function>
struct FromRegisters;

template <class... Parameters, Result<std::uint64_t> (*Function)(Parameters...)>
struct FromRegisters<Function> {
  static_assert(sizeof...(Parameters) <= 6);
  static Result<std::uint64_t> call(const TrapFrame& frame) {
    return call(frame, std::index_sequence_for<Parameters...>());
  }

 private:
  template <std::size_t... I>
  static Result<std::uint64_t> call([[maybe_unused]] const TrapFrame& frame, std::index_sequence<I...>) {
    return Function(argument<Parameters>((&frame.a0)[I])...);
  }
};

struct NumberedCall {
  unsigned number;
  SystemCall call;
};

template <auto Function>
constexpr NumberedCall entry(unsigned number, Restart restart = Restart::Never) {
  return {number, {&FromRegisters<Function>::call, restart}};
}

template <auto Function>
constexpr NumberedCall quick_entry(unsigned number) {
  return {number, {&FromRegisters<Function>::call, Restart::Never, false}};
}

namespace sc = system_call;
using enum Restart;

// Numbers: Linux's include/uapi/asm-generic/unistd.h. A call that is not here fails with ENOSYS, on purpose
// among them clone3, rseq, membarrier, copy_file_range and riscv_hwprobe, for which C libraries have another
// way.
constexpr NumberedCall kCalls[] = {
    entry<sc::getcwd>(17),
    entry<sc::dup>(23),
    entry<sc::dup3>(24),
    entry<sc::fcntl>(25, ByAction),
    entry<sc::ioctl>(29, ByAction),
    entry<sc::flock>(32, ByAction),
    entry<sc::mknodat>(33),
    entry<sc::mkdirat>(34),
    entry<sc::unlinkat>(35),
    entry<sc::symlinkat>(36),
    entry<sc::linkat>(37),
    entry<sc::mount_not_permitted>(39),
    entry<sc::mount_not_permitted>(40),
    entry<sc::statfs>(43),
    entry<sc::fstatfs>(44),
    entry<sc::truncate>(45),
    entry<sc::ftruncate>(46),
    entry<sc::fallocate>(47),
    entry<sc::faccessat>(48),
    entry<sc::chdir>(49),
    entry<sc::fchdir>(50),
    entry<sc::chroot>(51),
    entry<sc::fchmod>(52),
    entry<sc::fchmodat>(53),
    entry<sc::fchownat>(54),
    entry<sc::fchown>(55),
    entry<sc::openat>(56, ByAction),
    entry<sc::close>(57),
    entry<sc::pipe2>(59),
    entry<sc::getdents64>(61),
    entry<sc::lseek>(62),
    entry<sc::read>(63, ByAction),
    entry<sc::write>(64, ByAction),
    entry<sc::readv>(65, ByAction),
    entry<sc::writev>(66, ByAction),
    entry<sc::pread64>(67, ByAction),
    entry<sc::pwrite64>(68, ByAction),
    entry<sc::preadv>(69, ByAction),
    entry<sc::pwritev>(70, ByAction),
    entry<sc::sendfile>(71, ByAction),
    entry<sc::pselect6>(72, WithoutHandler),
    entry<sc::ppoll>(73, WithoutHandler),
    entry<sc::readlinkat>(78),
    entry<sc::newfstatat>(79),
    entry<sc::fstat>(80),
    entry<sc::sync>(81),
    entry<sc::fsync>(82),
    entry<sc::fsync>(83),  // fdatasync
    entry<sc::utimensat>(88),
    entry<sc::capget>(90),
    entry<sc::personality>(92),
    entry<sc::exit>(93),
    entry<sc::exit_group>(94),
    entry<sc::waitid>(95, ByAction),
    quick_entry<sc::set_tid_address>(96),
    entry<sc::futex>(98, ByAction),
    entry<sc::set_robust_list>(99),
    entry<sc::get_robust_list>(100),
    entry<sc::nanosleep>(101, WithoutHandler),
    entry<sc::getitimer>(102),
    entry<sc::setitimer>(103),
    entry<sc::clock_settime>(112),
    quick_entry<sc::clock_gettime>(113),
    entry<sc::clock_getres>(114),
    entry<sc::clock_nanosleep>(115, WithoutHandler),
    entry<sc::sched_setparam>(118),
    entry<sc::sched_setscheduler>(119),
    entry<sc::sched_getscheduler>(120),
    entry<sc::sched_getparam>(121),
    entry<sc::sched_setaffinity>(122),
    entry<sc::sched_getaffinity>(123),
    entry<sc::sched_yield>(124),
    entry<sc::sched_get_priority_max>(125),
    entry<sc::sched_get_priority_min>(126),
    entry<sc::sched_rr_get_interval>(127),
    entry<sc::kill>(129),
    entry<sc::tkill>(130),
    entry<sc::tgkill>(131),
    quick_entry<sc::sigaltstack>(132),
    entry<sc::rt_sigsuspend>(133, WithoutHandler),
    entry<sc::rt_sigaction>(134),
    quick_entry<sc::rt_sigprocmask>(135),
    entry<sc::rt_sigpending>(136),
    entry<sc::rt_sigtimedwait>(137),
    entry<sc::rt_sigqueueinfo>(138),
    entry<sc::rt_sigreturn>(139),
    entry<sc::setpriority>(140),
    entry<sc::getpriority>(141),
    entry<sc::reboot>(142),
    entry<sc::setregid>(143),
    entry<sc::setgid>(144),
    entry<sc::setreuid>(145),
    entry<sc::setuid>(146),
    entry<sc::setresuid>(147),
    entry<sc::getresuid>(148),
    entry<sc::setresgid>(149),
    entry<sc::getresgid>(150),
    entry<sc::times>(153),
    entry<sc::setpgid>(154),
    quick_entry<sc::getpgid>(155),
    quick_entry<sc::getsid>(156),
    entry<sc::setsid>(157),
    entry<sc::getgroups>(158),
    entry<sc::setgroups>(159),
    entry<sc::uname>(160),
    entry<sc::sethostname>(161),
    entry<sc::getrlimit>(163),
    entry<sc::setrlimit>(164),
    entry<sc::getrusage>(165),
    quick_entry<sc::umask>(166),
    entry<sc::prctl>(167),
    quick_entry<sc::getcpu>(168),
    quick_entry<sc::gettimeofday>(169),
    quick_entry<sc::getpid>(172),
    quick_entry<sc::getppid>(173),
    quick_entry<sc::getuid>(174),
    quick_entry<sc::geteuid>(175),
    quick_entry<sc::getgid>(176),
    quick_entry<sc::getegid>(177),
    quick_entry<sc::gettid>(178),
    entry<sc::sysinfo>(179),
    entry<sc::brk>(214),
    entry<sc::munmap>(215),
    entry<sc::mremap>(216),
    entry<sc::clone>(220),
    entry<sc::execve>(221),
    entry<sc::mmap>(222),
    entry<sc::fadvise64>(223),
    entry<sc::mprotect>(226),
    entry<sc::msync>(227),
    entry<sc::mlock>(228),
    entry<sc::munlock>(229),
    entry<sc::mlockall>(230),
    entry<sc::munlockall>(231),
    entry<sc::mincore>(232),
    entry<sc::madvise>(233),
    entry<sc::rt_tgsigqueueinfo>(240),
    entry<sc::riscv_flush_icache>(259),
    entry<sc::wait4>(260, ByAction),
    entry<sc::prlimit64>(261),
    entry<sc::renameat2>(276),
    entry<sc::getrandom>(278),
    entry<sc::execveat>(281),
    entry<sc::mlock2>(284),
    entry<sc::statx>(291),
    entry<sc::close_range>(436),
    entry<sc::faccessat2>(439),
};

constexpr std::array<SystemCall, kSystemCallCount> make_table() {
  std::array<SystemCall, kSystemCallCount> table = {};
  for (const NumberedCall& call : kCalls) table[call.number] = call.call;
  return table;
}

}  // namespace

constinit const std::array<SystemCall, kSystemCallCount> system_call_table = make_table();

}  // namespace faultline
