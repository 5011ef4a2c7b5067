#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet market price, as a user types it: each mechanism, gains measured and bounded, fees, refusals.
. "$(dirname "$0")/lib.sh"

# array FILE F8...: a .npy of one dimension
array() {
    python3 - "$@" <<'PY'
import struct, sys
values = [float(x) for x in sys.argv[2:]]
header = ("{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % len(values)).ljust(117) + '\n'
with open(sys.argv[1], 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    f.write(struct.pack('<%dd' % len(values), *values))
PY
}
# is NAME VALUE: the last document has that member, with that value
is() { grep -q "^ *\"$1\": $2,\{0,1\}\$" .out || fail "$1 is not $2"; }

# Posted prices, one a kind of belief.
run 0 whet market price --belief uniform:0:10000 --reservation 3000
quiet
says 'posted price 6500 (exact 6500, closed-form): sells with probability 0.3500, profit 1225'
says 'buyer pays 6500, seller gets 6500, broker gets 0'
run 0 whet market price --belief exponential:.01 --reservation 50
says 'posted price 150'
run 0 whet market price --belief lognormal:6:.5 --json
json out
is method '"root"'
is price 311 # the published .7718567 for mu = 0, times e^6
printf 'value\n38\n39\n78\n141\n182\n201\n217\n325\n352\n374\n399\n528\n651\n677\n704\n711\n729\n734\n791\n839\n861\n893\n941\n950\n960\n' >values.tsv
run 0 whet market price --belief samples:values.tsv --reservation 200
says 'posted price 651 (exact 651, samples)'
array values.npy 38 39 78
run 0 whet market price --belief samples:values.npy --json
is price 38

# It learns: 6000 was taken, 8000 refused.
printf 'price\taccepted\n6000\tyes\n8000\tno\n' >offers.tsv
run 0 whet market price --belief uniform:0:10000 --history offers.tsv
says 'ironed'
says 'posted price 6000'
says 'are best for no seller'
# The buyer takes it or leaves it.
run 0 whet market price --belief uniform:0:10000 --value 5000
says 'buyer gains 0'
run 1 whet market price --belief uniform:0:10000 --value 4999
says 'no trade: refused'
quiet
run 1 whet market price --belief uniform:0:100 --reservation 100 --json
is why '"no-surplus"'
is price null

# Fees: both still gain, and nothing is lost.
run 0 whet market price --mechanism nash --value 1000 --reservation 200 --fee-buyer 10 --rate-buyer 200 \
    --fee-seller 5 --rate-seller 300 --json
python3 - <<'PY' || fail 'the fees are wrong'
import json
d = json.load(open('.out'))
p, pay = d['price'], d['payment']
assert pay['buyer_pays'] == p + 10 + p * 200 // 10000
assert pay['seller_gets'] == p - 5 - p * 300 // 10000
assert pay['buyer_pays'] == pay['seller_gets'] + pay['broker_gets']
low, high = (200 + 5) / .97, (1000 - 10) / 1.02
assert p == int((low + high) / 2), (p, low, high)
assert d['buyer_surplus'] == 1000 - pay['buyer_pays'] and d['seller_surplus'] == pay['seller_gets'] - 200
PY

# Auctions.
printf 'buyer\tbid\nanna\t4000\nbert\t9000\ncleo\t7000\ndora\t9000\n' >bids.tsv
run 0 whet market price --mechanism second-price --bids bids.tsv --reserve 5000
says 'reserve 5000; 4 bids, 3 of them reach it'
says 'bid 1 wins, the first of equals: "bert"'
says 'price 9000'
run 1 whet market price --mechanism second-price --bids bids.tsv --belief uniform:0:16000 --reservation 3000 --json
is reserve 9500
is winner -1
run 1 whet market price --mechanism second-price --bids bids.tsv --reserve 9001
says 'no trade: no-bid'
array bids.npy 3 8 5
run 0 whet market price --mechanism second-price --bids bids.npy --json
is price 5
is buyer null
run 0 whet market price --mechanism double-auction --bid 800 --ask 501
says 'price 650 (exact 650.5)'
run 1 whet market price --mechanism double-auction --bid 500 --ask 501
run 0 whet market price --mechanism double-auction --value 600 --reservation 200 --uniform-low 0 --uniform-high 1000
says 'bid 483.333, ask 383.333'
says 'price 433' # between 483 and 384
run 1 whet market price --mechanism double-auction --value 600 --reservation 400 --uniform-low 0 --uniform-high 1000

# Bargaining.
run 0 whet market price --mechanism nash --value 100 --reservation 20 --power .25
says 'price 40 (exact 40)'
run 1 whet market price --mechanism nash --value 20 --reservation 30
run 0 whet market price --mechanism nash --value 100 --reservation 20 --outside-buyer 10 --outside-seller 30
says 'price 70'
run 0 whet market price --mechanism rubinstein --value 1000 --reservation 1 --discount-buyer .5 --discount-seller .8
says 'price 833 (exact 833.5)'
run 0 whet market price --mechanism rubinstein --value 1000 --reservation 1 --discount-buyer .5 --discount-seller .8 --first buyer
says 'price 667'
run 0 whet market price --mechanism rubinstein --value 1000 --discount-buyer .5 --discount-seller .8 --rounds 1
says 'price 1000'
run 0 whet market price --mechanism bounds --value-low 60 --value-high 90 --reservation-low 20 --reservation-high 41
says 'safe for both: prices from 41 to 60'
run 1 whet market price --mechanism bounds --value-low 30 --value-high 90 --reservation-low 20 --reservation-high 41
says 'never outside: prices from 20 to 90'
says 'no trade: disclose-more'

# Gains: given, measured, bounded. Half of the examples gain .2, half .1, of 1.
run 0 whet market price --mechanism nash --valuation linear:10000 --gain .05 --training-cost 1000 --amortisation .1 \
    --competitor --externality 2000 --trade-cost 3
says 'worth 500 to the buyer'
says 'reservation 203'
array before.npy 1 1 1 1 1 1 1 1
array right.npy 0 0 0 0 0 0 0 0
array losses.npy 0 0 0.25 0 0 0 0 0
array after.npy .8 .9 .8 .9 .8 .9 .8 .9
run 0 whet market price --mechanism nash --valuation linear:10000 --before before.npy --after after.npy --json
is accept true
is price 750
is examples 8
run 1 whet market price --mechanism nash --valuation linear:10000 --before after.npy --after before.npy
says 'no trade: gate'
run 1 whet market price --mechanism nash --valuation linear:10000 --before before.npy --after after.npy \
    --gate hoeffding --range 2
says 'gain 0.15, at least -0.8'
run 0 whet market price --mechanism bounds --valuation linear:1000 --slope -2 --distance2 4 --smoothness 1 --loss 2
says 'before a trial: gain from 0.25 to 0.75 at mixing weight 0.5'
says 'safe for both: prices from 0 to 250'
run 0 whet market price --disclosure bounds --valuation linear:1000 --gain-low .06 --gain-high .1 --belief uniform:0:1000
says 'posted price 60'
run 0 whet market price --disclosure buyer --valuation linear:1000 --gain .6 --belief uniform:0:1000
says 'buyer gains 100'
# Bounds that leave one value: it is the price, or there is none.
run 0 whet market price --disclosure bounds --valuation linear:1000 --gain-low .2 --gain-high .2 \
    --belief uniform:0:1000 --reservation 50 --json
is price 200
is sale 1.0
is profit 150.0
# No gain, no trade, at whatever price.
for gain in 0 -.3; do
    run 1 whet market price --mechanism nash --valuation linear:1000 --gain=$gain
    says 'no-gain'
done
run 1 whet market price --mechanism bounds --valuation linear:1000 --gain-low -.5 --gain-high -.1
says 'no-gain'
run 1 whet market price --disclosure bounds --valuation linear:1000 --gain-low -.2 --gain-high 0 \
    --belief uniform:0:1000 --reservation 50
says 'no trade: no-gain'

# Refused in one sentence, before any file is read.
mark
run 2 whet market price
tells 'posted without a belief'
run 2 whet market price --belief uniform:5:1
tells 'belief from 5 to 1'
run 2 whet market price --belief normal:0:1
tells 'belief "normal:0:1"; expected uniform:LO:HI'
run 5 whet market price --belief uniform:0:1e30
tells 'upper bound 1e+30 overflows'
run 5 whet market price --belief exponential:1e-17
tells 'price 1e+17 overflows'
run 2 whet market price --mechanism nash --value 1e30
tells 'option --value is "1e30"'
run 2 whet market price --mechanism nash --valuation linear:1000 --gain 2
tells 'gain is 2, a share of the loss before; expected at most 1'
run 2 whet market price --mechanism bounds --valuation saturating:10:1 --gain-low .5 --gain-high 1.5
tells 'gain is 1.5'
run 2 whet market price --mechanism nash --valuation accuracy:10 --gain 12
tells 'a share of all examples'
run 0 whet market price --mechanism nash --valuation linear:1000 --gain 1
run 5 whet market price --mechanism nash --valuation cost-saving:9e15 --gain 2
tells 'value 18000000000000000 overflows'
run 2 whet market price --mechanism nash --value 10 --valuation linear:1 --gain .1
tells 'a value and a valuation are given'
run 2 whet market price --mechanism nash --value 10 --gain .1
tells 'a gain without a valuation'
run 2 whet market price --belief uniform:0:10 --gain-low .1 --gain-high .2
tells 'bounds of the gain with posted; expected bounds as disclosure or mechanism'
run 2 whet market price --mechanism nash --value 10 --reservation 1 --training-cost 5
tells 'a reservation and a training cost are given'
run 2 whet market price --mechanism nash --valuation linear:1
tells 'a valuation without a gain'
run 2 whet market price --mechanism nash --valuation linear:1 --gain .1 --before nowhere.npy --after nowhere.npy
tells 'a gain and losses that measure it are given'
run 2 whet market price --mechanism nash --valuation linear:1 --before nowhere.npy
tells 'expected both before and after'
run 2 whet market price --mechanism nash --value 10 --belief uniform:0:1
tells '--belief has no use with --mechanism nash; expected posted'
run 2 whet market price --belief uniform:0:1 --bids bids.tsv
tells '--bids has no use with --mechanism posted; expected second-price'
run 2 whet market price --belief uniform:0:1 --floor .1
tells '--floor without --history'
run 2 whet market price --belief uniform:0:1 --history offers.tsv --floor 1
tells 'floor is 1; expected 0 to below 1'
run 2 whet market price --mechanism rubinstein --value 10 --discount-buyer 1 --discount-seller .5
tells "the buyer's discount is 1; expected 0 to below 1"
run 2 whet market price --mechanism rubinstein --value 10 --discount-buyer .5
tells 'rubinstein without both discounts'
run 2 whet market price --mechanism double-auction --bid 5
tells 'double-auction without a bid and an ask'
run 2 whet market price --mechanism double-auction --bid 5 --ask 4 --value 3
tells 'a bid and a value are given'
run 2 whet market price --mechanism double-auction --value 3 --uniform-low 0 --uniform-high 9 --fee-buyer 1
tells 'fees and an equilibrium'
run 2 whet market price --mechanism nash --value 10 --power 1.5
run 2 whet market price --mechanism nash --value 10 --error-level .1
tells '--error-level needs --before'
run 2 whet market price --before b.npy --after a.npy --valuation linear:10 --range 2
tells '--gate hoeffding and --range go together'
run 2 whet market price --disclosure both --valuation linear:1 --gain .5 --belief uniform:0:1
tells 'expected nash or rubinstein where both learn the gain'
run 2 whet market price --disclosure buyer --belief uniform:0:1
tells 'disclosure buyer without a valuation'
run 2 whet market price --mechanism bounds --value 40 --value-low 50 --value-high 90 --reservation 20
tells 'value is 40; expected it within its bounds 50 to 90'
run 0 whet market price --mechanism bounds --value 60 --value-low 50 --value-high 90 --reservation 20
says 'buyer gains 25'
run 2 whet market price --mechanism bounds --valuation linear:1 --slope 1
tells 'expected all'
run 2 whet market price --mechanism second-price --bids bids.tsv --reservation 60 --reserve 50
tells 'reserve is 50; expected at least 60'
run 2 whet market price --mechanism second-price --bids bids.tsv --belief uniform:0:1 --reserve 50
tells 'a reserve and a belief that makes one are given'
run 2 whet market price --mechanism nash --value 9 --competitor
tells 'a competitor without an externality'
run 2 whet market price --mechanism nash --value 9 --amortisation .1
tells 'an amortisation of 0.1 without a training cost'
run 2 whet market price --mechanism nash --value 9 --training-cost 100
tells 'a training cost of 100 with an amortisation of 0'
run 2 whet market price --mechanism nash --value 9 --trade-cost 1
tells 'parts of a reservation without a training cost'
# Files.
printf 'bid\n4.5\n' >half.tsv
run 3 whet market price --mechanism second-price --bids half.tsv
tells 'half.tsv:2: bid is "4.5"'
run 4 whet market price --mechanism second-price --bids nowhere.tsv
run 3 whet market price --belief uniform:0:10 --history offers.tsv --floor 0
tells 'offers.tsv:2: a price of 6000 was accepted, which the belief holds impossible'
array three.npy 1 2 3
# Accuracy is of errors. A whole price that only fees rounded down would let both sides have is none.
run 1 whet market price --mechanism nash --value 26 --reservation 4.7 --fee-buyer 19 --rate-buyer 2628 --rate-seller 2810
says 'no trade: no-surplus'
run 0 whet market price --mechanism nash --valuation accuracy:100 --before before.npy --after right.npy
says 'worth 100 to the buyer'
run 3 whet market price --mechanism nash --valuation accuracy:100 --before before.npy --after losses.npy
tells 'losses.npy: example 2 is 0.25; expected errors, 0 or 1'
run 3 whet market price --mechanism nash --valuation linear:1 --before before.npy --after three.npy
tells 'three.npy: 3 losses; expected 8'
run 3 whet market price --disclosure bounds --valuation linear:1000 --gain-low .06 --gain-high .1 --belief uniform:0:50
tells 'the belief has no value from 60 to 100'
rm -f half.tsv three.npy
unchanged
finish
