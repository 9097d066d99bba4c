"""A worker: runs tests that its agent puts into the shared queue, one at a time."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest import runner
from _pytest.runner import CallInfo, check_interactive_exception, show_test_item

from dagz import _dagz, capture, identity, junit, marks, nursery, reports, tty, why, xdist
from dagz.hooks import drop, is_pytests, quicken

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dagz.settings import Settings

STACKS_SIGNAL = signal.SIGRTMIN + 5  # the agent asks for the stacks of all threads
MEMORY_CHECK_S = 0.2
RECYCLE = -10  # beside ASK, NONE and END


def private_memory() -> int:
    """Bytes that only this process has in memory."""
    total = 0
    with open("/proc/self/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Private_"):
                total += int(line.split()[1])
    return total << 10


class Worker:
    """The plugin of a worker process; made after the fork.

    inputs: what the controller sent for all workers, see zygote.py.
    """

    def __init__(
        self,
        session: pytest.Session,
        link: _dagz.Link,
        inputs: dict[str, Any],
        settings: Settings,
        writer_text: Callable[[], str],
    ) -> None:
        self.session = session
        self.config = session.config
        self.link = link
        self.inputs = inputs
        self.settings = settings
        self.writer_text = writer_text
        self.reports: list[Any] = []
        self.extra: dict[str, Any] = {}
        self.file = b""  # of the running test, unless its id names it
        self.next: int | None = None  # what resolve_next() said during the running test
        self.notes: junit.Notes | None = None
        self.is_registered = False  # until then pluggy repeats the warnings of the collection
        self.is_eager = False  # plugins' own protocols want to know what comes next at once
        self.is_lean = False  # nobody but pytest listens to reports here: only failures matter
        self.reraise: tuple[type[BaseException], ...] = ()
        self.is_copy = False  # a process that a test forked, which runs what the test goes on with
        self.agents = 0  # channels to agents that came after the first
        self.on_new_agent: Callable[[_dagz.Channel], None] | None = None
        self.why = _dagz.CAUSE_FINISHED
        self.why_text = ""
        self.memory_checked = time.monotonic()

    # ------------------------------------------------------------ becoming a worker

    def set_up(self, hooks_of: list[Any]) -> None:
        """hooks_of: plugins whose pytest_sessionstart is called here; none where all have been."""
        num = self.link.num
        config = self.config
        nursery.obey_signals()
        worker_input = dict(self.inputs["nodes"][f"gw{num}"])
        identity.set_environment(num, worker_input["workercount"], worker_input["testrunuid"])
        config.workerinput = worker_input
        config.workeroutput = dict(getattr(config, "workeroutput", {}))
        atexit._clear()  # what the parents registered is theirs to run
        os.register_at_fork(after_in_child=self.become_copy)
        self.catch_crashes()
        terminal = tty.Borrower(self.inputs["terminal"], self.ask_terminal)
        capture.install(config, self.link, self.settings, terminal)
        self.set_basetemp(Path(self.inputs["basetemp"]) / f"popen-gw{num}")
        reseed()
        if getattr(config.option, "xmlpath", None):
            self.notes = junit.Notes(config)
        config.pluginmanager.register(self, "dagz_worker")
        self.is_registered = True
        self.take_over_protocol()
        xdist.adapt_plugins(config)
        quicken(config.pluginmanager)
        others = [plugin for plugin in config.pluginmanager.get_plugins() if plugin not in hooks_of]
        config.pluginmanager.subset_hook_caller("pytest_sessionstart", others)(session=self.session)

    def catch_crashes(self) -> None:
        """Native and Python stacks go to the crash file, on a fatal signal and when asked."""
        with contextlib.suppress(Exception):
            faulthandler.disable()
            _dagz.install_crash_handlers(self.link.crash)
            faulthandler.enable(file=self.link.crash, all_threads=True)
            faulthandler.register(STACKS_SIGNAL, file=self.link.crash, all_threads=True)

    def become_copy(self) -> None:
        self.is_copy = True

    def set_basetemp(self, path: Path) -> None:
        self.config.option.basetemp = str(path)
        factory = getattr(self.config, "_tmp_path_factory", None)
        if factory is not None:
            factory._given_basetemp = path
            factory._basetemp = None

    def take_over_protocol(self) -> None:
        """Our protocol stands where pytest's own did; plugins' come before both."""
        manager = self.config.pluginmanager
        drop(manager.hook.pytest_runtest_protocol, runner)
        self.is_eager = any(
            not implementation.hookwrapper
            and not getattr(implementation, "wrapper", False)
            and not is_pytests(implementation.plugin)
            for implementation in manager.hook.pytest_runtest_protocol.get_hookimpls()
            if implementation.plugin is not self
        )
        names = ("pytest_runtest_logstart", "pytest_runtest_logreport", "pytest_runtest_logfinish")
        self.is_lean = not has_live_log(self.config) and all(
            implementation.plugin is self or is_pytests(implementation.plugin)
            for name in names
            for implementation in getattr(manager.hook, name).get_hookimpls()
        )
        self.reraise = (pytest.exit.Exception,)
        if not self.config.getoption("usepdb", False):
            self.reraise += (KeyboardInterrupt,)

    # ------------------------------------------------------------ the loop

    def run(self) -> bool:
        session = self.session
        taken = self.first()
        while taken >= 0:
            self.run_one(taken)
            if session.shouldfail or session.shouldstop:
                self.why = _dagz.CAUSE_STOPPED
                self.why_text = str(session.shouldfail or session.shouldstop)
                break
            following = self.next
            taken = following if following is not None and following >= 0 else self.idle(following)
        if taken == RECYCLE:
            self.why = _dagz.CAUSE_RECYCLED
        return True

    def first(self) -> int:
        return self.idle(None)

    def idle(self, said: int | None) -> int:
        """Between tests with nothing taken: wait for a test, END or RECYCLE."""
        while said is None or said in (_dagz.ASK, _dagz.NONE):
            if said == _dagz.ASK:
                self.link.ask()
            elif said == _dagz.NONE:
                self.link.wait()
            self.greet_new_agent()
            said = self.link.take()
        return said

    def resolve_next(self) -> pytest.Item | None:
        """Take the next test now: the teardown of the running one depends on it."""
        if self.next is None:
            self.next = RECYCLE if self.is_too_big() else self.link.take()
            while self.next == _dagz.ASK:
                self.link.ask()
                self.greet_new_agent()
                self.next = self.link.take()
        return self.session.items[self.next & 0xFFFFFFFF] if self.next >= 0 else None

    def greet_new_agent(self) -> None:
        """A process that collected for itself tells a new agent its manifest again."""
        if self.link.agents != self.agents:
            self.agents = self.link.agents
            if self.on_new_agent is not None:
                self.on_new_agent(_dagz.Channel(os.dup(self.link.sock)))

    def is_too_big(self) -> bool:
        limit = self.settings.worker_memory
        if not limit or time.monotonic() - self.memory_checked < MEMORY_CHECK_S:
            return False
        self.memory_checked = time.monotonic()
        return private_memory() > limit

    def run_one(self, taken: int) -> None:
        item = marks.running = self.session.items[taken & 0xFFFFFFFF]
        self.next = None
        self.reports = []
        self.link.begin(taken)
        nextitem = self.resolve_next() if self.is_eager else None
        try:
            line, self.file = why.place_of(item)
            self.link.line(line, bool(self.file))
            self.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        except BaseException as error:
            if self.is_copy:
                leave_copy(item, [repr(error)])
            self.tell_end(error)
            raise
        if self.is_copy:
            leave_copy(item, failures(self.reports))
        self.resolve_next()
        self.report(item)

    def report(self, item: pytest.Item) -> None:
        done = self.reports
        extra = self.extra
        if text := self.writer_text():
            extra["writer"] = text
        if passed := self.link.passed():
            extra["passed"] = passed
        if self.notes is not None and self.notes.calls:
            extra["junit"] = self.notes.take()
        times = {"setup": 0.0, "call": 0.0, "teardown": 0.0}
        for report in done:
            if report.when in times:
                times[report.when] += report.duration
        result = reports.worst(done)
        self.link.result(
            result,
            *(max(0, int(seconds * 1e6)) for seconds in times.values()),
            reports.pack(item, done, extra, self.config),
            self.file + (b"" if result == _dagz.RESULT_OK else why.text_of(done, str(self.config.rootpath))),
        )
        self.extra = {}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """As pytest's own, but what comes next is asked for as late as possible."""
        ihook = item.ihook
        if self.is_lean:
            self.run_phases(item, ihook)
            return True
        ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self.run_phases(item, ihook)
        ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def run_phases(self, item: pytest.Item, ihook: Any) -> None:
        has_request = hasattr(item, "_request")
        if has_request and not item._request:
            item._initrequest()  # a plugin runs the item again
        try:
            report = self.run_phase(item, "setup", ihook, ihook.pytest_runtest_setup)
            if report.passed:
                option = item.config.option
                setup_only = getattr(option, "setuponly", False)
                if getattr(option, "setupshow", False):
                    show_item(item, setup_only)
                if not setup_only:
                    self.link.phase(2)
                    self.run_phase(item, "call", ihook, ihook.pytest_runtest_call)
            following = self.resolve_next()
            if self.session.shouldfail or self.session.shouldstop or following is item:
                following = None  # the same test again: it is set up anew
            self.link.phase(3)
            if following is None or following.parent is not item.parent:
                # should wider fixtures kill this process, what the test did stays counted
                self.link.partial(reports.pack(item, self.reports, self.extra, self.config))
            hook = ihook.pytest_runtest_teardown
            self.run_phase(item, "teardown", ihook, hook, nextitem=following)
        finally:
            if has_request:
                item._request = False
                item.funcargs = None

    def run_phase(self, item: pytest.Item, when: Any, ihook: Any, hook: Any, **more: Any) -> Any:
        """As pytest's call_and_report: the phase's report, told to whoever wants to know."""
        call = CallInfo.from_call(lambda: hook(item=item, **more), when=when, reraise=self.reraise)
        report = ihook.pytest_runtest_makereport(item=item, call=call)
        self.fail_by_parts(report)
        if self.is_copy:
            leave_copy(item, failures([report]))
        if self.is_lean and report.outcome != "failed":
            self.reports.append(report)
        else:
            ihook.pytest_runtest_logreport(report=report)
        if call.excinfo is not None and check_interactive_exception(call, report):
            ihook.pytest_exception_interact(node=item, call=call, report=report)
        return report

    def fail_by_parts(self, report: Any) -> None:
        """A test that passed fails by its subtests once its status is asked for: plain pytest's reporter does that."""
        if report.when != "call" or not report.passed:
            return
        has_parts = any(part.when == "call" for part in self.reports)
        if has_parts and self.config.pluginmanager.hasplugin("terminalreporter"):
            self.config.hook.pytest_report_teststatus(report=report, config=self.config)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.fail_by_parts(report)
        self.reports.append(report)

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str, location: Any) -> None:
        if not self.is_registered:
            return
        packed = reports.pack_warning(warning_message, when, nodeid, location)
        self.extra.setdefault("warnings", []).append(packed)

    # ------------------------------------------------------------ the end

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        junit.Notes.remove(self.config)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> Generator[None, None, None]:
        """pytest collects garbage here, and all of it again after: the second time is for nothing."""
        yield
        gc.freeze()

    def tell_end(self, error: BaseException) -> None:
        """A test ended the run: say how, so that the controller ends as plain pytest would."""
        self.why = _dagz.CAUSE_FATAL
        end = describe_end(error)
        if end is not None:
            self.relay(end)

    def pytest_internalerror(self, excrepr: object) -> bool:
        self.relay({"kind": "internal", "text": str(excrepr)})
        self.why = _dagz.CAUSE_FATAL
        return True

    def ask_terminal(self, wanted: bool) -> None:
        self.relay({"kind": "terminal", "wanted": wanted})

    def relay(self, body: dict[str, Any]) -> None:
        self.link.push(
            "relay",
            _dagz.ROLE_CONTROLLER,
            self.link.num,
            _dagz.ROLE_WORKER,
            reports.dumps({"pid": os.getpid(), **body}),
        )

    def finish(self, exit_code: int) -> None:
        """After pytest's own end in this process: say goodbye and leave."""
        output = getattr(self.config, "workeroutput", {})
        output.setdefault("exitstatus", exit_code)
        output.setdefault("shouldfail", self.session.shouldfail)
        output.setdefault("shouldstop", self.session.shouldstop)
        atexit._run_exitfuncs()  # what tests registered
        with contextlib.suppress(EOFError):
            capture.flush_originals()
            body: dict[str, Any] = {"kind": "output", "output": output}
            if self.extra:
                body["extra"] = self.extra
            if passed := self.link.passed():
                body["passed"] = passed
            self.relay(body)
            self.link.push("leaving", self.why, self.why_text)
        nursery.leave(0)


