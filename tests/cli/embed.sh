#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet embed on the tiny model of tests/golden: files in, a .npy out, and what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

printf 'text\tlabel\na good video\t1\n\t0\nthe song is bad\t\n' >t.tsv
run 0 whet embed --model "$model" --input t.tsv --output x.npy
says '3 embeddings of 32 numbers'
present x.npy
[ "$(wc -c <x.npy)" = $((128 + 3 * 32 * 4)) ] || fail 'x.npy has another size'

# The same bits on any number of threads, in any company and any slab.
run 0 whet embed --model "$model" --input t.tsv --output y.npy --threads 3 --batch-tokens 1 --json
json out
cmp -s x.npy y.npy || fail 'bits depend on threads or slabs'
printf 'text\nthe song is bad\n' >one.tsv
run 0 whet embed --model "$model" --input one.tsv --output one.npy
[ "$(tail -c 128 x.npy | od -An -tx1)" = "$(tail -c 128 one.npy | od -An -tx1)" ] ||
    fail 'bits depend on other texts'
run 0 whet embed --model "$model" --input t.tsv --output half.npy --dtype bf16 --pooling cls \
    --no-normalize --max-length 4
cmp -s x.npy half.npy && fail 'options change nothing'
printf 'text\n' >none.tsv
run 0 whet embed --model "$model" --input none.tsv --output none.npy
says '0 embeddings'

# Texts that are longer than is read are told once, with their number; the others are not.
quiet_about 'longer than'
printf 'text\na good video\n\nthe song is bad\nthe song is a good video\n' >long.tsv
run 0 whet embed --model "$model" --input long.tsv --output z.npy --max-length 4
[ "$(cat .err)" = "whet: warning: long.tsv: 3 of 4 texts are longer than 4 tokens; their ends are not read" ] ||
    fail 'texts that are cut are not told'
rm z.npy

# Adapters at load: as the model that they were merged into, but for rounding; of weight 0, as the base.
printf 'text\tlabel\na good video\ty\nbad\tn\ngood\ty\nthe song is bad\tn\n' >c.tsv
run 0 whet tune --model "$model" --train c.tsv --loss contrastive --adapter lora --lr 0.02 --output tuned --quiet
run 0 whet embed --model tuned --input t.tsv --output merged.npy
run 0 whet embed --model "$model" --adapter tuned --input t.tsv --output adapted.npy
run 0 whet embed --model "$model" --adapter tuned=0.25 --adapter tuned=0.75 --input t.tsv --output twice.npy
run 0 whet embed --model "$model" --adapter tuned=0 --input t.tsv --output zero.npy
run 0 python3 -c '
import array
read = lambda name: array.array("f", open(name + ".npy", "rb").read()[128:])
far = lambda a, b: max(abs(x - y) for x, y in zip(read(a), read(b)))
assert far("adapted", "merged") < 5e-6 and far("twice", "merged") < 5e-6 and far("zero", "x") == 0
assert far("adapted", "x") > 1e-3'

mark
run 2 whet embed --model "$model" --any-base --input t.tsv --output z.npy
tells '--adapter'
run 4 whet embed --model "$model" --adapter nowhere --input t.tsv --output z.npy
tells 'nowhere'
run 3 whet embed --model tuned --adapter tuned --input t.tsv --output z.npy
tells 'the model that it was trained on'
run 4 whet embed --model "$model" --input t.tsv --output x.npy
run 4 whet embed --model nowhere --input t.tsv --output z.npy
tells 'nowhere'
run 4 whet embed --model "$model" --input nowhere.tsv --output z.npy
run 2 whet embed --model "$model" --input t.tsv --column txt --output z.npy
tells 'text'
run 2 whet embed --model "$model" --input t.tsv --output z.npy --max-length 41
tells 'expected 0 to 40'
run 2 whet embed --model "$model" --input t.tsv
tells 'output'
unchanged

cp -r "$model" broken
head -c 5000 "$model/model.safetensors" >broken/model.safetensors
mark
run 3 whet embed --model broken --input t.tsv --output z.npy
unchanged
# A weight that is no number.
python3 - "$model" <<'E2'
import json, struct, sys
b = bytearray(open(sys.argv[1] + "/model.safetensors", "rb").read())
n = struct.unpack("<Q", b[:8])[0]
name = next(k for k in json.loads(b[8:8 + n]) if k.endswith("query.weight"))
at = 8 + n + json.loads(b[8:8 + n])[name]["data_offsets"][0]
b[at:at + 4] = struct.pack("<f", float("nan"))
open("broken/model.safetensors", "wb").write(b)
E2
run 6 whet embed --model broken --input t.tsv --output z.npy
tells "text 0: its embedding is not finite"
unchanged
finish
