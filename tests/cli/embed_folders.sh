#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Folders as transformers and sentence-transformers save them, in the forms that their releases have had: read alike, or
# refused for what would change the embeddings.
. "$(dirname "$0")/lib.sh"
cp -r "$WHET_TEST_SOURCE/tests/golden/bert_tiny/even" base
chmod -R u+w base
printf 'text\na good video of the song\nthe song is bad\n' >t.tsv

python3 - <<'END' || fail 'nothing is made'
import json, os, shutil, struct

data = open("base/model.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
shutil.copytree("base", "gamma")  # names of TensorFlow's checkpoints, which bert-base-uncased still has
old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v for k, v in header.items()}
text = json.dumps(old).encode()
text += b" " * (-len(text) % 8)
open("gamma/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:])

four = ["sentence_transformers.models." + name for name in ("Transformer", "Pooling", "Normalize", "Dense")]
six = ["sentence_transformers.base.modules.transformer.Transformer",
       "sentence_transformers.sentence_transformer.modules.pooling.Pooling", "sentence_transformers.base.modules.normalize.Normalize"]
cls = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}

def folder(name, modules, pooling, path="1_Pooling", **files):
    shutil.copytree("base", name)
    os.mkdir(name + "/1_Pooling")
    paths = ["", path, "2_Normalize"]
    listed = [{"idx": i, "name": str(i), "path": p, "type": t} for i, (t, p) in enumerate(zip(modules, paths))]
    for file, content in {"modules": listed, "1_Pooling/config": pooling, **files}.items():
        json.dump(content, open(f"{name}/{file}.json", "w"))

def prompts(**content):
    return {"config_sentence_transformers": content}

folder("four", four[:3], cls)
folder("six", six, {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True})
folder("listed", six, {"pooling_mode": ["cls"]})
folder("max", six, {"pooling_mode": "max"})
folder("two", six, {"pooling_mode": ["cls", "mean"]})
folder("elsewhere", four[:3], cls, "pool")
folder("dense", four[:2] + four[3:], cls)
folder("unprompted", four[:3], cls, **prompts(prompts={"query": "numbers: "}, default_prompt_name=None))
folder("prompted", four[:3], cls, **prompts(prompts={"query": "numbers: "}, default_prompt_name="query"))
folder("cut", four[:3], cls, **prompts(truncate_dim=16))
folder("lower", four[:3], cls, sentence_bert_config={"do_lower_case": True}, tokenizer_config={"do_lower_case": False})
folder("small", four[:3], cls, sentence_bert_config={"do_lower_case": True})
folder("lowered", four[:3], cls, sentence_bert_config={"do_lower_case": True}, tokenizer_config={"do_lower_case": True})
folder("short", four[:3], cls, tokenizer_config={"model_max_length": 4})
folder("shorter", four[:3], cls, sentence_bert_config={"max_seq_length": 4}, tokenizer_config={"model_max_length": 6})
folder("endless", four[:3], cls, tokenizer_config={"model_max_length": 10 ** 30})
names = [k for k in header if k != "__metadata__"]

def part(path, chosen):
    kept, blob = {}, b""
    for name in chosen:
        begin, end = header[name]["data_offsets"]
        kept[name] = {**header[name], "data_offsets": [len(blob), len(blob) + end - begin]}
        blob += data[8 + n + begin:8 + n + end]
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + blob)

def parts(folder, chosen, index):  # chosen: of each file, index: file of each tensor
    shutil.copytree("base", folder)
    os.remove(folder + "/model.safetensors")
    for i, some in enumerate(chosen):
        part(f"{folder}/model-{i + 1:05}-of-00002.safetensors", some)
    json.dump({"metadata": {"total_size": 1}, "weight_map": index}, open(folder + "/model.safetensors.index.json", "w"))

one, two = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
cut = [names[::2], names[1::2]]
index = {**{k: one for k in cut[0]}, **{k: two for k in cut[1]}}
parts("parts", cut, index)
parts("twice", [cut[0] + cut[1][:1], cut[1]], index)
parts("moved", cut, {**index, names[0]: two})
parts("listed_only", cut, {**index, "no.such.weight": two})
parts("unlisted", cut[:1], {k: one for k in cut[0]})
parts("gone", cut[:1], index)
parts("outside", cut, {**index, names[0]: "../base/model.safetensors"})
parts("rooted", cut, {**index, names[0]: "/model.safetensors"})
parts("above", cut, {**index, names[0]: ".."})
for name in "sentencepiece.bpe.model", "vocab.txt":
    shutil.copytree("base", name)
    os.rename(f"{name}/tokenizer.json", f"{name}/{name}")
