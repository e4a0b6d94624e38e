/* Makes a process see PAWL_SEEN_CORES cores; for LD_PRELOAD, see demo.py.

   What asks how many cores the machine has is told that number, and so is what asks for the
   affinity mask where PAWL_SEEN_AFFINITY is set: as in a container whose limit is a quota.
   Files that list cores are read from the folder PAWL_SEEN_FILES (PyTorch counts by them). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int seen(void)
{
    const char *text = getenv("PAWL_SEEN_CORES");
    return text ? atoi(text) : 1;
}

static void fill(size_t size, cpu_set_t *set)
{
    memset(set, 0, size);
    for (int core = 0; core < seen(); core++)
        CPU_SET_S(core, size, set);
}

long sysconf(int name)
{
    static long (*real)(int);
    if (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF)
        return seen();
    if (!real)
        real = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return real(name);
}

int get_nprocs(void) { return seen(); }
int get_nprocs_conf(void) { return seen(); }

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    static int (*real)(pid_t, size_t, cpu_set_t *);
    if (getenv("PAWL_SEEN_AFFINITY")) {
        if (size * 8 < (size_t)seen()) {
            errno = EINVAL;
            return -1;
        }
        fill(size, set);
        return 0;
    }
    if (!real)
        real = (int (*)(pid_t, size_t, cpu_set_t *))dlsym(RTLD_NEXT, "sched_getaffinity");
    return real(pid, size, set);
}

int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
    static int (*real)(pthread_t, size_t, cpu_set_t *);
    if (getenv("PAWL_SEEN_AFFINITY")) {
        if (size * 8 < (size_t)seen())
            return EINVAL;
        fill(size, set);
        return 0;
    }
    if (!real)
        real = (int (*)(pthread_t, size_t, cpu_set_t *))dlsym(RTLD_NEXT, "pthread_getaffinity_np");
    return real(thread, size, set);
}

/* Returns the path to read instead. */
static const char *instead(const char *path, char *room, size_t size)
{
    static const char *listing[] = {"/proc/cpuinfo", "/sys/devices/system/cpu/online",
                                    "/sys/devices/system/cpu/possible",
                                    "/sys/devices/system/cpu/present"};
    const char *folder = getenv("PAWL_SEEN_FILES");
    for (size_t i = 0; folder && i < sizeof listing / sizeof *listing; i++)
        if (!strcmp(path, listing[i])) {
            snprintf(room, size, "%s%s", folder, strrchr(path, '/'));
            return room;
        }
    return path;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        static int (*real)(const char *, int, ...);                                                \
        char room[4096];                                                                           \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;                  \
        va_end(more);                                                                              \
        if (!real)                                                                                 \
            real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);                       \
        return real(instead(path, room, sizeof room), flags, mode);                                \
    }
OPEN(open)
OPEN(open64)

#define FOPEN(name)                                                                                \
    FILE *name(const char *path, const char *mode)                                                 \
    {                                                                                              \
        static FILE *(*real)(const char *, const char *);                                          \
        char room[4096];                                                                           \
        if (!real)                                                                                 \
            real = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, #name);               \
        return real(instead(path, room, sizeof room), mode);                                       \
    }
FOPEN(fopen)
FOPEN(fopen64)
