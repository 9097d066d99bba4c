"""Writes the node ids that failed to the file that ``DZT_FAILED`` names: a plugin for `run.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    path = os.environ.get("DZT_FAILED")
    if path:
        reports = [r for kind in ("failed", "error") for r in terminalreporter.stats.get(kind, [])]
        name = terminalreporter.config.cwd_relative_nodeid
        ids = {str(name(getattr(report, "id", report.nodeid))) for report in reports}
        Path(path).write_text(json.dumps(sorted(ids)))
