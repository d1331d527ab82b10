// What prctl sets: whose death a process hears of, who adopts orphans, who may gain rights by execve, and
// what is kept and told.
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#define TAP_HELPER_MAIN(argc, argv) run_helper(argc, argv)
static int run_helper(int argc, char** argv);
#include "common/signals.h"
#include "common/turns.h"

static int death_signal(void) {
  int number = -1;
  CHECK_OK(prctl(PR_GET_PDEATHSIG, &number));
  return number;
}

static int adopts_orphans(void) {
  int value = -1;
  CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &value));
  return value;
}

// Executes this program as "helper WHAT"; returns its exit status.
static int execute_helper(const char* path, const char* what) {
  pid_t child = tap_fork();
  if (child == 0) {
    execl(path, "helper", what, (char*)NULL);
    _exit(127);
  }
  int status = tap_wait(child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_helper(int argc, char** argv) {
  if (argc != 2 || strcmp(argv[0], "helper") != 0) return -1;
  if (strcmp(argv[1], "death") == 0) return death_signal();
  if (strcmp(argv[1], "user") == 0) return geteuid() == getuid() ? 0 : 1;
  if (strcmp(argv[1], "privileges") == 0) return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
  return 125;
}

// --- The death of the parent ---

TEST(death_is_told,
     "PR_SET_PDEATHSIG: the end of its parent sends a process a signal that names the parent") {
  struct turns turns = make_turns();
  pid_t parent = tap_fork();
  if (parent == 0) {
    if (tap_fork() == 0) {
      sigset_t set = block(SIGUSR1);
      siginfo_t info;
      CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      CHECK_EQ(death_signal(), SIGUSR1);
      pid_t before = getppid();
      pass_turn(turns.to_child[1]);
      CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
      CHECK_EQ(info.si_code, SI_USER);
      CHECK_EQ(info.si_pid, before);
      CHECK_EQ(info.si_uid, getuid());
      CHECK(getppid() != before);
      if (tap_failures == 0) pass_turn(turns.to_parent[1]);
      tap_exit();
    }
    await_turn(turns.to_child[0]);
    _exit(0);
  }
  tap_join(parent);
  close(turns.to_parent[1]);
  close(turns.to_child[1]);
  await_turn(turns.to_parent[0]);
}

static void* fork_and_leave(void* argument) {
  struct turns* turns = argument;
  pid_t child = tap_fork();
  if (child == 0) {
    sigset_t set = block(SIGUSR1);
    CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    pid_t before = getppid();
    pass_turn(turns->to_parent[1]);
    CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR1);
    CHECK_EQ(getppid(), before);
    tap_exit();
  }
  await_turn(turns->to_parent[0]);
  return (void*)(intptr_t)child;
}

TEST(death_of_a_thread, "the parent whose end is told is the thread that made the process") {
  struct turns turns = make_turns();
  pthread_t thread;
  void* child;
  REQUIRE(pthread_create(&thread, NULL, fork_and_leave, &turns) == 0);
  REQUIRE(pthread_join(thread, &child) == 0);
  tap_join((pid_t)(intptr_t)child);
}

TEST(death_inherited, "fork does not hand the death signal on; 0 takes it back; no other number is one") {
  CHECK_EQ(death_signal(), 0);
  CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(death_signal(), 0);
    tap_exit();
  }
  tap_join(child);
  CHECK_ERR(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
  CHECK_ERR(prctl(PR_SET_PDEATHSIG, -1), EINVAL);
  CHECK_EQ(death_signal(), SIGUSR1);
  CHECK_OK(prctl(PR_SET_PDEATHSIG, 0));
  CHECK_EQ(death_signal(), 0);
}

TEST(death_after_exec, "execve keeps the death signal, a change of the effective user takes it back") {
  if (tap_emulated()) SKIP("the host below the emulator does not execute this architecture's files");
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
    execl("/proc/self/exe", "helper", "death", (char*)NULL);
    _exit(127);
  }
  CHECK_EQ(WEXITSTATUS(tap_wait(child)), SIGUSR2);
  if (geteuid() != 0) return;
  CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
  CHECK_OK(seteuid(0));
  CHECK_EQ(death_signal(), SIGUSR2);
  CHECK_OK(seteuid(1000));
  CHECK_EQ(death_signal(), 0);
}

