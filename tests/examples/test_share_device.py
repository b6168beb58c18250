#!/usr/bin/env python3
"""Runs examples/share-device under the validation layer and looks at what it leaves.

Every map that it drew from must be what the model attends to in the picture that was seen, as a run on another device
gives it (check-attention), passes must take several frames, and the frames must show the overlay and move.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import checks
from checks import check

FRAMES = 20
ONE_FRAME_US = 10_000_000
# One of them takes several frames for a pass, whatever the device and whatever else runs on it.
BUDGETS_US = (400_000, 160_000, 64_000, 25_000, 10_000, 4000, 1600, 640, 250, 100, 40)


def run(command, **options):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False, **options)
    if result.returncode == 77:
        print(result.stdout)
        sys.exit(77)
    check(result.returncode == 0, f"{command[0]} exits with {result.returncode}: {result.stdout}")
    return result.stdout


def watched_environment(root):
    """The layer for a program that does not ask for it; what it finds goes to the standard output."""
    (root / "vk_layer_settings.txt").write_text(
        "khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG\n"
        "khronos_validation.report_flags = error,warn,perf\n"
        "khronos_validation.log_filename = stdout\n")
    # The layer of Vulkan 1.4 warns of the setting's older name.
    version = json.loads(find_layer().read_text(encoding="utf-8"))["layer"]["api_version"]
    is_new = [int(number) for number in version.split(".")[:2]] >= [1, 4]
    return os.environ | {
        "VK_LAYER_SETTINGS_PATH": str(root / "vk_layer_settings.txt"),
        "VK_INSTANCE_LAYERS": "VK_LAYER_KHRONOS_validation",
    } | ({"VK_LAYER_VALIDATE_SYNC": "1"} if is_new else
         {"VK_LAYER_ENABLES": "VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT"})


def find_layer():
    places = ("/usr/share", "/usr/local/share", "/etc")
    paths = [pathlib.Path(place, "vulkan/explicit_layer.d/VkLayer_khronos_validation.json") for place in places]
    return next((path for path in paths if path.exists()), None)


def test(arguments, root, budget_us, environment):
    directory = root / str(budget_us)
    directory.mkdir()
    text = run([arguments.program, arguments.model, directory, FRAMES, budget_us], env=environment)
    lines = [line for line in text.splitlines() if not re.fullmatch(r"frame \d+: map \d+ is done, in \d+ slices", line)]
    check(not lines, "messages:\n" + "\n".join(lines[:20]))
    slices = [int(count) for count in re.findall(r"in (\d+) slices", text)]
    frames = [path.read_bytes() for path in sorted(directory.glob("frame-*.ppm"))]
    check(len(frames) == FRAMES == len(set(frames)), f"{len(set(frames))} different frames of {len(frames)}")
    seen = sorted(directory.glob("seen-*.ppm"))
    check(len({path.read_bytes() for path in seen}) == len(seen) == len(slices), "a picture was seen twice")
    if slices:
        check(frames[-1] not in [path.read_bytes() for path in seen], "the overlay is not drawn")
    pairs = [path for picture in seen for path in (picture, picture.with_name(picture.name.replace("seen", "map"))
                                                  .with_suffix(".pgm"))]
    if pairs:
        run([arguments.check, arguments.model, *pairs])
    return slices


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("program", "check", "model"):
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        if find_layer():
            environment = watched_environment(root)
        else:
            print("skipped: validation: the layer is not installed")
        slices = test(arguments, root, ONE_FRAME_US, environment)
        check(slices == [1] * FRAMES, f"all in one frame: passes of {slices} slices")
        for budget_us in BUDGETS_US:
            slices = test(arguments, root, budget_us, environment)
            if not slices or min(slices) > 1:
                break
        check(slices and min(slices) > 1, f"{budget_us} us a frame: passes of {slices} slices")
    sys.exit(checks.failures != 0)


if __name__ == "__main__":
    main()
