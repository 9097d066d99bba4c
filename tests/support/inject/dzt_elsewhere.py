"""``-p dzt_elsewhere``: objects lie elsewhere than in another run, and garbage is collected at another time.

What a test prints of a set may come in the order of addresses, and that is the same in run after run of one
command.  Here objects of many sizes are kept, before anything is collected and before each test, as many as the
seed in ``DZT_ELSEWHERE`` draws.
"""

from __future__ import annotations

import os
import random
from typing import Any

SIZES = range(16, 528, 16)  # of the allocator's pools
HEADER = 33  # bytes of an empty `bytes`


class Elsewhere:
    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.kept: list[Any] = []
        self.keep(200)

    def keep(self, most: int) -> None:
        for size in SIZES:
            self.kept += [bytes(max(size - HEADER, 2)) for _ in range(self.draw.randrange(most))]
        self.kept += [[] for _ in range(self.draw.randrange(most))]  # which the collector counts

    def pytest_runtest_setup(self) -> None:
        self.keep(4)


def pytest_configure(config: Any) -> None:
    if "DZT_ELSEWHERE" in os.environ:
        config.pluginmanager.register(Elsewhere(int(os.environ["DZT_ELSEWHERE"])), "dzt_elsewhere_obj")
