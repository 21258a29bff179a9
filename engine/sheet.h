// sheet.h - the shot sheet: a YAML file that says how parts of a film are coloured. doc/filter.md describes it.
//
//     cuts: film.shots.csv            # a list of shots (shots.h); relative to the sheet's folder
//     rate: 24000/1001                # of time codes
//     start: 01:00:00:00              # the time code of time 0
//     lines:                          # later ones override earlier ones, key by key
//     - {strength: 0.9}                                   # the whole film
//     - {shot: 3-5, saturation: 0.7}                      # shots of the list, from 1
//     - {shot: [2, 7], hold: true}
//     - {from: 62.5, to: 1:10, skip: true}                # seconds or [h:]m:s, not including `to`
//     - {from: 01:02:00:12, to: 01:02:03:00, strength: 0}         # time codes
//     - {shot: 7, points: ["640 50% 9 #7088c0", "10% 90% 2% #406030"]}  # colours of places, as hints.h has them
//     - {shot: 8, masks: sky.png, follow: false}                        # files of hints; their places stay where they are
//
//     - {shot: 9, class: [person, horse]}                   # what is in the picture, for models trained with classes
//     - {shot: 9, reference: still.png}                       # the colours of a still, for places that look alike
//
// Lines with points, masks and stills do not override each other: all that apply to a frame are painted, later ones over earlier
// ones.
//
// One thread at a time uses a sheet.
#ifndef CLZI_SHEET_H
#define CLZI_SHEET_H
#include "base/log.h"
#include "hint_painter.h"
#include "shots.h"

struct clzi_sheet;

// Returns 0, -ENOMEM, -EINVAL (the sheet is wrong: a message names file, line and key) or the error of reading. log is kept.
int clzi_sheet_read(struct clzi_sheet **sheet, const char *path, const struct clz_log *log);
void clzi_sheet_destroy(struct clzi_sheet **sheet);

const char *clzi_sheet_cuts(const struct clzi_sheet *sheet);       // path of its list of shots; NULL: it names none
bool clzi_sheet_holds(const struct clzi_sheet *sheet);             // whether a line says `hold`
struct clzi_extras clzi_sheet_extras(const struct clzi_sheet *sheet);      // what its lines have

// Finds the classes that the lines name in a model's list; does nothing if that is empty. Returns 0, -ENOMEM or -EINVAL, with a
// message that names the line.
int clzi_sheet_find_classes(struct clzi_sheet *sheet, const char *names);

// Finds the frames of the shots that the lines name. cuts NULL: there is no list. Returns 0 or -EINVAL, with a message.
int clzi_sheet_number(struct clzi_sheet *sheet, const struct clzi_cuts *cuts);

// The numbers of the frames to come are not known any more: lines with `shot` do not apply from here on.
void clzi_sheet_lose_numbers(struct clzi_sheet *sheet);

// Sets what the lines say about a frame. number: in the film, from 0. controls->time: in seconds; negative: unknown. layers: of
// hints, which the sheet owns. classes: the vector of the last line that has classes, which the sheet owns too; not set where no
// line has. Returns whether a line says `skip`, true or false.
bool clzi_sheet_apply(struct clzi_sheet *sheet, uint64_t number, struct clz_controls *controls, struct clzi_hint_layers *layers,
                      const float **classes);

// The film has ended: warns of lines that no frame lay in. late: frames had gone before the sheet came.
void clzi_sheet_end(const struct clzi_sheet *sheet, bool late);
#endif
