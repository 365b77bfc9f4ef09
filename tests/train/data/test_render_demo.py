"""The shipped demo clip and its truth belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.skeletons import H36M17

FOLDER = Path(__file__).parents[3] / "pipeline"


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / "demo_truth.npz"))


def test_projecting_the_truth_gives_its_pixels(truth: dict[str, np.ndarray]) -> None:
    at = truth["xyz_m"] + truth["root_m"][:, None]
    xy = at[..., :2] / at[..., 2:] * truth["focal_px"] + truth["size_wh"] / 2
    np.testing.assert_allclose(xy, truth["xy_px"], atol=0.01)
    np.testing.assert_allclose(truth["xyz_m"][:, 0], 0.0, atol=1e-6)
    assert (truth["xy_px"] > 0).all()
    assert (truth["xy_px"] < truth["size_wh"]).all()


def test_the_clip_has_a_frame_for_every_row_and_is_small(truth: dict[str, np.ndarray]) -> None:
    av = pytest.importorskip("av")
    path = FOLDER / "demo.mp4"
    assert path.stat().st_size < 1_900_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == tuple(truth["size_wh"])
        assert float(stream.average_rate) == pytest.approx(float(truth["fps"]))
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert sum(1 for _ in container.decode(video=0)) == len(truth["frame"])


def test_the_person_is_drawn_where_the_truth_says(truth: dict[str, np.ndarray]) -> None:
    """The shirt is the only red thing near the joints of the trunk."""
    av = pytest.importorskip("av")
    spine = H36M17.index("spine")
    with av.open(str(FOLDER / "demo.mp4")) as container:
        for t, frame in enumerate(container.decode(video=0)):
            if t % 25:
                continue
            x, y = truth["xy_px"][t, spine].astype(int)
            red, _, blue = frame.to_ndarray(format="rgb24")[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(0)
            assert red > 1.8 * blue, t


def test_the_truth_is_a_person_moving_smoothly(truth: dict[str, np.ndarray]) -> None:
    xyz = truth["xyz_m"]
    for a, b in ((1, 2), (2, 3), (4, 5), (5, 6), (12, 13), (15, 16)):
        length = np.linalg.norm(xyz[:, b] - xyz[:, a], axis=-1)
        assert 0.2 < length.mean() < 0.55
        assert np.ptp(length) < 0.02
    world = xyz + truth["root_m"][:, None]
    speed = np.linalg.norm(np.diff(world, axis=0), axis=-1) * truth["fps"]
    assert speed.max() < 5.0
    assert str(truth["skeleton"]) == "h36m17"
    assert "mocap.cs.cmu.edu" in str(truth["credit"])
