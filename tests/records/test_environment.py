import sys

import numpy as np
import pytest

from mmbench.records.environment import PeakMemory, environment


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the whole process's peak")
def test_the_peak_of_a_small_run_is_not_that_of_the_large_one_before_it():
    large = PeakMemory()
    held = np.ones(40_000_000)  # 320 MB
    before = large.resident_mb()
    del held
    small = PeakMemory()
    assert small.resident_mb() < before - 200


def test_versions_of_what_decides_numbers_are_on_record():
    found = environment("cpu", "a processor").packages
    assert {"torch", "transformers", "torchmetrics", "scipy", "pillow", "numpy"} <= set(found)
