// recipe.c - the table of keys, and the functions that work on it: reading, checking, writing, hashing.
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libavutil/avstring.h>
#include <yaml.h>

#include "base/log.h"
#include "base/yaml.h"
#include "engine/decimal.h"
#include "kernels/fnv.h"
#include "recipe.h"

enum {
    MAX_DEPTH = 16,
    MAX_KEYS = 128,
    MAX_NAME = 40,
    MAX_MAPS = 16,                          // maps in one file
    MIN_SHAPE = 16, MAX_SHAPE = 2048,       // of size and shapes
    MIN_WORKING = 32, MAX_LICENSE = 255,    // of model files, engine/model.h
};

enum type { TYPE_TEXT, TYPE_LIST, TYPE_INT, TYPE_COUNT, TYPE_REAL, TYPE_BOOL, TYPE_CHOICE };   // COUNT: int64_t

enum {
    NUMBERS = 1,                            // influences the trained weights: is part of the recipe's hash
    PATH = 2,                               // a file or folder
};

struct key {
    const char *name;
    enum type type;
    unsigned flags;
    size_t offset;                          // in struct clzt_recipe
    const char *fallback;                   // the default, as it is written in a recipe
    double min, max;                        // inclusive, for numbers
    const char *const *choices;             // in the order of their enum, ends with NULL
    const char *help;
};

static const char *const caches[] = { "none", "ram", NULL };
static const char *const lumas[] = { "random", "601", "709", "2020", "lstar", NULL };
static const char *const schedules[] = { "constant", "cosine", "linear", NULL };
static const char *const precisions[] = { "auto", "f32", "bf16", "f16", NULL };
static const char *const gan_losses[] = { "bce", "lsgan", "hinge", NULL };      // the rows of clzt_gan_losses
static const char *const working_shapes[] = { "frame", "square", NULL };
static const char *const statistics[] = { "batch", "kept", NULL };
static const char *const heads[] = { "ab", "classes", NULL };
static const char *const split_films[] = { "whole", "frames", NULL };
static const char *const resumes[] = { "auto", "never", "force", NULL };

