"""Runs the built command as a user does, each test in an empty directory, and tells the results as TAP."""
import argparse
import ast
import io
import json
import os
import pathlib
import pickle
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import types
import unittest
import unittest.mock
import zipfile
from collections import OrderedDict

import images

# Seconds for one command: a software driver under a sanitizer is slow. Longer where the tests may take longer, see tests/run.py.
TIMEOUT = 120 * float(os.environ.get("DVK_TEST_TIMEOUT_MULTIPLIER", "1"))


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def lines(self):
        return [json.loads(line) for line in self.out.decode("utf-8").splitlines()]


class Setup:
    """What all tests share: the command, an environment that knows nothing of the user's, and a tiny model."""

    def __init__(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("command")
        parser.add_argument("synth_model")
        parser.add_argument("patterns", nargs="*", help="run only the tests whose names contain one of these")
        arguments = parser.parse_args()
        self.patterns = arguments.patterns
        self.command = os.path.abspath(arguments.command)
        self.synth_model = os.path.abspath(arguments.synth_model)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="dino-vk-cli-"))
        foreign = ("DINO_VK_", "HF_", "XDG_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        self.environment.update(HOME=str(self.root / "home"), XDG_CACHE_HOME=str(self.root / "cache"), LC_ALL="C.UTF-8")
        # Mesa's own cache stays warm where a test moves ours; compiling anew takes seconds each time.
        self.environment.update(MESA_SHADER_CACHE_DIR=str(self.root / "mesa"))
        (self.root / "home").mkdir()
        self.model = self.make_model("vit-tiny")
        probe = subprocess.run([self.command, "devices", "--json"], env=self.environment, capture_output=True)
        self.devices = [json.loads(line) for line in probe.stdout.splitlines()] if probe.returncode == 0 else []
        self.no_device = probe.stderr.decode(errors="replace").strip() if not self.devices else None

    def make_model(self, name, *options):
        path = self.root / "-".join((name,) + options)
        if not path.exists():
            subprocess.run([self.synth_model, name, path, *options], check=True)
        return path

    def close(self):
        shutil.rmtree(self.root)


setup = None


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=setup.root))
        self.addCleanup(shutil.rmtree, self.folder)

    def need_device(self):
        if setup.no_device:
            self.skipTest(setup.no_device)

    def start(self, *arguments, environment=None, **options):
        """The model is the tiny one unless the arguments or the environment name another."""
        merged = dict(setup.environment, DINO_VK_MODEL=str(setup.model))
        for name, value in (environment or {}).items():
            merged.pop(name, None)
            if value is not None:
                merged[name] = value
        return subprocess.Popen([setup.command, *arguments], cwd=self.folder, env=merged, **options)

    def run_command(self, *arguments, stdin=b"", **options):
        options.setdefault("stdout", subprocess.PIPE)
        with self.start(*arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
            try:
                out, err = process.communicate(stdin, timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                self.fail(f"{arguments} took more than {TIMEOUT} s")
        return Result(process.returncode, out, err.decode(errors="replace"))

    def run_good(self, *arguments, **options):
        result = self.run_command(*arguments, **options)
        self.assertEqual(result.code, 0, result.err)
        return result

    def run_terminal(self, *arguments, errors=True):
        """Standard output is a terminal, and where `errors` are wanted, too, standard error. Returns the code and what was
        shown."""
        master, slave = pty.openpty()
        process = self.start(*arguments, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave if errors else subprocess.DEVNULL)
        os.close(slave)
        shown, end = b"", time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            try:
                piece = os.read(master, 65536)
            except OSError:  # how Linux tells that the other side is closed
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        return process.wait(TIMEOUT), shown.decode().replace("\r\n", "\n")

    def features(self, *arguments, **options):
        """What the JSON lines hold."""
        return self.run_good(*arguments, **options).lines()

    def check_error(self, code, words, *arguments, **options):
        """The exit code, one sentence with these words on one line, nothing printed, and no file left or changed."""
        before = self.tree()
        result = self.run_command(*arguments, **options)
        self.assertEqual(result.code, code, result.err)
        self.assertEqual(result.err.count("\n"), 1, result.err)
        self.assertTrue(result.err.startswith("dino-vk: ") and result.err.endswith("\n"), result.err)
        for word in words:
            self.assertIn(word, result.err)
        self.assertIn(result.out, (b"", None))
        self.assertEqual(self.tree(), before)
        print("# " + result.err, end="")  # for whoever wants to read all sentences in meson's log

    def tree(self):
        """Every file below the test's directory with its content."""
        found = {}
        for folder, _, names in os.walk(os.fsencode(self.folder)):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.access(path, os.R_OK):
                    with open(path, "rb") as file:
                        found[path] = file.read()
                else:
                    found[path] = None
        return found

    def write(self, name, data):
        (self.folder / name).write_bytes(data)
        return name

    def make_png(self, name="a.png", width=40, height=30):
        return self.write(name, images.png(width, height))

    def copy_model(self, name="model", source=None):
        shutil.copytree(source or setup.model, self.folder / name)
        return self.folder / name


def read_npy(data):
    """(shape, values) of a little-endian float32 .npy of version 1.0."""
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    size = struct.unpack("<H", data[8:10])[0]
    assert (10 + size) % 64 == 0 and data[9 + size : 10 + size] == b"\n"
    header = ast.literal_eval(data[10 : 10 + size].decode("latin-1"))
    assert header["descr"] == "<f4" and header["fortran_order"] is False
    count = 1
    for extent in header["shape"]:
        count *= extent
    assert len(data) == 10 + size + 4 * count, "the file's length does not fit its shape"
    return header["shape"], struct.unpack(f"<{count}f", data[10 + size :])


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_safetensors(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def torch_file(tensors):
    """What torch.save() writes of a dictionary of float tensors, given as lists or as lists of rows."""
    fakes = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    storage = type("FloatStorage", (), {"__module__": "torch"})
    fakes["torch"].FloatStorage = storage

    def _rebuild_tensor_v2(*arguments):
        return arguments

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    fakes["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2

    class Tensor:
        def __init__(self, key, rows):
            self.key, self.shape = key, (len(rows), len(rows[0])) if isinstance(rows[0], list) else (len(rows),)
            values = [value for row in rows for value in row] if isinstance(rows[0], list) else rows
            self.data = struct.pack(f"<{len(values)}f", *values)

        def __reduce__(self):
            return _rebuild_tensor_v2, (self, 0, self.shape, (*self.shape[1:], 1), False, OrderedDict())

    class Pickler(pickle.Pickler):
        started = None  # a tensor's reduction names the tensor again, as its storage

        def persistent_id(self, value):
            if isinstance(value, Tensor) and self.started is value:
                self.started = None
                return "storage", storage, value.key, "cpu", len(value.data) // 4
            self.started = value if isinstance(value, Tensor) else self.started
            return None

    contents = {name: Tensor(str(i), values) for i, (name, values) in enumerate(tensors.items())}
    text, archive = io.BytesIO(), io.BytesIO()
    with unittest.mock.patch.dict(sys.modules, fakes):
        Pickler(text, protocol=2).dump(contents)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("head/data.pkl", text.getvalue())
        file.writestr("head/version", "3\n")
        for tensor in contents.values():
            file.writestr("head/data/" + tensor.key, tensor.data)
    return archive.getvalue()


class TapResult(unittest.TestResult):
    """One TAP line for every test, and for every subtest of those that have some."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.with_subtests = set()

    def line(self, good, name, remark="", detail=""):
        self.count += 1
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}{remark}")
        for text in detail.splitlines():
            print("# " + text)
        sys.stdout.flush()

    @staticmethod
    def name(test):
        return test.id().split(".", 1)[1].replace("#", "")

    def addSuccess(self, test):
        if test.id() not in self.with_subtests:
            self.line(True, self.name(test))

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.line(False, self.name(test), detail=self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.line(False, self.name(test), detail=self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, self.name(test), " # SKIP " + reason.replace("\n", " "))

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        self.with_subtests.add(test.id())
        name = self.name(test) + ": " + str(subtest.params.get("case", subtest.params)).replace("#", "")
        detail = (self.failures + self.errors)[-1][1] if error else ""
        if error and issubclass(error[0], test.failureException):
            detail = self.failures[-1][1]
        self.line(error is None, name, detail=detail)


def main(module):
    global setup
    setup = Setup()
    try:
        suite = unittest.TestSuite()
        for group in unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module]):
            for test in group:
                if not setup.patterns or any(pattern in test.id() for pattern in setup.patterns):
                    suite.addTest(test)
        result = TapResult()
        suite.run(result)
        print(f"1..{result.count}")
    finally:
        setup.close()
    sys.exit(0 if result.wasSuccessful() else 1)
