#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet bench glue, as a user types it, on the tiny model of tests/golden and two small tasks made here.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

mkdir -p data/trec data/stsb
python3 - <<'PY'
import random
random.seed(5)
words = {'a': ['good', 'song', 'love'], 'b': ['bad', 'video', 'number']}
for part, n in (('train', 60), ('test', 24)):
    with open('data/trec/%s.tsv' % part, 'w') as f, open('data/stsb/%s.tsv' % part, 'w') as g:
        f.write('coarse\ttext\n')
        g.write('score\ttext_a\ttext_b\n')
        for i in range(n):
            y = 'ab'[i % 2]
            f.write('%s\t%s\n' % (y, ' '.join(random.choices(words[y], k=4))))
            z = random.choice('ab')
            g.write('%.1f\t%s\t%s\n' % (4.5 if y == z else 0.5, random.choice(words[y]), random.choice(words[z])))
PY
glue="whet bench glue --data data --model $model --train-rows 40 --test-rows 20 --epochs 2 --seeds 2"

# Three rates and two seeds of two methods on two tasks; what is not there is left out, and said to be.
# shellcheck disable=SC2086
run 0 $glue --output O --methods lora-8,more-4x8
says 'over 2 tasks'
tells 'cola is left out'
for file in runs.jsonl summary.json table.tsv; do present O/$file; done
absent O/work
[ "$(wc -l <O/runs.jsonl)" = 21 ] || fail 'twenty runs behind the settings'
[ "$(wc -l <O/table.tsv)" = 5 ] || fail 'a line for each task and method'
python3 - <<'PY' || fail 'the summary is not what the runs say'
import json
runs = [json.loads(line) for line in open('O/runs.jsonl')][1:]
summary = json.load(open('O/summary.json'))
assert len(summary['results']) == 4
for r in summary['results']:
    own = [x for x in runs if x['task'] == r['task'] and x['method'] == r['method']]
    tested = [x['metric'] for x in own if x['part'] == 'test']
    assert len(tested) == 2 and abs(sum(tested) / 2 - r['value']['mean']) < 1e-7
    tried = [x for x in own if x['part'] == 'choose']
    assert len({x['rate'] for x in tried}) == 3 and {x['rows'] for x in tried} == {8}
    best = max(x['metric'] for x in tried)
    assert r['rate'] == min(x['rate'] for x in tried if x['metric'] == best)
lora, more = ([x['trained'] for x in runs if x['method'] == m and x['task'] == 'trec'][0] for m in ('lora-8', 'more-4x8'))
assert lora == more
PY

# Another row of a task's data makes other runs of it alone.
cp -r O Q
cp data/trec/test.tsv kept
sed -i '2s/good/great/; 2s/bad/worse/; 2s/song/tune/; 2s/love/like/; 2s/video/film/; 2s/number/count/' data/trec/test.tsv
cmp -s data/trec/test.tsv kept && fail 'the data has not changed'
# shellcheck disable=SC2086
run 0 $glue --output Q --methods lora-8,more-4x8 --quiet
[ "$(wc -l <Q/runs.jsonl)" = 31 ] || fail 'ten runs of changed data, none of the other'
[ "$(grep -c '"task":"trec"' Q/runs.jsonl)" = 20 ] || fail 'the runs are of another task'
cp Q/runs.jsonl twice
# shellcheck disable=SC2086
run 0 $glue --output Q --methods lora-8,more-4x8 --quiet
cmp -s Q/runs.jsonl twice || fail 'runs of changed data were made again'
mv kept data/trec/test.tsv

# Again: nothing is run anew; another method goes on from what is there; the same numbers on one thread.
cp O/runs.jsonl before
# shellcheck disable=SC2086
run 0 $glue --output O --methods lora-8,more-4x8 --json --quiet
json out
cmp -s O/runs.jsonl before || fail 'runs were made again'
# shellcheck disable=SC2086
run 0 $glue --output O --methods full --tasks trec --quiet
[ "$(wc -l <O/runs.jsonl)" = 26 ] || fail 'five runs more'
# shellcheck disable=SC2086
run 0 $glue --output P --methods lora-8,more-4x8 --threads 1 --quiet
for f in before P/runs.jsonl; do sed 's/"seconds":[^,]*,//; s/"megabytes":[^,]*,//' $f >"$(basename "$f").cut"; done
cmp -s before.cut runs.jsonl.cut || fail 'other numbers with another number of threads'

# Other settings are not mixed in; names that are none.
# shellcheck disable=SC2086
run 4 $glue --output O --seed 9
tells 'results of other settings'
# shellcheck disable=SC2086
run 2 $glue --output Q --tasks cola,cola
tells 'task cola is asked for twice'
# shellcheck disable=SC2086
run 2 $glue --output Q --tasks trek
tells '"trek" is no task; expected cola, sst2'
# shellcheck disable=SC2086
run 2 $glue --output Q --methods lora
tells 'is no method'
# shellcheck disable=SC2086
run 4 $glue --output Q --tasks cola
tells 'cola/train.tsv cannot be read'

# What is wrong with a table is told of the table that was given, with its line and column, before any work.
rm -rf Q
mkdir -p bad/trec bad/stsb
reset() { cp data/trec/*.tsv bad/trec; cp data/stsb/*.tsv bad/stsb; }
reset
mark
small="whet bench glue --data bad --model $model --methods lora-8 --seeds 3 --train-rows 20 --epochs 1 --output Q"
sed -i '3s/^[^\t]*/high/' bad/stsb/test.tsv
# shellcheck disable=SC2086
run 3 $small
tells 'bad/stsb/test.tsv:3: score is "high"; expected a number'
reset
sed -i '9s/^[^\t]*/c/' bad/trec/test.tsv
# shellcheck disable=SC2086
run 3 $small
tells 'bad/trec/test.tsv:9: coarse is "c"; expected one of the 2 classes of trec/train.tsv'
reset
sed -i '1s/coarse/course/' bad/trec/train.tsv
# shellcheck disable=SC2086
run 3 $small
tells 'bad/trec/train.tsv: no column "coarse", but "course", "text"; expected one'
reset
head -4 data/trec/train.tsv >bad/trec/train.tsv
# shellcheck disable=SC2086
run 3 $small
tells 'bad/trec/train.tsv: 3 rows have a coarse; expected 5 or more, of which a fifth is held out'
reset
sed -i '2,$s/^[^\t]*/a/' bad/trec/train.tsv
# shellcheck disable=SC2086
run 3 $small
tells 'bad/trec/train.tsv:2: coarse is "a"; expected another class as well'
unchanged
# A class of one row, which most draws lack or have among the rows that choose, stops none; nor does a row without one.
reset
sed -i '5s/^[^\t]*/c/; 6s/^[^\t]*//' bad/trec/train.tsv
sed -i '9s/^[^\t]*/c/' bad/trec/test.tsv
# shellcheck disable=SC2086
run 0 $small --tasks trec --quiet
rm -rf Q

# Without data there is nothing to compare: no table, and nothing is left behind.
rm -rf Q
mkdir empty
mark
run 4 whet bench glue --data nowhere --model "$model" --output R
tells 'nowhere: No such file or directory; expected a folder of data'
run 4 whet bench glue --data out --model "$model" --output R
run 3 whet bench glue --data empty --model "$model" --output R
tells 'empty: no task; expected one of cola/train.tsv, sst2/sentences_train.tsv, mrpc/train.tsv'
run 4 whet bench glue --data data --model nowhere --output R
unchanged
finish
