// Signals about files: whom an open file tells that it is ready (O_ASYNC), or that its lease is to end.
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/signals.h"
#include "common/turns.h"

// The signal that waits for this process; it is blocked.
static siginfo_t take(int number) {
  sigset_t set = set_of(number);
  siginfo_t info = {0};
  struct timespec now = {0, 0};
  if (sigtimedwait(&set, &info, &now) != number) FAIL("signal %d does not wait", number);
  return info;
}

static void add_flag(int fd, int flag) { REQUIRE(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | flag) == 0); }

// --- O_ASYNC ---

TEST(pipe_tells,
     "O_ASYNC: the owner of a pipe's end gets SIGIO when there is something to read, or room again") {
  int ends[2];
  char byte;
  REQUIRE(pipe(ends) == 0);
  block(SIGIO);
  CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK(!is_pending(SIGIO));
  add_flag(ends[0], O_ASYNC);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & O_ASYNC, O_ASYNC);
  CHECK(!is_pending(SIGIO));
  CHECK_EQ(write(ends[1], "y", 1), 1);
  CHECK_EQ(take(SIGIO).si_code, SI_KERNEL);
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  CHECK(!is_pending(SIGIO));
  CHECK_OK(fcntl(ends[1], F_SETOWN, getpid()));
  add_flag(ends[1], O_ASYNC);
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  take(SIGIO);
  CHECK_OK(fcntl(ends[0], F_SETFL, 0));
  CHECK_EQ(write(ends[1], "z", 1), 1);
  CHECK(!is_pending(SIGIO));
}

TEST(end_tells, "the last writer's close is told to the readers; an end that is closed tells no more") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  block(SIGIO);
  CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
  add_flag(ends[0], O_ASYNC);
  close(ends[1]);
  take(SIGIO);
  close(ends[0]);
  CHECK(!is_pending(SIGIO));
}

TEST(chosen_signal,
     "F_SETSIG: the chosen signal says which descriptor is ready for what, once for each time") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  block(SIGRTMIN + 1);
  CHECK_EQ(fcntl(ends[0], F_GETSIG), 0);
  CHECK_OK(fcntl(ends[0], F_SETSIG, SIGRTMIN + 1));
  CHECK_EQ(fcntl(ends[0], F_GETSIG), SIGRTMIN + 1);
  CHECK_ERR(fcntl(ends[0], F_SETSIG, 65), EINVAL);
  CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
  add_flag(ends[0], O_ASYNC);
  for (int i = 0; i < 2; i++) CHECK_EQ(write(ends[1], "x", 1), 1);
  for (int i = 0; i < 2; i++) {
    siginfo_t info = take(SIGRTMIN + 1);
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_fd, ends[0]);
    CHECK_EQ(info.si_band, POLLIN | POLLRDNORM);
  }
  CHECK(!is_pending(SIGRTMIN + 1));
}

TEST(owners, "F_SETOWN names a process or, with a negative number, a group; whoever is gone is nobody") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
  CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
  CHECK_OK(fcntl(ends[0], F_SETOWN, -getpgrp()));
  CHECK_EQ(fcntl(ends[0], F_GETOWN), -getpgrp());
  struct f_owner_ex owner;
  CHECK_OK(fcntl(ends[0], F_GETOWN_EX, &owner));
  CHECK(owner.type == F_OWNER_PGRP && owner.pid == getpgrp());
  owner = (struct f_owner_ex){.type = F_OWNER_TID, .pid = gettid()};
  CHECK_OK(fcntl(ends[0], F_SETOWN_EX, &owner));
  owner.type = 7;
  CHECK_ERR(fcntl(ends[0], F_SETOWN_EX, &owner), EINVAL);
  CHECK_OK(fcntl(ends[0], F_GETOWN_EX, &owner));
  CHECK(owner.type == F_OWNER_TID && owner.pid == gettid());
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
    tap_exit();
  }
  tap_join(child);
  CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
  add_flag(ends[0], O_ASYNC);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_OK(fcntl(ends[0], F_SETOWN, 0));
  CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
}

TEST(group_told, "every process of a group that owns the file is told") {
  int ends[2];
  struct turns turns = make_turns();
  REQUIRE(pipe(ends) == 0);
  sigset_t set = block(SIGIO);
  pid_t child = tap_fork();
  if (child == 0) {
    pass_turn(turns.to_parent[1]);
    CHECK_EQ(sigwaitinfo(&set, NULL), SIGIO);
    tap_exit();
  }
  await_turn(turns.to_parent[0]);
  CHECK_OK(fcntl(ends[0], F_SETOWN, -getpgrp()));
  add_flag(ends[0], O_ASYNC);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  take(SIGIO);
  tap_join(child);
}

