#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet adapt --end-model on the tiny model of tests/golden: a tuned encoder as the classifier, its choice, what is
# saved, and what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# 90 texts whose class is a word in them, 30 of them with a label, some of which are wrong; 40 test rows.
awk 'BEGIN { print "text\tlabel" > "pool.tsv"; print "text\tlabel" > "test.tsv"
    for (i = 0; i < 130; i++) {
        a = i % 2; text = sprintf("the song number %d is %s video", i * 37 % 101, a ? "good" : "bad")
        name = a ? "yes" : "no"
        if (i < 90) printf "%s\t%s\n", text, i < 30 ? (i % 11 == 5 ? (a ? "no" : "yes") : name) : "" > "pool.tsv"
        else print text "\t" name > "test.tsv"
    } }'
common="--train pool.tsv --test test.tsv --model $model"

# Taken as asked: the classifier is the tuned encoder, saved with it.
# shellcheck disable=SC2086
run 0 whet adapt $common --end-model encoder --output a --json
json out
tells 'full-taught on all labels'
for file in model.safetensors config.json tokenizer.json metrics.jsonl; do
    present a/classifier/encoder/$file
done
absent a/classifier/encoder/training.json
absent a/classifier/encoder/checkpoint
[ "$(find a -mindepth 1 -maxdepth 1 | wc -l)" = 6 ] || fail 'folds were left in the output'
cmp -s "$model/model.safetensors" a/classifier/encoder/model.safetensors && fail 'nothing was tuned'
python3 - <<'END' || fail 'metrics.json or classifier.json is not as documented'
import json
m = json.load(open("a/metrics.json"))
e = m["end_model"]
assert m["chosen"] == "encoder" and e["kept"] and e["folds"] == 3 and "asked" in m["reason"], m["reason"]
assert e["teacher"] != "encoder" and e["log_loss"] > 0 and e["log_loss_without"] > 0
assert abs(e["gain"] - (e["log_loss_without"] - e["log_loss"])) < 1e-9
c = [c for c in m["candidates"] if c["name"] == "encoder"][0]
assert c["chosen"] and c["available"] and c["test"]["n"] == 40, c
assert c["cross_fitted"]["log_loss"] == e["log_loss"] and c["cross_fitted"]["accuracy"] == e["accuracy"]
c = json.load(open("a/classifier/classifier.json"))
assert c["candidate"] == "encoder" and c["features"]["encoder"] == "encoder" and c["preparation"] == "as-is"
END

# It predicts new rows alike, wherever its folder is, and says the same at any number of threads.
run 0 whet adapt apply --classifier a/classifier --input test.tsv --output again.tsv
cmp -s a/predictions.tsv again.tsv || fail 'apply predicts otherwise than adapt did'
# shellcheck disable=SC2086
run 0 whet adapt $common --end-model encoder --output b --threads 3 --quiet
for file in predictions.tsv pool_predictions.tsv; do
    cmp -s a/$file b/$file || fail "$file depends on threads"
done
diff -r a/classifier b/classifier >/dev/null || fail 'the classifier depends on threads'
mkdir away && mv a/classifier away/c
run 0 whet adapt apply --classifier away/c --input test.tsv --output moved.tsv
cmp -s again.tsv moved.tsv || fail 'a classifier that was moved predicts otherwise'
run 3 whet adapt apply --classifier away/c --model "$model" --input test.tsv --output other.tsv
tells 'encoder'
absent other.tsv

# Kept only where labels that are held out say so.
# shellcheck disable=SC2086
run 0 whet adapt $common --end-model auto --output auto --quiet
python3 - <<'END' || fail 'the choice is not the one that the figures ask for'
import json, os
m, forced = json.load(open("auto/metrics.json")), json.load(open("b/metrics.json"))
e = m["end_model"]
names = [c["name"] for c in e["contenders"]]
assert names == ["full-labels", "full-taught"], names # the labels alone contend with what the candidate teaches
if e["lesson"] == "full-taught": assert e["gain"] == forced["end_model"]["gain"]
assert e["standard_error"] > 0 and sorted(c["folds"] for c in e["contenders"]) == [1, 3]
assert e["kept"] == (e["gain"] > .005 * e["log_loss_without"]), e
assert (m["chosen"] == "encoder") == e["kept"] == os.path.isdir("auto/classifier/encoder")
if not e["kept"]:
    c = [c for c in m["candidates"] if c["name"] == "encoder"][0]
    assert not c["available"] and "not kept" in c["note"] and c["cross_fitted"]["accuracy"] == e["accuracy"], c
    assert m["chosen"] == e["teacher"]
END
run 0 whet adapt apply --classifier auto/classifier --input test.tsv --output auto.tsv
cmp -s auto/predictions.tsv auto.tsv || fail 'apply predicts otherwise than adapt --end-model auto did'

# Labels that follow nothing: predictions of held-out ones, from the others' shares, stay above the entropy of
# these 36 labels, 21 to 15. With the held-out labels in them, the folds would be one fit and reach it.
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 90; i++)
        printf "video %d song %d good %d\t%s\n", i * 37 % 101, i * 53 % 97, i,
            i < 36 ? (i * i * 7 % 31 % 2 ? "yes" : "no") : "" }' >noise.tsv
run 0 whet adapt --train noise.tsv --model "$model" --label-method spread --end-model encoder --output noise --quiet
python3 - <<'END' || fail 'held-out labels were seen'
import json, math
e = json.load(open("noise/metrics.json"))["end_model"]
p = 21 / 36
entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
assert e["log_loss"] > entropy + 1e-6 and e["standard_error"] > 1e-4, (e, entropy)
END

# By default it is listed, and left out.
# shellcheck disable=SC2086
run 0 whet adapt $common --output plain
says 'encoder: left out, being slow'
grep -q '"end_model": null' plain/metrics.json || fail 'an end model that nobody asked for'

# A labeller teaches: its probabilities, not those of its logistic end model.
# shellcheck disable=SC2086
run 0 whet adapt $common --label-method propagate --end-model encoder --output weak --quiet
grep -q '"teacher": "propagate"' weak/metrics.json || fail 'another candidate teaches'

# Too few labels to hold any out: taken when asked for, else not, and said.
head -4 pool.tsv >few.tsv
awk -F'\t' 'NR > 31 && NR < 60 { print $1 "\t" }' pool.tsv >>few.tsv
run 0 whet adapt --train few.tsv --model "$model" --end-model auto --output few --quiet
grep -q 'too few labels' few/metrics.json || fail 'too few labels are not told'
absent few/classifier/encoder
run 0 whet adapt --train few.tsv --model "$model" --end-model encoder --output fewer --quiet
present fewer/classifier/encoder

mark
run 2 whet adapt --train pool.tsv --end-model encoder --output z
tells '--model'
# shellcheck disable=SC2086
run 2 whet adapt $common --end-model tree --output z
# shellcheck disable=SC2086
run 2 whet adapt $common --end-model encoder --space embedding:auto --output z
tells 'another space'
# shellcheck disable=SC2086
run 2 whet adapt $common --label-method encoder --output z
tells 'is unknown'
unchanged
finish
