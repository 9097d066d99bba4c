"""Signals of the controller as flags: a report that is being shown is shown to its end."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import Any

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129}
PATIENCE_S = 3.0  # after SIGTERM: running tests have this long


class Signals:
    """Between :meth:`take` and :meth:`give_back` the signals that end a run are counted here."""

    def __init__(self) -> None:
        self.interrupts = 0  # Ctrl-C
        self.number = 0  # SIGTERM or SIGHUP
        self.since = 0.0
        self.old: dict[int, Any] = {}

    def take(self) -> None:
        for number in (signal.SIGINT, *EXIT_CODES):
            with contextlib.suppress(ValueError):  # not in the main thread
                self.old[number] = signal.signal(number, self.note)

    def give_back(self) -> None:
        for number, handler in self.old.items():
            with contextlib.suppress(ValueError, TypeError):
                signal.signal(number, handler)
        self.old = {}

    def note(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT:
            self.interrupts += 1
        elif not self.number:
            self.number = number
            self.since = time.monotonic()

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name if self.number else ""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[signal.Signals(self.number)]

    @property
    def is_patience_over(self) -> bool:
        return time.monotonic() - self.since > PATIENCE_S

    def __bool__(self) -> bool:
        return bool(self.interrupts or self.number)
