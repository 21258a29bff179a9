// run_save.c - the checkpoints of a training run: the blobs of the networks; state: lines "key value".
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "nets.h"
#include "run_parts.h"

enum { FAILED_SAVES = 3, LOSS_LINE = 100, LISTED = 8 };

// The moving averages of the losses are saved, so that a resumed run writes the same rows as an uninterrupted one. %a is exact.
static void write_smooth(const struct clzt_run *r, char *text, size_t size)
{
    for (int i = 0, used = 0; i < CLZT_VALUES; i++)
        if (clzt_value_name(i) && r->smooth[i].weight > 0)
            used += snprintf(text + used, size - used, "smooth.%s %a %a\n", clzt_value_name(i), r->smooth[i].mean,
                             r->smooth[i].weight);
}

static void read_smooth(struct clzt_run *r, const char *state)
{
    for (int i = 0; i < CLZT_VALUES; i++) {
        char key[LOSS_LINE];
        const int n = snprintf(key, sizeof key, "\nsmooth.%s ", clzt_value_name(i) ? clzt_value_name(i) : "");
        const char *line = strstr(state, key);
        struct clzt_smooth s;
        // checkpoints of earlier versions have none: the average begins again
        if (line && sscanf(line + n, "%la %la", &s.mean, &s.weight) == 2) r->smooth[i] = s;
    }
}

// A dynamic loss scale, so that a resumed run leaves out the same steps. Of earlier checkpoints it begins anew.
static int write_scale(const struct clzt_net_state *s, char *text, size_t size, int *used)
{
    struct clzi_train_state t;
    const int ret = clzt_net_state_read_scale(s, &t);

    if (ret >= 0 && (t.scale != 1 || t.good != 0))
        *used += snprintf(text + *used, size - *used, "%sscale %a %a\n", s->params.prefix, t.scale, t.good);
    return ret;
}

static int read_scale(struct clzt_net_state *s, const char *state)
{
    struct clzi_train_state t = { 0 };
    char key[CLZT_BLOB_NAME];
    const int n = snprintf(key, sizeof key, "\n%sscale ", s->params.prefix);
    const char *line = strstr(state, key);

    return line && sscanf(line + n, "%a %a", &t.scale, &t.good) == 2 ? clzt_net_state_write_scale(s, &t) : 0;
}

int clzt_run_save(struct clzt_run *r)
{
    struct clzt_blob blobs[CLZT_STATE_BLOBS * CLZT_PLAYERS];
    const struct clzt_net_state *g = r->players[CLZT_GENERATOR], *d = r->players[CLZT_DISCRIMINATOR];
    char *dir = clzt_run_path(r, "ckpt"), state[512 + LOSS_LINE * CLZT_VALUES];
    int used, count = 0, ret = dir ? 0 : -ENOMEM;

    for (int i = 0; i < CLZT_PLAYERS; i++)
        if (r->players[i]) count += clzt_net_state_blobs(r->players[i], blobs + count);
    used = snprintf(state, sizeof state, "net %s\nstep %" PRId64 "\nseconds %.1f\nrecipe %016" PRIx64 "\ndata %016" PRIx64
                    "\nupdates %" PRId64 "\nengine %s\n", r->net->name, r->number, r->seconds, clzt_recipe_hash(r->recipe),
                    r->data, g->updates, clz_version());
    used += snprintf(state + used, sizeof state - used, "phase %s\n", r->phase->name);
    if (d)
        used += snprintf(state + used, sizeof state - used, "d.updates %" PRId64 "\nbalance.certain %" PRId64
                         "\nbalance.undecided %" PRId64 "\n", d->updates, r->balance.certain, r->balance.undecided);
    for (int i = 0; i < CLZT_PLAYERS && ret >= 0; i++)
        if (r->players[i]) ret = write_scale(r->players[i], state, sizeof state, &used);
    write_smooth(r, state + used, sizeof state - used);
    if (ret >= 0) ret = clzt_checkpoint_save(dir, r->number, blobs, count, state, r->recipe->keep, r->log);
    free(dir);
    if (ret < 0) return ret;
    r->failed_saves = 0;
    r->saved = r->number;
    return 0;
}

// A checkpoint during the training. FAILED_SAVES failures in a row end the training, fewer do not.
void clzt_run_save_or_warn(struct clzt_run *r)
{
    const int ret = clzt_run_save(r);

    if (ret >= 0) return;
    if (++r->failed_saves >= FAILED_SAVES) r->save_error = ret;
    clzi_log(r->log, CLZ_LOG_WARNING, "step %" PRId64 ": checkpoint not written (%s); earlier ones are kept, training %s.",
             r->number, strerror(-ret), r->save_error ? "ends" : "continues");
}

static uint64_t state_hash(const char *state, const char *key)
{
    const char *line = strstr(state, key);
    return line ? strtoull(line + strlen(key), NULL, 16) : 0;
}

static int check_state(struct clzt_run *r, const struct clzt_checkpoint *c)
{
    const struct { const char *key, *what; uint64_t now; } facts[2] = {
        { "\nrecipe ", "another recipe", clzt_recipe_hash(r->recipe) }, { "\ndata ", "other training pictures", r->data },
    };

    for (int i = 0; i < 2; i++)
        if (state_hash(c->state, facts[i].key) != facts[i].now && r->recipe->resume != CLZT_RESUME_FORCE)
            return clzi_fail(r->log, -EINVAL, "%s: step %" PRId64 " was trained with %s; resume=force continues all the same, "
                             "another run= begins a new training.", r->recipe->run, c->step, facts[i].what);
    return 0;
}

