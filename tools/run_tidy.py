#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy on every compiled file of src/, cli/ and server/, several at a time.

A file that was clean is not looked at again until it, a header of it, its flags or .clang-tidy
changes. Usage: tools/run_tidy.py BUILD_DIRECTORY (set up with clang) [JOBS]
"""
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys


def entries(build):
    """{path: (folder, command)} of the files to check."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as text:
        database = json.load(text)
    found = {}
    for entry in database:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]))
        if path.startswith(("src/", "cli/", "server/")):
            found.setdefault(path, (entry["directory"], shlex.split(entry["command"])))
    return found


def key(folder, command, config):
    """A hash of everything that clang-tidy's verdict depends on, or None."""
    drop = {"-o", "-MF", "-MQ", "-MD", "-c"}
    words, skip = [], False
    for word in command:
        if skip or word in drop:
            skip = not skip and word in {"-o", "-MF", "-MQ"}
            continue
        words.append(word)
    done = subprocess.run(words + ["-E", "-C"], cwd=folder, capture_output=True, check=False)
    if done.returncode != 0:
        return None
    return hashlib.sha256(config + " ".join(words).encode() + done.stdout).hexdigest()


def check(path, folder, command, config, build, cache):
    """What clang-tidy says about one file; "" when it is clean."""
    stamp = key(folder, command, config)
    stamp = stamp and os.path.join(cache, stamp)
    if stamp and os.path.exists(stamp):
        return ""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, path], capture_output=True,
                          text=True, check=False)
    if done.returncode == 0:
        if stamp:
            with open(stamp, "w", encoding="utf-8"):
                pass
        return ""
    return done.stdout or done.stderr or f"{path}: clang-tidy exit {done.returncode}"


def main():
    build = sys.argv[1]
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    cache = os.path.join(build, "tidy-clean")
    os.makedirs(cache, exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    with open(".clang-tidy", "rb") as text:
        config = text.read() + version
    files = entries(build)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for said in pool.map(lambda f: check(f, *files[f], config, build, cache), sorted(files)):
            bad += said != ""
            print(said, end="" if said == "" else "\n")
    print(f"{len(files)} files, {bad} with complaints")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main()
