// film.c - the simulated defects of film (`film` of a recipe): what each does to the network's input, how often and how much, and
// that none changes the true colours or the random numbers of another.
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "kernels/fnv.h"
#include "trainer/crop.h"
#include "trainer/data.h"
#include "trainer/sheet.h"

enum { W = 64, H = 48, PIXELS = W * H, BATCH = 4, SIDE = 32, DRAWS = 4000 };

static const struct clzt_size size = { W, H };
static const struct clzt_loader_params plain = { .size = H, .luma = CLZT_LUMA_601, .seed = 9 };
static uint8_t rgb[3 * 100 * 80];
static const struct clzt_picture picture = { 100, 80, rgb, rgb + 8000, rgb + 16000 };
static float l[PIXELS], ab[2 * PIXELS], true_l[PIXELS];
static struct clzt_crop_tables tables;
static struct clzt_crop_scratch *scratch;

// The 8-bit code of the input's grey.
static int code_at(int x, int y)
{
    for (int k = 0; k < 256; k++)
        if (l[y * W + x] == tables.l_of_luma[k]) return k;
    return -1;
}

static void fill(int r, int g, int b)
{
    memset(rgb, r, 8000);
    memset(rgb + 8000, g, 8000);
    memset(rgb + 16000, b, 8000);
}

static void draw(struct clzt_crop *crop, struct clzt_film film, int64_t number)
{
    struct clzt_loader_params p = plain;

    p.film = film;
    clzt_crop_draw(crop, &p, size, 100, 80, 3, number);
}

static void run(const struct clzt_crop *crop)
{
    REQUIRE_INT(clzt_crop_run(crop, &tables, scratch, &picture, l, ab, true_l), 0);
}

// The first picture whose drawn film has no effect but the one asked for.
static struct clzt_crop whole(void)
{
    struct clzt_crop crop;

    clzt_crop_plain(&crop, &plain, size, 100, 80);
    return crop;
}

static const struct { const char *name; struct clzt_film film; } effects[] = {
    { "grain", { .grain = 0.05 } }, { "blur", { .blur = 2 } }, { "gamma", { .gamma = 0.5 } }, { "contrast", { .contrast = 0.3 } },
    { "ortho", { .ortho = 1 } }, { "pan", { .pan = 1 } }, { "vignette", { .vignette = 0.7 } }, { "flicker", { .flicker = 0.4 } },
    { "scratches", { .scratches = 20 } }, { "dust", { .dust = 60 } },
};
enum { EFFECTS = sizeof effects / sizeof *effects };

static struct clzt_film all_but(int left_out)
{
    struct clzt_film all = {0};

    for (int i = 0; i < EFFECTS; i++)
        for (size_t k = 0; k < sizeof all / sizeof(double) && i != left_out; k++)
            ((double *)&all)[k] += ((const double *)&effects[i].film)[k] / (i == 4 || i == 5 ? 2 : 1);
    return all;
}

