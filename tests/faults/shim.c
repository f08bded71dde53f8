/* A shim between a program and the kernel, loaded with LD_PRELOAD.
 *
 * It counts every change that the program makes to files below one folder. It can log each change with its data, so
 * that the state of the disk after a power cut can be worked out; it can end the process in the middle of one; and it
 * can refuse changes as a full or read-only disk does.
 *
 * FAULTS_ROOT names the folder, FAULTS_STATE a file that holds `struct state` for all processes of the program, and
 * FAULTS_LOG a file that takes the log. tests/faults/shim.py writes the state and reads the log.
 *
 * glibc's own stdio calls the kernel without passing here. What it writes is seen when the file is closed, renamed or
 * synced, since its content is logged then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NOTHING, KILL_PROCESS, KILL_GROUP, FAIL };
enum kind { WRITE = 1, CREATE = 2, NAME = 4, SYNC = 8 };

struct state {
    uint64_t count;  /* changes so far */
    uint64_t at;     /* the number of the change at which something goes wrong, 0 for never */
    uint64_t times;  /* changes that fail from there on */
    int32_t action;
    int32_t kinds;   /* the kinds of changes that fail */
    int32_t error;   /* errno of a change that fails */
    int32_t logs;    /* whether changes are logged */
    int32_t ready;
    pthread_mutex_t mutex;
};

static struct state *state;
static const char *root;
static size_t root_length;
static int log_fd = -1;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("FAULTS_STATE");
    root = getenv("FAULTS_ROOT");
    if (!path || !root) return;
    root_length = strlen(root);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (state == MAP_FAILED) { state = NULL; return; }
    if (!state->ready) {
        /* The harness starts one process at a time; the first one comes here alone. */
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&state->mutex, &attributes);
        state->ready = 1;
    }
    if (getenv("FAULTS_LOG"))
        log_fd = syscall(SYS_openat, AT_FDCWD, getenv("FAULTS_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* --- which files are watched ----------------------------------------------------------------------------------- */

static int is_below(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int path_of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    /* A file that was deleted while open cannot come back after a power cut. */
    return path[0] == '/' && !strstr(path, " (deleted)");
}

static int absolute(int folder, const char *name, char *path) {
    char base[PATH_MAX];
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of_fd(folder, base)) return 0;
    return snprintf(path, PATH_MAX, "%s/%s", base, name) < PATH_MAX;
}

static int watched_name(int folder, const char *name, char *path) {
    return state && absolute(folder, name, path) && is_below(path);
}

static int watched_fd(int fd, char *path) { return state && path_of_fd(fd, path) && is_below(path); }

static unsigned long inode_at(const char *path) {
    struct stat status;
    return fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) ? 0 : status.st_ino;
}

static unsigned long inode_of_parent(const char *path) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent) return 0;
    *slash = 0;
    return inode_at(parent);
}

/* --- the log ----------------------------------------------------------------------------------------------------- */

static void note(const char *operation, unsigned long inode, unsigned long parent, unsigned long parent2, long offset,
                 const char *path, const char *path2, const void *data, size_t length) {
    if (!state->logs || log_fd < 0) return;
    char head[2 * PATH_MAX + 200];
    int size = snprintf(head, sizeof head, "%s\t%lu\t%lu\t%lu\t%ld\t%zu\t%s\t%s\n", operation, inode, parent, parent2,
                        offset, length, path, path2 ? path2 : "");
    struct iovec parts[2] = {{head, size}, {(void *)data, length}};
    syscall(SYS_writev, log_fd, parts, length ? 2 : 1);
}

static void note_content(const char *operation, const char *path) {
    if (!state->logs) return;
    struct stat status;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0) return;
    if (!fstat(fd, &status) && S_ISREG(status.st_mode)) {
        char *data = malloc(status.st_size + 1);
        ssize_t length = syscall(SYS_pread64, fd, data, status.st_size, 0L);
        if (length >= 0) note(operation, status.st_ino, 0, 0, 0, path, NULL, data, length);
        free(data);
    }
    syscall(SYS_close, fd);
}

/* --- one change --------------------------------------------------------------------------------------------------- */

