#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet label analyze, as a user types it: the table, names, rows, the page, refusals.
. "$(dirname "$0")/lib.sh"

# Twelve rows; rules 0 and 2 are copies, rule 1 differs on one row in four, rule 3 never votes.
{
    printf 'row\trule\tvote\n'
    for i in 0 1 2 3 4 5 6 7 8 9 10 11; do
        printf '%d\t0\t%d\n%d\t1\t%d\n%d\t2\t%d\n' $i $((i % 2)) $i \
            $((i % 4 == 3 ? 0 : i % 2)) $i $((i % 2))
    done
    printf '12\t3\t-1\n'
} >V.tsv
{
    printf 'row\tlabel\n'
    for i in 0 1 2 3 4 5 6 7; do printf '%d\t%s\n' $i "$([ $((i % 2)) = 0 ] && echo ham || echo spam)"; done
} >Y.tsv
printf 'ham\nspam\n' >classes.txt
printf 'first\nsecond\ncopy\nsilent\n' >rules.txt

run 0 whet label analyze --votes V.tsv --truth Y.tsv --classes classes.txt --rule-names rules.txt
quiet
says '13 rows, 4 rules, 2 classes; 0.9231 covered, 0.9231 by two or more, 0.2308 in conflict'
says 'second               ham,spam       0.9231   0.9231    0.2308        6         2    0.7500'
says 'silent               -              0.0000   0.0000    0.0000        0         0    0.0000'
says 'first                copy                    1.0000'
says 'copies'
run 0 whet label analyze --votes V.tsv
quiet
says 'learned'
run 0 whet label analyze --votes V.tsv --truth Y.tsv --classes classes.txt --wrong 1 --json
json out
says '"wrong"'
says '"agree"'
run 0 whet label analyze --votes V.tsv --truth Y.tsv --classes classes.txt --wrong 1
says 'rule 1 got 2 rows wrong:'
says "3$(printf '\t')spam"
run 0 whet label analyze --votes V.tsv --explain 3 --model weighted
says 'row 3: log odds of class 1 against 0'
says 'together'
# What is explained is what is predicted: of a row without votes; by votes; by rules that abstain.
run 0 whet label analyze --votes V.tsv --explain 12 --model one-coin
says 'no rule votes on it: it gets what such rows get'
python3 - "$work/.out" <<'PY' || fail 'a row without votes has other log odds than its probabilities'
import math, re, sys
text = open(sys.argv[1]).read()
first, second = map(float, re.search(r'of probability (\S+) and (\S+)', text).groups())
assert abs(float(re.search(r'together +(\S+)', text).group(1)) - math.log(first / second)) < 1e-3
PY
run 0 whet label analyze --votes V.tsv --explain 3 --model majority
says 'row 3: votes for class 1 less those for 0, of probability 1.0000 and 0.0000'
grep -q 'log odds' .out && fail 'votes are called log odds'
# Rule 0 votes for class 0 alone and abstains on row 1, which is why row 1 is of class 1.
{
    printf 'row\trule\tvote\n'
    for i in 0 1 2 3 4 5 6 7 8 9; do
        [ $((i % 2)) = 1 ] || printf '%d\t0\t0\n' $i
        printf '%d\t1\t%d\n%d\t2\t%d\n' $i $((i % 2)) $i $((i % 2))
    done
} >one-sided.tsv
printf 'even\nodd\n' >parity.txt
run 0 whet label analyze --votes one-sided.tsv --classes parity.txt --explain 1
says 'row 1: log odds of class odd against even'
says '  abstains'
says '0                    even'
says '1                    even,odd'
run 0 whet label analyze --votes one-sided.tsv --explain 1 --json
python3 - "$work/.out" <<'PY' || fail 'the explanation is not what adds up'
import json, math, sys
e = json.load(open(sys.argv[1]))['explanation']
assert e['rules'][0]['rule'] == 'balance' and 'vote' not in e['rules'][0]
assert [r['vote'] for r in e['rules'][1:]] == [None, 1, 1]
assert abs(sum(r['log_odds'] for r in e['rules']) - e['log_odds']) < 1e-9
assert abs(math.log(e['probability'] / e['against_probability']) - e['log_odds']) < 1e-6
PY
rm one-sided.tsv parity.txt
run 0 whet label analyze --votes V.tsv --truth Y.tsv --classes classes.txt --report votes.html
present votes.html
grep -q '</html>' votes.html || fail 'the page is cut'
grep -q 'x="680" y="300" text-anchor="middle">100 %' votes.html || fail 'the axis of coverage is not whole'
# Rules that vote on little of 400 rows, at most on 12 of 13: the axis ends behind 3 %, at 5 %.
run 0 whet label analyze --votes V.tsv --rows 400 --classes classes.txt --report small.html
grep -q 'x="680" y="300" text-anchor="middle">5 %' small.html || fail 'the axis of coverage does not fit'
run 0 whet label analyze --votes V.tsv --rows 130 --classes classes.txt --report tenth.html
grep -q 'x="680" y="300" text-anchor="middle">10 %' tenth.html || fail 'the axis of coverage does not fit'

mark
run 4 whet label analyze --votes V.tsv --report votes.html
run 2 whet label analyze --votes V.tsv --wrong 1
tells '--truth'
run 2 whet label analyze --votes V.tsv --truth Y.tsv --classes classes.txt --wrong 9
silent
tells '--wrong is 9; expected a rule from 0 to '
run 2 whet label analyze --votes V.tsv --explain 13
silent
tells '--explain is 13; expected a row from 0 to '
run 3 whet label analyze --votes V.tsv --truth Y.tsv
tells 'Y.tsv:2: label is "ham"'
printf 'first\n' >one.txt
python3 - <<'PY'
header = "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 3), }".ljust(117) + '\n'
with open('three.npy', 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header.encode() + bytes([0, 1, 2, 1, 1, 255]))
PY
mark
run 3 whet label analyze --votes V.tsv --rule-names one.txt
run 3 whet label analyze --votes three.npy --rule-names one.txt
tells 'one.txt: 1 names of rules; expected 3, as many as three.npy has'
run 3 whet label analyze --votes three.npy --classes classes.txt
tells 'three.npy: vote [0, 2] is 2; expected -1 to 1, as classes.txt lists 2 classes'
unchanged
finish
