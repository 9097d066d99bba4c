"""Run all that has to be green, and say in one table what came of it.

    build/venv/bin/python tests/support/run.py test|soak|suites|bench

Each step writes its whole output to ``build/logs/<step>.log`` and has a time limit; the output of a
step that fails is shown.  A part that this machine cannot run (an interpreter that is not there) is
named as not tried, never passed over.  The last line, also kept in ``build/totals.txt``, is
``<n> passed, <m> failed``; the exit code is 0 when nothing failed.

C programs under test are the sanitised ones of the `dev` preset; Python loads the extension from a
release wheel, since a sanitised one needs a sanitised interpreter.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import venvs

ROOT = venvs.ROOT
BUILD = venvs.BUILD
LOGS = BUILD / "logs"
INTERPRETERS = ("3.10", "3.11", "3.12", "3.13")
JOBS = str(os.cpu_count() or 2)
SHOWN_LINES = 150
MINUTE = 60
HISTORIES_AT_ONCE = 500_000
SIM = "build/dev/tests/sim/sim_swift"

SANITIZED = {
    "DAGZ_AGENT": str(BUILD / "dev/bin/dagz-agent"),
    "DAGZ_ZB": str(BUILD / "dev/bin/zb"),
    # LeakSanitizer cannot look into a process that somebody else traces or kills
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:disable_coredump=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@dataclass
class Step:
    """One line of the table."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""


@dataclass
class Session:
    steps: list[Step] = field(default_factory=list)

    def do(self, name: str, action: Callable[[Step], None]) -> Step:
        """Run `action`; whatever it raises is one failure of the step."""
        step = Step(name)
        self.steps.append(step)
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        try:
            action(step)
        except Exception as error:  # a broken step must not hide the others
            step.failed = max(step.failed, 1)
            step.note = str(error).splitlines()[0] if str(error) else type(error).__name__
        step.seconds = time.monotonic() - began
        print(f"    {line_of(step)}", flush=True)
        return step

    def skip(self, name: str, why: str) -> None:
        self.steps.append(Step(name, note=f"not tried: {why}"))
        print(f"--- {name}: not tried: {why}", flush=True)

    def finish(self) -> int:
        print("\n" + table_of(self.steps))
        passed = sum(step.passed for step in self.steps)
        failed = sum(step.failed for step in self.steps)
        totals = f"{passed} passed, {failed} failed"
        (BUILD / "totals.txt").write_text(totals + "\n")
        print(totals, flush=True)
        return 1 if failed or not passed else 0


def line_of(step: Step) -> str:
    numbers = f"{step.passed} passed, {step.failed} failed"
    if step.skipped:
        numbers += f", {step.skipped} skipped"
    return f"{numbers} in {step.seconds:.0f} s{'  ' + step.note if step.note else ''}"


def table_of(steps: Sequence[Step]) -> str:
    rows = [("step", "passed", "failed", "skipped", "seconds", "")]
    for s in steps:
        rows.append((s.name, str(s.passed), str(s.failed), str(s.skipped), f"{s.seconds:.0f}", s.note))
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        f"{r[0]:<{width}}  {r[1]:>7}  {r[2]:>7}  {r[3]:>7}  {r[4]:>7}  {r[5]}".rstrip() for r in rows
    )


# ---------------------------------------------------------------- commands


def log_name(step: Step) -> Path:
    return LOGS / (re.sub(r"[^\w.]+", "-", step.name) + ".log")


