// frames.c - both ends of the network on the device. A frame in host memory goes through a slot:
//
//     read()    planes -> pinned memory -> (stream up) device memory -> L* -> the network's input, on dev->stream
//     write()   the network's output -> chroma in device memory -> (stream down) pinned memory; luma, alpha by the CPU
//     finish()  pinned memory -> planes
//
// so that the copies of one run overlap the network of another. Luma that is not converted never comes back from the device: it
// is copied on the host, bit for bit. A frame in device memory needs no slot; its planes are used on the application's stream.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"
#include "kernels/colour_table.h"
#include "pixfmt.h"

enum { PLANES = 4 };

// A frame's planes one after the other, without gaps between rows but for alignment.
struct layout {
    size_t offset[PLANES], pitch[PLANES];   // bytes; pitch 0: the plane is not part of it
    int rows[PLANES];
    size_t size;
};

struct clzi_frames {
    struct clzi_device *dev;
    int w, h, images, slots;
    float l_scale, l_offset;
    bool on_device;                         // frames lie in device memory
    bool luma_kept;                         // the device does not write luma
    struct clzk_cu_frame_plan coloured, seen, field[2];
    bool has_seen;                          // what the network sees is a part of what is coloured
    struct clzk_cu_colours colours;
    const struct clzk_colour_table *colour_table;
    int field_height;                       // that field[], top and bottom, are for; 0: there was no field yet
    struct layout in, out;                  // of what is copied to and from the device
    // device memory
    void *tables, *field_tables;            // of the plans and the colours; of field[]
    char *in_planes, *out_planes;           // [slots]
    float *y, *lines;                       // [slots][h][w], [slots][h][w][4]
    void *work;
    int *bad;                               // [runs]
    // pinned memory
    char *in_host, *out_host;               // [slots]
    int *bad_host;                          // [runs]
};

static int error_of(const struct clzi_frames *f, int error) { return clzi_cuda_error(f->dev, error, "frames"); }

// ---- layouts ----

static bool is_in_plane(const struct clz_pixfmt *format, int component, int plane)
{
    return format->samples[component].step && format->samples[component].plane == plane;
}

// Whether one of the first `parts` components of R', G', B' or Y' lies in the plane.
static bool carries_luma(const struct clz_pixfmt *format, int plane)
{
    const int parts = format->flags & CLZ_PIXFMT_RGB ? 3 : 1;

    for (int i = 0; i < parts; i++)
        if (is_in_plane(format, i, plane)) return true;
    return false;
}

static bool carries_chroma(const struct clz_pixfmt *format, int plane)
{
    if (format->flags & (CLZ_PIXFMT_RGB | CLZ_PIXFMT_GRAY)) return false;
    return is_in_plane(format, 1, plane) || is_in_plane(format, 2, plane);
}

static void layout_add(struct layout *l, const struct clz_frame *f, int plane)
{
    l->offset[plane] = l->size;
    l->pitch[plane] = (clz_pixfmt_row_bytes(f->format, plane, f->width) + 15) / 16 * 16;
    l->rows[plane] = clz_pixfmt_rows(f->format, plane, f->height);
    l->size += l->pitch[plane] * l->rows[plane];
}

static void lay_out(struct clzi_frames *f, const struct clzi_frames_params *p)
{
    for (int i = 0; i < p->in.format->planes; i++)
        if (carries_luma(p->in.format, i)) layout_add(&f->in, &p->in, i);
    for (int i = 0; i < p->out.format->planes; i++)
        if (carries_chroma(p->out.format, i) || (carries_luma(p->out.format, i) && !f->luma_kept))
            layout_add(&f->out, &p->out, i);
}

// The frame as it lies in a block of device memory; planes that are not part of the layout have no address.
static struct clz_frame in_block(const struct clz_frame *frame, const struct layout *l, char *block)
{
    struct clz_frame f = *frame;

    for (int i = 0; i < f.format->planes; i++) {
        f.data[i] = l->pitch[i] ? (uint8_t *)block + l->offset[i] : NULL;
        f.stride[i] = (ptrdiff_t)l->pitch[i];
    }
    return f;
}

static void copy_rows(void *to, ptrdiff_t to_stride, const void *from, ptrdiff_t from_stride, size_t bytes, int rows)
{
    for (int i = 0; i < rows; i++) memcpy((char *)to + i * to_stride, (const char *)from + i * from_stride, bytes);
}

