// run.c - a training run, from recipe to model file.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "facts.h"
#include "nets.h"
#include "run_parts.h"

#define ADJUSTMENT_MIX 0.5                  // the published mix of rebalancing
enum { BAD_STEPS_IN_A_ROW = 50, FOLDERS = sizeof ((struct clzt_run *)0)->existed / sizeof(bool) };

static const char *const folders[FOLDERS] = { "", "samples", "ckpt" };

char *clzt_run_path(const struct clzt_run *r, const char *format, ...)
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

// ---- set-up ----

void clzt_run_destroy(struct clzt_run *r)
{
    clzt_csv_close(&r->csv);
    clzt_events_close(&r->events);
    if (r->loader) clzt_loader_destroy(&r->loader);
    clzt_step_destroy(&r->step);
    for (int i = 0; i < CLZT_PLAYERS; i++) clzt_net_state_destroy(&r->players[i]);
    if (r->discriminator_graph) clzt_run_values_free(r->discriminator_graph, &r->discriminator_values);
    clzi_graph_destroy(&r->discriminator_graph);
    clz_model_close(&r->features);
    clzt_dataset_close(&r->train);
    clzt_dataset_close(&r->val);
    clzi_device_close(&r->dev);
    if (r->graph) clzt_run_values_free(r->graph, &r->values);
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

static void sweep(const struct clzt_run *r)
{
    static const char *const files[] = { "model.bin", "best.bin", "recipe.yaml", "metrics.csv", "data.json", "samples/" };
    char *path = clzt_run_path(r, "ckpt");

    if (path) clzt_checkpoint_sweep(path);
    free(path);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        path = clzt_run_path(r, "%s", files[i]);
        if (path) clzi_file_sweep(path);
        free(path);
    }
}

// Two trainings in one folder would delete each other's checkpoints. The kernel releases the lock when the process ends.
static int lock(struct clzt_run *r)
{
    r->lock = open(r->recipe->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0) return clzi_fail(r->log, -errno, "%s: %s", r->recipe->run, strerror(errno));
    if (!flock(r->lock, LOCK_EX | LOCK_NB)) sweep(r);
    else if (errno == EWOULDBLOCK)
        return clzi_fail(r->log, -EBUSY, "%s: another training is running in this folder; choose another run=.", r->recipe->run);
    return 0;                               // a file system without locks
}

