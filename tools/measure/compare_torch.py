#!/usr/bin/env python3
"""The same pass in PyTorch as fast as PyTorch does it, beside what `dino-vk bench --json` measured.

    compare_torch.py RESULTS [--seconds S]   measures, and prints JSON
    compare_torch.py RESULTS --table         prints what RESULTS holds; needs no torch

fp32 is without TF32. fp16 is the best of eager, torch.compile and a CUDA graph, all with scaled_dot_product_attention.
The network is written out here (ViT with a query, key and value product in one), so that nothing else is needed.
"""
import argparse
import json
import pathlib
import struct
import sys
import time


def read_safetensors(path):
    import torch
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[entry["dtype"]]
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            values = torch.frombuffer(bytearray(data[begin:end]), dtype=dtype)
            tensors[name.removeprefix("vit.")] = values.reshape(entry["shape"]).float()
    return tensors


def make_network(folder):
    """(function from pixels [n, 3, h, w] to the CLS token [n, D], parameters by name, config)."""
    import torch
    from torch.nn import functional
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = read_safetensors(folder / "model.safetensors")
    layers, heads, size = (config[key] for key in ("num_hidden_layers", "num_attention_heads", "hidden_size"))
    epsilon, patch = config["layer_norm_eps"], config["patch_size"]
    weights = {"patch": tensors["embeddings.patch_embeddings.projection.weight"],
               "patch_bias": tensors["embeddings.patch_embeddings.projection.bias"],
               "cls": tensors["embeddings.cls_token"], "position": tensors["embeddings.position_embeddings"],
               "norm": tensors["layernorm.weight"], "norm_bias": tensors["layernorm.bias"]}
    for i in range(layers):
        name = f"encoder.layer.{i}."
        parts = [f"{name}attention.attention.{part}" for part in ("query", "key", "value")]
        for end, suffix in (("weight", ""), ("bias", "_bias")):
            weights[f"{i}.qkv{suffix}"] = torch.cat([tensors[f"{part}.{end}"] for part in parts])
            for ours, theirs in (("out", "attention.output.dense"), ("up", "intermediate.dense"), ("down", "output.dense"),
                                 ("norm1", "layernorm_before"), ("norm2", "layernorm_after")):
                weights[f"{i}.{ours}{suffix}"] = tensors[f"{name}{theirs}.{end}"]

    def plain_attention(q, k, v):  # of torch before 2.0
        return torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1]**-0.5, -1) @ v

    attention = getattr(functional, "scaled_dot_product_attention", plain_attention)

    def forward(w, pixels):
        count = pixels.shape[0]
        x = functional.conv2d(pixels, w["patch"], w["patch_bias"], stride=patch).flatten(2).transpose(1, 2)
        x = torch.cat([w["cls"].expand(count, -1, -1), x], 1) + w["position"]
        tokens = x.shape[1]
        for i in range(layers):
            y = functional.layer_norm(x, (size,), w[f"{i}.norm1"], w[f"{i}.norm1_bias"], epsilon)
            qkv = functional.linear(y, w[f"{i}.qkv"], w[f"{i}.qkv_bias"]).view(count, tokens, 3, heads, size // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            y = attention(q, k, v).transpose(1, 2).reshape(count, tokens, size)
            x = x + functional.linear(y, w[f"{i}.out"], w[f"{i}.out_bias"])
            y = functional.layer_norm(x, (size,), w[f"{i}.norm2"], w[f"{i}.norm2_bias"], epsilon)
            y = functional.gelu(functional.linear(y, w[f"{i}.up"], w[f"{i}.up_bias"]))
            x = x + functional.linear(y, w[f"{i}.down"], w[f"{i}.down_bias"])
        return functional.layer_norm(x[:, 0], (size,), w["norm"], w["norm_bias"], epsilon)

    return forward, weights, config


def time_calls(call, seconds, synchronise):
    """Milliseconds of a call, median of single ones, each waited for as `dino-vk bench` does.

    Where three calls to warm up take longer than `seconds`, as on a CPU without a good BLAS, the next one has to do."""
    begin = time.monotonic()
    for _ in range(3):
        call()
        synchronise()
        if time.monotonic() - begin > seconds:
            break
    least = 5 if time.monotonic() - begin <= seconds else 1
    times, end = [], time.monotonic() + seconds
    while len(times) < least or time.monotonic() < end:
        start = time.perf_counter()
        call()
        synchronise()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[len(times) // 2]


def graph_of(call):
    import torch
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def read_noise(path):
    """The picture that both get, normalised as preprocessor_config.json of the synthetic model says."""
    import torch
    data = path.read_bytes()
    pixels = torch.frombuffer(bytearray(data[-3 * 224 * 224:]), dtype=torch.uint8).reshape(224, 224, 3).float() / 255
    config = json.loads((path.parent / "model" / "preprocessor_config.json").read_text(encoding="utf-8"))
    mean, deviation = (torch.tensor(config[key]) for key in ("image_mean", "image_std"))
    return ((pixels - mean) / deviation).permute(2, 0, 1)[None]


def read_npy(path):
    data = path.read_bytes()
    size = struct.unpack("<H", data[8:10])[0]
    return struct.unpack(f"<{(len(data) - 10 - size) // 4}f", data[10 + size:])


def measure(results, seconds):
    import torch
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_grad_enabled(False)
    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    synchronise = torch.cuda.synchronize if cuda else lambda: None
    forward, weights, _ = make_network(results / "model")
    found = {"torch": torch.__version__, "device": torch.cuda.get_device_name() if cuda else "cpu", "ms": {}, "features": {}}
    noise = read_noise(results / "noise.ppm")
    batches = [batch["batch"] for batch in json.loads((results / "bench_fp32.json").read_text())["batches"] if "p50_ms" in batch]
    for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        if precision == "fp16" and not cuda:
            continue
        w = {name: tensor.to(device, dtype).contiguous() for name, tensor in weights.items()}
        ours = torch.tensor(read_npy(results / f"cls_{precision}.npy"))
        theirs = forward(w, noise.to(device, dtype)).float().cpu()[0]
        found["features"][precision] = float((ours - theirs).norm() / theirs.norm())
        compiled = torch.compile(forward, dynamic=False) if cuda else None
        for batch in batches:
            pixels = noise.to(device, dtype).repeat(batch, 1, 1, 1).contiguous()
            ways = {"eager": lambda: forward(w, pixels)}
            if cuda:
                ways["graph"] = lambda: graph_of(lambda: forward(w, pixels))
                if batch in (batches[0], batches[-1]):  # compiling takes its time
                    ways["compile"] = lambda: graph_of(lambda: compiled(w, pixels))
            times = {}
            for way, call in ways.items():
                try:
                    ready = call() if way != "eager" else call
                    times[way] = time_calls(ready, seconds / len(ways), synchronise)
                except Exception as error:  # a way that this torch does not have
                    print(f"{precision}, batch {batch}, {way}: {error}"[:300], file=sys.stderr)
            found["ms"].setdefault(precision, {})[str(batch)] = times
    return found


def table(results):
    print(f"{'':6} {'batch':>5} {'dino-vk':>12} {'images/s':>10} {'GFLOP/s':>9} {'of fp32':>8}   torch, ms, and its best / ours")
    path = results / "torch.json"
    theirs = json.loads(path.read_text()) if path.exists() and path.stat().st_size else {"ms": {}, "features": {}}
    for precision in ("fp32", "fp16"):
        path = results / f"bench_{precision}.json"
        if not path.exists() or not path.stat().st_size:
            continue
        bench = json.loads(path.read_text())
        for batch in bench["batches"]:
            if "p50_ms" not in batch:
                print(f"{precision:6} {batch['batch']:5} {batch['not_run']}")
                continue
            times = theirs["ms"].get(precision, {}).get(str(batch["batch"]), {})
            text = ", ".join(f"{way} {ms:.3f}" for way, ms in times.items())
            if times:
                text += f"; {min(times.values()) / batch['p50_ms']:.2f}"
            share = batch["gflops"] / bench["ceilings"]["fp32_gflops"]
            print(f"{precision:6} {batch['batch']:5} {batch['p50_ms']:9.3f} ms {batch['images_per_second']:10.2f} "
                  f"{batch['gflops']:9.1f} {100 * share:6.1f} %   {text}")
        print(f"{precision:6} at most {bench['ceilings']}; one pass by its operations {bench['profile_ms']:.3f} ms")
    for precision, error in theirs["features"].items():
        print(f"{precision:6} features of both differ by {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.results)
    else:
        print(json.dumps(measure(arguments.results, arguments.seconds), indent=1))


if __name__ == "__main__":
    main()
