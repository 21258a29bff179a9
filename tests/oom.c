// oom.c - out of memory: in each round the n-th allocation fails, once, for n = 1, 2, ... until a round makes fewer allocations.
// Required: no crash; an error or the correct result; an error is -ENOMEM or was logged; no error is logged if the result is
// correct; no memory is leaked.
//
// The linker replaces malloc and the other allocating functions in our objects by the __wrap_ functions below (Makefile:
// wrap_flags), and jansson is told to use them. Allocations inside other shared libraries neither fail nor count.
#include <errno.h>
#include <jansson.h>
#include <png.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "base/atomic_file.h"
#include "base/clock.h"
#include "engine/hints.h"
#include "engine/reference.h"
#include "engine/sheet.h"
#include "features_model.h"
#include "kernels/fnv.h"
#include "pth_files.h"
#include "tiny_model.h"
#include "trainer/checkpoint.h"
#include "trainer/convert.h"
#include "trainer/data.h"
#include "trainer/events.h"
#include "trainer/facts.h"
#include "trainer/perceptual.h"
#include "trainer/planner.h"
#include "trainer/recipe.h"
#include "trainer/report.h"
#include "trainer/sample.h"
#include "trainer/step.h"
#include "trainer/survey.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { PATH = 300 };

// ---- which allocation fails ----

static atomic_long number, fail_at;         // of allocations so far; of the one that fails, 0: none

static bool fails(void)
{
    return atomic_fetch_add(&number, 1) + 1 == atomic_load(&fail_at);
}

// ---- allocations that are not freed yet ----

enum { BUCKETS = 1 << 13, DEPTH = 64 };
static struct piece { void *p; size_t size; const char *from; } live[BUCKETS][DEPTH];
static int live_count;
static pthread_mutex_t live_mutex = PTHREAD_MUTEX_INITIALIZER;
extern char __executable_start;

static struct piece *find(void *p, void *with)      // the entry of p's bucket that contains `with`
{
    struct piece *bucket = live[((uintptr_t)p >> 4) * 2654435761u % BUCKETS];

    for (int i = 0; i < DEPTH; i++)
        if (bucket[i].p == with) return &bucket[i];
    return NULL;
}

static void *track(void *p, size_t size, void *from)
{
    struct piece *place;

    if (!p) return NULL;
    pthread_mutex_lock(&live_mutex);
    if (!(place = find(p, NULL))) abort();          // more allocations at a time than any test here needs
    *place = (struct piece){ p, size, from };
    live_count++;
    pthread_mutex_unlock(&live_mutex);
    return p;
}

static size_t untrack(void *p)                      // returns its size; 0: not allocated by a wrapper
{
    struct piece *place;
    size_t size = 0;

    if (!p) return 0;
    pthread_mutex_lock(&live_mutex);
    if ((place = find(p, p))) {
        size = place->size;
        place->p = NULL;
        live_count--;
    }
    pthread_mutex_unlock(&live_mutex);
    return size;
}

static void print_newest(int most)                  // for addr2line
{
    for (int b = 0; b < BUCKETS; b++)
        for (int i = 0; i < DEPTH && most > 0; i++)
            if (live[b][i].p && live[b][i].size != (size_t)-1)
                printf("    %zu bytes from 0x%tx\n", live[b][i].size, live[b][i].from - &__executable_start), most--;
}

// ---- the wrappers ----

#define REAL(type, name, ...) type __real_##name(__VA_ARGS__); type __wrap_##name(__VA_ARGS__)
#define TRACK(p, size) track(p, size, __builtin_return_address(0))
#define DENIED (errno = ENOMEM, NULL)

REAL(void *, malloc, size_t);
REAL(void *, calloc, size_t, size_t);
REAL(void *, realloc, void *, size_t);
REAL(void *, aligned_alloc, size_t, size_t);
REAL(int, posix_memalign, void **, size_t, size_t);
REAL(char *, strdup, const char *);
REAL(char *, strndup, const char *, size_t);
REAL(int, vasprintf, char **, const char *, va_list);
int __wrap_asprintf(char **, const char *, ...);
REAL(void, free, void *);
REAL(FILE *, fopen, const char *, const char *);
REAL(FILE *, open_memstream, char **, size_t *);
REAL(DIR *, opendir, const char *);
REAL(DIR *, fdopendir, int);
REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

void *__wrap_malloc(size_t size) { return fails() ? DENIED : TRACK(__real_malloc(size), size); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? DENIED : TRACK(__real_calloc(n, size), n * size); }
void *__wrap_aligned_alloc(size_t to, size_t size) { return fails() ? DENIED : TRACK(__real_aligned_alloc(to, size), size); }
char *__wrap_strdup(const char *s) { return fails() ? DENIED : TRACK(__real_strdup(s), strlen(s)); }
char *__wrap_strndup(const char *s, size_t n) { return fails() ? DENIED : TRACK(__real_strndup(s, n), n); }
FILE *__wrap_fopen(const char *path, const char *mode) { return fails() ? DENIED : __real_fopen(path, mode); }
FILE *__wrap_open_memstream(char **text, size_t *size) { return fails() ? DENIED : __real_open_memstream(text, size); }
DIR *__wrap_opendir(const char *path) { return fails() ? DENIED : __real_opendir(path); }
DIR *__wrap_fdopendir(int fd) { return fails() ? DENIED : __real_fdopendir(fd); }

