"""The zygote: configured as an xdist worker would be, collects once, and forks workers.

A *solo* process is forked from the seed, does the same, and then is its own single worker.

What the zygote learns that reporters want to know (collection reports, warnings, deselected tests, lines
for the header) travels to the controller as relayed dictionaries with a ``kind``:

    configured                  conftests are loaded and configured
    failed {words, name}        conftests could not be loaded, or the command line was wrong
    collected {...}             collection is over, see Zygote.tell_collected
    reads_id {place, fallback}  the project reads the worker's id before the fork
    needs_sessionstart          collection failed, and a conftest's pytest_sessionstart had not run
    threads {names, fallback}   threads that the project's import started
    exit, interrupt, internal   as in worker.py, during collection
    output {output}             workeroutput at the end
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import marshal
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dagz import _dagz, capture, identity, manifest, marks, nursery, reports, xdist
from dagz.hooks import drop, is_projects, module_of, put_back, without
from dagz.worker import Worker, describe_end

if TYPE_CHECKING:
    from collections.abc import Generator

    from dagz.settings import Settings

COLLECT_THRESHOLD = 100_000  # allocations between collections of the youngest generation


class Writer(io.StringIO):
    """What the mute terminal reporter writes to.  In a worker it is logged too, should the worker die."""

    def __init__(self) -> None:
        super().__init__()
        self.link: _dagz.Link | None = None

    def write(self, text: str) -> int:
        if self.link is not None:
            self.link.log(text.encode("utf-8", "replace"))
        return super().write(text)


class Zygote:
    """The plugin of a zygote or solo process."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        birth: nursery.Birth,
        testrun_uid: str,
    ) -> None:
        self.config = config
        self.settings = settings
        self.birth = birth
        self.is_solo = birth.kind == _dagz.FORK_SOLO
        self.num = birth.num if self.is_solo else 0
        self.watch = identity.Watch(config.rootpath)
        self.inputs: dict[str, Any] = {}
        self.worker: Worker | None = None
        self.warnings: list[dict[str, Any]] = []
        self.collect_reports: list[Any] = []
        self.deselected = 0
        self.is_ready_sent = False
        self.said: list[tuple] = []
        self.session: pytest.Session | None = None
        self.started_plugins: list[Any] = []
        self.full_sessionstart: Any = None
        self.holds_back = False  # the project's pytest_sessionstart waits for the workers
        self.ties: list[str] = []  # of all tests, see marks.py
        self.locks: list[str] = []  # resources of which there is one, because nobody says more
        self.session_plugins: list[Any] = []  # registered by other plugins' pytest_sessionstart
        self.writer = Writer()
        self.old_threshold = gc.get_threshold()
        self.shares_conftests = False  # with the controller, see share.py
        self.lost_threads = 0  # that ran there at the fork
        silence(config)
        capture.into_sinks(True)
        nursery.let_gc_see_frozen_heap()
        atexit._clear()  # what is registered so far is the controller's to run
        identity.set_environment(self.num, settings.workers, testrun_uid)
        xdist.pretend_worker(config)
        config.pluginmanager.register(self, "dagz_zygote")
        if not self.is_solo:
            self.watch.start()

    # ------------------------------------------------------------ to the controller

    def relay(self, kind: str, **body: Any) -> None:
        role = _dagz.ROLE_WORKER if self.is_solo else _dagz.ROLE_ZYGOTE
        packed = reports.dumps({"kind": kind, "pid": os.getpid(), **body})
        self.say("relay", _dagz.ROLE_CONTROLLER, self.num, role, packed)

    def say(self, *message: object) -> None:
        """To the agent.  A dead one gets nothing: :meth:`tell_again` repeats what matters to the next."""
        assert self.birth.channel is not None
        if message[0] in ("relay", "ready"):
            self.said.append(message)
        with contextlib.suppress(OSError):
            self.birth.channel.send(*message)

    def tell_again(self, channel: _dagz.Channel) -> None:
        """A new agent asks nothing: it is told all that the old one was told."""
        self.birth.channel = channel
        said, self.said = self.said, []
        for message in said:
            if message[0] == "ready" and self.session is not None and message[3]:
                self.send_manifest(self.session.items)
            self.say(*message)

    def hear(self) -> list[tuple]:
        """Messages of the agent; when it dies, those of the next."""
        assert self.birth.channel is not None
        try:
            return self.birth.channel.recv(-1)
        except EOFError:
            fd = nursery.receive_channel(self.birth.life)
        if fd is not None:
            self.tell_again(_dagz.Channel(fd))
        return []

    def ready(self, total: int, go: bool, flags: int = 0) -> None:
        self.is_ready_sent = True
        self.say("ready", total, self.deselected, int(go), flags)

    # ------------------------------------------------------------ configuration

    def conftests_loaded(self, outcome: Any) -> None:
        """Called when the hook wrapper goes on: conftests are there, or failed to load."""
        capture.into_sinks(False)
        if outcome.excinfo is None:
            return
        _, error, _ = outcome.excinfo
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """The controller most likely met the same error and shows it; ours is for the other case."""
        self.relay("failed", **describe_failure(error))
        self.ready(0, go=False)
        nursery.leave(4)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, None]:
        """All of pytest's main runs inside; forked workers come out of it too, and end here."""
        self.await_inputs()
        identity.adopt(self.inputs["environment"])  # as if it had been started only now, as under xdist
        config.workerinput = self.watch.wrap(self.inputs["nodes"][f"gw{self.num}"])
        config.workeroutput = {}
        config.option.basetemp = os.path.join(self.inputs["basetemp"], f"popen-gw{self.num}")
        outcome = yield
        code = 3
        if outcome.excinfo is None:
            code = int(outcome.get_result() or 0)
        if self.worker is not None:
            self.worker.finish(code)
        if not self.is_ready_sent:
            if outcome.excinfo is not None:
                self.fail(outcome.excinfo[1])
            self.ready(0, go=False)
        self.relay("output", output=config.workeroutput)
        atexit._run_exitfuncs()
        nursery.flush_open_files()
        nursery.leave(code, self.birth.channel)  # nobody waits while its memory goes back to the system

    def await_inputs(self) -> None:
        """What the controller has for each worker: workerinput after all plugins filled it."""
        while not self.inputs:
            for message in self.hear():
                if message[0] == "relay":
                    self.inputs = marshal.loads(message[4])
                elif message[0] == "quit":
                    nursery.leave(0)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self.mute_terminal()
        self.started_plugins = list(config.pluginmanager.get_plugins())
        if self.is_solo:
            return  # a process of its own, as under xdist: everything is started before it collects
        later = [plugin for plugin in self.started_plugins if is_projects(config, plugin)]
        self.holds_back = any(hasattr(plugin, "pytest_sessionstart") for plugin in later)
        self.full_sessionstart = without(config, "pytest_sessionstart", later)

    def mute_terminal(self) -> None:
        """Keep a reporter that plugins can ask for, silence its hooks, and catch what is written."""
        manager = self.config.pluginmanager
        reporter = manager.getplugin("terminalreporter")
        if reporter is None:
            return
        for hook in manager.get_hookcallers(reporter) or []:
            drop(hook, reporter)
        writer = reporter._tw
        writer._file = self.writer
        writer.hasmarkup = reporter.hasmarkup = self.inputs["markup"]
        writer.fullwidth = reporter._screen_width = self.inputs["width"]

    def take_written(self) -> str:
        text = self.writer.getvalue()
        if text:
            self.writer.seek(0)
            self.writer.truncate()
        return text

    # ------------------------------------------------------------ collection

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> Generator[None, Any, None]:
        self.session = session
        before = set(map(id, self.config.pluginmanager.get_plugins()))
        yield
        plugins = self.config.pluginmanager.get_plugins()
        self.session_plugins = [plugin for plugin in plugins if id(plugin) not in before]

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, Any, None]:
        if self.must_fall_back():
            self.fall_back("reads_id", place=self.watch.found)
        if self.settings.fork == "after-conftests" and not self.is_solo:
            self.fork_collectors()
        self.relay("configured")
        gc.set_threshold(COLLECT_THRESHOLD, *self.old_threshold[1:])
        outcome = yield
        gc.set_threshold(*self.old_threshold)
        if outcome.excinfo is None:
            return
        error = outcome.excinfo[1]
        if self.can_start_sessions() and not isinstance(error, (KeyboardInterrupt, pytest.exit.Exception)):
            self.fall_back("needs_sessionstart")
        if isinstance(error, pytest.UsageError):
            self.relay("failed", **describe_failure(error))
        elif isinstance(error, (session.Failed, session.Interrupted)):
            self.tell_collected(session)
        elif (end := describe_end(error)) is not None:
            self.relay(end.pop("kind"), **end)

    def fork_collectors(self) -> None:
        """dagz_fork = after-conftests: stay here and fork workers that collect for themselves.

        Returns in those; the zygote itself leaves when the agent says so.
        """
        self.watch.stop()
        self.ready(0, go=True, flags=_dagz.READY_FORK_SOLO)
        nursery.freeze_heap(self.shares_conftests)
        birth = self.serve_forks()
        if birth is None:
            nursery.leave(0)
        self.birth = birth
        self.is_solo = True
        self.num = birth.num
        self.said = []
        worker_input = self.inputs["nodes"][f"gw{self.num}"]
        identity.set_environment(self.num, worker_input["workercount"], worker_input["testrunuid"])
        self.config.workerinput = worker_input

    def must_fall_back(self) -> bool:
        return self.watch.found is not None and self.settings.fork == "auto" and not self.is_solo

    def can_start_sessions(self) -> bool:
        """Whether a collection that failed may succeed where conftests' pytest_sessionstart has run."""
        return self.holds_back and self.settings.fork == "auto" and not self.is_solo

    def fall_back(self, kind: str, **body: Any) -> None:
        """Workers are to be forked from the seed, each to load and collect for itself; leaves."""
        self.relay(kind, fallback=True, **body)
        self.ready(0, go=True, flags=_dagz.READY_READS_ID)
        nursery.leave(0)

    def pytest_collectreport(self, report: Any) -> None:
        if not report.passed:
            self.collect_reports.append(reports.to_data(report, self.config))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += len(items)

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str, location: Any) -> None:
        if self.worker is None and when != "config":  # the controller has its own of those
            packed = reports.pack_warning(warning_message, when, nodeid, location)
            self.warnings.append(packed)

    def pytest_internalerror(self, excrepr: object) -> bool | None:
        if self.worker is not None:
            return None
        self.relay("internal", text=str(excrepr))
        return True

    def tell_collected(self, session: pytest.Session) -> None:
        lines = self.config.hook.pytest_report_collectionfinish(
            config=self.config, start_path=self.config.invocation_params.dir, items=session.items
        )
        if self.inputs["ids"]:
            who = str(self.num) if self.is_solo else "zygote"
            xdist.NodeIds.leave(self.inputs["ids"], who, [item.nodeid for item in session.items])
        self.relay(
            "collected",
            total=len(session.items),
            collected=len(session.items) + self.deselected,
            deselected=self.deselected,
            reports=self.collect_reports,
            warnings=self.warnings,
            locks=self.locks,
            lines=[[line] if isinstance(line, str) else list(line) for line in lines],
            shouldstop=session.shouldstop,
            shouldfail=session.shouldfail,
            written=self.take_written(),
            stepwise_count=self.keep_caches(),
        )
        self.collect_reports = []
        self.warnings = []

    def keep_caches(self) -> int | None:
        """What only a process that collects can put into pytest's cache: known node ids.

        Returns the number of tests that --stepwise compares with next time.
        """
        manager = self.config.pluginmanager
        newest = manager.getplugin("nfplugin")
        if newest is not None and self.config.cache is not None and not self.is_solo:
            self.config.cache.set("cache/nodeids", sorted(map(str, newest.cached_nodeids)))
        stepwise = manager.getplugin("stepwiseplugin")
        return getattr(getattr(stepwise, "cached_info", None), "last_test_count", None)

    def send_manifest(self, items: list[pytest.Item]) -> None:
        for first, part in manifest.parts((item.nodeid for item in items), self.ties):
            self.say("manifest", first, part)

    # ------------------------------------------------------------ running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        self.watch.stop()
        if self.must_fall_back():
            self.fall_back("reads_id", place=self.watch.found)
        if session.testsfailed and self.can_start_sessions():
            self.fall_back("needs_sessionstart")
        if self.settings.fork == "auto" and not self.is_solo and (names := thread_names()):
            self.fall_back("threads", names=names)
        try:
            self.ties, self.locks = marks.ties(session.items, self.birth.budgets)
        except pytest.UsageError as error:
            self.relay("failed", **describe_failure(error))
            self.ready(0, go=False)
            return True
        self.tell_collected(session)
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            self.ready(len(session.items), go=False)
            return True
        if self.watch.found is not None:
            self.relay("reads_id", place=self.watch.found, fallback=False)
        self.send_manifest(session.items)
        self.ready(len(session.items), go=bool(session.items))
        if self.is_solo:
            assert self.birth.link is not None and self.birth.channel is not None
            nursery.freeze_heap(self.shares_conftests)
            self.birth.channel.close()  # the link has the same socket
            return self.become_worker(session, self.birth.link)
        return self.serve(session)

    def serve(self, session: pytest.Session) -> bool:
        """Fork workers until the agent says that it was enough; in a worker: run tests."""
        self.tell_threads()
        nursery.freeze_heap(self.shares_conftests)
        birth = self.serve_forks()
        if birth is not None:
            assert birth.link is not None
            return self.become_worker(session, birth.link)
        plugins = self.config.pluginmanager.get_plugins()
        without(self.config, "pytest_sessionfinish", [p for p in plugins if is_projects(self.config, p)])
        return True

    def serve_forks(self) -> nursery.Birth | None:
        """A forked child's birth; None in this process once the last child has ended."""
        assert self.birth.channel is not None
        yard = nursery.Nursery(self.birth.channel, self.birth.life, self.tell_again)
        try:
            birth = yard.serve()
        except EOFError:
            for kid in yard.kids.values():
                nursery.kill_group(kid.pid)
            nursery.leave(1)
        if birth is None:
            yard.close()
            self.birth.channel = yard.channel or self.birth.channel
        return birth

    def become_worker(self, session: pytest.Session, link: _dagz.Link) -> bool:
        self.worker = Worker(session, link, self.inputs, self.settings, self.take_written)
        self.writer.link = link
        if self.is_solo:
            self.worker.on_new_agent = self.tell_again
        starting: list[Any] = []
        if not self.is_solo:
            put_back(self.config, "pytest_sessionstart", self.full_sessionstart)
            starting = [p for p in self.started_plugins if not is_internal(p)]
            for plugin in self.session_plugins:
                self.config.pluginmanager.unregister(plugin)  # the worker's own start brings another
        try:
            self.worker.set_up(starting)
            return self.worker.run()
        except EOFError as error:
            if "parent of this worker" in str(error):
                os._exit(1)
            raise

    def tell_threads(self) -> None:
        """Threads do not survive a fork: name those that the project's import started."""
        count = len(os.listdir("/proc/self/task")) - 1
        names = thread_names()
        native = max(count - len(names), self.lost_threads)
        if not names and not native:
            return
        if native > 0:
            names.append(f"{native} of native code")
        self.relay("threads", names=names, fallback=False)


