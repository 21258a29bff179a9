// main.c - the commands of colorize-batch.
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "paths.h"
#include "plan.h"
#include "run.h"
#include "status.h"
#include "verify.h"
#include "watch.h"

enum { EXIT_USAGE = 2, EXIT_DATA = 65, EXIT_IO = 74 };

static atomic_int stop;                     // set by signals
static volatile sig_atomic_t stop_signal;

static void on_signal(int signal)
{
    if (atomic_load(&stop)) _exit(128 + signal);            // the second signal ends at once; nothing is lost
    stop_signal = signal;
    atomic_store(&stop, 1);
}

static void catch_signals(void)
{
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void print_message(void *priv, enum clz_log_level level, const char *msg)
{
    static const char *const words[] = { "error: ", "warning: ", "", "", "" };

    (void)priv;
    fprintf(stderr, "%s%s", isatty(2) == 1 ? "\r\033[K" : "", words[level]);
    clzb_print_escaped(stderr, msg);
    fputc('\n', stderr);
}

static const struct clz_log console = { print_message, NULL, CLZ_LOG_INFO };

static int exit_status(int ret)
{
    switch (ret) {
    case -EINTR: return 128 + stop_signal;
    case -EINVAL: return EXIT_USAGE;
    case -EBADMSG: return EXIT_DATA;
    case -ENOSPC:
    case -EIO: return EXIT_IO;
    default: return ret < 0;
    }
}

// ---- run ----

struct options {
    struct clzb_jobs jobs;
    const char *ffmpeg, *host, *journal;
    int parallel;
    bool overwrite, retry, quiet, quick;
    const char *output, *watch;
    double settle;
    int index;                              // of a unit of a plan; -1: none
};

static const struct option long_options[] = {
    { "out", required_argument, NULL, 'o' }, { "model", required_argument, NULL, 'm' },
    { "preset", required_argument, NULL, 'p' }, { "set", required_argument, NULL, 's' },
    { "key", required_argument, NULL, 'k' }, { "parallel", required_argument, NULL, 'j' },
    { "journal", required_argument, NULL, 'J' }, { "ffmpeg", required_argument, NULL, 'f' },
    { "host", required_argument, NULL, 'h' }, { "watch", required_argument, NULL, 'W' },
    { "settle", required_argument, NULL, 't' }, { "index", required_argument, NULL, 'i' },
    { "overwrite", no_argument, NULL, 'w' }, { "retry", no_argument, NULL, 'r' },
    { "quiet", no_argument, NULL, 'q' }, { "quick", no_argument, NULL, 'Q' }, { "help", no_argument, NULL, 'H' }, { 0 }
};

static int set_key(struct options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    char key[40];

    if (!equals || equals - text >= (int)sizeof key)
        return clzi_fail(&console, -EINVAL, "--key: \"%s\" is not KEY=VALUE.", text);
    snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    return clzb_job_set(&o->jobs.defaults, key, equals + 1, ".", "--key", &console);
}

// Reads the options; what is no option is left at argv[optind].
static int read_options(struct options *o, int argc, char **argv)
{
    struct clzb_job *d = &o->jobs.defaults;
    int c, ret = 0;
    long number;
    char *end;

    clzb_jobs_init(&o->jobs);
    o->index = -1;
    while (!ret && (c = getopt_long(argc, argv, "o:m:p:s:j:q", long_options, NULL)) >= 0) {
        switch (c) {
        case 'o':
            o->output = optarg;
            ret = clzb_job_set(d, "out", optarg, ".", "--out", &console);
            break;
        case 'm': ret = clzb_job_set(d, "model", optarg, ".", "--model", &console); break;
        case 'p': ret = clzb_job_set(d, "preset", optarg, ".", "--preset", &console); break;
        case 's': ret = clzb_job_set(d, "options", optarg, ".", "--set", &console); break;
        case 'k': ret = set_key(o, optarg); break;
        case 'j':
            number = strtol(optarg, &end, 10);
            o->parallel = (int)number;
            if (*end || number < 1 || number > 256)
                ret = clzi_fail(&console, -EINVAL, "--parallel: \"%s\" is not a number from 1 to 256.", optarg);
            break;
        case 'J': o->journal = optarg; break;
        case 'f': o->ffmpeg = optarg; break;
        case 'h': o->host = optarg; break;
        case 'W': o->watch = optarg; break;
        case 't':
            o->settle = strtod(optarg, &end);
            if (*end || !(o->settle > 0 && o->settle <= 86400))
                ret = clzi_fail(&console, -EINVAL, "--settle: \"%s\" is not a number of seconds.", optarg);
            break;
        case 'i':
            number = strtol(optarg, &end, 10);
            o->index = (int)number;
            if (end == optarg || *end || number < 0 || number > INT_MAX)
                ret = clzi_fail(&console, -EINVAL, "--index: \"%s\" is not a number from 0.", optarg);
            break;
        case 'w': o->overwrite = true; break;
        case 'r': o->retry = true; break;
        case 'q': o->quiet = true; break;
        case 'Q': o->quick = true; break;
        default: ret = -EINVAL;
        }
    }
    return ret;
}

static bool is_list(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

// The journal: as given, else jobs.journal beside jobs.yaml, else colorize-batch.journal in the folder of the outputs. With a
// host's name given, and on a network file system, each host has its own.
static int journal_path(const struct options *o, const char *list, char path[PATH_MAX])
{
    const char *given = o->journal ? o->journal : o->jobs.journal, *dot = list ? strrchr(list, '.') : NULL;
    const char *out = o->watch ? o->jobs.defaults.out : o->jobs.count ? o->jobs.job[0].out : "./";
    char host[80] = "";
    int n;

    if (o->host) snprintf(host, sizeof host, ".%.64s", o->host);
    else if (clzb_on_network(list ? list : out)) {
        *host = '.';
        if (gethostname(host + 1, sizeof host - 2)) *host = 0;
    }
    if (given) n = snprintf(path, PATH_MAX, "%s", given);
    else if (list) n = snprintf(path, PATH_MAX, "%.*s%s.journal", (int)(dot - list), list, host);
    else if (o->watch) n = snprintf(path, PATH_MAX, "%s/colorize-batch%s.journal", out, host);
    else n = snprintf(path, PATH_MAX, "%.*scolorize-batch%s.journal", (int)(strrchr(out, '/') + 1 - out), out, host);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int load_jobs(struct options *o, int count, char **items)
{
    int ret = 0;

    if (count == 1 && is_list(items[0])) ret = clzb_jobs_load(&o->jobs, items[0], &console);
    else
        for (int i = 0; i < count && !ret; i++) {
            char *in = clzb_absolute(".", items[i]);
            if (is_list(items[i])) ret = clzi_fail(&console, -EINVAL, "%s: a list of jobs stands alone.", items[i]);
            else ret = in ? clzb_jobs_add(&o->jobs, in) : -ENOMEM;
            free(in);
        }
    return ret ? ret : clzb_jobs_finish(&o->jobs, &console);
}

static int open_shelf(struct clzb_shelf *shelf, const struct options *o, const char *list)
{
    char path[PATH_MAX], folder[PATH_MAX];
    char *absolute;
    int ret;

    *shelf = (struct clzb_shelf){ .log = &console, .stop = &stop, .overwrite = o->overwrite, .retry = o->retry };
    pthread_mutex_init(&shelf->claims, NULL);
    clzb_random_token(shelf->token);
    if (o->host) snprintf(shelf->host, sizeof shelf->host, "%s", o->host);
    else if (gethostname(shelf->host, sizeof shelf->host - 1)) snprintf(shelf->host, sizeof shelf->host, "localhost");
    if ((ret = journal_path(o, list, path)) < 0 || (ret = clzb_ffmpeg_find(&shelf->ffmpeg, o->ffmpeg, &console)) < 0) return ret;
    if (!strcmp(path, ":memory:")) return clzb_journal_open(&shelf->journal, path, &console);
    if (!(absolute = clzb_absolute(".", path))) return -ENOMEM;
    clzb_folder_of(absolute, folder);
    ret = clzb_make_folders(folder);
    ret = ret < 0 ? clzi_fail(&console, ret, "%s: %s.", folder, strerror(-ret)) :
                    clzb_journal_open(&shelf->journal, absolute, &console);
    free(absolute);
    return ret;
}

static void close_shelf(struct clzb_shelf *shelf)
{
    if (!shelf->log) return;                // not opened
    clzb_journal_close(&shelf->journal);
    clzb_ffmpeg_clear(&shelf->ffmpeg);
    free(shelf->model);
    pthread_mutex_destroy(&shelf->claims);
}

static int print_tally(const struct clzb_tally *t, bool quiet)
{
    if (!quiet)
        fprintf(stderr, "%d done, %d were done already, %d failed, %d quarantined\n", t->done, t->skipped, t->failed,
                t->quarantined);
    return t->failed || t->quarantined ? 1 : 0;
}

static int run_jobs(struct clzb_shelf *shelf, const struct options *o)
{
    struct clzb_tally tally;
    const int ret = clzb_run(&(struct clzb_run_params){ .shelf = shelf, .jobs = &o->jobs, .quiet = o->quiet,
                                                        .parallel = o->parallel ? o->parallel : o->jobs.parallel }, &tally);
    const int status = print_tally(&tally, o->quiet);

    if (ret == -EINTR) fprintf(stderr, "stopped; the same command goes on\n");
    return ret < 0 ? exit_status(ret) : status;
}

// Colours what is put into a folder, until a signal.
static int watch(struct options *o)
{
    struct clzb_shelf shelf = {0};
    struct clzb_watch *w = NULL;
    const char *const *names;
    int ret, n;

    for (int i = 0; i < o->jobs.defaults.options.count; i++)
        if (!strncmp(o->jobs.defaults.options.item[i], "shots=", 6) || !strncmp(o->jobs.defaults.options.item[i], "qc=", 3))
            return exit_status(clzi_fail(&console, -EINVAL, "run --watch: %.*s: every film would write the same file.",
                                         (int)strcspn(o->jobs.defaults.options.item[i], "="), o->jobs.defaults.options.item[i]));
    if (!o->jobs.defaults.out || !o->jobs.defaults.model)
        return exit_status(clzi_fail(&console, -EINVAL, "run --watch: expected --out FOLDER/ and --model FILE."));
    ret = clzb_watch_open(&w, o->watch, o->jobs.defaults.out, o->settle, &console);
    if (!ret && !(ret = open_shelf(&shelf, o, NULL))) {
        catch_signals();
        signal(SIGIO, SIG_IGN);             // of leases, watch.c
        if (!o->quiet) fprintf(stderr, "watching %s\n", o->watch);
        while ((n = clzb_watch_next(w, &names, &stop)) > 0) {
            int bad = 0;
            for (int i = 0; i < n && !bad; i++) bad = clzb_jobs_add(&o->jobs, names[i]);
            if (!bad && !(bad = clzb_jobs_finish(&o->jobs, &console))) run_jobs(&shelf, o);
            while (o->jobs.count) clzb_job_clear(&o->jobs.job[--o->jobs.count]);
            for (int i = 0; bad && i < n; i++) {            // those that can be done
                if (!clzb_jobs_add(&o->jobs, names[i]) && !clzb_jobs_finish(&o->jobs, &console)) run_jobs(&shelf, o);
                while (o->jobs.count) clzb_job_clear(&o->jobs.job[--o->jobs.count]);
            }
        }
        if (n < 0) ret = n;
    }
    clzb_watch_close(&w);
    close_shelf(&shelf);
    return exit_status(ret);
}

// One unit of a plan. Its host keeps no journal: pieces and side-cars tell what is done.
static int run_unit(struct options *o, const char *plan)
{
    struct clzb_shelf shelf = {0};
    struct clzb_unit unit;
    int ret, status = 0;

    o->journal = ":memory:";
    if (!(ret = clzb_plan_read(&unit, plan, o->index, &console)) && !(ret = clzb_jobs_load(&o->jobs, unit.list, &console)) &&
        !(ret = clzb_jobs_finish(&o->jobs, &console)) && !(ret = open_shelf(&shelf, o, unit.list))) {
        catch_signals();
        if (unit.piece >= 0) ret = clzb_plan_piece(&shelf, &o->jobs, &unit);
        else if (!(ret = clzb_plan_check(&shelf, &o->jobs, &unit))) {          // the one film
            for (int i = 0; i < o->jobs.count; i++)
                if (i != unit.job) clzb_job_clear(&o->jobs.job[i]);
            o->jobs.job[0] = o->jobs.job[unit.job];
            o->jobs.count = 1;
            status = run_jobs(&shelf, o);
        }
    }
    close_shelf(&shelf);
    return ret < 0 ? exit_status(ret) : status;
}

static int run(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_shelf shelf = {0};
    int ret = read_options(&o, argc, argv), status = 0;
    const char *list = optind < argc && is_list(argv[optind]) ? argv[optind] : NULL;

    if (!ret && o.watch && optind == argc) status = watch(&o);
    else if (!ret && o.index >= 0 && optind + 1 == argc) status = run_unit(&o, argv[optind]);
    else if (!ret && (optind == argc || o.watch || o.index >= 0))
        ret = clzi_fail(&console, -EINVAL, "run: expected a list of jobs, jobs.yaml, or films, or --watch DIR, or --index N "
                        "PLAN.");
    else if (!ret && !(ret = load_jobs(&o, argc - optind, argv + optind)) && !(ret = open_shelf(&shelf, &o, list))) {
        catch_signals();
        status = run_jobs(&shelf, &o);
    }
    close_shelf(&shelf);
    clzb_jobs_clear(&o.jobs);
    return ret < 0 ? exit_status(ret) : status;
}

static int plan(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_shelf shelf = {0};
    char *list = NULL;
    int ret = read_options(&o, argc, argv);

    o.journal = ":memory:";
    if (!ret && (optind + 1 != argc || !is_list(argv[optind])))
        ret = clzi_fail(&console, -EINVAL, "plan: expected jobs.yaml.");
    if (!ret && !(list = clzb_absolute(".", argv[optind]))) ret = -ENOMEM;
    if (!ret && !(ret = load_jobs(&o, 1, &list)) && !(ret = open_shelf(&shelf, &o, list))) {
        catch_signals();
        ret = clzb_plan_write(&shelf, &o.jobs, list, stdout);
    }
    free(list);
    close_shelf(&shelf);
    clzb_jobs_clear(&o.jobs);
    return exit_status(ret);
}

// The run of the plan's list, which finds the pieces and films of the units, joins, and colours what is missing.
static int merge(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_shelf shelf = {0};
    struct clzb_unit unit;
    char *list = unit.list;
    int ret = read_options(&o, argc, argv), status = 0;

    if (!ret && optind + 1 != argc) ret = clzi_fail(&console, -EINVAL, "merge: expected a plan.");
    if (!ret && !(ret = clzb_plan_read(&unit, argv[optind], -1, &console)) && !(ret = load_jobs(&o, 1, &list)) &&
        !(ret = open_shelf(&shelf, &o, list))) {
        catch_signals();
        status = run_jobs(&shelf, &o);
    }
    close_shelf(&shelf);
    clzb_jobs_clear(&o.jobs);
    return ret < 0 ? exit_status(ret) : status;
}

static int verify(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_ffmpeg ffmpeg = {0};
    int ret = read_options(&o, argc, argv), worst = 0;

    if (!ret && optind == argc) ret = clzi_fail(&console, -EINVAL, "verify: expected films.");
    if (!ret && !o.quick) ret = clzb_ffmpeg_find(&ffmpeg, o.ffmpeg, &console);
    for (int i = optind; i < argc && !ret; i++) {
        const int one = clzb_verify_film(&ffmpeg, argv[i], o.quick, &console);
        if (one < 0) worst = one;
    }
    clzb_ffmpeg_clear(&ffmpeg);
    clzb_jobs_clear(&o.jobs);
    return exit_status(ret ? ret : worst);
}

// The journal that a list of jobs, or a journal itself, stands for.
static int open_journal(struct clzb_journal **journal, const struct options *o, int argc, char **argv)
{
    char path[PATH_MAX];
    int ret;

    *journal = NULL;
    if (optind + 1 != argc) return clzi_fail(&console, -EINVAL, "%s: expected jobs.yaml or a journal.", argv[0]);
    if (!is_list(argv[optind])) snprintf(path, sizeof path, "%s", argv[optind]);
    else if ((ret = journal_path(o, argv[optind], path)) < 0) return ret;
    if (access(path, F_OK)) return clzi_fail(&console, -ENOENT, "%s: there is no such journal; has the list been run?", path);
    return clzb_journal_open(journal, path, &console);
}

static int status(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_journal *journal = NULL;
    int ret = read_options(&o, argc, argv);

    if (!ret && !(ret = open_journal(&journal, &o, argc, argv))) ret = clzb_status_print(journal, stdout);
    clzb_journal_close(&journal);
    clzb_jobs_clear(&o.jobs);
    return exit_status(ret);
}

static int history(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_journal *journal = NULL;
    int ret = read_options(&o, argc, argv);

    if (!ret && !(ret = open_journal(&journal, &o, argc, argv))) ret = clzb_history_print(journal, stdout);
    clzb_journal_close(&journal);
    clzb_jobs_clear(&o.jobs);
    return exit_status(ret);
}

static int report(int argc, char **argv)
{
    struct options o = {0};
    struct clzb_journal *journal = NULL;
    int ret = read_options(&o, argc, argv);

    if (!ret && !o.output) ret = clzi_fail(&console, -EINVAL, "report: expected --out REPORT.html.");
    if (!ret && !(ret = open_journal(&journal, &o, argc, argv))) ret = clzb_report_write(journal, o.output, &console);
    clzb_journal_close(&journal);
    clzb_jobs_clear(&o.jobs);
    return exit_status(ret);
}

static int presets(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    clzb_presets_print(stdout);
    return 0;
}

static int keys(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    clzb_job_keys_print(stdout);
    return 0;
}

// ---- commands ----

static const struct command {
    const char *name, *usage, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "run", "run JOBS.yaml | run FILM... --out FOLDER/ --model MODEL.bin", "colours films; run again, it goes on", run },
    { "run", "run --watch FOLDER --out FOLDER/ --model MODEL.bin", "colours films as they are put into a folder", run },
    { "plan", "plan JOBS.yaml >PLAN", "units for a cluster, a line each: films and pieces", plan },
    { "run", "run --index N PLAN", "does unit N, from 0, on any host that shares the folders", run },
    { "merge", "merge PLAN", "joins the pieces; colours what is missing", merge },
    { "status", "status JOBS.yaml | JOURNAL", "what has become of each film", status },
    { "history", "history JOBS.yaml | JOURNAL", "all that has happened, in order", history },
    { "report", "report JOBS.yaml | JOURNAL --out REPORT.html", "the same as a page with pictures of each film", report },
    { "verify", "verify [--quick] FILM...", "checks coloured films against their side-cars", verify },
    { "presets", "presets", "what a film can become", presets },
    { "keys", "keys", "what a job in JOBS.yaml may say", keys },
};

static void help(void)
{
    printf("colorize-batch %s - colours a shelf of films with ffmpeg; killed at any moment and started again, it goes on\n\n",
           CLZ_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        printf("  %s\n      %s\n", commands[i].usage, commands[i].help);
    printf("\nOptions of run:\n"
           "  -o, --out FOLDER/      where coloured films go; a film's name keeps its stem\n"
           "  -m, --model FILE       the model\n"
           "  -p, --preset NAME      what a film becomes [ffv1]\n"
           "  -s, --set NAME=VALUE   an option of the filter, as strength=0.8; may be repeated\n"
           "      --key KEY=VALUE    any other key of a job, as segments=auto\n"
           "  -j, --parallel N       films, or pieces of films, at a time [1]\n"
           "      --journal FILE     [JOBS.journal, or colorize-batch.journal in the folder of the outputs]\n"
           "      --overwrite        replace files that are not of a batch, too\n"
           "      --retry            try quarantined films again\n"
           "      --ffmpeg PROGRAM   [build/filter/ffmpeg beside an uninstalled colorize-batch, else ffmpeg]\n"
           "      --host NAME        this host's name in journal and claims, and a journal of its own [gethostname]\n"
           "      --watch FOLDER     colour what is put into it, until a signal; --settle SECONDS: when a film stands still\n"
           "  -q, --quiet            only warnings and errors\n"
           "\nExit status: 0: all films are done; 1: some failed; 2: wrong usage or list; 65: verify found a difference;\n"
           "74: the disk of journal, plan or report; 128 + signal. doc/batch.md tells more.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help();
        return argc < 2 ? EXIT_USAGE : 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("colorize-batch %s\n", clz_version());
        return 0;
    }
    for (int i = 2; i < argc; i++)
        if (!strcmp(argv[i], "--help")) {
            help();
            return 0;
        }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, argv[1])) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "error: there is no command \"%s\"; colorize-batch --help lists them.\n", argv[1]);
    return EXIT_USAGE;
}
