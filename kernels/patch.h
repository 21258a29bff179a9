// patch.h - finds a small square of an earlier picture again near an expected place: translation by Gauss-Newton steps, in the
// inverse compositional form of Baker and Matthews, "Lucas-Kanade 20 Years On", 2004. Differences of brightness and contrast do
// not count. Motion from frame to frame alone would drift: its errors add up; a patch compares with where the motion began.
#ifndef CLZK_PATCH_H
#define CLZK_PATCH_H
#include <stdbool.h>

enum { CLZK_PATCH_REACH = 7, CLZK_PATCH_SIDE = 2 * CLZK_PATCH_REACH + 1 };

struct clzk_patch { float values[CLZK_PATCH_SIDE * CLZK_PATCH_SIDE]; };         // of mean 0 and variance 1

// Takes the patch around (x, y) of a picture [h,w], whose pixels have their centres at whole numbers. Pixels outside repeat the
// border's. Returns false if there is too little contrast to find it again.
bool clzk_patch_take(struct clzk_patch *patch, const float *picture, int w, int h, float x, float y);

// Moves *x, *y to where the patch is, at most `reach` pixels away. Returns how well it matches there, -1 to 1 (correlation), and
// leaves them as they are, with -1, if it is not found.
float clzk_patch_find(const struct clzk_patch *patch, const float *picture, int w, int h, float reach, float *x, float *y);
#endif
