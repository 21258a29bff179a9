#!/usr/bin/env python3
"""Writes tests/ref_values.h: what PyTorch says of some small cases of each op.

    python3 tests/ref/make_ops.py > tests/ref_values.h

Only whoever adds an op needs this, and PyTorch; the tests need the header alone. Computed in double, printed as floats.
"""
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def golden_input(salt, shape):
    """The same hash as golden_input() of ops.c: uniform in [-1, 1), 24 bits."""
    count = 1
    for d in shape:
        count *= d
    values = []
    for i in range(count):
        x = (i * 0x9E3779B9 + salt * 0x85EBCA6B) & 0xFFFFFFFF
        x ^= x >> 16
        x = x * 0x7FEB352D & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 0x846CA68B & 0xFFFFFFFF
        x ^= x >> 16
        values.append((x >> 8) / 8388608 - 1)
    return torch.tensor(values).reshape(shape)


def act(y, a):
    return {
        None: lambda: y,
        "RELU": lambda: F.relu(y),
        "LEAKY": lambda: F.leaky_relu(y, 0.2),
        "TANH": lambda: torch.tanh(y),
        "SIGMOID": lambda: torch.sigmoid(y),
        "RELU6": lambda: F.relu6(y),
    }[a.get("act")]()


def conv(a, x, w, training):
    extra = a.get("pad_extra", 0)
    padded = F.pad(x[0], (a["pad"], a["pad"] + extra) * 2)
    y = F.conv2d(padded, w[0], w[1] if a.get("bias") else None, a["stride"], groups=a.get("groups", 1))
    return act(y + x[1] if len(x) > 1 else y, a)


def convt(a, x, w, training):
    return act(F.conv_transpose2d(x[0], w[0], w[1] if a.get("bias") else None, a["stride"], a["pad"]), a)


def batchnorm(a, x, w, training):
    return act(F.batch_norm(x[0], w[2], w[3], w[0], w[1], training, a["momentum"], a["eps"]), a)


def attention(a, x, w, training):
    """As SAGAN and fastai compute it: f^T g, whose columns are normalised."""
    g, f, h = (t.flatten(2) for t in x)
    beta = torch.softmax(torch.bmm(f.transpose(1, 2), g), dim=1)
    return torch.bmm(h, beta).reshape(x[0].shape[0], x[2].shape[1], *x[0].shape[2:])


def weight(x):
    return x[2] if len(x) > 2 else 1


def chroma(x):
    """Mean chroma of each picture."""
    return torch.sqrt((x * x).sum(1) + 1e-4).mean((1, 2))


# The 313 classes of colour: rows of the grid by a*, from -90, each from the first to the last b* (pts_in_hull.npy of
# github.com/richzhang/colorization).
ROWS = [(50, 90), (20, 90), (0, 90), (-20, 90), (-30, 100), (-40, 100), (-50, 100), (-50, 100), (-60, 100), (-70, 100), (-80, 90),
        (-80, 90), (-90, 90), (-100, 90), (-100, 80), (-110, 80), (-110, 80), (-110, 70), (-110, 70), (-90, 0)]
BINS = torch.tensor([(10. * i - 90, float(b)) for i, (first, last) in enumerate(ROWS) for b in range(first, last + 1, 10)])


def annealed_mean(z, scale):
    """[N,313,H,W] to [N,2,H,W], ab / 110."""
    return torch.einsum("nkhw,kc->nchw", torch.softmax(scale * z, 1), BINS / 110)


def soft_classes(ab):
    """[N,2,H,W], ab / 110, to [N,313,H,W]: Gaussian weights, sigma 5, of the 5 nearest classes; by searching all of them."""
    colours = 110 * ab.detach().permute(0, 2, 3, 1).reshape(-1, 1, 2)
    d, k = ((colours - BINS) ** 2).sum(2).topk(5, largest=False)
    w = torch.softmax(-d / 50, 1)
    n, _, h, width = ab.shape
    return torch.zeros(len(colours), 313).scatter(1, k, w).reshape(n, h, width, 313).permute(0, 3, 1, 2)


def cross_entropy(x):
    value = -(soft_classes(x[1]) * F.log_softmax(x[0], 1)).sum(1, keepdim=True)
    return (weight(x) * value).mean()


