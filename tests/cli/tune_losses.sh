#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet tune --loss on the tiny model of tests/golden: embeddings, label spaces, going on, what is refused.
. "$(dirname "$0")/lib.sh"
model=$WHET_TEST_SOURCE/tests/golden/bert_tiny/even

# Texts whose class is their first word; partners that share it; numbers up to 4; grades for a path.
awk 'BEGIN { print "text\tother\tlabel\tscore\tgrade"
    split("good bad song", word, " ")
    for (i = 0; i < 60; i++) {
        c = i % 3 + 1; o = int(i / 3) % 3 + 1
        printf "%s video number %d\tthe %s\t%s\t%s\t%d\n", word[c], i, word[o], word[c], c == o ? 4 : 0, c - 1
    } }' >train.tsv
head -25 train.tsv >valid.tsv
common="--model $model --train train.tsv --valid valid.tsv --lr 0.01 --batch 12 --dropout 0"

# ---- embeddings from classes ----
for loss in contrastive supervised-contrastive; do
    # shellcheck disable=SC2086
    run 0 whet tune $common --loss $loss --epochs 6 --output $loss --quiet --json
    json out
    says '"task": "embedding"'
    grep -q '"accuracy": 1.0' $loss/training.json || fail 'the nearest prototype is not right'
    for file in model.safetensors config.json tokenizer.json metrics.jsonl learning-curve.svg; do
        present $loss/$file
    done
    absent $loss/checkpoint
    grep -q 'BertModel' $loss/config.json || fail 'config.json does not name an encoder'
    grep -q 'classifier' $loss/model.safetensors && fail 'embeddings have a head'
done
run 0 whet embed --model contrastive --input valid.tsv --output e.npy --quiet
awk 'NR == 1 { print "row\tlabel" } NR > 1 && NR < 8 { print NR - 2 "\t" $5 }' FS='\t' valid.tsv >labels.tsv
run 0 whet label baseline --features e.npy --labels labels.tsv --method few-shot --probs p.npy --quiet
# It is a model to tune on.
run 0 whet tune --model contrastive --train train.tsv --epochs 1 --output again --quiet

# The same bits at any number of threads; another seed gives others.
# shellcheck disable=SC2086
run 0 whet tune $common --loss contrastive --epochs 6 --output b --threads 3 --checkpoint-activations --quiet
cmp -s contrastive/model.safetensors b/model.safetensors || fail 'bits depend on threads'
# shellcheck disable=SC2086
run 0 whet tune $common --loss contrastive --epochs 6 --output b --force --seed 1 --quiet
cmp -s contrastive/model.safetensors b/model.safetensors && fail 'the seed changes nothing'

# Batches are balanced, and a batch is never cut, however few tokens it may hold.
# shellcheck disable=SC2086
run 0 whet tune $common --loss contrastive --epochs 6 --output c --batch-tokens 1 --quiet
cmp -s contrastive/model.safetensors c/model.safetensors || fail 'a batch of pairs was cut'

# Adapters: merged into the model, and by themselves in adapter/.
for adapter in lora more; do
    # shellcheck disable=SC2086
    run 0 whet tune $common --loss supervised-contrastive --adapter $adapter --rank 4 --epochs 6 --output $adapter --quiet
    present $adapter/adapter/adapter_model.safetensors
    present $adapter/adapter/adapter_config.json
    grep -q 'lora_A\|more_w1' $adapter/model.safetensors && fail 'the model holds adapters'
    cmp -s "$model/model.safetensors" $adapter/model.safetensors && fail 'adapters were not merged'
    run 0 whet embed --model $adapter --input valid.tsv --output $adapter.npy --quiet
    grep -q '"accuracy": 1.0' $adapter/training.json || fail "$adapter adapters do not learn"
done

# Interrupted and killed with balanced batches: the bits of the run that was left alone.
long="--model $model --train train.tsv --valid valid.tsv --lr 0.001 --batch 8 --epochs 60 --quiet --loss supervised-contrastive"
# shellcheck disable=SC2086
run 0 whet tune $long --output whole
for signal in INT KILL; do
    # shellcheck disable=SC2086
    stopped $signal part tune $long --output part --save-steps 3
    if [ -e part/checkpoint/state.safetensors ]; then
        # shellcheck disable=SC2086
        run 3 whet tune $long --output part --resume --temperature 0.2
        tells 'other settings'
        # shellcheck disable=SC2086
        run 0 whet tune $long --output part --save-steps 3 --resume --threads 1
    fi
    cmp -s whole/model.safetensors part/model.safetensors || fail "going on after SIG$signal gives other bits"
    cmp -s whole/metrics.jsonl part/metrics.jsonl || fail "going on after SIG$signal gives another log"
    rm -rf part
done