#define AT(field) offsetof(struct clzt_recipe, field)
static const struct key table[] = {
    { "net", TYPE_TEXT, NUMBERS, AT(net), "light", 0, 0, NULL, "network to train, one of colorize-train nets" },
    { "init", TYPE_TEXT, NUMBERS | PATH, AT(init), "", 0, 0, NULL,
      "model file with the initial weights; empty: random ones" },
    { "train", TYPE_LIST, PATH, AT(train), "[]", 0, 0, NULL,
      "training pictures: folders (searched recursively), videos, pictures, instances files of COCO (.json)" },
    { "val", TYPE_LIST, PATH, AT(val), "[]", 0, 0, NULL, "pictures for validation, likewise; not used for training" },
    { "coco.images", TYPE_LIST, PATH, AT(coco_images), "[]", 0, 0, NULL,
      "folders of the pictures that instances files of COCO list; empty: as COCO lays them out" },
    { "split.list", TYPE_TEXT, PATH, AT(split.list), "", 0, 0, NULL,
      "instead of val: a file with the paths or names of those training pictures and films that are for validation, one a line" },
    { "split.share", TYPE_REAL, 0, AT(split.share), "0", 0, 0.9, NULL,
      "instead of val: share of the training pictures that are for validation; a hash of the name chooses them" },
    { "split.films", TYPE_CHOICE, 0, AT(split.films), "whole", 0, 0, split_films,
      "whether split.share divides films as wholes or by frames, for films whose frames are unlike each other" },
    { "min_spread", TYPE_REAL, NUMBERS, AT(min_spread), "0", 0, 100, NULL,
      "nearly grey pictures are left out: those whose a*, b* have a smaller standard deviation, Lab units; 3 is usual. 0: none" },
    { "shot_frames", TYPE_INT, NUMBERS, AT(shot_frames), "0", 0, 1e6, NULL,
      "at most so many frames of each shot of a film are used, spread evenly, so that long shots do not dominate; 0: all" },
    { "run", TYPE_TEXT, PATH, AT(run), "run", 0, 0, NULL, "folder for all output of the training" },
    { "head", TYPE_CHOICE, NUMBERS, AT(head), "ab", 0, 0, heads,
      "what the generator answers: ab, or a probability for each of 313 classes of colour (Zhang 2016), of which a mean is "
      "taken; classes wants loss.classes" },
    { "temperature", TYPE_REAL, NUMBERS, AT(temperature), "0.38", 0.01, 10, NULL,
      "of that mean, written into the model: 1 is the mean of the colours, towards 0 the likeliest counts alone" },
    { "adjustment", TYPE_REAL, 0, AT(adjustment), "0", 0, 2, NULL,
      "written into the model, with head classes: rare colours are made likelier, by adjustment times the logarithm of their "
      "weight under rebalance 0.5 (logit adjustment, Menon 2021): livelier, less often right; 0: as trained" },
    { "attention", TYPE_BOOL, NUMBERS, AT(attention), "false", 0, 0, NULL,
      "add self-attention to the generator, at 1/16 of the picture's size (SAGAN)" },
    { "hints.points", TYPE_REAL, NUMBERS, AT(hints.points), "0", 0, 1000, NULL,
      "mean number of places of a picture whose true colour the generator is shown, so that a user can give colours (Zhang 2017: "
      "7); 0: the generator has no input for hints" },
    { "hints.none", TYPE_REAL, NUMBERS, AT(hints.none), "0.3", 0, 1, NULL,
      "share of the pictures that are shown without hints, beside those whose number of places is 0 by chance" },
    { "classes.names", TYPE_LIST, NUMBERS, AT(classes), "[]", 0, 0, NULL,
      "categories of COCO that the generator is told of, where a picture has them, so that a user can say what is in a film; "
      "empty: it has no input for classes" },
    { "classes.none", TYPE_REAL, NUMBERS, AT(classes_none), "0.15", 0, 1, NULL,
      "share of the pictures of which it is told nothing, so that it can do without" },
    { "resume", TYPE_CHOICE, 0, AT(resume), "auto", 0, 0, resumes,
      "auto: continue from the newest checkpoint in run, refuse if recipe or data have changed; force: continue in that case "
      "too; never: refuse a folder with a checkpoint" },
    { "seed", TYPE_COUNT, NUMBERS, AT(seed), "1", 0, 9007199254740992.0, NULL,
      "seed of all random numbers: initial weights, order of pictures, crops, luma weights" },

    { "size", TYPE_INT, NUMBERS, AT(size), "128", MIN_SHAPE, MAX_SHAPE, NULL, "width and height of crops, pixels" },
    { "shapes", TYPE_LIST, NUMBERS, AT(shapes), "[]", 0, 0, NULL,
      "sizes of crops, such as 160x96, instead of size x size; each batch gets a random one. Empty: size. Validation always "
      "uses size" },
    { "scale", TYPE_INT, NUMBERS, AT(scale), "0", 0, 8192, NULL,
      "short side to which pictures are scaled before cropping; 0: not scaled" },
    { "batch", TYPE_INT, NUMBERS, AT(batch), "32", 1, 4096, NULL, "pictures per step" },
    { "steps", TYPE_COUNT, NUMBERS, AT(steps), "0", 0, 1e12, NULL,
      "length of the training, without an adversarial phase (gan); 0: as pictures or epochs say; if they are 0 too, 20000, or "
      "none if there is an adversarial phase" },
    { "pictures", TYPE_COUNT, NUMBERS, AT(pictures), "0", 0, 1e15, NULL, "that length in pictures, instead of steps" },
    { "epochs", TYPE_COUNT, NUMBERS, AT(epochs), "0", 0, 1e9, NULL, "that length in passes over all pictures, instead of steps" },
    { "workers", TYPE_INT, 0, AT(workers), "0", 0, 256, NULL, "threads that prepare batches; 0: one per core" },
    { "cache", TYPE_CHOICE, 0, AT(cache), "ram", 0, 0, caches, "ram: decode every picture once and keep it in memory" },
    { "cache_limit", TYPE_COUNT, 0, AT(cache_limit), "0", 0, 1e9, NULL,
      "size of that cache, MiB; further pictures are decoded for each use. 0: half of the memory" },
    { "zoom.in", TYPE_REAL, NUMBERS, AT(zoom_in), "1", 1, CLZT_MAX_ZOOM, NULL,
      "largest enlargement: crops of at least size / zoom.in are enlarged to size; 1: none" },
    { "zoom.out", TYPE_REAL, NUMBERS, AT(zoom_out), "1", 1, CLZT_MAX_ZOOM, NULL,
      "largest reduction: crops of up to size * zoom.out, if the picture is large enough, are reduced to size; validation "
      "uses the largest. 1: none" },
    { "aspect", TYPE_REAL, NUMBERS, AT(aspect), "1", 1, CLZT_MAX_ASPECT, NULL,
      "largest aspect ratio of crops, which are scaled to square samples as frames are for a model with working_shape square; "
      "1: square crops" },
    { "flip", TYPE_BOOL, NUMBERS, AT(flip), "true", 0, 0, NULL, "mirror half of the crops horizontally" },
    { "luma", TYPE_CHOICE, NUMBERS, AT(luma), "random", 0, 0, lumas,
      "grey from colour: luma of BT.601, 709 or 2020, random weights (films differ in sensitivity), or L* of the colour pixel" },
    { "film.grain", TYPE_REAL, NUMBERS, AT(film.grain), "0.03", 0, 0.5, NULL,
      "film grain: largest standard deviation, relative to white" },
    { "film.blur", TYPE_REAL, NUMBERS, AT(film.blur), "0.8", 0, 8, NULL, "film blur: largest sigma, pixels" },
    { "film.gamma", TYPE_REAL, NUMBERS, AT(film.gamma), "0.3", 0, 2, NULL,
      "film response: exponents from 2^-gamma to 2^gamma" },
    { "film.contrast", TYPE_REAL, NUMBERS, AT(film.contrast), "0.15", 0, 0.9, NULL,
      "film response: contrast factors from 1-x to 1+x" },
    { "film.ortho", TYPE_REAL, NUMBERS, AT(film.ortho), "0", 0, 1, NULL,
      "share of the pictures that become grey as orthochromatic film sees them, which is blind to red, instead of by luma" },
    { "film.pan", TYPE_REAL, NUMBERS, AT(film.pan), "0", 0, 1, NULL,
      "share that become grey as panchromatic film of 1925 to 1960 sees them: more blue and red, less green than the eye" },
    { "film.vignette", TYPE_REAL, NUMBERS, AT(film.vignette), "0", 0, 0.9, NULL,
      "largest darkening of the corners of pictures, relative to the middle" },
    { "film.flicker", TYPE_REAL, NUMBERS, AT(film.flicker), "0", 0, 0.9, NULL,
      "exposure: factors from 1-x to 1+x, one at the top of a crop and one at its bottom" },
    { "film.scratches", TYPE_REAL, NUMBERS, AT(film.scratches), "0", 0, 100, NULL, "largest number of scratches in a crop" },
    { "film.dust", TYPE_REAL, NUMBERS, AT(film.dust), "0", 0, 1000, NULL, "largest number of specks of dust in a crop" },

    { "lr", TYPE_REAL, NUMBERS, AT(lr), "0.0005", 0, 10, NULL, "learning rate of Adam: the maximum" },
    { "lr_schedule", TYPE_CHOICE, NUMBERS, AT(schedule), "cosine", 0, 0, schedules, "decay of the learning rate after warmup" },
    { "lr_end", TYPE_REAL, NUMBERS, AT(lr_end), "0.02", 0, 1, NULL,
      "learning rate at the last step, relative to lr" },
    { "warmup", TYPE_COUNT, NUMBERS, AT(warmup), "200", 0, 1e12, NULL, "steps over which the learning rate rises from 0 to lr" },
    { "encoder.lr", TYPE_REAL, NUMBERS, AT(encoder_lr), "1", 0, 10, NULL,
      "factor on lr for the encoder's parameters, which may be pretrained" },
    { "encoder.freeze", TYPE_COUNT, NUMBERS, AT(encoder_freeze), "0", 0, 1e12, NULL,
      "steps at the start in which the encoder's parameters are not changed" },
    { "encoder.statistics", TYPE_CHOICE, NUMBERS, AT(encoder_statistics), "batch", 0, 0, statistics,
      "batch: the encoder's batch norms use each batch's statistics and update the running ones; kept: they use the running "
      "ones and leave them as they are" },
    { "beta1", TYPE_REAL, NUMBERS, AT(beta1), "0.9", 0, 0.999999, NULL, "decay of Adam's first moment" },
    { "beta2", TYPE_REAL, NUMBERS, AT(beta2), "0.99", 0, 0.999999, NULL, "decay of Adam's second moment" },
    { "eps", TYPE_REAL, NUMBERS, AT(eps), "1e-08", 1e-20, 1, NULL, "Adam's epsilon" },
    { "weight_decay", TYPE_REAL, NUMBERS, AT(weight_decay), "0.01", 0, 10, NULL,
      "weight decay of convolutions, decoupled (AdamW)" },
    { "ema", TYPE_REAL, NUMBERS, AT(ema), "0.999", 0, 0.999999, NULL,
      "decay of the exponential moving average of the weights, which is validated and exported; 0: no average" },
    { "loss", TYPE_REAL, NUMBERS, AT(loss),
      "0", 0, 1e6, NULL, NULL },         // is replaced by a key loss.NAME for each row of clzt_losses
    { "features", TYPE_TEXT, NUMBERS | PATH, AT(features), "", 0, 0, NULL,
      "model file of lite0-features, which colorize-train convert makes of EfficientNet-Lite0's weights; loss.perceptual "
      "compares what it sees" },
    { "rebalance", TYPE_REAL, NUMBERS, AT(rebalance), "0", 0, 1, NULL,
      "higher weight of rare colours: share of the uniform distribution in the mix with the data's; 0: off, 0.5 as published" },

    { "gan.steps", TYPE_COUNT, NUMBERS, AT(gan.steps), "0", 0, 1e12, NULL,
      "length of the adversarial phase, in which a discriminator learns to tell true from predicted colours, and the generator "
      "to deceive it; it follows the other steps. 0: none, or as gan.pictures or gan.epochs say" },
    { "gan.pictures", TYPE_COUNT, NUMBERS, AT(gan.pictures), "0", 0, 1e15, NULL, "that length in pictures, instead of steps" },
    { "gan.epochs", TYPE_COUNT, NUMBERS, AT(gan.epochs), "0", 0, 1e9, NULL,
      "that length in passes over all pictures, instead of steps" },
    { "gan.loss", TYPE_CHOICE, NUMBERS, AT(gan.loss), "bce", 0, 0, gan_losses,
      "adversarial loss: bce: binary cross entropy of the logits, as pix2pix; lsgan: squared distance from 1 and 0; hinge" },
    { "gan.weight", TYPE_REAL, NUMBERS, AT(gan.weight), "1", 0, 1e6, NULL,
      "the generator's loss is gan.weight * adversarial loss + gan.lambda * (the losses of loss)" },
    { "gan.lambda", TYPE_REAL, NUMBERS, AT(gan.lambda), "100", 0, 1e6, NULL, "see gan.weight; 100 with l1: 1 is pix2pix" },
    { "gan.lr", TYPE_REAL, NUMBERS, AT(gan.lr), "0.0002", 0, 10, NULL, "learning rate in the adversarial phase: the maximum" },
    { "gan.lr_schedule", TYPE_CHOICE, NUMBERS, AT(gan.schedule), "constant", 0, 0, schedules, "its decay" },
    { "gan.lr_end", TYPE_REAL, NUMBERS, AT(gan.lr_end), "0", 0, 1, NULL, "learning rate at the last step, relative to gan.lr" },
    { "gan.beta1", TYPE_REAL, NUMBERS, AT(gan.beta1), "0.5", 0, 0.999999, NULL, "as beta1, for both networks" },
    { "gan.beta2", TYPE_REAL, NUMBERS, AT(gan.beta2), "0.999", 0, 0.999999, NULL, "as beta2, for both networks" },
    { "gan.smoothing", TYPE_REAL, NUMBERS, AT(gan.smoothing), "0", 0, 0.5, NULL,
      "one-sided label smoothing: the discriminator's target on true colours is 1 - this; not with hinge" },
    { "gan.critic", TYPE_COUNT, NUMBERS, AT(gan.critic), "0", 0, 1e12, NULL,
      "steps at the start of the phase in which only the discriminator learns, on what the generator predicts (NoGAN)" },
    { "gan.threshold", TYPE_REAL, NUMBERS, AT(gan.threshold), "0", 0, 10, NULL,
      "the generator learns only in steps where the discriminator's loss is below this (NoGAN: 0.65); 0: in all" },
    { "gan.alarm", TYPE_COUNT, 0, AT(gan.alarm), "500", 0, 1e12, NULL,
      "steps in a row in which the discriminator tells all or nothing apart, after which a warning is logged; 0: no warning" },
    { "gan.patience", TYPE_COUNT, 0, AT(gan.patience), "0", 0, 1e9, NULL,
      "validations in the adversarial phase without a better score after which the training ends; 0: it does not" },
    { "discriminator.net", TYPE_TEXT, NUMBERS, AT(discriminator_net), "patchgan", 0, 0, NULL,
      "patchgan, or patchgan-half, which sees means of 2x2 pixels: a quarter of the time, and no finer than most generators "
      "answer" },
    { "discriminator.init", TYPE_TEXT, NUMBERS | PATH, AT(discriminator_init), "", 0, 0, NULL,
      "model file with the discriminator's initial weights; empty: random ones" },
    { "discriminator.lr", TYPE_REAL, NUMBERS, AT(discriminator_lr), "1", 0, 100, NULL,
      "factor on gan.lr for the discriminator" },
    { "discriminator.spectral_norm", TYPE_BOOL, NUMBERS, AT(spectral_norm), "false", 0, 0, NULL,
      "divide the weights of the discriminator's convolutions by their spectral norm (Miyato et al. 2018)" },

    { "device", TYPE_TEXT, 0, AT(device), "auto", 0, 0, NULL, "device: auto, cpu, ref, cuda, cuda/1 (the second GPU)" },
    { "precision", TYPE_CHOICE, NUMBERS, AT(precision), "auto", 0, 0, precisions,
      "number format of activations and gradients; weights are always f32" },
    { "threads", TYPE_INT, 0, AT(threads), "0", 0, 1024, NULL, "threads of a CPU device; 0: one per core" },

    { "save_every", TYPE_COUNT, 0, AT(save_every), "1000", 0, 1e12, NULL,
      "steps between checkpoints; there is also one at the end of each phase. 0: only these" },
    { "keep", TYPE_INT, 0, AT(keep), "3", 0, 100000, NULL, "number of checkpoints that are kept, the newest; 0: all" },
    { "val_every", TYPE_COUNT, 0, AT(val_every), "1000", 0, 1e12, NULL,
      "steps between validations; 0: only at the end" },
    { "val_pictures", TYPE_INT, 0, AT(val_pictures), "256", 0, 1e9, NULL, "number of pictures for validation; 0: all" },
    { "sheet_every", TYPE_COUNT, 0, AT(sheet_every), "1000", 0, 1e12, NULL,
      "steps between sample sheets; 0: only at the end" },
    { "sheet_pictures", TYPE_INT, 0, AT(sheet_pictures), "8", 0, 64, NULL, "rows of a sample sheet; 0: no sheets" },
    { "log_every", TYPE_COUNT, 0, AT(log_every), "50", 1, 1e12, NULL, "steps between rows of metrics.csv" },
    { "tensorboard", TYPE_BOOL, 0, AT(tensorboard), "true", 0, 0, NULL,
      "write the same, and the sample sheets, as TensorBoard event files into events/ of the run folder" },

    { "working_size", TYPE_INT, 0, AT(working_size), "0", 0, 2048, NULL,
      "written into the model: short side of the network's input at inference; 0: the net's default" },
    { "working_shape", TYPE_CHOICE, 0, AT(working_shape), "frame", 0, 0, working_shapes,
      "written into the model: aspect ratio of the network's input; frame: that of the frame, square: frames are scaled to a "
      "square, for nets trained on squares only" },
    { "saturation", TYPE_REAL, 0, AT(saturation), "1", 0.1, 4, NULL,
      "written into the model: factor on the predicted a*, b*; below 1: lower error, above 1: more vivid" },
    { "license", TYPE_TEXT, 0, AT(license), "", 0, 0, NULL, "written into the model: its license" },
    { "notes", TYPE_TEXT, 0, AT(notes), "", 0, 0, NULL, "written into the model: free text" },
};

