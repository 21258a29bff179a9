// model_json.h - parsing of untrusted JSON, and numbers as text, for model files.
#ifndef CLZI_MODEL_JSON_H
#define CLZI_MODEL_JSON_H
#include <jansson.h>
#include <stddef.h>

// An untrusted string for use in messages: truncated, with '?' for every byte that is not printable ASCII.
struct clzi_printable { char text[64]; };
struct clzi_printable clzi_printable(const char *s);

// Parses text, after a check that it has at most `containers` objects and arrays (each costs jansson a hundred bytes or more), at
// most three deep. Duplicate keys are errors. Returns 0, -ENOMEM, or -EBADMSG, where *why tells what is wrong and at which byte.
int clzi_json_parse(json_t **root, const char *text, size_t size, int containers, struct clzi_printable *why);

// json as text, which the caller frees; NULL: out of memory. Replaces json_dumps(), which omits a key if an allocation fails
// there.
char *clzi_json_text(const json_t *json, size_t flags);

// x in the fewest digits that read back as the same float, with a decimal point in every locale. The caller frees it; NULL: out
// of memory.
char *clzi_number_to_text(float x);

// Reads the whole text as one JSON number. Returns 0 or -EINVAL. integer: a decimal point or an exponent is an error.
int clzi_number_from_text(const char *text, int integer, double *x);
#endif
