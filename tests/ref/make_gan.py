#!/usr/bin/env python3
"""Writes tests/ref_gan.h: what PyTorch says of the discriminator and of adversarial steps.

    python3 tests/ref/make_gan.py > tests/ref_gan.h

The PatchGAN, whole, at half the size, and told of classes (projection), and a net modulated by classes (FiLM): logits and
gradients of the loss at some places, with the weights of make_nets.py's formula. Steps: the losses of
three steps of two tiny networks, as the PyTorch programs (pix2pix, the moein-shariatnia tutorial) do them, and the weights after
them. Computed in double, printed as floats.
"""

import numpy
import torch
import torch.nn.functional as F
from torch import nn

import make_nets
import nets_torch

BATCH, SIZE = 2, 16
CLASSES = torch.tensor([[1, 0, 0.5], [0, 0, 1]], dtype=torch.float64)       # of two pictures


def numbers(name, values):
    print(f"static const float {name}[] = {{")
    line = "   "
    for v in values:
        text = f" {float(v):.9g}"
        text += ("" if "." in text or "e" in text else ".") + "f,"
        if len(line) + len(text) > 120:
            print(line)
            line = "   "
        line += text
    print(line + "\n};")


def picture(salt, n, c, size):
    """The same as picture() of tests/gan.c."""
    i = torch.arange(n * c * size * size, dtype=torch.float64).reshape(n, c, size, size)
    y, x = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)[None, :]
    plane = torch.div(i, size * size, rounding_mode="floor")
    return 0.7 * torch.sin(0.31 * y + 0.17 * x * (1 + plane) + salt) * torch.cos(0.23 * y * plane + 0.4 * salt)


def fill(net):
    state = net.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = make_nets.weights(key, value.shape)
    net.load_state_dict(state)
    return net


def weight(name, shape):
    return make_nets.weights(name, shape).requires_grad_()


def places(count):
    return [k * 7919 * 13 % count for k in range(min(count, 12))]


def judge(name, parameters, z, x):
    """Logits, the loss that they are taken for true, and its gradients by x and by the parameters, in the order of our graph."""
    loss = F.binary_cross_entropy_with_logits(z, torch.ones_like(z))
    loss.backward()
    numbers(f"{name}_logits", z.flatten())
    numbers(f"{name}_loss", [loss])
    numbers(f"{name}_dx", [x.grad.flatten()[k] for k in places(x.numel())])
    values = []
    for p in parameters:
        values += [p.grad.flatten()[k] for k in places(p.numel())] + [(p.grad ** 2).mean().sqrt()]
    numbers(f"{name}_dw", values)


def patchgan(name, see=lambda x: x, classes=False):
    net = fill(nets_torch.PatchGan().double()).train()
    l, ab = picture(1, 2, 1, 64), picture(2, 2, 2, 64).requires_grad_()
    x, more = see(torch.cat([l, ab], 1)), []
    for layer in net.model[:4]:
        x = layer(x)
    z = net.model[4](x)
    if classes:             # projection: U, V and the last convolution
        more = [weight(f"class.{k}.weight", shape) for k, shape in (("project", (512, 3)), ("shift", (512, 3)),
                                                                    ("sum", (1, 512, 4, 4)))]
        v, u = [(CLASSES @ w.t())[:, :, None, None] for w in more[:2]]
        z = z + F.conv2d(x * v + u, more[2], padding=1)
    judge(name, list(net.parameters()) + more, z, ab)


def film():
    """Two modulations by one embedding of the classes."""
    def linear(name, rows, columns):
        return [weight(f"{name}.weight", (rows, columns)), weight(f"{name}.bias", (rows,))]

    l = picture(1, 2, 1, SIZE).requires_grad_()
    parameters = [weight("a.weight", (4, 1, 3, 3))] + linear("class.embedding", 64, 3)
    e = F.linear(CLASSES, *parameters[1:])
    x = F.conv2d(l, parameters[0], padding=1)
    for prefix, conv in ("f", "b"), ("g", "c"):
        scale, shift = linear(f"{prefix}.scale", 4, 64), linear(f"{prefix}.shift", 4, 64)
        w = weight(f"{conv}.weight", (4 if conv == "b" else 1, 4, 3, 3))
        x = F.relu(x * F.linear(e, *scale)[:, :, None, None] + F.linear(e, *shift)[:, :, None, None])
        x = F.conv2d(x, w, padding=1)
        parameters += scale + shift + [w]
    judge("film", parameters, x, l)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n, self.b = nn.Conv2d(1, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, 1, 1)

    def forward(self, l):
        return torch.tanh(self.b(F.relu(self.n(self.a(l)))))


