#!/usr/bin/env python3
"""Bad input of every kind: the exit code, one sentence that names the file and what is wrong, and nothing left behind.
usage: test_bad_input.py DINO-VK SYNTH-MODEL [PATTERN...]"""
import json
import os
import resource
import struct
import zlib

import harness
import images
from harness import Case, read_safetensors, write_safetensors

USAGE, IMAGE, MODEL, DEVICE, OUTPUT = 1, 2, 3, 4, 5


class CommandLine(Case):
    def test_options(self):
        image = self.make_png()
        for arguments, words in (
            ([], ["no image", "--help"]),
            (["-o", "x.npy"], ["no image"]),
            (["--frobnicate", image], ["--frobnicate", "--help"]),
            (["-x", image], ["-x", "--help"]),
            (["--json=yes", image], ["--json", "no value"]),
            (["--plan=1"], ["--plan", "no value"]),
            (["--p", "x.png", image], ["--p", "several"]),
            ([image, "--size"], ["--size", "value"]),
            ([image, "-o"], ["--output", "value"]),
            (["--size", "0", image], ["--size", "'0'", "16384"]),
            (["--size", "-8", image], ["--size", "'-8'"]),
            (["--size", "224px", image], ["--size", "'224px'"]),
            (["--size", "224x", image], ["--size", "'224x'"]),
            (["--size", "x224", image], ["--size", "'x224'"]),
            (["--size", "1x2x3", image], ["--size", "'1x2x3'"]),
            (["--size", "16385", image], ["--size", "16384"]),
            (["--size", "99999999999999999999", image], ["--size", "16384"]),
            (["--size", "", image], ["--size", "''"]),
            (["--batch", "0", image], ["--batch", "'0'", "1 to"]),
            (["--batch", "1.5", image], ["--batch", "'1.5'"]),
            (["--batch", "many", image], ["--batch", "'many'"]),
            (["--batch", "1000000", image], ["--batch", "'1000000'"]),
            (["--tokens", "CLS", image], ["--tokens", "cls, patch, all, mean, pooled, logits or embedding", "'CLS'"]),
            (["--tokens", "", image], ["--tokens", "''"]),
            (["--top", "0", image], ["--top", "'0'"]),
            (["--top", "1001", image], ["--top", "1 to 1000"]),
            (["--top", "5x", image], ["--top", "'5x'"]),
            (["--precision", "bf16", image], ["--precision", "auto, fp32, fp16 or int8w", "'bf16'"]),
            (["--resize", "oldest", image], ["--resize", "newest or classic", "'oldest'"]),
            (["--threshold", "0.5", image], ["--threshold", "--attention"]),
            (["--threshold", "0.5", "--attention", "x.npy", image], ["--threshold", "x.npy"]),
            (["--threshold", "0", "--attention", "x.png", image], ["--threshold", "'0'"]),
            (["--threshold", "1.1", "--attention", "x.png", image], ["--threshold", "'1.1'"]),
            (["--threshold", "nan", "--attention", "x.png", image], ["--threshold", "'nan'"]),
            (["--threshold", "60%", "--attention", "x.png", image], ["--threshold", "'60%'"]),
            (["-o", "", image], ["-o", "empty"]),
            (["-o", "same", "--pca", "same", image], ["-o", "--pca", "same"]),
            (["-o", "-", "--pca", "-", image], ["-o", "--pca"]),
            (["-o", "-", "--json", image], ["--json", "standard output"]),
            (["--attention", "-", image, image], ["--attention", "2 images"]),
            (["--plan", "-o", "x.npy"], ["--plan", "-o"]),
            (["-", "-"], ["standard input", "once"]),
            (["-o", image, image], [image, "replace"]),
            (["--attention", "./a.png", image], ["./a.png", "replace"]),
            (["--pca", "a-%d.png", "a-0.png"], ["a-0.png", "replace"]),
            (["--pca", "b.png", "--attention", "b-%d.png", image, image], ["b-0.png", "twice"]),
            (["-o", "b0", "--attention", "b%d", image], ["b0", "twice"]),
            (["devices", "image.png"], ["devices", "image.png"]),
            (["devices", "--size", "3"], ["devices", "--size", "-v"]),
            (["devices", "--deterministic"], ["devices", "--deterministic", "-v"]),
            (["--variants", "missing", image], ["missing", "cannot be read"]),
            (["--variants", "/dev/zero", image], ["/dev/zero", "1 MiB"]),
            (["--save-variants", image, image], [image, "replace"]),
            (["info", "a", "b"], ["info", "2 arguments"]),
            (["info", "--batch", "2"], ["info", "--batch"]),
        ):
            if "a-0.png" in arguments:
                self.make_png("a-0.png")
            with self.subTest(case=" ".join(arguments) or "no argument"):
                self.check_error(USAGE, words, *arguments)

    def test_below_a_patch(self):
        self.need_device()
        self.check_error(USAGE, ["3x100", "patch", "--size"], "--size", "3x100", self.make_png())

    def test_picture_too_large(self):
        """Seen before the pass that would fill it."""
        self.need_device()
        for size in ("16384", "8192x16384"):
            with self.subTest(case=size):
                words = ["attention", "1 GiB", "--size"]
                self.check_error(USAGE, words, "--attention", "x.png", "--size", size, self.make_png())


