#!/usr/bin/env python3
"""Compiles the variants of variants.toml and writes them as one C file, runtime/variants.h's table.

    compile.py --glslang PROGRAM --output variants.c [--depfile FILE] [--leave-out NAME ...]   what the build runs
    compile.py --glslang PROGRAM --probe      prints the names of the variants that this compiler cannot express
    compile.py --glslang PROGRAM --validate SPIRV_VAL [--leave-out NAME ...]   a test: everything passes spirv-val
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

sys.dont_write_bytecode = True  # the source tree stays as it was
from spirv import Module

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "vulkan1.1"

# kernel -> its bindings
KERNELS = {"patchify": 2, "matmul": 4, "layernorm": 3, "attention": 4, "attention_row": 3, "mean": 2,
           "rotate": 2, "source_image": 3, "source_buffer": 3, "resample": 3, "copy": 2,
           "attention_scores": 2, "project": 3, "covary": 4, "orthonormalise": 2, "align": 2, "spread": 2, "picture_rgba8": 3, "picture_rgba16f": 3,
           "picture_rgba32f": 3, "picture_r32f": 3, "features_rgba16f": 2, "features_rgba32f": 2}
# kernel -> those of its bindings that are no storage buffers: a "texture" is read, an "image" written
IMAGES = {"source_image": {0: "texture"}, "picture_rgba8": {2: "image"}, "picture_rgba16f": {2: "image"},
          "picture_rgba32f": {2: "image"}, "picture_r32f": {2: "image"}, "features_rgba16f": {1: "image"},
          "features_rgba32f": {1: "image"}}
WEIGHTS = ("none", "fp32", "fp16", "int8")
CLASSES = ("gpu", "software")
# feature -> the SPIR-V capabilities that it allows
FEATURES = {
    "subgroup_ballot": ("GroupNonUniformBallot",),
    "fp16_storage": ("StorageBuffer16BitAccess",),
    "fp16_arithmetic": ("Float16",),
    "subgroup_size_control": (),
    "cooperative_matrix": ("CooperativeMatrixKHR", "VulkanMemoryModel"),
    "cooperative_matrix_2": (
        "CooperativeMatrixConversionsNV", "CooperativeMatrixPerElementOperationsNV",
        "CooperativeMatrixTensorAddressingNV", "TensorAddressingNV"),
    "int64": ("Int64",),
    "integer_dot_product": ("DotProduct", "DotProductInput4x8Bit", "DotProductInput4x8BitPacked"),
}
CORE_CAPABILITIES = {"Shader", "GroupNonUniform"}  # basic subgroup operations are core in Vulkan 1.1
FIRST_SHARED_ID, HEAD_DIM_ID, PATCH_SIZE_ID = 16, 18, 19  # of specialisation constants, see runtime/variants.h

# Vulkan 1.1's required limits: of each kernel, weight type and class, one variant must keep to them.
MAX_SHARED_BYTES = 16384
MAX_INVOCATIONS = 128

NUMBERS = {"local_size": 0, "subgroups": 0, "subgroup_size": 0, "tile_rows": 1, "tile_columns": 1, "max_head_dim": 0,
           "head_dim_step": 4, "half_sums": 0}
FIELDS = {"file", "kernel", "class", "weights", "require", "features", "matrix", "fallback", "half_products", "large",
          "defines", "glsl", *NUMBERS}


class TableError(Exception):
    pass


def require(condition, variant, message):
    if not condition:
        raise TableError(f"variants.toml: {variant['name']}: {message}")


def evaluate(variant, expression):
    """A number, or an expression of the constants and of the numbers that were evaluated before it."""
    scope = {key: variant[key] for key in NUMBERS if isinstance(variant.get(key), int)}
    return eval(str(expression), {"__builtins__": {"max": max}}, scope | variant["constants"])


def make_variant(shader, name, weight, line):
    """The fields of the shader and of the variant's own line together, with their defaults."""
    variant = {"class": None, "require": [], "features": [], "matrix": [], "fallback": False, "half_products": False,
               "large": False, "defines": {}, "glsl": []}
    both = {key: value for key, value in shader.items() if key != "variants"} | line
    variant |= {key: value for key, value in both.items() if not key.isupper()}
    variant |= {"name": name, "weight": weight, "constants": {}}
    for key in sorted((key for key in both if key.isupper()), key=lambda key: isinstance(both[key], str)):
        variant["constants"][key] = evaluate(variant, both[key])  # numbers first, then what is made of them
    unknown = variant.keys() - FIELDS - {"name", "weight", "constants"}
    require(not unknown, variant, f"unknown fields {sorted(unknown)}")
    for key, allowed in (("kernel", KERNELS), ("weight", WEIGHTS), ("class", CLASSES)):
        require(variant[key] in allowed, variant, f"{key} is {variant[key]}, not one of {', '.join(allowed)}")
    for feature in variant["features"]:
        require(feature in FEATURES, variant, f"feature {feature} is not one of {', '.join(FEATURES)}")
    require((variant["kernel"] == "matmul") == (weight != "none"), variant, "a matmul has weights, others have none")
    if weight != "none":
        variant["defines"] = variant["defines"] | {"DVK_WEIGHT": WEIGHTS.index(weight) - 1}
    for key, default in NUMBERS.items():
        variant[key] = evaluate(variant, variant.get(key, default))
    require((variant["local_size"] > 0) != (variant["subgroups"] > 0), variant, "local_size or subgroups, not both")
    require(len(variant["matrix"]) in (0, 3), variant, "matrix is not [M, N, K]")
    variant["matrix"] = [evaluate(variant, extent) for extent in variant["matrix"]]
    require((variant["kernel"] in ("attention", "attention_row")) == (variant["max_head_dim"] > 0), variant,
            "max_head_dim belongs to attention")
    for condition in variant["require"]:
        require(evaluate(variant, condition), variant, f"{condition} does not hold")
    return variant


