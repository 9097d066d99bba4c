"""Console scripts: ``zb`` is the C program of the wheel; ``dagz`` is the same under the product's name."""

from __future__ import annotations

import os
import sys


def _program() -> str:
    """Path of zb.  Beside this file in a wheel: found without importing pytest, which takes longer
    than most of what zb does."""
    bundled = os.path.join(os.path.dirname(__file__), "bin", "zb")
    if not os.environ.get("DAGZ_ZB") and os.access(bundled, os.X_OK):
        return bundled
    import pytest

    from dagz import start

    try:
        return str(start.find_program("zb"))
    except pytest.UsageError as error:
        sys.exit(str(error))


def zb() -> None:
    """Become zb."""
    os.execv(_program(), ["zb", *sys.argv[1:]])


main = zb
