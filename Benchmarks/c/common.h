// SPDX-License-Identifier: Apache-2.0
// What the C programs here share: arguments, addresses, sockets, time.

#pragma once
#include <netdb.h>
#include <stdint.h>

// Prints what failed, and why; exits 1.
void fail(const char *what);

// Nanoseconds.
uint64_t now(void);

void raise_file_limit(void);

// The text as a number within these bounds; if it is none, says so and exits 2.
double number(const char *text, double minimum, double maximum);

// "HOST:PORT" with a numeric host, "[HOST]:PORT" too; NULL if it is none.
struct addrinfo *resolve(char *text, int type);

// A connection that does not block. Every 8,192 of `index` come from an address of their own on loopback.
int connect_to(const struct addrinfo *address, uint32_t index);

// Prints "connected N"; then, for each line of seconds on standard input, calls `run`.
void run_steps(uint64_t connections, void (*run)(double seconds));

// A listening socket that does not block, for [--host H] [--port P]; exits 2 if the arguments are others.
int listen_as_told(int argc, char **argv);

// Tells on standard output where this socket listens.
void announce(int fd);

// A connection of that listener, without delay and not blocking; -1 and errno.
int accept_from(int listener);
