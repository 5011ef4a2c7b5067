#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds lengths: what is longer than a reader's screen has to say why (size_exceptions.txt).

Fails above 100 lines a function, 1000 a source file, 500 a public header, 110 columns; and on two
source files of one name, tabs, trailing blanks, or a missing newline at the end. Tells how many
functions exceed 60 lines and how many files 500. Functions are found by their first and last
column, which clang-format fixes.
"""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUNCTION, FUNCTION_ASK, FILE, FILE_ASK, HEADER, COLUMNS = 100, 60, 1000, 500, 500, 110


def sources():
    for top in ("include", "src", "cli", "server", "tests", "bench"):
        for folder, below, names in os.walk(os.path.join(ROOT, top)):
            below[:] = [b for b in below if not b.startswith(".")]  # the peers' environment
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT).replace(os.sep, "/")


def functions(lines):
    """(name, first line, length) of every function body."""
    start, name = None, None
    for number, line in enumerate(lines, 1):
        if start is None and line.endswith("{") and "(" in line + lines[max(0, number - 2)]:
            if line[0] not in " #}/" or (line[0] == " " and lines[number - 2][:1].isalpha()):
                head = line if "(" in line and line[0] != " " else lines[number - 2]
                start, name = number, head.split("(")[0].split()[-1].lstrip("*")
        elif line == "}" and start is not None:
            yield name, start, number - start + 1
            start = None


def exceptions():
    """{what: [reason, used]}; what is `path` or `path:function`."""
    found = {}
    path = os.path.join(ROOT, "tools/size_exceptions.txt")
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split("#")[0].split(None, 1)
            if len(words) == 2:
                found[words[0]] = [words[1], False]
            elif words:
                sys.exit(f"{path}: {words[0]} has no reason")
    return found


def main():
    problems, excused, homes = [], exceptions(), {}
    long_functions = long_files = total = 0

    def report(what, sentence):
        if what in excused:
            excused[what][1] = True
        else:
            problems.append(sentence)

    for path in sources():
        with open(os.path.join(ROOT, path), encoding="utf-8", newline="") as text:
            content = text.read()
        lines = content.split("\n")
        if not content.endswith("\n"):
            problems.append(f"{path}: no newline at the end")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS or "\t" in line or line != line.rstrip():
                report(path, f"{path}:{number}: too long, a tab, or trailing blanks")
        limit = HEADER if path.startswith("include/") else FILE
        if len(lines) > limit:
            report(path, f"{path}: {len(lines)} lines; expected at most {limit}")
        long_files += len(lines) > FILE_ASK
        for name, start, length in functions(lines):
            total += 1
            long_functions += length > FUNCTION_ASK
            if length > FUNCTION:
                report(f"{path}:{name}", f"{path}:{start}: {name} has {length} lines; expected at "
                                         f"most {FUNCTION}")
        if path.startswith(("src/", "cli/", "server/")):
            name = os.path.basename(path)
            if name in homes:
                problems.append(f"{path}: {homes[name]} has the same name; expected unique names")
            homes[name] = path
    problems += [f"tools/size_exceptions.txt: {what} is not needed"
                 for what, (_, used) in excused.items() if not used]
    for problem in problems:
        print(problem)
    print(f"{total} functions, {long_functions} above {FUNCTION_ASK} lines; "
          f"{long_files} files above {FILE_ASK} lines; {len(problems)} over the limits")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