class Images(Case):
    def check(self, name, data, *words):
        self.write(name, data)
        with self.subTest(case=name):
            self.check_error(IMAGE, [name, *words], name)

    def test_missing(self):
        self.check_error(IMAGE, ["nothing.png", "no such file"], "nothing.png")
        self.check_error(IMAGE, ["no such file"], "")
        self.check_error(IMAGE, ["a.png/b.png", "no such file"], self.make_png() + "/b.png")
        (self.folder / "dangling.png").symlink_to("nowhere")
        self.check_error(IMAGE, ["dangling.png", "no such file"], "dangling.png")

    def test_subcommand_in_the_wrong_place(self):
        self.check_error(IMAGE, ["dino-vk devices"], "-d", "0", "devices")
        self.check_error(IMAGE, ["dino-vk info"], "-d", "0", "info")

    def test_directory(self):
        (self.folder / "folder").mkdir()
        self.check_error(IMAGE, ["folder", "directory"], "folder")

    def test_unreadable(self):
        if os.geteuid() == 0:
            self.skipTest("root may read everything")
        self.make_png()
        (self.folder / "a.png").chmod(0)
        self.check_error(IMAGE, ["a.png", "Permission denied"], "a.png")

    def test_which_one(self):
        good = self.make_png()
        self.write("bad.png", b"")
        self.check_error(IMAGE, ["image 2 of 3", "bad.png"], good, "bad.png", good)
        self.check_error(IMAGE, ["image 3 of 3", "lost.png"], "-o", "x.npy", good, good, "lost.png")

    def test_no_image(self):
        self.check("empty.png", b"", "empty")
        self.check("text.png", b"This is a letter, not a picture.\n" * 10)
        self.check("zero.jpg", bytes(1000))
        self.check("a.gif", b"GIF89a\x01\0\x01\0\0\0\0;", "GIF")
        self.check("a.webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + bytes(12), "WebP")
        self.check("a.tiff", b"II*\0" + bytes(60))
        self.check("a.safetensors", (harness.setup.model / "model.safetensors").read_bytes()[:4000])

    def test_empty_stdin(self):
        self.check_error(IMAGE, ["standard input"], "-")

    def test_truncated_png(self):
        """Cut at the edges of its structure, inside of it, and before the last byte."""
        whole = images.png(40, 30)
        data = whole.index(b"IDAT")
        for where, size in {
            "inside the signature": 4,
            "after the signature": 8,
            "inside the header": 20,
            "after the header": 33,
            "inside the length of the data": data - 2,
            "after the name of the data": data + 4,
            "inside the data": (data + len(whole)) // 2,
            "before the checksum of the data": len(whole) - 16,
            "after the data": len(whole) - 12,
            "inside the end": len(whole) - 5,
            "one byte short": len(whole) - 1,
        }.items():
            self.check(where + ".png", whole[:size])

    def test_damaged_png(self):
        whole = images.png(40, 30)
        data = whole.index(b"IDAT")
        flip = lambda at: whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        self.check("header checksum.png", flip(29))
        self.check("data checksum.png", flip(len(whole) - 14))
        self.check("data.png", flip(data + 40))
        rows = zlib.compress(bytes(3600))  # no filter bytes: 30 bytes short
        head = images.PNG_SIGNATURE + images.png_header(40, 30)
        end = images.chunk(b"IEND", b"")
        self.check("rows missing.png", head + images.chunk(b"IDAT", rows) + end)
        self.check("no data.png", head + end)
        self.check("no header.png", images.PNG_SIGNATURE + images.chunk(b"IDAT", rows) + end)

    def test_sizes(self):
        for width, height in ((20000, 20000), (16385, 1), (1, 16385), (0, 30), (40, 0), (2**31 - 1, 2**31 - 1)):
            head = images.PNG_SIGNATURE + images.png_header(width, height)
            rows = images.chunk(b"IDAT", zlib.compress(bytes(100)))
            self.check(f"{width}x{height}.png", head + rows + images.chunk(b"IEND", b""))
        self.check("20000x20000.ppm", b"P6\n20000 20000\n255\n", "16384")
        self.check("20000x20000.bmp", images.bmp(1, 1).replace(struct.pack("<ii", 1, 1), struct.pack("<ii", 20000, 20000)))

    def test_truncated_others(self):
        for name, whole in (("a.ppm", images.ppm(40, 30)), ("a.bmp", images.bmp(40, 30)), ("a.jpg", images.jpeg(64, 64))):
            for part in (0.02, 0.3, 0.6, 0.95):
                self.check(f"{part}-{name}", whole[: max(3, int(part * len(whole)))])
            self.check(f"short-{name}", whole[:-1] if name != "a.jpg" else whole[:-4])
        self.check("header.ppm", b"P6\n40 30\n255\n")
        self.check("words.ppm", b"P6\nforty thirty\n255\n" + bytes(3600))
        self.check("plain.ppm", b"P3\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11")


class Models(Case):
    def setUp(self):
        super().setUp()
        self.image = self.make_png()
        self.model = self.copy_model()

    def check(self, case, *words, model="model"):
        """Through `info`, which needs no device."""
        with self.subTest(case=case):
            self.check_error(MODEL, words, "info", model)

    def test_names(self):
        self.check("unknown name", "nobody/nothing", "hf download nobody/nothing", model="nobody/nothing")
        self.check("missing path", "./nowhere", model="./nowhere")
        self.check("empty name", model="")
        (self.folder / "empty").mkdir()
        self.check("empty directory", "empty", "config.json", model="empty")
        self.check("an image", "a.png", model="a.png")
        self.check_error(MODEL, ["nobody/nothing"], "info", environment={"DINO_VK_MODEL": "nobody/nothing"})

    def test_names_of_a_run(self):
        self.need_device()
        self.check_error(MODEL, ["nobody/nothing", "hf download"], "-m", "nobody/nothing", "-o", "x.npy", self.image)
        self.check_error(MODEL, ["nobody/nothing"], self.image, environment={"DINO_VK_MODEL": "nobody/nothing"})

    def test_missing_files(self):
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            data = (self.model / name).read_bytes()
            (self.model / name).unlink()
            self.check("missing " + name, name)
            (self.model / name).mkdir()
            self.check("directory as " + name, name)
            (self.model / name).rmdir()
            (self.model / name).write_bytes(b"")
            self.check("empty " + name, name)
            (self.model / name).write_bytes(data[: len(data) // 2])
            self.check("half of " + name, name)
            (self.model / name).write_bytes(data)

    def test_config(self):
        path = self.model / "config.json"
        whole = json.loads(path.read_text())

        def check(case, *words, **changes):
            path.write_text(json.dumps({k: v for k, v in {**whole, **changes}.items() if v is not None}))
            self.check(case, "config.json", *words)

        check("another kind", "swin", model_type="swin")
        check("no hidden size (768, as transformers has it)", hidden_size=None)
        check("hidden size as text", "hidden_size", hidden_size="64")
        check("negative layers", "num_hidden_layers", num_hidden_layers=-1)
        check("no layers", "num_hidden_layers", num_hidden_layers=0)
        check("heads that do not divide", "num_attention_heads", num_attention_heads=7)
        check("unknown activation", "hidden_act", "mish", hidden_act="mish")
        check("patch larger than the image", "patch_size", patch_size=100000)
        path.write_text("[]")
        self.check("no object", "config.json")
        path.write_text('{"model_type": "vit", "model_type": "vit"}')
        self.check("twice the same key", "config.json", "model_type")
        path.write_bytes(b"\xff\xfe\x00")
        self.check("no UTF-8", "config.json")

    def test_preprocessor(self):
        path = self.model / "preprocessor_config.json"
        whole = json.loads(path.read_text())

        def check(case, *words, **changes):
            path.write_text(json.dumps({**whole, **changes}))
            self.check(case, "preprocessor_config.json", *words)

        check("size of zero", "size", size=0)
        check("size as text", "size", size="large")
        check("unknown filter", "resample", resample=17)
        check("two means", "image_mean", image_mean=[0.5, 0.5])
        check("deviation of zero", "image_std", image_std=[0, 1, 1])

    def test_safetensors_file(self):
        path = self.model / "model.safetensors"
        whole = path.read_bytes()
        header, data = read_safetensors(path)
        size = len(whole) - len(data)
        for case, content in {
            "7 bytes": whole[:7],
            "header length alone": whole[:8],
            "inside the header": whole[: size // 2],
            "header alone": whole[:size],
            "one byte short": whole[:-1],
            "one byte too many": whole + b"\0",
            "header of 2^63 bytes": struct.pack("<Q", 2**63) + whole[8:],
            "header of 2^64 - 1 bytes": b"\xff" * 8 + whole[8:],
            "header of 101 MB": struct.pack("<Q", 101_000_000) + whole[8:],
            "header of no bytes": bytes(8) + whole[8:],
            "header is no JSON": struct.pack("<Q", 8) + b"not JSON" + data,
            "header is a list": struct.pack("<Q", 2) + b"[]" + data,
            "an older format": b"\x80\x02}q\x00." + whole[6:],
        }.items():
            path.write_bytes(content)
            self.check(case, "model.safetensors")

        def check(case, change, *words, extra=b""):
            changed = json.loads(json.dumps(header))
            change(changed)
            write_safetensors(path, changed, data + extra)
            self.check(case, "model.safetensors", *words)

        first, last = (sorted(n for n in header if n != "__metadata__")[i] for i in (0, -1))
        end = len(data)
        check("a tensor is missing", lambda h: h.pop(first))
        check("unknown type", lambda h: h[first].update(dtype="F8"), first)
        check("negative extent", lambda h: h[first].update(shape=[-1, 64]), first)
        check("extents that overflow", lambda h: h[first].update(shape=[2**40, 2**40]), first)
        check("bytes that do not fit the shape", lambda h: h[first].update(shape=[1]), first)
        check("offsets that overlap", lambda h: h[first].update(data_offsets=[0, end]))
        check("offsets beyond the file", lambda h: h[last].update(data_offsets=[end, end + 256]))
        check("offsets backwards", lambda h: h[first]["data_offsets"].reverse(), first)
        check("offsets missing", lambda h: h[first].pop("data_offsets"), first)
        text = json.dumps(header).encode()
        again = json.dumps({first: header[first]}).encode()
        write_safetensors(path, text[:-1] + b", " + again[1:], data)
        self.check("twice the same tensor", "model.safetensors", "duplicate")

    def test_tensors(self):
        """The file is well-formed, but is not the model that config.json describes."""
        path = self.model / "model.safetensors"
        header, data = read_safetensors(path)
        names = sorted(n for n in header if n != "__metadata__")

        def rebuild(change):
            """Tensors by name as (dtype, shape, bytes), changed and written in order."""
            tensors = {}
            for name in names:
                begin, end = header[name]["data_offsets"]
                tensors[name] = (header[name]["dtype"], header[name]["shape"], data[begin:end])
            change(tensors)
            fresh, body = {}, b""
            for name, (dtype, shape, content) in tensors.items():
                fresh[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
                body += content
            write_safetensors(path, fresh, body)

        query = next(n for n in names if n.endswith("layer.0.attention.attention.query.weight"))
        dtype, shape, content = header[query]["dtype"], header[query]["shape"], None
        rebuild(lambda t: t.pop(query))
        self.check("missing tensor", query)
        rebuild(lambda t: t.update({query: (dtype, [shape[0] // 2, shape[1]], t[query][2][: len(t[query][2]) // 2])}))
        self.check("wrong shape", query, "[64, 64]", "[32, 64]")
        rebuild(lambda t: t.update({query: (dtype, [shape[0] * shape[1]], t[query][2])}))
        self.check("wrong number of dimensions", query, "[64, 64]", "[4096]")
        rebuild(lambda t: t.update({"classifier.weight": (dtype, [1], bytes(4))}))
        self.check("extra tensor", "classifier.weight")
        rebuild(lambda t: t.update({query: ("I64", shape, bytes(8 * shape[0] * shape[1]))}))
        self.check("integers", query, "I64")
        rebuild(dict.clear)
        self.check("no tensor at all", "missing")

    def test_values(self):
        """Values that are no finite numbers are refused wherever they stand, and before anything is written."""
        self.need_device()
        path = self.model / "model.safetensors"
        header, data = read_safetensors(path)
        for name in ("encoder.layer.0.attention.attention.key.weight", "layernorm.bias", "embeddings.position_embeddings"):
            full = next(n for n in header if n.endswith(name))
            begin, end = header[full]["data_offsets"]
            for value in (float("nan"), float("inf")):
                at = begin + (end - begin) // 8 * 4
                write_safetensors(path, header, data[:at] + struct.pack("<f", value) + data[at + 4 :])
                with self.subTest(case=f"{value} in {name}"):
                    self.check_error(MODEL, ["finite"], "-m", "model", "-o", "x.npy", self.image)

    def test_no_pooler(self):
        self.need_device()
        model = str(harness.setup.make_model("vit-tiny", "--no-pooler"))
        self.check_error(MODEL, ["pooler", "--tokens"], "-m", model, "--tokens", "pooled", self.image)
        self.run_good("-m", model, self.image)


class Devices(Case):
    def setUp(self):
        super().setUp()
        self.image = self.make_png()

    def test_unknown(self):
        self.need_device()
        for name in ("99", "-1", "no such card", "00000000-0000-0000-0000-00000000beef", "4294967296"):
            with self.subTest(case=name):
                self.check_error(DEVICE, [name], "-d", name, "-o", "x.npy", self.image)

    def test_no_driver(self):
        environment = {
            "VK_DRIVER_FILES": "/nonexistent",
            "VK_ICD_FILENAMES": "/nonexistent",
            "VK_ADD_DRIVER_FILES": None,
        }
        for arguments in (["devices"], ["devices", "--json"], [self.image], ["-o", "x.npy", self.image], ["--plan"]):
            with self.subTest(case=" ".join(arguments)):
                self.check_error(DEVICE, ["Vulkan", "driver"], *arguments, environment=environment)
        with self.subTest(case="an image's mistake is told all the same"):
            self.check_error(IMAGE, ["b.png"], "b.png", environment=environment)
        with self.subTest(case="a manifest that is cut off, for which loaders report a lack of memory"):
            manifest = self.folder / "icd.json"
            manifest.write_text('{"file_format_version": "1.0.0", "ICD": {"library_pa')
            broken = dict(environment, VK_DRIVER_FILES=str(manifest), VK_ICD_FILENAMES=str(manifest))
            self.check_error(DEVICE, ["Vulkan", "driver"], "devices", environment=broken)
        with self.subTest(case="info needs no driver"):
            self.run_good("info", environment=environment)


class Outputs(Case):
    OPTIONS = ("-o", "--attention", "--pca")

    def setUp(self):
        super().setUp()
        self.image = self.make_png()

    def check(self, case, words, target, code=OUTPUT, **options):
        for option in self.OPTIONS:
            with self.subTest(case=f"{option} {case}"):
                self.check_error(code, [target, *words], option, target, self.image, **options)

    def test_before_work(self):
        """Found even where there is no device to work on."""
        (self.folder / "folder").mkdir()
        self.check("missing directory", ["directory"], "missing/x.out")
        self.check("file as directory", ["Not a directory"], "a.png/x.out")
        self.check("directory", ["directory"], "folder")
        self.check("name that is too long", ["too long"], "n" * 300)
        for option in ("--attention", "--pca"):
            (self.folder / "x-1.png").mkdir(exist_ok=True)
            self.check_error(OUTPUT, ["x-1.png", "directory"], option, "x.png", self.image, self.image)

    def test_long_name(self):
        """As long as a name may be, so that the temporary name must be shorter."""
        self.need_device()
        self.run_good("-o", "n" * 255, self.image)

    def test_write_protected(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everything")
        (self.folder / "closed").mkdir(mode=0o500)
        self.check("read-only directory", ["Permission denied"], "closed/x.out")
        (self.folder / "kept.out").write_bytes(b"kept")
        (self.folder / "kept.out").chmod(0o400)
        self.check("read-only file", ["Permission denied"], "kept.out")

    def test_proc(self):
        if not os.path.isdir("/proc/self"):
            self.skipTest("no /proc")
        self.check("a file system that takes no files", [], "/proc/x.out")

    def full(self, *arguments, **options):
        """As check_error(), where lines about finished images may have been printed before."""
        before = self.tree()
        result = self.run_command(*arguments, **options)
        self.assertEqual((result.code, result.err.count("\n")), (OUTPUT, 1), result.err)
        self.assertEqual(self.tree(), before)
        return result.err

    def test_full_disk(self):
        self.need_device()
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for option in self.OPTIONS:
            with self.subTest(case=option):
                err = self.full(option, "/dev/full", self.image)
                for word in ("/dev/full", "No space left", "free some space"):
                    self.assertIn(word, err)
        for arguments in (["--json", self.image], [self.image], ["-o", "-", self.image], ["--plan"], ["devices"]):
            with self.subTest(case="standard output, " + " ".join(arguments)), open("/dev/full", "wb") as full:
                err = self.full(*arguments, stdout=full)
                self.assertIn("standard output", err)
                self.assertIn("No space left", err)
        for arguments in (["--help"], ["--version"], ["info"]):
            with self.subTest(case="standard output, " + " ".join(arguments)), open("/dev/full", "wb") as full:
                self.assertIn("No space left", self.full(*arguments, stdout=full))

    def test_file_size_limit(self):
        """A disk that fills up in the middle of a file: the part that was written goes."""
        self.need_device()
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        if self.run_command("--no-cache", self.image, preexec_fn=limit).code != 0:
            self.skipTest("the driver does not run within the limit: SwiftShader's memory is a file, too")
        for option in self.OPTIONS:
            with self.subTest(case=option):
                self.assertIn("too large", self.full(option, "x.out", "--no-cache", self.image, preexec_fn=limit))

    def test_last_picture_fails(self):
        """Nothing of the other files appears either, and what was there stays."""
        self.need_device()
        self.write("x.npy", b"old")
        self.full("-o", "x.npy", "--attention", "y.png", "--pca", "/dev/full", self.image)
        self.full("-o", "/dev/full", "--attention", "y.png", "--pca", "z.png", self.image)
        self.assertEqual((self.folder / "x.npy").read_bytes(), b"old")

    def test_closed_stdout(self):
        self.need_device()
        for arguments in ([self.image], ["--version"]):
            with self.subTest(case=" ".join(arguments)):
                self.full(*arguments, preexec_fn=lambda: os.close(1))
        with self.subTest(case="and a file, which must not get the report"):
            self.full("-o", "a.npy", self.image, preexec_fn=lambda: os.close(1))
            self.assertFalse((self.folder / "a.npy").exists())


if __name__ == "__main__":
    harness.main(__name__)
