"""Capture in a worker: pytest's capture manager above, one pseudo-terminal below.

Everything that pytest and its fixtures do with streams (suspend, resume, ``capsys``, ``capfd``) stays
pytest's; only what lies at the bottom is ours.  Python's streams write straight into the worker's log and
keep their text per stream; what C code and children write to fd 1 and 2 comes through the terminal and
belongs to stdout.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import _pytest.capture
from _pytest.capture import CaptureResult, EncodedFile, FDCapture, MultiCapture

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from dagz import _dagz, tty
    from dagz.settings import Settings

NO_INPUT = "a dagz worker has no standard input; use --dagz-workers=0 to run in one process"


class Sink(io.FileIO):
    """The binary bottom of ``sys.stdout`` or ``sys.stderr``.

    A file of pytest's capture while tests are collected, in a worker something that behaves as one, above the
    worker's log: its content is what the stream has said since pytest asked last.  One object, since modules
    may have kept it at import.
    """

    link: _dagz.Link | None = None
    stream = 0
    says_tty = False
    at: int | None = None  # position in the content, None at its end

    def reopen(self, fd: int) -> Sink:
        """Be a file again after it was closed, one that owns `fd`."""
        self.__dict__.pop("__IOBase_closed", None)  # io's own note beside the descriptor
        self.__init__(fd, "rb+")  # type: ignore[misc]
        return self

    def become(self, link: _dagz.Link, stream: int, says_tty: bool) -> Sink:
        self.reopen(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        self.link, self.stream, self.says_tty = link, stream, says_tty
        self.name = stream + 1
        return self

    def write(self, data: Any) -> int:  # type: ignore[override]
        if self.link is None:
            return super().write(data)
        if self.at is None:
            return self.link.write(self.stream, data)
        return self.write_over(bytes(data))

    def write_over(self, data: bytes) -> int:
        """A write not at the end: the log gets it like any other, the content as a file would."""
        assert self.link is not None and self.at is not None
        before, start, end = self.link.said(self.stream, 0), self.at, self.at + len(data)
        self.link.write(self.stream, data)
        self.link.amend(self.stream, before[:start].ljust(start, b"\0") + data + before[end:])
        self.go_to(end)
        return len(data)

    def go_to(self, at: int) -> None:
        assert self.link is not None
        self.at = None if at == self.link.size(self.stream) else at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if self.link is None:
            return super().seek(offset, whence)
        self._checkClosed()
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.link.size(self.stream)}
        if whence not in starts or starts[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.go_to(starts[whence] + offset)
        return self.tell()

    def tell(self) -> int:
        if self.link is None:
            return super().tell()
        self._checkClosed()
        return self.link.size(self.stream) if self.at is None else self.at

    def truncate(self, size: int | None = None) -> int:
        if self.link is None:
            return super().truncate(size)
        at = self.tell()
        size = at if size is None else size
        self.link.amend(self.stream, self.link.said(self.stream, 0)[:size].ljust(size, b"\0"))
        self.go_to(at)
        return size

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        if self.link is None:
            return super().read(size)  # type: ignore[arg-type,return-value]
        at = self.tell()
        data = b"" if self.at is None else self.link.said(self.stream, at)
        data = data if size is None or size < 0 else data[:size]
        self.go_to(at + len(data))
        return data

    def readall(self) -> bytes:
        return super().readall() if self.link is None else self.read()

    def readinto(self, buffer: Any) -> int:  # type: ignore[override]
        if self.link is None:
            return super().readinto(buffer)  # type: ignore[return-value]
        place = memoryview(buffer).cast("B")
        data = self.read(len(place))
        place[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return super().fileno() if self.link is None else self.stream + 1

    def isatty(self) -> bool:
        return super().isatty() if self.link is None else self.says_tty

    def __repr__(self) -> str:
        if self.closed:
            return "<_io.FileIO [closed]>"
        return f"<_io.FileIO name={self.name!r} mode={self.mode!r} closefd={self.closefd!r}>"


def make_sink(buffering: int = 0) -> Sink:
    """Stands for ``TemporaryFile`` where pytest makes the files of its capture."""
    with tempfile.TemporaryFile(buffering=0) as file:
        return Sink(os.dup(file.fileno()), "rb+")


def into_sinks(is_on: bool) -> None:
    """Whether a capture that pytest starts from now on captures into sinks."""
    _pytest.capture.TemporaryFile = make_sink if is_on else tempfile.TemporaryFile  # type: ignore[attr-defined]


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


def stream_of(capture: Any) -> EncodedFile | None:
    """The text stream by which pytest's capture of a descriptor stands for one of Python's."""
    stream = getattr(getattr(capture, "syscapture", None), "tmpfile", None)
    return stream if type(stream) is EncodedFile else None


def streams_of(capturing: Any) -> tuple[EncodedFile | None, EncodedFile | None]:
    return stream_of(getattr(capturing, "out", None)), stream_of(getattr(capturing, "err", None))


def make_stream(buffer: Any, instead_of: EncodedFile | None) -> EncodedFile:
    """The text stream that stands for ``sys.stdout`` or ``sys.stderr`` in tests.

    instead_of: the one during collection becomes this one, since modules that were imported then may
    have kept it, as a logging handler does.
    """
    stream = EncodedFile.__new__(EncodedFile) if instead_of is None else instead_of
    stream.__init__(buffer, encoding="utf-8", errors="replace", newline="", write_through=True)  # type: ignore[misc]
    return stream


def sink_of(stream: EncodedFile | None) -> Sink:
    """The bottom of a stream that was closed; a new one where that was none of ours."""
    buffer = getattr(stream, "buffer", None)
    return buffer if type(buffer) is Sink else make_sink()


class WorkerCapture(MultiCapture[str]):
    """What pytest's capture manager holds as the capture of the whole process.

    One object for both streams: a test suspends and resumes it six times.
    """

    def __init__(
        self,
        link: _dagz.Link,
        says_tty: bool,
        terminal: tty.Borrower,
        instead_of: tuple[EncodedFile | None, EncodedFile | None],
    ) -> None:
        super().__init__(in_=FDCapture(0), out=None, err=None)
        self.link = link
        self.terminal = terminal
        self.old = (sys.stdout, sys.stderr)
        self.sinks = [
            sink_of(stream).become(link, number, says_tty) for number, stream in enumerate(instead_of)
        ]
        self.new = tuple(map(make_stream, self.sinks, instead_of))

    def start_capturing(self) -> None:
        super().start_capturing()
        self.switch_on()

    def switch_on(self) -> None:
        flush_quietly(self.old)
        self.link.suspend(False)
        sys.stdout, sys.stderr = self.new

    def switch_off(self) -> None:
        sys.stdout, sys.stderr = self.old
        self.link.suspend(True)

    def suspend_capturing(self, in_: bool = False) -> None:
        super().suspend_capturing(in_)
        self.switch_off()
        if in_:
            self.terminal.acquire()

    def resume_capturing(self) -> None:
        self.terminal.release()
        super().resume_capturing()
        self.switch_on()

    def stop_capturing(self) -> None:
        super().stop_capturing()
        self.switch_off()

    def readouterr(self) -> CaptureResult[str]:
        for sink in self.sinks:
            sink.at = None
        return CaptureResult(self.link.text(0), self.link.text(1))

    def pop_outerr_to_orig(self) -> tuple[str, str]:
        out, err = self.readouterr()
        for number, text in ((1, out), (2, err)):
            if text:
                with open(number, "wb", closefd=False) as terminal:
                    terminal.write(text.encode("utf-8", "replace"))
        return out, err


def flush_quietly(streams: Iterable[Any]) -> None:
    for stream in streams:
        try:
            stream.flush()
        except Exception:  # a test may have closed it
            continue


def install(config: pytest.Config, link: _dagz.Link, settings: Settings, terminal: tty.Borrower) -> None:
    """In a worker after the fork: fd 0-2, Python's streams, and pytest's capture manager."""
    manager = config.pluginmanager.getplugin("capturemanager")
    method = manager._method if manager is not None else "no"
    old = manager._global_capturing if manager is not None else None
    instead_of = streams_of(old)
    if old is not None and method == "fd":
        manager.stop_global_capturing()
    elif old is not None:
        manager.read_global_capture()  # of the collection
    flush_quietly((sys.stdout, sys.stderr))
    # pytest's own capture of descriptors puts files there; without it they are the user's terminal
    redirect(link, [settings.tty or (is_tty and method != "fd") for is_tty in settings.on_ttys])
    if method == "no":
        sys.stdin = NoInput()  # type: ignore[assignment]
    link.suspend(True)
    if manager is None:
        return
    if method == "fd" and settings.capture == "pty":
        manager._global_capturing = WorkerCapture(link, settings.tty, terminal, instead_of)
        manager._global_capturing.start_capturing()
    elif method == "fd":
        manager.start_global_capturing()
        keep_streams(manager._global_capturing, instead_of)
    elif old is None:
        manager.start_global_capturing()
    manager.suspend_global_capture(in_=False)


def peek(config: pytest.Config) -> tuple[str, str]:
    """What was captured so far, stdout and stderr, without taking it away."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = manager and manager._global_capturing
    return (told_to(capturing.out), told_to(capturing.err)) if capturing else ("", "")


