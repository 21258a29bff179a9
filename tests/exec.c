// exec.c - graph, fusion and executor on the ref device: fused and unfused nets agree, gradients of a whole net agree with
// central differences, unread nodes change no gradient.
#include <errno.h>

#include "check.h"
#include "engine/exec.h"
#include "trainer/nets.h"

static struct clzi_device *dev;

static float noise(uint32_t *state)         // -1..1
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.f - 1;
}

static float **values_new(const struct clzi_graph *g, uint32_t seed)
{
    float **values = calloc(g->param_count + 1, sizeof *values);

    for (int i = 0; i < g->param_count; i++) {
        const struct clzi_param *p = &g->params[i];
        const int64_t count = clzi_param_count(p);
        const float fan = p->rank >= 2 ? (float)count / p->dims[0] : 1;
        const float wide = strstr(p->name, "query") || strstr(p->name, "key") ? 8 : 1;  // scores far from equal
        const int variance = strstr(p->name, "running_var") != NULL;
        const int scale = p->rank == 1 && (strstr(p->name, ".weight") || strstr(p->name, ".gamma"));
        values[i] = malloc(count * sizeof(float));
        for (int64_t k = 0; k < count; k++)
            values[i][k] = variance ? 1.2f + 0.5f * noise(&seed) : scale ? 1 + 0.3f * noise(&seed) :
                           p->rank >= 2 ? wide * noise(&seed) * sqrtf(3 / fan) : 0.2f * noise(&seed);
    }
    return values;
}

static void values_free(const struct clzi_graph *g, float **values)
{
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
}

// One forward pass; returns the output, to be freed.
static float *answer(const struct clzi_graph *g, float *const *values, struct clzi_shape in, const float *x, size_t *memory)
{
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    float *y = NULL;

    REQUIRE_INT(clzi_params_create(&weights, dev, g, values, NULL), 0);
    REQUIRE_INT(clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){ .n = in.n, .h = in.h, .w = in.w }), 0);
    if (exec) {
        y = malloc(clzi_shape_count(clzi_exec_output_shape(exec, 0)) * sizeof *y);
        REQUIRE_INT(clzi_exec_upload(exec, 0, x), 0);
        REQUIRE_INT(clzi_exec_forward(exec, 0), 0);
        REQUIRE_INT(clzi_exec_download(exec, 0, y), 0);
        if (memory) *memory = clzi_exec_memory(exec);
    }
    clzi_exec_destroy(&exec);
    clzi_params_destroy(&weights);
    return y;
}