static int write_recipe(const struct clzt_run *r)
{
    char *path = clzt_run_path(r, "recipe.yaml"), *text = NULL;
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

int clzt_run_open_dataset(struct clzt_run *r, struct clzt_dataset **dataset, bool val)
{
    const struct clzt_recipe *c = r->recipe;
    const struct clzt_list *paths = val && !clzt_recipe_splits(c) ? &c->val : &c->train;
    struct clzt_split *split = NULL;
    int ret = clzt_recipe_splits(c) ? clzt_split_create(&split, c->split.list, c->split.share, r->log) : 0;

    if (ret >= 0) ret = clzt_dataset_open(dataset, &(struct clzt_dataset_params){
        .paths = (const char *const *)paths->items, .path_count = paths->count, .split = split, .split_val = val,
        .split_frames = c->split.films, .min_spread = c->min_spread, .shot_frames = c->shot_frames,
        .coco_images = (const char *const *)c->coco_images.items, .coco_images_count = c->coco_images.count,
        .scale = c->scale, .min_side = c->size,
        .cache = c->cache, .cache_limit = c->cache_limit << 20, .threads = c->threads, .log = *r->log, .stop = r->stop });
    clzt_split_destroy(&split);
    return ret;
}

// Says how many pictures each set has; first: at the beginning. What is in memory is said when all are that will be.
static void tell_pictures(struct clzt_run *r, bool first)
{
    struct clzt_dataset *const sets[2] = { r->train, r->val };
    static const char *const names[2] = { "train", "val" };

    for (int i = 0; i < 2; i++) {
        const bool filled = sets[i] && clzt_dataset_filled(sets[i]);
        if (!sets[i] || r->filled_told[i] || (!filled && !first)) continue;
        const int64_t count = clzt_dataset_count(sets[i]), cached = clzt_dataset_cached(sets[i]);
        r->filled_told[i] = filled;
        if (!filled) clzi_log(r->log, CLZ_LOG_INFO, "%s: %" PRId64 " pictures", names[i], count);
        else clzi_log(r->log, CLZ_LOG_INFO, "%s: %" PRId64 " pictures, %" PRId64 " of them in memory%s", names[i], count, cached,
                      cached && cached + clzt_dataset_bad(sets[i]) < count ?
                      ", as many as cache_limit and memory allow; the others are decoded for each use" : "");
    }
}

static int fill_datasets(struct clzt_run *r)
{
    int ret;

    clzt_progress_begin(r->progress, "train", 0, 0, 1);
    ret = clzt_dataset_begin_fill(r->train);
    clzt_progress_end(r->progress);
    if (ret < 0 || !r->val) return ret;
    clzt_progress_begin(r->progress, "val", 0, 0, 1);
    ret = clzt_dataset_begin_fill(r->val);
    clzt_progress_end(r->progress);
    return ret;
}

// Checks that all paths of the recipe exist, before pictures are decoded, which may take minutes.
int clzt_run_check_paths(const struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    int ret = clzt_paths_check((const char *const *)c->train.items, c->train.count, "train", r->log);

    if (ret >= 0) ret = clzt_paths_check((const char *const *)c->val.items, c->val.count, "val", r->log);
    if (ret >= 0) ret = clzt_paths_check((const char *const *)c->coco_images.items, c->coco_images.count, "coco.images", r->log);
    if (ret >= 0 && *c->split.list)
        ret = clzt_paths_check((const char *const[]){ c->split.list }, 1, "split.list", r->log);
    if (ret >= 0 && *c->init) ret = clzt_paths_check((const char *const[]){ c->init }, 1, "init", r->log);
    if (ret >= 0 && *c->features) ret = clzt_paths_check((const char *const[]){ c->features }, 1, "features", r->log);
    if (ret >= 0 && *c->discriminator_init)
        ret = clzt_paths_check((const char *const[]){ c->discriminator_init }, 1, "discriminator.init", r->log);
    return ret;
}

// Refuses what the training would otherwise replace or wait for: FIFOs and devices (opening a FIFO blocks until there is a
// reader), and, where it would begin at step 0, the models of a training whose checkpoints were deleted.
static int check_files(const struct clzt_run *r)
{
    static const struct { const char *name; bool model; } files[] = {
        { "recipe.yaml", false }, { "metrics.csv", false }, { "data.json", false }, { "model.bin", true }, { "best.bin", true }
    };
    char *ckpt = clzt_run_path(r, "ckpt");
    int64_t step;
    const bool begins = ckpt && clzt_checkpoint_list(ckpt, &step, 1) < 1;
    int ret = ckpt ? 0 : -ENOMEM;

    for (size_t i = 0; i < sizeof files / sizeof *files && ret >= 0; i++) {
        char *path = clzt_run_path(r, "%s", files[i].name);
        struct stat st;
        if (!path) ret = -ENOMEM;
        else if (stat(path, &st)) ret = 0;
        else if (!S_ISREG(st.st_mode))
            ret = clzi_fail(r->log, -EINVAL, "%s is not a regular file; expected one, or none.", path);
        else if (begins && files[i].model)
            ret = clzi_fail(r->log, -EEXIST, "%s exists, but there is no checkpoint in %s: training would begin at step 0 and "
                            "replace it. Move it away, or choose another run=.", path, ckpt);
        free(path);
    }
    free(ckpt);
    return ret;
}

int clzt_run_create_loader(struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    struct clzt_loader_params p = {
        .size = c->size, .batch = c->batch, .augment = true, .zoom_in = c->zoom_in, .zoom_out = c->zoom_out, .aspect = c->aspect,
        .flip = c->flip, .luma = c->luma, .film = c->film, .hints = c->hints, .seed = c->seed, .first_step = r->number,
        .workers = c->workers, .classes.none = c->classes_none,
    };
    int ret = clzt_recipe_shapes(c, p.shapes, &p.shape_count, r->log);

    if (ret >= 0) ret = clzt_classes_find(&p.classes, r->category, r->classes, r->train, "classes.names", r->log);
    return ret < 0 ? ret : clzt_loader_create(&r->loader, r->train, &p);
}

// After an error before the first step: the folders that set_up made, if they are empty.
static void remove_folders(const struct clzt_run *r)
{
    for (int i = FOLDERS - 1; i >= 0; i--) {
        char *path = r->existed[i] ? NULL : clzt_run_path(r, "%s", folders[i]);
        if (path) rmdir(path);
        free(path);
    }
}

// For an export, which has no training set open yet.
static int measure_adjustment(struct clzt_run *r)
{
    double counts[CLZT_AB_CELLS * CLZT_AB_CELLS];
    struct clzt_colours colours;
    int ret = clzt_run_open_dataset(r, &r->train, false);

    if (ret >= 0 && r->recipe->min_spread > 0) ret = clzt_dataset_fill(r->train);
    if (ret < 0 || (ret = clzt_dataset_colours(r->train, CLZT_COLOUR_PICTURES, &colours, counts)) < 0) return ret;
    clzt_ab_weights_make(&r->adjustment, counts, ADJUSTMENT_MIX);
    return 0;
}

static int set_up(struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    double counts[CLZT_AB_CELLS * CLZT_AB_CELLS];
    struct clzt_colours colours;
    char trained[sizeof ((struct clzi_model_facts *)0)->train];
    struct clzt_class_params classes;
    const bool early = c->min_spread > 0;   // the length of the training depends on the number of pictures that are left
    int ret = clzt_run_check_paths(r);

    for (int i = 0; i < FOLDERS && ret >= 0; i++) {
        char *path = clzt_run_path(r, "%s", folders[i]);
        struct stat st;
        r->existed[i] = path && !stat(path, &st);
        ret = path ? make_folder(path, r->log) : -ENOMEM;
        free(path);
    }
    if (ret < 0 || (ret = lock(r)) < 0 || (ret = check_files(r)) < 0) return ret;
    ret = clzt_progress_create(&r->progress, &(struct clzt_progress_params){ .file = stderr, .unit = "step" });
    if (ret < 0) return ret;
    if (r->console) r->console->progress = r->progress;
    if ((ret = clzt_run_build_net(r)) < 0 || (ret = clzt_run_first_values(r)) < 0) return ret;
    ret = clzi_device_open(&r->dev, *c->device ? c->device : NULL,
                           &(struct clzi_device_params){ .threads = c->threads, .precision = c->precision, .log = *r->log });
    if (ret < 0 || (ret = clzi_device_enter(r->dev)) < 0) return ret;
    if ((ret = clzt_run_open_dataset(r, &r->train, false)) < 0) return ret;
    if ((c->val.count || clzt_recipe_splits(c)) && (ret = clzt_run_open_dataset(r, &r->val, true)) < 0) return ret;
    if (early && (ret = fill_datasets(r)) < 0) return ret;
    if ((ret = clzt_recipe_length(r->recipe, clzt_dataset_count(r->train), r->log)) < 0) return ret;
    if ((ret = clzt_run_build_discriminator(r)) < 0) return ret;
    r->phase = clzt_run_phase_at(r, 1);
    if ((ret = clzt_classes_find(&classes, r->category, r->classes, r->train, "classes.names", r->log)) < 0) return ret;
    r->data = classes.count ? clzt_dataset_hash_categories(r->train) : clzt_dataset_hash(r->train);
    // notes that are too long must be reported now, not after the last step
    if ((ret = clzt_facts_write(trained, sizeof trained, c, 0, 0, r->data, r->log)) < 0) return ret;
    if (!early && (ret = fill_datasets(r)) < 0) return ret;
    tell_pictures(r, true);
    if ((ret = clzt_dataset_colours(r->train, CLZT_COLOUR_PICTURES, &colours, counts)) < 0) return ret;
    clzt_colours_warn(&colours, "train", r->log);
    memcpy(r->mean, colours.mean, sizeof r->mean);
    if (c->rebalance > 0) clzt_ab_weights_make(&r->rarity, counts, c->rebalance);
    clzt_ab_weights_make(&r->adjustment, counts, ADJUSTMENT_MIX);
    if ((ret = clzt_run_create_generator(r)) < 0) return ret;
    ret = clzt_run_load(r);
    if ((ret < 0 && ret != -ENOENT) || (ret = clzt_run_create_step(r)) < 0) return ret;
    if ((ret = write_recipe(r)) < 0 || (ret = clzt_run_write_data(r, &colours)) < 0 || (ret = clzt_run_open_csv(r)) < 0)
        return ret;
    clzt_run_open_events(r);
    if (r->number && r->best.step == r->number) {               // stopped before best.bin was written
        if ((ret = clzt_run_read_values(r)) < 0) return ret;
        clzt_run_keep_best(r);
    }
    return clzt_run_create_loader(r);
}

// ---- the loop ----

static bool every(int64_t number, int64_t period)
{
    return period > 0 && number % period == 0;
}

// NaN comes from a learning rate that is too high, or from bad pictures. The first one in a row is told.
static int bad_step(struct clzt_run *r)
{
    if (++r->bad_steps == 1)
        clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ", %s phase: loss or gradients of the %s are not finite; it is not "
                 "changed.", r->number, r->phase->name, clzt_step_culprit(r->step));
    if (r->bad_steps < BAD_STEPS_IN_A_ROW) return 0;
    return clzi_fail(r->log, -EDOM, "step %" PRId64 ", %s phase: loss or gradients of the %s were not finite in %d consecutive "
                     "steps; the last checkpoint is valid, try a smaller %s.", r->number, r->phase->name,
                     clzt_step_culprit(r->step), BAD_STEPS_IN_A_ROW, r->phase->discriminator ? "gan.lr" : "lr");
}

