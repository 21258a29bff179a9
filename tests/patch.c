// patch.c - small squares of a picture found again: at known shifts, with other brightness, and where they cannot be found.
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "kernels/patch.h"

enum { W = 80, H = 60 };

// A smooth picture, moved by dx, dy, with gain and offset.
static void draw(float *picture, float dx, float dy, float gain, float offset)
{
    for (int i = 0; i < W * H; i++) {
        const float x = (float)(i % W) - dx, y = (float)(i / W) - dy;
        const float v = 0.5f + 0.1f * sinf(0.55f * x + 0.2f * y) + 0.1f * cosf(0.5f * y - 0.15f * x) +
                        0.05f * sinf(0.0122f * x * y);
        picture[i] = gain * v + offset;
    }
}

int main(void)
{
    static const float shifts[][2] = { { 0, 0 }, { 0.25f, 0 }, { -0.5f, 0.75f }, { 1.3f, -1.1f }, { -1.7f, -1.6f } };
    static float picture[W * H], moved[W * H];
    struct clzk_patch patch;
    float x, y;

    CASE("patch/is_found_at_shifts_with_other_brightness");
    draw(picture, 0, 0, 1, 0);
    for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
        const float dx = shifts[i][0], dy = shifts[i][1], tolerance = 0.02f;           // measured: 0.011, of interpolation
        REQUIRE(clzk_patch_take(&patch, picture, W, H, 30.3f, 24.6f));
        draw(moved, dx, dy, i % 2 ? 0.6f : 1.3f, i % 2 ? 0.2f : -0.1f);
        x = 30.3f, y = 24.6f;
        REQUIRE(clzk_patch_find(&patch, moved, W, H, 2, &x, &y) > 0.99f);
        if (fabsf(x - 30.3f - dx) >= tolerance || fabsf(y - 24.6f - dy) >= tolerance) {
            REQUIRE(!"the place");
            printf("  %g %g for %g %g\n", x - 30.3f, y - 24.6f, dx, dy);
        }
    }

    CASE("patch/too_far_leaves_the_place");
    draw(moved, 4, 3, 1, 0);
    x = 30, y = 24;
    REQUIRE(clzk_patch_take(&patch, picture, W, H, x, y));
    REQUIRE(clzk_patch_find(&patch, moved, W, H, 2, &x, &y) == -1 && x == 30 && y == 24);

    CASE("patch/flat_pictures_and_edges");
    for (int i = 0; i < W * H; i++) moved[i] = 0.5f + 0.0005f * (float)(i % 3);
    REQUIRE(!clzk_patch_take(&patch, moved, W, H, 30, 24));
    for (int i = 0; i < W * H; i++) moved[i] = i % W < 33 ? 0.2f : 0.8f;
    REQUIRE(clzk_patch_take(&patch, moved, W, H, 30, 24));
    x = 30, y = 24;
    REQUIRE(clzk_patch_find(&patch, moved, W, H, 2, &x, &y) == -1 && x == 30 && y == 24);

    CASE("patch/at_and_beyond_the_border");
    for (int i = 0; i < 4; i++) {
        x = i % 2 ? W + 3 : -4, y = i / 2 ? H - 1 : 0;
        if (clzk_patch_take(&patch, picture, W, H, x, y)) clzk_patch_find(&patch, picture, W, H, 2, &x, &y);
        REQUIRE(isfinite(x) && isfinite(y));
    }
    return check_end();
}