class Spectral:
    """Weights divided by their spectral norm, as torch.nn.utils.parametrizations.spectral_norm computes it: 15 iterations at the
    start, then one for each call of iterate(). u begins as a vector of equal elements."""

    def __init__(self, modules):
        self.u = {m: torch.full((m.weight.shape[0],), m.weight.shape[0] ** -0.5, dtype=torch.float64) for m in modules}
        self.v = {}
        for _ in range(15):
            self.iterate()

    @torch.no_grad()
    def iterate(self):
        for m, u in self.u.items():
            w = m.weight.flatten(1)
            v = self.v[m] = F.normalize(w.t() @ u, dim=0, eps=1e-12)
            self.u[m] = F.normalize(w @ v, dim=0, eps=1e-12)

    def __call__(self, m, x):
        sigma = self.u[m] @ m.weight.flatten(1) @ self.v[m]
        return F.conv2d(x, m.weight / sigma, m.bias, m.stride, m.padding)


class Discriminator(nn.Module):
    spectral = None

    def conv(self, m, x):
        return self.spectral(m, x) if self.spectral else m(x)

    def __init__(self):
        super().__init__()
        self.p, self.q, self.m = nn.Conv2d(3, 4, 4, 2, 1), nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.r = nn.Conv2d(8, 1, 4, 1, 1)

    def forward(self, l, ab):
        x = F.leaky_relu(self.conv(self.p, torch.cat([l, ab], 1)), 0.2)
        return self.conv(self.r, F.leaky_relu(self.m(self.conv(self.q, x)), 0.2))


LOSSES = {
    "bce": (lambda z, t: F.binary_cross_entropy_with_logits(z, torch.full_like(z, t)),) * 2,
    "lsgan": (lambda z, t: F.mse_loss(z, torch.full_like(z, t)),) * 2,
    "hinge": (lambda z, t: F.relu(1 + (1 - 2 * t) * z).mean(), lambda z, t: -z.mean()),
}


def steps(name, real, weights, spectral=False):
    d_loss, g_loss = LOSSES[name]
    g, d = fill(Generator().double()).train(), fill(Discriminator().double()).train()
    if spectral:
        name += "_spectral"
        d.spectral = Spectral((d.p, d.q, d.r))
    optimise = [torch.optim.Adam(n.parameters(), lr=0.01, betas=(0.5, 0.999), eps=1e-8) for n in (g, d)]
    values = []
    for k in range(3):
        l, ab = picture(k, BATCH, 1, SIZE), picture(k + 0.5, BATCH, 2, SIZE)
        fake = g(l)
        if spectral:
            d.spectral.iterate()
        optimise[1].zero_grad()
        loss_fake, loss_real = d_loss(d(l, fake.detach()), 0.0), d_loss(d(l, ab), real)
        ((loss_fake + loss_real) * 0.5).backward()
        optimise[1].step()
        if spectral:
            d.spectral.iterate()
        optimise[0].zero_grad()
        for p in d.parameters():
            p.requires_grad = False
        gan, l1 = g_loss(d(l, fake), 1.0), F.l1_loss(fake, ab)
        (gan + 100 * l1).backward()
        optimise[0].step()
        for p in d.parameters():
            p.requires_grad = True
        values += [l1, gan, (loss_fake + loss_real) / 2, loss_real, loss_fake]
    numbers(f"{name}_losses", values)
    if weights:
        for n, player in ((g, "g"), (d, "d")):
            numbers(f"{name}_{player}", torch.cat([v.flatten() for k, v in n.state_dict().items() if v.is_floating_point()]))


def main():
    numpy.seterr(over="ignore")
    print(f"// ref_gan.h - what PyTorch {torch.__version__} says, written by ref/make_gan.py.\n")
    patchgan("patchgan")
    patchgan("half", lambda x: F.avg_pool2d(x, 2))
    patchgan("projection", classes=True)
    film()
    steps("bce", 0.9, True)
    steps("lsgan", 1.0, False)
    steps("hinge", 1.0, False)
    steps("bce", 1.0, True, True)


if __name__ == "__main__":
    main()
