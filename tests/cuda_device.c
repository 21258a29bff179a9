// cuda_device.c - the CUDA device without a GPU: engine/cuda over the emulated kernels (cuda_emu.h) and an emulated runtime
// (emulated_runtime.h). Every op of tests/ops.c against the reference, streams of frames against the reference's, and what is
// said where a device cannot be opened.
#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "emulated_runtime.h"
#include "engine/cuda/plan_cache.h"
#include "engine/backend.h"
#include "engine/colorize.h"
#include "tiny_model.h"

// ---- the linker puts these in the places of two functions ----

int __real_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
int __wrap_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
int ops_main(int argc, char **argv);        // main() of ops.c

int __wrap_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params)
{
    if (name && !strncmp(name, "cuda", 4)) {
        struct clzi_device_params p = *params;
        p.index = name[4] == ':' ? atoi(name + 5) : 0;
        return clzi_backend_cuda.open(dev, &p);
    }
    return __real_clzi_device_open(dev, name, params);
}

// ---- opening ----

static char messages[2000];

static void collect(void *priv, enum clz_log_level level, const char *text)
{
    const size_t used = strlen(messages);

    (void)priv;
    if (level <= CLZ_LOG_WARNING) snprintf(messages + used, sizeof messages - used, "%s\n", text);
}

static int open_cuda(struct clzi_device **dev, int index, enum clz_precision precision, void *context)
{
    messages[0] = 0;
    return clzi_backend_cuda.open(dev, &(struct clzi_device_params){
        .index = index, .precision = precision, .cuda_context = context, .log = { collect, NULL, CLZ_LOG_INFO } });
}

static void test_open(void)
{
    struct emulated_runtime *r = emulated_runtime();
    const int blocks = r->blocks;
    struct clzi_device *dev = NULL;
    int context;

    CASE("cuda_device/open_and_close_leave_nothing");
    REQUIRE_INT(open_cuda(&dev, 0, CLZ_PRECISION_AUTO, NULL), 0);
    REQUIRE(clzi_device_base(dev)->precision == CLZ_PRECISION_BF16);
    REQUIRE(strstr(clzi_device_base(dev)->describe, "Emulated GPU"));
    REQUIRE(!r->current && !r->depth);      // the caller's thread has the context it had
    clzi_backend_cuda.close(&dev);
    REQUIRE_INT(r->blocks, blocks);

    CASE("cuda_device/an_application's_context_is_used");
    REQUIRE_INT(open_cuda(&dev, 0, CLZ_PRECISION_F32, &context), 0);
    REQUIRE(clzi_device_base(dev)->cuda_frames);
    REQUIRE_INT(clzi_device_enter(dev), 0);
    REQUIRE(r->current == &context);
    clzi_device_leave(dev);
    REQUIRE(!r->current);
    r->context_gone = true;
    REQUIRE_INT(clzi_device_enter(dev), -ENODEV);
    r->context_gone = false;
    clzi_backend_cuda.close(&dev);
    REQUIRE_INT(r->blocks, blocks);

    CASE("cuda_device/no_driver");
    r->devices = 0;
    REQUIRE_INT(open_cuda(&dev, 0, CLZ_PRECISION_AUTO, NULL), -ENOTSUP);
    REQUIRE(!dev && strstr(messages, "no device") && strstr(messages, "insufficient"));
    r->devices = 1;

    CASE("cuda_device/no_such_index");
    REQUIRE_INT(open_cuda(&dev, 3, CLZ_PRECISION_AUTO, NULL), -EINVAL);
    REQUIRE(!dev && strstr(messages, "cuda:3") && strstr(messages, "1 device"));

    CASE("cuda_device/another_major_version_of_cuDNN");
    r->dnn_version = 80907;
    REQUIRE_INT(open_cuda(&dev, 0, CLZ_PRECISION_AUTO, NULL), -ENOTSUP);
    REQUIRE(!dev && strstr(messages, "needs cuDNN 9"));
    r->dnn_version = 0;

    CASE("cuda_device/bf16_on_an_older_card");
    r->capability = 7;
    REQUIRE_INT(open_cuda(&dev, 0, CLZ_PRECISION_BF16, NULL), -ENOTSUP);
    REQUIRE(!dev && strstr(messages, "8.0"));
    REQUIRE_INT(open_cuda(&dev, 0, CLZ_PRECISION_AUTO, NULL), 0);
    REQUIRE(clzi_device_base(dev)->precision == CLZ_PRECISION_F16);
    clzi_backend_cuda.close(&dev);
    r->capability = 9;
    REQUIRE_INT(r->blocks, blocks);
}

