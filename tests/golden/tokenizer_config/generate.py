# SPDX-License-Identifier: Apache-2.0
"""Folders whose tokenizer_config.json and tokenizer.json say different things, and the ids that transformers gives.

    python3 generate.py        (needs transformers, tokenizers)

cases.json  a list of {name, files: {name: content}, texts, ids, warns}; warns: whether whet tells of it
Made with transformers 5.24.0, tokenizers 0.23.3.
"""
import copy
import json
import os
import tempfile

from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["Bad \u00e9 e\u0301", "\u4e2d a\u4e2d", " a  b\t\u2581a", "", "a" * 120 + " zz", "\uff21b <mask>"]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LETTERS = ["a", "b", "d", "e", "\u00e9", "B", "\u4e2d"]


def tokenizer(model, specials, **parts):
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    added = [{"id": i, "content": token, **flags} for i, token in enumerate(specials)]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model, **parts}


def bert(**flags):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = names + LETTERS + ["##" + x for x in LETTERS]
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                  "strip_accents": None, "lowercase": True, **flags}
    return tokenizer({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(tokens)}}, names,
                     normalizer=normalizer, pre_tokenizer={"type": "BertPreTokenizer"},
                     post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]})


def roberta(prefix):
    from tokenizers.pre_tokenizers import ByteLevel
    vocab = {t: i for i, t in enumerate(SPECIALS + sorted(ByteLevel.alphabet()))}
    return tokenizer({"type": "BPE", "vocab": vocab, "merges": []}, SPECIALS,
                     pre_tokenizer={"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True,
                                    "use_regex": True},
                     post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                                     "trim_offsets": True, "add_prefix_space": prefix})


def unigram(scheme="always", **model):
    vocab = [[t, 0.0] for t in SPECIALS] + [["\u2581", -2.0], ["\u2581a", -2.5]]
    vocab += [[t, -3.0 - i / 8] for i, t in enumerate(LETTERS)] + [["<0xC3>", -9.0], ["<0xA9>", -9.0]]
    steps = [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme,
                                           "split": True}]
    return tokenizer({"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": False, **model}, SPECIALS,
                     pre_tokenizer={"type": "Sequence", "pretokenizers": steps},
                     post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                                     "trim_offsets": True, "add_prefix_space": True})


def but(content, **parts):
    return {**copy.deepcopy(content), **parts}


def cases():
    """name, model type, tokenizer.json, tokenizer_config.json or None, whether whet tells."""
    cased, nfkc = bert(lowercase=False), {"type": "NFKC"}
    both = {"type": "Sequence", "normalizers": [nfkc, bert()["normalizer"]]}
    yield "uncased", "bert", bert(), {"tokenizer_class": "BertTokenizer", "do_lower_case": True}, False
    for name in ["Electra", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert"]:
        yield name.lower(), "bert", bert(), {"tokenizer_class": name + "Tokenizer", "do_lower_case": False}, True
    for name in ["Bart", "LED", "Longformer", "Mvp"]:
        yield name.lower(), "roberta", roberta(False), {"tokenizer_class": name + "Tokenizer",
                                                        "add_prefix_space": True}, True
    marks = {"cls_token": "[MASK]", "sep_token": "[UNK]"}
    yield "other marks", "bert", bert(), {"tokenizer_class": "BertTokenizer", **marks}, True
    template = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {}}
    yield "bare template", "bert", but(bert(), post_processor=template), {"tokenizer_class": "BertTokenizer"}, True
    plain = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    yield "bytes behind", "roberta", but(roberta(False), post_processor=plain), {
        "tokenizer_class": "RobertaTokenizer"}, True
    yield "bare unigram", "xlm-roberta", but(unigram(), post_processor=template), {
        "tokenizer_class": "XLMRobertaTokenizer"}, True
    yield "cased", "bert", cased, {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}, False
    yield "cased by tokenizer.json alone", "bert", cased, None, True
    yield "lowered by default", "distilbert", cased, {}, True
    yield "kept by the config", "bert", bert(), {"do_lower_case": False}, True
    yield "accents kept", "bert", bert(), {"tokenizer_class": "DistilBertTokenizer", "strip_accents": False}, True
    yield "accents stripped", "bert", cased, {"do_lower_case": False, "strip_accents": True}, True
    yield "ideographs kept", "bert", bert(), {"tokenize_chinese_chars": False}, True
    yield "another normalizer", "bert", bert() | {"normalizer": both}, {}, True
    yield "no pre_tokenizer", "bert", but(bert(), pre_tokenizer=None), {}, False
    yield "no post_processor", "bert", but(bert(), post_processor=None), {}, True
    yield "as the file says", "bert", cased, {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}, False
    yield "unknown class", "bert", cased, {"tokenizer_class": "TokenizersBackend"}, False
    yield "few characters", "bert", but(bert(), model={**bert()["model"], "max_input_chars_per_word": 2}), {}, False
    yield "roberta", "roberta", roberta(False), {"tokenizer_class": "RobertaTokenizer"}, False
    yield "roberta with a space", "roberta", roberta(True), {"add_prefix_space": True}, False
    yield "roberta's default", "roberta", roberta(True), {}, True
    yield "roberta's config", "roberta", roberta(False), {"add_prefix_space": True}, True
    yield "roberta with NFKC", "roberta", but(roberta(False), normalizer=nfkc), {}, False
    yield "roberta alone", "roberta", but(roberta(False), post_processor=None), {}, True
    yield "xlm-roberta", "xlm-roberta", unigram(), {"tokenizer_class": "XLMRobertaTokenizer"}, False
    yield "xlm-roberta without a mark", "xlm-roberta", unigram(), {"add_prefix_space": False}, True
    yield "xlm-roberta with one", "xlm-roberta", unigram("never"), {}, True
    yield "xlm-roberta in a bert", "bert", unigram(byte_fallback=True), {"tokenizer_class": "XLMRobertaTokenizerFast"}, False
    yield "unknown is 3", "xlm-roberta", unigram(unk_id=4), {}, False
    yield "unknown by name", "camembert", unigram(unk_id=4), {"unk_token": "<unk>"}, False
    yield "bytes as the file says", "camembert", unigram(byte_fallback=True), {"tokenizer_class": "TokenizersBackend"}, False
    metaspace = unigram()["pre_tokenizer"]["pretokenizers"][1]
    yield "marks alone", "camembert", but(unigram(), normalizer={"type": "Strip", "strip_left": True, "strip_right": True},
                                          pre_tokenizer=metaspace, post_processor=None), {}, True


def main():
    out = []
    for name, model_type, content, config, warns in cases():
        files = {"tokenizer.json": content, "config.json": {"model_type": model_type}}
        if config is not None:
            files["tokenizer_config.json"] = config
        with tempfile.TemporaryDirectory() as folder:
            for file, value in files.items():
                with open(f"{folder}/{file}", "w", encoding="utf-8") as f:
                    json.dump(value, f)
            tok = AutoTokenizer.from_pretrained(folder)
            out.append({"name": name, "files": files, "warns": warns, "ids": [tok(t)["input_ids"] for t in TEXTS]})
    with open(os.path.join(HERE, "cases.json"), "w", encoding="utf-8") as f:
        f.write('{"texts": ' + json.dumps(TEXTS) + ', "cases": [\n')
        f.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in out) + "\n]}\n")


if __name__ == "__main__":
    main()
