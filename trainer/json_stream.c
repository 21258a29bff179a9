// json_stream.c - a pull parser of JSON over a buffer that is refilled.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libavutil/avstring.h>

#include "base/log.h"
#include "json_stream.h"

enum { BUFFER = 256 << 10, MAX_NUMBER = 64 };

struct clzt_json {
    struct clzt_json_source source;
    const char *name;
    const struct clz_log *log;
    const uint8_t *at, *end;                // of the bytes in buffer
    int64_t before;                         // bytes of the file before the buffer
    int error;
    int depth;
    uint64_t objects;                       // bit k: level k is an object
    bool first;                             // no element of the innermost level has been read
    size_t used;                            // of text
    char text[CLZT_JSON_TEXT];
    uint8_t buffer[BUFFER];
};

int clzt_json_create(struct clzt_json **json, const struct clzt_json_source *source, const char *name,
                     const struct clz_log *log)
{
    struct clzt_json *j = *json = malloc(sizeof *j);

    if (!j) return -ENOMEM;
    memset(j, 0, offsetof(struct clzt_json, buffer));
    j->source = *source;
    j->name = name;
    j->log = log;
    j->at = j->end = j->buffer;
    return 0;
}

void clzt_json_destroy(struct clzt_json **json)
{
    free(*json);
    *json = NULL;
}

int clzt_json_fail(struct clzt_json *j, const char *format, ...)
{
    char text[600];
    va_list args;

    if (j->error) return j->error;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return j->error = clzi_fail(j->log, -EBADMSG, "%s: byte %lld: %s.", j->name, (long long)(j->before + (j->at - j->buffer)),
                                text);
}

static bool refill(struct clzt_json *j)
{
    ptrdiff_t n;

    if (j->error) return false;
    j->before += j->end - j->buffer;
    j->at = j->end = j->buffer;
    n = j->source.read(j->source.priv, j->buffer, BUFFER);
    if (n < 0) j->error = clzi_fail(j->log, (int)n, "%s: %s.", j->name, strerror((int)-n));
    if (n > 0) j->end = j->buffer + n;
    return n > 0;
}

static inline int peek(struct clzt_json *j) // -1: the end, or an error
{
    return j->at < j->end || refill(j) ? *j->at : -1;
}

static inline bool is_space(int c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static inline int peek_token(struct clzt_json *j)
{
    int c;

    while (is_space(c = peek(j))) j->at++;
    return c;
}

// A character for a message.
struct shown { char text[24]; };
static struct shown show(int c)
{
    struct shown s;

    if (c < 0) snprintf(s.text, sizeof s.text, "the end of the file");
    else if (c > 32 && c < 127) snprintf(s.text, sizeof s.text, "'%c'", c);
    else snprintf(s.text, sizeof s.text, "the byte 0x%02x", (unsigned)c);
    return s;
}

static int expected(struct clzt_json *j, const char *what)
{
    return clzt_json_fail(j, "%s where %s is expected", show(peek(j)).text, what);
}

static int enter(struct clzt_json *j, bool object)
{
    if (j->depth == CLZT_JSON_DEPTH) return clzt_json_fail(j, "more than %d nested objects and arrays", CLZT_JSON_DEPTH);
    j->objects = (j->objects & ~(UINT64_C(1) << j->depth)) | (uint64_t)object << j->depth;
    j->depth++;
    j->first = true;
    j->at++;
    return 0;
}

static void leave(struct clzt_json *j)
{
    j->at++;
    j->depth--;
    j->first = false;                       // the level above has at least this element
}

int clzt_json_object(struct clzt_json *j, const char *what)
{
    return peek_token(j) == '{' ? enter(j, true) : expected(j, what);
}

int clzt_json_array(struct clzt_json *j, const char *what)
{
    return peek_token(j) == '[' ? enter(j, false) : expected(j, what);
}

// ---- strings ----

static int append(struct clzt_json *j, int c)
{
    if (j->used + 1 >= sizeof j->text) return clzt_json_fail(j, "a string of more than %d bytes", CLZT_JSON_TEXT - 1);
    j->text[j->used++] = (char)c;
    return 0;
}

static int hex4(struct clzt_json *j, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        const int c = peek(j), letter = c | 32;
        const int digit = c >= '0' && c <= '9' ? c - '0' : letter >= 'a' && letter <= 'f' && c > 0 ? letter - 'a' + 10 : -1;
        if (digit < 0) return expected(j, "a hexadecimal digit of a \\u escape");
        *code = *code << 4 | (unsigned)digit;
    }
    return 0;
}

