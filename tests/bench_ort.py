"""Runs a model in ONNX Runtime, for `make bench`, with the graph and weights of a model.bin. Exit 77: packages are missing.

    bench_ort.py convert MODEL.bin WIDTHxHEIGHT OUT.onnx
    bench_ort.py run MODEL.onnx THREADS SECONDS [OURS.f32]

run prints "median_ms min_ms resident_MiB error version". resident is the peak memory of the process minus that of Python and
numpy before ONNX Runtime was loaded, so that its library, weights and buffers count and the interpreter does not. error is the
relative L2 distance of OURS.f32, the output of bench_net for the same input, or -. ONNX Runtime folds batch norms by itself.
"""
import json
import resource
import struct
import sys
import time

try:
    import numpy as np
    if sys.argv[1:2] == ["convert"]:
        from onnx import helper, numpy_helper
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(77)

ACTS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
TYPES = {"F32": np.float32, "F16": np.float16}


def read_model(path):
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        data = f.read()
    graph = json.loads(header["__metadata__"]["colorize.graph"])
    weights = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        b, e = t["data_offsets"]
        if t["dtype"] == "BF16":
            w = (np.frombuffer(data[b:e], np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            w = np.frombuffer(data[b:e], TYPES[t["dtype"]])
        weights[name] = w.astype(np.float32).reshape(t["shape"])
    return graph, weights


def add_act(nodes, inits, n, x, y):
    if n["act"] == "relu6":
        inits.extend(numpy_helper.from_array(np.float32(v), y + s) for v, s in ((0, "low"), (6, "high")))
        nodes.append(helper.make_node("Clip", [x[0], y + "low", y + "high"], [y]))
    elif n["act"] == "leaky":
        nodes.append(helper.make_node("LeakyRelu", x, [y], alpha=n["slope"]))
    else:
        nodes.append(helper.make_node(ACTS[n["act"]], x, [y]))


def to_onnx(graph, weights, h, w):
    nodes, inits = [], [numpy_helper.from_array(v, k) for k, v in weights.items()]
    nodes_in = graph["nodes"] if isinstance(graph, dict) else graph
    for i, n in enumerate(nodes_in):
        op, name, y = n["op"], n["name"], f"t{i}"
        x = [f"t{j}" for j in n.get("in", [])]
        if op == "input":
            continue
        if op in ("conv", "convt"):
            x.append(name + ".weight")
            if n["bias"]:
                x.append(name + ".bias")
            k, s, p = n["k"], n["stride"], n["pad"]
            end = p + n.get("pad_extra", 0)
            nodes.append(helper.make_node("Conv" if op == "conv" else "ConvTranspose", x, [y], kernel_shape=[k, k],
                                          strides=[s, s], pads=[p, p, end, end], group=n.get("groups", 1)))
        elif op == "batchnorm":
            x += [name + s for s in (".weight", ".bias", ".running_mean", ".running_var")]
            inner = y + "n" if "act" in n else y
            nodes.append(helper.make_node("BatchNormalization", x, [inner], epsilon=n["eps"]))
            if "act" in n:
                add_act(nodes, inits, n, [inner], y)
        elif op == "act":
            add_act(nodes, inits, n, x, y)
        elif op == "add":
            nodes.append(helper.make_node("Add", x, [y]))
        elif op == "concat":
            nodes.append(helper.make_node("Concat", x, [y], axis=1))
        elif op == "resize":
            inits.append(numpy_helper.from_array(np.array([1, 1, n["factor"], n["factor"]], np.float32), y + "s"))
            nodes.append(helper.make_node("Resize", [x[0], "", y + "s"], [y], mode="linear",
                                          coordinate_transformation_mode="half_pixel"))
        elif op == "shuffle":
            nodes.append(helper.make_node("DepthToSpace", x, [y], blocksize=n["factor"], mode="CRD"))
        elif op == "maxpool":
            k, s, p = n["k"], n["stride"], n["pad"]
            nodes.append(helper.make_node("MaxPool", x, [y], kernel_shape=[k, k], strides=[s, s], pads=[p] * 4))
        elif op == "clamp":
            inits.append(numpy_helper.from_array(np.float32(-n["scale"]), y + "a"))
            inits.append(numpy_helper.from_array(np.float32(n["scale"]), y + "b"))
            nodes.append(helper.make_node("Clip", [x[0], y + "a", y + "b"], [y]))
        elif op == "dropout":
            nodes.append(helper.make_node("Identity", x, [y]))
        else:
            sys.exit(f"no ONNX for {op}")
    first = next(i for i, n in enumerate(nodes_in) if n["op"] == "input")
    last = f"t{len(nodes_in) - 1}"
    g = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(f"t{first}", 1, [1, 1, h, w])],
                          [helper.make_tensor_value_info(last, 1, [1, 2, h, w])], inits)
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)])
    m.ir_version = 8
    return m.SerializeToString()


def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def convert(path, size, out):
    w, h = map(int, size.split("x"))
    with open(out, "wb") as f:
        f.write(to_onnx(*read_model(path), h, w))


def run(path, threads, seconds, ours=None):
    before = resident()
    try:
        import onnxruntime as ort
    except ImportError as missing:
        print(missing, file=sys.stderr)
        sys.exit(77)
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    count = shape[2] * shape[3]
    x = ((np.arange(count, dtype=np.uint64) * 2654435761 % (1 << 32) % 2000).astype(np.float32) / 1000 - 1).reshape(shape)
    for _ in range(3):
        y = session.run(None, {name: x})[0]
    times, start = [], time.monotonic()
    while time.monotonic() - start < float(seconds):
        t = time.perf_counter()
        session.run(None, {name: x})
        times.append(time.perf_counter() - t)
    times.sort()
    error = "-"
    if ours:
        error = "%.3g" % (np.linalg.norm(np.fromfile(ours, np.float32) - y.ravel()) / np.linalg.norm(y))
    memory = resident() - before
    print(f"{times[len(times) // 2] * 1e3:.4f} {times[0] * 1e3:.4f} {memory:.1f} {error} ONNX Runtime {ort.__version__}")


{"convert": convert, "run": run}[sys.argv[1]](*sys.argv[2:])
