/* An LD_PRELOAD library that counts the file calls below one directory, and at the chosen one
 * kills the process, fails with an errno, or cuts a write short.
 *
 * It is steered through a shared mapping named by CRASH_CONTROL; tests/crash/shim.py holds the
 * same layout. Names relative to a directory descriptor are resolved through /proc.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, FAIL, TEAR, SHORTEN };
enum {
    OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, LINK = 16, UNLINK = 32, MKDIR = 64, CHMOD = 128,
    TRUNCATE = 256, READ = 512, CLOSE = 1024, ALLOCATE = 2048, STAT = 4096, LOCK = 8192,
    COPY = 16384
};

struct control {
    _Atomic int64_t armed, count, log_end;
    int64_t target, mode, error, lasting, mask;
    char root[256];
    char log[1 << 20];
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("CRASH_CONTROL");
    if (!path) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *shared = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (shared != MAP_FAILED) control = shared;
}

static int below_root(const char *path) {
    size_t length = strlen(control->root);
    return !strncmp(path, control->root, length) && (path[length] == '/' || !path[length]);
}

static int path_of_fd(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

/* Whether the call is one of those counted; `path` then holds what it is about. */
static int watched_fd(int fd, char *path, size_t size) {
    return control && control->armed && path_of_fd(fd, path, size) && below_root(path);
}

static int watched_name(int dir, const char *name, char *path, size_t size) {
    if (!control || !control->armed || !name) return 0;
    if (!strncmp(name, "/proc/self/fd/", 14)) return watched_fd(atoi(name + 14), path, size);
    if (name[0] == '/') {
        snprintf(path, size, "%s", name);
        return below_root(path);
    }
    char parent[512];
    if (dir == AT_FDCWD ? !getcwd(parent, sizeof parent)
                        : !path_of_fd(dir, parent, sizeof parent))
        return 0;
    snprintf(path, size, "%s/%s", parent, name);
    return below_root(path);
}

static void note(int64_t number, const char *call, const char *path, const char *other) {
    char line[1400];
    size_t skip = strlen(control->root);
    int length = snprintf(line, sizeof line, "%ld %s %s %s\n", (long)number, call,
                          path[skip] ? path + skip : "/",
                          other && below_root(other) ? other + skip : "");
    int64_t at = atomic_fetch_add(&control->log_end, length);
    if (at + length < (int64_t)sizeof control->log) memcpy(control->log + at, line, length);
}

/* 0: go on; above 0: fail with that errno; -1: write half. */
static int hit(int kind, const char *call, const char *path, const char *other) {
    if (!(control->mask & kind)) return 0;
    int64_t number = atomic_fetch_add(&control->count, 1);
    if (control->mode == COUNT) {
        note(number, call, path, other);
        return 0;
    }
    if (number != control->target && !(control->lasting && number > control->target)) return 0;
    if (number == control->target) note(number, call, path, other);
    if (control->mode == KILL) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (control->mode == FAIL) return (int)control->error;
    return (kind & WRITE) ? -1 : 0;
}

#define GUARD(watched, kind, call, other)                     \
    do {                                                      \
        char path[1024];                                      \
        if (watched) {                                        \
            int verdict = hit(kind, call, path, other);       \
            if (verdict > 0) { errno = verdict; return -1; }  \
        }                                                     \
    } while (0)
#define BY_FD(fd, kind, call) GUARD(watched_fd(fd, path, sizeof path), kind, call, 0)
#define BY_NAME(dir, name, kind, call) \
    GUARD(watched_name(dir, name, path, sizeof path), kind, call, 0)

/* -- opening ------------------------------------------------------------------------------- */

static int do_open(int dir, const char *name, int flags, mode_t mode) {
    const char *call = (flags & O_TMPFILE) == O_TMPFILE ? "create-unnamed"
                       : flags & O_CREAT                ? "create" : "open";
    BY_NAME(dir, name, OPEN, call);
    return syscall(SYS_openat, dir, name, flags, mode);
}

#define OPENER(symbol, dir, ...)                                           \
    int symbol(__VA_ARGS__ const char *name, int flags, ...) {             \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = va_arg(rest, mode_t);                                \
        va_end(rest);                                                      \
        return do_open(dir, name, flags, mode);                            \
    }
