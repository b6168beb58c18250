"""SIGKILL, which no process can answer, of the real command on the stub driver at random moments:
test_killed.py COMMAND SYNTH-MODEL FOLDER-OF-THE-STUB COUNT [SEED].

Half of the kills are at any time of a run, half shortly after a temporary file appeared. Whatever is found under a final name
is then what a run that ended writes, or what was there before; and the next run reads the cache, if there is one, and writes
everything.
"""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

command, synth_model, stub = (os.path.abspath(path) for path in sys.argv[1:4])
count = int(sys.argv[4])
chance = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else None)
folder = pathlib.Path(tempfile.mkdtemp(prefix="killed-", dir="."))
OUTPUTS = {"out.npy": "-o", "attention.png": "--attention", "pca.png": "--pca"}
OLD = b"something older"
failures = []


def environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DINO_VK_", "XDG_", "VK_"))}
    return dict(kept, LD_LIBRARY_PATH=stub, XDG_CACHE_HOME=str(folder.resolve()))


def start(**options):
    arguments = [command, "-v", "--model", "model", *(part for name, option in OUTPUTS.items() for part in (option, name))]
    return subprocess.Popen([*arguments, "image.ppm"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, **options)


def run():
    """What the log says of a run that ends well."""
    with start(stderr=subprocess.PIPE) as process:
        log = process.communicate(timeout=300)[1].decode(errors="replace")
    if process.returncode:
        sys.exit(f"a run that nobody killed failed with {process.returncode}: {log}")
    return log


def contents():
    return {name: (folder / name).read_bytes() for name in OUTPUTS if (folder / name).exists()}


def cache_files():
    return [path for path in folder.glob("dino-vk/device-*") if path.suffix == ".bin"]


def temporary_files():
    names = [entry.name for entry in os.scandir(folder)]
    cache = folder / "dino-vk"
    names += [entry.name for entry in os.scandir(cache) if not entry.name.endswith(".bin")] if cache.exists() else []
    return sum(name.startswith((".out.npy", ".attention.png", ".pca.png", "device-")) for name in names)


def clean(old):
    shutil.rmtree(folder / "dino-vk", ignore_errors=True)
    for entry in os.scandir(folder):
        if entry.name.startswith(".") or entry.name in OUTPUTS:
            os.remove(entry)
    for name in OUTPUTS if old else ():
        (folder / name).write_bytes(OLD)


def kill_one(seconds, complete):
    """The stage in which the command was killed."""
    old, kept_cache = chance.random() < 0.5, chance.random() < 0.3
    if kept_cache:
        clean(old)
        run()
        for name in OUTPUTS:
            (folder / name).unlink()
            if old:
                (folder / name).write_bytes(OLD)
    else:
        clean(old)
    process = start(stderr=subprocess.DEVNULL)
    if chance.random() < 0.5:
        time.sleep(chance.random() * seconds * 1.1)
    else:
        wanted, deadline = chance.randrange(1, 5), time.monotonic() + 10 * seconds
        while process.poll() is None and temporary_files() < wanted and time.monotonic() < deadline:
            pass
        time.sleep(chance.random() * 0.003)
    process.kill()
    process.wait()
    stage = "after the end" if process.returncode >= 0 else "writing" if temporary_files() else "before or between"
    for name, found in contents().items():
        if found != complete[name] and not (old and found == OLD):
            failures.append(f"{name} has {len(found)} bytes that are neither the old ones nor all of the new")
    if old and len(contents()) != len(OUTPUTS):
        failures.append(f"an older file is gone; left are {sorted(contents())}")
    had_cache = bool(cache_files())
    log = run()
    if had_cache and "nothing usable there" in log:
        failures.append("a cache file has its name, and the next run cannot use it")
    if contents() != complete:
        failures.append("the run after the kill wrote something else")
    return stage


def main():
    subprocess.run([synth_model, "vit-tiny", folder / "model"], check=True)
    (folder / "image.ppm").write_bytes(b"P6 64 64 255\n" + bytes(64 * 64 * 3))
    first = run()
    complete = contents()
    if len(complete) != len(OUTPUTS) or not cache_files() or "nothing usable there" not in first:
        sys.exit(f"the first run did not write all: {sorted(complete)}, {cache_files()}, {first}")
    begin = time.monotonic()
    run()
    seconds, stages = time.monotonic() - begin, {}
    for _ in range(count):
        stage = kill_one(seconds, complete)
        stages[stage] = stages.get(stage, 0) + 1
    for failure in sorted(set(failures)):
        print(f"{failures.count(failure)} times: {failure}")
    told = ", ".join(f"{number} {stage}" for stage, number in sorted(stages.items()))
    print(f"{count} kills ({told}), {len(failures)} failed checks")
    return 1 if failures else 0


try:
    status = main()
finally:
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(status)
