#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune --search on the tiny model of tests/golden: what it writes, going on, several processes, no room.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# 40 texts whose class is a word in them.
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 40; i++)
        printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >train.tsv
common="tune --model $model --train train.tsv --batch 8 --epochs 8 --quiet"

# What a search says, without what it took.
facts() {
    python3 -c 'import json, sys
def bare(x):
    if isinstance(x, dict): return {k: bare(v) for k, v in x.items() if k not in ("seconds", "processes", "steps_taken")}
    return [bare(v) for v in x] if isinstance(x, list) else x
print(json.dumps(bare(json.load(open(sys.argv[1])))))' "$1/search.json"
}
# same A B: results and the model are the same to the bit.
same() {
    facts "$1" >one.txt
    facts "$2" >two.txt
    cmp -s one.txt two.txt || fail "$1 and $2 differ in what they found"
    cmp -s "$1/adapter_model.safetensors" "$2/adapter_model.safetensors" || fail "$1 and $2 differ in the model"
}
# lines DIR N: waits until its journal has so many.
lines() {
    tries=0
    while [ "$(cat "$1/search/journal" 2>/dev/null | wc -l)" -lt "$2" ] && [ $tries -lt 500 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
}

# Patience: classes by the parity of a number are not learnt, so that trials end early; on one that is learnt at
# once, too; fewer steps than without, the same at any thread count and when it goes on.
awk 'BEGIN { srand(3); print "text\tlabel"
    for (i = 0; i < 40; i++) printf "video number %d\t%s\n", rand() * 1000, rand() < .5 ? "yes" : "no" }' >noise.tsv
patient="tune --model $model --train noise.tsv --batch 8 --epochs 12 --quiet --search trials=3"
# shellcheck disable=SC2086
run 0 whet $patient --output whole
# shellcheck disable=SC2086
run 0 whet $patient --search-patience 2 --output early --threads 1
says 'ended early'
# shellcheck disable=SC2086
run 0 whet $patient --search-patience 2 --output early-2 --threads 3
same early early-2
python3 - <<'EOF3' || fail 'patience does not stop trials early'
import json
steps = lambda d: sum(x["steps_taken"] for x in json.load(open(d + "/search.json"))["trials"])
early = sum(x["stopped_early"] for x in json.load(open("early/search.json"))["trials"])
assert early > 3 and steps("early") < .9 * steps("whole"), (early, steps("early"), steps("whole"))
assert all(x["stopped_early"] == 0 for x in json.load(open("whole/search.json"))["trials"])
EOF3
# shellcheck disable=SC2086
run 3 whet $patient --resume --output early
rm -r whole early early-2

# What is asked for as well: a trial of each comes to the whole length, and the winner's command can be typed.
# shellcheck disable=SC2086
run 0 whet $common --search trials=6 --search-also dora,bitfit,norms,adapter-dropout --output also --json
json out
python3 - <<'EOF2' || fail 'kinds that are asked for are not searched'
import json
r = json.load(open("also/search.json"))
kinds = [x["kind"] for x in r["trials"]]
assert kinds == ["lora", "full", "more", "dora", "bitfit", "norms"], kinds
assert {x["kind"] for x in r["trials"] if x["state"] == "whole"} == set(kinds)
assert set(r["best"]) == set(kinds) and all(r["best"][k] == i for i, k in enumerate(kinds)), r["best"]
svg = open("also/pareto.svg").read()
assert "DoRA" in svg and "BitFit" in svg and "norms" in svg
open("winner.txt", "w").write(r["options"])
EOF2
eval "run 0 whet tune --model '$model' --train train.tsv --batch 8 --quiet $(cat winner.txt) --output again"
mark
# shellcheck disable=SC2086
run 2 whet $common --search trials=5 --search-also dora,boft --output z
tells 'expected dora, bitfit, norms'
# shellcheck disable=SC2086
run 2 whet $common --search-also dora --output z
tells '--search'
# shellcheck disable=SC2086
run 3 whet $common --search trials=9 --search-also dora --resume --output also
unchanged
rm -r also again

