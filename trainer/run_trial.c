// run_trial.c - short trainings that write no run folder, to find errors and a learning rate: on one batch again and again, and
// with a learning rate that rises.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "html.h"
#include "run_parts.h"

enum { REPORTS = 20 };

static int set_up(struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    double counts[CLZT_AB_CELLS * CLZT_AB_CELLS];
    struct clzt_colours colours;
    int ret = clzt_run_check_paths(r);

    if (ret < 0 || (ret = clzt_run_build_net(r)) < 0 || (ret = clzt_run_first_values(r)) < 0) return ret;
    ret = clzi_device_open(&r->dev, *c->device ? c->device : NULL,
                           &(struct clzi_device_params){ .threads = c->threads, .precision = c->precision, .log = *r->log });
    if (ret < 0 || (ret = clzi_device_enter(r->dev)) < 0 ||
        (ret = clzt_run_open_dataset(r, &r->train, false)) < 0 ||
        (c->min_spread > 0 && (ret = clzt_dataset_fill(r->train)) < 0) ||
        (ret = clzt_recipe_length(r->recipe, clzt_dataset_count(r->train), r->log)) < 0)
        return ret;
    if (c->rebalance > 0) {
        if ((ret = clzt_dataset_colours(r->train, CLZT_COLOUR_PICTURES, &colours, counts)) < 0) return ret;
        clzt_ab_weights_make(&r->rarity, counts, c->rebalance);
    }
    r->phase = &clzt_phases[CLZT_PHASE_PIXEL];
    if ((ret = clzt_run_create_generator(r)) < 0 || (ret = clzt_run_create_step(r)) < 0) return ret;
    return clzt_run_create_loader(r);
}

// Sum of the losses with their weights; the step's number is that of the run.
static int step(struct clzt_run *r, const struct clzt_batch *batch, double lr, double values[CLZT_VALUES], double *sum)
{
    const int ret = clzt_step_run(r->step, ++r->number, (float)lr, batch->shape,
                                  &(struct clzt_sample){ batch->l, batch->ab, batch->hints, batch->classes }, values);

    *sum = 0;
    for (int i = 0; clzt_losses[i].name; i++) *sum += r->recipe->loss[i] * values[i];
    return ret;
}

static void begin(struct clzt_run *r, struct clzt_recipe *recipe, const struct clz_log *log, const volatile int *stop)
{
    *r = (struct clzt_run){ .recipe = recipe, .log = log, .stop = stop, .lock = -1 };
    recipe->encoder_freeze = 0;             // everything learns from the first step on
    recipe->cache = CLZT_CACHE_NONE;        // few pictures are read
}

// ---- one batch ----

static void print_losses(const struct clzt_run *r, FILE *f, const double *values, double sum)
{
    fprintf(f, "step %5" PRId64 "  loss %.6g", r->number, sum);
    for (int i = 0; clzt_losses[i].name; i++)
        if (r->recipe->loss[i]) fprintf(f, "  %s %.6g", clzt_losses[i].name, values[i]);
    fputc('\n', f);
    fflush(f);
}

static int overfit(struct clzt_run *r, int64_t steps, FILE *f)
{
    struct clzt_batch *batch;
    double values[CLZT_VALUES], first = 0, sum = 0;
    int ret = clzt_loader_next(r->loader, &batch);

    if (ret < 0) return ret;
    while (r->number < steps && ret >= 0 && !*r->stop) {
        ret = step(r, batch, r->recipe->lr, values, &sum);
        if (r->number == 1) first = sum;
        if (ret >= 0 && (r->number == 1 || r->number % ((steps + REPORTS - 1) / REPORTS) == 0 || r->number == steps))
            print_losses(r, f, values, sum);
    }
    clzt_loader_release(r->loader, &batch);
    if (ret == -EDOM)
        return clzi_fail(r->log, ret, "step %" PRId64 ": the loss or a gradient is not finite; try a smaller lr than %g.",
                         r->number, r->recipe->lr);
    if (ret < 0 || *r->stop) return ret < 0 ? ret : -ESHUTDOWN;
    if (sum > first / 2)
        return clzi_fail(r->log, -EDOM, "on one batch the loss went from %.4g to %.4g in %" PRId64 " steps; expected less than "
                         "half. Look at the pictures, the losses and lr (%g): a training on all pictures will learn no better.",
                         first, sum, steps, r->recipe->lr);
    fprintf(f, "the loss fell to %.3g of its first value: %d pictures can be learnt with this recipe\n", sum / first,
            r->recipe->batch);
    return 0;
}

int clzt_run_overfit(struct clzt_recipe *recipe, int64_t steps, FILE *file, const struct clz_log *log, const volatile int *stop)
{
    struct clzt_run r;
    int ret;

    begin(&r, recipe, log, stop);
    ret = set_up(&r);
    if (ret >= 0) ret = overfit(&r, steps, file);
    clzt_run_destroy(&r);
    return ret;
}

// ---- learning rate ----

struct sweep { double *lr, *loss, *smooth; int count; };