static int append_code(struct clzt_json *j, unsigned code)
{
    int ret = 0;

    if (code < 0x80) return append(j, (int)code);
    for (int shift = code < 0x800 ? 6 : code < 0x10000 ? 12 : 18, first = 1; shift >= 0 && !ret; shift -= 6, first = 0) {
        const unsigned lead = shift == 6 ? 0xc0 : shift == 12 ? 0xe0 : 0xf0;
        ret = append(j, (int)(first ? lead | code >> shift : 0x80 | (code >> shift & 63)));
    }
    return ret;
}

static int unicode(struct clzt_json *j)     // after "\u"
{
    unsigned code, low;

    if (hex4(j, &code) < 0) return j->error;
    if (!code) return clzt_json_fail(j, "a NUL character in a string");
    if (code >= 0xdc00 && code < 0xe000) return clzt_json_fail(j, "a low surrogate without a high one");
    if (code < 0xd800 || code >= 0xe000) return append_code(j, code);
    for (const char *c = "\\u"; *c; c++, j->at++)
        if (peek(j) != *c) return expected(j, "the low surrogate of a pair");
    if (hex4(j, &low) < 0) return j->error;
    if (low < 0xdc00 || low >= 0xe000) return clzt_json_fail(j, "a high surrogate without a low one");
    return append_code(j, 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00)));
}

// Reads a string into j->text; what: for messages.
static int string(struct clzt_json *j, const char *what)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const uint8_t *from, *to;
    bool ascii = true;                      // escapes give valid UTF-8
    int32_t code;
    int ret = 0;

    if (peek_token(j) != '"') return expected(j, what);
    j->at++;
    for (j->used = 0; !ret;) {
        while (j->at < j->end && *j->at >= 32 && *j->at < 127 && *j->at != '"' && *j->at != '\\' && j->used + 1 < sizeof j->text)
            j->text[j->used++] = (char)*j->at++;
        const int c = peek(j);
        if (c < 32) return c < 0 ? expected(j, "the end of a string") : clzt_json_fail(j, "a control character in a string");
        if (c == '"') break;
        j->at++;
        ascii &= c < 128;
        if (c != '\\') {
            ret = append(j, c);
            continue;
        }
        const int letter = peek(j);
        const char *known = letter > 0 ? strchr(letters, letter) : NULL;
        if (letter != 'u' && !known) return expected(j, "the letter of an escape");
        j->at++;
        ret = letter == 'u' ? unicode(j) : append(j, meanings[known - letters]);
    }
    if (ret) return ret;
    j->at++;
    j->text[j->used] = 0;
    for (from = (uint8_t *)j->text, to = from + j->used; !ascii && from < to;)
        if (av_utf8_decode(&code, &from, to, AV_UTF8_FLAG_ACCEPT_NON_CHARACTERS) < 0)
            return clzt_json_fail(j, "a string that is not UTF-8");
    return 0;
}

int clzt_json_string(struct clzt_json *j, const char *what, const char **text)
{
    *text = j->text;
    return string(j, what);
}

static int skip_string(struct clzt_json *j) // at its first quote
{
    j->at++;
    for (;;) {
        const uint8_t *p = j->at;
        while (p < j->end && *p != '"' && *p != '\\' && *p >= 32) p++;
        j->at = p;
        const int c = peek(j);
        if (c < 0) return expected(j, "the end of a string");
        if (p < j->end && c < 32) return clzt_json_fail(j, "a control character in a string");
        if (c != '"' && c != '\\') continue;    // the buffer was refilled
        j->at++;
        if (c == '"') return 0;
        const int letter = peek(j);
        if (letter <= 0 || !strchr("\"\\/bfnrtu", letter)) return expected(j, "the letter of an escape");
        j->at++;
    }
}

// ---- numbers ----

// Reads a number and checks its form. text: NULL, or room for MAX_NUMBER characters and a NUL. Returns 1 if it is whole, without
// fraction and exponent.
static int number(struct clzt_json *j, char *text)
{
    // before the digits, after '-', after a leading 0, in the integer, after '.', in the fraction, after 'e', after its sign, in
    // the exponent
    enum { START, MINUS, ZERO, WHOLE, POINT, FRACTION, E, SIGN, EXPONENT } state = START;
    int used = 0;

    for (;; j->at++) {
        const int c = peek(j);
        const bool digit = c >= '0' && c <= '9';
        if (digit && (state == START || state == MINUS)) state = c == '0' ? ZERO : WHOLE;
        else if (digit && state == POINT) state = FRACTION;
        else if (digit && (state == E || state == SIGN)) state = EXPONENT;
        else if (digit && state != ZERO) ;
        else if (c == '-' && state == START) state = MINUS;
        else if (c == '.' && (state == ZERO || state == WHOLE)) state = POINT;
        else if ((c == 'e' || c == 'E') && (state == ZERO || state == WHOLE || state == FRACTION)) state = E;
        else if ((c == '+' || c == '-') && state == E) state = SIGN;
        else if (is_space(c) || c == ',' || c == ']' || c == '}' || c < 0) break;
        else return clzt_json_fail(j, "%s in a number", show(c).text);
        if (used == MAX_NUMBER) return clzt_json_fail(j, "a number of more than %d characters", MAX_NUMBER);
        if (text) text[used] = (char)c;
        used++;
    }
    if (j->error) return j->error;
    if (state == START || state == MINUS || state == POINT || state == E || state == SIGN)
        return clzt_json_fail(j, "a number that ends too early");
    if (text) text[used] = 0;
    return state == ZERO || state == WHOLE;
}

