#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet adapt --adapter on the tiny model of tests/golden: an encoder tuned by adapters, the race between the ways, the
# choice, the time it is given, what is saved, and what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# 80 texts whose class is a word in them, 30 of them with a label; 30 test rows.
awk 'BEGIN { print "text\tlabel" > "pool.tsv"; print "text\tlabel" > "test.tsv"
    for (i = 0; i < 110; i++) {
        a = i % 2; text = sprintf("the song number %d is %s video", i * 37 % 101, a ? "good" : "bad")
        name = a ? "yes" : "no"
        if (i < 80) printf "%s\t%s\n", text, i < 30 ? name : "" > "pool.tsv"
        else print text "\t" name > "test.tsv"
    } }'
common="--train pool.tsv --test test.tsv --model $model"

# Taken as asked: one way, three folds, the merged encoder and its adapters beside it.
# shellcheck disable=SC2086
run 0 whet adapt $common --adapter more --output more --json
json out
tells 'more-pairs on all labels'
for file in model.safetensors config.json tokenizer.json adapter/adapter_config.json \
    adapter/adapter_model.safetensors; do
    present more/classifier/encoder/$file
done
absent more/classifier/encoder/training.json
[ "$(find more -mindepth 1 -maxdepth 1 | wc -l)" = 6 ] || fail 'something was left in the output'
grep -q 'Tuning the encoder' more/report.html || fail 'the report says nothing of tuning'
grep -q 'more-pairs' more/report.html || fail 'the report does not name the way'
grep -q 'Figures are of labels held out of everything, in 3 folds' more/report.html || fail 'no word of the folds'
grep -q 'What was chosen reads 32 numbers of every text' more/report.html || fail 'the report tells what others read'
grep -q 'their number does not change the result' more/report.html || fail 'no word of threads'
python3 - <<'END' || fail 'metrics.json or classifier.json is not as documented'
import json
m = json.load(open("more/metrics.json"))
e = m["end_model"]
assert e["columns"] == 32, e
assert m["chosen"] == "encoder" and e["kept"] and e["folds"] == 3 and "asked" in m["reason"], m["reason"]
assert e["lesson"] == "more-pairs" and len(e["contenders"]) == 1 and e["time_limit"] is None
c = e["contenders"][0]
assert c["name"] == "more-pairs" and c["folds"] == 3 and c["seconds"] > 0 and c["kept"], c
assert abs(c["gain"] - (e["log_loss_without"] - c["log_loss"])) < 1e-9
assert m["test"]["accuracy"] > 0.9, m["test"] # the class is a word
assert e["accuracy"] > 0.8, e # of labels held out as well
heads = c["heads"]
assert [h["name"] for h in heads] == ["logistic", "prototypes", "prototypes-smoothed", "logistic-smoothed", "graph",
    "prototypes-graph", "spread", "logistic"], heads
assert [h["settings"] == "half of the steps" for h in heads] == [False] * 7 + [True], heads
head = [h for h in heads if h["chosen"]]
least = min(h["log_loss"] for h in heads)
assert len(head) == 1 and head[0]["log_loss"] <= least + 1e-8, heads
assert head[0] is heads[0] or head[0]["log_loss"] < heads[0]["log_loss"], heads # the lesson's own, unless it is worse
c = json.load(open("more/classifier/classifier.json"))
assert c["candidate"] == "encoder" and c["features"]["source"] == "encoder", c["features"]
part = "encoder" if head[0]["name"] == "logistic" else head[0]["name"]
assert [p["candidate"] for p in c["parts"]] == [part] and "head " + head[0]["name"] in c["settings"], c
assert abs(c["parts"][0]["temperature"] - head[0]["temperature"]) < 1e-9, c["parts"]
a = json.load(open("more/classifier/encoder/adapter/adapter_config.json"))
assert a["peft_type"] == "MORE" and a["r"] == 8 and a["target_modules"] == "all-linear", a
END

# It predicts new rows alike, and the same bits come out at any number of threads.
run 0 whet adapt apply --classifier more/classifier --input test.tsv --output again.tsv
cmp -s more/predictions.tsv again.tsv || fail 'apply predicts otherwise than adapt did'
# shellcheck disable=SC2086
run 0 whet adapt $common --adapter more --output threads --threads 3 --quiet
for file in predictions.tsv pool_predictions.tsv; do
    cmp -s more/$file threads/$file || fail "$file depends on threads"
