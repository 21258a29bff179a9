// cuda_ops.c - kernels/cuda/*.cu, compiled for the CPU (cuda_emu.h), against the reference ops, in all types, with sizes that
// fill no vector, no block and no tile. Beside each limit stands the measured error (--errors prints them); the rounding to the
// type of the activations is added by check_value().
#include "cuda_test.h"
#include "kernels/dropout.h"

static const struct clzi_shape shapes[] = {
    { 1, 1, 1, 1 }, { 2, 3, 5, 7 }, { 1, 8, 6, 5 }, { 3, 16, 9, 4 }, { 2, 33, 7, 6 }, { 1, 40, 12, 11 }, { 1, 8, 48, 45 },
    { 5, 2, 4, 4 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };
#define FOR_SHAPES_AND_TYPES \
    for (int k = 0; k < SHAPES; k++) \
        for (enum clzk_type type = CLZK_F32; type < CLZK_TYPE_COUNT; free_all(), type++)

static int64_t area_of(struct clzi_shape s) { return (int64_t)s.h * s.w; }
static int64_t pixels_of(struct clzi_shape s) { return s.n * area_of(s); }

static const struct clzk_activation activations[] = {
    { CLZK_ACT_NONE, 0 }, { CLZK_ACT_RELU, 0 }, { CLZK_ACT_LEAKY, 0.2f }, { CLZK_ACT_TANH, 0 }, { CLZK_ACT_SIGMOID, 0 },
    { CLZK_ACT_RELU6, 0 },
};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

static struct clzi_attr attr_of(struct clzk_activation a)
{
    return (struct clzi_attr){ .act = (enum clzi_act)a.act, .slope = a.slope };
}

// ---- layout ----

static void layout(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k];
        const int64_t count = clzi_shape_count(s);
        struct tensor want = tensor_random(type, s, -3, 3), got = tensor_new(type, s);
        float *nchw = floats(count), *sum = random_floats(count, -1, 1), *wanted = floats(count);

        QUEUE(clzk_cu_from_nchw(NULL, type, got.nhwc, want.nchw, s.n, s.c, area_of(s)));
        check_tensor(&got, want.nchw, 0, "from_nchw");
        QUEUE(clzk_cu_to_nchw(NULL, type, nchw, want.nhwc, s.n, s.c, area_of(s), false));
        check_floats(nchw, want.nchw, count, 0, "to_nchw");
        for (int64_t i = 0; i < count; i++) wanted[i] = sum[i] + want.nchw[i];
        QUEUE(clzk_cu_to_nchw(NULL, type, sum, want.nhwc, s.n, s.c, area_of(s), true));
        check_floats(sum, wanted, count, 0, "to_nchw, added");
        for (enum clzk_type to = CLZK_F32; to < CLZK_TYPE_COUNT; to++) {
            struct tensor cast = tensor_new(to, s);
            QUEUE(clzk_cu_cast(NULL, to, cast.nhwc, type, want.nhwc, count));
            check_tensor(&cast, want.nchw, 0, "cast");
        }
    }
}

static void concat(void)
{
    static const int second[] = { 1, 2, 5, 8, 24 };

    FOR_SHAPES_AND_TYPES
        for (int j = 0; j < 5; j++) {
            const struct clzi_shape a = shapes[k], b = { a.n, second[j], a.h, a.w }, s = { a.n, a.c + b.c, a.h, a.w };
            struct tensor x0 = tensor_random(type, a, -1, 1), x1 = tensor_random(type, b, -1, 1), y = tensor_new(type, s);
            struct tensor d0 = tensor_new(type, a), d1 = tensor_new(type, b), only = tensor_new(type, b);
            float *want = floats(clzi_shape_count(s));
            ref_run(&(struct ref_op){ .op = CLZI_OP_CONCAT, .in_count = 2, .xs = { a, b }, .ys = s, .x = { x0.nchw, x1.nchw },
                                      .y = want });
            QUEUE(clzk_cu_concat(NULL, type, y.nhwc, x0.nhwc, x1.nhwc, pixels_of(s), a.c, b.c));
            check_tensor(&y, want, 0, "concat");
            QUEUE(clzk_cu_split(NULL, type, d0.nhwc, d1.nhwc, y.nhwc, pixels_of(s), a.c, b.c));
            check_tensor(&d0, x0.nchw, 0, "split, first");
            check_tensor(&d1, x1.nchw, 0, "split, second");
            QUEUE(clzk_cu_split(NULL, type, NULL, only.nhwc, y.nhwc, pixels_of(s), a.c, b.c));
            check_tensor(&only, x1.nchw, 0, "split, second alone");
            free_all();
        }
}

static void shuffle(void)
{
    for (int factor = 2; factor <= 3; factor++)
        FOR_SHAPES_AND_TYPES {
            const struct clzi_shape s = shapes[k], x = { s.n, s.c * factor * factor, s.h, s.w };
            const struct clzi_shape y = { s.n, s.c, s.h * factor, s.w * factor };
            struct tensor from = tensor_random(type, x, -1, 1), to = tensor_new(type, y), back = tensor_new(type, x);
            float *want = floats(clzi_shape_count(y));
            ref_run(&(struct ref_op){ .op = CLZI_OP_SHUFFLE, .attr.factor = factor, .in_count = 1, .xs = { x }, .ys = y,
                                      .x = { from.nchw }, .y = want });
            QUEUE(clzk_cu_shuffle(NULL, type, to.nhwc, from.nhwc, s.n, s.h, s.w, s.c, factor));
            check_tensor(&to, want, 0, "shuffle");
            QUEUE(clzk_cu_shuffle_back(NULL, type, back.nhwc, to.nhwc, s.n, s.h, s.w, s.c, factor));
            check_tensor(&back, from.nchw, 0, "shuffle_back");
        }
}

static void store_host(void)
{
    const char text[] = "sixteen bytes...";
    char *to = block(sizeof text);

    QUEUE(clzk_cu_store(NULL, to, text, sizeof text));
    REQUIRE(!memcmp(to, text, sizeof text));
    REQUIRE(clzk_cu_store(NULL, to, text, 65) != 0);
}

// ---- pointwise ----

