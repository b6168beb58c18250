#!/usr/bin/env python3
"""What is measured: `dino-vk bench`, --profile and --trace. usage: test_bench.py DINO-VK SYNTH-MODEL [PATTERN...]"""
import json
import os
import random

import harness
import images
from harness import Case, read_npy

USAGE = 1


class Bench(Case):
    def test_json(self):
        self.need_device()
        (found,) = self.features("bench", "--json", "--batch", "1,3", "--time", "0.05")
        self.assertEqual([batch["batch"] for batch in found["batches"]], [1, 3])
        for batch in found["batches"]:
            self.assertGreaterEqual(batch["passes"], 3)
            self.assertLessEqual(batch["p50_ms"], batch["p95_ms"])
            # The median cannot be further from the mean than 1 to 2, times the passes of one side.
            self.assertLess(batch["images_per_second"], 2 * 1e3 * batch["batch"] / batch["p50_ms"])
            self.assertAlmostEqual(batch["gflops"], batch["flops"] / batch["p50_ms"] * 1e-6, delta=1e-3 * batch["gflops"])
        single = found["batches"][0]
        self.assertEqual(sum(row["times"] for row in found["profile"]), single["dispatches"])
        self.assertAlmostEqual(sum(row["ms"] for row in found["profile"]), found["profile_ms"], delta=1e-3)
        times = [row["ms"] for row in found["profile"]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertFalse([row for row in found["profile"] if row["operation"].startswith("layer ")])
        self.assertEqual(found["profile_batch"], 1)

    def test_ceilings(self):
        """No kernel is faster than what the device can do at most, but for what other work took from one of the two
        measurements; and a kernel that the compiler emptied would be faster than any processor: 2^14 GFLOP/s is 64
        cores of 2 x 16 lanes at 4 GHz."""
        self.need_device()
        (found,) = self.features("bench", "--json", "--batch", "2", "--time", "0.05", "--size", "64")
        ceilings = found["ceilings"]
        self.assertGreater(ceilings["copy_gbytes"], 0)
        for row in found["profile"]:
            most = max(ceilings[name] for name in ("fp32_gflops", "fp16_gflops", "matrix_gflops"))
            self.assertLess(row["gflops"], 2 * most)
        if any(device["type"] == "software driver" and device["name"] == found["device"] for device in harness.setup.devices):
            self.assertLess(ceilings["fp32_gflops"], 16384)
            for name in ("fp16_gflops", "matrix_gflops"):  # such a driver makes them of the same instructions
                self.assertLess(ceilings[name], 2 * ceilings["fp32_gflops"])

    def test_table(self):
        self.need_device()
        text = self.run_good("bench", "--batch", "2", "--time", "0.05").out.decode()
        for word in ("device ", "model ", "at most fp32", "copies", "images/s", "p95", "batch 2, operation by operation"):
            self.assertIn(word, text)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 130)

    def test_what_takes_too_long(self):
        """Sizes that nobody asked for are left out, the others run however long it takes."""
        self.need_device()
        (found,) = self.features("bench", "--json", "--time", "0.000001")
        self.assertIn("passes", found["batches"][0])
        for batch in found["batches"][1:]:
            self.assertIn("--batch " + str(batch["batch"]), batch["not_run"])

    def test_bad_options(self):
        for options, word in (
            (["--batch", "0"], "--batch"), (["--batch", "1,,2"], "1,,2"), (["--batch", "1,"], "1,"), (["--batch", "x"], "x"),
            (["--batch", ",".join(["1"] * 17)], "16"), (["--batch", "1025"], "1025"), (["--time", "0"], "--time"),
            (["--time", "nan"], "nan"), (["--time", "1s"], "1s"), (["a.png"], "a.png"), (["--pca", "a.png"], "--pca"),
        ):
            with self.subTest(case=" ".join(options)):
                self.check_error(USAGE, [word], "bench", *options)
        self.make_png()
        self.check_error(USAGE, ["--time", "bench"], "--time", "1", "a.png")


