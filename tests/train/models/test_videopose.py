"""The VideoPose3D family: forms agree, sizes are the paper's, streaming equals batch, files run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engines.lifter import Lifter
from engines.runtime import Engine, open_engine
from train.models.videopose import KERNELS, VideoPose, flipped, momentum_at, windows, with_flip
from train.models.videopose_stream import PoseStream, VideoPoseStream, export_stream, filled_sequence, place

CHANNELS = 16


def network(kernels: tuple[int, ...], causal: bool, joints_out: int = 17, seed: int = 0) -> VideoPose:
    """A small network with running statistics that are not the initial ones."""
    torch.manual_seed(seed)
    model = VideoPose(kernels, causal, CHANNELS, joints_out=joints_out)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    return model.eval()


def joints(people: int, frames: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    start = torch.randn(people, 1, 17, 2, generator=rng) * 0.2
    return start + (torch.randn(people, frames, 17, 2, generator=rng) * 0.02).cumsum(1)


def test_sizes_are_the_papers() -> None:
    for frames, million in ((27, 8.56), (81, 12.75), (243, 16.95)):
        model = VideoPose(KERNELS[frames])
        assert model.receptive_field == frames
        assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == million
    assert VideoPose(KERNELS[243], causal=False).look_ahead == 121
    assert VideoPose(KERNELS[1]).receptive_field == 1


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        VideoPose((3, 2))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(KERNELS)), st.booleans(), st.integers(1, 60), st.sampled_from([1, 17]), st.integers(0, 99)
)
def test_dilated_and_strided_agree_and_exchange_weights(
    frames: int, causal: bool, length: int, joints_out: int, seed: int
) -> None:
    model = network(KERNELS[frames], causal, joints_out, seed)
    other = VideoPose(KERNELS[frames], causal, CHANNELS, joints_out=joints_out).eval()
    xy = joints(1, length, seed)
    cut = windows(xy[0], model.receptive_field, model.look_ahead)
    assert cut.shape == (length, frames, 17, 2)
    with torch.no_grad():
        whole = model(xy)[0]
        assert whole.shape == (length, joints_out, 3)
        torch.testing.assert_close(model.strided(cut)[:, 0], whole, atol=1e-5, rtol=1e-5)
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(other.strided(cut)[:, 0], whole, atol=1e-5, rtol=1e-5)
        model.load_state_dict(other.state_dict())
        torch.testing.assert_close(model(xy)[0], whole)


def test_both_forms_have_the_same_gradient() -> None:
    model, xy = network(KERNELS[27], causal=False), joints(4, 27)
    grads = []
    for form in (model.strided, model.dilated):
        model.zero_grad()
        form(xy).square().mean().backward()
        grads.append(model.blocks[0].wide.linear.weight.grad.clone())
    torch.testing.assert_close(grads[0], grads[1])
    assert grads[0].abs().max() > 0


@pytest.mark.parametrize("causal", [True, False])
def test_an_output_sees_its_receptive_field_and_no_more(causal: bool) -> None:
    model = network(KERNELS[27], causal)
    xy, at = joints(1, 90), 45
    first, last = at - 26 + model.look_ahead, at + model.look_ahead
    moved = {}
    for frame in (first - 1, first, last, last + 1):
        other = xy.clone()
        other[:, frame] += 1
        with torch.no_grad():
            moved[frame] = float((model(other) - model(xy))[0, at].abs().max())
    assert moved[first] > 1e-7
    assert moved[last] > 1e-7
    assert moved[first - 1] == moved[last + 1] == 0


def test_windows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="27 frames, got 26"):
        network(KERNELS[27], True).strided(joints(1, 26))


def test_momentum_falls_exponentially() -> None:
    assert momentum_at(0, 80) == pytest.approx(0.1)
    assert momentum_at(40, 80) == pytest.approx(0.01)
    assert momentum_at(80, 80) == pytest.approx(0.001)
    model = network(KERNELS[27], True)
    model.set_momentum(0.02)
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)} == {0.02}


def test_flip_at_test_time_makes_the_output_symmetric() -> None:
    model, xy = network(KERNELS[27], True), joints(2, 5)
    assert torch.equal(flipped(flipped(xy)), xy)
    with torch.no_grad():
        both = with_flip(model, xy)
        torch.testing.assert_close(with_flip(model, flipped(xy)), flipped(both))
        assert (both - model(xy)).abs().max() > 1e-3


STREAMS = {
    "single": lambda: VideoPoseStream(network(KERNELS[1], True)),
    "causal": lambda: VideoPoseStream(network(KERNELS[27], True), network(KERNELS[27], True, 1, 5)),
    "full": lambda: VideoPoseStream(network(KERNELS[27], False)),
    "full_root": lambda: VideoPoseStream(network(KERNELS[27], False), network(KERNELS[27], False, 1, 5)),
}


@pytest.fixture(scope="module", params=STREAMS)
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[PoseStream, Engine]:
    model = STREAMS[request.param]()
    path = tmp_path_factory.mktemp("stream") / "videopose-test.onnx"
    assert export_stream(model, "videopose-test", path, 30, {"recipe": "test"}) < 1e-4
    return model, open_engine(path)


def run_engine(engine: Engine, parts: list[list[dict[str, Tensor]]]) -> list[list[dict[str, np.ndarray]]]:
    """Stream sequences of several rows at once; a row begins its next sequence, with a reset, where one ends."""
    queues = [
        [(i == 0, {k: v[i].numpy() for k, v in p.items()}) for p in row for i in range(len(p["xy"]))] for row in parts
    ]
    outs: list[list[dict[str, np.ndarray]]] = [[] for _ in parts]
    for t in range(max(map(len, queues))):
        rows = [r for r, q in enumerate(queues) if t < len(q)]
        inputs = {k: np.stack([queues[r][t][1][k] for r in rows]) for k in ("xy", "score", "dt_s")}
        result = engine.run(inputs, rows, [r for r in rows if queues[r][t][0]])
        for i, r in enumerate(rows):
            outs[r].append({k: v[i] for k, v in result.items()})
    return outs


def scene(frames: int, seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    score = (torch.rand(frames, 17, generator=rng) * 1.2 - 0.2).clamp(min=0)
    xy = torch.where(score[..., None] > 0, joints(1, frames, seed)[0], torch.tensor(torch.nan))
    return {"xy": xy, "score": score, "dt_s": torch.full((frames,), 1 / 30)}


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=3), min_size=1, max_size=4), st.integers(0, 999))
def test_streaming_equals_batch(stream: tuple[PoseStream, Engine], rows: list[list[int]], seed: int) -> None:
    model, engine = stream
    lag = model.look_ahead
    assert engine.spec.settings["look_ahead_frames"] == lag
    parts = []
    for r, lengths in enumerate(rows):
        whole = [scene(n, seed + 31 * r + i) for i, n in enumerate(lengths)]
        flush = [{k: torch.cat([v, v[-1:].expand(lag, *v.shape[1:])]) for k, v in p.items()} for p in whole]
        for p in flush:  # a held joint stays held
            p["score"][len(p["score"]) - lag :] *= (p["score"][-1] > 0).float()
        parts.append((whole, flush))
    outs = run_engine(engine, [flush for _, flush in parts])
    for (whole, flush), out in zip(parts, outs, strict=True):
        begin = 0
        for p, f in zip(whole, flush, strict=True):
            with torch.no_grad():
                pose, root = model.sequence(*(p[k][None] for k in ("xy", "score", "dt_s")))
            got = out[begin + lag : begin + len(f["xy"])]
            begin += len(f["xy"])
            np.testing.assert_allclose(np.stack([g["xyz_m"] for g in got]), pose[0].numpy(), atol=1e-5, rtol=1e-5)
            depth = np.maximum(1, np.abs(root[0, :, 2:].numpy()))
            gap = np.abs(np.stack([g["root_m"] for g in got]) - root[0].numpy()) / depth
            assert gap.max() <= 1e-4


def test_missing_joints_keep_their_last_place() -> None:
    part = scene(20, 3)
    full = filled_sequence(part["xy"][None], part["score"][None])[0]
    assert torch.isfinite(full).all()
    for t in range(1, 20):
        lost = part["score"][t] == 0
        assert torch.equal(full[t, lost], full[t - 1, lost])
        assert torch.equal(full[t, ~lost], part["xy"][t, ~lost])


def test_place_finds_the_root_from_pose_and_rays() -> None:
    rng = torch.Generator().manual_seed(0)
    pose = torch.randn(5, 17, 3, generator=rng) * 0.4
    pose[:, 0] = 0
    root = torch.tensor([0.4, -0.3, 4.0]) + torch.randn(5, 3, generator=rng) * 0.5
    xyz = pose + root[:, None]
    weight = torch.rand(5, 17, generator=rng)
    torch.testing.assert_close(place(xyz[..., :2] / xyz[..., 2:], weight, pose), root, atol=1e-4, rtol=1e-4)


def test_nobody_seen_is_harmless(stream: tuple[PoseStream, Engine]) -> None:
    lifter = Lifter(stream[1])
    nothing = np.full((2, 17, 2), np.nan, np.float32), np.zeros((2, 17), np.float32)
    for t in range(3):
        xyz_m, root_m, _ = lifter.lift(np.nan_to_num(nothing[0]), nothing[1], t / 30, (640, 480), 500.0, ["a", "b"])
        assert np.isfinite(xyz_m).all()
        assert np.isfinite(root_m).all()
        assert (xyz_m[:, 0] == 0).all()


def test_trajectory_of_another_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="13 frames ahead"):
        VideoPoseStream(network(KERNELS[27], True), network(KERNELS[27], False, 1))
