#!/usr/bin/env python3
"""Prints a C header with its plain comments made doxygen's: header_filter.py HEADER

The header is written to be read. This is what its comments mean to doxygen:
    a comment on lines of its own      what follows it
    a comment behind a declaration     that declaration; where it declares several names, all of them
    a ruler with a title               a group, up to the next one
    the comment at the top             the main page
A function, struct or enum without a comment is an error.
"""
import itertools
import pathlib
import re
import sys

RULER = re.compile(r"/\* -{10,} (.*?) \*/")
OWN_LINES = re.compile(r"^( *)/\*(.*?)\*/\n", re.MULTILINE | re.DOTALL)
BEHIND = re.compile(r"^( *)([^/\n]*?[;,{]|[^/\n]*[\w)])( *)/\*(.*?)\*/", re.MULTILINE | re.DOTALL)
SEVERAL = re.compile(r"^( *)((?:const )?\w+(?: \*)?) ?(\w+(?:\[\w+\])?(?:, \*?\w+(?:\[\w+\])?)+);( */\*\*<.*?\*/)", re.MULTILINE | re.DOTALL)


def escape(line):
    """Keeps markdown and doxygen commands out of prose that means neither; examples and `code` stay as they are."""
    star, prose = re.match(r"( *\*(?= |$))?(.*)", line).groups(default="")
    if re.match(r" {5,}\S", prose):
        return line
    parts = prose.split("`")
    parts[::2] = [re.sub(r"([@\\<>#*])", r"\\\1", part) for part in parts[::2]]
    return star + "`".join(parts)


def text(comment):
    return "\n".join(escape(line) for line in comment.split("\n"))


def undocumented(source):
    """Names whose declaration has no comment directly before it."""
    names = []
    for match in re.finditer(r"^(?:DVK_API [^;]*?\b(dvk_\w+)\(|typedef (?:struct|enum) (dvk_\w+) \{)", source, re.MULTILINE):
        before = source[:match.start()].rstrip(" ")
        if not before.endswith("*/\n"):
            names.append(match[1] or match[2])
    return names


def convert(source):
    top = re.match(r"/\*.*?\*/\n", source, re.DOTALL)
    body = source[top.end():]
    groups = itertools.count(1)

    def ruler(title):
        number = next(groups)
        end = "/** @} */\n" if number > 1 else ""
        return f"{end}/** @defgroup part{number} {title.capitalize()}\n * @{{ */"

    pieces = RULER.split(body)  # text, title, text, title, ...
    for i in range(0, len(pieces), 2):
        piece = OWN_LINES.sub(lambda m: f"{m[1]}/**{text(m[2])}*/\n", pieces[i])
        piece = re.sub(BEHIND, lambda m: m[0] if m[4].startswith("*") else f"{m[1]}{m[2]}{m[3]}/**<{text(m[4])}*/", piece)
        pieces[i] = re.sub(SEVERAL, lambda m: "".join(f"{m[1]}{m[2]} {name};{m[4]}\n" for name in m[3].split(", ")), piece)
    result = pieces[0]
    for title, piece in zip(pieces[1::2], pieces[2::2]):
        result += ruler(title) + piece
    tail = result.rindex("#ifdef __cplusplus")
    page = text(top[0][3:-3])
    return f"/** @mainpage dino-vk\n{page}*/\n/** @file */\n" + result[:tail] + "/** @} */\n" + result[tail:]


def main():
    source = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    missing = undocumented(source)
    if missing:
        sys.exit(f"{sys.argv[1]}: without a comment: {', '.join(missing)}")
    sys.stdout.write(convert(source))


if __name__ == "__main__":
    main()
