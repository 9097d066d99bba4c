"""Run real suites under plain pytest and under dagz, and compare every phase of every test.

    python tests/suites/run.py NAME... [--only PATH...] | --small | --all  [--workers N] [--fresh] [--json FILE]

One line per suite: tests, differences, how many of them are explained.  What is compared: for each
(node id, phase) the outcome, the last line of its traceback and the text of its sections; collection
reports; warnings; deselected counts; the exit code.

What explains a difference is told in ``explain.py``; the line has how often each kind of it did.  Plain runs are
kept in ``build/suites`` and taken from there the next time, until table or environment change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import leftovers  # noqa: E402
import venvs  # noqa: E402
from explain import (  # noqa: E402
    PHASES,
    Key,
    Seen,
    apart,
    differing,
    divided,
    is_lettered,
    is_moved,
    kind_of,
    seen_of,
    with_numbers_anew,
)
from lab import INJECT, KEPT_ENV, read_lines  # noqa: E402
from table import SUITES, Suite  # noqa: E402

WORK = venvs.BUILD / "suites"
SHOWN = 25
NOTHING: Counter[str] = Counter()


@dataclass
class Outcome:
    """What came of one run of one suite."""

    code: int
    seconds: float
    lines: list[dict[str, Any]]
    tail: str
    left: list[str] = field(default_factory=list)

    @property
    def tests(self) -> int:
        return len({line["nodeid"] for line in self.lines if line["kind"] == "test"})


@dataclass
class Row:
    """The line of the table."""

    suite: str
    tests: int
    executions: int
    differences: int
    explained: dict[str, int]
    plain_s: float
    dagz_s: float
    exit_plain: int
    exit_dagz: int
    left: list[str]
    unexplained: list[str]
    shown: list[str]
    summary: list[str]

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} {kind}" for kind, number in self.explained.items())
        return (
            f"{self.suite:22} tests {self.tests:6}  differences {self.differences:5}  "
            f"explained {sum(self.explained.values()):5}{kinds and f' ({kinds})'}  "
            f"exit {self.exit_plain}/{self.exit_dagz}  plain {self.plain_s:.1f} s  dagz {self.dagz_s:.1f} s"
            + (f"  LEFT {len(self.left)}" if self.left else "")
        )


def unpack(suite: Suite, python: Path) -> Path:
    """Fetch and unpack the source distribution; return its directory."""
    name = re.split(r"[=<>]", suite.package)[0]
    place = WORK / "src" / hashlib.sha256(suite.package.encode()).hexdigest()[:8]
    with venvs.lock(WORK / f"src-{name}.lock"):
        if not (place / "ready").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            venvs.pip(python, "download", "-q", "--no-deps", "--no-binary", name, "-d", place, suite.package)
            (archive,) = place.glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                # Debian 12 has a Python without filters; there nothing is kept out
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(place)
            (place / "ready").touch()
    return next(p for p in place.iterdir() if p.is_dir())


@dataclass
class Bench:
    """A suite made ready: its environment and the directory it is started in."""

    name: str
    suite: Suite
    venv: Path
    start: Path

    @classmethod
    def ready(cls, name: str, only: Sequence[str] = ()) -> Bench:
        suite = SUITES[name]
        if only:
            suite = replace(suite, args=[*only, *(arg for arg in suite.args if arg.startswith("-"))])
        requires = ["pip", suite.pytest, suite.package, *suite.requires]
        venv = venvs.make(f"suite-{name.split('-')[0]}", sorted(set(requires)))
        venvs.put_product(venv)
        if suite.sdist:
            start = unpack(suite, venv / "bin/python") / suite.below
        else:
            start = venvs.site_packages(venv) / suite.below
        return cls(name, suite, venv, start)

    @property
    def digest(self) -> str:
        asked = {name: value for name, value in asdict(self.suite).items() if name != "worker_names"}
        text = json.dumps([asked, self.venv.name, 5 if self.suite.sdist else 6])
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def environment(self, state: Path, variables: Mapping[str, str]) -> dict[str, str]:
        env = {k: os.environ[k] for k in KEPT_ENV if k in os.environ}
        env["PATH"] = f"{self.venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
        env.update(
            HOME=str(state),
            DAGZ_HOME=str(state / "dagz"),
            DAGZ_URL="none",  # whatever listens on this machine is not asked
            DZT_RECORD=str(state / "record.jsonl"),
            PYTHONPATH=str(INJECT),
            PYTHONHASHSEED="0",
            LANG="C.UTF-8",
            TMPDIR=str(state / "tmp"),
        )
        env.update(variables)
        env[leftovers.TOKEN] = uuid.uuid4().hex
        return {**env, **self.suite.env}

    def run(
        self, label: str, extra: Sequence[str], chosen: Sequence[str] | None = None, **variables: str
    ) -> Outcome:
        # outside of this tree, whose pyproject.toml a suite's own pytests would find; and a short path
        state = Path(tempfile.mkdtemp(prefix="dzt-"))
        # a plain run's base directory is as deep as that of a worker, and its name as long: tests print
        # relative paths, and shorten long ones
        root = state / "tmp" if "--dagz" in extra else state / "tmp" / "below-gw0"
        root.mkdir(parents=True)
        env = self.environment(state, {"PYTEST_DEBUG_TEMPROOT": str(root), **variables})
        argv = [str(self.venv / "bin/python"), "-m", "pytest", "-p", "dzt_recorder", "-q", *extra]
        if not self.suite.sdist:
            argv.append(
                "--rootdir=."
            )  # site-packages has no ini; ids begin where they can be asked for again
        argv += chosen if chosen is not None else self.suite.args
        began = time.monotonic()
        with open(state / "out.txt", "wb") as out:
            process = subprocess.Popen(
                argv,
                cwd=self.start,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
            try:
                code = process.wait(self.suite.timeout_s)
            except subprocess.TimeoutExpired:
                leftovers.kill(env[leftovers.TOKEN])
                code = process.wait(30)
        seconds = time.monotonic() - began
        left = [p.command for p in leftovers.after(env[leftovers.TOKEN])]
        leftovers.kill(env[leftovers.TOKEN])
        text = (state / "out.txt").read_text("utf-8", "replace")
        lines = read_lines(state / "record.jsonl")
        keep = WORK / f"last-{self.name}-{label}.txt"
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.write_text(text)
        shutil.rmtree(state, ignore_errors=True)
        return Outcome(code, seconds, lines, text[-3000:], left)

    def plain(self, number: int, fresh: bool) -> Outcome:
        """A plain run, from the cache where it is there."""
        path = WORK / "plain" / f"{self.name}-{self.digest}-{number}.json"
        if path.exists() and not fresh:
            return Outcome(**json.loads(path.read_text("utf-8", "surrogatepass")))
        outcome = self.run(f"plain{number}", ["-p", "no:dagz"])
        if outcome.tests == 0:
            raise SystemExit(f"{self.name}: plain pytest ran no test (exit {outcome.code})\n{outcome.tail}")
        if outcome.code < 0:
            raise SystemExit(f"{self.name}: plain pytest was killed (exit {outcome.code})\n{outcome.tail}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(outcome)), "utf-8", "surrogatepass")
        return outcome


def seen_alone(bench: Bench, nodeids: Sequence[str]) -> Iterator[tuple[str, Seen]]:
    """What plain pytest sees of each test when it runs just that, with another allocator: sets of objects are in
    another order then."""
    files: dict[str, Seen] = {}

    def seen_in(chosen: str) -> Seen:
        return seen_of(bench.run("alone", ["-p", "no:dagz"], [chosen], PYTHONMALLOC="malloc").lines)

    for nodeid in nodeids:
        file = nodeid.partition("::")[0]
        found = files[file] if file in files else seen_in(nodeid)
        if not any(key[0] == nodeid for key in found):  # a plugin has changed the id: nobody can ask for it
            found = files[file] = seen_in(file)
        yield nodeid, found


def seen_elsewhere(bench: Bench, nodeids: Sequence[str], seed: int) -> Seen:
    """What plain pytest sees of the files of these tests when objects lie elsewhere."""
    files = sorted({nodeid.partition("::")[0] for nodeid in nodeids})
    plugins = ["-p", "no:dagz", "-p", "dzt_elsewhere"]
    return seen_of(bench.run("elsewhere", plugins, files, DZT_ELSEWHERE=str(seed)).lines)


def anew(seen: Seen, key: Key) -> Counter[str]:
    return with_numbers_anew(seen.get(key, NOTHING))


def explain(bench: Bench, first: Outcome, dagz: Outcome, args: argparse.Namespace) -> dict[Key, str]:
    """For each difference the kind of its explanation, "" without one."""
    one, ours = seen_of(first.lines), seen_of(dagz.lines)
    kinds = dict.fromkeys(differing(one, ours), "")

    def settle(judge: Callable[[Key], str | None]) -> None:
        for key in [key for key, kind in kinds.items() if not kind]:
            kinds[key] = judge(key) or ""

    def pair(key: Key) -> tuple[Counter[str], Counter[str]]:
        return one.get(key, NOTHING), ours.get(key, NOTHING)

    settle(lambda key: "moved" if is_moved(key, *pair(key)) else None)
    parted = divided(one)
    settle(lambda key: "lettered" if key[0] in parted and is_lettered(key, *pair(key)) else None)
    if names := bench.suite.worker_names:
        one, ours = (seen_of(each.lines, names) for each in (first, dagz))
        settle(lambda key: "named" if one.get(key) == ours.get(key) else None)

    def is_numbered(key: Key) -> bool:
        return key[1] in PHASES and anew(one, key) == anew(ours, key)

    settle(lambda key: "numbered" if is_numbered(key) else None)

    def judge_by(other: Seen) -> Callable[[Key], str | None]:
        return lambda key: kind_of(key, *(anew(seen, key) for seen in (one, other, ours)))

    def asked() -> list[str]:
        return sorted({nodeid for (nodeid, phase), kind in kinds.items() if not kind and phase in PHASES})

    if args.few and asked():
        settle(judge_by(seen_of(bench.run("few", ["-p", "no:dagz"], asked()).lines)))
    elif not all(kinds.values()):
        settle(judge_by(seen_of(bench.plain(2, args.fresh).lines)))
    for nodeid, found in seen_alone(bench, asked()[: args.alone]):
        judge = judge_by(found)
        settle(lambda key, nodeid=nodeid, judge=judge: judge(key) if key[0] == nodeid else None)
    for seed in range(1, args.elsewhere + 1):
        if asked():
            settle(judge_by(seen_elsewhere(bench, asked(), seed)))
    return kinds


def dagz_run(bench: Bench, workers: int, again: bool) -> Outcome:
    """A run under dagz, or what the last one left."""
    path = WORK / f"last-{bench.name}-dagz.json"
    if again and path.exists():
        return Outcome(**json.loads(path.read_text("utf-8", "surrogatepass")))
    outcome = bench.run("dagz", ["--dagz", f"--dagz-workers={workers}"])
    path.write_text(json.dumps(asdict(outcome)), "utf-8", "surrogatepass")
    return outcome


def compare(bench: Bench, args: argparse.Namespace) -> Row:
    first = bench.plain(1, args.fresh)
    dagz = bench.plain(2, args.fresh) if args.plain else dagz_run(bench, args.workers, args.again)
    one, ours = seen_of(first.lines), seen_of(dagz.lines)
    kinds = explain(bench, first, dagz, args) if dagz.tests else dict.fromkeys(one, "")
    left = [key for key, kind in kinds.items() if not kind]
    return Row(
        suite=bench.name,
        tests=first.tests,
        executions=sum(1 for line in dagz.lines if line["kind"] == "test" and line["when"] == "call"),
        differences=len(kinds),
        explained=dict(sorted(Counter(kind for kind in kinds.values() if kind).items())),
        plain_s=round(first.seconds, 1),
        dagz_s=round(dagz.seconds, 1),
        exit_plain=first.code,
        exit_dagz=dagz.code,
        left=dagz.left,
        unexplained=grouped(left, one, ours),
        shown=grouped([key for key in kinds if key not in left], one, ours) if args.show else [],
        summary=[first.tail.strip().rsplit("\n", 1)[-1], dagz.tail.strip().rsplit("\n", 1)[-1]],
    )


def grouped(keys: Sequence[tuple[str, str]], one: Seen, ours: Seen) -> list[str]:
    """One text for all keys that differ in the same way, the most frequent first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        plain = sorted((one.get(key, Counter()) - ours.get(key, Counter())).elements())
        dagz = sorted((ours.get(key, Counter()) - one.get(key, Counter())).elements())
        shown = apart(str(plain), str(dagz))
        groups[f"    plain {shown[0]}\n    dagz  {shown[1]}"].append(" ".join(key))
    order = sorted(groups, key=lambda text: -len(groups[text]))
    return [f"{len(groups[text])} x {groups[text][0]}\n{text}" for text in order]