static void watch_balance(struct clzt_run *r, double discriminator)
{
    const struct clzt_gan_loss *loss = &clzt_gan_losses[r->recipe->gan.loss];
    const int64_t limit = r->recipe->gan.alarm;
    const enum clzt_winner before = clzt_balance_winner(&r->balance, limit);
    enum clzt_winner now;

    clzt_balance_add(&r->balance, loss, discriminator);
    now = clzt_balance_winner(&r->balance, limit);
    if (now == before) return;
    if (now == CLZT_DISCRIMINATOR_WINS)
        clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": the discriminator tells true from predicted colours without fail "
                 "since %" PRId64 " steps (d below %.3f): the generator learns nothing from it; try a smaller discriminator.lr, "
                 "or gan.smoothing.", r->number, limit, loss->certain);
    if (now == CLZT_GENERATOR_WINS)
        clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": the discriminator tells nothing apart since %" PRId64 " steps (d "
                 "within %.4f of %.3f): the generator learns nothing from it; try a larger discriminator.lr.", r->number, limit,
                 loss->near, loss->undecided);
    if (now == CLZT_NOBODY_WINS)
        clzi_log(r->log, CLZ_LOG_INFO, "step %" PRId64 ": the alarm of the adversarial phase has ended", r->number);
}

