#!/bin/sh
# Writes what zb says of itself below DIR: manual pages, and completion where shells look for it.
#
#     zb/write_share.sh ZB DIR
set -eu
zb=$1
share=$2
man=$share/man/man1
bash=$share/bash-completion/completions
zsh=$share/zsh/site-functions
fish=$share/fish/vendor_completions.d
mkdir -p "$man" "$bash" "$zsh" "$fish"
"$zb" help --man >"$man/zb.1"
for name in $("$zb" help | sed -n '/^commands:/,/^topics:/s/^  \([a-z-]*\) .*/\1/p'); do
    "$zb" help --man "$name" >"$man/zb-$name.1"
done
"$zb" completion bash >"$bash/zb"
"$zb" completion zsh >"$zsh/_zb"
"$zb" completion fish >"$fish/zb.fish"
