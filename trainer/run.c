// run.c - a training run, from recipe to model file.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "engine/atomic_file.h"
#include "engine/clock.h"
#include "engine/log.h"
#include "facts.h"
#include "nets.h"
#include "progress.h"
#include "run.h"
#include "step.h"
#include "validate.h"

enum { BAD_STEPS_IN_A_ROW = 50, FAILED_SAVES = 3, LOSS_LINE = 100 };

struct run {
    struct clzt_recipe *recipe;
    const struct clz_log *log;
    struct clzt_console *console;
    const volatile int *stop;
    volatile int *save;
    const struct clzt_net *net;
    struct clzi_device *dev;
    struct clzi_graph *graph;
    struct clzt_dataset *train, *val;
    struct clzt_loader *loader;
    struct clzt_net_state *generator;
    struct clzt_step *step;
    struct clzt_progress *progress;
    struct clzt_csv *csv;
    struct clzt_ab_weights rarity;
    double mean[2];                         // of the training set, ab / 110
    uint64_t data;                          // hash of the training set; an export takes it from the checkpoint
    float **values;                         // host copy of the parameters, for initialising, validating and the model file
    int64_t number, saved;                  // steps done; number of the newest checkpoint
    double seconds;                         // of training, including those before a resume
    struct clzt_smooth smooth[CLZT_MAX_LOSSES];
    int bad_steps, failed_saves, csv_failed;
    int save_error;                         // error of saving that ends the training; 0: none
    int lock;                               // descriptor of the run folder, which is locked; -1: none
};

static char *path_in(const struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *path_in(const struct run *r, const char *format, ...)
{
    char *name = NULL, *path = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&name, format, args) < 0) name = NULL;
    va_end(args);
    if (!name || asprintf(&path, "%s/%s", r->recipe->run, name) < 0) path = NULL;
    free(name);
    return path;
}

static void values_free(const struct clzi_graph *g, float ***values)
{
    for (int i = 0; *values && i < g->param_count; i++) free((*values)[i]);
    free(*values);
    *values = NULL;
}

static float **values_new(const struct clzi_graph *g)
{
    float **values = calloc((size_t)g->param_count + 1, sizeof *values);

    for (int i = 0; values && i < g->param_count; i++) {
        values[i] = calloc(clzi_param_count(&g->params[i]), sizeof(float));
        if (!values[i]) values_free(g, &values);
    }
    return values;
}

// ---- checkpoints: the blobs of the networks; state: lines "key value" ----

// The moving averages of the losses are saved, so that a resumed run writes the same rows as an uninterrupted one. %a is exact.
static void write_smooth(const struct run *r, char *text, size_t size)
{
    for (int i = 0, used = 0; clzt_losses[i].name; i++)
        if (r->smooth[i].weight > 0)
            used += snprintf(text + used, size - used, "smooth.%s %a %a\n", clzt_losses[i].name, r->smooth[i].mean,
                             r->smooth[i].weight);
}

static void read_smooth(struct run *r, const char *state)
{
    for (int i = 0; clzt_losses[i].name; i++) {
        char key[LOSS_LINE];
        const int n = snprintf(key, sizeof key, "\nsmooth.%s ", clzt_losses[i].name);
        const char *line = strstr(state, key);
        struct clzt_smooth s;
        // checkpoints of earlier versions have none: the average begins again
        if (line && sscanf(line + n, "%la %la", &s.mean, &s.weight) == 2) r->smooth[i] = s;
    }
}

static int save(struct run *r)
{
    struct clzt_blob blobs[CLZT_KEPT_COUNT];
    char *dir = path_in(r, "ckpt"), state[512 + LOSS_LINE * CLZT_MAX_LOSSES];
    int used, count, ret = dir ? 0 : -ENOMEM;

    count = clzt_net_state_blobs(r->generator, blobs);
    used = snprintf(state, sizeof state, "net %s\nstep %" PRId64 "\nseconds %.1f\nrecipe %016" PRIx64 "\ndata %016" PRIx64
                    "\nupdates %" PRId64 "\nengine %s\n", r->net->name, r->number, r->seconds, clzt_recipe_hash(r->recipe),
                    r->data, r->generator->updates, clz_version());
    write_smooth(r, state + used, sizeof state - used);
    if (ret >= 0) ret = clzt_checkpoint_save(dir, r->number, blobs, count, state, r->recipe->keep, r->log);
    free(dir);
    if (ret < 0) return ret;
    r->failed_saves = 0;
    r->saved = r->number;
    return 0;
}

