#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden files of the tokenizer, made with Hugging Face `tokenizers` (version in VERSION.txt).

    python3 generate.py [MODEL_DIR]

texts.hex      one text a line, its bytes in hexadecimal (some are not valid UTF-8)
NAME.json      small tokenizers with a made-up vocabulary
NAME.ids       the ids of each text by NAME.json; NAME.max7.ids cut to 7 tokens
minilm.ids     the same by MODEL_DIR/tokenizer.json (all-MiniLM-L6-v2, vocabulary not included)
unicode.txt    for each 4096 code points, hashes of what normalisers and the pre-tokeniser do
"""
import json
import os
import random
import sys

import tokenizers
from tokenizers import Tokenizer, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the a an and of to in is it that for on with as was cafe café cafés naive naïve ecole École
ecole strasse straße istanbul token ##ize ##izer ##izers ##s ##ing ##ed un ##aff ##able ##ly run
##ning 東 京 中 國 ##京 한 ᄒ ##ᅡ ##ᆫ ᄒ ᅡ о слово ##слов привет ##ет שלום नम ##स ##ते ά σ ος
όσος hello Hello HELLO world ##world İ i ##i̇ i̇ don t ' " $ ~ ^ ` € ™ 😀 👩 ##‍ ﷽ ... … # ## ##
##ﬁ ﬁ fi ① ##̈ u ##̈ A ##́ é 3 ##14 3.14 . , ! ? - _ ( ) [ ] { } < > | \\ / @ & * + = : ;
[MASK] CLS cls new york lstrip rstrip word""".split()


def vocabulary():
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)]
    capitals = [chr(c) for c in range(ord("A"), ord("Z") + 1)]
    tokens = SPECIALS + WORDS + letters + capitals + ["##" + x for x in letters + capitals]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def added(vocab, content, **flags):
    base = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    return {"id": vocab[content], "content": content, **base, **flags}


def bert(**flags):
    base = dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    return {"type": "BertNormalizer", **base, **flags}


def template(vocab, before, after):
    piece = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    single = [piece(x) for x in before] + [{"Sequence": {"id": "A", "type_id": 0}}]
    single += [piece(x) for x in after]
    return {"type": "TemplateProcessing", "single": single,
            "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {x: {"id": x, "ids": [vocab[x]], "tokens": [x]}
                               for x in before + after}}


def tokenizer(vocab, normalizer, pre, post, extra=(), **model):
    extra = [added(vocab, x) for x in SPECIALS] + list(extra)
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": extra,
            "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, **model, "vocab": vocab}}


