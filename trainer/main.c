// main.c - the commands of colorize-train.
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "checkpoint.h"
#include "compare.h"
#include "convert.h"
#include "engine/model.h"
#include "engine/model_json.h"
#include "facts.h"
#include "nets.h"
#include "progress.h"
#include "report.h"
#include "run.h"
#include "sample.h"
#include "source.h"
#include "survey.h"
#include "validate.h"

enum { OVERFIT_STEPS = 200, LR_STEPS = 100 };
enum { VAL_PICTURES = 256 };                // default of val_pictures, as in recipes
enum { EXIT_USAGE = 2, EXIT_DATA = 65, EXIT_IO = 74 };

static volatile sig_atomic_t stop_signal;   // the only type a signal handler may write
static volatile int stop, save_now;

static void on_signal(int signal)
{
    if (signal == SIGUSR1) {
        save_now = 1;
        return;
    }
    if (stop) _Exit(128 + signal);          // the second signal ends at once
    stop_signal = signal;
    stop = 1;
}

static void catch_signals(void)
{
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void print_message(void *priv, enum clz_log_level level, const char *msg)
{
    static const char *const words[] = { "error: ", "warning: ", "", "", "" };
    struct clzt_console *console = priv;

    if (console->progress) clzt_progress_clear(console->progress);
    fprintf(stderr, "%s%s\n", words[level], msg);
}

static int exit_status(int ret)
{
    switch (ret) {
    case -EINTR:
    case -ECANCELED:
    case -ESHUTDOWN: return 128 + stop_signal;
    case -EINVAL: return EXIT_USAGE;
    case -EDOM:
    case -EBADMSG: return EXIT_DATA;
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
    case -EIO:    return EXIT_IO;
    default:      return ret < 0;
    }
}

// Prints the messages of errors that are not logged where they occur.
static int finish(int ret)
{
    if (ret == -ENOMEM) fprintf(stderr, "error: out of memory\n");
    else if (ret == -EINTR) fprintf(stderr, "stopped; a checkpoint was written, colorize-train resume continues from it\n");
    else if (ret == -ECANCELED) fprintf(stderr, "stopped before the first step; no checkpoint and no model were written\n");
    else if (ret == -ESHUTDOWN) fprintf(stderr, "stopped\n");      // what has no checkpoints: sample, lr-find, one batch
    return exit_status(ret);
}

// ---- commands ----

struct command {
    const char *name, *usage;
    int least;                              // number of required arguments
    const char *help;
    int (*run)(int argc, char **argv, const struct clz_log *log);
};

// If arg is "key=value" with that key, sets *value.
static bool option(const char *arg, const char *key, const char **value)
{
    const size_t n = strlen(key);

    if (strncmp(arg, key, n) || arg[n] != '=') return false;
    *value = arg + n + 1;
    return true;
}

static int one_of(const char *key, const char *value, const char *no, const char *yes, int *choice, const struct clz_log *log)
{
    *choice = !strcmp(value, yes);
    return *choice || !strcmp(value, no) ? 0 : clzi_fail(log, -EINVAL, "%s: \"%s\" is neither %s nor %s.", key, value, no, yes);
}

// "key=N" with N from `least` to `most`; `at`: where N begins.
static int number_of(const char *argument, int at, int least, int most, int *n, const struct clz_log *log)
{
    char *end;
    const long value = strtol(argument + at, &end, 10);

    if (end == argument + at || *end || value < least || value > most)
        return clzi_fail(log, -EINVAL, "%.*s: \"%.100s\"; expected a whole number from %d to %d.", at - 1, argument,
                         argument + at, least, most);
    *n = (int)value;
    return 0;
}

// "key=A,B,..." with up to `most_numbers` numbers of a range; *count: how many, may be NULL. Nothing is changed on an error.
static int numbers_of(const char *argument, double least, double most, double *numbers, int most_numbers, int *count,
                      const struct clz_log *log)
{
    const char *text = strchr(argument, '=') + 1;
    double values[CLZT_SAMPLE_SETTINGS];
    int n = 0;

    for (char *end;; text = end + 1) {
        if (n == most_numbers) return clzi_fail(log, -EINVAL, "%s: expected at most %d number%s.", argument, n, n > 1 ? "s" : "");
        values[n] = strtod(text, &end);
        if (end == text || (*end && *end != ',') || !(values[n] >= least && values[n] <= most))
            return clzi_fail(log, -EINVAL, "%.200s: expected numbers from %g to %g with commas between them.", argument, least,
                             most);
        n++;
        if (!*end) break;
    }
    memcpy(numbers, values, (size_t)n * sizeof *numbers);
    if (count) *count = n;
    return 0;
}

// Checks that the folder of an output file exists before slow work begins.
static int check_folder(const char *key, const char *path, const struct clz_log *log)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int ret = folder ? 0 : -ENOMEM;

    if (!ret && access(folder, F_OK)) ret = clzi_fail(log, -errno, "%s: %s: %s.", key, folder, strerror(errno));
    free(folder);
    return ret;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int load_recipe(struct clzt_recipe *r, const char *path, const struct clz_log *log)
{
    char *inside = NULL;
    int ret;

    if (!is_folder(path) && !clzt_source_probe(path)) return clzt_recipe_load(r, path, log);
    if (asprintf(&inside, "%s/recipe.yaml", path) < 0) return -ENOMEM;
    if (!access(inside, F_OK))
        ret = clzi_fail(log, -EINVAL, "%s is the folder of a run, not a recipe: colorize-train resume %s continues it.", path,
                        path);
    else
        ret = clzi_fail(log, -EINVAL, "%s is a %s, not a recipe: colorize-train train RECIPE.yaml train=%s trains on it. "
                        "There are recipes in samples/recipes.", path, is_folder(path) ? "folder" : "picture or a video", path);
    free(inside);
    return ret;
}

// Loads the recipe of a run folder. Its key `run` is overwritten, since the folder may have been moved.
static int load_run(struct clzt_recipe *r, const char *folder, const struct clz_log *log)
{
    char *path = NULL, *run = NULL;
    int ret = asprintf(&path, "%s/recipe.yaml", folder) < 0 || !(run = strdup(folder)) ? -ENOMEM : 0;

    if (ret >= 0) ret = clzt_recipe_load(r, path, log);
    if (ret >= 0) {
        free(r->run);
        r->run = run;
        run = NULL;
    }
    free(path);
    free(run);
    return ret;
}

static int load_run_to_resume(struct clzt_recipe *r, const char *folder, const struct clz_log *log)
{
    char *ckpt = NULL;
    int64_t step;
    int ret;

    if (!access(folder, F_OK) && !is_folder(folder))
        return clzi_fail(log, -EINVAL, "%s is not the folder of a run. colorize-train train takes a recipe, and continues its "
                         "run.", folder);
    if ((ret = load_run(r, folder, log)) < 0) return ret;
    if (asprintf(&ckpt, "%s/ckpt", folder) < 0) return -ENOMEM;
    if (clzt_checkpoint_list(ckpt, &step, 1) < 1)
        ret = clzi_fail(log, -ENOENT, "%s: there is no checkpoint (step-N) to continue from; colorize-train train "
                        "%s/recipe.yaml begins at step 0.", ckpt, folder);
    free(ckpt);
    return ret;
}

// The folder of the run is an argument of its own; run= would name a second one.
static int refuse_run(const char *command, int argc, char **argv, const struct clz_log *log)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "run=", 4))
            return clzi_fail(log, -EINVAL, "%.200s: colorize-train %s takes the folder of the run as its first argument; "
                             "expected no run=.", argv[i], command);
    return 0;
}

