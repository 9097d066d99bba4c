"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from zb_place import FILL, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project with a home of its own, for the tests of zb."""
    if not FILL.exists():
        pytest.fail(f"{FILL} is not there: build it, or name another zb with DAGZ_ZB")
    return Place(tmp_path)
