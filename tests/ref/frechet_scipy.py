# frechet_scipy.py - expected numbers of tests/scores.c: the Frechet distance of two sets of vectors by scipy.linalg.sqrtm, and
# the consistency of colour of a few frames by numpy.
import numpy as np
import scipy.linalg


def features(count, size, phase):
    i, k = np.mgrid[0:count, 0:size].astype(np.float64)
    x = np.sin(0.7 * i * (k + 1) + 0.3 * k + phase) + 0.2 * phase * np.cos(1.3 * i + k * k)
    return x.astype(np.float32).astype(np.float64)


def frechet(x, y):
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2)
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(s1) + np.trace(s2) - 2 * np.trace(root.real)


def singular(x, y):
    """The same where scipy's root of a singular matrix is inexact: the root's trace is the sum of singular values of X Y'."""
    x, y, mean = x - x.mean(0), y - y.mean(0), x.mean(0) - y.mean(0)
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum() / np.sqrt((len(x) - 1) * (len(y) - 1))
    return np.sum(mean ** 2) + np.sum(x ** 2) / (len(x) - 1) + np.sum(y ** 2) / (len(y) - 1) - 2 * root


print("full rank", repr(frechet(features(200, 12, 0.0), features(150, 12, 1.5))))
print("rank 9 of 40", repr(frechet(features(10, 40, 0.0), features(30, 40, 1.5))),
      repr(singular(features(10, 40, 0.0), features(30, 40, 1.5))))

m = features(30, 30, 0.5)
print("eigenvalues", repr(np.linalg.eigvalsh(m + m.T)[[0, 1, 14, 28, 29]]))


def js(p, q):
    m = (p + q) / 2
    kl = lambda a, b: sum(u * np.log(u / v) for u, v in zip(a, b) if u > 0)
    return (kl(p, m) + kl(q, m)) / 2


y, x = np.mgrid[0:64, 0:64]
a = np.stack([4 * x % 256, 4 * y % 256, 2 * (x + y) % 256], -1)
frames = [np.clip(a + 5 * k, 0, 255) for k in range(6)]
hist = [[np.bincount(f[..., c].ravel(), minlength=256) / 4096 for c in range(3)] for f in frames]
cdc = np.mean([[np.mean([js(hist[i][c], hist[i + t][c]) for i in range(6 - t)]) for c in range(3)] for t in (1, 2, 4)])
print("cdc", repr(cdc))
