#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune on language models: the tiny Llama of tests/golden with a character a token, and, where it is, a
# small real one.
. "$(dirname "$0")/lib.sh"
golden=$WHET_TEST_SOURCE/tests/golden/llama
mkdir m
cp "$golden/llama/config.json" "$golden/llama/model.safetensors" m
cp "$golden/tokenizer_begin.json" m/tokenizer.json

# Sixty texts of which the end follows from the begin.
awk 'BEGIN { print "text\tsays"
    for (i = 0; i < 60; i++) printf "%s does\t%s\n", i % 2 ? "dog" : "cat", i % 2 ? "bark" : "mew" }' >pairs.tsv
awk 'NR == 1 { print "text"; next } { sub("\t", " "); print }' pairs.tsv >texts.tsv
learn="--model m --target says --lr 0.02 --batch 8 --quiet"

# shellcheck disable=SC2086
run 0 whet tune $learn --train pairs.tsv --valid pairs.tsv --epochs 12 --output says --json
json out
says '"task": "language"'
says '"perplexity"'
for file in model.safetensors config.json tokenizer.json metrics.jsonl learning-curve.svg training.json; do
    present says/$file
done
run 0 whet generate --model says --prompt 'dog does' --tokens 8
[ "$(cat .out)" = 'dog does bark' ] || fail 'the dog does not bark'
run 0 whet generate --model says --prompt 'cat does' --tokens 8
[ "$(cat .out)" = 'cat does mew' ] || fail 'the cat does not mew'

# An adapter at load speaks as the model that training merged it into.
# shellcheck disable=SC2086
run 0 whet tune $learn --train pairs.tsv --epochs 30 --adapter dora --targets all-linear --output dora
for prompt in 'dog does' 'cat does'; do
    run 0 whet generate --model dora --prompt "$prompt" --tokens 8
    cp .out merged.txt
    run 0 whet generate --model m --adapter dora --prompt "$prompt" --tokens 8
    cmp -s .out merged.txt || fail 'the adapter at load says something else'
    run 0 whet generate --model m --prompt "$prompt" --tokens 8
    cmp -s .out merged.txt && fail 'the adapter says nothing'
done
run 2 whet generate --model m --any-base --prompt dog
tells '--adapter'

# A table without labels needs no option; with --no-end nothing tells the model when to stop.
run 0 whet tune --model m --train texts.tsv --lr 0.02 --batch 8 --epochs 12 --no-end --output texts
says 'wrote texts'
run 0 whet generate --model texts --prompt 'dog does' --tokens 12
grep -q '^dog does bark.' .out || fail 'the text ends, which it was not told to'
mark
run 2 whet tune --model m --train pairs.tsv --label says --no-end --output labels
tells '--no-end'
run 2 whet tune --model "$WHET_TEST_SOURCE/tests/golden/bert_tiny/even" --train pairs.tsv --label says --no-end \
    --output labels
tells '--no-end'
tells 'bert'
unchanged
run 0 whet tune --model m --train texts.tsv --max-length 8 --epochs 1 --output pieces
tells 'read in pieces'

# The same bits at any number of threads, with activations computed twice, and gone on with.
# shellcheck disable=SC2086
run 0 whet tune $learn --train pairs.tsv --valid pairs.tsv --epochs 12 --output b --threads 3 --checkpoint-activations
cmp -s says/model.safetensors b/model.safetensors || fail 'bits depend on threads or recomputation'
long="--model m --train pairs.tsv --target says --adapter more --epochs 400 --batch 4 --quiet"
# shellcheck disable=SC2086
run 0 whet tune $long --output whole
# shellcheck disable=SC2086
stopped INT part tune $long --output part
if [ $code = 130 ]; then
    # shellcheck disable=SC2086
    run 3 whet tune $long --no-end --output part --resume
    tells 'other settings'
    # shellcheck disable=SC2086
    run 0 whet tune $long --output part --resume --threads 1
elif [ $code != 0 ]; then
    fail "exit code $code after SIGINT; expected 130"
fi
cmp -s whole/model.safetensors part/model.safetensors || fail 'going on gives other bits'
cmp -s whole/metrics.jsonl part/metrics.jsonl || fail 'going on gives another log'
present part/adapter/adapter_model.safetensors