done
diff -r more/classifier threads/classifier >/dev/null || fail 'the classifier depends on threads'

# --dtype: auto embeds in f32 and tunes by what the processor multiplies fast, and says so; f32 is f32 everywhere.
for dtype in f32 bf16; do
    # shellcheck disable=SC2086
    run 0 whet adapt $common --adapter more --dtype $dtype --output $dtype --quiet
    run 0 whet adapt apply --classifier $dtype/classifier --input test.tsv --output $dtype.out
    cmp -s $dtype/predictions.tsv $dtype.out || fail "apply predicts otherwise than adapt did in $dtype"
    grep -q "$dtype; tuned by products of $dtype)" $dtype/report.html || fail "the report is not of $dtype"
done
python3 - <<'END' || fail 'what the encoder and its tuning work with is not what was asked for, or not told'
import json
def of(folder):
    m, c = (json.load(open(folder + path)) for path in ("/metrics.json", "/classifier/classifier.json"))
    weights = open(folder + "/classifier/encoder/model.safetensors", "rb").read()
    return m["features"]["dtype"], m["end_model"]["dtype"], c["features"]["dtype"], weights
auto, f32, bf16 = map(of, ("more", "f32", "bf16"))
assert f32[:3] == ("f32", "f32", "f32") and bf16[:3] == ("bf16", "bf16", "bf16"), (f32[:3], bf16[:3])
assert auto[0] == auto[2] == "f32" and auto[1] in ("f32", "bf16"), auto[:3]
assert (auto[3] == f32[3]) == (auto[1] == "f32") and f32[3] != bf16[3], auto[:3]
END

# Texts that are cut are told once a table, with and without tuning, and by apply; folds are no tables.
quiet_about 'longer than'
for tuning in none auto; do
    # shellcheck disable=SC2086
    run 0 whet adapt $common --max-length 8 --adapter $tuning --output cut --force
    [ "$(grep -c 'longer than' .err)" = 2 ] || fail 'not told once a table'
    tells 'pool.tsv: 80 of 80 texts are longer than 8 tokens; their ends are not read'
    tells 'test.tsv: 30 of 30 texts are longer than 8 tokens'
done
run 0 whet adapt apply --classifier cut/classifier --input test.tsv --output cut.out
[ "$(grep -c 'test.tsv: 30 of 30 texts are longer than 8 tokens' .err)" = 1 ] || fail 'apply does not tell once'
cmp -s cut/predictions.tsv cut.out || fail 'apply predicts otherwise than adapt did, of texts that are cut'
# A tuned encoder reads as far wherever it is loaded: its folder says so, and keeps what else that file says.
cp -r "$model" limited
chmod -R u+w limited
echo '{"max_seq_length": 20, "do_lower_case": false}' >limited/sentence_bert_config.json
for from in "$model" limited; do
    run 0 whet adapt --train pool.tsv --test test.tsv --model "$from" --max-length 8 --adapter more --output short --force --quiet
    grep -q '"max_seq_length": 8' short/classifier/encoder/sentence_bert_config.json || fail 'the limit is not saved'
    run 0 whet adapt apply --classifier short/classifier --input test.tsv --output short.out --force
    cmp -s short/predictions.tsv short.out || fail 'apply predicts otherwise than adapt did, with a limit'
done
grep -q '"do_lower_case": false' short/classifier/encoder/sentence_bert_config.json || fail 'other limits are lost'
run 0 whet embed --model short/classifier/encoder --input test.tsv --output short.npy
tells 'test.tsv: 30 of 30 texts are longer than 8 tokens'
# Rows that are all alike are told once, too, however often they are fitted.
awk 'BEGIN { print "text\tlabel"; for (i = 0; i < 24; i++) print "a good song\t" (i % 2 ? "yes" : "no") }' >alike.tsv
run 0 whet adapt --train alike.tsv --model "$model" --adapter auto --output alike
[ "$(grep -c 'rows are alike' .err)" = 1 ] || fail 'alike rows are not told once'

# Where labels are wrong now and then, another head than the lesson's own is kept, saved, and predicts alike.
awk 'BEGIN { print "text\tlabel" > "wrong.tsv"
    for (i = 0; i < 110; i++) {
        text = sprintf("the song number %d is %s video", i * 37 % 101, i % 2 ? "good" : "bad")
        print text "\t" (i < 42 ? ((i + (i % 7 == 3)) % 2 ? "yes" : "no") : "") > "wrong.tsv"
    } }'
