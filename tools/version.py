#!/usr/bin/env python3
"""Prints the version that include/dino_vk.h declares: the one place where it is written."""
import pathlib
import re

header = (pathlib.Path(__file__).resolve().parent.parent / "include" / "dino_vk.h").read_text(encoding="utf-8")
print(".".join(re.search(rf"#define DVK_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH")))
