#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks which module includes which: the arrows of ARCHITECTURE.md, read off the #include lines.

Fails on an arrow that the table below does not have, an unknown module, a private header used from
outside, and a cycle among headers. `--self-test` shows that it sees each of them.
"""
import os
import re
import sys
import tempfile

BASE = ["core", "kernels", "tensor", "io"]
MIDDLE = BASE + ["nn", "space"]
METHODS = MIDDLE + ["label", "tune", "merge"]
LIBRARY = METHODS + ["market", "adapt", "bench"]
# module: the modules below it that it may include
LAYERS = {
    "core": [],
    "kernels": ["core"],
    "tensor": ["core", "kernels"],
    "io": ["core", "kernels", "tensor"],
    "nn": BASE,
    "space": BASE,
    "label": MIDDLE,
    "tune": MIDDLE,
    "merge": MIDDLE,
    "market": METHODS,
    "adapt": METHODS,
    "bench": METHODS + ["adapt"],
    "server": LIBRARY,
    "cli": LIBRARY + ["server", "whet"],
}
# Public headers that are a second one of their module.
HEADER_OF = {"votes": "label", "labelling": "label", "adapters": "tune",
             "merging": "merge", "ledger": "market", "trial": "market", "trading": "market",
             "commitment": "market", "tune_search": "tune"}
# Programs above the library see only what any user of it sees.
PUBLIC_ONLY = {"cli", "server"}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def owner(path):
    """(module, is_public_header) of a source file, by its place in the tree; None if not ours."""
    parts = path.split("/")
    if parts[0] == "src" and len(parts) >= 3:
        return parts[1], False
    if parts[0] in ("cli", "server"):
        return parts[0], False
    if parts[:2] == ["include", "whet"] and len(parts) == 3:
        name = parts[2][: -len(".h")]
        return HEADER_OF.get(name, name), True
    return None


def target(name, source, exists):
    """Path in the tree that `#include "name"` in `source` means, or None."""
    beside = os.path.normpath(os.path.join(os.path.dirname(source), name))
    for path in (beside, "include/" + name, "src/" + name):
        if exists(path):
            return path.replace(os.sep, "/")
    return None


def judge(source, header):
    """A sentence when `source` may not include `header`, else None."""
    user, user_public = owner(source)
    used, used_public = owner(header)
    if user not in LAYERS and user != "whet":
        return f'module "{user}" is unknown; expected one of {", ".join(LAYERS)}'
    if user == "whet":  # the umbrella header
        return None if used_public else "the umbrella header may include public headers only"
    if user_public and not used_public:
        return f"a public header includes the private {header}; expected public headers only"
    if used == user:
        return None
    if used not in LAYERS[user]:
        allowed = ", ".join(LAYERS[user]) or "nothing of ours"
        return f"{user} includes {used}; expected {allowed}"
    if used_public:
        return None
    if user in PUBLIC_ONLY:
        return f"{user} includes the private {header}; expected include/whet only"
    if os.path.basename(header) != used + "_i.h":
        return f"{header} is private to {used}; expected {used}/{used}_i.h or whet/{used}.h"
    return None


def find_cycle(edges):
    """A list of headers that include each other in a circle, or None."""
    state = {}

    def visit(node, trail):
        state[node] = "open"
        for child in edges.get(node, []):
            if state.get(child) == "open":
                return trail[trail.index(child):] + [child]
            if child not in state:
                found = visit(child, trail + [child])
                if found:
                    return found
        state[node] = "done"
        return None

    for node in sorted(edges):
        if node not in state:
            found = visit(node, [node])
            if found:
                return found
    return None


def check(root):
    """Sentences about everything wrong under `root`, and the number of files read."""
    problems, edges, files = [], {}, 0
    for top in ("include", "src", "cli", "server"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                if not name.endswith((".c", ".h")):
                    continue
                if owner(path) is None:
                    problems.append(f"{path}: belongs to no module; expected src/<module>/")
                    continue
                files += 1
                with open(os.path.join(root, path), encoding="utf-8") as source:
                    text = source.read()
                for match in INCLUDE.finditer(text):
                    line = text.count("\n", 0, match.start(1)) + 1
                    header = target(match.group(1), path,
                                    lambda p: os.path.isfile(os.path.join(root, p)))
                    if header is None or owner(header) is None:
                        problems.append(f'{path}:{line}: "{match.group(1)}" is not a header of '
                                        "this tree; expected <...> for others")
                        continue
                    edges.setdefault(path, []).append(header)
                    sentence = judge(path, header)
                    if sentence:
                        problems.append(f"{path}:{line}: {sentence}")
    cycle = find_cycle(edges)
    if cycle:
        problems.append("headers include each other: " + " -> ".join(cycle))
    return problems, files


def self_test():
    """Builds small bad trees and expects the sentence for each."""
    good = {
        "include/whet/core.h": "", "include/whet/io.h": '#include "whet/core.h"\n',
        "include/whet/whet.h": '#include "whet/core.h"\n#include "whet/io.h"\n',
        "src/core/core_i.h": '#include "whet/core.h"\n', "src/core/hidden.h": "",
        "src/io/npy.c": '#include "core/core_i.h"\n#include "whet/io.h"\n#include <math.h>\n',
        "cli/main.c": '#include "whet/whet.h"\n',
    }
    bad = [
        ({"src/core/x.c": '#include "whet/io.h"\n'}, "core includes io"),
        ({"src/space/x.c": '#include "whet/nn.h"\n', "include/whet/nn.h": ""}, "space includes nn"),
        ({"src/io/x.c": '  #  include "core/hidden.h"\n'}, "is private to core"),
        ({"cli/x.c": '#include "core/core_i.h"\n'}, "expected include/whet only"),
        ({"src/adapt/x.c": '#include "bench/bench_i.h"\n',
          "src/bench/bench_i.h": ""}, "adapt includes bench"),
        ({"src/misc/x.c": '#include "whet/core.h"\n'}, 'module "misc" is unknown'),
        ({"src/stray.c": ""}, "belongs to no module"),
        ({"src/io/x.c": '#include "whet/nowhere.h"\n'}, "is not a header of this tree"),
        ({"src/io/x.c": '#include "whet/whet.h"\n'}, "io includes whet"),
        ({"include/whet/io.h": '#include "core/core_i.h"\n'}, "includes the private"),
        ({"src/core/a.h": '#include "core/b.h"\n', "src/core/b.h": '#include "core/a.h"\n'},
         "include each other"),
    ]
    failures = 0
    for extra, expected in [({}, None)] + bad:
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**good, **extra}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as out:
                    out.write(text)
            problems, _ = check(root)
            seen = any(expected in p for p in problems) if expected else not problems
            if not seen:
                failures += 1
                print(f"self-test: {extra} gave {problems}; expected {expected}")
    for module, below in LAYERS.items():  # the table itself must be a ladder
        for other in below:
            if other != "whet" and module in LAYERS[other]:
                failures += 1
                print(f"self-test: {module} and {other} may include each other")
    print(f"self-test: {len(bad) + 1} trees, {failures} failures")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    problems, files = check(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    for problem in problems:
        print(problem)
    print(f"{files} files, {len(problems)} forbidden includes")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
