#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet label fit, as a user types it: every model, arrays and triples, labels, balances, refusals.
. "$(dirname "$0")/lib.sh"

# votes FILE N DTYPE: N rows of five rules (right 9 times of 10, silent 1 time of 7), and their truth
votes() {
    python3 - "$@" <<'PY'
import struct, sys
name, n, dtype = sys.argv[1], int(sys.argv[2]), sys.argv[3]
state = 12345
def draw(k):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % k
size = {'i1': 'b', 'i4': 'i', 'f4': 'f'}[dtype]
rows, truth = [], []
for i in range(n):
    y = draw(3)
    truth.append(y)
    rows.append([-1 if draw(7) == 0 else y if draw(10) else (y + 1 + draw(2)) % 3 for j in range(5)])
header = ("{'descr': '<%s', 'fortran_order': False, 'shape': (%d, 5), }" % (dtype, n)).ljust(117) + '\n'
with open(name, 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for row in rows:
        f.write(struct.pack('<5' + size, *row))
with open('triples.tsv', 'w') as f:
    f.write('row\trule\tvote\n')
    for i in reversed(range(n)):
        for j in range(5):
            if rows[i][j] >= 0:
                f.write('%d\t%d\t%d\n' % (i, j, rows[i][j]))
with open('truth.tsv', 'w') as f:
    f.write('row\tlabel\n' + ''.join('%d\t%d\n' % (i, y) for i, y in enumerate(truth)))
with open('labels.tsv', 'w') as f:
    f.write('row\tlabel\n' + ''.join('%d\t%s\n' % (i, 'abc'[y]) for i, y in enumerate(truth[:60])))
PY
}
# right FILE: rows of a prediction table whose class is the truth, in whole per cent
right() {
    python3 - "$1" <<'PY'
import sys
truth = [line.split('\t')[1].strip() for line in open('truth.tsv')][1:]
rows = [line.rstrip('\n').split('\t') for line in open(sys.argv[1])]
assert rows[0] == ['row', 'class', 'probability'] and len(rows) == len(truth) + 1
print(100 * sum(r[1] == t for r, t in zip(rows[1:], truth)) // len(truth))
PY
}

votes V.npy 400 i1
for model in majority weighted snorkel flyingsquid dawid-skene one-coin ibcc; do
    run 0 whet label fit --votes V.npy --model $model --probs $model.npy --predictions $model.tsv
    quiet
    says "$model on 400 rows"
    [ "$(right $model.tsv)" -ge 90 ] || fail "$model is right on $(right $model.tsv) %"
done

# Triples in any order are the same votes; so is int32; threads change nothing.
run 0 whet label fit --votes triples.tsv --rows 400 --rules 5 --model snorkel --probs t.npy
cmp -s t.npy snorkel.npy || fail 'triples differ from the array'
votes W.npy 400 i4
run 0 whet label fit --votes W.npy --model snorkel --probs w.npy --threads 1
cmp -s w.npy snorkel.npy || fail 'int32 differs from int8'

# Labels: names, the balance, the comparison, the choice.
printf 'a\nb\nc\n' >classes.txt
run 0 whet label fit --votes V.npy --labels labels.tsv --classes classes.txt --model auto \
    --predictions auto.tsv --json
json out
says '"comparison"'
says '"labelled": 60'
run 0 whet label fit --votes V.npy --labels labels.tsv --classes classes.txt --model snorkel \
    --probs l.npy
says 'cross-fitted on 60 labels'
says '   best'
run 0 whet label fit --votes V.npy --labels labels.tsv --classes classes.txt --no-compare --probs n.npy
grep -q cross-fitted .out && fail '--no-compare compares'
printf '0.5\n0.25\n0.25\n' >balance.txt
run 0 whet label fit --votes V.npy --balance balance.txt --model snorkel --probs b.npy
quiet_about 'adds up'
run 0 whet label fit --votes V.npy --balance 2,1,1 --model snorkel --probs c.npy
tells 'adds up to 4'
cmp -s b.npy c.npy || fail 'a file and a list of the same balance differ'
printf '\357\273\277.5\n.25 .25\n' >marked.txt
run 0 whet label fit --votes V.npy --balance marked.txt --model snorkel --probs marked.npy
cmp -s b.npy marked.npy || fail 'a byte-order mark changes the balance'
says '0      0.5000'

# Two rules: a stated fallback. A class that nobody votes for; rows without votes.
printf 'row\trule\tvote\n0\t0\t0\n1\t0\t1\n1\t1\t1\n3\t1\t0\n' >two.tsv
run 0 whet label fit --votes two.tsv --model snorkel --class-count 3 --predictions two-out.tsv
tells 'snorkel needs votes of 3 rules, and there are 2: weighted votes in its place'
says 'weighted on 4 rows (3 with votes), 2 rules, 3 classes'
says '2      0.3333    no rule votes for it'
tab=$(printf '\t')
grep -q "^2${tab}${tab}0.33333" two-out.tsv || fail 'a row without votes has a class'
run 0 whet label fit --votes two.tsv --model dawid-skene --ties lowest --predictions low.tsv
grep -q "^2${tab}[01]${tab}" low.tsv || fail 'a row without votes has no class with --ties lowest'
printf 'row\trule\tvote\n3\t2\t-1\n' >silent.tsv
run 0 whet label fit --votes silent.tsv --model snorkel --balance 3,1 --probs silent.npy
tells 'no rule votes on any row: every row gets the balance'
run 3 whet label fit --votes two.tsv --class-count 2 --balance 1,1,1 --probs none.npy
sed 's/1$/2/' two.tsv >three.tsv
run 3 whet label fit --votes three.tsv --class-count 2 --probs none.npy
tells 'three.tsv:3: vote is "2"; expected a whole number from -1 to 1'

# More rules than their pairs can be counted: models that count none serve all the same.
printf 'row\tlabel\n0\t0\n1\t1\n' >pair.tsv
run 0 whet label fit --votes two.tsv --rules 400000 --labels pair.tsv --model one-coin --predictions wide.tsv
tells 'models are not compared: counting every two votes needs'
run 5 whet label fit --votes two.tsv --rules 400000 --labels pair.tsv --model auto --predictions none.tsv
printf 'row\trule\tvote\n0\t0\t0\n1\t0\t1\n0\t1\t0\n1\t1\t1\n0\t2\t1\n' >copies.tsv
run 0 whet label fit --votes copies.tsv --model majority --predictions copies-out.tsv
tells 'rule 1 votes as rule 0 does on every row: together they count twice'

# Names of classes without the spaces around them, in lists as in labels.
printf ' a\nb \nc\n' >spaced.txt
printf 'row,label\n0," a"\n1,c\n' >spaced.csv
run 0 whet label fit --votes V.npy --labels spaced.csv --classes spaced.txt --no-compare --predictions spaced.tsv
printf 'a\nb\n a\n' >spaced.txt
run 3 whet label fit --votes V.npy --classes spaced.txt --probs p.npy
tells 'spaced.txt:3: "a" is on line 1 already'

# Refusals: nothing is written.
mark
run 2 whet label fit --votes V.npy --model majority
tells '--probs'
run 2 whet label fit --votes V.npy --model auto --probs p.npy
tells '--labels'
run 2 whet label fit --votes V.npy --model magic --probs p.npy
run 4 whet label fit --votes V.npy --model majority --probs snorkel.npy
run 4 whet label fit --votes none.npy --model majority --probs p.npy
run 3 whet label fit --votes V.npy --class-count 2 --probs p.npy
tells 'V.npy: vote ['
tells 'is 2; expected -1 to 1'
run 3 whet label fit --votes V.npy --balance 0.5,0.5 --probs p.npy
run 3 whet label fit --votes V.npy --balance 1e308,1e308,1e308 --probs p.npy
tells 'the balance adds up to inf; expected numbers whose sum is one'
run 3 whet label fit --votes V.npy --balance 0.5,0.5,0 --probs p.npy
tells 'balance of class 2 is "0"; expected a number above 0'
run 3 whet label fit --votes V.npy --labels labels.tsv --probs p.npy
tells 'labels.tsv:2: label is'
unchanged
votes F.npy 20 f4
printf 'row\tlabel\n0\t1\n20\t1\n' >far.tsv
printf 'row\trule\tvote\n0\t0\tnan\n' >nan.tsv
printf 'row\trules\tvote\n0\t0\t1\n' >head.tsv
votes large.npy 20 i4
printf '\377\377\377\177' | dd of=large.npy bs=1 seek=156 conv=notrunc 2>/dev/null
mark
run 3 whet label fit --votes F.npy --probs p.npy
tells 'F.npy is f32'
run 3 whet label fit --votes triples.tsv --rows 20 --labels far.tsv --probs p.npy
tells 'far.tsv:3: row is "20"; expected a number from 0 to 19'
run 3 whet label fit --votes nan.tsv --probs p.npy
tells 'nan.tsv:2: vote is "nan"'
run 3 whet label fit --votes head.tsv --probs p.npy
tells 'head.tsv: no column "rule", but "rules", "row", "vote"; expected one'
run 3 whet label fit --votes large.npy --probs p.npy
tells 'large.npy: vote [1, 2] is 2147483647 or more; expected -1 to 429496728, for 5 rules'
printf 'row\tlabel\n' >unlabelled.tsv
run 0 whet label fit --votes V.npy --model dawid-skene --labels unlabelled.tsv --probs unlabelled.npy
tells 'unlabelled.tsv has no labels; expected some: the votes alone are fitted to'
rm unlabelled.tsv unlabelled.npy
run 6 whet label fit --votes V.npy --model snorkel --lr 1000 --probs p.npy
tells 'try a smaller rate'
# What is wrong with a balance, or a list of classes, is told of them.
for balance in nofile.txt abc '.5;.5'; do
    run 3 whet label fit --votes V.npy --balance "$balance" --probs p.npy
    tells "the balance is \"$balance\", no file that is there; expected one, or numbers p0,p1,..."
done
run 3 whet label fit --votes V.npy --balance .5 --probs p.npy
tells 'balance: 1 numbers; expected 3, one for each class'
run 3 whet label fit --votes V.npy --balance .5,.5 --probs p.npy
tells 'is 2; expected -1 to 1, as the balance has 2 numbers'
printf 'a\nb\n' >two.txt
run 3 whet label fit --votes V.npy --classes two.txt --probs p.npy
tells 'is 2; expected -1 to 1, as two.txt lists 2 classes'
rm two.txt
# Options of other models, unless these are compared beside it.
while read -r options says; do
    # shellcheck disable=SC2046
    run 2 whet label fit --votes V.npy --probs p.npy --model $(echo "$options" | tr / ' ')
    tells "$says"
done <<'END'
majority/--epochs/3 --epochs needs --model snorkel, or --labels
majority/--fast --fast needs --model snorkel
snorkel/--share --share needs --model majority
snorkel/--smoothing/1 --smoothing needs --model dawid-skene or one-coin
snorkel/--learn-balance --learn-balance needs --model dawid-skene, one-coin or ibcc
snorkel/--compat --compat needs --model flyingsquid or dawid-skene
ibcc/--smoothing/2 --smoothing needs
dawid-skene/--l2/1 --l2 needs --model snorkel
dawid-skene/--median --median needs --model flyingsquid
flyingsquid/--steps/9 --steps needs
dawid-skene/--compat/--smoothing/1 --compat and --smoothing; expected one of them
dawid-skene/--compat/--balance/2,1,1 --balance and --compat, which learns it
ibcc/--learn-balance/--balance/2,1,1 --balance and --learn-balance, which learns it
majority/--ties/hash --ties needs --predictions
majority/--no-compare --no-compare needs --labels
END
run 2 whet label fit --votes V.npy --labels labels.tsv --model auto --no-compare --probs p.npy
tells '--model auto and --no-compare; expected one of them'
unchanged
run 0 whet label fit --votes V.npy --labels labels.tsv --classes classes.txt --model majority --epochs 3 --probs e.npy
run 2 whet label fit --votes V.npy --labels labels.tsv --classes classes.txt --model majority --epochs 3 --no-compare --probs f.npy
run 0 whet label fit --votes V.npy --model snorkel --fast --epochs 7 --probs f.npy
finish