static int train_with(int (*load)(struct clzt_recipe *, const char *, const struct clz_log *), int argc, char **argv,
                      const struct clz_log *log)
{
    struct clzt_recipe *r = NULL;
    bool dry = false, overfit = false;
    int ret = clzt_recipe_create(&r);

    if (ret >= 0) ret = load(r, argv[0], log);
    for (int i = 1; i < argc && ret >= 0; i++) {
        if (load == load_recipe && !strcmp(argv[i], "--dry-run")) dry = true;
        else if (load == load_recipe && !strcmp(argv[i], "--overfit-one-batch")) overfit = true;
        else ret = clzt_recipe_set(r, argv[i], log);
    }
    if (ret >= 0) ret = clzt_recipe_absolute(r);
    if (ret >= 0) ret = clzt_recipe_check(r, log);              // after paths were made absolute: the text of all is checked
    if (ret >= 0 && dry) ret = clzt_run_dry(r, stdout, log);
    else if (ret >= 0) {
        catch_signals();
        if (overfit)
            ret = clzt_run_overfit(r, r->length_given[0] && r->steps ? r->steps : OVERFIT_STEPS, stdout, log, &stop);
        else
            ret = clzt_run(r, log, log->priv, &stop, &save_now);
    }
    clzt_recipe_destroy(&r);
    return ret;
}

static int train(int argc, char **argv, const struct clz_log *log)
{
    return train_with(load_recipe, argc, argv, log);
}

