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

# kernel -> its storage buffers
KERNELS = {"patchify": 2, "matmul": 4, "layernorm": 3, "attention": 4, "attention_row": 3, "mean": 2,
           "rotate": 2}
WEIGHTS = ("none", "fp32", "fp16", "int8")
CLASSES = ("gpu", "software")
# feature -> the SPIR-V capabilities that it allows
FEATURES = {
    "subgroup_ballot": ("GroupNonUniform", "GroupNonUniformBallot"),
    "fp16_storage": ("StorageBuffer16BitAccess",),
    "fp16_arithmetic": ("Float16",),
}
HEAD_DIM_ID = 10

# Vulkan 1.1's required limits: what a variant without features may use.
MAX_SHARED_BYTES = 16384
MAX_INVOCATIONS = 128

REQUIRED = {"name", "kernel", "weight", "class", "file", "local_size"}
OPTIONAL = {"defines", "tile_rows", "tile_columns", "constants", "features", "max_head_dim", "glsl"}


class TableError(Exception):
    pass


def require(condition, variant, message):
    if not condition:
        raise TableError(f"variants.toml: {variant.get('name', '?')}: {message}")


def read_table():
    table = tomllib.loads((HERE / "variants.toml").read_text(encoding="utf-8"))
    names = set()
    for variant in table["variant"]:
        missing, unknown = REQUIRED - variant.keys(), variant.keys() - REQUIRED - OPTIONAL
        require(not missing and not unknown, variant, f"missing fields {sorted(missing)}, unknown {sorted(unknown)}")
        require(variant["name"] not in names, variant, "the name is used twice")
        names.add(variant["name"])
        for key, allowed in (("kernel", KERNELS), ("weight", WEIGHTS), ("class", CLASSES)):
            require(variant[key] in allowed, variant, f"{key} is {variant[key]}, not one of {', '.join(allowed)}")
        for feature in variant.setdefault("features", []):
            require(feature in FEATURES, variant, f"feature {feature} is not one of {', '.join(FEATURES)}")
        for key, default in (("defines", {}), ("constants", {}), ("tile_rows", 1), ("tile_columns", 1),
                             ("max_head_dim", 0)):
            variant.setdefault(key, default)
        require((variant["kernel"] == "matmul") == (variant["weight"] != "none"), variant, "only a matmul has weights")
        require(variant["kernel"].startswith("attention") == (variant["max_head_dim"] > 0), variant,
                "max_head_dim belongs to attention")
    return table


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


def check(variant, module, rules):
    """Raises TableError unless the entry and its SPIR-V agree and stay within what the features allow. Fills in what is
    read from the SPIR-V."""
    allowed = {"Shader"}.union(*(FEATURES[feature] for feature in variant["features"]))
    for capability in module.capabilities:
        require(capability in allowed, variant, f"the shader needs {capability}, which no feature of the entry allows")
    buffers = KERNELS[variant["kernel"]]
    require(sorted(set(module.bindings)) == list(range(buffers)), variant,
            f"the shader binds {sorted(set(module.bindings))}, a {variant['kernel']} has 0 to {buffers - 1}")

    own = {name: number for name, number in module.constants.items() if 1 <= number <= 7}
    require(own.keys() == variant["constants"].keys(), variant,
            f"constants are {sorted(variant['constants'])}, the shader has {sorted(own)}")
    require(sorted(own.values()) == list(range(1, len(own) + 1)), variant, "the constants' ids are not 1, 2, ...")
    variant["constant_values"] = [variant["constants"][name] for name in sorted(own, key=own.get)]

    specialised = {0: variant["local_size"], HEAD_DIM_ID: max(variant["max_head_dim"], 4)}
    specialised.update({own[name]: value for name, value in variant["constants"].items()})
    variant["shared_bytes"] = module.shared_bytes(specialised)
    require(variant["shared_bytes"] <= MAX_SHARED_BYTES, variant,
            f"{variant['shared_bytes']} bytes of shared memory, more than {MAX_SHARED_BYTES}")
    require(0 < variant["local_size"] <= MAX_INVOCATIONS, variant, f"local_size is beyond {MAX_INVOCATIONS}")

    scope = {key: variant[key] for key in ("local_size", "tile_rows", "tile_columns", "max_head_dim")}
    scope.update(variant["constants"])
    for rule in rules:
        if rule["file"] == variant["file"]:
            for condition in rule["require"]:
                require(eval(condition, {"__builtins__": {}}, scope), variant, f"{condition} does not hold: {scope}")


def compile_all(glslang, table, leave_out, directory):
    variants, rules = table["variant"], table.get("rule", [])
    kept = [variant for variant in variants if variant["name"] not in leave_out]
    for variant in kept:
        variant["path"] = compile_variant(glslang, variant, directory)
        variant["code"] = variant["path"].read_bytes()
        check(variant, Module(variant["code"]), rules)
    for kernel in KERNELS:
        for device_class in CLASSES:
            if not any(v["kernel"] == kernel and v["class"] == device_class and not v["features"] for v in kept):
                raise TableError(f"no {device_class} variant of {kernel} works without optional features")
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
        ]
        lines += [f"        .{key} = {variant[key]}," for key in
                  ("local_size", "tile_rows", "tile_columns", "shared_bytes", "max_head_dim")]
        values = variant["constant_values"]
        if values:
            lines.append(f"        .constants = {{{', '.join(map(str, values))}}},")
        lines += [
            f"        .constant_count = {len(values)},",
            f"        .binding_count = {KERNELS[variant['kernel']]},",
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
            for variant in table["variant"]:
                if "glsl" in variant and not knows_extension(arguments.glslang, variant["glsl"], directory):
                    print(f"{variant['name']} ({variant['glsl']})")
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
        paths = " ".join(str(path).replace(" ", "\\ ") for path in dependencies(table["variant"]))
        arguments.depfile.write_text(f"{arguments.output}: {paths}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TableError as error:
        sys.exit(f"compile.py: {error}")
