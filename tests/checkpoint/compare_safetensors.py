"""Random safetensors files, good and slightly bad, for our reader and for Hugging Face's own: both must accept the same files
with the same values, or both refuse. compare_safetensors.py LIST-SAFETENSORS [COUNT [SEED]]; needs python3-safetensors.

Where the two may differ is in `reason()`, with why. The last line counts.
"""
import collections
import importlib.metadata
import json
import random
import struct
import subprocess
import sys

try:
    import safetensors
except ImportError:
    print("skipped: the comparison with Hugging Face's reader: python3-safetensors is not installed")
    sys.exit(77)

BITS = {
    "F32": 32, "F16": 16, "BF16": 16, "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32,
    "U64": 64, "I64": 64, "F64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def name(self):
        letters = "ab.é\u2028\"\\/ 0_\U0001f600\n"
        return "".join(self.random.choice(letters) for _ in range(self.random.randrange(6)))

    def tensors(self):
        """Pairs of names and descriptions, and the data that they cover."""
        pairs, data, seen = [], b"", set()
        for _ in range(self.random.choice((0, 1, 1, 2, 2, 3, 5))):
            name = self.name()
            if name in seen:
                continue
            seen.add(name)
            dtype = self.random.choice(list(BITS)[: 14 if self.random.random() < 0.8 else None])
            shape = [self.random.randrange(4) for _ in range(self.random.randrange(5))]
            bits = BITS[dtype]
            for extent in shape:
                bits *= extent
            size = (bits + 7) // 8
            pairs.append([name, {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}])
            data += self.random.randbytes(size)
        self.random.shuffle(pairs)
        return pairs, data

    def header(self, pairs):
        def text(value):
            return json.dumps(value, ensure_ascii=self.random.random() < 0.5)

        items = [f"{text(name)}:{text(entry)}" for name, entry in pairs]
        if self.random.random() < 0.3:
            metadata = self.random.choice(({"format": "pt"}, {}, None, {"a": 1}, {"a": None}, [], "x", {"a": {"b": "c"}}))
            items.insert(self.random.randrange(len(items) + 1), f'"__metadata__":{text(metadata)}')
        return "{" + ",".join(items) + "}"

    def damage_entry(self, pairs):
        """One thing wrong, or merely unusual, in a description."""
        entry = self.random.choice(pairs)[1]
        key = self.random.choice(("dtype", "shape", "data_offsets"))
        numbers = (-1, 0, 1, 2, 3, 4, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 1.0, 1e30, True, None, "1", [])
        what = self.random.randrange(7)
        if what == 0:
            del entry[key]
        elif what == 1:
            entry[key] = self.random.choice((None, 1, "F32", [], {}, [0, 0], [1, 2, 3], "f32", "F33"))
        elif what == 2:
            entry["note"] = self.random.choice((None, 1, "x", [], {"a": 1}))
        elif key == "dtype":
            entry[key] = self.random.choice(list(BITS))
        elif entry[key]:
            place = self.random.randrange(len(entry[key]))
            if what < 5:
                entry[key][place] = self.random.choice(numbers)
            else:
                entry[key][place] += self.random.choice((-1, 1, 4, 8))
        else:
            entry[key] = [self.random.choice(numbers) for _ in range(self.random.randrange(1, 10))]

    def damage_text(self, text):
        choice = self.random.randrange(8)
        if choice == 0:
            return self.random.choice((" ", "\n", "\t", "[", "\ufeff", "{}")) + text
        if choice == 1:
            return text + self.random.choice((" ", "   \n", "x", "}", ",", "{}", "\0"))
        if choice == 2:
            return text.replace(":", " : ").replace(",", " ,\r\n\t")
        if choice == 3:
            return text.replace("}", ",}", 1)
        if choice == 4:
            return text.replace(self.random.choice("0123456789"), self.random.choice(("01", "-0", "1e0", "1.0", "+1")), 1)
        if choice == 5 and len(text) > 2:  # the first pair twice
            first = text[1:].split("},")[0].rstrip("}") + "}"
            return "{" + first + "," + text[1:]
        if choice == 6:
            return text.replace('"', self.random.choice(('"\\u0000', '"\\ud800', '"\\x', '"\x01', '"\\u0041')), 1)
        place = self.random.randrange(len(text) + 1)
        return text[:place] + self.random.choice("{}[]\",:0-e\\ax\x7f\u00e9") + text[place + self.random.randrange(2) :]

    def file(self):
        pairs, data = self.tensors()
        kind = self.random.random()
        if pairs and kind < 0.35:
            self.damage_entry(pairs)
        text = self.header(pairs)
        if 0.35 <= kind < 0.65:
            text = self.damage_text(text)
        header = text.encode("utf-8", "surrogatepass")
        if 0.65 <= kind < 0.75 and header:
            place = self.random.randrange(len(header))
            header = header[:place] + bytes([self.random.randrange(256)]) + header[place + 1 :]
        length = len(header)
        if kind > 0.9:
            length += self.random.choice((0, 0, 0, -1, 1, 8, 2**32, 2**63, 10**8, 2**64 - 8 - length))
        if 0.75 <= kind < 0.85:
            data = data[: -self.random.randrange(1, 4)] if self.random.random() < 0.5 else data + b"\0"
        file = struct.pack("<Q", length % 2**64) + header + data
        if 0.85 <= kind < 0.9:
            file = file[: self.random.randrange(len(file) + 1)]
        return file


def theirs(file):
    """{name: (dtype, shape, data)}, or the refusal as a text."""
    try:
        return {
            name: (entry["dtype"], tuple(entry["shape"]), bytes(entry["data"]))
            for name, entry in safetensors.deserialize(file)
        }
    except Exception as error:  # the extension has its own, and overflows have Python's
        return str(error)


def ours(line):
    if line.startswith("refused "):
        return line[len("refused ") :]
    tensors = {}
    for item in line.split()[1:]:
        name, dtype, shape, data = item[1:].split(":")
        key = bytes.fromhex(name).decode()
        tensors[key] = (dtype, tuple(int(extent) for extent in shape.split(",") if extent), bytes.fromhex(data))
    return tensors


def reason(ours, theirs):
    """Why the two may differ here; None: they may not."""
    if isinstance(ours, str) and not isinstance(theirs, str):
        if "begin with '{'" in ours:
            return "stricter: the format demands '{' first, which their reader does not check"
        if "duplicate" in ours:
            return "stricter: a key that occurs twice, of which their reader takes the last"
        if "not valid JSON" in ours and ("U+0000" in ours or "NUL" in ours):
            return "stricter: names with NUL"
        if "does not fit 64 bits" in ours and any(max(shape, default=0) >= 2**63 for _, shape, _ in theirs.values()):
            return "stricter: an extent from 2^63 up, of a tensor without elements"
        if "dimensions, at most" in ours:
            return "stricter: more dimensions than any model has"
    if isinstance(theirs, str) and not isinstance(ours, str):
        if any(dtype not in known for dtype, _, _ in ours.values()):
            return "newer: an element type that this version of theirs does not know"
    return None


def find_known():
    """The element types of the installed version."""
    known = set()
    for dtype, bits in BITS.items():
        size = bits * 8 // 8
        header = json.dumps({"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, size]}}).encode()
        if not isinstance(theirs(struct.pack("<Q", len(header)) + header + bytes(size)), str):
            known.add(dtype)
    return known


known = find_known()


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    generator = Generator(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    reader = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    outcomes, failed = collections.Counter(), 0
    for _ in range(count):
        file = generator.file()
        reader.stdin.write(struct.pack("<I", len(file)) + file)
        reader.stdin.flush()
        line = reader.stdout.readline().decode()
        if not line:
            print(f"failed: our reader ended over {file!r}")
            return 1
        a, b = ours(line.rstrip("\n")), theirs(file)
        if isinstance(a, str) and isinstance(b, str):
            outcomes["both refuse"] += 1
        elif a == b:
            outcomes["both accept, with equal values"] += 1
        elif why := reason(a, b):
            outcomes[why] += 1
        else:
            failed += 1
            if failed <= 20:
                print(f"differs: {file!r}\n  ours: {a}\n  theirs: {b}")
    reader.stdin.close()
    reader.wait()
    for outcome, number in sorted(outcomes.items(), key=lambda item: -item[1]):
        print(f"{number:8} {outcome}")
    print(f"{count} files, safetensors {importlib.metadata.version('safetensors')}: {failed} differ without a reason")
    return 1 if failed or outcomes["both accept, with equal values"] < count // 10 else 0


sys.exit(main())
