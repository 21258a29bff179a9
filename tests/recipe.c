// recipe.c - recipes: reading, the messages of errors, writing, the hash, the learning rate.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "trainer/recipe.h"

static char said[1000];                     // the last message

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv;
    (void)level;
    snprintf(said, sizeof said, "%s", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_INFO };

static int parse(struct clzt_recipe *r, const char *text)
{
    said[0] = 0;
    return clzt_recipe_parse(r, text, strlen(text), "r.yaml", &listener);
}

static int loss(const char *name)           // its row in clzt_losses
{
    int i = 0;
    while (clzt_losses[i].name && strcmp(clzt_losses[i].name, name)) i++;
    REQUIRE(clzt_losses[i].name);
    return i;
}

static struct clzt_recipe *fresh(void)
{
    struct clzt_recipe *r = NULL;
    REQUIRE_INT(clzt_recipe_create(&r), 0);
    return r;
}

// Requires that the text is refused with a message that contains both words.
static void refused(const char *text, const char *word, const char *other)
{
    struct clzt_recipe *r = fresh();

    REQUIRE_INT(parse(r, text), -EINVAL);
    if (!strstr(said, word) || !strstr(said, other)) printf("  said: %s\n", said);
    REQUIRE(strstr(said, word));
    REQUIRE(strstr(said, other));
    clzt_recipe_destroy(&r);
    REQUIRE(!r);
}

static void reads(void)
{
    struct clzt_recipe *r = fresh();
    const int l1 = loss("l1"), chroma = loss("chroma");

    CASE("recipe/defaults");
    REQUIRE_STR(r->net, "light");
    REQUIRE_NEAR(r->beta1, 0.9, 0);
    for (int i = 0; clzt_losses[i].name; i++) REQUIRE_NEAR(r->loss[i], i == l1, 0);
    REQUIRE_INT(r->luma, CLZT_LUMA_RANDOM);
    REQUIRE_INT(r->train.count, 0);

    CASE("recipe/reads_every_type");
    REQUIRE_INT(parse(r, "# a comment\n"
                         "net: unet\n"
                         "train: [a b, \"c\\\"d\"]\n"
                         "val: photos\n"
                         "seed: 9007199254740992\n"
                         "batch: 7\n"
                         "flip: no\n"
                         "lr: 2e-4\n"
                         "luma: lstar\n"
                         "lr_schedule: linear\n"
                         "film: {grain: 0.25}\n"
                         "loss:\n"
                         "  l1: 100\n"
                         "  chroma: 0.5\n"
                         "notes: \"two\\nlines\"\n"), 0);
    REQUIRE_STR(said, "");
    REQUIRE_STR(r->net, "unet");
    REQUIRE_INT(r->train.count, 2);
    REQUIRE_STR(r->train.items[0], "a b");
    REQUIRE_STR(r->train.items[1], "c\"d");
    REQUIRE_INT(r->val.count, 1);
    REQUIRE_INT(r->seed, 9007199254740992);
    REQUIRE_INT(r->batch, 7);
    REQUIRE(!r->flip);
    REQUIRE_NEAR(r->lr, 2e-4, 0);
    REQUIRE_INT(r->luma, CLZT_LUMA_LSTAR);
    REQUIRE_INT(r->schedule, CLZT_SCHEDULE_LINEAR);
    REQUIRE_NEAR(r->film.grain, 0.25, 0);
    REQUIRE_NEAR(r->loss[l1], 100, 0);
    REQUIRE_NEAR(r->loss[chroma], 0.5, 0);
    REQUIRE_STR(r->notes, "two\nlines");

    CASE("recipe/arguments_override");
    REQUIRE_INT(clzt_recipe_set(r, "loss.chroma=0.1", &listener), 0);
    REQUIRE_NEAR(r->loss[chroma], 0.1, 0);
    REQUIRE_NEAR(r->loss[l1], 100, 0);
    REQUIRE_INT(clzt_recipe_set(r, "run=a=b: c", &listener), 0);
    REQUIRE_STR(r->run, "a=b: c");
    REQUIRE_INT(clzt_recipe_set(r, "train=one", &listener), 0);
    REQUIRE_INT(r->train.count, 1);
    REQUIRE_INT(clzt_recipe_set(r, "train=[x, y, z]", &listener), 0);
    REQUIRE_INT(r->train.count, 3);
    REQUIRE_STR(r->train.items[2], "z");
    REQUIRE_INT(clzt_recipe_set(r, "batchs=4", &listener), -EINVAL);
    REQUIRE(strstr(said, "\"batch\""));
    REQUIRE_INT(clzt_recipe_set(r, "batch", &listener), -EINVAL);
    REQUIRE_INT(clzt_recipe_set(r, "batch=0", &listener), -EINVAL);
    REQUIRE(strstr(said, "1 to 4096"));
    clzt_recipe_destroy(&r);
}

