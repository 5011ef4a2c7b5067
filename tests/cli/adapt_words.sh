#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet adapt with TF-IDF beside the tiny model of tests/golden: where words help, where they do not, what is saved.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# 120 texts whose class is one of two words among others, 40 with a label; 60 test rows.
python3 - <<'PY'
import random
random.seed(5)
filler = 'song number video voice channel night river seven open small green paper'.split()
def row(i):
    y = i % 2
    words = random.sample(filler, 6) + [['good', 'bad'][y]]
    random.shuffle(words)
    return ' '.join(words), ['no', 'yes'][y]
with open('pool.tsv', 'w') as pool, open('test.tsv', 'w') as test:
    pool.write('text\tlabel\n')
    test.write('text\tlabel\n')
    for i in range(180):
        text, y = row(i)
        (pool if i < 120 else test).write('%s\t%s\n' % (text, y if i < 40 or i >= 120 else ''))
PY
common="--train pool.tsv --test test.tsv --model $model"
source_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["features"]["source"])' "$1"; }

# shellcheck disable=SC2086
run 0 whet adapt $common --output both
says 'features: encoder+tfidf'
[ "$(source_of both/classifier/classifier.json)" = encoder+tfidf ] || fail 'the source that was saved'
grep -q '"words": 0.25' both/classifier/classifier.json || fail 'the share of words'
run 0 whet adapt apply --classifier both/classifier --input test.tsv --output again.tsv
cmp -s both/predictions.tsv again.tsv || fail 'apply predicts otherwise than adapt did'
# shellcheck disable=SC2086
run 0 whet adapt $common --output three --threads 3 --quiet
cmp -s both/predictions.tsv three/predictions.tsv || fail 'predictions depend on threads'

# Not where it is not wanted; and the words that tell the class are worth something.
# shellcheck disable=SC2086
run 0 whet adapt $common --no-words --output one
says 'features: encoder,'
[ "$(source_of one/classifier/classifier.json)" = encoder ] || fail 'the source without words'
python3 - <<'PY' || fail 'words do not help where they tell the class'
import json
right = [json.load(open(d + '/metrics.json'))['test']['accuracy'] for d in ('both', 'one')]
assert right[0] > right[1], right
PY

# A file that lies about the share, or lacks the terms, is refused.
cp -r both/classifier lies
sed -i 's/"words": 0.25/"words": 2/' lies/classifier.json
run 3 whet adapt apply --classifier lies --input test.tsv --output no.tsv
tells '"words" is 2'
cp both/classifier/classifier.json lies/
sed -i 's/"source": "encoder+tfidf"/"source": "encoder"/' lies/classifier.json
run 3 whet adapt apply --classifier lies --input test.tsv --output no.tsv
tells 'features; expected'
cp one/classifier/classifier.safetensors lies/
cp both/classifier/classifier.json lies/
run 3 whet adapt apply --classifier lies --input test.tsv --output no.tsv
absent no.tsv
finish