static int lr_find(int argc, char **argv, const struct clz_log *log)
{
    struct clzt_lr_find p = { .from = 1e-6, .to = 1, .steps = LR_STEPS, .out = "lr.csv" };
    struct clzt_recipe *r = NULL;
    const char *value;
    int ret = clzt_recipe_create(&r);

    if (ret >= 0) ret = load_recipe(r, argv[0], log);
    for (int i = 1; i < argc && ret >= 0; i++) {
        if (option(argv[i], "out", &p.out)) ret = check_folder("out", p.out, log);
        else if (!strncmp(argv[i], "steps=", 6)) ret = number_of(argv[i], 6, 10, 100000, &p.steps, log);
        else if (option(argv[i], "from", &value)) ret = numbers_of(argv[i], 1e-12, 100, &p.from, 1, NULL, log);
        else if (option(argv[i], "to", &value)) ret = numbers_of(argv[i], 1e-12, 100, &p.to, 1, NULL, log);
        else ret = clzt_recipe_set(r, argv[i], log);
    }
    if (ret >= 0 && p.from >= p.to) ret = clzi_fail(log, -EINVAL, "from: %g; expected less than to, %g.", p.from, p.to);
    if (ret >= 0) ret = clzt_recipe_check(r, log);
    if (ret >= 0) {
        catch_signals();
        ret = clzt_run_lr_find(r, &p, stdout, log, &stop);
    }
    clzt_recipe_destroy(&r);
    return ret;
}

static int resume(int argc, char **argv, const struct clz_log *log)
{
    const int ret = refuse_run("resume", argc - 1, argv + 1, log);
    return ret < 0 ? ret : train_with(load_run_to_resume, argc, argv, log);
}

static int export_model(int argc, char **argv, const struct clz_log *log)
{
    static const struct { const char *name; enum clzi_dtype dtype; } types[] = {
        { "f16", CLZI_F16 }, { "f32", CLZI_F32 }, { "bf16", CLZI_BF16 }
    };
    const size_t length = strlen(argv[1]);
    struct clzt_export p = { .path = argv[1], .dtype = CLZI_F16 };
    struct clzt_recipe *r = NULL;
    int step = 0, ret = clzt_recipe_create(&r);

    p.plain = length > 12 && !strcmp(argv[1] + length - 12, ".safetensors");
    for (int i = 2; i < argc; i++) p.plain |= !strcmp(argv[i], "--safetensors");
    if (p.plain) p.dtype = CLZI_F32;
    if (ret >= 0) ret = refuse_run("export", argc - 2, argv + 2, log);
    if (ret >= 0) ret = load_run(r, argv[0], log);
    for (int i = 2; i < argc && ret >= 0; i++) {
        size_t k = 0;
        if (!strncmp(argv[i], "step=", 5)) {
            if ((ret = number_of(argv[i], 5, 1, INT_MAX, &step, log)) >= 0) p.step = step;
            continue;
        }
        if (strchr(argv[i], '=')) {
            ret = clzt_recipe_set(r, argv[i], log);
            continue;
        }
        if (!strcmp(argv[i], "--safetensors")) continue;
        while (k < sizeof types / sizeof *types && strcmp(argv[i], types[k].name)) k++;
        if (k < sizeof types / sizeof *types) p.dtype = types[k].dtype;
        else ret = clzi_fail(log, -EINVAL, "number format: \"%s\" is not one of f16, f32, bf16.", argv[i]);
    }
    if (ret >= 0) ret = clzt_recipe_check(r, log);
    if (ret >= 0) ret = clzt_run_export(r, &p, log);
    clzt_recipe_destroy(&r);
    return ret;
}

static int convert(int argc, char **argv, const struct clz_log *log)
{
    struct clzt_convert c = { .in = argv[0], .out = argv[1], .square = -1 };
    const char *text;
    char more;
    int ret = 0, strict = 1, lstar;

    for (int i = 2; i < argc && ret >= 0; i++) {
        if (option(argv[i], "net", &c.net) || option(argv[i], "section", &c.section)) continue;
        if (option(argv[i], "license", &c.license)) continue;
        if (option(argv[i], "input", &c.input)) ret = one_of("input", c.input, "luma", "lstar", &lstar, log);
        else if (option(argv[i], "working_shape", &text)) ret = one_of("working_shape", text, "frame", "square", &c.square, log);
        else if (option(argv[i], "strict", &text)) ret = one_of("strict", text, "no", "yes", &strict, log);
        else if (sscanf(argv[i], "working_size=%d%c", &c.size, &more) != 1)
            ret = clzi_fail(log, -EINVAL, "convert: \"%s\" is not one of its options.", argv[i]);
    }
    c.loose = !strict;
    return ret < 0 ? ret : clzt_convert(&c, log);
}

