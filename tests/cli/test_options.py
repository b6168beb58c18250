#!/usr/bin/env python3
"""Every option of the command as a user types it. usage: test_options.py DINO-VK SYNTH-MODEL [PATTERN...]"""
import json
import math
import os
import re
import signal
import struct
import subprocess
import time

import harness
import images
from harness import Case, read_npy

FLOAT = struct.Struct("<f")


def float32(value):
    return FLOAT.unpack(FLOAT.pack(value))[0]


def relative_error(found, expected):
    difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(found, expected, strict=True)))
    return difference / math.sqrt(sum(b * b for b in expected))


def flat(values):
    return [value for row in values for value in row] if isinstance(values[0], list) else values


class WithoutDevice(Case):
    """What must work on a machine without Vulkan."""

    def test_help(self):
        for option in ("--help", "-h"):
            text = self.run_good(option).out.decode()
        for option in (
            "-m, --model -d, --device --precision --no-cache --classifier --size --resize --ignore-orientation --dino-positions --batch --jobs --sandbox --no-sandbox --tokens --top "
            "-o, --output --json --attention --threshold --pca --plan --profile --trace --time -v, --verbose -h, --help --version"
        ).split():
            with self.subTest(case=option):
                self.assertIn(option, text)
        self.assertIn("Exit status", text)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 110)

    def test_help_wins(self):
        self.assertIn(b"usage", self.run_good("devices", "--help").out)
        self.assertIn(b"usage", self.run_good("missing.png", "--help").out)

    def test_version(self):
        self.assertRegex(self.run_good("--version").out.decode(), r"^dino-vk \d+\.\d+\.\d+\n$")

    def test_info(self):
        text = self.run_good("info", str(harness.setup.model)).out.decode()
        for word in (str(harness.setup.model), "ViTModel", "layers", "pooler"):
            self.assertIn(word, text)
        self.assertNotIn("UNTRAINED", text)

    def test_info_json(self):
        (info,) = self.features("info", "--json", str(harness.setup.model))
        config = json.loads((harness.setup.model / "config.json").read_text())
        for ours, theirs in (
            ("hidden_size", "hidden_size"),
            ("layers", "num_hidden_layers"),
            ("heads", "num_attention_heads"),
            ("patch_size", "patch_size"),
            ("mlp_size", "intermediate_size"),
        ):
            self.assertEqual(info[ours], config[theirs])
        header, _ = harness.read_safetensors(harness.setup.model / "model.safetensors")
        count = sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")
        self.assertEqual(info["parameters"], count)
        self.assertEqual((info["stored"], info["untrained"]), ("F32", False))

    def test_info_default_model(self):
        """Without an argument: $DINO_VK_MODEL, else the built-in model."""
        (info,) = self.features("info", "--json")
        self.assertEqual(info["model"], str(harness.setup.model))
        (info,) = self.features("info", "--json", environment={"DINO_VK_MODEL": None})
        self.assertIn("built-in", info["model"])
        self.assertEqual((info["untrained"], info["license"]), (False, "mit"))
        text = self.run_good("info", environment={"DINO_VK_MODEL": ""}).out.decode()
        self.assertNotIn("UNTRAINED", text)

    def test_info_of_a_file(self):
        (info,) = self.features("info", "--json", str(harness.setup.model / "model.safetensors"))
        self.assertEqual(info["architecture"], "ViTModel")

    def test_names_in_the_cache(self):
        """NAME is found in the Hugging Face cache by each of the variables that can place it."""
        snapshot = "0123456789abcdef0123456789abcdef01234567"
        for variable, root in (("HF_HUB_CACHE", "hub"), ("HF_HOME", "home/hub"), ("HOME", ".cache/huggingface/hub")):
            with self.subTest(case=variable):
                repository = self.folder / variable / root / "models--some--dino"
                self.copy_model(repository / "snapshots" / snapshot)
                (repository / "refs").mkdir()
                (repository / "refs" / "main").write_text(snapshot)
                value = {"HF_HUB_CACHE": "hub", "HF_HOME": "home", "HOME": ""}[variable]
                environment = {variable: str(self.folder / variable / value), "XDG_CACHE_HOME": None}
                (info,) = self.features("info", "--json", "some/dino", environment=environment)
                self.assertEqual(info["hidden_size"], 64)


