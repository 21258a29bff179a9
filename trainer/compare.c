// compare.c - scores of a coloured film against the true one.
#include <errno.h>
#include <stdlib.h>

#include "compare.h"
#include "crop.h"
#include "base/log.h"
#include "temporal.h"

struct comparison {
    struct clzt_crop_tables tables;
    struct clzt_reader *readers[2];         // truth, film
    struct clzt_metrics *film, *grey, *mean, *own;
    struct clzt_temporal *temporal[2];      // truth, film; NULL: not measured
    int width, height;                      // of the first frame
    float *l[2], *ab[2];                    // [h,w], [2,h,w]
};

static void destroy(struct comparison *c)
{
    for (int i = 0; i < 2; i++) {
        clzt_reader_destroy(&c->readers[i]);
        free(c->l[i]);
        free(c->ab[i]);
        clzt_temporal_destroy(&c->temporal[i]);
    }
    clzt_metrics_destroy(&c->film);
    clzt_metrics_destroy(&c->grey);
    clzt_metrics_destroy(&c->mean);
    clzt_metrics_destroy(&c->own);
}

static int create(struct comparison *c, int width, int height)
{
    const size_t pixels = (size_t)width * height;
    int ret;

    c->width = width;
    c->height = height;
    clzt_crop_tables_make(&c->tables);
    if ((ret = clzt_metrics_create(&c->film, width, height)) < 0 ||
        (ret = clzt_metrics_create(&c->grey, width, height)) < 0 ||
        (ret = clzt_metrics_create(&c->mean, width, height)) < 0 ||
        (ret = clzt_metrics_create(&c->own, width, height)) < 0)
        return ret;
    for (int i = 0; i < 2; i++)
        if (!(c->l[i] = malloc(pixels * sizeof *c->l[i])) || !(c->ab[i] = malloc(2 * pixels * sizeof *c->ab[i]))) return -ENOMEM;
    return 0;
}

static void add_to_temporal(struct comparison *c, bool follows)
{
    const struct clzt_added added = clzt_metrics_added(c->film);
    const uint8_t *const rgb[2] = { added.truth, added.guess };

    for (int i = 0; i < 2; i++) {
        if (!follows) clzt_temporal_cut(c->temporal[i]);
        clzt_temporal_add(c->temporal[i], rgb[i], c->l[0], c->ab[i]);
    }
}

static int read_frame(struct comparison *c, int which, int64_t index, const struct clz_log *log)
{
    struct clzt_picture p;
    int ret = clzt_reader_read(c->readers[which], index, &p);

    if (ret >= 0 && !c->film) ret = create(c, p.width, p.height);
    if (ret < 0) return ret;
    if (p.width != c->width || p.height != c->height)
        return clzi_fail(log, -EINVAL, "compare: frame %lld of the %s film is %dx%d, expected %dx%d as of the first.",
                         (long long)index,
                         which ? "other" : "true", p.width, p.height, c->width, c->height);
    for (int y = 0; y < p.height; y++) {
        const size_t at = (size_t)y * p.width;
        float *ab = c->ab[which] + at;
        clzt_lab_row(&c->tables, p.r + at, p.g + at, p.b + at, p.width, c->l[which] + at, ab, ab + (size_t)p.width * p.height);
    }
    return 0;
}

int clzt_compare(struct clzt_dataset *truth, struct clzt_dataset *film, int64_t pictures, const double mean[2],
                 struct clzt_comparison *result)
{
    const struct clz_log *log = clzt_dataset_log(truth);
    const int64_t count = clzt_dataset_count(truth), n = pictures > 0 && pictures < count ? pictures : count;
    struct comparison c = { .width = 0 };
    int ret;

    if (clzt_dataset_count(film) != count)
        return clzi_fail(log, -EINVAL, "compare: the true film has %lld frames, the other %lld.", (long long)count,
                         (long long)clzt_dataset_count(film));
    if ((ret = clzt_reader_create(&c.readers[0], truth)) >= 0) ret = clzt_reader_create(&c.readers[1], film);
    for (int64_t i = 0; i < n && ret >= 0; i++) {
        const int64_t index = (2 * i + 1) * count / (2 * n);        // the centres of n equal parts
        if ((ret = read_frame(&c, 0, index, log)) < 0 || (ret = read_frame(&c, 1, index, log)) < 0) break;
        for (int k = 0; k < 2 && n == count && !c.temporal[k] && ret >= 0; k++)
            ret = clzt_temporal_create(&c.temporal[k], (int64_t)c.width * c.height);
        if (ret < 0) break;
        clzt_metrics_add(c.film, c.l[0], c.ab[0], c.ab[1]);
        if (n == count) add_to_temporal(&c, clzt_dataset_follows(truth, index));
        clzt_metrics_add_flat(c.grey, c.l[0], c.ab[0], (const double[2]){ 0, 0 });
        clzt_metrics_add_flat(c.mean, c.l[0], c.ab[0], mean);
        clzt_metrics_add_own(c.own, c.l[0], c.ab[0]);
    }
    if (ret >= 0)
        *result = (struct clzt_comparison){ clzt_metrics_scores(c.film), clzt_metrics_scores(c.grey),
                                            clzt_metrics_scores(c.mean), clzt_metrics_scores(c.own) };
    if (ret >= 0 && c.temporal[0]) {
        const struct clzt_temporal_scores there = clzt_temporal_scores(c.temporal[0]), here = clzt_temporal_scores(c.temporal[1]);
        result->film.cdc = here.cdc;
        result->film.change = here.change;
        result->film.cdc_true = there.cdc;
        result->film.change_true = there.change;
    }
    destroy(&c);
    return ret;
}