TEST(rights, "who made the owner must be one who may send it a signal") {
  if (geteuid() != 0) SKIP("it takes two users");
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  block(SIGIO);
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(setresuid(1000, 1000, 1000) == 0);
    CHECK_OK(fcntl(ends[0], F_SETOWN, getppid()));
    tap_exit();
  }
  tap_join(child);
  add_flag(ends[0], O_ASYNC);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK(!is_pending(SIGIO));
}

// --- Leases ---

static const char* make_file(void) {
  const char* path = tap_path("file");
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  REQUIRE(fd >= 0 && write(fd, "text", 4) == 4 && close(fd) == 0);
  return path;
}

TEST(lease_taken,
     "a read lease needs a file that nobody writes, a write lease one that nobody else has open") {
  const char* path = make_file();
  int fd = open(path, O_RDONLY), ends[2];
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  CHECK_ERR(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
  CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
  CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  int second = open(path, O_RDONLY);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  CHECK_OK(fcntl(second, F_SETLEASE, F_RDLCK));
  CHECK_ERR(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  close(second);
  second = open(path, O_RDWR);
  CHECK_ERR(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN);
  CHECK_ERR(fcntl(fd, F_SETLEASE, 3), EINVAL);
  REQUIRE(pipe(ends) == 0);
  CHECK_ERR(fcntl(ends[0], F_SETLEASE, F_RDLCK), EINVAL);
}

TEST(lease_of_others, "only the owner of a file takes leases of it") {
  if (geteuid() != 0) SKIP("it takes two users");
  int fd = open(make_file(), O_RDONLY);
  pid_t child = tap_fork();
  if (child == 0) {
    REQUIRE(setresuid(1000, 1000, 1000) == 0);
    CHECK_ERR(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES);
    tap_exit();
  }
  tap_join(child);
}

// Opens the file with `flags` in a child, which waits until the lease gives way.
static pid_t open_in_child(const char* path, int flags) {
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(open(path, flags));
    tap_exit();
  }
  return child;
}

TEST(lease_broken, "an open against the lease tells its owner and waits until the lease has given way") {
  const char* path = make_file();
  sigset_t set = block(SIGIO);
  int fd = open(path, O_RDONLY);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  CHECK_ERR(open(path, O_RDONLY | O_NONBLOCK), EWOULDBLOCK);
  take(SIGIO);
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  pid_t reader = open_in_child(path, O_RDONLY);
  wait_until_asleep(reader);
  CHECK(!is_pending(SIGIO));
  CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  tap_join(reader);
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  pid_t writer = open_in_child(path, O_WRONLY | O_TRUNC);
  CHECK_EQ(sigwaitinfo(&set, NULL), SIGIO);
  wait_until_asleep(writer);
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  struct stat info;
  CHECK_OK(fstat(fd, &info));
  CHECK_EQ(info.st_size, 4);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  tap_join(writer);
  CHECK_OK(fstat(fd, &info));
  CHECK_EQ(info.st_size, 0);
}

TEST(lease_message, "F_SETSIG: the breaking of a lease says which descriptor has it") {
  const char* path = make_file();
  block(SIGRTMIN + 1);
  int fd = open(path, O_RDONLY);
  CHECK_OK(fcntl(fd, F_SETSIG, SIGRTMIN + 1));
  CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  CHECK_OK(open(path, O_RDONLY | O_NONBLOCK));
  CHECK(!is_pending(SIGRTMIN + 1));
  CHECK_ERR(open(path, O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
  siginfo_t info = take(SIGRTMIN + 1);
  CHECK_EQ(info.si_fd, fd);
  CHECK_EQ(info.si_code, POLL_MSG);
}

TEST(lease_closed, "the last close gives the lease up; truncate waits for that as an open does") {
  const char* path = make_file();
  block(SIGIO);
  int fd = open(path, O_RDONLY);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  pid_t child = tap_fork();
  if (child == 0) {
    close(fd);
    CHECK_OK(truncate(path, 1));
    tap_exit();
  }
  wait_until_asleep(child);
  struct stat info;
  CHECK_OK(fstat(fd, &info));
  CHECK_EQ(info.st_size, 4);
  close(fd);
  tap_join(child);
}

TEST(lease_overdue, "a lease that its owner keeps is ended when its time is over") {
  if (!tap_on_faultline()) SKIP("the time is the whole machine's");
  int setting = open("/proc/sys/fs/lease-break-time", O_RDWR);
  REQUIRE(setting >= 0);
  char text[16] = "";
  CHECK_EQ(pread(setting, text, sizeof text, 0), 3);
  CHECK(strcmp(text, "45\n") == 0);
  const char* path = make_file();
  block(SIGIO);
  int fd = open(path, O_RDONLY);
  CHECK_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  CHECK_EQ(write(setting, "1", 1), 1);
  CHECK_OK(open(path, O_RDONLY));
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  CHECK_OK(open(path, O_RDWR));
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  CHECK_ERR(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
  CHECK_EQ(write(setting, "45", 2), 2);
}
