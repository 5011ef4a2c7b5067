#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet adapt and whet adapt apply as a user types them, with TF-IDF and with given features; and
# everything that can be wrong with what they are given.
. "$(dirname "$0")/lib.sh"

# 60 texts of two topics, every third without a label; 20 test rows.
awk 'BEGIN {
    split("goal match team league striker coach", s, " ")
    split("senate vote minister law party election", p, " ")
    print "text\tlabel\ttopic" > "train.tsv"
    print "text\tlabel" > "test.tsv"
    for (i = 0; i < 80; i++) {
        a = i % 2; t = ""
        for (j = 0; j < 5; j++) { k = (i * 7 + j * (i % 5 + 1)) % 6 + 1; t = t (a ? s[k] : p[k]) " " }
        name = a ? "sport" : "politics"
        if (i < 60) print t "\t" (i % 3 ? name : "") "\t" name > "train.tsv"
        else print t "\t" name > "test.tsv"
    }
}'

# ---- the job ----
mark
run 0 whet adapt --train train.tsv --test test.tsv --output out
says '40 labels used'
says 'chosen'
! grep -q 'learnt from' .out || fail 'test rows are said to be fitted'
says 'wrote out'
tells 'TF-IDF'
for file in predictions.tsv pool_predictions.tsv held_out.tsv metrics.json report.html classifier; do
    present out/$file
done
[ "$(head -1 out/predictions.tsv)" = "$(printf 'row\tclass\tprobability\tmargin\ttop3')" ] ||
    fail 'predictions.tsv has other columns'
[ "$(wc -l <out/predictions.tsv)" = 21 ] || fail 'predictions.tsv has not one line a test row'
[ "$(wc -l <out/pool_predictions.tsv)" = 21 ] || fail 'pool_predictions.tsv has not the 20 rows'
[ "$(cut -f1 out/pool_predictions.tsv | sed -n '2p;3p' | tr '\n' ' ')" = '0 3 ' ] ||
    fail 'pool rows are not the unlabelled ones'
python3 - <<'PY' || fail 'metrics.json is not as documented'
import json
m = json.load(open("out/metrics.json"))
assert m["data"]["labels_used"] == 40 and m["data"]["labels_hidden"] == 0
assert m["data"]["class_count"] == 2 and m["data"]["test_rows"] == 20
assert m["test"]["accuracy"] >= 0.9, m["test"]
assert sum(c["chosen"] for c in m["candidates"]) == 1
for c in m["candidates"]:
    if c["available"]:
        assert c["cross_fitted"]["accuracy_low"] <= c["cross_fitted"]["accuracy"]
        assert set(c["test"]) == {"n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1",
                                  "log_loss", "brier", "calibration_error"}
PY
grep -q '<svg' out/report.html || fail 'the report has no figure'

# One label is another topic's: the others say so, and it is the first to look at.
awk -F'\t' -v OFS='\t' 'NR == 12 { $2 = $3 == "sport" ? "politics" : "sport" } { print }' train.tsv >wrong.tsv
run 0 whet adapt --train wrong.tsv --test test.tsv --output w --quiet
[ "$(sed -n '1p;2p' w/held_out.tsv | cut -f1,2,4 | tr '\t\n' '  ')" = 'row label class 10 sport politics ' ] ||
    fail 'the wrong label is not the first in held_out.tsv'
[ "$(wc -l <w/held_out.tsv)" = 41 ] || fail 'held_out.tsv has not one line a label'
says "1 of 40 labels is another class's by the other labels (held_out.tsv): row 10 (sport at "
grep -q 'Which labels to look at again' w/report.html || fail 'the report does not tell doubted labels'
printf 'row\tlabel\n1\tsport\n2\tpolitics\n' >two.tsv
run 0 whet adapt --train train.tsv --labels two.tsv --test test.tsv --output w --force --quiet
absent w/held_out.tsv

