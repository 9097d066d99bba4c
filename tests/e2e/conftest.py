"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_place import DaemonPlace, daemon
from hosts import Hosts
from zb_place import FILL, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project with a home of its own, for the tests of zb."""
    if not FILL.exists():
        pytest.fail(f"{FILL} is not there: build it, or name another zb with DAGZ_ZB")
    return Place(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DaemonPlace]:
    """A daemon with a home of its own."""
    with daemon(tmp_path / "store") as place:
        yield place


@pytest.fixture
def hosts(tmp_path: Path, store: DaemonPlace) -> Hosts:
    """Runs that use it, as if each were on a host of its own."""
    return Hosts(tmp_path, store.url())