class Profile(Case):
    def setUp(self):
        super().setUp()
        self.make_png()
        self.make_png("b.png")

    def test_profile(self):
        self.need_device()
        plain = self.run_good("a.png", "b.png", "-o", "plain.npy")
        result = self.run_good("a.png", "b.png", "-o", "profiled.npy", "--profile")
        self.assertEqual(result.out.replace(b"profiled", b"plain"), plain.out)
        self.assertEqual(*(read_npy((self.folder / name).read_bytes()) for name in ("plain.npy", "profiled.npy")))
        for word in ("operation", "variant", "GFLOP/s", "query key value", "attention", "\nall "):
            self.assertIn(word, result.err)
        self.check_error(USAGE, ["--profile"], "--plan", "--profile")

    def test_trace(self):
        self.need_device()
        plan = self.run_good("--plan", "a.png").out.decode()
        self.run_good("a.png", "b.png", "--trace", "t.json", "--attention", "m.png")
        events = json.loads((self.folder / "t.json").read_text())["traceEvents"]
        tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
        spans = [event for event in events if event["ph"] == "X"]
        for event in spans:
            self.assertGreaterEqual(event["dur"], 0)
            self.assertGreaterEqual(event["ts"], 0)
            self.assertIn(event["tid"], tracks)
        names = [event["name"] for event in spans]
        for name in ("decode image 1", "decode image 2", "open the device", "load the model", "preprocess image 2",
                     "upload 1", "submit", "wait", "download 1", "pictures of image 2"):
            self.assertIn(name, names)
        operations = [event for event in spans if tracks[event["tid"]].startswith("operations")]
        self.assertEqual(len(operations), int(plan.split()[0]) + 1)  # and the attention's row
        for before, after in zip(operations, operations[1:]):
            self.assertLessEqual(before["ts"] + before["dur"], after["ts"] + 0.002)  # rounded to nanoseconds

    def test_trace_to_stdout(self):
        self.need_device()
        out = self.run_good("a.png", "--trace", "-").out
        self.assertIn("traceEvents", json.loads(out))

    def test_bad_trace(self):
        self.check_error(USAGE, ["--trace", "-o"], "a.png", "--trace", "x", "-o", "x")
        self.check_error(USAGE, ["replace", "a.png"], "a.png", "--trace", "a.png")
        self.check_error(USAGE, ["--plan", "--trace"], "--plan", "--trace", "t.json")
        self.check_error(5, ["nowhere"], "a.png", "--trace", "nowhere/t.json")


class Jobs(Case):
    """Images are decoded on threads: what comes out does not depend on how many there are."""

    COUNT = 90  # more than are decoded ahead

    def setUp(self):
        super().setUp()
        noise = random.Random(1)
        sizes = [((40, 30), (64, 64), (33, 80))[i * i % 7 % 3] for i in range(self.COUNT)]
        self.names = [
            self.write(f"{i}.png", images.png(width, height, noise.randbytes(width * height * 3)))
            for i, (width, height) in enumerate(sizes)
        ]

    def test_order(self):
        self.need_device()
        expected = None
        for options in (["--jobs", "1"], ["--jobs", "7"], ["--jobs", "7", "--batch", "4"], ["--batch", "64"]):
            with self.subTest(case=" ".join(options)):
                lines = self.features(*self.names, "--size", "32", *options)
                self.assertEqual([line["image"] for line in lines], self.names)
                values = [line["values"] for line in lines]
                expected = expected or values
                self.assertEqual(values, expected)
        self.assertEqual(len({tuple(value) for value in expected}), self.COUNT)

    def test_first_bad_one(self):
        """Of several damaged images the first is told, however the threads ran, and those before it are not lost."""
        for i in (3, 4, 5, 80):
            self.write(f"{i}.png", b"no image")
        self.check_error(2, ["image 4 of 90", "3.png"], *self.names, "--jobs", "8")
        for i in (3, 4, 5):
            self.write(f"{i}.png", images.png(8, 8))
        self.need_device()
        result = self.run_command(*self.names, "--jobs", "8", "--size", "32", "-o", "x.npy")
        self.assertEqual(result.code, 2)
        self.assertIn("image 81 of 90", result.err)
        self.assertFalse((self.folder / "x.npy").exists())
        self.assertLessEqual(len(result.lines()), 80)

    def test_pipe_does_not_hold_up_an_error(self):
        """Nobody writes to the pipe: a thread that read it would never come back."""
        os.mkfifo(self.folder / "pipe.png")
        self.write("bad.png", b"no image")
        self.check_error(2, ["image 1 of 2", "bad.png"], "bad.png", "pipe.png")

    def test_bad_jobs(self):
        for value in ("0", "65", "-1", "two"):
            with self.subTest(case=value):
                self.check_error(USAGE, ["--jobs", value], "0.png", "--jobs", value)


if __name__ == "__main__":
    harness.main(__name__)
