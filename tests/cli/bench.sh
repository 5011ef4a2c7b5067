#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet bench autows, as a user types it, on two small sets made here.
. "$(dirname "$0")/lib.sh"

mkdir -p data/youtube
python3 - <<'PY'
import random
random.seed(3)
words = {'0': ['song', 'voice', 'love', 'video', 'nice'], '1': ['subscribe', 'channel', 'free', 'click', 'win']}
for part, n in (('train', 120), ('test', 40)):
    with open('data/youtube/%s.tsv' % part, 'w') as f:
        f.write('label\ttext\n')
        for i in range(n):
            y = '01'[i % 2]
            f.write('%s\t%s\n' % (y, ' '.join(random.choices(words[y], k=4) + random.choices(words['0'], k=2))))
PY

# Sets that are not there are left out, and said to be.
run 0 whet bench autows --data data --output O --features tfidf --methods few-shot,prototypes,snuba,adapt \
    --seeds 2 --labels 20 --sets youtube
says 'youtube'
says 'best baseline'
says 'over 1 pairs of set and feature map'
for file in cells.jsonl summary.json table.tsv profile.svg report.html; do present O/$file; done
[ "$(wc -l <O/cells.jsonl)" = 9 ] || fail 'eight cells behind the settings'
head -1 O/table.tsv | grep -q '^set	feature	method	family	seeds' || fail 'the header of the table'
grep -q '</svg>' O/profile.svg || fail 'the picture'

# Again: nothing is run anew; as JSON; a method more goes on from what is there.
cp O/cells.jsonl before
run 0 whet bench autows --data data --output O --features tfidf --methods few-shot,prototypes,snuba,adapt \
    --seeds 2 --labels 20 --sets youtube --json
json out
cmp -s O/cells.jsonl before || fail 'cells were run again'
run 0 whet bench autows --data data --output O --features tfidf --methods few-shot,iws --seeds 2 --labels 20 \
    --sets youtube --threads 1
[ "$(wc -l <O/cells.jsonl)" = 11 ] || fail 'two cells more'

# Whatever the threads, the same numbers but for seconds.
run 0 whet bench autows --data data --output P --features tfidf --methods few-shot,prototypes,snuba,adapt \
    --seeds 2 --labels 20 --sets youtube --threads 1
for f in before P/cells.jsonl; do sed 's/"seconds":[^,]*,//; s/"megabytes":[^,}]*//' $f >"$(basename "$f").cut"; done
cmp -s before.cut cells.jsonl.cut || fail 'other numbers with another number of threads'

# The encoder tuned: on its own feature map, and nothing is left of it but its cell.
for threads in 1 2; do
    run 0 whet bench autows --data data --output T$threads --model "$WHET_TEST_SOURCE/tests/golden/bert_tiny/even" \
        --methods adapt,adapt-adapter --seeds 1 --labels 24 --pool 60 --sets youtube --threads $threads
    [ "$(grep -c '"method":"adapt-adapter"' T$threads/cells.jsonl)" = 1 ] || fail 'one feature map to tune'
    [ -z "$(find T$threads/cache -name '*tuned*')" ] || fail 'a tuned encoder is left'
    sed 's/"seconds":[^,]*,//; s/"megabytes":[^,}]*//' T$threads/cells.jsonl >T$threads.cut
done
cmp -s T1.cut T2.cut || fail 'the tuned encoder depends on threads'
python3 - <<'PY' || fail 'the cell of the tuned encoder'
import json
cells = [json.loads(line) for line in open('T1/cells.jsonl')][1:]
tuned = [c for c in cells if c['method'] == 'adapt-adapter'][0]
assert tuned['feature'] == 'encoder' and tuned['coverage'] == 1 and tuned['crossfit'] > 0, tuned
frozen = [c for c in cells if c['method'] == 'adapt' and c['feature'] == 'encoder'][0]
kept = tuned['chosen'].startswith('encoder: ')
assert tuned['crossfit'] < frozen['crossfit'] if kept else tuned['crossfit'] == frozen['crossfit'], (tuned, frozen)
assert tuned['chosen'].split(':')[0] in ('encoder', 'blend', 'logistic', 'prototypes', 'graph') and tuned['accuracy'] > .6
PY

# Other settings are not mixed in.
run 4 whet bench autows --data data --output O --labels 10 --sets youtube --seeds 2
tells 'results of other settings'
run 0 whet bench autows --data data --output O --labels 10 --sets youtube --seeds 1 --methods few-shot \
    --features tfidf --force
[ "$(wc -l <O/cells.jsonl)" = 2 ] || fail 'the old cells are gone'

# Neither are other numbers of the encoder; auto is what a run without --dtype has, f32 tunes otherwise.
tiny="$WHET_TEST_SOURCE/tests/golden/bert_tiny/even"
run 0 whet bench autows --data data --output B --model "$tiny" --methods adapt-adapter --seeds 1 --labels 24 \
    --pool 60 --sets youtube --dtype bf16
head -1 B/cells.jsonl | grep -q '"dtype":"bf16"' || fail 'the settings do not tell the dtype'
run 4 whet bench autows --data data --output B --model "$tiny" --methods adapt-adapter --seeds 1 --labels 24 \
    --pool 60 --sets youtube
tells 'results of other settings'
run 4 whet bench autows --data data --output T1 --model "$tiny" --methods adapt-adapter --seeds 1 --labels 24 \
    --pool 60 --sets youtube --dtype bf16
tells 'results of other settings'
cp T1/cells.jsonl before
run 0 whet bench autows --data data --output T1 --model "$tiny" --methods adapt-adapter --seeds 1 --labels 24 \
    --pool 60 --sets youtube --dtype auto
cmp -s T1/cells.jsonl before || fail 'cells were run again for --dtype auto'
run 4 whet bench autows --data data --output T1 --model "$tiny" --methods adapt-adapter --seeds 1 --labels 24 \
    --pool 60 --sets youtube --dtype f32
tells 'results of other settings'
run 2 whet bench autows --data data --output Q --dtype f16
tells 'auto|f32|bf16'

# What is not there, and what is no such thing.
mark
run 4 whet bench autows --data nowhere --output Q
tells 'nowhere: No such file or directory; expected a folder of data'
unchanged
run 2 whet bench autows --data data --output Q --sets youtub
tells '"youtub" is no set; expected youtube, sms_spam'
run 2 whet bench autows --data data --output Q --methods snuba2
tells 'is no method'
run 2 whet bench autows --data data --output Q --features raw2
tells 'is no feature map'
run 4 whet bench autows --data data --output Q --sets trec
tells 'data/trec/train.tsv'
run 2 whet bench autows --data data
tells '--output'
run 2 whet bench autows --data data --output Q --seeds 0
printf 'label\ttext\n0\ta\n1\tb\n' >data/youtube/train.tsv
run 3 whet bench autows --data data --output Q --sets youtube --features tfidf --methods few-shot
tells 'youtube has 2 rows'
absent Q/table.tsv
printf 'label\ttext\nham\tx\n' >data/youtube/test.tsv
run 3 whet bench autows --data data --output Q --sets youtube --features tfidf --methods few-shot
tells 'youtube/test.tsv:2: "ham"; expected a class of data/youtube/train.tsv'
printf 'label\tother\n0\tx\n' >data/youtube/test.tsv
run 2 whet bench autows --data data --output Q --sets youtube --features tfidf --methods few-shot
tells '"text"'
finish