def run(step: Step, argv: Sequence[str | Path], *, limit_s: float, env: dict[str, str] | None = None) -> int:
    """Run into the step's log; kill the whole group at the limit.  Returns the exit code."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(log_name(step), "ab") as log:
        process = subprocess.Popen(
            [str(a) for a in argv],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            step.note = f"killed after {limit_s:.0f} s"
            return 124
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def show_log(step: Step) -> None:
    try:
        lines = log_name(step).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    print("\n".join(lines[-SHOWN_LINES:]), flush=True)


def must(step: Step, code: int, what: str) -> None:
    if code:
        show_log(step)
        raise RuntimeError(step.note or f"{what}: exit {code}")


def add_junit(step: Step, path: Path, code: int) -> None:
    """Add the counts of a JUnit file; a run that ended badly without a failure in it is one."""
    failed_before = step.failed
    if path.exists():
        for case in ET.parse(path).getroot().iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                step.failed += 1
            elif "skipped" in kinds:
                step.skipped += 1
            else:
                step.passed += 1
    if code and step.failed == failed_before:
        step.failed += 1
        step.note = step.note or f"exit {code}"
    if code:
        show_log(step)


# ---------------------------------------------------------------- C


def build_dev(step: Step) -> None:
    python = f"-DPython_EXECUTABLE={BUILD}/venv/bin/python"
    must(step, run(step, ["cmake", "--preset", "dev", python], limit_s=3 * MINUTE), "configure")
    must(step, run(step, ["cmake", "--build", "build/dev"], limit_s=15 * MINUTE), "build")
    step.passed = 1


def run_ctest(step: Step) -> None:
    report = BUILD / "ctest.xml"
    report.unlink(missing_ok=True)
    argv = ["ctest", "--preset", "dev", "-j", JOBS, "--output-junit", report]
    code = run(step, argv, limit_s=20 * MINUTE)
    if not report.exists():
        must(step, code or 1, "ctest")
    for case in ET.parse(report).getroot().iter("testcase"):
        add_facts(step, case)
    if code:
        step.failed = max(step.failed, 1)
        show_log(step)


def add_facts(step: Step, case: ET.Element) -> None:
    """A cmocka program counts as many times as it has tests, everything else once."""
    output = case.findtext("system-out") or ""
    passed = len(re.findall(r"^\[       OK \]", output, re.M))
    failed = len(set(re.findall(r"^\[  FAILED  \] (\w+)$", output, re.M)))
    if case.get("status") == "run":
        step.passed += max(passed, 1)
    elif case.get("status") in ("disabled", "notrun"):
        step.skipped += 1
    else:
        step.passed += passed
        step.failed += max(failed, 1)


# ---------------------------------------------------------------- Python


def tag_of(python: str) -> str:
    told = "import sys; print('cp%d%d' % sys.version_info[:2])"
    return subprocess.check_output([python, "-c", told], text=True).strip()


def wheel_for(step: Step, python: str) -> Path:
    """Build the wheel of the tree as it is now, for that interpreter."""
    out, tag = BUILD / "wheel", tag_of(python)
    for old in out.glob(f"*-{tag}-*.whl"):
        old.unlink()
    argv = [*venvs.pip_for(python), "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    must(step, run(step, [*argv, "-w", out, ROOT], limit_s=10 * MINUTE), "pip wheel")
    (wheel,) = out.glob(f"*-{tag}-*.whl")
    return wheel


def build_wheel(python: str = sys.executable) -> Callable[[Step], None]:
    def action(step: Step) -> None:
        wheel = wheel_for(step, python)
        size = wheel.stat().st_size
        step.note = f"{wheel.name}, {size / 1e6:.1f} MB"
        if size > 20e6:
            raise RuntimeError(f"{step.note}: more than 20 MB")
        step.passed = 1

    return action


def driver(python: str = "") -> Path:
    """The interpreter that runs the Python-facing tests; it has the product, as DAGZ_WHEEL names it."""
    return venvs.get("driver", python) / "bin/python"


def pytest_step(
    folder: str, *args: str, limit_s: float, python: str = "", family: str = ""
) -> Callable[[Step], None]:
    """`family`: the environments in which the projects of the tests run (see venvs.VENVS)."""

    def action(step: Step) -> None:
        report = BUILD / f"junit-{re.sub(r'[^a-z0-9]+', '-', step.name.lower())}.xml"
        report.unlink(missing_ok=True)
        os.environ["DAGZ_WHEEL"] = str(newest_wheel(python or sys.executable))
        env = {**SANITIZED, "PYTHONPATH": str(ROOT / "tests/support")}
        if family:
            env["DZT_FAMILY"] = family
        argv = [driver(python), "-m", "pytest", "-q", folder, "-n", JOBS, f"--junitxml={report}", *args]
        add_junit(step, report, run(step, argv, limit_s=limit_s, env=env))

    return action


def newest_wheel(python: str = sys.executable) -> Path:
    (wheel,) = (BUILD / "wheel").glob(f"*-{tag_of(python)}-*.whl")
    return wheel


def suites_step(which: str, limit_s: float) -> Callable[[Step], None]:
    def action(step: Step) -> None:
        env = {"DAGZ_WHEEL": str(newest_wheel())}
        code = run(step, [sys.executable, "tests/suites/run.py", which], limit_s=limit_s, env=env)
        text = log_name(step).read_text(errors="replace")
        totals = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)
        if totals:
            step.passed, step.failed = (int(number) for number in totals[-1])
        if code:
            step.failed = max(step.failed, 1)
            show_log(step)

    return action


def smoke_interpreters(session: Session) -> None:
    own = "%d.%d" % sys.version_info[:2]
    for version in INTERPRETERS:
        if version == own:
            continue
        name = f"CPython {version}"
        found = venvs.interpreter(version)
        if found is None:
            session.skip(name, "this machine has no such interpreter")
            continue
        if not session.do(f"wheel for {name}", build_wheel(found)).failed:
            session.do(name, smoke(python=found))


def smoke(**kwargs: str) -> Callable[[Step], None]:
    return pytest_step("tests/plugin", "-m", "smoke", limit_s=12 * MINUTE, **kwargs)


def has_tests(folder: str) -> bool:
    return any((ROOT / folder).glob("test_*.py"))


# ---------------------------------------------------------------- what can be asked for


def test(session: Session) -> None:
    if session.do("build", build_dev).failed:
        return
    session.do("unit, golden, lint, sim", run_ctest)
    if session.do("wheel", build_wheel()).failed:
        return
    for name, folder, limit_s in (
        ("contract, plugins", "tests/plugin", 30 * MINUTE),
        ("end to end", "tests/e2e", 15 * MINUTE),
        ("hostile peers", "tests/security", 5 * MINUTE),
        ("drawn faults on several hosts", "tests/wild", 6 * MINUTE),
    ):
        if has_tests(folder):
            session.do(name, pytest_step(folder, limit_s=limit_s))
    if (ROOT / "tests/suites/run.py").exists():
        session.do("small suites", suites_step("--small", 20 * MINUTE))
    session.do("pytest 7.4", smoke(family="oldest"))
    smoke_interpreters(session)


def soak(session: Session) -> None:
    os.environ.update(DZT_FAULTS="200", DZT_LONGEST_STOP_S="5", DZT_HOSTILE="5")
    test(session)
    os.environ.setdefault("DZT_HISTORIES", "100_000_000")
    session.do("sim", sim)
    session.do("power cuts and kills", crash)
    for version in INTERPRETERS:
        found = venvs.interpreter(version)
        if found:
            action = pytest_step("tests/plugin", limit_s=60 * MINUTE, python=found)
            session.do(f"all on CPython {version}", action)
    session.do("daemon under load", load)
    os.environ.update(DZT_WILD="1000", DZT_WILD_FREEZE_S="30")
    session.do("many drawn faults on several hosts", pytest_step("tests/wild", limit_s=240 * MINUTE))
    session.do("fuzz", fuzz)


def sim(step: Step) -> None:
    """Histories with faults, each message in each state, and each rule of the protocol broken is found out."""

    def block(number: int) -> int:
        first, count = str(number * HISTORIES_AT_ONCE + 1), str(HISTORIES_AT_ONCE)
        return run(step, [SIM, "--first", first, "--count", count], limit_s=3600)

    done = 0
    pool = ThreadPoolExecutor(int(JOBS))
    try:
        for code in pool.map(block, range(int(os.environ["DZT_HISTORIES"]) // HISTORIES_AT_ONCE)):
            must(step, code, f"sim, after {done:,} histories")
            done += HISTORIES_AT_ONCE
    finally:
        pool.shutdown(cancel_futures=True)
    for crowd in ("64", "1024"):
        argv = [SIM, "--first", "100001", "--count", "1000000", "--crowd", crowd]
        must(step, run(step, argv, limit_s=3600), f"sim --crowd {crowd}")
    argv = [SIM, "--cells", "--first", "100001", "--count", "1000000"]
    must(step, run(step, argv, limit_s=3600), "sim --cells")
    step.passed = 1
    argv = ["build/dev/tests/sim/sim_mutants", "--mutants", "--count", "20000"]
    must(step, run(step, argv, limit_s=3600 * 2), "sim --mutants")
    step.passed = 2
    step.note = f"{done:,} histories"


def crash(step: Step) -> None:
    count = "10000"
    for program in (["power_store", count], ["power_store", count, "1", "folder"], ["kill_store", count]):
        argv = [f"build/dev/tests/crash/{program[0]}", *program[1:]]
        must(step, run(step, argv, limit_s=3600), " ".join(program))
        step.passed += int(count)


def fuzz(step: Step) -> None:
    must(step, run(step, ["tests/fuzz/run.sh"], limit_s=3600 * 4), "fuzz")
    step.passed = 1


def suites(session: Session) -> None:
    if not session.do("wheel", build_wheel()).failed:
        session.do("suites", suites_step("--all", 3600 * 3))


def load(step: Step) -> None:
    """A daemon under load, without sanitizers, which would cost more than the load."""
    targets = ["zb", "fill_store", "bench_events", "bench_ingest"]
    must(step, run(step, ["cmake", "--preset", "release"], limit_s=MINUTE), "configure")
    must(
        step,
        run(step, ["cmake", "--build", "build/release", "--target", *targets], limit_s=10 * MINUTE),
        "build",
    )
    must(step, run(step, [sys.executable, "tests/bench/store/load.py"], limit_s=10 * MINUTE), "load")
    step.passed = 1


def many_nodes(step: Step) -> None:
    """Real agents in one job, played by one process."""
    must(step, run(step, ["cmake", "--preset", "release"], limit_s=MINUTE), "configure")
    argv = ["cmake", "--build", "build/release", "--target", "bench_mesh"]
    must(step, run(step, argv, limit_s=10 * MINUTE), "build")
    must(step, run(step, ["build/release/bin/bench_mesh"], limit_s=5 * MINUTE), "bench_mesh")
    step.passed = 1


def bench(session: Session) -> None:
    session.do("daemon under load", load)
    session.do("many nodes", many_nodes)
    if session.do("wheel", build_wheel()).failed:
        return

    def action(step: Step) -> None:
        env = {**os.environ, "DAGZ_WHEEL": str(newest_wheel())}
        done = subprocess.run([sys.executable, "tests/bench/run.py"], cwd=ROOT, env=env, check=False)
        must(step, done.returncode, "bench")
        step.passed = 1

    session.do("bench", action)


def main() -> int:
    actions = {"test": test, "soak": soak, "suites": suites, "bench": bench}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=actions)
    what = parser.parse_args().what
    # A shell's background job ignores SIGINT, and so would every pytest that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for old in LOGS.glob("*.log"):
        old.unlink()
    session = Session()
    actions[what](session)
    return session.finish()


if __name__ == "__main__":
    sys.exit(main())