# shellcheck disable=SC2086
run 0 whet $common --search trials=5 --output a --json
json out
for file in adapter_model.safetensors adapter_config.json training.json search.json pareto.svg search/journal; do
    present "a/$file"
done
[ "$(find a/search -type f | wc -l)" = 1 ] || fail 'checkpoints or locks were left'
python3 - <<'EOF' || fail 'search.json is not as it should be'
import json
import xml.dom.minidom
r = json.load(open("a/search.json"))
xml.dom.minidom.parse("a/pareto.svg")
t = r["trials"]
assert len(t) == 5 and {x["kind"] for x in t} == {"more", "lora", "full"}
# Pairs have equal ranks and layers, so equal parameters.
for a, b in ((0, 2), (3, 4)):
    assert t[a]["parameters"] == t[b]["parameters"]
    assert t[a]["settings"]["rank"] == t[b]["settings"]["rank"]
assert all(x["settings"]["rank"] % x["settings"]["blocks"] == 0 for x in t if x["kind"] == "more")
whole = [x for x in t if x["state"] == "whole"]
# Each kind comes to the whole length, and the winner is the best of those.
assert {x["kind"] for x in whole} == {"more", "lora", "full"}
assert t[r["winner"]]["metric"] == max(x["metric"] for x in whole) and r["trained"]
assert all(len(x["scores"]) == 5 for x in t) and r["folds"] == 5
# Of 40 rows 32 are trained on, in batches of 8, eight times; a third of that is the rung before.
assert r["rungs"] == [11, 32]
assert r["verdict"]["fresh"] and len(t[r["rival"]]["fresh_scores"]) == 5
lines = [l.split(" ", 1)[1] for l in open("a/search/journal")]
done = [json.loads(l)["done"] for l in lines if '"done"' in l]
assert len(done) == len({tuple(u) for u in done}), "a unit was done twice"
EOF

# The winner's options give the winner's model again.
options=$(python3 -c 'import json; print(json.load(open("a/search.json"))["options"])')
eval "run 0 whet tune --model '$model' --train train.tsv --batch 8 --quiet $options --output typed"
cmp -s a/adapter_model.safetensors typed/adapter_model.safetensors || fail 'the options give another model'

# So they do where a shell would take them apart, with all that an adapter was told to be.
# shellcheck disable=SC2086
run 0 whet $common --search trials=1 --targets "regex:.*(query|va'?lue)" --exclude key --lr 0.00123456789 --rslora \
    --adapter-dropout 0.25 --save-modules embeddings.LayerNorm --output told
options=$(python3 -c 'import json; print(json.load(open("told/search.json"))["options"])')
eval "run 0 whet tune --model '$model' --train train.tsv --batch 8 --quiet $options --output typed --force"
cmp -s told/adapter_model.safetensors typed/adapter_model.safetensors || fail 'the options give another model'

# The same at any number of threads; another seed tries other things; a done search has nothing to do.
# shellcheck disable=SC2086
run 0 whet $common --search trials=5 --output b --threads 3
same a b
# shellcheck disable=SC2086
run 0 whet $common --search trials=5 --output b --force --seed 5
facts a >one.txt
facts b >two.txt
cmp -s one.txt two.txt && fail 'the seed changes nothing'
cp a/search/journal before
# shellcheck disable=SC2086
run 0 whet $common --search trials=5 --output a --resume
cmp -s a/search/journal before || fail 'a search that was done did something'
# A larger budget goes on.
# shellcheck disable=SC2086
run 0 whet $common --search trials=7 --output a --resume
# shellcheck disable=SC2086
run 0 whet $common --search trials=7 --output c
[ "$(facts a | grep -o '"trial"' | wc -l)" = 7 ] || fail 'a larger budget did not go on'

