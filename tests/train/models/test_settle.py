"""The filter and the bones behind a lifter's outputs: what they keep, what they take out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engines.skeletons import H36M17
from train.losses3d import bone_lengths
from train.models.settle import (
    FIRST_COUNTS_S,
    MEMORY_S,
    OTHERS,
    PULL_M,
    SETTLE_OUTPUTS,
    TYPICAL_BONE_M,
    Advice,
    read_advice,
    settle_sequence,
    settle_step,
    with_bones,
)

GAINS = slice(OTHERS * 3 + 3, OTHERS * 3 + 3 + OTHERS + 1)
BONES = slice(GAINS.stop, SETTLE_OUTPUTS)


def body(frames: int) -> Tensor:
    """A body of typical bones in a random pose, standing still, root 4 m away: (1, frames, 17, 3)."""
    torch.manual_seed(3)
    pose = with_bones(torch.randn(1, OTHERS, 3), torch.tensor([TYPICAL_BONE_M]))
    still = torch.cat([pose[:, 1:], torch.tensor([[[0.0, 0.0, 4.0]]])], 1)
    return still[:, None].repeat(1, frames, 1, 1)


def times(frames: int) -> Tensor:
    dt_s = torch.full((1, frames), 1 / 30)
    dt_s[:, 0] = 0
    return dt_s


def test_bones_get_their_lengths_and_keep_their_directions() -> None:
    joints, lengths = torch.randn(5, OTHERS, 3), torch.rand(5, OTHERS) + 0.1
    pose = with_bones(joints, lengths)
    torch.testing.assert_close(bone_lengths(pose), lengths, atol=1e-5, rtol=1e-4)
    whole = torch.cat([torch.zeros(5, 1, 3), joints], 1)
    for parent, child in H36M17.bones:
        before, after = whole[:, child] - whole[:, parent], pose[:, child] - pose[:, parent]
        assert torch.cosine_similarity(before, after, dim=-1).min() > 0.9999


def test_a_still_body_stays_where_it_was_found() -> None:
    found = body(20)
    pose, root = settle_sequence(found, read_advice(torch.zeros(1, 20, SETTLE_OUTPUTS), times(20)), times(20))
    torch.testing.assert_close(pose[:, :, 1:], found[:, :, :OTHERS], atol=1e-4, rtol=0)
    torch.testing.assert_close(root, found[:, :, OTHERS])


def test_low_gains_take_out_noise_but_not_the_first_frame() -> None:
    found = body(120) + 0.02 * torch.randn(1, 120, 17, 3)
    output = torch.zeros(1, 120, SETTLE_OUTPUTS)
    output[..., GAINS] = -4.0
    advice = read_advice(output, times(120))
    assert (advice.gain[:, 0] == 1).all()
    assert advice.gain[:, 1:].max() < 0.1
    pose, root = settle_sequence(found, advice, times(120))
    torch.testing.assert_close(root[:, 0], found[:, 0, OTHERS])
    moved = pose.diff(dim=1).norm(dim=-1).mean()
    assert moved < 0.2 * found.diff(dim=1).norm(dim=-1).mean()


def test_predicted_steps_carry_a_moving_body_without_lag() -> None:
    frames, speed = 60, torch.tensor([0.03, 0.0, -0.01])
    found = body(frames) + torch.arange(frames).reshape(1, -1, 1, 1) * speed
    output = torch.zeros(1, frames, SETTLE_OUTPUTS)
    output[..., GAINS] = -4.0
    advice = read_advice(output, times(frames))
    lagging = settle_sequence(found, advice, times(frames))[1]
    moving = Advice(torch.zeros_like(found) + speed, advice.gain, advice.bone_m)
    carried = settle_sequence(found, moving, times(frames))[1]
    assert (lagging[:, -1] - found[:, -1, OTHERS]).norm() > 0.2
    torch.testing.assert_close(carried, found[:, :, OTHERS], atol=1e-4, rtol=1e-4)


def test_bones_grow_steadier_with_time_and_are_alike_on_both_sides() -> None:
    output = torch.zeros(1, 300, SETTLE_OUTPUTS)
    output[..., BONES] = torch.randn(1, 300, OTHERS)
    advice = read_advice(output, times(300))
    lengths = bone_lengths(settle_sequence(body(300), advice, times(300))[0])
    early, late = (lengths[0, a : a + 20].diff(dim=0).abs().mean() for a in (0, 280))
    assert late < 0.2 * early
    torch.testing.assert_close(lengths[..., 0:3], lengths[..., 3:6])


@pytest.mark.parametrize(("fps", "seconds"), [(15, 4.0), (30, 10.0), (60, 10.0)])
def test_no_bone_wanders_by_5_mm_whatever_the_network_says(fps: int, seconds: float) -> None:
    """The worst case: bones long on the first frame, and short ever after."""
    frames = round(fps * seconds)
    output = torch.zeros(1, frames, SETTLE_OUTPUTS)
    output[..., BONES], output[:, 0, BONES] = -3.0, 3.0
    dt_s = times(frames) * 30 / fps
    lengths = bone_lengths(settle_sequence(body(frames), read_advice(output, dt_s), dt_s)[0])
    assert 0.002 < lengths.std(1).max() < 0.005
    slowest = PULL_M / (FIRST_COUNTS_S + torch.arange(1, frames) / fps)
    assert (lengths[0].diff(dim=0).abs().amax(-1) * fps <= slowest * 1.01 + 1e-4).all()


def test_after_a_long_gap_a_frame_counts_no_more_than_a_few() -> None:
    output = torch.zeros(1, 2, SETTLE_OUTPUTS)
    output[:, 1, BONES] = 3.0
    dt_s = torch.tensor([[0.0, 60.0]])
    lengths = bone_lengths(settle_sequence(body(2), read_advice(output, dt_s), dt_s)[0])
    assert 0 < lengths.diff(dim=1).max() < 0.1 * PULL_M


def test_a_reset_row_forgets_and_the_others_do_not() -> None:
    torch.manual_seed(0)
    found, output = body(1)[:, 0].repeat(2, 1, 1), torch.randn(2, SETTLE_OUTPUTS)
    states = torch.randn(2, 17, 3), torch.full((2, OTHERS), 0.7), torch.full((2, 1), MEMORY_S)
    dt_s = torch.full((2,), 1 / 30)
    advice = read_advice(output, dt_s)
    pose, root, placed, bone_m, bone_s = settle_step(found, advice, dt_s, torch.tensor([0.0, 1.0]), *states)
    torch.testing.assert_close(placed[0], found[0])
    torch.testing.assert_close(bone_m[0], advice.bone_m[0])
    assert bone_s.flatten().tolist() == [FIRST_COUNTS_S, MEMORY_S]
    assert bone_m[1] == pytest.approx(0.7, abs=0.001)
    assert not torch.allclose(root[1], found[1, OTHERS])
    torch.testing.assert_close(bone_lengths(pose), bone_m, atol=1e-5, rtol=1e-4)