# Same seed, same bytes, whatever the threads.
run 0 whet adapt --train train.tsv --test test.tsv --output one --threads 1 --quiet
quiet
run 0 whet adapt --train train.tsv --test test.tsv --output five --threads 5 --quiet
for file in predictions.tsv pool_predictions.tsv; do
    cmp -s out/$file one/$file || fail "$file differs at 1 thread"
    cmp -s out/$file five/$file || fail "$file differs at 5 threads"
done
(cd one/classifier && find . -type f) | while read -r f; do
    cmp -s "one/classifier/$f" "five/classifier/$f" || echo "$f"
done >differing
[ ! -s differing ] || fail "the classifier differs at 5 threads: $(cat differing)"

# The saved classifier says the same about the same rows, to a file and to stdout.
run 0 whet adapt apply --classifier out/classifier --input test.tsv --output again.tsv
says '20 rows'
cmp -s out/predictions.tsv again.tsv || fail 'apply predicts otherwise than adapt did'
run 0 whet adapt apply --classifier out/classifier --input test.tsv --text text --output -
cmp -s .out again.tsv || fail 'apply to - prints something else'
run 2 whet adapt apply --classifier out/classifier --input test.tsv --output - --json
run 0 whet adapt apply --classifier out/classifier --input test.tsv --output b.tsv --json
json out
run 4 whet adapt apply --classifier out/classifier --input test.tsv --output again.tsv
run 0 whet adapt apply --classifier out/classifier --input test.tsv --output again.tsv --force
run 4 whet adapt apply --classifier nowhere --input test.tsv --output c.tsv
absent c.tsv
run 2 whet adapt apply --classifier out/classifier --output c.tsv
if [ -w /dev/full ]; then
    run 4 sh -c '"$0" adapt apply --classifier out/classifier --input test.tsv --output - >/dev/full' \
        "$whet"