static void act(void)
{
    for (int a = 0; a < ACTIVATIONS; a++)
        FOR_SHAPES_AND_TYPES {
            const struct clzi_shape s = shapes[k];
            const int64_t count = clzi_shape_count(s);
            struct tensor x = tensor_random(type, s, -4, 9), y = tensor_new(type, s), dy = tensor_random(type, s, -1, 1);
            float *want = floats(count), *dx = floats(count);
            ref_run(&(struct ref_op){ .op = CLZI_OP_ACT, .attr = attr_of(activations[a]), .in_count = 1, .xs = { s }, .ys = s,
                                      .x = { x.nchw }, .y = want });
            QUEUE(clzk_cu_act(NULL, type, y.nhwc, x.nhwc, count, activations[a]));
            check_tensor(&y, want, 2e-6, "act");                        // 7.5e-8
            for (int64_t i = 0; i < count; i++) tensor_set(&y, i, typed_get(type, y.nhwc, nhwc_index(s, i)));
            // The reference's slope, from the rounded y.
            ref_run(&(struct ref_op){ .op = CLZI_OP_ACT, .attr = attr_of(activations[a]), .in_count = 1, .xs = { s }, .ys = s,
                                      .x = { x.nchw }, .y = floats(count), .dy = dy.nchw, .dx = { dx } });
            for (int64_t i = 0; i < count; i++) {
                const double v = y.nchw[i];
                dx[i] = activations[a].act == CLZK_ACT_TANH ? (float)(dy.nchw[i] * (1 - v * v)) :
                        activations[a].act == CLZK_ACT_SIGMOID ? (float)(dy.nchw[i] * v * (1 - v)) : dx[i];
            }
            QUEUE(clzk_cu_act_back(NULL, type, dy.nhwc, y.nhwc, dy.nhwc, count, activations[a]));   // in place
            check_tensor(&dy, dx, 2e-6, "act_back");
        }
}

static void add(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k];
        const int64_t count = clzi_shape_count(s);
        struct tensor a = tensor_random(type, s, -1, 1), b = tensor_random(type, s, -1, 1), y = tensor_new(type, s);
        float *want = floats(count);
        ref_run(&(struct ref_op){ .op = CLZI_OP_ADD, .attr = attr_of(activations[1]), .in_count = 2, .xs = { s, s }, .ys = s,
                                  .x = { a.nchw, b.nchw }, .y = want });
        QUEUE(clzk_cu_add(NULL, type, y.nhwc, a.nhwc, b.nhwc, count, activations[1]));
        check_tensor(&y, want, 0, "add");
        for (int64_t i = 0; i < count; i++) want[i] = a.nchw[i] + b.nchw[i];
        QUEUE(clzk_cu_add(NULL, type, a.nhwc, a.nhwc, b.nhwc, count, activations[0]));
        check_tensor(&a, want, 0, "add in place");
    }
}

static void channels(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k];
        const int64_t count = clzi_shape_count(s), area = area_of(s);
        struct tensor x = tensor_random(type, s, -1, 1), y = tensor_new(type, s);
        float *scale = random_floats(s.c, 0.5f, 2), *shift = random_floats(s.c, -1, 1), *want = floats(count);
        float *db = random_floats(s.c, -1, 1), *db_want = floats(s.c);
        for (int64_t i = 0; i < count; i++) {
            const double v = (double)x.nchw[i] * scale[i / area % s.c] + shift[i / area % s.c];
            want[i] = (float)(v > 0 ? v : 0);
        }
        QUEUE(clzk_cu_channels(NULL, type, y.nhwc, x.nhwc, pixels_of(s), s.c, scale, shift, activations[1]));
        check_tensor(&y, want, 1e-6, "channels");                       // 9e-8
        for (int c = 0; c < s.c; c++) {
            double sum = db[c];
            for (int64_t i = 0; i < count; i++) sum += i / area % s.c == c ? x.nchw[i] : 0;
            db_want[c] = (float)sum;
        }
        QUEUE(clzk_cu_bias_back(NULL, type, db, x.nhwc, pixels_of(s), s.c, block(clzk_cu_sums_size(1, pixels_of(s), s.c))));
        check_floats(db, db_want, s.c, 2e-6, "bias_back");              // 3.8e-7
        for (int64_t i = 0; i < count; i++) want[i] = x.nchw[i] + shift[i / area % s.c];
        QUEUE(clzk_cu_channels(NULL, type, x.nhwc, x.nhwc, pixels_of(s), s.c, NULL, shift, activations[0]));
        check_tensor(&x, want, 1e-6, "bias in place");
    }
}

static void affine(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k], v = { s.n, s.c, 1, 1 };
        const int64_t count = clzi_shape_count(s);
        struct tensor x = tensor_random(type, s, -1, 1), scale = tensor_random(type, v, 0.5f, 2), y = tensor_new(type, s);
        struct tensor shift = tensor_random(type, v, -1, 1), dy = tensor_random(type, s, 0, 1), dx = tensor_new(type, s);
        struct tensor dscale = tensor_new(type, v), dshift = tensor_new(type, v), alone = tensor_new(type, v);
        float *want = floats(count), *want_dx = floats(count), *want_dscale = floats(s.n * s.c), *want_dshift = floats(s.n * s.c);
        void *work = block(clzk_cu_sums_size(s.n, area_of(s), s.c));
        ref_run(&(struct ref_op){ .op = CLZI_OP_AFFINE, .in_count = 3, .xs = { s, v, v }, .ys = s, .y = want, .dy = dy.nchw,
                                  .x = { x.nchw, scale.nchw, shift.nchw }, .dx = { want_dx, want_dscale, want_dshift } });
        QUEUE(clzk_cu_affine(NULL, type, y.nhwc, x.nhwc, scale.nhwc, shift.nhwc, s.n, area_of(s), s.c));
        check_tensor(&y, want, 1e-6, "affine");                         // 8.1e-8
        QUEUE(clzk_cu_affine_back(NULL, type, dx.nhwc, dscale.nhwc, dshift.nhwc, dy.nhwc, x.nhwc, scale.nhwc, s.n, area_of(s),
                                  s.c, work));
        check_tensor(&dx, want_dx, 1e-6, "affine_back dx");
        check_tensor(&dscale, want_dscale, 2e-6, "affine_back dscale"); // 4.6e-7
        check_tensor(&dshift, want_dshift, 2e-6, "affine_back dshift");
        QUEUE(clzk_cu_affine_back(NULL, type, NULL, NULL, alone.nhwc, dy.nhwc, NULL, scale.nhwc, s.n, area_of(s), s.c, work));
        check_tensor(&alone, want_dshift, 2e-6, "affine_back dshift alone");
    }
}

