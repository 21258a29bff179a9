// atomic_file.c - output files have the old or the new content; links are followed, nodes are not replaced.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "check.h"
#include "base/atomic_file.h"

enum { PATH = 300 };

static char folder[PATH - 60], said[1000];

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv;
    (void)level;
    snprintf(said, sizeof said, "%s", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_INFO };

static char *in_folder(char path[PATH], const char *name)
{
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...)
{
    char command[2 * PATH];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

static void holds(const char *name, const char *want)
{
    char path[PATH], text[100] = "";
    FILE *f = fopen(in_folder(path, name), "rb");

    REQUIRE(f);
    if (!f) return;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    REQUIRE_STR(text, want);
}

static int replace(const char *name, const char *text)
{
    char path[PATH];
    said[0] = 0;
    return clzi_file_replace(in_folder(path, name), text, strlen(text), &listener);
}

static mode_t mode_of(const char *name)                        // of a link, not its target; 0: it does not exist
{
    char path[PATH];
    struct stat st;
    return lstat(in_folder(path, name), &st) ? 0 : st.st_mode;
}

static bool no_temporaries(void) { return !shell("! find '%s' -name '*.tmp.*' | grep -q .", folder); }

static void regular(void)
{
    struct rlimit limit, small;
    char path[PATH];

    CASE("atomic_file/whole_or_old");
    REQUIRE_INT(replace("file", "first"), 0);
    REQUIRE_INT(replace("file", "second"), 0);
    holds("file", "second");
    chmod(in_folder(path, "file"), 0640);
    REQUIRE_INT(replace("file", "third"), 0);
    holds("file", "third");
    REQUIRE_INT(mode_of("file") & 07777, 0640);
    signal(SIGXFSZ, SIG_IGN);               // as on a disk that is full after 2 bytes
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){ 2, limit.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    REQUIRE_INT(replace("file", "fourth"), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &limit);
    REQUIRE(strstr(said, path) && strstr(said, "too large"));
    holds("file", "third");
    REQUIRE(no_temporaries());

    CASE("atomic_file/refused");
    REQUIRE_INT(replace("none/file", ""), -ENOENT);
    REQUIRE(strstr(said, "none/file: cannot be written: No such file"));
    mkdir(in_folder(path, "sub"), 0777);
    REQUIRE_INT(replace("sub", "x"), -EISDIR);
    REQUIRE_INT(replace("sub/", "x"), -EISDIR);
    REQUIRE(S_ISDIR(mode_of("sub")));
    REQUIRE(no_temporaries());
}

static void links(void)
{
    char path[PATH];

    CASE("atomic_file/links_are_followed");
    REQUIRE(!symlink("../file", in_folder(path, "sub/link")) && !symlink("sub/link", in_folder(path, "links")));
    REQUIRE_INT(replace("links", "by two links"), 0);
    holds("file", "by two links");
    REQUIRE(S_ISLNK(mode_of("links")) && S_ISLNK(mode_of("sub/link")) && S_ISREG(mode_of("file")));
    REQUIRE(!symlink("sub/new", in_folder(path, "dangling")));
    REQUIRE_INT(replace("dangling", "new"), 0);
    holds("sub/new", "new");
    REQUIRE(S_ISLNK(mode_of("dangling")));
    REQUIRE(!symlink("round", in_folder(path, "round")));
    REQUIRE_INT(replace("round", "x"), -ELOOP);
    REQUIRE(no_temporaries());

    CASE("atomic_file/sweep");
    REQUIRE(!shell("cd '%s' && touch file.tmp.1 file.tmp.22 file.tmp.x file.tmp. other.tmp.3 sub/a.tmp.4", folder));
    clzi_file_sweep(in_folder(path, "links"));
    REQUIRE(!mode_of("file.tmp.1") && !mode_of("file.tmp.22"));
    REQUIRE(mode_of("file") && mode_of("file.tmp.x") && mode_of("file.tmp.") && mode_of("other.tmp.3"));
    clzi_file_sweep(in_folder(path, "sub/"));
    REQUIRE(!mode_of("sub/a.tmp.4") && mode_of("sub/new"));
}

static void *read_all(void *arg)
{
    static char text[100];
    const int fd = open(arg, O_RDONLY);
    ssize_t n, at = 0;

    while (fd >= 0 && (n = read(fd, text + at, sizeof text - 1 - at)) > 0) at += n;
    close(fd);
    text[at] = 0;
    return text;
}

static void nodes(void)
{
    char path[PATH], text[PATH];
    pthread_t reader;
    void *got = NULL;
    int ends[2], fd;

    CASE("atomic_file/fifo_is_written_through");
    REQUIRE(!mkfifo(in_folder(path, "fifo"), 0600) && !symlink("fifo", in_folder(text, "to_fifo")));
    for (int i = 0; i < 2; i++) {
        REQUIRE(!pthread_create(&reader, NULL, read_all, path));
        REQUIRE_INT(replace(i ? "to_fifo" : "fifo", "down the pipe"), 0);
        pthread_join(reader, &got);
        REQUIRE_STR((char *)got, "down the pipe");
        REQUIRE(S_ISFIFO(mode_of("fifo")));
    }

    CASE("atomic_file/descriptors");        // /dev/stdout is a link to such
    REQUIRE(!pipe(ends));
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    REQUIRE_INT(clzi_file_replace(path, "through", 7, NULL), 0);
    REQUIRE_INT(read(ends[0], text, sizeof text), 7);
    close(ends[0]);
    close(ends[1]);
    fd = open(in_folder(text, "file"), O_RDWR | O_TRUNC);       // as in { echo; colorize-train export RUN /dev/stdout; } >file
    REQUIRE_INT(write(fd, "head ", 5), 5);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    REQUIRE_INT(clzi_file_replace(path, "body", 4, NULL), 0);
    REQUIRE_INT(write(fd, " foot", 5), 5);
    close(fd);
    holds("file", "head body foot");

    CASE("atomic_file/device_node_stays");  // made here, not the system's
    if (mknod(in_folder(path, "null"), S_IFCHR | 0600, makedev(1, 3)) || (fd = open(path, O_WRONLY)) < 0) {
        printf("  skip: making device nodes takes rights this user or folder does not have\n");
    } else {
        close(fd);
        REQUIRE(!symlink("null", in_folder(text, "to_null")));
        REQUIRE_INT(replace("null", "gone"), 0);
        REQUIRE_INT(replace("to_null", "gone"), 0);
        REQUIRE(S_ISCHR(mode_of("null")) && S_ISLNK(mode_of("to_null")));
    }
    REQUIRE(!shell("! find '%s' -name 'null.tmp.*' -o -name 'fifo.tmp.*' | grep -q .", folder));
}

int main(void)
{
    const char *where = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/colorize-atomic-XXXXXX", where ? where : P_tmpdir);
    if (!mkdtemp(folder)) SKIP("no folder for temporary files");
    umask(022);
    alarm(60);                              // in case an open of a FIFO blocks
    regular();
    links();
    nodes();
    REQUIRE(!shell("rm -rf '%s'", folder));
    return check_end();
}
