"""Console scripts: ``zb`` is the C program of the wheel; ``dagz`` is the same under the product's name."""

from __future__ import annotations

import os
import sys

import pytest

from dagz import start


def zb() -> None:
    """Become zb."""
    try:
        program = start.find_program("zb")
    except pytest.UsageError as error:
        sys.exit(str(error))
    os.execv(program, ["zb", *sys.argv[1:]])


main = zb