def read_table():
    table = tomllib.loads((HERE / "variants.toml").read_text(encoding="utf-8"))
    variants = []
    for shader in table["shader"]:
        for name, line in shader["variants"].items():
            for weight in line.get("weights", shader.get("weights", ["none"])):
                variants.append(make_variant(shader, name if weight == "none" else f"{name}_{weight}", weight, line))
    names = [variant["name"] for variant in variants]
    for variant in variants:
        require(names.count(variant["name"]) == 1, variant, "the name is used twice")
    return variants


def run_glslang(glslang, source, output, defines):
    arguments = [glslang, "-V", "--quiet", "--target-env", TARGET, f"-I{HERE}", "-o", str(output)]
    arguments += [f"-D{name}={value}" for name, value in defines.items()] + [str(source)]
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def knows_extension(glslang, extension, directory):
    source = pathlib.Path(directory) / "probe.comp"
    source.write_text(f"#version 450\n#extension {extension} : require\nvoid main() {{}}\n", encoding="utf-8")
    return run_glslang(glslang, source, source.with_suffix(".spv"), {}).returncode == 0


def compile_variant(glslang, variant, directory):
    output = pathlib.Path(directory) / (variant["name"] + ".spv")
    result = run_glslang(glslang, HERE / variant["file"], output, variant["defines"])
    if result.returncode != 0:
        raise TableError(f"{variant['name']}: {glslang} failed:\n{result.stdout}")
    return output


def check(variant, module):
    """Raises TableError unless the entry and its SPIR-V agree and stay within what the features allow. Fills in what is
    read from the SPIR-V."""
    allowed = CORE_CAPABILITIES.union(*(FEATURES[feature] for feature in variant["features"]))
    for capability in module.capabilities:
        require(capability in allowed, variant, f"the shader needs {capability}, which no feature of the entry allows")
    buffers = KERNELS[variant["kernel"]]
    expected = dict.fromkeys(range(buffers), "buffer") | IMAGES.get(variant["kernel"], {})
    require(module.bindings == expected, variant, f"the shader binds {module.bindings}, the kernel has {expected}")
    variant["binding_kinds"] = [f"DVK_BINDING_{expected[i].upper()}" for i in range(buffers)]

    own = {name: number for name, number in module.constants.items() if 1 <= number < FIRST_SHARED_ID}
    require(own.keys() == variant["constants"].keys(), variant,
            f"constants are {sorted(variant['constants'])}, the shader has {sorted(own)}")
    require(sorted(own.values()) == list(range(1, len(own) + 1)), variant, "the constants' ids are not 1, 2, ...")
    variant["constant_values"] = [variant["constants"][name] for name in sorted(own, key=own.get)]

    variant["reads_pixels"] = PATCH_SIZE_ID in module.constants.values()

    specialised = {own[name]: value for name, value in variant["constants"].items()} | {0: variant["local_size"]}
    sizes = [module.shared_bytes(specialised | {HEAD_DIM_ID: head_dim}) for head_dim in (0, 16, 128)]
    variant["shared_bytes"], variant["shared_bytes_per_head_dim"] = sizes[0], (sizes[1] - sizes[0]) // 16
    require(sizes[2] == sizes[0] + 128 * variant["shared_bytes_per_head_dim"], variant,
            "shared memory is not linear in HEAD_DIM")


def runs_everywhere(variant):
    return (not variant["features"] and 0 < variant["local_size"] <= MAX_INVOCATIONS and
            variant["shared_bytes"] + variant["shared_bytes_per_head_dim"] * variant["max_head_dim"] <= MAX_SHARED_BYTES)


def compile_all(glslang, table, leave_out, directory):
    kept = [variant for variant in table if variant["name"] not in leave_out]
    for variant in kept:
        variant["path"] = compile_variant(glslang, variant, directory)
        variant["code"] = variant["path"].read_bytes()
        check(variant, Module(variant["code"]))
    for kernel, device_class, weight in sorted({(v["kernel"], v["class"], v["weight"]) for v in kept}):
        if not any(runs_everywhere(v) for v in kept
                   if (v["kernel"], v["class"], v["weight"]) == (kernel, device_class, weight)):
            raise TableError(f"no {device_class} variant of {kernel} ({weight}) keeps to Vulkan 1.1 and its limits")
    return kept


