#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Merges two checkpoints by whet, beside what reading both and copying one takes, and beside mergekit.

Usage: run_merge.py FOLDER WHET [MERGEKIT_PYTHON]     (FOLDER from checkpoints.py: base, a, b; writes FOLDER/out*)
Each is run REPEATS times in turn; seconds are medians, rates medians of the ratios of each round. With COLD=1 in the
environment the pages of what is read are dropped before each run. Rates count the bytes of
`cat a b > /dev/null; cp a c`: twice reading and once copying; ties reads a base besides. Checked beside: the means agree with numpy's on a sample of rows, and with mergekit's on all
tensors. Prints one JSON document. Needs numpy; reads with /usr/bin/time's figures of memory.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

REPEATS = int(os.environ.get("REPEATS", 3))
COLD = bool(int(os.environ.get("COLD", 0)))


def run(command, **options):
    """Seconds, and the peak resident set of the child in MB."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"{command}: status {status}")
    return seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def drop(path):
    """What the system holds of the file, once it is on the disk."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def recipe(folder, method):
    path = os.path.join(folder, method + ".yml")
    text = f"merge_method: {method}\ndtype: bfloat16\nmodels:\n"
    for name in "ab":
        text += f"  - model: {folder}/{name}\n    parameters: {{weight: 0.5"
        text += ", density: 0.5}\n" if method == "ties" else "}\n"
    if method == "ties":
        text += f"base_model: {folder}/base\n"
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def tensors(path):
    """{name: (dtype, first byte, last byte)} of a safetensors file."""
    with open(path, "rb") as file:
        n = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(n))
    return {k: (v["dtype"], 8 + n + v["data_offsets"][0], 8 + n + v["data_offsets"][1])
            for k, v in header.items() if k != "__metadata__"}


def differing(ours, theirs):
    """Share of numbers that differ between two outputs, and the largest difference, both bfloat16."""
    import numpy
    differ = total = 0
    most = 0.0
    places, others = {}, {}
    for places_of, folder in ((places, ours), (others, theirs)):
        for name in sorted(os.listdir(folder)):
            if name.endswith(".safetensors"):
                for key, value in tensors(os.path.join(folder, name)).items():
                    places_of[key] = (os.path.join(folder, name),) + value
    if set(places) != set(others):
        return None
    for key, (path, _, begin, end) in places.items():
        x = numpy.fromfile(path, "<u2", (end - begin) // 2, offset=begin)
        y = numpy.fromfile(others[key][0], "<u2", (end - begin) // 2, offset=others[key][2])
        differ += int((x != y).sum())
        total += len(x)
        if (x != y).any():
            f = (x.astype("<u4") << 16).view("<f4") - (y.astype("<u4") << 16).view("<f4")
            most = max(most, float(abs(f).max()))
    return {"share": differ / total, "largest": most}


def main():
    folder, whet = os.path.abspath(sys.argv[1]), sys.argv[2]
    mergekit = sys.argv[3] if len(sys.argv) > 3 else None
    a, b = (os.path.join(folder, name, "model.safetensors") for name in "ab")
    copy = os.path.join(folder, "out-copy")
    commands = {"cat a b > /dev/null; cp a c": ["sh", "-c", f"cat {a} {b} > /dev/null; cp {a} {copy}"],
                "the same, synced": ["sh", "-c", f"cat {a} {b} > /dev/null; cp {a} {copy}; sync {copy}"]}
    outputs = {"cat a b > /dev/null; cp a c": copy, "the same, synced": copy}
    for method in ("linear", "ties"):
        name = f"whet {method}"
        outputs[name] = os.path.join(folder, "out-whet-" + method)
        commands[name] = [whet, "merge", "--recipe", recipe(folder, method), "--output", outputs[name],
                          "--quiet"]
        if mergekit:
            name = f"mergekit {method}"
            outputs[name] = os.path.join(folder, "out-mergekit-" + method)
            commands[name] = [mergekit, "-m", "mergekit.scripts.run_yaml", recipe(folder, method),
                              outputs[name], "--lazy-unpickle", "--low-cpu-memory", "--quiet"]
    rounds = {name: [] for name in commands}
    for repeat in range(REPEATS):
        for name, command in commands.items():
            if name.startswith("mergekit") and repeat > 0:
                continue
            remove(outputs[name])
            for model in ("a", "b", "base") if COLD else ():
                drop(os.path.join(folder, model, "model.safetensors"))
            rounds[name].append(run(command))
            if repeat + 1 < REPEATS or not mergekit:
                remove(outputs[name])  # so that the next has its room in memory
    result = {"checkpoint_bytes": os.path.getsize(a), "cached": not COLD, "rounds": REPEATS, "dtype": "bf16",
              "cpus": os.cpu_count(), "load": os.getloadavg()[0], "runs": {}}

    def rate(name, of):
        return round(statistics.median(base[0] / own[0] for base, own in zip(rounds[of], rounds[name])), 3)

    for name, figures in rounds.items():
        seconds, megabytes, processor = zip(*figures)
        result["runs"][name] = {"seconds": round(statistics.median(seconds), 2), "least": round(min(seconds), 2),
                                "most": round(max(seconds), 2),
                                "processor_seconds": round(statistics.median(processor), 2),
                                "peak_rss_mb": round(max(megabytes), 1),
                                "rate_of_cat_and_cp": rate(name, "cat a b > /dev/null; cp a c"),
                                "rate_of_synced": rate(name, "the same, synced")}
    if mergekit:
        for method in ("linear", "ties"):
            result[f"{method}: numbers that differ from mergekit's"] = differing(
                outputs[f"whet {method}"], outputs[f"mergekit {method}"])
    for path in outputs.values():
        remove(path)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