static void copy_planes(const struct clz_frame *frame, const struct layout *l, char *block, bool to_block)
{
    for (int i = 0; i < frame->format->planes; i++) {
        const size_t bytes = l->pitch[i] ? (size_t)clz_pixfmt_row_bytes(frame->format, i, frame->width) : 0;
        const int rows = clz_pixfmt_rows(frame->format, i, frame->height);      // of a field: fewer than the layout has
        if (!bytes) continue;
        if (to_block)
            copy_rows(block + l->offset[i], (ptrdiff_t)l->pitch[i], frame->data[i], frame->stride[i], bytes, rows);
        else
            copy_rows(frame->data[i], frame->stride[i], block + l->offset[i], (ptrdiff_t)l->pitch[i], bytes, rows);
    }
}

// ---- creation ----

static void cuda_destroy(struct clzi_frames **frames)
{
    struct clzi_frames *f = *frames;

    *frames = NULL;
    if (!f) return;
    cudaStreamSynchronize(f->dev->stream);
    cudaStreamSynchronize(f->dev->up);
    cudaStreamSynchronize(f->dev->down);
    cudaFree(f->tables);
    cudaFree(f->field_tables);
    cudaFree(f->in_planes);
    cudaFree(f->out_planes);
    cudaFree(f->y);
    cudaFree(f->lines);
    cudaFree(f->work);
    cudaFree(f->bad);
    cudaFreeHost(f->in_host);
    cudaFreeHost(f->out_host);
    cudaFreeHost(f->bad_host);
    free(f);
}

// Plans and colours in one block: made on the host, copied once.
static int create_tables(struct clzi_frames *f, const struct clzi_frames_params *p)
{
    const struct clzk_picture in = clzi_picture(&p->in), out = clzi_picture(&p->out), seen = clzi_picture(&p->seen);
    struct clzk_picture seen_out = out;
    size_t sizes[3], total = 0;
    cudaError_t error = cudaSuccess;
    char *block, *device;

    seen_out.width = p->seen.width;
    seen_out.height = p->seen.height;
    f->has_seen = p->seen.width != p->in.width || p->seen.height != p->in.height;
    sizes[0] = clzi_cuda_aligned(clzk_cu_colours_size(p->colours));
    sizes[1] = clzi_cuda_aligned(clzk_cu_frame_plan_size(&in, &out, p->w, p->h));
    sizes[2] = f->has_seen ? clzi_cuda_aligned(clzk_cu_frame_plan_size(&seen, &seen_out, p->w, p->h)) : 0;
    for (int i = 0; i < 3; i++) total += sizes[i];
    if (!(block = malloc(total))) return -ENOMEM;
    error = cudaMalloc(&f->tables, total);
    if (!error) {
        device = f->tables;
        clzk_cu_colours_fill(&f->colours, p->colours, block, device);
        clzk_cu_frame_plan_fill(&f->coloured, &in, &out, p->w, p->h, p->colours, &f->colours, block + sizes[0],
                                device + sizes[0]);
        if (f->has_seen)
            clzk_cu_frame_plan_fill(&f->seen, &seen, &seen_out, p->w, p->h, p->colours, &f->colours, block + sizes[0] + sizes[1],
                                    device + sizes[0] + sizes[1]);
        // not cudaMemcpy(): it works on the default stream, for which f->dev->stream does not wait
        error = cudaMemcpyAsync(f->tables, block, total, cudaMemcpyHostToDevice, f->dev->stream);
    }
    free(block);
    if (error != cudaErrorMemoryAllocation) return error_of(f, error);
    cudaGetLastError();                     // the caller may try again with fewer frames at once
    return -ENOMEM;
}

static struct clzk_picture picture_of(const struct clz_frame *frame, enum clzk_part part)
{
    struct clzk_picture p = clzi_picture(frame);

    p.part = part;
    return p;
}

