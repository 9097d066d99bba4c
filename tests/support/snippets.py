"""Pieces that many projects of the contract tests share, and how to read what they noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Enough tests for both of two workers to get some: the first ones wait for each other.
BUSY = """
    import time, pytest
    from dzt_meet import meet
    @pytest.mark.parametrize("n", range(8))
    def test_busy(n):
        meet()
        time.sleep(0.01)
"""

# noting.py of a project: one line of JSON in a file of this run; safe between processes.
NOTE = """
    import json, os
    def note(name, **values):
        path = os.environ["DZT_STATE"] + "/note-" + name
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, (json.dumps(values) + "\\n").encode())
        os.close(fd)
"""

# A package of which some lines are run; for coverage.
COVERED = {
    "pkg/__init__.py": "",
    "pkg/lib.py": """
        AT_IMPORT = 1
        def used(x):
            if x > 1:
                return "big"
            return "small"
        def unused():
            return 1
        def in_child():
            return 2
    """,
    "test_a.py": """
        import pytest
        from pkg import lib
        @pytest.mark.parametrize("x", [1, 2])
        def test_used(x): assert lib.used(x) in ("big", "small")
    """,
    "test_b.py": """
        import multiprocessing
        from pkg import lib
        def test_other(): assert lib.used(5) == "big"
    """,
}


def notes(state: Path, name: str) -> list[dict[str, Any]]:
    """All that the run whose DZT_STATE is `state` noted under a name."""
    path = state / f"note-{name}"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
