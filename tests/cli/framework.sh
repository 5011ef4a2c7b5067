#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What holds for every command: help, misspellings, bad values, exit codes, broken streams.
. "$(dirname "$0")/lib.sh"

run 0 whet --help
says 'usage: whet COMMAND'
says 'exit codes'
quiet
run 0 whet help
says 'usage: whet COMMAND'
run 2 whet
tells 'no command is given'
silent
run 0 whet --version
says 'whet 0.'

# Every command of the table has help, the same by both ways, and knows its misspellings.
"$whet" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\( [a-z]*\)\{0,1\}\)  .*/\1/p' |
    grep -v '^help *$' >commands
[ -s commands ] || fail 'no commands in the overview'
while read -r group verb; do
    run 0 whet help "$group" ${verb:+"$verb"}
    cp .out by_help
    says "usage: whet $group${verb:+ $verb}"
    says 'common options:'
    run 0 whet "$group" ${verb:+"$verb"} --help
    cmp -s .out by_help || fail "help $group $verb and --help differ"
    run 2 whet "$group" ${verb:+"$verb"} --jsn
    tells 'did you mean --json?'
    run 2 whet "$group" ${verb:+"$verb"} --qzx=1
    tells "see whet $group"
    run 2 whet "$group" ${verb:+"$verb"} --threads 1 --threads 1
    tells 'given twice'
done <commands

# Outputs are looked at before the work: what is there, two that are one, another format's name.
printf '0\n' >there.npy
printf 'row\tlabel\n0\ta\n' >L.tsv
mark
run 4 whet label baseline --method propagate --features no.npy --labels L.tsv --probs there.npy
tells 'there.npy: exists'
run 4 whet label baseline --method propagate --features no.npy --labels L.tsv --probs there.npy --force
tells 'no.npy'
run 2 whet label fit --votes no.npy --probs x --predictions x
tells 'options --probs and --predictions are both "x"'
ln -s there.npy link
run 2 whet label fit --votes no.npy --probs there.npy --predictions link --force
tells 'expected two files'
run 2 whet label fit --votes no.npy --probs p.csv
tells 'what is written there is no .csv; expected P.npy'
run 2 whet label apply --rules r.json --input t.tsv --votes v.jsonl
tells 'expected V.npy|V.tsv'
run 4 whet label apply --rules r.json --input t.tsv --votes v.tsv
tells 'r.json'
rm link
run 2 whet label fit --votes no.npy --probs x --predictions ./x
tells 'expected two files'
run 2 whet label fit --votes there.npy --probs there.npy --force
tells 'options --votes and --probs are both "there.npy"'
run 4 whet label fit --votes no.npy --probs /dev/null --predictions /dev/null
tells 'no.npy'
run 2 whet label fit --votes no.npy --probs p.TXT
tells 'no .txt; expected P.npy'
run 4 whet label fit --votes no.npy --probs .
tells '.: cannot be written: Is a directory'
run 4 whet label fit --votes no.npy --probs nowhere/p.npy
tells 'nowhere/p.npy: cannot be created: No such file or directory'
unchanged

run 2 whet versoin
tells 'did you mean version?'
silent
run 2 whet "$(printf 'a\nb')"
tells 'a\x0ab'
run 2 whet help nothing-like-it
tells 'see whet help'
run 2 whet version extra
tells 'unexpected "extra"'
run 2 whet version --threads
tells 'needs a value'
run 2 whet version --threads --json
json err
run 2 whet version --threads=
run 2 whet version --threads 1e3
run 2 whet version --threads 257
tells 'from 0 to 256'
run 2 whet version --threads ' 1'
run 2 whet version --seed -1
run 2 whet version --seed 9223372036854775808
run 2 whet version --quiet=yes
tells 'takes no value'
run 2 whet version -x
run 0 whet version --seed 9223372036854775807 --threads=1
says 'threads   1'
run 0 whet version --json
json out
quiet
run 2 whet version --kernels nonsense
tells 'option --kernels'
run 0 whet version --kernels ref
says 'kernels   ref'
run 0 env WHET_KERNELS=ref "$whet" version
says 'kernels   ref'
run 2 env WHET_KERNELS=nonsense "$whet" version
tells 'WHET_KERNELS'
run 0 env WHET_KERNELS=nonsense "$whet" version --kernels ref

# Streams that do not take what is printed.
if [ -w /dev/full ]; then
    run 4 sh -c '"$0" version >/dev/full' "$whet"
    tells 'standard output'
    run 4 sh -c '"$0" version --json >/dev/full' "$whet"
    run 4 sh -c '"$0" help >/dev/full' "$whet"
fi
run 4 sh -c '"$0" version >&-' "$whet"
# Nobody reads: the pipe's reader is gone before whet starts.
run 4 sh -c '{ sleep 0.2; "$0" help; echo $? >code; } | true; exit "$(cat code)"' "$whet"

# Little address space: the work is done, or refused with exit code 5 and a sentence; nothing hangs
# (OpenBLAS tries for ever where it finds no room) and nothing is killed.
if grep -q __asan_init "$whet"; then
    echo 'note: sanitizers map terabytes; the cases of a limited address space are not run'
else
    awk 'BEGIN { print "text\tlabel"
        for (i = 0; i < 40; i++) print "w" i % 7 " w" i % 5 " w" i % 3 "\t" (i % 2 ? "a" : "b") }' >small.tsv
    # Below about 120,000 kB the loader of shared libraries says so itself, with 127.
    for kb in 150000 200000 300000 400000 600000 1000000 4000000; do
        for threads in 1 2 16; do
            last="whet adapt --threads $threads under ulimit -v $kb"
            # shellcheck disable=SC3045
            (ulimit -v $kb && exec timeout 60 "$whet" adapt --train small.tsv --output "o$kb$threads" \
                --threads $threads --quiet) >.out 2>.err
            code=$?
            case $code in
            0) [ $kb -ge 400000 ] || fail "done in less than OpenBLAS needs" ;;
            5) [ "$(wc -l <.err)" = 1 ] || fail "not one sentence" ;;
            *) fail "exit code $code; expected 0 or 5" ;;
            esac
        done
        last="whet version --json under ulimit -v $kb"
        # shellcheck disable=SC3045
        (ulimit -v $kb && exec timeout 60 "$whet" version --json) >.out 2>.err
        code=$?
        case $code in
        0) json out ;;
        5) json err ;;
        *) fail "exit code $code; expected 0 or 5" ;;
        esac
    done
    present o40000001/predictions.tsv
    run 5 sh -c 'ulimit -v 150000; exec "$0" version' "$whet"
    tells 'limited to 150000 kB'
    run 0 sh -c 'ulimit -v 400000; OMP_NUM_THREADS=1 exec "$0" version' "$whet"
    run 5 sh -c 'ulimit -v 1000000; OMP_NUM_THREADS=1 exec "$0" adapt --train small.tsv --output o --threads 16' "$whet"
    tells 'limited to 1000000 kB'
    tells 'try --threads'
fi
finish