// --- Orphans ---

static void become_subreaper(void) {
  if (tap_emulated()) SKIP("the emulator does not know child subreapers");
  REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
}

// Makes an orphan of this process, whose parent has been waited for: it returns 0 when `*release` is closed.
static pid_t make_orphan(int* release) {
  int ends[2], number[2];
  pid_t orphan;
  REQUIRE(pipe(ends) == 0 && pipe(number) == 0);
  pid_t parent = tap_fork();
  if (parent == 0) {
    orphan = tap_fork();
    if (orphan == 0) {
      char byte;
      close(ends[1]);
      REQUIRE(read(ends[0], &byte, 1) == 0);
      return 0;
    }
    REQUIRE(write(number[1], &orphan, sizeof orphan) == sizeof orphan);
    _exit(0);
  }
  tap_join(parent);
  REQUIRE(read(number[0], &orphan, sizeof orphan) == sizeof orphan);
  close(ends[0]);
  *release = ends[1];
  return orphan;
}

// An orphan below this process becomes its child, and is waited for.
static void adopt_orphan(void) {
  pid_t self = getpid();
  int release;
  pid_t orphan = make_orphan(&release);
  if (orphan == 0) {
    CHECK_EQ(getppid(), self);
    tap_exit();
  }
  CHECK_EQ(waitpid(orphan, NULL, WNOHANG), 0);
  close(release);
  tap_join(orphan);
}

TEST(subreaper, "PR_SET_CHILD_SUBREAPER: orphaned descendants become children, and are waited for") {
  become_subreaper();
  adopt_orphan();
}

// A child that leaves an ended child of its own, which ended with 42, behind; returns that one's number.
static pid_t leave_ended_orphan(void) {
  int number[2];
  pid_t orphan;
  REQUIRE(pipe(number) == 0);
  if (tap_fork() == 0) {
    signal(SIGCHLD, SIG_DFL);
    siginfo_t info;
    orphan = tap_fork();
    if (orphan == 0) _exit(42);
    REQUIRE(waitid(P_PID, (id_t)orphan, &info, WEXITED | WNOWAIT) == 0);
    REQUIRE(write(number[1], &orphan, sizeof orphan) == sizeof orphan);
    _exit(0);
  }
  REQUIRE(read(number[0], &orphan, sizeof orphan) == sizeof orphan);
  return orphan;
}

TEST(subreaper_ended_orphan, "an orphan that has ended already is reported to the adopter with SIGCHLD") {
  become_subreaper();
  sigset_t set = block(SIGCHLD);
  siginfo_t info;
  pid_t orphan = leave_ended_orphan();
  CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
  CHECK_EQ(info.si_pid, orphan);
  CHECK_EQ(info.si_code, CLD_EXITED);
  CHECK_EQ(info.si_status, 42);
  CHECK_EQ(WEXITSTATUS(tap_wait(orphan)), 42);
}

TEST(subreaper_ignores, "an adopter that ignores SIGCHLD has no zombies of the orphans that had ended") {
  become_subreaper();
  signal(SIGCHLD, SIG_IGN);
  pid_t orphan = leave_ended_orphan();
  CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
  CHECK_ERR(kill(orphan, 0), ESRCH);
}

TEST(subreaper_nearest, "the nearest ancestor that asked adopts; children do not inherit the wish") {
  become_subreaper();
  pid_t nearer = tap_fork();
  if (nearer == 0) {
    CHECK_EQ(adopts_orphans(), 0);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    CHECK_EQ(adopts_orphans(), 1);
    adopt_orphan();
    tap_exit();
  }
  tap_join(nearer);
  CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
  pid_t self = getpid();
  int release;
  pid_t orphan = make_orphan(&release);
  if (orphan == 0) {
    CHECK(getppid() != self);
    tap_exit();
  }
  CHECK_ERR(waitpid(orphan, NULL, 0), ECHILD);
  close(release);
}

