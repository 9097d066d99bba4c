"""dagz: run a pytest suite as fast as the machines allow, and only as much of it as a change needs.

The pytest plugin is :mod:`dagz.plugin`; everything else is imported only when ``--dagz`` is on.
"""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("dagz-mesh")
    raise AttributeError(f"module 'dagz' has no attribute '{name}'")