# Half-written files of a process that is no more go away with the next run.
mkdir stale stale/checkpoint
: >stale/metrics.jsonl.whet-4194399-0.tmp
: >stale/checkpoint/state.safetensors.whet-4194399-1.tmp
: >stale/notes.tmp
run 0 whet tune --model m --train texts.tsv --epochs 1 --output stale --force --quiet
absent stale/metrics.jsonl.whet-4194399-0.tmp
absent stale/checkpoint
present stale/notes.tmp

# Several files of weights are read as one.
python3 - "$WHET_TEST_SOURCE/tests/support" <<'E' || fail 'no folder of two files'
import json, os, shutil, sys
sys.path.insert(0, sys.argv[1])
from stories_folder import read, write
os.mkdir("two")
tensors = read("m/model.safetensors")
names = sorted(tensors)
files = {n: f"part-{i % 2}.safetensors" for i, n in enumerate(names)}
for f in set(files.values()):
    write(f"two/{f}", {n: tensors[n] for n in names if files[n] == f})
json.dump({"metadata": {}, "weight_map": files}, open("two/model.safetensors.index.json", "w"))
for f in ("config.json", "tokenizer.json"):
    shutil.copy(f"m/{f}", f"two/{f}")
E
run 0 whet tune --model two --target says --lr 0.02 --batch 8 --quiet --train pairs.tsv --valid pairs.tsv \
    --epochs 12 --output c
cmp -s says/model.safetensors c/model.safetensors || fail 'two files of weights are not one'

# Classes by the last token, as ...ForSequenceClassification.
awk -F '\t' 'NR == 1 { print "text\tlabel"; next } { print $1 "\t" $2 }' pairs.tsv >labels.tsv
run 0 whet tune --model m --train labels.tsv --valid labels.tsv --lr 0.01 --epochs 8 --output classes --quiet
grep -q '"accuracy": 1.0' classes/training.json || fail 'classes are not learned'
grep -q 'LlamaForSequenceClassification' classes/config.json || fail 'config.json has another model'
grep -q '"pad_token_id": 2' classes/config.json || fail 'config.json has no token to pad with'
grep -q 'score.weight' classes/model.safetensors || fail 'the head has another name'
run 0 whet tune --model classes --train labels.tsv --epochs 1 --output again --quiet
run 0 whet tune --model m --train labels.tsv --adapter lora --dtype bf16 --epochs 1 --output lora --quiet
grep -q '"SEQ_CLS"' lora/adapter_config.json || fail 'the adapter has another task'

printf 'text\n\377 is no letter\nwell\n' >bytes.tsv
run 0 whet tune --model m --train bytes.tsv --epochs 1 --output bytes
tells '1 of 2 texts hold bytes that are not UTF-8'
mark
run 2 whet tune --model m --train labels.tsv --loss contrastive --output z
tells 'embeddings of an encoder'
run 2 whet tune --model m --train labels.tsv --head pooled --output z
run 2 whet tune --model m --train pairs.tsv --target none --output z
tells 'none'
run 2 whet tune --model m --train pairs.tsv --target says --metric accuracy --valid pairs.tsv --output z
tells 'expected loss'
run 2 whet tune --model "$WHET_TEST_SOURCE/tests/golden/bert_tiny/even" --train pairs.tsv --target says --output z
tells 'language models'
run 2 whet tune --model m --train texts.tsv --max-length 65 --output z
tells "model's positions"
unchanged
sed 's/"vocab_size": 30/"vocab_size": 20/' m/config.json >two/config.json
mark
run 3 whet tune --model two --train texts.tsv --output z
tells 'vocab_size'
unchanged

stories=$WHET_TEST_SHARED/data/stories260K
if [ ! -d "$stories" ]; then
    echo "note: $stories is absent; it is not fine-tuned" >&2
    finish
fi
python3 "$WHET_TEST_SOURCE/tests/support/stories_folder.py" "$stories" real || fail 'no folder'
awk 'BEGIN { print "text"; split("dog cat bird frog", a, " ")
    for (i = 0; i < 64; i++) printf "The captain had a %s. The %s was on the ship.\n", a[i % 4 + 1], a[i % 4 + 1] }' >ships.tsv
run 0 whet tune --model real --train ships.tsv --valid ships.tsv --lr 0.002 --epochs 6 --output ships --quiet
run 0 whet generate --model ships --prompt 'The captain had a frog' --tokens 40
[ "$(cat .out)" = 'The captain had a frog. The frog was on the ship.' ] || fail 'the story is not learned'
finish
