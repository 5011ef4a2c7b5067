#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet predict, as a user types it: dense and sparse, spaces, labels, top, refusals.
. "$(dirname "$0")/lib.sh"

# npy FILE FORMAT ROWS COLUMNS VALUE...: an array of f (float32), d (float64) or i (int32)
npy() {
    python3 - "$@" <<'PY'
import struct, sys
name, kind, rows, columns = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
values = [float(v) if kind != 'i' else int(v) for v in sys.argv[5:]]
shape = f'({rows}, {columns})' if columns else f'({rows},)'
descr = {'f': '<f4', 'd': '<f8', 'i': '<i4'}[kind]
header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)
header = header.ljust(117) + '\n'
with open(name, 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    f.write(struct.pack(f'<{len(values)}{kind}', *values))
PY
}
tab=$(printf '\t')
# line N FILE TEXT: the line, with | for tabs
line() {
    got=$(sed -n "${1}p" "$2" | tr "$tab" '|')
    [ "$got" = "$3" ] || fail "line $1 of $2 is $got; expected $3"
}

# Two ends of a path, half and half: the middle, which was never observed.
npy P.npy d 2 2 .5 .5 3 1
printf '0\n2\n' >observed.txt
run 0 whet predict --probs P.npy --classes observed.txt --space path:3 --output pred.tsv
says '2 rows, 2 observed classes, 3 candidates of 3 points'
says '1 rows predicted as a class that was never observed'
quiet
line 1 pred.tsv 'row|class|cost|ties|margin'
line 2 pred.tsv '0|1|1|1|1'
line 3 pred.tsv '1|0|1|2|2'

# float32, CRLF, another order of the classes; a place in an .npz is another spelling of an array.
npy P32.npy f 2 2 .5 .5 1 3
printf '2\r\n0\r\n' >turned.txt
run 0 whet predict --probs P32.npy --classes turned.txt --space path:3 --output other.tsv
cmp -s pred.tsv other.tsv || fail 'the order of the columns matters'
run 4 whet predict --probs P32.npy --classes turned.txt --space path:3 --output other.tsv
tells 'other.tsv'
run 0 whet predict --probs P32.npy --classes turned.txt --space path:3 --output other.tsv --force
run 0 whet predict --probs P32.npy --classes turned.txt --space path:3 --output -
says "0${tab}1${tab}1${tab}1${tab}1"

# A tree of names with spaces and quotes, candidates, top, one and no rows.
printf 'animal%scat\nanimal%sthe "dog", big\ncat%stabby\ncat%smanx\n' "$tab" "$tab" "$tab" "$tab" >tree.tsv
npy one.npy d 1 2 1 1
printf 'tabby\nmanx\n' >cats.txt
run 0 whet predict --probs one.npy --classes cats.txt --space tree:tree.tsv --output p.tsv --top 9
line 1 p.tsv 'row|class|cost|ties|margin|class_2|cost_2|class_3|cost_3|class_4|cost_4|class_5|cost_5'
line 2 p.tsv '0|cat|1|1|1|tabby|2|manx|2|animal|4|the "dog", big|9'
run 0 whet predict --probs one.npy --classes cats.txt --space tree:tree.tsv --output p.tsv --force \
    --candidates leaves
line 2 p.tsv '0|tabby|2|2|7'
run 0 whet predict --probs one.npy --classes cats.txt --space tree:tree.tsv --output p.tsv --force \
    --candidates observed
line 2 p.tsv '0|tabby|2|2|inf'
printf 'manx\nthe "dog", big\n' >some.txt
run 0 whet predict --probs one.npy --classes cats.txt --space tree:tree.tsv --output p.tsv --force \
    --candidates some.txt --power 1
line 2 p.tsv '0|manx|1|1|2'
npy none.npy d 0 2
run 0 whet predict --probs none.npy --classes cats.txt --space tree:tree.tsv --output n.tsv --truth \
    /dev/null
says '0 rows'
line 1 n.tsv 'row|class|cost|ties|margin'
[ "$(wc -l <n.tsv)" = 1 ] || fail 'rows out of none'