static void fusion(const struct clzt_net *net)
{
    const struct clzi_shape in = { 1, 1, net == &clzt_net_unet ? 256 : 64, net == &clzt_net_unet ? 256 : 32 };
    struct clzi_graph *g = NULL, *fused = NULL;
    float **values, **fused_values = NULL, *x = malloc(clzi_shape_count(in) * sizeof *x), *a, *b;
    int norms = 0, drops = 0;
    double worst = 0, largest = 0;
    uint32_t seed = 3;
    char name[64];

    snprintf(name, sizeof name, "fuse/%s_answers_the_same", net->name);
    CASE(name);
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(net->build(g, NULL), 0);
    values = values_new(g, 7);
    for (int64_t i = 0; i < clzi_shape_count(in); i++) x[i] = noise(&seed);
    REQUIRE_INT(clzi_graph_fuse(g, values, &fused, &fused_values), 0);
    REQUIRE(fused->node_count < g->node_count);
    for (int i = 0; i < fused->node_count; i++) {
        norms += fused->nodes[i].op == CLZI_OP_BATCHNORM;
        drops += fused->nodes[i].op == CLZI_OP_DROPOUT;
    }
    REQUIRE_INT(drops, 0);
    REQUIRE_INT(norms, net == &clzt_net_resnet18_unet ? 5 : 0);        // those of the skip connections stay
    a = answer(g, values, in, x, NULL);
    b = answer(fused, fused_values, in, x, NULL);
    for (int64_t i = 0; a && b && i < 2 * in.h * in.w; i++) {
        worst = fmax(worst, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    printf("     %d -> %d nodes, difference %.1e of %.2g\n", g->node_count, fused->node_count, worst, largest);
    REQUIRE(largest > 1e-3);
    REQUIRE(worst <= 2e-5 * fmax(largest, 1));                          // measured: 2e-6
    free(x), free(a), free(b);
    values_free(g, values);
    values_free(fused, fused_values);
    clzi_graph_destroy(&g);
    clzi_graph_destroy(&fused);
}

// A net with every kind of branch: a node that is read three times, a concatenation with itself, a long skip connection.
static int branching_net(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "x", .channels = 1), a, b, c;
    a = clzi_graph_conv(g, "a", x, .channels = 4, .k = 3, .pad = 1, .bias = 1);
    b = clzi_graph_act(g, "b", a, .act = CLZI_ACT_TANH);
    c = clzi_graph_conv(g, "c", b, .channels = 4, .k = 3, .stride = 2, .pad = 1, .bias = 1);
    c = clzi_graph_act(g, "c2", c, .act = CLZI_ACT_SIGMOID);
    c = clzi_graph_resize(g, "c3", c, .factor = 2);
    c = clzi_graph_add(g, "d", c, b);
    c = clzi_graph_concat(g, "e", c, b);
    c = clzi_graph_batchnorm(g, "f", c);
    c = clzi_graph_concat(g, "f2", c, c);
    c = clzi_graph_conv(g, "g", c, .channels = 8, .k = 1, .bias = 1);
    c = clzi_graph_shuffle(g, "h", c, .factor = 2);
    c = clzi_graph_conv(g, "i", c, .channels = 2, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    return clzi_graph_act(g, "j", c, .act = CLZI_ACT_TANH);
}

// A net with a vector as its second input that modulates features (FiLM), self-attention whose keys are on a coarser grid, and
// channels weighted by what the whole picture holds.
static int conditioned_net(struct clzi_graph *g)
{
    const int l = clzi_graph_input(g, "L", .channels = 1), class = clzi_graph_input(g, "class", .channels = 3, .vector = 1);
    int x = clzi_graph_conv(g, "a", l, .channels = 8, .k = 3, .pad = 1, .bias = 1), scale, shift, y, q, k;

    scale = clzi_graph_linear(g, "film.scale", class, .channels = 8, .bias = 1);
    shift = clzi_graph_linear(g, "film.shift", class, .channels = 8, .bias = 1);
    x = clzi_graph_act(g, "b", clzi_graph_affine(g, "film", x, scale, shift), .act = CLZI_ACT_TANH);
    y = clzi_graph_avgpool(g, "coarse", x, .k = 2, .stride = 2);
    q = clzi_graph_conv(g, "query", x, .channels = 2, .k = 1);
    k = clzi_graph_conv(g, "key", y, .channels = 2, .k = 1);
    y = clzi_graph_attention(g, "attend", q, k, clzi_graph_conv(g, "value", y, .channels = 8, .k = 1));
    x = clzi_graph_add(g, "attended", x, clzi_graph_gain(g, "gain", y));
    y = clzi_graph_linear(g, "weigh", clzi_graph_globalpool(g, "mean", x), .channels = 8, .bias = 1, .act = CLZI_ACT_SIGMOID);
    x = clzi_graph_affine(g, "weighed", x, y, shift);
    return clzi_graph_conv(g, "ab", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
}

struct gradient_net { const char *name; int (*build)(struct clzi_graph *g); double most; };

static double loss(struct clzi_exec *exec, float *const *x, const float *r, float *y)
{
    const int64_t count = clzi_shape_count(clzi_exec_output_shape(exec, 0));
    double sum = 0;

    for (int port = 0; x[port]; port++) clzi_exec_upload(exec, port, x[port]);
    clzi_exec_forward(exec, 0);
    clzi_exec_download(exec, 0, y);
    for (int64_t k = 0; k < count; k++) sum += (double)r[k] * y[k];
    return sum;
}

// Compares the gradients of L = sum r y, r fixed, by backward() with central differences.
static void gradients(const struct gradient_net *net)
{
    struct clzi_graph *g = NULL;
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    float **values, *x[CLZI_MAX_PORTS + 1] = { NULL }, *r, *y;
    double worst = 0;
    uint32_t seed = 11;
    int64_t count;

    CASE(net->name);
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE(net->build(g) > 0);
    values = values_new(g, 5);
    REQUIRE_INT(clzi_params_create(&weights, dev, g, values, &(struct clzi_params_wanted){ .train = true }), 0);
    REQUIRE_INT(clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){
        .n = 2, .h = 8, .w = 6, .training = true, .backward = true, .input_gradient = { true, true } }), 0);
    for (int port = 0; port < g->in_count; port++) {
        count = clzi_shape_count(clzi_exec_input_shape(exec, port));
        x[port] = malloc(count * sizeof(float));
        for (int64_t i = 0; i < count; i++) x[port][i] = noise(&seed);
    }
    count = clzi_shape_count(clzi_exec_output_shape(exec, 0));
    r = malloc(count * sizeof *r);
    y = malloc(count * sizeof *y);
    for (int64_t i = 0; i < count; i++) r[i] = noise(&seed);
    for (int round = 0; round < 2; round++) {                           // a second pass must not see the first
        loss(exec, x, r, y);
        REQUIRE_INT(be->upload(dev, clzi_exec_output_gradient(exec, 0), clzi_exec_output_shape(exec, 0), r), 0);
        for (int p = 0; p < g->param_count; p++)
            if (clzi_params_at(weights, CLZI_DW, p))
                be->train->zero(dev, clzi_params_at(weights, CLZI_DW, p), clzi_param_count(&g->params[p]));
        REQUIRE_INT(clzi_exec_backward(exec), 0);
    }
    for (int p = -g->in_count; p < g->param_count; p++) {               // below 0: input ports
        const int port = p < 0 ? p + g->in_count : 0;
        float *dw, *of = p < 0 ? x[port] : values[p];
        double norm = 0;
        if (p >= 0 && !clzi_params_at(weights, CLZI_DW, p)) continue;
        count = p < 0 ? clzi_shape_count(clzi_exec_input_shape(exec, port)) : clzi_param_count(&g->params[p]);
        dw = malloc(count * sizeof *dw);
        if (p < 0)
            REQUIRE_INT(be->download(dev, clzi_exec_input_gradient(exec, port), clzi_exec_input_shape(exec, port), dw), 0);
        else
            REQUIRE_INT(be->read(dev, dw, clzi_params_at(weights, CLZI_DW, p), count), 0);
        for (int64_t i = 0; i < count; i++) norm = fmax(norm, fabs(dw[i]));
        REQUIRE(norm > 0.01 || p < 0 || strstr(g->params[p].name, ".bias"));    // all take part
        for (int64_t i = 0; i < count; i += 1 + count / 8) {
            const float h = 1e-2f, w0 = of[i];
            double sum[2];
            for (int side = 0; side < 2; side++) {
                of[i] = side ? w0 + h : w0 - h;
                if (p >= 0) be->write(dev, clzi_params_at(weights, CLZI_W, p) + i, &of[i], 1);
                weights->version++;
                sum[side] = loss(exec, x, r, y);
            }
            of[i] = w0;
            if (p >= 0) be->write(dev, clzi_params_at(weights, CLZI_W, p) + i, &w0, 1);
            worst = fmax(worst, fabs((sum[1] - sum[0]) / (2 * h) - dw[i]) / fmax(norm, 1e-3));
        }
        free(dw);
    }
    printf("     worst error %.1e of the largest gradient\n", worst);
    REQUIRE(worst < net->most);
    clzi_exec_destroy(&exec);
    clzi_params_destroy(&weights);
    for (int port = 0; port < g->in_count; port++) free(x[port]);
    free(r), free(y);
    values_free(g, values);
    clzi_graph_destroy(&g);
}

static const struct gradient_net gradient_nets[] = {                    // a 1 % fault must fail
    { "exec/gradients_of_a_net_with_branches", branching_net, 4e-3 },   // measured: 1.9e-3
    { "exec/gradients_of_a_net_with_film_and_attention", conditioned_net, 4e-3 },    // 2.1e-3
};

// Fills the executor's memory with NaN, so that reading a buffer before it is written changes the result.
static void *alloc_nan(struct clzi_device *device, size_t size)
{
    void *p = clzi_backend_ref.alloc(device, size);
    if (p) memset(p, 0xff, size);
    return p;
}

// Nodes that the output does not depend on run forward but not backward: the gradients of all the others are bit for bit those
// of the graph without these nodes, and the gradients of their own parameters are 0.
static void unread_branches(void)
{
    const struct clzi_shape in = { 1, 1, 6, 6 };
    float x[36], r[72], dx[2][36], dw[2][4][80];
    int params = 0;
    uint32_t seed = 21;
    struct clzi_backend poisoned = clzi_backend_ref;
    const struct clzi_backend *be = &poisoned;

    poisoned.alloc = alloc_nan;
    clzi_device_base(dev)->backend = &poisoned;
    CASE("exec/an_unread_branch_changes_no_gradient");
    for (int i = 0; i < 36; i++) x[i] = noise(&seed);
    for (int i = 0; i < 72; i++) r[i] = noise(&seed);
    for (int unread = 0; unread < 2; unread++) {
        struct clzi_graph *g = NULL;
        struct clzi_params *weights = NULL;
        struct clzi_exec *exec = NULL;
        float **values;
        int a, b, out;

        REQUIRE_INT(clzi_graph_create(&g), 0);
        a = clzi_graph_conv(g, "a", clzi_graph_input(g, "x", .channels = 1), .channels = 4, .k = 3, .pad = 1, .bias = 1);
        out = clzi_graph_conv(g, "out", a, .channels = 2, .k = 3, .pad = 1, .bias = 1);
        if (!unread) params = g->param_count;
        if (unread) {                                                   // one branch with parameters and a reader, one without
            b = clzi_graph_conv(g, "b", a, .channels = 4, .k = 3, .pad = 1, .bias = 1);
            clzi_graph_add(g, "c", b, a);
            clzi_graph_act(g, "d", a, .act = CLZI_ACT_TANH);
        }
        REQUIRE(clzi_graph_output(g, "y", out) == out);
        values = values_new(g, 5);
        REQUIRE_INT(clzi_params_create(&weights, dev, g, values, &(struct clzi_params_wanted){ .train = true }), 0);
        REQUIRE_INT(clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){
            .n = in.n, .h = in.h, .w = in.w, .training = true, .backward = true, .input_gradient = { true } }), 0);
        for (int round = 0; exec && round < 2; round++) {
            REQUIRE_INT(clzi_exec_upload(exec, 0, x), 0);
            REQUIRE_INT(clzi_exec_forward(exec, 0), 0);
            REQUIRE_INT(be->upload(dev, clzi_exec_output_gradient(exec, 0), clzi_exec_output_shape(exec, 0), r), 0);
            be->train->zero(dev, weights->slab[CLZI_DW], weights->trained);
            REQUIRE_INT(clzi_exec_backward(exec), 0);
        }
        REQUIRE_INT(be->download(dev, clzi_exec_input_gradient(exec, 0), in, dx[unread]), 0);
        for (int p = 0; p < g->param_count; p++) {
            const int64_t count = clzi_param_count(&g->params[p]);
            float other[144];
            REQUIRE_INT(be->read(dev, p < params ? dw[unread][p] : other, clzi_params_at(weights, CLZI_DW, p), count), 0);
            for (int64_t i = 0; p >= params && i < count; i++) REQUIRE_NEAR(other[i], 0, 0);
            if (unread && p < params) REQUIRE(!memcmp(dw[0][p], dw[1][p], count * sizeof(float)));
        }
        clzi_exec_destroy(&exec);
        clzi_params_destroy(&weights);
        values_free(g, values);
        clzi_graph_destroy(&g);
    }
    REQUIRE_INT(params, 4);
    REQUIRE(!memcmp(dx[0], dx[1], sizeof dx[0]));
    for (int i = 0; i < 36; i++) REQUIRE(isfinite(dx[1][i]));
    clzi_device_base(dev)->backend = &clzi_backend_ref;
}

