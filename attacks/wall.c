/* Moves the wall clock of one process, which nothing in Linux does: adds the seconds that stand, as eight bytes, in the file
   named by WALL_SHIFT. Preloaded into the victim of attacks/src/attack/clock_jumps.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const volatile int64_t *shift;
static int (*ask)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    ask = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *name = getenv("WALL_SHIFT");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *bytes = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED)
        abort();
    shift = bytes;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = ask(clock, now);
    if (!failed && clock == CLOCK_REALTIME)
        now->tv_sec += *shift;
    return failed;
}
