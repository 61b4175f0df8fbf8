/* A disk below one folder that is full, read-only, slow, closing or unreliable from a certain call on; loaded with LD_PRELOAD.

   The calls of the folder are counted in memory that forked processes share, so that the parent learns how many there are. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE = 2, SYNC = 4, RENAME = 8, REMOVE = 16, READ = 32, CLOSE = 64 };

static char prefix[PATH_MAX];
static size_t length;
static long first, last;
static int kinds, error;
static unsigned pause_us;
static long *shared;

__attribute__((constructor)) static void begin(void)
{
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Calls of `kinds_` below `folder`, from number `first_` to `last_`, end with `error_` (0: none) after `pause_us_`. */
void faulty_disk(const char *folder, int kinds_, int error_, long first_, long last_, unsigned pause_us_)
{
    snprintf(prefix, sizeof prefix, "%s/", folder);
    kinds = kinds_, error = error_, first = first_, last = last_, pause_us = pause_us_;
    shared[0] = shared[1] = 0;
    length = strlen(prefix);
}

long faulty_calls(void) { return shared[0]; }
long faulty_faults(void) { return shared[1]; }

static int fault(int kind, const char *path)
{
    if (!length || !(kind & kinds) || strncmp(path, prefix, length))
        return 0;
    long number = __sync_add_and_fetch(&shared[0], 1);
    if (number < first || number > last)
        return 0;
    __sync_add_and_fetch(&shared[1], 1);
    if (pause_us)
        usleep(pause_us);
    errno = error;
    return error;
}

static ssize_t where(int fd, char *path, size_t size)
{
    char link[40];
    int before = errno;
    if (fd == AT_FDCWD)
        strcpy(link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t count = readlink(link, path, size - 1);
    path[count < 0 ? 0 : count] = 0;
    errno = before;
    return count;
}

static int fault_of(int kind, int fd)
{
    char path[PATH_MAX];
    return length && kind & kinds && where(fd, path, sizeof path) > 0 ? fault(kind, path) : 0;
}

static int fault_at(int kind, int fd, const char *name)
{
    char folder[PATH_MAX], path[2 * PATH_MAX];
    if (!length || !(kind & kinds) || !name)
        return 0;
    if (name[0] == '/')
        return fault(kind, name);
    if (where(fd, folder, sizeof folder) <= 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fault(kind, path);
}

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })
#define OPENING(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) ? CREATE : READ)
#define MODE(flags, before) ({ va_list more; va_start(more, before); mode_t given = (flags) & O_CREAT ? va_arg(more, mode_t) : 0; va_end(more); given; })

#define ON_OPEN(name) \
    int name(const char *path, int flags, ...) \
    { return fault_at(OPENING(flags), AT_FDCWD, path) ? -1 : REAL(name)(path, flags, MODE(flags, flags)); }
#define ON_OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) \
    { return fault_at(OPENING(flags), folder, path) ? -1 : REAL(name)(folder, path, flags, MODE(flags, flags)); }
#define ON_FD(type, kind, name, parameters, ...) \
    type name parameters { return fault_of(kind, fd) ? -1 : REAL(name)(__VA_ARGS__); }
#define ON_PATH(kind, folder, name, parameters, ...) \
    int name parameters { return fault_at(kind, folder, path) ? -1 : REAL(name)(__VA_ARGS__); }

ON_OPEN(open)
ON_OPEN(open64)
ON_OPENAT(openat)
ON_OPENAT(openat64)
ON_FD(ssize_t, WRITE, write, (int fd, const void *from, size_t size), fd, from, size)
ON_FD(ssize_t, WRITE, pwrite, (int fd, const void *from, size_t size, off_t at), fd, from, size, at)
ON_FD(ssize_t, WRITE, pwrite64, (int fd, const void *from, size_t size, off64_t at), fd, from, size, at)
ON_FD(ssize_t, WRITE, writev, (int fd, const struct iovec *from, int count), fd, from, count)
ON_FD(ssize_t, WRITE, sendfile, (int fd, int from, off_t *at, size_t size), fd, from, at, size)
ON_FD(ssize_t, WRITE, sendfile64, (int fd, int from, off64_t *at, size_t size), fd, from, at, size)
ON_FD(int, WRITE, ftruncate, (int fd, off_t size), fd, size)
ON_FD(int, WRITE, ftruncate64, (int fd, off64_t size), fd, size)
ON_FD(int, SYNC, fsync, (int fd), fd)
ON_FD(int, SYNC, fdatasync, (int fd), fd)
ON_FD(int, READ, flock, (int fd, int how), fd, how)
ON_FD(ssize_t, READ, read, (int fd, void *to, size_t size), fd, to, size)
ON_FD(ssize_t, READ, pread, (int fd, void *to, size_t size, off_t at), fd, to, size, at)
ON_FD(ssize_t, READ, pread64, (int fd, void *to, size_t size, off64_t at), fd, to, size, at)
ON_FD(int, REMOVE, fchmod, (int fd, mode_t mode), fd, mode)
ON_PATH(CREATE, AT_FDCWD, mkdir, (const char *path, mode_t mode), path, mode)
ON_PATH(CREATE, folder, mkdirat, (int folder, const char *path, mode_t mode), folder, path, mode)
ON_PATH(CREATE, AT_FDCWD, symlink, (const char *to, const char *path), to, path)
ON_PATH(CREATE, AT_FDCWD, link, (const char *from, const char *path), from, path)
ON_PATH(RENAME, AT_FDCWD, rename, (const char *from, const char *path), from, path)
ON_PATH(RENAME, folder, renameat, (int before, const char *from, int folder, const char *path), before, from, folder, path)
ON_PATH(REMOVE, AT_FDCWD, unlink, (const char *path), path)
ON_PATH(REMOVE, folder, unlinkat, (int folder, const char *path, int flags), folder, path, flags)
ON_PATH(REMOVE, AT_FDCWD, rmdir, (const char *path), path)
ON_PATH(REMOVE, AT_FDCWD, chmod, (const char *path, mode_t mode), path, mode)
ON_PATH(READ, AT_FDCWD, stat, (const char *path, struct stat *to), path, to)
ON_PATH(READ, AT_FDCWD, stat64, (const char *path, struct stat64 *to), path, to)
ON_PATH(READ, AT_FDCWD, lstat, (const char *path, struct stat *to), path, to)
ON_PATH(READ, AT_FDCWD, lstat64, (const char *path, struct stat64 *to), path, to)
ON_PATH(READ, folder, fstatat, (int folder, const char *path, struct stat *to, int flags), folder, path, to, flags)
ON_PATH(READ, folder, fstatat64, (int folder, const char *path, struct stat64 *to, int flags), folder, path, to, flags)

DIR *opendir(const char *path) { return fault_at(READ, AT_FDCWD, path) ? NULL : REAL(opendir)(path); }
DIR *fdopendir(int fd) { return fault_of(READ, fd) ? NULL : REAL(fdopendir)(fd); }

/* Whatever it returns, the file is closed. Systems return what was lost of a file that was written, and no other errors. */
int close(int fd)
{
    int flags = fcntl(fd, F_GETFL), failed = flags > 0 && flags & (O_WRONLY | O_RDWR) ? fault_of(CLOSE, fd) : 0;
    int done = REAL(close)(fd);
    if (failed)
        errno = failed;
    return failed ? -1 : done;
}
