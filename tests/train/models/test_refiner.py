"""The recurrent refiners: their steps equal PyTorch's sequence kernels, windows look both ways, files stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engines.runtime import Engine, open_engine
from train.models.refiner import BlstmRefiner, LstmRefiner, RefinedStream
from train.models.videopose import KERNELS, VideoPose
from train.models.videopose_stream import centred, export_stream

MODELS = {
    "lstm": lambda: LstmRefiner(width=16),
    "blstm_concat": lambda: BlstmRefiner(width=16),
    "blstm_sum": lambda: BlstmRefiner(width=16, window=3, stride=2, merge="sum"),
}


def lively(name: str) -> LstmRefiner | BlstmRefiner:
    torch.manual_seed(0)
    model = MODELS[name]()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return model.eval()


def poses(people: int, frames: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return centred(torch.randn(people, frames, 17, 3, generator=rng) * 0.3)


@pytest.mark.parametrize("name", MODELS)
def test_refiners_begin_as_the_identity(name: str) -> None:
    pose = poses(2, 7)
    torch.testing.assert_close(MODELS[name]()(pose), pose)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.lists(st.integers(1, 20), min_size=1, max_size=3), st.integers(0, 99))
def test_steps_equal_the_sequence(name: str, lengths: list[int], seed: int) -> None:
    """Three rows of their own, several sequences each, the first state NaN, which keep = 0 must hide."""
    model, lag = lively(name), lively(name).look_ahead
    past = tuple(torch.full((3, *s.shape[1:]), torch.nan) for s in model.states())
    for i, length in enumerate(lengths):
        pose = poses(3, length, seed + i)
        fed = torch.cat([pose, pose[:, -1:].expand(-1, lag, -1, -1)], 1)
        outs = []
        with torch.no_grad():
            for t in range(length + lag):
                out, news = model.step(fed[:, t], torch.full((3, 1, 1), float(t > 0)), past)
                past = tuple(news)
                outs.append(out)
            torch.testing.assert_close(torch.stack(outs[lag:], 1), model(pose), atol=1e-5, rtol=1e-5)


def test_blstm_looks_half_its_window_either_way_and_lstm_only_back() -> None:
    pose = poses(1, 31)
    for name, reach in (("blstm_concat", (-6, 6)), ("lstm", (-15, 0))):
        model, seen = lively(name), []
        for frame in range(31):
            other = pose.clone()
            other[:, frame, 1:] += 0.5
            with torch.no_grad():
                if (model(other) - model(pose))[0, 15].abs().max() > 1e-6:
                    seen.append(frame - 15)
        assert (min(seen), max(seen)) == reach


def test_windows_without_a_middle_and_unknown_merges_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        BlstmRefiner(window=4)
    with pytest.raises(ValueError, match="mean"):
        BlstmRefiner(merge="mean")
    with pytest.raises(ValueError, match="causal"):
        RefinedStream(VideoPose(KERNELS[27], causal=False, channels=8), LstmRefiner(8))


@pytest.fixture(params=["lstm", "blstm_concat"])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[RefinedStream, Engine]:
    torch.manual_seed(3)
    model = RefinedStream(VideoPose(KERNELS[1], channels=16).eval(), lively(request.param))
    assert export_stream(model, "refined-test", tmp_path / "refined.onnx", 30, {"recipe": "test"}) < 1e-4
    return model, open_engine(tmp_path / "refined.onnx")


def test_exported_file_streams_like_the_batch_form(stream: tuple[RefinedStream, Engine]) -> None:
    model, engine = stream
    lag, frames = model.look_ahead, 40
    rng = torch.Generator().manual_seed(1)
    xy = torch.randn(3, frames, 17, 2, generator=rng) * 0.2
    score = (torch.rand(3, frames, 17, generator=rng) * 1.2 - 0.2).clamp(min=0)
    dt_s = torch.full((3, frames), 1 / 30)
    for begin, end in ((0, 25), (25, frames)):
        outs = []
        for t in range(begin, end):
            inputs = {"xy": xy[:, t].numpy(), "score": score[:, t].numpy(), "dt_s": dt_s[:, t].numpy()}
            inputs = {k: np.ascontiguousarray(v) for k, v in inputs.items()}
            outs.append(engine.run(inputs, list("abc"), list("abc") if t == begin else ()))
        with torch.no_grad():
            pose, _ = model.sequence(xy[:, begin:end], score[:, begin:end], dt_s[:, begin:end])
        got = np.stack([o["xyz_m"] for o in outs[lag:]], 1)
        want = pose[:, : end - begin - 2 * lag if lag else None]  # the last ones saw repeated frames in the batch form
        np.testing.assert_allclose(got[:, : want.shape[1]], want.numpy(), atol=1e-5, rtol=1e-5)
        assert all(np.isfinite(o["root_m"]).all() for o in outs)
