#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the symbols of the library's objects (release build) and holds them to the rules:

  no mutable data (a context carries all state);
  visible names start with whet_ and stand in include/whet; names shared inside with whet_i_;
  no printing, aborting, environment, locale, clock, or memory outside the context's allocator.

Usage: tools/check_symbols.py BUILD_DIRECTORY. Exceptions with their reasons: symbols.allow.
"""
import glob
import os
import re
import subprocess
import sys

FORBIDDEN = {
    "prints": """printf vprintf fprintf vfprintf dprintf puts putchar putc fputs fputc fwrite perror
        stdout stderr stdin __printf_chk __vprintf_chk __fprintf_chk __vfprintf_chk psignal""",
    "ends the process": "abort exit _exit _Exit quick_exit atexit raise kill __assert_fail",
    "reads the environment": "getenv secure_getenv setenv putenv unsetenv environ",
    "allocates outside the context": """malloc calloc realloc free reallocarray aligned_alloc
        posix_memalign memalign valloc strdup strndup __strdup __strndup asprintf vasprintf
        __asprintf_chk __vasprintf_chk getline getdelim open_memstream""",
    "depends on the locale": """setlocale strtod strtof strtold atof strcoll strxfrm toupper tolower
        isalpha isspace isdigit isalnum isupper islower __ctype_b_loc __ctype_tolower_loc
        __ctype_toupper_loc mbtowc wctomb mbstowcs""",
    "is not reproducible": "rand srand random srandom drand48 rand_r time clock gettimeofday",
    "starts processes or signals": "system popen fork vfork execve execvp signal sigaction",
    "is unsafe": "gets strcpy strcat sprintf vsprintf __sprintf_chk __strcpy_chk __strcat_chk "
                 "strtok tmpnam mktemp",
}
REASON = {name: why for why, names in FORBIDDEN.items() for name in names.split()}
ROW = re.compile(r"^[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(?:(\.hidden|\.internal)\s+)?(\S+)$")
# Constant tables that hold pointers live in .data.rel.ro: written by the loader, then read-only.
MUTABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*)")


def symbols(path):
    """(flags, section, hidden, name) of each symbol of an object file."""
    text = subprocess.run(["objdump", "-t", path], check=True, capture_output=True,
                          text=True).stdout
    for line in text.splitlines():
        match = ROW.match(line)
        if match:
            yield match.group(1), match.group(2), bool(match.group(4)), match.group(5)


def read_allowed(path):
    """{(source, symbol): line number}; each line is `source symbol reason`."""
    allowed = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split("#")[0].split(None, 2)
            if len(words) == 3:
                allowed[words[0], words[1]] = number
            elif words:
                sys.exit(f"{path}:{number}: expected `source symbol reason`")
    return allowed


def judge(flags, section, hidden, name, declared):
    """A sentence about a symbol that breaks a rule, else None."""
    if section == "*UND*":
        return f"{name} {REASON[name]}" if name in REASON else None
    if "O" in flags and MUTABLE.match(section) or section == "*COM*":
        return f"{name} is mutable data ({section}); expected state in a context"
    if flags[0] in "gu" or flags[1] == "w":
        if hidden:
            return None if name.startswith("whet_i_") else (
                f"{name} is shared inside the library; expected a name in whet_i_, or static")
        if not name.startswith("whet_") or name.startswith("whet_i_"):
            return f"{name} is visible outside the library; expected a public name in whet_"
        if name not in declared:
            return f"{name} is visible, yet not declared in include/whet"
    return None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tools = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(tools)
    declared = set()
    for header in glob.glob(os.path.join(root, "include/whet/*.h")):
        with open(header, encoding="utf-8") as text:
            declared |= set(re.findall(r"\b(whet_\w+)\s*\(", text.read()))
    allowed = read_allowed(os.path.join(tools, "symbols.allow"))
    used, problems, count = set(), [], 0
    objects = sorted(glob.glob(os.path.join(sys.argv[1], "src", "**", "*.o"), recursive=True))
    for path in objects:
        source = os.path.relpath(path, sys.argv[1])
        source = os.path.join(os.path.dirname(os.path.dirname(source)),
                              os.path.basename(source)[: -len(".o")])
        for flags, section, hidden, name in symbols(path):
            count += 1
            sentence = judge(flags, section, hidden, name, declared)
            if sentence and (source, name) in allowed:
                used.add((source, name))
            elif sentence:
                problems.append(f"{source}: {sentence}")
    if count == 0:
        problems.append(f"{sys.argv[1]}/src: no objects; expected a finished build")
    for key, number in allowed.items():
        if key not in used:
            problems.append(f"tools/symbols.allow:{number}: {key[0]} {key[1]} is not needed")
    for problem in problems:
        print(problem)
    print(f"{len(objects)} objects, {count} symbols, {len(problems)} against the rules")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
