#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that whet needs and that this machine lacks; says nothing when there
# is nothing to do. Usage: tools/install_packages.sh build|run|check
#   build   compiler and libraries          run    build + what quickstart uses to fetch the model
#   check   build + what the checks use
set -euo pipefail

build=(gcc libc6-dev meson ninja-build pkg-config
    libdnnl-dev libopenblas-openmp-dev liblapacke-dev libjansson-dev libzip-dev libcsv-dev
    libutf8proc-dev libpcre2-dev libyaml-dev libsodium-dev coinor-libclp-dev libcmocka-dev)
run=(python3 python3-pip ca-certificates)
check=(python3 binutils clang clang-format clang-tidy libomp-dev shellcheck)

case ${1-} in
build) wanted=("${build[@]}") ;;
run) wanted=("${build[@]}" "${run[@]}") ;;
check) wanted=("${build[@]}" "${check[@]}") ;;
*)
    echo "usage: $0 build|run|check" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian system: nothing is installed; needed are the equivalents of" >&2
    echo "    ${wanted[*]}" >&2
    exit 0
fi

# A tool that is already on the path (a newer meson from pip, say) is as good as the package.
have() {
    case $1 in
    gcc | meson | clang | clang-format | clang-tidy | shellcheck | python3)
        command -v "$1" >/dev/null && return ;;
    ninja-build) command -v ninja >/dev/null && return ;;
    pkg-config | pkgconf) command -v pkg-config >/dev/null && return ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && return ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}
missing=()
for package in "${wanted[@]}"; do
    have "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=(sudo)
    else
        echo "these packages are missing; install them and run this again:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null
}
# The package lists may be old or absent: refresh them only when the first try fails.
if ! apt install --no-install-recommends "${missing[@]}"; then
    if ! { apt update && apt install --no-install-recommends "${missing[@]}"; }; then
        cat "$log" >&2
        echo "apt-get could not install the packages above" >&2
        exit 1
    fi
fi
