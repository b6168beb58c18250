#!/usr/bin/env python3
"""The shape of commit messages: `area: imperative what`, an empty line, why and what was measured.

check_commits.py [REVISIONS], by default all that the checkout holds. Merges are left out.
"""
import re
import subprocess
import sys

SUBJECT_LIMIT = 100


def faults(message):
    lines = message.rstrip("\n").split("\n")
    subject = lines[0]
    if not re.match(r"[a-z0-9_./, -]+: \S", subject):
        yield "the first line is not `area: what`"
    if subject.endswith("."):
        yield "the first line ends with a period"
    if len(subject) > SUBJECT_LIMIT:
        yield f"the first line has {len(subject)} characters, more than {SUBJECT_LIMIT}"
    if len(lines) > 1 and lines[1]:
        yield "the second line is not empty"


def main():
    revisions = sys.argv[1:] or ["HEAD"]
    log = subprocess.run(["git", "log", "--no-merges", "-z", "--format=%h%n%B", *revisions], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    # A squashed merge is as good as a merge.
    commits = [entry.split("\n", 1) for entry in log.split("\0") if entry]
    commits = [(commit, message) for commit, message in commits if not message.startswith("Merge ")]
    failures = 0
    for commit, message in commits:
        for fault in faults(message):
            failures += 1
            print(f"failed: {commit} {message.splitlines()[0]!r}: {fault}")
    print(f"{len(commits)} messages, {failures} faults")
    return failures != 0 or not commits


if __name__ == "__main__":
    sys.exit(main())