// Until the smoothed loss is 4 times its least value, or not finite.
static int sweep(struct clzt_run *r, const struct clzt_lr_find *p, struct sweep *s)
{
    struct clzt_smooth smooth = { 0, 0 };
    double values[CLZT_VALUES], least = INFINITY;
    int ret = 0;

    while (s->count < p->steps && !*r->stop) {
        const int i = s->count;
        struct clzt_batch *batch;
        if ((ret = clzt_loader_next(r->loader, &batch)) < 0) return ret;
        s->lr[i] = p->from * pow(p->to / p->from, p->steps > 1 ? (double)i / (p->steps - 1) : 0);
        ret = step(r, batch, s->lr[i], values, &s->loss[i]);
        clzt_loader_release(r->loader, &batch);
        if (ret == -EDOM || (ret >= 0 && !isfinite(s->loss[i]))) return 0;
        if (ret < 0) return ret;
        clzt_smooth_add(&smooth, s->loss[i]);
        s->smooth[i] = clzt_smooth_value(&smooth);
        s->count++;
        if (s->smooth[i] < least) least = s->smooth[i];
        if (s->smooth[i] > 4 * least) return 0;
    }
    return *r->stop ? -ESHUTDOWN : 0;
}

// Where the smoothed loss falls fastest over the logarithm of the rate, before its least value: over a tenth of the sweep, since
// single steps say little. -1: it does not fall.
static int steepest(const struct sweep *s, int least)
{
    const int reach = s->count / 20 > 1 ? s->count / 20 : 1;
    double best = 0;
    int at = -1;

    for (int i = reach; i + reach < s->count && i <= least; i++) {
        const double slope = s->smooth[i + reach] - s->smooth[i - reach];
        if (slope < best) best = slope, at = i;
    }
    return at;
}

static int write_curve(const struct clzt_run *r, const struct clzt_lr_find *p, const struct sweep *s, double suggestion)
{
    const struct clzt_series series[] = { { "smoothed", s->lr, s->smooth, s->count }, { "loss", s->lr, s->loss, s->count } };
    const struct clzt_mark mark = { suggestion, "suggestion" };
    char *csv = NULL, *html = NULL, *path = NULL;
    size_t csv_size, html_size;
    FILE *f = open_memstream(&csv, &csv_size), *page = open_memstream(&html, &html_size);
    int ret = f && page ? 0 : -ENOMEM;

    if (f) {
        fputs("lr,loss,smoothed\n", f);
        for (int i = 0; i < s->count; i++) fprintf(f, "%.6g,%.6g,%.6g\n", s->lr[i], s->loss[i], s->smooth[i]);
        if (fclose(f) && ret >= 0) ret = -ENOMEM;
    }
    if (page) {
        clzt_html_begin(page, "Loss over the learning rate");
        clzt_html_chart(page, &(const struct clzt_chart){ .title = "loss", .help = r->recipe->net, .x_label = "learning rate",
                                                          .series = series, .series_count = 2, .marks = &mark,
                                                          .mark_count = suggestion > 0, .log_x = true, .log_y = true });
        if (suggestion > 0) fprintf(page, "<p>suggestion: lr %.2g</p>\n", suggestion);
        clzt_html_end(page);
        if (fclose(page) && ret >= 0) ret = -ENOMEM;
    }
    if (ret >= 0 && asprintf(&path, "%s.html", p->out) < 0) ret = -ENOMEM;
    if (ret >= 0) ret = clzi_file_replace(p->out, csv, csv_size, r->log);
    if (ret >= 0) ret = clzi_file_replace(path, html, html_size, r->log);
    if (ret >= 0) clzi_log(r->log, CLZ_LOG_INFO, "%s and %s written, %d steps", p->out, path, s->count);
    free(csv);
    free(html);
    free(path);
    return ret;
}

static int find(struct clzt_run *r, const struct clzt_lr_find *p, struct sweep *s, FILE *f)
{
    int least = 0, steep, ret = sweep(r, p, s);

    if (ret < 0) return ret;
    for (int i = 1; i < s->count; i++)
        if (s->smooth[i] < s->smooth[least]) least = i;
    steep = steepest(s, least);
    ret = write_curve(r, p, s, steep < 0 ? 0 : s->lr[steep]);
    if (ret < 0) return ret;
    if (steep < 0)
        return clzi_fail(r->log, -EDOM, "the loss falls nowhere from lr %g to %g; %s shows it. Try a wider range (from=, to=), "
                         "more steps=, or train --overfit-one-batch to find out why.", s->lr[0],
                         s->count ? s->lr[s->count - 1] : p->to, p->out);
    fprintf(f, "steepest     lr %.2g, where the loss falls fastest: the suggestion\nleast        lr %.2g, where it is least, %.4g"
            "; a tenth of that: %.2g\n", s->lr[steep], s->lr[least], s->smooth[least], s->lr[least] / 10);
    return 0;
}

int clzt_run_lr_find(struct clzt_recipe *recipe, const struct clzt_lr_find *params, FILE *file, const struct clz_log *log,
                     const volatile int *stop)
{
    struct sweep s = { 0 };
    struct clzt_run r;
    int ret;

    begin(&r, recipe, log, stop);
    s.lr = malloc(3 * (size_t)params->steps * sizeof *s.lr);
    if (!s.lr) return -ENOMEM;
    s.loss = s.lr + params->steps;
    s.smooth = s.loss + params->steps;
    ret = set_up(&r);
    if (ret >= 0) ret = find(&r, params, &s, file);
    clzt_run_destroy(&r);
    free(s.lr);
    return ret;
}