static inline bool is_digit(int c) { return (unsigned)c - '0' < 10; }

// number() for the usual forms, 12 and -3.45, when they lie wholly in the buffer; most of a file of COCO consists of them.
static inline int skip_number(struct clzt_json *j)
{
    const uint8_t *p = j->at;

    if (j->end - p < MAX_NUMBER + 2) return number(j, NULL);
    p += *p == '-';
    if (!is_digit(*p) || (*p == '0' && is_digit(p[1]))) return number(j, NULL);
    while (is_digit(*p) && p - j->at < MAX_NUMBER) p++;
    if (*p == '.') {
        if (!is_digit(*++p)) return number(j, NULL);
        while (is_digit(*p) && p - j->at < MAX_NUMBER) p++;
    }
    if (*p != ',' && *p != ']' && *p != '}' && !is_space(*p)) return number(j, NULL);
    j->at = p;
    return 0;
}

int clzt_json_integer(struct clzt_json *j, const char *what, int64_t *value)
{
    const int c = peek_token(j);
    char text[MAX_NUMBER + 1];
    int ret;

    if (c != '-' && (c < '0' || c > '9')) return expected(j, what);
    if ((ret = number(j, text)) < 0) return ret;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    if (!ret || errno) return clzt_json_fail(j, "%s where %s, a whole number of 64 bits, is expected", text, what);
    return 0;
}

// ---- structure ----

static int word(struct clzt_json *j, const char *text)
{
    for (; *text; text++, j->at++)
        if (peek(j) != *text) return expected(j, "a value");
    return 0;
}

// Goes to the next element of the innermost level. 1: there is one; 0: the level was left.
static inline int next(struct clzt_json *j, char close)
{
    int c = peek_token(j);

    if (j->error) return j->error;
    if (c == close) {
        leave(j);
        return 0;
    }
    if (!j->first) {
        if (c != ',') return expected(j, close == '}' ? "',' or '}'" : "',' or ']'");
        j->at++;
        c = peek_token(j);
        if (c == close) return expected(j, "a value after ','");
    }
    j->first = false;
    return 1;
}

int clzt_json_element(struct clzt_json *j) { return next(j, ']'); }

static int colon(struct clzt_json *j)
{
    if (peek_token(j) != ':') return expected(j, "':'");
    j->at++;
    return 0;
}

int clzt_json_key(struct clzt_json *j, const char **key)
{
    int ret = next(j, '}');

    *key = j->text;
    if (ret <= 0) return ret;
    if ((ret = string(j, "a key")) < 0 || (ret = colon(j)) < 0) return ret;
    return 1;
}

// A value; enters objects and arrays without reading their elements.
static int skip_begin(struct clzt_json *j)
{
    const int c = peek_token(j);
    int ret;

    switch (c) {
    case '{': return enter(j, true);
    case '[': return enter(j, false);
    case '"': return skip_string(j);
    case 't': return word(j, "true");
    case 'f': return word(j, "false");
    case 'n': return word(j, "null");
    default:
        if (c != '-' && (c < '0' || c > '9')) return expected(j, "a value");
        ret = skip_number(j);
        return ret < 0 ? ret : 0;
    }
}

int clzt_json_skip(struct clzt_json *j)
{
    const int depth = j->depth;
    int ret = skip_begin(j);

    while (!ret && j->depth > depth) {
        const bool object = j->objects >> (j->depth - 1) & 1;
        if (!object && !j->first && j->end - j->at > 2 && *j->at == ',') {      // a short way for lists of numbers
            const uint8_t *const p = j->at + 1 + (j->at[1] == ' ');
            if (is_digit(*p)) {
                j->at = p;
                if ((ret = skip_number(j)) > 0) ret = 0;
                continue;
            }
        }
        if ((ret = next(j, object ? '}' : ']')) <= 0) continue;
        if (object) {
            if (peek_token(j) != '"') return expected(j, "a key");
            if ((ret = skip_string(j)) < 0 || (ret = colon(j)) < 0) return ret;
        }
        ret = skip_begin(j);
    }
    return ret;
}

int clzt_json_end(struct clzt_json *j)
{
    const int c = peek_token(j);

    if (j->error) return j->error;
    return c < 0 ? 0 : expected(j, "the end of the file");
}