// The table with keys loss.NAME instead of the row `loss`. The default of l1 is 1, of the others 0.
struct keys {
    struct key k[MAX_KEYS];
    char names[CLZT_MAX_LOSSES][MAX_NAME];
    int count;
};

static void keys_make(struct keys *keys)
{
    keys->count = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].help) {
            keys->k[keys->count++] = table[i];
            continue;
        }
        for (int l = 0; l < CLZT_MAX_LOSSES && clzt_losses[l].name; l++) {
            struct key *key = &keys->k[keys->count++];
            *key = table[i];
            snprintf(keys->names[l], MAX_NAME, "loss.%s", clzt_losses[l].name);
            key->name = keys->names[l];
            key->offset += l * sizeof(double);
            key->fallback = l == 0 ? "1" : "0";
            key->help = clzt_losses[l].help;
        }
    }
}
_Static_assert(sizeof table / sizeof *table + CLZT_MAX_LOSSES <= MAX_KEYS, "raise MAX_KEYS");

static const struct key *find(const struct keys *keys, const char *name)
{
    for (int i = 0; i < keys->count; i++)
        if (!strcmp(keys->k[i].name, name)) return &keys->k[i];
    return NULL;
}

static bool is_section(const struct keys *keys, const char *name)      // whether keys begin with "NAME."
{
    const size_t n = strlen(name);
    for (int i = 0; i < keys->count; i++)
        if (!strncmp(keys->k[i].name, name, n) && keys->k[i].name[n] == '.') return true;
    return false;
}

