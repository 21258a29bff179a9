// survey_print.c - the survey of a data set as a table and as JSON.
#include <errno.h>
#include <math.h>
#include <string.h>
#include <libavutil/avstring.h>

#include "survey.h"

enum { LISTED = 20 };                       // lines of each list in the table; JSON has all

// ---- JSON ----

// A string, with U+FFFD for bytes that are not UTF-8, which file names may have.
static void put_string(FILE *f, const char *text)
{
    const uint8_t *at = (const uint8_t *)text, *const end = at + strlen(text);
    int32_t code;

    fputc('"', f);
    while (at < end) {
        const uint8_t *const from = at;
        if (av_utf8_decode(&code, &at, end, AV_UTF8_FLAG_ACCEPT_NON_CHARACTERS) < 0) {
            fputs("\\ufffd", f);
            at = from + 1;
        } else if (code < 32 || code == 127) fprintf(f, "\\u%04x", (unsigned)code);
        else {
            if (code == '"' || code == '\\') fputc('\\', f);
            fwrite(from, 1, at - from, f);
        }
    }
    fputc('"', f);
}

static void put_place(FILE *f, const struct clzt_dataset *dataset, int64_t index)
{
    const struct clzt_place place = clzt_dataset_place(dataset, index);

    fputs("{\"path\": ", f);
    put_string(f, place.path);
    if (place.film) fprintf(f, ", \"frame\": %lld", (long long)place.frame);
    fputc('}', f);
}

static void scan_json(FILE *f, const struct clzt_survey *s, const struct clzt_dataset *dataset)
{
    const char *path;

    fprintf(f, "{\n  \"picture_files\": %d,\n  \"film_files\": %d,\n  \"pictures\": %lld,\n  \"frames\": %lld,\n"
            "  \"unreadable\": %lld,\n  \"nearly_grey\": %lld,\n  \"spread\": %.4f,\n", s->picture_files, s->film_files,
            (long long)s->pictures, (long long)s->frames, (long long)s->unreadable, (long long)s->grey, s->spread);
    fprintf(f, "  \"width\": [%d, %d],\n  \"height\": [%d, %d],\n  \"short_sides\": [", s->least_w, s->most_w, s->least_h,
            s->most_h);
    for (int i = 0; i < CLZT_SURVEY_SIDES; i++)
        fprintf(f, "%s{\"from\": %d, \"pictures\": %lld}", i ? ", " : "", i ? 32 << i : 0, (long long)s->sides[i]);
    fputs("],\n  \"left_out\": [", f);
    for (int i = 0; (path = clzt_dataset_left_out(dataset, i)); i++) {
        if (i) fputs(", ", f);
        put_string(f, path);
    }
    fputs("],\n  \"damaged\": [", f);
    for (int i = 0; i < s->damaged_count; i++) {
        fputs(i ? ",\n    {\"path\": " : "\n    {\"path\": ", f);
        put_string(f, clzt_dataset_file(dataset, s->damaged[i].file).path);
        fprintf(f, ", \"unreadable\": %lld, \"of\": %lld}", (long long)s->damaged[i].unreadable, (long long)s->damaged[i].of);
    }
    fprintf(f, "],\n  \"repeated_frames\": %lld,\n  \"duplicates\": [", (long long)s->still);
    for (int64_t i = 0; i < s->twin_count; i++) {
        fputs(i ? ",\n    [" : "\n    [", f);
        put_place(f, dataset, s->twins[i].first);
        fputs(", ", f);
        put_place(f, dataset, s->twins[i].index);
        fputc(']', f);
    }
    fputs("]\n}\n", f);
}

static void mean_and_deviation(const struct clzt_survey *s, int c, double *mean, double *deviation)
{
    const double scale = c ? 110 : 50, n = s->colours.pixels, m = s->colours.sum[c] / n;

    *mean = c ? scale * m : scale * (m + 1);
    *deviation = scale * sqrt(fmax(s->colours.square[c] / n - m * m, 0));
}

static void stats_json(FILE *f, const struct clzt_survey *s)
{
    static const char *const names[] = { "L", "a", "b" };
    double mean, deviation;

    fprintf(f, "{\n  \"pictures\": %lld,\n  \"pixels\": %.0f,\n", (long long)(s->pictures + s->frames), s->colours.pixels);
    for (int c = 0; c < 3; c++) {
        mean_and_deviation(s, c, &mean, &deviation);
        fprintf(f, "  \"%s\": {\"mean\": %.4f, \"std\": %.4f},\n", names[c], mean, deviation);
    }
    fprintf(f, "  \"colourfulness\": %.4f,\n  \"colourfulness_abs\": %.4f,\n  \"spread\": %.4f,\n  \"nearly_grey\": %lld,\n"
            "  \"bins\": [", s->cf, s->cf_abs, s->spread, (long long)s->grey);
    for (int k = 0; k < CLZK_AB_BINS; k++) {
        float a, b;
        clzk_ab_bin(k, &a, &b);
        fprintf(f, "%s{\"a\": %.0f, \"b\": %.0f, \"pixels\": %.0f}", k ? ",\n    " : "\n    ", a * CLZK_AB_SCALE,
                b * CLZK_AB_SCALE, s->bins[k]);
    }
    fputs("]\n}\n", f);
}