// The default of `scale` for val: as in the model's training. Unscaled, crops of large pictures show too small a part of them.
static int scale_as_trained(const struct clz_model *m, int size, const struct clz_log *log)
{
    const int scale = clzt_facts_scale(m->facts.train, size);

    if (scale) clzi_log(log, CLZ_LOG_INFO, "pictures are scaled to a short side of %d; scale= changes it", scale);
    else clzi_log(log, CLZ_LOG_INFO, "pictures are not scaled, as in training; scale= changes it");
    return scale;
}

// The default of `luma` for val: the input that the model was trained with.
static int luma_as_trained(const struct clz_model *m, const struct clz_log *log)
{
    if (strcmp(m->facts.input, "lstar")) return CLZT_LUMA_RANDOM;
    clzi_log(log, CLZ_LOG_INFO, "the network's input is L* of the colour pixel, as in training; luma= changes it");
    return CLZT_LUMA_LSTAR;
}

// A discriminator, which convert writes too, has no colours to score.
static int check_generator(const struct clz_model *m, const char *path, const struct clz_log *log)
{
    const struct clzi_graph *g = m->graph;

    const int l = g->in_count == 1 ? 0 : clzi_port_find(g->in, g->in_count, "L");

    if (l >= 0 && clzi_graph_channels(g, g->in[l].node) == 1 && clzi_graph_channels(g, g->out[0].node) == 2) return 0;
    return clzi_fail(log, -EINVAL, "%s is no generator, but %s: expected a network with an input L of 1 channel that answers ab.",
                     path, m->facts.arch);
}

// Prints the scores, or writes them as JSON where the arguments --json and json=FILE say so.
static int put_scores(const struct clzt_column *columns, int count, json_t *facts, bool json, const char *path,
                      const struct clz_log *log)
{
    char *text = clzt_scores_json(facts, columns, count);
    int ret = text ? 0 : -ENOMEM;

    if (ret >= 0 && json) ret = fputs(text, stdout) < 0 ? -EIO : 0;
    else if (ret >= 0) ret = clzt_scores_print(stdout, columns, count);
    if (ret >= 0 && path) ret = clzi_file_replace(path, text, strlen(text), log);
    free(text);
    return ret;
}