// A checkpoint during the training. FAILED_SAVES failures in a row end the training, fewer do not.
static void save_or_warn(struct run *r)
{
    const int ret = save(r);

    if (ret >= 0) return;
    if (++r->failed_saves >= FAILED_SAVES) r->save_error = ret;
    clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": checkpoint not written (%s); earlier ones are kept, training %s.",
             r->number, strerror(-ret), r->save_error ? "ends" : "continues");
}

static uint64_t state_hash(const char *state, const char *key)
{
    const char *line = strstr(state, key);
    return line ? strtoull(line + strlen(key), NULL, 16) : 0;
}

static int check_state(struct run *r, const struct clzt_checkpoint *c)
{
    const struct { const char *key, *what; uint64_t now; } facts[2] = {
        { "\nrecipe ", "another recipe", clzt_recipe_hash(r->recipe) }, { "\ndata ", "other training pictures", r->data },
    };

    for (int i = 0; i < 2; i++)
        if (state_hash(c->state, facts[i].key) != facts[i].now && r->recipe->resume != CLZT_RESUME_FORCE)
            return clzi_fail(r->log, -EINVAL, "%s: step %" PRId64 " was trained with %s; resume=force continues all the same, "
                             "another run= begins a new training.", r->recipe->run, c->step, facts[i].what);
    return 0;
}

// A number of the state; `otherwise`: checkpoints of earlier versions do not have it.
static int64_t state_number(const struct clzt_checkpoint *c, const char *key, int64_t otherwise)
{
    const char *line = strstr(c->state, key);
    return line ? strtoll(line + strlen(key), NULL, 10) : otherwise;
}

// -ENOENT: there is no checkpoint.
static int load(struct run *r)
{
    struct clzt_checkpoint *c = NULL;
    char *dir = path_in(r, "ckpt"), *seconds;
    int ret = dir ? clzt_checkpoint_load(&c, dir, r->log) : -ENOMEM;

    if (ret >= 0 && r->recipe->resume == CLZT_RESUME_NEVER)
        ret = clzi_fail(r->log, -EEXIST, "%s has checkpoints up to step %" PRId64 "; expected none, because of resume=never.",
                        r->recipe->run, c->step);
    if (ret >= 0) ret = check_state(r, c);
    if (ret >= 0) ret = clzt_net_state_load(r->generator, c, dir, r->log);
    if (ret >= 0) {
        r->number = r->saved = c->step;
        r->generator->updates = state_number(c, "\nupdates ", c->step);
        seconds = strstr(c->state, "\nseconds ");
        r->seconds = seconds ? strtod(seconds + 9, NULL) : 0;
        read_smooth(r, c->state);
        clzi_log(r->log, CLZ_LOG_INFO, "continuing from step %" PRId64, r->number);
    }
    clzt_checkpoint_destroy(&c);
    free(dir);
    return ret;
}

// The kind of weights that are validated and exported.
static enum clzt_kept best_kind(const struct run *r)
{
    return r->recipe->ema > 0 ? CLZT_AVERAGE : CLZT_WEIGHTS;
}

// For an export: only the weights that are exported, and on the host. Only the net must agree with the recipe's.
static int load_values(struct run *r)
{
    struct clzt_checkpoint *c = NULL;
    char *dir = path_in(r, "ckpt"), *seconds;
    int ret = dir ? clzt_checkpoint_load(&c, dir, r->log) : -ENOMEM;

    if (ret >= 0) ret = clzt_net_state_values(r->graph, "", best_kind(r), c, dir, r->values, r->log);
    if (ret >= 0) {
        r->number = c->step;
        r->data = state_hash(c->state, "\ndata ");
        seconds = strstr(c->state, "\nseconds ");
        r->seconds = seconds ? strtod(seconds + 9, NULL) : 0;
    }
    clzt_checkpoint_destroy(&c);
    free(dir);
    return ret;
}

