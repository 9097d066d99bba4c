"""Reports of a test that its worker could not report: it crashed, ran too long, or died in a teardown."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.reports import TestReport

from dagz import _dagz, reports


def location_of(nodeid: str) -> tuple[str, None, str]:
    path, _, rest = nodeid.partition("::")
    return path, None, rest.replace("::", ".")


def tidy_stacks(text: str) -> str:
    """The stacks of a dead worker without the frames by which pytest came to the test."""
    lines: list[str] = []
    is_cutting = False
    for line in text.split("\n"):
        if not line.startswith('  File "'):
            is_cutting = False
        elif not is_cutting and ("/_pytest/python.py" in line or "/_pytest/unittest.py" in line):
            is_cutting = True
            lines.append("  ... called by pytest")
        if not is_cutting:
            lines.append(line)
    return "\n".join(lines)


def story(
    config: pytest.Config, nodeid: str, result: int, worker: int, elapsed_ms: int, detail: str, blob: bytes
) -> tuple[str, Any, list[Any], Any, dict[str, Any]]:
    """(node id, location, reports, the report of the death, extra), as of a test that reported itself.

    blob: the reports up to the teardown in which the worker died, or empty.  detail: the cause in one line,
    then stacks and output.
    """
    word = _dagz.RESULTS[result]
    first, _, rest = detail.partition("\n")
    text = f"{word}: {first} (gw{worker}, after {elapsed_ms / 1000:.2f} s)\n{tidy_stacks(rest)}"
    name, location, extra = nodeid, location_of(nodeid), {}
    done: list[Any] = []
    if blob:
        name, location, done, extra = reports.unpack(blob, config)
    dead_when = "teardown" if done else "call"
    death = None
    for when in ("teardown",) if done else ("setup", "call", "teardown"):
        is_dead = when == dead_when
        report = TestReport(
            nodeid=name,
            location=location,
            keywords={},
            outcome="failed" if is_dead else "passed",
            longrepr=text if is_dead else None,
            when=when,
            duration=elapsed_ms / 1000 if when == "call" else 0,
            user_properties=[("dagz_result", word)] if is_dead else None,
        )
        done.append(report)
        death = report if is_dead else death
    return name, location, done, death, extra
