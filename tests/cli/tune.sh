#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune on the tiny model of tests/golden: training, going on, adapters, and what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# 60 texts whose class is a word in them; a second column for pairs; numbers for regression.
awk 'BEGIN { print "text\tother\tlabel\tscore"
    for (i = 0; i < 60; i++)
        printf "%s video number %d\tthe song\t%s\t%.1f\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no", i % 2 + 0.5 }' >train.tsv
head -21 train.tsv >valid.tsv
common="--model $model --train train.tsv --valid valid.tsv --lr 0.005 --batch 8 --quiet"

# shellcheck disable=SC2086
run 0 whet tune $common --epochs 4 --output a --json
json out
for file in model.safetensors config.json tokenizer.json metrics.jsonl learning-curve.svg training.json; do
    present a/$file
done
absent a/checkpoint
grep -q '"accuracy": 1.0' a/training.json || fail 'the tiny task was not learned'
[ "$(wc -l <a/metrics.jsonl)" = 36 ] || fail 'metrics.jsonl has another number of lines'
python3 -c 'import json
for line in open("a/metrics.jsonl"): json.loads(line)
import xml.dom.minidom; xml.dom.minidom.parse("a/learning-curve.svg")
c = json.load(open("a/config.json"))
assert c["id2label"] == {"0": "no", "1": "yes"} and c["architectures"] == ["BertForSequenceClassification"]' ||
    fail 'files are not as they should be'

# What was tuned is a model: it embeds, and it can be tuned on.
run 0 whet embed --model a --input valid.tsv --output e.npy
run 0 whet tune --model a --train train.tsv --epochs 1 --output again --quiet

# The same bits at any number of threads, and with activations computed twice.
# shellcheck disable=SC2086
run 0 whet tune $common --epochs 4 --output b --threads 3 --checkpoint-activations
cmp -s a/model.safetensors b/model.safetensors || fail 'bits depend on threads or recomputation'
# shellcheck disable=SC2086
run 0 whet tune $common --epochs 4 --output b --force --seed 1
cmp -s a/model.safetensors b/model.safetensors && fail 'the seed changes nothing'

# Accumulating micro-batches is the same up to rounding: it runs, and learns.
# shellcheck disable=SC2086
run 0 whet tune $common --epochs 4 --output small --batch-tokens 1
grep -q '"accuracy": 1.0' small/training.json || fail 'accumulated batches do not learn'

# Interrupted and gone on: the bits of the run that was not interrupted.
long="--model $model --train train.tsv --valid valid.tsv --lr 0.001 --batch 8 --epochs 60 --quiet"
# shellcheck disable=SC2086
run 0 whet tune $long --output whole
# shellcheck disable=SC2086
stopped INT part tune $long --output part
if [ $code = 130 ]; then
    grep -q 'interrupted after step' .err || fail 'an interruption is not told'
    present part/checkpoint/state.safetensors
    # A bit that flipped in a checkpoint is told, in the values of the best step before the work, too.
    for file in state best; do
        [ -e part/checkpoint/$file.safetensors ] || continue
        cp -r part bad
        python3 -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(-3, 2); b = f.read(1)[0]; f.seek(-3, 2); f.write(bytes([b ^ 1]))' \
            bad/checkpoint/$file.safetensors
        # shellcheck disable=SC2086
        run 3 whet tune $long --output bad --resume
        tells "bad/checkpoint/$file.safetensors: the checkpoint is damaged"
        rm -r bad
    done
    # shellcheck disable=SC2086
    run 3 whet tune $long --output part --resume --seed 5
    tells 'other settings'
    # shellcheck disable=SC2086
    run 0 whet tune $long --output part --resume --threads 1
elif [ $code != 0 ]; then
    fail "exit code $code after SIGINT; expected 130"
fi
cmp -s whole/model.safetensors part/model.safetensors || fail 'going on gives other bits'
cmp -s whole/metrics.jsonl part/metrics.jsonl || fail 'going on gives another log'
absent part/checkpoint
# shellcheck disable=SC2086
run 4 whet tune $long --output whole --resume
tells 'its run was finished'
cmp -s whole/model.safetensors part/model.safetensors || fail 'a finished run was touched'

# Killed without a word: the last checkpoint is whole.
# shellcheck disable=SC2086
stopped KILL dead tune $long --output dead --save-steps 3
if [ -e dead/checkpoint/state.safetensors ]; then
    # shellcheck disable=SC2086
    run 0 whet tune $long --output dead --save-steps 3 --resume
fi
cmp -s whole/model.safetensors dead/model.safetensors || fail 'a killed run goes on to other bits'

# Pairs, regression, adapters, chosen layers, the other head.
# shellcheck disable=SC2086
run 0 whet tune $common --second other --epochs 1 --output pairs
# shellcheck disable=SC2086
run 0 whet tune $common --label score --epochs 4 --output numbers --json
says '"pearson"'
run 0 whet tune --model "$model" --train train.tsv --label score --epochs 1 --output spoken
says '60 rows, regression'
grep -q '"problem_type": "regression"' numbers/config.json || fail 'config.json lacks the task'
for adapter in lora more; do
    # shellcheck disable=SC2086
    run 0 whet tune $common --adapter $adapter --rank 4 --epochs 4 --output $adapter
    present $adapter/adapter_model.safetensors
    present $adapter/adapter_config.json
    absent $adapter/model.safetensors
    grep -q '"accuracy": 1.0' $adapter/training.json || fail "$adapter adapters do not learn"
done
# shellcheck disable=SC2086
run 0 whet tune $common --targets query,output.dense --head pooled --dtype bf16 --epochs 1 --output some

