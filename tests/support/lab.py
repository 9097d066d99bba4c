"""Small projects, run by a pytest of their own in one of several ways, and what came of it.

    project = Lab(tmp_path).project({"test_a.py": "def test(): pass"})
    result = project.run("xdist", "-q")
    assert result.code == 0 and result.outcomes == {"test_a.py::test": "passed"}

Ways are named ``plain``, ``xdist`` (``-n 2``), ``dagz`` (``--dagz --dagz-workers=2``, xdist not
installed) and ``dagz+xdist`` (the same, xdist installed).  The environment of a run is built from
nothing, so that what the calling pytest is (an xdist worker, a dagz worker, in CI) is not seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
import uuid
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import leftovers
import venvs

INJECT = Path(__file__).resolve().parent / "inject"
TIMEOUT_S = 60.0
WAYS = ("plain", "xdist", "dagz", "dagz+xdist")
KEPT_ENV = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TMPDIR")
KEPT_ENV += ("DAGZ_AGENT", "DAGZ_ZB")  # binaries under test, in place of the wheel's


def way_args(way: str, workers: int = 2) -> list[str]:
    if way == "plain":
        return []
    if way == "xdist":
        return ["-n", str(workers)]
    return ["--dagz", f"--dagz-workers={workers}"]


def way_venv(way: str, family: str) -> str:
    """Name in `venvs.VENVS`; `family` is "", or a table name such as "plugins"."""
    bare = way in ("plain", "dagz")
    family = family or os.environ.get("DZT_FAMILY", "")  # DZT_FAMILY=oldest: the pytest we still support
    if not family:
        return "bare" if bare else "xdist"
    return f"{family}-bare" if bare else family


@dataclass(frozen=True)
class Report:
    """One report of one phase, as the recorder wrote it."""

    data: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def section(self, name: str) -> str:
        """Text of all sections of that name ("Captured stdout call"), joined; "" if there is none."""
        return "".join(text for title, text in self.data["sections"] if title == name)

    @property
    def verdict(self) -> str:
        """The outcome as people say it: passed, failed, skipped, xfailed, xpassed."""
        if self.wasxfail is not None:
            return {"skipped": "xfailed", "passed": "xpassed"}.get(self.outcome, self.outcome)
        return self.outcome


@dataclass(repr=False)
class Result:
    """What came of one run."""

    way: str
    code: int
    out: str
    err: str
    seconds: float
    lines: list[dict[str, Any]]
    junit_path: Path
    env: Mapping[str, str]
    left: list[leftovers.Process] = field(default_factory=list)
    timed_out: bool = False

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["kind"] == kind]

    @cached_property
    def reports(self) -> list[Report]:
        return [Report(line) for line in self.of("test")]

    def report(self, nodeid: str, when: str = "call") -> Report:
        """The one report of that test and phase."""
        found = [r for r in self.reports if r.nodeid.endswith(nodeid) and r.when == when]
        assert len(found) == 1, f"{len(found)} reports of {nodeid} {when}"
        return found[0]

    @cached_property
    def phases(self) -> dict[tuple[str, str], str]:
        """(nodeid, phase) -> outcome; several executions are joined by a comma."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for report in self.reports:
            found[report.nodeid, report.when].append(report.verdict)
        return {key: ",".join(sorted(value)) for key, value in found.items()}

    @cached_property
    def outcomes(self) -> dict[str, str]:
        """nodeid -> what the summary counts: the call's outcome, or "error"/"skipped" of a fixture."""
        found: dict[str, list[str]] = defaultdict(list)
        for r in self.reports:
            if r.when == "call":
                found[r.nodeid].append(r.verdict)
            elif r.outcome == "failed":
                found[r.nodeid].append("error")
            elif r.outcome == "skipped":
                found[r.nodeid].append(r.verdict)
        return {nodeid: ",".join(value) for nodeid, value in found.items()}

    @cached_property
    def counts(self) -> dict[str, int]:
        """The numbers of the terminal's last summary line: {"passed": 3, "failed": 1}."""
        return summary_counts(self.out)

    @cached_property
    def junit(self) -> ET.Element:
        return ET.parse(self.junit_path).getroot()

    def __repr__(self) -> str:
        return f"<{self.way}: exit {self.code}>"

    def __str__(self) -> str:
        left = f"\nleft behind: {self.left}" if self.left else ""
        late = " (timed out)" if self.timed_out else ""
        return (
            f"[{self.way}] exit {self.code}{late} after {self.seconds:.1f} s{left}\n"
            f"--- stdout\n{self.out[-6000:]}\n--- stderr\n{self.err[-3000:]}"
        )


