// provenance.h - the side-car FILM.json: how a film was made, and the hashes by which it can be checked.
#ifndef CLZB_PROVENANCE_H
#define CLZB_PROVENANCE_H
#include "film.h"

// Writes side.json into the film's folder.
int clzb_provenance_write(struct clzb_film *film);

// Reads key, sha256, size, frames, seconds and device of the side-car PATH. -ENOENT: there is none that can be read. -EBADMSG:
// its hashes are none.
int clzb_provenance_key(const char *path, struct clzb_row *row);

// The hash of the model that the film of the side-car PATH was coloured with. Returns 0, or -ENOENT: no file of answers stands
// beside the film.
int clzb_provenance_answers(const char *path, char model[65]);

struct clzb_provenance {
    char sha256[65], planes[16];            // planes: "y+u+v" or "r+g+b"
    char pattern[64];                       // of a folder of pictures: "%08d.dpx"; "": a file
    int start;                              // its first number
    struct clzb_frames frames;
};

// Reads all that verify needs. Errors are logged.
int clzb_provenance_read(struct clzb_provenance *p, const char *out, const struct clz_log *log);
void clzb_provenance_clear(struct clzb_provenance *p);
#endif