def variants():
    vocab = vocabulary()
    more = {**vocab, "<new york>": len(vocab), "ÉCOLE": len(vocab) + 1, " gap ": len(vocab) + 2}
    usual = template(vocab, ["[CLS]"], ["[SEP]"])
    bert_pre = {"type": "BertPreTokenizer"}
    yield "uncased", tokenizer(vocab, bert(), bert_pre, usual)
    yield "cased", tokenizer(
        vocab, bert(lowercase=False), bert_pre,
        {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        max_input_chars_per_word=6)
    yield "accents", tokenizer(vocab, bert(strip_accents=False, clean_text=False), bert_pre, None,
                               continuing_subword_prefix="")
    yield "added", tokenizer(
        vocab, bert(), bert_pre, template(more, ["[CLS]", "[MASK]"], ["[SEP]", "[SEP]"]),
        [added(more, "lstrip", lstrip=True), added(more, "rstrip", rstrip=True),
         added(more, "word", single_word=True), added(more, "new", normalized=True),
         added(more, "<new york>", special=False, normalized=True, lstrip=True),
         added(more, "ÉCOLE", special=False, normalized=True, single_word=True),
         added(more, " gap ", special=False, rstrip=True)])
    yield "sequence", tokenizer(
        vocab, {"type": "Sequence", "normalizers": [
            {"type": "Lowercase"}, {"type": "NFD"}, {"type": "StripAccents"}]},
        {"type": "Whitespace"}, usual)
    yield "marks", tokenizer(vocab, {"type": "NFD"}, {"type": "WhitespaceSplit"}, usual)
    yield "whole", tokenizer(vocab, None, None, usual)
    # Spaces are tokens here, so that what lstrip and rstrip take is seen.
    spaces = list(vocab) + [" ", "##\u3000"] + ["## ", " x", "x ", "##x", "\u3000", "##\t"]
    spaces = {token: i for i, token in enumerate(dict.fromkeys(spaces))}
    more = {**spaces, " gap ": len(spaces), " lr": len(spaces) + 1}
    yield "spaces", tokenizer(
        spaces, None, None, usual,
        [added(spaces, "lstrip", lstrip=True), added(spaces, "rstrip", rstrip=True),
         added(more, " gap ", special=False, rstrip=True),
         added(more, " lr", lstrip=True, rstrip=True, normalized=True)],
        continuing_subword_prefix="")


PARTS = """the quick naïve Café ÉCOLE école straße İstanbul ΣΑΣ όσος 東京 𠀀 한국어 ﬁn ǅ unaffable
tokenizers running [CLS] [SEP] [MASK] [UNK] [PAD] [cls] [ ## ##ing don't 3.14 $5 ~ ^ ` | < > 😀
👩‍👩‍👧‍👦 🇩🇪 👍🏽 é é ́̇ ͅ ạ̇b 𝅗𝅥 ͏ ‍ ​  ­  󰀀 ͸ 󠀁 ẞ K Å Ω ཱི नमस्ते שָׁלוֹם lstrip rstrip word words
sword new york <new york> gap привет""".split()
RAW = ["\x00", "\x01", "\x7f", "\x85", "\u2028", "\u3000", "\u1680", "\u180e", "\ufffd", "\uffff",
       "\U0010ffff", "\t", "\n", "\r\n", " ", "  ", "\u302e\u302f", "\U00016ff0\U0001d165",
       "\U0001d165\u0301\u0327\U0001d16d", "\u0130", "\u0e33", "\ua7ce", "\U00011938"]


def hard_texts():
    pick = random.Random(20260101)
    texts = ["", " ", "\x00", "a", "The Café's naïve tokenizers, unaffable!", "x" * 100, "x" * 101,
             "é" * 100, "é" * 101, "cafe\u0301 " * 20, "a" * 6, "a" * 7, "new york", "NEW york",
             "<New  York>", "<NEW YORK>", "a <new york> b", "  lstrip  rstrip  word  ", "wordword",
             "x lstrip x", "x  rstrip  x", "x lr  lr x", "x\u3000lr\t x", "rstrip  lr gap  lstrip",
             "x rstrip lstrip x", "x  lstrip  rstrip  gap x", "a word.", "aword", "word_", "word\u0301", "é" "word", "x gap  gap y", "x gap gap y",
             "école", "ECOLE", "E\u0301COLE", "[CLS][SEP] [MASK]x[UNK]", "[[CLS]]", "[CLS", "ΣΑΣ"]
    texts = [x.encode() for x in texts]
    texts += [b"\xff", b"a\xc3", b"\xed\xa0\x80b", b"\xf0\x9f\x98", b"\xe2\x82x", b"\xf4\x90\x80\x80",
              b"\xc0\x80", b"caf\xe9 [CLS]\xe9", b"\xe2\x82[SEP]", b"word\xffword", b"\x80word"]
    while len(texts) < 240:
        text = "".join(pick.choice(PARTS if pick.random() < .8 else RAW) +
                       pick.choice(["", "", " ", " ", ",", "\u0301"])
                       for _ in range(pick.randrange(1, 9))).encode()
        if pick.random() < .15:
            at = pick.randrange(len(text))
            text = text[:at] + bytes([pick.randrange(256)]) + text[at + 1:]
        texts.append(text)
    return texts


def write_ids(name, path, texts):
    tok = Tokenizer.from_file(path)
    tok.no_padding()
    for suffix, limit in (("", 0), (".max7", 7)):
        tok.no_truncation()
        if limit:
            tok.enable_truncation(limit)
        rows = [tok.encode(text.decode("utf-8", "replace")).ids for text in texts]
        with open(os.path.join(HERE, name + suffix + ".ids"), "w") as out:
            out.writelines(" ".join(map(str, row)) + "\n" for row in rows)


def hashed(values):
    h = 14695981039346656037
    for value in values:
        h = (h ^ value) * 1099511628211 & MASK
    return h


def write_unicode():
    flags = dict(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    steps = [normalizers.BertNormalizer(**flags),
             normalizers.BertNormalizer(**{**flags, "lowercase": False}),
             normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(),
                                   normalizers.Lowercase()]),
             normalizers.NFD()]
    splits = [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Whitespace()]
    with open(os.path.join(HERE, "unicode.txt"), "w") as out:
        for first in range(0, 0x110000, 4096):
            codes = [c for c in range(first, first + 4096) if not 0xD800 <= c < 0xE000]
            row = [hashed(b for c in codes for b in step.normalize_str(chr(c)).encode() + b"\n")
                   for step in steps]
            row += [hashed(len(split.pre_tokenize_str("a" + chr(c) + "b")) for c in codes)
                    for split in splits]
            out.write(" ".join(f"{h:016x}" for h in row) + "\n")


def main():
    texts = hard_texts()
    with open(os.path.join(HERE, "texts.hex"), "w") as out:
        out.writelines(text.hex() + "\n" for text in texts)
    for name, content in variants():
        path = os.path.join(HERE, name + ".json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False, separators=(",", ":"))
            out.write("\n")
        write_ids(name, path, texts)
    if len(sys.argv) > 1:
        write_ids("minilm", os.path.join(sys.argv[1], "tokenizer.json"), texts)
    write_unicode()
    with open(os.path.join(HERE, "VERSION.txt"), "w") as out:
        out.write(f"tokenizers {tokenizers.__version__}\n")


if __name__ == "__main__":
    main()
