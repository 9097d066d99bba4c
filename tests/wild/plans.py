"""Which faults a seed has.

The kinds are dealt like cards: each `ROUND` seeds in a row have every kind at least once, in an order that is
drawn, and some have more that are drawn besides.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from wild import HOSTS, Wild

ROUND = 20
FIRST, MIDDLE, LAST = range(3)  # before anybody starts; while tests run; aimed at the end, when all may run


@dataclass(frozen=True)
class Kind:
    do: Callable[[Wild], bool]
    when: int = MIDDLE
    is_wired: bool = False  # needs the proxy
    is_cable: bool = False  # is without effect behind the proxy
    first: Callable[[Wild], object] | None = None  # before anybody starts
    is_alone: bool = False
    needs_store: bool = False  # to be there all the time
    deaths: int = 0

    @property
    def name(self) -> str:
        return self.do.__name__

    @property
    def is_of_store(self) -> bool:
        return self.name.startswith("store_")


KINDS = [
    Kind(Wild.scheduler_killed, deaths=1),
    Kind(Wild.vassal_killed, deaths=1),
    Kind(Wild.two_schedulers_killed, deaths=2),
    Kind(Wild.two_vassals_killed, deaths=2),
    Kind(Wild.scheduler_killed_at_state, deaths=2),
    Kind(Wild.vassal_killed_at_state, deaths=2),
    Kind(Wild.scheduler_killed_at_drain, LAST, deaths=1),
    Kind(Wild.vassal_killed_at_drain, LAST, deaths=1),
    Kind(Wild.scheduler_killed_at_seal, LAST, deaths=1),
    Kind(Wild.vassal_killed_at_seal, LAST, deaths=1),
    Kind(Wild.scheduler_frozen),
    Kind(Wild.vassal_frozen),
    Kind(Wild.scheduler_told_to_leave, deaths=1),
    Kind(Wild.vassal_told_to_leave, deaths=1),
    Kind(Wild.late, first=Wild.one_less),
    Kind(Wild.late_after_drain, LAST, first=Wild.one_less),
    Kind(Wild.late_after_seal, LAST, first=Wild.one_less),
    Kind(Wild.unplugged),
    Kind(Wild.cable_flaps),
    Kind(Wild.one_way_cable, is_cable=True),
    Kind(Wild.cables_parted, is_cable=True),
    Kind(Wild.direct_is_blocked, FIRST, is_cable=True, needs_store=True),
    Kind(Wild.direct_is_blocked_for_a_while, is_cable=True, needs_store=True),
    Kind(Wild.far_away, is_wired=True),
    Kind(Wild.segments_of_a_byte, is_wired=True),
    Kind(Wild.resets, is_wired=True),
    Kind(Wild.one_way_connection, is_wired=True),
    Kind(Wild.connections_parted, is_wired=True),
    Kind(Wild.connections_flap, is_wired=True),
    Kind(Wild.store_is_away),
    Kind(Wild.store_is_away_at_first, first=Wild.store_dies, is_alone=True),
    Kind(Wild.store_is_away_throughout, FIRST, is_alone=True),
    Kind(Wild.store_dies_for_good, LAST),
    Kind(Wild.store_flaps),
    Kind(Wild.store_frozen),
    Kind(Wild.store_is_silent, is_wired=True),
    Kind(Wild.store_answers_late, is_wired=True),
    Kind(Wild.store_is_busy, is_wired=True),
    Kind(Wild.store_restored),
]


def fits(kind: Kind, plan: list[Kind]) -> bool:
    """Whether it can be had together with these."""
    is_used = any(
        kind is other or (kind.first and other.first) or other.is_alone or kind.is_alone for other in plan
    )
    is_without = any(
        (kind.needs_store and other.is_of_store) or (kind.is_of_store and other.needs_store) for other in plan
    )
    is_wired = any(other.is_wired for other in plan)
    is_cable = any(other.is_cable for other in plan)
    deaths = sum(other.deaths for other in [*plan, kind])
    hosts = HOSTS - 1 if any(other.first for other in [*plan, kind]) else HOSTS
    return (
        not is_used
        and not is_without
        and deaths <= hosts - 2
        and not (kind.is_cable and is_wired)
        and not (kind.is_wired and is_cable)
    )


def deal(number: int) -> list[list[Kind]]:
    """The plans of a round, without what is drawn besides; who has to be alone is seated first."""
    draw = random.Random(number)
    plans: list[list[Kind]] = [[] for _ in range(ROUND)]
    for kind in sorted(draw.sample(KINDS, len(KINDS)), key=lambda kind: not kind.is_alone):
        fitting = [plan for plan in plans if fits(kind, plan)]
        shortest = min(len(plan) for plan in fitting)
        draw.choice([plan for plan in fitting if len(plan) == shortest]).append(kind)
    return plans


def plan_of(seed: int) -> list[Kind]:
    """In the order in which they happen."""
    plan = deal(seed // ROUND)[seed % ROUND]
    draw = random.Random(seed)
    more = draw.choice(KINDS)
    if draw.random() < 0.5 and fits(more, plan):
        plan.append(more)
    draw.shuffle(plan)
    return sorted(plan, key=lambda kind: kind.when)
