#!/usr/bin/env python3
"""Compiles shaders that are no kernels of the runtime and writes them as arrays of one C header.

    embed.py --glslang PROGRAM --output HEADER SHADER...

spirv_NAME is the array of NAME.comp. Of one that needs a GLSL extension unknown to this compiler, spirv_NAME_bytes is 0.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile


def run(glslang, source, output):
    command = [glslang, "-V", "--quiet", "--target-env", "vulkan1.1", "-o", str(output), str(source)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def knows_extensions(glslang, source, directory):
    probe = directory / "probe.comp"
    extensions = re.findall(r"^#extension GL_(?!GOOGLE_include).*$", source.read_text(encoding="utf-8"), re.MULTILINE)
    probe.write_text("\n".join(["#version 450", *extensions, "void main() {}", ""]), encoding="utf-8")
    return run(glslang, probe, directory / "probe.spv").returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glslang", required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("shaders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    lines = ["/* Written by tools/ceilings/embed.py. */", "#include <stdint.h>"]
    with tempfile.TemporaryDirectory() as name:
        for shader in arguments.shaders:
            code, size = bytes(4), 0
            if knows_extensions(arguments.glslang, shader, pathlib.Path(name)):
                output = pathlib.Path(name) / "module.spv"
                result = run(arguments.glslang, shader, output)
                if result.returncode != 0:
                    sys.exit(f"{shader}: {arguments.glslang} failed:\n{result.stdout}")
                code = output.read_bytes()
                size = len(code)
            words = [f"0x{int.from_bytes(code[i:i + 4], 'little'):08x}" for i in range(0, len(code), 4)]
            lines += ["", f"static const uint32_t spirv_{shader.stem}[] = {{"]
            lines += ["    " + ", ".join(words[i:i + 8]) + "," for i in range(0, len(words), 8)]
            lines += ["};", f"enum {{ spirv_{shader.stem}_bytes = {size} }};"]
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
