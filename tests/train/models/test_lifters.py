"""The lifter networks: streaming equals the dense form, nothing missing matters, nothing blows up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.runtime import open_engine
from train.deliver.export import read_weights, run_onnx
from train.measure.against_batch import streaming_gap
from train.models.lifter_io import OUTPUTS, Lifter, observe, to_metres
from train.models.lstm import LstmLifter
from train.models.tcn import CausalTcn
from train.tasks.lifter import export


def lively(model: Lifter) -> Lifter:
    torch.manual_seed(1)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    torch.nn.init.normal_(model.head.bias, std=0.1)
    return model.eval()


def scene(people: int, frames: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    xy = torch.randn(people, 1, 17, 2, generator=rng) * 0.2
    xy = xy + (torch.randn(people, frames, 17, 2, generator=rng) * 0.01).cumsum(1)
    dt_s = torch.rand(people, frames, generator=rng) * 0.05 + 0.01
    dt_s[:, 0] = 0
    return xy, torch.rand(people, frames, 17, generator=rng), dt_s


MODELS = {
    "tcn": lambda: lively(CausalTcn(width=32)),
    "lstm": lambda: lively(LstmLifter(width=32)),
    "tcn-ahead2": lambda: lively(CausalTcn(width=32, look_ahead=2)),
    "tcn-raw": lambda: lively(CausalTcn(width=32, settles=False)),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> Lifter:
    torch.manual_seed(0)
    return MODELS[request.param]()


def run_steps(model: Lifter, scene: tuple[Tensor, Tensor, Tensor], keep: Tensor) -> tuple[Tensor, Tensor]:
    """Step through (B, T) frames; the first state is NaN, which keep = 0 must hide."""
    states = [torch.full((len(keep), *s.shape[1:]), torch.nan) for s in model.states()]
    outs = []
    for t in range(keep.shape[1]):
        with torch.no_grad():
            xyz_m, root_m, *states = model(*(a[:, t] for a in scene), keep[:, t], *states)
        outs.append((xyz_m, root_m))
    return torch.stack([o[0] for o in outs], 1), torch.stack([o[1] for o in outs], 1)


def test_streaming_with_resets_equals_the_dense_form(model: Lifter) -> None:
    frames, starts = 260, {0: [0, 250], 1: [0], 2: [0, 1, 90]}  # one row runs past the 243-frame receptive field
    inputs = scene(3, frames)
    keep = torch.ones(3, frames)
    for row, begins in starts.items():
        keep[row, begins] = 0
    pose, root = run_steps(model, inputs, keep)
    for row, begins in starts.items():
        for a, b in zip(begins, [*begins[1:], frames], strict=True):
            with torch.no_grad():
                want_pose, want_root = model.sequence(*(x[row : row + 1, a:b] for x in inputs))
            torch.testing.assert_close(pose[row, a:b], want_pose[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(root[row, a:b], want_root[0], atol=1e-5, rtol=1e-4)


def test_tcn_sees_exactly_its_receptive_field() -> None:
    model = MODELS["tcn-raw"]()
    assert model.receptive_field == 243
    xy, score, dt_s = scene(1, 300)
    moved = {}
    for back in (242, 243):
        other = xy.clone()
        other[:, 299 - back] += torch.randn(17, 2) * 0.1
        with torch.no_grad():
            change = model.sequence(other, score, dt_s)[0] - model.sequence(xy, score, dt_s)[0]
        moved[back] = change[0, 299].abs().max()
    assert moved[242] > 1e-7
    assert moved[243] == 0


def test_look_ahead_answers_for_the_frame_before() -> None:
    """Answers lag: a frame's own joints move the answer `look_ahead` rows later most, and that answer's view is its."""
    model = MODELS["tcn-ahead2"]()
    xy, score, dt_s = scene(1, 12)
    turned = xy.clone()
    turned[:, 5] += 0.5  # frame 5 stands elsewhere in the picture: its root must be seen there
    with torch.no_grad():
        change = (model.sequence(turned, score, dt_s)[1] - model.sequence(xy, score, dt_s)[1]).norm(dim=-1)[0]
    assert change[:5].max() == 0
    assert change.argmax() == 7


def test_future_frames_do_not_matter(model: Lifter) -> None:
    xy, score, dt_s = scene(2, 30)
    other = xy.clone()
    other[:, 20:] += 1
    with torch.no_grad():
        a, b = model.sequence(xy, score, dt_s)[0], model.sequence(other, score, dt_s)[0]
    assert torch.equal(a[:, :20], b[:, :20])
    assert not torch.equal(a[:, 20:], b[:, 20:])


def test_missing_joints_do_not_matter_and_nobody_is_harmless(model: Lifter) -> None:
    xy, score, dt_s = scene(2, 12)
    score[:, :, 3] = 0
    score[:, 6] = 0  # a whole frame without joints
    nonsense = torch.where(score[..., None] == 0, torch.tensor([torch.nan, 1e30]), xy)
    with torch.no_grad():
        want, got = model.sequence(xy, score, dt_s), model.sequence(nonsense, score, dt_s)
        void = model.sequence(nonsense, torch.zeros_like(score), torch.zeros_like(dt_s))
    for a, b, c in zip(want, got, void, strict=True):
        assert torch.equal(a, b)
        assert torch.isfinite(c).all()
        assert c.abs().max() < 1e5
    assert (want[0][..., 0, :] == 0).all(), "the pelvis is the origin"


def test_view_turns_with_the_person() -> None:
    """A person seen under another angle by a camera that has only turned gives the same features and turned poses."""
    torch.manual_seed(0)
    body = torch.randn(1, 17, 3) * 0.3 + torch.tensor([0.0, 0.0, 4.0])
    score, dt_s = torch.ones(1, 17), torch.zeros(1)
    turn = torch.tensor(0.4)
    yaw = torch.tensor([[turn.cos(), 0, turn.sin()], [0, 1, 0], [-turn.sin(), 0, turn.cos()]])
    output = torch.randn(1, OUTPUTS) * 0.3
    results = []
    for points in (body, body @ yaw.T):
        features, view = observe(points[..., :2] / points[..., 2:], score, dt_s)
        results.append((features, *to_metres(output, view)))
    (f0, pose0, root0), (f1, pose1, root1) = results
    torch.testing.assert_close(f0[:, :34], f1[:, :34], atol=0.02, rtol=0)
    torch.testing.assert_close(pose0 @ yaw.T, pose1, atol=0.02, rtol=0)
    torch.testing.assert_close(root0 @ yaw.T, root1, atol=0.1, rtol=0)


@pytest.fixture(scope="module")
def file(model: Lifter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lifter") / "lifter-test.onnx"
    assert export(model, "lifter-test", path, {"recipe": "test"}) < 1e-4
    return path


def test_exported_file_streams_like_the_dense_form(model: Lifter, file: Path) -> None:
    engine = open_engine(file)
    assert engine.spec.name == "lifter-test"
    assert engine.spec.settings["receptive_field"] == model.receptive_field
    assert streaming_gap(engine, model) <= 1e-5
    engine.close()


def test_weights_can_be_read_back(model: Lifter, file: Path) -> None:
    weights, state = read_weights(file), model.state_dict()
    assert set(weights) <= set(state)
    np.testing.assert_array_equal(weights["head.weight"].numpy(), state["head.weight"].numpy())


def test_file_survives_a_frame_of_nothing(model: Lifter, file: Path) -> None:
    inputs = {"xy": (1, 17, 2), "score": (1, 17), "dt_s": (1,), "keep": (1,)}
    inputs |= {s.input: (1, *s.shape[1:]) for s in model.states()}
    outputs = run_onnx(file.read_bytes(), {n: np.zeros(shape, np.float32) for n, shape in inputs.items()})
    assert all(np.isfinite(a).all() for a in outputs.values())