def write_c(variants):
    lines = ["/* Written by shaders/compile.py from shaders/variants.toml. */", '#include "variants.h"', ""]
    arrays = {}  # code -> name of its array: variants that differ in constants only share it
    for variant in variants:
        code = variant["code"]
        if code not in arrays:
            arrays[code] = f"spirv_{variant['name']}"
            words = [f"0x{int.from_bytes(code[i:i + 4], 'little'):08x}" for i in range(0, len(code), 4)]
            lines.append(f"static const uint32_t {arrays[code]}[{len(words)}] = {{")
            lines += ["    " + ", ".join(words[i:i + 8]) + "," for i in range(0, len(words), 8)]
            lines += ["};", ""]
    lines.append("const dvk_variant dvk_variants[] = {")
    for variant in variants:
        features = " | ".join(f"DVK_FEATURE_{feature.upper()}" for feature in variant["features"]) or "0"
        array = arrays[variant["code"]]
        lines += [
            "    {",
            f"        .name = \"{variant['name']}\",",
            f"        .kernel = DVK_KERNEL_{variant['kernel'].upper()},",
            f"        .weight = DVK_WEIGHT_{variant['weight'].upper()},",
            f"        .device_class = DVK_CLASS_{variant['class'].upper()},",
            f"        .features = {features},",
            f"        .fallback = {str(variant['fallback']).lower()},",
            f"        .half_products = {str(variant['half_products']).lower()},",
            f"        .large = {str(variant['large']).lower()},",
            f"        .reads_pixels = {str(variant['reads_pixels']).lower()},",
        ]
        lines += [f"        .{key} = {variant[key]}," for key in (*NUMBERS, "shared_bytes", "shared_bytes_per_head_dim")]
        if variant["matrix"]:
            m, n, k = variant["matrix"]
            lines.append(f"        .matrix = {{{m}, {n}, {k}, DVK_COMPONENT_FLOAT16, DVK_COMPONENT_FLOAT32}},")
        values = variant["constant_values"]
        if values:
            lines.append(f"        .constants = {{{', '.join(map(str, values))}}},")
        lines += [
            f"        .constant_count = {len(values)},",
            f"        .binding_count = {len(variant['binding_kinds'])},",
            f"        .binding_kinds = {{{', '.join(variant['binding_kinds'])}}},",
            f"        .spirv = {array},",
            f"        .spirv_bytes = sizeof({array}),",
            "    },",
        ]
    lines += ["};", f"const size_t dvk_variant_count = {len(variants)};", ""]
    lines.append("const char *const dvk_kernel_names[DVK_KERNEL_COUNT] = {")
    lines += [f"    [DVK_KERNEL_{kernel.upper()}] = \"{kernel}\"," for kernel in KERNELS]
    lines += ["};", ""]
    return "\n".join(lines)


def dependencies(variants):
    """The files that the C file is made from: this script, the table, the shaders and all that they include."""
    found, waiting = set(), [HERE / variant["file"] for variant in variants]
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        waiting += [path.parent / name for name in re.findall(r'^\s*#include "(.+)"', path.read_text(encoding="utf-8"),
                                                              re.MULTILINE)]
    return sorted(found | {HERE / name for name in ("compile.py", "spirv.py", "variants.toml")})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glslang", required=True)
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--depfile", type=pathlib.Path)
    parser.add_argument("--leave-out", nargs="*", default=[])
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--validate", metavar="SPIRV_VAL")
    arguments = parser.parse_args()

    table = read_table()
    with tempfile.TemporaryDirectory() as directory:
        if arguments.probe:
            known = {extension: knows_extension(arguments.glslang, extension, directory)
                     for extension in sorted({extension for variant in table for extension in variant["glsl"]})}
            for variant in table:
                unknown = [extension for extension in variant["glsl"] if not known[extension]]
                if unknown:
                    print(f"{variant['name']} ({', '.join(unknown)})")
            return 0
        variants = compile_all(arguments.glslang, table, arguments.leave_out, directory)
        if arguments.validate:
            failures = 0
            for variant in variants:
                command = [arguments.validate, "--target-env", TARGET, str(variant["path"])]
                failures += subprocess.run(command, check=False).returncode != 0
            print(f"{len(variants)} variants validated, {failures} failed")
            return failures != 0
    if arguments.output:
        arguments.output.write_text(write_c(variants), encoding="utf-8")
    if arguments.depfile:
        paths = " ".join(str(path).replace(" ", "\\ ") for path in dependencies(table))
        arguments.depfile.write_text(f"{arguments.output}: {paths}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TableError as error:
        sys.exit(f"compile.py: {error}")
