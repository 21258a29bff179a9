// report.c - the page about training runs.
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "engine/model.h"
#include "html.h"
#include "loss.h"
#include "metrics.h"
#include "progress.h"
#include "recipe.h"
#include "report.h"
#include "table.h"
#include "whole_file.h"

enum { MAX_TEXT = 4 << 20, MAX_SHEET = 64 << 20, MAX_COLUMNS = 100 };

struct run {
    const char *folder;
    char *name;                             // the last part of the folder's path
    struct clzt_table table;                // metrics.csv
    struct clzt_csv_best best;              // the validation with the best score
    struct clzt_recipe *recipe;             // NULL: cannot be read
    char *recipe_text;
    json_t *data;                           // data.json
};

struct report { const struct clzt_report *params; const struct clz_log *log; struct run runs[CLZT_REPORT_RUNS]; FILE *file; };

// ---- reading ----

static char *path_in(const struct run *run, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", run->folder, name) < 0 ? NULL : path;
}

static char *name_of(const char *folder)
{
    size_t end = strlen(folder), begin;

    while (end > 1 && folder[end - 1] == '/') end--;
    for (begin = end; begin > 0 && folder[begin - 1] != '/';) begin--;
    return strndup(folder + begin, end - begin);
}

static int read_run(struct run *run, const char *folder, const struct clz_log *log)
{
    char *csv, *recipe, *data;
    size_t size;
    int ret = -ENOMEM;

    run->folder = folder;
    run->name = name_of(folder);
    csv = path_in(run, "metrics.csv");
    recipe = path_in(run, "recipe.yaml");
    data = path_in(run, "data.json");
    if (run->name && csv && recipe && data && (ret = clzt_table_read(&run->table, csv, log)) >= 0) {
        run->best = clzt_csv_best(csv, "score", 0);
        run->recipe_text = clzt_file_whole(recipe, MAX_TEXT, &size);
        run->data = json_load_file(data, 0, NULL);
        if ((ret = clzt_recipe_create(&run->recipe)) < 0 || (ret = clzt_recipe_load(run->recipe, recipe, log)) < 0)
            clzt_recipe_destroy(&run->recipe);
        if (ret != -ENOMEM) ret = 0;        // a recipe that cannot be read is left out
    }
    free(csv);
    free(recipe);
    free(data);
    return ret;
}

static void free_run(struct run *run)
{
    free(run->name);
    clzt_table_free(&run->table);
    clzt_recipe_destroy(&run->recipe);
    free(run->recipe_text);
    json_decref(run->data);
}

// ---- facts ----

struct fact { const char *name; void (*print)(FILE *f, const struct run *run); };

static double last_of(const struct clzt_table *t, const char *column)
{
    const double *v = clzt_table_column(t, column);

    for (int64_t i = v ? t->rows : 0; i-- > 0;)
        if (!isnan(v[i])) return v[i];
    return NAN;
}

static void print_folder(FILE *f, const struct run *r) { clzt_html_text(f, r->folder); }

static void print_net(FILE *f, const struct run *r)
{
    if (!r->recipe) return;
    clzt_html_text(f, r->recipe->net);
    if (*r->recipe->init) fputs(", from ", f);
    clzt_html_text(f, r->recipe->init);
}

static void print_steps(FILE *f, const struct run *r)
{
    const double done = last_of(&r->table, "step");

    if (!isnan(done)) fprintf(f, "%.0f", done);
    if (!r->recipe) return;
    fprintf(f, " of %" PRId64, clzt_recipe_total(r->recipe));
    if (r->recipe->gan.steps) fprintf(f, ", the last %" PRId64 " adversarial", r->recipe->gan.steps);
}

static void print_batch(FILE *f, const struct run *r)
{
    if (r->recipe) fprintf(f, "%d pictures of %dx%d", r->recipe->batch, r->recipe->size, r->recipe->size);
}