// --- Rights ---

// A copy of this program that belongs to another user and runs with that user's rights.
static const char* set_user_id_copy(void) {
  const char* path = tap_path("set-user-id");
  int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  static char bytes[65536];
  ssize_t n;
  REQUIRE(from >= 0 && to >= 0);
  while ((n = read(from, bytes, sizeof bytes)) > 0) REQUIRE(write(to, bytes, (size_t)n) == n);
  close(from);
  REQUIRE(fchown(to, 1000, 1000) == 0 && fchmod(to, 04755) == 0 && close(to) == 0);
  return path;
}

TEST(no_new_privileges,
     "PR_SET_NO_NEW_PRIVS: execve gives no rights by the mode of a file any more, in no child") {
  if (tap_emulated()) SKIP("the host below the emulator does not execute this architecture's files");
  if (geteuid() != 0) SKIP("only root makes files of another user");
  const char* path = set_user_id_copy();
  CHECK_EQ(execute_helper(path, "user"), 1);
  CHECK_EQ(execute_helper(path, "privileges"), 0);
  CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_EQ(execute_helper(path, "user"), 0);
  CHECK_EQ(execute_helper(path, "privileges"), 1);
}

static void* read_no_new_privileges(void* unused) {
  (void)unused;
  return (void*)(intptr_t)prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

TEST(no_new_privileges_kept,
     "PR_SET_NO_NEW_PRIVS cannot be taken back, and threads and children have it from then on") {
  CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
  CHECK_ERR(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 1), EINVAL);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  pthread_t thread;
  void* value;
  REQUIRE(pthread_create(&thread, NULL, read_no_new_privileges, NULL) == 0);
  REQUIRE(pthread_join(thread, &value) == 0);
  CHECK_EQ((intptr_t)value, 1);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    tap_exit();
  }
  tap_join(child);
}

TEST(bounding_set, "PR_CAPBSET_READ knows the capabilities there are and no others") {
  int has = prctl(PR_CAPBSET_READ, 0);
  CHECK(has == 0 || has == 1);
  if (tap_on_faultline()) CHECK_EQ(has, 1);
  CHECK_ERR(prctl(PR_CAPBSET_READ, 1000), EINVAL);
}

// --- What is kept ---

TEST(timer_slack, "PR_SET_TIMERSLACK: a child begins with its parent's, which 0 brings back") {
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
  CHECK_OK(prctl(PR_SET_TIMERSLACK, 700));
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 700);
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 700);
    CHECK_OK(prctl(PR_SET_TIMERSLACK, 900));
    CHECK_OK(prctl(PR_SET_TIMERSLACK, 0));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 700);
    tap_exit();
  }
  tap_join(child);
  CHECK_OK(prctl(PR_SET_TIMERSLACK, 0));
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
}

TEST(round_robin, "sched_rr_get_interval tells a slice, none for a first-in-first-out thread") {
  struct timespec slice = {-1, -1};
  if (!tap_on_faultline() && geteuid() != 0) SKIP("only root may choose a real-time policy");
  struct sched_param parameter = {.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_RR, &parameter) != 0) SKIP("no real-time policy is to be had");
  CHECK_OK(sched_rr_get_interval(0, &slice));
  CHECK(slice.tv_sec == 0 && slice.tv_nsec > 0);
  CHECK_OK(sched_setscheduler(getpid(), SCHED_FIFO, &parameter));
  CHECK_OK(sched_rr_get_interval(getpid(), &slice));
  CHECK(slice.tv_sec == 0 && slice.tv_nsec == 0);
  CHECK_ERR(sched_rr_get_interval(-1, &slice), EINVAL);
  CHECK_ERR(sched_rr_get_interval(INT32_MAX, &slice), ESRCH);
}
