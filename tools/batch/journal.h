// journal.h - what has become of each job, in an SQLite database that is never behind: every change is on the disk (WAL,
// synchronous=FULL) before the work goes on. Rows are known by the output's path.
//
// queued -> running -> verified -> done; running -> failed -> running ...; after three failures: quarantined. A run that dies
// leaves `running` or `verified`, from which the next one goes on. `verified` has the hash of the part file: the next step is
// to rename it.
#ifndef CLZB_JOURNAL_H
#define CLZB_JOURNAL_H
#include <stdbool.h>
#include <stdint.h>
#include "engine/colorize.h"

enum { CLZB_MAX_TRIES = 3 };

enum clzb_state { CLZB_QUEUED, CLZB_RUNNING, CLZB_VERIFIED, CLZB_DONE, CLZB_FAILED, CLZB_QUARANTINED, CLZB_STATES };

struct clzb_row {
    enum clzb_state state;
    char key[65];                           // of film, model and options; work done for another key does not count
    char host[64];
    long pid;
    int attempt;                            // runs that have begun it, deaths included
    int tries;                              // failures with this key
    char reason[400];                       // of the failure
    int64_t frames, size;                   // of the output
    double seconds;                         // that the colouring took
    char sha256[65];                        // of the output
    char device[120], luma[120];
    int64_t ended;                          // time(2)
};

struct clzb_journal;

// Opens or makes the database. A journal on a network file system, where SQLite's WAL does not work, uses a rollback journal.
int clzb_journal_open(struct clzb_journal **journal, const char *path, const struct clz_log *log);
void clzb_journal_close(struct clzb_journal **journal);

// All functions may be called from any thread and log their errors.
int clzb_journal_get(struct clzb_journal *j, const char *out, struct clzb_row *row);                // no row: queued, no key
int clzb_journal_source(struct clzb_journal *j, const char *out, char **in);       // the film of the row, to free; NULL: no row
int clzb_journal_put(struct clzb_journal *j, const char *out, const char *in, const struct clzb_row *row);

// Writes down a piece that is done: its frames and the hash of its file. Pieces of another key are dropped.
int clzb_journal_piece_put(struct clzb_journal *j, const char *out, const char *key, int number, int frames, const char *sha256);

// For the report: text (warnings, a line each) and the strip of pictures (JPEG), both may be NULL.
int clzb_journal_notes_put(struct clzb_journal *j, const char *out, const char *notes, const void *strip, int strip_size);

struct clzb_entry {
    const char *out, *in, *notes;
    const void *strip;
    int strip_size;
    struct clzb_row row;
};
int clzb_journal_each(struct clzb_journal *j, int (*handler)(void *priv, const struct clzb_entry *entry), void *priv);

// The changes of state, oldest first.
typedef int (*clzb_event_handler)(void *priv, const char *at, const char *host, long pid, const char *event, const char *out,
                                  const char *reason);
int clzb_journal_history(struct clzb_journal *j, clzb_event_handler handler, void *priv);

const char *clzb_state_name(enum clzb_state state);
#endif