static int val(int argc, char **argv, const struct clz_log *log)
{
    struct clzt_recipe *r = NULL;
    struct clz_model *m = NULL;
    struct clzi_device *dev = NULL;
    struct clzt_dataset *data = NULL;
    struct clzt_colours colours;
    struct clzt_validation v;
    const char *sheet = NULL, *features = NULL, *json_path = NULL, *text;
    int ret = clzt_recipe_create(&r), hints = 0, film = 0, classes = 0;
    bool json = false;

    if (ret >= 0) ret = clzi_model_read(&m, argv[0], log);
    if (ret >= 0) ret = check_generator(m, argv[0], log);
    if (ret >= 0) {
        r->size = m->facts.size;
        r->scale = r->luma = r->val_pictures = -1;      // not given; outside the ranges of these keys
    }
    for (int i = 1; i < argc && ret >= 0; i++) {
        if (!strncmp(argv[i], "sheet=", 6)) sheet = argv[i] + 6;
        else if (!strncmp(argv[i], "hints=", 6)) ret = number_of(argv[i], 6, 0, 1000, &hints, log);
        else if (option(argv[i], "film", &text)) ret = one_of("film", text, "no", "yes", &film, log);
        else if (option(argv[i], "classes", &text)) ret = one_of("classes", text, "no", "yes", &classes, log);
        else if (option(argv[i], "features", &features) || option(argv[i], "json", &json_path)) continue;
        else if (!strcmp(argv[i], "--json")) json = true;
        else ret = clzt_recipe_set(r, argv[i], log);
    }
    if (ret >= 0 && !r->val.count) ret = clzi_fail(log, -EINVAL, "val: no folder, video or picture is given.");
    if (ret >= 0) ret = clzt_paths_check((const char *const *)r->val.items, r->val.count, "val", log);
    if (ret >= 0 && features) ret = clzt_paths_check(&features, 1, "features", log);
    if (ret >= 0 && sheet) ret = check_folder("sheet", sheet, log);
    if (ret >= 0 && json_path) ret = check_folder("json", json_path, log);
    if (ret >= 0 && film && r->val_pictures >= 0)
        ret = clzi_fail(log, -EINVAL, "val_pictures: %d; expected none with film=yes, which scores every frame.",
                        r->val_pictures);
    if (ret >= 0 && r->val_pictures < 0) r->val_pictures = film ? 0 : VAL_PICTURES;
    if (ret >= 0 && r->size % m->facts.stride)
        ret = clzi_fail(log, -EINVAL, "size: %d is not a multiple of %d, the stride of %s.", r->size, m->facts.stride, argv[0]);
    if (ret >= 0 && r->scale < 0) r->scale = scale_as_trained(m, r->size, log);
    if (ret >= 0 && r->luma < 0) r->luma = luma_as_trained(m, log);
    if (ret >= 0)
        ret = clzi_device_open(&dev, *r->device ? r->device : NULL,
                               &(struct clzi_device_params){ .threads = r->threads, .precision = r->precision, .log = *log });
    if (ret >= 0) ret = clzi_device_enter(dev);
    if (ret >= 0)
        ret = clzt_dataset_open(&data, &(struct clzt_dataset_params){
            .paths = (const char *const *)r->val.items, .path_count = r->val.count,
            .coco_images = (const char *const *)r->coco_images.items, .coco_images_count = r->coco_images.count,
            .min_spread = r->min_spread, .shot_frames = r->shot_frames, .scale = r->scale, .min_side = r->size,
            .threads = r->threads, .log = *log });
    if (ret >= 0) ret = clzt_dataset_fill(data);                // leaves out nearly grey pictures, if asked to
    if (ret >= 0) ret = clzt_dataset_colours(data, 0, &colours, NULL);
    if (ret >= 0) clzt_colours_warn(&colours, "val", log);
    if (ret >= 0)
        ret = clzt_validate(dev, m->graph, m->values, data,
                            &(struct clzt_validate_params){
                                .size = r->size, .batch = r->batch, .zoom_out = r->zoom_out, .pictures = r->val_pictures,
                                .hints = hints, .classes = classes ? m->facts.classes : NULL, .luma = r->luma,
                                .l_scale = m->facts.l_scale, .l_offset = m->facts.l_offset,
                                .mean = { colours.mean[0], colours.mean[1] },
                                .saturation = (float)r->saturation * m->facts.ab_scale / 110,
                                .own = true, .film = film, .features = features,
                                .sheet = sheet, .sheet_pictures = r->sheet_pictures, .workers = r->workers }, &v);
    if (ret >= 0) {
        const struct clzt_column columns[] = { { "model", "model", &v.model }, { "grey", "grey", &v.grey },
                                               { "mean colour", "mean_colour", &v.mean }, { "own mean", "own_mean", &v.own } };
        ret = put_scores(columns, 4, json_pack("{s:s, s:s, s:i, s:i, s:i}", "model", clzi_printable(argv[0]).text, "net",
                                               clzi_printable(m->facts.arch).text, "size", r->size, "scale", r->scale, "hints",
                                               hints), json, json_path, log);
    }
    if (ret >= 0) ret = v.sheet;
    clzt_dataset_close(&data);
    clzi_device_close(&dev);
    clz_model_close(&m);
    clzt_recipe_destroy(&r);
    return ret;
}

static int compare(int argc, char **argv, const struct clz_log *log)
{
    struct clzt_dataset *films[2] = { NULL, NULL };
    struct clzt_colours colours;
    struct clzt_comparison c;
    long long pictures = 64;
    const char *json_path = NULL;
    bool json = false;
    int ret = 0;
    char more;

    for (int i = 2; i < argc && ret >= 0; i++) {
        if (option(argv[i], "json", &json_path)) ret = check_folder("json", json_path, log);
        else if (!strcmp(argv[i], "--json")) json = true;
        else if (sscanf(argv[i], "pictures=%lld%c", &pictures, &more) != 1 || pictures < 0)
            ret = clzi_fail(log, -EINVAL, "compare: \"%s\" is not pictures=N, json=FILE or --json.", argv[i]);
    }
    for (int i = 0; i < 2 && ret >= 0; i++)
        ret = clzt_dataset_open(&films[i], &(struct clzt_dataset_params){ .paths = (const char *const *)argv + i, .path_count = 1,
                                                                          .log = *log });
    if (ret >= 0) ret = clzt_dataset_colours(films[0], pictures, &colours, NULL);
    if (ret >= 0) ret = clzt_compare(films[0], films[1], pictures, colours.mean, &c);
    if (ret >= 0) {
        const struct clzt_column columns[] = { { "film", "film", &c.film }, { "grey", "grey", &c.grey },
                                               { "mean colour", "mean_colour", &c.mean }, { "own mean", "own_mean", &c.own } };
        ret = put_scores(columns, 4, json_pack("{s:s, s:s}", "truth", clzi_printable(argv[0]).text, "film",
                                               clzi_printable(argv[1]).text), json, json_path, log);
    }
    for (int i = 0; i < 2; i++) clzt_dataset_close(&films[i]);
    return ret;
}