def describe_failure(error: BaseException) -> dict[str, Any]:
    """What pytest would print, one text for each line that begins with ERROR.  name: "" for a wrong command line."""
    if isinstance(error, pytest.UsageError):
        return {"words": list(map(str, error.args)), "name": ""}
    return {"words": [str(error)], "name": type(error).__name__}


def thread_names() -> list[str]:
    """Threads of Python beside the main one; not those of native code that only call into it."""
    main, foreign = threading.main_thread(), threading._DummyThread  # type: ignore[attr-defined]
    return [t.name for t in threading.enumerate() if t is not main and not isinstance(t, foreign)]


def silence(config: pytest.Config) -> None:
    """What plugins say outside of capture the controller's copies of them say too.

    Where capture into files has begun in the controller, it begins again here: those are the controller's.
    """
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    capturing = manager and manager._global_capturing
    kept = capture.streams_of(capturing)
    if capturing and manager._method == "fd":
        capturing.stop_capturing()
        manager._global_capturing = None
    if getattr(config.known_args_namespace, "capture", "fd") != "no":
        null_fd = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(null_fd, number)
        os.close(null_fd)
    if capturing and manager._method == "fd":
        manager.start_global_capturing()
        capture.keep_streams(manager._global_capturing, kept)
        manager.suspend_global_capture()


def is_internal(plugin: Any) -> bool:
    """Plugins whose pytest_sessionstart belongs to the zygote alone: pytest's and ours."""
    return module_of(plugin).partition(".")[0] in ("_pytest", "dagz", "pytest", "xdist")
