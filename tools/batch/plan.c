// plan.c - writes and reads plans; colours one piece.
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "base/log.h"
#include "paths.h"
#include "plan.h"
#include "segment.h"

static int write_line(FILE *file, const struct clzb_film *film, const char *list, int job, int piece)
{
    const char *name = strrchr(film->job->in, '/') + 1;
    json_t *row = json_pack("{s:s, s:i, s:i, s:s}", "list", list, "job", job, "piece", piece, "key", film->key);
    json_t *shown = json_string(name);              // NULL if the name is not UTF-8: it is only for people
    char *text;
    int ret = 0;

    if (row && shown) json_object_set(row, "film", shown);
    if (!row || !(text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS))) ret = -EINVAL;
    else {
        fprintf(file, "%s\n", text);
        free(text);
    }
    json_decref(shown);
    json_decref(row);
    return ret;
}

int clzb_plan_write(struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const char *list, FILE *file)
{
    struct clzb_film *film = malloc(sizeof *film);
    int ret = film ? 0 : -ENOMEM;

    for (int i = 0; i < jobs->count && !ret; i++) {
        const struct clzb_job *job = &jobs->job[i];
        int pieces = clzb_film_open(film, shelf, job);
        if (!pieces && job->segments && (pieces = clzb_make_folders(film->folder)) >= 0) pieces = clzb_segment_cut(film);
        if (pieces < 0) clzi_log(shelf->log, CLZ_LOG_ERROR, "%s: left out: %s", job->in,
                                 *film->reason ? film->reason : strerror(-pieces));
        else if (!pieces) ret = write_line(file, film, list, i, -1);
        else
            for (int k = 0; k < pieces && !ret; k++) ret = write_line(file, film, list, i, k);
        clzb_film_close(film);
    }
    if (ret == -EINVAL) clzi_fail(shelf->log, ret, "%s: the list's path is not UTF-8, which a plan needs.", list);
    if (!ret && (fflush(file) || ferror(file))) ret = clzi_fail(shelf->log, -EIO, "the plan cannot be written.");
    free(film);
    return ret;
}

static bool is_number(const json_t *value, int least)
{
    return json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= INT_MAX;
}

int clzb_plan_read(struct clzb_unit *unit, const char *path, int index, const struct clz_log *log)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    json_t *row = NULL;
    const char *list, *key;
    int n = 0, ret = 0;
    ssize_t got;

    if (!file) return clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    while ((got = getline(&line, &room, file)) > 0 && n < index) n++;           // the last line may have no end
    if (got <= 0) {
        ret = clzi_fail(log, -EINVAL, "%s: there is no unit %d; the plan has %d, counted from 0.", path, index, n);
        goto end;
    }
    row = json_loads(line, 0, NULL);
    list = json_string_value(json_object_get(row, "list"));
    key = json_string_value(json_object_get(row, "key"));
    if (!list || !key || !is_number(json_object_get(row, "job"), 0) || !is_number(json_object_get(row, "piece"), -1)) {
        ret = clzi_fail(log, -EINVAL, "%s:%d: not a line of colorize-batch plan.", path, n + 1);
        goto end;
    }
    snprintf(unit->list, sizeof unit->list, "%s", list);
    snprintf(unit->key, sizeof unit->key, "%s", key);
    unit->job = (int)json_integer_value(json_object_get(row, "job"));
    unit->piece = (int)json_integer_value(json_object_get(row, "piece"));
end:
    json_decref(row);
    free(line);
    fclose(file);
    return ret;
}

// Opens the film of a unit: clzb_film_open()'s result, or -EINVAL. film->job NULL: nothing to close.
static int open_film(struct clzb_film *film, struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const struct clzb_unit *unit)
{
    int ret;

    film->job = NULL;
    if (unit->job < 0 || unit->job >= jobs->count)
        return clzi_fail(shelf->log, -EINVAL, "%s: has no job %d any more: plan again.", unit->list, unit->job);
    ret = clzb_film_open(film, shelf, &jobs->job[unit->job]);
    if (ret >= 0 && strcmp(film->key, unit->key))
        ret = clzb_film_fail(film, -EINVAL, "the film, its model or its job has changed since the plan: plan again.");
    return ret;
}

static void close_film(struct clzb_film *film, const struct clzb_shelf *shelf, int ret)
{
    if (film->job) {
        if (ret < 0) clzi_log(shelf->log, CLZ_LOG_ERROR, "%s: %s", film->job->in, *film->reason ? film->reason : strerror(-ret));
        clzb_film_close(film);
    }
    free(film);
}

int clzb_plan_check(struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const struct clzb_unit *unit)
{
    struct clzb_film *film = malloc(sizeof *film);
    int ret;

    if (!film) return -ENOMEM;
    ret = open_film(film, shelf, jobs, unit);
    close_film(film, shelf, ret);
    return ret < 0 ? ret : 0;
}

int clzb_plan_piece(struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const struct clzb_unit *unit)
{
    struct clzb_film *film = malloc(sizeof *film);
    int ret;

    if (!film) return -ENOMEM;
    ret = open_film(film, shelf, jobs, unit);
    if (!ret && (ret = clzb_make_folders(film->folder)) >= 0 && (ret = clzb_segment_cut(film)) >= 0)
        ret = unit->piece < ret ? clzb_segment_render(film, unit->piece) :
              clzb_film_fail(film, -EINVAL, "has no piece %d: plan again.", unit->piece);
    close_film(film, shelf, ret);
    return ret < 0 ? ret : 0;
}
