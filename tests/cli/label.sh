#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet label baseline and whet label features, as a user types them.
. "$(dirname "$0")/lib.sh"

# features FILE N: N rows around (1, 0) and (0, 1) in turn; probs FILE ROW COLUMN: a cell.
features() {
    python3 - "$@" <<'PY'
import math, struct, sys
name, n = sys.argv[1], int(sys.argv[2])
rows = [(math.cos(a), math.sin(a)) for a in ((i % 2) * 1.5708 + .05 * (i % 7) for i in range(n))]
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2), }" % n
header = header.ljust(117) + '\n'
with open(name, 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for row in rows:
        f.write(struct.pack('<2f', *row))
PY
}
# most FILE ROW: the column with the largest probability of a row of two
most() {
    python3 - "$@" <<'PY'
import struct, sys
data = open(sys.argv[1], 'rb').read()
size = struct.unpack('<H', data[8:10])[0]
assert b"'<f8'" in data[:10 + size]
a, b = struct.unpack_from('<2d', data, 10 + size + 16 * int(sys.argv[2]))
assert abs(a + b - 1) < 1e-9
print(0 if a >= b else 1)
PY
}

features X.npy 60
features C.npy 2
tab=$(printf '\t')
printf 'row\tlabel\n0\tham\n1\tspam\n2\tham\n3\tspam\n4\tham\n5\tspam\n6\tham\n7\tspam\n' >L.tsv
# Rows that are all alike are told, and nothing else hides it.
python3 - <<'PY'
data = open('X.npy', 'rb').read()
open('same.npy', 'wb').write(data[:128] + data[128:136] * 60)
PY
for method in few-shot propagate spread prototypes; do
    run 0 whet label baseline --features same.npy --labels L.tsv --method $method --probs same-$method.npy
    tells 'features: all 60 rows are alike'
