"""What a person sees of a run, through pytest's own terminal reporter.

Dots of finished tests say little when many workers run; so, at normal verbosity, they give way to a live area
(on a terminal) or to a heartbeat line (elsewhere).  Everything else is printed by pytest's reporter as ever.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from _pytest.reports import TestReport
from _pytest.terminal import TerminalReporter

from dagz.hooks import drop, is_pytests
from dagz.reports import PLAIN_FIELDS, node_id_of

if TYPE_CHECKING:
    import pytest

    from dagz.settings import Settings

HEARTBEAT_S = 10.0
FRAME_S = 0.2
IDLE_FRAME_S = 1.0
RUNNING_SHOWN = 8
SHOWN_FROM_MS = 200  # shorter tests would only flicker
BAR_WIDTH = 20
AGENT_VARIABLES = ("AI_AGENT", "CLAUDECODE", "CURSOR_AGENT", "GEMINI_CLI", "CODEX_SANDBOX")
CI_VARIABLES = ("CI", "BUILD_NUMBER")
SIGNED = 3  # attributes of every report that came from a worker: node, worker_id, testrun_uid
SEVERITY = ({}, {"yellow": True}, {"red": True})


def clock(seconds: float) -> str:
    """3.2s, 1m05s, 2h07m."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def shorten(text: str, width: int) -> str:
    """At most `width` columns: the end of a node id tells more than its start."""
    return text if len(text) <= width else "…" + text[-(width - 1) :] if width > 1 else ""


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0", "false")


class QuietProgress:
    """Stands where the reporter's own per-test output was: counts, without dots.

    reporter: pytest's TerminalReporter, whose statistics stay the ones that summaries read.
    """

    def __init__(self, reporter: TerminalReporter, ui: Ui) -> None:
        self.reporter = reporter
        self.ui = ui
        self.config = reporter.config
        # passed setups and teardowns: only --durations and -rP look at them, and they are many
        option = self.config.option
        self.keeps_phases = option.durations is not None or "P" in reporter.reportchars
        hook = self.config.hook.pytest_report_teststatus
        self.is_plain = all(is_pytests(i.plugin) for i in hook.get_hookimpls())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self.reporter
        reporter._tests_ran = True
        is_test = type(report) is TestReport and not hasattr(report, "wasxfail")
        if self.is_plain and is_test and report.outcome == "passed":
            category, word = "passed" if report.when == "call" else "", ""
        else:
            category, letter, word = self.config.hook.pytest_report_teststatus(
                report=report, config=self.config
            )
        if not category and not self.keeps_phases and self.is_bare(report):
            return
        if category in reporter.stats:
            reporter.stats[category].append(report)
        else:
            reporter._add_stats(category, [report])
        if report.outcome == "failed":
            self.ui.failed(report, word)

    @staticmethod
    def is_bare(report: pytest.TestReport) -> bool:
        """Whether nobody put anything into a passed phase: no output, no attribute of a plugin's."""
        return not report.sections and len(report.__dict__) == len(PLAIN_FIELDS) + SIGNED


