#!/usr/bin/env python3
"""Runs the tests of a build and counts them: run.py BUILD [ARGUMENT of meson test...]

Lists what failed and what was skipped with its reason; the last line is "N passed, N failed, N skipped". Exit status 1
where anything failed or nothing ran. $DVK_TEST_TIMEOUT_MULTIPLIER is how many times longer than usual a test may take.
"""
import json
import os
import pathlib
import subprocess
import sys

PASSED = ("OK", "EXPECTEDFAIL")


def reasons(test):
    """What the test printed after "skipped: "; a test that passes can have left out a part and say so."""
    return [line.removeprefix("skipped: ").strip() for line in test.get("stdout", "").splitlines()
            if line.startswith("skipped: ")]


def summarise(tests):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test in tests:
        name, result = test["name"], test["result"]
        outcome = "passed" if result in PASSED else "skipped" if result == "SKIP" else "failed"
        counts[outcome] += 1
        if outcome == "failed":
            print(f"failed: {name} ({result})")
        elif outcome == "skipped":
            print(f"skipped: {name}: {'; '.join(reasons(test)) or 'it gave no reason'}")
        else:
            for reason in reasons(test):
                print(f"part of {name} skipped: {reason}")
    if not tests:
        print("failed: no test ran")
        counts["failed"] = 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return counts["failed"]


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    patience = os.environ.get("DVK_TEST_TIMEOUT_MULTIPLIER", "1")
    status = subprocess.run(["meson", "test", "-C", build, "--print-errorlogs", "--timeout-multiplier", patience,
                             *sys.argv[2:]], check=False).returncode
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    failed = summarise([json.loads(line) for line in text.splitlines() if line])
    return 1 if failed or status else 0


if __name__ == "__main__":
    sys.exit(main())
