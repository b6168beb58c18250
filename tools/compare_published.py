#!/usr/bin/env python3
"""Compares dino-vk with the numbers that transformers' own test publishes for facebook/dino-vits8.

    tools/compare_published.py [-m MODEL] [--dino-vk PROGRAM] IMAGE

MODEL is what dino-vk takes (default: facebook/dino-vits8 in the local Hugging Face cache). IMAGE is COCO's 000000039769,
which transformers keeps as tests/fixtures/tests_samples/COCO/000000039769.png. Further words go to dino-vk, as
`--device 1`. Exit status: 0 equal within the published tolerance, 1 not equal, 2 nothing to compare.
"""
import argparse
import array
import ast
import hashlib
import math
import pathlib
import subprocess
import sys
import tempfile

# transformers, tests/models/vit/test_modeling_vit.py, ViTModelIntegrationTest.test_inference_interpolate_pos_encoding:
# last_hidden_state[0, :3, :3] of facebook/dino-vits8 for that image, resized to 480x480 by Pillow, with
# interpolate_pos_encoding.
SIZE = 480
SHAPE = (1, 3601, 384)
PUBLISHED = ((4.2325, 4.3882, -6.6678), (4.5372, 1.8933, -6.7355), (4.4454, 0.8514, -5.8747))
# That test's rtol and atol. Half a unit of the last digit printed is 5e-5; the rest is its allowance for devices.
RELATIVE, ABSOLUTE = 1e-3, 1e-3
# What older releases had in its place: they added 0.1 to the size when they interpolated the positions, as the original
# DINO code does. Shown for comparison; a runtime that follows today's transformers differs from it by up to 0.016.
OLDER = ((4.2340, 4.3906, -6.6692), (4.5463, 1.8928, -6.7257), (4.4429, 0.8496, -5.8585))

IMAGE_SHA256 = "cf6f3c4befa148732c7453e0de5afab00f682427435fead2d88b07a9615cdac2"


def fail(message):
    print(f"compare_published: {message}", file=sys.stderr)
    sys.exit(2)


def read_npy(path):
    """The shape and the values of a version 1.0 .npy file of little-endian float32 in C order."""
    data = pathlib.Path(path).read_bytes()
    if data[:8] != b"\x93NUMPY\x01\x00":
        fail(f"{path} is no .npy file of version 1.0")
    end = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:end].decode("latin-1"))
    values = array.array("f", data[end:])
    if sys.byteorder == "big":
        values.byteswap()
    if header["descr"] != "<f4" or header["fortran_order"] or math.prod(header["shape"]) != len(values):
        fail(f"{path} has an unexpected header: {header}")
    return header["shape"], values


def run(program, model, image, options):
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "all.npy"
        command = [program, "-m", model, "--precision", "fp32", "--size", str(SIZE), "--tokens", "all", "-o", output,
                   *options, image]
        try:
            status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        except OSError as error:
            fail(f"{program} cannot be run ({error.strerror}): build it first, or name it with --dino-vk")
        if status != 0:
            fail(f"{program} ended with status {status}")
        return read_npy(output)


def largest_difference(found, expected):
    return max(abs(a - b) for found_row, row in zip(found, expected) for a, b in zip(found_row, row))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default="facebook/dino-vits8")
    parser.add_argument("--dino-vk", default=str(root / "build" / "tools" / "dino-vk"))
    parser.add_argument("image", type=pathlib.Path)
    arguments, options = parser.parse_known_args()

    try:
        digest = hashlib.sha256(arguments.image.read_bytes()).hexdigest()
    except OSError as error:
        fail(f"{arguments.image} cannot be read: {error.strerror}")
    if digest != IMAGE_SHA256:
        print(f"note: {arguments.image} is not the PNG file of transformers' tests (SHA-256 {IMAGE_SHA256}); "
              "a JPEG of the same photograph decodes to slightly other pixels", file=sys.stderr)

    shape, values = run(arguments.dino_vk, arguments.model, arguments.image, options)
    if shape != SHAPE:
        fail(f"the output's shape is {shape}, {SHAPE} was published: is this model dino-vits8?")
    found = [values[token * SHAPE[2]:token * SHAPE[2] + 3] for token in range(3)]

    print("token channel      found  published  difference    allowed")
    equal = True
    for token in range(3):
        for channel in range(3):
            value, expected = found[token][channel], PUBLISHED[token][channel]
            allowed = ABSOLUTE + RELATIVE * abs(expected)
            good = abs(value - expected) <= allowed # false for a NaN
            equal = equal and good
            print(f"{token:5} {channel:7} {value:10.4f} {expected:10.4f} {value - expected:11.5f} {allowed:10.5f}"
                  f"{'' if good else '  differs'}")
    print(f"largest difference from today's transformers {largest_difference(found, PUBLISHED):.5f}, "
          f"from older releases {largest_difference(found, OLDER):.5f}")
    print("equal within the published tolerance" if equal else "NOT equal within the published tolerance")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