def summary_counts(text: str) -> dict[str, int]:
    """Parse the last line like ``== 1 failed, 2 passed in 0.1s ==``."""
    for line in reversed(text.splitlines()):
        words = line.strip("= ").split(" in ")[0].split(", ")
        pairs = [word.split(" ", 1) for word in words]
        if " in " in line and all(len(p) == 2 and p[0].isdigit() for p in pairs):
            return {name.rstrip("s") if name in ("errors", "warnings") else name: int(n) for n, name in pairs}
    return {}


@dataclass
class Project:
    """A directory with a small test suite, and a home for what runs leave in it."""

    path: Path
    family: str = ""
    runs: int = 0

    def write(self, files: Mapping[str, str | bytes]) -> Project:
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, bytes):
                target.write_bytes(text)
            else:
                target.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return self

    def environment(self, venv: Path, extra: Mapping[str, str]) -> dict[str, str]:
        """What the run sees; `extra` wins."""
        state = self.path.parent / f"state-{self.runs}"
        (state / "tmp").mkdir(parents=True, exist_ok=True)
        env = {k: os.environ[k] for k in KEPT_ENV if k in os.environ}
        env["PATH"] = f"{venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
        env.update(
            HOME=str(state),
            DAGZ_HOME=str(state / "dagz"),
            DAGZ_URL="none",  # whatever listens on this machine is not asked
            DZT_RECORD=str(state / "record.jsonl"),
            DZT_STATE=str(state),
            PYTHONPATH=str(INJECT),
            PYTEST_DEBUG_TEMPROOT=str(state / "tmp"),
            LANG="C.UTF-8",
        )
        env[leftovers.TOKEN] = uuid.uuid4().hex
        env.update(extra)
        return env

    def command(self, way: str, args: Sequence[str], *, workers: int = 2) -> tuple[list[str], Path]:
        """The argv of a run, and the environment's directory."""
        venv = venvs.get(way_venv(way, self.family))
        argv = [str(venv / "bin/python"), "-m", "pytest", "-p", "dzt_recorder"]
        return [*argv, *way_args(way, workers), *args], venv

    def start(self, way: str, *args: str, env: Mapping[str, str] = {}, workers: int = 2, **kwargs) -> Run:
        """Start a run and return at once.  `kwargs` go to Popen."""
        self.runs += 1
        argv, venv = self.command(way, args, workers=workers)
        full = self.environment(venv, env)
        junit = Path(full["DZT_STATE"]) / "junit.xml"
        argv.append(f"--junitxml={junit}")
        options: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "start_new_session": True,
            "cwd": self.path,
            "env": full,
        }
        options.update(kwargs)
        return Run(way, subprocess.Popen(argv, **options), full, junit)

    def run(self, way: str, *args: str, env: Mapping[str, str] = {}, workers: int = 2, **kwargs) -> Result:
        """Run to the end (at most TIMEOUT_S) and look for what is left behind."""
        return self.start(way, *args, env=env, workers=workers, **kwargs).finish()


@dataclass
class Run:
    """A run that goes on."""

    way: str
    process: subprocess.Popen
    env: dict[str, str]
    junit: Path
    began: float = field(default_factory=time.monotonic)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send a signal to the process that was started, as a terminal or a CI would."""
        self.process.send_signal(number)

    def finish(self, timeout_s: float = TIMEOUT_S) -> Result:
        """Wait for the end; what still lives then is killed and listed in `left`."""
        token, late = self.env[leftovers.TOKEN], False
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            late = True
            leftovers.kill(token)
            out, err = self.process.communicate(timeout=10)
        left = [] if late else leftovers.after(token)
        leftovers.kill(token)
        return Result(
            way=self.way,
            code=self.process.returncode,
            out=(out or b"").decode("utf-8", "replace"),
            err=(err or b"").decode("utf-8", "replace"),
            seconds=time.monotonic() - self.began,
            lines=read_lines(Path(self.env["DZT_RECORD"])),
            junit_path=self.junit,
            env=self.env,
            left=left,
            timed_out=late,
        )


def read_lines(path: Path, errors: str = "surrogatepass", **options: Any) -> list[dict[str, Any]]:
    """`options`: of `json.loads`.  A last line that is cut off is left out."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", errors=errors) as file:
        return [json.loads(line, **options) for line in file if line.endswith("\n")]


def read_log(path: Path) -> list[dict[str, Any]]:
    """A log of an agent or a daemon, no line of which has a name twice."""
    return read_lines(path, "replace", object_pairs_hook=distinct)


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), f"a name stands there twice: {pairs}"
    return found


@dataclass
class Lab:
    """Makes projects below one temporary directory."""

    path: Path
    family: str = ""
    made: int = 0

    def project(self, files: Mapping[str, str | bytes], *, family: str | None = None) -> Project:
        self.made += 1
        where = self.path / f"p{self.made}" / "suite"
        where.mkdir(parents=True)
        project = Project(where, self.family if family is None else family)
        if not {"pytest.ini", "pyproject.toml", "tox.ini"} & set(files):
            project.write({"pytest.ini": "[pytest]\n"})
        return project.write(files)
