// hints.c - reads and paints colours that the user gives.
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "hints.h"
#include "kernels/lab_math.h"

enum { MAX_POINTS = 10000, MAX_FILE = 256 << 20, LINE = 120 };
enum { OPAQUE = 128 };                      // alpha, of 255, from which a pixel is a hint

void clzi_hints_destroy(struct clzi_hints **hints)
{
    if (*hints) {
        free((*hints)->points);
        free((*hints)->rgba);
    }
    free(*hints);
    *hints = NULL;
}

static void colour_of(const uint8_t rgb[3], float *a, float *b)
{
    float lab[3];

    clzk_rgb_to_lab((const float[3]){ rgb[0] / 255.f, rgb[1] / 255.f, rgb[2] / 255.f }, lab);
    *a = lab[1];
    *b = lab[2];
}

// ---- text ----

// Reads a number, and % if there is one. Returns the rest of the text, NULL if there is no number of 0 or more.
static const char *read_length(const char *text, struct clzi_length *l)
{
    char *end;

    l->value = strtof(text, &end);
    if (end == text || !isfinite(l->value) || l->value < 0 || l->value > 1e6f) return NULL;
    l->share = *end == '%';
    if (l->share) l->value /= 100;
    return end + l->share;
}

static bool read_colour(const char *text, uint8_t rgb[3])
{
    for (int i = 0; i < 6; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
                          c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return false;
        rgb[i / 2] = (uint8_t)(i % 2 ? rgb[i / 2] * 16 + digit : digit);
    }
    return text[6 + strspn(text + 6, " \t\r")] == 0;
}

static bool read_point(const char *line, struct clzi_point *p)
{
    const char *at = line;
    uint8_t rgb[3];

    if (!(at = read_length(at, &p->x)) || !(at = read_length(at, &p->y)) || !(at = read_length(at, &p->r))) return false;
    at += strspn(at, " \t");
    if (*at != '#' || !read_colour(at + 1, rgb)) return false;
    colour_of(rgb, &p->a, &p->b);
    return true;
}

static int read_points(struct clzi_hints *h, const void *data, size_t size, const char *name, const struct clz_log *log)
{
    const char *const text = data;
    int number = 0, room = 0;

    for (size_t at = 0; at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t length = end ? (size_t)(end - text) - at : size - at;
        char line[LINE];
        const char *first;
        if (length < sizeof line) memcpy(line, text + at, length);
        line[length < sizeof line ? length : 0] = 0;
        first = line + strspn(line, " \t\r");
        at += length + 1;
        if (length < sizeof line && strlen(line) == length && (*first == 0 || *first == '#')) continue;
        if (h->count == MAX_POINTS)
            return clzi_fail(log, -EBADMSG, "%s: more than %d points", name, MAX_POINTS);
        if (h->count == room) {
            struct clzi_point *more = realloc(h->points, sizeof *more * (room = 2 * room + 16));
            if (!more) return -ENOMEM;
            h->points = more;
        }
        if (length >= sizeof line || strlen(line) != length || !read_point(line, &h->points[h->count]))
            return clzi_fail(log, -EBADMSG, "%s, line %d: should be x y radius #rrggbb, such as 640 25%% 8 #7088c0", name,
                             number + 1);
        h->count++;
    }
    return h->count ? 0 : clzi_fail(log, -EBADMSG, "%s: there is no hint: lines should be x y radius #rrggbb", name);
}

// ---- PNG ----

