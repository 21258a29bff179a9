// loss.c - losses: each makes one f32 number of its inputs. The gradient is that number's derivative times dy.
#include <math.h>

#include "ref.h"

struct element { double value, slope; };    // of one element, and its derivative by p

static struct element element(const struct clzi_node *node, double p, double t)
{
    const double d = p - t;

    switch (node->op) {
    case CLZI_OP_L1:    return (struct element){ fabs(d), (d > 0) - (d < 0) };
    case CLZI_OP_L2:
    case CLZI_OP_LSGAN: return (struct element){ d * d, 2 * d };
    // the form that overflows for no z; t: target
    case CLZI_OP_BCE:   return (struct element){ (p > 0 ? p : 0) - p * t + log1p(exp(-fabs(p))), 1 / (1 + exp(-p)) - t };
    case CLZI_OP_HINGE: {
        const double sign = t > 0.5 ? -1 : 1, v = 1 + sign * p;
        return (struct element){ v > 0 ? v : 0, v > 0 ? sign : 0 };
    }
    default:            return (struct element){ -p, -1 };
    }
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

// target: of element i; a tensor or the attribute.
static double target_of(const struct clzi_call *c, int64_t i)
{
    return c->node->in_count > 1 ? ((const float *)c->x[1])[i] : c->node->attr.target;
}

static double weight_of(const struct clzi_call *c, int64_t i)
{
    const int64_t plane = (int64_t)c->xs[0].h * c->xs[0].w;
    return c->node->in_count == 3 ? ((const float *)c->x[2])[i / plane / c->xs[0].c * plane + i % plane] : 1;
}

static int forward(struct clzi_call *c)
{
    const int64_t count = clzi_shape_count(c->xs[0]);
    const float *x = c->x[0];
    double sum = 0;

    for (int64_t i = 0; i < count; i++) sum += weight_of(c, i) * element(c->node, x[i], target_of(c, i)).value;
    *(float *)c->y = (float)(sum / count);
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int64_t count = clzi_shape_count(c->xs[0]);
    const float *x = c->x[0];
    const double dy = *(const float *)c->dy / (double)count;

    for (int64_t i = 0; i < count && c->dx[0]; i++)
        ((float *)c->dx[0])[i] = (float)(dy * weight_of(c, i) * element(c->node, x[i], target_of(c, i)).slope);
    return 0;
}

const struct clzi_op clzi_ref_loss = { .plan = plan, .forward = forward, .backward = backward };

// ---- chroma: mean over pictures of |mean chroma of pred - mean chroma of target|, chroma = sqrt(a^2 + b^2 + eps) ----
// L1 is smallest at the median of the colours a grey leaves open, which is greyer than the truth. This loss asks for as much
// colour as the truth has, in no direction.

static double chroma(const float *a, int64_t plane, int64_t i)
{
    return sqrt((double)a[i] * a[i] + (double)a[plane + i] * a[plane + i] + CLZI_CHROMA_EPS);
}

static double difference(const struct clzi_call *c, int n)
{
    const int64_t plane = (int64_t)c->xs[0].h * c->xs[0].w;
    const float *p = clzi_ref_plane(c->x[0], c->xs[0], n, 0), *t = clzi_ref_plane(c->x[1], c->xs[0], n, 0);
    double sum = 0;

    for (int64_t i = 0; i < plane; i++) sum += chroma(p, plane, i) - chroma(t, plane, i);
    return sum / plane;
}

static int chroma_forward(struct clzi_call *c)
{
    double sum = 0;

    for (int n = 0; n < c->xs[0].n; n++) sum += fabs(difference(c, n));
    *(float *)c->y = (float)(sum / c->xs[0].n);
    return 0;
}

static int chroma_backward(struct clzi_call *c)
{
    const int64_t plane = (int64_t)c->xs[0].h * c->xs[0].w;
    const double dy = *(const float *)c->dy;

    for (int n = 0; n < c->xs[0].n && c->dx[0]; n++) {
        const float *p = clzi_ref_plane(c->x[0], c->xs[0], n, 0);
        float *dx = (float *)c->dx[0] + (p - (const float *)c->x[0]);
        const double d = difference(c, n), scale = dy * ((d > 0) - (d < 0)) / plane / c->xs[0].n;
        for (int64_t i = 0; i < 2 * plane; i++) dx[i] = (float)(scale * p[i] / chroma(p, plane, i % plane));
    }
    return 0;
}

const struct clzi_op clzi_ref_chroma = { .plan = plan, .forward = chroma_forward, .backward = chroma_backward };