run 0 whet adapt --train wrong.tsv --test test.tsv --model "$model" --adapter more --output wrong --quiet
python3 - <<'END' || fail 'the head that is saved is not the one that was chosen'
import json
e = json.load(open("wrong/metrics.json"))["end_model"]
head = [h for h in e["contenders"][0]["heads"] if h["chosen"]][0]
c = json.load(open("wrong/classifier/classifier.json"))
assert head["name"] != "logistic" and [p["candidate"] for p in c["parts"]] == [head["name"]], (head, c["parts"])
assert abs(c["parts"][0]["temperature"] - head["temperature"]) < 1e-9 and c["candidate"] == "encoder", c
END
run 0 whet adapt apply --classifier wrong/classifier --input test.tsv --output wrong.out
cmp -s wrong/predictions.tsv wrong.out || fail 'apply predicts otherwise than adapt did, by another head'

# auto: a race on the first fold, the best of which goes on and is kept where held-out labels say so.
# shellcheck disable=SC2086
run 0 whet adapt $common --adapter auto --output auto --quiet
python3 - <<'END' || fail 'the race or the choice is not the one that the figures ask for'
import json, os
m = json.load(open("auto/metrics.json"))
e = m["end_model"]
names = [c["name"] for c in e["contenders"]]
assert names == ["more-pairs", "lora-pairs"], names # two classes: no names; no time: no more
assert sorted(c["folds"] for c in e["contenders"]) == [1, 3]
assert [c["folds"] for c in sorted(e["contenders"], key=lambda c: c["first_fold"])] == [3, 1], e
assert e["kept"] == (e["gain"] > .005 * e["log_loss_without"]), e
assert (m["chosen"] == "encoder") == e["kept"] == os.path.isdir("auto/classifier/encoder")
loser = [c for c in e["contenders"] if c["folds"] == 1][0]
assert loser["heads"] == [] and "left behind" in loser["verdict"] and loser["log_loss"] is None and not loser["kept"], loser
END
run 0 whet adapt apply --classifier auto/classifier --input test.tsv --output auto.tsv
cmp -s auto/predictions.tsv auto.tsv || fail 'apply predicts otherwise than adapt --adapter auto did'

# Averaged where that loses less, and then the frozen classifier lies beside. Where the held-out labels say so differs
# by the last bits of a processor's arithmetic; what is said, what is saved and what is predicted agree in any case.
awk 'BEGIN { print "text\tlabel" > "cues.tsv"; print "text\tlabel" > "cues-test.tsv"
    for (i = 0; i < 150; i++) {
        a = i % 2; cue = i % 3 ? (a ? "check out my" : "the you is") : (a ? "good" : "bad")
        text = sprintf("song number %d %s video %d", i * 37 % 101, cue, i)
        if (i % 7 == 3) a = 1 - a
        name = a ? "yes" : "no"
        if (i < 110) printf "%s\t%s\n", text, i < 30 ? name : "" > "cues.tsv"
        else print text "\t" name > "cues-test.tsv"
    } }'
run 0 whet adapt --train cues.tsv --test cues-test.tsv --model "$model" --adapter auto --no-words --output cues --quiet
python3 - <<'END' || fail 'what is averaged is not told or not saved as documented'
import json, os
m, c = json.load(open("cues/metrics.json")), json.load(open("cues/classifier/classifier.json"))
e = m["end_model"]
best = [c for c in e["contenders"] if c["folds"] == 3][0]
averaged = e["kept"] and best["share"] < 1
assert best["share"] in (0.5, 1) and best["log_loss"] <= best["log_loss_alone"], best
assert (best["log_loss"] < best["log_loss_alone"]) == (best["share"] < 1), best
assert os.path.isdir("cues/classifier/frozen") == ("averaged_with" in c) == averaged, (e, c)
assert ("averaged with " + e["teacher"] in e["reason"]) == (best["share"] < 1), e["reason"]
if averaged:
    assert c["version"] == 3 and c["averaged_with"] == {"folder": "frozen", "share": 0.5}, c
    assert "averaged with " + e["teacher"] in c["settings"], c["settings"]
END
run 0 whet adapt apply --classifier cues/classifier --input cues-test.tsv --output cues.out
cmp -s cues/predictions.tsv cues.out || fail 'apply predicts otherwise than adapt did, averaged or not'

