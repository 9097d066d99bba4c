#!/bin/sh
# Puts in place what building and testing need, and nothing that is there already.
#
#     tests/support/setup.sh PART...
#
#   programs      compiler, cmake, libraries        from apt (root, or sudo without a password)
#   python        build/venv with what the runner needs             from the Python index
#   lint          clang-format
#   fuzz          clang
#   shells        fish and zsh, in which completion is tried; where there are none it is not
#   interpreters  says which CPythons were found
#
# Debian 12 and Ubuntu 24.04 are tried; elsewhere install by hand what it names.  Safe to run again.
set -eu
cd "$(dirname "$0")/../.."

missing=""

say() { printf '%s\n' "$*"; }

want() { # want PACKAGE[,OTHER-NAME] COMMAND...: the package unless the command succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

has() { command -v "$1"; }
has_module() {
    command -v pkg-config && pkg-config --exists "$1"
}
has_either() {
    command -v pkg-config && { pkg-config --exists "$1" || pkg-config --exists "$2"; }
}
has_venv() {
    python3 -c 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))'
}
has_python_headers() {
    python3 -c 'import os, sys, sysconfig as s
sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))'
}

part_programs() {
    want gcc has cc
    want libc6-dev test -e /usr/include/stdlib.h
    want g++ has c++
    want make has make
    want cmake has cmake
    want ninja-build has ninja
    want pkg-config has pkg-config
    want ccache has ccache
    want git has git
    want ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    want libzmq3-dev has_module libzmq
    want libczmq-dev has_module libczmq
    want liblmdb-dev has_module lmdb
    want libmsgpack-c-dev,libmsgpack-dev has_either msgpack-c msgpack
    want libgit2-dev has_module libgit2
    want libyaml-dev has_module yaml-0.1
    want libjansson-dev has_module jansson
    want libzstd-dev has_module libzstd
    want libxxhash-dev has_module libxxhash
    want libsodium-dev has_module libsodium
    want libcurl4-gnutls-dev has_module libcurl
    want libmicrohttpd-dev has_module libmicrohttpd
    want libmxml-dev has_module mxml
    want libcmocka-dev has_module cmocka
    want python3 has python3
    want python3-venv has_venv
    want python3-dev has_python_headers
    want binutils has objdump
    want tzdata test -e /usr/share/zoneinfo/Europe/Berlin
}

part_lint() { want clang-format has clang-format; }
has_libfuzzer() { test -n "$(find "$(clang -print-runtime-dir)" -name 'libclang_rt.fuzzer*.a')"; }

part_fuzz() {
    want clang has clang
    want libclang-rt-dev has_libfuzzer
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        say "setup: these packages are missing and only root can install them:$missing" >&2
        exit 1
    fi
}

# Of the names that one package has in different releases, the one that this release knows.
known_name() {
    for name in $(printf '%s' "$1" | tr ',' ' '); do
        if apt-cache show "$name" >/dev/null 2>&1; then
            say "$name"
            return
        fi
    done
    say "$1" | cut -d, -f1
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "setup: install these by hand, there is no apt-get here:$missing" >&2
        exit 1
    fi
    say "setup: installing$missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null
    names=""
    for package in $missing; do
        names="$names $(known_name "$package")"
    done
    # shellcheck disable=SC2086  # a list of names
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends $names </dev/null >/dev/null
}

# The interpreter that the contract is tested on, or the one of the system.
find_python() {
    for candidate in "${PYTHON:-}" python3.11 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11.*/bin/python python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    say "setup: no python3 with venv was found" >&2
    exit 1
}

part_python() {
    requirements=tests/support/requirements.txt
    stamp=build/venv/ready.txt
    if [ -f "$stamp" ] && cmp -s "$requirements" "$stamp" && build/venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    say "setup: making build/venv"
    rm -rf build/venv
    mkdir -p build
    "$(find_python)" -m venv build/venv
    for try in 1 2 3; do # an index may be slow or cut off for a moment
        if build/venv/bin/python -m pip install -q --disable-pip-version-check -r "$requirements" \
            </dev/null; then
            cp "$requirements" "$stamp"
            return
        fi
        say "setup: pip failed (try $try of 3)" >&2
    done
    exit 1
}

part_shells() {
    for shell in fish zsh; do
        has "$shell" >/dev/null && continue
        missing=" $shell"
        (install_missing) || say "setup: no $shell, so completion is not tried in it"
    done
}

part_interpreters() {
    for version in 3.10 3.11 3.12 3.13; do
        PYTHONPATH=tests/support build/venv/bin/python -c "
import sys, venvs
found = venvs.interpreter('$version')
print('setup: CPython $version:', found or 'not found here, so not tried')" </dev/null
    done
}

parts="${*:-programs python}"
for part in $parts; do
    case $part in
    programs) part_programs ;;
    lint) part_lint ;;
    fuzz) part_fuzz ;;
    python | shells | interpreters) ;;
    *)
        say "setup: no part is called '$part'" >&2
        exit 2
        ;;
    esac
done
install_missing
for part in $parts; do
    case $part in
    python) part_python ;;
    shells) part_shells ;;
    interpreters) part_interpreters ;;
    esac
done