static void gain(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k];
        const int64_t count = clzi_shape_count(s);
        struct tensor x = tensor_random(type, s, -1, 1), y = tensor_new(type, s), dy = tensor_random(type, s, 0, 1);
        struct tensor dx = tensor_new(type, s);
        float *gamma = random_floats(1, 0.3f, 0.7f), *dgamma = random_floats(1, 1, 2), *want = floats(count);
        float *want_dx = floats(count), *want_dgamma = floats(1);
        *want_dgamma = *dgamma;
        ref_run(&(struct ref_op){ .op = CLZI_OP_GAIN, .in_count = 1, .xs = { s }, .ys = s, .x = { x.nchw }, .w = { gamma },
                                  .y = want, .dy = dy.nchw, .dx = { want_dx }, .dw = { want_dgamma } });
        QUEUE(clzk_cu_gain(NULL, type, y.nhwc, x.nhwc, count, gamma));
        check_tensor(&y, want, 1e-6, "gain");                           // 0
        QUEUE(clzk_cu_gain_back(NULL, type, dx.nhwc, dgamma, dy.nhwc, x.nhwc, count, gamma, block(CLZK_CU_SCALAR_WORK)));
        check_tensor(&dx, want_dx, 1e-6, "gain_back dx");
        check_floats(dgamma, want_dgamma, 1, 2e-6, "gain_back dgamma"); // 3.9e-7
    }
}

static void clamp(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k];
        const int64_t count = clzi_shape_count(s);
        struct tensor x = tensor_random(type, s, -2, 2), y = tensor_new(type, s), dy = tensor_random(type, s, -1, 1);
        float *want = floats(count), *dx = floats(count);
        ref_run(&(struct ref_op){ .op = CLZI_OP_CLAMP, .attr.scale = 1.25f, .in_count = 1, .xs = { s }, .ys = s, .x = { x.nchw },
                                  .y = want, .dy = dy.nchw, .dx = { dx } });
        QUEUE(clzk_cu_clamp(NULL, type, y.nhwc, x.nhwc, count, 1.25f));
        check_tensor(&y, want, 0, "clamp");
        QUEUE(clzk_cu_clamp_back(NULL, type, dy.nhwc, x.nhwc, dy.nhwc, count, 1.25f));
        check_tensor(&dy, dx, 0, "clamp_back");
    }
}

static void dropout(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k];
        struct tensor x = tensor_random(type, s, 1, 2), y = tensor_new(type, s);
        float *want = floats(clzi_shape_count(s));
        uint64_t *seed = block(sizeof *seed);
        *seed = UINT64_C(0x123456789abcdef);
        ref_run(&(struct ref_op){ .op = CLZI_OP_DROPOUT, .attr.p = 0.3f, .name = "dec1.drop", .in_count = 1, .xs = { s }, .ys = s,
                                  .x = { x.nchw }, .y = want, .training = true, .seed = *seed });
        QUEUE(clzk_cu_dropout(NULL, type, y.nhwc, x.nhwc, s.n, area_of(s), s.c, 0.3f, seed, clzk_dropout_stream("dec1.drop")));
        check_tensor(&y, want, 1e-6, "dropout");                        // 0: the same mask
    }
}

// ---- depthwise convolution ----

struct depthwise_case { struct clzi_shape x; int k, stride, pad, extra; enum clzk_act act; };
static const struct depthwise_case depthwise_cases[] = {
    { { 1, 8, 9, 11 }, 3, 1, 1, 0, CLZK_ACT_RELU6 }, { { 2, 16, 10, 7 }, 3, 2, 1, 0, CLZK_ACT_RELU6 },
    { { 1, 24, 8, 8 }, 3, 2, 0, 1, CLZK_ACT_NONE }, { { 1, 8, 13, 6 }, 5, 1, 2, 0, CLZK_ACT_RELU },
    { { 2, 8, 9, 12 }, 5, 2, 2, 0, CLZK_ACT_RELU6 }, { { 1, 40, 8, 10 }, 5, 2, 1, 1, CLZK_ACT_NONE },
    { { 2, 5, 7, 6 }, 3, 1, 1, 0, CLZK_ACT_RELU6 }, { { 1, 7, 6, 9 }, 5, 2, 1, 2, CLZK_ACT_TANH },
    { { 1, 12, 5, 4 }, 3, 1, 0, 0, CLZK_ACT_NONE }, { { 1, 16, 9, 8 }, 7, 3, 3, 0, CLZK_ACT_RELU },
    { { 3, 6, 4, 5 }, 4, 1, 1, 2, CLZK_ACT_NONE }, { { 1, 8, 1, 1 }, 3, 1, 1, 0, CLZK_ACT_NONE },
    { { 1, 8, 2, 3 }, 5, 1, 2, 0, CLZK_ACT_NONE }, { { 1, 4, 33, 35 }, 3, 1, 1, 0, CLZK_ACT_RELU6 },
};

static void depthwise(void)
{
    for (size_t k = 0; k < sizeof depthwise_cases / sizeof *depthwise_cases; k++)
        for (enum clzk_type type = CLZK_F32; type < CLZK_TYPE_COUNT; free_all(), type++) {
            const struct depthwise_case *d = &depthwise_cases[k];
            const struct clzi_shape x = d->x;
            const int oh = (x.h + 2 * d->pad + d->extra - d->k) / d->stride + 1;
            const int ow = (x.w + 2 * d->pad + d->extra - d->k) / d->stride + 1, places = d->k * d->k;
            const struct clzi_shape y = { x.n, x.c, oh, ow };
            const struct clzk_depthwise p = { x.c, x.h, x.w, oh, ow, d->k, d->stride, d->pad };
            const struct clzk_activation a = { d->act, 0 };
            const struct clzi_attr attr = { .channels = x.c, .k = d->k, .stride = d->stride, .pad = d->pad, .pad_extra = d->extra,
                                            .groups = x.c, .bias = 1, .act = (enum clzi_act)d->act };
            struct clzi_attr linear = attr;
            struct tensor in = tensor_random(type, x, -1, 1), out = tensor_new(type, y), dy = tensor_random(type, y, -1, 1);
            struct tensor dx = tensor_new(type, x);
            float *w = random_floats((int64_t)x.c * places, -1, 1), *packed = floats((int64_t)x.c * places);
            float *bias = random_floats(x.c, -1, 1), *want = floats(clzi_shape_count(y)), *want_dx = floats(clzi_shape_count(x));
            float *dw = random_floats((int64_t)x.c * places, -1, 1), *want_dw = floats((int64_t)x.c * places);
            void *work = block(clzk_cu_depthwise_size(x.n, &p));
            ref_run(&(struct ref_op){ .op = CLZI_OP_CONV, .attr = attr, .in_count = 1, .xs = { x }, .ys = y, .x = { in.nchw },
                                      .w = { w, bias }, .y = want });
            memcpy(want_dw, dw, x.c * places * sizeof *dw);
            linear.act = CLZI_ACT_NONE;
            ref_run(&(struct ref_op){ .op = CLZI_OP_CONV, .attr = linear, .in_count = 1, .xs = { x }, .ys = y, .x = { in.nchw },
                                      .w = { w, bias }, .y = floats(clzi_shape_count(y)), .dy = dy.nchw, .dx = { want_dx },
                                      .dw = { want_dw } });
            QUEUE(clzk_cu_from_nchw(NULL, CLZK_F32, packed, w, 1, x.c, places));
            QUEUE(clzk_cu_depthwise(NULL, type, out.nhwc, in.nhwc, packed, bias, x.n, &p, a));
            check_tensor(&out, want, 2e-6, "depthwise");                // 2.6e-7
            QUEUE(clzk_cu_depthwise_back(NULL, type, dx.nhwc, dy.nhwc, packed, x.n, &p));
            check_tensor(&dx, want_dx, 2e-6, "depthwise_back");         // 1.7e-7
            QUEUE(clzk_cu_depthwise_weights(NULL, type, dw, in.nhwc, dy.nhwc, x.n, &p, work));
            check_floats(dw, want_dw, x.c * places, 2e-6, "depthwise_weights");     // 6e-7
        }
}

