// convert.c - makes a model file of the weights of another program.
//
// Tensor names differ between programs in their prefixes. A family describes one naming: the tensor that identifies it, the
// parameter that this tensor fills, and rules that replace prefixes. The prefixes in front of these two names ("module." of
// DataParallel, "net_G.", "encoder." in our nets) are taken from the file and from the net, so no list of them is needed.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "base/log.h"
#include "engine/model.h"
#include "engine/model_json.h"
#include "base/sha256.h"
#include "nets.h"
#include "tensors.h"

enum { LINE = 900, CHUNK = 64 << 10 };

// ---- the families ----

struct rule {
    const char *from, *to;                  // prefix in the file, prefix in the net; to NULL: the tensor is not needed
    const char *reason;                     // why it is not needed
};

struct family {
    const char *name;
    const char *signature, *target;         // a tensor of the file, the parameter that it fills; NULL: the net's first one
    bool encoder;                           // fills only an encoder; the rest of the net keeps its initial values
    const struct rule *rules;               // the first match counts; ends with from NULL
};

static const struct rule lite_rules[] = {
    { "_conv_head.", NULL, "the classifier's head" }, { "_bn1.", NULL, "the classifier's head" },
    { "_fc.", NULL, "the classifier" }, { "", "", NULL }, { NULL, NULL, NULL }
};
static const struct rule lite_head_rules[] = { { "_fc.", NULL, "the classifier" }, { "", "", NULL }, { NULL, NULL, NULL } };
static const struct rule resnet_rules[] = {
    { "conv1.", "0.", NULL }, { "bn1.", "1.", NULL }, { "layer1.", "4.", NULL }, { "layer2.", "5.", NULL },
    { "layer3.", "6.", NULL }, { "layer4.", "7.", NULL }, { "fc.", NULL, "the classifier" }, { NULL, NULL, NULL }
};
static const struct rule body_rules[] = {
    { "0.", "0.", NULL }, { "1.", "1.", NULL }, { "4.", "4.", NULL }, { "5.", "5.", NULL }, { "6.", "6.", NULL },
    { "7.", "7.", NULL }, { NULL, NULL, NULL }
};
static const struct rule pix2pix_d_rules[] = {                  // nn.Sequential, where the tutorial has one for each layer
    { "model.0.", "model.0.0.", NULL }, { "model.2.", "model.1.0.", NULL }, { "model.3.", "model.1.1.", NULL },
    { "model.5.", "model.2.0.", NULL }, { "model.6.", "model.2.1.", NULL }, { "model.8.", "model.3.0.", NULL },
    { "model.9.", "model.3.1.", NULL }, { "model.11.", "model.4.0.", NULL }, { NULL, NULL, NULL }
};
static const struct rule same_rules[] = { { "", "", NULL }, { NULL, NULL, NULL } };

static const struct family families[] = {
    { "a whole network", NULL, NULL, false, same_rules },           // the tutorial's U-Net, DynamicUnet, PatchGAN, our exports
    { "EfficientNet-Lite", "_blocks.0._depthwise_conv.weight", "_blocks.0._depthwise_conv.weight", true, lite_rules },
    { "EfficientNet-Lite with its head", "_blocks.0._depthwise_conv.weight", "_blocks.0._depthwise_conv.weight", true,
      lite_head_rules },
    { "torchvision's ResNet", "layer1.0.conv1.weight", "4.0.conv1.weight", true, resnet_rules },
    { "pix2pix's discriminator", "model.11.weight", "model.4.0.weight", false, pix2pix_d_rules },
    { "torchvision's ResNet as nn.Sequential", "4.0.conv1.weight", "4.0.conv1.weight", true, body_rules },
};
enum { FAMILIES = sizeof families / sizeof *families };

// ---- assignment of tensors to parameters ----

struct plan {
    const struct family *family;
    const struct clzt_net *net;
    struct clzi_graph *graph;
    int *from;                              // [graph->param_count]: index of the tensor that fills it; -1: none
    int *to;                                // [tensors->count]: index of the parameter that it fills, or one of the following
    const char **reason;                    // [tensors->count]: the rule's, for DROPPED
    char before[CLZT_TENSOR_NAME], into[CLZI_NAME_SIZE];    // prefix of the family's names in the file, in the net
    int filled, missing, misshapen, unused;
};
enum {
    UNUSED  = -1,                           // the net has no parameter for it
    DROPPED = -2,                           // a rule says that it is not needed
    COUNTER = -3,                           // num_batches_tracked
    OUTSIDE = -4,                           // does not begin with plan.before
};

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);
    return n >= k && !strcmp(s + n - k, suffix) && (n == k || s[n - k - 1] == '.');
}

