"""What plugins that know pytest-xdist look for, so that they find it under dagz too.

Where pytest-xdist is installed its options, hook specifications and fixtures are used and only its
own sessions are kept from starting; else they are provided here.  Names and meanings are xdist's.
"""

from __future__ import annotations

import copy
import marshal
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dagz import fixtures, settings
from dagz.hooks import LIBRARIES, drop, is_projects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

WORKER = "PYTEST_XDIST_WORKER"
WORKER_COUNT = "PYTEST_XDIST_WORKER_COUNT"
AUTO_WORKERS = "PYTEST_XDIST_AUTO_NUM_WORKERS"  # what `-n auto` means
TESTRUN = "PYTEST_XDIST_TESTRUNUID"
DISTS = ("each", "load", "loadscope", "loadfile", "loadgroup", "worksteal", "no")


class HookSpecs:
    """xdist's hook specifications."""

    def pytest_xdist_setupnodes(self, config: Any, specs: Any) -> None:
        """Called before any remote node is set up."""

    def pytest_xdist_newgateway(self, gateway: Any) -> None:
        """Called on new raw gateway creation."""

    def pytest_xdist_rsyncstart(self, source: Any, gateways: Any) -> None:
        """Called before rsyncing a directory to remote gateways: never, under dagz."""

    def pytest_xdist_rsyncfinish(self, source: Any, gateways: Any) -> None:
        """Called after rsyncing a directory to remote gateways: never, under dagz."""

    @pytest.hookspec(firstresult=True)
    def pytest_xdist_getremotemodule(self) -> Any:
        """Called when creating a remote node: never, under dagz."""

    def pytest_configure_node(self, node: Any) -> None:
        """Fill ``node.workerinput`` before the worker is configured."""

    def pytest_testnodeready(self, node: Any) -> None:
        """A worker is ready to run tests."""

    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        """A worker ended; ``node.workeroutput`` is what it had to say."""

    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """A worker finished collecting."""

    @pytest.hookspec(firstresult=True)
    def pytest_xdist_make_scheduler(self, config: Any, log: Any) -> Any:
        """Return a scheduler: dagz has its own and says that it ignores this one."""

    @pytest.hookspec(firstresult=True)
    def pytest_xdist_auto_num_workers(self, config: Any) -> int:
        """Return the number of workers for ``-n auto``."""

    @pytest.hookspec(firstresult=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> Any:
        """Handle a crash item; called once per counted crash."""


def add_options(parser: pytest.Parser) -> None:
    """-n and --dist, as a project's addopts may have them for xdist."""
    group = parser.getgroup("dagz")
    add = getattr(group, "_addoption", None) or group.addoption
    add("-n", "--numprocesses", dest="numprocesses", default=None, help="As --dagz-workers.")
    add("--maxprocesses", dest="maxprocesses", type=int, default=None, help="At most so many.")
    add("--dist", dest="dist", choices=DISTS, default="no", help="load* keeps tests together.")
    add("--max-worker-restart", dest="maxworkerrestart", default=None, help="Accepted, ignored.")
    add("--tx", dest="tx", action="append", default=[], help="Accepted, ignored.")
    add("-d", dest="distload", action="store_true", default=False, help="As --dist=load.")
    add("--testrunuid", dest="testrunuid", default=None, help="The value of testrun_uid.")


def provide(config: pytest.Config, parser: pytest.Parser, args: Sequence[str]) -> None:
    """Make what plugins look for; before any conftest is loaded."""
    manager = config.pluginmanager
    real = manager.getplugin("xdist")
    if real is not None:
        # its own session: never under dagz
        drop(manager.hook.pytest_cmdline_main, real)
        return
    add_options(parser)
    manager.add_hookspecs(HookSpecs)
    manager.register(fixtures, "xdist")
    namespace = parser.parse_known_args(list(args), namespace=copy.copy(config.option))
    for name in ("inifilename", "rootdir", "confcutdir"):
        if hasattr(config.known_args_namespace, name):
            setattr(namespace, name, getattr(config.known_args_namespace, name))
    config.known_args_namespace = namespace


def wanted_workers(config: pytest.Config) -> tuple[str | None, str | None]:
    """What -n (with --maxprocesses) and --dist say: (workers or None, mode or None)."""
    namespace = config.known_args_namespace
    number = getattr(namespace, "numprocesses", None)
    most = getattr(namespace, "maxprocesses", None)
    mode = getattr(namespace, "dist", None)
    if number in ("auto", "logical") and os.environ.get(AUTO_WORKERS, "").isdigit():
        number = os.environ[AUTO_WORKERS]
    if number is not None and most:
        number = min(int(number) if str(number).isdigit() else settings.auto_workers(), int(most))
    return (None if number is None else str(number)), (None if mode == "no" else mode)


def pretend_controller(config: pytest.Config, workers: int) -> None:
    """What plugins read in the controller before conftests are loaded (pytest-cov does)."""
    for namespace in (config.known_args_namespace, config.option):
        namespace.numprocesses = workers
        namespace.dist = "load"
        namespace.tx = []


def pretend_worker(config: pytest.Config) -> None:
    """The options as xdist sets them in a worker."""
    for namespace in (config.known_args_namespace, config.option):
        namespace.numprocesses = None
        namespace.maxprocesses = None
        namespace.dist = "no"
        namespace.distload = False
        namespace.tx = []
        namespace.looponfail = False
        namespace.loadgroup = False


class RemoteInfo:
    """Of a worker, as execnet's ``gateway._rinfo()`` tells it."""

    def __init__(self, pid: int) -> None:
        self.platform = sys.platform
        self.version_info = tuple(sys.version_info)
        self.executable = sys.executable
        self.cwd = os.getcwd()
        self.pid = pid


class Spec:
    """As execnet's XSpec of a local worker."""

    popen = True
    chdir = None
    python = None
    ssh = None

    def __init__(self, name: str) -> None:
        self.id = name

    def __str__(self) -> str:
        return "popen"


class Gateway:
    def __init__(self, name: str) -> None:
        self.id = name
        self.spec = Spec(name)
        self.pid = 0

    def _rinfo(self, update: bool = False) -> RemoteInfo:
        return RemoteInfo(self.pid)

    def __repr__(self) -> str:
        return f"<Gateway id={self.id!r}>"


class NodeManager:
    def __init__(self, config: pytest.Config, testrun_uid: str) -> None:
        self.config = config
        self.testrunuid = testrun_uid
        self.roots: list[Any] = []
        self.specs: list[Spec] = []


class NodeIds:
    """The ids that a worker collected, for plugins that implement the hook about them.

    They come by a file, since they may be many: of the zygote, or of each worker that collects for itself.
    """

    def __init__(self, hook: Any, folder: Path) -> None:
        self.hook = hook.pytest_xdist_node_collection_finished
        self.path = str(folder / ".dagz-ids") if self.hook.get_hookimpls() else None

    @staticmethod
    def leave(path: str, who: str, ids: list[str]) -> None:
        with open(f"{path}-{who}", "wb") as file:
            marshal.dump(ids, file)

    def tell(self, node: Node, who: str) -> None:
        """Call the hook for the node, if `who` has left ids."""
        if self.path is not None and os.path.exists(f"{self.path}-{who}"):
            with open(f"{self.path}-{who}", "rb") as file:
                self.hook(node=node, ids=marshal.load(file))


def ignored_hooks(config: pytest.Config) -> list[str]:
    """Lines about hooks that are asked for nothing here, of plugins other than xdist itself."""
    own = config.pluginmanager.getplugin("xdist")
    hooks = config.hook
    lines = []
    if any(i.plugin is not own for i in hooks.pytest_xdist_make_scheduler.get_hookimpls()):
        lines.append("a plugin's pytest_xdist_make_scheduler is ignored: dagz schedules")
    if any(i.plugin is not own for i in hooks.pytest_xdist_auto_num_workers.get_hookimpls()):
        lines.append("a plugin's pytest_xdist_auto_num_workers is ignored: use dagz_workers")
    return lines


def basetemp_of(config: pytest.Config) -> str:
    """The folder below which every worker has its ``popen-gwN``."""
    factory = getattr(config, "_tmp_path_factory", None)
    if factory is not None:
        return str(factory.getbasetemp())
    import tempfile

    return tempfile.mkdtemp(prefix="dagz-")


class Scheduler:
    """What ``pytest_handlecrashitem`` gets as ``sched``: it may ask, but dagz schedules."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def mark_test_pending(self, item: str) -> None:
        """dagz has run the test again as often as it will."""
        raise NotImplementedError


class PluginNames(dict[str, Any]):
    """The names of a worker's plugins where pytest-xdist is not installed.

    Plugins and fixtures that ask for ``xdist`` look for what a worker has and find it.  The body of a
    test that asks wants to know whether it may use the distribution: it hears the truth.
    """

    def get(self, key: str, default: Any = None) -> Any:
        return default if key == "xdist" and is_asked_by_a_test() else super().get(key, default)


def is_asked_by_a_test() -> bool:
    """Whether the code that asks for a plugin is the project's, and runs within a test function."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("pluggy", "_pytest")):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(LIBRARIES):
        return False
    while frame is not None and frame.f_code.co_name not in ("runtest", "pytest_fixture_setup"):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "runtest"


def adapt_plugins(config: pytest.Config) -> None:
    """In a worker: plugins that look for xdist, and one that connects to the controller before the fork."""
    manager = config.pluginmanager
    if manager.get_plugin("xdist") is fixtures:
        manager._name2plugin = PluginNames(manager._name2plugin)  # type: ignore[misc]
    reruns = manager.getplugin("rerunfailures") or sys.modules.get("pytest_rerunfailures")
    if reruns is not None and hasattr(reruns, "works_with_current_xdist"):
        reruns.works_with_current_xdist = lambda: True  # each rerun is reported as it happens
    database = getattr(config, "failures_db", None)
    if hasattr(database, "sock") and type(database).__name__ == "ClientStatusDB":
        # siblings would read each other's answers from the one connection of their parent
        given = config.workerinput  # type: ignore[attr-defined]
        config.failures_db = type(database)(given["sock_port"], given["statusdb_token"])  # type: ignore[attr-defined]


class Node:
    """A worker, as plugins see it in the controller: xdist's WorkerController, as far as used."""

    def __init__(self, manager: NodeManager, name: str, count: int) -> None:
        self.config = manager.config
        self.nodemanager = manager
        self.gateway = Gateway(name)
        self.workerinfo: dict[str, Any] = {"id": name, "sysplatform": sys.platform}
        self.workerinput: dict[str, Any] = {
            "workerid": name,
            "workercount": count,
            "testrunuid": manager.testrunuid,
            "mainargv": list(sys.argv),
        }
        self.shutting_down = False
        # workeroutput is an attribute only once the worker said it, as under xdist

    @property
    def slaveinput(self) -> dict[str, Any]:
        return self.workerinput

    def __repr__(self) -> str:
        return f"<WorkerController {self.gateway.id}>"


def sign(done: Iterable[Any], node: Node, testrun_uid: str) -> None:
    """Reports get what xdist's have: the worker that they come from."""
    for report in done:
        report.node = node
        report.worker_id = node.gateway.id
        report.testrun_uid = testrun_uid


def tell_down(node: Node, output: dict[str, Any], is_worker: bool) -> None:
    """The zygote's output is for plugins alone: the project's pytest_sessionfinish did not run there."""
    hook, before = node.config.hook.pytest_testnodedown, getattr(node, "workeroutput", None)
    node.workeroutput = output
    if is_worker:
        hook(node=node, error=None)
        return
    manager = node.config.pluginmanager
    project = [plugin for plugin in manager.get_plugins() if is_projects(node.config, plugin)]
    manager.subset_hook_caller("pytest_testnodedown", project)(node=node, error=None)
    node.workeroutput = output if before is None else before
