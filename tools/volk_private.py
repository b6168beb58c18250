#!/usr/bin/env python3
"""Writes a header that gives every global name of volk a prefix of ours: volk_private.py OUTPUT COMPILER [ARG...]

volk keeps Vulkan's entry points in global variables named like the functions (vkCreateInstance, ...). Hidden visibility
keeps them inside a shared library, but a static library linked into a program that uses volk, too, would collide with
it. So we compile volk under other names. Only its device-table loader is used; its globals are never read or written.
"""
import pathlib
import re
import subprocess
import sys

output, compiler = sys.argv[1], sys.argv[2:]
text = subprocess.run(compiler + ["-E", "-P", "-DVK_NO_PROTOTYPES", "-"], input="#include <volk.h>\n", text=True, check=True,
                      stdout=subprocess.PIPE).stdout
names = set(re.findall(r"extern\s+PFN_vk\w+\s+(vk\w+);", text)) | set(re.findall(r"\bvolk[A-Z]\w*", text))
if len(names) < 100:
    sys.exit(f"volk_private.py: expected hundreds of names in volk.h, found {len(names)}")
lines = ["/* Made by tools/volk_private.py from volk.h; see there for why. */"]
lines += [f"#define {name} dvk_{name}" for name in sorted(names)]
pathlib.Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")