# The mean of two classifiers, put together by hand, is what the two say; and is not trusted.
run 0 whet adapt --train cues.tsv --model "$model" --output plain --quiet
cp -r more/classifier mixed
cp -r plain/classifier mixed/frozen
edit() { python3 -c "import json, sys
c = json.load(open('mixed/classifier.json')); $1
json.dump(c, open('mixed/classifier.json', 'w'))"; }
edit 'c.update(version=3, averaged_with={"folder": "frozen", "share": 0.25})'
run 0 whet adapt apply --classifier more/classifier --input cues-test.tsv --output tuned.out
run 0 whet adapt apply --classifier plain/classifier --input cues-test.tsv --output frozen.out
run 0 whet adapt apply --classifier mixed --input cues-test.tsv --output mixed.out
run 0 whet adapt apply --classifier mixed --model "$model" --input cues-test.tsv --output moved.out
cmp -s mixed.out moved.out || fail 'the folder of the frozen encoder changes what is predicted'
python3 - <<'END' || fail 'the mean is another'
def yes(path):
    for line in list(open(path))[1:]:
        cell = line.rstrip("\n").split("\t")
        yield float(cell[2]) if cell[1] == "yes" else 1 - float(cell[2])
rows = list(zip(yes("mixed.out"), yes("tuned.out"), yes("frozen.out")))
assert len(rows) == 40 and max(abs(t - f) for _, t, f in rows) > 0.05, rows
assert all(abs(m - (0.75 * t + 0.25 * f)) < 2e-6 for m, t, f in rows), rows # six digits are printed
END
run 2 whet adapt apply --classifier mixed --features x.npy --output z
tells 'averages two classifiers'
edit 'c["averaged_with"]["share"] = 1'
run 3 whet adapt apply --classifier mixed --input cues-test.tsv --output z
tells '"share" is 1; expected above 0, below 1'
edit 'c["averaged_with"].update(share=0.5, folder="..")'
run 3 whet adapt apply --classifier mixed --input cues-test.tsv --output z
tells 'is not "frozen"'
edit 'c["averaged_with"]["folder"] = "frozen"; c["classes"][0] = "nein"'
run 3 whet adapt apply --classifier mixed --input cues-test.tsv --output z
tells 'other classes'
edit 'c["classes"][0] = "no"'
rm -r mixed/frozen
run 4 whet adapt apply --classifier mixed --input cues-test.tsv --output z
tells 'mixed/frozen/classifier.json'
absent z

# With an hour there is time for more ways; with end models all are in one race.
# shellcheck disable=SC2086
run 0 whet adapt $common --adapter auto --end-model auto --time-limit 3600 --output hour --quiet
python3 - <<'END' || fail 'not all ways were tried'
import json
e = json.load(open("hour/metrics.json"))["end_model"]
names = [c["name"] for c in e["contenders"]]
assert names == ["more-pairs", "lora-pairs", "lora-labels", "lora-taught", "full-labels", "full-taught"], names
assert sorted(c["folds"] for c in e["contenders"]) == [1, 1, 1, 1, 1, 3] and e["time_limit"] == 3600
END

# Labels that follow nothing: what is not asked for by its name is not kept. Held-out predictions from the others'
# shares stay above the entropy of the labels, which they would reach with the held-out labels in them.
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 90; i++)
        printf "video %d song %d good %d\t%s\n", i * 37 % 101, i * 53 % 97, i,
            i < 36 ? (i * i * 7 % 31 % 2 ? "yes" : "no") : "" }' >noise.tsv
run 0 whet adapt --train noise.tsv --model "$model" --adapter auto --output noise
says 'not kept'
absent noise/classifier/encoder
python3 - <<'END' || fail 'held-out labels were seen'
import json, math
m = json.load(open("noise/metrics.json"))
e, p = m["end_model"], 21 / 36
entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
assert e["log_loss"] > entropy - 0.02 and e["log_loss_without"] > entropy - 0.02, (e, entropy)
assert all(h["log_loss"] > entropy - 0.02 for h in e["contenders"][0]["heads"] + e["contenders"][1]["heads"]), e
assert not e["kept"] and m["chosen"] == e["teacher"], (e, entropy)
END

