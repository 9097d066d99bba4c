"""The agent process as the controller sees it: started, watched, replaced when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagz import _dagz, nursery

if TYPE_CHECKING:
    from collections.abc import Generator

RESTARTS_MAX = 3
SILENCE_S = 10.0  # an agent says `alive` every second
DISK_PATIENCE_S = 120.0  # one that waits for a disk cannot: killing it would not even end the wait
FLUSH_S = 5.0  # an agent waits so long for a server that has not got everything
FLUSH_MAX_S = 600.0
END_S = 5.0  # an agent that was told to end has this long


class AgentLost(Exception):
    """The agent died more often than it is replaced."""


class Agent:
    """One dagz-agent at a time, and the life-line to the seed.

    Owns the channel, the life-line and the child processes.
    """

    def __init__(self, program: str, start_fields: dict[str, Any]) -> None:
        """start_fields: what :meth:`begin` will say."""
        self.program = program
        self.start_fields = start_fields
        self.pid = 0
        self.seed_pid = 0
        self.life = -1
        self.channel: _dagz.Channel | None = None
        self.fields: dict[str, Any] = {}  # what was said
        self.inputs: bytes | None = None
        self.stopped: tuple[int, str, int] | None = None
        self.restarts = 0
        self.is_leaving = False  # its end is no death
        self.has_begun = False  # it has said which job this is
        self.first_notes: set[str] = set()  # what agents of this run said before that
        self.silent_s = 0.0  # of waiting for a word; time in which we did not listen is not its silence
        self.is_slow_told = False

    def start(self, seed_end: socket.socket) -> None:
        """Start the program; `seed_end`, its channel to the seed, is closed here."""
        ours, theirs = socket.socketpair()
        with theirs, seed_end:
            args = ["--controller-fd", "3", "--seed-fd", "4"]
            with Key.lent():
                self.pid = _dagz.spawn(self.program, args, [theirs.fileno(), seed_end.fileno()])
        self.channel = _dagz.Channel(ours.detach())
        self.silent_s = 0.0
        self.has_begun = False

    def forget(self) -> None:
        """In a forked process: the channel and the seed's life-line are not ours."""
        if self.channel is not None:
            self.channel.close()
        if self.life >= 0:
            os.close(self.life)

    def adopt_seed(self, pid: int, life: int) -> None:
        self.seed_pid = pid
        self.life = life

    def change_seed(self, pid: int, life: int) -> None:
        """Another one takes over from the seed that waited."""
        os.close(self.life)
        end_child(self.seed_pid, END_S)
        self.adopt_seed(pid, life)

    # ------------------------------------------------------------ talking

    def begin(self) -> None:
        """Say what to run; it is said again to every agent that takes over."""
        self.fields = self.start_fields
        self.say("start", *self.fields.values())

    def send_inputs(self, inputs: bytes) -> None:
        self.inputs = inputs
        self.say("relay", _dagz.ROLE_ZYGOTE, 0, _dagz.ROLE_CONTROLLER, inputs)

    def stop(self, how: int, reason: str, leaves: int) -> None:
        """Said again to an agent that takes over.  Arguments as in the message."""
        self.stopped = (how, reason, leaves)
        self.say("stop", *self.stopped)

    def say(self, *message: object) -> None:
        """To the agent; a dead one is noticed by :meth:`hear`."""
        if self.channel is not None:
            with contextlib.suppress(OSError):
                self.channel.send(*message)

    def hear(self, timeout_ms: int) -> list[tuple]:
        """Messages that came within the time.  A dead or silent agent is replaced.

        Raises AgentLost after the last replacement.
        """
        if self.channel is None:
            raise AgentLost
        began = time.monotonic()
        try:
            messages = self.channel.recv(timeout_ms)
        except (EOFError, ValueError):
            return self.replace()
        if messages:
            self.silent_s = 0.0
        else:
            # after a stop of our own (Ctrl-Z) the wait was longer than it was meant to be
            self.silent_s += min(time.monotonic() - began, timeout_ms / 1000)
        if self.silent_s <= SILENCE_S:
            return messages
        if self.silent_s <= DISK_PATIENCE_S and waits_for_disk(self.pid):
            return self.tell_slow()
        return self.replace()

    def tell_slow(self) -> list[tuple]:
        """Say once that the disk holds everybody up."""
        if self.is_slow_told:
            return []
        self.is_slow_told = True
        return [("note", 1, f"the agent has been waiting for the disk for {SILENCE_S:.0f} s")]

    def repeats(self, note: str) -> bool:
        """Is that about project or store, and said already by the agent that this one replaces?"""
        is_known = note in self.first_notes
        if not self.has_begun:
            self.first_notes.add(note)
        return is_known and not self.has_begun

    def begin_anew(self, after: str) -> None:
        """The agent may go: the next one has the same run, and nothing to do with the job that has ended."""
        self.is_leaving = True
        self.fields |= {"job": "", "after": after}
        self.say("bye", 0)

    def replace(self) -> list[tuple]:
        """A new agent, and new channels for everyone who spoke to the old one; what is to be told of it."""
        self.kill()
        self.restarts += not self.is_leaving
        news = [] if self.is_leaving else [("replaced", self.restarts)]
        self.is_leaving = False
        if self.restarts > RESTARTS_MAX or not self.fields:
            raise AgentLost
        seed_end, agent_end = socket.socketpair()
        self.start(agent_end)
        self.fields["incarnation"] += 1
        self.say("start", *self.fields.values())
        with seed_end, contextlib.suppress(OSError):
            nursery.send_channel(self.life, seed_end.fileno())
        if self.inputs is not None:
            self.send_inputs(self.inputs)
        if self.stopped is not None:
            self.say("stop", *self.stopped)
        return news

    # ------------------------------------------------------------ ending

    def kill(self) -> None:
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        end_child(self.pid, 0.0)
        self.pid = 0

    def close(self, exit_code: int = 0) -> tuple[int, str, str] | None:
        """Everything is done or given up: end the agent, then the seed.  May be repeated.

        Returns (results, folder, reason) when a server has not got everything.
        """
        self.say("bye", exit_code)
        left = self.last_words()
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        end_child(self.pid, END_S)
        if self.life >= 0:
            os.close(self.life)
            self.life = -1
        end_child(self.seed_pid, END_S)
        self.pid = self.seed_pid = 0
        return left

    def last_words(self) -> tuple[int, str, str] | None:
        """What the agent says until it ends; it waits for a server no longer than it was told to."""
        left = None
        until = time.monotonic() + flush_timeout_s() + END_S
        while self.channel is not None and time.monotonic() < until:
            try:
                messages = self.channel.recv(200)
            except (EOFError, ValueError, OSError):
                break
            for name, *fields in messages:
                if name == "settled":
                    left = (fields[0], fields[1], fields[2])
        return left


