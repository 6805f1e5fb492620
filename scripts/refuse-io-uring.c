// SPDX-License-Identifier: Apache-2.0
// refuse-io-uring PROGRAM [ARGUMENT]...
// Runs a program to which the kernel answers EPERM whenever it, or a child of it, makes a system call of io_uring:
// what most containers do. The three numbers are the same on x86-64, arm64 and all other machines that Swift knows.

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// What the kernel says to a call that no kernel can grant: EFAULT if it would listen at all.
static int answer(void) {
  errno = 0;
  syscall(__NR_io_uring_setup, 1, NULL);
  return errno;
}

int main(int count, char **arguments) {
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, __NR_io_uring_setup, 0, 2),
    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, __NR_io_uring_register, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

  if (count < 2) {
    fprintf(stderr, "usage: refuse-io-uring PROGRAM [ARGUMENT]...\n");
    return 2;
  }
  if (answer() != EFAULT) fprintf(stderr, "refuse-io-uring: this system has refused it all along\n");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("refuse-io-uring");
    return 1;
  }
  if (answer() != EPERM) {
    fprintf(stderr, "refuse-io-uring: the filter does nothing\n");
    return 1;
  }
  execvp(arguments[1], arguments + 1);
  perror(arguments[1]);
  return 127;
}