static void refuses(void)
{
    char deep[3000], *big = malloc((1 << 20) + 2);

    CASE("recipe/unknown_key_names_line_and_nearest");
    refused("net: light\n\nbtach: 3\n", "r.yaml:3:", "\"batch\"");
    refused("grain: 0.1\n", "\"grain\"", "\"film.grain\"");
    refused("film:\n  grian: 1\n", "r.yaml:2:", "\"film.grain\"");
    refused("zzzzzzzzzzzz: 1\n", "r.yaml:1:", "no key is called \"zzzzzzzzzzzz\".");

    CASE("recipe/bad_value_names_key_value_and_expectation");
    refused("batch: many\n", "batch: \"many\"", "a whole number from 1 to 4096");
    refused("batch: 5000\n", "\"5000\"", "4096");
    refused("batch: 2.5\n", "\"2.5\"", "whole");
    refused("batch: 99999999999999999999\n", "\"99999999999999999999\"", "whole");
    refused("lr: nan\n", "lr: \"nan\"", "a number from 0 to 10");
    refused("lr: -1\n", "\"-1\"", "a number");
    refused("film: {vignette: 1}\n", "film.vignette: \"1\"", "a number from 0 to 0.9");
    refused("flip: maybe\n", "\"maybe\"", "true or false");
    refused("luma: 602\n", "\"602\"", "one of random, 601, 709, 2020, lstar");
    refused("batch: [1]\n", "batch", "list");
    refused("batch: {a: 1}\n", "batch", "map");
    refused("train: [[a]]\n", "train", "list");
    refused("loss: 3\n", "loss", "map");

    CASE("recipe/numbers_are_decimal");
    static const struct { const char *text, *word; } numbers[] = {
        { "batch: 010\n", "begins with 0, which some YAML readers interpret as octal; write 10." }, { "seed: 007\n", "write 7." },
        { "workers: 00\n", "write 0." }, { "lr: 010\n", "write 10." }, { "lr: 00.5\n", "write 0.5." },
        { "batch: -08\n", "write -8." },
        { "batch: 0x10\n", "\"0x10\" is not a whole number" }, { "lr: 0x1p-3\n", "\"0x1p-3\" is not a number" },
        { "batch: \" 5\"\n", "\" 5\" is not" }, { "lr: inf\n", "\"inf\" is not" }, { "batch: 1e3\n", "\"1e3\" is not" },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) refused(numbers[i].text, "r.yaml:1:", numbers[i].word);
    static const struct { const char *text; double lr; } reals[] = {
        { "lr: 0\n", 0 }, { "lr: 0.5\n", 0.5 }, { "lr: +1\n", 1 }, { "lr: .25\n", 0.25 }, { "lr: 0e0\n", 0 },
        { "lr: 1e-04\n", 1e-4 },
    };
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        struct clzt_recipe *r = fresh();
        REQUIRE_INT(parse(r, reals[i].text), 0);
        REQUIRE_NEAR(r->lr, reals[i].lr, 0);
        clzt_recipe_destroy(&r);
    }

    CASE("recipe/structure");
    refused("batch: 1\nbatch: 2\n", "r.yaml:2:", "twice");
    refused("loss: {l1: 1}\nloss: {chroma: 1}\n", "r.yaml:2:", "twice");
    refused("loss: {l1: 1}\nloss.l1: 1\n", "r.yaml:2:", "twice");
    refused("- batch\n", "r.yaml:1:", "list");
    refused("batch\n", "r.yaml:1:", "map of keys");
    refused("batch: 1\n---\nbatch: 2\n", "r.yaml:2:", "second YAML document");
    refused("run: &a x\nnotes: *a\n", "r.yaml:1:", "anchors");
    refused("run: *a\n", "r.yaml:1:", "alias");
    refused("batch: !!int 3\n", "r.yaml:1:", "tags");
    refused("run: \"a\\0b\"\n", "run", "NUL");
    refused("train: [\n", "r.yaml:", "not YAML");
    refused("? {a: b}\n: c\n", "r.yaml:1:", "map");

    CASE("recipe/limits");
    memset(deep, '[', 2000);
    strcpy(deep + 2000, "\n");
    refused(deep, "r.yaml:1:", "");
    memset(big, '#', (1 << 20) + 1);
    big[(1 << 20) + 1] = 0;
    refused(big, "1048577", "1048576");
    free(big);

    CASE("recipe/missing_file");
    struct clzt_recipe *r = fresh();
    REQUIRE_INT(clzt_recipe_load(r, "/nonexistent/r.yaml", &listener), -ENOENT);
    REQUIRE(strstr(said, "/nonexistent/r.yaml"));
    clzt_recipe_destroy(&r);
}