// ---- validation and the model file ----

static int read_values(struct run *r)
{
    int ret = 0;

    for (int i = 0; i < r->graph->param_count && ret >= 0; i++)
        ret = clzt_net_state_read(r->generator, best_kind(r), i, r->values[i]);
    return ret;
}

static void show_progress(void *priv, int64_t done, int64_t total)
{
    (void)total;
    clzt_progress_update(priv, done, NULL);
}

static void csv_row(struct run *r, const double *loss, double lr, double rate, const struct clzt_scores *scores)
{
    double row[CLZT_MAX_LOSSES + 32];
    int n = 0;

    row[n++] = lr;
    row[n++] = rate > 0 ? rate : NAN;
    for (int i = 0; clzt_losses[i].name; i++) row[n++] = loss ? loss[i] : NAN;
    for (int i = 0; clzt_score_list[i].name; i++) row[n++] = scores ? clzt_score(scores, &clzt_score_list[i]) : NAN;
    if (clzt_csv_add(r->csv, r->number, row) < 0 && !r->csv_failed++)
        clzi_log(r->log, CLZ_LOG_WARNING, "%s/metrics.csv: a row was not written; training continues.", r->recipe->run);
}

// Whether the validation of the current step is in metrics.csv. A run may have been stopped between checkpoint and validation.
static bool is_validated(const struct run *r)
{
    char *path = path_in(r, "metrics.csv");
    const bool is = path && clzt_csv_has(path, r->number, "psnr");

    free(path);
    return is;
}

void clzt_run_column(char *column, size_t size, const char *loss)
{
    bool taken = false;

    for (int i = 0; clzt_score_list[i].name; i++) taken |= !strcmp(loss, clzt_score_list[i].name);
    snprintf(column, size, "%s%s", taken ? "train_" : "", loss);
}

static int open_csv(struct run *r)
{
    const char *names[CLZT_MAX_LOSSES + 36];
    char losses[CLZT_MAX_LOSSES][40], *path = path_in(r, "metrics.csv");
    int n = 0, ret;

    names[n++] = "step";
    names[n++] = "lr";
    names[n++] = "pictures_per_s";
    for (int i = 0; clzt_losses[i].name; i++) {
        clzt_run_column(losses[i], sizeof losses[i], clzt_losses[i].name);
        names[n++] = losses[i];
    }
    for (int i = 0; clzt_score_list[i].name; i++) names[n++] = clzt_score_list[i].name;
    names[n] = NULL;
    ret = path ? clzt_csv_open(&r->csv, path, names, r->number, r->log) : -ENOMEM;
    free(path);
    return ret;
}

static int validate(struct run *r, bool sheet)
{
    const struct clzt_recipe *c = r->recipe;
    char *path = sheet ? path_in(r, "samples/step-%08" PRId64 ".png", r->number) : NULL;
    struct clzt_validation v;
    const int64_t count = clzt_dataset_count(r->val);
    int ret = read_values(r);

    clzt_progress_end(r->progress);
    clzt_progress_begin(r->progress, "val", 0, c->val_pictures && c->val_pictures < count ? c->val_pictures : count, 1);
    if (ret >= 0)
        ret = clzt_validate(r->dev, r->graph, r->values, r->val,
                            &(struct clzt_validate_params){ .size = c->size, .batch = c->batch, .zoom_out = c->zoom_out,
                                                            .pictures = c->val_pictures,
                                                            .luma = c->luma, .l_scale = CLZT_L_SCALE, .l_offset = CLZT_L_OFFSET,
                                                            .mean = { r->mean[0], r->mean[1] }, .saturation = 1,
                                                            .sheet = path, .sheet_pictures = c->sheet_pictures,
                                                            .workers = c->workers, .stop = r->stop,
                                                            .progress = show_progress, .priv = r->progress }, &v);
    free(path);
    clzt_progress_end(r->progress);
    if (ret >= 0) {
        clzi_log(r->log, CLZ_LOG_INFO, "step %" PRId64 ": val l1 %.4f, PSNR %.2f dB (grey %.2f, mean colour %.2f), SSIM %.4f, "
                 "dE2000 %.2f, colourfulness %.3f of the truth", r->number, v.model.l1, v.model.psnr, v.grey.psnr, v.mean.psnr,
                 v.model.ssim, v.model.de2000, v.model.cf_abs_ratio);
        csv_row(r, NULL, NAN, NAN, &v.model);
        if (v.sheet < 0) clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": no sample sheet was written; training continues.",
                                  r->number);
    }
    clzt_progress_begin(r->progress, "train", r->number, c->steps, c->batch);
    return ret == -ECANCELED ? 0 : ret;
}

