# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the command-line cases share. A case file sources this, runs commands as a user types them,
# and ends with `finish`. $whet is the program, $work an empty folder (the current one) that goes
# away; out and err hold what the last command printed.
#
#   run CODE whet version --json      runs it; the exit code must be CODE
#   says TEXT / tells TEXT            TEXT is in its stdout / stderr
#   silent / quiet                    its stdout / stderr is empty
#   quiet_about TEXT                  TEXT is not in its stderr
#   json out|err                      that stream is exactly one JSON document
#   absent PATH / present PATH        the file is not / is there
#   unchanged                         nothing new was left in the folder since the last `mark`
#   stopped SIGNAL DIR tune ...       runs it until DIR has a checkpoint, or its end, then signals; sets code
set -u
whet=$(realpath "${1:?usage: case.sh PROGRAM}")
case_name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/whet-cli-XXXXXX") || exit 1
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
unset NO_COLOR WHET_KERNELS
LC_ALL=C
export LC_ALL
failures=0
last=

fail() {
    failures=$((failures + 1))
    echo "FAIL: $last: $*"
    sed 's/^/    out: /' "$work/.out" | head -20
    sed 's/^/    err: /' "$work/.err" | head -20
}

# The word `whet` stands for the program under test.
run() {
    expected=$1
    shift
    last="$*"
    if [ "$1" = whet ]; then
        shift
        "$whet" "$@" >"$work/.out" 2>"$work/.err" </dev/null
    else
        "$@" >"$work/.out" 2>"$work/.err" </dev/null
    fi
    code=$?
    [ "$code" = "$expected" ] || fail "exit code $code; expected $expected"
    # Every failure is told in one line that begins with the program's name.
    if [ "$expected" != 0 ] && [ "$expected" != 1 ] && ! grep -q '^whet: \|^{"error"' "$work/.err"; then
        fail "no sentence on stderr"
    fi
}
stopped() {
    signal=$1
    checkpoint=$2/checkpoint/state.safetensors
    shift 2
    last="$*"
    "$whet" "$@" >"$work/.out" 2>"$work/.err" </dev/null &
    pid=$!
    tries=0
    while [ ! -e "$checkpoint" ] && [ $tries -lt 200 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
    [ "$signal" != KILL ] || sleep 0.1 # somewhere behind it
    kill "-$signal" $pid
    wait $pid 2>/dev/null
    code=$?
}
says() { grep -qF -e "$1" "$work/.out" || fail "stdout lacks: $1"; }
tells() { grep -qF -e "$1" "$work/.err" || fail "stderr lacks: $1"; }
quiet_about() { ! grep -qF -e "$1" "$work/.err" || fail "stderr says: $1"; }
silent() { [ ! -s "$work/.out" ] || fail "stdout is not empty"; }
quiet() { [ ! -s "$work/.err" ] || fail "stderr is not empty"; }
json() {
    python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/.$1" 2>/dev/null ||
        fail "std$1 is not one JSON document"
}
present() { [ -e "$1" ] || fail "$1 is missing"; }
absent() { [ ! -e "$1" ] || fail "$1 is there"; }
listing() { find . -mindepth 1 ! -name .out ! -name .err ! -name .before | sort; }
mark() { listing >"$work/.before"; }
unchanged() {
    listing | cmp -s - "$work/.before" || fail "left behind: $(listing | comm -13 "$work/.before" -)"
}
finish() {
    [ "$failures" = 0 ] || { echo "$case_name: $failures failed"; exit 1; }
    exit 0
}
