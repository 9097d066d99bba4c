"""Capture in a worker: pytest's capture manager above, one pseudo-terminal below.

Everything that pytest and its fixtures do with streams (suspend, resume, ``capsys``, ``capfd``) stays
pytest's; only what lies at the bottom is ours.  Python's streams write straight into the worker's log and
keep their text per stream; what C code and children write to fd 1 and 2 comes through the terminal and
belongs to stdout.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from _pytest.capture import CaptureBase, EncodedFile, FDCapture, MultiCapture

if TYPE_CHECKING:
    import pytest

    from dagz import _dagz

NO_INPUT = "a dagz worker has no standard input; use --dagz-workers=0 to run in one process"


class Sink(io.RawIOBase):
    """The binary bottom of ``sys.stdout`` or ``sys.stderr`` of a worker."""

    mode = "rb+"

    def __init__(self, link: _dagz.Link, stream: int, says_tty: bool) -> None:
        super().__init__()
        self.put = link.write
        self.stream = stream
        self.says_tty = says_tty

    def __repr__(self) -> str:
        return "<std%s of a dagz worker>" % ("err" if self.stream else "out")

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        return self.put(self.stream, data)

    def fileno(self) -> int:
        return self.stream + 1

    def isatty(self) -> bool:
        return self.says_tty


class NoInput(io.TextIOBase):
    """``sys.stdin`` under -s: there is nobody to ask."""

    encoding = "utf-8"

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def read(self, size: int | None = -1) -> str:
        raise EOFError(NO_INPUT)

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        raise EOFError(NO_INPUT)


class WorkerCapture(CaptureBase[str]):
    """What pytest sees as the capture of stdout (``targetfd`` 1) or stderr (2)."""

    EMPTY_BUFFER = ""

    def __init__(self, targetfd: int, link: _dagz.Link, says_tty: bool) -> None:
        self.targetfd = targetfd
        self.link = link
        self.number = targetfd - 1
        self.name = "stderr" if self.number else "stdout"
        self.old = getattr(sys, self.name)
        self.tmpfile = EncodedFile(
            Sink(link, self.number, says_tty),
            encoding="utf-8",
            errors="replace",
            newline="",
            write_through=True,
        )
        self._state = "initialized"

    def start(self) -> None:
        self.resume()
        self._state = "started"

    def suspend(self) -> None:
        setattr(sys, self.name, self.old)
        self.link.suspend(self.number, True)
        self._state = "suspended"

    def resume(self) -> None:
        if self._state == "suspended":
            with contextlib.suppress(Exception):
                self.old.flush()
        self.link.suspend(self.number, False)
        setattr(sys, self.name, self.tmpfile)
        self._state = "resumed"

    def done(self) -> None:
        if self._state != "done":
            self.suspend()
            self._state = "done"

    def snap(self) -> str:
        return self.link.text(self.number)

    def writeorg(self, data: str) -> None:
        if data:
            self.link.write(self.number, data.encode("utf-8", "replace"))


def install(config: pytest.Config, link: _dagz.Link, mode: str, says_tty: bool) -> None:
    """In a worker after the fork: fd 0-2, Python's streams, and pytest's capture manager.

    mode: ini ``dagz_capture``.
    """
    manager = config.pluginmanager.getplugin("capturemanager")
    if manager is not None and manager._global_capturing is not None:
        manager.stop_global_capturing()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    os.dup2(link.slave, 1)
    os.dup2(link.slave, 2)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with contextlib.suppress(Exception):
                stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    method = manager._method if manager is not None else "no"
    if method == "no":
        link.suspend(0, True)
        link.suspend(1, True)
        sys.stdin = NoInput()  # type: ignore[assignment]
    if manager is None:
        return
    if method == "fd" and mode == "pty":
        capturing = MultiCapture(
            in_=FDCapture(0),
            out=WorkerCapture(1, link, says_tty),
            err=WorkerCapture(2, link, says_tty),
        )
    else:
        if method != "no":
            link.suspend(0, True)  # what escapes pytest's own capture goes to the terminal
            link.suspend(1, True)
        capturing = None
    if capturing is None:
        manager.start_global_capturing()
    else:
        manager._global_capturing = capturing
        capturing.start_capturing()
    manager.suspend_global_capture(in_=False)
    manager.resume_global_capture()


def flush_originals() -> None:
    """What Python buffered for the real fd 1 and 2 goes out now."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]