// ---- tables ----

static void print_place(FILE *f, const struct clzt_dataset *dataset, int64_t index)
{
    const struct clzt_place place = clzt_dataset_place(dataset, index);

    fputs(place.path, f);
    if (place.film) fprintf(f, " frame %lld", (long long)place.frame);
}

static void more_than_listed(FILE *f, int64_t count)
{
    if (count > LISTED) fprintf(f, "  and %lld more (--json has all)\n", (long long)(count - LISTED));
}

static double percent(int64_t part, int64_t of) { return of ? 100. * part / of : 0; }

static void scan_table(FILE *f, const struct clzt_survey *s, const struct clzt_dataset *dataset)
{
    const int64_t readable = s->pictures + s->frames;
    int left_out = 0;

    while (clzt_dataset_left_out(dataset, left_out)) left_out++;
    fprintf(f, "files          %d pictures, %d films\n", s->picture_files, s->film_files);
    fprintf(f, "readable       %lld pictures, %lld frames of films\n", (long long)s->pictures, (long long)s->frames);
    fprintf(f, "size           width %d to %d, height %d to %d\n", s->least_w, s->most_w, s->least_h, s->most_h);
    fputs("short side    ", f);
    for (int i = 0; i < CLZT_SURVEY_SIDES; i++) {
        if (!s->sides[i]) continue;
        if (i == 0) fprintf(f, " below 64: %lld;", (long long)s->sides[i]);
        else if (i + 1 < CLZT_SURVEY_SIDES) fprintf(f, " %d to %d: %lld;", 32 << i, (64 << i) - 1, (long long)s->sides[i]);
        else fprintf(f, " from %d: %lld;", 32 << i, (long long)s->sides[i]);
    }
    fprintf(f, "\nnearly grey    %lld (%.1f%%); mean deviation of a*, b* %.1f\n", (long long)s->grey, percent(s->grey, readable),
            s->spread);
    fprintf(f, "duplicates     %lld, and %lld repeated frames within films\n", (long long)s->twin_count, (long long)s->still);
    for (int64_t i = 0; i < s->twin_count && i < LISTED; i++) {
        fputs("  ", f);
        print_place(f, dataset, s->twins[i].index);
        fputs(" equals ", f);
        print_place(f, dataset, s->twins[i].first);
        fputc('\n', f);
    }
    more_than_listed(f, s->twin_count);
    fprintf(f, "unreadable     %lld pictures and frames, in %d files; %d files cannot be opened\n", (long long)s->unreadable,
            s->damaged_count, left_out);
    for (int i = 0; i < s->damaged_count && i < LISTED; i++) {
        fprintf(f, "  %s", clzt_dataset_file(dataset, s->damaged[i].file).path);
        if (s->damaged[i].of > 1)
            fprintf(f, ": %lld of %lld frames", (long long)s->damaged[i].unreadable, (long long)s->damaged[i].of);
        fputc('\n', f);
    }
    more_than_listed(f, s->damaged_count);
    for (int i = 0; i < left_out && i < LISTED; i++) fprintf(f, "  %s\n", clzt_dataset_left_out(dataset, i));
    more_than_listed(f, left_out);
}

static void stats_table(FILE *f, const struct clzt_survey *s)
{
    static const char *const names[] = { "L*", "a*", "b*" };
    const int64_t readable = s->pictures + s->frames;
    double mean, deviation, most = 0;
    int used = 0, first = 0;

    fprintf(f, "pictures       %lld, %.0f pixels\n", (long long)readable, s->colours.pixels);
    for (int c = 0; c < 3; c++) {
        mean_and_deviation(s, c, &mean, &deviation);
        fprintf(f, "%-14s mean %6.2f, standard deviation %6.2f\n", names[c], mean, deviation);
    }
    fprintf(f, "colourfulness  %.2f, of absolute differences %.2f; mean over pictures\n", s->cf, s->cf_abs);
    fprintf(f, "nearly grey    %lld (%.1f%%); mean deviation of a*, b* %.1f\n", (long long)s->grey, percent(s->grey, readable),
            s->spread);
    for (int k = 0; k < CLZK_AB_BINS; k++) {
        used += s->bins[k] > 0;
        if (s->bins[k] > most) most = s->bins[first = k];
    }
    float a, b;
    clzk_ab_bin(first, &a, &b);
    fprintf(f, "classes        %d of %d occur; the most frequent is a* %.0f, b* %.0f with %.1f%% of the pixels\n", used,
            CLZK_AB_BINS, a * CLZK_AB_SCALE, b * CLZK_AB_SCALE, 100 * most / s->colours.pixels);
}

int clzt_survey_print_scan(FILE *file, const struct clzt_survey *survey, const struct clzt_dataset *dataset, bool json)
{
    if (json) scan_json(file, survey, dataset);
    else scan_table(file, survey, dataset);
    return fflush(file) || ferror(file) ? -EIO : 0;
}

int clzt_survey_print_stats(FILE *file, const struct clzt_survey *survey, bool json)
{
    if (json) stats_json(file, survey);
    else stats_table(file, survey);
    return fflush(file) || ferror(file) ? -EIO : 0;
}
