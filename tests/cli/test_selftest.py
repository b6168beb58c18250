#!/usr/bin/env python3
"""`dino-vk selftest`, on the device that is there and on devices with faults, which a layer of tests/limits makes of it.

usage: test_selftest.py DINO-VK SYNTH-MODEL [PATTERN...], with the environment of tests/limits
"""
import json
import os
import unittest

import harness

USAGE, DEVICE = 1, 4

harness.TIMEOUT = 1500  # 165 programs are compiled and give 64 answers each, one after the other


def faulty(profile):
    return {"VK_INSTANCE_LAYERS": "VK_LAYER_DINO_VK_limits", "DVK_LIMITS": profile}


class Selftest(harness.Case):
    def test_right(self):
        self.need_device()
        found = json.loads(self.run_good("selftest", "--json").out)
        self.assertTrue(found["right"])
        self.assertEqual(found["repeats"], 64)
        self.assertEqual(found["stopped"], "")
        self.assertTrue(found["device"] and found["tier"])
        self.assertRegex(found["vulkan"], r"^1\.\d+$")
        states = {variant["state"] for variant in found["variants"]}
        self.assertLessEqual(states, {"right", "refused", "not proved"})
        self.assertEqual(len({variant["variant"] for variant in found["variants"]}), len(found["variants"]))
        for variant in found["variants"]:
            with self.subTest(case=variant["variant"]):
                self.assertEqual(variant["state"] == "right", variant["programs"] > 0)
                self.assertEqual(variant["state"] == "refused", variant["why"] != "")
                self.assertTrue(variant["state"] == "right" or not variant["used"])
        for kernel in ("patchify", "matmul", "layernorm", "attention"):
            self.assertTrue(any(v["used"] for v in found["variants"] if v["kernel"] == kernel), kernel)
        self.assertEqual([one["precision"] for one in found["passes"]], ["fp32", "fp16", "int8w"])
        for one in found["passes"]:
            with self.subTest(case=one["precision"]):
                self.assertTrue(one["right"] and one["steady"])
                self.assertLessEqual(one["error"], one["bar"])
                self.assertGreater(one["error"], 0)
                self.assertGreater(one["p50_ms"], 0)
                self.assertGreaterEqual(one["passes"], 3)

    def test_no_result(self):
        """A driver that runs nothing: nothing is proved, no pass can be made, and the whole report is still there."""
        self.need_device()
        result = self.run_command("selftest", environment=faulty("dead"))
        text = result.out.decode()
        self.assertEqual(result.code, DEVICE)
        self.assertRegex(result.err, r"\Adino-vk: this device or its driver is not right: [^\n]*\n\Z")
        self.assertIn("dino-vk   ", text)
        self.assertIn("driver    ", text)
        self.assertIn("variants  0 right, ", text)
        self.assertRegex(text, r"\n  matmul +\w+ +wrong: value \d+ of a known answer is ")
        self.assertRegex(text, r"\n  fp32  failed: no variant of the kernel ")
        self.assertTrue(text.endswith("\nresult    WRONG\n"))

    def test_lost_work(self):
        """A driver that loses a dispatch now and then."""
        self.need_device()
        result = self.run_command("selftest", "--json", environment=faulty("lossy"))
        found = json.loads(result.out)
        self.assertEqual(result.code, DEVICE)
        self.assertFalse(found["right"])
        wrong = [variant["why"] for variant in found["variants"] if variant["state"] == "wrong"]
        self.assertTrue(any("gave other bits than the first" in why for why in wrong), wrong)

    def test_command_line(self):
        for options, words in ((("a.png",), ["takes no image", "a.png"]), (("--batch", "2"), ["selftest", "--batch"]),
                               (("--device", "no such device"), ["no such device"])):
            with self.subTest(case=options):
                result = self.run_command("selftest", *options)
                self.assertEqual(result.code, DEVICE if options[0] == "--device" else USAGE)
                self.assertEqual(result.out, b"")
                for word in words:
                    self.assertIn(word, result.err)


if __name__ == "__main__":
    os.environ.pop("VK_INSTANCE_LAYERS", None)
    harness.main(__name__)
