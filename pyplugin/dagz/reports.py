"""Reports of one test as bytes, from a worker to the controller.

A report that is plain (exactly ``TestReport``, no representation object) travels as a tuple of its
fields and is built again by the constructor; anything else goes through pytest's own
``pytest_report_to_serializable``, as under xdist.  The bytes are ``marshal``: both ends are forks of
one interpreter.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import TerminalRepr
from _pytest.reports import TestReport

from dagz import _dagz

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN_FIELDS = frozenset(
    TestReport("a::b", ("a", 0, "b"), {}, "passed", None, "call").__dict__  # type: ignore[arg-type]
)
PLAIN_XFAIL = PLAIN_FIELDS | {"wasxfail"}
HAS_TIMES = "start" in PLAIN_FIELDS
HAS_ID = "_id" in PLAIN_FIELDS
BASIC = (str, int, float, bool, bytes, type(None))

REPORT_MAX = 60 << 20  # bytes; a frame takes a little more
TEXT_MAX = 1 << 20  # of each text in a report above that


def plain(value: Any) -> Any:
    """The value in types that marshal knows; others become their text."""
    if type(value) in BASIC:
        return value
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return {plain(item) for item in value}
    for kind in (bool, int, float, str, bytes):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value)


def dumps(value: Any) -> bytes:
    try:
        return marshal.dumps(value)
    except ValueError:
        return marshal.dumps(plain(value))


def worst(reports: Iterable[Any]) -> int:
    """The result of an execution: one of the RESULT_ numbers."""
    result = _dagz.RESULT_OK
    for report in reports:
        outcome = report.outcome
        if outcome == "failed":
            return _dagz.RESULT_FAILED
        if report.when == "teardown":
            continue
        if hasattr(report, "wasxfail"):
            result = _dagz.RESULT_XFAIL if outcome == "skipped" else _dagz.RESULT_XPASS
        elif outcome == "skipped" and result == _dagz.RESULT_OK:
            result = _dagz.RESULT_SKIPPED
    return result


def pack_one(report: Any, config: pytest.Config) -> tuple[Any, ...]:
    fields = report.__dict__
    if type(report) is TestReport and (fields.keys() == PLAIN_FIELDS or fields.keys() == PLAIN_XFAIL):
        longrepr = report.longrepr
        if longrepr is None or type(longrepr) in (tuple, str):
            return (
                report.when,
                report.outcome,
                longrepr,
                report.sections or None,
                report.duration,
                fields["start"] if HAS_TIMES else 0,
                fields["stop"] if HAS_TIMES else 0,
                report.user_properties or None,
                fields.get("wasxfail"),
            )
    return (to_data(report, config),)


def to_data(report: Any, config: pytest.Config) -> dict[str, Any]:
    """A report through pytest's own serialisation; what it makes a mere text of is marked."""
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    if isinstance(data.get("longrepr"), str) and not isinstance(report.longrepr, str):
        data["dagz_told"] = True
    return data


class Told(TerminalRepr):
    """A representation of which only the text is left: it is no message for a summary line."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: Any) -> None:
        tw.line(self.text)


def pack(item: pytest.Item, reports: list[Any], extra: dict[str, Any], config: pytest.Config) -> bytes:
    """The reports of one execution; `extra` is what else the controller shows with them.

    What no frame can hold loses the middle of its long texts.
    """
    packed = pack_all(item, reports, extra, config)
    if len(packed) <= REPORT_MAX:
        return packed
    for report in reports:
        shorten(report)
    texts = {name: cut(text) for name, text in extra.items() if isinstance(text, (str, bytes))}
    return pack_all(item, reports, {**extra, **texts}, config)


def pack_all(item: pytest.Item, reports: list[Any], extra: dict[str, Any], config: pytest.Config) -> bytes:
    keywords = reports[0].keywords if reports else {}
    return dumps(
        (
            item.nodeid,
            item.location,
            tuple(keywords),
            [pack_one(report, config) for report in reports],
            extra or None,
        )
    )


def shorten(report: Any) -> None:
    report.sections = [(name, cut(text)) for name, text in report.sections]
    report.user_properties = [
        (name, cut(value) if isinstance(value, (str, bytes)) else value)
        for name, value in report.user_properties
    ]
    if report.longrepr is not None and not isinstance(report.longrepr, tuple):
        text = str(report.longrepr)
        report.longrepr = cut(text) if len(text) > TEXT_MAX else report.longrepr


def cut(text: Any) -> Any:
    """A text or bytes, or its two ends and how much is missing between them."""
    if len(text) <= TEXT_MAX:
        return text
    half = TEXT_MAX // 2
    note = f"\n... dagz leaves out {len(text) - 2 * half} of {len(text)} here ...\n"
    return text[:half] + (note if isinstance(text, str) else note.encode()) + text[-half:]


class Neighbour:
    """The texts of the test before: its neighbour's names of modules, classes and marks are the same objects."""

    texts: dict[str, str] = {}

    @classmethod
    def share(cls, names: tuple[str, ...], path: str) -> tuple[dict[str, int], str]:
        """(keywords, path) with texts that the test before had too."""
        get = cls.texts.get
        keywords = {get(name, name): 1 for name in names}
        path = get(path, path)
        cls.texts = {name: name for name in keywords}
        cls.texts[path] = path
        return keywords, path