static bool begins_with(const char *s, const char *prefix) { return !strncmp(s, prefix, strlen(prefix)); }

static void cut_suffix(char *to, size_t size, const char *name, const char *suffix)
{
    snprintf(to, size, "%.*s", (int)(strlen(name) - strlen(suffix)), name);
}

// Finds the prefixes of the family's names in file and net. If several tensors match, the one with the shortest name counts.
static bool find_prefixes(struct plan *p, const struct clzt_tensors *t)
{
    const char *signature = p->family->signature ? p->family->signature : p->graph->params[0].name;
    const char *target = p->family->target ? p->family->target : signature, *name = NULL;
    int i = 0;

    for (int k = 0; k < t->count; k++) {
        const char *candidate = t->tensors[k].name;
        if (ends_with(candidate, signature) && (!name || strlen(candidate) < strlen(name))) name = candidate;
    }
    while (i < p->graph->param_count && !ends_with(p->graph->params[i].name, target)) i++;
    if (!name || i == p->graph->param_count) return false;
    cut_suffix(p->before, sizeof p->before, name, signature);
    cut_suffix(p->into, sizeof p->into, p->graph->params[i].name, target);
    return true;
}

static int find_param(const struct clzi_graph *g, const char *name)
{
    for (int i = 0; i < g->param_count; i++)
        if (!strcmp(g->params[i].name, name)) return i;
    return -1;
}

static int place_of(const struct plan *p, const char *name, const char **reason)
{
    char ours[CLZT_TENSOR_NAME + CLZI_NAME_SIZE];

    if (!begins_with(name, p->before)) return OUTSIDE;
    if (ends_with(name, "num_batches_tracked")) return COUNTER;
    name += strlen(p->before);
    for (const struct rule *r = p->family->rules; r->from; r++) {
        int param;
        if (!begins_with(name, r->from)) continue;
        *reason = r->reason;
        if (!r->to) return DROPPED;
        snprintf(ours, sizeof ours, "%s%s%s", p->into, r->to, name + strlen(r->from));
        param = find_param(p->graph, ours);
        return param < 0 ? UNUSED : param;
    }
    return UNUSED;
}

// The first convolution of a net has one input channel: weights for three channels are summed over them, as fastai does.
static bool summed(const struct clzi_graph *g, int param, const struct clzt_tensor *x)
{
    const struct clzi_param *p = &g->params[param];

    if (p->rank != 4 || x->rank != 4 || p->dims[1] != 1 || x->dims[1] != 3) return false;
    for (int n = 0; n < g->node_count; n++)
        if (g->nodes[n].op == CLZI_OP_CONV && g->nodes[n].w[0] == param && g->nodes[n].in[0] == g->in[0].node)
            return x->dims[0] == p->dims[0] && x->dims[2] == p->dims[2] && x->dims[3] == p->dims[3];
    return false;
}

static bool fits(const struct clzi_graph *g, int param, const struct clzt_tensor *x)
{
    const struct clzi_param *p = &g->params[param];
    bool same = p->rank == x->rank;

    for (int i = 0; same && i < p->rank; i++) same = p->dims[i] == x->dims[i];
    return same || summed(g, param, x);
}

// Weights of an encoder need not fill the decoder.
static bool is_missing(const struct plan *p, int param)
{
    return p->from[param] < 0 && begins_with(p->graph->params[param].name, p->family->encoder ? p->into : "");
}

static void plan_free(struct plan *p)
{
    clzi_graph_destroy(&p->graph);
    free(p->from);
    free(p->to);
    free(p->reason);
    *p = (struct plan){ 0 };
}

// Assigns the tensors to the net's parameters, whether they fit or not. 1: done; 0: the file is not of this family, or the net
// has no parameters of it.
static int plan_make(struct plan *p, const struct family *family, const struct clzt_net *net, const struct clzt_tensors *t)
{
    int ret;

    *p = (struct plan){ .family = family, .net = net };
    if ((ret = clzi_graph_create(&p->graph)) < 0 || (ret = net->build(p->graph, NULL)) < 0) goto fail;
    ret = 0;
    if (!find_prefixes(p, t)) goto fail;
    ret = -ENOMEM;
    p->from = malloc((size_t)p->graph->param_count * sizeof *p->from);
    p->to = malloc(((size_t)t->count + 1) * sizeof *p->to);
    p->reason = calloc((size_t)t->count + 1, sizeof *p->reason);
    if (!p->from || !p->to || !p->reason) goto fail;
    for (int i = 0; i < p->graph->param_count; i++) p->from[i] = -1;
    for (int k = 0; k < t->count; k++) {
        const int param = p->to[k] = place_of(p, t->tensors[k].name, &p->reason[k]);
        p->unused += param == UNUSED;
        if (param < 0) continue;
        p->misshapen += !fits(p->graph, param, &t->tensors[k]);
        p->from[param] = k;
        p->filled++;
    }
    for (int i = 0; i < p->graph->param_count; i++) p->missing += is_missing(p, i);
    return 1;
fail:
    plan_free(p);
    return ret;
}