class Key:
    """The key to the store, DAGZ_TOKEN: for agents only, so neither for conftests nor for what they start.

    It is taken out of this process's environment when the first agent has it; one that replaces that
    agent, or belongs to another run in this process, is given it again.
    """

    text: str | None = None

    @classmethod
    @contextlib.contextmanager
    def lent(cls) -> Generator[None, None, None]:
        """While this lasts a program that is started inherits the key."""
        if cls.text is not None:
            os.environ.setdefault("DAGZ_TOKEN", cls.text)
        try:
            yield
        finally:
            cls.text = os.environ.pop("DAGZ_TOKEN", None)
            if cls.text is not None:
                _dagz.wipe_env("DAGZ_TOKEN")


def flush_timeout_s() -> float:
    """DAGZ_FLUSH_TIMEOUT: how long the agent may wait for a server at the end; it reads the same."""
    try:
        seconds = float(os.environ.get("DAGZ_FLUSH_TIMEOUT") or FLUSH_S)
    except ValueError:
        return FLUSH_S
    return seconds if 0 <= seconds <= FLUSH_MAX_S else FLUSH_S


def waits_for_disk(pid: int) -> bool:
    """Whether the process is in a wait that no signal ends, as on a disk that does not answer."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"
    except (OSError, IndexError):
        return False


def end_child(pid: int, patience_s: float) -> None:
    """Reap a child; after `patience_s` seconds it is killed first."""
    if not pid:
        return
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        if patience_s and not exited_within(pid, patience_s):
            patience_s = 0
        if not patience_s:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def exited_within(pid: int, seconds: float) -> bool:
    """Whether the child ended in time; it is not reaped."""
    import select

    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(int(seconds * 1000)))
    finally:
        os.close(pidfd)
