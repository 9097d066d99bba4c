"""The first moment of a run: agent and seed are started, and this process becomes the controller."""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from dagz import nursery, settings, xdist

# Options that show something and run no test: pytest is left alone.
SHOWING = (
    "collectonly", "showfixtures", "show_fixtures_per_test", "markers", "setupplan", "cacheshow",
    "help", "version",
)  # fmt: skip
FILES, FILES_OF_A_WORKER = 40, 6  # that an agent or controller has open at most, as measured


def find_program(name: str) -> str:
    """Path of dagz-agent or zb: beside this package, as the wheel has it, or in the search path.

    ``DAGZ_AGENT`` and ``DAGZ_ZB`` name another one.  Raises pytest.UsageError.
    """
    variable = "DAGZ_" + name.rpartition("-")[2].upper()
    given = os.environ.get(variable)
    if given:
        if not os.access(given, os.X_OK):
            raise settings.usage(f"{variable}={given} cannot be executed")
        return given
    beside = Path(__file__).parent / "bin" / name
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise settings.usage(f"{name} is missing from this installation ({beside})")
    return found


def refuse_clash() -> None:
    """Another vendor's distribution installs a package of the same name over ours."""
    from importlib import metadata

    try:
        metadata.distribution("dagz")
    except metadata.PackageNotFoundError:
        return
    raise settings.usage(
        "the distribution 'dagz' of another vendor is installed beside dagz-mesh and clashes with it; "
        "pip uninstall dagz, then reinstall dagz-mesh"
    )


def refuse_poor_machine(workers: int) -> None:
    """What else would end as an error of ours in the middle of a run."""
    if not os.path.exists("/proc/self/task"):
        raise settings.usage("/proc is needed, and not mounted here; --dagz-workers=0 does without")
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES + FILES_OF_A_WORKER * workers
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise settings.usage(
            f"{workers} workers need {needed} open files, and 'ulimit -n' allows {allowed}: "
            "raise it, or have fewer workers"
        )


def begin(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Any:
    """Start what runs tests; returns this process's role: the controller (or what becomes it, see share.py),
    or, in a forked process, a zygote.  None: run as plain pytest.

    Raises pytest.UsageError for settings that make no sense.
    """
    namespace = config.known_args_namespace
    if any(getattr(namespace, name, None) for name in SHOWING):
        return None
    refuse_clash()
    xdist.provide(config, parser, args)
    chosen = settings.read(config, *xdist.wanted_workers(config))
    if chosen.workers == 0:
        xdist.pretend_worker(config)
        config.pluginmanager.register(InProcess(config, chosen), "dagz_in_process")
        return None
    if is_stepwise(namespace) and chosen.workers != 1:
        chosen = dataclasses.replace(
            chosen, workers=1, mapped="--stepwise runs one worker in collection order"
        )
    if needs_terminal(config) and not sys.stdin.isatty():
        raise settings.usage("--pdb and --trace need a terminal; use --dagz-workers=0 without one")
    refuse_poor_machine(chosen.workers)
    return start_processes(config, chosen)


def is_stepwise(namespace: Any) -> bool:
    """--sw, or one of its companions, each of which implies it."""
    return any(getattr(namespace, name, False) for name in ("stepwise", "stepwise_skip", "stepwise_reset"))


class InProcess:
    """--dagz-workers=0: plain pytest, for debuggers."""

    def __init__(self, config: pytest.Config, chosen: settings.Settings) -> None:
        config.dagz_testrun_uid = uuid.uuid4().hex  # type: ignore[attr-defined]
        self.follows = chosen.follow != ""

    def pytest_report_header(self) -> str:
        advice = "; -s shows what tests print" if self.follows else ""
        return f"dagz: no workers, everything runs in this process; nothing is recorded{advice}"


def needs_terminal(config: pytest.Config) -> bool:
    namespace = config.known_args_namespace
    return bool(getattr(namespace, "usepdb", False) or getattr(namespace, "trace", False))


def start_processes(config: pytest.Config, chosen: settings.Settings) -> Any:
    from dagz import _dagz, share
    from dagz.agent import Agent

    testrun_uid = getattr(config.known_args_namespace, "testrunuid", None) or uuid.uuid4().hex
    agent = Agent(find_program("dagz-agent"), start_fields(config, chosen))
    is_shared = share.is_possible(config, chosen)
    seed_end, agent_end = socket.socketpair()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    agent.start(agent_end)
    pid = os.fork()
    if pid == 0:
        ours.close()
        agent.forget()
        birth = nursery.live_as_seed(_dagz.Channel(seed_end.detach()), theirs.detach(), waits=is_shared)
        from dagz.zygote import Zygote

        return Zygote(config, chosen, birth, testrun_uid)
    theirs.close()
    agent.adopt_seed(pid, ours.detach())
    if is_shared:
        return share.Sharing(config, chosen, agent, testrun_uid, seed_end)
    from dagz.controller import Controller

    seed_end.close()
    agent.begin()
    return Controller(config, chosen, agent, testrun_uid)


def chooses(config: pytest.Config) -> str:
    """What on the command line and in ini files chooses tests, as text: the same in all nodes of a job.

    Paths are as they were given: nodes may have checked out in different places.
    """
    namespace = config.known_args_namespace
    rootdir = str(config.rootpath)
    words = [str(word).replace(rootdir, "<rootdir>") for word in namespace.file_or_dir]
    for name in ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "inifilename", "lf"):
        value = getattr(namespace, name, None)
        if value:
            words.append(f"{name}={value!r}".replace(rootdir, "<rootdir>"))
    return "\n".join(words)[:60000]


