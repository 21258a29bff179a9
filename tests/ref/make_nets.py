#!/usr/bin/env python3
"""Writes tests/ref/nets.txt: for each network of nets_torch.py what PyTorch says of it with weights of a formula.

    python3 tests/ref/make_nets.py > tests/ref/nets.txt

    net NAME CHANNELS SIZE          the picture is nets_torch.picture()
    output SHAPE MEAN RMS           of the answer, computed in double
    at INDEX VALUE                  some of its elements, in C order
    tensor NAME DTYPE SHAPE         of the state dict
"""
import numpy
import torch

import nets_torch


def uniform(name, count):
    """The same hash as uniform() of tests/convert.c: multiples of 1/128 in [-1, 1)."""
    seed = 2166136261
    for c in name.encode():
        seed = (seed ^ c) * 16777619 & 0xFFFFFFFF
    x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(0x9E3779B9) + numpy.uint32(seed)
    x ^= x >> numpy.uint32(16)
    x *= numpy.uint32(0x7FEB352D)
    x ^= x >> numpy.uint32(15)
    x *= numpy.uint32(0x846CA68B)
    x ^= x >> numpy.uint32(16)
    return (x >> numpy.uint32(24)).astype(numpy.float64) / 128 - 1


def weights(name, shape):
    """Exact in half precision. Convolutions keep the size of what goes through them, more or less."""
    count = int(numpy.prod(shape))
    u = uniform(name, count)
    if name.endswith("running_var"):
        u = 1 + u / 2
    elif len(shape) == 1:
        u = 1 + u / 4 if name.endswith("weight") else u / 8
    else:
        fan_in, scale = count // shape[0], 1.0
        while scale * scale * fan_in > 6:
            scale /= 2
        u = u * scale
    return torch.tensor(u.reshape(shape))


def main():
    numpy.seterr(over="ignore")
    for name, (make, channels, size) in nets_torch.NETS.items():
        net = make().double().eval()
        state = net.state_dict()
        for key, value in state.items():
            if value.is_floating_point():
                state[key] = weights(key, value.shape)
        net.load_state_dict(state)
        with torch.no_grad():
            y = net(nets_torch.picture(channels, size))
        print(f"net {name} {channels} {size}")
        print(f"output {'x'.join(map(str, y.shape))} {y.mean():.9g} {(y * y).mean().sqrt():.9g}")
        flat = y.flatten()
        for k in range(24):
            index = k * 7919 * 13 % flat.numel()
            print(f"at {index} {flat[index]:.9g}")
        for key, value in state.items():
            print(f"tensor {key} {'F16' if value.is_floating_point() else 'I64'} {'x'.join(map(str, value.shape)) or '-'}")


if __name__ == "__main__":
    main()
