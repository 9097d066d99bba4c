"""The controller: the pytest that was started.  It imports no test module; it shows what workers did.

Reports come back from the agent and go through pytest's own hooks, so that every reporter works as if the
tests had run here.
"""

from __future__ import annotations

import marshal
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dagz import _dagz, account, identity, junit, reports, settings, verdict, xdist
from dagz.agent import Agent, AgentLost
from dagz.endings import end_fast, import_what_ends_import, raise_there, raise_told, spare_reports
from dagz.follow import Follower
from dagz.hooks import drop, quicken
from dagz.signals import Signals
from dagz.terminal import Ui
from dagz.tty import Lender

if TYPE_CHECKING:
    from collections.abc import Generator

POLL_MS = 200
EXIT_ACCOUNTING = 16
ONCE = ("output", "threads", "reads_id", "needs_sessionstart", "internal")  # relays that a process sends once


class Controller:
    """The plugin of the process that the user started."""

    def __init__(
        self, config: pytest.Config, chosen: settings.Settings, agent: Agent, testrun_uid: str
    ) -> None:
        self.config = config
        self.settings = chosen
        self.agent = agent
        self.testrun_uid = testrun_uid
        self.manager = xdist.NodeManager(config, testrun_uid)
        self.nodes: dict[int, xdist.Node] = {}
        self.ui = Ui(config, chosen)
        self.follower = Follower(self.ui, chosen.follow)
        self.on_output = self.follower.heard
        self.on_anew, self.on_progress = agent.begin_anew, self.ui.progress
        self.session: pytest.Session | None = None
        self.job: dict[str, Any] = {}
        self.collected: dict[str, Any] | None = None
        self.left_out = 0  # of them: what a job has that had ended before this node came
        self.is_shown = False  # the collection, to reporters
        self.done: dict[str, int | str] | None = None
        self.seen: set[int] = set()  # executions, numbered by the agent over all its lives
        self.verdicts: set[tuple[int, int]] = set()
        self.heard: set[tuple[str, int]] = set()
        self.end: dict[str, Any] | None = None  # pytest.exit() or Ctrl-C in a test
        self.signals = Signals()
        self.stop_said = -1
        self.lender: Lender | None = None
        self.held: list[tuple] = []  # messages that wait while a worker has the terminal
        self.is_running = False
        self.first_shouldfail = ""
        self.errors: list[str] = []  # the agent's, before anything was collected
        self.started = time.monotonic()
        self.environment = dict(os.environ)
        config.dagz_testrun_uid = testrun_uid  # type: ignore[attr-defined]
        config.pluginmanager.register(self, "dagz_controller")
        xdist.pretend_controller(config, chosen.workers)

    # ------------------------------------------------------------ configuration

    def conftests_loaded(self, outcome: Any) -> None:
        # Where they failed, or an argument is wrong, pytest ends before there is a session, without a word.
        self.config.add_cleanup(lambda: self.session or self.agent.close(4))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, None]:
        code = int(pytest.ExitCode.USAGE_ERROR)
        try:
            outcome = yield
            if outcome.excinfo is None:
                code = int(outcome.get_result() or 0)
        finally:
            self.ui.close()
            if self.lender is not None:
                self.lender.close()
            self.signals.give_back()
            self.settled(self.agent.close(code))
            end_fast(config)

    def settled(self, left: tuple[int, str, str] | None) -> None:
        """What a server has not got.  left: number of results, folder, reason."""
        self.ui.settled(left)
        if left is not None and self.settings.summary is not None:
            account.amend(self.settings.summary, pending=left[1])

    def pytest_report_header(self) -> list[str]:
        return [self.settings.mapped and f"dagz: {self.settings.mapped}"] if self.settings.mapped else []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        self.ui.configure()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session
        self.ui.attach()
        capture = self.config.pluginmanager.getplugin("capturemanager")
        if capture is not None and capture.is_globally_capturing():
            capture.read_global_capture()  # what conftests said at import: dropped, as pytest does
        hook = self.config.hook
        count = self.settings.workers
        self.manager.specs = [xdist.Spec(f"gw{num}") for num in range(count)]
        hook.pytest_xdist_setupnodes(config=self.config, specs=self.manager.specs)
        for num in range(count):
            node = self.nodes[num] = xdist.Node(self.manager, f"gw{num}", count)
            hook.pytest_xdist_newgateway(gateway=node.gateway)
            hook.pytest_configure_node(node=node)
        for line in xdist.ignored_hooks(self.config):
            self.ui.note(1, line)
        basetemp = xdist.basetemp_of(self.config)
        self.ids = xdist.NodeIds(hook, Path(basetemp))
        self.lender = Lender(Path(basetemp))
        self.agent.send_inputs(
            reports.dumps(
                {
                    "nodes": {f"gw{num}": node.workerinput for num, node in self.nodes.items()},
                    "basetemp": basetemp,
                    "environment": identity.changes_since(self.environment),
                    "ids": self.ids.path,
                    "markup": self.ui.markup,
                    "width": self.ui.width,
                    "terminal": self.lender.path,
                }
            )
        )

    # ------------------------------------------------------------ signals

    def obey_signals(self) -> None:
        told = self.signals
        if told.interrupts == 1 and self.stop_said < 0 and self.is_running:
            self.ui.note(0, "finishing the running tests; Ctrl-C again stops them now")
            self.stop(0, "Ctrl-C")
        elif told.interrupts > 1:
            self.stop(1, "Ctrl-C")
        if told.number:
            self.stop(int(told.is_patience_over), told.name, leaves=1)

    def stop(self, how: int, reason: str, *, leaves: int = 0) -> None:
        """how 0: running tests finish, 1: they are killed. leaves: other nodes of the job go on."""
        if how > self.stop_said:
            self.stop_said = how
            self.agent.stop(how, reason, leaves)

    # ------------------------------------------------------------ collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Wait for the zygote's collection and show it as if it had been done here."""
        self.signals.take()
        while not (self.collected or self.done or self.end):
            self.turn()
            if self.signals:
                self.stop(1, "interrupted")
        self.raise_end()
        if self.collected is None and self.errors:
            self.raise_error()
        for text in self.errors:
            self.ui.note(2, text)
        if self.collected is not None:
            self.show_collected(session, self.collected)
        return True

    def show_collected(self, session: pytest.Session, body: dict[str, Any]) -> None:
        hook = self.config.hook
        for data in body["reports"]:
            report = reports.from_data(data, self.config)
            hook.pytest_collectreport(report=report)
        for data in body["warnings"]:
            self.replay_warning(data)
        reports.deselect(hook, body["deselected"] + self.left_out)
        session.testscollected = body["total"] - self.left_out
        self.is_shown = True
        newest = self.config.pluginmanager.getplugin("nfplugin")
        if newest is not None:
            drop(hook.pytest_sessionfinish, newest)  # the zygote keeps its cache
        stepwise = self.config.pluginmanager.getplugin("stepwiseplugin")
        if body["stepwise_count"] is not None and hasattr(stepwise, "cached_info"):
            stepwise.cached_info.last_test_count = body["stepwise_count"]
        self.ui.collected(body)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop or body["shouldstop"]:
            raise session.Interrupted(session.shouldstop or body["shouldstop"])
        if session.testsfailed and not self.config.option.continue_on_collection_errors:
            plural = "" if session.testsfailed == 1 else "s"
            raise session.Interrupted(f"{session.testsfailed} error{plural} during collection")

    def replay_warning(self, data: dict[str, Any]) -> None:
        self.config.hook.pytest_warning_recorded.call_historic(kwargs=reports.unpack_warning(data))

    # ------------------------------------------------------------ the loop

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        quicken(self.config.pluginmanager)
        self.is_running = True
        while self.done is None:
            self.turn()
            if session.shouldfail or session.shouldstop:
                self.stop(0, str(session.shouldfail or session.shouldstop))
            if self.end is not None:
                self.stop(0, self.end.get("text") or "pytest.exit")
        self.ui.finished()
        self.raise_end()
        if self.first_shouldfail:  # tests that were running failed too; the first reason stands
            session.shouldfail = self.first_shouldfail
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    def turn(self) -> None:
        """Hear the agent once, deal with what it said, and keep the terminal alive."""
        try:
            messages = self.agent.hear(POLL_MS)
        except AgentLost:
            self.ui.note(2, "the agent died too often; the run stops here")
            self.end = self.end or {"kind": "exit", "text": "dagz: the agent died too often", "code": 3}
            self.done = self.done or {}
            return
        self.held += messages
        while self.held:
            self.handle(self.held.pop(0))
            if self.lender is not None and self.lender.borrowers:
                self.hold_back()
                break
        self.obey_signals()
        if self.lender is None or not self.lender.borrowers:
            self.ui.tick()

    def handle(self, message: tuple) -> None:
        getattr(self, f"on_{message[0]}", self.on_other)(*message[1:])

    def hold_back(self) -> None:
        """A worker has the terminal: only what gives it back is dealt with, the rest waits."""
        waiting = []
        for message in self.held:
            is_terminal = message[0] == "relay" and b"terminal" in message[4]
            if is_terminal or message[0] == "worker_down":
                self.handle(message)
            else:
                waiting.append(message)
        self.held = waiting

    def raise_end(self) -> None:
        """End as plain pytest would have: with the exception that ended the run."""
        if self.signals.number:
            pytest.exit(f"terminated by {self.signals.name}", returncode=self.signals.exit_code)
        if self.end is not None:
            if self.end["kind"] == "usage":
                self.ui.collected_nothing()
            raise_told(self.end)
        if self.signals.interrupts:
            raise_there("Ctrl-C", 1, "")  # no line of ours: it would tell the user nothing

    @property
    def is_late(self) -> bool:
        """The job had ended before this node came, and has all of its tests; or before it had collected."""
        is_well = bool(self.done) and self.done["exit_code"] == 0
        return is_well and (self.left_out > 0 or self.collected is None)

    def raise_error(self) -> None:
        """The run could not begin: 4 where the user has something to mend, else 3."""
        text = "; ".join(self.errors)
        if self.done and self.done["exit_code"] == pytest.ExitCode.USAGE_ERROR:
            raise settings.usage(text)
        pytest.exit(f"dagz: {text}", returncode=pytest.ExitCode.INTERNAL_ERROR)

    # ------------------------------------------------------------ messages of the agent

    def on_other(self, *fields: Any) -> None:
        """A message of a newer agent, or one that says only that it lives."""

    def on_job(self, job: str, short: str, store: str, workers: int, known_ms: int, home: str) -> None:
        self.job = {"id": job, "short": short, "store": store, "workers": workers}
        self.agent.has_begun = True
        self.agent.fields["job"] = job
        self.agent.fields["home"] = home  # another one than asked for, perhaps
        self.ui.job = self.job

    def on_left_out(self, count: int) -> None:
        if self.is_shown and self.session is not None and not self.left_out:  # an heir says it again
            reports.deselect(self.config.hook, count)
            self.session.testscollected -= count
        self.left_out = count

    def on_replaced(self, times: int) -> None:
        self.ui.note(1, "the agent died and was replaced; nothing that was reported is lost")

    def on_note(self, severity: int, text: str) -> None:
        if severity == 2 and self.collected is None:
            self.errors.append(text)  # perhaps the reason why there will be no run
        elif not self.agent.repeats(text):
            self.ui.note(severity, text)

    def on_worker_up(self, num: int, pid: int, replaced: int) -> None:
        node = self.nodes[num]
        node.gateway.pid = pid
        node.workerinfo.update(xdist.RemoteInfo(pid).__dict__, id=node.gateway.id)
        self.config.hook.pytest_testnodeready(node=node)
        self.ids.tell(node, "zygote")

    def on_worker_down(self, num: int, pid: int, status: int, cause: int, last: int, leftovers: str) -> None:
        if self.lender is not None:
            self.lender.take_back(num)
        if leftovers:
            names = ", ".join(leftovers.splitlines())
            self.ui.note(1, f"worker gw{num} left processes behind, ended now: {names}")
        if cause not in (_dagz.CAUSE_FINISHED, _dagz.CAUSE_RECYCLED, _dagz.CAUSE_STOPPED):
            self.nodes[num].__dict__.pop("workeroutput", None)  # of an earlier worker of this number
            self.config.hook.pytest_testnodedown(node=self.nodes[num], error=_dagz.CAUSES[cause])

    def on_done(self, *fields: Any) -> None:
        self.done = dict(zip(account.DONE, fields, strict=True))

    def on_report(
        self, test: int, attempt: int, execution: int, worker: int, result: int, blob: bytes
    ) -> None:
        if execution in self.seen:
            return  # an agent that took over says again what it is not sure of
        self.seen.add(execution)
        if self.session is not None and len(self.seen) == (self.session.testscollected + 1) // 2:
            import_what_ends_import(self.config)
        nodeid, location, done, extra = reports.unpack(blob, self.config)
        self.replay(worker, nodeid, location, done, extra)

    def replay(self, worker: int, nodeid: str, location: Any, done: list[Any], extra: dict[str, Any]) -> None:
        hook = self.config.hook
        xdist.sign(done, self.nodes[worker], self.testrun_uid)
        if "junit" in extra and done:
            junit.apply(self.config, done[0], extra["junit"])
        for data in extra.get("warnings", ()):
            self.replay_warning(data)
        self.follower.ended(worker, nodeid, done, extra)
        self.ui.before_test(nodeid, location, extra)
        self.ui.logstart(nodeid=nodeid, location=location)
        assert self.session is not None
        for report in done:
            hook.pytest_runtest_logreport(report=report)
            if self.session.shouldfail and not self.first_shouldfail:
                self.first_shouldfail = str(self.session.shouldfail)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    def on_verdict(
        self,
        test: int,
        attempt: int,
        worker: int,
        result: int,
        cause: int,
        number: int,
        elapsed_ms: int,
        detail: str,
        counted: int,
        nodeid: str,
        blob: bytes,
    ) -> None:
        """A test that its worker could not report: it crashed, or ran too long."""
        if counted and (test, attempt) in self.verdicts:
            return
        if not counted:
            first = detail.splitlines()[0] if detail else _dagz.CAUSES[cause]
            name = self.ui.seen_from_here(nodeid)
            self.ui.note(1, f"{name}: its worker gw{worker} died ({first}); it runs again")
            return
        self.verdicts.add((test, attempt))
        name, location, done, death, extra = verdict.story(
            self.config, nodeid, result, worker, elapsed_ms, detail, blob
        )
        xdist.sign([death], self.nodes[worker], self.testrun_uid)
        self.config.hook.pytest_handlecrashitem(
            crashitem=name, report=death, sched=xdist.Scheduler(self.config)
        )
        self.replay(worker, name, location, done, extra)

    # ------------------------------------------------------------ messages of zygote and workers

    def on_relay(self, to: int, num: int, role: int, body: bytes) -> None:
        data = marshal.loads(body)
        kind, pid = data.pop("kind"), data.pop("pid")
        if kind in ONCE:
            if (kind, pid) in self.heard:
                return  # said again to an agent that took over
            self.heard.add((kind, pid))
        getattr(self, f"relayed_{kind}")(num, role, data)

    def relayed_configured(self, num: int, role: int, data: dict[str, Any]) -> None:
        """The zygote began to collect."""

    def relayed_collected(self, num: int, role: int, data: dict[str, Any]) -> None:
        if self.collected is None:  # solo processes and replaced zygotes say it again
            self.collected = data
        if role == _dagz.ROLE_WORKER:
            self.ids.tell(self.nodes[num], str(num))

    def relayed_failed(self, num: int, role: int, data: dict[str, Any]) -> None:
        if self.collected is not None:
            return
        words = [f"{data['name']} in a worker: {data['words'][0]}"] if data["name"] else data["words"]
        self.end = self.end or {"kind": "usage", "words": words}

    def relayed_reads_id(self, num: int, role: int, data: dict[str, Any]) -> None:
        place = f"{data['place']} reads the worker id before the fork"
        self.fell_back(place, data["fallback"])

    def relayed_needs_sessionstart(self, num: int, role: int, data: dict[str, Any]) -> None:
        self.fell_back("collection needs what a conftest's pytest_sessionstart makes", True)

    def fell_back(self, why: str, is_solo: bool) -> None:
        """Say it; an agent that takes over must know it too."""
        after = "all workers see gw0 there"
        if is_solo:
            self.agent.fields["flags"] |= _dagz.START_SOLO
            after = "each worker now loads and collects for itself, as under xdist"
        self.ui.note(1, f"{why}: {after}")

    def relayed_threads(self, num: int, role: int, data: dict[str, Any]) -> None:
        names = ", ".join(data["names"])
        if data["fallback"]:
            self.fell_back(f"threads run after collection ({names})", True)
        else:
            self.ui.note(1, f"threads run at the fork and are missing in workers: {names}")

    def relayed_exit(self, num: int, role: int, data: dict[str, Any]) -> None:
        self.end = self.end or {"kind": "exit", **data}

    def relayed_interrupt(self, num: int, role: int, data: dict[str, Any]) -> None:
        self.end = self.end or {"kind": "interrupt", **data}

    def relayed_internal(self, num: int, role: int, data: dict[str, Any]) -> None:
        self.ui.internal_error(data["text"])
        self.end = self.end or {"kind": "exit", "text": "internal error in a worker", "code": 3}

    def relayed_terminal(self, num: int, role: int, data: dict[str, Any]) -> None:
        assert self.lender is not None
        self.ui.erase()
        if data["wanted"]:
            self.lender.lend(num)
        else:
            self.lender.take_back(num)

    def relayed_output(self, num: int, role: int, data: dict[str, Any]) -> None:
        assert self.session is not None
        reason = data["output"].get("shouldstop")
        if reason and not (self.session.shouldstop or self.session.shouldfail):
            self.session.shouldstop = str(reason)  # a plugin in a worker stopped the run
        for warning in data.get("extra", {}).get("warnings", ()):
            self.replay_warning(warning)
        if data.get("passed") and self.settings.follow != "all":
            self.ui.passed_through(data["passed"])
        xdist.tell_down(self.nodes[num], data["output"], role == _dagz.ROLE_WORKER)

    # ------------------------------------------------------------ the end

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, None]:
        while self.done is None:  # ended before the loop: let everybody end
            self.stop(1, "the run ended early")
            self.turn()
        if self.done and self.done["lost"] and session.exitstatus in (0, 1):
            session.exitstatus = EXIT_ACCOUNTING  # type: ignore[assignment]
        elif self.done and self.done["exit_code"] == 1 and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # on another node; this one scheduled
        elif self.is_late and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK
        yield
        told = account.summary(
            self.done or account.seen(self.collected, len(self.seen) + len(self.verdicts)),
            deselected=(self.collected["deselected"] if self.collected else 0) + self.left_out,
            job=self.job,
            workers=self.settings.workers,
            here=len(self.seen) + len(self.verdicts),
            seconds=time.monotonic() - self.started,
            exit_code=int(session.exitstatus),
        )
        self.ui.last_lines(told, is_refused=bool(self.errors) and self.collected is None)
        if self.settings.summary is not None:
            problem = account.write(self.settings.summary, told)
            if problem:
                self.ui.note(2, problem)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        spare_reports()