# One class, one point; parents without names; matrix, embedding, grid, discrete.
npy K1.npy d 1 1 .1
printf '0\n' >zero.txt
npy parent.npy i 1 0 -1
run 0 whet predict --probs K1.npy --classes zero.txt --space tree:parent.npy --output k1.tsv
line 2 k1.tsv '0|0|0|1|inf'
npy D.npy f 3 3 0 2 2 2 0 2 2 2 0
printf 'cat\ntabby\nmanx\n' >names.txt
run 0 whet predict --probs one.npy --classes cats.txt --space matrix:D.npy,names=names.txt --output m.tsv
line 2 m.tsv '0|tabby|2|2|2'
npy E.npy d 3 2 1 1 2 0 0 2
run 0 whet predict --probs one.npy --classes cats.txt --space embedding:E.npy,names=names.txt \
    --output e.tsv
line 2 e.tsv '0|cat|2|1|2'
run 0 whet predict --probs one.npy --classes cats.txt \
    --space embedding:E.npy,metric=unit,names=names.txt --output c.tsv
grep -q "0${tab}cat${tab}0.58578643762690" c.tsv || fail 'unit: 2 - 2 cos 45 degrees'
run 0 whet predict --probs one.npy --classes cats.txt \
    --space embedding:E.npy,metric=cosine,names=names.txt --output cosine.tsv
grep -q "0${tab}cat${tab}0.0857864376269" cosine.tsv || fail 'cosine: (1 - cos 45 degrees)^2'
run 2 whet predict --probs one.npy --classes cats.txt \
    --space embedding:E.npy,metric=cos,names=names.txt --output no.tsv
tells 'metric is "cos"; expected euclidean, unit, cosine or angular'
run 0 whet predict --probs one.npy --classes cats.txt --space discrete --output d.tsv
line 2 d.tsv '0|tabby|0.5|2|inf'
npy corners.npy d 1 2 1 1
printf '0\n3\n' >corners.txt
run 0 whet predict --probs corners.npy --classes corners.txt --space grid:2x2 --output g.tsv
line 2 g.tsv '0|1|1|2|1'

# Lists of names have a line for each node, Newick files a length for each edge or none at all.
npy chain.npy i 3 0 -1 0 1
printf 'name\n0\n1\n2\n' >head.txt
printf '\357\273\2770\n1\n2\n' >mark.txt
run 3 whet predict --probs K1.npy --classes zero.txt --space tree:chain.npy,names=head.txt --output no.tsv
tells 'head.txt: more than 3 lines'
run 0 whet predict --probs K1.npy --classes zero.txt --space tree:chain.npy,names=mark.txt --output mark.tsv
line 2 mark.tsv '0|0|0|1|1'
printf '((a:1,b:1):1,(c:1,d:1));' >some.nwk
printf '((a:1,b:1):1,(c:1,d:1):0);' >all.nwk
printf '((a,b),(c,d));' >none.nwk
printf 'a\nc\n' >ac.txt
npy half.npy d 1 2 .5 .5
run 0 whet predict --probs half.npy --classes ac.txt --space tree:some.nwk --output some.tsv
tells 'some.nwk: 1 of 6 edges have no length'
run 0 whet predict --probs half.npy --classes ac.txt --space tree:all.nwk --output all.tsv
quiet_about 'no length'
cmp -s some.tsv all.tsv || fail 'an edge without a length beside others is not of length 0'
run 0 whet predict --probs half.npy --classes ac.txt --space tree:none.nwk --output none.tsv
quiet_about 'no length'
run 2 whet predict --probs half.npy --classes ac.txt --space grid:3x3,metric=l1,metric=l2 --output no.tsv
tells 'metric= is given twice'
run 0 whet predict --probs K1.npy --classes zero.txt --space grid:2x2 --candidates leaves --output leaves.tsv
tells 'here all points'
printf 'a b 1e308\nb c 1e308\n' >far.txt
run 3 whet predict --probs half.npy --classes ac.txt --space graph:far.txt --output no.tsv
tells 'farther apart than numbers go'

# Sparse: rows may be missing and out of order.
printf 'row\tclass\tp\n7\tmanx\t.5\n2\ttabby\t1e0\n7\ttabby\t0.5\n' >sparse.tsv
run 0 whet predict --probs sparse.tsv --space tree:tree.tsv --output s.tsv
line 2 s.tsv '2|tabby|0|1|1'
line 3 s.tsv '7|cat|1|1|1'
run 2 whet predict --probs sparse.tsv --classes cats.txt --space tree:tree.tsv --output x.tsv
run 2 whet predict --probs one.npy --space tree:tree.tsv --output x.tsv
tells 'expected a class list'

