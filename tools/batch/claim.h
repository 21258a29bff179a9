// claim.h - a film is worked on by one run at a time, on this host or on others that share the folder, without a server.
//
// A claim is a file, made with O_EXCL, that holds host, PID, the boot ID of the host's kernel, which tells apart hosts of one
// name, and a random token. On its own host it is alive as long as its process holds a lock
// (flock) on it, which the kernel drops when the process ends in whatever way. For other hosts it is alive while its time is
// renewed; that time and "now" both come from the clock of the file server, so clocks that jump or differ do no harm.
#ifndef CLZB_CLAIM_H
#define CLZB_CLAIM_H
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

enum { CLZB_CLAIM_RENEW = 10, CLZB_CLAIM_STALE = 90 };         // seconds

// 16 random hexadecimal digits.
void clzb_random_token(char token[17]);

struct clzb_claim {
    int fd;                                 // -1: not held
    char path[PATH_MAX];
    char token[17];                         // random, in the file's text: tells this claim from one that has taken its place
};

// Returns 0, -EBUSY (another run holds it: holder says which, "host b, PID 12"), or another -errno. host: this one's name.
int clzb_claim_take(struct clzb_claim *claim, const char *path, const char *host, char *holder, size_t size);

// Renews the claim's time. Returns -ESTALE if another run has taken the claim because it was not renewed for too long.
int clzb_claim_renew(const struct clzb_claim *claim);
void clzb_claim_drop(struct clzb_claim *claim);
#endif
