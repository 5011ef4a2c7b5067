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
finish
