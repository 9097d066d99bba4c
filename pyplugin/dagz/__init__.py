"""dagz: run a pytest suite as fast as the machines allow, and only as much of it as a change needs.

The pytest plugin is :mod:`dagz.plugin`; everything else is imported only when ``--dagz`` is on.
"""

from __future__ import annotations

import functools
from typing import Any

# call: (what marks.py has for it, the mark)
ASSERTIONS = {
    "assert_main_worker": ("assert_mark", "dagz_main_worker"),
    "assert_node_mutex": ("assert_mark", "dagz_node_mutex"),
    "assert_main_worker_at": ("guard", "dagz_main_worker"),
    "assert_node_mutex_at": ("guard", "dagz_node_mutex"),
}

__all__ = ["__version__", *ASSERTIONS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dagz-mesh")
    if name in ASSERTIONS:
        from dagz import marks

        action, mark = ASSERTIONS[name]
        if action == "guard":
            return functools.partial(marks.guard, mark=mark)
        return functools.partial(marks.assert_mark, mark, f"dagz.{name}()")
    raise AttributeError(f"module 'dagz' has no attribute '{name}'")
