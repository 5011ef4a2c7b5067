#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet locus, as a user types it: loci, tables, next classes, covers, refusals.
. "$(dirname "$0")/lib.sh"

tab=$(printf '\t')
line() {
    got=$(sed -n "${1}p" "$2" | tr "$tab" '|')
    [ "$got" = "$3" ] || fail "line $1 of $2 is $got; expected $3"
}

# animal - mammal - (dog, cat), animal - bird - (owl, hawk): between dog and owl are three nodes.
printf 'animal\tmammal\nanimal\tbird\nmammal\tdog\nmammal\tcat\nbird\towl\nbird\thawk\n' >tree.tsv
printf 'dog\nowl\n' >some.txt
run 0 whet locus --space tree:tree.tsv --observed some.txt --output l.tsv
quiet
says '7 candidates of 7 points, 2 observed classes'
says '5  can be predicted alone (strong)'
says '2  can never be predicted'
says "animal${tab}alone"
line 1 l.tsv 'class|observed|reach|reason|other'
line 2 l.tsv 'animal|0|alone|between|'
line 5 l.tsv 'dog|1|alone|observed|'
line 6 l.tsv 'cat|0|never|branch|mammal'
run 4 whet locus --space tree:tree.tsv --observed some.txt --output l.tsv
tells 'l.tsv'

# Leaves of one depth: nothing but the observed, and why.
run 0 whet locus --space tree:tree.tsv --observed some.txt --candidates leaves
says 'are as deep as all others'
says 'no class that was not observed can ever be predicted'

# Next classes: the sequence, all that is left, from nothing.
run 0 whet locus --space tree:tree.tsv --observed some.txt --next 9
says "cat${tab}adds 1${tab}locus 6"
says "hawk${tab}adds 1${tab}locus 7"
says 'that is all: 2 of the 9'
run 0 whet locus --space tree:tree.tsv --next 2 --by nodes
says "owl${tab}adds 4${tab}locus 5"
printf '0\n' >zero.txt
run 0 whet locus --space grid:3x3 --observed zero.txt --next 1
says "8${tab}distance 4"
says 'a heuristic'

# Covers, and one document of everything.
run 0 whet locus --space tree:tree.tsv --cover
says '4 classes reach everything (the leaves, the least there is)'
run 0 whet locus --space grid:3x4 --cover
says '2 classes reach everything (two opposite corners'
run 0 whet locus --space tree:tree.tsv --observed some.txt --next 1 --cover --json
json out
python3 - <<'PY' || fail 'the document is wrong'
import json
d = json.load(open('.out'))
assert d['locus']['size'] == 5 and d['locus']['counts']['never'] == 2
assert d['locus']['classes'] == ['animal', 'mammal', 'bird', 'dog', 'owl']
assert d['next'] == {'rule': 'tree', 'classes': [{'class': 'cat', 'gain': 1, 'locus': 6}]}
assert d['cover']['size'] == 4 and d['cover']['least'] == 4 and d['cover']['proof'] == 'leaves'
PY

# A space without structure: by linear programmes.
python3 - <<'PY'
import struct
points = [(0, 0), (4, 0), (0, 4), (1, 1), (9, 9), (2, 0)]
header = "{'descr': '<f8', 'fortran_order': False, 'shape': (6, 2), }".ljust(117) + '\n'
with open('e.npy', 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for p in points:
        f.write(struct.pack('<2d', *p))
PY
printf '0\n1\n2\n' >three.txt
run 0 whet locus --space embedding:e.npy --observed three.txt --output e.tsv
line 5 e.tsv '3|0|alone|mixture|'
line 6 e.tsv '4|0|never|mixture|'
line 7 e.tsv '5|0|alone|mixture|'

# Three classes of a grid: a hull, and no programme.
printf '0\n59\n1860\n' >sides.txt
run 0 whet locus --space grid:60x60 --observed sides.txt --json
json out
python3 - <<'PY' || fail 'the locus of three classes of a grid is wrong'
import json
d = json.load(open('.out'))['locus']
assert d['programmes'] == 0
assert d['counts'] == {'alone': 91, 'predicted': 0, 'tied': 1829, 'never': 1680, 'undecided': 0}, d['counts']
PY

# Refusals: nothing is written.
printf 'dog\ncats\n' >wrong.txt
printf 'dog\ndog\n' >twice.txt
: >empty.txt
mark
run 2 whet locus --space tree:tree.tsv
tells '--observed'
run 2 whet locus --space tree:tree.tsv --next 3 --output n.tsv
tells '--observed'
run 3 whet locus --space tree:tree.tsv --observed wrong.txt --output n.tsv
tells 'wrong.txt: class "cats" is not in the label space'
tells '"cat"'
run 3 whet locus --space tree:tree.tsv --observed twice.txt
tells 'twice.txt:2'
run 3 whet locus --space tree:tree.tsv --observed empty.txt
tells 'empty.txt'
run 2 whet locus --space tree:tree.tsv --observed some.txt --next 0
run 2 whet locus --space tre:tree.tsv --observed some.txt
unchanged
# What can be predicted where what was observed is no candidate; what only ties; parent tables by other names.
printf 'r a\na x\na y\nr b\nb z\n' >even.txt
printf 'x\n' >x.txt
printf 'y\nz\n' >yz.txt
run 0 whet locus --space tree:even.txt --observed x.txt --candidates yz.txt --output l.tsv --force
says '1  can be predicted alone'
grep -q '^y	0	alone' l.tsv || fail 'y, which is always predicted, is not reached'
printf '0\n2\n3\n' >corners.txt
run 0 whet locus --space grid:2x2 --observed corners.txt --output l.tsv --force
grep -q '^1	0	predicted' l.tsv || fail 'a class that ties at best is said to win alone'
for header in 'node\tparent' 'Child\tParent' 'id\tPARENT' 'name\tparent'; do
    printf "$header\na\tr\nb\tr\n" >table.tsv
    printf 'a\n' >a.txt
    run 0 whet locus --space tree:table.tsv --observed a.txt
    says '3 candidates of 3 points'
done
run 0 whet locus --space tree:even.txt --observed x.txt --candidates yz.txt --cover
tells '--cover is of all points of the space'
printf '0\n' >first.txt
run 2 whet locus --space grid:2x2 --observed first.txt --next 2 --by nodes
tells 'expected by length'
finish