static int min3(int a, int b, int c) { return a < b ? (a < c ? a : c) : b < c ? b : c; }

// Levenshtein distance: number of letters to change, insert or delete to turn one word into the other.
static int distance(const char *a, const char *b)
{
    int row[MAX_NAME + 1];
    const int n = (int)strlen(b);

    for (int k = 0; k <= n; k++) row[k] = k;
    for (int i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int k = 1; k <= n; k++) {
            const int here = min3(row[k] + 1, row[k - 1] + 1, corner + (a[i - 1] != b[k - 1]));
            corner = row[k];
            row[k] = here;
        }
    }
    return row[n];
}

static const char *nearest(const struct keys *keys, const char *name)
{
    const char *best = NULL;
    int least = (int)strlen(name) / 3 + 2;

    if (strlen(name) > MAX_NAME) return NULL;
    for (int i = 0; i < keys->count; i++) {
        const char *dot = strrchr(keys->k[i].name, '.');
        int d = distance(name, keys->k[i].name);
        if (dot && distance(name, dot + 1) < d) d = distance(name, dot + 1);
        if (d < least) {
            least = d;
            best = keys->k[i].name;
        }
    }
    return best;
}

// ---- values ----

// Origin of a value, for messages.
struct place { const char *file; int line; const struct clz_log *log; };

// `name` is a section, but is used as a key.
static int no_value(const struct keys *keys, const char *name, const char *value, const struct place *at)
{
    const size_t n = strlen(name);
    char list[MAX_KEYS * MAX_NAME];
    size_t used = 0;

    for (int i = 0; i < keys->count; i++)
        if (!strncmp(keys->k[i].name, name, n) && keys->k[i].name[n] == '.')
            used += snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", keys->k[i].name);
    return clzi_fail(at->log, -EINVAL, "%s:%d: %s: \"%.200s\" is not a map; the keys of %s are %s.", at->file, at->line, name,
                     value, name, list);
}

static int unknown(const struct keys *keys, const char *name, const struct place *at)
{
    const char *near = nearest(keys, name);

    if (near) return clzi_fail(at->log, -EINVAL, "%s:%d: no key is called \"%.200s\"; the nearest is \"%s\".",
                               at->file, at->line, name, near);
    return clzi_fail(at->log, -EINVAL, "%s:%d: no key is called \"%.200s\".", at->file, at->line, name);
}

// Describes the values that a key accepts: "one of auto, f32, bf16", "a whole number from 1 to 4096".
static void expectation(const struct key *key, char *text, size_t size)
{
    size_t used;

    switch (key->type) {
    case TYPE_TEXT: snprintf(text, size, "text"); break;
    case TYPE_LIST: snprintf(text, size, "%s", key->flags & PATH ? "a path or a list of paths" : "a list"); break;
    case TYPE_BOOL: snprintf(text, size, "true or false"); break;
    case TYPE_REAL: snprintf(text, size, "a number from %.10g to %.10g", key->min, key->max); break;
    case TYPE_INT:
    case TYPE_COUNT: snprintf(text, size, "a whole number from %.0f to %.0f", key->min, key->max); break;
    case TYPE_CHOICE:
        used = snprintf(text, size, "one of ");
        for (int i = 0; key->choices[i] && used < size; i++)
            used += snprintf(text + used, size - used, "%s%s", i ? ", " : "", key->choices[i]);
    }
}

static int bad_value(const struct key *key, const char *value, const struct place *at)
{
    char expected[200];

    expectation(key, expected, sizeof expected);
    return clzi_fail(at->log, -EINVAL, "%s:%d: %s: \"%.200s\" is not %s.", at->file, at->line, key->name, value, expected);
}

static void list_clear(struct clzt_list *list)
{
    for (int i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (struct clzt_list){0};
}

static int list_add(struct clzt_list *list, const char *item)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);

    if (!items) return -ENOMEM;
    list->items = items;
    if (!(items[list->count] = strdup(item))) return -ENOMEM;
    list->count++;
    return 0;
}

static int parse_bool(const char *value)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };
    for (int i = 0; i < 6; i++)
        if (!strcmp(value, words[i])) return i & 1;
    return -1;
}

// Refuses numbers such as 010, which is 8 in YAML 1.1 but 10 in YAML 1.2 and for strtol.
static int leading_zero(const struct key *key, const char *value, const struct place *at)
{
    const char *digits = value + (*value == '-' || *value == '+'), *rest = digits + strspn(digits, "0");

    if (rest > digits && !isdigit((unsigned char)*rest)) rest--;        // "0" and "0.5" have one 0 that is needed
    if (rest == digits) return 0;
    return clzi_fail(at->log, -EINVAL, "%s:%d: %s: \"%.200s\" begins with 0, which some YAML readers interpret as octal; "
                     "write %.*s%.200s.", at->file, at->line, key->name, value, (int)(digits - value), value, rest);
}

// Refuses what strtod accepts beyond decimal numbers: white space, hexadecimal, infinity, NaN.
static int check_number(const struct key *key, const char *value, const char *characters, const struct place *at)
{
    if (value[strspn(value, characters)]) return bad_value(key, value, at);
    return leading_zero(key, value, at);
}