# Class names as examples, where there are many: a class that has no label is predicted by its name.
awk 'BEGIN { print "text\tlabel"; n = split("video song good bad number is the you my check out channel", w, " ")
    for (c = 1; c <= n; c++) print w[c] > "many.txt"
    for (i = 0; i < 60; i++) { c = i % (n - 1) + 1; print w[c] " " i % 7 "\t" (i < 44 ? w[c] : "") } }' >many.tsv
run 0 whet adapt --train many.tsv --classes many.txt --model "$model" --adapter auto --output many --quiet
grep -q '"name": "lora-names"' many/metrics.json || fail 'class names are not tried'

# Little time: what was tried on all folds, and nothing else, may be kept; what was not, says why.
# shellcheck disable=SC2086
run 0 whet adapt $common --adapter auto --time-limit 1 --output late --threads 1
python3 - <<'END' || fail 'a limit is not told as documented'
import json
m = json.load(open("late/metrics.json"))
e = m["end_model"]
done = [c for c in e["contenders"] if c["folds"] == 3]
assert e["time_limit"] == 1 and len(done) <= 1 and e["kept"] <= len(done), e
assert all(c["verdict"] for c in e["contenders"]) and (done or "too few to hold" in e["reason"]), e
assert m["chosen"] == ("encoder" if e["kept"] else e["teacher"])
assert "1 seconds" not in json.dumps(m), e
r = open("late/report.html").read()
assert ("Figures are of labels" in r) == (e["folds"] == 3) and "does not change the result" not in r
END

# What went before tuning took the limit: told once, in words.
awk 'BEGIN { print "text\tlabel"; for (i = 0; i < 30000; i++)
    printf "the song number %d is %s video\t%s\n", i, i % 2 ? "good" : "bad", i < 30 ? (i % 2 ? "yes" : "no") : "" }' >large.tsv
run 0 whet adapt --train large.tsv --model "$model" --no-words --adapter auto --time-limit 1 --output large --threads 1
[ "$(grep -c 'nothing is tuned: no way would be done within the 1 s that the job has' .err)" = 1 ] ||
    fail 'a limit that embedding passed is not told'
rm -r large large.tsv

# Too few labels to hold any out: taken when asked for, else not, and said.
head -4 pool.tsv >few.tsv
awk -F'\t' 'NR > 31 && NR < 60 { print $1 "\t" }' pool.tsv >>few.tsv
run 0 whet adapt --train few.tsv --model "$model" --adapter auto --output few --quiet
grep -q 'too few labels' few/metrics.json || fail 'too few labels are not told'
absent few/classifier/encoder
# One label a class: no held-out row has a class that was learnt, and nothing can be compared.
awk 'BEGIN { print "text\tlabel"; n = split("video song good bad number is the you", w, " ")
    for (i = 0; i < 24; i++) print w[i % n + 1] " " i "\t" (i < n ? w[i + 1] : "") }' >ones.tsv
run 0 whet adapt --train ones.tsv --model "$model" --adapter auto --output ones --quiet
grep -q 'too few labels to hold any out' ones/metrics.json || fail 'one label a class is judged'
absent ones/classifier/encoder
run 0 whet adapt --train few.tsv --model "$model" --adapter lora --output fewer --quiet
present fewer/classifier/encoder
run 0 whet adapt apply --classifier fewer/classifier --input test.tsv --output fewer.tsv
# Where nothing was held out the report says no more than what happened.
for job in few ones fewer; do
    grep -q 'nothing was compared' $job/report.html || fail "$job: no word of it"
    for word in 'calibrated' 'Figures are of' 'compared by cross-fitting' '>not tuned<' 'The choice looks at'; do
        grep -q "$word" $job/report.html && fail "$job: the report says $word"
    done
done

mark
run 2 whet adapt --train pool.tsv --adapter more --output z
tells '--model'
run 2 whet adapt --features more.npy --labels pool.tsv --adapter lora --output z
tells '--model'
# shellcheck disable=SC2086
run 2 whet adapt $common --adapter dora --output z
# shellcheck disable=SC2086
run 2 whet adapt $common --adapter lora --end-model auto --output z
tells 'auto for both'
# shellcheck disable=SC2086
run 2 whet adapt $common --adapter auto --space embedding:auto --output z
tells 'another space'
# shellcheck disable=SC2086
run 2 whet adapt $common --time-limit 60 --output z
tells '--adapter or --end-model'
# shellcheck disable=SC2086
run 2 whet adapt $common --adapter auto --time-limit 0 --output z
unchanged
finish
