// jobs.c - the keys of a job, jobs.yaml, output paths.
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/yaml.h"
#include "jobs.h"
#include "paths.h"

enum { MIN_PIECE = 48, MAX_PIECE = 1 << 24 };           // frames

// ---- keys ----

static const struct { const char *name, *help; } keys[] = {
    { "in", "the film: a file, or a folder of numbered pictures" },
    { "glob", "a pattern of files, as films/*.mkv; each becomes a job" },
    { "out", "the coloured film; with '/' at its end or in `defaults`: the folder for it" },
    { "model", "the model file" },
    { "preset", "what the film becomes; colorize-batch presets lists them [ffv1]" },
    { "options", "a map of options of the filter (ffmpeg -h filter=colorize), as strength: 0.8" },
    { "sheet", "the shot sheet: how parts of the film are coloured (doc/filter.md)" },
    { "encoder", "a list of ffmpeg's arguments in place of the preset's: [-c:v, libx265, -crf, 16]" },
    { "container", "in place of the preset's: mkv, mov, mp4, mxf" },
    { "rate", "frames per second of a folder of pictures, as 24 or 24000/1001 [24]" },
    { "segments", "off, auto, or frames in a piece: begin at cuts, side by side, kept through a crash [off]" },
    { "verify", "on: the finished film is decoded and compared with what went in [on]" },
    { "answers", "on: OUT.answers keeps what the model says; the film can be coloured again without running it [off]" },
    { "damage", "fail: a film with decoding errors fails; keep: it is coloured with a warning [fail]" },
};

void clzb_job_keys_print(FILE *file)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) fprintf(file, "  %-10s %s\n", keys[i].name, keys[i].help);
}

// The options of the filter that a job may set, from the table of filter and element. Limits of numbers, or max < min: text.
static const struct { const char *name; double min, max; } filter_options[] = {
#define STRING(name, initial, help) { #name, 0, -1 },
#define STRING_AS(name, field, initial, help) { #name, 0, -1 },
#define INT(name, initial, least, most, help) { #name, least, most },
#define ENUM(name, last, help, values) { #name, 0, -1 },
#define FLOAT(name, initial, most, help) { #name, 0, most },
#define STOCK_FLOAT(name, initial, most, help) { #name, 0, most },
#define FILTER_STRING(name, initial, help) { #name, 0, -1 },
#include "engine/options.def"
};

static int set_text(char **field, char *text)
{
    if (!text) return -ENOMEM;
    free(*field);
    *field = text;
    return 0;
}

static int words_add(struct clzb_words *words, const char *text)
{
    char **item = realloc(words->item, (words->count + 2) * sizeof *item);

    if (!item) return -ENOMEM;
    words->item = item;
    if (!(item[words->count] = strdup(text))) return -ENOMEM;
    item[++words->count] = NULL;
    return 0;
}

static void words_clear(struct clzb_words *words)
{
    for (int i = 0; i < words->count; i++) free(words->item[i]);
    free(words->item);
    *words = (struct clzb_words){0};
}

static int words_copy(struct clzb_words *to, const struct clzb_words *from)
{
    int ret = 0;
    *to = (struct clzb_words){0};
    for (int i = 0; i < from->count && !ret; i++) ret = words_add(to, from->item[i]);
    return ret;
}