// Makes the plans for fields of a job's height, if there are none yet. Frames of an earlier height are done then: their rows are
// in use until the stream is.
static int create_field_plans(struct clzi_frames *f, const struct clzi_frame_job *job)
{
    cudaError_t error = cudaSuccess;
    size_t sizes[2], total = 0;
    char *block, *device;

    if (f->field_height == job->in.height) return 0;
    if (f->field_height) error = cudaStreamSynchronize(f->dev->stream);
    cudaFree(f->field_tables);
    f->field_tables = NULL;
    f->field_height = 0;
    for (int i = 0; i < 2; i++) {
        const enum clzk_part part = i ? CLZK_BOTTOM_FIELD : CLZK_TOP_FIELD;
        const struct clzk_picture in = picture_of(&job->in, part), out = picture_of(&job->out, part);
        total += sizes[i] = clzi_cuda_aligned(clzk_cu_frame_plan_size(&in, &out, f->w, f->h));
    }
    if (!(block = malloc(total))) return cudaErrorMemoryAllocation;
    if (!error) error = cudaMalloc(&f->field_tables, total);
    device = f->field_tables;
    for (int i = 0; i < 2 && !error; i++) {
        const enum clzk_part part = i ? CLZK_BOTTOM_FIELD : CLZK_TOP_FIELD;
        const struct clzk_picture in = picture_of(&job->in, part), out = picture_of(&job->out, part);
        const size_t at = i ? sizes[0] : 0;
        clzk_cu_frame_plan_fill(&f->field[i], &in, &out, f->w, f->h, f->colour_table, &f->colours, block + at, device + at);
    }
    if (!error) error = cudaMemcpyAsync(f->field_tables, block, total, cudaMemcpyHostToDevice, f->dev->stream);
    free(block);
    if (!error) f->field_height = job->in.height;
    return error;
}

// The number of jobs from the first on that are the same part of their frames, and the plan for these.
static int same_part(const struct clzi_frames *f, const struct clzi_frame_job *jobs, int count, bool for_seen,
                     const struct clzk_cu_frame_plan **plan)
{
    int n = 1;

    *plan = jobs->part ? &f->field[jobs->part == CLZK_BOTTOM_FIELD] : for_seen && f->has_seen ? &f->seen : &f->coloured;
    while (n < count && jobs[n].part == jobs->part) n++;
    return n;
}

static int create_buffers(struct clzi_frames *f)
{
    const size_t pixels = (size_t)f->w * f->h, slots = (size_t)f->slots;
    const struct { void **at; size_t size; bool host; } buffers[] = {
        { (void **)&f->in_planes, f->on_device ? 0 : slots * f->in.size, false },
        { (void **)&f->out_planes, f->on_device ? 0 : slots * f->out.size, false },
        { (void **)&f->y, slots * pixels * sizeof(float), false },
        { (void **)&f->lines, slots * pixels * 4 * sizeof(float), false },
        { &f->work, clzk_cu_frame_fit_size(&f->coloured, f->images), false },
        { (void **)&f->bad, CLZI_CUDA_RUNS * sizeof(int), false },
        { (void **)&f->in_host, f->on_device ? 0 : slots * f->in.size, true },
        { (void **)&f->out_host, f->on_device ? 0 : slots * f->out.size, true },
        { (void **)&f->bad_host, CLZI_CUDA_RUNS * sizeof(int), true },
    };

    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        const cudaError_t error = !buffers[i].size ? cudaSuccess : buffers[i].host ?
                                  cudaHostAlloc(buffers[i].at, buffers[i].size, cudaHostAllocDefault) :
                                  cudaMalloc(buffers[i].at, buffers[i].size);
        if (!error) continue;
        if (error != cudaErrorMemoryAllocation) return error_of(f, error);
        cudaGetLastError();
        return -ENOMEM;
    }
    memset(f->bad_host, 0, CLZI_CUDA_RUNS * sizeof(int));
    return error_of(f, cudaMemsetAsync(f->bad, 0, CLZI_CUDA_RUNS * sizeof(int), f->dev->stream));
}

static int cuda_create(struct clzi_frames **out, struct clzi_device *dev, const struct clzi_frames_params *p)
{
    struct clzi_frames *f = *out = calloc(1, sizeof *f);
    int ret;

    if (!f) return -ENOMEM;
    f->dev = dev;
    f->w = p->w;
    f->h = p->h;
    f->images = p->images;
    f->slots = p->slots;
    f->l_scale = p->l_scale;
    f->l_offset = p->l_offset;
    f->colour_table = p->colours;
    f->on_device = p->in.memory == CLZ_MEMORY_CUDA;
    f->luma_kept = !f->on_device && !p->colours->lstar && p->in.range == p->out.range &&
                   !(p->out.format->flags & CLZ_PIXFMT_RGB) && clzi_pixfmt_same_luma(p->in.format, p->out.format);
    lay_out(f, p);
    if ((ret = create_tables(f, p)) >= 0 && (ret = create_buffers(f)) >= 0) return 0;
    cuda_destroy(out);
    return ret;
}

