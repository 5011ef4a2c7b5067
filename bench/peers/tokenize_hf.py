# SPDX-License-Identifier: Apache-2.0
"""The tokenizer beside Hugging Face's: the same texts, one thread each, in turn; ids compared.

The peer is `Tokenizer.encode_batch_fast` (its Rust code, without offsets, parallelism off), timed
without making Python lists of the ids. A ratio is taken from each pair of neighbouring runs, and
the median recorded.

    python3 bench/peers/tokenize_hf.py build/bench/nn/bench_tokenizer WHAT=MODEL_DIR,... \\
        NAME=FILE.tsv:COLUMN ... > bench/results/tokenizer.json

WHAT=train:KIND instead of WHAT=MODEL_DIR measures a tokenizer trained here on the texts, since the real
files of these models are not free to pass on: byte_level (GPT-2's pattern), llama3, sentencepiece.
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
from tokenizers import (Regex, Tokenizer, decoders, models, normalizers,  # noqa: E402
                        pre_tokenizers, trainers)

PAIRS = 5
VOCABULARY = 30000
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


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


def trained(kind, texts, folder):
    """A folder with a BPE tokenizer of this kind."""
    pieces = kind == "sentencepiece"
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True) if pieces
                    else models.BPE(ignore_merges=kind == "llama3"))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "byte_level")
    if pieces:
        tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    elif kind == "llama3":
        split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
        tok.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    else:
        tok.pre_tokenizer = level
    tok.decoder = decoders.Metaspace() if pieces else decoders.ByteLevel()
    special = ["<unk>"] + [f"<0x{b:02X}>" for b in range(256)] if pieces else []
    alphabet = [] if pieces else pre_tokenizers.ByteLevel.alphabet()
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet,
        show_progress=False))
    content = json.loads(tok.to_str())
    if pieces:  # as Llama 2 has it: no pre-tokenizer, a text is one word
        content["pre_tokenizer"] = None
        content["normalizer"] = json.loads(normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]).__getstate__())
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as out:
        json.dump(content, out, ensure_ascii=False)
    return folder


def measure(bench, model, texts):
    peer = tokenizers.Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    peer.no_padding()
    peer.no_truncation()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "texts"), os.path.join(folder, "ids")
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(text + "\n" for text in texts)
        for _ in range(PAIRS):
            begin = time.perf_counter()
            rows = peer.encode_batch_fast(texts)
            took = time.perf_counter() - begin
            run = json.loads(subprocess.run([bench, model, path, out, "1"], check=True,
                                            stdout=subprocess.PIPE).stdout)
            ratios.append(took / run["seconds"])
        with open(out, encoding="utf-8") as file:
            ids = [[int(x) for x in line.split()] for line in file]
        differing = sum(a != row.ids for a, row in zip(ids, rows, strict=True))
    size = sum(len(text.encode()) for text in texts)
    return {"texts": len(texts), "bytes": size, "tokens": run["tokens"], "differing": differing,
            "ratio": round(statistics.median(ratios), 1), "ratio_least": round(min(ratios), 1)}


def main():
    bench, kinds = sys.argv[1:3]
    texts = {}
    for argument in sys.argv[3:]:
        name, _, where = argument.partition("=")
        path, _, header = where.rpartition(":")
        texts[name] = column(path, header)
    result = {"what": "encoding, texts to ids; ratio = the peer's time over whet's",
              "date": datetime.date.today().isoformat(),
              "machine": f"{processor()}, one thread of {os.cpu_count()} cores",
              "peer": f"tokenizers {tokenizers.__version__}", "pairs": PAIRS, "tokenizers": {}}
    for argument in kinds.split(","):
        kind, _, model = argument.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            if model.startswith("train:"):
                every = [text for rows in texts.values() for text in rows]
                model = trained(model.removeprefix("train:"), every, folder)
            result["tokenizers"][kind] = {name: measure(bench, model, rows)
                                          for name, rows in texts.items()}
    # Other work on the machine meanwhile: both sides of a pair had it.
    result["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