// Adds "name=value", in place of an older value of the same name; sorted, so that the order in the list does not matter.
static int set_option(struct clzb_words *options, const char *text, const char *where, const struct clz_log *log)
{
    const char *equals = strchr(text, '=');
    const size_t n = equals ? (size_t)(equals - text) : 0;
    size_t row = 0, rows = sizeof filter_options / sizeof *filter_options;
    char *end, *copy;
    int i;

    if (!equals) return clzi_fail(log, -EINVAL, "%s: \"%s\" is not an option of the filter; expected NAME=VALUE.", where, text);
    while (row < rows && (strlen(filter_options[row].name) != n || strncmp(filter_options[row].name, text, n))) row++;
    if (row == rows)
        return clzi_fail(log, -EINVAL, "%s: the filter has no option \"%.*s\"; ffmpeg -h filter=colorize lists them.", where,
                         (int)n, text);
    if (filter_options[row].min <= filter_options[row].max) {
        const double value = strtod(equals + 1, &end);
        if (end == equals + 1 || *end || !(value >= filter_options[row].min && value <= filter_options[row].max))
            return clzi_fail(log, -EINVAL, "%s: %.*s: \"%s\" is not a number from %g to %g.", where, (int)n, text, equals + 1,
                             filter_options[row].min, filter_options[row].max);
    }
    for (i = 0; i < options->count; i++)
        if (!strncmp(options->item[i], text, n + 1)) {
            if (!(copy = strdup(text))) return -ENOMEM;
            free(options->item[i]);
            options->item[i] = copy;
            return 0;
        }
    if (words_add(options, text) < 0) return -ENOMEM;
    for (; i > 0 && strcmp(options->item[i - 1], options->item[i]) > 0; i--) {
        copy = options->item[i];
        options->item[i] = options->item[i - 1];
        options->item[i - 1] = copy;
    }
    return 0;
}

// As set_option. Names of files are made absolute: ffmpeg runs in another folder.
static int set_file_option(struct clzb_words *options, const char *text, const char *folder, const char *where,
                           const struct clz_log *log)
{
    static const char *const names[] = { "shots=", "cuts=", "library=", "sheet=", "hints=", "qc=" };
    char *path, *option;
    int ret;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t n = strlen(names[i]);
        if (strncmp(text, names[i], n) || !text[n]) continue;
        if (i == 2 && !strchr(text + n, '/')) continue;         // a library that the system finds by its name
        if (!(path = clzb_absolute(folder, text + n))) return -ENOMEM;
        ret = asprintf(&option, "%s%s", names[i], path);
        free(path);
        if (ret < 0) return -ENOMEM;
        ret = set_option(options, option, where, log);
        free(option);
        return ret;
    }
    return set_option(options, text, where, log);
}

static int set_sheet(struct clzb_job *job, const char *value, const char *folder, const char *where, const struct clz_log *log)
{
    char *option;
    int ret;

    if (!*value) return clzi_fail(log, -EINVAL, "%s: sheet: the name is empty.", where);
    if (asprintf(&option, "sheet=%s", value) < 0) return -ENOMEM;
    ret = set_file_option(&job->options, option, folder, where, log);
    free(option);
    return ret;
}

static int set_switch(bool *field, const char *value, const char *on, const char *off, const char *key, const char *where,
                      const struct clz_log *log)
{
    if (strcmp(value, on) && strcmp(value, off) && strcmp(value, !strcmp(on, "on") ? "true" : on) &&
        strcmp(value, !strcmp(off, "off") ? "false" : off))
        return clzi_fail(log, -EINVAL, "%s: %s: \"%s\" is neither \"%s\" nor \"%s\".", where, key, value, on, off);
    *field = !strcmp(value, on) || (!strcmp(on, "on") && !strcmp(value, "true"));
    return 0;
}

static int set_rate(struct clzb_job *job, const char *value, const char *where, const struct clz_log *log)
{
    int num, den = 1, n = 0;
    const bool good = (sscanf(value, "%d/%d%n", &num, &den, &n) == 2 && !value[n]) ||
                      (den = 1, n = 0, sscanf(value, "%d%n", &num, &n) == 1 && !value[n]);

    if (!good || num < 1 || den < 1)
        return clzi_fail(log, -EINVAL, "%s: rate: \"%s\" is not a rate; expected 24 or 24000/1001.", where, value);
    return set_text(&job->rate, strdup(value));
}

