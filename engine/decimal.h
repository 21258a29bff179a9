// decimal.h - numbers as text that reads back as the same number.
#ifndef CLZI_DECIMAL_H
#define CLZI_DECIMAL_H
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLZI_DECIMAL_SIZE = 32 };

// The shortest of %.6g to %.17g that reads back as x; single: that reads back as the float x, at most %.9g: 1e-05 instead of
// 9.9999997473787516e-06. The decimal point is the locale's.
static inline void clzi_shortest_decimal(char text[CLZI_DECIMAL_SIZE], double x, bool single)
{
    for (int digits = 6; digits <= (single ? 9 : 17); digits++) {
        snprintf(text, CLZI_DECIMAL_SIZE, "%.*g", digits, x);
        if (single ? strtof(text, NULL) == (float)x : strtod(text, NULL) == x) return;
    }
}
#endif
