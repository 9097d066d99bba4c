"""The user's terminal, shared between the controller, which draws on it, and a worker that debugs.

One lock file decides.  The controller holds it shared while it draws; a worker that wants the terminal says so
(by way of the agent) and waits for the lock exclusively; the controller stops drawing and lets go.  A worker that
dies lets go by dying, so nobody waits for ever, and the controller puts the terminal right again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import termios
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TTY = "/dev/tty"


def take_foreground(fd: int) -> None:
    """This process's group may read from the terminal from now on."""
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(fd, os.getpgrp())
    finally:
        signal.signal(signal.SIGTTOU, old)


class Lender:
    """The controller's side."""

    def __init__(self, folder: Path) -> None:
        self.path: str | None = None
        self.fd = self.lock = -1
        self.mode: list[Any] = []
        self.borrowers: set[int] = set()
        try:
            self.fd = os.open(TTY, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            self.mode = termios.tcgetattr(self.fd)
        except (OSError, termios.error):
            return
        self.path = str(folder / ".dagz-terminal")
        self.lock = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_SH)

    def lend(self, num: int) -> None:
        """Worker `num` wants the terminal: draw no more until :meth:`take_back`."""
        self.borrowers.add(num)
        if self.lock >= 0:
            fcntl.flock(self.lock, fcntl.LOCK_UN)

    def take_back(self, num: int) -> None:
        """Worker `num` gave the terminal back, or died."""
        if num not in self.borrowers:
            return
        self.borrowers.discard(num)
        if self.borrowers or self.lock < 0:
            return
        fcntl.flock(self.lock, fcntl.LOCK_SH)
        take_foreground(self.fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.mode)

    def close(self) -> None:
        for num in list(self.borrowers):
            self.take_back(num)
        for fd in (self.fd, self.lock):
            if fd >= 0:
                os.close(fd)
        self.fd = self.lock = -1


class Borrower:
    """A worker's side.  ask(wanted) tells the controller."""

    def __init__(self, path: str | None, ask: Callable[[bool], None]) -> None:
        self.path = path
        self.ask = ask
        self.lock = -1
        self.saved: tuple[int, ...] = ()
        self.streams: tuple[Any, ...] = ()

    def acquire(self) -> None:
        """fd 0-2 and Python's streams become the terminal.  Without one nothing happens."""
        if self.saved or self.path is None:
            return
        self.ask(True)
        self.lock = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        fd = os.open(TTY, os.O_RDWR | os.O_NOCTTY)
        take_foreground(fd)
        self.saved = tuple(os.dup(number) for number in range(3))
        self.streams = (sys.stdin, sys.stdout, sys.stderr)
        for number in range(3):
            os.dup2(fd, number)
        os.close(fd)
        sys.stdin = os.fdopen(0, "r", closefd=False)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)

    def release(self) -> None:
        if not self.saved:
            return
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        sys.stdin, sys.stdout, sys.stderr = self.streams
        for number, fd in enumerate(self.saved):
            os.dup2(fd, number)
            os.close(fd)
        self.saved = ()
        self.ask(False)
        os.close(self.lock)