static int one_step(struct clzt_run *r, double *values, double *lr)
{
    struct clzt_batch *batch;
    int ret = clzt_loader_next(r->loader, &batch);

    if (ret < 0) return ret;
    *lr = clzt_recipe_lr(r->recipe, r->number + 1);
    ret = clzt_step_run(r->step, r->number + 1, *lr, batch->shape,
                        &(struct clzt_sample){ batch->l, batch->ab, batch->hints, batch->classes }, values);
    clzt_loader_release(r->loader, &batch);
    r->number++;
    if (ret == -EDOM) return bad_step(r);
    if (ret < 0) return ret;
    r->bad_steps = 0;
    for (int i = 0; i < CLZT_VALUES; i++)
        if (clzt_run_is_reported(r, i) && !isnan(values[i])) clzt_smooth_add(&r->smooth[i], values[i]);
    if (r->phase->discriminator) watch_balance(r, values[CLZT_VALUE_D]);
    return 0;
}

// Validates if the recipe says so at this step; the validation after the last step is made by clzt_run.
static int validate_if_due(struct clzt_run *r)
{
    const bool sheet = every(r->number, r->recipe->sheet_every), due = sheet || every(r->number, r->recipe->val_every);

    if (!r->val || r->save_error || r->number >= clzt_recipe_total(r->recipe) || !due) return 0;
    return clzt_run_validate(r, sheet);
}

static void write_note(const struct clzt_run *r, char *note, size_t size)
{
    size_t at = 0;

    for (int i = 0; i < CLZT_VALUES && at < size; i++)
        if (clzt_run_is_reported(r, i) && r->smooth[i].weight > 0)
            at += snprintf(note + at, size - at, "%s%s %.4f", at ? " " : "", clzt_value_name(i),
                           clzt_smooth_value(&r->smooth[i]));
    if (!at) *note = 0;
}