// Sets a key's field from text; appends the text if the key is a list.
static int set_value(struct clzt_recipe *recipe, const struct key *key, const char *value, const struct place *at)
{
    void *field = (char *)recipe + key->offset;
    char *end, *copy;
    double number;
    long long whole;
    int i, ret;

    switch (key->type) {
    case TYPE_TEXT:
        if (!(copy = strdup(value))) return -ENOMEM;
        free(*(char **)field);
        *(char **)field = copy;
        return 0;
    case TYPE_LIST:
        if (!*value) return bad_value(key, value, at);
        return list_add(field, value);
    case TYPE_BOOL:
        if ((i = parse_bool(value)) < 0) return bad_value(key, value, at);
        *(bool *)field = i;
        return 0;
    case TYPE_CHOICE:
        for (i = 0; key->choices[i] && strcmp(key->choices[i], value); i++);
        if (!key->choices[i]) return bad_value(key, value, at);
        *(int *)field = i;
        return 0;
    case TYPE_REAL:
        if ((ret = check_number(key, value, "0123456789+-.eE", at)) < 0) return ret;
        number = strtod(value, &end);
        if (end == value || *end || !(number >= key->min && number <= key->max)) return bad_value(key, value, at);
        *(double *)field = number;
        return 0;
    case TYPE_INT:
    case TYPE_COUNT:
        if ((ret = check_number(key, value, "0123456789+-", at)) < 0) return ret;
        errno = 0;
        whole = strtoll(value, &end, 10);
        if (end == value || *end || errno || whole < key->min || whole > key->max) return bad_value(key, value, at);
        if (key->type == TYPE_INT) *(int *)field = (int)whole;
        else *(int64_t *)field = whole;
        return 0;
    }
    return -EINVAL;
}

// ---- YAML ----

struct level { bool list; size_t prefix; };     // prefix: length of the path of this map

struct reading {
    struct clzt_recipe *recipe;
    const struct keys *keys;
    struct place at;
    bool seen[MAX_KEYS];
    char maps[MAX_MAPS][MAX_NAME * 2];
    int map_count;
    struct level levels[MAX_DEPTH];
    int depth;
    char path[MAX_NAME * 2];                // of the current key, as "film.grain"
    const struct key *key;                  // the next event is a value of this key (or an item, inside a list)
    bool section;                           // the next event begins a map
};

static int begin_map(struct reading *r)
{
    if (r->key || (r->depth && !r->section)) {
        char expected[200] = "expected here";
        if (r->key) expectation(r->key, expected, sizeof expected);
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: a map is not %s.", r->at.file, r->at.line, r->path, expected);
    }
    for (int i = 0; i < r->map_count; i++)
        if (!strcmp(r->maps[i], r->path))
            return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s is given twice.", r->at.file, r->at.line, r->path);
    if (r->map_count == MAX_MAPS || r->depth == MAX_DEPTH) return -EINVAL;
    snprintf(r->maps[r->map_count++], sizeof *r->maps, "%s", r->path);
    r->levels[r->depth++] = (struct level){ false, strlen(r->path) };
    r->section = false;
    return 0;
}

static int begin_list(struct reading *r)
{
    if (!r->key || r->key->type != TYPE_LIST || r->levels[r->depth - 1].list || r->depth == MAX_DEPTH)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: no list is expected here.", r->at.file, r->at.line,
                         r->depth ? r->path : "the recipe");
    r->levels[r->depth] = (struct level){ true, r->levels[r->depth - 1].prefix };
    r->depth++;
    return 0;
}

static int key_name(struct reading *r, const char *name)
{
    const struct level *level = &r->levels[r->depth - 1];

    if (strlen(name) >= MAX_NAME || level->prefix + strlen(name) + 2 > sizeof r->path)
        return unknown(r->keys, name, &r->at);
    snprintf(r->path + level->prefix, sizeof r->path - level->prefix, "%s%s", level->prefix ? "." : "", name);
    if ((r->key = find(r->keys, r->path))) {
        bool *seen = &r->seen[r->key - r->keys->k];
        if (*seen) return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s is given twice.", r->at.file, r->at.line, r->path);
        *seen = true;
        if (r->key->type == TYPE_LIST) list_clear((struct clzt_list *)((char *)r->recipe + r->key->offset));
        return 0;
    }
    if ((r->section = is_section(r->keys, r->path))) return 0;
    return unknown(r->keys, r->path, &r->at);
}

static int scalar(struct reading *r, const char *value, size_t size)
{
    const struct level *level = r->depth ? &r->levels[r->depth - 1] : NULL;
    int ret;

    if (!level)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: expected a map of keys and values.", r->at.file, r->at.line);
    if (strlen(value) != size)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: the value contains a NUL character.", r->at.file, r->at.line, r->path);
    if (r->section) return no_value(r->keys, r->path, value, &r->at);
    if (!r->key) return key_name(r, value);
    ret = set_value(r->recipe, r->key, value, &r->at);
    if (!level->list) r->key = NULL;
    return ret;
}

static void end_level(struct reading *r)
{
    if (r->levels[--r->depth].list) r->key = NULL;
    if (r->depth) r->path[r->levels[r->depth - 1].prefix] = 0;
}

static int event(void *priv, const struct clzi_yaml_event *e)
{
    struct reading *r = priv;

    r->at.line = e->line;
    switch (e->kind) {
    case CLZI_YAML_SCALAR: return scalar(r, e->text, e->size);
    case CLZI_YAML_MAP: return begin_map(r);
    case CLZI_YAML_LIST: return begin_list(r);
    case CLZI_YAML_MAP_END:
    case CLZI_YAML_LIST_END: end_level(r); return 0;
    }
    return 0;
}

int clzt_recipe_parse(struct clzt_recipe *recipe, const char *text, size_t size, const char *name,
                      const struct clz_log *log)
{
    struct keys keys;
    struct reading r = { .recipe = recipe, .keys = &keys, .at = { name, 1, log } };

    keys_make(&keys);
    return clzi_yaml_parse(text, size, name, event, &r, log);
}

int clzt_recipe_load(struct clzt_recipe *recipe, const char *path, const struct clz_log *log)
{
    struct keys keys;
    struct reading r = { .recipe = recipe, .keys = &keys, .at = { path, 1, log } };

    keys_make(&keys);
    return clzi_yaml_load(path, event, &r, log);
}

// The keys that give the length of the pixel and of the adversarial phase; one of each group is set.
static const size_t lengths[2][3] = {
    { AT(steps), AT(pictures), AT(epochs) }, { AT(gan.steps), AT(gan.pictures), AT(gan.epochs) }
};

static int64_t *length(struct clzt_recipe *recipe, int phase, int unit)
{
    return (int64_t *)((char *)recipe + lengths[phase][unit]);
}

// steps=, pictures= or epochs= on the command line clears the others read from the file; steps=0 does so too, but pictures=0 and
// epochs=0 do not. Two on the command line remain, and are refused later.
static void length_given(struct clzt_recipe *recipe, const struct key *key)
{
    for (int phase = 0; phase < 2; phase++)
        for (int unit = 0; unit < 3; unit++) {
            if (key->offset != lengths[phase][unit] || (unit && !*length(recipe, phase, unit))) continue;
            for (int other = 0; other < 3 && !recipe->length_given[phase]; other++)
                if (other != unit) *length(recipe, phase, other) = 0;
            recipe->length_given[phase] = true;
        }
}

