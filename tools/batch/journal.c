// journal.c - the SQLite database.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sqlite3.h>

#include "base/log.h"
#include "journal.h"
#include "paths.h"

enum { BUSY_MS = 30000 };

struct clzb_journal {
    sqlite3 *db;
    pthread_mutex_t mutex;                  // one statement at a time
    const struct clz_log *log;
    char *path;
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS jobs(out BLOB PRIMARY KEY, source BLOB, key TEXT, state TEXT, host TEXT, pid INTEGER, "
    "attempt INTEGER, tries INTEGER, reason TEXT, frames INTEGER, size INTEGER, seconds REAL, sha256 TEXT, device TEXT, "
    "luma TEXT, ended INTEGER, notes TEXT, strip BLOB);"
    "CREATE TABLE IF NOT EXISTS pieces(out BLOB, number INTEGER, key TEXT, frames INTEGER, sha256 TEXT, "
    "PRIMARY KEY(out, number));"
    "CREATE TABLE IF NOT EXISTS events(at TEXT, out BLOB, host TEXT, pid INTEGER, event TEXT, reason TEXT);";

static const char *const states[CLZB_STATES] = { "queued", "running", "verified", "done", "failed", "quarantined" };

const char *clzb_state_name(enum clzb_state state) { return states[state]; }

static int failed(struct clzb_journal *j)
{
    const int code = sqlite3_errcode(j->db) & 0xff;
    return clzi_fail(j->log, code == SQLITE_FULL ? -ENOSPC : code == SQLITE_NOMEM ? -ENOMEM : -EIO, "%s: the journal: %s.",
                     j->path, sqlite3_errmsg(j->db));
}

static int execute(struct clzb_journal *j, const char *sql)
{
    return sqlite3_exec(j->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(j);
}

int clzb_journal_open(struct clzb_journal **journal, const char *path, const struct clz_log *log)
{
    struct clzb_journal *j = *journal = calloc(1, sizeof *j);
    int ret;

    if (!j || !(j->path = strdup(path))) {
        free(j);
        *journal = NULL;
        return -ENOMEM;
    }
    j->log = log;
    pthread_mutex_init(&j->mutex, NULL);
    if (sqlite3_open_v2(path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        ret = j->db ? failed(j) : -ENOMEM;
    else {
        sqlite3_busy_timeout(j->db, BUSY_MS);
        ret = execute(j, clzb_on_network(path) ? "PRAGMA journal_mode=DELETE" : "PRAGMA journal_mode=WAL");
        if (!ret) ret = execute(j, "PRAGMA synchronous=FULL");
        if (!ret) ret = execute(j, schema);
    }
    if (ret) clzb_journal_close(journal);
    return ret;
}

void clzb_journal_close(struct clzb_journal **journal)
{
    struct clzb_journal *j = *journal;

    if (!j) return;
    sqlite3_close(j->db);
    pthread_mutex_destroy(&j->mutex);
    free(j->path);
    free(j);
    *journal = NULL;
}

// ---- statements ----

static sqlite3_stmt *prepare(struct clzb_journal *j, const char *sql)
{
    sqlite3_stmt *s = NULL;
    return sqlite3_prepare_v2(j->db, sql, -1, &s, NULL) == SQLITE_OK ? s : NULL;
}

static void bind_path(sqlite3_stmt *s, int n, const char *path)
{
    sqlite3_bind_blob(s, n, path, (int)strlen(path), SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *s, int n, const char *text)
{
    sqlite3_bind_text(s, n, text, -1, SQLITE_STATIC);
}

// Runs a statement that gives no rows, and ends it.
static int finish(struct clzb_journal *j, sqlite3_stmt *s)
{
    int ret = 0;
    if (!s || sqlite3_step(s) != SQLITE_DONE) ret = failed(j);
    sqlite3_finalize(s);
    return ret;
}

static void column(char *to, size_t size, sqlite3_stmt *s, int n)
{
    const char *text = (const char *)sqlite3_column_text(s, n);
    snprintf(to, size, "%s", text ? text : "");
}

#define ROW "key, state, host, pid, attempt, tries, reason, frames, size, seconds, sha256, device, luma, ended"

static void read_row(sqlite3_stmt *s, struct clzb_row *row)
{
    char state[16];

    *row = (struct clzb_row){0};
    column(row->key, sizeof row->key, s, 0);
    column(state, sizeof state, s, 1);
    for (int i = 0; i < CLZB_STATES; i++)
        if (!strcmp(state, states[i])) row->state = i;
    column(row->host, sizeof row->host, s, 2);
    row->pid = (long)sqlite3_column_int64(s, 3);
    row->attempt = sqlite3_column_int(s, 4);
    row->tries = sqlite3_column_int(s, 5);
    column(row->reason, sizeof row->reason, s, 6);
    row->frames = sqlite3_column_int64(s, 7);
    row->size = sqlite3_column_int64(s, 8);
    row->seconds = sqlite3_column_double(s, 9);
    column(row->sha256, sizeof row->sha256, s, 10);
    column(row->device, sizeof row->device, s, 11);
    column(row->luma, sizeof row->luma, s, 12);
    row->ended = sqlite3_column_int64(s, 13);
}

int clzb_journal_get(struct clzb_journal *j, const char *out, struct clzb_row *row)
{
    sqlite3_stmt *s;
    int step, ret = 0;

    *row = (struct clzb_row){0};
    pthread_mutex_lock(&j->mutex);
    if (!(s = prepare(j, "SELECT " ROW " FROM jobs WHERE out = ?"))) ret = failed(j);
    else {
        bind_path(s, 1, out);
        if ((step = sqlite3_step(s)) == SQLITE_ROW) read_row(s, row);
        else if (step != SQLITE_DONE) ret = failed(j);
        sqlite3_finalize(s);
    }
    pthread_mutex_unlock(&j->mutex);
    return ret;
}

static char *path_of(sqlite3_stmt *s, int n)
{
    return strndup(sqlite3_column_bytes(s, n) ? sqlite3_column_blob(s, n) : "", sqlite3_column_bytes(s, n));
}

int clzb_journal_source(struct clzb_journal *j, const char *out, char **in)
{
    sqlite3_stmt *s;
    int step, ret = 0;

    *in = NULL;
    pthread_mutex_lock(&j->mutex);
    if (!(s = prepare(j, "SELECT source FROM jobs WHERE out = ?"))) ret = failed(j);
    else {
        bind_path(s, 1, out);
        if ((step = sqlite3_step(s)) == SQLITE_ROW) ret = (*in = path_of(s, 0)) ? 0 : -ENOMEM;
        else if (step != SQLITE_DONE) ret = failed(j);
        sqlite3_finalize(s);
    }
    pthread_mutex_unlock(&j->mutex);
    return ret;
}

static int put_row(struct clzb_journal *j, const char *out, const char *in, const struct clzb_row *row)
{
    sqlite3_stmt *s = prepare(j, "INSERT INTO jobs(out, source, " ROW ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
        "ON CONFLICT(out) DO UPDATE SET source=excluded.source, key=excluded.key, state=excluded.state, host=excluded.host, "
        "pid=excluded.pid, "
        "attempt=excluded.attempt, tries=excluded.tries, reason=excluded.reason, frames=excluded.frames, size=excluded.size, "
        "seconds=excluded.seconds, sha256=excluded.sha256, device=excluded.device, luma=excluded.luma, ended=excluded.ended");

    if (!s) return failed(j);
    bind_path(s, 1, out);
    bind_path(s, 2, in);
    bind_text(s, 3, row->key);
    bind_text(s, 4, states[row->state]);
    bind_text(s, 5, row->host);
    sqlite3_bind_int64(s, 6, row->pid);
    sqlite3_bind_int(s, 7, row->attempt);
    sqlite3_bind_int(s, 8, row->tries);
    bind_text(s, 9, row->reason);
    sqlite3_bind_int64(s, 10, row->frames);
    sqlite3_bind_int64(s, 11, row->size);
    sqlite3_bind_double(s, 12, row->seconds);
    bind_text(s, 13, row->sha256);
    bind_text(s, 14, row->device);
    bind_text(s, 15, row->luma);
    sqlite3_bind_int64(s, 16, row->ended);
    return finish(j, s);
}

static int put_event(struct clzb_journal *j, const char *out, const struct clzb_row *row)
{
    sqlite3_stmt *s = prepare(j, "INSERT INTO events VALUES(strftime('%Y-%m-%dT%H:%M:%fZ'),?,?,?,?,?)");

    if (!s) return failed(j);
    bind_path(s, 1, out);
    bind_text(s, 2, row->host);
    sqlite3_bind_int64(s, 3, row->pid);
    bind_text(s, 4, states[row->state]);
    bind_text(s, 5, row->reason);
    return finish(j, s);
}

int clzb_journal_put(struct clzb_journal *j, const char *out, const char *in, const struct clzb_row *row)
{
    int ret;

    pthread_mutex_lock(&j->mutex);
    ret = execute(j, "BEGIN IMMEDIATE");
    if (!ret) {
        ret = put_row(j, out, in, row);
        if (!ret) ret = put_event(j, out, row);
        if (ret) sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
        else if ((ret = execute(j, "COMMIT")) < 0) sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&j->mutex);
    return ret;
}

int clzb_journal_piece_put(struct clzb_journal *j, const char *out, const char *key, int number, int frames, const char *sha256)
{
    sqlite3_stmt *s;
    int ret = 0;

    pthread_mutex_lock(&j->mutex);
    if (!(s = prepare(j, "DELETE FROM pieces WHERE out = ? AND key <> ?"))) ret = failed(j);
    else {
        bind_path(s, 1, out);
        bind_text(s, 2, key);
        ret = finish(j, s);
    }
    if (!ret && !(s = prepare(j, "INSERT OR REPLACE INTO pieces VALUES(?,?,?,?,?)"))) ret = failed(j);
    else if (!ret) {
        bind_path(s, 1, out);
        sqlite3_bind_int(s, 2, number);
        bind_text(s, 3, key);
        sqlite3_bind_int(s, 4, frames);
        bind_text(s, 5, sha256);
        ret = finish(j, s);
    }
    pthread_mutex_unlock(&j->mutex);
    return ret;
}

int clzb_journal_notes_put(struct clzb_journal *j, const char *out, const char *notes, const void *strip, int strip_size)
{
    sqlite3_stmt *s;
    int ret;

    pthread_mutex_lock(&j->mutex);
    if (!(s = prepare(j, "UPDATE jobs SET notes = ?, strip = ? WHERE out = ?"))) ret = failed(j);
    else {
        sqlite3_bind_text(s, 1, notes, -1, SQLITE_STATIC);
        sqlite3_bind_blob(s, 2, strip, strip_size, SQLITE_STATIC);
        bind_path(s, 3, out);
        ret = finish(j, s);
    }
    pthread_mutex_unlock(&j->mutex);
    return ret;
}

int clzb_journal_each(struct clzb_journal *j, int (*handler)(void *priv, const struct clzb_entry *entry), void *priv)
{
    sqlite3_stmt *s;
    int ret = 0, step = SQLITE_DONE;

    pthread_mutex_lock(&j->mutex);
    if (!(s = prepare(j, "SELECT " ROW ", out, source, notes, strip FROM jobs ORDER BY out"))) ret = failed(j);
    while (!ret && (step = sqlite3_step(s)) == SQLITE_ROW) {
        char *out = path_of(s, 14), *in = path_of(s, 15);
        struct clzb_entry e = { .out = out, .in = in, .notes = (const char *)sqlite3_column_text(s, 16),
                                .strip = sqlite3_column_blob(s, 17), .strip_size = sqlite3_column_bytes(s, 17) };
        read_row(s, &e.row);
        ret = out && in ? handler(priv, &e) : -ENOMEM;
        free(out);
        free(in);
    }
    if (!ret && step != SQLITE_DONE) ret = failed(j);
    sqlite3_finalize(s);
    pthread_mutex_unlock(&j->mutex);
    return ret;
}

int clzb_journal_history(struct clzb_journal *j, clzb_event_handler handler, void *priv)
{
    sqlite3_stmt *s;
    int ret = 0, step = SQLITE_DONE;

    pthread_mutex_lock(&j->mutex);
    if (!(s = prepare(j, "SELECT at, host, pid, event, reason, out FROM events ORDER BY rowid"))) ret = failed(j);
    while (!ret && (step = sqlite3_step(s)) == SQLITE_ROW) {
        char *out = path_of(s, 5);
        const char *text[4];
        const int columns[4] = { 0, 1, 3, 4 };
        for (int i = 0; i < 4; i++) {
            const char *value = (const char *)sqlite3_column_text(s, columns[i]);
            text[i] = value ? value : "";
        }
        ret = out ? handler(priv, text[0], text[1], (long)sqlite3_column_int64(s, 2), text[2], out, text[3]) : -ENOMEM;
        free(out);
    }
    if (!ret && step != SQLITE_DONE) ret = failed(j);
    sqlite3_finalize(s);
    pthread_mutex_unlock(&j->mutex);
    return ret;
}