static void checks(void)
{
    struct clzt_recipe *r = fresh();
    char license[300];

    CASE("recipe/check");
    REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
    REQUIRE(strstr(said, "train"));
    REQUIRE_INT(parse(r, "train: x\npictures: 1001\nbatch: 10\nwarmup: 0\n"), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), 0);
    REQUIRE_INT(r->steps, 101);
    REQUIRE_INT(clzt_recipe_check(r, &listener), 0);            // a second check changes nothing
    REQUIRE_INT(r->steps, 101);
    REQUIRE_INT(clzt_recipe_set(r, "warmup=102", NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
    REQUIRE(strstr(said, "warmup=101 or less"));
    REQUIRE_INT(clzt_recipe_set(r, "warmup=0", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(r, "working_size=31", NULL), 0);  // smaller than a model file may say
    REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
    REQUIRE(strstr(said, "working_size") && strstr(said, "32"));
    REQUIRE_INT(clzt_recipe_set(r, "working_size=32", NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), 0);
    snprintf(license, sizeof license, "license=%0256d", 0);
    REQUIRE_INT(clzt_recipe_set(r, license, NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
    REQUIRE(strstr(said, "license") && strstr(said, "255"));
    REQUIRE_INT(clzt_recipe_set(r, "license=CC0", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(r, "film.ortho=0.6", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(r, "film.pan=0.5", NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
    REQUIRE(strstr(said, "film.ortho is 0.6 and film.pan 0.5"));
    REQUIRE_INT(clzt_recipe_set(r, "film.pan=0.4", NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), 0);
    REQUIRE_INT(clzt_recipe_set(r, "loss.l1=0", NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
    clzt_recipe_destroy(&r);

    CASE("recipe/length_of_an_argument_wins");
    static const struct { const char *text, *arguments[2]; int64_t steps; } lengths[] = {       // steps 0: refused
        { "steps: 7\npictures: 70\n", { NULL, NULL }, 0 },
        { "pictures: 70\n", { "steps=5", NULL }, 5 },
        { "steps: 7\n", { "pictures=90", NULL }, 9 },
        { "steps: 7\n", { "pictures=90", "pictures=80" }, 8 },
        { "steps: 7\npictures: 70\n", { "steps=5", NULL }, 5 },
        { "steps: 7\n", { "pictures=0", NULL }, 7 },
        { "pictures: 70\n", { "steps=0", NULL }, 20000 },
        { "pictures: 70\n", { "steps=0", "pictures=80" }, 8 },
        { "", { "steps=5", "pictures=90" }, 0 },
        { "pictures: 70\n", { "pictures=90", "steps=5" }, 0 },
    };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        r = fresh();
        REQUIRE_INT(parse(r, "train: x\nbatch: 10\nwarmup: 0\n"), 0);
        REQUIRE_INT(parse(r, lengths[i].text), 0);
        for (int k = 0; k < 2; k++)
            if (lengths[i].arguments[k]) REQUIRE_INT(clzt_recipe_set(r, lengths[i].arguments[k], &listener), 0);
        REQUIRE_INT(clzt_recipe_check(r, &listener), lengths[i].steps ? 0 : -EINVAL);
        if (lengths[i].steps) REQUIRE_INT(r->steps, lengths[i].steps);
        clzt_recipe_destroy(&r);
    }

    CASE("recipe/text_is_utf8");            // otherwise recipe.yaml or the model could not be written
    static const char *const bad[] = { "license=caf\xe9", "train=ph\xe9", "train=[a, b\xff]", "run=\xc0\xaf",
                                       "notes=\xed\xa0\x80",
                                       "notes=\xf4\x90\x80\x80", "notes=\xe2\x82", "notes=\x80", NULL };
    for (int i = 0; bad[i]; i++) {
        char name[10];
        snprintf(name, sizeof name, "%.*s:", (int)strcspn(bad[i], "="), bad[i]);
        r = fresh();
        REQUIRE_INT(clzt_recipe_set(r, "train=x", NULL), 0);
        if (clzt_recipe_set(r, bad[i], NULL) < 0) REQUIRE(!strcmp(bad[i], bad[2]));     // a list is refused by the YAML parser
        else {
            REQUIRE_INT(clzt_recipe_check(r, &listener), -EINVAL);
            REQUIRE(strstr(said, name) && strstr(said, "UTF-8"));
        }
        clzt_recipe_destroy(&r);
    }
    r = fresh();
    REQUIRE_INT(clzt_recipe_set(r, "train=caf\xc3\xa9", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(r, "notes=\xe2\x82\xac \xf0\x9f\x8e\xa5 \xed\x9f\xbf \xf4\x8f\xbf\xbf", NULL), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), 0);
    clzt_recipe_destroy(&r);

    CASE("recipe/learning_rate");
    r = fresh();
    r->lr = 1;
    r->lr_end = 0.1;
    r->warmup = 10;
    r->steps = 111;
    r->schedule = CLZT_SCHEDULE_COSINE;
    REQUIRE_NEAR(clzt_recipe_lr(r, 1), 0.1, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 10), 1, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 11), 1, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 61), 0.55, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 111), 0.1, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 500), 0.1, 1e-12);
    r->schedule = CLZT_SCHEDULE_LINEAR;
    REQUIRE_NEAR(clzt_recipe_lr(r, 36), 0.775, 1e-12);
    r->schedule = CLZT_SCHEDULE_CONSTANT;
    REQUIRE_NEAR(clzt_recipe_lr(r, 111), 1, 1e-12);
    r->warmup = 0;
    REQUIRE_NEAR(clzt_recipe_lr(r, 1), 1, 1e-12);
    clzt_recipe_destroy(&r);
}

static void check_length(const char *const *set, const char *argument, int64_t pictures, int64_t steps, int64_t gan)
{
    struct clzt_recipe *r = fresh();

    REQUIRE_INT(clzt_recipe_set(r, "train=x", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(r, "batch=16", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(r, "warmup=0", NULL), 0);
    for (; *set; set++) REQUIRE_INT(clzt_recipe_parse(r, *set, strlen(*set), "r.yaml", &listener), 0);
    if (argument) REQUIRE_INT(clzt_recipe_set(r, argument, &listener), 0);
    REQUIRE_INT(clzt_recipe_check(r, &listener), 0);
    REQUIRE_INT(clzt_recipe_length(r, pictures, &listener), 0);
    REQUIRE_INT(r->steps, steps);
    REQUIRE_INT(r->gan.steps, gan);
    REQUIRE_INT(clzt_recipe_total(r), steps + gan);
    REQUIRE(!r->pictures && !r->epochs && !r->gan.pictures && !r->gan.epochs);
    clzt_recipe_destroy(&r);
}

static void phases(void)
{
    static const char *const refused[][2] = {
        { "steps: 3\nepochs: 2", "steps is 3 and epochs is 2: expected only one of them" },
        { "gan: {pictures: 3, epochs: 2}", "gan.pictures is 3 and gan.epochs is 2: expected only one of them" },
        { "gan: {steps: 9, loss: hinge, smoothing: 0.1}", "gan.smoothing is 0.1; expected 0, because gan.loss is hinge" },
        { "gan: {steps: 9, critic: 10}", "gan.critic is 10, more than the steps of the adversarial phase, 9" },
        { "epochs: 1\nwarmup: 8", "warmup is 8, more than steps, 7; expected warmup=7 or less" },
        { "gan: {steps: 9, critic: 10, epochs: 0, loss: wgan}", "gan.loss: \"wgan\" is not one of bce, lsgan, hinge" },
    };
    struct clzt_recipe *r;

    CASE("recipe/lengths_of_the_phases");
    check_length((const char *const[]){ NULL }, NULL, 100, 20000, 0);
    check_length((const char *const[]){ "epochs: 3", NULL }, NULL, 100, 19, 0);                 // 300 / 16 pictures
    check_length((const char *const[]){ "epochs: 20\ngan: {epochs: 20}", NULL }, NULL, 8000, 10000, 10000);
    check_length((const char *const[]){ "steps: 7\ngan: {pictures: 33}", NULL }, NULL, 100, 7, 3);
    check_length((const char *const[]){ "gan: {epochs: 2}", NULL }, NULL, 160, 0, 20);          // the adversarial phase alone
    check_length((const char *const[]){ "epochs: 3\ngan: {epochs: 3}", NULL }, "steps=5", 160, 5, 30);
    check_length((const char *const[]){ "epochs: 3\ngan: {epochs: 3}", NULL }, "gan.steps=5", 160, 30, 5);

    CASE("recipe/refuses_phases");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        r = fresh();
        REQUIRE_INT(clzt_recipe_set(r, "train=x", NULL), 0);
        REQUIRE_INT(clzt_recipe_set(r, "warmup=0", NULL), 0);
        if (clzt_recipe_parse(r, refused[i][0], strlen(refused[i][0]), "r.yaml", &listener) == 0 &&
            clzt_recipe_check(r, &listener) == 0)
            REQUIRE_INT(clzt_recipe_length(r, 7 * r->batch, &listener), -EINVAL);
        if (!strstr(said, refused[i][1])) printf("  \"%s\" is not in: %s", refused[i][1], said);
        REQUIRE(strstr(said, refused[i][1]));
        clzt_recipe_destroy(&r);
    }

    CASE("recipe/learning_rate_of_the_adversarial_phase");
    r = fresh();
    r->lr = 1, r->steps = 100, r->warmup = 0;
    r->gan.steps = 11, r->gan.lr = 0.5;
    REQUIRE_NEAR(clzt_recipe_lr(r, 100), 0.02, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 101), 0.5, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 111), 0.5, 1e-12);
    r->gan.schedule = CLZT_SCHEDULE_LINEAR;
    REQUIRE_NEAR(clzt_recipe_lr(r, 101), 0.5, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 106), 0.25, 1e-12);
    REQUIRE_NEAR(clzt_recipe_lr(r, 111), 0, 1e-12);

    CASE("recipe/adversarial_losses_are_those_of_the_table");
    for (int i = 0; clzt_gan_losses[i].name; i++) {
        char text[40];
        snprintf(text, sizeof text, "gan.loss=%s", clzt_gan_losses[i].name);
        REQUIRE_INT(clzt_recipe_set(r, text, NULL), 0);
        REQUIRE_INT(r->gan.loss, i);
    }
    clzt_recipe_destroy(&r);
}

static void brackets(void)
{
    struct clzt_recipe *r = fresh();
    char folder[] = "colorize-recipe-XXXXXX", old[4000];

    CASE("recipe/path_that_looks_like_a_list");
    if (!getcwd(old, sizeof old) || !mkdtemp(folder) || chdir(folder)) {
        printf("  skip: no folder for temporary files\n");
        clzt_recipe_destroy(&r);
        return;
    }
    REQUIRE(!mkdir("[1920x1080] reel", 0777) && !mkdir("[a, b]", 0777));
    REQUIRE_INT(clzt_recipe_set(r, "train=[1920x1080] reel", &listener), 0);
    REQUIRE(r->train.count == 1 && !strcmp(r->train.items[0], "[1920x1080] reel"));
    REQUIRE_INT(clzt_recipe_set(r, "train=[a, b]", &listener), 0);              // an existing folder
    REQUIRE(r->train.count == 1 && !strcmp(r->train.items[0], "[a, b]"));
    REQUIRE_INT(clzt_recipe_set(r, "train=[a, c]", &listener), 0);              // no such folder: a list
    REQUIRE(r->train.count == 2 && !strcmp(r->train.items[1], "c"));
    REQUIRE_INT(clzt_recipe_set(r, "val=[\"[1920x1080] reel\", more]", &listener), 0);
    REQUIRE(r->val.count == 2 && !strcmp(r->val.items[0], "[1920x1080] reel"));
    REQUIRE_INT(clzt_recipe_set(r, "train=[1920x1080] rel", &listener), -EINVAL);
    REQUIRE(strstr(said, "train: \"[1920x1080] rel\" is neither a list, which ends with ], nor an existing file or folder"));
    clzt_recipe_destroy(&r);
    rmdir("[1920x1080] reel");
    rmdir("[a, b]");
    REQUIRE(!chdir(old));
    rmdir(folder);
}

static char *written(const struct clzt_recipe *r)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    REQUIRE_INT(clzt_recipe_write(r, file), 0);
    fclose(file);
    return text;
}

static void writes(void)
{
    struct clzt_recipe *a = fresh(), *b = fresh();
    char *first, *second, folder[4000];

    CASE("recipe/written_reads_back_the_same");
    REQUIRE_INT(parse(a, "train: [\"a: \\\"b\\\" \\\\ #\", \" x\", \"-\"]\nlr: 0.1\neps: 3.3333333333333333e-9\n"
                         "notes: \"l1\\n\\tl2\"\n"
                         "loss: {chroma: 0.30000000000000004}\nluma: 2020\nflip: off\nseed: 123456789012345\n"), 0);
    first = written(a);
    REQUIRE_INT(parse(b, first), 0);
    second = written(b);
    REQUIRE_STR(second, first);
    REQUIRE(b->loss[loss("chroma")] == a->loss[loss("chroma")] && b->eps == a->eps);
    REQUIRE_STR(b->train.items[0], "a: \"b\" \\ #");
    REQUIRE(clzt_recipe_hash(a) == clzt_recipe_hash(b));

    CASE("recipe/hash_follows_numbers_only");
    REQUIRE_INT(clzt_recipe_set(b, "workers=3", NULL), 0);
    REQUIRE_INT(clzt_recipe_set(b, "run=elsewhere", NULL), 0);
    REQUIRE(clzt_recipe_hash(a) == clzt_recipe_hash(b));
    REQUIRE_INT(clzt_recipe_set(b, "film.grain=0.031", NULL), 0);
    REQUIRE(clzt_recipe_hash(a) != clzt_recipe_hash(b));

    CASE("recipe/hash_leaves_out_defaults");                    // so that new keys do not change the hashes of old recipes
    struct clzt_recipe *c = fresh();
    REQUIRE(clzt_recipe_hash(c) == 1469598103934665603u);       // the start value of the hash
    REQUIRE_INT(clzt_recipe_set(c, "lr=0.0005", NULL), 0);      // the default, given explicitly
    REQUIRE(clzt_recipe_hash(c) == 1469598103934665603u);
    REQUIRE_INT(clzt_recipe_set(c, "net=other", NULL), 0);
    REQUIRE(clzt_recipe_hash(c) != 1469598103934665603u);
    clzt_recipe_destroy(&c);

    CASE("recipe/absolute");
    REQUIRE_INT(clzt_recipe_set(b, "train=[here, /there]", NULL), 0);
    REQUIRE_INT(clzt_recipe_absolute(b), 0);
    REQUIRE(getcwd(folder, 3000));
    strcat(folder, "/here");
    REQUIRE_STR(b->train.items[0], folder);
    REQUIRE_STR(b->train.items[1], "/there");
    REQUIRE_STR(b->init, "");
    free(first);
    free(second);
    clzt_recipe_destroy(&a);
    clzt_recipe_destroy(&b);
}

static void writes_text(void)
{
    static const unsigned special[] = { 0x2028, 0x2029, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x10fffe };
    const int specials = sizeof special / sizeof *special;

    CASE("recipe/text_written_as_yaml_takes_it");
    for (int i = 0; i < specials + 0x300; i++) {
        const unsigned code = i < specials ? special[i] : (unsigned)(i - specials + 1);
        const int n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        struct clzt_recipe *a = fresh(), *b = fresh();
        char text[20] = "notes=a", *yaml;
        text[7] = (char)(n == 1 ? code : 0xf00 >> n | code >> 6 * (n - 1));
        for (int k = 1; k < n; k++) text[7 + k] = (char)(0x80 | (code >> 6 * (n - 1 - k) & 0x3f));
        strcat(text, "b");
        REQUIRE_INT(clzt_recipe_set(a, text, NULL), 0);
        yaml = written(a);
        REQUIRE_INT(parse(b, yaml), 0);
        REQUIRE_STR(b->notes, text + 6);
        free(yaml);
        clzt_recipe_destroy(&a);
        clzt_recipe_destroy(&b);
    }
}

int main(void)
{
    reads();
    refuses();
    checks();
    phases();
    brackets();
    writes();
    writes_text();
    return check_end();
}