static int write_model(struct run *r, const char *path, enum clzi_dtype dtype, bool plain)
{
    struct clzi_model_facts f = { .size = r->recipe->working_size ? r->recipe->working_size : r->net->size,
                                  .stride = clzi_graph_stride(r->graph), .l_scale = CLZT_L_SCALE,
                                  .l_offset = CLZT_L_OFFSET, .ab_scale = (float)(110 * r->recipe->saturation) };
    int ret = 0;

    snprintf(f.shape, sizeof f.shape, "%s", r->recipe->working_shape ? "square" : "frame");
    snprintf(f.arch, sizeof f.arch, "%s", r->net->name);
    snprintf(f.input, sizeof f.input, "%s", r->recipe->luma == CLZT_LUMA_LSTAR ? "lstar" : "luma");
    snprintf(f.license, sizeof f.license, "%s", r->recipe->license ? r->recipe->license : "");
    if (ret >= 0) ret = clzt_facts_write(f.train, sizeof f.train, r->recipe, r->number, r->seconds, r->data, r->log);
    return ret < 0 ? ret : (plain ? clzi_model_write_plain : clzi_model_write)(path, r->graph, r->values, &f, dtype, r->log);
}

// ---- set-up ----

static void destroy(struct run *r)
{
    clzt_csv_close(&r->csv);
    if (r->loader) clzt_loader_destroy(&r->loader);
    clzt_step_destroy(&r->step);
    clzt_net_state_destroy(&r->generator);
    clzt_dataset_close(&r->train);
    clzt_dataset_close(&r->val);
    clzi_device_close(&r->dev);
    if (r->graph) values_free(r->graph, &r->values);
    clzi_graph_destroy(&r->graph);
    if (r->lock >= 0) close(r->lock);
    if (r->console) r->console->progress = NULL;
    clzt_progress_destroy(&r->progress);
}

static int make_folder(const char *path, const struct clz_log *log)
{
    char *copy = strdup(path);
    int ret = copy ? 0 : -ENOMEM;

    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; ret >= 0; slash = strchr(slash + 1, '/')) {
        struct stat st;
        if (slash) *slash = 0;
        if (mkdir(copy, 0777) < 0 && errno != EEXIST)
            ret = clzi_fail(log, -errno, "%s: the folder cannot be created: %s.", copy, strerror(errno));
        else if (stat(copy, &st) || !S_ISDIR(st.st_mode)) ret = clzi_fail(log, -ENOTDIR, "%s exists, but is not a folder.", copy);
        if (!slash) break;
        *slash = '/';
    }
    free(copy);
    return ret;
}

static void sweep(const struct run *r)
{
    static const char *const files[] = { "model.bin", "recipe.yaml", "metrics.csv", "samples/" };
    char *path = path_in(r, "ckpt");

    if (path) clzt_checkpoint_sweep(path);
    free(path);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        path = path_in(r, "%s", files[i]);
        if (path) clzi_file_sweep(path);
        free(path);
    }
}

