#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# whet generate: a small real model tells its story; what is refused.
. "$(dirname "$0")/lib.sh"

printf 'text\nOnce\n' >p.tsv
mark
run 4 whet generate --model nowhere --prompt Once
tells 'nowhere'
run 2 whet generate --prompt Once
tells 'model'
run 2 whet generate --model nowhere --prompt Once --input p.tsv
run 2 whet generate --model nowhere --prompt Once --output o.tsv
run 2 whet generate --model nowhere --prompt Once --top-p 2
run 2 whet generate --model nowhere --prompt Once --top-p 0.5 --seed 9
tells '--top-p is of drawn tokens'
run 2 whet generate --model nowhere --prompt Once --top-k 3
tells 'expected --temperature as well'
run 3 whet generate --model "$WHET_TEST_SOURCE/tests/golden/bert_tiny/even" --prompt Once
tells 'llama'
unchanged

stories=$WHET_TEST_SHARED/data/stories260K
if [ ! -d "$stories" ]; then
    echo "note: $stories is absent; the stories are not told" >&2
    finish
fi
python3 "$WHET_TEST_SOURCE/tests/support/stories_folder.py" "$stories" m || fail 'no folder'
run 0 whet generate --model m --tokens 62
cat >expected <<'TEXT'
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.
TEXT
[ "$(head -n 1 .out)" = "$(cat expected)" ] || fail 'the story is another one'
run 0 whet generate --model m --prompt 'Once upon a time' --tokens 20 --threads 1
cp .out one
run 0 whet generate --model m --prompt 'Once upon a time' --tokens 20 --threads 3
cmp -s one .out || fail 'tokens depend on the threads'
run 0 whet generate --model m --prompt 'The cat' --temperature 0.9 --top-k 40 --seed 2 --json
json out
printf 'id\ttext\n1\tThe cat\n2\tA dog\n' >many.tsv
run 0 whet generate --model m --input many.tsv --tokens 10 --output told.tsv
[ "$(wc -l <told.tsv)" = 3 ] || fail 'told.tsv has another number of rows'
run 4 whet generate --model m --input many.tsv --output told.tsv
# A file cut short, sizes that lie.
head -c 500000 m/model.safetensors >cut.part && mv cut.part m/model.safetensors
run 3 whet generate --model m --prompt Once
finish
