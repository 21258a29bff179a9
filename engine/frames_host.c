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
    free(f->y);
    free(f->l);
    free(f->ab);
    free(f);
}

static int create_plan(struct clzk_frame_plan **plan, const struct clz_frame *in, const struct clz_frame *out,
                       const struct clzi_frames_params *params)
{
    const struct clzk_picture from = clzi_picture(in), to = clzi_picture(out);

    return clzk_frame_plan_create(plan, &from, &to, params->w, params->h, params->colours);
}

static int host_create(struct clzi_frames **out, struct clzi_device *dev, const struct clzi_frames_params *params)
{
    const size_t pixels = (size_t)params->w * params->h;
    struct clzi_frames *f = *out = calloc(1, sizeof *f);
    int ret = -ENOMEM;

    if (!f) return ret;
    f->dev = dev;
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
        if ((ret = create_plan(&f->seen, &params->seen, &as_seen, params)) < 0) goto fail;
    }
    if ((ret = create_plan(&f->coloured, &params->in, &params->out, params)) < 0) goto fail;
    return 0;
fail:
    host_destroy(out);
    return ret;
}

static float *luma_of(const struct clzi_frames *f, int slot) { return f->y + (size_t)slot * f->h * f->w; }

static int host_read(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count, int images, void *l)
{
    const struct clzi_shape shape = { 1, 1, f->h, f->w };
    const size_t size = f->be->tensor_size(f->dev, shape);
    int ret = 0;

    for (int i = 0; i < images && ret >= 0; i++) {
        if (i < count) {
            const struct clzk_picture seen = clzi_picture(&jobs[i].seen);
            clzk_frame_to_l(f->seen ? f->seen : f->coloured, &seen, luma_of(f, slot + i), f->l, f->l_scale, f->l_offset);
        }
        ret = f->be->upload(f->dev, (char *)l + i * size, shape, f->l);
    }
    return ret;
}

static int host_write(struct clzi_frames *f, int run, int slot, const struct clzi_frame_job *jobs, int count, const void *ab)
{
    const struct clzi_shape shape = { 1, 2, f->h, f->w };
    const size_t size = f->be->tensor_size(f->dev, shape);
    int ret;

    (void)run;
    for (int i = 0; i < count; i++) {
        const struct clzk_picture in = clzi_picture(&jobs[i].in), out = clzi_picture(&jobs[i].out);
        if ((ret = f->be->download(f->dev, (const char *)ab + i * size, shape, f->ab)) < 0) return ret;
        if (!clzk_frame_ab_is_finite(f->coloured, f->ab)) return -ERANGE;
        clzk_frame_merge(f->coloured, &in, &out, luma_of(f, slot + i), f->ab, jobs[i].gain);
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

const struct clzi_frame_ops clzi_host_frames = { host_create, host_destroy, host_read, host_write, NULL, host_copy, NULL };