static int sample(int argc, char **argv, const struct clz_log *log)
{
    struct clzt_sample_params p = { .model = argv[0], .in = argv[1], .out = argv[2], .strength = { 1 }, .saturation = { 1 },
                                    .stop = &stop };
    struct { const char *key; double least, most, *values; int count; } lists[] = {
        { "strength", 0, 1, p.strength, 1 }, { "saturation", 0, 4, p.saturation, 1 },
        { "temperature", 0.01, 10, p.temperature, 1 }
    };
    enum { LISTS = sizeof lists / sizeof *lists };
    int ret = 0, pictures = 0;

    p.settings = 1;
    for (int i = 3; i < argc && ret >= 0; i++) {
        const char *unused;
        int k = 0;
        while (k < LISTS && !option(argv[i], lists[k].key, &unused)) k++;
        if (k < LISTS) ret = numbers_of(argv[i], lists[k].least, lists[k].most, lists[k].values, CLZT_SAMPLE_SETTINGS,
                                       &lists[k].count, log);
        else if (option(argv[i], "device", &p.device)) continue;
        else if (!strncmp(argv[i], "size=", 5)) ret = number_of(argv[i], 5, 32, 2048, &p.size, log);
        else if (!strncmp(argv[i], "threads=", 8)) ret = number_of(argv[i], 8, 0, 1024, &p.threads, log);
        else if (!strncmp(argv[i], "pictures=", 9)) ret = number_of(argv[i], 9, 0, INT_MAX, &pictures, log);
        else ret = clzi_fail(log, -EINVAL, "sample: \"%s\" is not one of its options.", argv[i]);
    }
    for (int k = 0; k < LISTS; k++)
        if (lists[k].count > p.settings) p.settings = lists[k].count;
    for (int k = 0; k < LISTS && ret >= 0; k++) {
        if (lists[k].count != 1 && lists[k].count != p.settings)
            ret = clzi_fail(log, -EINVAL, "%s: %d numbers beside %d of another; expected one, or as many.", lists[k].key,
                            lists[k].count, p.settings);
        for (int i = lists[k].count; i < p.settings; i++) lists[k].values[i] = lists[k].values[0];
    }
    p.pictures = pictures;
    if (ret >= 0) ret = clzt_paths_check(&p.in, 1, "sample", log);
    if (ret >= 0) catch_signals();
    return ret < 0 ? ret : clzt_sample(&p, log);
}

static int report(int argc, char **argv, const struct clz_log *log)
{
    const char *runs[CLZT_REPORT_RUNS];
    struct clzt_report r = { .runs = runs, .sheets = -1 };
    int ret = 0;

    for (int i = 0; i < argc && ret >= 0; i++) {
        if (option(argv[i], "out", &r.out)) ret = check_folder("out", r.out, log);
        else if (!strncmp(argv[i], "sheets=", 7)) ret = number_of(argv[i], 7, 0, CLZT_REPORT_SHEETS, &r.sheets, log);
        else if (r.count < CLZT_REPORT_RUNS) runs[r.count++] = argv[i];
        else ret = clzi_fail(log, -EINVAL, "report: \"%s\" is one run too many; expected at most %d.", argv[i], CLZT_REPORT_RUNS);
    }
    if (ret >= 0 && !r.count) ret = clzi_fail(log, -EINVAL, "report: no folder of a run is given.");
    return ret < 0 ? ret : clzt_report_write(&r, log);
}

// Prints text of a model file without control characters, since escape sequences from an untrusted file must not reach the
// terminal. The text is UTF-8; the C1 controls are encoded as c2 80 to c2 9f.
static void print_text(const char *label, const char *text)
{
    printf("%-12s", label);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];
        const bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
        putchar(c < 32 || c == 127 || c1 ? '?' : c);
        text += c1;
    }
    putchar('\n');
}

static int info(int argc, char **argv, const struct clz_log *log)
{
    (void)argc;
    struct clz_model *m = NULL;
    int ret = clzi_model_read(&m, argv[0], log);

    if (ret < 0) return ret;
    printf("net         %s, %d nodes, %lld parameters\n", clzi_printable(m->facts.arch).text, m->graph->node_count,
           (long long)clzi_graph_trainable_count(m->graph));
    printf("input       L* of %s, L / %g - %g; answer ab / %g\n",
           strcmp(m->facts.input, "lstar") ? "the grey pixel with the frame's luma" : "the colour pixel", m->facts.l_scale,
           m->facts.l_offset, m->facts.ab_scale);
    for (int i = 0; i < m->graph->in_count && m->graph->in_count > 1; i++)
        printf("%s%s", i ? ", " : "inputs      ", m->graph->in[i].name);
    if (m->graph->in_count > 1) putchar('\n');
    printf("size        %s %d, multiples of %d\n", strcmp(m->facts.shape, "square") ? "short side" : "square of", m->facts.size,
           m->facts.stride);
    print_text("training", m->facts.train);
    if (*m->facts.classes) print_text("classes", m->facts.classes);
    print_text("license", m->facts.license);
    printf("sha256      %s (of the weights; verified)\n", m->facts.sha256);
    clz_model_close(&m);
    return 0;
}

