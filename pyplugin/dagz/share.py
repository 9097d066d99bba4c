"""Conftests loaded once: where nothing speaks against it, the seed is forked again when they are there.

A conftest that imports much (pandas, say) would otherwise be loaded by controller and zygote, each for
itself: twice the processor time, and twice the memory for as long as the run lasts.  So the first seed,
forked before conftests, only waits.  When they are loaded the controller forks another one, which has them
and takes the first one's place; the first leaves.

What speaks against it, and makes the first seed go on at once:

- somebody reads the worker's id, or its like, while conftests are loaded: in a worker it is another;
- threads of Python run when they are loaded: a fork does not have them;
- a plugin has work of its own before conftests are loaded (pytest-cov begins to measure there, in the
  controller another way than in a worker);
- ``dagz_fork = before-conftests``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from dagz import _dagz, capture, identity, nursery
from dagz.hooks import module_of

if TYPE_CHECKING:
    import pytest

    from dagz.agent import Agent
    from dagz.settings import Settings

OLDEST_THRESHOLD = 1000  # collections of the middle generation between those of the oldest


def is_possible(config: pytest.Config, chosen: Settings) -> bool:
    """Whether conftests may be loaded for all; whether they were is known only afterwards."""
    if chosen.fork == "before-conftests":
        return False
    hook = config.pluginmanager.hook.pytest_load_initial_conftests
    return all(
        module_of(implementation.plugin).partition(".")[0] in ("_pytest", "dagz")
        for implementation in hook.get_hookimpls()
    )


class Sharing:
    """In the controller while conftests are loaded."""

    def __init__(
        self,
        config: pytest.Config,
        chosen: Settings,
        agent: Agent,
        testrun_uid: str,
        seed_end: socket.socket,
    ) -> None:
        """seed_end: the seed's channel to the agent, which the first seed leaves alone until it is told."""
        self.config = config
        self.settings = chosen
        self.agent = agent
        self.testrun_uid = testrun_uid
        self.seed_end = seed_end
        self.has_given_up = False
        capture.into_sinks(True)
        self.watch = identity.Watch(config.rootpath, self.give_up)
        self.watch.start()

    def give_up(self) -> None:
        """The first seed goes on."""
        if self.has_given_up:
            return
        self.has_given_up = True
        self.seed_end.close()
        nursery.go_on(self.agent.life)
        self.agent.begin()

    def conftests_loaded(self, outcome: Any) -> None:
        """Become the controller; or, in a process forked here, a zygote."""
        from dagz.controller import Controller

        self.watch.stop()
        capture.into_sinks(False)
        if threading.active_count() > 1 or outcome.excinfo is not None:
            self.give_up()
        if not self.has_given_up:
            if self.fork_seed():
                return
            self.agent.begin()
        controller = Controller(self.config, self.settings, self.agent, self.testrun_uid)
        controller.conftests_loaded(outcome)

    def fork_seed(self) -> bool:
        """True in a zygote, forked from the new seed."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        said = capture.peek(self.config)
        capture.flush_quietly((sys.stdout, sys.stderr))
        lost = len(os.listdir("/proc/self/task")) - 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the threads are native code's
            pid = os.fork()
        if pid:
            theirs.close()
            self.seed_end.close()
            self.agent.change_seed(pid, ours.detach())
            spare_shared_pages()
            return False
        ours.close()
        self.agent.forget()
        birth = nursery.live_as_seed(_dagz.Channel(self.seed_end.detach()), theirs.detach())
        spare_shared_pages()
        from dagz.zygote import Zygote

        zygote = Zygote(self.config, self.settings, birth, self.testrun_uid)
        capture.into_sinks(False)
        zygote.shares_conftests = True
        zygote.lost_threads = lost
        capture.say_again(self.config, said)
        return True


def spare_shared_pages() -> None:
    """A collection of the oldest generation writes to every object, and so takes every page for itself."""
    young, middle, oldest = gc.get_threshold()
    with contextlib.suppress(ValueError):
        gc.set_threshold(young, middle, max(oldest, OLDEST_THRESHOLD))
