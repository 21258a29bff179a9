// survey.c - what `colorize-train dataset` counts: against numbers known by construction, and for any number of threads the same.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "kernels/lab_math.h"
#include "trainer/metrics.h"
#include "trainer/sheet.h"
#include "trainer/survey.h"

static char folder[512];

static void write_picture(const char *name, const uint8_t *rgb, int width, int height)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    REQUIRE_INT(clzt_png_write(path, rgb, width, height, (ptrdiff_t)3 * width, NULL), 0);
}

static struct clzt_dataset *open_folder(void)
{
    const char *const paths[] = { folder };
    struct clzt_dataset *d = NULL;

    REQUIRE_INT(clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = paths, .path_count = 1, .quiet = true }), 0);
    return d;
}

static void make_pictures(uint8_t *rgb)
{
    char name[40], path[600];
    FILE *f;

    for (int i = 0; i < 70; i++) {          // of 80 x 60, all different; every tenth is grey
        for (int k = 0; k < 80 * 60; k++)
            for (int c = 0; c < 3; c++)
                rgb[3 * k + c] = (uint8_t)(i % 10 ? 128 + 100 * sin(k / (9. + c) + i + (c == 1) * (k % 80) / 25.) : k + i);
        snprintf(name, sizeof name, "a%02d.png", i);
        write_picture(name, rgb, 80, 60);
        if (i == 33 || i == 35) {
            snprintf(name, sizeof name, "b%02d.png", i);
            write_picture(name, rgb, 80, 60);
        }
        if (i == 33) write_picture("c33.png", rgb, 80, 60);
        if (i == 40) write_picture("c40.png", rgb, 60, 80);     // the same bytes, another size
    }
    for (int k = 0; k < 600 * 5; k++) rgb[k] = 255;
    write_picture("wide.png", rgb, 200, 5);
    snprintf(path, sizeof path, "%s/broken.png", folder);
    if ((f = fopen(path, "wb"))) {
        fputs("this is not a picture", f);
        fclose(f);
    }
}

static void counts(void)
{
    struct clzt_dataset *d = open_folder();
    struct clzt_survey *s[3] = { NULL, NULL, NULL };
    char *text[3][2] = { { NULL } };
    size_t size;

    for (int i = 0; i < 3; i++) {
        const bool json = i < 2;
        REQUIRE_INT(clzt_survey_make(&s[i], d, &(struct clzt_survey_params){ .workers = i ? 5 : 1 }), 0);
        for (int k = 0; k < 2; k++) {
            FILE *f = open_memstream(&text[i][k], &size);
            REQUIRE_INT(k ? clzt_survey_print_stats(f, s[i], json) : clzt_survey_print_scan(f, s[i], d, json), 0);
            fclose(f);
        }
    }
    CASE("survey/counts");
    REQUIRE_INT(s[0]->picture_files, 76);
    REQUIRE_INT(s[0]->film_files, 0);
    REQUIRE_INT(s[0]->pictures, 75);
    REQUIRE_INT(s[0]->frames, 0);
    REQUIRE(s[0]->least_w == 60 && s[0]->most_w == 200 && s[0]->least_h == 5 && s[0]->most_h == 80);
    REQUIRE_INT(s[0]->sides[0], 75);
    REQUIRE_INT(s[0]->grey, 7 + 1 + 1);     // every tenth, its copy in another size, the white one

    CASE("survey/damage_by_name");
    REQUIRE_INT(s[0]->unreadable, 1);
    REQUIRE_INT(s[0]->damaged_count, 1);
    REQUIRE(strstr(clzt_dataset_file(d, s[0]->damaged[0].file).path, "/broken.png"));

    CASE("survey/duplicates");
    REQUIRE_INT(s[0]->twin_count, 3);
    REQUIRE_INT(s[0]->still, 0);
    const char *const twins[3][2] = { { "b33.png", "a33.png" }, { "b35.png", "a35.png" }, { "c33.png", "a33.png" } };
    for (int i = 0; i < 3 && i < s[0]->twin_count; i++) {
        REQUIRE(strstr(clzt_dataset_place(d, s[0]->twins[i].index).path, twins[i][0]));
        REQUIRE(strstr(clzt_dataset_place(d, s[0]->twins[i].first).path, twins[i][1]));
    }

    CASE("survey/any_number_of_threads_gives_the_same");
    REQUIRE(!strcmp(text[0][0], text[1][0]) && !strcmp(text[0][1], text[1][1]));
    REQUIRE(!memcmp(&s[0]->colours, &s[1]->colours, sizeof s[0]->colours));

    CASE("survey/table");
    REQUIRE(strstr(text[2][0], "duplicates     3, and 0 repeated") && strstr(text[2][0], "c33.png equals ") &&
            strstr(text[2][0], "broken.png\n") && strstr(text[2][0], "nearly grey    9 (12.0%)"));
    for (int i = 0; i < 3; i++) {
        clzt_survey_destroy(&s[i]);
        free(text[i][0]);
        free(text[i][1]);
    }

    CASE("survey/part_of_the_pictures");
    REQUIRE_INT(clzt_survey_make(&s[0], d, &(struct clzt_survey_params){ .pictures = 19 }), 0);
    REQUIRE(s[0]->pictures + s[0]->unreadable == 19);
    clzt_survey_destroy(&s[0]);
    clzt_dataset_close(&d);
}

