// film.c - one job: opening, claiming, rendering, committing.
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "answers.h"
#include "film.h"
#include "hash.h"
#include "paths.h"
#include "provenance.h"
#include "sheet.h"
#include "verify.h"

enum { LEAST_FREE = 32 << 20 };             // bytes; with less a running job stops
static const int answers_size = 200 << 10;  // bytes of a frame's answer: 456x256, f32, packed
#define KEY_VERSION "2"

// ---- small things ----

int clzb_film_fail(struct clzb_film *film, int code, const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&film->mutex);
    va_start(args, format);
    vsnprintf(film->reason, sizeof film->reason, format, args);
    va_end(args);
    if (film->log_file) fprintf(film->log_file, "colorize-batch: %s\n", film->reason);
    pthread_mutex_unlock(&film->mutex);
    return code;
}

// Messages of functions that log become the reason.
static void keep_reason(void *priv, enum clz_log_level level, const char *msg)
{
    struct clzb_film *film = priv;

    if (level == CLZ_LOG_ERROR) clzb_film_fail(film, 0, "%s", msg);
}

int clzb_film_path(const struct clzb_film *film, char path[PATH_MAX], const char *name)
{
    return snprintf(path, PATH_MAX, "%s/%s", film->folder, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

// What stays in the folder when work begins again. "old", the pictures that are being replaced, stays until the film is done.
static bool is_log_or_old(const char *name)
{
    return !strcmp(name, "log") || !strcmp(name, "old") || clzb_answers_is_kept(name);
}
static bool is_kept(const char *name) { return is_log_or_old(name) || !strncmp(name, "piece-", 6); }
static bool is_old(const char *name) { return !strcmp(name, "old"); }

// ---- the claim ----

static void drop(struct clzb_film *film)
{
    pthread_mutex_lock(&film->shelf->claims);
    clzb_claim_drop(&film->claim);
    pthread_mutex_unlock(&film->shelf->claims);
}

int clzb_film_renew(struct clzb_film *film)
{
    int ret = 0;

    pthread_mutex_lock(&film->shelf->claims);
    if (film->claim.fd >= 0) ret = clzb_claim_renew(&film->claim);
    pthread_mutex_unlock(&film->shelf->claims);
    return ret;
}

// ---- opening ----

// By the journal's row, and the film's size.
static bool is_done(const struct clzb_film *film)
{
    int64_t size;
    return film->row.state == CLZB_DONE && !strcmp(film->row.key, film->key) && !clzb_size_of(film->job->out, &size) &&
           size == film->row.size;
}

static void add_key(struct clzi_sha256 *hash, const char *name, const char *value)
{
    clzi_sha256_update(hash, name, strlen(name) + 1);
    clzi_sha256_update(hash, value ? value : "", value ? strlen(value) + 1 : 1);
}

// A file that results depend on is known by its content, as the model is. A fault in reading it is none of the film.
static int add_file(struct clzb_film *film, struct clzi_sha256 *hash, const char *name, const char *path)
{
    char hex[65];
    int64_t size;
    const int ret = clzb_hash_path(path, hex, &size);

    if (!ret) return add_key(hash, name, hex), 0;
    film->blameless = true;
    return clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
}

struct sheet_hash { struct clzb_film *film; struct clzi_sha256 *hash; };

static int add_file_of_sheet(void *priv, const char *key, const char *path)
{
    const struct sheet_hash *s = priv;
    return add_file(s->film, s->hash, key, path);
}

// The sheet, and the files that it names.
static int add_sheet(struct clzb_film *film, struct clzi_sha256 *hash, const char *path)
{
    struct sheet_hash s = { film, hash };
    struct clz_log log = { keep_reason, film, CLZ_LOG_ERROR };
    int ret = add_file(film, hash, "sheet", path);

    if (!ret && (ret = clzb_sheet_files(path, add_file_of_sheet, &s, &log)) < 0) film->blameless = true;
    return ret;
}

// What the coloured film depends on. Streams and pixel format follow from the film and the preset, so a film that is done need
// not be probed again. A change of preset.c or streams.c that changes results raises KEY_VERSION.
static int make_key(struct clzb_film *film)
{
    const struct clzb_job *job = film->job;
    const char *const *encoder = job->encoder.count ? (const char *const *)job->encoder.item : job->preset->encoder;
    struct clzi_sha256 hash;
    int ret = 0;

    clzi_sha256_init(&hash);
    add_key(&hash, "colorize-batch", KEY_VERSION);
    add_key(&hash, "film", film->fingerprint);
    add_key(&hash, "model", film->model_sha);
    for (int i = 0; i < job->options.count && !ret; i++) {
        const char *const option = job->options.item[i];
        if (!strncmp(option, "cuts=", 5) && option[5]) ret = add_file(film, &hash, "cuts", option + 5);
        else if (!strncmp(option, "hints=", 6) && option[6]) ret = add_file(film, &hash, "hints", option + 6);
        else if (!strncmp(option, "sheet=", 6) && option[6]) ret = add_sheet(film, &hash, option + 6);
        else add_key(&hash, "option", option);
    }
    if (ret) return ret;
    add_key(&hash, "preset", job->encoder.count ? NULL : job->preset->name);
    for (; encoder && *encoder; encoder++) add_key(&hash, "encoder", *encoder);
    add_key(&hash, "container", film->container->name);
    add_key(&hash, "rate", job->rate);
    clzi_sha256_hex(&hash, film->key);
    return 0;
}

int clzb_film_open(struct clzb_film *film, struct clzb_shelf *shelf, const struct clzb_job *job)
{
    struct clz_log log = { keep_reason, film, CLZ_LOG_ERROR };
    struct clzi_sha256 hash;
    char hex[65], folder[PATH_MAX];
    int64_t size;
    int ret;

    *film = (struct clzb_film){ .shelf = shelf, .job = job, .claim = { .fd = -1 } };
    pthread_mutex_init(&film->mutex, NULL);
    film->container = job->container ? job->container : clzb_container_find(job->preset->container);
    clzi_sha256_init(&hash);
    clzb_folder_of(job->out, folder);       // the name is enough: the folder may have other paths on other hosts
    clzi_sha256_update(&hash, strrchr(job->out, '/') + 1, strlen(strrchr(job->out, '/') + 1));
    clzi_sha256_hex(&hash, hex);
    if (snprintf(film->folder, sizeof film->folder, "%s/.colorize-%.16s", folder, hex) >= PATH_MAX - 32)
        return clzb_film_fail(film, -ENAMETOOLONG, "%s: the path is too long.", job->out);
    if ((ret = clzb_fingerprint(job->in, film->fingerprint)) < 0)
        return clzb_film_fail(film, ret, "%s: %s.", job->in, strerror(-ret));
    if (!shelf->model || strcmp(shelf->model, job->model)) {
        free(shelf->model);
        shelf->model = NULL;
        film->blameless = true;
        if ((ret = clzb_hash_path(job->model, shelf->model_sha, &size)) < 0)
            return clzb_film_fail(film, ret, "%s: %s.", job->model, strerror(-ret));
        shelf->model = strdup(job->model);
        film->blameless = false;
    }
    memcpy(film->model_sha, shelf->model_sha, sizeof film->model_sha);
    if ((ret = make_key(film)) < 0) return ret;
    if (clzb_journal_get(shelf->journal, job->out, &film->row) < 0)
        return clzb_film_fail(film, -EIO, "the journal cannot be read.");
    if (is_done(film)) return 1;
    if ((ret = clzb_probe(&film->probe, shelf->ffmpeg.ffprobe, job->in, job->rate ? job->rate : "24", &log)) < 0) return ret;
    clzb_streams_map(&film->mapping, &film->probe, film->container);
    if (!job->encoder.count) film->format = clzb_preset_format(job->preset, film->probe.format, &film->out_range);
    for (int i = 0; i < job->options.count; i++)
        if (!strncmp(job->options.item[i], "out_range=", 10)) film->out_range = NULL;
    if (*film->container->extension) snprintf(film->part_input, sizeof film->part_input, "film");
    else snprintf(film->part_input, sizeof film->part_input, "film/%%08d.%s", film->container->name);
    return 0;
}

void clzb_film_close(struct clzb_film *film)
{
    drop(film);
    if (film->log_file) fclose(film->log_file);
    film->log_file = NULL;
    clzb_frames_clear(&film->in);
    clzb_frames_clear(&film->out);
    clzb_args_clear(&film->mapping.args);
    free(film->piece);
    film->piece = NULL;
    pthread_mutex_destroy(&film->mutex);
}

// Not the film's fault: it is not counted, and trying again at once would not help.
static bool of_the_place(int ret)
{
    return ret == -ENOSPC || ret == -EROFS || ret == -EACCES || ret == -EDQUOT || ret == -ENOMEM;
}

void clzb_film_refuse(struct clzb_film *film, int ret)
{
    struct clzb_row row;

    if (clzb_journal_get(film->shelf->journal, film->job->out, &row) < 0 || row.state == CLZB_DONE) return;
    // A film that is not there or on a disk that cannot be read today may be there tomorrow.
    if (!of_the_place(ret) && ret != -ENOENT && ret != -EIO && !film->blameless) row.tries++;
    row.state = row.tries >= CLZB_MAX_TRIES ? CLZB_QUARANTINED : CLZB_FAILED;
    row.ended = time(NULL);
    snprintf(row.host, sizeof row.host, "%s", film->shelf->host);
    snprintf(row.reason, sizeof row.reason, "%s", film->reason);
    clzb_journal_put(film->shelf->journal, film->job->out, film->job->in, &row);
}

// ---- claiming ----

// Takes a finished film that another host or an older journal has made: the side-car has the job's key, and the film its size.
static int adopt(struct clzb_film *film)
{
    struct clzb_row row;
    char path[PATH_MAX];
    int64_t size;

    snprintf(path, sizeof path, "%s.json", film->job->out);
    if (clzb_provenance_key(path, &row) < 0 || strcmp(row.key, film->key)) return 0;
    if (clzb_size_of(film->job->out, &size) < 0 || size != row.size) return 0;
    row.state = CLZB_DONE;
    row.ended = time(NULL);
    snprintf(row.host, sizeof row.host, "%s", film->shelf->host);
    film->row = row;
    return clzb_journal_put(film->shelf->journal, film->job->out, film->job->in, &row) < 0 ? -EIO : 1;
}

// Whether the output is that of another film, which is still there. It is not replaced: two films may differ only in what the
// output's name leaves out.
static int check_source(struct clzb_film *film)
{
    char *source = NULL;
    int ret = clzb_journal_source(film->shelf->journal, film->job->out, &source);

    if (!ret && source && strcmp(source, film->job->in) && !access(source, F_OK) && !access(film->job->out, F_OK) &&
        !film->shelf->overwrite)
        ret = clzb_film_fail(film, -EEXIST, "%s: is that of %s; --overwrite replaces it.", film->job->out, source);
    free(source);
    return ret;
}

static bool has_content(const char *path, const struct clzb_row *row)
{
    char hex[65];
    int64_t size;

    return !clzb_size_of(path, &size) && size == row->size && !clzb_hash_path(path, hex, &size) && !strcmp(hex, row->sha256);
}

// Whether the output is, byte for byte, what a batch has made: by the journal, its side-car, or a side-car that has not got its
// name yet.
static bool is_as_made(const struct clzb_film *film, const char *side)
{
    struct clzb_row row;
    char path[PATH_MAX];

    if ((film->row.state == CLZB_DONE || film->row.state == CLZB_VERIFIED) && has_content(film->job->out, &film->row))
        return true;
    if (!clzb_provenance_key(side, &row) && has_content(film->job->out, &row)) return true;
    clzb_film_path(film, path, "side.json");
    return !clzb_provenance_key(path, &row) && has_content(film->job->out, &row);
}

// A log of a batch begins with ffmpeg's command line or a message of its own.
static bool is_own_log(const char *path)
{
    static const char *const beginnings[] = { "$ '", "colorize-batch: " };
    FILE *file = fopen(path, "re");
    char text[32] = "";
    bool own = !file && errno == ENOENT;

    if (!file) return own;
    own = !fread(text, 1, sizeof text - 1, file);
    fclose(file);
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        own |= !strncmp(text, beginnings[i], strlen(beginnings[i]));
    return own;
}

// Whether the output, its side-car and its log may be replaced. Pictures are replaced as a folder, so it must hold nothing else,
// even with --overwrite.
static int check_output(struct clzb_film *film)
{
    const char *const out = film->job->out, *const extension = film->container->name;
    const bool pictures = !*film->container->extension;
    char side[PATH_MAX], log[PATH_MAX], answers[PATH_MAX];
    struct clzb_row row;
    struct stat st;
    const bool exists = !lstat(out, &st);

    if (exists && pictures && (!S_ISDIR(st.st_mode) || !clzb_only_pictures(out, extension)))
        return clzb_film_fail(film, -EEXIST, "%s: is not replaced: it is not a folder that holds only pictures named as "
                              "00000001.%s.", out, extension);
    if (exists && !pictures && S_ISDIR(st.st_mode)) return clzb_film_fail(film, -EISDIR, "%s: is a folder.", out);
    if (film->shelf->overwrite) return 0;
    snprintf(side, sizeof side, "%s.json", out);
    snprintf(log, sizeof log, "%s.log", out);
    if (exists && !is_as_made(film, side))
        return clzb_film_fail(film, -EEXIST, "%s: exists, and is not of a batch or was changed since; --overwrite replaces it.",
                              out);
    if (!access(side, F_OK) && clzb_provenance_key(side, &row) < 0)
        return clzb_film_fail(film, -EEXIST, "%s: exists, and is no side-car; --overwrite replaces it.", side);
    snprintf(answers, sizeof answers, "%s.answers", out);
    if (film->job->answers && !clzb_answers_may_replace(answers))
        return clzb_film_fail(film, -EEXIST, "%s: exists, and is no file of answers; --overwrite replaces it.", answers);
    if (!is_own_log(log))
        return clzb_film_fail(film, -EEXIST, "%s: exists, and is no log of a batch; --overwrite replaces it.", log);
    return 0;
}

// A film that was verified by a run whose journal is not at hand: its side-car is there, under its first name.
static void take_verified(struct clzb_film *film)
{
    struct clzb_row row;
    char path[PATH_MAX];

    if (film->row.state == CLZB_VERIFIED || film->row.state == CLZB_QUARANTINED) return;
    clzb_film_path(film, path, "side.json");
    if (clzb_provenance_key(path, &row) < 0 || strcmp(row.key, film->key)) return;
    row.state = CLZB_VERIFIED;
    row.attempt = film->row.attempt;
    row.tries = film->row.tries;
    film->row = row;
}

// 1: done already; 0: not; negative: must not be done. claimed: looks at the output, too, which may take reading all of it.
static int look(struct clzb_film *film, bool claimed)
{
    const struct clzb_job *job = film->job;
    int ret;

    if (clzb_journal_get(film->shelf->journal, job->out, &film->row) < 0)
        return clzb_film_fail(film, -EIO, "the journal cannot be read.");
    if (is_done(film)) return 1;
    // Only with the claim: a run that has given the film its name may not have said so in the journal yet.
    if (claimed && (ret = adopt(film))) return ret;
    if ((ret = check_source(film)) < 0) return ret;
    if (claimed && (ret = check_output(film)) < 0) return ret;
    if (strcmp(film->row.key, film->key) || film->row.state == CLZB_DONE) {        // other film, model, options; or it is gone
        const int attempt = film->row.attempt;
        film->row = (struct clzb_row){ .attempt = attempt };
        memcpy(film->row.key, film->key, sizeof film->row.key);
    }
    if (film->row.state == CLZB_QUARANTINED && !film->shelf->retry)
        return clzb_film_fail(film, -ECANCELED, "quarantined after %d failures: %.300s", film->row.tries, film->row.reason);
    if (film->row.state == CLZB_QUARANTINED) film->row.tries = 0;
    if (claimed) take_verified(film);
    return 0;
}

static int claim(struct clzb_film *film)
{
    char path[PATH_MAX], folder[PATH_MAX], holder[300];
    int ret;

    clzb_folder_of(film->job->out, folder);
    if ((ret = clzb_make_folders(folder)) < 0) return clzb_film_fail(film, ret, "%s: %s.", folder, strerror(-ret));
    snprintf(path, sizeof path, "%s", film->folder);
    snprintf(path + strlen(path), sizeof path - strlen(path), ".claim");
    pthread_mutex_lock(&film->shelf->claims);
    ret = clzb_claim_take(&film->claim, path, film->shelf->host, holder, sizeof holder);
    pthread_mutex_unlock(&film->shelf->claims);
    if (ret == -EBUSY) return clzb_film_fail(film, ret, "another run works on it (%s).", holder);
    if (ret < 0) return clzb_film_fail(film, ret, "%s: %s.", folder, strerror(-ret));
    return 0;
}

// Whether what the journal calls verified is there: the part file, or, where the run died after the rename, the film itself.
static bool verified_is_there(struct clzb_film *film)
{
    char path[PATH_MAX], side[PATH_MAX];

    clzb_film_path(film, path, "film");
    clzb_film_path(film, side, "side.json");
    if (!access(path, F_OK)) return !access(side, F_OK) && has_content(path, &film->row);
    return has_content(film->job->out, &film->row);
}

// Pictures that a run had moved away when it died before the new ones got their name.
static void put_old_back(struct clzb_film *film)
{
    char old[PATH_MAX];

    clzb_film_path(film, old, "old");
    if (!access(old, F_OK) && access(film->job->out, F_OK)) rename(old, film->job->out);
}

int clzb_film_begin(struct clzb_film *film)
{
    char path[PATH_MAX];
    int ret;

    film->reason[0] = film->first_error[0] = 0;
    film->errors = 0;
    film->from_file = film->from_network = 0;
    film->colouring = 0;
    atomic_store(&film->done, 0);
    atomic_store(&film->lost, false);
    if ((ret = look(film, false))) return ret;
    if ((ret = claim(film)) < 0) return ret;
    put_old_back(film);
    if ((ret = look(film, true))) goto fail;            // it may have been done between the look and the claim
    if (mkdir(film->folder, 0777) && errno != EEXIST) {
        ret = clzb_film_fail(film, -errno, "%s: %s.", film->folder, strerror(errno));
        goto fail;
    }
    if (film->row.state != CLZB_VERIFIED || !verified_is_there(film)) {
        clzb_empty_folder(film->folder, film->job->segments ? is_kept : is_log_or_old);
        mkdir(film->folder, 0777);
        if ((ret = clzb_answers_begin(film)) < 0) goto fail;
        film->row.state = CLZB_RUNNING;
        film->row.attempt++;
    }
    clzb_film_path(film, path, "log");
    if (!(film->log_file = fopen(path, "ae"))) {
        ret = clzb_film_fail(film, -errno, "%s: %s.", path, strerror(errno));
        goto fail;
    }
    snprintf(film->row.host, sizeof film->row.host, "%s", film->shelf->host);
    film->row.pid = getpid();
    film->row.reason[0] = 0;
    film->started = clzi_now();
    if (film->row.state == CLZB_VERIFIED) return 0;
    if ((ret = clzb_journal_put(film->shelf->journal, film->job->out, film->job->in, &film->row)) < 0) goto fail;
    return 0;
fail:
    drop(film);
    return ret;
}

// ---- ffmpeg ----

static int tick(void *priv)
{
    struct clzb_film *film = priv;
    struct statvfs fs;

    if (atomic_load(film->shelf->stop)) return -EINTR;
    if (atomic_load(&film->lost)) return -ESTALE;
    if (!statvfs(film->folder, &fs) && (double)fs.f_bavail * fs.f_frsize < LEAST_FREE)
        return -ENOSPC;
    return 0;
}

const char clzb_film_damaged[] = "the film is damaged (damage: keep colours it all the same)";

int clzb_film_ffmpeg(struct clzb_film *film, const struct clzb_args *args, _Atomic int64_t *frames, const char *blame)
{
    struct clzb_ffmpeg_run run = { .args = args, .folder = film->folder, .log_file = film->log_file, .tick = tick, .priv = film,
                                   .frames = frames };
    const int ret = clzb_ffmpeg_run(&run);

    if ((ret == -EIO || ret == -ENOSPC) && *run.error) return clzb_film_fail(film, ret, "%.380s", run.error);
    if (ret == -ENOSPC) return clzb_film_fail(film, ret, "%.300s: the disk is full.", film->folder);
    if (ret < 0) return ret == -EINTR || ret == -ESTALE ? ret : clzb_film_fail(film, ret, "ffmpeg: %s.", strerror(-ret));
    if (run.errors && !film->job->keep_damaged) return clzb_film_fail(film, -EBADMSG, "%s: %.280s", blame, run.error);
    pthread_mutex_lock(&film->mutex);
    if (*run.device) snprintf(film->device, sizeof film->device, "%s", run.device);
    if (*run.luma) snprintf(film->luma, sizeof film->luma, "%s", run.luma);
    film->from_file += run.from_file;
    film->from_network += run.from_network;
    if (run.errors && !film->errors) snprintf(film->first_error, sizeof film->first_error, "%s", run.error);
    film->errors += run.errors;
    pthread_mutex_unlock(&film->mutex);
    return 0;
}

void clzb_film_input(const struct clzb_film *film, struct clzb_args *args)
{
    if (film->probe.sequence) {
        clzb_args_list(args, (const char *const[]){ "-f", "image2", "-framerate", film->job->rate ? film->job->rate : "24",
                                                    "-start_number", NULL });
        clzb_args_add(args, "%d", film->probe.first);
    }
    clzb_args_add(args, "-i");
    if (!film->probe.sequence) clzb_args_add(args, "file:%s", film->job->in);
    else {                                  // image2 reads a pattern, so that a % in the folder's name is doubled
        char *path = malloc(2 * strlen(film->job->in) + 1), *to = path;
        for (const char *c = film->job->in; path && *c; c++) {
            if (*c == '%') *to++ = '%';
            *to++ = *c;
        }
        if (path) *to = 0;
        clzb_args_add(args, "file:%s/%s", path ? path : "", film->probe.pattern);
        free(path);
    }
}

int clzb_film_chain(const struct clzb_film *film, const char *more, char **chain)
{
    char *escaped = clzb_ffmpeg_escape(film->job->model);
    size_t size = 0;
    FILE *text = open_memstream(chain, &size);
    int ret = text && escaped ? 0 : -ENOMEM;

    if (!ret) fprintf(text, "colorize=model=%s", escaped);
    for (int i = 0; i < film->job->options.count && !ret; i++) {
        const char *option = film->job->options.item[i], *equals = strchr(option, '=');
        char *value = clzb_ffmpeg_escape(equals + 1);
        if (!value) ret = -ENOMEM;
        else fprintf(text, ":%.*s=%s", (int)(equals - option), option, value);
        free(value);
    }
    if (!ret && film->out_range) fprintf(text, ":out_range=%s", film->out_range);
    if (!ret) fputs(more, text);
    free(escaped);
    if (text && fclose(text)) ret = -ENOMEM;
    return ret;
}

void clzb_film_encode(const struct clzb_film *film, struct clzb_args *args, const char *time_base)
{
    const struct clzb_job *job = film->job;

    if (film->container->holds & CLZB_TIMES)
        clzb_args_list(args, (const char *const[]){ "-fps_mode", "passthrough", "-enc_time_base", time_base, NULL });
    else if (!*film->container->extension) clzb_args_list(args, (const char *const[]){ "-fps_mode", "passthrough", NULL });
    else {
        clzb_args_list(args, (const char *const[]){ "-fps_mode", "cfr", "-r", NULL });
        clzb_args_add(args, "%d/%d", film->probe.rate_num ? film->probe.rate_num : 25, film->probe.rate_den);
    }
    clzb_args_list(args, job->encoder.count ? (const char *const *)job->encoder.item : job->preset->encoder);
    if (film->format) clzb_args_list(args, (const char *const[]){ "-pix_fmt", film->format, NULL });
}

void clzb_film_output(const struct clzb_film *film, struct clzb_args *args)
{
    // Without +bitexact the muxers write random numbers and the versions of libraries.
    clzb_args_list(args, (const char *const[]){ "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact",
                                                "-max_muxing_queue_size", "100000", "-f", film->container->muxer, NULL });
    if (!*film->container->extension) {
        clzb_args_add(args, "-start_number");
        clzb_args_add(args, "%d", film->probe.sequence ? film->probe.first : 1);
    }
    clzb_args_add(args, "%s", film->part_input);
}

const char *clzb_film_luma_filter(const struct clzb_film *film)
{
    const char *f = film->probe.format;
    return !strncmp(f, "yuv", 3) || !strncmp(f, "gray", 4) || !strncmp(f, "nv", 2) || !strncmp(f, "p0", 2) ||
           !strncmp(f, "ya", 2) ? "extractplanes=y" : "null";
}

int clzb_film_space(struct clzb_film *film, double frame_share)
{
    const struct clzb_probe *p = &film->probe;
    const double raw = (double)p->width * p->height * 3 * (strstr(p->format, "10") || strstr(p->format, "12") ||
                                                           strstr(p->format, "14") || strstr(p->format, "16") ? 2 : 1);
    int64_t size = 0;
    struct statvfs fs;
    double needed, free_bytes;

    if (clzb_size_of(film->job->in, &size) < 0 || statvfs(film->folder, &fs)) return 0;
    needed = 1.1 * (raw * p->frames * (frame_share + film->job->preset->share) + (p->sequence ? 0 : size)) + LEAST_FREE;
    if (film->job->answers) needed += (double)answers_size * p->frames * (frame_share > 0 ? 2 : 1);     // in pieces, and joined
    free_bytes = (double)fs.f_bavail * fs.f_frsize;
    if (needed <= free_bytes) return 0;
    return clzb_film_fail(film, -ENOSPC, "%s: the film may need %.1f GiB on this disk, which has %.1f GiB free.", film->job->out,
                          needed / (1 << 30), free_bytes / (1 << 30));
}

int clzb_film_render(struct clzb_film *film)
{
    struct clzb_args args = {0};
    const double start = clzi_now();
    char *chain = NULL, part[PATH_MAX], *answers = NULL;
    int ret;

    if ((ret = clzb_film_space(film, 0)) < 0) return ret;
    if (!*film->container->extension && !(ret = clzb_film_path(film, part, "film")) && mkdir(part, 0777) && errno != EEXIST)
        return clzb_film_fail(film, -errno, "%s: %s.", part, strerror(errno));
    ret = -ENOMEM;
    if (!(answers = clzb_answers_options(film, NULL)) || (ret = clzb_film_chain(film, answers, &chain)) < 0) goto end;
    clzb_ffmpeg_begin(&args, &film->shelf->ffmpeg);
    clzb_film_input(film, &args);
    clzb_args_add(&args, "-map");
    clzb_args_add(&args, "0:%d", film->probe.stream[film->probe.video].index);
    clzb_args_list(&args, (const char *const[]){ "-vf", chain, NULL });
    clzb_film_encode(film, &args, "-1");
    clzb_args_list(&args, (const char *const *)film->mapping.args.item);
    clzb_film_output(film, &args);
    clzb_args_add(&args, "-map");
    clzb_args_add(&args, "0:%d", film->probe.stream[film->probe.video].index);
    clzb_args_list(&args, (const char *const[]){ "-vf", clzb_film_luma_filter(film), "-fps_mode", "passthrough", "-enc_time_base",
                                                 "-1", "-f", "framemd5", "in.md5", NULL });
    ret = clzb_film_ffmpeg(film, &args, &film->done, clzb_film_damaged);
    film->colouring = clzi_now() - start;
end:
    free(answers);
    free(chain);
    clzb_args_clear(&args);
    return ret;
}

// ---- committing ----

static int rename_part(struct clzb_film *film)
{
    char part[PATH_MAX], side[PATH_MAX], folder[PATH_MAX], final[PATH_MAX], old[PATH_MAX];
    struct stat st;
    int ret;

    clzb_film_path(film, part, "film");
    clzb_film_path(film, side, "side.json");
    clzb_film_path(film, old, "old");
    clzb_folder_of(film->job->out, folder);
    if ((ret = clzb_answers_rename(film)) < 0) return ret;
    if (!access(part, F_OK)) {
        if (!*film->container->extension && !lstat(film->job->out, &st)) {          // a folder of pictures, see check_output
            if (!clzb_only_pictures(film->job->out, film->container->name))
                return clzb_film_fail(film, -EEXIST, "%s: something else than pictures was put there.", film->job->out);
            clzb_remove_pictures(old);      // of a run that died; what stands there now had taken its place
            if (rename(film->job->out, old))
                return clzb_film_fail(film, -errno, "%s: %s.", film->job->out, strerror(errno));
        }
        if (rename(part, film->job->out)) {
            ret = -errno;
            put_old_back(film);
            return clzb_film_fail(film, ret, "%s: %s.", film->job->out, strerror(-ret));
        }
    }
    snprintf(final, sizeof final, "%s.json", film->job->out);
    if (!access(side, F_OK) && rename(side, final)) return clzb_film_fail(film, -errno, "%s: %s.", final, strerror(errno));
    clzb_sync(folder);
    return 0;
}

static int verify(struct clzb_film *film)
{
    char path[PATH_MAX];
    int ret;

    clzb_film_path(film, path, "film");
    if ((ret = clzb_verify_part(film)) < 0) return ret;
    if ((ret = *film->container->extension ? clzb_sync(path) : clzb_sync_all(path)) < 0)
        return clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
    clzb_sync(film->folder);
    if ((ret = clzb_hash_path(path, film->row.sha256, &film->row.size)) < 0)
        return clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
    film->row.frames = film->in.count;
    film->row.seconds = film->colouring;
    snprintf(film->row.device, sizeof film->row.device, "%s", film->device);
    if ((ret = clzb_answers_verify(film)) < 0 || (ret = clzb_provenance_write(film)) < 0) return ret;
    film->row.state = CLZB_VERIFIED;
    return clzb_journal_put(film->shelf->journal, film->job->out, film->job->in, &film->row);
}

// For the report: what was lost, changed or wrong, and the strip of pictures.
static void note(struct clzb_film *film)
{
    char path[PATH_MAX], *notes = NULL, *strip = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&notes, &size), *picture;
    long n = 0;

    if (!text) return;
    for (int i = 0; i < film->mapping.lost_count; i++) fprintf(text, "lost: %s\n", film->mapping.lost[i]);
    for (int i = 0; i < film->mapping.changed_count; i++) fprintf(text, "%s\n", film->mapping.changed[i]);
    if (film->errors) fprintf(text, "damage, %d messages: %s\n", film->errors, film->first_error);
    if (!film->job->verify) fprintf(text, "not verified (verify: off)\n");
    if (film->from_file || film->from_network)
        fprintf(text, "answers: %lld frames from the file, %lld from the network%s\n", (long long)film->from_file,
                (long long)film->from_network, *film->answers_sha ? "" : "; their file was not written");
    clzb_film_path(film, path, "strip.jpg");
    if ((picture = fopen(path, "rb"))) {
        if (!fseek(picture, 0, SEEK_END) && (n = ftell(picture)) > 0 && (strip = malloc(n))) {
            rewind(picture);
            n = (long)fread(strip, 1, n, picture);
        } else n = 0;
        fclose(picture);
    }
    if (!fclose(text)) clzb_journal_notes_put(film->shelf->journal, film->job->out, notes, strip, (int)n);
    free(notes);
    free(strip);
}

int clzb_film_finish(struct clzb_film *film)
{
    int ret;

    if (film->row.state != CLZB_VERIFIED && (ret = verify(film)) < 0) return ret;
    if (clzb_film_renew(film) == -ESTALE) return clzb_film_fail(film, -ESTALE, "another run has taken the job");
    if ((ret = rename_part(film)) < 0) return ret;
    film->row.state = CLZB_DONE;
    film->row.tries = 0;
    film->row.ended = time(NULL);
    note(film);
    ret = clzb_journal_put(film->shelf->journal, film->job->out, film->job->in, &film->row);
    if (ret < 0) film->row.state = CLZB_VERIFIED;
    return ret;
}

// ---- the end ----

static void keep_log(struct clzb_film *film)
{
    char log[PATH_MAX], final[PATH_MAX];

    if (film->log_file) fclose(film->log_file);
    film->log_file = NULL;
    clzb_film_path(film, log, "log");
    snprintf(final, sizeof final, "%s.log", film->job->out);
    rename(log, final);
}

bool clzb_film_end(struct clzb_film *film, int ret)
{
    // A verified film that could not get its name is kept, for the next run to name.
    const bool verified = ret < 0 && film->row.state == CLZB_VERIFIED;
    bool again = false;

    if (ret < 0 && ret != -ESTALE) {
        if (ret != -EINTR) {
            if (!*film->reason) clzb_film_fail(film, ret, "%s", strerror(-ret));
            snprintf(film->row.reason, sizeof film->row.reason, "%s", film->reason);
            if (!of_the_place(ret)) film->row.tries++;
            again = !of_the_place(ret) && film->row.tries < CLZB_MAX_TRIES;
            if (!verified) film->row.state = film->row.tries >= CLZB_MAX_TRIES ? CLZB_QUARANTINED : CLZB_FAILED;
        } else if (!verified) film->row.state = CLZB_QUEUED;
        film->row.ended = time(NULL);
        clzb_journal_put(film->shelf->journal, film->job->out, film->job->in, &film->row);
    }
    if (ret != -ESTALE && ret != -EINTR) keep_log(film);
    else if (film->log_file) {
        fclose(film->log_file);
        film->log_file = NULL;
    }
    if (!ret) clzb_empty_folder(film->folder, NULL);
    else if (film->row.state == CLZB_QUARANTINED) clzb_empty_folder(film->folder, is_old);
    else if (ret != -ESTALE && ret != -EINTR && !verified) clzb_empty_folder(film->folder, is_kept);
    clzb_frames_clear(&film->in);
    clzb_frames_clear(&film->out);
    drop(film);
    return again;
}
