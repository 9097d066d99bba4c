"""Runs that share a job as if each were on a host of its own: homes of their own, and a store that all reach."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import faults
import leftovers
import netns
from daemon_place import DaemonPlace, make_certificate
from lab import Result, Run, read_log
from test_nodes import POLL_S, TESTS, WAIT_S, Party
from zb_place import ZB

TOKEN = "0123456789abcdef0123456789abcdef"


class Hosts(Party):
    """Each run has a home and a runtime folder of its own; they meet through the store at `url`."""

    def __init__(self, tmp_path: Path, url: str, files: dict[str, str] | None = None) -> None:
        super().__init__(tmp_path, files)
        self.url = url
        self.env: dict[str, str] = {}
        self.spaces: list[netns.Host] = []  # where the runs are, one after the other; none: here
        self.runtime = tempfile.TemporaryDirectory(prefix="dzt-")  # short: sockets have no long paths
        self.prefix: list[str] = []  # where zb asks from

    def folder(self, number: int) -> Path:
        return self.project.path.parent / f"host-{number}"

    def join(self, *args: str, **env: str) -> Run:
        own = self.folder(len(self.runs) + 1)
        own.mkdir()
        place = Path(self.runtime.name) / str(len(self.runs) + 1)
        place.mkdir(mode=0o700)
        mine = {
            "DAGZ_HOME": str(own / "home"),
            "XDG_RUNTIME_DIR": str(place),
            "DAGZ_URL": self.url,
            "DAGZ_AGENT_LOG": str(own / "agent.log"),
            "DAGZ_MEET_TIMEOUT": "4",  # on a machine that is busy
            **self.env,
        }
        where = {"preexec_fn": self.spaces[len(self.runs)].enter} if self.spaces else {}
        return super().join(*args, where=where, **{**mine, **env})

    def start(self, count: int, *args: str, **env: str) -> list[Run]:
        """So many runs, each of which has begun a test; the first of them schedules."""
        runs = []
        for _ in range(count):
            runs.append(self.join(*args, **env))
            self.wait_for(runs[-1], 1)
        return runs

    def zb(self, *args: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.defpath, "HOME": str(self.home), "DAGZ_URL": self.url, **self.env}
        env["DAGZ_HOME"] = str(home or self.home)
        env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "")
        argv = [*self.prefix, str(ZB), *args]
        return subprocess.run(
            argv, cwd=self.project.path, env=env, capture_output=True, text=True, timeout=WAIT_S
        )

    def jobs(self) -> list[dict[str, Any]]:
        done = self.zb("jobs", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["jobs"]

    def check_store(self, told: dict[str, Any], tests: int = TESTS) -> None:
        """The store has the job once, whole."""
        (job,) = self.jobs()
        assert job["id"] == told["job"]
        assert (job["state"], job["counted"], job["lost"]) == ("sealed", tests, 0), job

    def events(self, number: int) -> list[dict[str, Any]]:
        """What the agent of a run logged."""
        return read_log(self.folder(number) / "agent.log")

    def ranks(self, number: int) -> list[tuple[str, int]]:
        """What the agent of a run was, and in which epoch, in the order of time."""
        events = (event for event in self.events(number) if event["event"] == "vassal.rank")
        return [(event["rank"], event["epoch"]) for event in events]

    def said(self, number: int) -> str:
        """How it came to its job, each agent of it."""
        return "\n".join(str(event.get("how", "")) for event in self.events(number))

    def wait_until(self, what: str, is_so: Callable[[], object]) -> None:
        limit = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < limit, f"{what}: not within {WAIT_S} s"
            time.sleep(POLL_S)

    def agent(self, run: Run) -> int:
        (pid, *_) = faults.roles(run.env[leftovers.TOKEN], run.process.pid)["agent"]
        return pid

    def freeze(self, run: Run, seconds: float) -> None:
        """Its agent, as when a machine sleeps; then it goes on."""
        pid = self.agent(run)
        os.kill(pid, signal.SIGSTOP)
        self.pause(seconds)
        os.kill(pid, signal.SIGCONT)

    def pause(self, seconds: float) -> None:
        """The length of a fault."""
        time.sleep(seconds)


def _tls_store(net: netns.Net, tmp_path: Path) -> tuple[DaemonPlace, netns.Host, dict[str, str]]:
    """A store on a host of its own, behind TLS and a token, and what the others need to be let in."""
    host = net.host()
    folder = tmp_path / "store"
    folder.mkdir()
    place = DaemonPlace(folder)
    cert, key = make_certificate(folder, host.address)
    place.settings(
        f"port: 29111\nlisten: ['{host.address}']\ntls: {{cert: {cert}, key: {key}}}\n"
        f"public_url: 'https://{host.netloc}:29111'\n"
    )
    place.tokens(f"{TOKEN} *\n")
    return place, host, {"SSL_CERT_FILE": str(cert), "DAGZ_TOKEN": TOKEN}


class Far(Hosts):
    """Hosts on a switch, and a store on one more."""

    net: netns.Net
    store: DaemonPlace
    store_host: netns.Host

    def store_up(self) -> None:
        done = self.zb("daemon", "up", "--bg", home=self.store.home)
        assert done.returncode == 0, done.stderr


FarKind = TypeVar("FarKind", bound=Far)


@contextlib.contextmanager
def on_a_switch(
    kind: type[FarKind], tmp_path: Path, count: int, version: int = 4, files: dict[str, str] | None = None
) -> Iterator[FarKind]:
    """So many hosts, which have addresses of that internet protocol; the store is up."""
    with netns.Net(version) as net:
        place, host, env = _tls_store(net, tmp_path)
        far = kind(tmp_path, f"https://{host.netloc}:29111", files)
        far.net, far.env, far.prefix, far.store, far.store_host = net, env, host.argv, place, host
        far.spaces = [net.host() for _ in range(count)]
        far.store_up()
        yield far


def ended_by_itself(results: list[Result]) -> list[Result]:
    return [result for result in results if result.code >= 0]
