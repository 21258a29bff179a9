#!/usr/bin/env python3
"""PyTorch's side of tests/convert_torch.sh.

    make FOLDER                     checkpoints in every form, a picture for each, PyTorch's answers
    perceptual FOLDER               a picture, and what the perceptual loss and its gradient are
    compare A.f32 B.f32             largest difference; status 1 if above 1e-4
    load OUT.safetensors NET IN.f32 OUT.f32 SIZE    load_state_dict(strict=True), and the answer
"""
import json
import struct
import sys

import numpy

if sys.argv[1] != "compare":                # which needs no PyTorch, and importing it takes seconds
    import torch
    import nets_torch
    torch.set_num_threads(1)


def prefixed(prefix, net):
    return {prefix + k: v for k, v in net.state_dict().items()}


FORMS = {
    # file: net, size, what is saved, legacy form
    "unet.pth": ("unet", 256, lambda net: net.state_dict(), False),
    "dynamic.pth": ("resnet18-unet", 64, lambda net: {"epoch": 3, "model_state_dict": net.state_dict(), "lr": 1e-4}, True),
    "gan.pth": ("resnet18-unet", 64, lambda net: {**prefixed("net_G.", net), **prefixed("net_D.", nets_torch.PatchGan())}, False),
    "half.pth": ("resnet18-unet", 64, lambda net: torch.nn.DataParallel(net.half()).state_dict(), False),
    "strided.pth": ("resnet18-unet", 64, lambda net: net.to(memory_format=torch.channels_last).state_dict(), False),
    "torchvision.pth": ("torchvision", 64, lambda net: net.state_dict(), False),
    "training.pth": ("torchvision", 64, None, True),
    "lite0.pth": ("lite0", 64, lambda net: net.state_dict(), True),
    "head.pth": ("lite0", 64, lambda net: net.state_dict(), False),     # the same, for its features behind the head
}


def features(net, x):
    """torchvision's ResNet18 without its classifier."""
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def make(folder):
    for seed, (file, (name, size, saved, legacy)) in enumerate(FORMS.items()):
        torch.manual_seed(seed)
        if name == "torchvision":
            import torchvision
            net, channels = torchvision.models.resnet18(), 3
            answer = lambda x: features(net, x)
        else:
            make_net, channels, _ = nets_torch.NETS[name]
            net = answer = make_net()
        if file == "head.pth":
            answer = lambda x: torch.relu(net._bn1(net._conv_head(net(x)))).clamp(max=6).mean((2, 3))
        net.train()
        with torch.no_grad():               # batch norm statistics other than 0 and 1
            if file == "head.pth":
                net._bn1.running_mean.uniform_(-0.5, 0.5)
                net._bn1.running_var.uniform_(0.5, 2)
            net(torch.rand(2, channels, size, size) * 2 - 1)
            net(torch.rand(2, channels, size, size) - 0.5)
        if saved:
            state = saved(net)
        else:                               # with the optimiser's tensors, which are more than the network's
            optimiser = torch.optim.Adam(net.parameters())
            net(torch.rand(2, 3, size, size)).sum().backward()
            optimiser.step()
            state = {"epoch": 1, "optimizer": optimiser.state_dict(), "state_dict": net.state_dict(), "args": ["--lr", "0.1"]}
        torch.save(state, f"{folder}/{file}", _use_new_zipfile_serialization=not legacy)
        net.eval().float()
        x = nets_torch.picture(1, size).float()
        with torch.no_grad():
            y = answer(x.expand(1, channels, size, size).contiguous())
        x.contiguous().numpy().tofile(f"{folder}/{file}.in")
        y.contiguous().numpy().tofile(f"{folder}/{file}.want")


def perceptual(folder):
    """The perceptual loss of trainer/perceptual.h with the net of head.pth, and its gradient by ab."""
    from make_ops import golden_input, rgb
    net = nets_torch.NETS["lite0"][0]()
    net.load_state_dict(torch.load(f"{folder}/head.pth"))
    net.double().eval()
    size, seen = 64, []
    for i in (2, 4, 10):
        net._blocks[i].register_forward_hook(lambda module, x, y: seen.append(y))
    l, ab, truth = 0.7 * golden_input(1, (1, 1, size, size)), 0.3 * golden_input(2, (1, 2, size, size)), \
        0.3 * golden_input(3, (1, 2, size, size))
    torch.cat([t.flatten() for t in (l, ab, truth)]).float().numpy().tofile(f"{folder}/perceptual.in")
    ab.requires_grad_()
    net(rgb(l, ab))
    net(rgb(l, truth))
    loss = sum((a - b).abs().mean() for a, b in zip(seen[:3], seen[3:])) / 3
    loss.backward()
    # the gradient times 100000: compare() wants numbers of about 1
    torch.cat([loss.detach().reshape(1), 100000 * ab.grad.flatten()]).float().numpy().tofile(f"{folder}/perceptual.want")


def compare(a, b):
    x, y = numpy.fromfile(a, numpy.float32), numpy.fromfile(b, numpy.float32)
    if x.shape != y.shape or not x.size:
        return f"{x.size} numbers and {y.size}"
    worst, size = float(abs(x - y).max()), float(abs(y).max())
    print(f"{x.size} numbers up to {size:.3g}, largest difference {worst:.2g}")
    return 0 if worst <= 1e-4 * max(1, size) else "they differ"


def read_safetensors(path):
    """The format is simple enough that the tests need no package for it."""
    types = {"F32": numpy.float32, "F16": numpy.float16, "I64": numpy.int64}
    data = open(path, "rb").read()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    header.pop("__metadata__")
    return {k: torch.from_numpy(numpy.frombuffer(data[end + v["data_offsets"][0]:end + v["data_offsets"][1]],
                                                 types[v["dtype"]]).reshape(v["shape"]).copy()) for k, v in header.items()}


def load(path, name, picture, answer, size):
    make_net, channels, _ = nets_torch.NETS[name]
    net = make_net()
    print(net.load_state_dict(read_safetensors(path), strict=True))
    x = torch.from_numpy(numpy.fromfile(picture, numpy.float32)).reshape(1, 1, int(size), int(size))
    with torch.no_grad():
        net.eval()(x).numpy().tofile(answer)


if __name__ == "__main__":
    sys.exit({"make": make, "perceptual": perceptual, "compare": compare, "load": load}[sys.argv[1]](*sys.argv[2:]))