def rgb(l, ab):
    """skimage.color.lab2rgb of L / 50 - 1 and ab / 110, cut to 0..1; then what ImageNet's networks read."""
    fy = (50 * (l + 1) + 16) / 116
    f = torch.cat((fy + 110 * ab[:, :1] / 500, fy, (fy - 110 * ab[:, 1:] / 200).clamp(min=0)), 1)
    xyz = torch.where(f > 0.2068966, f ** 3, (f - 16. / 116) / 7.787) * torch.tensor([0.95047, 1, 1.08883]).reshape(1, 3, 1, 1)
    # the inverse of skimage's xyz_from_rgb, to the digits that scipy prints
    m = torch.tensor([[3.24048134, -1.53715152, -0.49853633], [-0.96925495, 1.87599, 0.04155593],
                      [0.05564664, -0.20404134, 1.05731107]])
    v = torch.einsum("ck,nkhw->nchw", m, xyz).clamp(0, 1)
    safe = v.clamp(min=0.0031308)           # pow has no gradient at 0
    return (255 * torch.where(v > 0.0031308, 1.055 * safe ** (1 / 2.4) - 0.055, 12.92 * v) - 127) / 128


OPS = {
    "CONV": conv,
    "CONVT": convt,
    "BATCHNORM": batchnorm,
    "ACT": lambda a, x, w, t: act(x[0], a),
    "ADD": lambda a, x, w, t: act(x[0] + x[1], a),
    "CONCAT": lambda a, x, w, t: torch.cat((x[0], x[1]), 1),
    "SHUFFLE": lambda a, x, w, t: F.pixel_shuffle(x[0], a["factor"]),
    "MAXPOOL": lambda a, x, w, t: F.max_pool2d(x[0], a["k"], a["stride"], a["pad"]),
    "RESIZE": lambda a, x, w, t: F.interpolate(x[0], scale_factor=a["factor"], mode="bilinear", align_corners=False),
    "SOFTMAX": lambda a, x, w, t: torch.softmax(a["scale"] * x[0], 1),
    "L1": lambda a, x, w, t: (weight(x) * (x[0] - x[1]).abs()).mean(),
    "L2": lambda a, x, w, t: (weight(x) * (x[0] - x[1]) ** 2).mean(),
    "CHROMA": lambda a, x, w, t: (chroma(x[0]) - chroma(x[1])).abs().mean(),
    "ANNEALED_MEAN": lambda a, x, w, t: annealed_mean(x[0], a["scale"]),
    "CROSS_ENTROPY": lambda a, x, w, t: cross_entropy(x),
    "RGB": lambda a, x, w, t: rgb(x[0], x[1]),
    "BCE": lambda a, x, w, t: F.binary_cross_entropy_with_logits(x[0], torch.full_like(x[0], a["target"])),
    "LSGAN": lambda a, x, w, t: F.mse_loss(x[0], torch.full_like(x[0], a["target"])),
    "HINGE": lambda a, x, w, t: F.relu(1 + (1 - 2 * a["target"]) * x[0]).mean(),
    "NEGMEAN": lambda a, x, w, t: -x[0].mean(),
    "CLAMP": lambda a, x, w, t: F.hardtanh(x[0], -a["scale"], a["scale"]),
    "LINEAR": lambda a, x, w, t: act(F.linear(x[0][:, :, 0, 0], w[0], w[1] if a.get("bias") else None)[:, :, None, None], a),
    "AVGPOOL": lambda a, x, w, t: F.avg_pool2d(x[0], a["k"], a["stride"], a["pad"]),
    "GLOBALPOOL": lambda a, x, w, t: F.adaptive_avg_pool2d(x[0], 1),
    "AFFINE": lambda a, x, w, t: x[0] * x[1] + x[2],
    "GAIN": lambda a, x, w, t: w[0] * x[0],
    "ATTENTION": attention,
}


def window(channels, k, stride, pad, **more):
    return dict(channels=channels, k=k, stride=stride, pad=pad, **more)


NORM = dict(eps=1e-5, momentum=0.1)

