#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet align --barrier of encoders with a head for classes, on a table of texts with labels.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

awk 'BEGIN { print "words\tmore\tclass"
    for (i = 0; i < 40; i++) printf "%s video number %d\tthe song\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no"
    print "a row without a label\t\t" }' >t.tsv
run 0 whet tune --model "$model" --train t.tsv --valid t.tsv --text words --label class --lr 0.005 --batch 8 --epochs 12 \
    --adapter full --output a --quiet

# B is A with the inner units of each layer in another order.
mkdir b
cp a/config.json a/tokenizer.json b
python3 - <<'PY'
import json, random, struct
raw = open('a/model.safetensors', 'rb').read()
n = struct.unpack('<Q', raw[:8])[0]
head, data = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
random.seed(5)
def put(name, pick):
    t = head[name]
    first, end = t['data_offsets']
    v = struct.unpack('<%df' % ((end - first) // 4), data[first:end])
    data[first:end] = struct.pack('<%df' % len(v), *pick(v, t['shape']))
for name in [k for k in head if k.endswith('intermediate.dense.weight')]:
    order = list(range(head[name]['shape'][0]))
    random.shuffle(order)
    layer = name[:-len('intermediate.dense.weight')]
    put(name, lambda v, s: sum((v[i * s[1]:(i + 1) * s[1]] for i in order), ()))
    put(layer + 'intermediate.dense.bias', lambda v, s: [v[i] for i in order])
    put(layer + 'output.dense.weight', lambda v, s: [v[r * s[1] + i] for r in range(s[0]) for i in order])
open('b/model.safetensors', 'wb').write(raw[:8 + n] + bytes(data))
PY

columns='--text words --label class'
# shellcheck disable=SC2086
run 0 whet align a b --barrier --points 3 --data t.tsv $columns --figure f.svg --output c --json --threads 2
json out
cp .out two.json
python3 - <<'PY' || fail 'the document is wrong'
import json
lines = json.load(open('.out'))['lines']
assert set(lines) == {'before', 'aligned'}
losses = {k: [p['loss'] for p in l['points']] for k, l in lines.items()}
assert max(losses['aligned']) - min(losses['aligned']) < 1e-5, losses
assert abs(losses['before'][0] - losses['before'][2]) < 1e-5 < 1e-3 < lines['before']['barrier'], losses
assert lines['aligned']['barrier'] < 1e-5
assert all(p['accuracy'] == 1 for p in lines['aligned']['points'])
# What whet tune says of the same model on the same rows: that of the best epoch, which is kept.
best = [json.loads(l) for l in open('a/metrics.jsonl') if '"best":true' in l][-1]
assert abs(best['validation']['loss'] - losses['before'][0]) < 1e-4 and best['validation']['n'] == 40
PY
grep -q '<svg' f.svg || fail 'f.svg is no figure'
# shellcheck disable=SC2086
run 0 whet align a b --barrier --points 3 --data t.tsv $columns --output c --force --json --threads 1
sed 's/"seconds.*//' .out >one.json
sed 's/"seconds.*//' two.json | cmp -s - one.json || fail 'bits depend on threads'
# shellcheck disable=SC2086
run 0 whet align a b --barrier --points 2 --data t.tsv $columns --second more --max-length 9 --output pairs
says 'barrier'

# Refusals: nothing is written.
mark
run 2 whet align a b --barrier --data t.tsv --label class --output n
tells 'no column "text"'
run 2 whet align a b --barrier --data t.tsv --text words --output n
tells 'no column "label"'
run 3 whet align a b --barrier --data t.tsv --text words --label more --output n
tells 't.tsv:2: label "the song" is unknown; expected one of the 2 classes of a/config.json'
run 3 whet align "$model" "$model" --barrier --data t.tsv --output n
tells 'no tensor classifier.weight'
run 2 whet align a b --data t.tsv --output n
tells '--data needs --barrier'
for wrong in '--labels t.tsv' '--measure t.tsv' --repair '--mean 1'; do
    # shellcheck disable=SC2086
    run 2 whet align a b --barrier --data t.tsv $wrong --output n
    tells 'has no use with a table of texts'
done
run 2 whet align a b --method activations --data t.tsv --output n
tells 'reads no texts'
run 2 whet align a b --barrier --data t.npy --labels t.npy --second more --output n
tells '--second needs --data T.tsv'
mkdir d
cp b/tokenizer.json b/model.safetensors d
sed 's/"no"/"maybe"/' b/config.json >d/config.json
# shellcheck disable=SC2086
run 3 whet align a d --barrier --data t.tsv $columns --output n
tells 'd/config.json: class 0 is "maybe", in a it is "no"'
sed 's/"intermediate_size": [0-9]*/"intermediate_size": -1/' a/config.json >d/config.json
# shellcheck disable=SC2086
run 3 whet align d b --barrier --data t.tsv $columns --output n
tells 'model "d": config.json: "intermediate_size" is -1'
sed 's/"no"/"LABEL_0"/' b/config.json >d/config.json # names no classes: then they are numbers
# shellcheck disable=SC2086
run 3 whet align d b --barrier --data t.tsv $columns --output n
tells 'label "no"; expected a class from 0 to 1'
rm -r d
unchanged
awk 'BEGIN { print "words\tclass"; print "good video\t1"; print "bad video\tLABEL_0" }' >numbers.tsv
mkdir d
cp b/tokenizer.json b/model.safetensors d
sed 's/"no"/"LABEL_0"/' b/config.json >d/config.json
# shellcheck disable=SC2086
run 0 whet align d d --barrier --points 2 --data numbers.tsv $columns --output n
says '100.0 %'
finish
