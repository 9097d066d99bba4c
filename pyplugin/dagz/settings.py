"""What the user asked for, checked once, in the words of the command line."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from pathlib import Path

import pytest

MIB = 1 << 20
MEMORY_PER_WORKER = 256 * MIB  # what `auto` wants to have free for each worker
WORKERS_MAX = 1024
NODEID_MAX = 65535  # bytes that the wire has for one
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
WAITS = {"DAGZ_FLUSH_TIMEOUT": 600, "DAGZ_MEET_TIMEOUT": 4}  # most seconds that the agent takes
FORKS = ("auto", "after-collection", "after-conftests", "before-conftests")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options of one run.  Times in milliseconds, memory in bytes; 0 means no limit."""

    workers: int
    test_timeout_ms: int
    worker_memory: int
    ui: str
    follow: str  # whose output is shown at once: "", "all", "failed" or a node id
    fork: str
    capture: str
    tty: bool  # streams of tests say that they are terminals
    on_ttys: tuple[bool, bool]  # whether descriptors 1 and 2 of this process are
    summary: Path | None
    job: str  # join key, or ""
    rendezvous: str
    placement: str
    url: str  # of a store; "none": no server; "": to be found
    mapped: str | None  # the line that tells what became of xdist's options


def usage(message: str) -> pytest.UsageError:
    return pytest.UsageError(f"dagz: {message}")


def parse_workers(text: str, origin: str) -> int:
    """`auto`, or a number of workers; 0 runs in this process.

    Raises pytest.UsageError that names `origin`, the option or ini name.
    """
    if text == "auto":
        return auto_workers()
    if not re.fullmatch(r"\d+", text):
        raise usage(f"{origin}={text}: a number of workers or 'auto' is expected")
    number = int(text)
    if number > WORKERS_MAX:
        raise usage(f"{origin}={text}: at most {WORKERS_MAX} workers")
    return number