// Sets a list key from YAML: train=[photos, film.mkv].
static int set_list(struct clzt_recipe *recipe, const char *name, const char *value, const struct clz_log *log)
{
    const size_t size = strlen(name) + strlen(value) + 3;
    char *text;
    int ret;

    if (value[strlen(value) - 1] != ']')
        return clzi_fail(log, -EINVAL, "argument: %s: \"%.200s\" is neither a list, which ends with ], nor an existing file "
                         "or folder.", name, value);
    if (!(text = malloc(size))) return -ENOMEM;
    snprintf(text, size, "%s: %s", name, value);
    ret = clzt_recipe_parse(recipe, text, strlen(text), "argument", log);
    free(text);
    return ret;
}

int clzt_recipe_set(struct clzt_recipe *recipe, const char *assignment, const struct clz_log *log)
{
    const char *equals = strchr(assignment, '=');
    const struct place at = { "argument", 1, log };
    const struct key *key;
    struct keys keys;
    char name[MAX_NAME];
    int ret;

    if (!equals) return clzi_fail(log, -EINVAL, "argument \"%.200s\": expected key=value.", assignment);
    keys_make(&keys);
    snprintf(name, equals - assignment < MAX_NAME ? equals - assignment + 1 : MAX_NAME, "%s", assignment);
    if (!(key = find(&keys, name)))
        return is_section(&keys, name) ? no_value(&keys, name, equals + 1, &at) : unknown(&keys, name, &at);
    if (key->type == TYPE_LIST && equals[1] == '[' && access(equals + 1, F_OK)) return set_list(recipe, name, equals + 1, log);
    if (key->type == TYPE_LIST) list_clear((struct clzt_list *)((char *)recipe + key->offset));
    if ((ret = set_value(recipe, key, equals + 1, &at)) >= 0) length_given(recipe, key);
    return ret;
}

// ---- the whole recipe ----

int clzt_recipe_create(struct clzt_recipe **recipe)
{
    struct keys keys;
    struct clzt_recipe *r = *recipe = calloc(1, sizeof *r);
    const struct place at = { "default", 0, NULL };
    int ret = 0;

    if (!r) return -ENOMEM;
    keys_make(&keys);
    for (int i = 0; i < keys.count && !ret; i++)
        if (keys.k[i].type != TYPE_LIST) ret = set_value(r, &keys.k[i], keys.k[i].fallback, &at);
    if (ret) clzt_recipe_destroy(recipe);
    return ret;
}

void clzt_recipe_destroy(struct clzt_recipe **recipe)
{
    struct keys keys;

    if (!*recipe) return;
    keys_make(&keys);
    for (int i = 0; i < keys.count; i++) {
        void *field = (char *)*recipe + keys.k[i].offset;
        if (keys.k[i].type == TYPE_TEXT) free(*(char **)field);
        if (keys.k[i].type == TYPE_LIST) list_clear(field);
    }
    free(*recipe);
    *recipe = NULL;
}

static int check_text(const struct key *key, const char *text, const struct clz_log *log)
{
    const uint8_t *at = (const uint8_t *)text, *const end = at + strlen(text);
    int32_t code;

    while (at < end) {
        const uint8_t *const character = at;
        if (av_utf8_decode(&code, &at, end, AV_UTF8_FLAG_ACCEPT_NON_CHARACTERS) < 0)
            return clzi_fail(log, -EINVAL, "%s: byte %td, 0x%02x, is not UTF-8.", key->name,
                             character - (const uint8_t *)text + 1, *character);
    }
    return 0;
}

// Recipes and model files contain UTF-8 only.
static int check_texts(const struct clzt_recipe *recipe, const struct clz_log *log)
{
    struct keys keys;
    int ret = 0;

    keys_make(&keys);
    for (int i = 0; i < keys.count && !ret; i++) {
        const void *field = (const char *)recipe + keys.k[i].offset;
        const struct clzt_list *list = field;
        if (keys.k[i].type == TYPE_TEXT) ret = check_text(&keys.k[i], *(char *const *)field, log);
        for (int n = 0; keys.k[i].type == TYPE_LIST && n < list->count && !ret; n++)
            ret = check_text(&keys.k[i], list->items[n], log);
    }
    return ret;
}

static int check_lengths(struct clzt_recipe *recipe, const struct clz_log *log)
{
    static const char *const names[2][3] = { { "steps", "pictures", "epochs" }, { "gan.steps", "gan.pictures", "gan.epochs" } };

    for (int phase = 0; phase < 2; phase++)
        for (int a = 0; a < 3; a++)
            for (int b = a + 1; b < 3; b++)
                if (*length(recipe, phase, a) && *length(recipe, phase, b))
                    return clzi_fail(log, -EINVAL, "%s is %lld and %s is %lld: expected only one of them.", names[phase][a],
                                     (long long)*length(recipe, phase, a), names[phase][b],
                                     (long long)*length(recipe, phase, b));
    return 0;
}

static int check_warmup(const struct clzt_recipe *recipe, const struct clz_log *log)
{
    if (!recipe->steps || recipe->warmup <= recipe->steps) return 0;
    return clzi_fail(log, -EINVAL, "warmup is %lld, more than steps, %lld; expected warmup=%lld or less.",
                     (long long)recipe->warmup, (long long)recipe->steps, (long long)recipe->steps);
}

