#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune --probs on the tiny model of tests/golden: from votes to a tuned encoder, weights, going on,
# adapters, and what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# 60 texts whose class is a word in them, of which ten have a label; three rules that are right on 5 of 6 rows
# and do not vote on every tenth.
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 60; i++)
        printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i < 10 ? (i % 2 ? "yes" : "no") : "" }' >pool.tsv
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 30; i++) printf "%s song number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >valid.tsv
awk 'BEGIN { print "row\trule\tvote"
    for (i = 0; i < 60; i++) for (j = 0; j < 3; j++)
        if (i % 10 != 5) printf "%d\t%d\t%d\n", i, j, (i + 2 * j) % 6 == 5 ? 1 - i % 2 : i % 2 }' >votes.tsv
printf 'no\nyes\n' >classes.txt
awk 'NR > 1 && NR < 12 { print NR - 2 "\t" $2 }' FS='\t' pool.tsv | (printf 'row\tlabel\n' && cat) >labels.tsv
run 0 whet label fit --votes votes.tsv --model majority --classes classes.txt --probs p.npy --quiet

common="--model $model --train pool.tsv --valid valid.tsv --classes classes.txt --lr 0.005 --batch 8 --quiet"
# shellcheck disable=SC2086
run 0 whet tune $common --probs p.npy --epochs 6 --output a --json
json out
grep -q '"accuracy": 1.0' a/training.json || fail 'the tiny task was not learned'
python3 -c 'import json
t = json.load(open("a/training.json"))
# every tenth row has no vote: even probabilities; the first of those has a label
assert t["train"]["rows"] == 55 and t["train"]["unlabelled"] == 5 and t["train"]["labelled"] == 10, t["train"]
assert t["settings"]["row_weights"] == "even" and t["settings"]["probs"] == "p.npy"
assert t["classes"] == ["no", "yes"]' || fail 'training.json is not as it should be'
run 0 whet embed --model a --input valid.tsv --output e.npy --quiet

# f64 and f32 alike; any number of threads.
python3 - <<'END'
import struct
def npy(path, rows, kind):
    head = "{'descr': '<f%d', 'fortran_order': False, 'shape': (%d, %d), }" % (kind, len(rows), len(rows[0]))
    head += " " * (117 - len(head)) + "\n"
    body = b"".join(struct.pack("<%d%s" % (len(r), "f" if kind == 4 else "d"), *r) for r in rows)
    open(path, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body)
raw = open("p.npy", "rb").read()
n = 10 + struct.unpack("<H", raw[8:10])[0]
values = struct.unpack("<%dd" % ((len(raw) - n) // 8), raw[n:])
rows = [list(values[i:i + 2]) for i in range(0, len(values), 2)]
npy("p32.npy", rows, 4)
npy("short.npy", rows[1:], 8)
npy("wide.npy", [r + [0.0] for r in rows], 8)
npy("off.npy", rows[:7] + [[0.6, 0.6]] + rows[8:], 8)
npy("nan.npy", rows[:7] + [[float("nan"), 0.6]] + rows[8:], 8)
npy("even.npy", [[0.5, 0.5]] * 60, 8)
END
# shellcheck disable=SC2086
run 0 whet tune $common --probs p32.npy --epochs 6 --output b --threads 3
cmp -s a/model.safetensors b/model.safetensors || fail 'bits depend on threads or on the type of the array'
# shellcheck disable=SC2086
run 0 whet tune $common --probs p.npy --row-weights confidence --label-weight 5 --epochs 6 --output w
cmp -s a/model.safetensors w/model.safetensors && fail 'weights change nothing'
grep -q '"accuracy": 1.0' w/training.json || fail 'weighted rows are not learned'

# Adapters as with labels.
# shellcheck disable=SC2086
run 0 whet tune $common --probs p.npy --adapter lora --rank 4 --epochs 6 --output lora
present lora/adapter_model.safetensors
grep -q '"accuracy": 1.0' lora/training.json || fail 'adapters do not learn'

# Interrupted and gone on: the bits of the run that was not interrupted.
long="--model $model --train pool.tsv --valid valid.tsv --classes classes.txt --lr 0.001 --batch 8 --epochs 60 --quiet"
# shellcheck disable=SC2086
run 0 whet tune $long --probs p.npy --output whole
# shellcheck disable=SC2086
stopped INT part tune $long --probs p.npy --output part
if [ $code = 130 ]; then
    # shellcheck disable=SC2086
    run 3 whet tune $long --probs even.npy --output part --resume
    tells 'other settings'
    # shellcheck disable=SC2086
    run 0 whet tune $long --probs p.npy --output part --resume --threads 1
elif [ $code != 0 ]; then
    fail "exit code $code after SIGINT; expected 130"
fi
cmp -s whole/model.safetensors part/model.safetensors || fail 'going on gives other bits'

mark
# shellcheck disable=SC2086
run 3 whet tune $common --probs short.npy --output z
tells 'short.npy: 59 rows; expected 60, one a row of pool.tsv'
# shellcheck disable=SC2086
run 3 whet tune $common --probs wide.npy --output z
tells 'wide.npy: 3 columns; expected 2, one a class of classes.txt'
# shellcheck disable=SC2086
run 3 whet tune $common --probs off.npy --output z
tells 'off.npy: row 7 sums to 1.2'
# shellcheck disable=SC2086
run 3 whet tune $common --probs nan.npy --output z
tells '[7,0]'
cut -f1 pool.tsv >texts.tsv
mark
run 3 whet tune --model "$model" --train texts.tsv --probs even.npy --output z
tells 'all probabilities are equal'
# shellcheck disable=SC2086
run 4 whet tune $common --probs none.npy --output z
# shellcheck disable=SC2086
run 2 whet tune $common --row-weights confidence --output z
tells '--probs'
# shellcheck disable=SC2086
run 2 whet tune $common --probs p.npy --loss contrastive --output z
tells 'cross-entropy'
unchanged
finish