# Truth in its three shapes; argmax beside; calibration.
npy two.npy d 3 2 .5 .5 .9 .1 .2 .8
printf 'cat\ntabby\nmanx\n' >list.txt
printf 'text\tlabel\na\tcat\nb\ttabby\nc\tmanx\n' >column.tsv
printf 'row\tlabel\n2\tmanx\n0\tcat\n1\ttabby\n' >rows.tsv
for truth in list.txt column.tsv rows.tsv; do
    run 0 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output t.tsv \
        --force --truth $truth --json
    json out
    cp .out $truth.json
    cmp -s list.txt.json $truth.json || fail "$truth measures differently"
done
python3 - <<'PY' || fail 'the measures are wrong'
import json
d = json.load(open('list.txt.json'))
t = d['truth']
# costs of cat are 1 in all rows; tabby costs 2, .4, 3.2; manx 2, 3.6, .8
assert (t['rows'], t['seen'], t['unseen']) == (3, 2, 1)
assert t['frechet']['accuracy'] == 1 and t['frechet']['mean_squared_distance'] == 0
assert abs(t['argmax']['mean_squared_distance'] - 1 / 3) < 1e-15
assert t['argmax']['accuracy_unseen'] == 0 and t['frechet']['accuracy_unseen'] == 1
assert d['temperature'] == 1 and d['calibration'] is None
assert t['frechet']['unseen']['rows'] == 1 and t['argmax']['seen']['accuracy'] == 1
assert t['frechet']['top_accuracy'] is None
gain = t['difference']['all']['mean_squared_distance']
assert abs(gain['mean'] + 1 / 3) < 1e-15 and gain['low'] <= gain['mean'] <= gain['high']
assert t['difference']['unseen']['accuracy'] == {'mean': 1, 'low': 1, 'high': 1}
PY
# Among the best two: tabby, cat; manx, cat; manx, cat for argmax only the observed.
run 0 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output t.tsv --force \
    --truth list.txt --top 2 --plot plot.svg
says 'label in the best 2, all (3 rows)                     1     0.666667'
grep -q 'Where the mass went' plot.svg || fail 'a plot without the tree'
mark
run 4 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output u.tsv --truth list.txt \
    --plot plot.svg
tells 'plot.svg'
run 2 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output u.tsv --plot u.svg
tells '--truth'
run 3 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output u.tsv \
    --truth /dev/null --plot u.svg
unchanged
run 0 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output t.tsv --force \
    --truth rows.tsv
says 'accuracy, unseen (1 rows)                             1            0  +1 (+1 to +1)'
printf 'row\tlabel\n1\tcat\n2\tcat\n' >dev.tsv
run 0 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output t.tsv --force \
    --calibrate dev.tsv --json
json out
python3 - <<'PY' || fail 'calibration'
import json
d = json.load(open('.out'))
assert d['temperature'] > 1 and d['calibration']['loss'] == 0 and d['calibration']['rows'] == 2
assert d['predicted_unobserved'] == 3
PY
run 0 whet predict --probs two.npy --classes cats.txt --space tree:tree.tsv --output t.tsv --force \
    --temperature .01
# tabby and manx are 2 apart: 4 (1/9)^100
grep -q "1${tab}tabby${tab}1.50594477983[0-9]*e-95" t.tsv || fail 'temperature'

# Compressed rows as scipy writes them, the same rows as a table, and whole: the same predictions.
python3 - <<'PY'
import struct, zipfile
def npy(kind, values):
    descr = {'d': '<f8', 'i': '<i4', 'q': '<i8'}[kind]
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }" % (descr, len(values))
    header = header.ljust(117) + '\n'
    return (b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() +
            struct.pack(f'<{len(values)}{kind}', *values))
def csr(name, shape, indptr, indices, data):
    with zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED) as z:
        for key, kind, values in (('indices', 'i', indices), ('indptr', 'i', indptr),
                                  ('data', 'd', data), ('shape', 'q', shape)):
            z.writestr(key + '.npy', npy(kind, values))
