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
#include "stream_check.h"

// ---- the linker puts these in the places of two functions ----

int __real_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
int __wrap_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
int ops_main(int argc, char **argv);        // main() of ops.c
int window_main(int argc, char **argv);     // and of window.c, answers.c and gan.c
int answers_main(int argc, char **argv);
int gan_main(int argc, char **argv);

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
    char folder[512], *read = NULL, command[600];

    CASE("cuda_device/plan_cache_gives_back_what_was_written");
    REQUIRE(mkdtemp(check_temporary(folder, "plans")));
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

static void copy_block(void *to, const void *from, size_t size, bool to_device)
{
    (void)to_device;
    memcpy(to, from, size);
}

static void test_streams(void)
{
    const int blocks = emulated_runtime()->blocks;
    int context;
    const struct stream_check_memory on_device = { &context, NULL, malloc, free, copy_block };

    for (size_t i = 0; i < sizeof stream_check_films / sizeof *stream_check_films; i++) {
        char name[128];
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "cuda_device/stream_%s_to_%s_%s_memory_bars_%s%s_as_ref", stream_check_films[i].from,
                     stream_check_films[i].to, k ? "device" : "host", stream_check_films[i].bars,
                     stream_check_films[i].range ? "_limited" : "");
            CASE(name);
            stream_check(&stream_check_films[i], "cuda", CLZ_PRECISION_F32, k ? &on_device : NULL);
        }
    }
    for (size_t i = 0; i < sizeof stream_check_interlaced / sizeof *stream_check_interlaced; i++) {
        char name[128];
        snprintf(name, sizeof name, "cuda_device/stream_%s_interlaced_as_ref", stream_check_interlaced[i].from);
        CASE(name);
        stream_check(&stream_check_interlaced[i], "cuda", CLZ_PRECISION_F32, NULL);
    }
    CASE("cuda_device/streams_leave_nothing");
    REQUIRE_INT(emulated_runtime()->blocks, blocks);
}

// ---- too little memory, a lost device ----

enum { BATCH = 4 };

// Colours BATCH frames; returns the first error of a frame. *images: of a network run, 0 if there was none.
static int colour_batch(int *images)
{
    const struct clz_stream_params params = { .device = "cuda", .precision = CLZ_PRECISION_F32, .batch = BATCH };
    struct stream_check_picture in[BATCH], out[BATCH];
    struct clz_frame done;
    clz_stream *stream = NULL;
    clz_model *model = NULL;
    char path[512];
    const char *at;
    const int fd = mkstemp(check_temporary(path, "cuda"));
    int ret = 0, first = 0;

    *images = 0;
    REQUIRE_INT(tiny_model_write(path), 0);
    REQUIRE_INT(clz_model_open(&model, path, NULL), 0);
    for (int i = 0; i < BATCH; i++) {
        in[i] = stream_check_paint("yuv420p", 96, 64, i, 0);
        out[i] = stream_check_paint("yuv420p", 96, 64, 100, 0);
    }
    first = clz_stream_open(&stream, model, &params);
    for (int i = 0; i < BATCH && stream; i++) REQUIRE_INT(clz_stream_send(stream, &in[i].f, &out[i].f, NULL), 0);
    if (stream) clz_stream_drain(stream);
    for (int i = 0; i < BATCH && stream; i++)
        if ((ret = clz_stream_receive(stream, &done, 1)) < 0 && !first) first = ret;
    if (stream && (at = strstr(clz_stream_describe(stream), " frame"))) {
        while (at[-1] >= '0' && at[-1] <= '9') at--;
        *images = atoi(at);
    }
    clz_stream_close(&stream);
    clz_model_close(&model);
    for (int i = 0; i < BATCH; i++) free(in[i].bytes), free(out[i].bytes);
    remove(path);
    close(fd);
    return first;
}

static void test_failures(void)
{
    struct emulated_runtime *r = emulated_runtime();
    const int blocks = r->blocks;
    int images, fewest = BATCH, ret = 0;

    CASE("cuda_device/too_little_memory_makes_runs_smaller");
    for (r->memory = 1 << 23; r->memory > 1024 && ret >= 0; r->memory = r->memory * 9 / 10) {
        ret = colour_batch(&images);
        REQUIRE(ret == 0 || ret == -ENOMEM);
        REQUIRE(!r->last && !r->stale);     // what has been dealt with is not reported again
        REQUIRE_INT(r->blocks, blocks);
        if (ret >= 0 && images < fewest) fewest = images;
    }
    r->memory = 0;
    REQUIRE_INT(ret, -ENOMEM);
    REQUIRE_INT(fewest, 1);

    CASE("cuda_device/any_allocation_may_fail");
    for (int n = 1, left = 0; !left; n++) {
        r->fail_at = n;
        ret = colour_batch(&images);
        left = r->fail_at;                  // there were fewer allocations
        r->fail_at = 0;
        REQUIRE(ret == 0 || ret == -ENOMEM || ret == -EIO);
        REQUIRE(left ? ret == 0 && n > 20 : ret < 0 || images < BATCH);
        REQUIRE(!r->last && !r->stale);
        REQUIRE_INT(r->blocks, blocks);
    }

    CASE("cuda_device/frames_of_a_lost_device_fail");
    r->lost = true;
    ret = colour_batch(&images);
    r->lost = false;
    REQUIRE_INT(ret, -EIO);
    REQUIRE_INT(colour_batch(&images), 0);
    REQUIRE_INT(r->blocks, blocks);
}

int main(void)
{
    char *ops[] = { "ops", "--device", "cuda", NULL }, *device[] = { "", "cuda", NULL };
    int failed;

    setenv("COLORIZE_CACHE", "", 1);
    test_open();
    test_plan_cache();
    test_streams();
    test_failures();
    check_case_end();
    failed = check_state.failed_cases > 0;
    failed |= window_main(2, device);
    failed |= answers_main(2, device);
    failed |= gan_main(2, device);
    return failed | ops_main(3, ops);
}