static void clear(void)
{
    char command[600];

    snprintf(command, sizeof command, "rm -f '%s'/*", folder);
    REQUIRE_INT(system(command), 0);
}

// Two pictures of two colours each: sums by hand.
static void colours(void)
{
    const uint8_t two[4][3] = { { 200, 150, 100 }, { 10, 20, 30 }, { 0, 0, 255 }, { 128, 128, 128 } };
    double mean[3] = { 0 }, square[3] = { 0 }, cf = 0, cf_abs = 0, total = 0;
    static uint8_t rgb[3 * 64 * 64];
    struct clzt_survey *s = NULL;
    struct clzt_dataset *d;

    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 64 * 64; k++) memcpy(rgb + 3 * k, two[2 * i + (k % 64 >= 32)], 3);
        write_picture(i ? "1.png" : "0.png", rgb, 64, 64);
        cf += clzt_colourfulness(rgb, 64 * 64, false) / 2;
        cf_abs += clzt_colourfulness(rgb, 64 * 64, true) / 2;
    }
    // scikit-image's values for these colours
    const double lab[4][3] = { { 65.760061, 12.758895, 33.564737 }, { 5.948470, -0.669311, -8.136412 },
                               { 32.295673, 79.185591, -107.857300 }, { 53.585013, -0.001473, 0.002791 } };
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++) {
            mean[c] += lab[i][c] / 4;
            square[c] += lab[i][c] * lab[i][c] / 4;
        }
    CASE("survey/mean_and_deviation_of_lab");
    d = open_folder();
    REQUIRE_INT(clzt_survey_make(&s, d, &(struct clzt_survey_params){ .workers = 2 }), 0);
    for (int c = 0; c < 3; c++) {
        const double scale = c ? 110 : 50, m = s->colours.sum[c] / s->colours.pixels;
        REQUIRE_NEAR(scale * (m + !c), mean[c], 1e-3);
        REQUIRE_NEAR(scale * sqrt(s->colours.square[c] / s->colours.pixels - m * m), sqrt(square[c] - mean[c] * mean[c]), 1e-3);
    }
    CASE("survey/colourfulness_is_that_of_the_scores");
    REQUIRE_NEAR(s->cf, cf, 1e-9);
    REQUIRE_NEAR(s->cf_abs, cf_abs, 1e-9);

    CASE("survey/classes_of_colour");       // a*, b* rounded to tens; (80, -110) is one
    const int want[4][2] = { { 10, 30 }, { 0, -10 }, { 80, -110 }, { 0, 0 } };
    for (int k = 0; k < CLZK_AB_BINS; k++) {
        float a, b;
        double expected = 0;
        clzk_ab_bin(k, &a, &b);
        for (int i = 0; i < 4; i++)
            if (lrintf(110 * a) == want[i][0] && lrintf(110 * b) == want[i][1]) expected = 64 * 32;
        REQUIRE_NEAR(s->bins[k], expected, 0);
        total += s->bins[k];
    }
    REQUIRE_NEAR(total, 2 * 64 * 64, 0);
    clzt_survey_destroy(&s);
    clzt_dataset_close(&d);
}

static void nothing(void)
{
    struct clzt_survey *s = NULL;
    struct clzt_dataset *d;
    char path[600];
    FILE *f;

    CASE("survey/nothing_readable");
    snprintf(path, sizeof path, "%s/x.png", folder);
    if ((f = fopen(path, "wb"))) fclose(f);
    d = open_folder();
    REQUIRE_INT(clzt_survey_make(&s, d, &(struct clzt_survey_params){ .workers = 2 }), -EBADMSG);
    clzt_survey_destroy(&s);
    clzt_dataset_close(&d);
}

int main(void)
{
    static uint8_t rgb[3 * 80 * 60];

    if (!mkdtemp(check_temporary(folder, "survey"))) SKIP("no folder for temporary files");
    make_pictures(rgb);
    counts();
    clear();
    colours();
    clear();
    nothing();
    clear();
    rmdir(folder);
    return check_end();
}
