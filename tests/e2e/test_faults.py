"""Any process of a run may be killed or stopped at any moment: the run ends as if nothing had happened."""

from __future__ import annotations

import os

import faults
import pytest
from lab import Lab

SEEDS = int(os.environ.get("DZT_FAULTS", "20"))
LONGEST_STOP_S = float(os.environ.get("DZT_LONGEST_STOP_S", "1"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_fault_costs_no_result(seed, tmp_path):
    fault = faults.draw(seed, LONGEST_STOP_S)
    print(fault)
    project = Lab(tmp_path).project(faults.files())
    result, did = faults.run(project, fault)
    print(result)
    faults.check(project, fault, result, did)