class Devices(Case):
    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png()

    def test_devices(self):
        text = self.run_good("devices").out.decode()
        for device in harness.setup.devices:
            self.assertIn(device["name"], text)
            self.assertIn(device["uuid"], text)

    def test_variants(self):
        """What each device uses, in both forms, and that it agrees with what a run uses."""
        lines = self.run_good("devices", "-v", "--json", "--size", "64").lines()
        self.assertEqual(len(lines), len(harness.setup.devices))
        shown = self.run_good("devices", "-v", "--size", "64").out.decode()
        for line in lines:
            if not line["usable"]:
                continue
            self.assertEqual((line["input_size"], line["batch"]), ([64, 64], 1))
            self.assertRegex(line["fingerprint"], "^[0-9a-f]{16}$")
            self.assertIn(line["fingerprint"], shown)
            uses = [v["use"] for v in line["variants"] if v["chosen"]]
            self.assertEqual(len(uses), len(set(uses)))
            for kernel in ("patchify", "matmul", "layernorm", "attention"):
                self.assertTrue(any(use.startswith(kernel + "/fp32/") for use in uses), uses)
            for variant in line["variants"]:
                self.assertFalse(variant["refused"] and (variant["chosen"] or variant["use"]), variant)
            (run,) = self.features("--size", "64", "-d", str(line["index"]), self.image)
            self.assertEqual(run["fingerprint"], line["fingerprint"])

    def test_pins(self):
        """A run's variants, saved and given back, and others in their place."""
        (first,) = self.features("--deterministic", "--save-variants", "saved", "--json", self.image)
        (again,) = self.features("--variants", "saved", self.image)
        self.assertEqual((again["fingerprint"], again["values"]), (first["fingerprint"], first["values"]))
        saved = (self.folder / "saved").read_text().splitlines()
        self.assertTrue(all(re.fullmatch(r"\w+/fp32/[0-9x-]+ = \w+", line) for line in saved), saved)
        (used,) = [line.split(" = ")[1] for line in saved if line.startswith("layernorm/")]
        (other,) = {"layernorm_row", "layernorm_shared"} - {used}
        (self.folder / "other").write_text(f"# another norm\nlayernorm/*/* = {other}\n")
        (third,) = self.features("--variants", "other", "--save-variants", "saved", "--json", self.image)
        self.assertNotEqual(third["fingerprint"], first["fingerprint"])
        self.assertIn(f" = {other}\n", (self.folder / "saved").read_text())
        for a, b in zip(first["values"], third["values"]):
            self.assertAlmostEqual(a, b, delta=1e-3)
        (self.folder / "bad").write_text("\nlayernorm/*/* = nothing\n")
        self.check_error(1, ["bad", "line 2", "nothing"], "--variants", "bad", self.image)

    def test_choices(self):
        device = next(d for d in harness.setup.devices if d["usable"])
        part = device["name"].split()[0].strip("(").upper()
        uuid = device["uuid"]
        for choice in (str(device["index"]), part, uuid, uuid.replace("-", "").upper()):
            for option in ("-d", "--device"):
                with self.subTest(case=f"{option} {choice}"):
                    (line,) = self.features(option, choice, self.image)
                    self.assertEqual((line["device"], line["device_index"]), (device["name"], device["index"]))

    def test_choice_is_told(self):
        """A software driver that nobody asked for is announced; one that was asked for is not."""
        result = self.run_good(self.image)
        (line,) = result.lines()
        self.assertEqual("software driver" in result.err, line["software"])
        self.assertEqual(self.run_good("-d", str(line["device_index"]), self.image).err, "")
        self.assertIn(line["device"], self.run_good("-o", "-", self.image).err)


