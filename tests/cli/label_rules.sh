#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet label apply and generate, as a user types them: rules on texts and on features, faults, columns
# taken over, rules made from labels and applied again, refusals.
. "$(dirname "$0")/lib.sh"

# votes FILE: the votes as text, a row a line
votes() {
    python3 - "$1" <<'PY'
import ast, struct, sys
data = open(sys.argv[1], 'rb').read()
size = struct.unpack('<H', data[8:10])[0]
header = ast.literal_eval(data[10:10 + size].decode())
n, m = header['shape']
code = {'|i1': 'b', '<i4': 'i'}[header['descr']]
values = struct.unpack('<%d%s' % (n * m, code), data[10 + size:])
for i in range(n):
    print(*values[i * m:(i + 1) * m])
PY
}
expect_votes() { [ "$(votes "$1" | tr '\n' '|')" = "$2" ] || fail "$1 holds $(votes "$1" | tr '\n' '|')"; }

cat >rules.json <<'J'
{"format": "whet-rules", "version": 1, "classes": ["ham", "spam"], "rules": [
  {"name": "free", "type": "keywords", "column": "text", "words": ["free", "prize"], "votes": "spam"},
  {"name": "link", "type": "regex", "column": "text", "pattern": "https?://", "votes": "spam"},
  {"name": "short", "type": "number", "column": "length", "below": 10, "votes": "ham"}]}
J
printf 'text\tlength\nFree prize\t12\nsee http://x\tmany\nhello\t5\n' >t.tsv
run 0 whet label apply --rules rules.json --input t.tsv --votes v.npy
says "$(printf 'free\t0.3333\t0')"
says "$(printf 'short\t0.3333\t1')"
says '3 rows, 1.0000 with a vote'
tells '1 times a rule failed on a row and abstained'
expect_votes v.npy '1 -1 -1|-1 1 -1|-1 -1 0|'

# The same rows in other formats; --json; standard output is taken.
printf 'text,length\n"Free, prize",12\n"see http://x",many\nhello,5\n' >t.csv
printf '{"text":"Free prize","length":12}\n{"text":"see http://x","length":"many"}\n{"text":"hello","length":5}\n' >t.jsonl
for input in t.csv t.jsonl; do
    run 0 whet label apply --rules rules.json --input $input --votes w.npy --force --json --quiet
    json out
    says '"faults": 1'
    expect_votes w.npy '1 -1 -1|-1 1 -1|-1 -1 0|'
done

# A slip in a member's name is told; the rule is applied without it.
sed 's/"pattern"/"ignore_caze": true, "pattern"/; s/"column": "length"/"whole_words": true, &/' rules.json >slip.json
run 0 whet label apply --rules slip.json --input t.tsv --votes w.npy --force
tells 'slip.json: rules[1]: "ignore_caze" is no member of a rule of type regex, and is passed by'
tells 'slip.json: rules[2]: "whole_words" is no member of a rule of type number, and is passed by'
expect_votes w.npy '1 -1 -1|-1 1 -1|-1 -1 0|'

# One more rule: the columns that are there are taken over.
sed 's/"rules": \[/"rules": [{"name": "hi", "type": "keywords", "column": "text", "words": ["hello"], "votes": "ham"},/' \
    rules.json >more.json
run 0 whet label apply --rules more.json --input t.tsv --previous-rules rules.json \
    --previous-votes v.npy --votes more.npy
says '3 columns taken over'
expect_votes more.npy '-1 1 -1 -1|-1 -1 1 -1|0 -1 -1 0|'

# Votes of as many other rows are no votes of these.
{ head -1 t.tsv; tail -n +2 t.tsv | tac; } >turned.tsv
run 3 whet label apply --rules more.json --input turned.tsv --previous-rules rules.json \
    --previous-votes v.npy --votes turned.npy
tells 'v.npy: rule "free" votes '
tells 'expected votes on the same rows'
absent turned.npy

# Triples, which whet label fit reads.
run 0 whet label apply --rules rules.json --input t.tsv --votes v.tsv
[ "$(tr '\t\n' ' |' <v.tsv)" = 'row rule vote|0 0 1|1 1 1|2 2 0|' ] || fail "$(cat v.tsv)"
run 0 whet label fit --votes v.tsv --rules 3 --model majority --probs m.npy

