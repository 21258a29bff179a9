// verify.h - decodes a finished film and compares it: with the film that went in, and, years later, with its side-car.
#ifndef CLZB_VERIFY_H
#define CLZB_VERIFY_H
#include "film.h"

// The part file against the film: streams, number and times of frames, luma, and that all of it can be decoded. Fills film->out,
// and in.md5's film->in. With `verify: off` only the number of frames that went in is read.
int clzb_verify_part(struct clzb_film *film);

// A film with its side-car FILM.json: hash and, unless quick, times and hashes of every frame. Prints its findings to stdout.
// Returns 0, -EBADMSG (it differs), or an error, which is logged.
int clzb_verify_film(const struct clzb_ffmpeg *ffmpeg, const char *path, bool quick, const struct clz_log *log);
#endif
