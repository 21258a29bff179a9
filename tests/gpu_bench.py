# gpu_bench.py - the nets that gpu_bench --export wrote, in PyTorch: channels_last, half precision, cudnn.benchmark, eager and
# torch.compile. With --train, training steps as PyTorch users write them: bf16 autocast, channels_last, fused AdamW; the batches
# come from pinned memory. Prints lines as gpu_bench does, and ratios if the output of gpu_bench is given. --seconds: no
# measurement begins later than that.
#
#     python3 gpu_bench.py FOLDER [OURS.txt] [--type bf16|f16|f32] [--compile | --train] [--sizes 128,256] [--batches 1,16]
#                          [--nets light,lite0] [--seconds 60]
import json
import os
import struct
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "ref"))
START = time.perf_counter()
# size and batch, the most telling ones first: the time may not suffice for all. As in gpu_bench.c.
SHAPES = [(256, 16), (256, 1), (512, 16), (128, 16), (128, 1), (512, 1), (256, 8), (256, 32), (512, 8), (512, 32), (128, 8),
          (128, 32)]
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
            if "running_" in name:
                self.register_buffer(key, t)
            else:
                self.register_parameter(key, torch.nn.Parameter(t))

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
                y = F.batch_norm(i[0], self.weight(a, "running_mean"), self.weight(a, "running_var"), w, b,
                                 self.training, 0.1, a.get("eps", 1e-5))
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
            elif op == "dropout":
                y = F.dropout(i[0], a["p"], self.training)
            elif op == "act":
                y = i[0]
            else:
                raise SystemExit("gpu_bench.py: op " + op + " is not known")
            v.append(ACTS[a.get("act", "none")](y, a.get("slope", 0)))
        return v[-1]


def measure(run, sync):
    """Seconds of run(): the median of five sets."""
    for _ in range(5):
        run()
    sync()
    start = time.perf_counter()
    run()
    sync()
    runs = max(1, int(0.06 / max(1e-6, time.perf_counter() - start)))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(runs):
            run()
        sync()
        times.append((time.perf_counter() - start) / runs)
    return sorted(times)[2]


def measure_forward(net, x, sync):
    with torch.inference_mode():
        return measure(lambda: net(x), sync)


def adam(net, betas, device):
    kinds = {"fused": True} if device == "cuda" else {}
    return torch.optim.AdamW(net.parameters(), lr=1e-4, betas=betas, weight_decay=0.01, **kinds)


def measure_training(graph, tensors, adversarial, size, batch, device, kind, sync):
    from nets_torch import PatchGan
    place = {"device": device, "memory_format": torch.channels_last}
    net, critic = Net(graph, tensors).train().to(**place), PatchGan().train().to(**place)
    betas = (0.5, 0.999) if adversarial else (0.9, 0.99)
    learn, learn_critic = adam(net, betas, device), adam(critic, betas, device)
    host = torch.rand(batch, 3, size, size) - 0.5
    host = host.pin_memory() if device == "cuda" else host
    amp = torch.autocast(device, dtype=torch.bfloat16, enabled=kind != torch.float32)
    bce = F.binary_cross_entropy_with_logits

    def verdict(l, ab, target):
        z = critic(torch.cat([l, ab], 1)).float()
        return bce(z, torch.full_like(z, target))

    def step():
        data = host.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        l, ab = data[:, :1], data[:, 1:]
        with amp:
            fake = net(l)
            loss = F.l1_loss(fake.float(), ab)
        if adversarial:
            with amp:
                d = (verdict(l, fake.detach(), 0.0) + verdict(l, ab, 1.0)) / 2
            learn_critic.zero_grad(set_to_none=True)
            d.backward()
            learn_critic.step()
            critic.requires_grad_(False)
            with amp:
                loss = verdict(l, fake, 1.0) + 100 * loss
            critic.requires_grad_(True)
        learn.zero_grad(set_to_none=True)
        loss.backward()
        learn.step()

    return measure(step, sync)


def train(folder, ours, nets, sizes, batches, device, kind, sync, in_time):
    for name in nets:
        graph, tensors = read_model(folder + "/" + name + ".bin")
        for phase in ("pixel", "adversarial"):
            for size in sizes:
                for batch in batches:
                    if not in_time():
                        continue
                    ms = measure_training(graph, tensors, phase == "adversarial", size, batch, device, kind, sync) * 1e3
                    mine = ours.get(("train", name, phase, size, batch))
                    print(f"train {name:16s} {phase:12s} {size:4d} {batch:3d} {ms:10.3f} ms {batch / ms * 1e3:10.1f} images/s" +
                          (f"  ours {ms / mine:.2f}x" if mine else ""), flush=True)


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    options = dict(zip(sys.argv[1:], sys.argv[2:] + [""]))
    for key in ("--type", "--sizes", "--batches", "--nets", "--seconds"):
        if key in options:
            args = [a for a in args if a != options[key]]
    folder = args[0]
    kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[options.get("--type", "bf16")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = "--train" in sys.argv
    sizes = [int(s) for s in options.get("--sizes", "256" if training else "128,256,512").split(",")]
    batches = [int(s) for s in options.get("--batches", "16" if training else "1,8,16,32").split(",")]
    end = START + float(options.get("--seconds", "1e9"))
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    late = []

    def in_time():
        late.extend([1] if time.perf_counter() > end else [])
        return not late
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    ours = {}
    if len(args) > 1:
        for line in open(args[1]):
            f = line.split()
            if len(f) == 7 and f[0] != "#":
                ours[f[0], int(f[1]), int(f[2])] = float(f[3])
            elif len(f) == 9 and f[0] == "train":
                ours["train", f[1], f[2], int(f[3]), int(f[4])] = float(f[5])
    print("#", torch.__version__, torch.cuda.get_device_name() if device == "cuda" else "cpu", kind)
    every = "light,lite0,lite1,lite2,resnet18-light,resnet18-lite,resnet18-unet,unet"
    nets = options.get("--nets", "lite0,resnet18-unet" if training else every).split(",")
    if training:
        train(folder, ours, nets, sizes, batches, device, kind, sync, in_time)
    made = {}
    for size, batch in [] if training else [s for s in SHAPES if s[0] in sizes and s[1] in batches]:
        for name in nets:
            if not os.path.exists(folder + "/" + name + ".bin") or (name == "unet" and size < 256) or not in_time():
                continue
            if name not in made:
                net = Net(*read_model(folder + "/" + name + ".bin")).eval().to(device, kind).to(memory_format=torch.channels_last)
                made[name] = torch.compile(net, mode="max-autotune", dynamic=False) if "--compile" in sys.argv else net
            x = torch.randn(batch, 1, size, size, device=device, dtype=kind).to(memory_format=torch.channels_last)
            ms = measure_forward(made[name], x, sync) * 1e3
            mine = ours.get((name, size, batch))
            print(f"{name:16s} {size:4d} {batch:3d} {ms:10.3f} ms {batch / ms * 1e3:10.1f} frames/s" +
                  (f"  ours {ms / mine:.2f}x" if mine else ""), flush=True)
    if late:
        print(f"# the time was up: {len(late)} measurements are left out")


main()
