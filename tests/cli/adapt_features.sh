#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet adapt of arrays, as a user types it: features, or images and a saved map that makes features of them,
# which the classifier keeps.
. "$(dirname "$0")/lib.sh"

# images FILE FROM N: of 6 x 5 bytes, with a bright half above or below; L.tsv: labels of 20 of 60.
images() {
    python3 - "$@" <<'PY'
import struct, sys
name, first, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 6, 5), }" % n
with open(name, 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
    for i in range(first, first + n):
        f.write(bytes((150 if (j < 15) == (i % 2 == 0) else 20) + (i * 37 + j * 101) % 90 for j in range(30)))
PY
}
images pool.npy 0 60
images new.npy 60 9
awk 'BEGIN { print "row\tlabel"; for (i = 0; i < 20; i++) print 3 * i "\t" (3 * i % 2 ? "below" : "above") }' >L.tsv

run 0 whet label features --method vae --input pool.npy --output F.npy --test new.npy --test-output G.npy --save-map m
run 0 whet adapt --features F.npy --test-features G.npy --labels L.tsv --output two
run 0 whet adapt --features pool.npy --feature-map m --test-features new.npy --labels L.tsv --output out
says 'features: file, 128 columns'
for file in predictions.tsv pool_predictions.tsv; do
    cmp -s out/$file two/$file || fail "$file differs from that of features in a file"
done
cmp -s m out/classifier/features.safetensors || fail 'the map that is kept is another one'
grep -q '"version": 2' out/classifier/classifier.json || fail 'the classifier with a map has not version 2'
grep -q '"version": 1' two/classifier/classifier.json || fail 'the classifier without has not version 1'

# Columns that 32-bit floats round are told, of rows to learn from and to predict.
python3 - <<'PY'
import struct
for name, first in (('long.npy', 0), ('later.npy', 60)):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (60, 2), }"
    with open(name, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', 118) + (header.ljust(117) + '\n').encode())
        for i in range(first, first + 60):
            f.write(struct.pack('<2d', 1.7e9 + 40 * i, i % 2))
PY
run 0 whet adapt --features long.npy --labels L.tsv --output long
tells 'long.npy: column 0: features are kept as 32-bit floats, which round its numbers, from 1700000000 to 1700002360, by 0.0'
run 0 whet adapt apply --classifier long/classifier --features later.npy --output long.tsv
tells 'later.npy: column 0: features are kept as 32-bit floats'

# Whole in its folder: new rows are predicted without the map that it was made with.
mv out/classifier moved
mv m elsewhere
run 0 whet adapt apply --classifier moved --features new.npy --output later.tsv --threads 3
cmp -s later.tsv out/predictions.tsv || fail 'later predictions differ'
run 0 whet adapt apply --classifier two/classifier --features G.npy --output later.tsv --force

# A job without test rows over one with them: what the first wrote goes, what others wrote stays.
: >out/mine
run 0 whet adapt --features F.npy --labels L.tsv --output out --force
tells '"mine" from before is kept'
quiet_about 'pool_predictions'
absent out/pool_predictions.tsv
present out/mine

# Refusals: each by name, and nothing is written.
images less.npy 0 3
python3 - <<'PY'
data = bytearray(open('moved/features.safetensors', 'rb').read())
data[-1] ^= 1
open('bent', 'wb').write(data)
data = open('less.npy', 'rb').read()
open('wide.npy', 'wb').write(data.replace(b'(3, 6, 5)', b'(3, 5, 6)'))
PY
run 0 whet label features --method vae --seed 1 --input pool.npy --output H.npy --save-map other
run 0 whet label features --method pca --input F.npy --output H.npy --force --save-map flat
printf 'text\nred wine\ngreen apples\nred apples\n' >t.tsv
run 0 whet label features --method tfidf --input t.tsv --output H.npy --force --save-map words
for copy in missing damaged swapped text; do
    cp -r moved $copy
    rm $copy/features.safetensors
done
cp bent damaged/features.safetensors
cp other swapped/features.safetensors
cp words text/features.safetensors
mark
run 4 whet adapt apply --classifier missing --features new.npy --output p.tsv
tells 'missing/features.safetensors'
run 3 whet adapt apply --classifier damaged --features new.npy --output p.tsv
tells 'damaged/features.safetensors: its numbers have the fingerprint '
run 3 whet adapt apply --classifier swapped --features new.npy --output p.tsv
tells 'swapped/features.safetensors: map '
tells 'with which swapped was made'
run 3 whet adapt apply --classifier text --features new.npy --output p.tsv
tells 'text/features.safetensors: map '
run 3 whet adapt apply --classifier moved --features wide.npy --output p.tsv
tells 'wide.npy has images of 5 x 6; expected 6 x 5, as moved/features.safetensors takes'
run 3 whet adapt apply --classifier moved --features G.npy --output p.tsv
tells 'G.npy'
run 2 whet adapt apply --classifier moved --input t.tsv --output p.tsv
tells 'moved was made from given features; expected features, not texts'
run 2 whet adapt apply --classifier moved --features new.npy --text text --output p.tsv
tells '--text is a column of --input'
run 2 whet adapt apply --classifier moved --features new.npy --model m --output p.tsv
tells '--model embeds the texts of --input'
for option in '--text text' '--label label' '--dtype bf16' '--max-length 7' --no-words '--class-names t.tsv'; do
    # shellcheck disable=SC2086
    run 2 whet adapt --features F.npy --labels L.tsv $option --output p
    tells "${option%% *}"
    tells '; expected '
done
run 2 whet adapt --train t.tsv --feature-map elsewhere --output p
tells '--feature-map makes features of arrays; expected --features'
run 2 whet adapt --features pool.npy --feature-map words --labels L.tsv --output p
tells 'words: a map of texts; expected one of arrays (pca, vae, resnet)'
run 3 whet adapt --features pool.npy --feature-map bent --labels L.tsv --output p
tells 'bent: its numbers have the fingerprint '
run 3 whet adapt --features pool.npy --feature-map flat --labels L.tsv --output p
tells 'pool.npy'
run 4 whet adapt --features pool.npy --feature-map none --labels L.tsv --output p
tells 'none'
run 3 whet adapt --features pool.npy --feature-map elsewhere --test-features wide.npy --labels L.tsv --output p
tells 'wide.npy has images of 5 x 6; expected 6 x 5, as elsewhere takes'
unchanged
finish