def failures(done: list[Any]) -> list[str]:
    return [report.longreprtext for report in done if report.failed]


def leave_copy(item: pytest.Item, why: list[str]) -> None:
    """A process that a test forked came out of the test: it ends, since the worker itself goes on.

    Under plain pytest it would run all other tests, too, and then exit like this.
    """
    with contextlib.suppress(OSError):
        if why:
            os.write(2, "\n".join([f"a process forked by {item.nodeid} fails:", *why, ""]).encode())
    nursery.leave(1 if why else 0)


def has_live_log(config: pytest.Config) -> bool:
    if config.getoption("log_cli_level", None) is not None:
        return True
    try:
        return bool(config.getini("log_cli"))
    except ValueError:  # -p no:logging
        return False


def show_item(item: pytest.Item, setup_only: bool) -> None:
    try:
        show_test_item(item, add_space=not setup_only)
    except TypeError:  # before pytest 9
        show_test_item(item)


def describe_end(error: BaseException) -> dict[str, Any] | None:
    """How pytest.exit() or Ctrl-C ended the run; None for anything else (an internal error)."""
    if isinstance(error, pytest.exit.Exception):
        return {"kind": "exit", "text": error.msg, "code": error.returncode}
    if isinstance(error, KeyboardInterrupt):
        step = error.__traceback__
        while step is not None and step.tb_next is not None:
            step = step.tb_next
        place = (step.tb_frame.f_code.co_filename, step.tb_lineno) if step is not None else ("", 1)
        return {"kind": "interrupt", "text": str(error), "place": place}
    return None


def reseed() -> None:
    """Siblings must not draw the same numbers."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        with contextlib.suppress(Exception):
            numpy_random.seed(int.from_bytes(os.urandom(4), "little"))
