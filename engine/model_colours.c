// model_colours.c - the colour tables of a model's streams. They take 0.1 s of one core each, so they are made once and belong to
// the model, which outlives its streams: FFmpeg opens a new stream when a film changes size.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "kernels/colour_table.h"
#include "model.h"

struct clzi_model_colours {
    struct clzk_colour_table *table;
    struct clzi_model_colours *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;       // guards the lists of all models

static bool same_space(const struct clzk_colour_space *a, const struct clzk_colour_space *b)
{
    return a->weights.kr == b->weights.kr && a->weights.kb == b->weights.kb && a->wide == b->wide && a->transfer == b->transfer;
}

int clzi_model_colours(struct clz_model *model, const struct clzk_colour_space *space, bool lstar,
                       const struct clzk_colour_table **table)
{
    struct clzi_model_colours *c;
    int ret = 0;

    pthread_mutex_lock(&mutex);
    for (c = model->colours; c; c = c->next)
        if (same_space(&c->table->space, space) && c->table->lstar == lstar) break;
    if (!c) {
        c = calloc(1, sizeof *c);
        ret = c ? clzk_colour_table_create(&c->table, space, lstar) : -ENOMEM;
        if (ret >= 0) {
            c->next = model->colours;
            model->colours = c;
        } else {
            free(c);
        }
    }
    *table = ret < 0 ? NULL : c->table;
    pthread_mutex_unlock(&mutex);
    return ret;
}

void clzi_model_colours_destroy(struct clz_model *model)
{
    struct clzi_model_colours *next;

    for (struct clzi_model_colours *c = model->colours; c; c = next) {
        next = c->next;
        clzk_colour_table_destroy(&c->table);
        free(c);
    }
    model->colours = NULL;
}