static int faults(const struct plan *p) { return p->missing + p->misshapen + p->unused; }

// Weights of a whole generator contain those of its encoder, which fit other nets too: the whole one is meant.
static bool is_whole(const struct plan *p) { return !p->family->encoder && 2 * p->filled > p->graph->param_count; }

// Below 0: a fits better than b.
static int compare_plans(const struct plan *a, const struct plan *b)
{
    return is_whole(a) != is_whole(b) ? is_whole(b) - is_whole(a) : faults(a) - faults(b);
}

// ---- choice of a plan ----

static bool is_discriminator(const struct clzt_net *net)
{
    for (const struct clzt_net *const *d = clzt_discriminators; *d; d++)
        if (*d == net) return true;
    return false;
}

static const struct clzt_net *find_net(const char *name)
{
    if (clzt_discriminator_find(name)) return clzt_discriminator_find(name);
    for (const struct clzt_net *const *f = clzt_feature_nets; *f; f++)
        if (!strcmp((*f)->name, name)) return *f;
    return clzt_net_find(name);
}

// Tries every family on every generator, or on the given net, and takes the plan that fits best. A discriminator must be given: a
// checkpoint of adversarial training contains one beside the generator.
static int choose(struct plan *best, const struct clzt_convert *c, const struct clzt_tensors *t, const struct clz_log *log)
{
    const struct clzt_net *const given[2] = { c->net ? find_net(c->net) : NULL, NULL };
    char same[256] = "";                    // nets that the file fits as well as best->net
    int ret = 0;

    if (c->net && !*given) return clzi_fail(log, -EINVAL, "net=%s: no such net; colorize-train nets lists them.", c->net);
    for (const struct clzt_net *const *net = *given ? given : clzt_nets; *net && ret >= 0; net++)
        for (int f = 0; f < FAMILIES && ret >= 0; f++) {
            struct plan p;
            if ((ret = plan_make(&p, &families[f], *net, t)) <= 0) continue;
            if (best->net && !compare_plans(&p, best) && p.net != best->net)
                snprintf(same + strlen(same), sizeof same - strlen(same), ", %s", p.net->name);
            if (!best->net || compare_plans(&p, best) < 0) {
                plan_free(best);
                *best = p;
                same[0] = 0;
            } else {
                plan_free(&p);
            }
        }
    if (ret < 0) return ret;
    if (!best->net)
        return clzi_fail(log, -EBADMSG, "%s: its %d tensors, beginning with %s, are not named as weights that %s can take.",
                         c->in, t->count, clzi_printable(t->tensors[0].name).text, c->net ? c->net : "a net of ours");
    if (*same && !faults(best))
        return clzi_fail(log, -EINVAL, "%s: fits %s%s; say which is meant, with net=NAME.", c->in, best->net->name, same);
    return 0;
}

// ---- messages ----

// A list of names, logged in messages of limited length.
struct names { const struct clz_log *log; enum clz_log_level level; const char *head; char line[LINE]; };

static void names_end(struct names *n)
{
    if (*n->line) clzi_log(n->log, n->level, "%s: %s", n->head, n->line);
    n->line[0] = 0;
}

static void names_add(struct names *n, const char *name)
{
    const size_t at = strlen(n->line);

    if (at + strlen(name) + 3 > sizeof n->line) names_end(n);
    snprintf(n->line + strlen(n->line), sizeof n->line - strlen(n->line), "%s%s", *n->line ? ", " : "", name);
}

static void name_tensors(const struct plan *p, const struct clzt_tensors *t, int place, const char *reason,
                         enum clz_log_level level, const char *head, const struct clz_log *log)
{
    struct names n = { log, level, head, "" };

    for (int k = 0; k < t->count; k++)
        if (p->to[k] == place && (!reason || !strcmp(reason, p->reason[k])))
            names_add(&n, clzi_printable(t->tensors[k].name).text);
    names_end(&n);
}