static void show_survey(void *priv, int64_t done, int64_t total)
{
    (void)total;
    clzt_progress_update(priv, done, NULL);
}

static int dataset(int argc, char **argv, const struct clz_log *log)
{
    const bool stats = !strcmp(argv[0], "stats");
    struct clzt_dataset_params d = { .quiet = true, .log = *log };
    struct clzt_survey_params p = { .progress = show_survey };
    struct clzt_console *console = log->priv;
    struct clzt_progress *progress = NULL;
    struct clzt_dataset *data = NULL;
    struct clzt_survey *survey = NULL;
    const char **const paths = calloc(argc, sizeof *paths), *images = NULL;
    bool json = false;
    int ret = paths ? 0 : -ENOMEM, pictures = 0;

    if (!stats && strcmp(argv[0], "scan"))
        ret = clzi_fail(log, -EINVAL, "dataset: \"%.100s\" is neither scan nor stats.", argv[0]);
    for (int i = 1; i < argc && ret >= 0; i++) {
        if (!strcmp(argv[i], "--json")) json = true;
        else if (!strncmp(argv[i], "workers=", 8)) ret = number_of(argv[i], 8, 0, 256, &p.workers, log);
        else if (stats && !strncmp(argv[i], "pictures=", 9)) ret = number_of(argv[i], 9, 0, 1000000000, &pictures, log);
        else if (stats && !strncmp(argv[i], "scale=", 6)) ret = number_of(argv[i], 6, 0, 8192, &d.scale, log);
        else if (option(argv[i], "coco.images", &images)) d.coco_images_count = 1;
        else paths[d.path_count++] = argv[i];
    }
    if (ret >= 0 && !d.path_count) ret = clzi_fail(log, -EINVAL, "dataset %s: no folder, video or picture is given.", argv[0]);
    d.paths = paths;
    d.coco_images = &images;
    p.pictures = pictures;
    if (ret >= 0) ret = clzt_progress_create(&progress, &(struct clzt_progress_params){ .file = stderr, .unit = "picture" });
    if (ret >= 0) ret = clzt_dataset_open(&data, &d);
    if (ret >= 0) {
        const int64_t count = clzt_dataset_count(data);
        p.priv = console->progress = progress;
        clzt_progress_begin(progress, argv[0], 0, pictures && pictures < count ? pictures : count, 0);
        ret = clzt_survey_make(&survey, data, &p);
        clzt_progress_end(progress);
    }
    if (ret >= 0)
        ret = stats ? clzt_survey_print_stats(stdout, survey, json) : clzt_survey_print_scan(stdout, survey, data, json);
    console->progress = NULL;
    clzt_survey_destroy(&survey);
    clzt_dataset_close(&data);
    clzt_progress_destroy(&progress);
    free(paths);
    return ret;
}

static int keys(int argc, char **argv, const struct clz_log *log)
{
    (void)log;
    return clzt_recipe_print_keys(stdout, argc > 0 && !strcmp(argv[0], "--markdown"));
}

static int nets(int argc, char **argv, const struct clz_log *log)
{
    (void)argc, (void)argv, (void)log;
    for (const struct clzt_net *const *net = clzt_nets; *net; net++) printf("%-16s %s\n", (*net)->name, (*net)->help);
    puts("\ndiscriminators, for discriminator.net:");
    for (const struct clzt_net *const *net = clzt_discriminators; *net; net++) printf("%-16s %s\n", (*net)->name, (*net)->help);
    return 0;
}