// Two trainings in one folder would delete each other's checkpoints. The kernel releases the lock when the process ends.
static int lock(struct run *r)
{
    r->lock = open(r->recipe->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0) return clzi_fail(r->log, -errno, "%s: %s", r->recipe->run, strerror(errno));
    if (!flock(r->lock, LOCK_EX | LOCK_NB)) sweep(r);
    else if (errno == EWOULDBLOCK)
        return clzi_fail(r->log, -EBUSY, "%s: another training is running in this folder; choose another run=.", r->recipe->run);
    return 0;                               // a file system without locks
}

static int write_recipe(const struct run *r)
{
    char *path = path_in(r, "recipe.yaml"), *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    struct clzt_recipe copy = *r->recipe;
    int ret = path && f ? 0 : -ENOMEM;

    copy.resume = CLZT_RESUME_AUTO;         // never and force are meant for this start only
    if (ret >= 0) ret = clzt_recipe_write(&copy, f);
    if (f && fclose(f) && ret >= 0) ret = -ENOMEM;
    if (ret >= 0) ret = clzi_file_replace(path, text, size, r->log);
    free(text);
    free(path);
    return ret;
}

static int open_dataset(struct run *r, struct clzt_dataset **dataset, const struct clzt_list *paths)
{
    const struct clzt_recipe *c = r->recipe;

    return clzt_dataset_open(dataset, &(struct clzt_dataset_params){
        .paths = (const char *const *)paths->items, .path_count = paths->count, .scale = c->scale, .min_side = c->size,
        .cache = c->cache, .cache_limit = c->cache_limit << 20, .threads = c->threads, .log = *r->log, .stop = r->stop });
}

static int fill_dataset(struct run *r, struct clzt_dataset *dataset, const char *what)
{
    int ret;

    clzt_progress_begin(r->progress, what, 0, 0, 1);
    ret = clzt_dataset_fill(dataset);
    clzt_progress_end(r->progress);
    if (ret >= 0)
        clzi_log(r->log, CLZ_LOG_INFO, "%s: %" PRId64 " pictures, %" PRId64 " of them in memory", what,
                 clzt_dataset_count(dataset), clzt_dataset_cached(dataset));
    return ret;
}

// Checks that all paths of the recipe exist, before pictures are decoded, which may take minutes.
static int check_paths(const struct run *r)
{
    const struct clzt_recipe *c = r->recipe;
    int ret = clzt_paths_check((const char *const *)c->train.items, c->train.count, "train", r->log);

    if (ret >= 0) ret = clzt_paths_check((const char *const *)c->val.items, c->val.count, "val", r->log);
    if (ret >= 0 && *c->init) ret = clzt_paths_check((const char *const[]){ c->init }, 1, "init", r->log);
    return ret;
}

// Refuses to begin at step 0 where the model of a training is whose checkpoints were deleted.
static int check_model(const struct run *r)
{
    char *ckpt = path_in(r, "ckpt"), *model = path_in(r, "model.bin");
    int64_t step;
    int ret = ckpt && model ? 0 : -ENOMEM;

    if (!ret && clzt_checkpoint_list(ckpt, &step, 1) < 1 && !access(model, F_OK))
        ret = clzi_fail(r->log, -EEXIST, "%s exists, but there is no checkpoint in %s: training would begin at step 0 and "
                        "replace it. Move it away, or choose another run=.", model, ckpt);
    free(ckpt);
    free(model);
    return ret;
}

// Copies the parameters of a model file that agree in name and shape.
static int take_from(struct run *r, const char *path)
{
    struct clz_model *m = NULL;
    int taken = 0, ret = clzi_model_read(&m, path, r->log);

    for (int i = 0; ret >= 0 && i < r->graph->param_count; i++)
        for (int k = 0; k < m->graph->param_count; k++) {
            const struct clzi_param *a = &r->graph->params[i], *b = &m->graph->params[k];
            if (strcmp(a->name, b->name) || a->rank != b->rank || memcmp(a->dims, b->dims, sizeof a->dims)) continue;
            memcpy(r->values[i], m->values[k], clzi_param_count(a) * sizeof(float));
            taken++;
        }
    clz_model_close(&m);
    if (ret >= 0 && !taken) ret = clzi_fail(r->log, -EINVAL, "init: %s has no parameter of the net %s.", path, r->net->name);
    if (ret >= 0) clzi_log(r->log, CLZ_LOG_INFO, "%s: %d of %d parameters were copied", path, taken, r->graph->param_count);
    return ret;
}