class Ui:
    """The terminal of one run.  mode: bar, plain, agent or none."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.job: dict[str, Any] = {}
        self.reporter: TerminalReporter | None = None
        self.mode = "none"
        self.is_live = False
        self.markup = False
        self.width = 80
        self.started = time.monotonic()
        self.last_beat = self.started
        self.last_frame = 0.0
        self.drawn = 0  # lines of the live area on the screen
        self.command = ""  # to be asked next, once the server has heard of the job
        self.state: tuple[Any, ...] = (0, 0, 0, 0, [])
        self.state_time = self.started
        self.has_new = False
        self.logstart: Any = None

    # ------------------------------------------------------------ set-up

    def configure(self) -> None:
        """Before the first line: what another program reads has no colours unless it asks for them."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if self.asked_mode() == "agent" and self.config.option.color == "auto" and reporter is not None:
            reporter._tw.hasmarkup = reporter.hasmarkup = False

    def attach(self) -> None:
        """Once the reporter exists: decide how this terminal is used."""
        self.reporter = self.config.pluginmanager.getplugin("terminalreporter")
        hook = self.config.hook.pytest_runtest_logstart
        self.logstart = hook
        reporter = self.reporter
        if reporter is None:
            return
        self.markup = reporter.hasmarkup
        self.width = reporter._tw.fullwidth
        self.mode = self.choose_mode()
        if type(reporter) is not TerminalReporter:
            return  # a reporter of its own: it shows progress as it likes
        reporter.showfspath = False
        is_quiet = self.verbosity() <= 0 and self.mode != "none"
        self.logstart = self.config.pluginmanager.subset_hook_caller("pytest_runtest_logstart", [reporter])
        if is_quiet:
            drop(self.config.hook.pytest_runtest_logreport, reporter)
            drop(self.config.hook.pytest_runtest_logfinish, reporter)
            drop(self.config.hook.pytest_runtestloop, reporter)
            self.config.pluginmanager.register(QuietProgress(reporter, self), "dagz_progress")
        self.is_live = self.mode == "bar" and is_quiet

    def verbosity(self) -> int:
        try:
            return self.config.get_verbosity("test_cases")
        except AttributeError:  # before pytest 8.1
            return self.config.option.verbose

    def asked_mode(self) -> str:
        """What the option or the environment says; auto: nothing."""
        if self.settings.ui == "auto" and any(is_set(name) for name in AGENT_VARIABLES):
            return "agent"
        return self.settings.ui

    def choose_mode(self) -> str:
        asked = self.asked_mode()
        if asked != "auto":
            return asked
        is_terminal = bool(self.reporter and self.reporter._tw._file.isatty())
        if is_terminal and os.environ.get("TERM") != "dumb" and not any(map(is_set, CI_VARIABLES)):
            return "bar"
        return "plain"

    # ------------------------------------------------------------ lines

    def line(self, text: str, **markup: bool) -> None:
        if self.reporter is None:
            return
        try:
            self.erase()
            self.reporter.write_line(text, **markup)
            self.reporter.flush()
        except OSError:  # nobody reads any more: the run goes on
            self.reporter = None

    def note(self, severity: int, text: str) -> None:
        if self.reporter is None:
            if severity:
                sys.stderr.write(f"dagz: {text}\n")
            return
        if self.reporter.verbosity >= (0 if severity == 0 else -1):
            self.line(f"dagz: {text}", **SEVERITY[severity])

    def internal_error(self, text: str) -> None:
        for line in text.split("\n"):
            if self.reporter is not None:
                self.line(f"INTERNALERROR> {line}")
            else:
                sys.stderr.write(f"INTERNALERROR> {line}\n")

    def collected(self, body: dict[str, Any]) -> None:
        """As pytest's reporter at the end of a collection, then where results go."""
        reporter = self.reporter
        if reporter is None:
            return
        reporter._numcollected = body["collected"]
        if body["written"]:
            reporter._tw.write(body["written"])
        if type(reporter) is TerminalReporter or hasattr(reporter, "report_collect"):
            reporter.report_collect(True)
        reporter._write_report_lines_from_hooks(body["lines"])
        if reporter.verbosity >= 0 and body["total"]:
            workers = self.settings.workers
            plural = "" if workers == 1 else "s"
            tests = "1 test" if body["total"] == 1 else f"{body['total']} tests"
            job = f", job {self.job['short'] or self.job['id']}" if self.job else ""
            where = f", results in {self.job['store']}" if self.job.get("store") else ""
            self.line(f"dagz: {tests} on {workers} worker{plural}{job}{where}")
            if body["locks"]:
                names = ", ".join(body["locks"])
                self.line(
                    f"dagz: resources in .dagz/config.yaml has no budget for {names}: one test at a time"
                )
        self.last_beat = time.monotonic()

    def collected_nothing(self) -> None:
        if self.reporter is not None and hasattr(self.reporter, "report_collect"):
            self.reporter.report_collect(True)

    def failed(self, report: Any, word: Any) -> None:
        """A failure as it happens; its traceback comes at the end.  word: as of pytest_report_teststatus."""
        word = (word if isinstance(word, str) else word[0]) or "FAILED"
        message = failure_message(report)
        name = self.seen_from_here(report.nodeid)
        text = f"{word} {name}" + (f" - {message}" if message else "")
        limit = self.width if self.markup else 500
        self.line(text if len(text) <= limit else text[: limit - 1] + "…", red=True)

    def seen_from_here(self, nodeid: str) -> str:
        """A node id that names the test on a command line in the folder that pytest was started in."""
        return str(self.config.cwd_relative_nodeid(node_id_of(nodeid)))

    def before_test(self, nodeid: str, location: Any, extra: dict[str, Any]) -> None:
        """What a test wrote past capture is shown now: all of it, at once."""
        if self.drawn and (extra or not self.is_live):
            self.erase()
        if extra.get("passed"):
            self.passed_through(extra["passed"])
        if extra.get("writer") and self.reporter is not None:
            self.erase()
            self.reporter._tw._file.write(extra["writer"])
            self.reporter.currentfspath = -2

    def passed_through(self, data: bytes) -> None:
        self.erase()
        stream = self.reporter._tw._file if self.reporter is not None else sys.stdout
        stream.write(data.decode("utf-8", "replace"))
        stream.flush()
        if self.reporter is not None:
            self.reporter.currentfspath = None if data.endswith(b"\n") else -2

    # ------------------------------------------------------------ progress

    def progress(self, done: int, total: int, failed: int, eta_ms: int, running: list) -> None:
        self.state = (done, total, failed, eta_ms, running)
        self.state_time = time.monotonic()
        self.has_new = True

    def running(self) -> list[tuple]:
        """Running tests, longest first, with the time since the agent spoke of them."""
        since_ms = int((time.monotonic() - self.state_time) * 1000)
        later = [
            (worker, test, elapsed_ms + since_ms, expected_ms, self.seen_from_here(nodeid))
            for worker, test, elapsed_ms, expected_ms, nodeid in self.state[4]
        ]
        return sorted(later, key=lambda entry: -entry[2])

    def tick(self) -> None:
        now = time.monotonic()
        if self.is_live:
            age = now - self.last_frame
            if age >= IDLE_FRAME_S if not self.has_new else age >= FRAME_S:
                self.last_frame = now
                self.draw()
        elif self.mode in ("plain", "bar") and now - self.last_beat >= HEARTBEAT_S:
            self.last_beat = now
            self.beat()

    def counts(self) -> str:
        done, total, failed, eta_ms, _ = self.state
        share = f"{100 * done // total}%" if total else ""
        parts = [f"{done}/{total}", share]
        if failed:
            parts.append(f"{failed} failed")
        parts.append(clock(time.monotonic() - self.started))
        if eta_ms >= 1000:
            parts.append(f"about {clock(eta_ms / 1000)} left")
        return "  ".join(part for part in parts if part)

    def bar(self) -> str:
        done, total = self.state[:2]
        filled = BAR_WIDTH * done // total if total else 0
        return "[" + "#" * filled + " " * (BAR_WIDTH - filled) + "]  "

    def beat(self) -> None:
        if self.reporter is None or self.reporter.verbosity < 0 or not self.state[1]:
            return
        text = f"dagz: {self.counts()}"
        running = self.running()
        if running:
            worker, _, elapsed_ms, _, nodeid = running[0]
            text += f"; longest: {nodeid} on gw{worker} for {clock(elapsed_ms / 1000)}"
        self.line(text)

    def draw(self) -> None:
        """The live area: one write, at most a third of the screen."""
        self.has_new = False
        if self.reporter is None or not self.state[1]:
            return
        size = shutil.get_terminal_size()
        columns, rows = size.columns or 80, size.lines or 24  # 0: a terminal that nobody told its size
        running = [entry for entry in self.running() if entry[2] >= SHOWN_FROM_MS]
        lines = [shorten_end(f"  {self.bar()}{self.counts()}", columns - 1)]
        for entry in running[: max(0, min(RUNNING_SHOWN, rows // 3 - 1))]:
            lines.append(running_line(entry, columns - 1))
        text = self.erasure() + "\n" + "\n".join(lines)
        self.drawn = len(lines)
        self.reporter.ensure_newline()
        self.reporter._tw._file.write("\x1b[?2026h" + text + "\x1b[?2026l")
        self.reporter._tw._file.flush()

    def erasure(self) -> str:
        """Back to where the area began, with the screen empty from there."""
        if not self.drawn:
            return ""
        return f"\r\x1b[{self.drawn}A\x1b[J"

    def erase(self) -> None:
        if self.drawn and self.reporter is not None:
            self.reporter._tw._file.write(self.erasure())
            self.drawn = 0

    # ------------------------------------------------------------ the end

    def finished(self) -> None:
        self.erase()
        self.is_live = False

    def close(self) -> None:
        if self.drawn:
            self.finished()
            if self.reporter is not None:
                self.reporter.flush()

    def last_lines(self, summary: dict[str, Any], *, is_refused: bool) -> None:
        """What came of the run; one that was refused has no account, but a program is told always."""
        reporter = self.reporter
        if reporter is None or reporter.verbosity < -1:
            return
        if not is_refused:
            self.account(summary)
        if self.mode == "agent":
            self.line(json.dumps(summary))

    def account(self, s: dict[str, Any]) -> None:
        elsewhere = f" + {s['elsewhere']} in other slots" if s["elsewhere"] else ""
        carried = f" + {s['carried']} as before" if s["carried"] else ""
        self.line(
            f"dagz: {s['collected']} collected = {s['run']} run{carried} + {s['redundant']} redundant + "
            f"{s['deselected']} deselected + {s['not_run']} not run{elsewhere}; counted {s['counted']}, "
            f"duplicates {s['duplicates']}, lost {s['lost']}",
            red=bool(s["lost"]),
        )
        plural = "" if s["workers"] == 1 else "s"
        nodes = "" if s["nodes"] in (0, 1) else f"{s['nodes']} nodes, "
        parts = [f"{nodes}{s['workers']} worker{plural}", clock(s["seconds"])]
        if name := s["short"] or s["job"]:
            parts.insert(0, f"job {name}")
            verb = "zb tests {} outcome:failed" if s["failed"] or s["exit_code"] == 1 else "zb job {}"
            where = f" --url={self.settings.url}" if self.settings.url not in ("", "none") else ""
            command = verb.format(name) + where
            if s["short"]:
                parts.append(f"next: {command}")
            else:  # the server has not numbered it: it may never have heard of it
                self.command = command
        self.line("dagz: " + ", ".join(parts))
        if nodes:
            here = s["here"]
            plural = "" if here["workers"] == 1 else "s"
            self.line(f"dagz: this node: {here['run']} of them on {here['workers']} worker{plural}")

    def settled(self, left: tuple[int, str, str] | None) -> None:
        """The very last line: what can be asked now, or what a server has not got.

        left: number of results, their folder, and why; None when the server has everything.
        """
        if left is not None:
            self.left(*left)
        elif self.command:
            self.note(1, f"next: {self.command}")

    def left(self, results: int, path: str, why: str) -> None:
        """What a server has not got, when the run could not wait any longer."""
        then = f" and then {self.command}" if self.command else ""
        count = "1 result" if results == 1 else f"{results} results"
        what = count if results else "the end of the job"
        reason = f" ({why})" if why else ""
        self.note(1, f"{what} pending in {path}{reason}; zb push {path}{then}")


def shorten_end(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def running_line(entry: tuple, width: int) -> str:
    """One running test: worker, elapsed against expected, name."""
    worker, _, elapsed_ms, expected_ms, nodeid = entry
    times = clock(elapsed_ms / 1000)
    if expected_ms >= 100:
        times += f" of {clock(expected_ms / 1000)}"
        if elapsed_ms > 2 * expected_ms + 1000:
            times += " ▲"
    head = f"  gw{worker:<3} {times:<16} "
    return head + shorten(nodeid, max(1, width - len(head)))


def failure_message(report: Any) -> str:
    """The first line of what went wrong, or nothing."""
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    text = crash.message if crash is not None else str(getattr(report, "longrepr", "") or "")
    return text.strip().split("\n", 1)[0]