# ---- two texts a row ----
# shellcheck disable=SC2086
run 0 whet tune $common --loss cosine-mse --second other --label score --epochs 10 --output cosine --quiet --json
says '"pearson"'
says '"target_scale": 4.0'
python3 -c 'import json; assert json.load(open("cosine/training.json"))["best"]["pearson"] > 0.8' ||
    fail 'cosines do not follow the numbers'
awk 'BEGIN { print "text\tother"
    split("good bad song video number the a is", word, " ")
    for (i = 0; i < 64; i++) printf "%s %s\t%s of %s\n", word[i % 8 + 1], word[int(i / 8) + 1], word[int(i / 8) + 1], word[i % 8 + 1]
    print "alone\t"; print "\talone" }' >pairs.tsv
run 0 whet tune --model "$model" --train pairs.tsv --valid pairs.tsv --loss in-batch --second other --lr 0.01 --dropout 0 --epochs 8 --metric mrr --output partners --quiet --json
says '"mrr"'
says '"unlabelled": 2'
python3 -c 'import json
r = json.load(open("partners/training.json")); first = json.loads(next(l for l in open("partners/metrics.jsonl") if "validation" in l))
assert r["settings"]["batch_size"] == 32 and r["best"]["mrr"] > first["validation"]["mrr"]' ||
    fail 'partners come no nearer'
run 0 whet embed --model partners --input pairs.tsv --column other --output o.npy --quiet

# ---- label spaces ----
printf 'child\tparent\ngood\troot\nbad\troot\nsong\troot\n' >tree.tsv
# shellcheck disable=SC2086
run 0 whet tune $common --loss expected-cost --space tree:tree.tsv --epochs 8 --metric distance --output cost --quiet --json
says '"frechet_distance"'
grep -q '"distance": 0.0' cost/training.json || fail 'classes of a tree were not learned'
grep -q 'classifier' cost/model.safetensors || fail 'expected cost trains no head'
# shellcheck disable=SC2086
run 0 whet tune $common --space path:3 --metric distance --label grade --task classification --epochs 1 --output plain --quiet --json
says '"loss": "cross-entropy"'
# shellcheck disable=SC2086
run 0 whet tune $common --loss frechet --space tree:tree.tsv --epochs 8 --metric distance --output mean --quiet --json
grep -q '"temperature": 4.0' mean/training.json || fail 'the temperature is not the mean squared distance'
grep -q '"distance": 0.0' mean/training.json || fail 'the Frechet loss learned nothing'
# shellcheck disable=SC2086
run 2 whet tune $common --loss frechet --output z
tells 'loss frechet needs distances'
# From there on, by the expected cost.
run 0 whet tune --model plain --train train.tsv --label grade --loss expected-cost --space path:3 --temperature 2 --epochs 1 --adapter lora --output lower --quiet
present lower/adapter_model.safetensors

# ---- said, not refused: a class with one row ----
{ cat train.tsv; printf 'a single row\t\trare\t1\t0\n'; } >rare.tsv
run 0 whet tune --model "$model" --train rare.tsv --loss supervised-contrastive --epochs 1 --output rare
tells '1 of 4 classes have one row'
tells 'rare'

# ---- refused, in one sentence ----
mark
# shellcheck disable=SC2086
run 2 whet tune $common --space path:3 --output z
tells 'a space is given that nothing reads'
# shellcheck disable=SC2086
run 2 whet tune $common --loss contrastive --space path:3 --output z
tells 'a space is given that nothing reads'
# shellcheck disable=SC2086
run 2 whet tune $common --loss expected-cost --output z
tells 'expected a space'
# shellcheck disable=SC2086
run 3 whet tune $common --loss expected-cost --space path:3 --output z
tells 'bad'
# shellcheck disable=SC2086
run 2 whet tune $common --loss cosine-mse --label score --output z
tells 'second texts'
# shellcheck disable=SC2086
run 2 whet tune $common --loss in-batch --output z
tells 'second texts'
# shellcheck disable=SC2086
run 2 whet tune $common --loss contrastive --second other --output z
tells 'single texts'
# shellcheck disable=SC2086
run 2 whet tune $common --loss in-batch --second nothing --output z
tells 'nothing'
# shellcheck disable=SC2086
run 3 whet tune $common --loss cosine-mse --second other --output z
tells 'expected a number'
# shellcheck disable=SC2086
run 2 whet tune $common --loss contrastive --metric pearson --output z
tells 'accuracy, f1 or mcc'
# shellcheck disable=SC2086
run 2 whet tune $common --loss contrastive --head pooled --output z
tells 'no --head'
# shellcheck disable=SC2086
run 2 whet tune $common --loss contrastive --temperature 1 --output z
tells 'a temperature is given'
# shellcheck disable=SC2086
run 2 whet tune $common --loss hinge --output z
printf 'text\tother\n\tb\na\t\n' >empty.tsv
mark
run 3 whet tune --model "$model" --train empty.tsv --loss in-batch --second other --output z
tells 'no pairs of texts'
unchanged
finish
