#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet bench commonsense, as a user types it, on the tiny Llama of tests/golden with a character a token.
. "$(dirname "$0")/lib.sh"
golden=$WHET_TEST_SOURCE/tests/golden/llama
mkdir m data
cp "$golden/llama/config.json" "$golden/llama/model.safetensors" m
cp "$golden/tokenizer_begin.json" m/tokenizer.json

# Dogs bark and cats mew; one question is longer than the model's positions.
python3 - <<'PY'
import json
for name, parts in (('boolq', ('train', 'test')), ('piqa', ('test',))):
    for part in parts:
        with open('data/%s.%s.jsonl' % (name, part), 'w') as f:
            for i in range(40):
                q = ('dog', 'cat')[i % 2] + (' and so on' * 30 if part == 'test' and i == 7 else '')
                f.write(json.dumps({'instruction': q + ' Answer format: bark/mew', 'answer': ('bark', 'mew')[i % 2]}) + '\n')
PY
bench="whet bench commonsense --data data --model m --train-rows 40 --test-rows 30 --quiet"

# shellcheck disable=SC2086
run 0 $bench --output O --methods as-is,full,lora-4 --epochs 2 --seeds 2
says 'as-is'
for file in cells.jsonl summary.json; do present O/$file; done
absent O/work
[ "$(wc -l <O/cells.jsonl)" = 11 ] || fail 'ten cells behind the settings'
python3 - <<'PY' || fail 'the summary is not what the cells say'
import json
cells = [json.loads(line) for line in open('O/cells.jsonl')][1:]
summary = json.load(open('O/summary.json'))
assert {c['questions'] for c in cells} == {30} and {c['seed'] for c in cells if c['method'] == 'as-is'} == {0}
assert sum(c['cut'] for c in cells) == len(cells)
for r in summary['results']:
    own = [c['accuracy'] for c in cells if c['set'] == r['set'] and c['method'] == r['method']]
    assert len(own) == r['seeds'] and abs(sum(own) / len(own) - r['accuracy']) < 1e-9
    assert 0 <= r['accuracy'] <= 1
PY

# Other training questions make other cells of what is tuned, other test questions of all.
cp -r O D
cp -r data kept
echo '{"instruction": "cat Answer format: bark/mew", "answer": "mew"}' >>data/boolq.train.jsonl
# shellcheck disable=SC2086
run 0 $bench --output D --methods as-is,full,lora-4 --epochs 2 --seeds 2
[ "$(wc -l <D/cells.jsonl)" = 19 ] || fail 'eight cells of other training questions'
echo '{"instruction": "cat Answer format: bark/mew", "answer": "mew"}' >>data/piqa.test.jsonl
# shellcheck disable=SC2086
run 0 $bench --output D --methods as-is,full,lora-4 --epochs 2 --seeds 2
[ "$(wc -l <D/cells.jsonl)" = 24 ] || fail 'five cells of other test questions'
rm -r data && mv kept data

# Nothing is run anew; the same cells on one thread.
cp O/cells.jsonl before
# shellcheck disable=SC2086
run 0 $bench --output O --methods as-is,full,lora-4 --epochs 2 --seeds 2 --json
json out
cmp -s O/cells.jsonl before || fail 'cells were run again'
# shellcheck disable=SC2086
run 0 $bench --output P --methods as-is,full,lora-4 --epochs 2 --seeds 2 --threads 1
for f in before P/cells.jsonl; do sed 's/"seconds":[^,]*,//; s/"megabytes":[^,}]*//' $f >"$(basename "$f").cut"; done
cmp -s before.cut cells.jsonl.cut || fail 'other cells with another number of threads'

# Other settings; names that are none; answers that are no choice, with the line; nothing to train on.
# shellcheck disable=SC2086
run 4 $bench --output O --seed 3
tells 'results of other settings'
# A model is its weights, wherever they are.
cp -r m other
# shellcheck disable=SC2046
run 0 $(echo "$bench" | sed 's/--model m/--model other/') --output O --methods as-is,full,lora-4 --epochs 2 --seeds 2
cmp -s O/cells.jsonl before || fail 'the same model elsewhere was asked again'
python3 -c 'b = bytearray(open("m/model.safetensors", "rb").read()); b[-1] ^= 1; open("m/model.safetensors", "wb").write(b)'
# shellcheck disable=SC2086
run 4 $bench --output O --methods as-is,full,lora-4 --epochs 2 --seeds 2
tells 'results of other settings'
rm -r m && mv other m
# shellcheck disable=SC2086
run 2 $bench --output Q --sets boolk
tells '"boolk" is no set; expected boolq, piqa'
# shellcheck disable=SC2086
run 2 $bench --output Q --methods lora
tells 'is no method'
# shellcheck disable=SC2086
run 4 $bench --output Q --sets winogrande
tells 'winogrande.test.jsonl cannot be read'
# shellcheck disable=SC2086
run 3 $bench --output Q --sets piqa --methods full
tells 'has training questions'
sed '3s/"mew"}/"miaow"}/; 3s/"bark"}/"woof"}/' data/piqa.test.jsonl >bad
mv bad data/piqa.test.jsonl
mark
# shellcheck disable=SC2086
run 3 whet bench commonsense --data data --model m --output R --sets piqa --methods as-is --test-rows 40
tells 'piqa.test.jsonl:3: the answer is "woof"; expected one of the choices'
unchanged

# Choices of the same words are one: with nothing else to choose, every answer is right.
mkdir same
for i in 1 2 3; do
    echo '{"instruction": "dog '$i' Answer format: bark/bark", "answer": "bark"}'
done >same/boolq.test.jsonl
run 0 whet bench commonsense --data same --model m --output S --sets boolq --methods as-is --quiet
grep -q '"accuracy":1.0' S/cells.jsonl || fail 'the same words are two choices'
rm -r S

# A column that is not there is named as missing, with those that are; no questions are none to ask.
mkdir bad
sed 's/"answer"/"label"/' data/boolq.test.jsonl >bad/boolq.test.jsonl
: >bad/piqa.test.jsonl
mark
run 3 whet bench commonsense --data bad --model m --output R --sets boolq --methods as-is
tells 'bad/boolq.test.jsonl: no column "answer", but "label", "instruction"; expected one'
run 3 whet bench commonsense --data bad --model m --output R --sets piqa --methods as-is
tells 'bad/piqa.test.jsonl'
# Training questions are looked at before any is asked.
cp data/boolq.test.jsonl bad
: >bad/boolq.train.jsonl
mark
sed '5s/"answer": "[a-z]*"/"answer": "woof"/' data/boolq.train.jsonl >bad/boolq.train.jsonl
run 3 whet bench commonsense --data bad --model m --output R --sets boolq --methods as-is,full
tells 'bad/boolq.train.jsonl:5: the answer is "woof"'
unchanged

# Without data there is nothing to compare: no table, and nothing is left behind.
mkdir empty
mark
run 4 whet bench commonsense --data nowhere --model m --output R
tells 'nowhere: No such file or directory; expected a folder of data'
run 3 whet bench commonsense --data empty --model m --output R
tells 'empty: no set; expected one of boolq.test.jsonl, piqa.test.jsonl, social_i_qa.test.jsonl'
run 4 whet bench commonsense --data data --sets boolq --model nowhere --output R
unchanged
finish