shutil.copytree("base", "pickled")
os.rename("pickled/model.safetensors", "pickled/pytorch_model.bin")
END

for model in base gamma four six listed unprompted lowered small short shorter endless parts; do
    run 0 whet embed --model $model --input t.tsv --output $model.npy
    case $model in
    short*) tells 't.tsv: 2 of 2 texts are longer than 4 tokens' ;;
    *) quiet_about warning ;;
    esac
done
alike() { cmp -s "$1.npy" "$2.npy" || fail "$2 is another model than $1"; }
alike base gamma
alike base parts
for model in six listed unprompted lowered small endless; do alike four $model; done
alike short shorter
cmp -s four.npy short.npy && fail 'the limit of the tokenizer does not count'
# Trained on, names are what they are everywhere else.
printf 'text\tlabel\na good video\ty\nbad\tn\ngood\ty\nthe song is bad\tn\n' >c.tsv
run 0 whet tune --model gamma --train c.tsv --epochs 1 --output tuned --quiet
run 0 whet tune --model base --train c.tsv --epochs 1 --output same --quiet
run 0 whet tune --model parts --train c.tsv --epochs 1 --output of_parts --quiet
cmp -s tuned/model.safetensors same/model.safetensors || fail 'training begins elsewhere'
cmp -s of_parts/model.safetensors same/model.safetensors || fail 'training of several files begins elsewhere'

# RoBERTa's relatives: tuned, they are still what they were.
xlm=$WHET_TEST_SOURCE/tests/golden/xlmr_tiny/xlm-roberta
run 0 whet tune --model "$xlm" --train c.tsv --epochs 1 --output tuned_xlm --quiet
grep -q '"XLMRobertaForSequenceClassification"' tuned_xlm/config.json || fail 'the tuned model has another class'
run 0 whet embed --model tuned_xlm --input t.tsv --output xlm.npy
tells 't.tsv: 1 of 2 texts is longer than 24 tokens'

# Several files are the same model as one: adapters and classifiers made on either fit the other.
run 0 whet tune --model parts --adapter lora --rank 2 --train c.tsv --epochs 1 --output lora --quiet
for model in base parts; do
    run 0 whet embed --model $model --adapter lora --input t.tsv --output lora_$model.npy
    quiet_about warning
done
alike lora_base lora_parts
run 0 whet tune merge --model parts --adapter lora --output merged
run 0 whet adapt --train c.tsv --text text --label label --model parts --output job --quiet
run 0 whet adapt apply --classifier job/classifier --model base --input t.tsv --text text --output p.tsv

mark
refused() { # CODE MODEL WORDS
    run "$1" whet embed --model "$2" --input t.tsv --output z.npy
    tells "$3"
}
refused 3 max '"pooling_mode" is "max"; expected mean or cls'
refused 3 two '"pooling_mode" is an array; expected mean or cls'
refused 3 elsewhere 'modules.json: module 1 is in "pool"; expected "1_Pooling"'
refused 3 dense 'expected Transformer, Pooling and Normalize only'
refused 3 prompted '"default_prompt_name" is "query", a prompt before every text'
refused 3 cut '"truncate_dim" is set'
refused 3 lower '"do_lower_case" is true, and the tokenizer keeps capitals'
refused 3 twice 'index.json: tensor "'
tells 'is in model-00001-of-00002.safetensors and in model-00002-of-00002.safetensors; expected it in one file'
refused 3 moved 'is not in model-00002-of-00002.safetensors; expected it there'
refused 3 listed_only 'tensor "no.such.weight" is not in model-00002-of-00002.safetensors; expected it there'
refused 3 unlisted 'is missing; expected ['
refused 4 gone 'model.safetensors.index.json: gone/model-00002-of-00002.safetensors: cannot be opened'
for model in outside rooted above; do refused 3 $model "is no file's name"; done
refused 4 pickled 'the folder has pickled weights'
for name in sentencepiece.bpe.model vocab.txt; do
    refused 4 $name "$name/tokenizer.json: no such file; expected it; the folder has $name; try AutoTokenizer"
done
unchanged
run 0 whet merge --method passthrough parts --output one
run 0 whet embed --model one --input t.tsv --output one.npy
alike base one
finish