static int no_net(const struct run *r)
{
    char *known = NULL;
    size_t size;
    FILE *f = open_memstream(&known, &size);

    if (!f) return -ENOMEM;
    for (const struct clzt_net *const *net = clzt_nets; *net; net++)
        fprintf(f, "%s%s", net == clzt_nets ? "" : ", ", (*net)->name);
    if (fclose(f)) {
        free(known);
        return -ENOMEM;
    }
    clzi_fail(r->log, -EINVAL, "net: \"%.100s\" is not one of %s.", r->recipe->net, known);
    free(known);
    return -EINVAL;
}

// The initial weights of a training.
static int first_values(struct run *r)
{
    clzt_net_init(r->graph, r->net->init, r->recipe->seed, r->values);
    return *r->recipe->init ? take_from(r, r->recipe->init) : 0;
}

static int build_net(struct run *r)
{
    struct clzt_size shapes[CLZT_MAX_SHAPES];
    int count, ret;

    if (!(r->net = clzt_net_find(r->recipe->net))) return no_net(r);
    if ((ret = clzi_graph_create(&r->graph)) < 0 || (ret = r->net->build(r->graph)) < 0) return ret;
    if (!r->net->encoder && (r->recipe->encoder_lr != 1 || r->recipe->encoder_freeze || r->recipe->encoder_statistics))
        return clzi_fail(r->log, -EINVAL, "encoder.lr, encoder.freeze, encoder.statistics: %s has no encoder.", r->net->name);
    if (r->recipe->size % clzi_graph_stride(r->graph))
        return clzi_fail(r->log, -EINVAL, "size: %d is not a multiple of %d, the stride of %s.", r->recipe->size,
                         clzi_graph_stride(r->graph), r->net->name);
    if ((ret = clzt_recipe_shapes(r->recipe, shapes, &count, r->log)) < 0) return ret;
    for (int i = 0; i < count; i++)
        if (shapes[i].w % clzi_graph_stride(r->graph) || shapes[i].h % clzi_graph_stride(r->graph))
            return clzi_fail(r->log, -EINVAL, "shapes: %dx%d is not a multiple of %d, the stride of %s.", shapes[i].w,
                             shapes[i].h,
                             clzi_graph_stride(r->graph), r->net->name);
    return (r->values = values_new(r->graph)) ? 0 : -ENOMEM;
}

static int create_generator(struct run *r)
{
    return clzt_net_state_create(&r->generator, r->dev, r->graph, r->values,
                                 &(struct clzt_net_state_params){ .name = "generator", .prefix = "", .encoder = r->net->encoder,
                                                                  .ema = r->recipe->ema > 0 });
}

static int create_step(struct run *r)
{
    const struct clzt_recipe *c = r->recipe;
    struct clzt_step_params p = { .batch = c->batch, .weight_decay = c->weight_decay, .ema = c->ema,
                                  .adam = { .beta1 = c->beta1, .beta2 = c->beta2, .eps = c->eps },
                                  .encoder_lr = (float)c->encoder_lr, .encoder_freeze = c->encoder_freeze,
                                  .encoder_statistics = c->encoder_statistics == 0,
                                  .rarity = c->rebalance > 0 ? &r->rarity : NULL, .seed = c->seed };
    const int ret = clzt_recipe_shapes(c, p.shapes, &p.shape_count, r->log);

    for (int i = 0; clzt_losses[i].name; i++) p.loss[i] = c->loss[i];
    if (ret < 0) return ret;
    return clzt_step_create(&r->step, &clzt_phases[CLZT_PHASE_PIXEL], (struct clzt_net_state *[]){ r->generator }, &p);
}