static void print_best(FILE *f, const struct run *r)
{
    if (r->best.step) fprintf(f, "%.2f at step %" PRId64, r->best.value, r->best.step);
}

// Numbers of pictures and what was measured of their colours.
static void print_data(FILE *f, const struct run *r, const char *set)
{
    const json_t *data = json_object_get(r->data, set), *paths = json_object_get(data, "paths"), *value, *path;
    const char *key;
    size_t i;

    json_object_foreach((json_t *)data, key, value) {
        if (!json_is_number(value)) continue;
        clzt_html_text(f, key);
        fprintf(f, " %.10g<br>", json_number_value(value));
    }
    json_array_foreach(paths, i, path) {
        if (i) fputs("<br>", f);
        if (json_is_string(path)) clzt_html_text(f, json_string_value(path));
    }
}

static void print_train(FILE *f, const struct run *r) { print_data(f, r, "train"); }
static void print_val(FILE *f, const struct run *r) { print_data(f, r, "val"); }

static const struct fact facts[] = {
    { "folder", print_folder }, { "net", print_net }, { "steps", print_steps }, { "batch", print_batch },
    { "best score", print_best }, { "training data", print_train }, { "validation data", print_val }, { NULL, NULL }
};

static void write_heads(const struct report *r, const char *class)
{
    fputs("<table>\n<tr><th></th>", r->file);
    for (int i = 0; i < r->params->count; i++) {
        fprintf(r->file, "<th%s>", class);
        clzt_html_text(r->file, r->runs[i].name);
        fputs("</th>", r->file);
    }
    fputs("</tr>\n", r->file);
}

static void write_facts(const struct report *r)
{
    write_heads(r, "");
    for (const struct fact *fact = facts; fact->name; fact++) {
        fprintf(r->file, "<tr><th>%s</th>", fact->name);
        for (int i = 0; i < r->params->count; i++) {
            fputs("<td>", r->file);
            fact->print(r->file, &r->runs[i]);
            fputs("</td>", r->file);
        }
        fputs("</tr>\n", r->file);
    }
    fputs("</table>\n", r->file);
}

// ---- scores ----

static const struct clzt_score_info *score_info(const char *name)
{
    for (const struct clzt_score_info *i = clzt_score_list; i->name; i++)
        if (!strcmp(i->name, name)) return i;
    return NULL;
}

static double score_at(const struct run *run, const char *name, int64_t step)
{
    const double *steps = clzt_table_column(&run->table, "step"), *v = clzt_table_column(&run->table, name);

    for (int64_t i = steps && v ? run->table.rows : 0; i-- > 0;)
        if ((int64_t)steps[i] == step && !isnan(v[i])) return v[i];
    return NAN;
}

static void write_scores(const struct report *r)
{
    bool any = false;

    for (int i = 0; i < r->params->count; i++) any |= r->runs[i].best.step > 0;
    if (!any) return;
    fputs("<h2>Scores of the best validation</h2>\n", r->file);
    write_heads(r, " class=\"n\"");
    fputs("<tr><th>step</th>", r->file);
    for (int i = 0; i < r->params->count; i++) fprintf(r->file, "<td class=\"n\">%" PRId64 "</td>", r->runs[i].best.step);
    fputs("</tr>\n", r->file);
    for (const struct clzt_score_info *info = clzt_score_list; info->name; info++) {
        fprintf(r->file, "<tr><th>%s</th>", info->name);
        for (int i = 0; i < r->params->count; i++) {
            const double value = score_at(&r->runs[i], info->name, r->runs[i].best.step);
            if (isfinite(value)) fprintf(r->file, "<td class=\"n\">%.*f</td>", info->decimals, value);
            else fputs("<td></td>", r->file);
        }
        fprintf(r->file, "<td>");
        clzt_html_text(r->file, info->help);
        fputs("</td></tr>\n", r->file);
    }
    fputs("</table>\n", r->file);
}

// ---- curves ----

