"""The worker's id in the environment, and who reads it too early.

The zygote calls itself ``gw0``; every worker gets its own id after the fork.  Code of the project that
reads the id before the fork, at import or in ``pytest_configure``, would give all workers of one
zygote the same.  Such a read is caught here, with file and line.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dagz import xdist
from dagz.hooks import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BEFORE = "DAGZ_WORKER"  # the variable just before the id: who reads both in a row reads everything
NAMES = (BEFORE, xdist.WORKER, xdist.WORKER_COUNT, xdist.TESTRUN)
OWN = ("DAGZ_", "PYTEST_XDIST_", "PYTEST_CURRENT_TEST")  # each process has its own of these


def set_environment(num: int, count: int, testrun_uid: str) -> None:
    """Name this process worker `num`, for itself and its children."""
    for name in NAMES:
        os.environ.pop(name, None)
    os.environ["DAGZ_WORKER_PID"] = str(os.getpid())
    os.environ[BEFORE] = f"jw{num}"
    os.environ[xdist.WORKER] = f"gw{num}"
    os.environ[xdist.WORKER_COUNT] = str(count)
    os.environ[xdist.TESTRUN] = testrun_uid


def changes_since(before: Mapping[str, str]) -> dict[str, str | None]:
    """What the environment's variables are now, those that were not so `before`; None for those that are gone."""
    now = dict(os.environ)
    names = before.keys() | now.keys()
    return {
        name: now.get(name)
        for name in names
        if before.get(name) != now.get(name) and not name.startswith(OWN)
    }


def adopt(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Watch:
    """Notices reads of the id by files of the project, from :meth:`start` to :meth:`stop`."""

    def __init__(self, root: Path, on_any: Callable[[], None] = lambda: None) -> None:
        """on_any: called when anybody asks for the id or what else a worker is told, libraries too."""
        self.on_any = on_any
        self.root = str(root) + os.sep
        self.found: str | None = None  # "file:line" of the first read
        self.plain: type | None = None

    def start(self) -> None:
        watch = self
        self.plain = plain = type(os.environ)

        class Environ(plain):  # type: ignore[misc, valid-type]
            last = None

            def __getitem__(self, key: Any) -> Any:
                if key in NAMES:
                    watch.on_any()
                if key == xdist.WORKER and self.last != BEFORE:
                    watch.note()
                self.last = key
                return plain.__getitem__(self, key)

        os.environ.__class__ = Environ

    def stop(self) -> None:
        if self.plain is not None:
            os.environ.__dict__.pop("last", None)
            os.environ.__class__ = self.plain
            self.plain = None

    def note(self) -> None:
        """The read comes from the innermost frame that is neither ours nor a library's."""
        if self.found is not None:
            return
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self.root) and not name.startswith(LIBRARIES):
                self.found = f"{os.path.relpath(name, self.root)}:{frame.f_lineno}"
                return
            if not is_lookup(name):
                return
            frame = frame.f_back

    def wrap(self, worker_input: dict[str, Any]) -> dict[str, Any]:
        """The same dictionary, noticing who asks it for the id while the watch is on."""
        watch = self

        class WorkerInput(dict):
            def __getitem__(self, key: Any) -> Any:
                if key == "workerid" and watch.plain is not None:
                    watch.note()
                return super().__getitem__(key)

            def get(self, key: Any, default: Any = None) -> Any:
                if key == "workerid" and watch.plain is not None:
                    watch.note()
                return super().get(key, default)

        return WorkerInput(worker_input)


def is_lookup(filename: str) -> bool:
    """Files that stand between the reader and the environment: os.getenv, Mapping.get."""
    return filename.endswith(("os.py", "_collections_abc.py")) or filename.startswith("<frozen")