def parse_bytes(text: str, origin: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match or not (size := int(float(match[1]) * UNITS[match[2].upper()])):
        raise usage(f"{origin}={text}: bytes are expected, such as 800M or 2G")
    return size


def parse_seconds(text: str, origin: str) -> int:
    """Milliseconds of a positive number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e9:
        raise usage(f"{origin}={text}: a positive number of seconds is expected")
    return max(1, round(seconds * 1000))


def read_number(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def own_cgroups(root: Path = Path("/sys/fs/cgroup")) -> list[tuple[str, Path]]:
    """(controllers, folder) of the cgroups of this process, and of their parents.

    controllers is "" for the unified hierarchy, else as in /proc/self/cgroup ("cpu,cpuacct").
    """
    found: list[tuple[str, Path]] = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top = root / controllers if controllers else root
        folder = top / path.lstrip("/")
        while True:
            found.append((controllers, folder))
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent
    return found


def cpu_quota() -> float | None:
    """CPUs that the tightest cgroup quota leaves us, or None."""
    quotas = []
    for controllers, folder in own_cgroups():
        if "cpu" in controllers.split(","):
            quota = read_number(folder / "cpu.cfs_quota_us")
            period = read_number(folder / "cpu.cfs_period_us")
            if quota and period and quota > 0:
                quotas.append(quota / period)
        elif not controllers:
            try:
                quota_text, period_text = (folder / "cpu.max").read_text().split()
            except (OSError, ValueError):
                continue
            if quota_text != "max":
                quotas.append(int(quota_text) / int(period_text))
    return min(quotas, default=None)


def memory_left() -> int | None:
    """Bytes that this process and its children may still take, or None if nobody knows."""
    left = []
    for controllers, folder in own_cgroups():
        if "memory" in controllers.split(","):
            limit = read_number(folder / "memory.limit_in_bytes")
            usage_now = read_number(folder / "memory.usage_in_bytes")
        elif not controllers:
            limit = read_number(folder / "memory.max")
            usage_now = read_number(folder / "memory.current")
        else:
            continue
        if limit is not None and usage_now is not None and limit < 1 << 60:
            left.append(max(0, limit - usage_now))
    match = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    if match:
        left.append(int(match[1]) << 10)
    return min(left, default=None)


def auto_workers() -> int:
    """One worker for each CPU that affinity and quota give, if memory lasts; at least one."""
    cpus = float(len(os.sched_getaffinity(0)))
    quota = cpu_quota()
    if quota is not None:
        cpus = min(cpus, math.ceil(quota))
    memory = memory_left()
    if memory is not None:
        cpus = min(cpus, memory // MEMORY_PER_WORKER)
    return max(1, min(WORKERS_MAX, int(cpus)))


def given(config: pytest.Config, option: str, ini: str | None) -> tuple[str | None, str]:
    """(value, where it was said) of an option or its ini twin."""
    value = getattr(config.known_args_namespace, option.lstrip("-").replace("-", "_"), None)
    if value is not None:
        return str(value), option
    if ini and config.getini(ini):
        return str(config.getini(ini)), ini
    return None, option


def parse_job(text: str) -> str:
    if not text.strip() or len(text.encode()) > 1024 or not text.isprintable():
        raise usage(f"--dagz-job={text[:60]!r}: a key of 1 to 1024 printable bytes is expected")
    return text


def rendezvous(config: pytest.Config) -> str:
    """How this run meets others.  One that was started inside a test is a job of its own."""
    asked = choice(config, "--dagz-rendezvous", ("auto", "store", "host", "none"))
    if "DAGZ_WORKER" in os.environ:
        return "none"
    return asked


def parse_follow(text: str, start: Path, root: Path) -> str:
    """ "all", "failed", or a node id as the run has it: its file below `root`, where `start` has that file."""
    if text in ("all", "failed"):
        return text
    if not text.strip() or len(text.encode("utf-8", "replace")) > NODEID_MAX or not text.isprintable():
        raise usage(f"--dagz-follow={text[:60]!r}: all, failed, or the node id of a test is expected")
    path, colons, rest = text.partition("::")
    place = Path(os.path.abspath(start / path))
    if place.exists() and root in place.parents:
        path = place.relative_to(root).as_posix()
    return path + colons + rest


def one_of(config: pytest.Config, ini: str, allowed: tuple[str, ...]) -> str:
    value = str(config.getini(ini))
    if value not in allowed:
        raise usage(f"{ini} = {value}: one of {', '.join(allowed)} is expected")
    return value


def choice(config: pytest.Config, option: str, allowed: tuple[str, ...]) -> str:
    """The value of an option that knows only these; the first one when it is not given."""
    value, _ = given(config, option, None)
    if value is not None and value not in allowed:
        raise usage(f"{option}={value}: one of {', '.join(allowed)} is expected")
    return value or allowed[0]


def check_waits() -> None:
    """Variables that the agent reads, which takes its own values for those that make no sense."""
    for name, most in WAITS.items():
        text = os.environ.get(name)
        try:
            is_ok = not text or 0 <= float(text) <= most
        except ValueError:
            is_ok = False
        if not is_ok:
            raise usage(f"{name}={text}: seconds from 0 to {most} are expected")


def read_url(config: pytest.Config) -> str:
    """What the user said where results go, "" if nothing.

    DAGZ_URL is only checked: the agent reads it itself.  Raises pytest.UsageError.
    """
    text, origin = given(config, "--dagz-url", "dagz_url")
    if text is not None:
        check_url(text, origin)
    elif os.environ.get("DAGZ_URL"):
        check_url(os.environ["DAGZ_URL"], "DAGZ_URL")
    return text or ""


def check_url(text: str, origin: str) -> None:
    if "@" in text:
        raise usage(f"{origin}: no passwords in a URL; DAGZ_TOKEN_FILE names a file with a token")
    if text != "none" and not re.fullmatch(
        r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[!-~]*)?", text
    ):
        raise usage(
            f"{origin}={text}: the URL of a store is expected, such as http://localhost:29111, or none"
        )


def read(config: pytest.Config, xdist_workers: str | None, xdist_dist: str | None) -> Settings:
    """The settings of this run; xdist's -n and --dist where the command line or ini has them.

    Raises pytest.UsageError with one line that names the wrong option.
    """
    check_waits()
    text, origin = given(config, "--dagz-workers", "dagz_workers")
    mapped = None
    if text is None and xdist_workers is not None:
        text = "auto" if xdist_workers == "logical" else xdist_workers
        origin = "-n"
        mapped = f"-n {xdist_workers} means --dagz-workers={text}"
    placement = "load"
    if xdist_dist in ("loadscope", "loadfile", "loadgroup"):
        placement = xdist_dist
        line = f"--dist {xdist_dist} keeps such tests together"
        mapped = f"{mapped}, {line}" if mapped else line
    timeout, _ = given(config, "--dagz-test-timeout", None)
    memory, _ = given(config, "--dagz-worker-memory", None)
    summary, _ = given(config, "--dagz-summary", None)
    job, _ = given(config, "--dagz-job", None)
    followed, _ = given(config, "--dagz-follow", None)
    return Settings(
        workers=parse_workers("auto" if text is None else text, origin),
        test_timeout_ms=0 if timeout is None else parse_seconds(timeout, "--dagz-test-timeout"),
        worker_memory=0 if memory is None else parse_bytes(memory, "--dagz-worker-memory"),
        ui=choice(config, "--dagz-ui", ("auto", "bar", "plain", "agent", "none")),
        follow=parse_follow(followed, config.invocation_params.dir, config.rootpath)
        if followed is not None
        else "",
        fork=one_of(config, "dagz_fork", FORKS),
        capture=one_of(config, "dagz_capture", ("pty", "pytest")),
        tty=one_of(config, "dagz_tty", ("true", "false")) == "true",
        on_ttys=(os.isatty(1), os.isatty(2)),
        summary=Path(summary) if summary else None,
        job=parse_job(job) if job is not None else "",
        rendezvous=rendezvous(config),
        placement=placement,
        url=read_url(config),
        mapped=mapped,
    )
