"""Run real suites under plain pytest and under dagz, and compare every phase of every test.

    python tests/suites/run.py NAME... [--only PATH...] | --small | --all  [--workers N] [--fresh] [--json FILE]

One line per suite: tests, differences, how many of them are explained.  What is compared: for each
(node id, phase) the outcome, the last line of its traceback and the text of its sections; collection
reports; warnings; deselected counts; the exit code.

A difference is explained when the test also differs between two plain runs, of the whole suite or of that
test alone with another allocator (the latter for texts, never for outcomes); or when plain pytest, asked for
that test alone, gives what dagz gave (then the suite itself depends on order); or when the
only difference is that bytes written to descriptor 2, under no Python stream, are in the stdout
section (both descriptors of a worker are one terminal, so that their order is true); or when the only
difference is a name that the project itself gives to each xdist worker (``Suite.worker_names``).  Plain runs are kept in ``build/suites`` and taken from there the next time, until table or environment change.
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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import leftovers  # noqa: E402
import venvs  # noqa: E402
from lab import INJECT, KEPT_ENV, read_lines  # noqa: E402
from table import SUITES, Suite  # noqa: E402

WORK = venvs.BUILD / "suites"
ALONE_LIMIT = 60  # so many tests are run alone to explain them
SHOWN = 25
VOLATILE = [
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x"),
    (re.compile(r"\b\d+\.\d+(e-?\d+)?\s?(s|ms|us|seconds?)\b"), "TIME"),
    (re.compile(r"(/[\w.+-]+)*/pytest-of-\w+/pytest-\d+(/popen-gw\d+)?"), "BASETEMP"),
    (re.compile(r"\b[Pp]id[= ]\d+"), "PID"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d+"), "NOW"),
    (re.compile(r"\b1\d{14}\b"), "ID"),  # id() of an object on the heap
    # frames of whoever calls the test, in a stack that the test prints: with its source line
    (
        re.compile(
            r'(\n|\\n) *File "[^"]*(/_?pytest/|/pluggy/|/dagz/|runpy)[^"]*", line \d+, in [\w<>.]+((\n|\\n)    [^\\\n]*)?'
        ),
        "",
    ),
]

PHASES = ("setup", "call", "teardown")

# Plain pytest's reporter prints the letter of a unittest subtest into the capture of that very test.  Under
# dagz the reporter is in another process, where it cannot.
LETTERS = re.compile(r"[u,]+( +\[ *\d+%\]\n)?[u,]*")

# (nodeid, phase or kind) -> what was seen there, each execution one string
Seen = dict[tuple[str, str], Counter[str]]


def steady(text: str) -> str:
    """Take out what differs between any two runs: addresses, times, temporary directories."""
    for pattern, put in VOLATILE:
        text = pattern.sub(put, text)
    return text


def apart(one: str, two: str) -> tuple[str, str]:
    """What is shown of two texts: their heads, and where they part."""
    at = len(os.path.commonprefix([one, two]))
    if at < 200:
        return one[:400], two[:400]
    return f"{one[:100]} ... {one[at - 80 : at + 220]}", f"{two[:100]} ... {two[at - 80 : at + 220]}"


def renamed(text: str, names: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, put in names:
        text = pattern.sub(put, text)
    return text


def seen_of(lines: Iterable[Mapping[str, Any]], names: Sequence[tuple[str, str]] = ()) -> Seen:
    """names: patterns that are replaced in sections before they are looked at."""
    found: Seen = defaultdict(Counter)
    steadied = [(re.compile(pattern), put) for pattern, put in names]
    lines = list(lines)
    divided = {line["nodeid"] for line in lines if line.get("type") == "SubtestReport"}
    for line in lines:
        kind = line["kind"]
        if kind == "test":
            nodeid = steady(line["nodeid"])
            written = line["sections"]
            if line["nodeid"] in divided:
                written = [(name, text) for name, text in written if not LETTERS.fullmatch(text)]
            sections = [[name, renamed(steady(text), steadied)] for name, text in written]
            what = [line["type"], line["outcome"], line["wasxfail"], steady(line["last"]), sections]
            found[nodeid, line["when"]][json.dumps(what)] += 1
        elif kind == "collect":
            found[line["nodeid"], "collect"][line["outcome"]] += 1
        elif kind == "warning":
            what = [line["when"], line["category"], steady(line["message"])]
            found[steady(line["nodeid"]), "warning"][json.dumps(what)] += 1
        elif kind == "deselected":
            found["", "deselected"]["count"] += line["count"]
        elif kind == "finish":
            found["", "exit"][str(line["code"])] += 1
    return found


def one_terminal(what: Counter[str]) -> Counter[str]:
    """The same with the texts of both streams of a phase taken together, line by line."""
    joined: Counter[str] = Counter()
    for text, count in what.items():
        *head, sections = json.loads(text)
        lines: dict[str, list[str]] = defaultdict(list)
        for name, content in sections:
            lines[name.replace("stderr", "stdout")] += content.splitlines()
        joined[json.dumps([head, sorted((name, sorted(part)) for name, part in lines.items())])] += count
    return joined


def only_moved(key: tuple[str, str], one: Seen, two: Seen) -> bool:
    """Do both differ at most in which of the two streams a text is filed under?"""
    return key[1] in PHASES and one_terminal(one[key]) == one_terminal(two[key])


def differing(one: Seen, two: Seen) -> list[tuple[str, str]]:
    return sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))


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
    explained: int
    plain_s: float
    dagz_s: float
    exit_plain: int
    exit_dagz: int
    left: list[str]
    unexplained: list[str]
    summary: list[str]

    def __str__(self) -> str:
        return (
            f"{self.suite:22} tests {self.tests:6}  differences {self.differences:5}  explained {self.explained:5}  "
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
            argv = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", place]
            subprocess.run([*map(str, argv), suite.package], check=True, env=venvs._clean_env())
            (archive,) = place.glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(place, filter="data")
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
        requires = [suite.pytest, suite.package, *suite.requires]
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
        text = json.dumps([asked, self.venv.name, 4])
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def environment(self, state: Path, variables: Mapping[str, str]) -> dict[str, str]:
        env = {k: os.environ[k] for k in KEPT_ENV if k in os.environ}
        env["PATH"] = f"{self.venv / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
        env.update(
            HOME=str(state),
            DAGZ_HOME=str(state / "dagz"),
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
        # a plain run's base directory is as deep as that of a worker: tests print relative paths
        root = state / "tmp" if "--dagz" in extra else state / "tmp" / "below"
        root.mkdir(parents=True)
        env = self.environment(state, {"PYTEST_DEBUG_TEMPROOT": str(root), **variables})
        argv = [str(self.venv / "bin/python"), "-m", "pytest", "-p", "dzt_recorder", "-q", *extra]
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


def same_outcome(key: tuple[str, str], one: Seen, two: Seen) -> bool:
    """Do both differ at most in texts?"""
    heads = [
        sorted(str(json.loads(text)[:3]) for text in seen.get(key, Counter()).elements())
        for seen in (one, two)
    ]
    return key[1] in PHASES and heads[0] == heads[1]


def alone(bench: Bench, nodeids: Sequence[str], plain: Seen, dagz: Seen) -> set[str]:
    """Node ids for which plain pytest, running just them, sees what dagz saw; or, where only texts differ, not
    what it saw among the others: then they depend on order, counters or addresses."""
    agreed = set()
    files: dict[str, Seen] = {}

    def seen_in(chosen: str) -> Seen:
        return seen_of(bench.run("alone", ["-p", "no:dagz"], [chosen], PYTHONMALLOC="malloc").lines)

    for nodeid in nodeids[:ALONE_LIMIT]:
        file = nodeid.partition("::")[0]
        found = files[file] if file in files else seen_in(nodeid)
        if not any(key[0] == nodeid for key in found):  # a plugin has changed the id: nobody can ask for it
            found = files[file] = seen_in(file)
        keys = [key for key in dagz if key[0] == nodeid and key[1] != "warning"]
        only_texts = all(same_outcome(key, plain, dagz) for key in keys)
        if not keys or not all(key in found for key in keys):
            continue
        if (
            all(found[key] == dagz[key] for key in keys)
            or only_texts
            and any(found[key] != plain[key] for key in keys if plain[key] != dagz[key])
        ):
            agreed.add(nodeid)
    return agreed


def unexplained(
    bench: Bench, first: Outcome, dagz: Outcome, fresh: bool
) -> tuple[int, list[tuple[str, str]]]:
    """The number of differences, and those for which nothing but dagz accounts."""
    one, ours = seen_of(first.lines), seen_of(dagz.lines)
    keys = differing(one, ours)
    left = [key for key in keys if not only_moved(key, one, ours)]
    if left and bench.suite.worker_names:
        pair = [seen_of(each.lines, bench.suite.worker_names) for each in (first, dagz)]
        left = [key for key in left if pair[0][key] != pair[1][key]]
    if left:
        again = seen_of(bench.plain(2, fresh).lines)
        unsteady = {nodeid for nodeid, _ in differing(one, again)}
        left = [key for key in left if key[0] not in unsteady]
    if left:
        asked = sorted({nodeid for nodeid, kind in left if kind in PHASES})
        dependent = alone(bench, asked, one, ours)
        left = [key for key in left if key[0] not in dependent]
    return len(keys), left


def dagz_run(bench: Bench, workers: int, again: bool) -> Outcome:
    """A run under dagz, or what the last one left."""
    path = WORK / f"last-{bench.name}-dagz.json"
    if again and path.exists():
        return Outcome(**json.loads(path.read_text("utf-8", "surrogatepass")))
    outcome = bench.run("dagz", ["--dagz", f"--dagz-workers={workers}"])
    path.write_text(json.dumps(asdict(outcome)), "utf-8", "surrogatepass")
    return outcome


def compare(bench: Bench, args: argparse.Namespace) -> Row:
    fresh = args.fresh
    first = bench.plain(1, fresh)
    dagz = bench.plain(2, fresh) if args.plain else dagz_run(bench, args.workers, args.again)
    one, ours = seen_of(first.lines), seen_of(dagz.lines)
    differences, left = unexplained(bench, first, dagz, fresh) if dagz.tests else (first.tests, list(one))
    return Row(
        suite=bench.name,
        tests=first.tests,
        executions=sum(1 for line in dagz.lines if line["kind"] == "test" and line["when"] == "call"),
        differences=differences,
        explained=differences - len(left),
        plain_s=round(first.seconds, 1),
        dagz_s=round(dagz.seconds, 1),
        exit_plain=first.code,
        exit_dagz=dagz.code,
        left=dagz.left,
        unexplained=grouped(left, one, ours),
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
        if len(row.unexplained) > SHOWN:
            print(f"    ... and {len(row.unexplained) - SHOWN} more")
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    bad = [row for row in rows if row.unexplained or row.left]
    print(f"{len(rows) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
