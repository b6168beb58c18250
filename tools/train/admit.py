"""Which images are admitted, and under which licence: public domain, CC0 and CC-BY; nothing that would bind the weights.

What a file may be used for is decided file by file:
  endless-sky-data         the package's copyright file (DEP-5): the last paragraph that fits a path counts
  lomiri-wallpapers-*      the same
  openclipart-png          one public domain dedication for the whole package
  tuxpaint-stamps-default  the package as a whole is GPL-2; only stamps that its authors' list of contributors calls
                           public domain by name (or that are works of the US government), listed in stamps.txt
"""
import fnmatch
import pathlib
import re

FREE = {"public-domain", "CC0-1.0", "CC-BY-4.0", "CC-BY-3.0", "CC-BY-2.0", "CC-BY-2.5"}

# The folders of openclipart that hold objects, and the category where one is clear. None: an object of no category.
FOLDERS = {
    "animals": "animal", "plants": "plant", "food": "food", "transportation": "vehicle", "people": "person",
    "buildings": "building", "tools": "tool", "recreation/music": "music", "computer/hardware": "electronics",
    "electronics": "electronics", "people/clothing": "clothing", "buildings/furniture": None, "recreation/toys": None,
    "recreation/sports": None, "recreation/holiday": None, "recreation": None, "office": None, "containers": None,
    "decorations": None, "education": None, "science": None, "geography/astronomy": None, "unsorted": None,
}
LEFT_OUT = ("transportation/aiga-symbols", "transportation/roadsigns", "people/stickmen", "people/smilies",
            "people/bodypart", "recreation/games", "recreation/religion", "unsorted/duplicates", "recreation/party",
            "animals/fantasy", "tools/toys")


def paragraphs(path: pathlib.Path) -> list[tuple[list[str], str, str]]:
    """(patterns, licence, copyright) of every Files paragraph of a DEP-5 file, in its order."""
    found = []
    for block in re.split(r"\n\s*\n", path.read_text("utf-8", "replace")):
        fields = dict(re.findall(r"^(\S+):(.*(?:\n[ \t].*)*)", block, re.M))
        if "Files" in fields:
            licence = fields.get("License", "").strip().split("\n")[0]
            holder = " ".join(fields.get("Copyright", "").split())
            found.append((fields["Files"].split(), licence, holder))
    return found


def licence_of(path: str, rules: list[tuple[list[str], str, str]]) -> tuple[str, str]:
    """Of the last paragraph that fits, as DEP-5 has it; but a paragraph for some files of a folder that binds (such as
    *-sfiera*) is not undone by a later pattern that fits by chance (such as mountain1* for mountain10-sfiera.jpg)."""
    last = ("", "")
    for patterns, licence, holder in rules:
        fitting = [pattern for pattern in patterns if fnmatch.fnmatchcase(path, pattern)]
        if fitting:
            last = (licence, holder)
            if licence not in FREE and any(p.rsplit("/", 1)[-1] != "*" for p in fitting):
                return last
    return last


def backgrounds(root: pathlib.Path) -> list[dict]:
    sky = root / "endless-sky-data"
    rules = paragraphs(sky / "usr/share/doc/endless-sky-data/copyright")
    images = []
    for path in sorted((sky / "usr/share/games/endless-sky/images").glob("land/*.jpg")):
        name = "images/land/" + path.name
        licence, holder = licence_of(name, rules)
        images.append({"package": "endless-sky-data", "name": name, "path": path, "licence": licence, "holder": holder})
    for package in ("lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"):
        rules = paragraphs(root / package / f"usr/share/doc/{package}/copyright")
        for path in sorted((root / package).rglob("*.jpg")):
            name = package[-5:] + "/" + path.name
            licence, holder = licence_of(name, rules)
            images.append({"package": package, "name": name, "path": path, "licence": licence, "holder": holder})
    return [image for image in images if image["licence"] in FREE]


def cutouts(root: pathlib.Path) -> list[dict]:
    images = []
    base = root / "openclipart-png/usr/share/openclipart/png"
    for path in sorted(base.rglob("*.png")):
        name = path.relative_to(base).as_posix()
        folder = name.rsplit("/", 1)[0]
        known = [key for key in FOLDERS if folder == key or folder.startswith(key + "/")]
        if not known or folder.startswith(LEFT_OUT):
            continue
        images.append({"package": "openclipart-png", "name": name, "path": path, "licence": "public-domain",
                       "holder": "", "category": FOLDERS[max(known, key=len)]})
    base = root / "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
    for line in (pathlib.Path(__file__).parent / "stamps.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, category, licence, holder = (field.strip() for field in line.split("|"))
        assert licence in FREE, line
        images.append({"package": "tuxpaint-stamps-default", "name": name, "path": base / name, "licence": licence,
                       "holder": holder, "category": category if category != "-" else None})
    return images
