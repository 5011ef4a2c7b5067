# SPDX-License-Identifier: Apache-2.0
"""The tokenizer beside Hugging Face's: the same texts, one thread each, in turn; ids compared.

The peer is `Tokenizer.encode_batch_fast` (its Rust code, without offsets, parallelism off), timed
without making Python lists of the ids. A ratio is taken from each pair of neighbouring runs, and
the median recorded.

    python3 bench/peers/tokenize_hf.py build/bench/nn/bench_tokenizer MODEL_DIR \\
        NAME=FILE.tsv:COLUMN ... > bench/results/tokenizer.json
"""
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402: reads the environment

PAIRS = 7


def column(path, name):
    """The texts of a column of a TSV file, those with line breaks left out."""
    with open(path, encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    at = rows[0].index(name)
    return [row[at] for row in rows[1:] if len(row) > at and "\r" not in row[at]]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = next((line for line in file if line.startswith("flags")), "")
    return "x86-64" + (", AVX-512" if "avx512f" in flags else "")


def measure(bench, model, texts):
    peer = tokenizers.Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    peer.no_padding()
    peer.no_truncation()
    ratios, ours, theirs = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "texts"), os.path.join(folder, "ids")
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(text + "\n" for text in texts)
        for _ in range(PAIRS):
            begin = time.perf_counter()
            rows = peer.encode_batch_fast(texts)
            theirs.append(time.perf_counter() - begin)
            run = json.loads(subprocess.run([bench, model, path, out, "1"], check=True,
                                            stdout=subprocess.PIPE).stdout)
            ours.append(run["seconds"])
            ratios.append(theirs[-1] / ours[-1])
        with open(out, encoding="utf-8") as file:
            identical = [[int(x) for x in line.split()] for line in file] == [r.ids for r in rows]
    size = sum(len(text.encode()) for text in texts)
    return {"texts": len(texts), "bytes": size, "tokens": run["tokens"], "identical": identical,
            "whet_mb_per_s": round(size / statistics.median(ours) / 1e6, 1),
            "peer_mb_per_s": round(size / statistics.median(theirs) / 1e6, 2),
            "ratio": round(statistics.median(ratios), 1), "ratio_least": round(min(ratios), 1),
            "whet_peak_mb": run["peak_mb"], "whet_load_seconds": run["load_seconds"]}


def main():
    bench, model = sys.argv[1:3]
    result = {"what": "WordPiece encoding, texts to ids, all-MiniLM-L6-v2's tokenizer.json",
              "date": datetime.date.today().isoformat(),
              "machine": f"{processor()}, one thread of {os.cpu_count()} cores",
              "load_average": round(os.getloadavg()[0], 1),  # other work on the machine meanwhile
              "peer": f"tokenizers {tokenizers.__version__}", "pairs": PAIRS, "texts": {}}
    for argument in sys.argv[3:]:
        name, _, where = argument.partition("=")
        path, _, header = where.rpartition(":")
        result["texts"][name] = measure(bench, model, column(path, header))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