static void independence(void)
{
    static float first[2 * PIXELS], first_l[PIXELS], first_input[PIXELS];
    struct clzt_crop with, without;

    for (int i = 0; i < 8000; i++) {
        rgb[i] = (uint8_t)(i * 7);
        rgb[8000 + i] = (uint8_t)(i / 100 * 3);
        rgb[16000 + i] = (uint8_t)(i % 100 * 2);
    }
    CASE("film/no_effect_is_digital_grey");
    draw(&with, (struct clzt_film){0}, 5);
    run(&with);
    memcpy(first, ab, sizeof ab);
    memcpy(first_l, true_l, sizeof true_l);
    memcpy(first_input, l, sizeof l);
    without = with;
    without.luma[0] = 0.299f;
    without.luma[1] = 0.587f;
    without.luma[2] = 0.114f;
    without.blur = without.grain = without.vignette = 0;
    without.gamma = without.contrast = 1;
    without.light[0] = without.light[1] = 0;
    without.scratches = without.dust = 0;
    run(&without);
    REQUIRE(!memcmp(first_input, l, sizeof l));

    CASE("film/the_true_colours_stay_clean");
    for (int i = 0; i < EFFECTS; i++) {
        bool changed = false;
        for (int n = 0; n < 8; n++) {       // a random amount may be none
            draw(&with, effects[i].film, 5 + n);
            with.x = without.x;
            with.y = without.y;
            run(&with);
            changed |= memcmp(first_input, l, sizeof l) != 0;
            REQUIRE(!memcmp(first, ab, sizeof ab) && !memcmp(first_l, true_l, sizeof true_l));
        }
        if (!changed) printf("  %s changes nothing\n", effects[i].name);
        REQUIRE(changed);
    }

    CASE("film/no_effect_moves_the_chance_of_another");
    for (int i = 0; i < EFFECTS; i++)
        for (int n = 0; n < 50; n++) {
            draw(&with, all_but(-1), n);
            draw(&without, all_but(i), n);
            REQUIRE(with.x == without.x && with.y == without.y && with.flip == without.flip);
            REQUIRE(i == 0 || with.grain == without.grain);
            REQUIRE(with.grain_soft == without.grain_soft);
            REQUIRE(i == 1 || with.blur == without.blur);
            REQUIRE(i == 2 || with.gamma == without.gamma);
            REQUIRE(i == 3 || with.contrast == without.contrast);
            REQUIRE(i == 4 || i == 5 || !memcmp(with.luma, without.luma, sizeof with.luma));
            REQUIRE(i == 6 || with.vignette == without.vignette);
            REQUIRE(i == 7 || !memcmp(with.light, without.light, sizeof with.light));
            REQUIRE(i == 8 || with.scratches == without.scratches);
            REQUIRE(i == 9 || with.dust == without.dust);
        }

    CASE("film/scratches_do_not_move_the_dust");
    fill(128, 128, 128);
    with = without = whole();
    with.dust = 10;
    run(&with);
    memcpy(first_input, l, sizeof l);
    with.scratches = 1;
    run(&with);
    int same = 0, specks = 0;
    for (int i = 0; i < PIXELS; i++) {
        specks += first_input[i] != tables.l_of_luma[128];
        same += first_input[i] != tables.l_of_luma[128] && first_input[i] == l[i];
    }
    REQUIRE(specks > 5 && same > 0.7 * specks);
}

static void stock(void)
{
    const uint8_t colours[3][3] = { { 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, 255 } };
    int kinds[3] = { 0 }, codes[2][3];
    struct clzt_crop crop;

    CASE("film/shares_of_stock");
    for (int n = 0; n < DRAWS; n++) {
        draw(&crop, (struct clzt_film){ .ortho = 0.3, .pan = 0.5 }, n);
        REQUIRE_NEAR(crop.luma[0] + crop.luma[1] + crop.luma[2], 1, 1e-6);
        const bool standard = fabsf(crop.luma[1] - 0.587f) < 1e-6f;
        kinds[standard ? 2 : crop.luma[0] > 0.1f]++;
        if (!standard) REQUIRE(crop.luma[0] >= 0 && crop.luma[1] >= 0.3f && crop.luma[2] > 0.16f);
    }
    REQUIRE_NEAR(kinds[0] / (double)DRAWS, 0.3, 0.025);         // 3 deviations of the count are 0.022
    REQUIRE_NEAR(kinds[1] / (double)DRAWS, 0.5, 0.025);
    REQUIRE_NEAR(kinds[2] / (double)DRAWS, 0.2, 0.02);

    CASE("film/orthochromatic_red_is_black_panchromatic_red_is_not");
    for (int kind = 0; kind < 2; kind++)
        for (int c = 0; c < 3; c++) {
            fill(colours[c][0], colours[c][1], colours[c][2]);
            draw(&crop, kind ? (struct clzt_film){ .pan = 1 } : (struct clzt_film){ .ortho = 1 }, 1);
            run(&crop);
            codes[kind][c] = code_at(3, 3);
        }
    REQUIRE(codes[0][0] <= 21 && codes[0][2] > 80);
    REQUIRE(codes[1][0] > 50 && codes[1][2] > 42);
    fill(200, 200, 200);                    // grey stays as it is
    run(&crop);
    REQUIRE_NEAR(code_at(9, 9), 200, 1);
}

