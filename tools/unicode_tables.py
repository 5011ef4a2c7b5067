#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/nn/unicode_data.c: what Hugging Face `tokenizers` does with each code point.

Its Rust crates mix Unicode versions (the categories are of 2015, the lower case of today), so no
single Unicode table reproduces it. Everything here is observed from outside, by running the Python
package over all code points; nothing is copied. Where grapheme clusters look alike from outside, the
classes of the `regex` package tell them apart. Run again after `pip install -U tokenizers`:

    python3 tools/unicode_tables.py > src/nn/unicode_data.c
"""
import struct
import textwrap
import unicodedata

import regex
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BITS = ("OTHER", "SPACE", "PUNCT", "NONSPACING", "MARK", "WORD", "NUMERIC", "RE_LETTER",
        "RE_NUMBER", "RE_MARK", "RE_PUNCT", "RE_SYMBOL", "RE_DIGIT", "RE_WORD")
CLASSES = (r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{S}", r"\d", r"\w")


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**flags, **on})


def observe():
    """Bits, lower case, decompositions, code points with a compatibility decomposition of their
    own: dictionaries over code points."""
    clean, strip = bert(clean_text=True), bert(strip_accents=True)
    lower, nfd = normalizers.Lowercase(), normalizers.NFD()
    accents, split = normalizers.StripAccents(), pre_tokenizers.BertPreTokenizer()
    word = Tokenizer(models.WordLevel({"u": 0}, unk_token="u"))
    word.add_tokens([AddedToken("Q", single_word=True, normalized=False)])
    digits, punctuation = pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()
    classes = [pre_tokenizers.Split(Regex(x), "removed") for x in CLASSES]
    space, strip_space = pre_tokenizers.Split(Regex(r"\s"), "removed"), normalizers.Strip()
    compatible = normalizers.NFKD()
    bits, lowers, decomposed, compat = {}, {}, {}, {}
    for c in POINTS:
        ch = chr(c)
        text = "a" + ch + "b"
        full = nfd.normalize_str(ch)
        pieces = len(split.pre_tokenize_str(text))
        flags = (clean.normalize_str(text) == "ab" and c != 0xFFFD, pieces == 2, pieces == 3,
                 full == ch and strip.normalize_str(text) == "ab",
                 accents.normalize_str(text) == "ab", 1 not in word.encode(ch + "Q").ids,
                 len(digits.pre_tokenize_str(text)) == 3,
                 *(not x.pre_tokenize_str(ch) for x in classes))
        # One bit serves three: white space of BERT, of the regular expressions, and of Strip.
        assert flags[1] == (not space.pre_tokenize_str(ch)) == (not strip_space.normalize_str(ch))
        assert flags[2] == (len(punctuation.pre_tokenize_str(text)) == 3)
        bits[c] = sum(1 << i for i, flag in enumerate(flags) if flag)
        if full != ch and not 0xAC00 <= c < 0xD7A4:
            decomposed[c] = [ord(x) for x in full]
        if lower.normalize_str(ch) != ch:
            lowers[c] = [ord(x) for x in lower.normalize_str(ch)]
        if compatible.normalize_str(ch) != full:
            compat[c] = 1
    for c in range(0xD800, 0xE000):  # never reached by valid UTF-8
        bits[c] = 0
    return bits, lowers, decomposed, compat


def combining_classes(decomposed):
    """The class of every mark, from how NFD reorders it against marks of known class."""
    nfd = normalizers.NFD()

    def swaps(x, y):  # class(x) > class(y) > 0
        return x != y and nfd.normalize_str("a" + x + y) == "a" + y + x

    known = {}
    for c in POINTS:  # one old mark of each class
        value = unicodedata.combining(chr(c))
        if value and c < 0x1AB0 and c not in decomposed:
            known.setdefault(value, chr(c))
    values = sorted(known)
    lowest, highest = known[values[0]], known[values[-1]]
    classes = {}
    for c in POINTS:
        ch = chr(c)
        if c in decomposed or not (swaps(ch, lowest) or swaps(highest, ch)):
            continue
        inside = [v for v in values if not swaps(ch, known[v]) and not swaps(known[v], ch)]
        if len(inside) == 1:
            classes[c] = inside[0]
            continue
        # No mark of this class below 0x1AB0: between two known ones, ask Python for its value.
        value = unicodedata.combining(chr(c))
        assert not inside and value, hex(c)
        assert all(swaps(ch, known[v]) == (value > v) for v in values), hex(c)
        classes[c] = value
    return classes


def counter():
    """How many parts Precompiled makes of a text: clusters below 6 bytes are one, of others each
    code point. Its charsmap, a double array, has every byte alone as a key, and X as the value of each."""
    units = [256 << 10] + [0] * 767
    for byte in range(1, 256):
        units[256 + byte] = byte | 1 << 8 | 768 << 10
    charsmap = struct.pack("<769I", len(units) * 4, *units) + b"X\0"
    normalizer = normalizers.Precompiled(charsmap)
    return lambda text: len(normalizer.normalize_str(text))


def grapheme_classes():
    """What decides where clusters end (Unicode Standard Annex 29), by the names of unicode_i.h."""
    parts = counter()
    acute, zwj, ka, virama = "\u0301", "\u200d", "\u0915", "\u094d"

    def known(name):
        return regex.compile(rf"\p{{{name}}}").match

    spacing, control, consonant = known("GCB=SpacingMark"), known("GCB=Control"), known("InCB=Consonant")
    hangul = {"L": known("GCB=L"), "V": known("GCB=V"), "T": known("GCB=T")}

    def one(c):
        ch = chr(c)
        if parts("a" + ch) == 1:  # never begins a cluster
            if ch == zwj:
                return "ZWJ"
            if parts(ka + ch + ka + acute) == 4:
                return "LINKER"
            if spacing(ch):
                return "SPACING"
            return "EXTEND" if parts(ka + virama + ch + ka + acute) == 5 else "ZWNJ"
        if parts(ch + "a") == 1:
            return "PREPEND"
        if (parts(ch + acute) == 2) if c < 0x10000 else control(ch):
            return "CONTROL"
        if parts("\u00a9" + zwj + ch) == 3:
            return "PICTURE"
        if c >= 0x800 and ((parts(ka + virama + ch + acute) == 4) if c < 0x10000 else consonant(ch)):
            return "CONSONANT"
        return next((name for name, match in hangul.items() if c < 0x10000 and match(ch)), None)

    return {c: name for c in POINTS if c and (name := one(c))} | {0: "CONTROL"}


def rows(items):
    """Items separated by blanks, in lines of at most 100 columns."""
    return textwrap.fill(" ".join(x.replace(" ", "~") for x in items), 100,
                         initial_indent="    ", subsequent_indent="    ").replace("~", " ")


def runs(values):
    """{c: v} as [first, last, v] over consecutive code points of equal value."""
    out = []
    for c in sorted(values):
        if out and out[-1][1] == c - 1 and out[-1][2] == values[c]:
            out[-1][1] = c
        else:
            out.append([c, c, values[c]])
    return out


def lower_runs(lowers):
    """[first, last, step, delta]: the letters first, first + step, ... move by delta."""
    out = []
    for c in sorted(lowers):
        delta = lowers[c][0] - c
        if out:
            first, last, step, before = out[-1]
            gap = c - last
            if delta == before and gap in (1, 2) and (first == last or gap == step):
                out[-1] = [first, c, gap, delta]
                continue
        out.append([c, c, 1, delta])
    return out


def main():
    bits, lowers, decomposed, compat = observe()
    assert lowers[0x130] == [0x69, 0x307]
    del lowers[0x130]
    assert all(len(v) == 1 for v in lowers.values())
    assert max(len(v) for v in decomposed.values()) <= 4
    classes = combining_classes(decomposed)
    pool, entries = [], []
    for c in sorted(decomposed):
        entries.append(f"{{{c:#x}, {len(pool)}, {len(decomposed[c])}}},")
        pool += decomposed[c]
    print(f"""/* SPDX-License-Identifier: Apache-2.0
 * Generated by tools/unicode_tables.py from the behaviour of Hugging Face tokenizers
 * {tokenizers.__version__}; do not edit. Legend in unicode_i.h. */