# op, shape of x, attributes, second input (0 none, -1 of the output's shape, else its channels; attention: channels of v),
# training, for attention height and width of k and v
CASES = [
    ("CONV", (2, 3, 5, 4), window(2, 3, 1, 1, bias=1, act="RELU"), 0, False),
    ("CONV", (1, 2, 6, 7), window(3, 4, 2, 1), 0, False),
    ("CONV", (1, 2, 9, 8), window(2, 7, 2, 3, bias=1, act="LEAKY"), 0, False),
    ("CONV", (1, 3, 4, 5), window(4, 1, 1, 0, bias=1), 0, False),
    ("CONV", (1, 3, 5, 5), window(2, 1, 2, 0, act="SIGMOID"), 0, False),
    ("CONV", (2, 2, 4, 3), window(3, 3, 1, 1, bias=1, act="RELU"), -1, False),
    ("CONV", (1, 4, 6, 5), window(6, 3, 1, 1, groups=2, bias=1, act="RELU6"), 0, False),
    ("CONV", (1, 3, 6, 8), window(2, 3, 2, 0, pad_extra=1), 0, False),
    ("CONV", (2, 3, 6, 5), window(3, 5, 2, 1, pad_extra=1, groups=3, bias=1), 0, False),
    ("CONV", (1, 4, 4, 5), window(4, 3, 1, 1, groups=4, act="RELU6"), -1, False),
    ("CONVT", (2, 3, 3, 2), window(2, 4, 2, 1, bias=1, act="TANH"), 0, False),
    ("CONVT", (1, 2, 3, 4), window(3, 2, 2, 0, bias=1), 0, False),
    ("CONVT", (1, 2, 4, 3), window(2, 3, 1, 1), 0, False),
    ("BATCHNORM", (2, 3, 3, 4), NORM, 0, True),
    ("BATCHNORM", (2, 2, 3, 3), dict(NORM, act="LEAKY"), 0, True),
    ("BATCHNORM", (2, 3, 3, 2), dict(NORM, act="SIGMOID"), 0, False),
    ("ACT", (1, 2, 4, 5), dict(act="RELU"), 0, False),
    ("ACT", (1, 2, 4, 5), dict(act="LEAKY"), 0, False),
    ("ACT", (1, 2, 4, 5), dict(act="TANH"), 0, False),
    ("ACT", (1, 2, 4, 5), dict(act="SIGMOID"), 0, False),
    ("ACT", (1, 2, 4, 5), dict(act="RELU6", ), 0, False),
    ("ADD", (1, 2, 3, 4), dict(act="RELU"), -1, False),
    ("CONCAT", (2, 2, 2, 3), {}, 3, False),
    ("SHUFFLE", (1, 8, 2, 3), dict(factor=2), 0, False),
    ("MAXPOOL", (1, 2, 6, 7), dict(k=3, stride=2, pad=1), 0, False),
    ("RESIZE", (1, 2, 3, 4), dict(factor=2), 0, False),
    ("RESIZE", (1, 1, 2, 3), dict(factor=4), 0, False),
    ("SOFTMAX", (2, 5, 2, 2), dict(scale=2.5), 0, False),
    ("CLAMP", (1, 2, 4, 5), dict(scale=1), 0, False),
    ("LINEAR", (3, 5, 1, 1), dict(channels=4, bias=1), 0, False),
    ("LINEAR", (2, 4, 1, 1), dict(channels=3, act="LEAKY"), 0, False),
    ("AVGPOOL", (1, 2, 6, 7), dict(k=3, stride=2, pad=1), 0, False),
    ("AVGPOOL", (2, 1, 5, 6), dict(k=2, stride=2, pad=0), 0, False),
    ("GLOBALPOOL", (2, 3, 4, 5), {}, 0, False),
    ("AFFINE", (2, 3, 3, 4), {}, 0, False),
    ("GAIN", (2, 2, 3, 4), {}, 0, False),
    ("ATTENTION", (2, 2, 3, 4), {}, 5, False),
    ("ATTENTION", (1, 3, 2, 3), {}, 4, False, 4, 2),
    ("L1", (2, 2, 3, 4), {}, -1, False),
    ("L1", (2, 2, 3, 4), {}, -2, False),
    ("L2", (2, 2, 3, 4), {}, -1, False),
    ("L2", (2, 3, 2, 4), {}, -2, False),
    ("CHROMA", (3, 2, 3, 4), {}, -1, False),
    ("ANNEALED_MEAN", (1, 313, 1, 2), dict(scale=2.5), 0, False),
    ("CROSS_ENTROPY", (1, 313, 1, 2), {}, -1, False),
    ("CROSS_ENTROPY", (1, 313, 2, 1), {}, -2, False),
    ("RGB", (2, 1, 4, 5), {}, 2, False),
    ("BCE", (2, 1, 3, 4), dict(target=1), 0, False),
    ("BCE", (2, 1, 3, 4), dict(target=0.9), 0, False),
    ("LSGAN", (2, 1, 3, 4), dict(target=0), 0, False),
    ("HINGE", (2, 1, 3, 4), dict(target=1), 0, False),
    ("HINGE", (2, 1, 3, 4), dict(target=0), 0, False),
    ("NEGMEAN", (2, 1, 3, 4), {}, 0, False),
]


