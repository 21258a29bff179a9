// model_json.h - JSON of untrusted origin, and numbers as text, for the files of the model.
#ifndef CLZI_MODEL_JSON_H
#define CLZI_MODEL_JSON_H
#include <jansson.h>
#include <stddef.h>

// Strings of unknown content, cut and with '?' for what is not printable ASCII, for messages.
struct clzi_printable { char text[64]; };
struct clzi_printable clzi_printable(const char *s);

// Parses text after a look at its brackets: at most `containers` objects and arrays (each costs jansson a hundred bytes and
// more) and three levels. Duplicate keys are errors. -EBADMSG: *why says what is wrong, and where; -ENOMEM.
int clzi_json_parse(json_t **root, const char *text, size_t size, int containers, struct clzi_printable *why);

// json as text, to be freed; NULL: no memory. In place of json_dumps(), which loses a key when memory fails at its place.
char *clzi_json_text(const json_t *json, size_t flags);

// A number in the fewest digits that give the same float again; always with a point, whatever the locale. To be freed; NULL: no memory.
char *clzi_number_to_text(float x);

// Reads all of text as one JSON number. 0 or -EINVAL. integer: a number with a point or exponent is refused.
int clzi_number_from_text(const char *text, int integer, double *x);
#endif