static int loop(struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    double values[CLZT_VALUES], lr = 0, start = clzi_now();
    const double before = r->seconds;
    char note[256];
    int ret = 0;

    clzt_progress_begin(r->progress, "train", r->number, clzt_recipe_total(c), c->batch);
    if (r->number && !clzt_run_is_validated(r)) ret = validate_if_due(r);
    while (r->number < clzt_recipe_total(c) && !clzt_run_is_finished(r) && !*r->stop && !r->save_error && ret >= 0) {
        if (clzt_run_phase_at(r, r->number + 1) != r->phase) {
            if (r->saved != r->number) clzt_run_save_or_warn(r);        // the next phase may lack memory
            if ((ret = clzt_run_change_phase(r)) < 0) break;
        }
        if ((ret = one_step(r, values, &lr)) < 0) break;
        r->seconds = before + clzi_now() - start;
        write_note(r, note, sizeof note);
        clzt_progress_update(r->progress, r->number, note);
        if (every(r->number, c->log_every)) {
            for (int i = 0; i < CLZT_VALUES; i++) values[i] = clzt_run_is_reported(r, i) ? clzt_smooth_value(&r->smooth[i]) : NAN;
            clzt_run_csv_row(r, values, lr, clzt_progress_rate(r->progress), NULL);
            tell_pictures(r, false);
        }
        if (every(r->number, c->save_every) || *r->save) {
            *r->save = 0;
            clzt_run_save_or_warn(r);
        }
        ret = validate_if_due(r);
    }
    clzt_progress_end(r->progress);
    if (ret >= 0 && clzt_run_is_finished(r))
        clzi_log(r->log, CLZ_LOG_INFO, "step %" PRId64 ": training ends, after %" PRId64 " validations without a better score "
                 "than %.2f at step %" PRId64 "; best.bin has that model", r->number, r->best.later, r->best.value, r->best.step);
    return ret;
}

int clzt_run(struct clzt_recipe *recipe, const struct clz_log *log, struct clzt_console *console, const volatile int *stop,
             volatile int *save_now)
{
    struct clzt_run r = { .recipe = recipe, .log = log, .console = console, .stop = stop, .save = save_now, .lock = -1 };
    int ret = set_up(&r);

    if (ret < 0) remove_folders(&r);
    if (ret >= 0) ret = loop(&r);
    if (ret >= 0 && !r.number) ret = -ECANCELED;                // an existing model is not replaced
    // even if the disk is full, the model may fit
    if (ret >= 0 && !r.save_error && r.saved != r.number) r.save_error = clzt_run_save(&r);
    if (ret >= 0 && !*stop && r.val && !clzt_run_is_validated(&r)) ret = clzt_run_validate(&r, true);
    if (ret >= 0) {
        char *path = clzt_run_path(&r, "model.bin");
        ret = path ? clzt_run_read_values(&r) : -ENOMEM;
        if (ret >= 0) ret = clzt_run_write_model(&r, path, CLZI_F16, false);
        if (ret >= 0) clzi_log(log, CLZ_LOG_INFO, "%s written, step %" PRId64, path, r.number);
        free(path);
    }
    clzt_run_destroy(&r);
    if (ret >= 0) ret = r.save_error;
    return ret >= 0 && *stop ? -EINTR : ret;    // before the first step: -ECANCELED
}

int clzt_run_export(struct clzt_recipe *recipe, const struct clzt_export *params, const struct clz_log *log)
{
    struct clzt_run r = { .recipe = recipe, .log = log, .lock = -1 };
    int ret = clzt_run_build_net(&r);

    if (ret >= 0) ret = clzt_run_load_values(&r, params->step);
    if (ret >= 0 && recipe->adjustment > 0 && clzt_net_logits(r.graph) >= 0) ret = measure_adjustment(&r);
    if (ret >= 0) clzt_run_adjust(&r);
    if (ret >= 0) ret = clzt_run_write_model(&r, params->path, params->dtype, params->plain);
    if (ret >= 0) clzi_log(log, CLZ_LOG_INFO, "%s written, step %" PRId64, params->path, r.number);
    clzt_run_destroy(&r);
    return ret;
}
