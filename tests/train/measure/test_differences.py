"""How sure a difference between two detectors is."""

from __future__ import annotations

import numpy as np
import pytest

from engines.skeletons import H36M17
from train.measure.differences import EXCHANGED_OF, as_text, beside, differences
from train.measure.metrics2d import LIMBS, exchanged, pck


def people(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth of people 300 pixels tall, all joints labelled."""
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 300, (count, 17, 2)).astype(np.float32)
    truth[:, H36M17.index("left_shoulder")], truth[:, H36M17.index("right_hip")] = (100, 100), (160, 180)  # torso: 100
    return truth, np.ones((count, 17), bool)


def spoilt(truth: np.ndarray, whom: np.ndarray) -> np.ndarray:
    """Joints that lie half a torso off for some people."""
    return truth + np.where(whom[:, None, None], 50, 1).astype(np.float32)


def test_what_is_the_same_differs_by_nothing_for_sure() -> None:
    truth, labelled = people(30)
    same = differences(truth + 1, truth + 1, truth, labelled)
    assert same["limbs pck@0.2 torso"] == [0, 0, 0]
    assert np.isnan(same[EXCHANGED_OF]).all(), "nobody is exchanged by either"
    assert as_text(EXCHANGED_OF, same[EXCHANGED_OF]) == ""


def test_the_difference_is_that_of_the_metric_and_few_people_say_less_than_many() -> None:
    widths = []
    for count in (20, 500):
        truth, labelled = people(count)
        ours, theirs = spoilt(truth, np.arange(count) % 10 == 0), spoilt(truth, np.arange(count) % 4 == 0)
        middle, low, high = differences(ours, theirs, truth, labelled)["limbs pck@0.2 torso"]
        true = [pck(xy, truth, labelled, 0.2, "torso", LIMBS) for xy in (ours, theirs)]
        assert middle == pytest.approx(true[0] - true[1])
        assert low < middle < high
        widths.append(high - low)
    assert widths[1] < 0.4 * widths[0]
    assert low > 0, "of 500 people it is sure who is better"


def test_exchanges_are_compared_as_a_quotient() -> None:
    truth, labelled = people(100)
    mirrored = truth[:, list(H36M17.mirror)]
    ours = np.where((np.arange(100) < 10)[:, None, None], mirrored, truth)
    theirs = np.where((np.arange(100) < 20)[:, None, None], mirrored, truth)
    assert exchanged(theirs, truth, labelled) == pytest.approx(0.2)
    score = np.ones((100, 17), np.float32)
    told = beside({"posestream": (ours, score), "movenet": (theirs, score)}, truth, labelled)
    middle, low, high = told["movenet"][EXCHANGED_OF]
    assert middle == pytest.approx(0.5)
    assert 0.2 < low < 0.5 < high < 0.8
    assert as_text(EXCHANGED_OF, (0.5, 0.25, 0.75)) == "0.50 (0.25 to 0.75)"
    assert as_text("limbs pck@0.2 torso", (0.1, -0.02, 0.2)) == "+10.0 (-2.0 to +20.0)"
