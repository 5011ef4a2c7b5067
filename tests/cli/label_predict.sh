#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet label count, fit --counts, fit --save-model and predict, as a user types them: shards, saved
# models, other votes, refusals.
. "$(dirname "$0")/lib.sh"

# votes FILE FIRST LAST: rows FIRST to LAST - 1 of one long table of votes of five rules
votes() {
    python3 - "$@" <<'PY'
import struct, sys
name, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
state = 12345
def draw(k):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % k
rows = []
for i in range(last):
    y = draw(3)
    rows.append([-1 if draw(7) == 0 else y if draw(10) else (y + 1 + draw(2)) % 3 for j in range(5)])
rows = rows[first:]
header = ("{'descr': '|i1', 'fortran_order': False, 'shape': (%d, 5), }" % len(rows)).ljust(117) + '\n'
with open(name, 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for row in rows:
        f.write(struct.pack('<5b', *row))
with open(name.replace('.npy', '.tsv'), 'w') as f:
    f.write('row\trule\tvote\n')
    for i, row in enumerate(rows):
        for j, vote in enumerate(row):
            if vote >= 0:
                f.write('%d\t%d\t%d\n' % (i, j, vote))
PY
}
votes all.npy 0 400
votes a.npy 0 150
votes b.npy 150 400

# A saved model predicts as it did when it was fitted, whatever it is.
for model in majority weighted snorkel flyingsquid dawid-skene one-coin ibcc; do
    run 0 whet label fit --votes all.npy --model $model --probs p.npy --save-model $model.json --force
    run 0 whet label predict --model-file $model.json --votes all.npy --probs q.npy --force
    quiet
    says "$model of 5 rules, fitted to 400 rows, on 400 rows"
    cmp -s p.npy q.npy || fail "$model predicts otherwise once it was saved"
    [ $model = snorkel ] && cp p.npy snorkel.npy
done

# Shards: counted apart, added, and fitted as all rows are. Arrays and triples, in any order.
run 0 whet label count --votes a.npy --class-count 3 --counts a.npz
says '150 rows of 5 rules and 3 classes'
run 0 whet label count --votes b.tsv --class-count 3 --rows 250 --rules 5 --counts b.npz
run 0 whet label count --add b.npz --add a.npz --counts c.npz --json
json out
says '"rows": 400'
run 0 whet label count --votes b.npy --add a.npz --counts d.npz
run 0 whet label count --votes a.npy,b.npy --class-count 3 --counts e.npz
for model in majority weighted snorkel flyingsquid; do
    for counts in c d e; do
        run 0 whet label fit --counts $counts.npz --model $model --save-model shards.json --force
        says "$model on 400 rows, 5 rules, 3 classes"
        cmp -s shards.json $model.json || fail "$model of $counts.npz is not that of all rows"
    done
done
run 0 whet label fit --counts c.npz --model snorkel --save-model shards.json --force --json
json out
says '"covered": null'
run 0 whet label predict --model-file shards.json --votes all.tsv --rows 400 --probs t.npy
cmp -s t.npy snorkel.npy || fail 'triples are predicted otherwise'

# Names of classes; rows without votes; standard output.
printf 'x\ny\nz\n' >classes.txt
printf 'y\nx\nz\n' >others.txt
run 0 whet label fit --counts c.npz --classes classes.txt --balance 2,1,1 --model weighted --save-model named.json
says '0      0.5000  x'
printf 'row\trule\tvote\n0\t0\t1\n0\t1\t1\n' >one.tsv
run 0 whet label predict --model-file named.json --votes one.tsv --rows 2 --predictions -
tab=$(printf '\t')
says "0${tab}y${tab}0.9"
says "1${tab}${tab}0.5"
run 0 whet label predict --model-file named.json --votes one.tsv --classes classes.txt --predictions n.tsv --json
json out
says '"z"'

# Rules by name; other rules.
printf 'first\nsecond\nthird\nfourth\nfifth\n' >rules.txt
run 0 whet label fit --votes all.npy --model snorkel --rule-names rules.txt --save-model by-name.json
run 0 whet label predict --model-file by-name.json --votes all.npy --rule-names rules.txt --probs r.npy
run 0 whet label predict --model-file by-name.json --votes all.npy --probs s.npy
cmp -s r.npy s.npy || fail 'rules in their own order predict otherwise'
printf 'second\nfirst\nthird\nfourth\nlast\n' >last.txt
run 3 whet label predict --model-file by-name.json --votes all.npy --rule-names last.txt --probs z.npy
tells 'last.txt for by-name.json: rule 4 is "last"'

# Refusals: nothing is written.
printf 'row\trule\tvote\n0\t5\t1\n' >six.tsv
printf 'row\trule\tvote\n0\t1\t3\n' >four.tsv
mark
run 2 whet label fit --model snorkel --save-model z.json
tells '--votes and --counts; expected one of the two'
run 2 whet label fit --votes a.npy --counts a.npz --model snorkel --save-model z.json
run 2 whet label fit --counts a.npz --model snorkel --probs z.npy
tells '--probs needs --votes: counts have no rows'
run 2 whet label fit --counts a.npz --model dawid-skene --save-model z.json
tells 'dawid-skene from counts alone; expected rows, or one of majority, weighted, snorkel, flyingsquid'
run 2 whet label fit --counts a.npz --model snorkel
tells '--save-model'
run 4 whet label fit --votes a.npy --model snorkel --save-model snorkel.json
run 3 whet label fit --counts a.npy --model snorkel --save-model z.json
run 3 whet label fit --counts a.npz --balance 1,1 --model snorkel --save-model z.json
run 2 whet label count --counts z.npz
run 2 whet label count --votes a.npy --votes b.npy --counts z.npz
tells 'several --votes need --class-count'
run 4 whet label count --votes a.npy --counts a.npz
run 3 whet label count --votes six.tsv --add a.npz --counts z.npz
tells 'six.tsv: 6 rules and 3 classes; expected 5 and 3'
run 3 whet label count --votes four.tsv --rules 5 --add a.npz --counts z.npz
tells 'expected'
run 2 whet label predict --model-file named.json --votes one.tsv
run 3 whet label predict --model-file a.npz --votes one.tsv --probs z.npy
run 3 whet label predict --model-file named.json --votes six.tsv --probs z.npy
tells 'votes for named.json: six.tsv:2: rule is "5"; expected a whole number from 0 to 4'
run 3 whet label predict --model-file named.json --votes four.tsv --probs z.npy
tells 'expected'
run 3 whet label predict --model-file named.json --votes one.tsv --classes others.txt --probs z.npy
tells 'others.txt lists other classes than named.json has'
run 4 whet label predict --model-file named.json --votes one.tsv --probs p.npy
unchanged
finish
