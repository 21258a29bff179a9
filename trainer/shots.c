// shots.c - finds the cuts of a film on small grey pictures.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crop.h"
#include "engine/motion.h"
#include "scaler.h"
#include "shots.h"

struct finder {
    struct clzt_crop_tables tables;
    struct clzt_scaler *scaler;
    struct clzi_motion *motion;
    AVFrame *frame;
    void *reader;
    uint8_t *rgb;
    float *l;                               // [h,w] lightness, 0 to 1
    int w, h;
};

int64_t clzt_shots_spread(const int *shot, int64_t count, int most, int64_t *chosen)
{
    int64_t n = 0;
    int shots = 0;

    for (int64_t i = 0; i < count; i++)
        if (shot[i] >= shots) shots = shot[i] + 1;
    int64_t *const length = calloc(3 * (size_t)shots + 1, sizeof *length), *const place = length + shots;
    int64_t *const taken = place + shots;
    if (!length) return -ENOMEM;
    for (int64_t i = 0; i < count; i++)
        if (shot[i] >= 0) length[shot[i]]++;
    for (int64_t i = 0; i < count; i++) {
        if (shot[i] < 0) continue;
        const int64_t of = length[shot[i]], k = place[shot[i]]++, take = of < most ? of : most;
        if (k != (2 * taken[shot[i]] + 1) * of / (2 * take)) continue;     // the middles of `take` equal parts
        taken[shot[i]]++;
        chosen[n++] = i;
    }
    free(length);
    return n;
}

static int set_up(struct finder *f, int width, int height)
{
    clzt_scaled_size(width, height, CLZK_FLOW_SIDE, 1, &f->w, &f->h);
    if ((int64_t)f->w * f->h > CLZT_MAX_PIXELS) return -EIO;    // no frame of such a film can be used
    f->rgb = malloc((size_t)3 * f->w * f->h);
    f->l = malloc((size_t)f->w * f->h * sizeof *f->l);
    return f->rgb && f->l ? clzi_motion_create(&f->motion, f->w, f->h, CLZI_MOTION_BACK + 1, 1) : -ENOMEM;
}

// The next frame of the film in f->frame. back: how many frames before is the one that it continues; 0: none.
static int look(struct finder *f, uint64_t number, int *back)
{
    int ret = f->motion ? 0 : set_up(f, f->frame->width, f->frame->height);

    if (!ret) ret = clzt_scaler_run(f->scaler, f->frame, f->w, f->h, f->rgb);
    if (ret < 0) return ret;
    for (int i = 0; i < f->w * f->h; i++) {
        const int n = f->w * f->h, y = (299 * f->rgb[i] + 587 * f->rgb[n + i] + 114 * f->rgb[2 * n + i] + 500) / 1000;
        f->l[i] = (f->tables.l_of_luma[y] + 1) / 2;
    }
    clzi_motion_add(f->motion, f->l, CLZI_CUT_FIND);
    *back = clzi_motion_link(f->motion, number)->back;
    return 0;
}

// A frame that interrupts a shot, a flash or a splice, belongs to it. Then the numbers of the shots are made consecutive.
static int tidy(int *shot, int64_t count, const int *seen, int shots)
{
    int *const number = malloc((shots ? shots : 1) * sizeof *number), n = 0;

    if (!number) return -ENOMEM;
    for (int64_t i = 0, before = -1; i < count; i++) {
        if (shot[i] < 0) continue;
        if (before >= 0 && seen[shot[i]] < CLZI_MOTION_BACK)
            for (int64_t k = i + 1; k < count && k <= i + CLZI_MOTION_BACK; k++)
                if (shot[k] == shot[before]) {
                    shot[i] = shot[k];
                    break;
                }
        before = i;
    }
    for (int s = 0; s < shots; s++) number[s] = -1;
    for (int64_t i = 0; i < count; i++) {
        if (shot[i] < 0) continue;
        if (number[shot[i]] < 0) number[shot[i]] = n++;
        shot[i] = number[shot[i]];
    }
    free(number);
    return n;
}

static int find(struct finder *f, const struct clzt_source *source, int *shot, const volatile int *stop)
{
    int *const seen = calloc(source->count, sizeof *seen), shots = 0, ret = seen ? 0 : -ENOMEM;
    int64_t *const frames = malloc(source->count * sizeof *frames), good = 0;  // those that could be decoded

    if (!frames) ret = -ENOMEM;
    for (int64_t i = 0; i < source->count && !ret; i++) {
        int orientation, back = 0;
        shot[i] = -1;
        if (stop && *stop) ret = -ECANCELED;
        else if ((ret = source->kind->read(f->reader, source, i, f->frame, &orientation)) == -EIO) {
            ret = 0;
            continue;
        }
        if (!ret) ret = look(f, good, &back);
        av_frame_unref(f->frame);
        if (ret) break;
        frames[good] = i;
        shot[i] = back ? shot[frames[good - back]] : shots++;
        seen[shot[i]]++;
        good++;
    }
    if (!ret) ret = tidy(shot, source->count, seen, shots);
    free(seen);
    free(frames);
    return ret;
}

int clzt_shots_choose(struct clzt_source *source, int most, int *shots, const volatile int *stop)
{
    struct finder *f = calloc(1, sizeof *f);
    int *shot = malloc(source->count * sizeof *shot), ret = f && shot ? 0 : -ENOMEM;
    int64_t *chosen = malloc(source->count * sizeof *chosen), n = 0;

    if (!ret) clzt_crop_tables_make(&f->tables);
    if (!ret) ret = chosen && (f->frame = av_frame_alloc()) ? clzt_scaler_create(&f->scaler) : -ENOMEM;
    if (!ret && source->kind->reader_open) ret = source->kind->reader_open(&f->reader, source);
    if (!ret) ret = *shots = find(f, source, shot, stop);
    if (ret >= 0) ret = (n = clzt_shots_spread(shot, source->count, most, chosen)) < 0 ? (int)n : 0;
    if (f) {
        if (f->reader) source->kind->reader_close(&f->reader);
        clzt_scaler_destroy(&f->scaler);
        clzi_motion_destroy(&f->motion);
        av_frame_free(&f->frame);
        free(f->rgb);
        free(f->l);
    }
    free(f);
    free(shot);
    if (ret < 0) {
        free(chosen);
        return ret;
    }
    source->chosen = chosen;
    source->count = n;
    return 0;
}
