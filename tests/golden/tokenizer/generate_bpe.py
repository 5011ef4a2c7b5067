#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small BPE tokenizers of the families that whet reads, trained here on made-up text, and what
Hugging Face tokenizers (VERSION.txt) makes of the first texts of texts.hex:

    python3 tests/golden/tokenizer/generate_bpe.py

bpe_NAME.json       the tokenizer
bpe_NAME.ids        ids of each text; bpe_NAME.max7.ids cut to 7 tokens
bpe_NAME.pairs.ids  of each text with the next one, "longest_first" to 11 tokens; then their types
bpe_NAME.text.hex   the ids decoded without special tokens
forms.txt           for each 4096 code points, hashes of their NFC, NFKC and NFKD
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from generate import HERE, PARTS, WORDS, hashed

TEXTS = 130
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CORPUS = [" ".join(PARTS[i:] + PARTS[:i]) for i in range(len(PARTS))] + [
    "the quick café's naive tokenizers, running 3.14 unaffable new york's words"] * 20 + WORDS
BYTES = [f"<0x{b:02X}>" for b in range(256)]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def train(tok, size, special=(), **how):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special),
                                  show_progress=False, **how)
    tok.train_from_iterator(CORPUS, trainer)
    return tok


def split(pattern, behavior="isolated", **how):
    return pre_tokenizers.Split(Regex(pattern), behavior, **how)


def byte_level(pre, normalizer=None, special=(), **model):
    tok = Tokenizer(models.BPE(**model))
    tok.pre_tokenizer, tok.decoder = pre, decoders.ByteLevel()
    if normalizer:
        tok.normalizer = normalizer
    return train(tok, 500, special, initial_alphabet=ALPHABET)


def begin(tok, token):
    template = f"{token} $A", f"{token} $A {token}:1 $B:1"
    return processors.TemplateProcessing(*template, special_tokens=[(token, tok.token_to_id(token))])


def roberta():
    tok = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False),
                     special=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tok


def llama3():
    tok = byte_level(pre_tokenizers.Sequence(
        [split(LLAMA3), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        ignore_merges=True)
    tok.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    tok.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), begin(tok, "<|begin_of_text|>")])
    return tok


def qwen2():
    tok = byte_level(pre_tokenizers.Sequence(
        [split(QWEN2), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        normalizers.NFC())
    tok.add_special_tokens(["<|im_start|>"])
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return tok


def odd():
    """What no model has all at once: every other step."""
    tok = byte_level(
        pre_tokenizers.Sequence([
            split(r"[\r\n]", "merged_with_previous"), pre_tokenizers.Digits(True),
            pre_tokenizers.Punctuation("contiguous"),
            split(r"\s?\p{L}+|\s?[^\s\p{L}\p{N}]+|\p{M}\s{2,3}?", "contiguous", invert=True),
            pre_tokenizers.Split("the", "merged_with_next"), split("q", "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=True)]),
        normalizers.Sequence([
            normalizers.NFKC(), normalizers.Strip(), normalizers.Replace(Regex(r"\s{2,}"), " "),
            normalizers.Lowercase(), normalizers.Replace("x", "yy")]))
    tok.add_tokens([AddedToken("Word", normalized=True), AddedToken("  gap", rstrip=True)])
    return tok


def sentencepiece(kind):
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                     decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    train(tok, 560, ["<unk>", "<s>", "</s>"] + BYTES, limit_alphabet=80)
    tok.post_processor = begin(tok, "<s>")
    if kind == "legacy":
        tok.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        content = json.loads(tok.to_str())
        content["pre_tokenizer"] = None
        return Tokenizer.from_str(json.dumps(content))
    if kind == "first":
        tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    if kind == "never":
        tok.normalizer = normalizers.NFKD()
        tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
        tok.decoder = decoders.Metaspace()
    return tok


def affixes():
    """Words with an end of their own, unknown letters not fused; and WordPiece's prefix in BPE."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(False)])
    tok.decoder = decoders.BPEDecoder()
    yield "suffix", train(tok, 400, ["<unk>"], end_of_word_suffix="</w>", limit_alphabet=40)
    tok = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True))
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    yield "prefix", train(tok, 400, ["<unk>"], continuing_subword_prefix="##", limit_alphabet=40)


def write(name, lines):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in lines)


def numbers(values):
    return " ".join(map(str, values))


def record(name, tok, texts):
    write(name + ".json", [json.dumps(json.loads(tok.to_str()), ensure_ascii=False,
                                      separators=(",", ":"))])
    rows = [tok.encode(text).ids for text in texts]
    write(name + ".ids", map(numbers, rows))
    write(name + ".text.hex", (tok.decode(row).encode().hex() for row in rows))
    tok.enable_truncation(7)
    write(name + ".max7.ids", (numbers(tok.encode(text).ids) for text in texts))
    tok.enable_truncation(11)
    pairs = [tok.encode(a, b) for a, b in zip(texts, texts[1:])]
    write(name + ".pairs.ids", [numbers(p.ids + p.type_ids) for p in pairs])


def write_forms():
    forms = [normalizers.NFC(), normalizers.NFKC(), normalizers.NFKD()]
    with open(os.path.join(HERE, "forms.txt"), "w", encoding="ascii") as out:
        for first in range(0, 0x110000, 4096):
            codes = [c for c in range(first, first + 4096) if not 0xD800 <= c < 0xE000]
            out.write(" ".join(
                f"{hashed(b for c in codes for b in form.normalize_str(chr(c)).encode()):016x}"
                for form in forms) + "\n")


def hard_texts():
    with open(os.path.join(HERE, "texts.hex"), encoding="ascii") as file:
        return [bytes.fromhex(line).decode("utf-8", "replace") for line in file][:TEXTS]


def main():
    texts = hard_texts()
    for name, tok in [("roberta", roberta()), ("llama3", llama3()), ("qwen2", qwen2()),
                      ("odd", odd()), ("legacy", sentencepiece("legacy")),
                      ("first", sentencepiece("first")), ("never", sentencepiece("never")),
                      *affixes()]:
        record("bpe_" + name, tok, texts)
    write_forms()


if __name__ == "__main__":
    main()