static int set_segments(struct clzb_job *job, const char *value, const char *where, const struct clz_log *log)
{
    char *end;
    const long n = strtol(value, &end, 10);

    if (!strcmp(value, "off") || !strcmp(value, "false")) job->segments = CLZB_SEGMENTS_OFF;
    else if (!strcmp(value, "auto")) job->segments = CLZB_SEGMENTS_AUTO;
    else if (end == value || *end || n < MIN_PIECE || n > MAX_PIECE)
        return clzi_fail(log, -EINVAL, "%s: segments: \"%s\" is neither off, auto nor a number of frames from %d to %d.", where,
                         value, MIN_PIECE, MAX_PIECE);
    else job->segments = (int)n;
    return 0;
}

int clzb_job_set(struct clzb_job *job, const char *key, const char *value, const char *folder, const char *where,
                 const struct clz_log *log)
{
    if (!strcmp(key, "in")) return *value ? set_text(&job->in, clzb_absolute(folder, value)) :
                                            clzi_fail(log, -EINVAL, "%s: in: the name is empty.", where);
    if (!strcmp(key, "out")) return set_text(&job->out, clzb_absolute(folder, value));
    if (!strcmp(key, "model")) return set_text(&job->model, clzb_absolute(folder, value));
    if (!strcmp(key, "rate")) return set_rate(job, value, where, log);
    if (!strcmp(key, "segments")) return set_segments(job, value, where, log);
    if (!strcmp(key, "verify")) return set_switch(&job->verify, value, "on", "off", key, where, log);
    if (!strcmp(key, "answers")) return set_switch(&job->answers, value, "on", "off", key, where, log);
    if (!strcmp(key, "damage")) return set_switch(&job->keep_damaged, value, "keep", "fail", key, where, log);
    if (!strcmp(key, "options")) return set_file_option(&job->options, value, folder, where, log);
    if (!strcmp(key, "sheet")) return set_sheet(job, value, folder, where, log);
    if (!strcmp(key, "encoder")) return words_add(&job->encoder, value);
    if (!strcmp(key, "preset")) {
        if ((job->preset = clzb_preset_find(value))) return 0;
        return clzi_fail(log, -EINVAL, "%s: preset: there is no preset \"%s\"; colorize-batch presets lists them.", where, value);
    }
    if (!strcmp(key, "container")) {
        job->container = clzb_container_find(value);
        if (job->container && *job->container->extension) return 0;
        return clzi_fail(log, -EINVAL, "%s: container: \"%s\" is none of mkv, mov, mp4, mxf.", where, value);
    }
    return clzi_fail(log, -EINVAL, "%s: there is no key \"%s\"; colorize-batch keys lists them.", where, key);
}

// ---- the list ----

void clzb_job_clear(struct clzb_job *job)
{
    free(job->in);
    free(job->out);
    free(job->model);
    free(job->rate);
    words_clear(&job->options);
    words_clear(&job->encoder);
    *job = (struct clzb_job){0};
}

static int job_copy(struct clzb_job *to, const struct clzb_job *from)
{
    *to = *from;
    to->in = from->in ? strdup(from->in) : NULL;
    to->out = from->out ? strdup(from->out) : NULL;
    to->model = from->model ? strdup(from->model) : NULL;
    to->rate = from->rate ? strdup(from->rate) : NULL;
    to->options = to->encoder = (struct clzb_words){0};
    if ((from->in && !to->in) || (from->out && !to->out) || (from->model && !to->model) || (from->rate && !to->rate))
        return -ENOMEM;
    if (words_copy(&to->options, &from->options) < 0) return -ENOMEM;
    return words_copy(&to->encoder, &from->encoder);
}

static struct clzb_job *append(struct clzb_jobs *jobs, const struct clzb_job *model)
{
    struct clzb_job *job = realloc(jobs->job, (jobs->count + 1) * sizeof *job);

    if (!job) return NULL;
    jobs->job = job;
    if (job_copy(&job[jobs->count++], model) < 0) return NULL;
    return &job[jobs->count - 1];
}

int clzb_jobs_add(struct clzb_jobs *jobs, const char *in)
{
    struct clzb_job *job = append(jobs, &jobs->defaults);
    return job ? set_text(&job->in, strdup(in)) : -ENOMEM;
}