static void lock(void) {
    if (pthread_mutex_lock(&state->mutex) == EOWNERDEAD) pthread_mutex_consistent(&state->mutex);
}

static void unlock(void) { pthread_mutex_unlock(&state->mutex); }

static void end_now(void) {
    syscall(SYS_kill, state->action == KILL_GROUP ? 0 : getpid(), SIGKILL);
    for (;;) pause();
}

/* Called with the lock held. Returns 1 if the change must fail with errno, and 2 if the process ends in it. */
static int fate(enum kind kind) {
    state->count++;
    if (!state->at || state->count < state->at) return 0;
    if (state->action == FAIL) {
        if (!(kind & state->kinds) || state->count >= state->at + state->times) return 0;
        errno = state->error;
        return 1;
    }
    return state->count == state->at && state->action != NOTHING ? 2 : 0;
}

/* Before a change to names: it happens, or the process ends, by chance just before or just after it. */
#define CHANGE(kind, call, failed, noted)                                             \
    do {                                                                        \
        lock();                                                                 \
        int fate_ = fate(kind);                                                 \
        if (fate_ == 1) { unlock(); return failed; }                            \
        if (fate_ == 2 && state->count % 2) end_now();                          \
        __typeof__(failed) result_ = (call);                                    \
        int error_ = errno;                                                     \
        if (fate_ == 2) end_now();                                              \
        if (result_ != (failed)) { noted; }                                     \
        unlock();                                                               \
        errno = error_;                                                         \
        return result_;                                                         \
    } while (0)

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static int open_watched(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int changes = flags & (O_CREAT | O_TRUNC) && (flags & O_TMPFILE) != O_TMPFILE;
    if (!changes || !watched_name(folder, name, path)) return syscall(SYS_openat, folder, name, flags, mode);
    unsigned long before = inode_at(path);
    if (before && !(flags & O_TRUNC)) return syscall(SYS_openat, folder, name, flags, mode);
    CHANGE(CREATE, (int)syscall(SYS_openat, folder, name, flags, mode), -1,
           note(before ? "truncate" : "create", inode_at(path), inode_of_parent(path), 0, 0, path, NULL, NULL, 0));
}

#define OPEN(name, folder, ...)                                    \
    int name(__VA_ARGS__, int flags, ...) {                        \
        mode_t mode = 0;                                           \
        if (flags & (O_CREAT | O_TMPFILE)) {                       \
            va_list rest;                                          \
            va_start(rest, flags);                                 \
            mode = va_arg(rest, mode_t);                           \
            va_end(rest);                                          \
        }                                                          \
        return open_watched(folder, path_, flags, mode);           \
    }
OPEN(open, AT_FDCWD, const char *path_)
OPEN(open64, AT_FDCWD, const char *path_)
OPEN(openat, folder_, int folder_, const char *path_)
OPEN(openat64, folder_, int folder_, const char *path_)

int close(int fd) {
    char path[PATH_MAX];
    if (state && state->logs && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY && watched_fd(fd, path)) {
        lock();
        note_content("content", path);
        unlock();
    }
    return REAL(close)(fd);
}

/* --- data ---------------------------------------------------------------------------------------------------------- */

