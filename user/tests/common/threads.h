// Threads by the handful, with small stacks: the C library's are 8 MiB each, which a pager that maps
// everything at once would have to fill, and fork to copy.
#pragma once

#include <pthread.h>

#include "tap.h"

enum { crowd = 8, thread_stack_bytes = 256 * 1024 };

// For all threads of the program, however it makes them.
__attribute__((constructor)) static void use_small_stacks(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, thread_stack_bytes);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

TAP_UNUSED static pthread_t start(void* (*function)(void*), void* argument) {
  pthread_t thread;
  int error = pthread_create(&thread, NULL, function, argument);
  if (error) FAIL("pthread_create: %s", strerrorname_np(error));
  REQUIRE(error == 0);
  return thread;
}

// Runs `function` with the arguments 0 .. count-1 in threads of their own and waits for them.
TAP_UNUSED static void run_crowd(void* (*function)(void*), int count) {
  pthread_t threads[64];
  for (intptr_t i = 0; i < count; i++) threads[i] = start(function, (void*)i);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}