with zipfile.ZipFile('whole.npz', 'w', zipfile.ZIP_DEFLATED) as z:
    rows = npy('d', (.5, 0, .5, 0, 2, 0, .9, .1, 0))
    z.writestr('p.npy', rows.replace(b'(9,), }  ', b'(3, 3), }', 1))
csr('rows.npz', (3, 3), (0, 2, 3, 5), (0, 2, 1, 0, 1), (.5, .5, 2, .9, .1))
csr('far.npz', (1, 3), (0, 1), (3,), (1,))
csr('twice.npz', (1, 3), (0, 2), (1, 1), (1, 1))
csr('empty.npz', (2, 3), (0, 1, 1), (1,), (1,))
csr('starts.npz', (2, 3), (0, 2, 1), (1, 0), (1, 1))
csr('wide.npz', (1, 4), (0, 1), (1,), (1,))
PY
printf '0\n3\n8\n' >csr.txt
printf '4\n3\n0\n' >path.txt
printf 'row\tclass\tp\n0\t0\t.5\n0\t8\t.5\n1\t3\t2\n2\t0\t.9\n2\t3\t.1\n' >rows.tsv
npy whole.npy d 3 3 .5 0 .5 0 2 0 .9 .1 0
for options in '--top 1' '--top 3 --temperature 2' '--candidates leaves' '--power 1'; do
    # shellcheck disable=SC2086
    run 0 whet predict --probs rows.npz --classes csr.txt --space path:9 --output a.tsv --force $options
    # shellcheck disable=SC2086
    run 0 whet predict --probs rows.tsv --space path:9 --output b.tsv --force $options
    # shellcheck disable=SC2086
    run 0 whet predict --probs whole.npy --classes csr.txt --space path:9 --output c.tsv --force $options
    cmp -s a.tsv b.tsv || fail "compressed rows and a table differ with $options"
    # shellcheck disable=SC2086
    run 0 whet predict --probs whole.npz --classes csr.txt --space path:9 --output d.tsv --force $options
    cmp -s c.tsv d.tsv || fail "whole rows differ in an archive with $options"
    # Costs are summed in another order: the last digits may differ.
    [ "$(cut -f 1,2,4 a.tsv)" = "$(cut -f 1,2,4 c.tsv)" ] ||
        fail "compressed rows and whole ones differ with $options"
done
run 0 whet predict --probs rows.npz --classes csr.txt --space path:9 --output a.tsv --force --top 2 \
    --truth path.txt --json
json out
mark
for file in far twice empty starts wide; do
    run 3 whet predict --probs $file.npz --classes csr.txt --space path:9 --output x.tsv
    tells "$file.npz"
done
run 2 whet predict --probs rows.npz --space path:9 --output x.tsv
tells 'class list'
unchanged

# Out of order, with gaps, as CSV and JSON lines: the same predictions as in order.
printf 'row\tclass\tp\n2\t0\t.9\n0\t0\t.5\n1\t3\t2\n0\t8\t.5\n2\t3\t.1\n' >mixed.tsv
tr '\t' , <rows.tsv >rows.csv
python3 -c "
for line in open('rows.tsv').readlines()[1:]:
    print('{\"row\": %s, \"class\": \"%s\", \"p\": 0%s}' % tuple(line.split()))" |
    sed 's/02}/2}/' >rows.jsonl
run 0 whet predict --probs rows.tsv --space path:9 --output a.tsv --force
for file in mixed.tsv rows.csv rows.jsonl; do
    run 0 whet predict --probs $file --space path:9 --output b.tsv --force
    cmp -s a.tsv b.tsv || fail "$file predicts differently"
done

# One bad line at the end of a long file: one sentence with its line, nothing written, not even where
# rows go out at once.
awk 'BEGIN { print "row\tclass\tp"; for (i = 0; i < 300000; i++) print i "\t" i % 9 "\t1" }' >long.tsv
{ cat long.tsv; printf '300000\t4\t1x\n'; } >spoilt.tsv
mark
for output in x.tsv -; do
    run 3 whet predict --probs spoilt.tsv --space path:9 --output $output
    tells 'spoilt.tsv:300002: p is "1x"'
    [ "$(wc -l <.err)" = 1 ] || fail 'not one sentence'
    silent
