# gpu_bench.py - the nets that gpu_bench --export wrote, in PyTorch: channels_last, half precision, cudnn.benchmark, eager and
# torch.compile. Prints lines as gpu_bench does, and ratios if the output of gpu_bench is given.
#
#     python3 gpu_bench.py FOLDER [OURS.txt] [--type bf16|f16|f32] [--compile] [--sizes 128,256] [--batches 1,16]
import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

ACTS = {"none": lambda x, s: x, "relu": lambda x, s: F.relu(x), "leaky": lambda x, s: F.leaky_relu(x, s),
        "tanh": lambda x, s: torch.tanh(x), "sigmoid": lambda x, s: torch.sigmoid(x), "relu6": lambda x, s: F.relu6(x)}


def read_model(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    graph = json.loads(header["__metadata__"]["colorize.graph"])
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            tensors[name] = torch.frombuffer(bytearray(data[a:b]), dtype=torch.float32).reshape(t["shape"])
    return graph, tensors


class Net(torch.nn.Module):
    def __init__(self, graph, tensors):
        super().__init__()
        self.nodes = graph
        self.names = {}
        for name, t in tensors.items():
            key = name.replace(".", "_")
            self.names[name] = key
            self.register_buffer(key, t)

    def weight(self, node, suffix):
        key = self.names.get(node["name"] + "." + suffix)
        return None if key is None else getattr(self, key)

    def forward(self, x):
        v = []
        for a in self.nodes:
            i = [v[k] for k in a["in"]]
            op = a["op"]
            w, b = self.weight(a, "weight"), self.weight(a, "bias")
            if op == "input":
                y = x
            elif op == "conv":
                t, pad, more = i[0], a.get("pad", 0), a.get("pad_extra", 0)
                if more:
                    t, pad = F.pad(t, (pad, pad + more, pad, pad + more)), 0
                y = F.conv2d(t, w, b, a.get("stride", 1), pad, 1, max(1, a.get("groups", 1)))
            elif op == "convt":
                y = F.conv_transpose2d(i[0], w, b, a.get("stride", 1), a.get("pad", 0))
            elif op == "batchnorm":
                y = F.batch_norm(i[0], self.weight(a, "running_mean"), self.weight(a, "running_var"), w, b, False, 0.1,
                                 a.get("eps", 1e-5))
            elif op == "add":
                y = i[0] + i[1]
            elif op == "concat":
                y = torch.cat(i, 1)
            elif op == "shuffle":
                y = F.pixel_shuffle(i[0], a["factor"])
            elif op == "maxpool":
                y = F.max_pool2d(i[0], a["k"], a["stride"], a.get("pad", 0))
            elif op == "avgpool":
                y = F.avg_pool2d(i[0], a["k"], a["stride"], a.get("pad", 0))
            elif op == "resize":
                y = F.interpolate(i[0], scale_factor=a["factor"], mode="bilinear", align_corners=False)
            elif op == "clamp":
                y = i[0].clamp(-a["scale"], a["scale"])
            elif op in ("dropout", "act"):
                y = i[0]
            else:
                raise SystemExit("gpu_bench.py: op " + op + " is not known")
            v.append(ACTS[a.get("act", "none")](y, a.get("slope", 0)))
        return v[-1]


def measure(net, x):
    sync = torch.cuda.synchronize if x.is_cuda else lambda: None
    with torch.inference_mode():
        for _ in range(5):
            net(x)
        sync()
        start = time.perf_counter()
        net(x)
        sync()
        runs = max(1, int(0.1 / max(1e-6, time.perf_counter() - start)))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(runs):
                net(x)
            sync()
            times.append((time.perf_counter() - start) / runs)
    return sorted(times)[2]


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    options = dict(zip(sys.argv[1:], sys.argv[2:] + [""]))
    for key in ("--type", "--sizes", "--batches"):
        if key in options:
            args = [a for a in args if a != options[key]]
    folder = args[0]
    kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[options.get("--type", "bf16")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = [int(s) for s in options.get("--sizes", "128,256,512").split(",")]
    batches = [int(s) for s in options.get("--batches", "1,8,16,32").split(",")]
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    ours = {}
    if len(args) > 1:
        for line in open(args[1]):
            f = line.split()
            if len(f) == 7:
                ours[f[0], int(f[1]), int(f[2])] = float(f[3])
    print("#", torch.__version__, torch.cuda.get_device_name() if device == "cuda" else "cpu", kind)
    for name in ("light", "lite0", "lite1", "lite2", "resnet18-light", "resnet18-lite", "resnet18-unet", "unet"):
        try:
            graph, tensors = read_model(folder + "/" + name + ".bin")
        except FileNotFoundError:
            continue
        net = Net(graph, tensors).eval().to(device, kind).to(memory_format=torch.channels_last)
        if "--compile" in sys.argv:
            net = torch.compile(net, mode="max-autotune")
        for size in sizes:
            for batch in batches:
                if name == "unet" and size < 256:
                    continue
                x = torch.randn(batch, 1, size, size, device=device, dtype=kind).to(memory_format=torch.channels_last)
                ms = measure(net, x) * 1e3
                mine = ours.get((name, size, batch))
                print(f"{name:16s} {size:4d} {batch:3d} {ms:10.3f} ms {batch / ms * 1e3:10.1f} frames/s" +
                      (f"  ours {ms / mine:.2f}x" if mine else ""), flush=True)


main()
