// run_output.c - what a training run writes besides checkpoints: metrics.csv, sample sheets, model files.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "facts.h"
#include "nets.h"
#include "run_parts.h"
#include "whole_file.h"

enum { MAX_SHEET = 256 << 20 };             // bytes

int clzt_run_read_values(struct clzt_run *r)
{
    int ret = 0;

    for (int i = 0; i < r->graph->param_count && ret >= 0; i++)
        ret = clzt_net_state_read(r->players[CLZT_GENERATOR], clzt_run_best_kind(r), i, r->values[i]);
    if (ret >= 0) clzt_run_adjust(r);
    return ret;
}

void clzt_run_adjust(struct clzt_run *r)
{
    const int logits = clzt_net_logits(r->graph);

    if (r->recipe->adjustment > 0 && logits >= 0)
        clzt_ab_weights_adjust(&r->adjustment, r->recipe->adjustment, r->values[r->graph->nodes[logits].w[1]]);
}

static void show_progress(void *priv, int64_t done, int64_t total)
{
    (void)total;
    clzt_progress_update(priv, done, NULL);
}

// Of the adversarial phase's values and the alarm there are columns only if the recipe has such a phase.
static bool has_column(const struct clzt_run *r, int value)
{
    return clzt_value_name(value) && (value < CLZT_MAX_LOSSES || r->recipe->gan.steps);
}

bool clzt_run_is_reported(const struct clzt_run *r, int value)
{
    return value >= CLZT_MAX_LOSSES || (clzt_value_name(value) && r->recipe->loss[value]);
}

static void warn_of_events(struct clzt_run *r, int ret)
{
    if (ret < 0 && !r->events_failed++)
        clzi_log(r->log, CLZ_LOG_WARNING, "%s/events: an event was not written; training continues.", r->recipe->run);
}

void clzt_run_csv_row(struct clzt_run *r, const double *values, double lr, double rate, const struct clzt_scores *scores)
{
    double row[CLZT_RUN_COLUMNS];
    const char *tags[CLZT_RUN_COLUMNS];
    int n = 0;

    row[n++] = lr;
    row[n++] = rate > 0 ? rate : NAN;
    for (int i = 0; i < CLZT_VALUES; i++)
        if (has_column(r, i)) row[n++] = values ? values[i] : NAN;
    if (r->recipe->gan.steps)
        row[n++] = values && r->phase->discriminator ? clzt_balance_winner(&r->balance, r->recipe->gan.alarm) : NAN;
    for (int i = 0; clzt_score_list[i].name; i++) row[n++] = scores ? clzt_score(scores, &clzt_score_list[i]) : NAN;
    if (clzt_csv_add(r->csv, r->number, row) < 0 && !r->csv_failed++)
        clzi_log(r->log, CLZ_LOG_WARNING, "%s/metrics.csv: a row was not written; training continues.", r->recipe->run);
    if (!r->events) return;
    for (int i = 0; i < n; i++) tags[i] = r->tags[i];
    warn_of_events(r, clzt_events_scalars(r->events, r->number, tags, row, n));
}

// Puts a sample sheet that was just written into the event file, too.
static void add_sheet_event(struct clzt_run *r, const char *path)
{
    size_t size = 0;
    char *png = clzt_file_whole(path, MAX_SHEET, &size);
    const uint8_t *head = (const uint8_t *)png;         // IHDR: width and height, big-endian, from byte 16
    int ret = size < 24 ? -EIO : 0;

    if (ret >= 0)
        ret = clzt_events_png(r->events, r->number, "samples", head[18] << 8 | head[19], head[22] << 8 | head[23], png, size);
    warn_of_events(r, ret);
    free(png);
}

// Whether the validation of the current step is in metrics.csv. A run may have been stopped between checkpoint and validation.
bool clzt_run_is_validated(const struct clzt_run *r)
{
    char *path = clzt_run_path(r, "metrics.csv");
    const bool is = path && clzt_csv_has(path, r->number, "psnr");

    free(path);
    return is;
}

// Paths that are no UTF-8 are left out.
static json_t *paths_json(const struct clzt_list *paths)
{
    json_t *list = json_array();

    for (int i = 0; i < paths->count; i++) json_array_append_new(list, json_string(paths->items[i]));
    return list;
}

static double or_0(double x) { return isfinite(x) ? x : 0; }     // JSON has no other numbers

int clzt_run_write_data(struct clzt_run *r, const struct clzt_colours *c)
{
    char hash[20], *path = clzt_run_path(r, "data.json"), *text = NULL;
    json_t *json;
    int ret = 0;

    snprintf(hash, sizeof hash, "%016" PRIx64, r->data);
    json = json_pack("{s:{s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s}}", "train", "paths", paths_json(&r->recipe->train),
                     "pictures", (json_int_t)clzt_dataset_count(r->train), "measured", (json_int_t)c->pictures,
                     "of these nearly grey", (json_int_t)c->grey, "mean a*", 110 * c->mean[0], "mean b*", 110 * c->mean[1],
                     "spread of a picture", or_0(c->spread),
                     "spread across the hue", or_0(c->across), "hash", hash);
    if (json && r->val)
        json_object_set_new(json, "val", json_pack("{s:o, s:I}", "paths", paths_json(&r->recipe->val), "pictures",
                                                   (json_int_t)clzt_dataset_count(r->val)));
    text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (!path || !text) ret = -ENOMEM;
    else ret = clzi_file_replace(path, text, strlen(text), r->log);
    json_decref(json);
    free(text);
    free(path);
    return ret;
}