done
unchanged
run 0 whet predict --probs long.tsv --space path:9 --output long.out
[ "$(wc -l <long.out)" = 300001 ] || fail 'rows are missing'
rm long.tsv spoilt.tsv long.out

# What would be done.
mark
run 0 whet predict --probs rows.npz --classes csr.txt --space path:9 --explain
says 'method: tree by entries'
run 0 whet predict --probs rows.npz --classes csr.txt --space path:9 --candidates leaves --explain
says 'method: tree pass'
says 'not all nodes are candidates'
run 0 whet predict --probs whole.npy --classes csr.txt --space grid:3x3 --explain --json
json out
says '"sums along the axes"'
run 0 whet predict --probs whole.npy --classes csr.txt --space grid:3x3,metric=l2 --power 1 --explain
says 'method: distance table'
run 0 whet predict --probs whole.npy --classes csr.txt --space grid:3x3,metric=l2 --output l2.tsv
line 2 l2.tsv '0|4|2|1|1'
# A method that is asked for, or that does not serve.
for method in tree-pass table; do
    run 0 whet predict --probs whole.npy --classes csr.txt --space path:9 --method $method --output $method.out
done
[ "$(cut -f 1,2,4 tree-pass.out)" = "$(cut -f 1,2,4 table.out)" ] || fail 'two methods predict differently'
rm tree-pass.out table.out
run 0 whet predict --probs whole.npy --classes csr.txt --space path:9 --method table --explain
says 'method: distance table (--method table), O(K N) a row'
says 'because it was asked for'
run 2 whet predict --probs whole.npy --classes csr.txt --space path:9 --method tree-entries --explain
tells 'method tree-entries does not serve here: it needs a tree with all nodes as candidates, and rows that come'
tells 'expected auto, tree-pass or table'
run 2 whet predict --probs whole.npy --classes csr.txt --space path:9 --method tree --explain
run 2 whet predict --probs whole.npy --classes csr.txt --space grid:3x3,metric=l3 --explain
tells 'l1 or l2'
rm l2.tsv
run 2 whet predict --probs whole.npy --classes csr.txt --space grid:3x3
tells '--output'
unchanged

# More memory than there is: said before the work, with a way out.
if ! grep -q __asan_init "$whet"; then
    awk 'BEGIN { for (i = 1; i < 150000; i++) print i - 1, i, 1.5 }' >long.txt
    awk 'BEGIN { for (i = 0; i < 1500; i++) print i }' >many.txt
    awk 'BEGIN { print "row\tclass\tp"; for (i = 0; i < 1500; i++) print "0\t" i "\t1" }' >many.tsv
    mark
    run 5 sh -c 'ulimit -v 1500000; OMP_NUM_THREADS=1 exec "$0" predict --threads 1 --probs many.tsv \
        --space graph:long.txt --method table-entries --output x.tsv' "$whet"
    tells 'the plan (table by entries, 1500 observed classes, 150000 candidates, 1 threads) needs 1.8'
    tells 'left by the limit of its address space; try method length-searches, which needs'
    python3 - <<'PY'
