"""The accounting at the end of a run, as printed and as written by ``--dagz-summary``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "dagz.summary/1"

# Fields of the agent's `done`, in their order.
DONE = (
    "collected", "run", "counted", "duplicates", "lost", "not_run", "nodes", "workers",
    "failed", "digest", "exit_code", "pending", "elsewhere", "carried",
)  # fmt: skip


def seen(collected: dict[str, Any] | None, reported: int) -> dict[str, Any]:
    """What the controller saw itself, where no agent is left to tell."""
    total = collected["total"] if collected else 0
    counted = min(total, reported)
    return {"collected": total, "run": counted, "counted": counted, "not_run": total - counted}


def summary(
    done: dict[str, Any],
    *,
    deselected: int,
    job: dict[str, Any],
    workers: int,
    here: int,
    seconds: float,
    exit_code: int,
) -> dict[str, Any]:
    """done: the agent's `done` message by field name; job: its `job` message, or empty.

    workers, here: of this node, and tests reported on it; the rest is of the whole job.
    """
    return {
        "schema": SCHEMA,
        "collected": int(done.get("collected", 0)) + deselected,
        "run": done.get("run", 0),
        "redundant": 0,
        "deselected": deselected,
        "not_run": done.get("not_run", 0),
        "elsewhere": done.get("elsewhere", 0),
        "carried": done.get("carried", 0),
        "counted": done.get("counted", 0),
        "failed": done.get("failed", 0),
        "duplicates": done.get("duplicates", 0),
        "lost": done.get("lost", 0),
        "digest": f"{done.get('digest', 0):016x}",
        "job": job.get("id", ""),
        "short": job.get("short", ""),
        "store": job.get("store", ""),
        "nodes": done.get("nodes", 1),
        "workers": max(workers, done.get("workers", 0)),
        "here": {"run": here, "workers": workers},
        "seconds": round(seconds, 3),
        "exit_code": exit_code,
        "pending": done.get("pending", ""),
    }


def amend(path: Path, **fields: Any) -> None:
    """Change fields of a summary that was written before; one that could not be written was told of."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    write(path, {**told, **fields})


def write(path: Path, told: dict[str, Any]) -> str:
    """Write it as JSON; returns what went wrong, or nothing."""
    try:
        path.write_text(json.dumps(told, indent=1) + "\n")
    except OSError as error:
        return f"--dagz-summary={path}: {error.strerror}"
    return ""
