#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Going on from a folder that has a head: its classes are matched by name, and others need a new one.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# Three classes whose word is in the text.
table() {
    awk -v names="$1" 'BEGIN { n = split(names, name, ",")
        split("good,bad,song", word, ",")
        print "text\tlabel"
        for (i = 0; i < 48; i++) printf "%s video number %d\t%s\n", word[i % n + 1], i, name[i % n + 1] }'
}
# The loss of the first step in FOLDER is below 0.3, or above it: the head knows the classes, or does not.
first_loss() {
    python3 - "$1" "$2" <<'E' || fail "$2: the first loss is not $1 0.3: $(head -1 "$2/metrics.jsonl")"
import json, sys
loss = json.loads(open(sys.argv[2] + "/metrics.jsonl").readline())["loss"]
sys.exit(0 if (loss < 0.3) == (sys.argv[1] == "below") else 1)
E
}
# The classes of FOLDER, in the order of its outputs.
classes() {
    python3 - "$1" "$2" <<'E' || fail "$1: classes are not $2"
import json, os, sys
at = sys.argv[1] + "/config.json"
if not os.path.exists(at): at = sys.argv[1] + "/adapter_config.json"
named = json.load(open(at))["id2label"]
sys.exit(0 if ",".join(named[str(i)] for i in range(len(named))) == sys.argv[2] else 1)
E
}
table x,y,z >train.tsv
table x,y >fewer.tsv
table p,q,r >other.tsv
table 0,1,2 >numbers.tsv
sed 's/\t[xyz]$/\t0.5/' train.tsv | sed '2s/0.5$/1.5/' | sed 's/^text\t.*/text\tlabel/' >scores.tsv
printf 'z\ny\nx\n' >zyx.txt
printf 'y\nx\nz\n' >yxz.txt
printf 'y\nx\n' >yx.txt
common='--dropout 0 --lr 0.005 --batch 16 --quiet'
# shellcheck disable=SC2086
run 0 whet tune --model "$model" --train train.tsv --classes zyx.txt --epochs 20 $common --output own
classes own z,y,x

# By name: in the head's own order, in the one that is asked for, and fewer of them.
next() {
    to=$1
    shift
    # shellcheck disable=SC2086
    run 0 whet tune --model own --epochs 1 $common --output "$to" "$@"
    first_loss below "$to"
}
next same --train train.tsv
quiet
classes same z,y,x
next permuted --train train.tsv --classes yxz.txt
classes permuted y,x,z
next kept --train fewer.tsv
classes kept z,y,x
next taken --train fewer.tsv --classes yx.txt
classes taken y,x
next searched --train train.tsv --classes yxz.txt --search trials=2
# What was written so is gone on with.
# shellcheck disable=SC2086
run 0 whet tune --model permuted --train train.tsv --epochs 1 $common --output again
first_loss below again
classes again y,x,z
# Probabilities have the order of the list.
python3 - <<'E'
import struct
rows = [[0.02, 0.96, 0.02] if i % 3 == 0 else [0.96, 0.02, 0.02] if i % 3 == 1 else [0.02, 0.02, 0.96] for i in range(48)]
data = b"".join(struct.pack("<3f", *r) for r in rows)
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (48, 3), }"
head += " " * (-(len(head) + 11) % 64) + "\n"
open("p.npy", "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)
E
next soft --train train.tsv --classes yxz.txt --probs p.npy

# Numbers say which output is meant; names such as LABEL_0 say nothing.
run 0 whet tune --model own --train numbers.tsv --epochs 1 --output numbered
tells '0 is taken for its first, "z"'
cp -r own unnamed
sed 's/"\([0-9]\)": "[xyz]"/"\1": "LABEL_\1"/' own/config.json >unnamed/config.json
run 0 whet tune --model unnamed --train other.tsv --epochs 1 --quiet --output unnamed-on
quiet

# Other classes, and numbers, need a new head.
mark
run 3 whet tune --model own --train other.tsv --output no
tells 'other.tsv:2: label "p" is none of the 3 classes of the head that is there'
tells '--new-head'
printf 'x\ny\nw\n' >w.txt
mark
run 3 whet tune --model own --train train.tsv --classes w.txt --output no
tells 'w.txt: class "w" is none of'
run 3 whet tune --model own --train scores.tsv --output no
tells '"own": its head has 3 outputs; expected 1, for numbers, or a new head (--new-head)'
run 3 whet tune --model unnamed --train fewer.tsv --output no
tells 'expected 2, one a class of the labels, or a new head'
run 2 whet tune --model own --train train.tsv --loss contrastive --new-head --output no
tells '--new-head with a loss that trains none'
unchanged
run 0 whet tune --model own --train other.tsv --new-head --epochs 1 --quiet --output others
first_loss above others
classes others p,q,r
grep -q '"new_head": true' others/training.json || fail 'a new head is not written down'
run 0 whet tune --model own --train fewer.tsv --new-head --epochs 1 --quiet --output two
classes two x,y
run 0 whet tune --model own --train scores.tsv --new-head --epochs 1 --quiet --output scores
mark
run 3 whet tune --model scores --train train.tsv --output no
tells 'its head has 1 output; expected 3'
unchanged

# A head of the other kind reads something else, and is passed by.
run 0 whet tune --model own --train train.tsv --head pooled --epochs 1 --output pooled
tells "the head that is there is that of the model's family"
first_loss above pooled
# shellcheck disable=SC2086
run 0 whet tune --model "$model" --train train.tsv --classes zyx.txt --head pooled --epochs 40 --head-rate 10 $common --output pooled --force
grep -q '"whet_head": "pooled"' pooled/config.json || fail 'a pooled head is not told'
run 0 whet tune --model pooled --train train.tsv --head pooled --epochs 1 --dropout 0 --output pooled-on
quiet_about 'new one'
first_loss below pooled-on
run 0 whet tune --model pooled --train train.tsv --epochs 1 --output family
tells 'the head that is there is on the pooled embedding'
grep -q '"whet_head"' family/config.json && fail 'the head of the family is called pooled'

# Adapters bring theirs, and are gone on with in the same way.
# shellcheck disable=SC2086
run 0 whet tune --model "$model" --adapter lora --targets all-linear --train train.tsv --classes zyx.txt --epochs 40 $common --output ad
began="--model $model --init-adapter ad --dropout 0 --epochs 1 --quiet"
# shellcheck disable=SC2086
run 0 whet tune $began --train train.tsv --output ad-on
first_loss below ad-on
classes ad-on z,y,x
# shellcheck disable=SC2086
run 0 whet tune $began --train train.tsv --classes yxz.txt --output ad-permuted
first_loss below ad-permuted
classes ad-permuted y,x,z
# shellcheck disable=SC2086
run 0 whet tune $began --train fewer.tsv --classes yx.txt --output ad-taken
first_loss below ad-taken
mark
# shellcheck disable=SC2086
run 3 whet tune $began --train other.tsv --output no
tells 'label "p" is none of the 3 classes'
unchanged
# shellcheck disable=SC2086
run 0 whet tune $began --train fewer.tsv --new-head --output ad-new
first_loss above ad-new
classes ad-new x,y
finish
