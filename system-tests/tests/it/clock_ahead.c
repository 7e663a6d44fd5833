/* Loaded before the C library: the clock on the wall is two hours ahead for this process alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

#define AHEAD (2 * 60 * 60)

#define THE_REAL(name) static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *now) {
    THE_REAL(clock_gettime);
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += AHEAD;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    THE_REAL(gettimeofday);
    int failed = real(now, zone);
    if (!failed) now->tv_sec += AHEAD;
    return failed;
}

/* The kernel waits by its own clock: a deadline of this one would come two hours too late. */
static struct timespec of_the_kernel(struct timespec until) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    /* One that counts from the start of the machine is far below. */
    if (until.tv_sec > now.tv_sec - AHEAD) until.tv_sec -= AHEAD;
    return until;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    THE_REAL(pthread_cond_timedwait);
    struct timespec deadline = of_the_kernel(*until);
    return real(condition, mutex, &deadline);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until) {
    THE_REAL(cnd_timedwait);
    struct timespec deadline = of_the_kernel(*until);
    return real(condition, mutex, &deadline);
}