static const struct command commands[] = {
    { "train",  "RECIPE.yaml [key=value ...] [--dry-run] [--overfit-one-batch]", 1,
      "train; continues from the newest checkpoint of the run folder. --dry-run: checks recipe and pictures, prints layers and "
      "memory, and trains nothing; --overfit-one-batch: trains on one batch alone, to see the loss fall", train },
    { "lr-find", "RECIPE.yaml [from=1e-6] [to=1] [steps=100] [out=lr.csv] [key=value ...]", 1,
      "train with a learning rate that rises, and print where the loss falls fastest; writes the curve, OUT and OUT.html",
      lr_find },
    { "resume", "RUN [key=value ...]", 1, "continue the run in a folder", resume },
    { "val",    "MODEL.bin val=PATH [size=N] [scale=N] [batch=32] [sheet=OUT.png] [film=yes] [classes=yes] "
      "[features=NET.bin] [json=FILE] [--json] [saturation=1] [key=value ...]", 1,
      "scores of a model, beside three baselines: grey, the mean colour of all pictures, that of each picture. Default of size: "
      "the model's; of scale: as in training, 0: pictures are not scaled. film=yes: the pictures are a film, whose steadiness is "
      "scored; classes=yes: the model is told what COCO says of each picture; features: FD-lite0; --json: as JSON instead of the "
      "table", val },
    { "compare", "TRUE.mp4 FILM.mp4 [pictures=64] [json=FILE] [--json]", 2,
      "the same scores of a coloured film against the true one; 0: all frames, and the film's steadiness", compare },
    { "sample", "MODEL.bin IN OUT [strength=A,B,...] [saturation=A,B,...] [temperature=A,B,...] [pictures=N] [size=N] "
      "[device=NAME] [threads=N]", 3,
      "colour a picture, or a folder's or video's N pictures into the folder OUT, at their own size, as the filter does; with "
      "several numbers grey and the results side by side", sample },
    { "report", "RUN [RUN ...] [out=FILE.html] [sheets=N]", 1,
      "write a page about a run, or several side by side: curves, scores, N sample sheets, recipe; default: RUN/report.html",
      report },
    { "export", "RUN OUT.bin [f16|f32|bf16] [step=N] [working_size=N] [working_shape=square] [saturation=X] [license=...] "
      "[notes=...]", 2, "write the newest checkpoint, or that of a step, as a model file; OUT.safetensors or --safetensors: as "
      "weights for PyTorch, f32", export_model },
    { "convert", "WEIGHTS.pth OUT.bin [net=NAME] [section=KEY] [strict=no] [license=...] [input=lstar] [working_size=N] "
      "[working_shape=square]", 2, "write a PyTorch checkpoint or safetensors file as a model file, for init= of a recipe",
      convert },
    { "dataset", "scan PATH... [--json] [workers=N] [coco.images=DIR] | stats PATH... [--json] [pictures=N] [scale=N] [...]", 2,
      "scan: count pictures, films, sizes, damaged files, nearly grey pictures, duplicates; stats: means and deviations of L*, "
      "a*, b*, colourfulness, the 313 classes of colour", dataset },
    { "info",   "MODEL.bin", 1, "print the metadata of a model file", info },
    { "nets",   "", 0, "list the networks", nets },
    { "keys",   "[--markdown]", 0, "list the keys of recipes with defaults and ranges", keys },
};

static int help(FILE *file)
{
    fprintf(file, "colorize-train %s: trains and evaluates models for the colorize filter\n\n", clz_version());
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(file, "  colorize-train %s %s\n        %s\n", commands[i].name, commands[i].usage, commands[i].help);
    fprintf(file, "\nSignals: INT or TERM end the training after the current step, with a checkpoint (twice: at once); USR1 "
                  "writes a checkpoint.\n"
                  "Exit status: 0 success, 2 usage or recipe, 65 invalid data or a loss that is not finite, 74 disk full or I/O "
                  "error, 130/143 stopped by a signal, 1 other errors.\n");
    return file == stdout ? 0 : EXIT_USAGE;
}

// Refuses a key that is given twice, such as steps=5 steps=6.
static int check_options(int count, char **options, const struct clz_log *log)
{
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++) {
            const size_t n = strcspn(options[i], "=");
            if (!strncmp(options[i], options[k], n) && options[i][n] == options[k][n])
                return clzi_fail(log, -EINVAL, "%.*s is given twice: %.200s and %.200s.", (int)n, options[i], options[i],
                                 options[k]);
        }
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv, const struct clz_log *log)
{
    const int ret = check_options(argc - command->least, argv + command->least, log);
    return ret < 0 ? ret : command->run(argc, argv, log);
}

int main(int argc, char **argv)
{
    struct clzt_console console = { NULL };
    const struct clz_log log = { print_message, &console, CLZ_LOG_INFO };

    if (argc < 2) return help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) return help(stdout);
    if (!strcmp(argv[1], "--version")) {
        printf("colorize-train %s\n", clz_version());
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name)) continue;
        if (argc - 2 >= commands[i].least) return finish(run_command(&commands[i], argc - 2, argv + 2, &log));
        fprintf(stderr, "usage: colorize-train %s %s\n", commands[i].name, commands[i].usage);
        return EXIT_USAGE;
    }
    fprintf(stderr, "error: no command is called \"%s\"; colorize-train --help lists the commands.\n", argv[1]);
    return EXIT_USAGE;
}
