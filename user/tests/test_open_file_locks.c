// Locks of ranges that belong to an open file (F_OFD_SETLK), and how they meet those of processes.
#include <sys/wait.h>

#include "common/locks.h"
#include "common/pages.h"
#include "common/turns.h"

static int set_lock(int fd, int command, int type, off_t start, off_t length) {
  struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &lock);
}

// The first lock in the way of an exclusive one of the first hundred bytes.
static struct flock in_the_way(int fd, int command) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 100};
  CHECK_OK(fcntl(fd, command, &lock));
  return lock;
}

TEST(owner,
     "the lock belongs to the open file: another one of the same process is kept out, a duplicate is not") {
  int first = open_file(), copy = dup(first), second = open_file();
  CHECK_OK(set_lock(first, F_OFD_SETLK, F_WRLCK, 10, 20));
  CHECK_ERR(set_lock(second, F_OFD_SETLK, F_RDLCK, 29, 1), EAGAIN);
  CHECK_OK(set_lock(second, F_OFD_SETLK, F_WRLCK, 30, 1));
  CHECK_OK(set_lock(copy, F_OFD_SETLK, F_RDLCK, 10, 10));
  CHECK_OK(set_lock(second, F_OFD_SETLK, F_RDLCK, 10, 10));
  CHECK_ERR(set_lock(second, F_OFD_SETLK, F_RDLCK, 10, 11), EAGAIN);
  CHECK_OK(set_lock(copy, F_OFD_SETLK, F_UNLCK, 0, 0));
  CHECK_OK(set_lock(second, F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST(last_close,
     "closing another descriptor of the file keeps the lock; the open file's last one takes it along") {
  int first = open_file(), copy = dup(first), second = open_file();
  CHECK_OK(set_lock(first, F_OFD_SETLK, F_WRLCK, 0, 0));
  close(open_file());
  close(first);
  CHECK_ERR(set_lock(second, F_OFD_SETLK, F_RDLCK, 0, 1), EAGAIN);
  int release;
  pid_t child = fork_held(&release);
  if (child == 0) tap_exit();
  close(copy);
  CHECK_ERR(set_lock(second, F_OFD_SETLK, F_RDLCK, 0, 1), EAGAIN);
  close(release);
  tap_join(child);
  CHECK_OK(set_lock(second, F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST(beside_processes, "locks of open files and of processes keep each other out, in one process too") {
  int first = open_file(), second = open_file();
  CHECK_OK(set_lock(first, F_OFD_SETLK, F_WRLCK, 0, 10));
  CHECK_ERR(set_lock(first, F_SETLK, F_RDLCK, 0, 1), EAGAIN);
  CHECK_OK(set_lock(second, F_SETLK, F_WRLCK, 10, 10));
  CHECK_ERR(set_lock(first, F_OFD_SETLK, F_RDLCK, 19, 1), EAGAIN);
  CHECK_OK(set_lock(second, F_SETLK, F_UNLCK, 0, 0));
  CHECK_ERR(set_lock(second, F_OFD_SETLK, F_RDLCK, 0, 1), EAGAIN);
  CHECK_OK(set_lock(first, F_OFD_SETLK, F_RDLCK, 19, 1));
}

TEST(told, "F_GETLK and F_OFD_GETLK tell of both; an open file's lock has -1 for its process") {
  int first = open_file(), second = open_file();
  CHECK_OK(set_lock(first, F_OFD_SETLK, F_RDLCK, 5, 7));
  struct flock found = in_the_way(second, F_OFD_GETLK);
  CHECK_EQ(found.l_type, F_RDLCK);
  CHECK_EQ(found.l_start, 5);
  CHECK_EQ(found.l_len, 7);
  CHECK_EQ(found.l_pid, -1);
  CHECK_EQ(in_the_way(first, F_OFD_GETLK).l_type, F_UNLCK);
  CHECK_EQ(in_the_way(first, F_GETLK).l_pid, -1);
  CHECK_OK(set_lock(first, F_OFD_SETLK, F_UNLCK, 0, 0));
  CHECK_OK(set_lock(first, F_SETLK, F_WRLCK, 3, 1));
  found = in_the_way(first, F_OFD_GETLK);
  CHECK_EQ(found.l_type, F_WRLCK);
  CHECK_EQ(found.l_pid, getpid());
}

TEST(refused, "an open file's lock names no process, and needs the file open for what it is to keep out") {
  int fd = open_file();
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = getpid()};
  if (!tap_emulated()) {
    CHECK_ERR(fcntl(fd, F_OFD_SETLK, &lock), EINVAL);
    CHECK_ERR(fcntl(fd, F_OFD_GETLK, &lock), EINVAL);
  }
  int reader = open(tap_path("file"), O_RDONLY), writer = open(tap_path("file"), O_WRONLY);
  CHECK_ERR(set_lock(reader, F_OFD_SETLK, F_WRLCK, 0, 0), EBADF);
  CHECK_ERR(set_lock(writer, F_OFD_SETLK, F_RDLCK, 0, 0), EBADF);
  CHECK_OK(set_lock(reader, F_OFD_SETLK, F_RDLCK, 0, 0));
}

TEST(waits, "F_OFD_SETLKW sleeps until the range is free") {
  int fd = open_file();
  int* turn = (int*)map_shared(1);
  CHECK_OK(set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
  pid_t child = tap_fork();
  if (child == 0) {
    CHECK_OK(set_lock(open_file(), F_OFD_SETLKW, F_WRLCK, 0, 0));
    CHECK_EQ(__atomic_load_n(turn, __ATOMIC_SEQ_CST), 1);
    tap_exit();
  }
  wait_until_asleep(child);
  __atomic_store_n(turn, 1, __ATOMIC_SEQ_CST);
  CHECK_OK(set_lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
  tap_join(child);
}

TEST(no_deadlock_found,
     "a circle of open files' locks is none that is looked for: the wait ends by a signal") {
  int fd = open_file();
  pid_t self = getpid();
  struct turns turns = make_turns();
  struct sigaction action = {.sa_handler = note_signal};
  sigaction(SIGUSR1, &action, NULL);
  CHECK_OK(set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1));
  pid_t child = tap_fork();
  if (child == 0) {
    int own = open_file();
    CHECK_OK(set_lock(own, F_OFD_SETLK, F_WRLCK, 1, 1));
    pass_turn(turns.to_parent[1]);
    CHECK_ERR(set_lock(own, F_OFD_SETLKW, F_WRLCK, 0, 1), EINTR);
    tap_exit();
  }
  await_turn(turns.to_parent[0]);
  wait_until_asleep(child);
  pid_t waker = tap_fork();
  if (waker == 0) {
    close(fd);
    wait_until_asleep(self);
    kill(self, SIGUSR1);
    tap_exit();
  }
  CHECK_ERR(set_lock(fd, F_OFD_SETLKW, F_WRLCK, 1, 1), EINTR);
  CHECK_EQ(signals_seen, 1);
  tap_join(waker);
  kill(child, SIGUSR1);
  tap_join(child);
}
