#!/usr/bin/env python3
"""The README's C code is examples/embed.c's, and what the documents name exists: test_readme.py ROOT"""
import pathlib
import re
import sys
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import checks
from checks import check

ROOT = pathlib.Path(sys.argv[1])
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))

readme = (ROOT / "README.md").read_text(encoding="utf-8")
blocks = re.findall(r"^```c\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
check(len(blocks) == 1, f"README.md has {len(blocks)} blocks of C, expected 1")
example = (ROOT / "examples" / "embed.c").read_text(encoding="utf-8")
for block in blocks:
    indented = textwrap.indent(block, "    ", lambda line: line.strip())
    check(indented in example, "README.md's C code is not part of examples/embed.c")

links = 0
for document in DOCUMENTS:
    if not document.exists():
        continue
    text = document.read_text(encoding="utf-8")
    # Markdown links, and paths in code that begin with a folder of ours.
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    for target in targets:
        links += 1
        check((document.parent / target).exists(), f"{document.name} links to {target}, which does not exist")
    folders = "include|runtime|shaders|tools|tests|docs|examples|models"
    for target in re.findall(rf"`((?:{folders})/[\w./-]*)", text):
        links += 1
        check((ROOT / target.rstrip(".")).exists(), f"{document.name} names {target}, which does not exist")
check(links > 10, f"only {links} links found")
print(f"{links} links and paths, {checks.failures} failures")
sys.exit(checks.failures != 0)