# Killed anywhere, and the journal cut anywhere: it goes on to the same end.
for at in 2 9 30; do
    rm -rf k
    # shellcheck disable=SC2086
    "$whet" $common --search trials=5 --output k --threads 1 >.out 2>.err </dev/null &
    pid=$!
    lines k $at
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    size=$(stat -c %s k/search/journal)
    [ $at != 9 ] || truncate -s $((size - 7)) k/search/journal
    # shellcheck disable=SC2086
    run 0 whet $common --search trials=5 --output k --resume
    # shellcheck disable=SC2086
    [ $at != 2 ] || run 0 whet $common --search trials=5 --output b --force
    same b k
done

# Damaged checkpoints of trials are told, and their steps taken again, to the same end.
rm -rf k
# shellcheck disable=SC2086
"$whet" $common --search trials=5 --output k --threads 1 >.out 2>.err </dev/null &
pid=$!
lines k 24
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
found=0
for file in k/search/*.safetensors; do
    [ -e "$file" ] || continue
    found=1
    python3 -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(-3, 2); b = f.read(1)[0]; f.seek(-3, 2); f.write(bytes([b ^ 1]))' "$file"
done
# shellcheck disable=SC2086
run 0 whet ${common% --quiet} --search trials=5 --output k --resume
[ $found = 0 ] || tells 'is damaged: its contents do not have the hash they were written with'
same b k

# So is the winner's training, from its first step, where its checkpoint is of another version, or not all there.
judged="tune --model $model --train train.tsv --batch 8 --epochs 60 --quiet --valid train.tsv --search trials=1 --save-steps 2"
# shellcheck disable=SC2086
run 0 whet $judged --output w
# shellcheck disable=SC2086
"$whet" $judged --output v --threads 1 >.out 2>.err </dev/null &
pid=$!
tries=0
# The state behind the best values knows of them.
while [ -z "$(find v/checkpoint/state.safetensors -newer v/checkpoint/best.safetensors 2>/dev/null)" ] && [ $tries -lt 1000 ]; do
    sleep 0.01
    tries=$((tries + 1))
done
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
if [ -e v/checkpoint/state.safetensors ]; then
    cp -r v gone
    rm gone/checkpoint/best.safetensors
    cp -r v newer
    python3 - <<'EOF' || fail 'no checkpoint with a version'
path = "newer/checkpoint/state.safetensors"
b = open(path, "rb").read()
assert b.count(b'"whet_training":"2"') == 1
open(path, "wb").write(b.replace(b'"whet_training":"2"', b'"whet_training":"9"'))
EOF
    for how in gone newer; do
        # shellcheck disable=SC2086
        run 0 whet ${judged%--quiet*} ${judged#*--quiet} --output $how --resume
        tells 'the winner is trained from its first step'
        same w $how
        rm -r $how
    done
fi
rm -rf v w

# Interrupted: told, and it goes on.
# shellcheck disable=SC2086
"$whet" $common --search trials=5 --output i >.out 2>.err </dev/null &
pid=$!
lines i 20
kill -INT $pid 2>/dev/null
wait $pid
code=$?
if [ $code = 130 ]; then
    tells '--resume goes on'
    # shellcheck disable=SC2086
    run 0 whet $common --search trials=5 --output i --resume
elif [ $code != 0 ]; then
    fail "exit code $code after SIGINT; expected 130"
fi
same b i

# Three processes, one killed: each unit has one result, no result differs from that of one process.
# shellcheck disable=SC2086
"$whet" $common --search trials=8 --output p --threads 1 >.out 2>.err </dev/null &
first=$!
lines p 2
# shellcheck disable=SC2086
"$whet" $common --search trials=8 --output p --threads 1 --resume >.out2 2>.err2 </dev/null &
second=$!
# shellcheck disable=SC2086
"$whet" $common --search trials=8 --output p --threads 1 --resume >.out3 2>.err3 </dev/null &
third=$!
lines p 30
kill -KILL $first 2>/dev/null
wait $first 2>/dev/null
wait $second || fail "the second process failed: $(cat .err2)"
wait $third || fail "the third process failed: $(cat .err3)"
rm -f .out2 .out3 .err2 .err3
# shellcheck disable=SC2086
run 0 whet $common --search trials=8 --output alone
python3 - <<'EOF' || fail 'several processes do not agree with one'
import json
def results(name):
    out = {}
    for line in open(name + "/search/journal"):
        o = json.loads(line.split(" ", 1)[1])
        if "done" in o and o["metric"] is not None:
            assert tuple(o["done"]) not in out, "done twice"
            out[tuple(o["done"])] = (o["metric"], o["loss"], o["worker"])
    return out
many, one = results("p"), results("alone")
assert len({v[2] for v in many.values()}) > 1, "one process did all"
shared = many.keys() & one.keys()
assert len(shared) > 8 * 5 - 1
assert all(many[u][:2] == one[u][:2] for u in shared)
assert json.load(open("p/search.json"))["trained"]
EOF
present p/adapter_model.safetensors

# Few parameters: within them, full tuning is not.
# shellcheck disable=SC2086
run 0 whet $common --search trials=6,params=2k --output few --rank 2
python3 -c 'import json
r = json.load(open("few/search.json"))
t = r["trials"]
assert all(x["parameters"] <= 2000 and x["settings"]["rank"] == 2 for x in t)
assert {x["kind"] for x in t} == {"more", "lora"}
for i, x in enumerate(t):
    y = t[x["partner"]]
    assert y["partner"] == i and {x["kind"], y["kind"]} == {"more", "lora"}, (i, x["partner"])
    assert x["parameters"] == y["parameters"]
    shared = [{k: v for k, v in z["settings"].items() if k != "blocks"} for z in (x, y)]
    assert shared[0] == shared[1], shared
assert r["rival"] == t[r["winner"]]["partner"] and t[r["rival"]]["state"] == "whole" and r["verdict"]["partner"]
' || fail 'the limit of parameters does not hold, or pairs do not'
says 'its partner, '
# A validation table and many rows: seeds in place of folds.
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 510; i++)
        printf "%s video number %d\t%s\n", i % 2 ? "good" : "bad", i, i % 2 ? "yes" : "no" }' >many.tsv
run 0 whet tune --model "$model" --train many.tsv --valid train.tsv --batch 32 --epochs 2 --search trials=4 --output seeds
says 'judged on 40 rows from 3 seeds'
python3 -c 'import json
facts = [json.loads(l.split(" ", 1)[1]) for l in open("seeds/search/journal")]
loss = [f["loss"] for f in facts if "done" in f and f["done"][:2] == [0, 0]]
assert len(loss) == 3 and len(set(loss)) == 3' || fail 'seeds do not differ'
# A time beside it; numbers instead of classes.
# shellcheck disable=SC2086
run 0 whet $common --search 2m,trials=3 --output timed
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 40; i++) printf "%s video number %d\t%.1f\n", i % 2 ? "good" : "bad", i, i % 2 + i / 100 }' >numbers.tsv
run 0 whet tune --model "$model" --train numbers.tsv --batch 8 --epochs 8 --search trials=4 --output numbers
says 'pearson'

# What is refused, with nothing left behind.
mark
# shellcheck disable=SC2086
run 2 whet $common --search 0.01s --output z
tells 'expected at least'
# The least is that of all folds: here 5 x 400,000 steps, and those of the training.
run 2 whet tune --model "$model" --train train.tsv --batch 8 --epochs 100000 --search 1s --output z --quiet
python3 -c 'import re
least, folds, steps, step = re.search(r"at least (\d+) s here, for one trial \((\d+) x (\d+) steps of (\S+) s", open(".err").read()).groups()
assert (folds, steps) == ("5", "400000") and int(least) > 0.9 * 5 * 400000 * float(step)' || fail 'the least is not that of all folds'
# shellcheck disable=SC2086
run 2 whet $common --search trials=4,params=3 --output z
tells 'smallest candidate'
for budget in 10m,20m trials=3,trials=4 params=9k,10m,params=8k; do
    # shellcheck disable=SC2086
    run 2 whet $common --search "$budget" --output z
    tells 'another one of its kind stands before it'
done
for budget in '' 10 x m 10x trials=0 trials=-3 trials=5000 params=1k params=,10m '10m,' nan 1e999m; do
    # shellcheck disable=SC2086
    run 2 whet $common --search "$budget" --output z
done
# shellcheck disable=SC2086
run 2 whet $common --search trials=4 --adapter lora --output z
tells 'no --adapter'
# shellcheck disable=SC2086
run 2 whet $common --search trials=4 --targets quary --output z
tells 'match no layer'
# shellcheck disable=SC2086
run 4 whet $common --search trials=4 --output a
tells '--resume'
# shellcheck disable=SC2086
run 4 whet $common --search trials=4 --output nowhere --resume
tells 'no search'
# shellcheck disable=SC2086
run 3 whet $common --search trials=7 --output a --resume --lr 0.01
tells 'other settings'
for other in --rslora '--adapter-dropout 0.1' '--save-modules embeddings.LayerNorm'; do
    # shellcheck disable=SC2086
    run 3 whet $common --search trials=7 --output a --resume $other
    tells 'other settings'
done
# shellcheck disable=SC2086
run 2 whet $common --search trials=4 --patience 2 --output z
tells 'need a validation table'
awk 'BEGIN { print "text\tlabel"; for (i = 0; i < 2200; i++) printf "video %d\t%s\n", i, i % 2 ? "yes" : "no" }' >more.tsv
mark
run 2 timeout 60 "$whet" tune --model "$model" --train more.tsv --batch 1 --epochs 1000000 --search trials=4 --output z
tells 'expected at most 2147483647'
unchanged
head -4 train.tsv >three.tsv
mark
run 3 whet tune --model "$model" --train three.tsv --search trials=4 --output z
tells 'at least 4'
unchanged

# Damage inside the journal is told with its line.
cp -r a hurt
python3 -c 'b = bytearray(open("hurt/search/journal", "rb").read()); b[len(b) // 2] ^= 1; open("hurt/search/journal", "wb").write(b)'
# shellcheck disable=SC2086
run 3 whet $common --search trials=7 --output hurt --resume
tells 'hurt/search/journal:'

# One of version 1, whose trials were others, is refused as such.
cp -r a old
python3 - <<'EOF'
journal = open("old/search/journal").read()
body, rest = journal.split(" ", 1)[1].split("\n", 1)
body = body.replace('"search":2', '"search":1')
h, m = 0xcbf29ce484222325, (1 << 64) - 1
for c in body.encode():
    h = (h ^ c) * 0x100000001b3 & m
h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9 & m
h = (h ^ h >> 27) * 0x94d049bb133111eb & m
open("old/search/journal", "w").write("%016x %s\n%s" % (h ^ h >> 31, body, rest))
EOF
mark
# shellcheck disable=SC2086
run 3 whet $common --search trials=7 --output old --resume
tells 'old/search/journal:1: the journal is of version 1'
unchanged

# No room: told, nothing torn, and with room it goes on to the same end.
(
    ulimit -f 8
    # shellcheck disable=SC2086
    "$whet" $common --search trials=5 --output full >.out 2>.err
)
code=$?
[ $code = 4 ] || fail "exit code $code without room; expected 4"
grep -q 'cannot be written' .err || fail 'no room is not told'
# shellcheck disable=SC2086
run 0 whet $common --search trials=5 --output full --resume
quiet_about 'cut short'
same b full
finish
