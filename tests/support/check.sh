#!/bin/sh
# Before a commit: format, lint and unit tests, in under a minute once things are built.
set -eu
cd "$(dirname "$0")/../.."
. tests/support/steps.sh
build_preset dev
ctest --preset dev -L 'unit|golden|lint' -j "$(nproc)" --output-on-failure --progress