// ---- batch norm ----

static void norm(void)
{
    for (int batch = 0; batch < 2; batch++)
        FOR_SHAPES_AND_TYPES {
            const struct clzi_shape s = shapes[k];
            const int64_t count = clzi_shape_count(s);
            const struct clzk_activation a = activations[(k + batch) % ACTIVATIONS];
            struct clzi_attr attr = attr_of(a);
            struct tensor x = tensor_random(type, s, 4, 6), y = tensor_new(type, s), dy = tensor_random(type, s, -1, 1);
            struct tensor dx = tensor_new(type, s);
            float *gamma = random_floats(s.c, 0.5f, 2), *beta = random_floats(s.c, -1, 1), *mean = random_floats(s.c, 4.5f, 5.5f);
            float *var = random_floats(s.c, 0.2f, 0.5f), *saved = floats(2 * s.c), *dgamma = random_floats(s.c, -1, 1);
            float *dbeta = random_floats(s.c, -1, 1), *want = floats(count), *want_dx = floats(count), *want_dgamma = floats(s.c);
            float *want_dbeta = floats(s.c), *want_mean = floats(s.c), *want_var = floats(s.c);
            void *work = block(clzk_cu_sums_size(1, pixels_of(s), s.c));
            const struct clzk_cu_norm p = { pixels_of(s), s.c, 1e-3f, 0.1f, batch, a };
            attr.eps = p.eps;
            attr.momentum = p.momentum;
            memcpy(want_dgamma, dgamma, s.c * sizeof *dgamma), memcpy(want_dbeta, dbeta, s.c * sizeof *dbeta);
            memcpy(want_mean, mean, s.c * sizeof *mean), memcpy(want_var, var, s.c * sizeof *var);
            ref_run(&(struct ref_op){ .op = CLZI_OP_BATCHNORM, .attr = attr, .in_count = 1, .xs = { s }, .ys = s, .x = { x.nchw },
                                      .w = { gamma, beta, want_mean, want_var }, .y = want, .dy = dy.nchw, .dx = { want_dx },
                                      .dw = { want_dgamma, want_dbeta }, .training = batch });
            QUEUE(clzk_cu_norm(NULL, type, y.nhwc, x.nhwc, gamma, beta, mean, var, saved, &p, work));
            check_tensor(&y, want, 3e-6, "norm");                       // 7.3e-7
            check_floats(mean, want_mean, s.c, 1e-6, "running mean");   // 0
            check_floats(var, want_var, s.c, 1e-6, "running var");      // 5.2e-8
            QUEUE(clzk_cu_norm_back(NULL, type, dx.nhwc, dgamma, dbeta, dy.nhwc, x.nhwc, gamma, beta, saved, &p, work));
            // One pixel: the gradient is 0, and what is left is rounding.
            if (pixels_of(s) > 1) check_tensor(&dx, want_dx, 3e-6, "norm_back dx");         // 7.1e-7
            check_floats(dgamma, want_dgamma, s.c, 1e-5, "norm_back dgamma");               // 3.2e-6
            check_floats(dbeta, want_dbeta, s.c, 2e-6, "norm_back dbeta");                  // 4.3e-7
            QUEUE(clzk_cu_norm_back(NULL, type, dy.nhwc, NULL, NULL, dy.nhwc, x.nhwc, gamma, beta, saved, &p, work));
            REQUIRE(!memcmp(dy.nhwc, dx.nhwc, count * clzk_type_size(type)));               // in place
        }
}

// Tensors so large that a thread takes several rows.
static void large(void)
{
    const int64_t pixels = (1 << 19) + 5;
    const int c = 8;
    const struct clzk_cu_norm p = { pixels, c, 1e-3f, 0.1f, false, { CLZK_ACT_LEAKY, 0.25f } };
    uint16_t *x = block(pixels * c * 2), *y = block(pixels * c * 2);
    float *gamma = random_floats(c, 0.5f, 2), *beta = random_floats(c, -1, 1), *mean = random_floats(c, -1, 1);
    float *var = random_floats(c, 0.2f, 0.5f), *saved = floats(2 * c), *dgamma = random_floats(c, 0, 1), *dbeta = floats(c);
    void *work = block(clzk_cu_sums_size(1, pixels, c));

    for (int64_t i = 0; i < pixels * c; i++) x[i] = bf16_from_float((float)(i * 37 % 101) / 50 - 1);
    QUEUE(clzk_cu_channels(NULL, CLZK_BF16, y, x, pixels, c, gamma, beta, activations[1]));
    for (int64_t i = 0; i < pixels * c && !again; i++) {
        const float v = typed_get(CLZK_BF16, x, i) * gamma[i % c] + beta[i % c];
        check_value(CLZK_BF16, typed_get(CLZK_BF16, y, i), v > 0 ? v : 0, 1, 1e-6, "channels", i);
    }
    QUEUE(clzk_cu_norm(NULL, CLZK_BF16, y, x, gamma, beta, mean, var, saved, &p, work));
    for (int64_t i = 0; i < pixels * c && !again; i++) {
        const float v = (typed_get(CLZK_BF16, x, i) - mean[i % c]) / sqrtf(var[i % c] + p.eps) * gamma[i % c] + beta[i % c];
        check_value(CLZK_BF16, typed_get(CLZK_BF16, y, i), v > 0 ? v : 0.25f * v, 1, 1e-6, "norm", i);
    }
    memset(dbeta, 0, c * sizeof *dbeta);
    QUEUE(clzk_cu_norm_back(NULL, CLZK_BF16, y, dgamma, dbeta, x, x, gamma, beta, saved, &p, work));      // dy = x
    for (int64_t i = 0; i < pixels * c && !again; i++) {
        const float dy = typed_get(CLZK_BF16, x, i), inverse = 1 / sqrtf(var[i % c] + p.eps);
        const float v = (dy - mean[i % c]) * inverse * gamma[i % c] + beta[i % c];
        const float want = gamma[i % c] * inverse * dy * (v > 0 ? 1 : 0.25f);
        check_value(CLZK_BF16, typed_get(CLZK_BF16, y, i), want, 1, 1e-6, "norm_back", i);
    }
    run_hash = clzk_fnv1a(clzk_fnv1a(run_hash, dbeta, c * sizeof *dbeta), y, pixels * c * 2);
}