static int read_picture(struct clzi_hints *h, const void *data, size_t size, const char *name, const struct clz_log *log)
{
    png_image image = { .version = PNG_IMAGE_VERSION };
    bool any = false;
    int ret = 0;

    if (!png_image_begin_read_from_memory(&image, data, size))
        return clzi_fail(log, -EBADMSG, "%s: %s", name, image.message);
    if (!(image.format & PNG_FORMAT_FLAG_ALPHA))
        ret = clzi_fail(log, -EBADMSG, "%s: the picture has no transparency: should be transparent where it gives no colour",
                        name);
    else if (image.width > CLZ_MAX_SIZE || image.height > CLZ_MAX_SIZE)
        ret = clzi_fail(log, -EBADMSG, "%s: %ux%u pixels; should be at most %d", name, image.width, image.height, CLZ_MAX_SIZE);
    image.format = PNG_FORMAT_RGBA;
    if (ret >= 0 && !(h->rgba = malloc(PNG_IMAGE_SIZE(image)))) ret = -ENOMEM;
    if (ret >= 0 && !png_image_finish_read(&image, NULL, h->rgba, 0, NULL))
        ret = clzi_fail(log, -EBADMSG, "%s: %s", name, image.message);
    h->width = (int)image.width;
    h->height = (int)image.height;
    png_image_free(&image);
    for (int64_t i = 0; ret >= 0 && !any && i < (int64_t)h->width * h->height; i++) any = h->rgba[4 * i + 3] >= OPAQUE;
    return ret < 0 || any ? ret : clzi_fail(log, -EBADMSG, "%s: the picture is transparent everywhere: it gives no colour", name);
}

int clzi_hints_parse(struct clzi_hints **out, const void *data, size_t size, const char *name, const struct clz_log *log)
{
    static const uint8_t png[8] = { 137, 'P', 'N', 'G', 13, 10, 26, 10 };
    struct clzi_hints *h = *out = calloc(1, sizeof *h);
    int ret = h ? 0 : -ENOMEM;

    if (ret >= 0 && size >= sizeof png && !memcmp(data, png, sizeof png)) ret = read_picture(h, data, size, name, log);
    else if (ret >= 0) ret = read_points(h, data, size, name, log);
    if (ret < 0) clzi_hints_destroy(out);
    return ret;
}

int clzi_hints_load(const char *path, uint8_t **out, size_t *length, const struct clz_log *log)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);       // without it, open() of a FIFO waits for a writer
    struct stat st;
    uint8_t *data = NULL;
    size_t size = 0;
    int ret = 0;

    if (fd < 0 || fstat(fd, &st) < 0) ret = clzi_fail(log, -errno, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) ret = clzi_fail(log, -EINVAL, "%s: should be a regular file, is none", path);
    else if (st.st_size > MAX_FILE) ret = clzi_fail(log, -EBADMSG, "%s: more than %d bytes", path, MAX_FILE);
    else if (!(data = malloc((size_t)st.st_size + 1))) ret = -ENOMEM;
    while (ret >= 0 && size < (size_t)st.st_size) {
        const ssize_t n = read(fd, data + size, (size_t)st.st_size - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) ret = clzi_fail(log, -errno, "%s: cannot be read: %s", path, strerror(errno));
        if (n <= 0) break;
        size += (size_t)n;
    }
    if (ret < 0) free(data);
    else *out = data, *length = size;
    if (fd >= 0) close(fd);
    return ret < 0 ? ret : 0;
}

int clzi_hints_read(struct clzi_hints **out, const char *path, const struct clz_log *log)
{
    uint8_t *data;
    size_t size;
    int ret = clzi_hints_load(path, &data, &size, log);

    *out = NULL;
    if (ret < 0) return ret;
    ret = clzi_hints_parse(out, data, size, path, log);
    free(data);
    return ret;
}

// ---- painting ----

static void put(const struct clzi_canvas *c, int x, int y, float a, float b)
{
    const int64_t at = (int64_t)y * c->w + x, plane = (int64_t)c->w * c->h;

    c->planes[at] = a / c->ab_scale;
    c->planes[plane + at] = b / c->ab_scale;
    c->planes[2 * plane + at] = 1;
}

static float pixels(struct clzi_length l, int of) { return l.share ? l.value * (float)of : l.value; }