void clzb_jobs_init(struct clzb_jobs *jobs)
{
    *jobs = (struct clzb_jobs){ .defaults = { .preset = clzb_preset_find("ffv1"), .verify = true } };
}

void clzb_jobs_clear(struct clzb_jobs *jobs)
{
    for (int i = 0; i < jobs->count; i++) clzb_job_clear(&jobs->job[i]);
    free(jobs->job);
    clzb_job_clear(&jobs->defaults);
    free(jobs->journal);
    *jobs = (struct clzb_jobs){0};
}

// ---- jobs.yaml ----

// Where in the file the next event stands.
enum place { TOP, TOP_VALUE, JOB_LIST, JOB, JOB_VALUE, OPTIONS, OPTION_VALUE, ENCODER };

struct reading {
    struct clzb_jobs *jobs;
    const char *path;
    char folder[PATH_MAX], key[64], option[64];
    const struct clz_log *log;
    enum place place;
    bool started, defaults, defaults_seen, own_encoder;
    struct clzb_job job;                    // the one that is being read
    bool seen[sizeof keys / sizeof *keys];
    char *pattern;
};

// A pattern of files as an absolute one. What stands before it is a folder's name, not a pattern.
static char *absolute_pattern(const char *folder, const char *pattern)
{
    char *base = *pattern == '/' ? strdup("") : clzb_absolute(folder, ""), *text = NULL, *to;
    const size_t n = base ? strlen(base) : 0;

    if (base && (to = text = malloc(2 * n + strlen(pattern) + 1))) {
        for (const char *c = base; *c; c++) {
            if (strchr("*?[]\\", *c)) *to++ = '\\';
            *to++ = *c;
        }
        strcpy(to, pattern);
    }
    free(base);
    return text;
}

static int fail_at(const struct reading *r, int line, const char *what)
{
    return clzi_fail(r->log, -EINVAL, "%s:%d: %s.", r->path, line, what);
}

// A key of the top of the file that has a plain value.
static int top_value(struct reading *r, const char *value, int line)
{
    char *end;
    long n;

    r->place = TOP;
    if (!strcmp(r->key, "journal")) return set_text(&r->jobs->journal, clzb_absolute(r->folder, value));
    if (strcmp(r->key, "parallel")) return fail_at(r, line, "expected a map after `defaults` and a list after `jobs`");
    n = strtol(value, &end, 10);
    if (end == value || *end || n < 1 || n > 256) return fail_at(r, line, "parallel is not a number from 1 to 256");
    r->jobs->parallel = (int)n;
    return 0;
}

static int begin_job(struct reading *r)
{
    memset(r->seen, 0, sizeof r->seen);
    r->own_encoder = false;
    r->place = JOB;
    if (r->defaults) {
        r->job = r->jobs->defaults;
        r->jobs->defaults = (struct clzb_job){0};
        return 0;
    }
    return job_copy(&r->job, &r->jobs->defaults);
}

static int add_pattern(struct reading *r, int line)
{
    glob_t found = {0};
    const int status = glob(r->pattern, 0, NULL, &found);
    int ret = 0;

    if (status == GLOB_NOMATCH)
        ret = clzi_fail(r->log, -EINVAL, "%s:%d: glob: no file is named as \"%s\".", r->path, line, r->pattern);
    else if (status) ret = clzi_fail(r->log, -EIO, "%s:%d: glob: \"%s\" cannot be read.", r->path, line, r->pattern);
    for (size_t i = 0; !ret && i < found.gl_pathc; i++) {
        struct clzb_job *job = append(r->jobs, &r->job);
        ret = job ? set_text(&job->in, strdup(found.gl_pathv[i])) : -ENOMEM;
    }
    globfree(&found);
    return ret;
}

