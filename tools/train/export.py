#!/usr/bin/env python3
"""Writes a trained network as a model directory: export.py RUN/model.pt DIRECTORY"""
import json
import pathlib
import struct
import sys

import numpy
import torch
import torch.nn.functional as F

import model


def tensors_of(state: dict) -> dict[str, torch.Tensor]:
    """The names and shapes of transformers' ViTModel."""
    grid = F.interpolate(state["positions"], size=(model.POSITIONS, model.POSITIONS), mode="bicubic",
                         align_corners=False) if state["positions"].shape[-1] != model.POSITIONS else state["positions"]
    out = {
        "embeddings.cls_token": state["cls"],
        "embeddings.position_embeddings": torch.cat([state["cls_position"], grid.flatten(2).transpose(1, 2)], 1),
        "embeddings.patch_embeddings.projection.weight":
            state["patches.weight"].view(model.WIDTH, 3, model.PATCH, model.PATCH),
        "embeddings.patch_embeddings.projection.bias": state["patches.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for i in range(model.LAYERS):
        ours, theirs = f"blocks.{i}.", f"encoder.layer.{i}."
        for kind in ("weight", "bias"):
            for part, rows in zip(("query", "key", "value"), state[ours + "qkv." + kind].chunk(3)):
                out[theirs + f"attention.attention.{part}.{kind}"] = rows
            for a, b in (("out", "attention.output.dense"), ("fc1", "intermediate.dense"), ("fc2", "output.dense"),
                         ("before", "layernorm_before"), ("after", "layernorm_after")):
                out[theirs + b + "." + kind] = state[ours + a + "." + kind]
    return dict(sorted(out.items()))


def state_of(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The way back, to evaluate what is shipped."""
    positions = tensors["embeddings.position_embeddings"]
    grid = positions[:, 1:].transpose(1, 2).reshape(1, model.WIDTH, model.POSITIONS, model.POSITIONS)
    out = {"cls": tensors["embeddings.cls_token"], "cls_position": positions[:, :1], "positions": grid,
           "patches.weight": tensors["embeddings.patch_embeddings.projection.weight"].reshape(model.WIDTH, -1),
           "patches.bias": tensors["embeddings.patch_embeddings.projection.bias"],
           "norm.weight": tensors["layernorm.weight"], "norm.bias": tensors["layernorm.bias"]}
    for i in range(model.LAYERS):
        ours, theirs = f"blocks.{i}.", f"encoder.layer.{i}."
        for kind in ("weight", "bias"):
            out[ours + "qkv." + kind] = torch.cat([tensors[theirs + f"attention.attention.{part}.{kind}"]
                                                   for part in ("query", "key", "value")])
            for a, b in (("out", "attention.output.dense"), ("fc1", "intermediate.dense"), ("fc2", "output.dense"),
                         ("before", "layernorm_before"), ("after", "layernorm_after")):
                out[ours + a + "." + kind] = tensors[theirs + b + "." + kind]
    return out


def write_safetensors(path: pathlib.Path, tensors: dict[str, torch.Tensor]) -> None:
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in tensors.items():
        data = tensor.detach().numpy().astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_safetensors(path: pathlib.Path) -> dict[str, torch.Tensor]:
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = numpy.frombuffer(data[8 + length + begin:8 + length + end], "<f2").astype(numpy.float32)
            tensors[name] = torch.from_numpy(values.reshape(entry["shape"]))
    return tensors


def load(directory: pathlib.Path) -> model.Vit:
    net = model.Vit()
    net.positions = torch.nn.Parameter(torch.zeros(1, model.WIDTH, model.POSITIONS, model.POSITIONS))
    net.load_state_dict(state_of(read_safetensors(directory / "model.safetensors")))
    return net.eval()


def write(state: dict, directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_safetensors(directory / "model.safetensors", tensors_of(state))
    side = model.POSITIONS * model.PATCH
    config = {
        "architectures": ["ViTModel"], "attention_probs_dropout_prob": 0.0, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0, "hidden_size": model.WIDTH, "image_size": side, "initializer_range": 0.02,
        "intermediate_size": model.MLP, "layer_norm_eps": model.EPSILON, "model_type": "vit",
        "num_attention_heads": model.HEADS, "num_channels": 3, "num_hidden_layers": model.LAYERS,
        "patch_size": model.PATCH, "qkv_bias": True, "torch_dtype": "float16",
    }
    preprocessor = {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": model.MEAN.flatten().tolist(),
        "image_processor_type": "ViTImageProcessor", "image_std": model.STD.flatten().tolist(), "resample": 2,
        "rescale_factor": 1 / 255, "size": {"height": side, "width": side},
    }
    preprocessor["image_mean"] = [round(v, 3) for v in preprocessor["image_mean"]]
    preprocessor["image_std"] = [round(v, 3) for v in preprocessor["image_std"]]
    for name, value in (("config.json", config), ("preprocessor_config.json", preprocessor)):
        (directory / name).write_text(json.dumps(value, indent=2) + "\n", encoding="ascii")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(torch.load(sys.argv[1], map_location="cpu"), pathlib.Path(sys.argv[2]))
