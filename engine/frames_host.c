// frames_host.c - the frame operations of devices whose frames lie in host memory, over kernels/frame.h.
#include <errno.h>
#include <stdlib.h>

#include "backend.h"
#include "pixfmt.h"

struct clzi_frames {
    struct clzi_device *dev;
    const struct clzi_backend *be;
    struct clzk_frame_plan *coloured;       // for in and out
    struct clzk_frame_plan *seen;           // for what the network sees, if its size differs from in's; else NULL
    struct clzk_frame_plan *field[2];       // top, bottom: for jobs that are fields; NULL: there was none yet
    int field_height;                       // that they are for
    struct clzi_frames_params params;       // for them
    int w, h;                               // of the network's pictures
    float l_scale, l_offset;
    float *y;                               // [slots,1,h,w] Y'
    float *l, *ab;                          // [1,h,w], [2,h,w] of one frame
};

static void host_destroy(struct clzi_frames **frames)
{
    struct clzi_frames *f = *frames;

    *frames = NULL;
    if (!f) return;
    clzk_frame_plan_destroy(&f->coloured);
    clzk_frame_plan_destroy(&f->seen);
    for (int i = 0; i < 2; i++) clzk_frame_plan_destroy(&f->field[i]);
    free(f->y);
    free(f->l);
    free(f->ab);
    free(f);
}

static struct clzk_picture picture_of(const struct clz_frame *frame, enum clzk_part part)
{
    struct clzk_picture p = clzi_picture(frame);

    p.part = part;
    return p;
}

static int create_plan(struct clzk_frame_plan **plan, const struct clz_frame *in, const struct clz_frame *out,
                       enum clzk_part part, const struct clzi_frames_params *params)
{
    const struct clzk_picture from = picture_of(in, part), to = picture_of(out, part);

    return clzk_frame_plan_create(plan, &from, &to, params->w, params->h, params->colours);
}

static int host_create(struct clzi_frames **out, struct clzi_device *dev, const struct clzi_frames_params *params)
{
    const size_t pixels = (size_t)params->w * params->h;
    struct clzi_frames *f = *out = calloc(1, sizeof *f);
    int ret = -ENOMEM;

    if (!f) return ret;
    f->dev = dev;
    f->params = *params;
    f->be = clzi_device_base(dev)->backend;
    f->w = params->w;
    f->h = params->h;
    f->l_scale = params->l_scale;
    f->l_offset = params->l_offset;
    f->y = malloc(params->slots * pixels * sizeof *f->y);
    f->l = malloc(pixels * sizeof *f->l);
    f->ab = malloc(2 * pixels * sizeof *f->ab);
    if (!f->y || !f->l || !f->ab) goto fail;
    if (params->seen.width != params->in.width || params->seen.height != params->in.height) {
        struct clz_frame as_seen = params->out;
        as_seen.width = params->seen.width;
        as_seen.height = params->seen.height;
        if ((ret = create_plan(&f->seen, &params->seen, &as_seen, CLZK_FRAME, params)) < 0) goto fail;
    }
    if ((ret = create_plan(&f->coloured, &params->in, &params->out, CLZK_FRAME, params)) < 0) goto fail;
    return 0;
fail:
    host_destroy(out);
    return ret;
}

static float *luma_of(const struct clzi_frames *f, int slot) { return f->y + (size_t)slot * f->h * f->w; }

// The plan of a job's frames, which is made where it is the first field of its height.
static int plan_of(struct clzi_frames *f, const struct clzi_frame_job *job, bool for_seen, struct clzk_frame_plan **plan)
{
    int ret = 0;

    *plan = for_seen && f->seen ? f->seen : f->coloured;
    if (job->part == CLZK_FRAME) return 0;
    for (int i = 0; i < 2 && f->field_height != job->in.height; i++) clzk_frame_plan_destroy(&f->field[i]);
    f->field_height = job->in.height;
    for (int i = 0; i < 2 && ret >= 0; i++)
        if (!f->field[i])
            ret = create_plan(&f->field[i], &job->in, &job->out, i ? CLZK_BOTTOM_FIELD : CLZK_TOP_FIELD, &f->params);
    *plan = f->field[job->part == CLZK_BOTTOM_FIELD];
    return ret;
}

static int host_read(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count, int images, void *l)
{
    const struct clzi_shape shape = { 1, 1, f->h, f->w };
    const size_t size = f->be->tensor_size(f->dev, shape);
    struct clzk_frame_plan *plan;
    int ret = 0;

    for (int i = 0; i < images && ret >= 0; i++) {
        if (i < count) {
            const struct clzk_picture seen = picture_of(&jobs[i].seen, jobs[i].part);
            if ((ret = plan_of(f, &jobs[i], true, &plan)) < 0) return ret;
            clzk_frame_to_l(plan, &seen, luma_of(f, slot + i), f->l, f->l_scale, f->l_offset);
        }
        ret = f->be->upload(f->dev, (char *)l + i * size, shape, f->l);
    }
    return ret;
}

static int host_write(struct clzi_frames *f, int run, int slot, const struct clzi_frame_job *jobs, int count, const void *ab)
{
    const struct clzi_shape shape = { 1, 2, f->h, f->w };
    const size_t size = f->be->tensor_size(f->dev, shape);
    struct clzk_frame_plan *plan;
    int ret;

    (void)run;
    for (int i = 0; i < count; i++) {
        const struct clzk_picture in = picture_of(&jobs[i].in, jobs[i].part), out = picture_of(&jobs[i].out, jobs[i].part);
        if ((ret = plan_of(f, &jobs[i], false, &plan)) < 0) return ret;
        if ((ret = f->be->download(f->dev, (const char *)ab + i * size, shape, f->ab)) < 0) return ret;
        if (!clzk_frame_ab_is_finite(f->coloured, f->ab)) return -ERANGE;
        clzk_frame_merge(plan, &in, &out, luma_of(f, slot + i), f->ab, jobs[i].gain);
    }
    return 0;
}

static int host_copy(struct clzi_device *dev, const struct clz_frame *in, const struct clz_frame *out)
{
    const struct clzk_picture from = clzi_picture(in), to = clzi_picture(out);

    (void)dev;
    clzk_frame_copy(&from, &to);
    return 0;
}

const struct clzi_frame_ops clzi_host_frames = {
    host_create, host_destroy, host_read, host_write, NULL, host_copy, NULL, true,
};
