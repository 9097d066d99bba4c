"""--dagz-follow: what tests print, on the terminal of the controller, line by line with the worker in front.

``all`` and a node id: while they run; the agent sends it.  ``failed``: when a test has failed, from its reports.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dagz.terminal import Ui

COLOUR = r"\x1b\[[0-9;:]*m"
# what moves a cursor or asks a terminal something would tear the lines of others
CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f]"
)
LINE_MAX = 64 << 10  # characters; a longer line is shown in pieces


@dataclass
class Lane:
    """One worker's stream.  nodeid: whose output it is, None before the first."""

    nodeid: str | None = None
    text: str = ""
    decoder: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))


class Follower:
    def __init__(self, ui: Ui, what: str) -> None:
        self.ui = ui
        self.what = what
        self.lanes: dict[int, Lane] = {}
        self.ends: dict[int, int] = {}  # up to where each process was heard

    def heard(self, worker: int, source: int, end: int, nodeid: str, data: bytes) -> None:
        """A piece that a test printed; agents that took over may say one again."""
        if end <= self.ends.get(source, -1):
            return
        self.ends[source] = end
        lane = self.lanes.setdefault(worker, Lane())
        if nodeid != lane.nodeid:
            self.break_line(worker)
            lane.nodeid = nodeid
            self.head(worker, nodeid)
        *lines, lane.text = (lane.text + lane.decoder.decode(data)).split("\n")
        self.show(worker, lines)
        if len(lane.text) > LINE_MAX:
            self.break_line(worker)

    def ended(self, worker: int, nodeid: str, done: list[Any], extra: dict[str, Any]) -> None:
        """A test has its reports.  What was streamed is not passed through (-s) once more."""
        lane = self.lanes.get(worker)
        if lane is not None and lane.nodeid == nodeid:
            extra.pop("passed", None)
            self.break_line(worker)
        if self.what == "failed" and any(report.outcome == "failed" for report in done):
            sections = max((report.sections for report in done), key=len)  # the last phase has all of them
            said = [text for name, text in sections if name.startswith("Captured std")]
            if said:
                self.head(worker, nodeid)
            for text in said:
                self.show(worker, text.removesuffix("\n").split("\n"))

    def break_line(self, worker: int) -> None:
        """The line that is begun will not be continued."""
        lane = self.lanes.get(worker)
        if lane is not None and lane.text:
            text, lane.text = lane.text, ""
            self.show(worker, [text])

    def head(self, worker: int, nodeid: str) -> None:
        if nodeid:
            self.show(worker, [f"> {nodeid}"])

    def show(self, worker: int, lines: Iterable[str]) -> None:
        for line in lines:
            self.ui.line(f"[gw{worker}] {clean(line, self.ui.markup)}")


def clean(line: str, keeps_colours: bool) -> str:
    """What a terminal would show of the line: behind the last carriage return, without cursor movement."""
    line = line.rstrip("\r").rpartition("\r")[2]
    if "\x1b" not in line and line.isprintable():
        return line
    tinted = False

    def put(match: re.Match[str]) -> str:
        nonlocal tinted
        is_kept = keeps_colours and re.fullmatch(COLOUR, match[0]) is not None
        tinted = tinted or is_kept
        return match[0] if is_kept else ""

    line = CONTROL.sub(put, line)
    return line + "\x1b[0m" if tinted else line
