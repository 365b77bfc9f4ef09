"""The detector network: pyramid, memory that moves, reading of heatmaps, streaming against sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines.skeletons import COCO17, H36M17
from tests.train.models.test_mobilenet import weight_file
from train.models.compact import CompactDetector
from train.models.detector import DetectorConfig
from train.models.pyramid import DilatedPyramid
from train.models.reader import STRIDE, PeakReader
from train.models.streaming import DetectorStep
from train.models.tce import REACH, TceCell


@pytest.fixture(scope="module")
def detector():
    """A small-crop detector whose parts that start at zero have been woken up."""
    torch.manual_seed(3)
    net = CompactDetector(DetectorConfig(input_wh=(64, 96))).eval()
    for layer in (net.tell, net.coarse.out, net.tce.offset):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return net


def test_pyramid_sees_as_far_as_its_widest_dilation():
    torch.manual_seed(0)
    pyramid = DilatedPyramid(3, 16, (15, 15))
    x = torch.zeros(1, 3, 15, 15)
    poked = x.clone()
    poked[0, :, 7, 7] = 5.0
    changed = (pyramid(poked) - pyramid(x)).abs().sum(1)[0] > 1e-6
    rows = torch.nonzero(changed.any(1)).flatten().tolist()
    assert min(rows) == 7 - 4
    assert max(rows) == 7 + 4
    assert not changed[7, 4], "no branch looks three cells aside"


def test_pyramid_can_tell_places_apart():
    pyramid = DilatedPyramid(3, 16, (4, 4))
    with torch.no_grad():
        pyramid.place[..., 2, 1] = 3.0
    out = pyramid(torch.zeros(1, 3, 4, 4))
    assert not torch.allclose(out[..., 2, 1], out[..., 0, 0])


def test_zero_offsets_leave_the_state_where_it_is_and_offsets_move_it():
    cell = TceCell(4, (6, 8))
    hidden, memory = torch.randn(2, 4, 6, 8), torch.randn(2, 4, 6, 8)
    x = torch.randn(2, 4, 6, 8)
    moved = cell.deform(x, (hidden, memory))
    torch.testing.assert_close(moved[0], hidden, atol=1e-5, rtol=0)
    with torch.no_grad():
        # eq. 2.5: H~(p) = H(p + dp), dp = (x, y) in cells; undo the bound
        cell.offset.bias.copy_(REACH * torch.atanh(torch.tensor([1.0, -2.0]) / REACH))
    moved = cell.deform(x, (hidden, memory))
    torch.testing.assert_close(moved[0][..., 2:, :-1], hidden[..., :-2, 1:], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[1][..., 2:, :-1], memory[..., :-2, 1:], atol=1e-4, rtol=0)


def test_offsets_are_bounded():
    cell, state = TceCell(4, (6, 12)), (torch.randn(1, 4, 6, 12), torch.randn(1, 4, 6, 12))
    with torch.no_grad():
        cell.offset.bias.copy_(torch.tensor([1e3, 0.0]))
    moved = cell.deform(torch.zeros(1, 4, 6, 12), state)
    torch.testing.assert_close(moved[0][..., :-3], state[0][..., 3:], atol=1e-4, rtol=0)


def test_cell_follows_the_equations():
    torch.manual_seed(0)
    cell = TceCell(3, (4, 4))
    x, hidden, memory = torch.randn(3, 1, 3, 4, 4)
    enhanced, (new_hidden, new_memory) = cell(x, torch.ones(1), (hidden, memory))
    i, f, o, g = cell.gates(torch.cat([x, hidden], 1)).split(3, 1)
    c = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    torch.testing.assert_close(new_memory, c)
    torch.testing.assert_close(new_hidden, o.sigmoid() * c.tanh())
    torch.testing.assert_close(enhanced, x + new_hidden)


def test_keep_zero_forgets_whatever_the_state_holds_row_by_row():
    torch.manual_seed(0)
    cell, x = TceCell(3, (4, 4)), torch.randn(2, 3, 4, 4)
    state, other = (torch.randn(2, 3, 4, 4),) * 2, (torch.full((2, 3, 4, 4), float("nan")),) * 2
    keep = torch.tensor([0.0, 1.0])
    fresh = cell(x, torch.zeros(2), other)[0]
    assert torch.isfinite(fresh).all()
    mixed = cell(x, keep, state)[0]
    torch.testing.assert_close(mixed[0], fresh[0])
    assert not torch.allclose(mixed[1], fresh[1])


def test_offsets_from_the_state_alone_as_in_the_thesis():
    torch.manual_seed(0)
    cell = TceCell(3, (4, 4), see_input=False)
    torch.nn.init.normal_(cell.offset.weight)
    state = (torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4))
    a, b = cell.deform(torch.zeros(1, 3, 4, 4), state), cell.deform(torch.ones(1, 3, 4, 4), state)
    torch.testing.assert_close(a[0], b[0])


@pytest.mark.parametrize(
    ("at", "within"), [((96.0, 128.0), 0.5), ((47.3, 66.6), 0.5), ((3.0, 250.0), 3.5), ((190.0, 2.0), 3.5)]
)
def test_reader_finds_a_peak_to_a_fraction_of_a_cell_and_near_the_edge_to_one(at, within):
    reader = PeakReader((192, 256), 6.0, 2.5)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    logits = 9 - 0.5 * ((x - at[0] / STRIDE) ** 2 + (y - at[1] / STRIDE) ** 2) / 1.5**2
    logits = torch.maximum(logits, torch.zeros(()))[None, None].expand(1, 17, -1, -1)
    xy, score = reader(logits, torch.zeros_like(logits))
    np.testing.assert_allclose(xy[0, 0].numpy(), at, atol=within)
    assert score.shape == (1, 17)


def test_reader_takes_the_higher_of_two_peaks_and_not_their_middle():
    reader, logits = PeakReader((192, 256), 6.0, 2.5), torch.zeros(1, 17, 64, 48)
    logits[..., 10, 10], logits[..., 50, 40] = 9.0, 10.0
    xy, _ = reader(logits, torch.zeros_like(logits))
    np.testing.assert_allclose(xy[0, 3].numpy(), (40.5 * 4, 50.5 * 4), atol=1.0)


def test_reader_is_less_sure_of_a_flat_map_and_listens_to_the_evidence():
    reader, sharp = PeakReader((192, 256), 6.0, 2.5), torch.zeros(1, 17, 64, 48)
    sharp[..., 20, 20] = 12.0
    none = torch.zeros_like(sharp)
    assert (reader(sharp, none)[1] > reader(none, none)[1] + 1).all()
    torch.testing.assert_close(reader(sharp, none - 3)[1], reader(sharp, none)[1] - 3, atol=1e-3, rtol=0)


def test_frame_by_frame_equals_the_whole_sequence(detector):
    crops = torch.randint(0, 256, (2, 3, 96, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    step, state = DetectorStep(detector), detector.fresh_state(2)
    with torch.no_grad():
        whole = detector(crops)
        for t in range(3):
            keep = torch.full((2,), float(t > 0))
            xy, score, *state = step(crops[:, t], keep, *state)
            torch.testing.assert_close(xy, whole.xy.unflatten(0, (2, 3))[:, t], atol=1e-3, rtol=0)
            torch.testing.assert_close(score, whole.score_logit.sigmoid().unflatten(0, (2, 3))[:, t], atol=1e-4, rtol=0)
        alone = detector(crops[:, 2:])
    assert not torch.allclose(alone.logits, whole.logits.unflatten(0, (2, 3))[:, 2]), "the memory changes nothing"


def test_a_rehearsed_sequence_starts_with_a_used_memory(detector):
    crops = torch.randint(0, 256, (1, 3, 96, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    order = [0, 1, 2, 1, 0, 1, 2]  # there and back, then the sequence itself
    with torch.no_grad():
        rehearsed, unrolled = detector(crops, 1), detector(crops[:, order])
    torch.testing.assert_close(rehearsed.logits, unrolled.logits[-3:], atol=1e-4, rtol=0)


def test_pretrained_heatmaps_are_movenets(tmp_path):
    arrays = weight_file(tmp_path / "w.npz")
    net = CompactDetector().load_pretrained(tmp_path / "w.npz")
    out = arrays["heatmap.out.weight"].astype(np.float32)
    knee = net.fine.out.weight[H36M17.index("left_knee")].detach()
    np.testing.assert_allclose(knee, out[COCO17.index("left_knee")])
    hips = out[[COCO17.index("left_hip"), COCO17.index("right_hip")]].mean(0)
    np.testing.assert_allclose(net.fine.out.weight[H36M17.index("pelvis")].detach(), hips, atol=1e-6)
    np.testing.assert_allclose(net.path.lateral16.weight.detach(), arrays["fpn.lateral16.weight"])
    np.testing.assert_allclose(net.encoder.stem.weight.detach(), arrays["stem.weight"])
    assert not net.tell.weight.any(), "pyramid and memory must not disturb MoveNet's path before they are trained"