class Outputs(Case):
    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png()

    def test_json(self):
        (line,) = self.features("--json", self.image)
        self.assertEqual(line["image"], self.image)
        self.assertEqual(line["model"], str(harness.setup.model))
        self.assertEqual((line["index"], line["tokens"], line["untrained"]), (0, "cls", False))
        self.assertEqual(line["image_size"], [40, 30])
        self.assertEqual(line["shape"], [len(line["values"])])
        for value in line["values"]:
            self.assertEqual(float(f"{float32(value):.9g}"), value)
        self.assertEqual([line], self.features(self.image), "JSON is the default where stdout is no terminal")

    def test_runs_agree(self):
        self.assertEqual(self.run_good(self.image).out, self.run_good(self.image).out)

    def test_untrained_is_told(self):
        (line,) = self.features(self.image, environment={"DINO_VK_MODEL": None})
        self.assertFalse(line["untrained"])
        config = json.loads((self.copy_model() / "config.json").read_text())
        config["dino_vk_untrained"] = True
        (self.folder / "model" / "config.json").write_text(json.dumps(config))
        (line,) = self.features("-m", "model", self.image)
        self.assertTrue(line["untrained"])
        self.assertIn("UNTRAINED", self.run_terminal("-m", "model", self.image)[1])
        self.assertIn("untrained", self.run_good("-m", "model", "-o", "-", self.image).err)

    def test_npy(self):
        for option in ("-o", "--output"):
            result = self.run_good(option, "out.npy", "--json", self.image, self.image)
        shape, values = read_npy((self.folder / "out.npy").read_bytes())
        lines = result.lines()
        self.assertEqual(shape, (2, lines[0]["shape"][0]))
        self.assertEqual(list(values), [float32(v) for line in lines for v in line["values"]])
        self.assertNotIn("values", self.features("-o", "out.npy", self.image)[0])

    def test_npy_to_stdout(self):
        result = self.run_good("-o", "-", self.image)
        self.assertEqual(read_npy(result.out)[0][0], 1)

    def test_tokens(self):
        rows = {}
        for tokens in ("cls", "patch", "all", "mean", "pooled"):
            (line,) = self.features("--tokens", tokens, "-o", tokens + ".npy", "--json", self.image)
            rows[tokens] = line["values"]
            with self.subTest(case=tokens):
                self.assertEqual(line["tokens"], tokens)
                shape, values = read_npy((self.folder / (tokens + ".npy")).read_bytes())
                self.assertEqual(list(shape), [1] + line["shape"])
                self.assertEqual(list(values), [float32(v) for v in flat(line["values"])])
        self.assertEqual(rows["all"][0], rows["cls"])
        self.assertEqual(rows["all"][1:], rows["patch"])
        mean = [sum(column) / len(rows["patch"]) for column in zip(*rows["patch"])]
        # Sums of some tens of float32 values, each addition rounded to 2^-24 of a partial sum.
        self.assertLess(relative_error(rows["mean"], mean), 1e-5)
        self.assertTrue(all(-1.0 <= value <= 1.0 for value in rows["pooled"]), "a tanh")

    def test_logits(self):
        model = str(harness.setup.make_model("deit-distilled-tiny"))
        (line,) = self.features("-m", model, "--tokens", "logits", "--top", "3", self.image)
        logits = line["values"]
        self.assertEqual(len(logits), 10)
        order = sorted(range(10), key=lambda i: -logits[i])[:3]
        self.assertEqual([top["index"] for top in line["top"]], order)
        self.assertEqual([top["label"] for top in line["top"]], [f"LABEL_{i}" for i in order])
        total = sum(math.exp(value) for value in logits)
        for top in line["top"]:
            self.assertAlmostEqual(top["probability"], math.exp(logits[top["index"]]) / total, delta=1e-6)
        (line,) = self.features("-m", model, "--tokens", "logits", "--top", "1000", self.image)
        self.assertEqual(len(line["top"]), 10)
        (line,) = self.features("-m", model, "--top", "2", self.image)
        self.assertEqual((len(line["top"]), line["tokens"], len(line["values"])), (2, "cls", 64))

    def test_classifier(self):
        """The model's CLS token, times the weights."""
        (cls,) = self.features(self.image)
        weight = [[math.sin(3 * i + 7 * j) for j in range(64)] for i in range(6)]
        bias = [0.25 * i for i in range(6)]
        self.write("head.pth", harness.torch_file({"weight": weight, "bias": bias}))
        arguments = ("--classifier", "head.pth", "--top", "2", self.image)
        (line,) = self.features("--tokens", "logits", *arguments)
        logits = [b + sum(w * c for w, c in zip(row, cls["values"], strict=True)) for row, b in zip(weight, bias)]
        self.assertLess(relative_error(line["values"], logits), 1e-5)
        order = sorted(range(6), key=lambda i: -logits[i])[:2]
        self.assertEqual([(top["index"], top["label"]) for top in line["top"]], [(i, None) for i in order])
        (line,) = self.features(*arguments)
        self.assertEqual((line["values"], line["top"][0]["index"]), (cls["values"], order[0]))
        self.check_error(3, ["missing.pth"], "--classifier", "missing.pth", self.image)
        self.check_error(3, ["6 classes from 64 features", "without its backbone"], "-m", "head.pth", self.image)

    def test_dino_positions(self):
        """They differ where positions are interpolated, and only there."""
        (own,), (plain,) = (self.features("--size", "48", *option, self.image) for option in (["--dino-positions"], []))
        self.assertTrue(1e-4 < relative_error(own["values"], plain["values"]) < 1e-1)
        (own,), (plain,) = (self.features(*option, self.image) for option in (["--dino-positions"], []))
        self.assertEqual(own["values"], plain["values"])

    def test_families(self):
        """Models whose patches do not begin at token 1, and one that projects."""
        for name, tokens in (("dinov3-tiny", "cls"), ("deit-distilled-tiny", "patch"), ("clip-tiny", "embedding")):
            model = str(harness.setup.make_model(name))
            with self.subTest(case=name):
                (line,) = self.features("-m", model, "--tokens", tokens, "--attention", "maps.png", "--pca", "pca.png", "--json", self.image)
                self.assertEqual(line["shape"], {"cls": [64], "patch": [16, 64], "embedding": [32]}[tokens])

    def test_replaces_a_file(self):
        target = self.folder / "out.npy"
        target.write_bytes(b"old")
        target.chmod(0o640)
        (self.folder / "link.npy").symlink_to("out.npy")
        self.run_good("-o", "link.npy", self.image)
        self.assertTrue((self.folder / "link.npy").is_symlink())
        read_npy(target.read_bytes())
        self.assertEqual(target.stat().st_mode & 0o777, 0o640)
        self.assertEqual(sorted(os.listdir(self.folder)), ["a.png", "link.npy", "out.npy"])

    def test_new_file_follows_umask(self):
        old = os.umask(0o027)
        try:
            self.run_good("-o", "out.npy", self.image)
        finally:
            os.umask(old)
        self.assertEqual((self.folder / "out.npy").stat().st_mode & 0o777, 0o640)

    def test_special_targets(self):
        self.run_good("-o", "/dev/null", self.image)
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))

    def test_terminal(self):
        code, shown = self.run_terminal(self.image)
        self.assertEqual(code, 0, shown)
        for word in ("device", "tier", "model", "40x30", "decode", "preprocess", "pass", "cls [64]", "norm", "total"):
            with self.subTest(case=word):
                self.assertIn(word, shown)
        self.assertNotIn("{", shown)
        code, shown = self.run_terminal("-o", "out.npy", "--attention", "a-%d.png", self.image, self.image)
        self.assertEqual(code, 0, shown)
        self.assertIn("out.npy, float32 [2, 64]", shown)
        self.assertIn("a-%d.png, numbered", shown)
        code, shown = self.run_terminal("-o", "-", self.image)
        self.assertEqual(code, 1, shown)
        self.assertIn("terminal", shown)

    def test_json_on_a_terminal(self):
        code, shown = self.run_terminal("--json", self.image, errors=False)
        self.assertEqual(code, 0, shown)
        # On a slow machine progress was shown, and wiped, before it.
        self.assertEqual(json.loads(shown[shown.index("{") :])["image"], self.image)

    def test_strange_names(self):
        """JSON stays JSON and a line stays a line whatever a file is called."""
        data = (self.folder / self.image).read_bytes()
        for name, shown in (
            (b'quote".png', 'quote".png'),
            (b"back\\slash.png", "back\\slash.png"),
            (b"new\nline.png", "new\nline.png"),
            (b"\x1b[31mred.png", "\x1b[31mred.png"),
            ("größe 猫.png".encode(), "größe 猫.png"),
            (b"latin1 \xe9.png", "latin1 \ufffd.png"),
            (b"surrogate \xed\xa0\x80.png", "surrogate \ufffd\ufffd\ufffd.png"),
            (b"-dash.png", "-dash.png"),
            (b"devices", "devices"),
        ):
            with self.subTest(case=repr(name)):
                with open(os.path.join(os.fsencode(self.folder), name), "wb") as file:
                    file.write(data)
                (line,) = self.features("--", name)
                self.assertEqual(line["image"], shown)
                self.check_error(2, ["there is no such file"], "--", name + b"?")
        self.assertEqual(self.features("./devices")[0]["shape"], [64])

    def test_stdin(self):
        expected = self.features(self.image)[0]["values"]
        (line,) = self.features("-", stdin=(self.folder / self.image).read_bytes())
        self.assertEqual((line["image"], line["values"]), ("-", expected))
        os.mkfifo(self.folder / "pipe")
        with self.start("pipe", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            (self.folder / "pipe").write_bytes((self.folder / self.image).read_bytes())
            out, err = process.communicate(timeout=harness.TIMEOUT)
        self.assertEqual(json.loads(out)["values"], expected, err)


class Inputs(Case):
    def setUp(self):
        super().setUp()
        self.need_device()

    def test_formats(self):
        """One picture in every container gives one result."""
        self.write("a.png", images.png(40, 30))
        self.write("a.ppm", images.ppm(40, 30))
        png, ppm = self.features("a.png", "a.ppm")
        self.assertEqual(png["values"], ppm["values"])
        self.write("a.bmp", images.bmp(40, 30))
        self.write("black.png", images.png(40, 30, bytes(3600)))
        bmp, black = self.features("a.bmp", "black.png")
        self.assertEqual(bmp["values"], black["values"])
        self.write("a.jpg", images.jpeg(32, 8))
        self.assertEqual(self.features("a.jpg")[0]["image_size"], [32, 8])

    def test_extreme_shapes(self):
        for width, height in ((1, 1), (2000, 1), (1, 2000), (3, 16384)):
            with self.subTest(case=f"{width}x{height}"):
                name = self.make_png(width=width, height=height)
                (line,) = self.features(name)
                self.assertEqual(line["image_size"], [width, height])
                self.assertEqual(line["shape"], [64])

    def test_size(self):
        image = self.make_png()
        for size, expected in (("48", [48, 48]), ("32x80", [32, 80]), ("37X61", [37, 61])):
            with self.subTest(case=size):
                (line,) = self.features("--size", size, "--tokens", "patch", image)
                self.assertEqual(line["input_size"], expected)
                (info,) = self.features("info", "--json")
                grid = [side // info["patch_size"] for side in expected]
                self.assertEqual(line["grid"], grid)
                self.assertEqual(line["shape"], [grid[0] * grid[1], info["hidden_size"]])
        (usual,) = self.features(image)
        self.assertEqual(usual["input_size"], info["image_size"])
        self.assertEqual(self.features("--size=%dx%d" % tuple(info["image_size"]), image), [usual])

    def test_resize(self):
        """Pillow's two orders differ for tall images, and only for those."""
        tall, wide = self.make_png("tall.png", 60, 333), self.make_png("wide.png", 333, 60)
        newest, classic = (self.features("--resize", order, tall, wide) for order in ("newest", "classic"))
        self.assertNotEqual(newest[0]["values"], classic[0]["values"])
        self.assertEqual(newest[1], classic[1])
        self.assertEqual(newest, self.features(tall, wide), "newest is the default")

    def test_sandbox(self):
        """The same wherever images are decoded, also those that come through a pipe."""
        names = [self.make_png(f"{i}.png", 30 + i, 40) for i in range(5)]
        data = (self.folder / names[0]).read_bytes()
        plain = self.features("--no-sandbox", *names, "-", stdin=data)
        values = [line["values"] for line in plain]
        self.assertEqual([line["values"] for line in self.features(*names, "-", stdin=data)], values)
        self.check_error(1, "--sandbox expects auto or require, but 'no' was given", "--sandbox=no", names[0])
        required = self.run_command("--sandbox=require", "--json", *names)
        if required.code:
            self.assertIn("in a process without privileges", required.err)
            self.skipTest("there is no sandbox here")
        self.assertEqual([line["values"] for line in required.lines()], values[:5])

    def test_orientation(self):
        self.write("turned.jpg", images.jpeg(32, 8, 6))
        self.write("plain.jpg", images.jpeg(32, 8))
        (turned,) = self.features("turned.jpg")
        self.assertEqual(turned["image_size"], [8, 32])
        (ignored,) = self.features("--ignore-orientation", "turned.jpg")
        (plain,) = self.features("plain.jpg")
        self.assertEqual(ignored["image_size"], [32, 8])
        self.assertEqual(ignored["values"], plain["values"])

    def test_batch(self):
        names = [self.make_png(f"{i}.png", 20 + 7 * i, 50 - 5 * i) for i in range(5)]
        single = [self.features(name)[0]["values"] for name in names]
        for batch in ("1", "2", "4", "100"):
            with self.subTest(case=batch):
                lines = self.features("--batch", batch, *names)
                self.assertEqual([line["image"] for line in lines], names)
                self.assertEqual([line["values"] for line in lines], single)

    def test_many_images(self):
        """More than are held at once, which is 64."""
        names = [self.make_png(f"{i % 3}.png", 20 + 10 * (i % 3), 30) for i in range(70)]
        lines = self.features("--batch", "8", "-o", "out.npy", "--json", *names)
        self.assertEqual([line["index"] for line in lines], list(range(70)))
        self.assertEqual([line["values"] for line in lines], [lines[i % 3]["values"] for i in range(70)])
        self.assertEqual(read_npy((self.folder / "out.npy").read_bytes())[0], (70, 64))

    def test_mixed_sizes(self):
        """Where the preprocessor keeps the aspect, images of one size share passes and results keep their order."""
        config = json.loads((self.copy_model() / "preprocessor_config.json").read_text())
        config["size"] = {"shortest_edge": 32}
        (self.folder / "model" / "preprocessor_config.json").write_text(json.dumps(config))
        sides = [(40, 40), (80, 40), (40, 40), (40, 60), (80, 40), (40, 40)]
        names = [self.make_png(f"{i}.png", width, height) for i, (width, height) in enumerate(sides)]
        lines = self.features("-m", "model", "--batch", "2", "-o", "out.npy", "--json", *names)
        self.assertEqual([line["image"] for line in lines], names)
        self.assertEqual(
            [line["input_size"] for line in lines], [[32, 32], [64, 32], [32, 32], [32, 48], [64, 32], [32, 32]]
        )
        for line in lines:
            self.assertEqual(line["values"], self.features("-m", "model", line["image"])[0]["values"])
        self.assertEqual(read_npy((self.folder / "out.npy").read_bytes())[0], (6, 64))
        self.check_error(
            2, ["image 2 of 6", "1.png", "32", "16", "shape", "--size"], "-m", "model", "--tokens", "all", "-o", "x.npy", *names
        )
        self.run_good("-m", "model", "--tokens", "all", "--size", "32", "-o", "all.npy", *names)


class Models(Case):
    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png()

    def test_ways_to_name_it(self):
        environment = {"DINO_VK_MODEL": None}
        expected = self.features(self.image)[0]["values"]
        for model in (str(harness.setup.model), str(harness.setup.model / "model.safetensors")):
            for option in (["-m", model], ["--model", model], ["--model=" + model]):
                with self.subTest(case=" ".join(option)):
                    (line,) = self.features(*option, self.image, environment=environment)
                    self.assertEqual((line["model"], line["values"]), (model, expected))

    def test_option_beats_environment(self):
        self.assertEqual(
            self.features("-m", str(harness.setup.model), self.image, environment={"DINO_VK_MODEL": "/nowhere"}),
            self.features(self.image),
        )

    def test_precision(self):
        half = str(harness.setup.make_model("vit-tiny", "--dtype", "F16"))
        brain = str(harness.setup.make_model("vit-tiny", "--dtype", "BF16"))
        model = str(harness.setup.model)
        values = {}
        for name, path, precision, expected in (
            ("F32 auto", model, "auto", "fp32"),
            ("F32 fp16", model, "fp16", "fp16"),
            ("F32 int8w", model, "int8w", "int8w"),
            ("F16 auto", half, "auto", "fp16"),
            ("F16 fp32", half, "fp32", "fp32"),
            ("BF16 auto", brain, "auto", "fp32"),
        ):
            with self.subTest(case=name):
                (line,) = self.features("-m", path, "--precision", precision, self.image)
                self.assertEqual(line["precision"], expected)
                values[name] = line["values"]
        # The features' error is of the order of the roundings of the weights: 2^-12 for fp16, 2^-9 for bfloat16 and 2^-8
        # for int8, seen to grow up to tenfold on their way through the layers. Exact equality would mean that nothing was rounded.
        for name, bar in (("F32 fp16", 5e-3), ("F32 int8w", 4e-2), ("F16 fp32", 5e-3), ("BF16 auto", 4e-2)):
            with self.subTest(case=name + " against F32"):
                self.assertLess(relative_error(values[name], values["F32 auto"]), bar)
                self.assertNotEqual(values[name], values["F32 auto"])

    def test_plan(self):
        plain = self.run_good("--plan").out.decode()
        self.assertGreater(len(plain.splitlines()), 5)
        self.assertEqual(plain, self.run_good("--plan", self.image).out.decode())
        self.assertNotEqual(plain, self.run_good("--plan", "--size", "96x48").out.decode())
        self.assertNotEqual(plain, self.run_good("--plan", "--batch", "2").out.decode())


class Family(Case):
    """Models that are no plain ViT."""

    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = str(self.make_png())

    def use(self, model, *arguments):
        return self.features("-m", str(harness.setup.make_model(model)), *arguments, "--json", self.image)[0]

    def test_default_tokens(self):
        for model, tokens in (("siglip-tiny", "pooled"), ("ijepa-tiny", "mean"), ("clip-tiny", "cls")):
            with self.subTest(case=model):
                self.assertEqual(self.use(model)["tokens"], tokens)

    def test_refused(self):
        for model, words, arguments in (
            ("siglip-tiny", ["no CLS token", "--tokens mean"], ["--tokens", "cls"]),
            ("ijepa-tiny", ["no CLS token", "--pca"], ["--attention", "map.png"]),
            ("vit-tiny", ["does not classify", "--top"], ["--top", "5"]),
            ("vit-tiny", ["does not classify", "--tokens logits"], ["--tokens", "logits"]),
            ("vit-tiny", ["no projection"], ["--tokens", "embedding"]),
        ):
            with self.subTest(case=f"{model} {' '.join(arguments)}"):
                self.check_error(3, words, "-m", str(harness.setup.make_model(model)), *arguments, self.image)


class Disabled(Case):
    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png()

    def test_parts(self):
        parts = {"DINO_VK_DISABLE": "coopmat,fp16,,subgroup,dot,timeline,coopmat2,"}
        self.assertTrue(json.loads(self.run_good("--json", self.image, environment=parts).out)["values"])

    def test_unknown(self):
        for text in ("fp17", "fp16 ", "FP16", "fp16;dot"):
            result = self.run_command(self.image, environment={"DINO_VK_DISABLE": text})
            self.assertEqual((result.code, result.out), (1, b""))
            self.assertIn(f'DINO_VK_DISABLE names "{text}"', result.err)


class Caching(Case):
    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png()

    def cached(self, *arguments, **environment):
        """How many files a run leaves where a cache of ours could be (drivers keep caches, too)."""
        self.run_good(*arguments, self.image, environment=environment)
        return len(list(self.folder.rglob("dino-vk/*")))

    def test_places(self):
        home, cache = str(self.folder / "home"), str(self.folder / "cache")
        self.assertEqual(self.cached("--no-cache", HOME=home, XDG_CACHE_HOME=cache), 0)
        self.assertEqual(self.cached(HOME=home, XDG_CACHE_HOME=cache, DINO_VK_NO_CACHE="1"), 0)
        self.assertEqual(self.cached(HOME=None, XDG_CACHE_HOME="relative"), 0)
        self.assertGreater(self.cached(HOME=home, XDG_CACHE_HOME=cache), 0)
        self.assertTrue((self.folder / "cache" / "dino-vk").is_dir())
        self.run_good(self.image, environment={"HOME": home, "XDG_CACHE_HOME": None})
        self.assertTrue((self.folder / "home" / ".cache" / "dino-vk").is_dir())

    def test_damaged_cache_is_ignored(self):
        cache = self.folder / "cache"
        environment = {"XDG_CACHE_HOME": str(cache)}
        expected = self.features(self.image, environment=environment)
        for path in (cache / "dino-vk").iterdir():
            path.write_bytes(b"damaged" * 100)
        self.assertEqual(self.features(self.image, environment=environment), expected)

    def test_unwritable_cache_is_no_error(self):
        (self.folder / "cache").write_bytes(b"a file, not a directory")
        self.features(self.image, environment={"XDG_CACHE_HOME": str(self.folder / "cache")})

    def test_verbose(self):
        self.assertNotEqual(self.run_good("--verbose", "-d", "0", self.image).err, "")
        self.assertEqual(self.run_good("-d", "0", self.image).err, "")


class Pictures(Case):
    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png(width=64, height=48)

    def draw(self, *arguments):
        self.run_good(*arguments, self.image)
        return images.read_png((self.folder / "out.png").read_bytes())

    def test_attention(self):
        """The first panel is the picture the model saw; the others are of the same size, for every head and the mean."""
        (info,) = self.features("info", "--json")
        patch = info["patch_size"]
        side = info["image_size"][0] // patch * patch
        picture = self.draw("--attention", "out.png")
        width, height, _ = picture
        panels = info["heads"] + 2
        self.assertGreaterEqual(width * height, panels * side * side)
        exact = self.make_png("exact.png", side, side)
        self.run_good("--attention", "exact-out.png", exact)
        width, _, rgb = images.read_png((self.folder / "exact-out.png").read_bytes())
        wanted = images.pixels(side, side)[: side * 3]
        self.assertEqual(rgb.count(wanted), 1, "the image's first row is in the picture, unchanged")
        self.assertEqual(picture, self.draw("--attention", "out.png"), "runs agree")

    def test_attention_numbers(self):
        """A file for each image; softmax rows without the column of the CLS token."""
        (info,) = self.features("info", "--json")
        self.run_good("--attention", "maps.npy", self.image, self.image)
        shape, values = read_npy((self.folder / "maps-0.npy").read_bytes())
        patches = info["image_size"][0] // info["patch_size"]
        self.assertEqual(shape, (info["heads"], patches, patches))
        for head in range(shape[0]):
            row = values[head * patches * patches:(head + 1) * patches * patches]
            self.assertTrue(all(value >= 0 for value in row) and 0 < sum(row) < 1, row)
        self.assertEqual((self.folder / "maps-0.npy").read_bytes(), (self.folder / "maps-1.npy").read_bytes())
        self.assertEqual(len(list(self.folder.glob("*.npy"))), 2)

    def test_attention_size(self):
        small, large = self.draw("--attention", "out.png", "--size", "32"), None
        large = self.draw("--attention", "out.png", "--size", "96x64")
        self.assertGreater(large[0] * large[1], 2 * small[0] * small[1])

    def test_threshold(self):
        everything = self.draw("--attention", "out.png")
        self.assertEqual(self.draw("--attention", "out.png", "--threshold", "1"), everything)
        dimmed = []
        for threshold in ("0.9", "0.6", "0.1"):
            picture = self.draw("--attention", "out.png", "--threshold", threshold)
            self.assertEqual(picture[:2], everything[:2])
            dimmed.append(sum(a != b for a, b in zip(picture[2], everything[2])))
        self.assertEqual(dimmed, sorted(dimmed), "a smaller part of the mass dims more of the picture")
        self.assertGreater(dimmed[0], 0)

    def test_pca(self):
        """Against principal components computed here, by power iteration on the patch tokens."""
        picture = self.draw("--pca", "out.png", "--size", "64x48")
        (line,) = self.features("--tokens", "patch", "--size", "64x48", self.image)
        (info,) = self.features("info", "--json")
        patch = info["patch_size"]
        columns, rows = line["grid"]
        self.assertEqual(picture[:2], (columns * patch, rows * patch))
        found = [
            [picture[2][3 * ((p // columns * patch) * picture[0] + p % columns * patch) + c] for c in range(3)]
            for p in range(columns * rows)
        ]
        expected = pca_colours([[float32(v) for v in row] for row in line["values"]])
        # 1 of 255 for a rounding that falls the other way.
        worst = max(abs(a - b) for f, e in zip(found, expected, strict=True) for a, b in zip(f, e))
        self.assertLessEqual(worst, 1, (found, expected))
        self.assertEqual(picture, self.draw("--pca", "out.png", "--size", "64x48"), "runs agree")

    def test_one_patch(self):
        """Nothing to compare a single patch with: gray, not noise."""
        (info,) = self.features("info", "--json")
        width, height, rgb = self.draw("--pca", "out.png", "--size", str(info["patch_size"]))
        self.assertEqual(set(rgb), {128})
        self.assertEqual((width, height), (info["patch_size"],) * 2)
        self.draw("--attention", "out.png", "--threshold", "0.5", "--size", str(info["patch_size"]))

    def test_all_at_once(self):
        result = self.run_good(
            "-o", "x.npy", "--attention", "a%02d.png", "--pca", "p.png", "--tokens", "all", self.image, self.image
        )
        names = ["a.png", "a00.png", "a01.png", "p-0.png", "p-1.png", "x.npy"]
        self.assertEqual(sorted(os.listdir(self.folder)), names)
        for line, number in zip(result.lines(), "01", strict=True):
            self.assertEqual(
                (line["npy"], line["attention"], line["pca"]), ("x.npy", f"a0{number}.png", f"p-{number}.png")
            )
        self.assertEqual((self.folder / "a00.png").read_bytes(), (self.folder / "a01.png").read_bytes())

    def test_to_stdout(self):
        for option in ("--attention", "--pca"):
            with self.subTest(case=option):
                images.read_png(self.run_good(option, "-", self.image).out)


def pca_colours(rows):
    """The colours that --pca documents, in plain Python."""
    count, size = len(rows), len(rows[0])
    mean = [sum(column) / count for column in zip(*rows)]
    rows = [[v - m for v, m in zip(row, mean)] for row in rows]
    channels = []
    for _ in range(3):
        vector = [1.0 + 0.01 * (i * i % 17) for i in range(size)]
        for _ in range(1500):
            scores = [sum(map(float.__mul__, row, vector)) for row in rows]
            product = [0.0] * size
            for score, row in zip(scores, rows):
                product = [p + score * v for p, v in zip(product, row)]
            length = math.sqrt(sum(v * v for v in product))
            product = [v / length for v in product]
            moved = max(abs(a - b) for a, b in zip(product, vector))
            vector = product
            if moved < 1e-13:
                break
        if max(vector, key=abs) < 0:
            vector = [-v for v in vector]
        scores = [sum(map(float.__mul__, row, vector)) for row in rows]
        rows = [[v - score * d for v, d in zip(row, vector)] for score, row in zip(scores, rows)]
        ordered = sorted(scores)

        def percentile(percent):
            position = percent / 100 * (count - 1)
            below = int(position)
            above = min(below + 1, count - 1)
            return ordered[below] + (ordered[above] - ordered[below]) * (position - below)

        low, high = percentile(1), percentile(99)
        channels.append([int(255 * min(max((s - low) / (high - low), 0), 1) + 0.5) for s in scores])
    return list(zip(*channels))


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed_signals():
    """What the tests were started by may ignore some (nohup, a shell's `&`), and that is inherited."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)


class Ends(Case):
    """How the command ends when somebody ends it."""

    def setUp(self):
        super().setUp()
        self.need_device()
        self.image = self.make_png()

    def begin(self):
        """A run with so many images that it is surely still at work when its first line can be read."""
        arguments = ["--json", "-o", "out.npy", "--attention", "a.png", "--size", "160"] + [self.image] * 400
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_signals)
        line = process.stdout.readline()
        self.assertEqual(json.loads(line)["index"], 0)
        self.assertGreater(len(os.listdir(self.folder)), 1, "a temporary file is there")
        return process

    def test_signals(self):
        for number in ENDING:
            with self.subTest(case=number.name):
                with self.begin() as process:
                    process.send_signal(number)
                    _, err = process.communicate(timeout=harness.TIMEOUT)
                self.assertEqual((process.returncode, err), (-number, b""))
                self.assertEqual(os.listdir(self.folder), [self.image])

    def test_closed_pipe(self):
        with self.begin() as process:
            process.stdout.close()
            err = process.stderr.read()
            process.wait(harness.TIMEOUT)
        self.assertEqual((process.returncode, err), (-signal.SIGPIPE, b""))
        self.assertEqual(os.listdir(self.folder), [self.image])

    def test_ignored_signal_stays_ignored(self):
        """As nohup wants it."""
        arguments = ["--size", "160"] + [self.image] * 20
        with self.start(
            *arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        ) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGHUP)
            process.communicate(timeout=harness.TIMEOUT)
        self.assertEqual(process.returncode, 0)

    def test_progress(self):
        """A terminal is told what takes long; what is no terminal is not."""
        for count in (20, 80, 320, 1280):
            start = time.monotonic()
            code, shown = self.run_terminal("--json", "--size", "160", *[self.image] * count)
            self.assertEqual(code, 0)
            if time.monotonic() - start > 1.0:  # it begins after 0.4 s
                break
        self.assertIn("image ", shown.replace('"image', ""))
        self.assertTrue(shown.count("\r\033[K") >= 2, shown[-300:])


if __name__ == "__main__":
    harness.main(__name__)
