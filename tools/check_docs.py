#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what a reader relies on:

  every source file opens with its licence line, those of the library and the command with a purpose;
  every public function has a comment: its own, or the one at the head of its paragraph;
  every relative link in a Markdown file leads somewhere.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LICENCE = "SPDX-License-Identifier: Apache-2.0"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def files(*tops):
    """Paths below the given folders, relative to the root, with forward slashes."""
    for top in tops:
        for folder, inside, names in os.walk(os.path.join(ROOT, top)):
            inside[:] = [d for d in inside if not d.startswith((".", "build", "__"))]
            for name in sorted(names):
                yield os.path.relpath(os.path.join(folder, name), ROOT).replace(os.sep, "/")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return text.read()


def opening(path):
    """What is wrong with how a C file begins."""
    text = read(path)
    if LICENCE not in text[:200]:
        return [f'{path}:1: no licence line; expected "/* {LICENCE}"']
    end = text.find("*/")
    purpose = text[:end].split(LICENCE, 1)[1].strip(" *\n")
    if path.startswith(("src/", "include/")) and len(purpose.split()) < 4:
        return [f"{path}:1: no purpose after the licence line; expected what the file is for"]
    return []


def declarations(path):
    """Public functions without a comment. A paragraph ends at an empty line."""
    problems, commented = [], False
    for number, line in enumerate(read(path).splitlines(), 1):
        if not line.strip():
            commented = False
        elif "/*" in line or line.lstrip().startswith("*"):
            commented = True
        if line.startswith("WHET_API") and not commented:
            what = line.split("(")[0].strip()
            problems.append(f"{path}:{number}: {what} has no comment; expected its contract")
    return problems


def links(path):
    """Links of a Markdown file that lead to no file."""
    problems = []
    text = re.sub(r"```.*?```", lambda m: "\n" * m.group().count("\n"), read(path), flags=re.S)
    for match in LINK.finditer(text):
        goal = match.group(1).split("#")[0]
        if not goal or re.match(r"[a-z]+:", goal):
            continue
        place = os.path.normpath(os.path.join(ROOT, os.path.dirname(path), goal))
        if not os.path.exists(place):
            number = text.count("\n", 0, match.start()) + 1
            problems.append(f"{path}:{number}: the link {match.group(1)} leads nowhere")
    return problems


def main():
    problems, count = [], 0
    for path in files("include", "src", "cli", "server", "tests", "bench"):
        if path.endswith((".c", ".h")):
            count += 1
            problems += opening(path)
        if path.startswith("include/") and path.endswith(".h"):
            problems += declarations(path)
    for path in files("."):
        if path.endswith(".md"):
            count += 1
            problems += links(path)
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(problems)} without what a reader needs")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