/* A file that is open for appending is written at its end. */
static long position(int fd) {
    struct stat status;
    if (fcntl(fd, F_GETFL) & O_APPEND && !fstat(fd, &status)) return status.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

static ssize_t write_watched(int fd, const void *data, size_t length, long offset) {
    char path[PATH_MAX];
    struct stat status;
    int is_positioned = offset >= 0;
    if (!watched_fd(fd, path))
        return is_positioned ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
    lock();
    int fate_ = fate(WRITE);
    if (fate_ == 1) { unlock(); return -1; }
    if (fate_ == 2) {
        if (is_positioned) syscall(SYS_pwrite64, fd, data, length / 2, offset);
        else syscall(SYS_write, fd, data, length / 2);
        end_now();
    }
    long start = is_positioned ? offset : position(fd);
    ssize_t written = is_positioned ? syscall(SYS_pwrite64, fd, data, length, offset)
                                    : syscall(SYS_write, fd, data, length);
    int error = errno;
    if (written > 0 && !fstat(fd, &status)) note("write", status.st_ino, 0, 0, start, path, NULL, data, written);
    unlock();
    errno = error;
    return written;
}

ssize_t write(int fd, const void *data, size_t length) { return write_watched(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return write_watched(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return write_watched(fd, data, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int num_parts) {
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return syscall(SYS_writev, fd, parts, num_parts);
    ssize_t total = 0;
    for (int part = 0; part < num_parts; part++) {
        ssize_t written = write_watched(fd, parts[part].iov_base, parts[part].iov_len, -1);
        if (written < 0) return total ? total : -1;
        total += written;
        if ((size_t)written < parts[part].iov_len) break;
    }
    return total;
}

/* Copies inside the kernel: callers fall back to reading and writing where these are not offered. */
ssize_t sendfile(int out, int in, off_t *offset, size_t length) {
    char path[PATH_MAX];
    if (watched_fd(out, path)) { errno = EINVAL; return -1; }
    return syscall(SYS_sendfile, out, in, offset, length);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t length) { return sendfile(out, in, (off_t *)offset, length); }
ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length, unsigned flags) {
    char path[PATH_MAX];
    if (watched_fd(out, path)) { errno = ENOSYS; return -1; }
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, length, flags);
}

int ftruncate(int fd, off_t length) {
    char path[PATH_MAX];
    if (!watched_fd(fd, path)) return syscall(SYS_ftruncate, fd, length);
    CHANGE(WRITE, (int)syscall(SYS_ftruncate, fd, length), -1, note("truncate", inode_at(path), 0, 0, length, path, NULL, NULL, 0));
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

/* --- durability ---------------------------------------------------------------------------------------------------- */

static int sync_watched(int fd, long call) {
    char path[PATH_MAX];
    struct stat status;
    if (!watched_fd(fd, path)) return syscall(call, fd);
    lock();
    int fate_ = fate(SYNC);
    /* A real disk would be waited for, which changes nothing here: the log alone says what lasts. */
    if (fate_ == 1) { unlock(); return -1; }
    if (fate_ == 2) end_now();
    if (!fstat(fd, &status)) {
        if (S_ISDIR(status.st_mode)) note("sync-folder", status.st_ino, 0, 0, 0, path, NULL, NULL, 0);
        else note_content("sync", path);
    }
    unlock();
    return 0;
}
int fsync(int fd) { return sync_watched(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_watched(fd, SYS_fdatasync); }

/* --- names --------------------------------------------------------------------------------------------------------- */

static int rename_watched(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char path[PATH_MAX], path2[PATH_MAX];
    int watched = watched_name(from_folder, from, path) & watched_name(to_folder, to, path2);
    if (!watched) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    CHANGE(NAME, (note_content("content", path), (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags)), -1,
           note("rename", inode_at(path2), inode_of_parent(path), inode_of_parent(path2), 0, path, path2, NULL, 0));
}
int rename(const char *from, const char *to) { return rename_watched(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_watched(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return rename_watched(a, from, b, to, flags); }

int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!watched_name(folder, name, path)) return syscall(SYS_unlinkat, folder, name, flags);
    unsigned long inode = inode_at(path), parent = inode_of_parent(path);
    CHANGE(NAME, (int)syscall(SYS_unlinkat, folder, name, flags), -1,
           note(flags & AT_REMOVEDIR ? "rmdir" : "unlink", inode, parent, 0, 0, path, NULL, NULL, 0));
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    struct stat status;
    return fstatat(AT_FDCWD, name, &status, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(status.st_mode) ? unlink(name) : rmdir(name);
}

int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!watched_name(folder, name, path)) return syscall(SYS_mkdirat, folder, name, mode);
    CHANGE(CREATE, (int)syscall(SYS_mkdirat, folder, name, mode), -1,
           note("mkdir", inode_at(path), inode_of_parent(path), 0, 0, path, NULL, NULL, 0));
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char path[PATH_MAX], path2[PATH_MAX];
    int watched = watched_name(from_folder, from, path) & watched_name(to_folder, to, path2);
    if (!watched) return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    CHANGE(CREATE, (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags), -1,
           note("link", inode_at(path2), inode_of_parent(path2), 0, 0, path, path2, NULL, 0));
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