def interpreter() -> str:
    """Interpreter and platform, by which the cells of a matrix differ: "cpython-3.11-linux-x86_64"."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{sys.implementation.name}-{version}-{sys.platform}-{os.uname().machine}"


def start_fields(config: pytest.Config, chosen: settings.Settings) -> dict[str, Any]:
    """The `start` message's fields, by name; see shared/wire/messages.def."""
    from importlib import metadata

    from dagz import _dagz

    namespace = config.known_args_namespace
    flags = 0
    if is_stepwise(namespace):
        flags |= _dagz.START_IN_ORDER
    if getattr(namespace, "failedfirst", False) or getattr(namespace, "newfirst", False):
        flags |= _dagz.START_KEEP_ORDER
    if chosen.fork == "before-conftests":
        flags |= _dagz.START_SOLO
    try:
        version = metadata.version("dagz-mesh")
    except metadata.PackageNotFoundError:
        version = "from source"
    python = ".".join(map(str, sys.version_info[:3]))
    words = ["pytest", *map(str, config.invocation_params.args)]
    return {
        "home": os.environ.get("DAGZ_HOME") or os.path.expanduser("~/.dagz"),
        "uri": "",
        "timezone": "",
        "profile": os.environ.get("DAGZ_PROFILE", ""),
        "rootdir": str(config.rootpath),
        "command": " ".join(words)[:60000],
        "versions": f"dagz {version}, pytest {pytest.__version__}, Python {python}",
        "commit": os.environ.get("GIT_COMMIT_HASH", ""),
        "job": "",
        "workers": chosen.workers,
        "timeout_ms": 0 if needs_terminal(config) else chosen.test_timeout_ms,
        "worker_memory": chosen.worker_memory,
        "strikes": 3,
        "placement": chosen.placement,
        "flags": flags,
        "incarnation": 0,
        "url": chosen.url,
        "key": chosen.job,
        "rendezvous": ("auto", "store", "host", "none").index(chosen.rendezvous),
        "chooses": chooses(config),
        "python": interpreter(),
        "secret": os.urandom(32),
        "follow": "" if chosen.follow == "failed" else chosen.follow,
        "after": "",
    }