void clzt_run_column(char *column, size_t size, const char *loss)
{
    bool taken = false;

    for (int i = 0; clzt_score_list[i].name; i++) taken |= !strcmp(loss, clzt_score_list[i].name);
    snprintf(column, size, "%s%s", taken ? "train_" : "", loss);
}

int clzt_run_open_csv(struct clzt_run *r)
{
    const char *names[CLZT_RUN_COLUMNS + 2];
    char columns[CLZT_VALUES][40], *path = clzt_run_path(r, "metrics.csv");
    int n = 0, losses, scores, ret;

    names[n++] = "step";
    names[n++] = "lr";
    names[n++] = "pictures_per_s";
    losses = n;
    for (int i = 0; i < CLZT_VALUES; i++) {
        if (!has_column(r, i)) continue;
        clzt_run_column(columns[i], sizeof columns[i], clzt_value_name(i));
        names[n++] = columns[i];
    }
    if (r->recipe->gan.steps) names[n++] = "alarm";
    scores = n;
    for (int i = 0; clzt_score_list[i].name; i++) names[n++] = clzt_score_list[i].name;
    names[n] = NULL;
    for (int i = 1; i < n; i++) {
        const bool doubled = i >= losses && i < scores && !strncmp(names[i], "train_", 6);
        snprintf(r->tags[i - 1], sizeof r->tags[0], "%s%s", i < losses ? "" : i < scores ? "train/" : "val/",
                 names[i] + 6 * doubled);
    }
    ret = path ? clzt_csv_open(&r->csv, path, names, r->number, r->log) : -ENOMEM;
    if (ret >= 0) r->best = clzt_csv_best(path, "score", r->recipe->steps);
    free(path);
    return ret;
}

// Failing is a warning, as a missing row is.
void clzt_run_open_events(struct clzt_run *r)
{
    char *path = r->recipe->tensorboard ? clzt_run_path(r, "events") : NULL;

    if (path) mkdir(path, 0777);            // an error shows in the next line
    if (path && clzt_events_open(&r->events, path, r->number + 1, r->log) < 0)
        clzi_log(r->log, CLZ_LOG_WARNING, "%s: no event file could be created; training continues without.", path);
    free(path);
}

int clzt_run_write_model(struct clzt_run *r, const char *path, enum clzi_dtype dtype, bool plain)
{
    struct clzi_model_facts f = { .size = r->recipe->working_size ? r->recipe->working_size : r->net->size,
                                  .stride = clzi_graph_stride(r->graph), .l_scale = CLZT_L_SCALE,
                                  .l_offset = CLZT_L_OFFSET, .ab_scale = (float)(110 * r->recipe->saturation) };
    int ret = 0;

    snprintf(f.shape, sizeof f.shape, "%s", r->recipe->working_shape ? "square" : "frame");
    snprintf(f.arch, sizeof f.arch, "%s", r->net->name);
    snprintf(f.input, sizeof f.input, "%s", r->recipe->luma == CLZT_LUMA_LSTAR ? "lstar" : "luma");
    snprintf(f.license, sizeof f.license, "%s", r->recipe->license ? r->recipe->license : "");
    snprintf(f.classes, sizeof f.classes, "%s", r->classes);
    if (ret >= 0) ret = clzt_facts_write(f.train, sizeof f.train, r->recipe, r->number, r->seconds, r->data, r->log);
    return ret < 0 ? ret : (plain ? clzi_model_write_plain : clzi_model_write)(path, r->graph, r->values, &f, dtype, r->log);
}

// best.bin is the model of the validation with the best score. metrics.csv tells which that is, after a resume too. values: have
// been read.
void clzt_run_keep_best(struct clzt_run *r)
{
    char *csv = clzt_run_path(r, "metrics.csv"), *path = clzt_run_path(r, "best.bin");

    if (csv) r->best = clzt_csv_best(csv, "score", r->recipe->steps);
    if (csv && path && r->best.step == r->number && clzt_run_write_model(r, path, CLZI_F16, false) < 0)
        clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": best.bin was not written; training continues.", r->number);
    free(csv);
    free(path);
}

// Whether the adversarial phase ends before its last step.
bool clzt_run_is_finished(const struct clzt_run *r)
{
    const int64_t patience = r->recipe->gan.patience;
    return patience && r->phase->discriminator && r->best.later >= patience;
}

int clzt_run_validate(struct clzt_run *r, bool sheet)
{
    const struct clzt_recipe *c = r->recipe;
    char *path = sheet ? clzt_run_path(r, "samples/step-%08" PRId64 ".png", r->number) : NULL;
    struct clzt_validation v;
    const int64_t count = clzt_dataset_count(r->val);
    int ret = clzt_run_read_values(r);

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
    clzt_progress_end(r->progress);
    if (ret >= 0) {
        clzi_log(r->log, CLZ_LOG_INFO, "step %" PRId64 ": val l1 %.4f, PSNR %.2f dB (grey %.2f, mean colour %.2f), SSIM %.4f, "
                 "dE2000 %.2f, colourfulness %.3f of the truth, score %.2f", r->number, v.model.l1, v.model.psnr, v.grey.psnr,
                 v.mean.psnr, v.model.ssim, v.model.de2000, v.model.cf_abs_ratio, v.model.score);
        clzt_run_csv_row(r, NULL, NAN, NAN, &v.model);
        clzt_run_keep_best(r);
        if (v.sheet < 0) clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": no sample sheet was written; training continues.",
                                  r->number);
        else if (path && r->events && c->sheet_pictures) add_sheet_event(r, path);
    }
    free(path);
    clzt_progress_begin(r->progress, "train", r->number, clzt_recipe_total(c), c->batch);
    return ret == -ECANCELED ? 0 : ret;
}