# Numbers of features are compared as their file holds them, not as 32-bit floats.
python3 - <<'PY'
import struct
def array(name, code, descr, values):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%d, 1), }" % (descr, len(values))
    with open(name, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
        f.write(struct.pack('<%d%s' % (len(values), code), *values))
array('tenths.npy', 'd', '<f8', [.1, .3, .7])
array('whole.npy', 'q', '<i8', [16777216, 16777217, 16777218])
array('times.npy', 'd', '<f8', [1.7e9 + i for i in range(60)])
array('wide.npy', 'd', '<f8', [1.7e9 + 60 * i for i in range(60)])
PY
number() {
    printf '{"format": "whet-rules", "version": 1, "classes": ["a", "b"], "features": 1, "rules": [
  {"type": "number", "feature": 0, "votes": "b", %s}]}\n' "$1" >number.json
}
number '"least": 0.7'
run 0 whet label apply --rules number.json --input tenths.npy --votes n.npy --force
expect_votes n.npy '-1|-1|1|'
number '"below": 0.7'
run 0 whet label apply --rules number.json --input tenths.npy --votes n.npy --force
expect_votes n.npy '1|1|-1|'
number '"least": 16777217'
run 0 whet label apply --rules number.json --input whole.npy --votes n.npy --force
expect_votes n.npy '-1|1|1|'
number '"least": 1700000030'
run 0 whet label apply --rules number.json --input times.npy --votes n.npy --force
[ "$(votes n.npy | grep -c '^1$')" = 30 ] || fail 'times do not vote'

# Methods that work in 32-bit floats tell of columns that those round, and refuse rows that they make alike.
awk 'BEGIN { print "row\tlabel"; for (i = 0; i < 60; i += 3) print i "\t" (i < 30 ? "a" : "b") }' >times.tsv
run 3 whet label generate --features times.npy --labels times.tsv --method snuba --votes z.npy
tells 'times.npy: its rows differ by no more than 32-bit floats, in which features are kept, round: column 0 goes from 1700000000 to 1700000059;'
run 0 whet label generate --features wide.npy --labels times.tsv --method snuba --votes z.npy
tells 'wide.npy: column 0: features are kept as 32-bit floats, which round its numbers, from 1700000000 to 1700003540, by 0.03'
tells 'try to subtract 1700001770'
rm z.npy

# Nothing to do, and a table without rows.
printf 'text\tlength\n' >none.tsv
run 0 whet label apply --rules rules.json --input none.tsv --votes none.npy
says '0 rows'

# Refusals: nothing is written.
mark
run 4 whet label apply --rules rules.json --input t.tsv --votes v.npy
tells 'v.npy'
run 2 whet label apply --rules rules.json --input t.tsv --votes z.npy --previous-rules rules.json
tells 'both or neither'
run 4 whet label apply --rules absent.json --input t.tsv --votes z.npy
unchanged
sed 's/"text"/"body"/' rules.json >column.json
sed 's,https?://,(,' rules.json >pattern.json
mark
run 2 whet label apply --rules column.json --input t.tsv --votes z.npy
tells 'rule "free"'
tells 'body'
run 3 whet label apply --rules pattern.json --input t.tsv --votes z.npy
tells 'rules[1]: the pattern "(" does not compile, at byte 1'
run 3 whet label apply --rules t.tsv --input t.tsv --votes z.npy
tells 't.tsv:1:'
unchanged

