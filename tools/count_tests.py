#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests in a Meson log (meson-logs/testlog.json): prints "passed failed skipped".

A cmocka program counts as the tests that it lists in its summary, any other program as one test.
A program that died before its summary is at least one failure.
"""
import json
import re
import sys

SUMMARY = re.compile(r"^\[  (PASSED |SKIPPED|FAILED )\s*\] (\d+) test\(s\)", re.M)


def count(entry):
    """(passed, failed, skipped) of one program's entry in the log."""
    found = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    text = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    for word, number in SUMMARY.findall(text):
        found[word.strip()] += int(number)
    ok = entry["result"] in ("OK", "EXPECTEDFAIL")
    if not any(found.values()):
        if entry["result"] == "SKIP":
            return 0, 0, 1
        return (1, 0, 0) if ok else (0, 1, 0)
    if not ok and found["FAILED"] == 0:
        found["FAILED"] = 1
    return found["PASSED"], found["FAILED"], found["SKIPPED"]


def main():
    totals = [0, 0, 0]
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            for i, number in enumerate(count(json.loads(line))):
                totals[i] += number
    print(*totals)


if __name__ == "__main__":
    main()