static int create_loader(struct run *r)
{
    const struct clzt_recipe *c = r->recipe;
    struct clzt_loader_params p = {
        .size = c->size, .batch = c->batch, .augment = true, .zoom_in = c->zoom_in, .zoom_out = c->zoom_out, .aspect = c->aspect,
        .flip = c->flip, .luma = c->luma, .film = c->film, .seed = c->seed, .first_step = r->number, .workers = c->workers,
    };
    const int ret = clzt_recipe_shapes(c, p.shapes, &p.shape_count, r->log);

    return ret < 0 ? ret : clzt_loader_create(&r->loader, r->train, &p);
}

static int set_up(struct run *r)
{
    const struct clzt_recipe *c = r->recipe;
    static const char *const folders[] = { "samples", "ckpt" };
    double counts[CLZT_AB_CELLS * CLZT_AB_CELLS];
    struct clzt_colours colours;
    char trained[sizeof ((struct clzi_model_facts *)0)->train];
    int ret = check_paths(r);

    for (int i = 0; i < 2 && ret >= 0; i++) {
        char *path = path_in(r, "%s", folders[i]);
        ret = path ? make_folder(path, r->log) : -ENOMEM;
        free(path);
    }
    if (ret < 0 || (ret = lock(r)) < 0 || (ret = check_model(r)) < 0) return ret;
    ret = clzt_progress_create(&r->progress, &(struct clzt_progress_params){ .file = stderr, .unit = "step" });
    if (ret < 0) return ret;
    if (r->console) r->console->progress = r->progress;
    if ((ret = build_net(r)) < 0 || (ret = first_values(r)) < 0) return ret;
    ret = clzi_device_open(&r->dev, *c->device ? c->device : NULL,
                           &(struct clzi_device_params){ .threads = c->threads, .precision = c->precision, .log = *r->log });
    if (ret < 0) return ret;
    if ((ret = open_dataset(r, &r->train, &c->train)) < 0) return ret;
    if (c->val.count && (ret = open_dataset(r, &r->val, &c->val)) < 0) return ret;
    r->data = clzt_dataset_hash(r->train);
    // notes that are too long must be reported now, not after the last step
    if ((ret = clzt_facts_write(trained, sizeof trained, c, 0, 0, r->data, r->log)) < 0) return ret;
    if ((ret = fill_dataset(r, r->train, "train")) < 0 || (r->val && (ret = fill_dataset(r, r->val, "val")) < 0)) return ret;
    if ((ret = clzt_dataset_colours(r->train, 4096, &colours, counts)) < 0) return ret;
    clzt_colours_warn(&colours, "train", r->log);
    memcpy(r->mean, colours.mean, sizeof r->mean);
    if (c->rebalance > 0) clzt_ab_weights_make(&r->rarity, counts, c->rebalance);
    if ((ret = create_generator(r)) < 0) return ret;
    ret = load(r);
    if ((ret < 0 && ret != -ENOENT) || (ret = create_step(r)) < 0) return ret;
    if ((ret = write_recipe(r)) < 0 || (ret = open_csv(r)) < 0) return ret;
    clzi_log(r->log, CLZ_LOG_INFO, "%s: %" PRId64 " parameters, %s, %zu MiB of activations", r->net->name,
             clzi_graph_trainable_count(r->graph), clzi_device_base(r->dev)->describe, clzt_step_memory(r->step) >> 20);
    return create_loader(r);
}

// ---- the loop ----

static bool every(int64_t number, int64_t period)
{
    return period > 0 && number % period == 0;
}

static int one_step(struct run *r, double *loss, double *lr)
{
    struct clzt_batch *batch;
    int ret = clzt_loader_next(r->loader, &batch);

    if (ret < 0) return ret;
    *lr = clzt_recipe_lr(r->recipe, r->number + 1);
    ret = clzt_step_run(r->step, r->number + 1, *lr, batch->shape, batch->l, batch->ab, loss);
    clzt_loader_release(r->loader, &batch);
    r->number++;
    if (ret == -EDOM && ++r->bad_steps < BAD_STEPS_IN_A_ROW) return 0;
    if (ret == -EDOM)
        return clzi_fail(r->log, -EDOM, "step %" PRId64 ": loss or gradients were not finite in %d consecutive steps; the last "
                         "checkpoint is valid, try a smaller lr.", r->number, BAD_STEPS_IN_A_ROW);
    if (ret >= 0) r->bad_steps = 0;
    for (int i = 0; ret >= 0 && clzt_losses[i].name; i++)
        if (r->recipe->loss[i]) clzt_smooth_add(&r->smooth[i], loss[i]);
    return ret;
}