def node_id_of(nodeid: str) -> Any:
    """What the constructor of a report takes without parsing it again."""
    return TestReport(nodeid, ("", 0, ""), {}, "passed", None, "call").__dict__["_id"] if HAS_ID else nodeid


def unpack(blob: bytes, config: pytest.Config) -> tuple[str, tuple[Any, ...], list[Any], dict[str, Any]]:
    """(node id, location, reports, extra) of what :func:`pack` made."""
    nodeid, location, names, packed, extra = marshal.loads(blob)
    keywords, path = Neighbour.share(names, location[0])
    location = (path, *location[1:])
    shared_id = node_id_of(nodeid)
    reports = []
    for fields in packed:
        if len(fields) == 1:
            reports.append(from_data(fields[0], config))
            continue
        when, outcome, longrepr, sections, duration, start, stop, properties, xfail = fields
        if HAS_TIMES:
            report = TestReport(
                shared_id, location, keywords, outcome, longrepr, when,
                sections or (), duration, start, stop, properties,
            )  # fmt: skip
        else:
            report = TestReport(
                shared_id, location, keywords, outcome, longrepr, when,
                sections or (), duration, user_properties=properties,
            )  # fmt: skip
        if xfail is not None:
            report.wasxfail = xfail
        reports.append(report)
    return nodeid, location, reports, extra or {}


class Shown(str):
    """A text whose repr is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def from_data(data: dict[str, Any], config: pytest.Config) -> Any:
    """A report that went through pytest's serialisation; tuples are still tuples here."""
    context = data.get("_subtest.context")
    if context is not None:  # pytest shows the values' texts, and makes texts of them twice
        context["kwargs"] = {name: Shown(text) for name, text in context["kwargs"].items()}
    is_told = data.pop("dagz_told", False)
    report = config.hook.pytest_report_from_serializable(config=config, data=data)
    if is_told:
        report.longrepr = Told(report.longrepr)
    return report


# ---------------------------------------------------------------- warnings


def pack_warning(message: warnings.WarningMessage, when: str, nodeid: str, location: Any) -> dict[str, Any]:
    """A recorded warning, as the arguments of ``pytest_warning_recorded``."""
    text = message.message
    category = message.category or type(text)
    return {
        "text": str(text),
        "args": plain(text.args) if isinstance(text, Warning) else None,
        "module": category.__module__,
        "category": category.__qualname__,
        "filename": message.filename,
        "lineno": message.lineno,
        "line": message.line,
        "source": None if message.source is None else str(message.source),
        "when": when,
        "nodeid": nodeid,
        "location": plain(location),
    }


def warning_class(module: str, name: str) -> type[Warning]:
    """The class if this process knows it, else one of the same name: nothing is imported."""
    import sys

    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    return type(name.rpartition(".")[2], (Warning,), {"__module__": module})


def unpack_warning(data: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of ``pytest_warning_recorded``."""
    category = warning_class(data["module"], data["category"])
    message: Any = None
    if data["args"] is not None:
        with contextlib.suppress(Exception):
            message = category(*data["args"])
        if str(message) != data["text"]:
            message = None
    if message is None:
        message = Warning(data["text"])
        with contextlib.suppress(TypeError):
            message.__class__ = category
    recorded = warnings.WarningMessage(
        message=message,
        category=category,
        filename=data["filename"],
        lineno=data["lineno"],
        line=data["line"],
        source=data["source"],
    )
    location = data["location"]
    return {
        "warning_message": recorded,
        "when": data["when"],
        "nodeid": data["nodeid"],
        "location": tuple(location) if location else None,
    }


class Deselected:
    """Stands for a test that the zygote deselected; reporters count these."""

    nodeid = ""
    name = ""


def deselect(hook: Any, count: int) -> None:
    """Tell reporters of tests that were deselected, if any were."""
    if count:
        hook.pytest_deselected(items=[Deselected()] * count)