// The columns of all runs in the order of their first appearance. The truth's scores are constant.
static int all_columns(const struct report *r, const char **names)
{
    int count = 0;

    for (int k = 0; k < r->params->count; k++)
        for (int i = 0; i < r->runs[k].table.columns && count < MAX_COLUMNS; i++) {
            const char *name = r->runs[k].table.names[i];
            bool known = !strcmp(name, "step") || !strcmp(name, "cf_true") || !strcmp(name, "cf_abs_true");
            for (int n = 0; n < count && !known; n++) known = !strcmp(names[n], name);
            if (!known) names[count++] = name;
        }
    return count;
}

static const char *help_of(const char *column)
{
    const struct clzt_score_info *info = score_info(column);
    const char *loss = strncmp(column, "train_", 6) ? column : column + 6;

    if (info) return info->help;
    for (int i = 0; clzt_losses[i].name; i++)
        if (!strcmp(clzt_losses[i].name, loss)) return clzt_losses[i].help;
    return !strcmp(column, "lr") ? "learning rate" : NULL;
}

static bool is_zero(const struct clzt_series *s)
{
    for (int64_t i = 0; i < s->count; i++)
        if (s->y[i] != 0 && !isnan(s->y[i])) return false;
    return true;
}

static void write_curve(const struct report *r, const char *column)
{
    struct clzt_series series[CLZT_REPORT_RUNS];
    struct clzt_mark marks[2 * CLZT_REPORT_RUNS];
    struct clzt_chart chart = { .title = column, .help = help_of(column), .x_label = "step", .series = series, .marks = marks,
                                .log_y = !score_info(column) };
    bool zero = true;

    for (int i = 0; i < r->params->count; i++) {
        const struct run *run = &r->runs[i];
        const double *x = clzt_table_column(&run->table, "step"), *y = clzt_table_column(&run->table, column);
        series[i] = (struct clzt_series){ run->name, x, y, x && y ? run->table.rows : 0 };
        zero &= is_zero(&series[i]);
        chart.series_count++;
        if (run->best.step) marks[chart.mark_count++] = (struct clzt_mark){ (double)run->best.step, "the best score" };
        if (run->recipe && run->recipe->gan.steps && run->recipe->steps)
            marks[chart.mark_count++] = (struct clzt_mark){ (double)run->recipe->steps, "the adversarial phase begins" };
    }
    if (!zero) clzt_html_chart(r->file, &chart);            // losses of weight 0 have columns of zeros
}

// First the losses, then the scores.
static void write_curves(const struct report *r)
{
    const char *names[MAX_COLUMNS];
    const int count = all_columns(r, names);

    for (int scores = 0; scores < 2; scores++) {
        fprintf(r->file, "<h2>%s</h2>\n<div class=\"charts\">\n", scores ? "Scores of the validations" : "Training");
        for (int i = 0; i < count; i++)
            if (!!score_info(names[i]) == scores) write_curve(r, names[i]);
        fputs("</div>\n", r->file);
    }
}

// ---- sample sheets ----

static int is_sheet(const struct dirent *entry)
{
    const size_t n = strlen(entry->d_name);
    return n > 4 && !strncmp(entry->d_name, "step-", 5) && !strcmp(entry->d_name + n - 4, ".png");
}

static void write_sheet(const struct report *r, const struct run *run, const char *name)
{
    char *path = NULL, *png;
    size_t size = 0;

    if (asprintf(&path, "%s/samples/%s", run->folder, name) < 0) return;
    if ((png = clzt_file_whole(path, MAX_SHEET, &size)) && size) {
        fprintf(r->file, "<figure><figcaption>step %lld</figcaption>\n", strtoll(name + 5, NULL, 10));
        clzt_html_picture(r->file, "image/png", png, size, name);
        fputs("</figure>\n", r->file);
    } else clzi_log(r->log, CLZ_LOG_WARNING, "%s cannot be read; it is left out.", path);
    free(png);
    free(path);
}