static void name_dropped(const struct plan *p, const struct clzt_tensors *t, const struct clz_log *log)
{
    char head[128];

    for (const struct rule *r = p->family->rules; r->from; r++) {
        bool told = r->to != NULL;
        for (const struct rule *before = p->family->rules; before < r && !told; before++)
            told = before->reason && !strcmp(before->reason, r->reason);
        if (told) continue;
        snprintf(head, sizeof head, "not needed (%s)", r->reason);
        name_tensors(p, t, DROPPED, r->reason, CLZ_LOG_INFO, head, log);
    }
}

static void name_missing(const struct plan *p, enum clz_log_level level, const struct clz_log *log)
{
    struct names n = { log, level, "parameters without a tensor in the file", "" };

    for (int i = 0; i < p->graph->param_count; i++)
        if (is_missing(p, i)) names_add(&n, p->graph->params[i].name);
    names_end(&n);
}

static struct clzt_shape_text param_shape(const struct clzi_param *p)
{
    struct clzt_tensor x = { .rank = p->rank };

    for (int i = 0; i < p->rank; i++) x.dims[i] = p->dims[i];
    return clzt_tensor_shape(&x);
}

static void name_misshapen(const struct plan *p, const struct clzt_tensors *t, const struct clz_log *log)
{
    for (int i = 0; i < p->graph->param_count; i++)
        if (p->from[i] >= 0 && !fits(p->graph, i, &t->tensors[p->from[i]]))
            clzi_log(log, CLZ_LOG_ERROR, "tensor %s is %s, %s of %s is %s", clzi_printable(t->tensors[p->from[i]].name).text,
                     clzt_tensor_shape(&t->tensors[p->from[i]]).text, p->graph->params[i].name, p->net->name,
                     param_shape(&p->graph->params[i]).text);
}

static int report(const struct plan *p, const struct clzt_convert *c, const struct clzt_tensors *t, const struct clz_log *log)
{
    const enum clz_log_level level = c->loose ? CLZ_LOG_WARNING : CLZ_LOG_ERROR;
    char outside[CLZT_TENSOR_NAME + 32];

    clzi_log(log, CLZ_LOG_INFO, "%s is %s%s%s, %d tensors: %s, onto %s", c->in, t->format, *t->section ? ", section " : "",
             t->section, t->count, p->family->name, p->net->name);
    snprintf(outside, sizeof outside, "not used (outside of %s)", clzi_printable(p->before).text);
    name_tensors(p, t, OUTSIDE, NULL, CLZ_LOG_INFO, outside, log);
    name_dropped(p, t, log);
    name_tensors(p, t, UNUSED, NULL, level, "without a parameter in the net", log);
    name_missing(p, level, log);
    name_misshapen(p, t, log);
    if (p->misshapen || !p->filled || (!c->loose && faults(p)))
        return clzi_fail(log, -EBADMSG, "%s does not fit %s: %d tensors without a parameter, %d parameters without a tensor, "
                         "%d of another shape%s", c->in, p->net->name, p->unused, p->missing, p->misshapen,
                         p->misshapen || c->loose ? "." : "; strict=no takes what fits.");
    return 0;
}

// ---- values ----

static int read_param(const struct plan *p, struct clzt_tensors *t, int param, float *to)
{
    const struct clzt_tensor *x = &t->tensors[p->from[param]];
    const int64_t count = clzi_param_count(&p->graph->params[param]), window = x->rank == 4 ? x->dims[2] * x->dims[3] : 0;
    float *rgb;
    int ret;

    if (clzt_tensor_count(x) == count) return clzt_tensors_read(t, x, to);
    if (!(rgb = malloc((size_t)count * 3 * sizeof *rgb))) return -ENOMEM;
    if ((ret = clzt_tensors_read(t, x, rgb)) >= 0) {
        for (int64_t i = 0; i < count; i++) {
            const float *w = rgb + i / window * window * 3 + i % window;
            to[i] = w[0] + w[window] + w[2 * window];
        }
        clzi_log(t->bytes.log, CLZ_LOG_INFO, "%s is the sum of %s over its three inputs", p->graph->params[param].name,
                 clzi_printable(x->name).text);
    }
    free(rgb);
    return ret;
}