static void light(void)
{
    struct clzt_crop crop = whole();
    double mean = 0, square = 0, ends = 0, amount = 0;

    CASE("film/vignette_darkens_the_picture_s_corners");
    fill(200, 200, 200);
    crop.x = crop.y = 0;
    crop.width = 100;
    crop.height = 75;
    crop.vignette = 0.5f;
    run(&crop);
    REQUIRE_NEAR(code_at(0, 0), 100, 4);                        // half a pixel of the sample within the corner
    REQUIRE_NEAR(code_at(W / 2, (int)(40 / 75.0 * H)), 200, 1); // the picture's middle, which is not the crop's
    REQUIRE(code_at(0, 0) < code_at(8, 6) && code_at(8, 6) < code_at(20, 15));
    REQUIRE_INT(code_at(0, 10), code_at(W - 1, 10));
    crop.x = 50;                            // the right half alone: dark on the right, or, mirrored, on the left
    crop.width = 50;
    crop.height = 37;
    run(&crop);
    const int right = code_at(W - 1, 0), left = code_at(0, 0);
    REQUIRE_NEAR(right, 100, 3);
    REQUIRE(left > right + 30);
    crop.flip = true;
    run(&crop);
    REQUIRE(code_at(0, 0) == right && code_at(W - 1, 0) == left);

    CASE("film/flicker_is_a_gradient_of_exposure");
    crop = whole();
    crop.light[0] = 0.2f;
    crop.light[1] = -0.2f;
    fill(100, 100, 100);
    run(&crop);
    REQUIRE_NEAR(code_at(5, 0), 120, 1);
    REQUIRE_NEAR(code_at(5, H - 1), 80, 1);
    REQUIRE_NEAR(code_at(W - 1, H / 2), 100, 1);
    fill(250, 250, 250);                    // nothing is whiter than white
    crop.gamma = 1.5f;
    run(&crop);
    REQUIRE_INT(code_at(5, 0), 255);
    for (int n = 0; n < DRAWS; n++) {
        draw(&crop, (struct clzt_film){ .flicker = 0.3, .vignette = 0.6 }, n);
        for (int i = 0; i < 2; i++) {
            REQUIRE(crop.light[i] >= -0.3f && crop.light[i] <= 0.3f);
            mean += crop.light[i] / (2. * DRAWS);
            square += crop.light[i] * crop.light[i] / (2. * DRAWS);
        }
        ends += crop.light[0] * crop.light[1] / DRAWS;
        REQUIRE(crop.vignette >= 0 && crop.vignette <= 0.6f);
        amount += crop.vignette / DRAWS;
    }
    REQUIRE_NEAR(mean, 0, 0.006);           // uniform: deviation 0.3 / sqrt(3) = 0.173, of the mean 0.002
    REQUIRE_NEAR(sqrt(square), 0.3 / sqrt(3), 0.005);
    REQUIRE_NEAR(ends / square, 0, 0.06);   // top and bottom are independent
    REQUIRE_NEAR(amount, 0.3, 0.01);
}

