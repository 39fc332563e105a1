/* librdkafka starts its threads by C11's functions, which the thread sanitizer of g++ 12 does not
   know: a thread that it has not seen begin crashes at its first allocation. In its builds they are
   started by the functions that it knows; glibc's two kinds of threads are one. */
#include <pthread.h>
#include <stdint.h>
#include <threads.h>

/* Its locks are C11's too, unseen: what it calls is not looked at. The engine's line is from
   lake/embedded/chdb_api.cc, as a program has one list. */
const char* __tsan_default_suppressions(void) {
  return "race:libchdb.so\ncalled_from_lib:librdkafka.so\n";
}

int thrd_create(thrd_t* thread, thrd_start_t start, void* arg) {
  return pthread_create(thread, NULL, (void* (*)(void*))(void*)start, arg) == 0 ? thrd_success
                                                                                 : thrd_error;
}

int thrd_join(thrd_t thread, int* result) {
  void* out = NULL;
  if (pthread_join(thread, &out) != 0) return thrd_error;
  if (result != NULL) *result = (int)(intptr_t)out;
  return thrd_success;
}