int clzt_recipe_check(struct clzt_recipe *recipe, const struct clz_log *log)
{
    double weight = 0;
    int ret;

    if ((ret = check_texts(recipe, log)) < 0) return ret;
    for (int i = 0; i < CLZT_MAX_LOSSES; i++) weight += recipe->loss[i];
    if (!recipe->train.count) return clzi_fail(log, -EINVAL, "train: no folder, video or picture is given.");
    if (clzt_recipe_splits(recipe) && recipe->val.count)
        return clzi_fail(log, -EINVAL, "val and split are both given; expected one of them.");
    if (!*recipe->net) return clzi_fail(log, -EINVAL, "net: the name is empty.");
    if (!*recipe->run) return clzi_fail(log, -EINVAL, "run: the path is empty.");
    if ((ret = check_lengths(recipe, log)) < 0) return ret;
    if (recipe->gan.smoothing > 0 && !clzt_gan_losses[recipe->gan.loss].smooth)
        return clzi_fail(log, -EINVAL, "gan.smoothing is %g; expected 0, because gan.loss is %s.", recipe->gan.smoothing,
                         clzt_gan_losses[recipe->gan.loss].name);
    if (recipe->scale && recipe->scale < recipe->size)
        return clzi_fail(log, -EINVAL, "scale is %d, expected at least size, %d.", recipe->scale, recipe->size);
    if (recipe->film.ortho + recipe->film.pan > 1 + 1e-9)
        return clzi_fail(log, -EINVAL, "film.ortho is %g and film.pan %g; expected shares whose sum is at most 1.",
                         recipe->film.ortho, recipe->film.pan);
    if (!(weight > 0)) return clzi_fail(log, -EINVAL, "loss: the weights of all losses are 0.");
    for (int i = 0; clzt_losses[i].name; i++)
        if (clzt_losses[i].of_logits && recipe->loss[i] > 0 && !recipe->head)
            return clzi_fail(log, -EINVAL, "loss.%s is %g; expected 0, because head is %s.", clzt_losses[i].name, recipe->loss[i],
                             heads[recipe->head]);
    for (int i = 0; clzt_losses[i].name; i++)
        if (clzt_losses[i].of_features && recipe->loss[i] > 0 && !*recipe->features)
            return clzi_fail(log, -EINVAL, "loss.%s is %g, but `features` names no model; expected one of lite0-features, which "
                             "colorize-train convert makes with net=lite0-features.", clzt_losses[i].name, recipe->loss[i]);
    if (recipe->adjustment > 0 && !recipe->head)
        return clzi_fail(log, -EINVAL, "adjustment is %g; expected 0, because head is %s.", recipe->adjustment,
                         heads[recipe->head]);
    // otherwise the model file could not be written after the last step
    if (recipe->working_size && recipe->working_size < MIN_WORKING)
        return clzi_fail(log, -EINVAL, "working_size is %d; expected %d to 2048, or 0 for the net's default.",
                         recipe->working_size, MIN_WORKING);
    if (strlen(recipe->license) > MAX_LICENSE)
        return clzi_fail(log, -EINVAL, "license: %zu bytes; expected at most %d.", strlen(recipe->license), MAX_LICENSE);
    for (int phase = 0; phase < 2; phase++) {
        int64_t *pictures = length(recipe, phase, 1);
        if (*pictures) *length(recipe, phase, 0) = (*pictures + recipe->batch - 1) / recipe->batch;
        *pictures = 0;
    }
    if (!recipe->steps && !recipe->epochs && !recipe->gan.steps && !recipe->gan.epochs) recipe->steps = 20000;
    return recipe->epochs ? 0 : check_warmup(recipe, log);
}

int clzt_recipe_length(struct clzt_recipe *recipe, int64_t pictures, const struct clz_log *log)
{
    for (int phase = 0; phase < 2; phase++) {
        int64_t *epochs = length(recipe, phase, 2);
        if (*epochs) *length(recipe, phase, 0) = (*epochs * pictures + recipe->batch - 1) / recipe->batch;
        *epochs = 0;
    }
    if (recipe->gan.critic > recipe->gan.steps)
        return clzi_fail(log, -EINVAL, "gan.critic is %lld, more than the steps of the adversarial phase, %lld.",
                         (long long)recipe->gan.critic, (long long)recipe->gan.steps);
    return check_warmup(recipe, log);
}

int clzt_recipe_shapes(const struct clzt_recipe *recipe, struct clzt_size shapes[CLZT_MAX_SHAPES], int *count,
                       const struct clz_log *log)
{
    const struct clzt_list *list = &recipe->shapes;
    char more;

    if (list->count > CLZT_MAX_SHAPES)
        return clzi_fail(log, -EINVAL, "shapes: %d are given; expected at most %d.", list->count, CLZT_MAX_SHAPES);
    for (int i = 0; i < list->count; i++)
        if (sscanf(list->items[i], "%dx%d%c", &shapes[i].w, &shapes[i].h, &more) != 2 || shapes[i].w < MIN_SHAPE ||
            shapes[i].w > MAX_SHAPE || shapes[i].h < MIN_SHAPE || shapes[i].h > MAX_SHAPE)
            return clzi_fail(log, -EINVAL, "shapes: \"%.100s\" is not WIDTHxHEIGHT, each from %d to %d.", list->items[i],
                             MIN_SHAPE, MAX_SHAPE);
    if (!list->count) shapes[0] = (struct clzt_size){ recipe->size, recipe->size };
    *count = list->count ? list->count : 1;
    return 0;
}

static int make_absolute(char **path, const char *folder)
{
    const size_t size = strlen(folder) + strlen(*path) + 2;
    char *text;

    if (!**path || **path == '/') return 0;
    if (!(text = malloc(size))) return -ENOMEM;
    snprintf(text, size, "%s/%s", folder, *path);
    free(*path);
    *path = text;
    return 0;
}

int clzt_recipe_absolute(struct clzt_recipe *recipe)
{
    struct keys keys;
    char *folder = getcwd(NULL, 0);
    int ret = folder ? 0 : -errno;

    keys_make(&keys);
    for (int i = 0; i < keys.count && !ret; i++) {
        void *field = (char *)recipe + keys.k[i].offset;
        if (!(keys.k[i].flags & PATH)) continue;
        if (keys.k[i].type == TYPE_TEXT) ret = make_absolute(field, folder);
        else for (int n = 0; n < ((struct clzt_list *)field)->count && !ret; n++)
            ret = make_absolute(&((struct clzt_list *)field)->items[n], folder);
    }
    free(folder);
    return ret;
}

// The text of a value that is no list. number: memory for the digits of a number.
static const char *scalar_text(const struct clzt_recipe *recipe, const struct key *key, char number[CLZI_DECIMAL_SIZE])
{
    const void *field = (const char *)recipe + key->offset;

    switch (key->type) {
    case TYPE_TEXT: return *(char *const *)field;
    case TYPE_BOOL: return *(const bool *)field ? "true" : "false";
    case TYPE_CHOICE: return key->choices[*(const int *)field];
    case TYPE_INT: snprintf(number, CLZI_DECIMAL_SIZE, "%d", *(const int *)field); break;
    case TYPE_COUNT: snprintf(number, CLZI_DECIMAL_SIZE, "%lld", (long long)*(const int64_t *)field); break;
    case TYPE_REAL: clzi_shortest_decimal(number, *(const double *)field, false); break;
    case TYPE_LIST: break;
    }
    return number;
}

// ---- writing YAML: these functions return whether they succeeded, as libyaml's do ----

static bool emit(yaml_emitter_t *emitter, int initialised, yaml_event_t *event)
{
    return initialised && yaml_emitter_emit(emitter, event);
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, size_t size, bool quoted)
{
    yaml_event_t event;

    return emit(emitter, yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)size, 1, 1,
                quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE), &event);
}

static bool begin_section(yaml_emitter_t *emitter)
{
    yaml_event_t event;
    return emit(emitter, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE), &event);
}

static bool end_section(yaml_emitter_t *emitter)
{
    yaml_event_t event;
    return emit(emitter, yaml_mapping_end_event_initialize(&event), &event);
}

static bool emit_list(yaml_emitter_t *emitter, const struct clzt_list *list)
{
    yaml_event_t event;
    bool ok = emit(emitter, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE), &event);

    for (int i = 0; i < list->count && ok; i++) ok = emit_scalar(emitter, list->items[i], strlen(list->items[i]), true);
    return ok && emit(emitter, yaml_sequence_end_event_initialize(&event), &event);
}