def told_to(stream: Any) -> str:
    file = getattr(stream, "tmpfile", None)
    if hasattr(file, "getvalue"):
        return file.getvalue()
    try:
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")
    except (AttributeError, OSError):
        return ""


def say_again(config: pytest.Config, said: tuple[str, str]) -> None:
    """Put what :func:`peek` saw into the capture of another process, where that began anew."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = manager and manager._global_capturing
    if capturing and manager._method == "fd":
        for stream, text in zip((capturing.out, capturing.err), said):
            if text:
                stream.tmpfile.write(text)


def keep_streams(capturing: Any, instead_of: tuple[EncodedFile | None, EncodedFile | None]) -> None:
    """pytest's own capture goes on with the streams that it had during collection."""
    capturing.suspend_capturing()
    for capture, stream in zip((capturing.out, capturing.err), instead_of, strict=True):
        new = stream_of(capture)
        if new is not None and stream is not None:
            with new.detach() as file:
                sink = sink_of(stream).reopen(os.dup(file.fileno()))
            capture.tmpfile = capture.syscapture.tmpfile = make_stream(sink, stream)
    capturing.resume_capturing()


def redirect(link: _dagz.Link, say_tty: list[bool]) -> None:
    """fd 0 gives nothing, fd 1 and 2 are the worker's terminal.

    say_tty: what ``sys.__stdout__`` and ``sys.__stderr__`` answer to ``isatty()``: what they do in plain pytest.
    """
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    os.dup2(link.slave, 1)
    os.dup2(link.slave, 2)
    for stream, says_tty in zip((sys.__stdout__, sys.__stderr__), say_tty, strict=True):
        with contextlib.suppress(Exception):  # None, or somebody's own object
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            stream.buffer.raw.isatty = functools.partial(bool, says_tty)  # type: ignore[union-attr]


def flush_originals() -> None:
    """What Python buffered for the real fd 1 and 2 goes out now."""
    flush_quietly((sys.__stdout__, sys.__stderr__))
