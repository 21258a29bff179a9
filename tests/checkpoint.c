// checkpoint.c - checkpoints are complete or do not exist, also after kill -9 and on a full disk.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "base/atomic_file.h"
#include "trainer/checkpoint.h"
#include "trainer/metrics.h"
#include "trainer/run.h"
#include "trainer/sheet.h"

enum { SIZE = 400000, FOLDER = 200, PATH = 500, KILLS = 100 };

static char said[2000];

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    const size_t n = strlen(said);
    (void)priv;
    (void)level;
    snprintf(said + n, sizeof said - n, "%s\n", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_INFO };

static unsigned char weights[SIZE], moments[SIZE / 2];

// Contents computed from the step, so that a mixture of two steps is detected.
static void numbers(int64_t step)
{
    for (int i = 0; i < SIZE; i++) weights[i] = (unsigned char)(step * 31 + i * 7);
    for (int i = 0; i < SIZE / 2; i++) moments[i] = (unsigned char)(step * 17 + i * 3);
}

// As from a device, in parts.
static int put_weights(void *priv, struct clzt_blob_file *file)
{
    int ret = 0;
    (void)priv;
    for (int at = 0; at < SIZE && !ret; at += 70000)
        ret = clzt_blob_put(file, weights + at, SIZE - at < 70000 ? SIZE - at : 70000);
    return ret;
}

static int put_count(void *priv, struct clzt_blob_file *file) { return clzt_blob_put(file, weights, *(const size_t *)priv); }

static int save(const char *dir, int64_t step, int keep)
{
    const struct clzt_blob blobs[] = { { .name = "w", .size = SIZE, .put = put_weights },
                                       { .name = "adam.m", .data = moments, .size = SIZE / 2 }, { .name = "empty" } };
    char state[40];

    numbers(step);
    snprintf(state, sizeof state, "at %" PRId64 "\n", step);
    return clzt_checkpoint_save(dir, step, blobs, 3, state, keep, &listener);
}

// Loads the newest checkpoint and returns its step, or the error; -1000: the contents differ from what was saved.
static int64_t load(const char *dir)
{
    struct clzt_checkpoint *c;
    int ret;
    int64_t step;
    char state[40];
    const void *w, *m;

    said[0] = 0;
    if ((ret = clzt_checkpoint_load(&c, dir, &listener)) < 0) return ret;
    step = c->step;
    numbers(step);
    snprintf(state, sizeof state, "at %" PRId64 "\n", step);
    w = clzt_checkpoint_blob(c, "w", SIZE);
    m = clzt_checkpoint_blob(c, "adam.m", SIZE / 2);
    if (strcmp(c->state, state) || !w || memcmp(w, weights, SIZE) || !m || memcmp(m, moments, SIZE / 2) ||
        c->blob_count != 3 || !clzt_checkpoint_blob(c, "empty", 0) || clzt_checkpoint_blob(c, "w", SIZE - 1)) step = -1000;
    clzt_checkpoint_destroy(&c);
    return step;
}

static void damage(const char *dir, int64_t step, const char *file, long at)
{
    char path[PATH];
    FILE *f;
    int c;

    snprintf(path, sizeof path, "%s/step-%" PRId64 "/%s", dir, step, file);
    if (!(f = fopen(path, "r+b"))) return;
    fseek(f, at, SEEK_SET);
    c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void remove_tree(const char *dir)
{
    char command[PATH];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command)) printf("  %s: not removed\n", dir);
}

static void saves(const char *dir)
{
    int64_t steps[8];
    char path[PATH];

    CASE("checkpoint/none_yet");
    REQUIRE_INT(load(dir), -ENOENT);
    REQUIRE_INT(clzt_checkpoint_list(dir, steps, 8), 0);

    CASE("checkpoint/round_trip_and_keep");
    for (int64_t s = 1; s <= 5; s++) REQUIRE_INT(save(dir, s * 9, 3), 0);      // 9 and 45: ordered as numbers, not as names
    REQUIRE_INT(load(dir), 45);
    REQUIRE_STR(said, "");
    REQUIRE_INT(clzt_checkpoint_list(dir, steps, 8), 3);
    REQUIRE_INT(steps[0], 45);
    REQUIRE_INT(steps[2], 27);
    REQUIRE_INT(save(dir, 100, 3), 0);
    REQUIRE_INT(load(dir), 100);
    REQUIRE_INT(save(dir, 100, 3), 0);                                          // the same step again
    REQUIRE_INT(load(dir), 100);

    CASE("checkpoint/a_blob_has_the_bytes_that_were_announced");
    for (size_t count = 99; count <= 101; count += 2) {
        const struct clzt_blob blob = { .name = "w", .size = 100, .put = put_count, .priv = &count };
        REQUIRE_INT(clzt_checkpoint_save(dir, 200, &blob, 1, "", 3, NULL), -EINVAL);
    }
    REQUIRE_INT(load(dir), 100);

    CASE("checkpoint/damaged_falls_back_and_says_so");
    damage(dir, 100, "w", SIZE / 2);
    REQUIRE_INT(load(dir), 45);
    REQUIRE(strstr(said, "step-100") && strstr(said, "w is damaged"));
    damage(dir, 45, "state", 0);
    REQUIRE_INT(load(dir), 36);
    damage(dir, 36, "manifest", 60);
    REQUIRE_INT(load(dir), -EBADMSG);
    REQUIRE_INT(save(dir, 50, 3), 0);                                           // deletes the damaged newer ones
    REQUIRE_INT(load(dir), 50);
    REQUIRE_STR(said, "");
    snprintf(path, sizeof path, "%s/step-50/adam.m", dir);
    REQUIRE(!truncate(path, 1000));
    REQUIRE_INT(load(dir), -EBADMSG);
    REQUIRE_INT(save(dir, 51, 1), 0);
    REQUIRE_INT(clzt_checkpoint_list(dir, steps, 8), 1);

    CASE("checkpoint/names_stay_in_the_folder");
    REQUIRE_INT(clzt_checkpoint_save(dir, 60, &(struct clzt_blob){ .name = "../x" }, 1, "", 1, NULL), -EINVAL);
    REQUIRE_INT(clzt_checkpoint_save(dir, 60, &(struct clzt_blob){ .name = "state" }, 1, "", 1, NULL), -EINVAL);
    REQUIRE_INT(load(dir), 51);
    remove_tree(dir);
}

