// phase_adversarial.c - generator against discriminator, as pix2pix has it (Isola et al. 2017). One step:
//
//     fake = G(L), once
//     D learns: (loss(D(L, fake), 0) + loss(D(L, ab), 1)) / 2; fake is a constant in it
//     G learns: gan.weight * loss(D(L, fake), 1) + lambda * the losses of the recipe, with the D just updated and the same fake
//
// D runs on predicted and on true colours apart, each with its own batch statistics, in this order, and once more as the judge
// of G: its running statistics are updated three times, as in the PyTorch programs. With spectral norm its weights are
// normalised anew before it learns and before it judges; PyTorch's modules do that before each pass. A step in which
// G does not learn (critic pretraining, or D's loss above the threshold) leaves all of G as it is, its running statistics
// included.
#include <errno.h>
#include <math.h>

#include "engine/classes.h"
#include "phase.h"

enum { GENERATOR, FAKE, REAL, JUDGE };
enum { AB = CLZT_PORT_AB, LOSS = 0 };       // output ports: of GENERATOR, of the others

// ---- creating ----

static int add_loss(struct clzt_bound *b, enum clzi_op_id op, float target)
{
    const int logits = b->graph->out[0].node;
    const int ret = clzi_graph_append(b->graph, "loss.gan", op, &logits, 1, &(const struct clzi_attr){ .target = target });

    return clzi_graph_output(b->graph, "loss.gan", ret);
}

static int create_graphs(struct clzt_step *s)
{
    const struct clzt_gan *gan = &s->params.gan;
    int ret = clzt_bound_create(&s->bound[GENERATOR], s->players[CLZT_GENERATOR]);

    for (int i = FAKE; i <= JUDGE && ret >= 0; i++) ret = clzt_bound_create(&s->bound[i], s->players[CLZT_DISCRIMINATOR]);
    if (ret < 0) return ret;
    if ((ret = clzt_step_name_ab(s)) < 0 || (ret = clzt_step_add_losses(s)) < 0 ||
        (ret = add_loss(&s->bound[FAKE], gan->loss->discriminator, 0)) < 0 ||
        (ret = add_loss(&s->bound[REAL], gan->loss->discriminator, gan->loss->smooth ? gan->real : 1)) < 0)
        return ret;
    return add_loss(&s->bound[JUDGE], gan->loss->generator, 1);
}

static int bind(struct clzt_step *s, int i)
{
    const struct clzi_graph *d = s->players[CLZT_DISCRIMINATOR]->graph;
    const int l = clzi_port_find(d->in, d->in_count, "L"), ab = clzi_port_find(d->in, d->in_count, "ab");
    struct clzi_exec_params params = { .training = true, .backward = true };
    struct clzi_exec *generator;
    int ret;

    if (l < 0 || ab < 0) return -EINVAL;
    if ((ret = clzt_bound_bind(s, &s->bound[GENERATOR], i, clzt_step_generator_params(s))) < 0 ||
        (s->params.features && (ret = clzt_step_bind_perceptual(s, i)) < 0))
        return ret;
    generator = s->bound[GENERATOR].execs[i];
    params.bind[l].x = clzi_exec_input(generator, s->l);
    if (clzi_classes_port(d) >= 0 && s->classes >= 0)
        params.bind[clzi_classes_port(d)].x = clzi_exec_input(generator, s->classes);
    params.bind[ab].x = clzi_exec_input(generator, s->target);
    if ((ret = clzt_bound_bind(s, &s->bound[REAL], i, params)) < 0) return ret;
    params.bind[ab].x = clzi_exec_output(generator, AB);
    if ((ret = clzt_bound_bind(s, &s->bound[FAKE], i, params)) < 0) return ret;
    params.bind[ab].dx = clzi_exec_output_gradient(generator, AB);
    params.fixed_weights = true;
    return clzt_bound_bind(s, &s->bound[JUDGE], i, params);
}

int clzt_phase_adversarial_create(struct clzt_step *s)
{
    int ret = create_graphs(s);

    for (int i = 0; i < s->params.shape_count && ret >= 0; i++) ret = bind(s, i);
    return ret;
}

// ---- a step ----

