"""The paper-size detector: right shapes, memory that remembers, a window that forgets."""

from __future__ import annotations

import pytest
import torch

from train.models.paper_size import PaperDetector


@pytest.fixture(scope="module", params=[0, 2], ids=["carried", "window"])
def net(request) -> PaperDetector:
    torch.manual_seed(0)
    return PaperDetector(8, 8, window=request.param, input_wh=(64, 96)).eval()


def fresh(net: PaperDetector) -> list[torch.Tensor]:
    return [torch.zeros(1, *(int(n) for n in s.shape[1:])) for s in net.states()]


@torch.no_grad()
def run(net: PaperDetector, frames: list[torch.Tensor]) -> torch.Tensor:
    """Return the joints of the last of the frames, from a fresh state."""
    state, keep = fresh(net), torch.zeros(1)
    for frame in frames:
        xy, score, *state = net(frame, keep, *state)
        keep = torch.ones(1)
    assert xy.shape == (1, 17, 2)
    assert score.shape == (1, 17)
    assert [s.shape for s in state] == [s.shape for s in fresh(net)]
    return xy


def frame(seed: int) -> torch.Tensor:
    return torch.randint(0, 255, (1, 96, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_the_past_matters(net):
    assert not torch.equal(run(net, [frame(1), frame(2)]), run(net, [frame(3), frame(2)]))


def test_a_window_sees_no_further_than_its_length(net):
    a = run(net, [frame(1), frame(2), frame(3), frame(4)])
    b = run(net, [frame(5), frame(2), frame(3), frame(4)])
    assert torch.equal(a, b) == bool(net.window)


def test_the_metadata_fits_the_states(net):
    spec = net.spec("detector-test")
    assert [s.input for s in spec.states] == (["past"] if net.window else ["hidden", "memory"])
    assert spec.inputs[0].shape == ("people", 96, 64, 3)


def test_at_full_size_it_is_as_large_as_the_paper_s():
    with torch.device("meta"):
        net = PaperDetector()
    parameters = sum(p.numel() for p in net.parameters())
    assert 110e6 < parameters < 125e6
