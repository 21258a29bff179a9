#!/usr/bin/env python3
"""Writes the small checkpoints of tests/ref/pth/, which tests/pth.c reads: every type of number, strides, shared storages.

    python3 tests/ref/make_pth.py tests/ref/pth

Element i, in C order, of tensor k of a file is (5 i + k) % 13, less 6 where the type has a sign, % 2 for bool.
"""
import collections
import sys

import torch

TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
         torch.uint8, torch.bool]


def numbers(k, shape, dtype):
    count = 1
    for d in shape:
        count *= d
    v = torch.tensor([(5 * i + k) % 13 for i in range(count)])
    v = v % 2 if dtype == torch.bool else v if dtype == torch.uint8 else v - 6
    return v.reshape(shape).to(dtype)


def tensors():
    state = collections.OrderedDict()
    for dtype in TYPES:
        state[str(dtype)] = numbers(len(state), (3, 7), dtype)
    state["channels_last"] = numbers(len(state), (2, 3, 4, 5), torch.float32).contiguous(memory_format=torch.channels_last)
    state["transposed"] = numbers(len(state), (4, 6), torch.float32).t().contiguous().t()
    state["scalar"] = numbers(len(state), (), torch.int64)
    state["empty"] = numbers(len(state), (0, 3), torch.float32)
    # two rows of one storage, with a row between them that nobody reads
    k = len(state)
    shared = torch.full((3, 8), 99.0)
    shared[0], shared[2] = numbers(k, (8,), torch.float32), numbers(k + 1, (8,), torch.float32)
    state["first_row"], state["last_row"] = shared[0], shared[2]
    state["parameter"] = torch.nn.Parameter(numbers(len(state), (5,), torch.float32))
    return state


def main(folder):
    torch.save(tensors(), f"{folder}/zip.pth")
    torch.save(tensors(), f"{folder}/legacy.pth", _use_new_zipfile_serialization=False)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    state = module.state_dict()
    for k, key in enumerate(state):
        state[key] = numbers(k, state[key].shape, state[key].dtype)
    torch.save({"epoch": 7, "state_dict": state, "best": 0.25, "name": "x", "done": False, "steps": [1, 2]},
               f"{folder}/nested.pth")


if __name__ == "__main__":
    main(sys.argv[1])