static float **read_values(const struct plan *p, struct clzt_tensors *t, int *ret)
{
    const struct clzi_graph *g = p->graph;
    float **values = calloc((size_t)g->param_count + 1, sizeof *values);

    *ret = values ? 0 : -ENOMEM;
    for (int i = 0; i < g->param_count && *ret >= 0; i++)
        if (!(values[i] = malloc((size_t)clzi_param_count(&g->params[i]) * sizeof **values))) *ret = -ENOMEM;
    if (*ret >= 0 && p->filled < g->param_count) clzt_net_init(g, p->net->init, 0, values);
    for (int i = 0; i < g->param_count && *ret >= 0; i++)
        if (p->from[i] >= 0) *ret = read_param(p, t, i, values[i]);
    return values;
}

// ---- the model file ----

static int hash_file(const struct clzi_bytes *bytes, char hex[65])
{
    uint8_t *chunk = malloc(CHUNK);
    struct clzi_sha256 hash;
    int ret = chunk ? 0 : -ENOMEM;

    clzi_sha256_init(&hash);
    for (uint64_t at = 0; at < bytes->size && ret >= 0; at += CHUNK) {
        const size_t n = bytes->size - at < CHUNK ? (size_t)(bytes->size - at) : CHUNK;
        if ((ret = clzi_bytes_read(bytes, at, chunk, n)) >= 0) clzi_sha256_update(&hash, chunk, n);
    }
    clzi_sha256_hex(&hash, hex);
    free(chunk);
    return ret;
}

// The origin of the weights as JSON.
static int describe(const struct plan *p, const struct clzt_tensors *t, char *to, size_t size)
{
    const char *slash = strrchr(t->bytes.name, '/');
    char hex[65], *text;
    json_t *json;
    int ret = hash_file(&t->bytes, hex);

    if (ret < 0) return ret;
    json = json_pack("{s:{s:s, s:s, s:s, s:i}}", "converted", "file", clzi_printable(slash ? slash + 1 : t->bytes.name).text,
                     "sha256", hex, "family", p->family->name, "tensors", p->filled);
    text = json ? clzi_json_text(json, JSON_COMPACT) : NULL;
    if (text) snprintf(to, size, "%s", text);
    json_decref(json);
    free(text);
    return text ? 0 : -ENOMEM;
}

static int write_model(const struct plan *p, const struct clzt_convert *c, struct clzt_tensors *t, float *const *values,
                       const struct clz_log *log)
{
    const bool whole = !p->family->encoder, square = c->square < 0 ? whole : c->square;
    struct clzi_model_facts f = { .size = c->size ? c->size : p->net->size, .stride = clzi_graph_stride(p->graph),
                                  .l_scale = 50, .l_offset = 1, .ab_scale = 110 };
    int ret = describe(p, t, f.train, sizeof f.train);

    snprintf(f.arch, sizeof f.arch, "%s", p->net->name);
    snprintf(f.shape, sizeof f.shape, "%s", square ? "square" : "frame");
    snprintf(f.input, sizeof f.input, "%s", c->input ? c->input : whole ? "lstar" : "luma");
    snprintf(f.license, sizeof f.license, "%s", c->license ? c->license : "");
    if (c->license && strlen(c->license) >= sizeof f.license)
        return clzi_fail(log, -EINVAL, "license: has %zu bytes, expected at most %zu.", strlen(c->license), sizeof f.license - 1);
    if (!*f.license) clzi_log(log, CLZ_LOG_INFO, "%s states no licence of the weights; license=... adds it", c->out);
    if (whole && !is_discriminator(p->net) && (!c->input || c->square < 0))
        clzi_log(log, CLZ_LOG_INFO, "%s: input is %s and working_shape is %s, by default as in the PyTorch tutorial", c->out,
                 f.input, f.shape);
    return ret < 0 ? ret : clzi_model_write(c->out, p->graph, values, &f, CLZI_F32, log);
}

int clzt_convert(const struct clzt_convert *c, const struct clz_log *log)
{
    struct clzt_tensors *t = NULL;
    struct plan p = { 0 };
    float **values = NULL;
    int ret = clzt_tensors_open(&t, c->in, c->section, log);

    if (ret >= 0) ret = choose(&p, c, t, log);
    if (ret >= 0) ret = report(&p, c, t, log);
    if (ret >= 0) values = read_values(&p, t, &ret);
    if (ret >= 0) ret = write_model(&p, c, t, values, log);
    if (ret >= 0)
        clzi_log(log, CLZ_LOG_INFO, "%s written: %d of the %d parameters of %s are from %s%s", c->out, p.filled,
                 p.graph->param_count, p.net->name, c->in,
                 p.filled < p.graph->param_count ? ", the others have their initial values" : "");
    for (int i = 0; values && i < p.graph->param_count; i++) free(values[i]);
    free(values);
    plan_free(&p);
    clzt_tensors_close(&t);
    return ret;
}