static void refusals(void)
{
    struct clzi_graph *g = NULL;
    struct clzi_shape shapes[8];
    int x;

    CASE("graph/refuses_nodes_that_do_not_fit");
    REQUIRE_INT(clzi_graph_create(&g), 0);
    x = clzi_graph_input(g, "x", .channels = 3);
    REQUIRE_INT(clzi_graph_conv(g, "x", x, .channels = 4, .k = 3, .pad = 1, .bias = 1), -EINVAL); // name taken
    REQUIRE_INT(clzi_graph_conv(g, "c", x, .channels = 4, .k = 3, .pad = 3, .bias = 1), -EINVAL); // pad not below k
    REQUIRE_INT(clzi_graph_conv(g, "c", x, .channels = 0, .k = 3, .pad = 1, .bias = 1), -EINVAL); // no channels
    REQUIRE_INT(clzi_graph_shuffle(g, "s", x, .factor = 2), -EINVAL);             // 3 channels are not a multiple of 4
    // an earlier error is passed on
    REQUIRE_INT(clzi_graph_conv(g, "c", -ENOMEM, .channels = 4, .k = 3, .pad = 1, .bias = 1), -ENOMEM);
    REQUIRE_INT(clzi_graph_conv(g, "c", x, .channels = 4, .k = 7, .bias = 1), 1);
    REQUIRE_INT(clzi_graph_shapes(g, 1, 6, 9, shapes, NULL), -EINVAL);    // window 7 on 6
    REQUIRE_INT(clzi_graph_shapes(g, 1, 7, 9, shapes, NULL), 0);
    REQUIRE(shapes[1].h == 1 && shapes[1].w == 3);
    REQUIRE_INT(clzi_graph_affine(g, "a", x, x, 1), -EINVAL);             // a shift of 4 channels for 3
    REQUIRE_INT(clzi_graph_attention(g, "t", x, 1, x), -EINVAL);          // q has 3 channels, k 4
    REQUIRE_INT(clzi_graph_linear(g, "l", 1, .channels = 2), 2);
    REQUIRE_INT(clzi_graph_shapes(g, 1, 7, 7, shapes, NULL), 0);          // 1x1 behind the window of 7
    REQUIRE_INT(clzi_graph_shapes(g, 1, 7, 9, shapes, NULL), -EINVAL);    // a row of 3 is no vector
    clzi_graph_destroy(&g);
}