OPENER(open, AT_FDCWD, )
OPENER(open64, AT_FDCWD, )
OPENER(openat, dir, int dir,)
OPENER(openat64, dir, int dir,)

/* Closing frees the descriptor even when it reports an error. */
int close(int fd) {
    char path[1024];
    int verdict = 0;
    if (watched_fd(fd, path, sizeof path)) verdict = hit(CLOSE, "close", path, 0);
    int result = syscall(SYS_close, fd);
    if (verdict > 0) { errno = verdict; return -1; }
    return result;
}

/* -- bytes --------------------------------------------------------------------------------- */

static ssize_t do_write(int fd, const void *bytes, size_t size, off_t offset, int placed) {
    char path[1024];
    size_t wanted = size;
    int verdict = 0;
    if (watched_fd(fd, path, sizeof path)) {
        verdict = hit(WRITE, "write", path, 0);
        if (verdict > 0) { errno = verdict; return -1; }
        if (verdict < 0 && size > 1) wanted = size / 2;
    }
    ssize_t result = placed ? syscall(SYS_pwrite64, fd, bytes, wanted, offset)
                            : syscall(SYS_write, fd, bytes, wanted);
    if (verdict < 0 && control->mode == TEAR) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    return result;
}
ssize_t write(int fd, const void *b, size_t n) { return do_write(fd, b, n, 0, 0); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { return do_write(fd, b, n, o, 1); }
ssize_t pwrite64(int fd, const void *b, size_t n, off_t o) { return do_write(fd, b, n, o, 1); }

ssize_t read(int fd, void *bytes, size_t size) {
    BY_FD(fd, READ, "read");
    return syscall(SYS_read, fd, bytes, size);
}
ssize_t pread(int fd, void *bytes, size_t size, off_t offset) {
    BY_FD(fd, READ, "read");
    return syscall(SYS_pread64, fd, bytes, size, offset);
}
ssize_t pread64(int fd, void *bytes, size_t size, off_t offset) {
    BY_FD(fd, READ, "read");
    return syscall(SYS_pread64, fd, bytes, size, offset);
}
ssize_t readv(int fd, const struct iovec *pieces, int count) {
    BY_FD(fd, READ, "read");
    return syscall(SYS_readv, fd, pieces, count);
}
int ftruncate(int fd, off_t size) {
    BY_FD(fd, TRUNCATE, "truncate");
    return syscall(SYS_ftruncate, fd, size);
}
int ftruncate64(int fd, off_t size) {
    BY_FD(fd, TRUNCATE, "truncate");
    return syscall(SYS_ftruncate, fd, size);
}
int posix_fallocate(int fd, off_t offset, off_t size) {
    char path[1024];
    if (watched_fd(fd, path, sizeof path)) {
        int verdict = hit(ALLOCATE, "allocate", path, 0);
        if (verdict > 0) return verdict;
    }
    return syscall(SYS_fallocate, fd, 0, offset, size) ? errno : 0;
}
int posix_fallocate64(int fd, off_t offset, off_t size) {
    return posix_fallocate(fd, offset, size);
}
ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t size, unsigned flags) {
    BY_FD(out, COPY, "copy");
    return syscall(SYS_copy_file_range, in, from, out, to, size, flags);
}
int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == 0x40049409) BY_FD(fd, COPY, "clone"); /* FICLONE */
    return syscall(SYS_ioctl, fd, request, argument);
}

/* -- durability ---------------------------------------------------------------------------- */

