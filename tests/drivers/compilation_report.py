#!/usr/bin/env python3
"""Tables of what compile-pipelines printed for many devices: compilation_report.py FOLDER DOCUMENT

Rewrites what is in DOCUMENT between its two markers. Fails where a pipeline failed.
What spills although it is chosen without a measurement is in a table of its own."""
import pathlib
import sys

BEGIN, END = "<!-- made by tests/drivers/compilation_report.py -->", "<!-- end -->"

# What each compiler calls it: registers, occupancy, cost, spills (all of them).
STATISTICS = {
    "amd": ("VGPRs", "Subgroups per SIMD", "Inverse Throughput", ("Spilled VGPRs", "Spilled SGPRs")),
    "nvidia": ("Number of GPRs", "Max warps/SM", "Static cycle count", ("Spills to memory",)),
    "qualcomm": ("Registers used", "Max Waves Per Core", "Instruction Count", ("STP Count",)),
    "apple": ("GPRs", "Threads", "ALU", ("Spills",)),
    "intel": ("Max live registers", "Max dispatch width", "Cycles", ("Spills",)),
}
GENERATIONS = {"120": "Maxwell", "132": "Pascal", "134": "Pascal", "162": "Turing", "170": "Ampere", "172": "Ampere",
               "190": "Ada", "192": "Ada", "1b0": "Blackwell"}
# Of a line of what is chosen: the first kernels of shaders/compile.py's KERNELS.
KERNELS = ("patchify", "matmul", "layernorm", "attention")
# The tables: a title, the specialisation, and which variants.
TABLES = (
    ("Products, fp32 weights, with GELU", "activation 1, residual 0",
     ("matmul_tiled_fp32", "matmul_tiled_32x32_fp32", "matmul_tiled_128x64_fp32", "matmul_tiled_128x128_fp32",
      "matmul_tiled_small_fp32")),
    ("Products, fp16 weights, with GELU", "activation 1, residual 0",
     ("matmul_tiled_fp16", "matmul_half_fp16", "matmul_half_128x64_fp16")),
    ("Products on cooperative matrices, with GELU", "activation 1, residual 0",
     ("cooperative_16x16x16_64x64_fp16", "cooperative_16x16x16_32x64_fp16", "cooperative_16x16x16_128x128_fp16",
      "cooperative_16x8x16_64x64_fp16", "cooperative_16x8x16_128x128_fp16")),
    ("Attention, heads of 64", "head_dim 64",
     ("attention_blocked_32", "attention_blocked_64", "attention_blocked_small", "attention_blocked_16",
      "attention_blocked_8", "attention_shared")),
    ("Attention on cooperative matrices, heads of 64", "head_dim 64",
     ("attention_cooperative_16x16x16", "attention_cooperative_16x16x16_2", "attention_cooperative_16x8x16")),
)