static int teach_discriminator(struct clzt_step *s, int shape, int64_t number, float lr)
{
    struct clzt_net_state *d = s->players[CLZT_DISCRIMINATOR];
    int ret = clzi_params_begin(d->weights);

    if (ret >= 0) ret = clzt_net_state_normalise(d);
    for (int i = FAKE; i <= REAL && ret >= 0; i++)
        if ((ret = clzt_step_forward(s, &s->bound[i], shape, number)) >= 0 &&
            (ret = clzt_step_seed(s, d, &s->bound[i], shape, LOSS, 0.5f)) >= 0)
            ret = clzi_exec_backward(s->bound[i].execs[shape]);
    if (ret < 0 || (ret = clzt_net_state_gradient(d)) < 0 || (ret = clzt_net_state_denormalise(d)) < 0) return ret;
    ret = clzi_params_check(d->weights, d->train);
    return ret < 0 ? ret : clzt_step_update(s, d, number, lr * s->params.gan.lr);
}

// Adds the gradient of what the discriminator says to dL/d(ab), which is 0 before.
static int judge(struct clzt_step *s, int shape, int64_t number)
{
    struct clzt_net_state *d = s->players[CLZT_DISCRIMINATOR];
    int ret = clzt_step_clear_ab(s, shape);

    if (ret < 0 || (ret = clzt_net_state_normalise(d)) < 0 ||
        (ret = clzt_step_forward(s, &s->bound[JUDGE], shape, number)) < 0 ||
        (ret = clzt_step_seed(s, s->players[CLZT_GENERATOR], &s->bound[JUDGE], shape, LOSS, s->params.gan.weight)) < 0 ||
        (ret = clzi_exec_backward(s->bound[JUDGE].execs[shape])) < 0)
        return ret;
    return clzt_net_state_denormalise(d);
}

static int teach_generator(struct clzt_step *s, int shape, int64_t number, float lr)
{
    struct clzt_net_state *g = s->players[CLZT_GENERATOR], *d = s->players[CLZT_DISCRIMINATOR];
    int ret;

    if ((ret = clzi_params_begin(d->weights)) < 0 ||            // its running statistics come back if this step does not count
        (ret = judge(s, shape, number)) < 0 || (ret = clzt_step_seed_losses(s, shape, s->params.gan.lambda)) < 0 ||
        (ret = clzi_exec_backward(s->bound[GENERATOR].execs[shape])) < 0 || (ret = clzi_params_check(g->weights, g->train)) < 0 ||
        (ret = clzt_net_state_check_statistics(d, g->train)) < 0 || (ret = clzt_step_update(s, g, number, lr)) < 0)
        return ret;
    return clzt_net_state_restore_statistics(d, g->train);
}

static int read_loss(struct clzt_step *s, int bound, int shape, double *value)
{
    float v;
    const int ret = clzi_exec_download(s->bound[bound].execs[shape], LOSS, &v);

    *value = v;
    return ret;
}

static int read_discriminator(struct clzt_step *s, int shape, double *values)
{
    int ret = read_loss(s, FAKE, shape, &values[CLZT_VALUE_D_FAKE]);

    if (ret >= 0) ret = read_loss(s, REAL, shape, &values[CLZT_VALUE_D_REAL]);
    values[CLZT_VALUE_D] = (values[CLZT_VALUE_D_FAKE] + values[CLZT_VALUE_D_REAL]) / 2;
    return ret;
}

int clzt_phase_adversarial_run(struct clzt_step *s, int64_t number, float lr, int shape, const struct clzt_sample *sample,
                               double *values)
{
    struct clzt_net_state *g = s->players[CLZT_GENERATOR], *d = s->players[CLZT_DISCRIMINATOR];
    const struct clzt_gan *gan = &s->params.gan;
    bool learns = number > gan->critic;
    int ret, ret_d, ret_g;

    if ((ret = clzt_step_upload(s, shape, sample)) < 0 || (ret = clzi_params_begin(g->weights)) < 0 ||
        (ret = clzt_step_forward(s, &s->bound[GENERATOR], shape, number)) < 0 ||
        (ret = teach_discriminator(s, shape, number, lr)) < 0)
        return ret;
    if (learns && gan->threshold > 0) {     // the host waits for the device here
        if ((ret = read_discriminator(s, shape, values)) < 0) return ret;
        learns = values[CLZT_VALUE_D] < gan->threshold;
    }
    ret = learns ? teach_generator(s, shape, number, lr) : clzt_net_state_restore_statistics(g, NULL);
    if (ret < 0 || (ret = clzt_step_read_losses(s, shape, values)) < 0 || (ret = read_discriminator(s, shape, values)) < 0 ||
        (learns && (ret = read_loss(s, JUDGE, shape, &values[CLZT_VALUE_GAN])) < 0))
        return ret;
    ret_d = clzt_step_end(s, d);
    ret_g = clzt_step_end(s, g);
    return ret_d < 0 ? ret_d : ret_g;
}