// Validates if the recipe says so at this step; the validation after the last step is made by clzt_run.
static int validate_if_due(struct run *r)
{
    const bool sheet = every(r->number, r->recipe->sheet_every);

    if (!r->val || r->save_error || r->number >= r->recipe->steps || !(sheet || every(r->number, r->recipe->val_every))) return 0;
    return validate(r, sheet);
}

static int loop(struct run *r)
{
    const struct clzt_recipe *c = r->recipe;
    double loss[CLZT_MAX_LOSSES] = {0}, lr = 0, start = clzi_now();
    const double before = r->seconds;
    char note[256];
    int ret = 0;

    clzt_progress_begin(r->progress, "train", r->number, c->steps, c->batch);
    if (r->number && !is_validated(r)) ret = validate_if_due(r);
    while (r->number < c->steps && !*r->stop && !r->save_error && ret >= 0) {
        int at = 0;
        if ((ret = one_step(r, loss, &lr)) < 0) break;
        r->seconds = before + clzi_now() - start;
        for (int i = 0; clzt_losses[i].name; i++)
            if (c->loss[i]) at += snprintf(note + at, sizeof note - at, "%s%s %.4f", at ? " " : "", clzt_losses[i].name,
                                           clzt_smooth_value(&r->smooth[i]));
        clzt_progress_update(r->progress, r->number, note);
        if (every(r->number, c->log_every)) {
            double smooth[CLZT_MAX_LOSSES] = {0};
            for (int i = 0; clzt_losses[i].name; i++) smooth[i] = c->loss[i] ? clzt_smooth_value(&r->smooth[i]) : NAN;
            csv_row(r, smooth, lr, clzt_progress_rate(r->progress), NULL);
        }
        if (every(r->number, c->save_every) || *r->save) {
            *r->save = 0;
            save_or_warn(r);
        }
        ret = validate_if_due(r);
    }
    clzt_progress_end(r->progress);
    return ret;
}

int clzt_run(struct clzt_recipe *recipe, const struct clz_log *log, struct clzt_console *console, const volatile int *stop,
             volatile int *save_now)
{
    struct run r = { .recipe = recipe, .log = log, .console = console, .stop = stop, .save = save_now, .lock = -1 };
    int ret = set_up(&r);

    if (ret >= 0) ret = loop(&r);
    if (ret >= 0 && !r.number) ret = -ECANCELED;                // an existing model is not replaced
    if (ret >= 0 && !r.save_error && r.saved != r.number) r.save_error = save(&r);  // even if the disk is full, the model may fit
    if (ret >= 0 && !*stop && r.val && !is_validated(&r)) ret = validate(&r, true);
    if (ret >= 0) {
        char *path = path_in(&r, "model.bin");
        ret = path ? read_values(&r) : -ENOMEM;
        if (ret >= 0) ret = write_model(&r, path, CLZI_F16, false);
        if (ret >= 0) clzi_log(log, CLZ_LOG_INFO, "%s written, step %" PRId64, path, r.number);
        free(path);
    }
    destroy(&r);
    if (ret >= 0) ret = r.save_error;
    return ret >= 0 && *stop ? -EINTR : ret;    // before the first step: -ECANCELED
}

int clzt_run_export(struct clzt_recipe *recipe, const char *path, enum clzi_dtype dtype, bool plain,
                    const struct clz_log *log)
{
    struct run r = { .recipe = recipe, .log = log, .lock = -1 };
    int ret = build_net(&r);

    if (ret >= 0) ret = load_values(&r);
    if (ret >= 0) ret = write_model(&r, path, dtype, plain);
    if (ret >= 0) clzi_log(log, CLZ_LOG_INFO, "%s written, step %" PRId64, path, r.number);
    destroy(&r);
    return ret;
}