static int end_job(struct reading *r, int line)
{
    int ret = 0;

    r->place = r->defaults ? TOP : JOB_LIST;
    if (r->defaults) {
        r->jobs->defaults = r->job;
        r->job = (struct clzb_job){0};
        r->defaults = false;
        return 0;
    }
    if (!!r->job.in + !!r->pattern != 1) ret = fail_at(r, line, "a job has either `in` or `glob`");
    else if (r->pattern) ret = add_pattern(r, line);
    else if (!append(r->jobs, &r->job)) ret = -ENOMEM;
    free(r->pattern);
    r->pattern = NULL;
    clzb_job_clear(&r->job);
    return ret;
}

static int job_key(struct reading *r, const char *name, int line)
{
    const size_t count = sizeof keys / sizeof *keys;
    size_t i = 0;
    char what[120];

    while (i < count && strcmp(keys[i].name, name)) i++;
    if (i == count || (r->defaults && (!strcmp(name, "in") || !strcmp(name, "glob")))) {
        snprintf(what, sizeof what, "there is no key \"%.40s\" %s; colorize-batch keys lists them", name,
                 r->defaults ? "in defaults" : "of a job");
        return fail_at(r, line, what);
    }
    if (r->seen[i]) {
        snprintf(what, sizeof what, "%s is given twice", name);
        return fail_at(r, line, what);
    }
    r->seen[i] = true;
    snprintf(r->key, sizeof r->key, "%s", name);
    r->place = JOB_VALUE;
    return 0;
}

static int set_job(struct reading *r, const char *key, const char *value, int line)
{
    char where[PATH_MAX + 20];

    snprintf(where, sizeof where, "%s:%d", r->path, line);
    return clzb_job_set(&r->job, key, value, r->folder, where, r->log);
}

static int scalar(struct reading *r, const char *value, int line)
{
    char *option;
    int ret;

    switch (r->place) {
    case TOP:
        if (strcmp(value, "defaults") && strcmp(value, "jobs") && strcmp(value, "parallel") && strcmp(value, "journal"))
            return fail_at(r, line, "expected one of the keys defaults, jobs, parallel, journal");
        if (!strcmp(value, "defaults") && r->jobs->count) return fail_at(r, line, "`defaults` stands before `jobs`");
        snprintf(r->key, sizeof r->key, "%s", value);
        r->place = TOP_VALUE;
        return 0;
    case TOP_VALUE: return top_value(r, value, line);
    case JOB_LIST:                          // a film's name alone
        if ((ret = begin_job(r)) < 0 || (ret = set_job(r, "in", value, line)) < 0) return ret;
        return end_job(r, line);
    case JOB: return job_key(r, value, line);
    case JOB_VALUE:
        r->place = JOB;
        if (!strcmp(r->key, "glob")) return set_text(&r->pattern, absolute_pattern(r->folder, value));
        if (!strcmp(r->key, "options")) return fail_at(r, line, "options: expected a map, as {strength: 0.8}");
        if (!strcmp(r->key, "encoder")) return fail_at(r, line, "encoder: expected a list, as [-c:v, libx265]");
        return set_job(r, r->key, value, line);
    case OPTIONS:
        if (strlen(value) >= sizeof r->option) return fail_at(r, line, "options: a name has more than 63 bytes");
        snprintf(r->option, sizeof r->option, "%s", value);
        r->place = OPTION_VALUE;
        return 0;
    case OPTION_VALUE:
        r->place = OPTIONS;
        if (asprintf(&option, "%s=%s", r->option, value) < 0) return -ENOMEM;
        ret = set_job(r, "options", option, line);
        free(option);
        return ret;
    case ENCODER: return set_job(r, "encoder", value, line);
    }
    return 0;
}

