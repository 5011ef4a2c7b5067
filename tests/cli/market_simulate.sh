#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet market simulate, as a user types it: a market, its files, a kill in the middle, refusals.
examples=$(realpath "$(dirname "$0")/../../examples/market")
. "$(dirname "$0")/lib.sh"

mkdir d copies
python3 - <<'PY'
import random, struct
def npy(path, kind, shape, bytes_):
    header = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)).ljust(117) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + bytes_)
draw = random.Random(1)
for name, n in (('train', 400), ('test', 200)):
    y = [i % 4 for i in range(n)]
    x = [min(255, max(0, int(draw.gauss(90 + 80 * (j % 4 == c), 40)))) for c in y for j in range(16)]
    npy(f'd/{name}_x.npy', '|u1', (n, 4, 4), bytes(x))
    npy(f'd/{name}_y.npy', '|u1', (n,), bytes(y))
    x, y = (x[:1600], y[:100]) if name == 'train' else (first, labels)
    npy(f'copies/{name}_x.npy', '|u1', (n, 4, 4), bytes(x * (n // len(y))))
    npy(f'copies/{name}_y.npy', '|u1', (n,), bytes(y * (n // len(y))))
    first, labels = x, y
PY
# config FILE EPOCHS SEEDS TRADING
config() {
    belief=', "belief": "uniform:0:900"'
    case $4 in *nash* | *both* | *double*) belief= ;; esac
    cat >"$1" <<JSON
{"name": "four clouds", "data": {"train_x": "train_x.npy", "train_y": "train_y.npy", "test_x": "test_x.npy",
 "test_y": "test_y.npy", "mean": [0.4], "std": [0.2]}, "broker": {"selection": 60, "gate": 80},
 "model": {"arch": "mlp", "widths": [8]}, "training": {"epochs": $2, "rate": 0.2, "batch": 16},
 "agents": [{"name": "A", "kept": 0$belief}, {"name": "B", "kept": 0$belief}],
 "trading": $4, "controls": ["no-align", "fedavg", "bank"], "seeds": $3}
JSON
}
config c.json 6 '[1, 2]' '{"start": 2, "mechanism": "posted", "fees": {"seller": 2}, "level": 0.2}'

run 0 whet market simulate --config c.json --data d --output out --quiet
says '2 agents, 2 seeds, 6 epochs; 60 examples to select, 80 for the gate, 200 to test'
says 'accuracy over silo'
says 'market: '
says 'the broker has '
says 'Do agents gain against training alone? '
says 'Who captures the surplus? '
for file in results.json accuracy.tsv trades.tsv wallets.tsv flows.tsv; do present out/$file; done
python3 - <<'PY' || fail 'a page or picture is not what it should be'
import glob, html.parser, json, re, xml.dom.minidom
assert sorted(glob.glob('*.svg', root_dir='out')) == ['convergence.svg', 'gains.svg', 'money.svg', 'weights.svg']
for name in glob.glob('out/*.svg'):
    xml.dom.minidom.parse(name)
page = open('out/report.html', encoding='utf-8').read()
class Tags(html.parser.HTMLParser):
    open_tags, cells = [], []
    def handle_starttag(self, tag, attributes):
        assert tag not in ('script', 'img', 'link'), tag
        if tag != 'meta': self.open_tags.append(tag)
        if tag in ('td', 'th', 'tr'): self.cells.append('\n' if tag == 'tr' else '|')
    def handle_startendtag(self, tag, attributes): pass
    def handle_endtag(self, tag): assert self.open_tags.pop() == tag, tag
    def handle_data(self, data): self.cells.append(data)
tags = Tags()
tags.feed(page)
tags.close()
assert not tags.open_tags
for gone in ('<script', 'http://', 'https://', 'nan'):
    assert gone not in page, gone
# The table's numbers are those of results.json.
rows = [line.split('|') for line in ''.join(tags.cells).splitlines()]
for g in json.load(open('out/results.json'))['gains']:
    row = next(r for r in rows if r[1:3] == [g['arm'], g['agent']])
    found = [float(x) for x in re.findall(r'[-+]?[0-9.]+', row[4])]
    expected = [100 * g['accuracy_gain'], 100 * g['accuracy_gain_half']] if g['arm'] != 'silo' else []
    assert len(found) == len(expected) and all(abs(a - b) < .00501 for a, b in zip(found, expected)), (row, g)
PY
absent out.whet-market
[ "$(wc -l <out/accuracy.tsv)" = 109 ] || fail "accuracy.tsv has $(wc -l <out/accuracy.tsv) lines" # 2 6 (4 2 + 1) + 1
grep -q "$(printf '^1\tmarket\t2\tA\tB\t0\tyes\t')" out/trades.tsv || fail 'no trial of A in epoch 2'
grep -q "$(printf '^2\tmarket\t0\toutside\tB\t1000000$')" out/flows.tsv || fail 'no deposit of B'
mark
run 4 whet market simulate --config c.json --data d --output out
tells 'out'
unchanged

# Sellers who show a first layer alone, and nothing.
sed 's/"kept": 0, /"kept": 0, "reveals": ["layer0.*"], /g; s/, "fedavg", "bank"//' c.json >part.json
run 0 whet market simulate --config part.json --data d --output part --quiet
grep -q "$(printf '^1\tmarket\t2\tA\tB\t0\tpart\t')" part/trades.tsv || fail 'no part of B was tried'
grep -q "$(printf '^1\tno-align\t2\tA\tB\t0\tno\t')" part/trades.tsv || fail 'units were aligned'
sed 's/"kept": 0, /"kept": 0, "reveals": "none", /g; s/, "fedavg", "bank"//' c.json >hidden.json
run 0 whet market simulate --config hidden.json --data d --output hidden --quiet
[ "$(wc -l <hidden/trades.tsv)" = 1 ] || fail 'what nobody shows was tried'

# One buyer at most for each seller of a period, at its second price.
sed 's/"name": "B", "kept": 0,/"name": "C", "kept": 0.5}, {&/; s/, "fedavg", "bank"//' c.json |
    sed 's/"mechanism": "posted"/"mechanism": "second-price"/; s/0:900/0:90/g' >auction.json
run 0 whet market simulate --config auction.json --data d --output auction --quiet
awk -F '\t' '$25 == "bought" { if (seen[$1, $2, $3, $5]++) exit 1; n++ } $25 == "outbid" { o++ }
    END { if (!n || !o) exit 2 }' auction/trades.tsv || fail 'an auction is not what it should be'

# Seeds that draw examples of their own say so.
sed 's/"std": \[0.2\]/&, "split_seed": "each"/' c.json >each.json
run 0 whet market simulate --config each.json --data d --output each --quiet
says '200 to test; drawn by each seed'
grep -q '"split_each": true' each/results.json || fail 'results do not say who drew'
grep -q 'who has which of them' each/report.html || fail 'the page does not say who drew'
grep -q '"split_each": false' out/results.json || fail 'results say that seeds drew'
grep -q 'not which examples there are' out/report.html || fail 'the page says that seeds drew'

# --seed is the one seed where the configuration has none, and told not to count where it has.
sed 's/, "seeds": \[1, 2\]//; s/"epochs": 6/"epochs": 3/' c.json >seedless.json
sed 's/\[1, 2\]/[77]/; s/"epochs": 6/"epochs": 3/' c.json >one.json
run 0 whet market simulate --config seedless.json --data d --output zero --quiet
run 0 whet market simulate --config seedless.json --data d --output seeded --seed 77
quiet_about seed
run 0 whet market simulate --config one.json --data d --output one --seed 78
tells 'one.json: has "seeds", which count; the seed 78 given beside does not'
cmp -s zero/accuracy.tsv seeded/accuracy.tsv && fail '--seed changes nothing'
for file in results.json accuracy.tsv trades.tsv; do run 0 cmp seeded/$file one/$file; done

# One document; the same at any number of threads, and with paths beside the configuration.
cp c.json d/c.json
run 0 whet market simulate --config d/c.json --output again --threads 1 --json
json out
run 0 cmp out/results.json again/results.json
run 0 cmp out/trades.tsv again/trades.tsv
run 0 cmp out/accuracy.tsv again/accuracy.tsv
run 0 cmp out/report.html again/report.html

# Killed, then interrupted, then given time: the same bytes as in one go.
config long.json 300 '[7, 8]' '{"start": 1, "frequency": 2, "mechanism": "nash", "trial_fee": 3}'
run 0 whet market simulate --config long.json --data d --output whole --quiet
for signal in KILL INT; do
    touch begin
    "$whet" market simulate --config long.json --data d --output parts --quiet >.out 2>.err </dev/null &
    pid=$!
    tries=0 # until it has kept something itself: before, nobody may be listening to an interrupt
    while [ -z "$(find parts.whet-market -name '*.safetensors' -newer begin 2>/dev/null)" ] && [ $tries -lt 500 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -$signal $pid 2>/dev/null
    wait $pid 2>/dev/null
    absent parts
done
run 0 whet market simulate --config long.json --data d --output parts --quiet
for file in results.json accuracy.tsv trades.tsv wallets.tsv flows.tsv; do run 0 cmp whole/$file parts/$file; done
absent parts.whet-market

# What a run that was killed while it wrote has left goes away, and the output is that of any other run.
mkdir parts.whet-2147483647-0.tmp
cp parts/results.json parts.whet-2147483647-0.tmp
rm -r parts
run 0 whet market simulate --config long.json --data d --output parts --quiet
absent parts.whet-2147483647-0.tmp
run 0 diff -r whole parts
# Or while it put the output of before aside, with what others have there.
mv parts parts.whet-2147483647-0.tmp.old
echo mine >parts.whet-2147483647-0.tmp.old/mine.txt
run 0 whet market simulate --config long.json --data d --output parts --force
absent parts.whet-2147483647-0.tmp.old
tells 'mine.txt'
rm parts/mine.txt
run 0 diff -r whole parts

# What a run leaves that is killed behind its output, before it has cleared up, goes with the next one, whatever that
# does; what a run that is not at its end keeps beside an earlier output stays.
mkdir parts.whet-market
: >parts.whet-market/lock
touch -r parts/results.json parts.whet-market/silo-0-0.safetensors
run 4 whet market simulate --config long.json --data d --output parts --quiet
tells 'parts: exists'
absent parts.whet-market
mkdir parts.whet-market
: >parts.whet-market/lock
: >parts.whet-market/silo-0-0.safetensors
run 4 whet market simulate --config long.json --data d --output parts --quiet
present parts.whet-market/silo-0-0.safetensors
rm -r parts.whet-market
run 0 diff -r whole parts

# Tables and pictures of another experiment do not stay beside those of this one; what others have there does.
config given.json 6 '[1, 2]' '{"start": 2}'
echo mine >parts/mine.txt
run 0 whet market simulate --config given.json --data d --output parts --quiet --force
for file in wallets.tsv flows.tsv money.svg; do absent parts/$file; done
present parts/mine.txt
present parts/trades.tsv

# What is wrong is told by name, before any work.
mark
run 2 whet market simulate --config c.json
run 4 whet market simulate --config c.json --data nowhere --output c.json --force
tells 'c.json: cannot be replaced: Not a directory'
run 4 whet market simulate --config c.json --data nowhere --output c.json/out
tells 'c.json/out: cannot be created'
run 4 whet market simulate --config c.json --data nowhere --output . --force
tells '.: cannot be replaced'
run 4 whet market simulate --config c.json --data nowhere --output no/such/out
tells 'no/such/out: cannot be created'
unchanged
if [ "$(id -u)" != 0 ]; then # who may write everywhere
    chmod a-w d
    run 4 whet market simulate --config c.json --data nowhere --output d/out
    tells 'd/out: cannot be created: Permission denied'
    chmod u+w d
fi
sed 's/"kept": 0, /&"reveals": ["zzz"], /; s/, "fedavg", "bank"//' c.json >bad.json
mark
run 3 whet market simulate --config bad.json --data d --output bad
tells 'bad.json: agent "A": "reveals": no tensor of the network is called "zzz"'
sed 's/"level": 0.2/"goods": ["nothing*"]/; s/, "fedavg", "bank"//' c.json >bad.json
run 3 whet market simulate --config bad.json --data d --output bad
tells 'bad.json: "trading": "goods": no tensor of the network is called "nothing*"'
sed 's/"mlp", "widths": \[8\]/"lenet"/' c.json >bad.json
run 3 whet market simulate --config bad.json --data d --output bad
tells 'bad.json: "model": conv1'
sed 's/"kept": 0, /&"sells": false, /g' c.json >bad.json
run 3 whet market simulate --config bad.json --data d --output bad
tells 'bad.json: weights are sold, and no agent "sells"'
sed 's/"posted"/"double-auction", "uniform": [0, 1]/; s/, "belief": "uniform:0:900"//g' c.json >bad.json
run 3 whet market simulate --config bad.json --data d --output bad
tells 'bad.json: "trading": "uniform" 0 to 1'
for ends in '' '1' '1, 2, 3' '2, 1'; do
    sed "s/\"posted\"/\"double-auction\", \"uniform\": [$ends]/" c.json >bad.json
    run 3 whet market simulate --config bad.json --data d --output bad
    tells 'bad.json: "trading": "uniform" is no interval; expected the two ends'
done
unchanged
config bad.json 6 '[1]' '{"algn": "none"}'
mark
run 3 whet market simulate --config bad.json --data d --output bad
tells 'bad.json: "trading": "algn" is unknown; expected "align"'
unchanged
config bad.json 6 '[1]' '{"align": "none"}'
run 3 whet market simulate --config bad.json --data d --output bad
tells '"controls" has no-align, and "trading" aligns nothing'
run 4 whet market simulate --config c.json --data nowhere --output bad
tells 'nowhere/train_x.npy'
run 4 whet market simulate --config none.json --output bad
tells 'none.json'
# The examples are configurations: what they lack is the data.
for example in "$examples"/*.json; do
    run 4 whet market simulate --config "$example" --data nowhere --output bad
    tells 'nowhere/train_x.npy'
done
unchanged
# Copies of examples on several sides are told, of each two of them; other data says nothing.
config few.json 3 '[1]' '{"start": 1, "frequency": 1}'
sed 's/, "controls": \[[^]]*\]//' few.json >twice.json
run 0 whet market simulate --config twice.json --data d --output twice
quiet_about 'also as a copy'
run 0 whet market simulate --config twice.json --data copies --output twice --force
tells ' of 200 examples of the test are among those that agents train on, also as a copy; expected others'
tells ' of 60 examples of the selection are among those that agents train on'
tells ' of 80 examples of the gate are among those that agents train on'
tells ' of 80 examples of the gate are among those that choose mixtures'
tells ' of 200 examples of the test are among those that choose mixtures'
finish