// A number of the state; `otherwise`: checkpoints of earlier versions do not have it.
static int64_t state_number(const struct clzt_checkpoint *c, const char *key, int64_t otherwise)
{
    const char *line = strstr(c->state, key);
    return line ? strtoll(line + strlen(key), NULL, 10) : otherwise;
}

// The phase of the step that the checkpoint was made after. Those of earlier versions do not say: there was one phase.
static int phase_of_state(struct clzt_run *r, const struct clzt_checkpoint *c)
{
    const char *line = strstr(c->state, "\nphase ");
    const size_t size = line ? strcspn(line + 7, "\n") : 0;

    r->phase = &clzt_phases[CLZT_PHASE_PIXEL];
    for (const struct clzt_phase *p = clzt_phases; line && p->name; p++)
        if (strlen(p->name) == size && !strncmp(line + 7, p->name, size)) {
            r->phase = p;
            return 0;
        }
    return line ? clzi_fail(r->log, -EBADMSG, "%s: step %" PRId64 ": \"%.*s\" is not a phase of this version.", r->recipe->run,
                            c->step, (int)(size > 40 ? 40 : size), line + 7) : 0;
}

static int load_players(struct clzt_run *r, const struct clzt_checkpoint *c, const char *dir)
{
    struct clzt_net_state *d;
    int ret = phase_of_state(r, c);

    if (ret < 0 || (ret = clzt_net_state_load(r->players[CLZT_GENERATOR], c, dir, r->log)) < 0) return ret;
    r->players[CLZT_GENERATOR]->updates = state_number(c, "\nupdates ", c->step);
    if ((ret = read_scale(r->players[CLZT_GENERATOR], c->state)) < 0) return ret;
    if (!r->phase->discriminator || (ret = clzt_run_create_discriminator(r)) < 0) return ret;
    d = r->players[CLZT_DISCRIMINATOR];
    d->updates = state_number(c, "\nd.updates ", 0);
    if ((ret = read_scale(d, c->state)) < 0) return ret;
    r->balance.certain = state_number(c, "\nbalance.certain ", 0);
    r->balance.undecided = state_number(c, "\nbalance.undecided ", 0);
    return clzt_net_state_load(d, c, dir, r->log);
}

// -ENOENT: there is no checkpoint.
int clzt_run_load(struct clzt_run *r)
{
    struct clzt_checkpoint *c = NULL;
    char *dir = clzt_run_path(r, "ckpt"), *seconds;
    int ret = dir ? clzt_checkpoint_load(&c, dir, r->log) : -ENOMEM;

    if (ret >= 0 && r->recipe->resume == CLZT_RESUME_NEVER)
        ret = clzi_fail(r->log, -EEXIST, "%s has checkpoints up to step %" PRId64 "; expected none, because of resume=never.",
                        r->recipe->run, c->step);
    if (ret >= 0) ret = check_state(r, c);
    if (ret >= 0) ret = load_players(r, c, dir);
    if (ret >= 0) {
        r->number = r->saved = c->step;
        seconds = strstr(c->state, "\nseconds ");
        r->seconds = seconds ? strtod(seconds + 9, NULL) : 0;
        read_smooth(r, c->state);
        clzi_log(r->log, CLZ_LOG_INFO, "continuing from step %" PRId64, r->number);
    }
    clzt_checkpoint_destroy(&c);
    free(dir);
    return ret;
}

// The kind of weights that are validated and exported.
enum clzt_kept clzt_run_best_kind(const struct clzt_run *r)
{
    return r->recipe->ema > 0 ? CLZT_AVERAGE : CLZT_WEIGHTS;
}

static int no_checkpoint(const struct clzt_run *r, const char *dir, int64_t step)
{
    int64_t steps[LISTED];
    char list[LISTED * 24] = "";
    const int count = clzt_checkpoint_list(dir, steps, LISTED);

    if (count < 1) return clzi_fail(r->log, -ENOENT, "%s has no checkpoint.", r->recipe->run);
    for (int i = 0, used = 0; i < count; i++)
        used += snprintf(list + used, sizeof list - used, "%s%" PRId64, i ? ", " : "", steps[i]);
    return clzi_fail(r->log, -ENOENT, "%s has no checkpoint of step %" PRId64 "; expected one of %s%s (a recipe with keep=0 "
                     "keeps all).", r->recipe->run, step, list, count == LISTED ? " or earlier" : "");
}

// Only the net must agree with the recipe's.
int clzt_run_load_values(struct clzt_run *r, int64_t step)
{
    struct clzt_checkpoint *c = NULL;
    char *dir = clzt_run_path(r, "ckpt"), *seconds;
    int ret = !dir ? -ENOMEM : step ? clzt_checkpoint_load_step(&c, dir, step, r->log) : clzt_checkpoint_load(&c, dir, r->log);

    if (ret == -ENOENT) no_checkpoint(r, dir, step);
    if (ret >= 0) ret = clzt_net_state_values(r->graph, "", clzt_run_best_kind(r), c, dir, r->values, r->log);
    if (ret >= 0) {
        r->number = c->step;
        r->data = state_hash(c->state, "\ndata ");
        seconds = strstr(c->state, "\nseconds ");
        r->seconds = seconds ? strtod(seconds + 9, NULL) : 0;
    }
    clzt_checkpoint_destroy(&c);
    free(dir);
    return ret;
}