// ---- the plan cache ----

static void damage(const char *folder, long at)
{
    char command[512], path[512] = "";
    FILE *list, *file;

    snprintf(command, sizeof command, "ls %s/*.plan", folder);
    if (!(list = popen(command, "r"))) return;
    if (fgets(path, sizeof path, list)) path[strcspn(path, "\n")] = 0;
    pclose(list);
    if (!(file = fopen(path, "r+b"))) return;
    fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
    fputc('#', file);
    fclose(file);
}

static void test_plan_cache(void)
{
    static const char key[] = "cuDNN 91900, CUDA 13000, Emulated GPU, sm_90: forward bf16", plan[] = "{\"engine\": 7}\n";
    char folder[] = "/tmp/colorize-plans-XXXXXX", *read = NULL, command[64];

    CASE("cuda_device/plan_cache_gives_back_what_was_written");
    REQUIRE(mkdtemp(folder));
    REQUIRE_INT(clzi_plan_cache_read(folder, key, &read), 0);
    clzi_plan_cache_write(folder, key, plan, sizeof plan, NULL);
    REQUIRE_INT(clzi_plan_cache_read(folder, key, &read), sizeof plan);
    REQUIRE(read && !memcmp(read, plan, sizeof plan));
    free(read);
    REQUIRE_INT(clzi_plan_cache_read(folder, "another key", &read), 0);

    CASE("cuda_device/plan_cache_ignores_damage");
    for (long at = -1; at < 60; at += 7) {
        clzi_plan_cache_write(folder, key, plan, sizeof plan, NULL);
        damage(folder, at);
        REQUIRE_INT(clzi_plan_cache_read(folder, key, &read), 0);
        REQUIRE(!read);
    }
    clzi_plan_cache_write("/nowhere/at/all", key, plan, sizeof plan, NULL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    REQUIRE_INT(system(command), 0);
}

// ---- streams ----

enum { FRAMES = 7, MOST = 160 * 96 * 4 * 2 };
struct picture { struct clz_frame f; uint8_t *bytes; };

static struct picture picture_new(const char *format, int width, int height, int number)
{
    struct picture p = { .f = { .format = clz_pixfmt_find(format), .width = width, .height = height }, .bytes = malloc(MOST) };
    uint32_t seed = (uint32_t)number * 77 + 5;
    size_t at = 0;

    for (size_t i = 0; i < MOST; i++) {
        seed = seed * 1664525u + 1013904223u;
        p.bytes[i] = (uint8_t)(seed >> 25);             // 0..127: in 16-bit samples of any depth up to 15 and more
    }
    for (int i = 0; i < p.f.format->planes; i++) {
        p.f.stride[i] = clz_pixfmt_row_bytes(p.f.format, i, width) + 6;
        p.f.data[i] = p.bytes + at;
        at += p.f.stride[i] * clz_pixfmt_rows(p.f.format, i, height);
    }
    // luma: a picture with areas and edges, within the depth
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const int code = 40 + 90 * (x / 23 % 2) + 40 * (y / 17 % 2) + number * 3 + (x + y) % 5, depth = p.f.format->depth;
            uint8_t *row = p.f.data[0] + y * p.f.stride[0];
            if (depth == 8) row[x] = (uint8_t)code;
            else ((uint16_t *)row)[x] = (uint16_t)(code << (depth - 8) << (p.f.format->flags & CLZ_PIXFMT_MSB ? 16 - depth : 0));
        }
    return p;
}

static void colour(const char *device, enum clz_precision precision, const char *from, const char *to, int width, int height,
                   enum clz_range out_range, struct picture out[FRAMES])
{
    const struct clz_stream_params params = {
        .device = device, .precision = precision, .batch = 3, .threads = 1, .out_range = out_range, .bars = "8/8/0/0",
        .log = { collect, NULL, CLZ_LOG_INFO },
    };
    struct picture in[FRAMES];
    char path[] = "/tmp/colorize-cuda-XXXXXX";
    const int fd = mkstemp(path);
    clz_model *model = NULL;
    clz_stream *stream = NULL;
    struct clz_frame done;
    int received = 0;