// ---- frame -> L* ----

// What the network sees of a frame that lies in a block: the view is moved as it is in the frame.
static struct clz_frame seen_in_block(const struct clzi_frame_job *job, const struct clz_frame *block)
{
    struct clz_frame f = job->seen;

    for (int i = 0; i < f.format->planes; i++) {
        const ptrdiff_t offset = job->seen.data[i] - job->in.data[i], stride = job->in.stride[i];
        const ptrdiff_t step = stride < 0 ? -stride : stride, bytes = (offset % step + step) % step;
        f.stride[i] = block->stride[i];
        f.data[i] = block->data[i] ? block->data[i] + (offset - bytes) / stride * block->stride[i] + bytes : NULL;
    }
    return f;
}

static struct clz_frame device_in(const struct clzi_frames *f, int slot, const struct clzi_frame_job *job)
{
    return f->on_device ? job->in : in_block(&job->in, &f->in, f->in_planes + slot * f->in.size);
}

// Images after `count` repeat the last one.
static int to_l(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count, int images, void *l)
{
    const int64_t pixels = (int64_t)f->w * f->h;
    const struct clzk_cu_frame_plan *plan;
    const void *last = clzi_cuda_at(f->dev, l, (count - 1) * pixels);
    struct clzk_picture pictures[CLZI_MAX_IMAGES];
    int error = 0;

    for (int i = 0; i < count; i++) {
        const struct clz_frame in = device_in(f, slot + i, &jobs[i]);
        const struct clz_frame seen = f->on_device ? jobs[i].seen : seen_in_block(&jobs[i], &in);
        pictures[i] = picture_of(&seen, jobs[i].part);
    }
    for (int i = 0, n; i < count && !error; i += n) {
        n = same_part(f, jobs + i, count - i, true, &plan);
        error = clzk_cu_frames_to_l(f->dev->stream, plan, n, pictures + i, f->y + (slot + i) * pixels, f->dev->type,
                                    clzi_cuda_to(f->dev, l, i * pixels), 1, f->l_scale, f->l_offset);
    }
    for (int i = count; i < images && !error; i++)
        error = cudaMemcpyAsync(clzi_cuda_to(f->dev, l, i * pixels), last, clzi_cuda_bytes(f->dev, pixels),
                                cudaMemcpyDeviceToDevice, f->dev->stream);
    return error;
}

static int upload(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count)
{
    struct clzi_device *dev = f->dev;
    cudaError_t error = cudaSuccess;

    for (int i = 0; i < count && !error; i++) {
        const size_t at = (slot + i) * f->in.size;
        copy_planes(&jobs[i].in, &f->in, f->in_host + at, true);
        error = cudaMemcpyAsync(f->in_planes + at, f->in_host + at, f->in.size, cudaMemcpyHostToDevice, dev->up);
    }
    if (!error) error = cudaEventRecord(dev->up_done, dev->up);
    return error ? error : cudaStreamWaitEvent(dev->stream, dev->up_done, 0);
}

static int cuda_read(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count, int images, void *l)
{
    int error = 0;

    for (int i = 0; i < count && !error; i++)
        if (jobs[i].part) error = create_field_plans(f, &jobs[i]);
    if (!error && !f->on_device) error = upload(f, slot, jobs, count);
    return error_of(f, error ? error : to_l(f, slot, jobs, count, images, l));
}

// ---- ab -> chroma ----

// Luma that the device does not write, and alpha of a plane of its own: a gray picture with these alone.
static void copy_on_host(const struct clzi_frames *f, const struct clzi_frame_job *job)
{
    struct clzk_picture in = clzi_picture(&job->in), out = clzi_picture(&job->out);
    const struct clz_pixfmt *format = job->out.format;
    const bool alpha = format->samples[3].step && !f->out.pitch[format->samples[3].plane];

    if (!f->luma_kept && !alpha) return;
    in.rgb = out.rgb = false;
    in.gray = out.gray = true;
    in.c[1].step = in.c[2].step = out.c[1].step = out.c[2].step = 0;
    if (!f->luma_kept) {                    // as if it were shared
        out.c[0] = in.c[0];
        out.full = in.full;
        out.depth = in.depth;
        out.shift = in.shift;
        out.swapped = in.swapped;
    }
    if (!alpha) in.c[3].step = out.c[3].step = 0;
    clzk_frame_copy(&in, &out);
}

