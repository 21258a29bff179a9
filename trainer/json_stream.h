// json_stream.h - reads JSON (RFC 8259) of any size from a stream, in constant memory: the caller asks for the parts in their
// order, and skips what it does not need. What is skipped is checked, too, but for UTF-8 and \u escapes in strings.
//
// Every function returns a negative value after an error, which was logged once: -EBADMSG, a read error, -ENOMEM.
#ifndef CLZT_JSON_STREAM_H
#define CLZT_JSON_STREAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/colorize.h"

enum {
    CLZT_JSON_DEPTH = 64,                   // of nested objects and arrays
    CLZT_JSON_TEXT = 1024,                  // bytes of a string or number that the caller reads, with its NUL
};

// Where the bytes come from: fills data with 1 to size bytes and returns their number; 0: the end; negative: an errno.
struct clzt_json_source { ptrdiff_t (*read)(void *priv, uint8_t *data, size_t size); void *priv; };

struct clzt_json;
int clzt_json_create(struct clzt_json **json, const struct clzt_json_source *source, const char *name,
                     const struct clz_log *log);
void clzt_json_destroy(struct clzt_json **json);

// The next value is an object or an array: enters it. what: for messages, "an image".
int clzt_json_object(struct clzt_json *json, const char *what);
int clzt_json_array(struct clzt_json *json, const char *what);

// Within an object: 1 and the key of the next value in *key, which is valid until the next call; 0 at the end, which leaves it.
int clzt_json_key(struct clzt_json *json, const char **key);
int clzt_json_element(struct clzt_json *json);  // within an array: 1 if there is a next value; 0 at the end, which leaves it

// The next value. *text is valid until the next call; without NULs.
int clzt_json_string(struct clzt_json *json, const char *what, const char **text);
int clzt_json_integer(struct clzt_json *json, const char *what, int64_t *value);
int clzt_json_skip(struct clzt_json *json);
int clzt_json_end(struct clzt_json *json);      // after the value: nothing but white space follows

// Logs "NAME: byte N: ..." and returns -EBADMSG.
int clzt_json_fail(struct clzt_json *json, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
