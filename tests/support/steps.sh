# Shell words that the scripts share.  The working directory is the root of the tree.

# Configure and build a preset, quietly unless it fails.
build_preset() {
    log="build/$1.log"
    mkdir -p build
    if ! { cmake --preset "$1" -DPython_EXECUTABLE="$PWD/build/venv/bin/python" \
        && cmake --build "build/$1"; } >"$log" 2>&1; then
        grep -E 'error|Error|FAILED' -A 5 "$log" || tail -n 50 "$log"
        echo "build of '$1' failed; all of it is in $log" >&2
        exit 1
    fi
}
