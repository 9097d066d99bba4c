"""The few things we do to pytest's plugin manager that it has no public call for."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from typing import Any

LIBRARIES = tuple({sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "purelib", "platlib")})


def drop(hook: Any, plugin: object) -> None:
    """Take a plugin's implementation of one hook out; nothing happens where it has none."""
    with contextlib.suppress(ValueError):
        hook._remove_plugin(plugin)


def module_of(plugin: object) -> str:
    """The module a plugin comes from: its own name if it is a module, else its class's."""
    name = getattr(plugin, "__name__", None)
    return str(name or type(plugin).__module__)


def is_pytests(plugin: object) -> bool:
    return module_of(plugin).partition(".")[0] == "_pytest"


def is_projects(config: Any, plugin: object) -> bool:
    """A conftest, or a plugin from a file of the project: what it does in a session is for each worker."""
    if plugin in config.pluginmanager._conftest_plugins:
        return True
    file = str(getattr(sys.modules.get(module_of(plugin)), "__file__", None) or "")
    return file.startswith(str(config.rootpath) + os.sep) and not file.startswith(LIBRARIES)


def without(config: Any, name: str, plugins: list[Any]) -> Any:
    """From now on the hook `name` is called without these plugins.  Returns what it was.

    pytest 7 keeps a second relay in front of the plugin manager's, which remembers what it saw.
    """
    relay = config.pluginmanager.hook
    original = getattr(relay, name)
    put_back(config, name, config.pluginmanager.subset_hook_caller(name, plugins))
    return original


def put_back(config: Any, name: str, caller: Any) -> None:
    for relay in (config.pluginmanager.hook, config.hook):
        setattr(relay, name, caller)


def quicken(manager: Any) -> None:
    """Call hooks through the C loop, unless somebody watches the calls (``--debug``) or pluggy differs."""
    from dagz import _dagz

    try:
        try:
            from pluggy import _execution as loop
        except ImportError:
            from pluggy import _callers as loop  # before pluggy 1.7
        own, wrapfail = loop._multicall, loop._raise_wrapfail
    except (ImportError, AttributeError):
        return
    sample = manager.hook.pytest_runtest_setup.get_hookimpls()
    if getattr(manager, "_inner_hookexec", None) is not own:
        return
    if sample and all(hasattr(sample[0], name) for name in ("wrapper", "hookwrapper", "argnames")):
        manager._inner_hookexec = _dagz.HookCall(own, wrapfail)