    messages[0] = 0;
    REQUIRE_INT(tiny_model_write(path), 0);
    REQUIRE_INT(clz_model_open(&model, path, NULL), 0);
    REQUIRE_INT(clz_stream_open(&stream, model, &params), 0);
    for (int i = 0; i < FRAMES; i++) {
        in[i] = picture_new(from, width, height, i);
        out[i] = picture_new(to, width, height, 100);
        REQUIRE_INT(clz_stream_send(stream, &in[i].f, &out[i].f, NULL), 0);
        while (clz_stream_receive(stream, &done, 0) == 0) received++;
    }
    clz_stream_drain(stream);
    while (clz_stream_receive(stream, &done, 1) == 0) received++;
    REQUIRE_INT(received, FRAMES);
    REQUIRE_STR(messages, "");
    clz_stream_close(&stream);
    clz_model_close(&model);
    for (int i = 0; i < FRAMES; i++) free(in[i].bytes);
    remove(path);
    close(fd);
}

// Luma and alpha equal; chroma within one code on 99.9 % of the samples and `most` everywhere.
static void compare(const struct picture *got, const struct picture *want, int most)
{
    const struct clz_pixfmt *format = want->f.format;
    int64_t samples = 0, beyond = 0, wrong = 0;

    for (int p = 0; p < format->planes; p++)
        for (int y = 0; y < clz_pixfmt_rows(format, p, want->f.height); y++) {
            const uint8_t *a = got->f.data[p] + y * got->f.stride[p], *b = want->f.data[p] + y * want->f.stride[p];
            const int bytes = (int)clz_pixfmt_row_bytes(format, p, want->f.width), size = format->depth == 8 ? 1 : 2;
            const bool rgb = format->flags & CLZ_PIXFMT_RGB, luma = !rgb && p == format->samples[0].plane;
            REQUIRE(a[bytes] == b[bytes]);  // nothing was written past the row
            for (int x = 0; x + size <= bytes; x += size) {
                const int shift = format->flags & CLZ_PIXFMT_MSB ? 16 - format->depth : 0;
                const int one = size == 1 ? a[x] : *(const uint16_t *)(a + x) >> shift;
                const int two = size == 1 ? b[x] : *(const uint16_t *)(b + x) >> shift;
                const int difference = abs(one - two);
                samples++;
                beyond += difference > (luma ? 0 : 1 << (format->depth > 10 ? format->depth - 10 : 0));
                wrong += luma ? difference != 0 : difference > most << (format->depth - 8);
            }
        }
    REQUIRE_INT(wrong, 0);
    REQUIRE(beyond * 1000 <= samples);
}

static void test_streams(void)
{
    static const struct { const char *from, *to; int width, height; enum clz_range range; } films[] = {
        { "yuv420p", "yuv420p", 130, 90, 0 }, { "gray", "yuv444p", 101, 67, 0 }, { "nv12", "nv12", 128, 64, 0 },
        { "yuv422p10", "yuv422p10", 98, 70, 0 }, { "p010", "p010", 96, 66, 0 }, { "gray", "yuv420p", 96, 64, CLZ_RANGE_LIMITED },
        { "gray16", "gbrp16", 90, 60, 0 }, { "gbrp", "gbrp", 96, 64, 0 },
    };
    const int blocks = emulated_runtime()->blocks;

    for (size_t i = 0; i < sizeof films / sizeof *films; i++) {
        struct picture got[FRAMES], want[FRAMES];
        char name[96];
        if (!clz_pixfmt_find(films[i].from) || !clz_pixfmt_find(films[i].to)) continue;
        snprintf(name, sizeof name, "cuda_device/stream_%s_to_%s_as_ref%s", films[i].from, films[i].to,
                 films[i].range ? "_limited" : "");
        CASE(name);
        colour("ref", CLZ_PRECISION_F32, films[i].from, films[i].to, films[i].width, films[i].height, films[i].range, want);
        colour("cuda", CLZ_PRECISION_F32, films[i].from, films[i].to, films[i].width, films[i].height, films[i].range, got);
        for (int k = 0; k < FRAMES; k++) {
            compare(&got[k], &want[k], 3);
            free(got[k].bytes);
            free(want[k].bytes);
        }
    }
    CASE("cuda_device/streams_leave_nothing");
    REQUIRE_INT(emulated_runtime()->blocks, blocks);
}

int main(void)
{
    char *ops[] = { "ops", "--device", "cuda", NULL };

    setenv("COLORIZE_CACHE", "", 1);
    test_open();
    test_plan_cache();
    test_streams();
    check_case_end();
    return ops_main(3, ops) | (check_state.failed_cases > 0);
}