static int event(void *priv, const struct clzi_yaml_event *e)
{
    struct reading *r = priv;

    switch (e->kind) {
    case CLZI_YAML_SCALAR:
        if (!r->started) break;
        if (strlen(e->text) != e->size) return fail_at(r, e->line, "a value contains a NUL character");
        return scalar(r, e->text, e->line);
    case CLZI_YAML_MAP:
        if (!r->started) {
            r->started = true;
            return 0;
        }
        if (r->place == TOP_VALUE && !strcmp(r->key, "defaults")) {
            r->defaults = true;
            return begin_job(r);
        }
        if (r->place == JOB_LIST) return begin_job(r);
        if (r->place != JOB_VALUE || strcmp(r->key, "options")) break;
        r->place = OPTIONS;
        return 0;
    case CLZI_YAML_LIST:
        if (r->started && r->place == TOP_VALUE && !strcmp(r->key, "jobs")) {
            r->place = JOB_LIST;
            return 0;
        }
        if (r->place != JOB_VALUE || strcmp(r->key, "encoder")) break;
        words_clear(&r->job.encoder);
        r->place = ENCODER;
        return 0;
    case CLZI_YAML_MAP_END:
        if (r->place == JOB) return end_job(r, e->line);
        if (r->place == OPTIONS) r->place = JOB;
        return 0;
    case CLZI_YAML_LIST_END:
        r->place = r->place == ENCODER ? JOB : TOP;
        return 0;
    }
    return fail_at(r, e->line, !r->started ? "expected a map with the key `jobs`" : "no map or list is expected here");
}

int clzb_jobs_load(struct clzb_jobs *jobs, const char *path, const struct clz_log *log)
{
    struct reading *r = calloc(1, sizeof *r);
    const char *slash = strrchr(path, '/');
    int ret;

    if (!r) return -ENOMEM;
    *r = (struct reading){ .jobs = jobs, .path = path, .log = log };
    snprintf(r->folder, sizeof r->folder, "%.*s", slash ? (int)(slash - path) + !(slash - path) : 1, slash ? path : ".");
    ret = clzi_yaml_load(path, event, r, log);
    if (!ret && !jobs->count) ret = clzi_fail(log, -EINVAL, "%s: there are no jobs in it.", path);
    clzb_job_clear(&r->job);
    free(r->pattern);
    free(r);
    return ret;
}

// ---- outputs ----

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

// A job's `out` that is a folder becomes a file in it, named like the film.
static int name_output(struct clzb_job *job, bool to_folder, const struct clz_log *log)
{
    const char *extension = (job->container ? job->container : clzb_container_find(job->preset->container))->extension;
    const size_t n = job->out ? strlen(job->out) : 0;
    const char *name = strrchr(job->in, '/') + 1, *dot = strrchr(name, '.');
    int stem;
    char *out = NULL;

    if (!job->out)
        return clzi_fail(log, -EINVAL, "%s: no `out` is given (--out): where is the coloured film to go?", job->in);
    if (n && job->out[n - 1] != '/' && !to_folder && (!*extension || !is_folder(job->out))) return 0;
    stem = dot && dot > name && !is_folder(job->in) ? (int)(dot - name) : (int)strlen(name);
    if (asprintf(&out, "%s%s%.*s%s%s", job->out, n && job->out[n - 1] == '/' ? "" : "/", stem, name, *extension ? "." : "",
                 extension) < 0) return -ENOMEM;
    return set_text(&job->out, out);
}

static int compare_outputs(const void *a, const void *b)
{
    return strcmp((*(const struct clzb_job *const *)a)->out, (*(const struct clzb_job *const *)b)->out);
}

const char *clzb_job_option(const struct clzb_job *job, const char *name)
{
    const size_t n = strlen(name);

    for (int i = 0; i < job->options.count; i++)
        if (!strncmp(job->options.item[i], name, n) && job->options.item[i][n] == '=') return job->options.item[i] + n + 1;
    return NULL;
}

