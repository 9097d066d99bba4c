"""The C loop does what pluggy's own loop does, for every mix of functions and wrappers.

pluggy itself is the reference: both run the same implementations and must tell the same story.
"""

from __future__ import annotations

import random

import pluggy
import pytest
from dagz import _dagz
from dagz.hooks import quicken

hookspec = pluggy.HookspecMarker("sample")
hookimpl = pluggy.HookimplMarker("sample")

PLAIN = ("value", "none", "raise", "stop")
WRAPPERS = ("pass", "change", "raise-before", "raise-after", "swallow", "twice", "never", "stop-after")


class Failure(Exception):
    pass


def loops():
    try:
        from pluggy import _execution as loop
    except ImportError:
        from pluggy import _callers as loop
    return loop._multicall, _dagz.HookCall(loop._multicall, loop._raise_wrapfail)


def make_plain(kind, log, number):
    @hookimpl
    def myhook(arg):
        log.append(("plain", number, arg))
        if kind == "raise":
            raise Failure(number)
        if kind == "stop":
            raise StopIteration(number)
        return None if kind == "none" else (number, arg)

    return myhook


def make_wrapper(kind, log, number):
    @hookimpl(wrapper=True)
    def myhook(arg):
        log.append(("enter", number, arg))
        if kind == "raise-before":
            raise Failure(number)
        if kind == "never":
            return number
        try:
            result = yield
        except Exception as error:
            log.append(("saw", number, type(error).__name__, str(error)))
            if kind == "swallow":
                return ("swallowed", number)
            raise
        log.append(("got", number, result))
        if kind == "raise-after":
            raise Failure(("after", number))
        if kind == "stop-after":
            raise StopIteration(number)
        if kind == "twice":
            yield
        return ("changed", number) if kind == "change" else result

    return myhook


def make_old(log, number):
    @hookimpl(hookwrapper=True)
    def myhook(arg):
        log.append(("old enter", number))
        outcome = yield
        log.append(("old leave", number, outcome.excinfo is not None))

    return myhook


def run(loop, kinds, firstresult, with_old):
    class Spec:
        @hookspec(firstresult=firstresult)
        def myhook(self, arg):
            pass

    manager = pluggy.PluginManager("sample")
    manager.add_hookspecs(Spec)
    manager._inner_hookexec = loop
    log = []
    for number, (is_wrapper, kind) in enumerate(kinds):
        function = (make_wrapper if is_wrapper else make_plain)(kind, log, number)
        manager.register(type("Plugin", (), {"myhook": staticmethod(function)})())
    if with_old:
        manager.register(type("Plugin", (), {"myhook": staticmethod(make_old(log, 99))})())
    try:
        result = ("returned", manager.hook.myhook(arg=7))
    except BaseException as error:
        cause = type(error.__cause__).__name__
        result = ("raised", type(error).__name__, str(error).split(" at ")[0], cause)
    return result, log


@pytest.mark.parametrize("seed", range(300))
def test_both_loops_tell_the_same_story(seed):
    rng = random.Random(seed)
    kinds = [
        (True, rng.choice(WRAPPERS)) if rng.random() < 0.5 else (False, rng.choice(PLAIN))
        for _ in range(rng.randrange(7))
    ]
    ours, theirs = loops()[1], loops()[0]
    for firstresult in (False, True):
        for with_old in (False, True):
            assert run(ours, kinds, firstresult, with_old) == run(theirs, kinds, firstresult, with_old)


def test_an_argument_that_the_call_lacks_is_refused():
    manager = pluggy.PluginManager("sample")
    manager._inner_hookexec = loops()[1]
    manager.register(type("Plugin", (), {"myhook": staticmethod(make_plain("value", [], 0))})())
    with pytest.raises(Exception, match="arg"):
        manager.hook.myhook(other=1)


def test_a_watched_manager_keeps_its_own_loop(pytestconfig):
    manager = pytest.PytestPluginManager()
    undo = manager.add_hookcall_monitoring(lambda *args: None, lambda *args: None)
    watched = manager._inner_hookexec
    quicken(manager)
    assert manager._inner_hookexec is watched
    undo()


def test_references_are_given_back():
    """A thousand failing calls leave no exception, generator or argument behind."""
    import gc

    def story():
        return run(loops()[1], [(True, "swallow"), (True, "raise-after"), (False, "raise")], True, False)

    story()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        story()
    gc.collect()
    assert len(gc.get_objects()) < before + 100