header = "{'descr': '|u1', 'fortran_order': False, 'shape': (25000, 25000), }".ljust(117) + '\n'
with open('hole.npy', 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00\x76\x00' + header.encode())
    f.truncate(128 + 25000 * 25000)
PY
    run 5 sh -c 'ulimit -v 1500000; OMP_NUM_THREADS=1 exec "$0" predict --threads 1 --probs many.tsv \
        --space matrix:hole.npy --output x.tsv' "$whet"
    tells 'hole.npy: the space (25000 x 25000 distances in f32) needs 2.50 GB more; expected at most the '
    tells 'left by the limit of its address space; try rows='
    rm hole.npy
    unchanged
fi

# Bad input: a sentence, the code, nothing left behind.
mark
set -- --probs one.npy --classes cats.txt --output x.tsv
printf 'tabby\nmnax\n' >typo.txt
mark
run 3 whet predict --probs one.npy --classes typo.txt --space tree:tree.tsv --output x.tsv
tells 'typo.txt: class "mnax" is not in the label space'
tells 'try "manx"'
run 2 whet predict "$@" --space trie:tree.tsv
tells 'expected tree:FILE'
run 2 whet predict "$@" --space tree:
run 2 whet predict "$@" --space path:x
run 5 whet predict "$@" --space path:99999999999
run 2 whet predict "$@" --space matrix:D.npy,metric=cosine
run 2 whet predict "$@" --space embedding:E.npy,metric=cosinus
run 4 whet predict "$@" --space tree:absent.tsv
run 3 whet predict "$@" --space matrix:E.npy
run 3 whet predict "$@" --space matrix:D.npy
tells '"tabby" is not in the label space'
run 2 whet predict "$@" --space tree:tree.tsv --temperature 2 --calibrate dev.tsv
run 2 whet predict "$@" --space tree:tree.tsv --power 3
run 3 whet predict "$@" --space tree:tree.tsv --truth list.txt
tells 'list.txt: 3 labels; expected 1'
run 3 whet predict --probs two.npy --classes observed.txt --space tree:tree.tsv --output x.tsv
printf 'tabby\n' >single.txt
mark
run 3 whet predict --probs two.npy --classes single.txt --space tree:tree.tsv --output x.tsv
tells '2 columns; expected 1'
npy bad.npy d 2 2 1 0 nan 1
mark
run 3 whet predict --probs bad.npy --classes cats.txt --space tree:tree.tsv --output x.tsv
tells 'bad.npy: row 1, class "tabby": nan'
printf 'row\tclass\tp\n0\tcat\t1\n0\tcat\t1\n' >twice.tsv
printf 'row\tclass\tp\n0\tcat\t-1\n' >minus.tsv
printf 'row\tclass\tp\n0\tcat\t0\n' >zero.tsv
printf 'row\tclass\tp\n' >empty.tsv
printf 'a b\nc d\n' >forest.tsv
printf 'a b\nb c\nc a\n' >ring.tsv
mark
run 3 whet predict --probs twice.tsv --space tree:tree.tsv --output x.tsv
tells 'twice.tsv:3: row 0 has class "cat" twice'
run 3 whet predict --probs minus.tsv --space tree:tree.tsv --output x.tsv
tells 'minus.tsv:2: p is "-1"'
run 3 whet predict --probs zero.tsv --space tree:tree.tsv --output x.tsv
tells 'row 0 is all zero'
run 3 whet predict --probs empty.tsv --space tree:tree.tsv --output x.tsv
run 3 whet predict "$@" --space tree:forest.tsv
tells 'nodes "a" and "c" are not connected'
run 3 whet predict "$@" --space tree:ring.tsv
tells 'ring.tsv: the edge of "b" and "c" closes a cycle'
tells 'try graph:FILE'
: >none.txt
mark
run 3 whet predict "$@" --space tree:tree.tsv --candidates none.txt
tells 'none.txt: no class'
unchanged
absent x.tsv
# Compressed columns have the arrays of compressed rows, and are none.
printf '0\n1\n4\n' >three.txt
python3 - <<'END' || fail 'nothing is made'
import struct, zipfile

def npy(kind, shape, payload):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + payload

rows = [[.5, .5, 0], [0, 0, 1.], [.2, .3, .5]]
for name, kind, text in (("rows", "|S3", b"csr"), ("columns", "|S3", b"csc"), ("wide", "<U3", "csc".encode("utf-32-le"))):
    m = rows if text == b"csr" else [list(c) for c in zip(*rows)]
    entries = [(j, v) for row in m for j, v in enumerate(row) if v]
    starts = [0]
    for row in m:
        starts.append(starts[-1] + sum(v != 0 for v in row))
    with zipfile.ZipFile(name + ".npz", "w") as z:
        z.writestr("indices.npy", npy("<i4", (len(entries),), struct.pack(f"<{len(entries)}i", *[j for j, _ in entries])))
        z.writestr("indptr.npy", npy("<i4", (4,), struct.pack("<4i", *starts)))
        z.writestr("format.npy", npy(kind, "()", text))
        z.writestr("shape.npy", npy("<i8", (2,), struct.pack("<2q", 3, 3)))
        z.writestr("data.npy", npy("<f8", (len(entries),), struct.pack(f"<{len(entries)}d", *[v for _, v in entries])))
END
run 0 whet predict --probs rows.npz --classes three.txt --space path:5 --output -
says '1	4	0	1	1'
for name in columns wide; do
    run 3 whet predict --probs $name.npz --classes three.txt --space path:5 --output -
    tells '"format" is "csc"; expected "csr"'
done
finish