static int check_job(const struct clzb_job *job, const struct clz_log *log)
{
    const char *name = strrchr(job->out, '/') + 1, *longest = job->answers ? ".answers" : ".json";
    const size_t most = NAME_MAX - strlen(longest);

    if (!job->model) return clzi_fail(log, -EINVAL, "%s: no `model` is given (--model).", job->in);
    if (!*name || strlen(name) > most)
        return clzi_fail(log, -EINVAL, "%s: the name has %zu bytes; expected 1 to %zu, because \"%s\" is added to it.", job->out,
                         strlen(name), most, longest);
    if (clzb_job_option(job, "answers_in") || clzb_job_option(job, "answers_out"))
        return clzi_fail(log, -EINVAL, "%s: answers_in and answers_out are no options of a job: the key `answers` does both.",
                         job->in);
    if (!job->preset->encoder && !job->encoder.count)
        return clzi_fail(log, -EINVAL, "%s: the preset \"own\" needs `encoder`.", job->in);
    if (job->segments && (!job->preset->formats || job->encoder.count))
        return clzi_fail(log, -EINVAL, "%s: segments need a preset, which says the pixel format; `encoder` does not.", job->in);
    if (job->segments && (clzb_job_option(job, "shots") || clzb_job_option(job, "qc") || clzb_job_option(job, "shots_only") ||
                          clzb_job_option(job, "first_frame")))
        return clzi_fail(log, -EINVAL, "%s: segments and the options shots, qc, shots_only and first_frame exclude each other: "
                         "each piece would have them.", job->in);
    if (job->segments && clzb_job_option(job, "chroma") && strcmp(clzb_job_option(job, "chroma"), "ignore"))
        return clzi_fail(log, -EINVAL, "%s: segments need chroma: ignore, because whether a frame keeps its colours depends on "
                         "the frames before.", job->in);
    return 0;
}

static int compare_option(const void *a, const void *b, const char *name)
{
    const char *x = clzb_job_option(*(const struct clzb_job *const *)a, name),
               *y = clzb_job_option(*(const struct clzb_job *const *)b, name);
    return strcmp(x ? x : "", y ? y : "");
}

static int compare_shots(const void *a, const void *b) { return compare_option(a, b, "shots"); }
static int compare_qc(const void *a, const void *b) { return compare_option(a, b, "qc"); }

// No two films write one list of shots, or one file of figures. Sorts the jobs.
static int check_lists(const struct clzb_job **sorted, int count, const struct clz_log *log)
{
    static const struct { const char *name, *what; int (*compare)(const void *a, const void *b); } lists[] = {
        { "shots", "list of shots", compare_shots }, { "qc", "file of figures", compare_qc },
    };

    for (int k = 0; k < 2; k++) {
        qsort(sorted, count, sizeof *sorted, lists[k].compare);
        for (int i = 1; i < count; i++)
            if (clzb_job_option(sorted[i], lists[k].name) && !lists[k].compare(&sorted[i - 1], &sorted[i]))
                return clzi_fail(log, -EINVAL, "%s: two films would write this %s: %s and %s.",
                                 clzb_job_option(sorted[i], lists[k].name), lists[k].what, sorted[i - 1]->in, sorted[i]->in);
    }
    return 0;
}

// ---- outputs and films ----

// A path of a job: its text, and where it exists, the file itself, which may have other names.
struct location {
    const struct clzb_job *job;
    char *path;
    bool exists;
    dev_t device;
    ino_t inode;
};

static int compare_files(const void *a, const void *b)
{
    const struct location *x = a, *y = b;
    if (x->exists != y->exists) return x->exists - y->exists;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    return x->inode == y->inode ? 0 : x->inode < y->inode ? -1 : 1;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(((const struct location *)a)->path, ((const struct location *)b)->path);
}

static int set_place(struct location *place, const struct clzb_job *job, const char *path)
{
    struct stat st;

    *place = (struct location){ .job = job, .path = clzb_canonical(path) };
    if (!place->path && !(place->path = strdup(path))) return -ENOMEM;         // a folder that cannot be read: by its text
    if (stat(path, &st)) return 0;
    place->exists = true;
    place->device = st.st_dev;
    place->inode = st.st_ino;
    return 0;
}

