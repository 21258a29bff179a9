// gan.h - adversarial losses, and when one of the two players wins.
#ifndef CLZT_GAN_H
#define CLZT_GAN_H
#include "engine/graph.h"

struct clzt_gan_loss {
    const char *name;                       // in recipes
    const char *help;
    enum clzi_op_id discriminator;          // on logits, with targets 1 (true colours) and 0 (predicted ones)
    enum clzi_op_id generator;              // on the logits of predicted colours, with target 1
    bool smooth;                            // targets between 0 and 1 have a meaning
    // The discriminator's loss, the mean of both: when it tells nothing apart; the distance from that which still counts as
    // nothing; the value below which it tells everything apart. Of bce 0.693, 0.01, 0.05; the same shares of the others.
    float undecided, near, certain;
};
extern const struct clzt_gan_loss clzt_gan_losses[];        // ends with a row whose name is NULL

// Steps in a row in which a player wins.
struct clzt_balance { int64_t certain, undecided; };
enum clzt_winner { CLZT_NOBODY_WINS, CLZT_DISCRIMINATOR_WINS, CLZT_GENERATOR_WINS };

// Counts a step with this loss of the discriminator.
void clzt_balance_add(struct clzt_balance *balance, const struct clzt_gan_loss *loss, double discriminator);
// Who has been winning for `limit` steps or more; limit 0: nobody.
enum clzt_winner clzt_balance_winner(const struct clzt_balance *balance, int64_t limit);
#endif