fi
echo '{"version": 1' >broken.json
mkdir broken && cp out/classifier/* broken/
for f in broken/*.json; do cp broken.json "$f"; done
run 3 whet adapt apply --classifier broken --input test.tsv --output c.tsv
absent c.tsv

# Rows of numbers say nothing to a classifier of texts, however many columns they have.
python3 - <<'PY'
import json, struct
columns = json.load(open("out/classifier/classifier.json"))["dimension"]
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, %d), }" % columns
with open("numbers.npy", "wb") as f:
    f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + (header.ljust(117) + "\n").encode())
    f.write(struct.pack("<%df" % (2 * columns), *[i % 7 for i in range(2 * columns)]))
PY
run 2 whet adapt apply --classifier out/classifier --features numbers.npy --output c.tsv
tells 'out/classifier was made from texts; expected texts, not features'
absent c.tsv

# With a label space the saved classifier gives the Frechet means that the job gave: a tree whose
# third leaf nobody labelled, and whose inner nodes may be predicted when all points may be.
printf 'root public\nroot private\npublic politics\npublic sport\nprivate diary\n' >tree.txt
for candidates in '' all observed; do
    options="--space tree:tree.txt ${candidates:+--candidates $candidates}"
    rm -rf space
    # shellcheck disable=SC2086
    run 0 whet adapt --train train.tsv --test test.tsv $options --output space --quiet
    # shellcheck disable=SC2086
    run 0 whet adapt apply --classifier space/classifier --input test.tsv $options --output space.tsv \
        --force
    cmp -s space/predictions.tsv space.tsv || fail "apply $options predicts otherwise than adapt"
done
[ "$(head -1 space.tsv)" = "$(printf 'row\tclass\tprobability\tmargin\ttop3\targmax\tcost\tties')" ] ||
    fail 'predictions with a space have other columns'
run 0 whet adapt apply --classifier space/classifier --input test.tsv --space discrete --output d.tsv
run 2 whet adapt apply --classifier out/classifier --input test.tsv --candidates all --output e.tsv
tells 'expected --space'
run 2 whet adapt apply --classifier out/classifier --input test.tsv --space tree:tree.txt \
    --candidates some --output e.tsv
run 3 whet adapt apply --classifier out/classifier --input test.tsv --space path:5 --output e.tsv
tells 'politics'
run 4 whet adapt apply --classifier out/classifier --input nothere.tsv --space tree:no.txt --output e.tsv
tells 'no.txt'
absent e.tsv

# Test labels that no training row has count where the space knows them.
sed '2,4s/\t[a-z]*$/\tdiary/; 5s/\t[a-z]*$/\tnowhere/' test.tsv >unseen.tsv
rm -rf space
run 0 whet adapt --train train.tsv --test unseen.tsv --space tree:tree.txt --candidates all --output space
python3 - space/metrics.json <<'PY' || fail 'unseen labels are not measured'
import json, sys
space = json.load(open(sys.argv[1]))["space"]
assert space["frechet"]["n"] == 19 and space["frechet"]["unseen"]["n"] == 3, space
assert space["argmax"]["unseen"]["accuracy"] == 0
gain = space["difference"]["mean_squared_distance"]
assert gain["low"] <= gain["mean"] <= gain["high"]
mean = space["frechet"]["mean_squared_distance"] - space["argmax"]["mean_squared_distance"]
assert abs(gain["mean"] - mean) < 1e-9
PY
# What is told first is how often the column `class` is right, not argmax: on a path, of texts that say little,
# the mean is in the middle. One label is no point of the space.
awk 'BEGIN { print "text\tlabel" > "vague.tsv"; print "text\tlabel" > "vague-test.tsv"
    for (i = 0; i < 80; i++)
        print "w" i * i % 7 " w" i * 3 % 11 " w" i % 5 "\t" (i == 70 ? "nowhere" : i * (i + 3) % 13 % 5) \
            > (i < 60 ? "vague.tsv" : "vague-test.tsv") }'
run 0 whet adapt --train vague.tsv --test vague-test.tsv --space path:5 --output vague
python3 - <<'PY' || fail 'the first figure is not that of the predictions that are written'
import csv, json
m = json.load(open("vague/metrics.json"))
truth = [r["label"] for r in csv.DictReader(open("vague-test.tsv"), delimiter="\t")]
rows = list(csv.DictReader(open("vague/predictions.tsv"), delimiter="\t"))
right = {c: sum(r[c] == t for r, t in zip(rows, truth)) for c in ("class", "argmax")}
assert right["class"] != right["argmax"], right
assert m["predictions"]["n"] == 20 and abs(m["predictions"]["accuracy"] - right["class"] / 20) < 1e-9, m["predictions"]
assert abs(m["test"]["accuracy"] - right["argmax"] / 20) < 1e-9
line = "test: %.1f %% of 20 rows right by the Frechet mean (95 %%: %.1f to %.1f); %.1f by argmax" % (
    5 * right["class"], 100 * m["predictions"]["accuracy_low"], 100 * m["predictions"]["accuracy_high"],
    5 * right["argmax"])
assert line in open(".out").read(), line
assert "<b>%.1f %%</b><span>right on 20 test rows by the Frechet mean" % (5 * right["class"]) in open(
    "vague/report.html").read()
m = json.load(open("out/metrics.json"))
assert all(m["predictions"][key] == m["test"][key] for key in m["predictions"])
PY

# A space of the job's own making: names embedded as the texts are, one of them without a label.
for file in train test; do
    sed 's/\tsport/\tmatch/g; s/\tpolitics/\tvote/g' $file.tsv >named_$file.tsv
done
printf 'match\nvote\nstriker\n' >names.txt
for options in 'embedding:auto' 'embedding:auto,metric=euclidean,names=names.txt'; do
    rm -rf auto auto.tsv
    run 0 whet adapt --train named_train.tsv --test named_test.tsv --space "$options" --output auto --quiet
    run 0 whet adapt apply --classifier auto/classifier --input named_test.tsv --space "$options" \
        --output auto.tsv
    cmp -s auto/predictions.tsv auto.tsv || fail "apply --space $options predicts otherwise than adapt"
done
# The same where the names are words of the job's telling, which the names themselves are not.
printf 'class\ttext\nmatch\tmatch vote\nvote\tvote "striker" vote\n' >words.tsv
rm -rf auto auto.tsv
run 0 whet adapt --train named_train.tsv --test named_test.tsv --class-names words.tsv --space embedding:auto,names=names.txt \
    --candidates all --output auto --quiet
run 0 whet adapt apply --classifier auto/classifier --input named_test.tsv --space embedding:auto,names=names.txt \
    --candidates all --output auto.tsv
cmp -s auto/predictions.tsv auto.tsv || fail 'apply --space embedding:auto does not know the words of --class-names'
printf 'class\ttext\nmatch\tgo\377al\n' >bytes.tsv
mark
run 3 whet adapt --train named_train.tsv --class-names bytes.tsv --output o
tells 'bytes.tsv:2: text "go'
tells 'expected UTF-8'
run 3 whet adapt --train train.tsv --test test.tsv --space embedding:auto --output o
tells 'embedding:auto'
run 3 whet adapt --train train.tsv --space embedding:auto,names=names.txt --output o
tells 'names.txt: class "politics" is missing'
run 2 whet adapt --train train.tsv --space embedding:auto,metric=l3 --output o
tells 'expected euclidean, unit, cosine or angular'
run 2 whet adapt apply --classifier out/classifier --input test.tsv --space embedding:auto,x --output o
unchanged

# --json: one document, the same as metrics.json.
run 0 whet adapt --train train.tsv --test test.tsv --label topic --budget 10 --output j --json
json out
python3 - <<'PY' || fail '--json is not metrics.json'
import json
a = json.load(open(".out")); b = json.load(open("j/metrics.json"))
assert a == b and a["data"]["labels_used"] == 10 and a["data"]["labels_hidden"] == 50
PY
run 0 whet adapt --train train.tsv --label topic --budget 10 --draw coverage --output k --quiet
[ "$(wc -l <k/predictions.tsv)" = 61 ] || fail 'without a test table every training row is predicted'
absent k/pool_predictions.tsv
grep -q '10 of the rows in the table of predictions have a label that was learnt from' k/report.html ||
    fail 'the report does not tell fitted rows'

# Sparse labels; a class list with a class that has no label; texts from CSV and JSON lines.
printf 'row\tlabel\n1\tsport\n2\tpolitics\n5\tsport\n8\tpolitics\n' >sparse.tsv
printf 'politics\nsport\nweather\n' >classes.txt
run 0 whet adapt --train train.tsv --labels sparse.tsv --classes classes.txt --output s --quiet
says '3 classes, 4 labels used'
says '4 of the predicted rows have a label that was learnt from'
python3 - <<'PY'
import csv, json
rows = list(csv.DictReader(open("train.tsv"), delimiter="\t"))
with open("train.csv", "w", newline="") as f:
    w = csv.DictWriter(f, rows[0].keys()); w.writeheader(); w.writerows(rows)
with open("train.jsonl", "w") as f:
    for r in rows: f.write(json.dumps(r) + "\n")
PY
run 0 whet adapt --train train.csv --output csv --quiet
run 0 whet adapt --train train.jsonl --output jsonl --quiet
cmp -s csv/predictions.tsv jsonl/predictions.tsv || fail 'CSV and JSON lines differ'

# ---- what is wrong ----
mark
run 2 whet adapt
tells '--output is missing'
run 2 whet adapt --output o
tells '--train'
run 2 whet adapt --trian train.tsv --output o
tells 'did you mean --train?'
run 2 whet adapt aply --output o
tells 'did you mean whet adapt apply?'
run 4 whet adapt --train nothere.tsv --output o
tells 'nothere.tsv'
run 2 whet adapt --train train.tsv --text txt --output o
tells 'text'
run 2 whet adapt --train train.tsv --label labl --output o
tells 'label'
run 4 whet adapt --train train.tsv --output out
tells 'out'
run 4 whet adapt --train train.tsv --model nomodel --output o
run 2 whet adapt --train train.tsv --adapter more --output o
tells 'tunes the encoder of --model'
# A candidate that there is not, or cannot be: told before any file is read or text embedded.
run 2 whet adapt --train nothere.tsv --label-method logistik --output o
tells 'logistic, logistic-smoothed'
tells 'spread, zero-shot, kernel, forest, snuba, iws, goggles, propagate, blend, auto, none; nearest is "logistic"'
run 2 whet adapt --train train.tsv --label-method qqqqqq --output o
tells 'propagate, blend, auto, none'
quiet_about 'nearest'
run 2 whet adapt --train train.tsv --label-method '' --output o
printf 'text\tlabel\na b\t1\nc d\t2\n' >numbers.tsv
run 3 whet adapt --train numbers.tsv --label-method zero-shot --output o
tells 'not only numbers'
quiet_about 'TF-IDF'
rm numbers.tsv
run 2 whet adapt --train train.tsv --budget 0 --output o
run 2 whet adapt --train train.tsv --draw coverage --output o
run 2 whet adapt --train train.tsv --draw best --budget 4 --output o
tells 'uniform|coverage'
run 2 whet adapt --train train.tsv --space nonsense:x --output o
tells 'path:N, discrete or embedding:auto'
# What would have no effect.
run 2 whet adapt --train train.tsv --dtype bf16 --output o
tells '--dtype bf16 is of the encoder of --model; expected one'
run 2 whet adapt --train train.tsv --max-length 9 --output o
tells '--max-length is of the encoder'
run 2 whet adapt --train train.tsv --no-words --output o
tells '--no-words is of the encoder'
unchanged

mark
printf 'text\tlabel\na b\tx\nc\n' >ragged.tsv
run 3 whet adapt --train ragged.tsv --output o
tells 'ragged.tsv:3'
printf 'text\tlabel\n' >norows.tsv
run 3 whet adapt --train norows.tsv --output o
: >empty.tsv
run 3 whet adapt --train empty.tsv --output o
printf 'text\tlabel\na\tx\nb\tx\nc\t\n' >single.tsv
run 3 whet adapt --train single.tsv --output o
tells 'at least 2'
printf 'text\tlabel\na\t\nb\t\n' >none.tsv
run 3 whet adapt --train none.tsv --output o
tells 'no labels'
printf 'politics\nsprot\n' >wrong.txt
run 3 whet adapt --train train.tsv --classes wrong.txt --output o
tells 'train.tsv:3: label "sport" is unknown'
tells 'nearest is "sprot"'
printf 'row\tlabel\n1\tsport\n60\tpolitics\n' >far.tsv
run 3 whet adapt --train train.tsv --labels far.tsv --output o
tells 'far.tsv:3'
tells 'from 0 to 59'
printf 'row\tlabel\n1\tsport\n1\tpolitics\n' >twice.tsv
run 3 whet adapt --train train.tsv --labels twice.tsv --output o
tells 'twice.tsv:3'
printf 'row\tlabel\n-1\tsport\n' >minus.tsv
run 3 whet adapt --train train.tsv --labels minus.tsv --output o
printf 'text\tlabel\na\t\001\nb\tx\n' >control.tsv
run 3 whet adapt --train control.tsv --output o
printf 'text\tlabel\na\t\377\nb\tx\n' >bytes.tsv
run 3 whet adapt --train bytes.tsv --output o
tells 'UTF-8'
printf 'class\ttext\nspotr\tballs\n' >meanings.tsv
run 3 whet adapt --train train.tsv --class-names meanings.tsv --output o
tells 'nearest is "sport"'
absent o
run 3 whet adapt --train ragged.tsv --output o --json
json err
silent

# Empty texts are texts; a class with one label is a class.
printf 'text\tlabel\n\tx\nred blue\tx\nred green\tx\nblue black\tx\none two\ty\n\t\nred\t\n' >odd.tsv
run 0 whet adapt --train odd.tsv --output odd
tells 'texts are empty'

# Slips of a table's writer: a BOM, CRLF, spaces around labels, bytes that are not UTF-8, the wrong
# separator, a compressed file.
printf '\357\273\277text\tlabel\r\ngood song\tin the mood\r\nbad\t out\r\nnice\tin the mood \r\nbad\tout\r\n' \
    >slips.tsv
run 0 whet adapt --train slips.tsv --output slips
says '4 rows, 2 classes'
printf 'row\tlabel\n0\t in the mood\n1\tout \n2\t \n' >slips-sparse.tsv
run 0 whet adapt --train slips.tsv --labels slips-sparse.tsv --output slips --force
says '2 classes, 2 labels used'
printf 'text\tlabel\ncaf\351\tx\ncaf\303\251\ty\n' >latin.tsv
run 0 whet adapt --train latin.tsv --output latin
tells '1 of 2 texts hold bytes that are not UTF-8'
printf 'text;label\na;x\nb;y\n' >semicolons.csv
run 2 whet adapt --train semicolons.csv --output o
tells 'try commas'
printf 'text,label\na,x\nb,y\n' >commas.tsv
run 2 whet adapt --train commas.tsv --output o
tells 'try naming the file .csv'
cp train.tsv tabs.csv
run 2 whet adapt --train tabs.csv --output o
tells 'try naming the file .tsv'
gzip -c train.tsv >packed.tsv
run 3 whet adapt --train packed.tsv --output o
tells 'try gunzip'

# A label for each of two classes: nothing can be held out, and no figure is made up. Of three
# classes, one with a single label, the others can be compared.
printf 'text\tlabel\ngood song\ta\nbad video\tb\nnice song\t\nugly video\t\n' >two.tsv
printf 'text\tlabel\ngood song\ta\nbad video\tb\nnice song\ta\nugly video\tb\nstar\tc\n' >three.tsv
run 0 whet adapt --train two.tsv --output two
[ "$(grep -c 'not compared' .out)" = 10 ] || fail 'not every candidate is told not to be compared'
grep -q '(0 to 100)' .out && fail 'a figure is made up'
grep -q 'nan' two/report.html && fail 'the report holds nan'
run 0 whet adapt --train two.tsv --test three.tsv --output two-tested
[ "$(grep -c 'not compared' .out)" = 10 ] || fail 'not every candidate is told not to be compared'
run 0 whet adapt --train three.tsv --output three
python3 - <<'PY' || fail 'cross_fitted is not null where nothing was compared'
import json
two = json.load(open("two/metrics.json"))["candidates"]
assert all(c["cross_fitted"] is None for c in two), two
for c in json.load(open("three/metrics.json"))["candidates"]:
    f = c["cross_fitted"]
    assert (f is None) == (not c["available"])
    assert f is None or 0 <= f["accuracy_low"] <= f["accuracy"] <= f["accuracy_high"] <= 1
PY

# Copies of a text: held out together, so that labels of pure chance are not told as learnt; a text of two classes and
# a test of what was learnt are told.
python3 - <<'PY'
import random
draw = random.Random(3)
texts = [" ".join(f"w{draw.randrange(900)}" for _ in range(12)) for _ in range(330)]
def write(name, rows):
    open(name, "w").write("text\tlabel\n" + "".join(f"{t}\t{y}\n" for t, y in rows))
chance = [(t, draw.choice("ab")) for t in texts[:40]]
write("twice.tsv", chance + chance + [(t, "") for t in texts[40:130]])
write("other.tsv", [(t, draw.choice("ab")) for t in texts[130:]])
write("known.tsv", chance + [(t, "a") for t in texts[130:190]])
write("both.tsv", chance + [(chance[0][0], "b" if chance[0][1] == "a" else "a")])
PY
run 0 whet adapt --train twice.tsv --test other.tsv --output twice --json
tells 'twice.tsv: 40 of 80 labelled texts are copies of others'
quiet_about 'among the'
python3 - <<'PY' || fail 'labels of chance are told as learnt'
import json
m = json.load(open("twice/metrics.json"))
best = max(c["cross_fitted"]["accuracy"] for c in m["candidates"] if c.get("cross_fitted"))
assert best < .7, best # of 40 coins; where copies are learnt from, above .9
PY
run 0 whet adapt --train twice.tsv --test known.tsv --output twice --force
tells 'warning: known.tsv: 40 of 100 texts are among the 80 that are learnt from'
run 0 whet adapt --train both.tsv --output both
tells 'both.tsv: 1 of 41 labelled texts is a copy of another'
tells 'rows 0 and 40 are one text, of class'

# Rows that belong together: five of an author each, whose class is the author's by chance.
python3 - <<'PY'
import random
draw = random.Random(5)
rows = []
for author in range(16):
    own = [f"a{author}x{j}" for j in range(8)]
    label = draw.choice("ab")
    for i in range(5):
        words = own[:6] + [f"w{draw.randrange(900)}" for _ in range(3)]
        draw.shuffle(words)
        rows.append((" ".join(words), label, f"author {author}" if author else ""))
open("authors.tsv", "w").write("text\tlabel\tauthor\n" + "".join("\t".join(r) + "\n" for r in rows))
PY
run 0 whet adapt --train authors.tsv --output rows
run 0 whet adapt --train authors.tsv --groups author --output grouped
python3 - <<'PY' || fail 'the rows of an author are not held out together'
import json
def best(folder):
    found = json.load(open(folder + "/metrics.json"))["candidates"]
    return max(c["cross_fitted"]["accuracy"] for c in found if c.get("cross_fitted"))
assert best("rows") > .9 and best("grouped") < .8, (best("rows"), best("grouped"))
PY
# More labels than are cross-fitted, in few groups: two texts, or one author who has nearly all.
awk 'BEGIN { print "text\tlabel\tone" > "many.tsv"; print "text\tlabel" > "two.tsv"
    for (i = 0; i < 620; i++) {
        c = i % 2 ? "good" : "bad"
        print (i % 2 ? "a good song" : "a bad video") "\t" c > "two.tsv"
        print "w" i " w" i * 7 % 621 " " c "\t" c "\t" (i < 560 ? "x" : "y" i % 9) > "many.tsv" } }'
for seed in 0 1; do
    run 0 whet adapt --train two.tsv --output few --force --seed $seed
    says '620 labels are too few, or of too few classes or groups, to hold any out'
done
run 0 whet adapt --train many.tsv --groups one --output few --force --json
python3 - <<'PY' || fail "labels of which one author has nearly all are not compared"
import json
m = json.load(open("few/metrics.json"))
assert max(c["cross_fitted"]["accuracy"] for c in m["candidates"] if c.get("cross_fitted")) > .9
assert 250 < m["held_out"]["labels"] < 400, m["held_out"]["labels"]
PY
run 2 whet adapt --train authors.tsv --groups autor --output none
tells 'no column "autor"; expected one of "author"'
run 2 whet adapt --features x.npy --labels l.tsv --groups author --output none
tells '--groups is a column of --train'

# Ctrl-C in mid-run: it stops at once, says so, leaves nothing.
awk 'BEGIN { print "text\tlabel"
    for (i = 0; i < 60000; i++) {
        t = ""; for (j = 0; j < 12; j++) t = t "w" (i * 31 + j * j * 17) % 9973 " "
        print t "\t" (i < 100 ? i % 2 : "") } }' >large.tsv
mark
for signal in INT TERM; do
    last="kill -$signal"
    "$whet" adapt --train large.tsv --output stopped >.out 2>.err &
    pid=$!
    sleep 0.4
    kill -$signal $pid
    wait $pid
    code=$?
    [ $code = 130 ] || fail "exit code $code; expected 130"
    tells 'interrupted'
    silent
done
unchanged

# Folders that cannot be written (root writes everywhere).
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod a-w locked
    run 4 whet adapt --train train.tsv --output locked/o
fi
run 4 whet adapt --train train.tsv --output nowhere/o
finish