// ---- pools, sizes ----

struct pool_case { struct clzi_shape x; int k, stride, pad; };
static const struct pool_case pool_cases[] = {
    { { 1, 8, 9, 11 }, 3, 2, 1 }, { { 2, 16, 8, 6 }, 2, 2, 0 }, { { 2, 3, 7, 5 }, 3, 1, 1 }, { { 1, 40, 5, 6 }, 5, 3, 2 },
    { { 3, 8, 4, 4 }, 3, 3, 1 }, { { 1, 5, 1, 1 }, 3, 2, 1 }, { { 1, 8, 6, 7 }, 2, 3, 0 },
};

static void pools(void)
{
    for (size_t k = 0; k < sizeof pool_cases / sizeof *pool_cases; k++)
        for (enum clzk_type type = CLZK_F32; type < CLZK_TYPE_COUNT; free_all(), type++) {
            const struct pool_case *c = &pool_cases[k];
            const struct clzi_shape s = c->x;
            const int oh = (s.h + 2 * c->pad - c->k) / c->stride + 1, ow = (s.w + 2 * c->pad - c->k) / c->stride + 1;
            const struct clzi_shape o = { s.n, s.c, oh, ow };
            const struct clzk_pool p = { s.c, s.h, s.w, oh, ow, c->k, c->stride, c->pad };
            const struct clzi_attr attr = { .k = c->k, .stride = c->stride, .pad = c->pad };
            struct tensor x = tensor_new(type, s), y = tensor_new(type, o), dy = tensor_random(type, o, -1, 1);
            struct tensor dx = tensor_new(type, s);
            float *want = floats(clzi_shape_count(o)), *want_dx = floats(clzi_shape_count(s));
            uint8_t *index = block(clzi_shape_count(o));
            // Few values, so that maxima are met again; and negative ones.
            for (int64_t i = 0; i < clzi_shape_count(s); i++) tensor_set(&x, i, (float)(int)uniform(-5, 3));
            ref_run(&(struct ref_op){ .op = CLZI_OP_MAXPOOL, .attr = attr, .in_count = 1, .xs = { s }, .ys = o, .x = { x.nchw },
                                      .y = want, .dy = dy.nchw, .dx = { want_dx } });
            QUEUE(clzk_cu_maxpool(NULL, type, y.nhwc, index, x.nhwc, s.n, &p));
            check_tensor(&y, want, 0, "maxpool");
            QUEUE(clzk_cu_maxpool(NULL, type, y.nhwc, NULL, x.nhwc, s.n, &p));
            check_tensor(&y, want, 0, "maxpool without index");
            QUEUE(clzk_cu_maxpool_back(NULL, type, dx.nhwc, index, dy.nhwc, s.n, &p));
            check_tensor(&dx, want_dx, 1e-6, "maxpool_back");           // 1.7e-7
            ref_run(&(struct ref_op){ .op = CLZI_OP_AVGPOOL, .attr = attr, .in_count = 1, .xs = { s }, .ys = o, .x = { x.nchw },
                                      .y = want, .dy = dy.nchw, .dx = { want_dx } });
            QUEUE(clzk_cu_avgpool(NULL, type, y.nhwc, x.nhwc, s.n, &p));
            check_tensor(&y, want, 1e-6, "avgpool");                    // 0
            QUEUE(clzk_cu_avgpool_back(NULL, type, dx.nhwc, dy.nhwc, s.n, &p));
            check_tensor(&dx, want_dx, 1e-6, "avgpool_back");           // 9.7e-8
            tensor_set(&x, 0, NAN);                                     // NaN wins
            QUEUE(clzk_cu_maxpool(NULL, type, y.nhwc, index, x.nhwc, s.n, &p));
            REQUIRE(isnan(typed_get(type, y.nhwc, 0)));
        }
}

static void globalpool(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = shapes[k], v = { s.n, s.c, 1, 1 };
        struct tensor x = tensor_random(type, s, 0, 1), y = tensor_new(type, v), dy = tensor_random(type, v, -1, 1);
        struct tensor dx = tensor_new(type, s);
        float *want = floats(s.n * s.c), *want_dx = floats(clzi_shape_count(s));
        ref_run(&(struct ref_op){ .op = CLZI_OP_GLOBALPOOL, .in_count = 1, .xs = { s }, .ys = v, .x = { x.nchw }, .y = want,
                                  .dy = dy.nchw, .dx = { want_dx } });
        QUEUE(clzk_cu_globalpool(NULL, type, y.nhwc, x.nhwc, s.n, area_of(s), s.c,
                                 block(clzk_cu_sums_size(s.n, area_of(s), s.c))));
        check_tensor(&y, want, 1e-6, "globalpool");                     // 1.2e-7
        QUEUE(clzk_cu_globalpool_back(NULL, type, dx.nhwc, dy.nhwc, s.n, area_of(s), s.c));
        check_tensor(&dx, want_dx, 1e-6, "globalpool_back");            // 0
    }
}

static void resize(void)
{
    for (int factor = 1; factor <= 4; factor++)
        FOR_SHAPES_AND_TYPES {
            const struct clzi_shape s = shapes[k], o = { s.n, s.c, s.h * factor, s.w * factor };
            if (clzi_shape_count(o) > 40000) continue;
            struct tensor x = tensor_random(type, s, -1, 1), y = tensor_new(type, o), dy = tensor_random(type, o, -1, 1);
            struct tensor dx = tensor_new(type, s);
            float *want = floats(clzi_shape_count(o)), *want_dx = floats(clzi_shape_count(s));
            ref_run(&(struct ref_op){ .op = CLZI_OP_RESIZE, .attr.factor = factor, .in_count = 1, .xs = { s }, .ys = o,
                                      .x = { x.nchw }, .y = want, .dy = dy.nchw, .dx = { want_dx } });
            QUEUE(clzk_cu_resize(NULL, type, y.nhwc, x.nhwc, s.n, s.h, s.w, s.c, factor));
            check_tensor(&y, want, 1e-6, "resize");                     // 2.2e-7
            QUEUE(clzk_cu_resize_back(NULL, type, dx.nhwc, dy.nhwc, s.n, s.h, s.w, s.c, factor));
            check_tensor(&dx, want_dx, 2e-6, "resize_back");            // 2.8e-7
        }
}