/* clang-format off */
#include "nn/unicode_i.h"

const whet_i_unicode_start whet_i_unicode_starts[] = {{
{rows(f"{{{a:#x}, {v}}}," for a, b, v in runs(bits))}
}};
const int64_t whet_i_unicode_n_starts = WHET_COUNT_OF(whet_i_unicode_starts);

const whet_i_unicode_lower_run whet_i_unicode_lowers[] = {{
{rows(f"{{{a:#x}, {b:#x}, {s}, {d}}}," for a, b, s, d in lower_runs(lowers))}
}};
const int64_t whet_i_unicode_n_lowers = WHET_COUNT_OF(whet_i_unicode_lowers);

const whet_i_unicode_class_run whet_i_unicode_classes[] = {{
{rows(f"{{{a:#x}, {b:#x}, {v}}}," for a, b, v in runs(classes))}
}};
const int64_t whet_i_unicode_n_classes = WHET_COUNT_OF(whet_i_unicode_classes);

const whet_i_unicode_decomposition whet_i_unicode_decompositions[] = {{
{rows(entries)}
}};
const int64_t whet_i_unicode_n_decompositions = WHET_COUNT_OF(whet_i_unicode_decompositions);

const whet_i_unicode_range whet_i_unicode_compats[] = {{
{rows(f"{{{a:#x}, {b:#x}}}," for a, b, v in runs(compat))}
}};
const int64_t whet_i_unicode_n_compats = WHET_COUNT_OF(whet_i_unicode_compats);

const uint32_t whet_i_unicode_pool[] = {{
{rows(f"{c:#x}," for c in pool)}
}};

const whet_i_unicode_class_run whet_i_unicode_graphemes[] = {{
{rows(f"{{{a:#x}, {b:#x}, WHET_I_GRAPHEME_{v}}}," for a, b, v in runs(grapheme_classes()))}
}};
const int64_t whet_i_unicode_n_graphemes = WHET_COUNT_OF(whet_i_unicode_graphemes);""")


if __name__ == "__main__":
    main()
