"""What a test that did not pass said, as text, and where a test stands: for the store and ``zb``.

The first line of the text says where and why; the rest is what pytest would print of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

LIMIT = 256 * 1024  # characters: the store keeps no more
FILE_MARK = "\x1e"  # DZ_LINE_MARK of shared/wire/model.h


def place_of(item: pytest.Item) -> tuple[int, bytes]:
    """(the test's line, counted from 1, 0: it has none; what its text begins with).

    That is the file, if it is another one than the node id names: a method of a base class may stand there.
    """
    file, line, _ = item.location
    number = line + 1 if isinstance(line, int) and line >= 0 else 0
    if item.nodeid.startswith(file) and item.nodeid[len(file) : len(file) + 2] in ("", "::"):
        return number, b""
    told = file.replace("\n", " ")
    return number, f"{FILE_MARK}{told}\n".encode("utf-8", "backslashreplace")


def below(path: str, root: str) -> str:
    """The path relative to the root directory, where it lies below it."""
    prefix = os.path.join(root, "")
    return path[len(prefix) :] if path.startswith(prefix) else path


def first_line(report: Any, root: str) -> str:
    longrepr = report.longrepr
    if type(longrepr) is tuple:  # a skip: path, line, reason
        path, line, reason = longrepr
        return f"{below(path, root)}:{line}: {reason.removeprefix('Skipped: ')}"
    crash = getattr(longrepr, "reprcrash", None)
    if crash is None:
        return str(longrepr or "").strip().partition("\n")[0]
    message = crash.message.strip().partition("\n")[0]
    return f"{below(crash.path, root)}:{crash.lineno}: {message}"


def text_of(reports: Iterable[Any], root: str) -> bytes:
    """Of all phases that failed, else of the one that was skipped; empty when the test passed."""
    texts: list[str] = []
    for report in reports:
        if report.outcome == "passed":
            continue
        reason = getattr(report, "wasxfail", None)
        line = first_line(report, root) if reason is None else f"{reason or 'expected to fail'}"
        if report.outcome == "failed":
            line = line if report.when == "call" else f"{line} ({report.when})"
            line = f"{line}\n{report.longreprtext}"
        texts.append(line.rstrip())
    return "\n\n".join(texts)[:LIMIT].encode("utf-8", "backslashreplace")
