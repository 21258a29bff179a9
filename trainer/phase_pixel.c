// phase_pixel.c - the generator learns from the true colours alone, by the losses of the recipe.
#include "phase.h"

int clzt_phase_pixel_create(struct clzt_step *s)
{
    int ret = clzt_bound_create(&s->bound[0], s->players[CLZT_GENERATOR]);

    if (ret >= 0 && s->params.features) ret = clzt_step_name_ab(s);
    if (ret >= 0) ret = clzt_step_add_losses(s);
    for (int i = 0; i < s->params.shape_count && ret >= 0; i++) {
        ret = clzt_bound_bind(s, &s->bound[0], i, clzt_step_generator_params(s));
        if (ret >= 0 && s->params.features) ret = clzt_step_bind_perceptual(s, i);
    }
    return ret;
}

int clzt_phase_pixel_run(struct clzt_step *s, int64_t number, float lr, int shape, const struct clzt_sample *sample,
                         double *values)
{
    struct clzt_net_state *g = s->players[CLZT_GENERATOR];
    struct clzt_bound *b = &s->bound[0];
    int ret;

    if ((ret = clzt_step_upload(s, shape, sample)) < 0 || (ret = clzi_params_begin(g->weights)) < 0 ||
        (ret = clzt_step_forward(s, b, shape, number)) < 0 ||
        (s->perceptual && (ret = clzt_step_clear_ab(s, shape)) < 0) || (ret = clzt_step_seed_losses(s, shape, 1)) < 0 ||
        (ret = clzi_exec_backward(b->execs[shape])) < 0 || (ret = clzi_params_check(g->weights, g->train)) < 0 ||
        (ret = clzt_step_update(s, g, number, lr)) < 0 || (ret = clzt_step_read_losses(s, shape, values)) < 0)
        return ret;
    return clzt_step_end(s, g);
}
