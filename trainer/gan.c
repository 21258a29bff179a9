// gan.c - the table of adversarial losses.
#include <math.h>

#include "gan.h"

const struct clzt_gan_loss clzt_gan_losses[] = {
    { "bce", "binary cross entropy of the logits, as pix2pix", CLZI_OP_BCE, CLZI_OP_BCE, true, 0.693147f, 0.01f, 0.05f },
    { "lsgan", "squared distance of the logits from 1 and 0", CLZI_OP_LSGAN, CLZI_OP_LSGAN, true, 0.25f, 0.0036f, 0.018f },
    { "hinge", "max(0, 1 - x) and max(0, 1 + x)", CLZI_OP_HINGE, CLZI_OP_NEGMEAN, false, 1, 0.0144f, 0.072f },
    { NULL, NULL, CLZI_OP_COUNT, CLZI_OP_COUNT, false, 0, 0, 0 }
};

void clzt_balance_add(struct clzt_balance *b, const struct clzt_gan_loss *loss, double discriminator)
{
    b->certain = discriminator < loss->certain ? b->certain + 1 : 0;
    b->undecided = fabs(discriminator - loss->undecided) < loss->near ? b->undecided + 1 : 0;
}

enum clzt_winner clzt_balance_winner(const struct clzt_balance *b, int64_t limit)
{
    if (limit && b->certain >= limit) return CLZT_DISCRIMINATOR_WINS;
    return limit && b->undecided >= limit ? CLZT_GENERATOR_WINS : CLZT_NOBODY_WINS;
}
