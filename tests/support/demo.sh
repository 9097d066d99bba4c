#!/bin/sh
# From nothing to a green run of somebody else's suite, kept in the store; then what to type next.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
demo=$root/build/demo
suite=jinja2
release=3.1.6
also=trio # that suite's own requirement

say() { printf '%s\n' "$*"; }

mkdir -p "$demo"
if [ ! -x "$demo/venv/bin/python" ]; then
    build/venv/bin/python -m venv "$demo/venv"
fi
python=$demo/venv/bin/python
say "demo: building and installing dagz ..."
"$python" -m pip install -q --disable-pip-version-check "$root" </dev/null
say "demo: fetching $suite $release with its tests ..."
"$python" -m pip install -q --disable-pip-version-check "$suite==$release" "$also" </dev/null
if [ ! -d "$demo/$suite-$release" ]; then
    "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: \
        -d "$demo" "$suite==$release" </dev/null
    tar -xzf "$demo/$suite-$release.tar.gz" -C "$demo"
fi

cd "$demo/$suite-$release"
say "demo: pytest --dagz, in $PWD"
"$demo/venv/bin/pytest" --dagz -q </dev/null

job=$("$demo/venv/bin/zb" jobs | awk 'NR == 2 { print $1 }')
cat <<END

That was $suite's own suite, run by forked workers; every result is in the store.  Now type:

    . $demo/venv/bin/activate
    cd $demo/$suite-$release
    zb jobs                 # what ran
    zb job $job               # that run
    zb tests $job             # its tests
    pytest --dagz           # again; it knows now how long each test takes

In a project of yours:   pip install $root   and then   pytest --dagz
END