static int count_temporaries(const char *dir)
{
    char command[PATH];
    FILE *f;
    int n = -1;

    snprintf(command, sizeof command, "ls -A '%s' | grep -c tmp", dir);
    if (!(f = popen(command, "r"))) return -1;
    if (fscanf(f, "%d", &n) != 1) n = -1;
    pclose(f);
    return n;
}

// Files whose names look like a step, beside valid checkpoints and alone.
static void strays(const char *dir)
{
    int64_t steps[8];
    char path[PATH];

    CASE("checkpoint/stray_names_hide_nothing");
    REQUIRE_INT(save(dir, 6, 3), 0);
    snprintf(path, sizeof path, "%s/step-007", dir);
    REQUIRE(!mkdir(path, 0777));
    REQUIRE_INT(clzt_checkpoint_list(dir, steps, 8), 1);
    REQUIRE_INT(load(dir), 6);
    REQUIRE_STR(said, "");
    snprintf(path, sizeof path, "%s/step-9", dir);
    REQUIRE(!symlink("nowhere", path));
    REQUIRE_INT(load(dir), 6);
    REQUIRE(strstr(said, "step-9: not a checkpoint"));
    REQUIRE_INT(save(dir, 8, 3), 0);                                            // newer checkpoints are deleted
    REQUIRE_INT(clzt_checkpoint_list(dir, steps, 8), 2);
    REQUIRE_INT(count_temporaries(dir), 0);
    remove_tree(dir);

    CASE("checkpoint/stray_alone_is_not_none");
    REQUIRE(!mkdir(dir, 0777) && !symlink("nowhere", path));
    REQUIRE_INT(load(dir), -EBADMSG);
    REQUIRE(strstr(said, "none of its checkpoints can be read"));
    remove_tree(dir);
}

static void writer(const char *dir, int64_t step)
{
    for (;; step++)
        if (save(dir, step, 2)) _exit(1);
}

static void killed(const char *dir)
{
    int64_t last = 0, got;
    int lost = 0, wrong = 0, torn = 0, died = 0;

    CASE("checkpoint/100_kills_always_loadable");
    REQUIRE_INT(save(dir, 0, 2), 0);
    srand(1);
    for (int i = 0; i < KILLS; i++) {
        const long us = 500 + rand() % (last ? 20000 : 20000 * (i + 1));      // increases until a busy machine reaches a save
        int status;
        const pid_t pid = fork();
        if (!pid) writer(dir, last + 1);
        nanosleep(&(struct timespec){ 0, us * 1000 }, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        died += WIFEXITED(status);
        torn += count_temporaries(dir) > 0;
        got = load(dir);
        if (got < 0) wrong++;
        else if (got < last) lost++;
        if (got > last) last = got;
    }
    printf("  %d kills, %d in the middle of a save, %" PRId64 " steps saved\n", KILLS, torn, last);
    REQUIRE_INT(wrong, 0);
    REQUIRE_INT(lost, 0);
    REQUIRE_INT(died, 0);
    REQUIRE(torn > 0 && last > 0);
    REQUIRE_INT(count_temporaries(dir), 0);                                     // removed
    remove_tree(dir);
}

static void limited(const char *dir)        // in a child process; its exit status says which check failed
{
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){ SIZE / 2, SIZE / 2 })) _exit(77);
    _exit(-save(dir, 2, 2) & 127);
}