void *__wrap_realloc(void *p, size_t size)
{
    void *q = fails() ? DENIED : __real_realloc(p, size);

    if (!q) return NULL;
    untrack(p);
    return TRACK(q, size);
}

int __wrap_posix_memalign(void **p, size_t to, size_t size)
{
    const int ret = fails() ? ENOMEM : __real_posix_memalign(p, to, size);

    if (!ret) TRACK(*p, size);
    return ret;
}

int __wrap_vasprintf(char **text, const char *format, va_list args)
{
    int n = -1;

    *text = (char *)1;                              // undefined after a failure, according to the manual
    if (fails()) errno = ENOMEM;
    else if ((n = __real_vasprintf(text, format, args)) >= 0) TRACK(*text, n);
    return n;
}

int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = __wrap_vasprintf(text, format, args);
    va_end(args);
    return n;
}

void __wrap_free(void *p)
{
    untrack(p);
    __real_free(p);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

// ---- rounds ----

static char folder[128], logged[1000];
static int errors, warnings;

static void log_message(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv;
    if (level == CLZ_LOG_ERROR) errors++;
    if (level == CLZ_LOG_WARNING) warnings++;
    snprintf(logged, sizeof logged, "%s", msg);
}
static const struct clz_log listener = { log_message, NULL, CLZ_LOG_WARNING };

static char *in_folder(char path[PATH], const char *name)
{
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

enum { WRONG = 1 };                                 // returned by a round whose result is wrong

// Runs one round in which the n-th allocation fails. True if there was an n-th allocation.
static bool round_of(int (*run)(void), long n)
{
    const int before = live_count;
    int ret;

    errors = warnings = 0;
    logged[0] = 0;
    atomic_store(&number, 0);
    atomic_store(&fail_at, n);
    ret = run();
    atomic_store(&fail_at, 0);
    if (ret > 0 || live_count != before || (ret < 0 && ret != -ENOMEM && !errors) || (ret == 0 && errors)) {
        printf("  allocation %ld: returned %d, %d errors, %+d not freed: %s\n", n, ret, errors, live_count - before, logged);
        if (live_count != before) print_newest(10);
        REQUIRE(!"handled");
    }
    if (number < n) REQUIRE_INT(ret, 0);
    return number >= n;
}

static void mark_old(void)                          // allocations that exist now are not reported as leaks
{
    for (int b = 0; b < BUCKETS; b++)
        for (int i = 0; i < DEPTH; i++)
            if (live[b][i].p) live[b][i].size = (size_t)-1;
}

static void fail_each_allocation(const char *name, int (*run)(void))
{
    const double begin = clzi_now();
    long n = 1;

    CASE(name);
    logged[0] = 0;
    if (run()) {                                    // libraries make here what they keep until the end
        printf("  fails although no allocation failed: %s\n", logged);
        REQUIRE(!"runs");
        return;
    }
    mark_old();
    while (round_of(run, n) && check_state.failed_here < 20) n++;
    printf("  %ld allocations, %.1f s\n", n - 1, clzi_now() - begin);
    REQUIRE(n > 3);
}

// ---- the engine ----

static clz_model *model, *hints_model, *features;

static int open_model(void)
{
    char path[PATH];
    clz_model *m;
    int ret = clz_model_open(&m, in_folder(path, "open.bin"), &listener);

    if (!ret && (!clz_model_info(m, "arch") || m->graph->node_count != 7)) ret = WRONG;
    if (!ret != !!m) ret = WRONG;
    clz_model_close(&m);
    return ret;
}

enum { LARGEST = 40 * 40 * 3 / 2 };

static struct clz_frame frame(uint8_t *bytes, int w, int h)
{
    struct clz_frame f = { .format = clz_pixfmt_find("yuv420p"), .width = w, .height = h };

    f.stride[0] = w, f.stride[1] = f.stride[2] = w / 2;
    f.data[0] = bytes, f.data[1] = bytes + w * h, f.data[2] = f.data[1] + w * h / 4;
    for (int i = 0; i < LARGEST; i++) bytes[i] = (uint8_t)(i * 7 % 251);
    return f;
}

// Two frames of one size and one of another; a frame that is coloured must equal that of the round in which nothing failed.
struct film_files { const char *sheet, *answers_in, *answers_out; };

static int film(const char *device, clz_model *m, const struct film_files *files, uint8_t (*want)[LARGEST])
{
    static const int sizes[3][2] = { { 40, 32 }, { 40, 32 }, { 24, 36 } };
    const struct clz_stream_params params = { .device = device, .batch = 2, .threads = 1, .size = 32, .stabilizer = 1,
                                             .window = 2, .sheet = files->sheet, .answers_in = files->answers_in,
                                             .answers_out = files->answers_out, .log = listener };
    uint8_t bytes[3][LARGEST];
    struct clz_frame f[3], done;
    clz_stream *s;
    int ret = clz_stream_open(&s, m, &params), got = 0, first = 0, k;

    if (ret < 0) return s ? WRONG : ret;
    for (int i = 0; i < 3 && !ret; i++) {
        f[i] = frame(bytes[i], sizes[i][0], sizes[i][1]);
        f[i].opaque = (void *)(intptr_t)i;
        ret = clz_stream_send(s, &f[i], &f[i], NULL);
    }
    first = ret;
    clz_stream_drain(s);
    while ((ret = clz_stream_receive(s, &done, 1)) != -ENODATA) {
        if ((k = (int)(intptr_t)done.opaque) != got++) first = WRONG;
        if (ret < 0 && !first) first = ret;
        if (ret == 0 && !want[k][0] && !want[k][1]) memcpy(want[k], bytes[k], LARGEST);
        if (ret == 0 && memcmp(want[k], bytes[k], LARGEST)) first = WRONG;
    }
    clz_stream_describe(s);
    clz_stream_close(&s);
    return !first && got != 3 ? WRONG : first;
}

// A model that answers with its hints.
static int write_hints_model(const char *path)
{
    const struct clzi_model_facts facts = { .arch = "echo", .size = 32, .stride = 4, .input = "luma", .l_scale = 50,
                                            .l_offset = 1, .ab_scale = 110, .train = "made by a test", .license = "CC0" };
    float weights[8] = { [1] = 1, [6] = 1 }, *values[1] = { weights };
    struct clzi_graph *g;
    int x, ret;

    if ((ret = clzi_graph_create(&g)) < 0) return ret;
    x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_concat(g, "both", x, clzi_graph_input(g, "hints", .channels = 3));
    clzi_graph_conv(g, "ab", x, .channels = 2, .k = 1);
    ret = clzi_model_write(path, g, values, &facts, CLZI_F32, NULL);
    clzi_graph_destroy(&g);
    return ret;
}

static int read_still(void)
{
    struct clzi_reference *r = NULL;
    char path[PATH];
    const int ret = clzi_reference_read(&r, in_folder(path, "painted"), &listener);

    clzi_reference_destroy(&r);
    return ret;
}

// Of a text and of a PNG.
static int read_hints(void)
{
    static const char *const names[] = { "hints.txt", "painted" };
    float planes[3 * 16 * 8];
    const struct clzi_canvas canvas = { planes, 110, { 0, 0, 64, 32 }, 16, 8 };
    char path[PATH];
    int ret = 0;

    for (int i = 0; i < 2 && ret >= 0; i++) {
        struct clzi_hints *h = NULL;
        ret = clzi_hints_read(&h, in_folder(path, names[i]), &listener);
        if (ret >= 0 && (clzi_hints_paint(h, 64, 32, &canvas) || planes[2 * 16 * 8] != 1)) ret = WRONG;
        clzi_hints_destroy(&h);
    }
    return ret;
}

static int read_a_sheet(void)
{
    struct clzi_sheet *s = NULL;
    struct clzi_cuts *cuts = NULL;
    char path[PATH];
    int ret = clzi_sheet_read(&s, in_folder(path, "sheet.yaml"), &listener);

    if (ret >= 0 && (!clzi_sheet_cuts(s) || !clzi_sheet_holds(s))) ret = WRONG;
    if (ret >= 0) ret = clzi_cuts_read(&cuts, in_folder(path, "cuts.csv"), 0, &listener);
    if (ret >= 0) ret = clzi_sheet_number(s, cuts);
    clzi_cuts_destroy(&cuts);
    clzi_sheet_destroy(&s);
    return ret;
}

static int film_on_cpu(void)
{
    static uint8_t want[3][LARGEST];
    return film("cpu", model, &(struct film_files){ 0 }, want);
}

static int film_with_points(void)
{
    static uint8_t want[3][LARGEST];
    char path[PATH];
    return film("cpu", hints_model, &(struct film_files){ .sheet = in_folder(path, "points.yaml") }, want);
}

static int film_with_answers(void)
{
    static uint8_t want[3][LARGEST];
    char in[PATH], out[PATH];
    return film("cpu", model, &(struct film_files){ NULL, in_folder(in, "in.answers"), in_folder(out, "out.answers") }, want);
}

static int film_on_ref(void)
{
    static uint8_t want[3][LARGEST];
    return film("ref", model, &(struct film_files){ 0 }, want);
}

// ---- the trainer ----

static int read_recipe(void)
{
    static const char text[] = "net: light\ntrain: [photos, \"more photos\", film.mkv]\nval: others\nrun: somewhere\n"
                               "batch: 4\nsteps: 1000\nloss: {l1: 1}\nlicense: CC0\n";
    struct clzt_recipe *r;
    FILE *f;
    int ret = clzt_recipe_create(&r);

    if (ret < 0) return r ? WRONG : ret;
    if ((ret = clzt_recipe_parse(r, text, sizeof text - 1, "r.yaml", &listener)) >= 0 &&
        (ret = clzt_recipe_set(r, "train=[a, b, c, d]", &listener)) >= 0 &&
        (ret = clzt_recipe_set(r, "lr=0.001", &listener)) >= 0 &&
        (ret = clzt_recipe_check(r, &listener)) >= 0 && (ret = clzt_recipe_absolute(r)) >= 0) {
        if (r->train.count != 4 || r->batch != 4 || strcmp(r->license, "CC0") || r->train.items[3][0] != '/') ret = WRONG;
        f = __real_fopen("/dev/null", "w");
        if (f && !ret) ret = clzt_recipe_write(r, f);
        if (f) fclose(f);
    }
    clzt_recipe_destroy(&r);
    return ret;
}

static int write_facts(void)                        // the notes are valid: a failure must not be blamed on them
{
    static struct clzt_recipe *r;
    char text[2048];
    int ret;

    if (!r && (clzt_recipe_create(&r) < 0 || clzt_recipe_set(r, "notes=a few words", NULL) < 0)) return WRONG;
    ret = clzt_facts_write(text, sizeof text, r, 7, 1, 2, &listener);
    return ret < 0 && (ret != -ENOMEM || errors) ? WRONG : ret;
}

static uint64_t hash(const void *data, size_t size) { return clzk_fnv1a(CLZK_FNV1A_BASIS, data, size); }

static int load_batches(struct clzt_dataset *data)
{
    const struct clzt_loader_params params = { .size = 16, .batch = 2, .augment = true, .zoom_out = 2, .flip = true,
                                               .want_true_l = true, .seed = 5, .workers = 1,
                                               .film = { .grain = 0.02, .blur = 0.7 } };
    static uint64_t want[3];
    struct clzt_loader *loader;
    struct clzt_batch *b;
    int ret = clzt_loader_create(&loader, data, &params);

    if (ret < 0) return loader ? WRONG : ret;
    for (int i = 0; i < 3 && !ret; i++) {
        if ((ret = clzt_loader_next(loader, &b)) < 0) break;
        const uint64_t h = hash(b->ab, 2 * 2 * 16 * 16 * sizeof *b->ab) ^ hash(b->l, 2 * 16 * 16 * sizeof *b->l);
        if (!want[i]) want[i] = h;
        if (h != want[i] && !warnings) ret = WRONG;
        clzt_loader_release(loader, &b);
    }
    clzt_loader_destroy(&loader);
    return ret;
}

static int read_pictures(enum clzt_cache cache)
{
    const char *const paths[] = { folder };
    struct clzt_colours colours;
    struct clzt_dataset *data;
    int ret = clzt_dataset_open(&data, &(struct clzt_dataset_params){ .paths = paths, .path_count = 1, .min_side = 16,
                                                                      .cache = cache, .threads = 1, .log = listener });

    if (ret < 0) return data ? WRONG : ret;
    if (clzt_dataset_count(data) != 3) ret = WRONG;
    if (!ret) ret = clzt_dataset_fill(data);
    if (!ret) ret = load_batches(data);
    if (!ret) ret = clzt_dataset_colours(data, 2, &colours, NULL);
    clzt_dataset_close(&data);
    return ret;
}

static int read_pictures_cached(void) { return read_pictures(CLZT_CACHE_RAM); }
static int read_pictures_uncached(void) { return read_pictures(CLZT_CACHE_NONE); }

static int survey_pictures(void)
{
    const char *const paths[] = { folder };
    struct clzt_survey *survey = NULL;
    struct clzt_dataset *data;
    int ret = clzt_dataset_open(&data, &(struct clzt_dataset_params){ .paths = paths, .path_count = 1, .quiet = true,
                                                                      .log = listener });

    if (ret < 0) return data ? WRONG : ret;
    ret = clzt_survey_make(&survey, data, &(struct clzt_survey_params){ .workers = 2 });
    if (!ret && survey->pictures + survey->unreadable != 3) ret = WRONG;
    clzt_survey_destroy(&survey);
    clzt_dataset_close(&data);
    return ret;
}

static int divide_pictures(void)
{
    const char *const paths[] = { folder };
    struct clzt_dataset *data = NULL;
    struct clzt_split *split;
    int ret = clzt_split_create(&split, NULL, 1e-9, &listener);

    if (ret < 0) return split ? WRONG : ret;
    ret = clzt_dataset_open(&data, &(struct clzt_dataset_params){
        .paths = paths, .path_count = 1, .split = split, .split_frames = true, .min_spread = 1e-3, .threads = 1,
        .log = listener });
    clzt_split_destroy(&split);
    if (ret < 0) return data ? WRONG : ret;
    ret = clzt_dataset_fill(data);
    clzt_dataset_close(&data);
    return ret;
}

static ptrdiff_t take_text(void *priv, uint8_t *data, size_t size)
{
    const char **text = priv;
    const size_t n = strlen(*text) < size ? strlen(*text) : size;

    memcpy(data, *text, n);
    *text += n;
    return (ptrdiff_t)n;
}

static int read_coco(void)
{
    const char *text = "{\"images\": [{\"id\": 1, \"file_name\": \"a.jpg\"}, {\"id\": 2, \"file_name\": \"b.jpg\"}], "
                       "\"annotations\": [{\"id\": 1, \"image_id\": 2, \"category_id\": 3}],"
                       " \"categories\": [{\"id\": 3, \"name\": \"cat\"}]}";
    struct clzt_coco *coco;
    int ret = clzt_coco_read(&coco, &(struct clzt_json_source){ take_text, &text }, "coco.json", &listener);

    if (!ret != !!coco || (coco && (coco->image_count != 2 || coco->images[1].categories.bits[0] != 1))) ret = WRONG;
    clzt_coco_destroy(&coco);
    return ret;
}

static int net(struct clzi_graph **graph)
{
    struct clzi_graph *g;
    int x, ret = clzi_graph_create(&g);

    *graph = NULL;
    if (ret < 0) return ret;
    x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_conv(g, "a", x, .channels = 4, .k = 3, .stride = 2, .pad = 1);
    x = clzi_graph_batchnorm(g, "n", x);
    x = clzi_graph_act(g, "r", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_dropout(g, "d", x, .p = 0.5f);
    x = clzi_graph_maxpool(g, "p", x, .k = 2, .stride = 2);
    x = clzi_graph_convt(g, "t", x, .channels = 4, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_conv(g, "b", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    x = clzi_graph_act(g, "h", x, .act = CLZI_ACT_TANH);
    x = clzi_graph_resize(g, "up", x, .factor = 2);
    if (x < 0) clzi_graph_destroy(&g);
    *graph = g;
    return x < 0 ? x : 0;
}

static float numbers[4][1024], *values[CLZT_PLAYERS][32];

static int judge(struct clzi_graph **graph)
{
    struct clzi_graph *d;
    int x, l, ret = clzi_graph_create(&d);

    *graph = NULL;
    if (ret < 0) return ret;
    l = clzi_graph_input(d, "L", .channels = 1);
    x = clzi_graph_concat(d, "Lab", l, clzi_graph_input(d, "ab", .channels = 2));
    x = clzi_graph_conv(d, "p", x, .channels = 4, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_batchnorm(d, "m", x);
    x = clzi_graph_conv(d, "r", x, .channels = 1, .k = 4, .pad = 1, .bias = 1);
    if (x < 0) clzi_graph_destroy(&d);
    *graph = d;
    return x < 0 ? x : 0;
}

// Two steps of a phase.
static int train(struct clzi_device *dev, const struct clzi_graph *const graphs[CLZT_PLAYERS], int phase, double *want)
{
    const struct clzt_step_params params = { .batch = 2, .shapes = { { 16, 16 } }, .shape_count = 1,
                                             .adam = { .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f },
                                             .ema = 0.9f, .loss = { 1 }, .seed = 3,
                                             .gan = { .loss = clzt_gan_losses, .weight = 1, .lambda = 1, .real = 1, .lr = 1 } };
    const struct clzt_net_state_params net_params[CLZT_PLAYERS] = {
        { .name = "generator", .prefix = "", .ema = true }, { .name = "discriminator", .prefix = "d.", .spectral = true }
    };
    const struct clzt_sample sample = { .l = numbers[0], .ab = numbers[1] };
    double loss[CLZT_VALUES];
    float kept[1024];
    struct clzt_net_state *players[CLZT_PLAYERS] = { NULL };
    struct clzt_step *step = NULL;
    int ret = 0;

    for (int i = 0; i < CLZT_PLAYERS && ret >= 0; i++)
        if ((ret = clzt_net_state_create(&players[i], dev, graphs[i], values[i], &net_params[i])) < 0 && players[i]) ret = WRONG;
    if (ret >= 0 && (ret = clzt_step_create(&step, &clzt_phases[phase], players, &params)) < 0 && step) ret = WRONG;
    if (ret >= 0 && (ret = clzt_step_run(step, 1, 1e-3f, 0, &sample, loss)) >= 0 &&
        (ret = clzt_step_run(step, 2, 1e-3f, 0, &sample, loss)) >= 0) {
        if (*want == 0) *want = loss[0];
        if (loss[0] != *want) ret = WRONG;
        for (int kind = 0; kind < CLZT_KEPT_COUNT && !ret; kind++)
            for (int i = 0; i < graphs[0]->param_count && !ret; i++)
                if (clzt_net_state_has(players[0], kind, i)) ret = clzt_net_state_read(players[0], kind, i, kept);
    }
    clzt_step_destroy(&step);
    for (int i = 0; i < CLZT_PLAYERS; i++) clzt_net_state_destroy(&players[i]);
    return ret;
}

static int train_on_cpu(void)
{
    const struct clzi_device_params params = { .threads = 1, .precision = CLZ_PRECISION_F32, .log = listener };
    static double want[2];
    struct clzi_device *dev;
    struct clzi_graph *g = NULL, *copy = NULL, *d = NULL;
    int ret = clzi_device_open(&dev, "cpu", &params);

    if (ret < 0) return dev ? WRONG : ret;
    if ((ret = net(&g)) >= 0 && (ret = clzi_graph_copy(&copy, g)) >= 0) ret = judge(&d);
    for (int phase = 0; phase < 2 && ret >= 0; phase++)
        ret = train(dev, (const struct clzi_graph *[]){ copy, d }, phase, &want[phase]);
    clzi_graph_destroy(&g);
    clzi_graph_destroy(&copy);
    clzi_graph_destroy(&d);
    clzi_device_close(&dev);
    return ret;
}

static int keep_checkpoint(void)
{
    const struct clzt_blob blobs[] = { { .name = "w", .data = numbers[0], .size = 4000 },
                                       { .name = "m", .data = numbers[1], .size = 100 } };
    static int64_t step;
    struct clzt_checkpoint *c;
    char path[PATH];
    int ret = clzt_checkpoint_save(in_folder(path, "ckpt"), ++step, blobs, COUNT(blobs), "state\n", 2, &listener);
    const void *w;

    if (ret < 0) return ret;
    if ((ret = clzt_checkpoint_load(&c, path, &listener)) < 0) return c ? WRONG : ret;
    w = clzt_checkpoint_blob(c, "w", 4000);
    if (!warnings && (c->step != step || !w || memcmp(w, numbers[0], 4000))) ret = WRONG;
    clzt_checkpoint_destroy(&c);
    return ret;
}

static uint64_t hash_of(const char *path)
{
    static uint8_t bytes[1 << 16];
    FILE *f = __real_fopen(path, "rb");
    size_t size;

    if (!f) return 0;
    size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return hash(bytes, size);
}

// After success the file is complete; after a failure the old file is unchanged. No temporary file is left.
static int write_model(void)
{
    static const struct clzi_model_facts facts = { .arch = "oom", .size = 64, .stride = 4, .input = "luma", .l_scale = 50,
                                                   .l_offset = 1, .ab_scale = 110, .license = "CC0" };
    static uint64_t want;
    struct clzi_graph *g;
    char path[PATH], temporary[PATH + 40];
    int ret;

    in_folder(path, "write.bin");
    snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    if ((ret = net(&g)) < 0) return ret;
    ret = clzi_model_write(path, g, values[0], &facts, CLZI_F16, &listener);
    clzi_graph_destroy(&g);
    if (!want) want = hash_of(path);
    return access(temporary, F_OK) == 0 || hash_of(path) != want ? WRONG : ret;
}

// ---- foreign weights ----

static struct bytes zip_form, legacy_form, safetensors_form, light_form;    // light_form: begins as weights of the net light

static void make_checkpoints(void)
{
    static const char header[] = "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[8,10]}}";
    struct bytes pickle = { 0 };
    struct zip z = { 0 };

    put_pickle(&pickle, PICKLE("} ( 'state_dict' " ORDERED_DICT " ( 'a.weight' "
                               TENSOR("0", "6", "0", "#3; #2;", "#1; #3;") " 'b.bias' " TENSOR_B " u u"));
    put_zip_checkpoint(&z, pickle.p, pickle.size);
    zip_form = z.file;
    put_legacy(&legacy_form, pickle.p, pickle.size);
    pickle.size = 0;
    put_pickle(&pickle, PICKLE("} 'encoder.0.down.conv.weight' " TENSOR_A " s"));
    put_legacy(&light_form, pickle.p, pickle.size);
    put_number(&safetensors_form, sizeof header - 1, 8);
    put(&safetensors_form, header, sizeof header - 1);
    put(&safetensors_form, storage_values, 10);
    bytes_free(&pickle);
}

static int read_tensors(const struct bytes *file)
{
    struct clzt_tensors *t;
    int ret = clzt_tensors_parse(&t, file->p, file->size, NULL, "file", &listener);
    float to[6];

    if ((ret == 0) != (t != NULL)) ret = WRONG;
    for (int i = 0; ret >= 0 && i < t->count; i++) ret = clzt_tensors_read(t, &t->tensors[i], to);
    clzt_tensors_close(&t);
    return ret;
}

static int read_zip_form(void) { return read_tensors(&zip_form); }
static int read_legacy_form(void) { return read_tensors(&legacy_form); }
static int read_safetensors_form(void) { return read_tensors(&safetensors_form); }

// Up to the report that the weights fit no net: what comes behind it takes seconds a round, and write_model covers most of it.
static int choose_net(void)
{
    char in[PATH], out[PATH];
    const int ret = clzt_convert(&(struct clzt_convert){ .in = in_folder(in, "weights.pth"), .out = in_folder(out, "out.bin"),
                                                         .net = "light" }, &listener);

    if (ret != -EBADMSG || !errors) return ret ? ret : WRONG;
    errors = 0;
    return 0;
}

// The stream goes on with the sheet that it had.
static int change_sheet(void)
{
    const struct clz_stream_params params = { .device = "ref", .threads = 1, .batch = 1, .log = listener };
    char path[PATH];
    clz_stream *s;
    int ret = clz_stream_open(&s, hints_model, &params);

    for (int i = 0; i < 2 && ret >= 0; i++) ret = clz_stream_set_sheet(s, in_folder(path, "points.yaml"));
    if (ret >= 0) ret = clz_stream_set_sheet(s, NULL);
    clz_stream_close(&s);
    return ret;
}

static int sample_picture(void)
{
    char in[PATH], out[PATH], net[PATH];
    const struct clzt_sample_params params = { .model = in_folder(net, "stream.bin"), .in = in_folder(in, "0.ppm"),
                                               .out = in_folder(out, "sample.png"), .strength = { 1, 0.5 },
                                               .saturation = { 1, 1 }, .settings = 2, .threads = 1, .device = "ref" };

    return clzt_sample(&params, &listener);
}

static int write_report(void)
{
    char path[PATH];
    const char *run = in_folder(path, "run");

    return clzt_report_write(&(struct clzt_report){ &run, 1, NULL, -1 }, &listener);
}

static int write_events(void)
{
    static const char *const tags[] = { "loss/l1", "lr" };
    struct clzt_events *events;
    char path[PATH], command[PATH + 16];
    int ret = clzt_events_open(&events, in_folder(path, "events"), 1, &listener);

    if (ret < 0) return events ? WRONG : ret;
    for (int i = 1; i < 3 && ret >= 0; i++) ret = clzt_events_scalars(events, i, tags, (const double[]){ 0.5, 1e-3 }, 2);
    if (ret >= 0) ret = clzt_events_png(events, 2, "samples", 2, 1, numbers, 99);
    clzt_events_close(&events);
    snprintf(command, sizeof command, "rm -f '%s'/*", path);        // else each round needs another name
    return system(command) ? WRONG : ret;
}

static int load_features(void)
{
    const struct clzi_device_params params = { .threads = 1, .precision = CLZ_PRECISION_F32, .log = listener };
    static float tensors[4][2 * 32 * 32];
    struct clzt_perceptual *loss = NULL;
    struct clzi_device *dev;
    int ret = clzi_device_open(&dev, "cpu", &params);

    if (ret < 0) return dev ? WRONG : ret;
    if ((ret = clzt_perceptual_create(&loss, dev, features)) < 0 && loss) ret = WRONG;
    if (ret >= 0)
        ret = clzt_perceptual_bind(loss, 0, 1, (struct clzt_size){ 32, 32 }, &(struct clzt_perceptual_binding){
                                                     tensors[0], tensors[1], tensors[2], tensors[3] });
    clzt_perceptual_destroy(&loss);
    clzi_device_close(&dev);
    return ret;
}

static int plan_memory(void)
{
    struct clzt_planner *planner;
    struct clzi_graph *g = NULL;
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    int ret = clzt_planner_create(&planner, true, CLZ_PRECISION_BF16, 0, &listener);

    if (ret < 0) return planner ? WRONG : ret;
    if ((ret = net(&g)) >= 0 && (ret = clzi_params_create(&weights, clzt_planner_device(planner), g, values[0], NULL)) >= 0)
        ret = clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){ .n = 2, .h = 64, .w = 64, .training = true,
                                                                              .backward = true });
    if (!ret && clzt_planner_bytes(planner) < 2 * 64 * 64) ret = WRONG;
    clzi_exec_destroy(&exec);
    clzi_params_destroy(&weights);
    clzi_graph_destroy(&g);
    clzt_planner_destroy(&planner);
    return ret;
}

// ---- main ----

static int prepare(void)
{
    struct clzi_graph *g;
    char path[PATH];

    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 1024; i++) numbers[k][i] = (float)((i * 37 + k * 11) % 101) / 101 - 0.5f;
    for (int player = 0; player < CLZT_PLAYERS; player++) {
        if ((player ? judge : net)(&g) < 0 || g->param_count > (int)COUNT(*values)) return -1;
        for (int i = 0; i < g->param_count; i++)
            values[player][i] = numbers[strstr(g->params[i].name, "running_var") ? 3 : 2];
        clzi_graph_destroy(&g);
    }
    for (int i = 0; i < 1024; i++) numbers[3][i] = 1;
    for (int k = 0; k < 3; k++) {
        snprintf(path, sizeof path, "%s/%d.ppm", folder, k);
        FILE *f = fopen(path, "wb");
        if (!f) return -1;
        fprintf(f, "P6\n%d %d\n255\n", 20 + k, 18);
        for (int i = 0; i < 3 * (20 + k) * 18; i++) fputc(i * (k + 3) % 253, f);
        fclose(f);
    }
    make_checkpoints();
    if (clzi_file_replace(in_folder(path, "weights.pth"), light_form.p, light_form.size, NULL) < 0) return -1;
    static const char sheet[] = "cuts: cuts.csv\nlines:\n- {shot: [1, 2], strength: 0}\n- {from: 3, hold: true}\n";
    static const char hints[] = "0 0 1 #ff0000\n";
    static const uint8_t rgba[4 * 2] = { 255, 0, 0, 255 };
    png_image png = { .version = PNG_IMAGE_VERSION, .width = 2, .height = 1, .format = PNG_FORMAT_RGBA };
    if (clzi_file_replace(in_folder(path, "hints.txt"), hints, sizeof hints - 1, NULL) < 0) return -1;
    if (!png_image_write_to_file(&png, in_folder(path, "painted"), 0, rgba, 0, NULL)) return -1;
    static const char cuts[] = "0,0,start\n5,1,cut\n";
    if (clzi_file_replace(in_folder(path, "sheet.yaml"), sheet, sizeof sheet - 1, NULL) < 0) return -1;
    if (clzi_file_replace(in_folder(path, "cuts.csv"), cuts, sizeof cuts - 1, NULL) < 0) return -1;
    if (tiny_model_write(in_folder(path, "open.bin")) < 0 || tiny_model_write(in_folder(path, "stream.bin")) < 0) return -1;
    if (clz_model_open(&model, path, NULL) < 0) return -1;
    static const char points[] = "lines:\n- {points: ['9 9 2 #ff0000', '99 9 1 #00ff00'], masks: painted}\n"
                                 "- {points: '1 1 1 #0000ff', follow: false}\n";
    if (clzi_file_replace(in_folder(path, "points.yaml"), points, sizeof points - 1, NULL) < 0) return -1;
    static uint8_t frames[3][LARGEST];
    if (film("cpu", model, &(struct film_files){ .answers_out = in_folder(path, "in.answers") }, frames) < 0) return -1;
    if (write_hints_model(in_folder(path, "hints.bin")) < 0) return -1;
    if (clz_model_open(&hints_model, path, NULL) < 0) return -1;
    write_features(in_folder(path, "features.bin"));
    if (clzi_model_read(&features, path, NULL) < 0) return -1;
    static const char metrics[] = "step,lr,train_l1,psnr\n1,0.1,0.5,\n2,0.1,0.4,21\n";
    return mkdir(in_folder(path, "events"), 0700) < 0 || mkdir(in_folder(path, "run"), 0700) < 0 ||
           clzi_file_replace(in_folder(path, "run/metrics.csv"), metrics, sizeof metrics - 1, NULL) < 0 ||
           clzi_file_replace(in_folder(path, "run/recipe.yaml"), "net: light\n", 11, NULL) < 0 ? -1 : 0;
}

int main(void)
{
    static const struct { const char *name; int (*run)(void); } rows[] = {
        { "oom/open_model", open_model }, { "oom/film_on_ref", film_on_ref }, { "oom/film_on_cpu", film_on_cpu },
        { "oom/film_with_points", film_with_points }, { "oom/film_with_answers", film_with_answers },
        { "oom/sheet", read_a_sheet }, { "oom/hints", read_hints }, { "oom/still", read_still },
        { "oom/recipe", read_recipe }, { "oom/facts", write_facts },
        { "oom/pictures_cached", read_pictures_cached },
        { "oom/pictures_uncached", read_pictures_uncached },
        { "oom/pictures_divided", divide_pictures }, { "oom/survey", survey_pictures }, { "oom/coco", read_coco },
        { "oom/training_step", train_on_cpu }, { "oom/checkpoint", keep_checkpoint }, { "oom/write_model", write_model },
        { "oom/zip_form", read_zip_form }, { "oom/legacy_form", read_legacy_form },
        { "oom/safetensors_form", read_safetensors_form }, { "oom/choose_net", choose_net },
        { "oom/another_sheet", change_sheet }, { "oom/sample", sample_picture }, { "oom/report", write_report },
        { "oom/events", write_events }, { "oom/features", load_features }, { "oom/planner", plan_memory },
    };
    const char *temporary = getenv("TMPDIR"), *only = getenv("CASE");
    char command[PATH];

    json_set_alloc_funcs(malloc, free);
    snprintf(folder, sizeof folder, "%s/clz-oom-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(folder) || prepare() < 0) return 1;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!only || strstr(rows[i].name, only)) fail_each_allocation(rows[i].name, rows[i].run);
    clz_model_close(&model);
    clz_model_close(&hints_model);
    clz_model_close(&features);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) printf("  %s could not be removed\n", folder);
    return check_end();
}
