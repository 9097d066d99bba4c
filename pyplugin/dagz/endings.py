"""How the controller ends: as a test ended the run, and without freeing what the system frees faster."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from dagz import _dagz

COMMANDS = ("console_main", "_console_main")  # pytest's own command, before and since 9.1

IMPORTED_AT_THE_END = {"hypothesispytest": "hypothesis.internal.observability"}  # plugin: module


def is_command() -> bool:
    """Whether this is pytest's own command: a program that calls pytest.main() wants its memory back."""
    frame: Any = sys._getframe()
    while frame is not None and frame.f_code.co_name not in COMMANDS:
        frame = frame.f_back
    return frame is not None


def spare_reports() -> None:
    """Before pytest's own end, which collects garbage several times: the reports are none."""
    if is_command():
        gc.freeze()


def import_what_ends_import(config: pytest.Config) -> None:
    """Import while tests run what a plugin would import at the very end, when somebody waits."""
    for plugin, module in IMPORTED_AT_THE_END.items():
        if config.pluginmanager.hasplugin(plugin):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)


def end_fast(config: pytest.Config) -> None:
    """Spare a process that ends anyway the freeing of every report, which takes seconds."""
    if is_command():
        _dagz.keep_forever(config)
        atexit.register(gc.freeze)  # objects of ours are out of the last collection


def raise_told(end: Mapping[str, Any]) -> None:
    """Raise what ended the session in another process, if it is one that shows in an exit code of its own."""
    if end["kind"] == "exit":
        pytest.exit(end["text"], returncode=end["code"])
    if end["kind"] == "usage":
        raise pytest.UsageError(*end["words"])
    if end["kind"] == "interrupt":
        raise_there(*end["place"], end["text"])


def raise_there(filename: str, line: int, text: str) -> None:
    """Raise KeyboardInterrupt from the place where a test raised it: pytest shows that line."""
    source = "\n" * (max(1, line) - 1) + "raise KeyboardInterrupt(*arguments)"
    arguments = (text,) if text else ()
    exec(compile(source, filename or "<test>", "exec"), {"arguments": arguments})
