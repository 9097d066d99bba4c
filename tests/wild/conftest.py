"""After all: how often each kind of fault was drawn, and has happened."""

from __future__ import annotations

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    drawn: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                faults = dict(report.user_properties)
                drawn.update(faults.keys())
                happened.update(name for name, did in faults.items() if did)
    if drawn:
        terminalreporter.section("faults")
        for name in sorted(drawn):
            terminalreporter.line(f"{name:<28} {happened[name]:>5} of {drawn[name]:>5}")
