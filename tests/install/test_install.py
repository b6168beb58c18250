#!/usr/bin/env python3
"""Installs the build into an empty folder and uses it as a stranger would: with pkg-config and a C compiler.

Checks what is installed, which names the libraries define, and that examples/embed.c, linked with the shared and with
the static library, gives the same numbers.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import checks
from checks import check


def output_of(command, **options):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False, **options)
    if result.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def defined_names(library, *options):
    lines = output_of(["nm", "--defined-only", *options, library]).splitlines()
    return {line.split()[-1] for line in lines if re.match(r"[0-9a-f]+ \w ", line)}


def check_memory(static):
    """Only memory.c may ask the C library for memory: all else goes through the host's callbacks."""
    own = re.compile(r"(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strn?dup|v?asprintf|getline)$")
    users, member = {}, ""
    for line in output_of(["nm", "--undefined-only", static]).splitlines():
        if line.endswith(":"):
            member = line[:-1]
        elif (words := line.split()) and own.match(words[-1]):
            users.setdefault(member, set()).add(words[-1])
    check(users.keys() == {"memory.c.o"}, f"{static.name}: these call the C library's allocator: {users}")


def check_names(arguments, shared, static):
    declared = set(re.findall(r"^DVK_API [^;]*?\b(dvk_\w+)\(", arguments.header.read_text(encoding="utf-8"), re.MULTILINE))
    check(len(declared) > 20, f"found only {len(declared)} functions in {arguments.header}")
    if shared:
        exported = defined_names(shared, "--dynamic")
        check(exported == declared, f"{shared.name} and dino_vk.h differ in {sorted(exported ^ declared)}")
    if static and arguments.sanitize == "none":
        # What a program that links it could collide with: volk is renamed, stb is static.
        names = defined_names(static, "--extern-only")
        check(declared <= names, f"{static.name} lacks {sorted(declared - names)}")
        # gcc's own on 32-bit x86, in every program's objects alike.
        foreign = sorted(name for name in names if not name.startswith(("dvk_", "__x86.get_pc_thunk.")))
        check(not foreign, f"{static.name} defines {foreign}")
        check_memory(static)


def build_and_run(arguments, root, flags, name, library_dir):
    program = root / name
    command = [*arguments.cc, arguments.example, "-o", program, *flags]
    if arguments.sanitize != "none":
        command.append("-fsanitize=" + arguments.sanitize)
    output_of(command)
    needed = "libdino-vk.so" in output_of(["readelf", "-d", program])
    check(needed == (name == "embed-shared"), f"{name}: the shared library is {'' if needed else 'not '}needed")
    # Whatever of the project the environment points to, this program must use what was just installed.
    environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    environment["LD_LIBRARY_PATH"] = str(library_dir)
    result = subprocess.run([program, arguments.model, arguments.image], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=environment, check=False)
    if result.returncode != 0 and "no Vulkan" in result.stderr:
        print(f"skipped: running the example: {result.stderr.strip()}")
        return None
    check(result.returncode == 0, f"{name} exits with {result.returncode}: {result.stderr.strip()}")
    values = [float(line) for line in result.stdout.split()]
    width = json.loads((pathlib.Path(arguments.model) / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    check(len(values) == width and all(map(math.isfinite, values)),
          f"{name}: {width} numbers expected, found {result.stdout!r}")
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("build", "example", "header", "model", "image"):
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    for name in ("meson", "prefix", "version", "sanitize"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--cc", nargs="+", required=True)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        output_of([arguments.meson, "install", "-C", arguments.build, "--no-rebuild", "--quiet", "--destdir", root])
        prefix = root / arguments.prefix.lstrip("/")
        installed = {path.relative_to(prefix) for path in prefix.rglob("*") if not path.is_dir()}
        check({path for path in installed if path.parts[0] == "include"} == {pathlib.Path("include/dino_vk.h")},
              f"one header expected, found {sorted(map(str, installed))}")
        check(pathlib.Path("bin/dino-vk") in installed, f"no bin/dino-vk in {sorted(map(str, installed))}")
        configs = list(prefix.rglob("dino-vk.pc"))
        if len(configs) != 1:
            sys.exit(f"failed: one dino-vk.pc expected, found {configs}")
        library_dir = configs[0].parent.parent
        shared, static = (path if path.exists() else None
                          for path in (library_dir / "libdino-vk.so", library_dir / "libdino-vk.a"))
        check(shared or static, f"no library in {library_dir}")
        check_names(arguments, shared, static)

        os.environ["PKG_CONFIG_PATH"] = str(configs[0].parent)
        package = ["pkg-config", f"--define-variable=prefix={prefix}"]
        version = output_of([*package, "--modversion", "dino-vk"]).strip()
        check(version == arguments.version, f"dino-vk.pc says version {version}, meson {arguments.version}")
        results = []
        if shared:
            flags = output_of([*package, "--cflags", "--libs", "dino-vk"]).split()
            results.append(build_and_run(arguments, root, flags, "embed-shared", library_dir))
        if static:
            # Beside a shared library, -ldino-vk would mean that one.
            flags = output_of([*package, "--static", "--cflags", "--libs", "dino-vk"]).split()
            flags = ["-l:libdino-vk.a" if flag == "-ldino-vk" else flag for flag in flags]
            results.append(build_and_run(arguments, root, flags, "embed-static", library_dir))
        check(all(result == results[0] for result in results), "the shared and the static library give other numbers")
        print(f"{len(installed)} files installed, {len(results)} programs built, {checks.failures} failures")
    return checks.failures != 0


if __name__ == "__main__":
    sys.exit(main())