// A small generator and discriminator, apart or in one graph.
static int generator(struct clzi_graph *g, int l)
{
    int x = clzi_graph_conv(g, "g1", l, .channels = 6, .k = 3, .pad = 1, .bias = 1);

    x = clzi_graph_act(g, "g2", x, .act = CLZI_ACT_TANH);
    return clzi_graph_conv(g, "g3", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
}

static int discriminator(struct clzi_graph *g, int l, int ab)
{
    int x = clzi_graph_concat(g, "d0", l, ab);

    x = clzi_graph_conv(g, "d1", x, .channels = 5, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_act(g, "d2", x, .act = CLZI_ACT_SIGMOID);
    return clzi_graph_conv(g, "d3", x, .channels = 1, .k = 3, .pad = 1, .bias = 1);
}

struct net { struct clzi_graph *g; float **values; struct clzi_params *weights; struct clzi_exec *exec; };

static void net_open(struct net *n, const struct clzi_exec_params *params)
{
    n->values = values_new(n->g, 11);
    REQUIRE_INT(clzi_params_create(&n->weights, dev, n->g, n->values, &(struct clzi_params_wanted){ .train = true }), 0);
    REQUIRE_INT(clzi_exec_create(&n->exec, n->g, n->weights, params), 0);
}

static void net_close(struct net *n)
{
    clzi_exec_destroy(&n->exec);
    clzi_params_destroy(&n->weights);
    values_free(n->g, n->values);
    clzi_graph_destroy(&n->g);
}

// The gradients of a generator behind a discriminator, once as one graph with two outputs, once as two graphs where the
// discriminator's input is bound to the generator's output.
static void two_networks(void)
{
    enum { N = 2, H = 8, W = 6 };
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    struct clzi_exec_params params = { .n = N, .h = H, .w = W, .training = true, .backward = true };
    static float l[N * H * W], dab[2 * N * H * W], dlogits[N * H * W / 4], one[1000], two[1000];
    struct net both = { 0 }, g = { 0 }, d = { 0 };
    uint32_t seed = 5;
    int x, ab, ab_port;

    CASE("exec/a_port_bound_to_another_network");
    for (size_t i = 0; i < sizeof l / sizeof *l; i++) l[i] = noise(&seed);
    for (size_t i = 0; i < sizeof dab / sizeof *dab; i++) dab[i] = noise(&seed);
    for (size_t i = 0; i < sizeof dlogits / sizeof *dlogits; i++) dlogits[i] = noise(&seed);
    REQUIRE_INT(clzi_graph_create(&both.g), 0);
    x = clzi_graph_input(both.g, "L", .channels = 1);
    ab = generator(both.g, x);
    x = discriminator(both.g, x, ab);
    REQUIRE(clzi_graph_output(both.g, "logits", x) == x && clzi_graph_output(both.g, "ab", ab) == ab);
    REQUIRE_INT(clzi_graph_output(both.g, "ab", x), -EINVAL);
    REQUIRE_INT(clzi_port_find(both.g->out, both.g->out_count, "ab"), 1);
    net_open(&both, &params);
    REQUIRE_INT(clzi_exec_upload(both.exec, 0, l), 0);
    REQUIRE_INT(clzi_exec_forward(both.exec, 0), 0);
    REQUIRE_INT(be->upload(dev, clzi_exec_output_gradient(both.exec, 0), clzi_exec_output_shape(both.exec, 0), dlogits), 0);
    REQUIRE_INT(be->upload(dev, clzi_exec_output_gradient(both.exec, 1), clzi_exec_output_shape(both.exec, 1), dab), 0);
    REQUIRE_INT(clzi_exec_backward(both.exec), 0);

    REQUIRE_INT(clzi_graph_create(&g.g), 0);
    generator(g.g, clzi_graph_input(g.g, "L", .channels = 1));
    REQUIRE_INT(clzi_graph_create(&d.g), 0);
    x = clzi_graph_input(d.g, "L", .channels = 1);
    discriminator(d.g, x, clzi_graph_input(d.g, "ab", .channels = 2));
    ab_port = clzi_port_find(d.g->in, d.g->in_count, "ab");
    REQUIRE_INT(ab_port, 1);
    REQUIRE_INT(clzi_port_find(d.g->in, d.g->in_count, "a"), -ENOENT);
    net_open(&g, &params);
    params.bind[0].x = clzi_exec_input(g.exec, 0);
    params.bind[ab_port] = (struct clzi_binding){ clzi_exec_output(g.exec, 0), clzi_exec_output_gradient(g.exec, 0) };
    params.fixed_weights = true;
    net_open(&d, &params);
    for (int i = 0; i < d.g->param_count; i++)                          // the same weights as in `both`
        for (int k = 0; k < both.g->param_count; k++)
            if (!strcmp(d.g->params[i].name, both.g->params[k].name))
                REQUIRE_INT(clzi_params_write(d.weights, CLZI_W, i, both.values[k]), 0);
    REQUIRE_INT(clzi_exec_upload(g.exec, 0, l), 0);
    REQUIRE_INT(clzi_exec_forward(g.exec, 0), 0);
    REQUIRE_INT(clzi_exec_forward(d.exec, 0), 0);
    REQUIRE_INT(clzi_exec_download(both.exec, 0, one), 0);
    REQUIRE_INT(clzi_exec_download(d.exec, 0, two), 0);
    REQUIRE(!memcmp(one, two, sizeof dlogits));
    REQUIRE_INT(be->upload(dev, clzi_exec_output_gradient(g.exec, 0), clzi_exec_output_shape(g.exec, 0), dab), 0);
    REQUIRE_INT(be->upload(dev, clzi_exec_output_gradient(d.exec, 0), clzi_exec_output_shape(d.exec, 0), dlogits), 0);
    REQUIRE_INT(clzi_exec_backward(d.exec), 0);
    REQUIRE_INT(clzi_exec_backward(g.exec), 0);
    for (int i = 0; i < g.g->param_count; i++) {
        const int64_t count = clzi_param_count(&g.g->params[i]);
        REQUIRE_INT(be->read(dev, one, clzi_params_at(both.weights, CLZI_DW, i), count), 0);
        REQUIRE_INT(be->read(dev, two, clzi_params_at(g.weights, CLZI_DW, i), count), 0);
        REQUIRE(!strcmp(both.g->params[i].name, g.g->params[i].name));
        REQUIRE(!memcmp(one, two, count * sizeof *one));
    }
    for (int i = 0; i < d.g->param_count; i++) {
        REQUIRE_INT(be->read(dev, one, clzi_params_at(d.weights, CLZI_DW, i), clzi_param_count(&d.g->params[i])), 0);
        for (int64_t k = 0; k < clzi_param_count(&d.g->params[i]); k++) REQUIRE(one[k] == 0);
    }
    net_close(&d);
    net_close(&g);
    net_close(&both);
}

int main(void)
{
    refusals();
    if (clzi_device_open(&dev, "ref", &(struct clzi_device_params){ .threads = 1 }) < 0) return 1;
    for (size_t i = 0; i < sizeof gradient_nets / sizeof *gradient_nets; i++) gradients(&gradient_nets[i]);
    unread_branches();
    fusion(&clzt_net_light);
    two_networks();
    fusion(&clzt_net_lite0);
    fusion(&clzt_net_resnet18_lite);
    fusion(&clzt_net_resnet18_light);
    fusion(&clzt_net_resnet18_unet);
    clzi_device_close(&dev);
    return check_end();
}
