#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small Unigram tokenizers of the families that whet reads (XLM-RoBERTa, CamemBERT, T5, ALBERT), trained here on
made-up text, and what Hugging Face tokenizers (VERSION.txt) makes of the first texts of texts.hex:

    python3 tests/golden/tokenizer/generate_unigram.py

unigram_NAME.json ...  as those of generate_bpe.py
clusters.hex           texts of combining marks, joiners, Hangul, conjuncts and controls
unigram_clusters.ids   the ids of each by unigram_clusters.json, a normaliser that tells where clusters end
"""
import json
import random
import struct
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from charsmap import charsmap
from generate_bpe import BYTES, CORPUS, hard_texts, numbers, record, write

MARK = "\u2581"
XLMR = ["<s>", "<pad>", "</s>", "<unk>"]


def pairs():
    """As nmt_nfkc does: compatibility forms, letters with their marks, white space, what is dropped; and a
    few that no model has: one string at the begin of another, empty values."""
    out = {c: " " for c in "\t\n\r\u00a0\u1680\u2003\u3000\u2028\ufeff"}
    out.update({chr(c): "" for c in [*range(1, 9), 11, 12, *range(14, 32), 127, 0x200b, 0x200e, 0xad]})
    for c in [*range(0xa1, 0x250), *range(0x1e00, 0x1f00), *range(0x2100, 0x2190), *range(0x2460, 0x2480),
              *range(0xfb00, 0xfb07), *range(0xff01, 0xff5f), 0xfdfa, 0xac00, 0xac01, 0xd55c, 0x3392]:
        form = unicodedata.normalize("NFKC", chr(c))
        if form != chr(c):
            out[chr(c)] = form
        full = unicodedata.normalize("NFD", chr(c))
        if len(full) > 1 and c < 0x250:
            out[full] = form
    return {**out, "qu": "kw", "qux": "never met", "e\u0301\u0301": "two accents", "\U0001d518": "U", "ᄒ": "h"}


def train(normalizer, pre, special, size=450, fallback=False):
    tok = Tokenizer(models.Unigram())
    if normalizer:
        tok.normalizer = normalizer
    tok.pre_tokenizer, tok.decoder = pre, decoders.Metaspace()
    extra = BYTES if fallback else []
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=special + extra, unk_token="<unk>",
                                      show_progress=False)
    tok.train_from_iterator(CORPUS, trainer)
    content = json.loads(tok.to_str())
    model = content["model"]
    model["vocab"] = [[piece, round(score, 6)] for piece, score in model["vocab"]] + [["<mask>", 0.0]]
    model["byte_fallback"] = fallback
    tok = Tokenizer.from_str(json.dumps(content))
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    begin, end = special[0], special[-1] if special[-1] != "<unk>" else "</s>"
    tok.post_processor = processors.TemplateProcessing(
        f"{begin} $A {end}", f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(x, tok.token_to_id(x)) for x in (begin, end)])
    return tok


def metaspace(**how):
    return pre_tokenizers.Metaspace(**{"prepend_scheme": "always", **how})


def families():
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace()])
    compiled = normalizers.Precompiled(charsmap(pairs()))
    runs = normalizers.Replace(Regex(" {2,}"), MARK)
    yield "xlmr", train(compiled, words, XLMR)
    yield "bge", train(normalizers.Sequence([compiled, normalizers.Strip(False, True), runs]), metaspace(), XLMR)
    yield "albert", train(normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
        normalizers.StripAccents(), normalizers.Lowercase(), compiled, normalizers.Replace(Regex(" {2,}"), " ")]),
        words, ["[CLS]", "<pad>", "<unk>", "[SEP]"])
    yield "bytes", train(normalizers.NFKC(), metaspace(split=False), XLMR, 700, True)
    yield "whole", train(None, metaspace(prepend_scheme="first", split=False), XLMR)
    yield "some_bytes", odd_scores(train(compiled, metaspace(prepend_scheme="never"), XLMR, 700, True))


def odd_scores(tok):
    """Whole numbers, so that many ways are equally good; tokens twice; a byte that is no token; and the unknown
    token's text within words."""
    rng = random.Random(3)
    content = json.loads(tok.to_str())
    vocab = content["model"]["vocab"]
    for pair in vocab[4:]:
        pair[1] = -float(rng.randrange(1, 5) * len(pair[0]))
    vocab[vocab.index(next(p for p in vocab if p[0] == "<0xF0>"))][0] = "un"
    vocab += [["un", -1], ["o", -2], ["a<unk>", -3]]
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "<unk>"]
    return Tokenizer.from_str(json.dumps(content))


def cluster_texts():
    rng = random.Random(8)
    kinds = ["a", "e", "\r", "\n", "\u0301", "\u0301", "\u0308", "\u05b0", "\u093e", "\u0903", "\u094d", "\u0915",
             "\u0924", "\u200d", "\u200c", "\u00a9", "\u00ae", "\U0001f469", "\u263a", "\ufe0f", "\U0001f3fb",
             "\u0600", "\u06dd", "\u0d4e", "\u1100", "\u1161", "\u11a8", "\uac00", "\uac01", "\x01", "\u00ad",
             "\u200b", "\U000e0001", "\U0001f1e6", "\u0e31", "\u0e33", "\u0cc0", " ", "\u09cd", "\u0995", "\u0300"]
    return ["".join(rng.choice(kinds) for _ in range(rng.randrange(1, 24))) for _ in range(400)]


def clusters():
    """Each byte of a text is a string that becomes X: a cluster of up to 5 bytes is one, of others each code
    point. Words of 1 to 8 X are tokens, so that their number is."""
    units = [256 << 10] + [0] * 767
    for byte in range(1, 256):
        units[256 + byte] = byte | 1 << 8 | 768 << 10
    every = struct.pack("<769I", 4 * len(units), *units) + b"X\0"
    vocab = [("<unk>", 0.0)] + [("X" * n, -0.1) for n in range(1, 200)]
    tok = Tokenizer(models.Unigram(vocab, unk_id=0))
    tok.normalizer = normalizers.Precompiled(every)
    return tok


def main():
    texts = hard_texts()
    for name, tok in families():
        record("unigram_" + name, tok, texts)
    tok, lines = clusters(), cluster_texts()
    write("unigram_clusters.json", [json.dumps(json.loads(tok.to_str()), separators=(",", ":"))])
    write("clusters.hex", (text.encode().hex() for text in lines))
    write("unigram_clusters.ids", (numbers(tok.encode(text).ids) for text in lines))


if __name__ == "__main__":
    main()