static int merge(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count)
{
    struct clzk_picture from[CLZI_MAX_IMAGES], to[CLZI_MAX_IMAGES];
    const struct clzk_cu_frame_plan *plan;
    int error = 0;

    for (int i = 0; i < count; i++) {
        const struct clz_pixfmt *in_format = jobs[i].in.format, *out_format = jobs[i].out.format;
        const struct clz_frame in = device_in(f, slot + i, &jobs[i]);
        const struct clz_frame out = f->on_device ? jobs[i].out :
                                     in_block(&jobs[i].out, &f->out, f->out_planes + (slot + i) * f->out.size);
        from[i] = picture_of(&in, jobs[i].part);
        to[i] = picture_of(&out, jobs[i].part);
        if (f->on_device) continue;
        if (f->luma_kept) to[i].c[0] = from[i].c[0];
        if (out_format->samples[3].step && !f->out.pitch[out_format->samples[3].plane]) from[i].c[3].step = to[i].c[3].step = 0;
        if (from[i].c[3].step && !in.data[in_format->samples[3].plane]) from[i].c[3].step = 0;
    }
    for (int i = 0, n; i < count && !error; i += n) {
        n = same_part(f, jobs + i, count - i, false, &plan);
        error = clzk_cu_frames_merge(f->dev->stream, plan, n, from + i, to + i, f->lines + (size_t)(slot + i) * f->w * f->h * 4);
    }
    return error;
}

static int download(struct clzi_frames *f, int run, int slot, int count)
{
    struct clzi_device *dev = f->dev;
    cudaError_t error = cudaEventRecord(dev->network_done, dev->stream);

    if (!error) error = cudaStreamWaitEvent(dev->down, dev->network_done, 0);
    if (!error && !f->on_device)
        error = cudaMemcpyAsync(f->out_host + slot * f->out.size, f->out_planes + slot * f->out.size, count * f->out.size,
                                cudaMemcpyDeviceToHost, dev->down);
    return error ? error : cudaMemcpyAsync(f->bad_host + run, f->bad + run, sizeof *f->bad, cudaMemcpyDeviceToHost, dev->down);
}

static int cuda_write(struct clzi_frames *f, int run, int slot, const struct clzi_frame_job *jobs, int count, const void *ab)
{
    const size_t pixels = (size_t)f->w * f->h;
    float gains[CLZI_MAX_IMAGES];
    int error;

    for (int i = 0; i < count; i++) gains[i] = jobs[i].gain;
    error = clzk_cu_frame_fit(f->dev->stream, &f->coloured, count, f->y + slot * pixels, f->dev->type, ab, 2, gains,
                              f->lines + slot * pixels * 4, f->work, f->bad + run);
    if (!error) error = merge(f, slot, jobs, count);
    if (!error) error = download(f, run, slot, count);
    for (int i = 0; i < count && !error && !f->on_device; i++) copy_on_host(f, &jobs[i]);
    return error_of(f, error);
}

static int cuda_finish(struct clzi_frames *f, int run, int slot, const struct clzi_frame_job *jobs, int count)
{
    if (f->bad_host[run]) {
        f->bad_host[run] = 0;
        cudaMemsetAsync(f->bad + run, 0, sizeof *f->bad, f->dev->stream);       // for the next run of this number
        return -ERANGE;
    }
    for (int i = 0; i < count && !f->on_device; i++)
        copy_planes(&jobs[i].out, &f->out, f->out_host + (slot + i) * f->out.size, false);
    return 0;
}

static int cuda_copy(struct clzi_device *dev, const struct clz_frame *in, const struct clz_frame *out)
{
    const struct clzk_picture from = clzi_picture(in), to = clzi_picture(out);

    if (in->memory == CLZ_MEMORY_CUDA) return clzi_cuda_error(dev, clzk_cu_frame_copy(dev->stream, &from, &to), "frames");
    clzk_frame_copy(&from, &to);
    return 0;
}

const struct clzi_frame_ops clzi_cuda_frames = {
    cuda_create, cuda_destroy, cuda_read, cuda_write, cuda_finish, cuda_copy, clzi_cuda_bright, true,
};