# Rules made from labels: three features of which the first two tell, 60 rows, 20 labels.
python3 - <<'PY'
import struct
rows = [((i % 2) * 2 - 1 + .01 * (i * 7 % 13), (i % 2) - .03 * (i * 5 % 11), .1 * (i * 3 % 17))
        for i in range(60)]
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (60, 3), }".ljust(117) + '\n'
with open('X.npy', 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for row in rows:
        f.write(struct.pack('<3f', *row))
header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".ljust(117) + '\n'
with open('C.npy', 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    f.write(struct.pack('<6f', -1, 0, 0, 2, 1, 0))
with open('L.tsv', 'w') as f:
    f.write('row\tlabel\n' + ''.join('%d\t%s\n' % (i, 'spam' if i % 2 else 'ham') for i in range(20)))
PY
run 0 whet label generate --features X.npy --labels L.tsv --method snuba --votes g.npy --save made.json \
    --probs p.npy
quiet
says 'rules from 20 labels'
says 'accuracy 1.000'
present p.npy
run 0 whet label apply --rules made.json --input X.npy --votes again.npy
[ "$(votes g.npy)" = "$(votes again.npy)" ] || fail 'applied rules vote otherwise'
votes g.npy | awk '{ for (j = 1; j <= NF; j++) if ($j >= 0 && $j != (NR - 1) % 2) exit 1 }' ||
    fail 'a vote is wrong'
run 0 whet label apply --rules made.json --input X.npy --votes again.npy --probs again-p.npy --force
cmp -s p.npy again-p.npy || fail 'the joint posterior of saved rules is another'
run 0 whet label generate --features X.npy --labels L.tsv --method snuba --reference --votes ref.npy --json
json out
says '"accuracy": null'
run 0 whet label generate --features X.npy --labels L.tsv --method snuba --form one-vs-rest \
    --cardinality 1 --votes - --quiet

# Of two classes too, one against the rest makes rules that vote for one.
run 0 whet label generate --features X.npy --labels L.tsv --method snuba --form one-vs-rest --votes one.npy
votes one.npy | awk '{ for (j = 1; j <= NF; j++) if ($j >= 0) { if (j in of && of[j] != $j) exit 1; of[j] = $j } }' ||
    fail 'a rule of one class votes for two'
run 0 whet label generate --features X.npy --labels L.tsv --method snuba --most-rules 1 --votes m1.npy
says '1 rules from 20 labels'

# Interactive weak supervision: the labels answer, or somebody on the terminal, whose answers are kept.
run 0 whet label generate --features X.npy --labels L.tsv --method goggles --votes o.npy --probs op.npy
quiet
says '3 columns of votes from 20 labels on 60 rows'
says 'class  labels  matched  margin  rows'
says '0          10       10'
printf 'ham\nspam\nother\n' >three.txt
run 0 whet label generate --features X.npy --labels L.tsv --classes three.txt --method goggles --votes o3.npy --json
json out
says '"mapping"'
run 0 whet label generate --features X.npy --labels L.tsv --classes three.txt --method goggles --votes o4.npy
tells 'class other has no label: it was given the component that was left'
run 0 whet label baseline --features X.npy --labels L.tsv --method goggles --probs ob.npy
says 'class  labels  matched  margin  rows'
run 0 whet label baseline --features X.npy --labels L.tsv --method few-shot --probs of.npy --json
says '"mapping": null'
[ "$(votes o.npy | head -c 3)" != "$(votes o.npy | tail -c 4 | head -c 3)" ] || fail 'goggles votes for one class'
present op.npy
run 0 whet label generate --features X.npy --labels L.tsv --method iws --votes i.npy
says 'from 20 labels, '
# Rules from the classes' own vectors, with labels and without.
printf 'ham\nspam\n' >two.txt
run 0 whet label generate --features X.npy --labels L.tsv --method similarity --class-features C.npy \
    --votes s.npy --save similar.json
quiet
says 'similar to spam'
says '2 rules from 20 labels; '
says 'on the labels, by thresholds chosen without them: '
run 0 whet label apply --rules similar.json --input X.npy --votes s-again.npy
cmp -s s.npy s-again.npy || fail 'saved similarity rules vote otherwise'
votes s.npy | awk '{ for (j = 1; j <= NF; j++) if ($j >= 0 && $j != j - 1) exit 1 }' ||
    fail 'a similarity rule votes for the class of another'
run 0 whet label generate --features X.npy --classes two.txt --method similarity --class-features C.npy \
    --votes u.npy --json
json out
says '"accuracy": null'
printf 'text\n' >texts.tsv
for i in $(seq 60); do echo "text $i" >>texts.tsv; done
printf 'y\nperhaps\nn\nq\n' >typed
last='whet label generate --ask'
"$whet" label generate --features X.npy --labels L.tsv --method iws --ask --answers a.jsonl \
    --texts texts.tsv --votes j.npy <typed >.out 2>.err || fail 'exit code'
says '2 answers'
tells 'of 29'
tells '"text '
[ "$(grep -c '"useful":true' a.jsonl)$(grep -c '"useful":false' a.jsonl)" = 11 ] || fail 'answers kept'
run 0 whet label generate --features X.npy --labels L.tsv --method iws --ask --answers a.jsonl \
    --votes k.npy
says '2 answers'
tells ': class "'
quiet_about 'no candidates'
# Answers about other rules are kept, and told to say nothing.
sed 's/"rule":"/&other /' a.jsonl >foreign.jsonl
run 0 whet label generate --features X.npy --labels L.tsv --method iws --ask --answers foreign.jsonl \
    --votes k.npy --force
tells 'foreign.jsonl: 2 of 2 answers are about rules that are no candidates'
# Answers that no file keeps are shown when the run fails.
printf 'y\nn\nq\n' >typed
last='whet label generate --ask, failing'
"$whet" label generate --features X.npy --labels L.tsv --method iws --ask --votes /dev/full \
    <typed >.out 2>.err && fail 'exit code'
tells 'your answers, as lines of a file for --answers:'
sed -n '/^{"rule":/p' .err >shown.jsonl
cmp -s shown.jsonl a.jsonl || fail 'the answers are not those that were given'
# A file that ends in the middle of an answer: the others count, that one is asked again, and kept.
head -c -3 a.jsonl >torn.jsonl
printf 'n\nq\n' >typed
last='whet label generate --ask, a torn file of answers'
"$whet" label generate --features X.npy --labels L.tsv --method iws --ask --answers torn.jsonl \
    --votes torn.npy <typed >.out 2>.err || fail 'exit code'
tells 'torn.jsonl:2: the last line is cut short; it is left out, and asked again'
cmp -s torn.jsonl a.jsonl || fail 'the answer is not kept in place of the torn one'
printf '{"rule' >torn.jsonl
run 0 whet label generate --features X.npy --labels L.tsv --method iws --ask --answers torn.jsonl \
    --votes torn.npy --force
tells 'torn.jsonl:1: the last line is cut short'
printf '{"rule' | cat a.jsonl - a.jsonl >torn.jsonl
run 3 whet label generate --features X.npy --labels L.tsv --method iws --ask --answers torn.jsonl \
    --votes torn.npy --force
tells 'torn.jsonl:3:9: '
head -c -1 a.jsonl >torn.jsonl
run 0 whet label generate --features X.npy --labels L.tsv --method iws --ask --answers torn.jsonl \
    --votes torn.npy --force
says '2 answers'
quiet_about 'cut short'
# A signal is heard while an answer is waited for; what was answered is kept, nothing else is written.
mkfifo typing
last='whet label generate --ask, interrupted'
"$whet" label generate --features X.npy --labels L.tsv --method iws --ask --answers b.jsonl \
    --votes never.npy <typing >.out 2>.err &
pid=$!
exec 9>typing
printf 'y\n' >&9
tries=0
while [ "$(grep -c '^2 of 29' .err)" = 0 ] && [ $tries -lt 500 ]; do
    sleep 0.02
    tries=$((tries + 1))
done
kill -TERM $pid
tries=0
while kill -0 $pid 2>/dev/null && [ $tries -lt 500 ]; do
    sleep 0.02
    tries=$((tries + 1))
done
[ $tries -lt 500 ] || fail 'it does not hear the signal'
kill -KILL $pid 2>/dev/null
wait $pid
[ $? = 130 ] || fail 'exit code of an interruption'
exec 9>&-
tells 'interrupted'
absent never.npy
[ "$(grep -c '"useful":true' b.jsonl)" = 1 ] || fail 'the answer is not kept'

python3 - <<'PY'
import struct
for name, shape in (('same.npy', (60, 2)), ('none.npy', (60, 0))):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)
    with open(name, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
        f.write(struct.pack('<ff', 1, 2) * (60 * shape[1] // 2))
PY
sed 's/"free", "prize"/"free", ""/' rules.json >blank.json
head -31 texts.tsv >half.tsv
mark
for method in snuba iws goggles; do
    run 3 whet label generate --features same.npy --labels L.tsv --method $method --votes z.npy
    tells 'every feature is constant'
    run 3 whet label generate --features none.npy --labels L.tsv --method $method --votes z.npy
    tells 'none.npy: no columns; expected features'
done
run 3 whet label apply --rules blank.json --input t.tsv --votes z.npy
tells 'blank.json: rules[0]: "words"[1] is empty; expected a string that is not empty'
run 4 whet label generate --features X.npy --labels L.tsv --method snuba --votes g.npy --save z.json
run 4 whet label generate --features X.npy --labels L.tsv --method snuba --votes z.npy --save made.json
run 2 whet label generate --features X.npy --labels L.tsv --method magic --votes z.npy
run 2 whet label generate --features X.npy --labels L.tsv --method snuba --reference --probs q.npy \
    --votes z.npy
run 2 whet label generate --features X.npy --labels L.tsv --method similarity --votes z.npy
tells '--class-features and --method similarity; expected both or neither'
run 2 whet label generate --features X.npy --method similarity --class-features C.npy --votes z.npy
tells 'neither --labels nor --classes'
run 2 whet label generate --features X.npy --classes two.txt --method snuba --votes z.npy
tells '--method snuba needs --labels'
run 2 whet label generate --features X.npy --labels L.tsv --method similarity --class-features C.npy \
    --votes z.npy --probs q.npy
run 3 whet label generate --features X.npy --labels L.tsv --method similarity --class-features X.npy \
    --votes z.npy
tells 'X.npy is [60, 3]; expected [2, 3]'
run 3 whet label generate --features X.npy --labels L.tsv --method iws --ask --texts half.tsv --votes z.npy
tells 'half.tsv has 30 rows; expected 60, as X.npy has'
# What a method has no use for is refused, not passed over.
refuses() { # SENTENCE METHOD OPTIONS...
    sentence=$1
    method=$2
    shift 2
    [ "$method" != similarity ] || set -- --class-features C.npy "$@"
    run 2 whet label generate --features X.npy --labels L.tsv --method "$method" --votes z.npy "$@"
    tells "$sentence"
}
refuses '--save needs --method snuba, iws or similarity' goggles --save z.json
refuses '--probs needs --method snuba or goggles' similarity --probs q.npy
refuses '--form needs --method snuba or iws' goggles --form one-vs-rest
refuses '--form needs --method snuba or iws' similarity --form multi
refuses '--iterations needs --method snuba' iws --iterations 5
refuses '--cardinality needs --method snuba or iws' goggles --cardinality 2
refuses '--subsets needs --method snuba or iws' similarity --subsets 2
refuses '--most-rules needs --method snuba or iws' similarity --most-rules 2
refuses '--reference needs --method snuba' goggles --reference
refuses '--queries needs --method iws' snuba --queries 5
refuses '--usefulness needs --method iws' snuba --usefulness .9
refuses '--acquisition needs --method iws' snuba --acquisition random
refuses '--ask needs --method iws' snuba --ask
refuses '--column needs --texts' iws --ask --column body
refuses '--most-rules and --reference; expected one of them: the published algorithm has no limit but --iterations' \
    snuba --reference --most-rules 2
refuses '--probs and --reference; expected one of them: the published algorithm has no joint posterior' \
    snuba --reference --probs q.npy
run 2 whet label generate --features X.npy --labels L.tsv --method iws --reference --votes z.npy
run 2 whet label generate --features X.npy --labels L.tsv --method iws --probs q.npy --votes z.npy
run 2 whet label generate --features X.npy --labels L.tsv --method snuba --ask --votes z.npy
run 2 whet label generate --features X.npy --labels L.tsv --method iws --answers a.jsonl --votes z.npy
tells '--answers needs --ask'
run 4 whet label apply --rules made.json --input X.npy --votes z.npy --probs p.npy
tells 'p.npy'
run 2 whet label apply --rules rules.json --input t.tsv --votes z.npy --probs q.npy
tells 'rules.json: the rules carry no weights'
run 3 whet label apply --rules made.json --input t.tsv --votes z.npy
tells 'looks at features'
unchanged
printf 'row\tlabel\n0\tham\n1\tspam\n' >few.tsv
mark
for method in snuba iws; do
    run 3 whet label generate --features X.npy --labels few.tsv --method $method --votes z.npy
    tells '2 labels, and no class has more than one; expected at least two of two classes'
done
unchanged
printf 'row\tlabel\n0\tham\n60\tspam\n' >far.tsv
printf 'row\tlabel\n0\tham\n1\tham\n' >one.tsv
printf 'row\tlabel\n0\tham\n0\tspam\n' >twice.tsv
printf 'ham\nspam\n' >classes.txt
mark
run 3 whet label generate --features X.npy --labels far.tsv --method snuba --votes z.npy
tells 'far.tsv:3: row is "60"; expected a number from 0 to 59'
run 3 whet label generate --features X.npy --labels one.tsv --method snuba --votes z.npy
tells 'one.tsv: 1 class; expected at least 2'
run 3 whet label generate --features X.npy --labels one.tsv --classes classes.txt --method snuba \
    --votes z.npy
tells 'one class; expected at least 2 classes among the labels'
run 3 whet label generate --features X.npy --labels twice.tsv --method snuba --votes z.npy
tells 'second label'
unchanged
finish