static void write_sheets(const struct report *r, const struct run *run, int wanted)
{
    char *folder = path_in(run, "samples");
    struct dirent **entries = NULL;
    const int n = folder ? scandir(folder, &entries, is_sheet, alphasort) : -1, shown = wanted < n ? wanted : n;

    if (shown > 0) {
        fputs("<h3>", r->file);
        clzt_html_text(r->file, run->name);
        fputs(": grey, predicted, true</h3>\n<div class=\"side\">\n", r->file);
    }
    for (int i = 0; i < shown; i++)         // evenly spread, from the first, or the last alone, to the last
        write_sheet(r, run, entries[shown == 1 ? n - 1 : (int)((int64_t)i * (n - 1) / (shown - 1))]->d_name);
    if (shown > 0) fputs("</div>\n", r->file);
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    free(folder);
}

// ---- recipes ----

// Whether the text has this very line.
static bool has_line(const char *text, const char *line, size_t size)
{
    for (; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
        if (strcspn(text, "\n") == size && !strncmp(text, line, size)) return true;
    return false;
}

// Lines that the first run's recipe does not have are marked; in the first run's those that the second's does not have.
static void write_recipe(const struct report *r, int run)
{
    const char *text = r->runs[run].recipe_text, *other = r->params->count > 1 ? r->runs[run == 0].recipe_text : NULL;

    if (!text) return;
    fputs("<div><h3>", r->file);
    clzt_html_text(r->file, r->runs[run].name);
    fputs("</h3><pre>", r->file);
    while (*text) {
        const size_t size = strcspn(text, "\n");
        const bool marked = other && !has_line(other, text, size);
        char *line = strndup(text, size);
        if (marked) fputs("<mark>", r->file);
        clzt_html_text(r->file, line ? line : "");
        if (marked) fputs("</mark>", r->file);
        fputc('\n', r->file);
        free(line);
        text += size + (text[size] == '\n');
    }
    fputs("</pre></div>\n", r->file);
}

// ---- the page ----

static void write_page(const struct report *r)
{
    const int count = r->params->count, sheets = r->params->sheets >= 0 ? r->params->sheets : count > 1 ? 2 : 4;
    char *title = NULL;

    if (count > 1 || asprintf(&title, "Training run %s", r->runs[0].name) < 0) title = NULL;
    clzt_html_begin(r->file, title ? title : "Training runs");
    write_facts(r);
    write_scores(r);
    write_curves(r);
    if (sheets) fputs("<h2>Sample sheets</h2>\n", r->file);
    for (int i = 0; i < count && sheets; i++) write_sheets(r, &r->runs[i], sheets);
    fprintf(r->file, "<h2>Recipe%s</h2>\n<div class=\"side\">\n", count > 1 ? "s" : "");
    for (int i = 0; i < count; i++) write_recipe(r, i);
    fputs("</div>\n", r->file);
    clzt_html_end(r->file);
    free(title);
}

int clzt_report_write(const struct clzt_report *params, const struct clz_log *log)
{
    struct report r = { .params = params, .log = log };
    char *text = NULL, *out = NULL;
    size_t size = 0;
    int ret = 0;

    for (int i = 0; i < params->count && ret >= 0; i++) ret = read_run(&r.runs[i], params->runs[i], log);
    if (ret >= 0 && !(out = params->out ? strdup(params->out) : path_in(&r.runs[0], "report.html"))) ret = -ENOMEM;
    if (ret >= 0 && !(r.file = open_memstream(&text, &size))) ret = -ENOMEM;
    if (ret >= 0) write_page(&r);
    if (r.file && fclose(r.file) && ret >= 0) ret = -ENOMEM;
    if (ret >= 0) ret = clzi_file_replace(out, text, size, log);
    if (ret >= 0) clzi_log(log, CLZ_LOG_INFO, "%s written, %zu KiB", out, size >> 10);
    for (int i = 0; i < params->count; i++) free_run(&r.runs[i]);
    free(text);
    free(out);
    return ret;
}