// ---- softmax ----

static void softmax(void)
{
    static const struct { int rows, columns; float scale; } cases[] = {
        { 1, 1, 1 }, { 9, 3, 1 }, { 33, 31, 1 / 0.38f }, { 10, 313, 1 }, { 7, 1024, 0.5f }, { 3, 1300, 2 },
    };

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (enum clzk_type type = CLZK_F32; type < CLZK_TYPE_COUNT; free_all(), type++) {
            const int rows = cases[k].rows, columns = cases[k].columns;
            const struct clzi_shape s = { rows, columns, 1, 1 };        // a row for each picture of one pixel
            struct tensor x = tensor_random(type, s, -9, 9), y = tensor_new(type, s), dy = tensor_random(type, s, -1, 1);
            float *want = floats(rows * columns), *want_dx = floats(rows * columns);
            struct clzi_attr attr = { .scale = cases[k].scale };
            ref_run(&(struct ref_op){ .op = CLZI_OP_SOFTMAX, .attr = attr, .in_count = 1, .xs = { s }, .ys = s, .x = { x.nchw },
                                      .y = want });
            QUEUE(clzk_cu_softmax(NULL, type, y.nhwc, x.nhwc, rows, columns, cases[k].scale));
            check_tensor(&y, want, 2e-6, "softmax");                    // 6.9e-7
            // The gradient from the rounded y.
            for (int64_t i = 0; i < rows * columns; i++) tensor_set(&y, i, typed_get(type, y.nhwc, nhwc_index(s, i)));
            for (int r = 0; r < rows; r++) {
                double dot = 0;
                for (int i = 0; i < columns; i++) dot += (double)y.nchw[r * columns + i] * dy.nchw[r * columns + i];
                for (int i = r * columns; i < (r + 1) * columns; i++)
                    want_dx[i] = (float)(cases[k].scale * y.nchw[i] * (dy.nchw[i] - dot));
            }
            QUEUE(clzk_cu_softmax_back(NULL, type, dy.nhwc, y.nhwc, dy.nhwc, rows, columns, cases[k].scale));
            if (columns > 1) check_tensor(&dy, want_dx, 2e-6, "softmax_back");  // 8.9e-7
            QUEUE(clzk_cu_softmax(NULL, type, x.nhwc, x.nhwc, rows, columns, cases[k].scale));
            REQUIRE(!memcmp(x.nhwc, y.nhwc, rows * columns * clzk_type_size(type)));        // in place
        }
}

// ---- losses ----