def options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare real suites under plain pytest and dagz.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUITES))
    parser.add_argument("--small", action="store_true", help="the ones of `make test`")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", nargs="+", default=[], metavar="PATH", help="these parts of the suite")
    parser.add_argument("--fresh", action="store_true", help="run plain pytest again")
    parser.add_argument("--plain", action="store_true", help="only the plain runs (a check of this script)")
    parser.add_argument("--again", action="store_true", help="compare with the dagz run of the last time")
    parser.add_argument(
        "--alone", type=int, default=60, help="run at most so many tests alone to explain them"
    )
    parser.add_argument(
        "--elsewhere",
        type=int,
        default=12,
        help="at most so many runs with other addresses to explain the rest",
    )
    parser.add_argument(
        "--few", action="store_true", help="the second plain run has only the tests that differ"
    )
    parser.add_argument("--show", action="store_true", help="print explained differences too")
    parser.add_argument("--json", type=Path, help="write the table there")
    args = parser.parse_args(argv)
    if args.all:
        args.names = [name for name in SUITES if not name.endswith("-part")]
    if args.small:
        args.names = [name for name, suite in SUITES.items() if suite.small]
    unknown = [name for name in args.names if name not in SUITES]
    if unknown or not args.names:
        parser.error(
            f"unknown suite: {', '.join(unknown)}" if unknown else "name a suite, or --small, or --all"
        )
    return args


def main(argv: Sequence[str]) -> int:
    args = options(argv)
    rows = []
    for name in args.names:
        row = compare(Bench.ready(name, args.only), args)
        rows.append(row)
        print(row, flush=True)
        for text in row.unexplained[:SHOWN]:
            print("   ", text, flush=True)
        for text in row.shown:
            print("    explained:", text, flush=True)
        if len(row.unexplained) > SHOWN:
            print(f"    ... and {len(row.unexplained) - SHOWN} more")
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    bad = [row for row in rows if row.unexplained or row.left]
    print(f"{len(rows) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
