#!/usr/bin/env python3
"""The estimates and the licence of `dino-vk info`: test_info.py COMMAND SYNTH_MODEL [PATTERN...]"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import harness


def work(config, tokens):
    """Multiply-adds of a vision transformer's products, counted as two."""
    size, mlp, patch = config["hidden_size"], config["intermediate_size"], config["patch_size"]
    layer = 4 * size * size + 2 * size * mlp + 2 * tokens * size
    return 2 * tokens * (3 * patch * patch * size + config["num_hidden_layers"] * layer)


class Info(harness.Case):
    def info(self, *arguments, model=None):
        (info,) = self.features("info", "--json", *arguments, str(model or harness.setup.model))
        return info

    def test_sizes(self):
        config = json.loads((harness.setup.model / "config.json").read_text())
        patch = config["patch_size"]
        for arguments, width, height in (((), 32, 32), (("--size", "480"), 480, 480), (("--size", "100x50"), 100, 50)):
            with self.subTest(case=f"{width}x{height}"):
                info = self.info(*arguments)
                grid = [width // patch, height // patch]
                tokens = 1 + grid[0] * grid[1]
                self.assertEqual((info["input_size"], info["grid"], info["tokens"]), ([width, height], grid, tokens))
                # Norms and sums are counted, too: 8 operations a number for each norm, a few per cent in all here.
                self.assertTrue(work(config, tokens) < info["flops"] < 1.1 * work(config, tokens), info["flops"])
                # At the least: pixels twice, and five rows of D numbers a token (residual, norm, query, key, value).
                self.assertGreater(info["session_bytes"], 2 * 12 * width * height + 20 * tokens * config["hidden_size"])

    def test_weights_by_precision(self):
        names = ("fp32", "fp16", "int8w")
        told = {name: self.info("--precision", name) for name in names}
        self.assertEqual([told[name]["precision"] for name in names], list(names))
        self.assertEqual(len({json.dumps(info["weight_bytes"]) for info in told.values()}), 1)
        bytes_of = told["fp32"]["weight_bytes"]
        self.assertGreater(bytes_of["fp32"], 3.5 * told["fp32"]["parameters"])  # all but tokens and positions
        self.assertTrue(0.5 < bytes_of["fp16"] / bytes_of["fp32"] < 0.6)
        self.assertTrue(0.25 < bytes_of["int8w"] / bytes_of["fp32"] < 0.4)

    def test_text(self):
        text = self.run_good("info", "--size", "64x48", str(harness.setup.model)).out.decode()
        for line in (r"(?m)^at 64x48 +\d+ tokens \(\d+x\d+ patches\), [\d.]+ GFLOP$",
                     r"(?m)^memory +[\d.]+ MB: weights [\d.]+ MB \(fp32\), ", r"fp16 [\d.]+ MB, int8w [\d.]+ MB$"):
            self.assertRegex(text, line)
        self.assertNotIn("licence", text)
        self.check_error(1, ["holds no whole patch"], "info", "--size", "1", str(harness.setup.model))

    def test_licence(self):
        cards = {
            "---\nlicense: apache-2.0\n---\ntext": "apache-2.0",
            "---\r\ntags:\r\n- dino\r\nlicense: \"mit\"  # so\r\n---\r\n": "mit",
            "---\nlicense:\n- cc-by-4.0\n- mit\n---\n": "cc-by-4.0",
            "---\nlicense: other\nlicense_name: dinov3-license\n---\n": "dinov3-license",
            "---\nlicense: other\n---\n": "other",
            "---\nlicense: a\x1b[31m\n---\n": "a\x1b[31m",
            "---\nlicense: " + "x" * 3000 + "\n---\n": "x" * 95,
            "---\nbase: x\n---\nlicense: mit\n": None,
            "license: mit\n": None,
            "---\nmodel_license: mit\n---\n": None,
            "": None,
            "---\nlicense:\n---\n- mit": None,
        }
        model = self.copy_model()
        for card, expected in cards.items():
            with self.subTest(case=repr(card[:60])):
                (model / "README.md").write_bytes(card.encode())
                self.assertEqual(self.info(model=model)["license"], expected)
                self.assertEqual(self.info(model=model / "model.safetensors")["license"], expected)
        (model / "README.md").write_text("---\nlicense: a\x1b[31m\n---\n")
        self.assertIn("licence       a?[31m\n", self.run_good("info", str(model)).out.decode())
        (model / "README.md").unlink()
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(dict(config, license="bsd-3-clause")))
        self.assertEqual(self.info(model=model)["license"], "bsd-3-clause")
        self.assertIsNone(self.info(model=harness.setup.model)["license"])


if __name__ == "__main__":
    harness.main(__name__)