static void losses(void)
{
    static const struct { enum clzi_op_id op; enum clzk_loss_kind kind; float target; int inputs; } cases[] = {
        { CLZI_OP_L1, CLZK_LOSS_L1, 0, 2 }, { CLZI_OP_L1, CLZK_LOSS_L1, 0, 3 }, { CLZI_OP_L2, CLZK_LOSS_L2, 0, 2 },
        { CLZI_OP_L2, CLZK_LOSS_L2, 0, 3 }, { CLZI_OP_BCE, CLZK_LOSS_BCE, 0.9f, 1 }, { CLZI_OP_LSGAN, CLZK_LOSS_L2, 1, 1 },
        { CLZI_OP_HINGE, CLZK_LOSS_HINGE, 1, 1 }, { CLZI_OP_HINGE, CLZK_LOSS_HINGE, 0, 1 },
        { CLZI_OP_NEGMEAN, CLZK_LOSS_NEGMEAN, 0, 1 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        FOR_SHAPES_AND_TYPES {
            const struct clzi_shape s = shapes[k], one = { s.n, 1, s.h, s.w }, number = { 1, 1, 1, 1 };
            struct tensor x = tensor_random(type, s, -2, 2), t = tensor_random(type, s, -2, 2);
            struct tensor weight = tensor_random(type, one, 0, 2), dx = tensor_new(type, s);
            const float scale = (float)clzi_shape_count(s);             // so that no gradient underflows in f16
            float *out = floats(1), *dy = random_floats(1, scale, 3 * scale), *want = floats(1);
            float *want_dx = floats(clzi_shape_count(s));
            const struct clzk_loss loss = { cases[i].kind, cases[i].target };
            const void *target = cases[i].inputs > 1 ? t.nhwc : NULL, *weights = cases[i].inputs > 2 ? weight.nhwc : NULL;
            ref_run(&(struct ref_op){ .op = cases[i].op, .attr.target = cases[i].target, .in_count = cases[i].inputs,
                                      .xs = { s, s, one }, .ys = number, .x = { x.nchw, t.nchw, weight.nchw }, .y = want,
                                      .dy = dy, .dx = { want_dx } });
            QUEUE(clzk_cu_loss(NULL, type, out, x.nhwc, target, weights, pixels_of(s), s.c, loss, block(CLZK_CU_SCALAR_WORK)));
            // Of a mean of both signs, the error is relative to its terms.
            check_value(CLZK_F32, *out, again ? 0 : *want, 1, 1e-6, "loss", 0);        // 1.4e-7
            QUEUE(clzk_cu_loss_back(NULL, type, dx.nhwc, dy, x.nhwc, target, weights, pixels_of(s), s.c, loss));
            check_tensor(&dx, want_dx, 1e-6, "loss_back");              // 1.6e-7
        }
}

static void chroma(void)
{
    FOR_SHAPES_AND_TYPES {
        const struct clzi_shape s = { shapes[k].n, 2, shapes[k].h, shapes[k].w }, number = { 1, 1, 1, 1 };
        struct tensor x = tensor_random(type, s, -1, 1), t = tensor_random(type, s, -0.5f, 0.5f), dx = tensor_new(type, s);
        float *out = floats(1), *difference = floats(s.n), *dy = random_floats(1, 1, 3), *want = floats(1);
        float *want_dx = floats(clzi_shape_count(s));
        ref_run(&(struct ref_op){ .op = CLZI_OP_CHROMA, .in_count = 2, .xs = { s, s }, .ys = number, .x = { x.nchw, t.nchw },
                                  .y = want, .dy = dy, .dx = { want_dx } });
        QUEUE(clzk_cu_chroma(NULL, type, out, difference, x.nhwc, t.nhwc, s.n, area_of(s), (float)CLZI_CHROMA_EPS,
                             block(clzk_cu_sums_size(s.n, area_of(s), 2))));
        check_value(CLZK_F32, *out, again ? 0 : *want, 1, 1e-6, "chroma", 0);           // 4.2e-8
        QUEUE(clzk_cu_chroma_back(NULL, type, dx.nhwc, dy, difference, x.nhwc, s.n, area_of(s), (float)CLZI_CHROMA_EPS));
        check_tensor(&dx, want_dx, 1e-6, "chroma_back");                // 1.3e-7
    }
}

// Rows of 313 logits.
static void colour_classes(void)
{
    static const int rows[] = { 1, 7, 8, 203 };
    const struct clzi_shape number = { 1, 1, 1, 1 };

    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (enum clzk_type type = CLZK_F32; type < CLZK_TYPE_COUNT; free_all(), type++)
            for (int weighted = 0; weighted < 2; weighted++) {
                const struct clzi_shape s = { rows[k], 313, 1, 1 }, two = { rows[k], 2, 1, 1 }, one = { rows[k], 1, 1, 1 };
                struct tensor x = tensor_random(type, s, -9, 9), y = tensor_new(type, two), dy = tensor_random(type, two, -1, 1);
                struct tensor t = tensor_random(type, two, -1.2f, 1.2f), weight = tensor_random(type, one, 0, 2);
                struct tensor dx = tensor_new(type, s);
                float *want = floats(2 * rows[k]), *want_dx = floats(313 * rows[k]);
                float *out = floats(1), *seed = random_floats(1, (float)rows[k], 3.f * rows[k]);
                const float scale = 1 / 0.38f;
                ref_run(&(struct ref_op){ .op = CLZI_OP_ANNEALED_MEAN, .attr.scale = scale, .in_count = 1, .xs = { s }, .ys = two,
                                          .x = { x.nchw }, .y = want, .dy = dy.nchw, .dx = { want_dx } });
                QUEUE(clzk_cu_annealed_mean(NULL, type, y.nhwc, x.nhwc, rows[k], scale));
                check_tensor(&y, want, 4e-6, "annealed_mean");         // of the exponents, which go to 24
                QUEUE(clzk_cu_annealed_mean_back(NULL, type, dx.nhwc, x.nhwc, dy.nhwc, rows[k], scale));
                check_tensor(&dx, want_dx, 6e-6, "annealed_mean_back"); // 2.7e-6
                ref_run(&(struct ref_op){ .op = CLZI_OP_CROSS_ENTROPY, .in_count = 2 + weighted, .xs = { s, two, one },
                                          .ys = number, .x = { x.nchw, t.nchw, weight.nchw }, .y = want, .dy = seed,
                                          .dx = { want_dx } });
                QUEUE(clzk_cu_cross_entropy(NULL, type, out, x.nhwc, t.nhwc, weighted ? weight.nhwc : NULL, rows[k],
                                            block(CLZK_CU_SCALAR_WORK + rows[k] * sizeof(float))));
                check_value(CLZK_F32, *out, again ? 0 : *want, 1, 1e-6, "cross_entropy", 0);
                QUEUE(clzk_cu_cross_entropy_back(NULL, type, dx.nhwc, seed, x.nhwc, t.nhwc, weighted ? weight.nhwc : NULL,
                                                 rows[k]));
                check_tensor(&dx, want_dx, 2e-6, "cross_entropy_back");
            }
}

// Pictures in sRGB.
static void rgb(void)
{
    static const int pixels[] = { 1, 255, 256, 1001 };

    for (size_t k = 0; k < sizeof pixels / sizeof *pixels; k++)
        for (enum clzk_type type = CLZK_F32; type < CLZK_TYPE_COUNT; free_all(), type++) {
            const struct clzi_shape one = { pixels[k], 1, 1, 1 }, two = { pixels[k], 2, 1, 1 }, three = { pixels[k], 3, 1, 1 };
            struct tensor l = tensor_random(type, one, -0.2f, 0.6f), ab = tensor_random(type, two, -0.1f, 0.1f);
            struct tensor dy = tensor_random(type, three, -1, 1), y = tensor_new(type, three);
            struct tensor dl = tensor_new(type, one), dab = tensor_new(type, two);
            float *want = floats(3 * pixels[k]), *want_dl = floats(pixels[k]), *want_dab = floats(2 * pixels[k]);
            ref_run(&(struct ref_op){ .op = CLZI_OP_RGB, .in_count = 2, .xs = { one, two }, .ys = three, .x = { l.nchw, ab.nchw },
                                      .y = want, .dy = dy.nchw, .dx = { want_dl, want_dab } });
            QUEUE(clzk_cu_rgb(NULL, type, y.nhwc, l.nhwc, ab.nhwc, pixels[k]));
            check_tensor(&y, want, 4e-6, "rgb");
            QUEUE(clzk_cu_rgb_back(NULL, type, dl.nhwc, dab.nhwc, l.nhwc, ab.nhwc, dy.nhwc, pixels[k]));
            check_tensor(&dl, want_dl, 1e-5, "rgb_back of l");
            check_tensor(&dab, want_dab, 1e-5, "rgb_back of ab");
            QUEUE(clzk_cu_rgb_back(NULL, type, NULL, dab.nhwc, l.nhwc, ab.nhwc, dy.nhwc, pixels[k]));
            check_tensor(&dab, want_dab, 1e-5, "rgb_back of ab alone");
        }
}

// ---- training ----

// Several steps, as the matrix changes, and the gradient, against ref's (kernels/spectral.c).
static void spectral(void)
{
    static const struct { int rows, columns; } sizes[] = {
        { 1, 1 }, { 3, 4 }, { 64, 27 }, { 257, 33 }, { 5, 1030 }, { 130, 576 }
    };
    const struct clzi_train_ops *t = clzi_backend_ref.train;
    void *work = NULL;

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; free_all(), k++) {
        const int rows = sizes[k].rows, columns = sizes[k].columns;
        const int64_t count = (int64_t)rows * columns;
        float *w = random_floats(count, -1, 1), *u = random_floats(rows, -1, 1), *ru = floats(rows), *v = floats(columns);
        float *to = floats(count), *rto = floats(count), *rv = floats(columns), *sigma = floats(1), *rsigma = floats(1);
        float *dw = random_floats(count, -1, 1), *rdw = floats(count);
        work = block(CLZK_CU_SCALAR_WORK);
        memcpy(ru, u, rows * sizeof *u);
        memcpy(rdw, dw, count * sizeof *dw);
        for (int step = 0; step < 3; step++) {
            QUEUE(clzk_cu_train_spectral(NULL, to, w, u, v, sigma, rows, columns));
            REQUIRE_INT(t->spectral(ref, rto, w, ru, rv, rsigma, rows, columns), 0);
            check_floats(sigma, rsigma, 1, 1e-6, "sigma");              // 5.1e-8
            check_floats(u, ru, rows, 1e-5, "u");                       // 7.7e-7
            check_floats(v, rv, columns, 1e-5, "v");                    // 6.7e-7
            check_floats(to, rto, count, 1e-6, "w / sigma");            // 1.1e-7
            for (int64_t i = 0; i < count; i++) w[i] += uniform(-0.1f, 0.1f);
        }
        QUEUE(clzk_cu_train_spectral_gradient(NULL, dw, to, u, v, sigma, rows, columns, work));
        REQUIRE_INT(t->spectral_gradient(ref, rdw, rto, ru, rv, rsigma, rows, columns), 0);
        check_floats(dw, rdw, count, 1e-5, "dw of spectral norm");      // 3.1e-7
        memset(w, 0, count * sizeof *w);                                // sigma is held above 0
        QUEUE(clzk_cu_train_spectral(NULL, to, w, u, v, sigma, rows, columns));
        for (int64_t i = 0; i < count; i++) REQUIRE(to[i] == 0);
        for (int i = 0; i < rows; i++) REQUIRE(u[i] == 0);
    }
}

static void training(void)
{
    static const int64_t counts[] = { 1, 3, 4, 257, 2051 };
    const struct clzi_train_ops *t = clzi_backend_ref.train;
    const struct clzi_adam adam = { 1e-2f, 0.5f, 0.999f, 1e-8f, 1e-2f, 7 };
    const struct clzk_adam rates = clzk_adam_rates(adam.lr, adam.beta1, adam.beta2, adam.eps, adam.decay, adam.step);

    for (int k = 0; k < 5; k++)
        for (int first = 0; first < 2; free_all(), first++) {           // 1: the vectors are not aligned
            const int64_t count = counts[k];
            float *state = floats(4), *w = random_floats(count + first, -1, 1) + first;
            float *g = random_floats(count + first, -9, 9) + first, *m = random_floats(count + first, -1, 1) + first;
            float *v = random_floats(count + first, 0, 1) + first, *ema = random_floats(count + first, -1, 1) + first;
            float *rw = floats(count), *rm = floats(count), *rv = floats(count), *re = floats(count), *kept = floats(count);
            struct clzk_adam *in_device = block(sizeof *in_device);
            const float start[4] = { 8, 0, 0, 0 };
            memcpy(state, start, sizeof start);
            memcpy(rw, w, count * sizeof *w), memcpy(rm, m, count * sizeof *w);
            memcpy(rv, v, count * sizeof *w), memcpy(re, ema, count * sizeof *w);
            QUEUE(clzk_cu_train_check(NULL, state, g, count));
            REQUIRE(state[2] == 0);
            t->adam(ref, &adam, rw, g, rm, rv, count, (struct clzi_train_state *)state);
            t->ema(ref, re, rw, 0.9f, count, (struct clzi_train_state *)state);
            if (first) QUEUE(clzk_cu_train_adam(NULL, &rates, NULL, w, g, m, v, count, state));
            QUEUE(clzk_cu_store(NULL, in_device, &rates, sizeof rates));
            if (!first) QUEUE(clzk_cu_train_adam(NULL, NULL, in_device, w, g, m, v, count, state));
            QUEUE(clzk_cu_train_ema(NULL, ema, w, 0.9f, count, state));
            check_floats(w, rw, count, 1e-6, "adam w");                 // 3.3e-8
            check_floats(m, rm, count, 1e-6, "adam m");                 // 0
            check_floats(v, rv, count, 1e-6, "adam v");                 // 5.6e-8
            check_floats(ema, re, count, 1e-6, "ema");                  // 5.8e-8

            // After a bad step nothing changes, and restore() puts back.
            static const float bads[] = { INFINITY, -INFINITY, NAN, 0x1p64f, -0x1p64f };
            for (int b = 0; b < 5; b++) {
                const float good = g[count - 1];
                QUEUE(clzk_cu_train_copy(NULL, kept, w, count));
                QUEUE(clzk_cu_train_restore(NULL, rw, g, count, state));
                REQUIRE(!memcmp(rw, kept, count * sizeof *w) || b || rw[0] != g[0]);
                g[count - 1] = bads[b];
                QUEUE(clzk_cu_train_check(NULL, state, g, count));
                REQUIRE(state[2] == 1);
                QUEUE(clzk_cu_train_adam(NULL, &rates, NULL, w, g, m, v, count, state));
                QUEUE(clzk_cu_train_ema(NULL, ema, w, 0.9f, count, state));
                REQUIRE(!memcmp(w, kept, count * sizeof *w));
                QUEUE(clzk_cu_train_restore(NULL, w, ema, count, state));
                REQUIRE(!memcmp(w, ema, count * sizeof *w));
                QUEUE(clzk_cu_train_advance(NULL, state, true));
                REQUIRE(state[0] == (8 >> b > 0 ? (float)8 / (1 << (b + 1)) : 1) || b > 2);
                REQUIRE(state[2] == 0 && state[1] == 0 && state[0] >= 1);
                g[count - 1] = good;
            }
            QUEUE(clzk_cu_train_zero(NULL, w, count));
            for (int64_t i = 0; i < count; i++) REQUIRE(w[i] == 0);
            state[0] = 4;
            QUEUE(clzk_cu_train_seed(NULL, w, 0.25f, state));
            REQUIRE(w[0] == 1);
            state[1] = 1999;
            QUEUE(clzk_cu_train_advance(NULL, state, true));
            REQUIRE(state[0] == 8 && state[1] == 0);
        }
}

int main(int argc, char **argv)
{
    if (ref_open(argc, argv)) return 1;
    run_case("cuda_ops/layout", layout);
    run_case("cuda_ops/concat", concat);
    run_case("cuda_ops/shuffle", shuffle);
    run_case("cuda_ops/store", store_host);
    run_case("cuda_ops/act", act);
    run_case("cuda_ops/add", add);
    run_case("cuda_ops/channels", channels);
    run_case("cuda_ops/affine", affine);
    run_case("cuda_ops/gain", gain);
    run_case("cuda_ops/clamp", clamp);
    run_case("cuda_ops/dropout", dropout);
    run_case("cuda_ops/depthwise", depthwise);
    run_case("cuda_ops/norm", norm);
    run_case("cuda_ops/large", large);
    run_case("cuda_ops/pools", pools);
    run_case("cuda_ops/globalpool", globalpool);
    run_case("cuda_ops/resize", resize);
    run_case("cuda_ops/softmax", softmax);
    run_case("cuda_ops/losses", losses);
    run_case("cuda_ops/chroma", chroma);
    run_case("cuda_ops/colour_classes", colour_classes);
    run_case("cuda_ops/rgb", rgb);
    run_case("cuda_ops/training", training);
    run_case("cuda_ops/spectral_norm", spectral);
    clzi_device_close(&ref);
    return check_end();
}
