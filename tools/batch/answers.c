// answers.c - files of the network's answers: named, joined, committed. The engine reads and writes them; doc/answers.md says
// what is in them.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answers.h"
#include "hash.h"
#include "paths.h"
#include "provenance.h"

enum { HEADER = 128 };                      // bytes of a file without a frame

static void own_name(const struct clzb_film *film, char name[64]) { snprintf(name, 64, "answers-%.16s", film->model_sha); }

bool clzb_answers_is_kept(const char *name) { return !strncmp(name, "answers-", 8); }

// Whether a regular file begins as a file of answers.
static bool is_answers(const char *path)
{
    static const char magic[] = "\211CLZA\r\n\032";
    char text[HEADER];
    struct stat st;
    FILE *file = stat(path, &st) || !S_ISREG(st.st_mode) ? NULL : fopen(path, "re");
    bool is = false;

    if (file) is = fread(text, 1, HEADER, file) == HEADER && !memcmp(text, magic, sizeof magic - 1);
    if (file) fclose(file);
    return is;
}

bool clzb_answers_may_replace(const char *path)
{
    struct stat st;
    return lstat(path, &st) || is_answers(path);
}

// The largest of what runs with this model have left becomes answers-MODEL.before; what others have left is removed. Whether the
// last try failed with a file of answers is told by its message, in which the engine names the file.
int clzb_answers_begin(struct clzb_film *film)
{
    char name[64], path[PATH_MAX], best[PATH_MAX] = "", before[PATH_MAX];
    int64_t size, most = HEADER;
    struct dirent *entry;
    DIR *dir;

    film->distrusts_answers = film->row.tries && strstr(film->row.reason, ".answers: ");
    if (!(dir = opendir(film->folder))) return 0;
    own_name(film, name);
    while ((entry = readdir(dir))) {
        const char *rest = entry->d_name + strlen(name);
        if (!clzb_answers_is_kept(entry->d_name) || clzb_film_path(film, path, entry->d_name) < 0) continue;
        if (film->job->answers && !strncmp(entry->d_name, name, strlen(name)) &&
            (!*rest || !strcmp(rest, ".before") || !strncmp(rest, ".tmp.", 5)) && is_answers(path) &&
            !clzb_size_of(path, &size) && size > most) {
            if (*best) unlink(best);
            most = size;
            memcpy(best, path, sizeof best);
        } else unlink(path);
    }
    closedir(dir);
    if (!*best) return 0;
    strcat(name, ".before");
    if (clzb_film_path(film, before, name) < 0 || !rename(best, before)) return 0;
    return clzb_film_fail(film, -errno, "%s: %s.", best, strerror(errno));
}

// The file that answers are taken from. Not OUT.answers of another model, by the film's side-car.
static bool source(const struct clzb_film *film, char path[PATH_MAX])
{
    char name[64], side[PATH_MAX], model[65];

    if (film->distrusts_answers) return false;
    snprintf(path, PATH_MAX, "%s.answers", film->job->out);
    snprintf(side, sizeof side, "%s.json", film->job->out);
    if (is_answers(path) && (access(side, F_OK) || (!clzb_provenance_answers(side, model) && !strcmp(model, film->model_sha))))
        return true;
    own_name(film, name);
    strcat(name, ".before");
    return !clzb_film_path(film, path, name) && is_answers(path);
}

char *clzb_answers_options(const struct clzb_film *film, const char *out)
{
    char name[64], path[PATH_MAX], *text = NULL, *in = NULL;

    if (!film->job->answers) return strdup("");
    own_name(film, name);
    if (source(film, path) && !(in = clzb_ffmpeg_escape(path))) return NULL;
    if (asprintf(&text, ":answers_out=%s%s%s", out ? out : name, in ? ":answers_in=" : "", in ? in : "") < 0) text = NULL;
    free(in);
    return text;
}

static int append(FILE *to, const char *path)
{
    char data[1 << 16];
    FILE *from = fopen(path, "re");
    size_t n;
    int ret = 0;

    if (!from) return errno == ENOENT ? 0 : -errno;         // it could not be written; ffmpeg's log says why
    while (!ret && (n = fread(data, 1, sizeof data, from)) > 0)
        if (fwrite(data, 1, n, to) != n) ret = -errno;
    if (!ret && ferror(from)) ret = -EIO;
    fclose(from);
    return ret;
}

int clzb_answers_join(struct clzb_film *film)
{
    char name[64], path[PATH_MAX], piece[PATH_MAX];
    FILE *file;
    int ret = 0;

    if (!film->job->answers) return 0;
    own_name(film, name);
    clzb_film_path(film, path, name);
    if (!(file = fopen(path, "we"))) return clzb_film_fail(film, -errno, "%s: %s.", path, strerror(errno));
    for (int i = 0; i < film->pieces && !ret; i++) {
        snprintf(name, sizeof name, "piece-%05d.answers", i);
        clzb_film_path(film, piece, name);
        ret = append(file, piece);
    }
    if (fclose(file) && !ret) ret = -errno;
    if (ret) unlink(path);
    return ret ? clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret)) : 0;
}

int clzb_answers_verify(struct clzb_film *film)
{
    char name[64], path[PATH_MAX];
    int ret;

    film->answers_sha[0] = 0;
    own_name(film, name);
    clzb_film_path(film, path, name);
    if (!film->job->answers || !is_answers(path)) return 0;
    if ((ret = clzb_sync(path)) < 0 || (ret = clzb_hash_path(path, film->answers_sha, &film->answers_size)) < 0)
        return clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
    return 0;
}

int clzb_answers_rename(struct clzb_film *film)
{
    char name[64], path[PATH_MAX], final[PATH_MAX];

    own_name(film, name);
    clzb_film_path(film, path, name);
    if (!film->job->answers || access(path, F_OK)) return 0;
    snprintf(final, sizeof final, "%s.answers", film->job->out);
    return rename(path, final) ? clzb_film_fail(film, -errno, "%s: %s.", final, strerror(errno)) : 0;
}
