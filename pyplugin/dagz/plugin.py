"""The pytest plugin: options, ini names and markers; everything else only when it is switched on.

Loaded by every pytest of the environment, so it imports nothing of ours at the top and no hook
here does anything but ask "is it on?".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

MARKERS = (
    "dagz_main_worker: runs on worker 0 of some node",
    "dagz_node_mutex: runs alone on its node",
    "dagz_resource(name, amount=1): never more than the declared budget at once over the whole job",
    "dagz_always: never skipped as redundant",
    "dagz_depends(path=...): depends on a file that no sensor sees",
)

# option, ini name or None, argparse keywords
OPTIONS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("--dagz", "dagz", {"action": "store_true", "help": "Share the tests among workers."}),
    (
        "--dagz-workers",
        "dagz_workers",
        {
            "metavar": "N|auto|0",
            "help": "Forked workers on this node.\nauto: what CPU quota, affinity and memory allow. "
            "0: run in this process, for debuggers.",
        },
    ),
    (
        "--dagz-test-timeout",
        None,
        {
            "metavar": "SECONDS",
            "help": "Hard limit of one test, enforced from outside the worker.",
        },
    ),
    (
        "--dagz-worker-memory",
        None,
        {
            "metavar": "BYTES",
            "help": "Replace a worker between tests once its private memory is above this "
            "(K, M and G are understood).",
        },
    ),
    (
        "--dagz-url",
        "dagz_url",
        {
            "metavar": "URL",
            "help": "The store that results go to: http://HOST:PORT or https://HOST. "
            "none: the local one, without a server.",
        },
    ),
    (
        "--dagz-job",
        None,
        {
            "metavar": "KEY",
            "help": "Runs with the same key share one job; for CIs that are not detected (zb ci env).",
        },
    ),
    (
        "--dagz-rendezvous",
        None,
        {
            "metavar": "auto|store|host|none",
            "help": "How runs of one job find each other: through the store, or on this host. "
            "none: this run is a job of its own.",
        },
    ),
    (
        "--dagz-summary",
        None,
        {"metavar": "FILE", "help": "Write the last lines as JSON, also with the terminal off."},
    ),
    (
        "--dagz-ui",
        None,
        {
            "metavar": "auto|bar|plain|agent|none",
            "help": "Terminal output: a live area, plain lines, or lines for another program.",
        },
    ),
    (
        "--dagz-follow",
        None,
        {
            "metavar": "NODEID|failed|all",
            "help": "Show what tests print while they run, each line with its worker.\n"
            "failed: what a test printed, as soon as it has failed.",
        },
    ),
)

INI_ONLY = (
    (
        "dagz_fork",
        "auto",
        "Where workers leave: auto, after-collection, after-conftests or before-conftests.",
    ),
    ("dagz_capture", "pty", "Capture of file descriptors in workers: pty or pytest."),
    ("dagz_tty", "false", "Python's output streams of workers say that they are a terminal."),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dagz", "dagz: parallel runs that lose nothing")
    for option, ini, keywords in OPTIONS:
        if "action" not in keywords:
            keywords = {"default": None, **keywords}
        group.addoption(option, **keywords)
        if ini:
            parser.addini(ini, f"As {option}.", default=None)
    for name, default, text in INI_ONLY:
        parser.addini(name, text, default=default)


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def option_names() -> list[str]:
    """Attribute names of our options in an argparse namespace."""
    return [option.lstrip("-").replace("-", "_") for option, _, _ in OPTIONS]


def is_wanted(config: pytest.Config) -> bool:
    """Whether this pytest is to run under dagz.

    Any ``--dagz-...`` option implies ``--dagz``.  In a worker and its children only the command
    line counts, not what the outer run's ini files and ``PYTEST_ADDOPTS`` say.
    """
    namespace = config.known_args_namespace
    asked = [getattr(namespace, name, None) for name in option_names()]
    if "DAGZ_WORKER" in os.environ:
        return any(str(arg).startswith("--dagz") for arg in config.invocation_params.args)
    if any(value is not None and value is not False for value in asked):
        return True
    return str(config.getini("dagz") or "").lower() in ("1", "true", "yes", "on")


def refuse_unknown(args: Sequence[str]) -> None:
    """Name the option that was meant by one that nearly is ours; pytest's own words name only what is wrong."""
    known = [option for option, _, _ in OPTIONS]
    names = [arg.partition("=")[0] for arg in args if arg.startswith("--dagz")]
    for name in names:
        if name not in known:
            import difflib

            if near := difflib.get_close_matches(name, known, 1, 0.8):
                raise pytest.UsageError(f"dagz: there is no option {name}; did you mean {near[0]}?")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: Sequence[str]
) -> Generator[None, Any, None]:
    """Before conftests and capture: the last moment at which a clean process can be forked."""
    refuse_unknown(args)
    if not is_wanted(early_config):
        yield
        return
    from dagz import start

    role = start.begin(early_config, parser, list(args))
    outcome = yield
    if role is not None:
        role.conftests_loaded(outcome)