// Looks for a film or one of the folders above it among the outputs, or for an output among the films. Both lists have the same
// paths, one sorted by file and one by text. NULL: there is none.
static const struct location *find_above(const struct location *from, const struct location *files,
                                         const struct location *texts, int count)
{
    char path[PATH_MAX], *slash;

    snprintf(path, sizeof path, "%s", from->path);
    for (;;) {
        struct location key = { .path = path };
        struct stat st;
        const struct location *found = bsearch(&key, texts, count, sizeof key, compare_texts);
        if (!found && !stat(path, &st)) {
            key = (struct location){ .exists = true, .device = st.st_dev, .inode = st.st_ino };
            found = bsearch(&key, files, count, sizeof key, compare_files);
        }
        if (found || !(slash = strrchr(path, '/')) || slash == path) return found;
        *slash = 0;
    }
}

// No output may be a film or lie in one (a folder of pictures), nor a film lie in an output: it would be overwritten.
static int check_places(const struct clzb_jobs *jobs, const struct clz_log *log)
{
    const int n = jobs->count;
    struct location *in = calloc(2 * n + 1, sizeof *in), *out = calloc(2 * n + 1, sizeof *out);
    int ret = in && out ? 0 : -ENOMEM;

    for (int i = 0; i < n && !ret; i++) {
        const struct clzb_job *job = &jobs->job[i];
        if (!(ret = set_place(&in[i], job, job->in))) ret = set_place(&out[i], job, job->out);
    }
    if (!ret) {
        memcpy(in + n, in, n * sizeof *in);
        memcpy(out + n, out, n * sizeof *out);
        qsort(in, n, sizeof *in, compare_files);
        qsort(out, n, sizeof *out, compare_files);
        qsort(in + n, n, sizeof *in, compare_texts);
        qsort(out + n, n, sizeof *out, compare_texts);
    }
    for (int i = 0; i < n && !ret; i++) {
        const struct location *film = &in[i], *result = &out[i], *found;
        if ((found = find_above(film, out, out + n, n)))
            ret = film->job == found->job && !strcmp(film->path, found->path) ?
                  clzi_fail(log, -EINVAL, "%s: the output is the film itself.", found->job->out) :
                  clzi_fail(log, -EINVAL, "%s: the output is the film %s or has it in it, and would overwrite it.",
                            found->job->out, film->job->in);
        else if ((found = find_above(result, in, in + n, n)))
            ret = clzi_fail(log, -EINVAL, "%s: the output is the film %s or lies in it.", result->job->out, found->job->in);
    }
    for (int i = 0; i < n && in && out; i++) {
        free(in[i].path);
        free(out[i].path);
    }
    free(in);
    free(out);
    return ret;
}

static int resolve_output(struct clzb_job *job, const struct clz_log *log)
{
    char *out = clzb_canonical(job->out);

    if (!out) return clzi_fail(log, -errno, "%s: %s.", job->out, strerror(errno));
    return set_text(&job->out, out);
}

int clzb_jobs_finish(struct clzb_jobs *jobs, const struct clz_log *log)
{
    const struct clzb_job **sorted = calloc(jobs->count + 1, sizeof *sorted);
    int ret = sorted ? 0 : -ENOMEM;

    for (int i = 0; i < jobs->count && !ret; i++) {
        struct clzb_job *job = &jobs->job[i];
        const bool inherited = jobs->defaults.out && job->out && !strcmp(jobs->defaults.out, job->out);
        for (size_t end = strlen(job->in); end > 1 && job->in[end - 1] == '/'; end--) job->in[end - 1] = 0;
        if (!(ret = name_output(job, inherited, log)) && !(ret = check_job(job, log))) ret = resolve_output(job, log);
        sorted[i] = job;
    }
    if (!ret) qsort(sorted, jobs->count, sizeof *sorted, compare_outputs);
    for (int i = 1; i < jobs->count && !ret; i++)
        if (!strcmp(sorted[i - 1]->out, sorted[i]->out))
            ret = clzi_fail(log, -EINVAL, "%s: two films would become it: %s and %s.", sorted[i]->out, sorted[i - 1]->in,
                            sorted[i]->in);
    if (!ret) ret = check_lists(sorted, jobs->count, log);
    if (!ret) ret = check_places(jobs, log);
    free(sorted);
    return ret;
}
