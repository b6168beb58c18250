#!/usr/bin/env python3
"""tools/compare_published.py against a stand-in for the command, because the checkpoint itself is not here: it must accept
the published numbers, and refuse wrong numbers, a NaN, a wrong shape, and a command that fails."""
import array
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(sys.argv[1])
specification = importlib.util.spec_from_file_location("compare_published", SCRIPT)
sys.dont_write_bytecode = True
published = importlib.util.module_from_spec(specification)
specification.loader.exec_module(published)

STAND_IN = """#!/bin/sh
[ "$1 $2 $3 $4 $5 $6 $7 $8 $9" = "-m MODEL --precision fp32 --size 480 --tokens all -o" ] || exit 3
shift 9
cp "{npy}" "$1"
exit {status}
"""
failures = 0


def npy(path, shape, rows):
    values = array.array("f", bytes(4 * shape[0] * shape[1] * shape[2]))
    for token, row in enumerate(rows):
        values[token * shape[2]:token * shape[2] + 3] = array.array("f", row)
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values.tobytes())


def check(name, rows, expected, shape=published.SHAPE, status=0):
    global failures
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        npy(folder / "values.npy", shape, rows)
        program = folder / "dino-vk"
        program.write_text(STAND_IN.format(npy=folder / "values.npy", status=status), encoding="utf-8")
        program.chmod(0o755)
        (folder / "image.png").write_bytes(b"any")
        result = subprocess.run([sys.executable, SCRIPT, "-m", "MODEL", "--dino-vk", program, folder / "image.png"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != expected:
        failures += 1
        print(f"failed: {name}: exit status {result.returncode}, expected {expected}\n{result.stdout}")


def changed(by):
    rows = [list(row) for row in published.PUBLISHED]
    rows[2][1] += by
    return rows


check("the published numbers", published.PUBLISHED, 0)
check("one off by less than the tolerance", changed(1.5e-3), 0)
check("one off by more", changed(2.5e-3), 1)
check("one NaN", changed(float("nan")), 1)
check("an older release's numbers", published.OLDER, 1)
check("another shape", published.PUBLISHED, 2, shape=(1, 785, 384))
check("a command that fails", published.PUBLISHED, 2, status=3)
print(f"7 cases, {failures} failed")
sys.exit(failures != 0)
