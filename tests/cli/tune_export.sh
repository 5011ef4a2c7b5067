#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune export, inspect: adapters that were trained, in other forms.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 40; i++) printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >train.tsv
run 0 whet tune --model "$model" --train train.tsv --epochs 2 --lr 0.01 --adapter more --rank 4 --blocks 4 --output tuned --quiet

run 0 whet tune inspect tuned
says 'more: 6 layers'
says 'heads: bert.pooler.dense.bias, bert.pooler.dense.weight, classifier.bias, classifier.weight'
grep -q '"bert.pooler.dense"' tuned/adapter_config.json || fail 'a pooler that is new is not told'
run 0 whet tune inspect tuned --json
json out
says '"base_hash"'
grep -q '"whet_base"' tuned/adapter_config.json || fail 'training does not tell its base'

run 0 whet tune export --adapter tuned --to lora --output lora
says 'nothing is lost'
run 0 whet tune inspect lora
says 'lora: 6 layers'
grep -q '"r": 16' lora/adapter_config.json || fail 'the rank is not N r'
run 0 whet tune export --adapter tuned --model "$model" --to lora --rank 3 --output small --json
json out
says '"residual": 0.'
run 0 whet tune export --adapter lora --to more --output more
says 'nothing is lost'

mark
run 4 whet tune export --adapter tuned --to lora --output lora
tells '--force'
run 2 whet tune export --adapter tuned --to lora --output z --blocks 4
run 2 whet tune export --adapter tuned --to lora --output z --rank 9999
tells 'expected at most'
run 2 whet tune export --adapter tuned --output z
tells '--to'
run 4 whet tune export --adapter nowhere --to lora --output z
run 4 whet tune inspect nowhere
tells 'nowhere'
unchanged
# Another base: one number of it is another one.
cp -r "$model" other && chmod -R u+w other
run 0 python3 -c '
import sys
b = bytearray(open("other/model.safetensors", "rb").read()); b[-1] ^= 1
open("other/model.safetensors", "wb").write(b)'
mark
run 3 whet tune export --adapter tuned --model other --to lora --output z
tells 'the model that it was trained on'
unchanged
run 0 whet tune export --adapter tuned --model other --any-base --to lora --output z
tells 'is for a base'
# A disk that is full leaves nothing.
if [ -w /dev/shm ] && command -v prlimit >/dev/null; then
    mark
    run 4 prlimit --fsize=2000 "$whet" tune export --adapter tuned --to lora --output full
    unchanged
fi
finish
