// film.h - one job's work: from the film to the coloured one under its final name.
//
// All that is not finished lies in FOLDER/.colorize-HASH/, beside the output, so that the last step is a rename:
//     film        the part file, or a folder of pictures
//     in.md5 out.md5      times and hashes of the frames that went in and that come out of the part file
//     piece-N     a piece of a segmented film
//     side.json log strip.jpg
//     answers-MODEL...    answers of the network, answers.h
// FOLDER/.colorize-HASH.claim is the claim (claim.h).
#ifndef CLZB_FILM_H
#define CLZB_FILM_H
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "claim.h"
#include "ffmpeg.h"
#include "frames.h"
#include "jobs.h"
#include "journal.h"
#include "probe.h"
#include "streams.h"

// What all films of a run share.
struct clzb_shelf {
    struct clzb_ffmpeg ffmpeg;
    struct clzb_journal *journal;
    char host[64];
    char token[17];                         // of this run: in names of files that another host might make at the same time
    const struct clz_log *log;
    pthread_mutex_t claims;                 // a claim is taken, renewed and dropped under it
    atomic_int *stop;                       // set by a signal: work ends
    char *model, model_sha[65];             // the last model that was hashed
    bool overwrite;                         // files that are not of a batch, too
    bool retry;                             // quarantined jobs, too
};

struct clzb_piece {
    int first, count;                       // frames
    char bars[160];                         // the option `bars` for it; "": the job's own
    bool taken, done;
};

enum clzb_work { CLZB_WAITING, CLZB_BUSY, CLZB_PIECES, CLZB_FINISHED };

struct clzb_film {
    struct clzb_shelf *shelf;
    const struct clzb_job *job;
    const struct clzb_container *container;
    struct clzb_probe probe;
    struct clzb_mapping mapping;
    char key[65], model_sha[65], fingerprint[65];
    const char *format, *out_range;         // of the coded film; NULL: not said
    char folder[PATH_MAX];                  // of its unfinished work
    char part_input[64];                    // the part file's name, or a pattern of pictures, in `folder`
    struct clzb_claim claim;
    struct clzb_row row;
    FILE *log_file;
    struct clzb_frames in, out;
    char device[120], luma[160];
    bool distrusts_answers;                 // the last try failed with the file that answers were taken from
    char answers_sha[65];                   // of the file of answers; "": there is none
    int64_t answers_size;
    const char *planes;                     // what the hashes of `out` are of: "y+u+v" or "r+g+b"
    pthread_mutex_t mutex;                  // of the next six and device, luma: pieces run side by side
    int64_t from_file, from_network;        // frames whose answers came from a file; from the network, with files of answers
    bool blameless;                         // open failed for another reason than the film
    int errors;                             // messages of ffmpeg in damaged films that are coloured all the same
    char first_error[300];
    char reason[400];                       // why it failed
    double started;                         // clzi_now()
    double colouring;                       // seconds
    _Atomic int64_t done;                   // frames coloured by runs of ffmpeg that are in progress, or finished pieces
    atomic_bool lost;                       // another run has taken the claim

    // Of the scheduler, run.c, under its mutex.
    enum clzb_work work;
    int order;                              // films that failed go to the end of the queue
    double not_before;                      // clzi_now() from which it may be taken: another run has had it
    struct clzb_piece *piece;
    int pieces, pieces_taken, pieces_done;
    int error;
};

extern const char clzb_film_damaged[];      // the blame for errors in reading a film

// Looks at the film: key, streams. Nothing is written. Returns 0, 1 if it is done, by the journal, or an error, which is kept in
// `reason`. close is needed in any case.
int clzb_film_open(struct clzb_film *film, struct clzb_shelf *shelf, const struct clzb_job *job);
void clzb_film_close(struct clzb_film *film);
void clzb_film_refuse(struct clzb_film *film, int ret);     // writes down that the film could not be opened

// Claims the job. Returns 0: there is work to do. 1: it is done. -EBUSY: another run has it. -ECANCELED: quarantined. Else an
// error.
int clzb_film_begin(struct clzb_film *film);
int clzb_film_render(struct clzb_film *film);               // all of it, into the part file
int clzb_film_finish(struct clzb_film *film);               // verify, write the side-car, rename

int clzb_film_renew(struct clzb_film *film);                // its claim, if it has one; from any thread

// Ends what begin began. ret: 0, or the error that the work ended with. Returns true if the job may be tried again.
bool clzb_film_end(struct clzb_film *film, int ret);

// ---- for segment.c and verify.c ----

// Runs ffmpeg in the film's folder; keeps its device and errors. frames: counts them. blame: what is wrong if ffmpeg reports
// errors, though it ends well: then returns -EBADMSG, unless the job keeps damaged films. From any thread.
int clzb_film_ffmpeg(struct clzb_film *film, const struct clzb_args *args, _Atomic int64_t *frames, const char *blame);
int clzb_film_fail(struct clzb_film *film, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int clzb_film_path(const struct clzb_film *film, char path[PATH_MAX], const char *name);      // in its folder

// The arguments' parts: the input with the film's name; the filter's chain; the encoder, container and name of the part file.
void clzb_film_input(const struct clzb_film *film, struct clzb_args *args);
int clzb_film_chain(const struct clzb_film *film, const char *more, char **chain);      // more: options, as ":batch=1"
void clzb_film_encode(const struct clzb_film *film, struct clzb_args *args, const char *time_base);     // "-1": the input's
void clzb_film_output(const struct clzb_film *film, struct clzb_args *args);
const char *clzb_film_luma_filter(const struct clzb_film *film);       // of the hashes of what goes in
int clzb_film_space(struct clzb_film *film, double frame_share);       // -ENOSPC if the disk has no room for it
#endif