static void damage(void)
{
    double scratches = 0, dust = 0, few = 0, covered[2] = { 0 }, mean = 0, columns = 0, rows = 0;
    struct clzt_crop crop;
    int most = 0;

    CASE("film/numbers_of_scratches_and_specks");
    for (int n = 0; n < DRAWS; n++) {
        draw(&crop, (struct clzt_film){ .scratches = 3, .dust = 40 }, n);
        scratches += crop.scratches / (double)DRAWS;
        dust += crop.dust / (double)DRAWS;
        if (crop.dust > most) most = crop.dust;
        draw(&crop, (struct clzt_film){ .scratches = 0.5 }, n);
        few += crop.scratches / (double)DRAWS;
        REQUIRE(crop.scratches <= 1 && crop.dust == 0);
    }
    REQUIRE_NEAR(scratches, 1.5, 0.05);
    REQUIRE_NEAR(dust, 20, 0.6);
    REQUIRE_NEAR(few, 0.25, 0.025);
    REQUIRE(most >= 39 && most <= 40);

    CASE("film/scratches_are_lines_and_dust_is_small");
    fill(128, 128, 128);
    crop = whole();
    for (int kind = 0; kind < 2; kind++)
        for (int n = 0; n < 400; n++) {
            crop.picture = n;
            crop.scratches = kind ? 0 : 1;
            crop.dust = kind ? 10 : 0;
            run(&crop);
            bool column[W] = { 0 }, row[H] = { 0 };
            for (int i = 0; i < PIXELS; i++) {
                const int off = code_at(i % W, i / W) - 128;
                covered[kind] += abs(off) > 2;
                mean += off / 127. / (800. * PIXELS);
                if (kind || abs(off) <= 2) continue;
                column[i % W] = row[i / W] = true;
            }
            for (int i = 0; i < W; i++) columns += column[i] / 400.;
            for (int i = 0; i < H; i++) rows += row[i] / 400.;
        }
    REQUIRE(columns > 2 && columns < 6 && rows > 0.6 * H);      // measured: 3.4 columns, 34.7 rows
    REQUIRE_NEAR(covered[0] / 400, 96, 20);                     // pixels of 3072; measured: 95.6
    REQUIRE_NEAR(covered[1] / 400, 61, 15);                     // of ten specks; measured: 60.6
    REQUIRE_NEAR(mean, 0, 0.002);           // as many black as white
}

// ---- the loader ----

static uint64_t hash_of(struct clzt_dataset *d, int workers)
{
    struct clzt_loader *loader = NULL;
    struct clzt_batch *b;
    uint64_t h = CLZK_FNV1A_BASIS;

    REQUIRE_INT(clzt_loader_create(&loader, d, &(struct clzt_loader_params){
        .size = SIDE, .batch = BATCH, .augment = true, .flip = true, .zoom_out = 1.5, .film = all_but(-1), .seed = 3,
        .workers = workers }), 0);
    for (int i = 0; loader && i < 12; i++) {
        REQUIRE_INT(clzt_loader_next(loader, &b), 0);
        h = clzk_fnv1a(h, b->l, BATCH * SIDE * SIDE * sizeof(float));
        h = clzk_fnv1a(h, b->ab, 2 * BATCH * SIDE * SIDE * sizeof(float));
        clzt_loader_release(loader, &b);
    }
    clzt_loader_destroy(&loader);
    return h;
}

static void workers(void)
{
    char folder[512], path[600];
    struct clzt_dataset *d = NULL;

    CASE("film/any_number_of_workers_gives_the_same");
    if (!mkdtemp(check_temporary(folder, "film"))) SKIP("no folder for temporary files");
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3 * 60 * 50; k++) rgb[k] = (uint8_t)(k * (i + 3) / 7);
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        REQUIRE_INT(clzt_png_write(path, rgb, 60, 50, 180, NULL), 0);
    }
    const char *const paths[] = { folder };
    REQUIRE_INT(clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = paths, .path_count = 1, .min_side = SIDE }), 0);
    REQUIRE(hash_of(d, 1) == hash_of(d, 4));
    clzt_dataset_close(&d);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        unlink(path);
    }
    rmdir(folder);
}

int main(void)
{
    clzt_crop_tables_make(&tables);
    if (clzt_crop_scratch_create(&scratch, size) < 0) return 1;
    independence();
    stock();
    light();
    damage();
    workers();
    clzt_crop_scratch_destroy(&scratch);
    return check_end();
}
