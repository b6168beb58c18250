#!/usr/bin/env python3
"""The same picture through the C, the C++ and the dlopen host: test_embed.py COMMAND [-- COMMAND...]

Each must print the same numbers, to the last digit.
"""
import itertools
import math
import subprocess
import sys


def main():
    commands = [list(words) for is_separator, words in itertools.groupby(sys.argv[1:], lambda word: word == "--")
                if not is_separator]
    expected = None
    for command in commands:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode != 0 and "no Vulkan" in result.stderr:
            print(f"skipped: {result.stderr.strip()}")
            sys.exit(77)
        if result.returncode != 0:
            sys.exit(f"failed: {command[0]} exits with {result.returncode}: {result.stderr.strip()}")
        values = [float(line) for line in result.stdout.split()]
        if len(values) != 64 or not all(map(math.isfinite, values)):
            sys.exit(f"failed: {command[0]}: 64 numbers expected, found {result.stdout!r}")
        expected = expected or values
        if values != expected:
            sys.exit(f"failed: {command[0]} gives other numbers than {commands[0][0]}")


if __name__ == "__main__":
    main()