int fsync(int fd) { BY_FD(fd, SYNC, "fsync"); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { BY_FD(fd, SYNC, "fdatasync"); return syscall(SYS_fdatasync, fd); }
int syncfs(int fd) { BY_FD(fd, SYNC, "syncfs"); return syscall(SYS_syncfs, fd); }

/* -- names --------------------------------------------------------------------------------- */

#define TWO_NAMES(kind, call, dir, name, new_dir, new_name)                          \
    do {                                                                             \
        char path[1024], other[1024];                                                \
        int from = watched_name(dir, name, path, sizeof path);                       \
        int to = watched_name(new_dir, new_name, other, sizeof other);               \
        if (from || to) {                                                            \
            int verdict = hit(kind, call, to ? other : path, from ? path : 0);       \
            if (verdict > 0) { errno = verdict; return -1; }                         \
        }                                                                            \
    } while (0)

int renameat(int d, const char *n, int nd, const char *nn) {
    TWO_NAMES(RENAME, "rename", d, n, nd, nn);
    return syscall(SYS_renameat, d, n, nd, nn);
}
int renameat2(int d, const char *n, int nd, const char *nn, unsigned flags) {
    TWO_NAMES(RENAME, "rename", d, n, nd, nn);
    return syscall(SYS_renameat2, d, n, nd, nn, flags);
}
int rename(const char *n, const char *nn) { return renameat(AT_FDCWD, n, AT_FDCWD, nn); }
int linkat(int d, const char *n, int nd, const char *nn, int flags) {
    TWO_NAMES(LINK, "link", d, n, nd, nn);
    return syscall(SYS_linkat, d, n, nd, nn, flags);
}
int link(const char *n, const char *nn) { return linkat(AT_FDCWD, n, AT_FDCWD, nn, 0); }
int unlinkat(int d, const char *n, int flags) {
    BY_NAME(d, n, UNLINK, flags ? "rmdir" : "unlink");
    return syscall(SYS_unlinkat, d, n, flags);
}
int unlink(const char *n) { return unlinkat(AT_FDCWD, n, 0); }
int rmdir(const char *n) { return unlinkat(AT_FDCWD, n, AT_REMOVEDIR); }
int mkdirat(int d, const char *n, mode_t mode) {
    BY_NAME(d, n, MKDIR, "mkdir");
    return syscall(SYS_mkdirat, d, n, mode);
}
int mkdir(const char *n, mode_t mode) { return mkdirat(AT_FDCWD, n, mode); }
int fchmod(int fd, mode_t mode) {
    BY_FD(fd, CHMOD, "chmod");
    return syscall(SYS_fchmod, fd, mode);
}
int fchmodat(int d, const char *n, mode_t mode, int flags) {
    BY_NAME(d, n, CHMOD, "chmod");
    return syscall(SYS_fchmodat, d, n, mode, flags);
}
int futimens(int fd, const struct timespec times[2]) {
    BY_FD(fd, CHMOD, "stamp");
    return syscall(SYS_utimensat, fd, 0, times, 0);
}
int utimensat(int d, const char *n, const struct timespec times[2], int flags) {
    BY_NAME(d, n, CHMOD, "stamp");
    return syscall(SYS_utimensat, d, n, times, flags);
}

/* -- looking ------------------------------------------------------------------------------- */

#define STATTER(symbol, type)                                                        \
    int symbol(int d, const char *restrict n, struct type *restrict s, int flags) {  \
        static int (*real)(int, const char *, struct type *, int);                   \
        if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #symbol);               \
        BY_NAME(d, n, STAT, "stat");                                                 \
        return real(d, n, s, flags);                                                 \
    }
#define OPEN_STATTER(symbol, type)                                                   \
    int symbol(int fd, struct type *s) {                                             \
        static int (*real)(int, struct type *);                                      \
        if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #symbol);               \
        BY_FD(fd, STAT, "stat-open");                                                \
        return real(fd, s);                                                          \
    }
OPEN_STATTER(fstat, stat)
OPEN_STATTER(fstat64, stat64)
STATTER(fstatat, stat)
STATTER(fstatat64, stat64)
#define PLAIN_STATTER(symbol, type, at, flags)                                       \
    int symbol(const char *restrict n, struct type *restrict s) {                    \
        return at(AT_FDCWD, n, s, flags);                                            \
    }
PLAIN_STATTER(stat, stat, fstatat, 0)
PLAIN_STATTER(lstat, stat, fstatat, AT_SYMLINK_NOFOLLOW)
PLAIN_STATTER(stat64, stat64, fstatat64, 0)
PLAIN_STATTER(lstat64, stat64, fstatat64, AT_SYMLINK_NOFOLLOW)
int access(const char *n, int mode) {
    BY_NAME(AT_FDCWD, n, STAT, "access");
    return syscall(SYS_access, n, mode);
}
int flock(int fd, int how) {
    BY_FD(fd, LOCK, how & LOCK_UN ? "unlock" : "lock");
    return syscall(SYS_flock, fd, how);
}
