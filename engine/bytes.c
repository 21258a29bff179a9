// bytes.c - reads an untrusted file.
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "base/log.h"

int clzi_bytes_read(const struct clzi_bytes *bytes, uint64_t offset, void *to, size_t size)
{
    char *p = to;

    if (bytes->fd < 0) {
        if (size) memcpy(to, bytes->memory + offset, size);
        return 0;
    }
    while (size) {
        const ssize_t n = pread(bytes->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return clzi_fail(bytes->log, -errno, "%s: byte %" PRIu64 ": %s", bytes->name, offset, strerror(errno));
        if (!n)
            return clzi_fail(bytes->log, -EBADMSG, "%s: ends at byte %" PRIu64 ", was %" PRIu64 " bytes when opened", bytes->name,
                             offset, bytes->size);
        p += n, offset += (uint64_t)n, size -= (size_t)n;
    }
    return 0;
}