// The number of the pixel of the network that contains the place `at` of the frame.
static int pixel_at(float at, int first, int length, int count)
{
    const int i = (int)floorf((at - (float)first) * (float)count / (float)length);
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

static float centre(int i, int first, int length, int count)
{
    return (float)first + ((float)i + 0.5f) * (float)length / (float)count;
}

bool clzi_point_place(const struct clzi_point *p, int width, int height, struct clzi_place *place)
{
    const float x = pixels(p->x, width), y = pixels(p->y, height);

    *place = (struct clzi_place){ p->x.share ? x : x + 0.5f, p->y.share ? y : y + 0.5f,
                                  pixels(p->r, width < height ? width : height) };
    return x <= (float)(p->x.share ? width : width - 1) && y <= (float)(p->y.share ? height : height - 1);
}

void clzi_point_paint(const struct clzi_canvas *c, const struct clzi_point *p, const struct clzi_place *place)
{
    const struct clzi_hints_area *s = &c->seen;
    const float x = place->x, y = place->y, r = place->r;
    const int x0 = pixel_at(x - r, s->x, s->width, c->w), x1 = pixel_at(x + r, s->x, s->width, c->w);
    const int y0 = pixel_at(y - r, s->y, s->height, c->h), y1 = pixel_at(y + r, s->y, s->height, c->h);

    // in a bar
    if (x < (float)s->x || y < (float)s->y || x > (float)(s->x + s->width) || y > (float)(s->y + s->height)) return;
    put(c, pixel_at(x, s->x, s->width, c->w), pixel_at(y, s->y, s->height, c->h), p->a, p->b);
    for (int i = y0; i <= y1; i++)
        for (int k = x0; k <= x1; k++) {
            const float dx = centre(k, s->x, s->width, c->w) - x, dy = centre(i, s->y, s->height, c->h) - y;
            if (dx * dx + dy * dy <= r * r) put(c, k, i, p->a, p->b);
        }
}

// First and last pixel of the hints' picture, of `count`, that pixel i of the network covers.
static void covered(int i, int first, int length, int n, int frame, int count, int *from, int *to)
{
    const double scale = (double)count / frame, size = (double)length / n;

    *from = (int)((first + i * size) * scale);
    *to = (int)ceil((first + (i + 1) * size) * scale) - 1;
    if (*to < *from) *to = *from;
    if (*to >= count) *to = count - 1;
    if (*from >= count) *from = count - 1;
}

static void paint_picture(const struct clzi_canvas *c, const struct clzi_hints *h, int width, int height)
{
    for (int i = 0; i < c->h; i++)
        for (int k = 0; k < c->w; k++) {
            int x0, x1, y0, y1, n = 0;
            float a, b, sum_a = 0, sum_b = 0;
            covered(k, c->seen.x, c->seen.width, c->w, width, h->width, &x0, &x1);
            covered(i, c->seen.y, c->seen.height, c->h, height, h->height, &y0, &y1);
            for (int y = y0; y <= y1; y++)
                for (int x = x0; x <= x1; x++) {
                    const uint8_t *rgba = h->rgba + 4 * ((int64_t)y * h->width + x);
                    if (rgba[3] < OPAQUE) continue;
                    colour_of(rgba, &a, &b);
                    sum_a += a;
                    sum_b += b;
                    n++;
                }
            if (n) put(c, k, i, sum_a / (float)n, sum_b / (float)n);
        }
}

int clzi_hints_paint(const struct clzi_hints *h, int width, int height, const struct clzi_canvas *c)
{
    int outside = 0;

    memset(c->planes, 0, 3 * (size_t)c->w * c->h * sizeof *c->planes);
    for (int i = 0; i < h->count; i++) {
        struct clzi_place place;
        if (clzi_point_place(&h->points[i], width, height, &place)) clzi_point_paint(c, &h->points[i], &place);
        else outside++;
    }
    if (h->rgba) paint_picture(c, h, width, height);
    return outside;
}
