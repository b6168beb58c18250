#!/usr/bin/env python3
"""Counts the results of `meson test`: test_summary.py BUILD/meson-logs/testlog.json

Lists what failed and what was skipped with its reason; the last line is "N passed, N failed, N skipped". Exit status 1
where anything failed or nothing ran.
"""
import json
import pathlib
import sys

PASSED = ("OK", "EXPECTEDFAIL")
SKIPPED = ("SKIP", "IGNORED")


def reasons(test):
    """What the test printed after "skipped: "; a test that passes can have left out a part and say so."""
    return [line.removeprefix("skipped: ").strip() for line in test.get("stdout", "").splitlines()
            if line.startswith("skipped: ")]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    log = pathlib.Path(sys.argv[1])
    if not log.exists():
        print(f"no test ran: there is no {log}")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    tests = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test in tests:
        result = test["result"]
        outcome = "passed" if result in PASSED else "skipped" if result in SKIPPED else "failed"
        counts[outcome] += 1
        if outcome == "failed":
            print(f"failed: {test['name']} ({result})")
        elif outcome == "skipped":
            print(f"skipped: {test['name']}: {'; '.join(reasons(test)) or 'it gave no reason'}")
        else:
            for reason in reasons(test):
                print(f"a part of {test['name']} was skipped: {reason}")
    if not tests:
        print("no test ran")
        counts["failed"] = 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