mark
# shellcheck disable=SC2086
run 4 whet tune $common --output a
tells '--force'
# shellcheck disable=SC2086
run 2 whet tune $common --targets quary --output z
tells 'match no layer'
# shellcheck disable=SC2086
run 2 whet tune $common --metric pearson --output z
tells 'accuracy, f1, mcc or loss'
run 2 whet tune --model "$model" --train train.tsv --patience 2 --output z
tells 'validation'
# shellcheck disable=SC2086
run 2 whet tune $common --text nothing --output z
run 4 whet tune --model nowhere --train train.tsv --output z
tells 'nowhere'
# shellcheck disable=SC2086
run 4 whet tune $common --output z --resume
unchanged
printf 'text\tlabel\nbad\tno\ngood\tyes\nfine\tmaybe\n' >odd.tsv
mark
run 3 whet tune --model "$model" --train train.tsv --valid odd.tsv --output z
tells 'odd.tsv:4'
run 3 whet tune --model "$model" --train train.tsv --task regression --output z
tells 'expected a number'
# A cell that is no number makes no classes of a column of them.
for odd in na nan inf; do
    awk -F'\t' -v odd=$odd 'NR == 1 { print "text\tlabel" } NR > 1 { print $1 "\t" (NR == 9 ? odd : $4) }' train.tsv >odd-$odd.tsv
    mark
    run 3 whet tune --model "$model" --train odd-$odd.tsv --output z
    tells "odd-$odd.tsv:9: label \"$odd\" among 59 that are numbers, of 60"
    unchanged
done
run 0 whet tune --model "$model" --train odd-nan.tsv --task classification --epochs 1 --output odd-classes
says '60 rows, classification of 3 classes'
# Numbers that are all the same have no correlation: told beforehand, and the loss judges.
awk -F'\t' 'NR == 1 { print } NR > 1 { print $1 "\t" $2 "\t" $3 "\t2.5" }' valid.tsv >same.tsv
run 0 whet tune --model "$model" --train train.tsv --valid same.tsv --label score --epochs 4 --patience 2 --output same
tells 'same.tsv: all numbers are 2.5, with which no correlation is defined; the best step is that of the lowest loss'
grep -q '"metric": "loss"' same/training.json || fail 'another metric than the loss judged'
grep -q '"best_step": 0' same/training.json && fail 'no validation was the best'
mark
run 3 whet tune --model "$model" --train train.tsv --valid same.tsv --label score --metric pearson --output z
tells 'or metric loss'
run 2 whet tune --model "$model" --train train.tsv --label score --smoothing 0.1 --output z
tells 'label smoothing with loss mse'
unchanged
run 0 whet tune --model "$model" --train train.tsv --save-modules pooler --epochs 1 --output full-saved
tells 'note: --save-modules'
run 0 whet tune --model "$model" --train train.tsv --targets query --save-modules pooler --epochs 1 --output full-saved --force
quiet_about 'note: --save-modules'
printf 'text\tlabel\nbad\tno\ngood\tno\n' >one.tsv
mark
run 3 whet tune --model "$model" --train one.tsv --output z
tells 'expected at least 2'
run 6 whet tune --model "$model" --train train.tsv --lr 1000 --weight-decay 1000 --clip 0 --epochs 9 --output boom
tells 'learning rate'
rm -rf boom
unchanged

# Weights that are no numbers are not the rate's fault.
cp -r a broken
python3 -c 'import struct
b = bytearray(open("a/model.safetensors", "rb").read())
n = 8 + struct.unpack("<Q", b[:8])[0]
b[n:] = struct.pack("<f", float("nan")) * ((len(b) - n) // 4)
open("broken/model.safetensors", "wb").write(b)'
mark
run 6 whet tune --model broken --train train.tsv --epochs 1 --output z
tells 'weights are not all numbers'
rm -rf z

# What a run left that came to no checkpoint is begun in, with and without --resume; what is not its own is not.
short="--model $model --train train.tsv --lr 0.005 --batch 8 --epochs 1 --quiet"
# shellcheck disable=SC2086
run 0 whet tune $short --output straight
for resume in '' --resume; do
    mkdir -p left/checkpoint
    : >left/metrics.jsonl
    : >left/checkpoint/state.safetensors.whet-999999999-0.tmp
    # shellcheck disable=SC2086
    run 0 whet tune $short --output left $resume
    cmp -s straight/model.safetensors left/model.safetensors || fail 'begun again, it has other bits'
    absent left/checkpoint
    rm -r left
done
mkdir -p left/checkpoint
: >left/checkpoint/run.whet-$$-0.tmp # of a process that is there
mark
# shellcheck disable=SC2086
run 4 whet tune $short --output left
tells 'left exists; it is kept'
unchanged
rm left/checkpoint/*
: >left/notes.txt
mark
# shellcheck disable=SC2086
run 4 whet tune $short --output left
# shellcheck disable=SC2086
run 4 whet tune $short --output left --resume
unchanged
mkdir empty
mark
# shellcheck disable=SC2086
run 4 whet tune $short --output empty
# Without room for a checkpoint nothing is left.
(
    ulimit -f 8
    # shellcheck disable=SC2086
    "$whet" tune $short --output full >.out 2>.err
)
[ $? = 4 ] || fail 'a checkpoint that cannot grow is not exit code 4'
unchanged

# No room for the file: said, and what was there is kept.
cp a/model.safetensors before.safetensors
(
    ulimit -f 20
    # shellcheck disable=SC2086
    "$whet" tune $common --epochs 1 --output a --force >.out 2>.err
)
[ $? = 4 ] || fail 'a file that cannot grow is not exit code 4'
grep -q 'cannot be written' .err || fail 'a file that cannot grow is not told'
cmp -s a/model.safetensors before.safetensors || fail 'a failed run changed what was there'
finish
