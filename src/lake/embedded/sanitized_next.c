// Sanitized builds alone. libchdb.so asks dlsym(RTLD_NEXT, ...) for the free of what libc allocated
// for it and for the start of its allocator's thread, and would get libc's past the sanitizer's.
// This library stands after libchdb.so in the search order and leads back to the program's own.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

void free(void* p) { ((void (*)(void*))dlsym(RTLD_DEFAULT, "free"))(p); }

typedef int (*PthreadCreate)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int pthread_create(pthread_t* thread, const pthread_attr_t* attr, void* (*run)(void*), void* arg) {
  return ((PthreadCreate)dlsym(RTLD_DEFAULT, "pthread_create"))(thread, attr, run, arg);
}