def parameters(op, shape, a):
    c = shape[1]
    if op == "LINEAR":
        shapes = [(a["channels"], c)] + ([(a["channels"],)] if a.get("bias") else [])
    elif op == "GAIN":
        shapes = [(1,)]
    elif op in ("CONV", "CONVT"):
        ends = (a["channels"], c // a.get("groups", 1)) if op == "CONV" else (c, a["channels"])
        shapes = [ends + (a["k"], a["k"])] + ([(a["channels"],)] if a.get("bias") else [])
    else:
        shapes = [(c,)] * 4 if op == "BATCHNORM" else []
    about_1 = [op == "BATCHNORM" and k in (0, 3) for k in range(len(shapes))]
    return [about_1[k] + 0.5 * golden_input(10 + k, s) for k, s in enumerate(shapes)]


def more_shapes(op, shape, a, second, w, keys):
    """Of the inputs after the first."""
    if op == "AFFINE":
        return [shape[:2] + (1, 1)] * 2
    if op == "ATTENTION":
        return [shape[:2] + (keys or shape[2:]), (shape[0], second) + (keys or shape[2:])]
    if op == "CROSS_ENTROPY":
        return [(shape[0], c) + shape[2:] for c in (2, 1)[:-second]]
    if second > 0:
        return [(shape[0], second) + shape[2:]]
    if second == -2:
        return [shape, (shape[0], 1) + shape[2:]]
    if second < 0:
        return [tuple(conv(a, [golden_input(1, shape)], w, False).shape) if op == "CONV" else shape]
    return []


def array(name, t):
    words = ["%.9gf" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.9g.f" % v for v in t.flatten().tolist()]
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > 118:
            lines.append(line)
            line = "   "
        line += " " + word + ","
    print("static const float %s[] = {\n%s\n};" % (name, "\n".join(lines + [line])))
    return name


def c_attr(a):
    parts = []
    for key, value in a.items():
        if key == "act":
            parts.append(".act = CLZI_ACT_" + value + (", .slope = 0.2f" if value == "LEAKY" else ""))
        else:
            parts.append(".%s = %s" % (key, repr(value) + "f" if isinstance(value, float) else value))
    return ", ".join(parts) or "0"


def main():
    print("// ref_values.h - what PyTorch %s says, written by ref/make_ops.py." % torch.__version__.split("+")[0])
    print("""
struct golden {
    struct op_case oc;
    const float *y, *dx[CLZI_MAX_IN];
    const float *dw[4];                     // gradients of the parameters; running statistics: after the pass
};
""")
    rows = []
    for i, (op, shape, a, second, training, *keys) in enumerate(CASES):
        w = parameters(op, shape, a)
        reach = (1, 0.25) if op == "RGB" else (1.5, 1.5)       # RGB: many colours that exist
        x = [reach[0] * golden_input(1, shape)]
        if op in ("MAXPOOL", "CLAMP", "ACT"):   # in quarters, to meet ties and kinks
            x = [torch.floor(4 * x[0]) / 4]
        for k, s in enumerate(more_shapes(op, shape, a, second, w, tuple(keys))):
            weights = second == -2 and k == 1
            x.append((1 if weights else 0) + (0.5 if weights else reach[1]) * golden_input(2 + k, s))
        learnt = w[:2]                      # running statistics are no parameters
        for t in x + learnt:
            t.requires_grad_()
        y = OPS[op](a, x, w, training)
        y.backward(golden_input(20, tuple(y.shape) or (1,)).reshape(y.shape))
        names = [array("y_%d" % i, y.detach())]
        dx = [array("dx%d_%d" % (k, i), torch.zeros_like(t) if t.grad is None else t.grad) for k, t in enumerate(x)]
        dw = [array("dw%d_%d" % (k, i), t.grad if k < 2 else t.detach()) for k, t in enumerate(w)]
        rest = [".second = %d" % second] * (second != 0) + [".training = true"] * training
        rest += [".h2 = %d, .w2 = %d" % tuple(keys)] if keys else []
        rows.append("    { { .op = CLZI_OP_%s, .x = { %s },\n        .attr = { %s }%s },\n      %s, { %s }, { %s } }," % (
            op, ", ".join(map(str, shape)), c_attr(a), "".join(", " + r for r in rest),
            names[0], ", ".join(dx), ", ".join(dw) or "NULL"))
    print("\nstatic const struct golden goldens[] = {\n%s\n};" % "\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