static bool emit_value(yaml_emitter_t *emitter, const struct clzt_recipe *recipe, const struct key *key)
{
    char number[CLZI_DECIMAL_SIZE];
    const char *text;

    if (key->type == TYPE_LIST) return emit_list(emitter, (const struct clzt_list *)((const char *)recipe + key->offset));
    text = scalar_text(recipe, key, number);
    return emit_scalar(emitter, text, strlen(text), key->type == TYPE_TEXT);
}

// The keys of a section follow each other in the table.
static bool emit_keys(yaml_emitter_t *emitter, const struct clzt_recipe *recipe, const struct keys *keys)
{
    const char *section = NULL;             // the key before; begins with the name of the open section
    size_t open = 0;                        // length of that name, 0: no section is open
    bool ok = true;

    for (int i = 0; i < keys->count && ok; i++) {
        const char *name = keys->k[i].name, *dot = strchr(name, '.');
        const size_t size = dot ? (size_t)(dot - name) : 0;
        const bool same = open && open == size && !strncmp(section, name, size + 1);
        if (open && !same) ok = end_section(emitter);
        if (size && !same) ok = ok && emit_scalar(emitter, name, size, false) && begin_section(emitter);
        section = name;
        open = size;
        ok = ok && emit_scalar(emitter, dot ? dot + 1 : name, strlen(dot ? dot + 1 : name), false) &&
             emit_value(emitter, recipe, &keys->k[i]);
    }
    return ok && (!open || end_section(emitter));
}

int clzt_recipe_write(const struct clzt_recipe *recipe, FILE *file)
{
    yaml_emitter_t emitter;
    yaml_event_t event;
    struct keys keys;
    bool ok;

    keys_make(&keys);
    if (!yaml_emitter_initialize(&emitter)) return -ENOMEM;
    yaml_emitter_set_output_file(&emitter, file);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);   // no line breaks in long texts
    ok = emit(&emitter, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event) &&
         emit(&emitter, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event) &&
         begin_section(&emitter) && emit_keys(&emitter, recipe, &keys) && end_section(&emitter) &&
         emit(&emitter, yaml_document_end_event_initialize(&event, 1), &event) &&
         emit(&emitter, yaml_stream_end_event_initialize(&event), &event);
    yaml_emitter_delete(&emitter);
    return ok && !fflush(file) && !ferror(file) ? 0 : ferror(file) ? -EIO : -ENOMEM;
}

int clzt_recipe_print_keys(FILE *file, bool markdown)
{
    struct keys keys;

    keys_make(&keys);
    if (markdown) fputs("| key | default | value | meaning |\n|---|---|---|---|\n", file);
    for (int i = 0; i < keys.count; i++) {
        const struct key *key = &keys.k[i];
        const char *fallback = key->type == TYPE_TEXT && !*key->fallback ? "\"\"" : key->fallback;
        char expected[200];
        expectation(key, expected, sizeof expected);
        if (markdown) fprintf(file, "| `%s` | %s | %s | %s |\n", key->name, fallback, expected, key->help);
        else fprintf(file, "  %-16s %s\n  %-16s %s; default %s\n", key->name, key->help, "", expected, fallback);
    }
    return ferror(file) ? -EIO : 0;
}

static bool equal_lists(const struct clzt_list *a, const struct clzt_list *b)
{
    bool same = a->count == b->count;

    for (int i = 0; same && i < a->count; i++) same = !strcmp(a->items[i], b->items[i]);
    return same;
}

static bool equal(const struct clzt_recipe *a, const struct clzt_recipe *b, const struct key *key)
{
    const void *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;

    switch (key->type) {
    case TYPE_TEXT: return !strcmp(*(char *const *)x, *(char *const *)y);
    case TYPE_BOOL: return *(const bool *)x == *(const bool *)y;
    case TYPE_CHOICE:
    case TYPE_INT: return *(const int *)x == *(const int *)y;
    case TYPE_COUNT: return *(const int64_t *)x == *(const int64_t *)y;
    case TYPE_REAL: return *(const double *)x == *(const double *)y;
    case TYPE_LIST: break;
    }
    return equal_lists(x, y);
}

// Writes a value in the form that is hashed. Checkpoints contain such hashes, so the form must not change.
static void hash_text(FILE *file, const struct clzt_recipe *recipe, const struct key *key)
{
    const struct clzt_list *list = (const struct clzt_list *)((const char *)recipe + key->offset);
    char number[CLZI_DECIMAL_SIZE];

    if (key->type != TYPE_LIST) {
        fprintf(file, key->type == TYPE_TEXT ? "\"%s\"" : "%s", scalar_text(recipe, key, number));
        return;
    }
    for (int i = 0; i < list->count; i++) fprintf(file, "%s\"%s\"", i ? ", " : "[", list->items[i]);
    fputs(list->count ? "]" : "[]", file);
}

// Keys at their default are left out, so that a key added later does not change the hashes of earlier runs.
uint64_t clzt_recipe_hash(const struct clzt_recipe *recipe)
{
    uint64_t hash = CLZK_FNV1A_TRAINER;
    struct clzt_recipe *fresh = NULL;
    struct keys keys;
    char *text = NULL;
    size_t size = 0;
    FILE *file = NULL;

    if (clzt_recipe_create(&fresh) || !(file = open_memstream(&text, &size))) {
        clzt_recipe_destroy(&fresh);
        return 0;
    }
    keys_make(&keys);
    for (int i = 0; i < keys.count; i++)
        if (keys.k[i].flags & NUMBERS && !equal(recipe, fresh, &keys.k[i])) {
            fprintf(file, "%s=", keys.k[i].name);
            hash_text(file, recipe, &keys.k[i]);
            fputc('\n', file);
        }
    if (fclose(file)) size = 0;
    hash = clzk_fnv1a(hash, text, size);
    free(text);
    clzt_recipe_destroy(&fresh);
    return hash;
}

// What the schedule leaves of the learning rate, after the share `done` of the steps.
static double left(int schedule, double end, double done)
{
    const double half_turn = 3.141592653589793;
    double part = 1;

    if (done > 1) done = 1;
    if (schedule == CLZT_SCHEDULE_COSINE) part = 0.5 + 0.5 * cos(half_turn * done);
    if (schedule == CLZT_SCHEDULE_LINEAR) part = 1 - done;
    return end + (1 - end) * part;
}

double clzt_recipe_lr(const struct clzt_recipe *r, int64_t step)
{
    const bool adversarial = r->gan.steps && step > r->steps;
    const double length = (double)(adversarial ? r->gan.steps : r->steps - r->warmup);
    const double done = length > 1 ? (step - (adversarial ? r->steps : r->warmup) - 1) / (length - 1) : 0;

    if (adversarial) return r->gan.lr * left(r->gan.schedule, r->gan.lr_end, done);
    if (step <= r->warmup) return r->lr * step / r->warmup;
    return r->lr * left(r->schedule, r->lr_end, done);
}
