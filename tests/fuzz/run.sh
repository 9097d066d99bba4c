#!/bin/sh
# Fuzz for real, with libFuzzer:  tests/fuzz/run.sh [RUNS [TARGET...]]
# Without a finding it prints one line for each target; a find is left in build/fuzz/finds.
set -eu
cd "$(dirname "$0")/../.."
runs=${1:-10000000}
[ $# -gt 0 ] && shift
cmake --preset fuzz >/dev/null
mkdir -p build/fuzz/finds build/fuzz/grown
targets=${*:-$(ls tests/fuzz/fuzz_*.c | sed 's/.*fuzz_//; s/\.c$//')}
for target in $targets; do
    program=build/fuzz/tests/fuzz/fuzz_$target
    cmake --build build/fuzz --target "fuzz_$target" >/dev/null
    mkdir -p "build/fuzz/grown/$target"
    # A server's threads allocate between two runs, too: each would be searched for a leak.
    leaks=1; [ "$target" = http ] && leaks=0
    began=$(date +%s)
    "$program" -runs="$runs" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
        -detect_leaks=$leaks -verbosity=0 -artifact_prefix="build/fuzz/finds/$target-" \
        "build/fuzz/grown/$target" "tests/fuzz/corpus/$target"
    echo "fuzz_$target: $runs executions, nothing found, $(($(date +%s) - began)) s"
done