static void on_small_disk(const char *dir)
{
    char inside[PATH];
    int64_t steps[4];

    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) _exit(77);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=1200k")) _exit(77);
    snprintf(inside, sizeof inside, "%s/ckpt", dir);
    if (save(inside, 1, 0)) _exit(1);                                           // 600 kB fit once
    if (save(inside, 2, 0) != -ENOSPC) _exit(2);
    if (load(inside) != 1) _exit(3);
    if (save(inside, 3, 1) != -ENOSPC || load(inside) != 1) _exit(4);           // the only checkpoint is kept
    if (umount(dir)) _exit(77);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=1700k")) _exit(77);               // two fit
    if (save(inside, 1, 3) || save(inside, 2, 3)) _exit(5);
    if (save(inside, 3, 0) != -ENOSPC || clzt_checkpoint_list(inside, steps, 4) != 2) _exit(6);    // keep 0: none is deleted
    if (save(inside, 3, 3) || clzt_checkpoint_list(inside, steps, 4) != 2 || load(inside) != 3) _exit(7);
    damage(inside, 3, "w", 0);
    if (save(inside, 4, 3) != -ENOSPC || load(inside) != 2) _exit(8);           // the last valid one is kept
    _exit(0);
}

static int run(void (*child)(const char *), const char *dir)
{
    const pid_t pid = fork();
    int status = -1;

    if (!pid) child(dir);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void full(const char *dir)
{
    int ret;

    CASE("checkpoint/write_error_keeps_the_old");
    REQUIRE_INT(save(dir, 1, 2), 0);
    REQUIRE_INT(run(limited, dir), EFBIG);
    REQUIRE_INT(load(dir), 1);
    REQUIRE_INT(count_temporaries(dir), 0);
    remove_tree(dir);

    CASE("checkpoint/full_disk_keeps_the_old");
    mkdir(dir, 0777);
    ret = run(on_small_disk, dir);
    if (ret == 77) printf("  not tried: mounting a small disk takes rights this user does not have\n");
    else REQUIRE_INT(ret, 0);
    remove_tree(dir);
}

static void stopped(const char *dir)
{
    static uint8_t rgb[32 * 32 * 3];
    const int stop = 1, go = 0;
    volatile int save_now = 0;
    struct clzt_recipe *r = NULL;
    char path[PATH], text[PATH + 10];
    struct stat st;

    CASE("run/stopped_before_the_first_step_writes_nothing");
    mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/a.png", dir);
    REQUIRE_INT(clzt_png_write(path, rgb, 32, 32, 96, NULL), 0);
    REQUIRE_INT(clzt_recipe_create(&r), 0);
    snprintf(text, sizeof text, "train=%s", path);
    REQUIRE_INT(clzt_recipe_set(r, text, NULL), 0);
    snprintf(text, sizeof text, "run=%s", dir);
    REQUIRE_INT(clzt_recipe_set(r, text, NULL), 0);
    REQUIRE(!clzt_recipe_set(r, "cache=none", NULL) && !clzt_recipe_set(r, "threads=1", NULL));
    REQUIRE(!clzt_recipe_set(r, "size=32", NULL) && !clzt_recipe_set(r, "batch=1", NULL));
    REQUIRE_INT(clzt_recipe_check(r, NULL), 0);
    said[0] = 0;
    REQUIRE_INT(clzt_run(r, &listener, NULL, &stop, &save_now), -ECANCELED);
    REQUIRE(strstr(said, "parameters"));                                        // set-up was complete
    snprintf(path, sizeof path, "%s/model.bin", dir);
    REQUIRE(stat(path, &st));
    snprintf(path, sizeof path, "%s/ckpt", dir);
    REQUIRE_INT(load(path), -ENOENT);

    CASE("run/a_model_without_checkpoints_is_not_replaced");
    snprintf(path, sizeof path, "%s/model.bin", dir);
    REQUIRE_INT(clzi_file_replace(path, "as it was", 9, NULL), 0);
    REQUIRE_INT(clzt_run(r, &listener, NULL, &go, &save_now), -EEXIST);
    REQUIRE(strstr(said, path) && strstr(said, "step 0"));
    REQUIRE(!stat(path, &st) && st.st_size == 9);
    clzt_recipe_destroy(&r);
    remove_tree(dir);
}

static void columns(void)
{
    char column[40];

    CASE("run/column_of_a_loss");           // each score's name gets the prefix, not l1 only
    for (int i = 0; clzt_score_list[i].name; i++) {
        char want[40];
        snprintf(want, sizeof want, "train_%s", clzt_score_list[i].name);
        clzt_run_column(column, sizeof column, clzt_score_list[i].name);
        REQUIRE_STR(column, want);
    }
    clzt_run_column(column, sizeof column, "chroma");
    REQUIRE_STR(column, "chroma");
}

int main(void)
{
    const char *where = getenv("TMPDIR");
    char folder[FOLDER], dir[FOLDER + 10];

    snprintf(folder, sizeof folder, "%s/colorize-checkpoint-XXXXXX", where ? where : P_tmpdir);
    if (!mkdtemp(folder)) SKIP("no folder for temporary files");
    snprintf(dir, sizeof dir, "%s/ckpt", folder);
    saves(dir);
    strays(dir);
    killed(dir);
    full(dir);
    stopped(dir);
    columns();
    rmdir(folder);
    return check_end();
}