class Device:
    def __init__(self, path):
        self.vendor, self.name = path.stem.split("-", 1)
        self.pipelines, self.failures, self.chosen, self.fields = {}, [], {}, None
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split("\t")
            if fields[0] == "device":
                self.fields = fields[1:]
            elif fields[0] == "chosen":
                self.chosen[fields[1]] = fields[2:]
            elif len(fields) > 2 and fields[2] == "ok":
                self.pipelines[fields[0], fields[1]] = dict(field.split("=", 1) for field in fields[3:])
            elif "not admitted" not in fields:
                self.failures.append(line)
        if not self.fields:
            self.failures.append(f"{path.name}: no device")
            self.fields = ["?"] * 5

    def title(self):
        if self.vendor == "nvidia":
            return f"{self.name} ({GENERATIONS.get(self.name, '?')})"
        return self.name

    def spills(self, key):
        statistics = self.pipelines[key]
        return sum(int(statistics.get(name, 0)) for name in STATISTICS[self.vendor][3])

    def cell(self, key):
        if key not in self.pipelines:
            return ""
        registers, occupancy, cost, _ = (self.pipelines[key].get(name, "?") if isinstance(name, str) else name
                                         for name in STATISTICS[self.vendor])
        text = f"{registers} · {occupancy} · {float(cost) / 1000:.1f}"
        return f"{text} **spills {self.spills(key)}**" if self.spills(key) else text

    def chosen_of(self, kernel, weight):
        """The names for heads of 32, 64 and 128, where they differ."""
        at = KERNELS.index(kernel)
        lines = [self.chosen.get(f"{weight}, head_dim {size}", ()) for size in (32, 64, 128)]
        names = [line[at] if len(line) > at else "none" for line in lines]
        return " ".join(name for i, name in enumerate(names) if i == 0 or name != names[i - 1])

    def chosen_pipelines(self):
        """What a session without measurements would use, by weights and head_dim."""
        for what, names in self.chosen.items():
            head_dim = what.split(", ")[1]
            for variant, specialisation in self.pipelines:
                if variant in names and (not specialisation.startswith("head_dim") or specialisation == head_dim):
                    yield what, (variant, specialisation)


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def report(devices):
    lines = ["", "## Devices", ""]
    rows = []
    for device in devices:
        name, subgroup, shared, invocations, features = device.fields[:5]
        bits, _, shapes = features.partition("  ")
        bits = [bit for bit in bits.split() if bit not in ("timeline", "coopmat")]
        rows.append([device.vendor, device.title(), name.split(" (")[0].strip(), subgroup.replace("subgroup ", ""),
                     shared.replace("shared ", ""), invocations.replace("invocations ", ""), ", ".join(bits),
                     ", ".join(shapes.split()), str(len(device.pipelines)), str(len(device.failures))])
    lines += table(["vendor", "device", "as the driver calls it", "subgroup", "shared memory", "invocations", "features",
                    "matrices (fp16 to fp32)", "pipelines", "failed"], rows)

    lines += ["", "## Chosen without a measurement", "", "Attention for heads of 32, 64 and 128.", ""]
    groups = {}
    for device in devices:
        key = tuple(device.chosen_of(kernel, weight) for weight in ("fp32", "fp16") for kernel in ("matmul", "attention"))
        groups.setdefault(key, []).append(f"{device.vendor} {device.name}")
    lines += table(["products, fp32", "attention, fp32", "products, fp16", "attention, fp16", "devices"],
                   [[*key, ", ".join(names)] for key, names in groups.items()])
    groups = {}
    for device in devices:
        for what, key in device.chosen_pipelines():
            if device.spills(key):
                place = (f"{device.vendor} {device.name}", f"{key[0]} ({key[1]})", str(device.spills(key)))
                groups.setdefault(place, []).append(what)
    spilling = [[device, variant, "; ".join(whats), spills] for (device, variant, spills), whats in groups.items()]
    chosen = sum(len({key for _, key in device.chosen_pipelines()}) for device in devices)
    what = f"Of {chosen} pipelines that are chosen so, for heads of 32, 64 and 128,"
    lines += ["", f"{what} {len(spilling)} spill:" if spilling else f"{what} none spills."]
    if spilling:
        lines += ["", *table(["device", "variant", "weights and heads", "spills"], spilling)]

    for title, specialisation, variants in TABLES:
        rows = [[f"{device.vendor} {device.title()}"] + [device.cell((variant, specialisation)) for variant in variants]
                for device in devices if any((variant, specialisation) in device.pipelines for variant in variants)]
        lines += ["", f"## {title}", ""] + table(["device", *variants], rows)
    return lines + [""], spilling


def main():
    folder, document = (pathlib.Path(argument) for argument in sys.argv[1:3])
    order = list(STATISTICS)
    devices = sorted((Device(path) for path in folder.glob("*-*.txt") if path.stem.split("-")[0] in order),
                     key=lambda device: (order.index(device.vendor), device.name))
    lines, spilling = report(devices)
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    document.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1], encoding="utf-8")
    failures = [failure for device in devices for failure in device.failures]
    pipelines = sum(len(device.pipelines) for device in devices)
    print(f"{len(devices)} devices, {pipelines} pipelines, {len(failures)} failed, {len(spilling)} kinds of chosen ones spill")
    for failure in failures:
        print(f"  {failure}")
    return 1 if failures or not devices else 0


if __name__ == "__main__":
    sys.exit(main())
