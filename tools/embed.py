#!/usr/bin/env python3
"""Turns files into C arrays: embed.py OUTPUT.c HEADER.h NAME=FILE...

NAME becomes `const uint64_t NAME[]` (the file's bytes, little-endian, zero-padded) and `const size_t NAME_size`. Words
keep the array aligned for every element type and compile several times faster than bytes; string literals are not an
option, ISO C promises only 4095 characters.
"""
import pathlib
import struct
import sys


def words_of(data: bytes) -> list[str]:
    data += b"\0" * (-len(data) % 8)
    return [f"0x{word:x}" for (word,) in struct.iter_unpack("<Q", data)] or ["0"]


def main(output: str, header: str, *entries: str) -> None:
    lines = ["/* Made by tools/embed.py. */", f'#include "{header}"', ""]
    for entry in entries:
        name, path = entry.split("=", 1)
        data = pathlib.Path(path).read_bytes()
        words = words_of(data)
        lines.append(f"const uint64_t {name}[] = {{")
        lines += [",".join(words[i : i + 8]) + "," for i in range(0, len(words), 8)]
        lines += ["};", f"const size_t {name}_size = {len(data)};", ""]
    pathlib.Path(output).write_text("\n".join(lines), encoding="ascii")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