done
# Rows that differ, but not as the 32-bit floats that methods work in, are no rows that are alike.
python3 - <<'PY'
import struct
def array(name, rows):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))
    with open(name, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
        for row in rows:
            f.write(struct.pack('<%dd' % len(row), *row))
array('times.npy', [(1.7e9 + i,) for i in range(60)])
array('mixed.npy', [(1.7e9 + i, i % 2, 1.7e9 + 60 * i) for i in range(60)])
PY
mark
run 3 whet label baseline --features times.npy --labels L.tsv --method few-shot --probs p.npy
tells 'times.npy: its rows differ by no more than 32-bit floats, in which features are kept, round: column 0'
unchanged
run 0 whet label baseline --features mixed.npy --labels L.tsv --method few-shot --probs mixed-p.npy
tells 'mixed.npy: column 0 and 1 more: features are kept as 32-bit floats, which round its numbers, from 1700000000 to 1700000059, by '
quiet_about 'alike'
run 0 whet label features --method pca --input times.npy --output times-pca.npy
quiet
says 'the components keep 100.0 % of the variance'
python3 - <<'PY' || fail 'the component of times is not their difference from the mean'
import struct
data = open('times-pca.npy', 'rb').read()
rows = struct.unpack('<60f', data[10 + struct.unpack('<H', data[8:10])[0]:])
assert all(abs(abs(rows[i]) - abs(i - 29.5)) < 1e-4 for i in range(60)), rows
PY
run 0 whet label features --method pca --input same.npy --output same-pca.npy
tells 'same.npy: all 60 rows are alike; expected some that tell them apart: every component is 0'
for method in few-shot propagate spread prototypes cluster goggles; do
    run 0 whet label baseline --features X.npy --labels L.tsv --method $method --probs $method.npy
    quiet
    says "$method from 8 labels"
    says "0${tab}ham"
    says "1${tab}spam"
    [ "$(most $method.npy 40)$(most $method.npy 41)" = 01 ] || fail "rows 40 and 41 of $method"
done
run 0 whet label baseline --features X.npy --labels L.tsv --method propagate --gamma .5 --probs all.npy
run 0 whet label baseline --features X.npy --labels L.tsv --method spread --gamma .5 --alpha .2 \
    --probs all2.npy
[ "$(most all.npy 40)$(most all2.npy 41)" = 01 ] || fail 'rows 40 and 41 among all rows'
run 0 whet label baseline --features X.npy --labels L.tsv --method propagate --neighbours 3 --metric euclidean \
    --probs near.npy
run 0 whet label baseline --features X.npy --labels L.tsv --method spread --neighbours 4 --probs near2.npy
[ "$(most near.npy 40)$(most near2.npy 41)" = 01 ] || fail 'rows 40 and 41 by neighbours'
run 2 whet label baseline --features X.npy --labels L.tsv --method propagate --neighbours 60 --probs n.npy
tells '60 neighbours among 60 rows; expected 1 to 59'
run 2 whet label baseline --features X.npy --labels L.tsv --method propagate --neighbours 0 --probs n.npy
run 2 whet label baseline --features X.npy --labels L.tsv --method propagate --gamma 1 --metric cosine --probs n.npy
tells '--metric and --gamma, which joins all rows; expected one of them'
run 2 whet label baseline --features X.npy --labels L.tsv --method few-shot --neighbours 3 --probs n.npy
tells '--neighbours needs --method propagate or spread'
run 2 whet label baseline --features X.npy --labels L.tsv --method propagate --temperature 1 --probs n.npy
tells '--temperature with --method propagate'
absent n.npy
run 0 whet label baseline --features X.npy --labels L.tsv --method spread --alpha .5 --temperature 1 --probs own.npy
# Two rows far from all others, close to each other.
python3 - <<'PY'
import struct
data = bytearray(open('X.npy', 'rb').read())
d = (len(data) - 128) // 4 // 60
for row in (50, 51):
    struct.pack_into(f'<{d}f', data, 128 + row * d * 4, *[1e3 + row / 100] * d)
open('apart.npy', 'wb').write(data)
PY
run 0 whet label baseline --features apart.npy --labels L.tsv --method propagate --gamma .5 --probs apart1.npy
tells 'no label reaches 2 of 60 rows at gamma 0.5, which get the shares of the classes among the labels'
tells 'try a smaller gamma'
run 0 whet label baseline --features apart.npy --labels L.tsv --method spread --gamma .5 --alpha .2 \
    --probs apart2.npy
tells 'no label reaches 2 of 60 rows at gamma 0.5, which get all classes alike'
run 0 whet label baseline --features X.npy --labels L.tsv --method zero-shot --class-features C.npy \
    --probs z.npy
[ "$(most z.npy 40)$(most z.npy 41)" = 01 ] || fail 'rows 40 and 41 of zero-shot'
run 0 whet label baseline --features X.npy --labels L.tsv --method prototypes --class-features C.npy \
    --probs named.npy
[ "$(most named.npy 40)$(most named.npy 41)" = 01 ] || fail 'rows 40 and 41 of named prototypes'

# The order of a class list, a column with empty cells, no labels at all.
printf 'spam\nham\n' >classes.txt
run 0 whet label baseline --features X.npy --labels L.tsv --method few-shot --classes classes.txt \
    --probs turned.npy --json
json out
says '"spam"'
[ "$(most turned.npy 40)" = 1 ] || fail 'the class list does not decide the columns'
run 0 whet label baseline --features X.npy --classes classes.txt --method zero-shot \
    --class-features C.npy --probs none.npy

# Heads trained for the metric: a class between the two that has no label may be predicted.
printf 'ham\nunsure\nspam\n' >three.txt
printf 'ham\tunsure\nunsure\tspam\n' >line.tsv
for loss in expected-cost frechet; do
    run 0 whet label baseline --features X.npy --labels L.tsv --method few-shot --loss $loss \
        --space tree:line.tsv --classes three.txt --probs $loss.npy
    quiet
    says "few-shot from 8 labels"
done
mark
run 2 whet label baseline --features X.npy --labels L.tsv --method few-shot --loss frechet --probs p.npy
tells '--space'
run 2 whet label baseline --features X.npy --labels L.tsv --method few-shot --space path:2 --probs p.npy
tells '--loss'
run 2 whet label baseline --features X.npy --labels L.tsv --method spread --loss frechet \
    --space tree:line.tsv --probs p.npy
tells '--method few-shot'
run 3 whet label baseline --features X.npy --labels L.tsv --method few-shot --loss frechet \
    --space path:2 --probs p.npy
tells 'L.tsv: class "ham" is not in the label space'
unchanged

# Features without a model: fitted on the input, tests only put through.
run 0 whet label features --method pca --input X.npy --dim 1 --output Y.npy --test C.npy --test-output Z.npy
quiet
says 'Y.npy: 60 rows of 1 columns'
says 'Z.npy: 2 rows'
says 'of the variance'
present Y.npy Z.npy
printf 'text\nred apples\ngreen apples\nred wine\n' >words.tsv
run 0 whet label features --method tfidf --input words.tsv --dim 2 --output W.npy --json
json out
mark
run 2 whet label features --method pca --input X.npy --output p.npy --test C.npy
tells '--test and --test-output'
run 4 whet label features --method pca --input X.npy --output Y.npy
run 2 whet label features --method tfidf --input words.tsv --column body --output p.npy
tells 'body'
unchanged

# Refusals: nothing is written.
features none.npy 0
mark
run 3 whet label baseline --features none.npy --labels L.tsv --method spread --probs p.npy
tells 'L.tsv:2: a label of row "0"; expected none, as there are no rows'
run 4 whet label baseline --features X.npy --labels L.tsv --method spread --probs z.npy
tells 'z.npy'
run 2 whet label baseline --features X.npy --method spread --probs p.npy
tells '--labels'
run 2 whet label baseline --features X.npy --labels L.tsv --method zero-shot --probs p.npy
tells '--class-features'
run 2 whet label baseline --features X.npy --labels L.tsv --method goggles --class-features C.npy \
    --probs p.npy
tells '--class-features needs --method zero-shot or prototypes'
run 2 whet label baseline --features X.npy --labels L.tsv --method few-shot --gamma 1 --probs p.npy
tells '--gamma needs --method propagate or spread'
run 2 whet label baseline --features X.npy --labels L.tsv --method propagate --alpha .5 --probs p.npy
tells '--alpha needs --method spread'
run 2 whet label baseline --features X.npy --labels L.tsv --method magic --probs p.npy
unchanged
printf 'row\tlabel\n0\tham\n60\tspam\n' >far.tsv
printf 'row\tlabel\n0\tham\n1\teggs\n' >other.tsv
printf 'row\tlabel\n0\tham\n1\tham\n' >one.tsv
printf 'row\tlabel\n0\tham\n0\tspam\n' >twice.tsv
printf 'label\nham\nspam\n' >short.tsv
python3 - <<'PY'
import struct
data = open('X.npy', 'rb').read()
open('huge.npy', 'wb').write(data[:128] + struct.pack('<4f', 3e38, -3e38, -3e38, 3e38) * 30)
PY
mark
run 3 whet label baseline --features X.npy --labels far.tsv --method spread --probs p.npy
tells 'far.tsv:3: row is "60"; expected a number from 0 to 59'
run 3 whet label baseline --features X.npy --labels other.tsv --classes classes.txt --method spread \
    --probs p.npy
tells 'other.tsv:3: label "eggs" is not among the classes'
run 3 whet label baseline --features X.npy --labels one.tsv --method few-shot --probs p.npy
tells 'one.tsv: 1 class; expected at least 2; try a class list'
printf 'labels\tno\nham\t0\n' >head.tsv
run 3 whet label baseline --features X.npy --labels head.tsv --method few-shot --probs p.npy
tells 'head.tsv: no column "label", but "labels", "no"; expected one'
rm head.tsv
run 3 whet label features --method pca --input huge.npy --output p.npy
tells 'huge.npy: features that come out: row 0, column 0 is infinite; expected a finite number'
run 3 whet label baseline --features X.npy --labels twice.tsv --method few-shot --probs p.npy
tells 'second label'
run 3 whet label baseline --features X.npy --labels short.tsv --method few-shot --probs p.npy
tells '60'
unchanged
finish
