"""What every backend must do: ONNX Runtime, TensorRT where a driver is, and everywhere TensorRT's code on stand-ins."""

from __future__ import annotations

import numpy as np
import pytest

from engines.errors import EngineError, TensorShapeError
from engines.ort import OrtEngine
from engines.runtime import find_weights, open_engine
from tests.engines.gpu import GPU
from tests.engines.standin import open_standin
from tests.engines.tiny_models import counting_lifter, wrong_keep_spec

BACKENDS = ["ort", "stand-in", pytest.param("tensorrt", marks=GPU)]


def open_on(path, backend):
    return open_standin(find_weights(str(path))) if backend == "stand-in" else open_engine(path, backend)


@pytest.fixture(params=BACKENDS)
def lifter(request, tmp_path, monkeypatch):
    monkeypatch.setenv("POSESTREAM_CACHE", str(tmp_path / "cache"))
    engine = open_on(counting_lifter(tmp_path / "lifter.onnx"), request.param)
    yield engine
    engine.close()


def feed(people: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "xy": rng.normal(size=(people, 17, 2)).astype(np.float32),
        "score": rng.random((people, 17)).astype(np.float32),
        "dt_s": np.zeros(people, np.float32),
    }


def counts(engine, keys, reset=()) -> list[float]:
    """Frames since reset of each row, read back from the model's answer."""
    x = feed(len(keys))
    return (engine.run(x, keys, reset)["xyz_m"][:, 0, 2] / x["score"][:, 0]).round(3).tolist()


def test_state_is_carried_by_key_not_by_row(lifter):
    assert counts(lifter, ["a"]) == [1]
    assert counts(lifter, ["a", "b"]) == [2, 1]
    assert counts(lifter, ["b", "a"]) == [2, 3]
    assert counts(lifter, ["c", "a", "b"]) == [1, 4, 3]


def test_absent_key_is_forgotten(lifter):
    counts(lifter, [1, 2])
    counts(lifter, [2])
    assert counts(lifter, [1, 2]) == [1, 3]
    assert counts(lifter, []) == []
    assert counts(lifter, [1, 2]) == [1, 1]


def test_reset_is_per_row(lifter):
    for _ in range(3):
        counts(lifter, [1, 2, 3])
    assert counts(lifter, [1, 2, 3], reset={2}) == [4, 1, 4]
    assert counts(lifter, [1, 2, 3]) == [5, 2, 5]


def test_outputs_are_the_callers_own(lifter):
    x = feed(2)
    first = lifter.run(x, [0, 1])["xyz_m"]
    before = first.copy()
    for _ in range(3):
        lifter.run(feed(2, seed=5), [0, 1])
    np.testing.assert_array_equal(first, before)


def test_outputs_have_the_shapes_and_dtypes_of_the_spec(lifter):
    out = lifter.run(feed(3), "abc")
    assert {k: (v.shape, v.dtype.name) for k, v in out.items()} == {
        "xyz_m": ((3, 17, 3), "float32"),
        "root_m": ((3, 3), "float32"),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xy": np.zeros((1, 17, 3), np.float32)}, r"xy must be \(2, 17, 2\) float32, got \(1, 17, 3\) float32"),
        ({"score": np.zeros((2, 17))}, r"score must be .* got \(2, 17\) float64"),
        ({"dt_s": None}, "missing input 'dt_s'"),
    ],
)
def test_wrong_input_is_named(lifter, change, words):
    inputs = {k: v for k, v in {**feed(2), **change}.items() if v is not None}
    with pytest.raises(TensorShapeError, match=words):
        lifter.run(inputs, [0, 1])


def test_any_number_of_people_comes_and_goes(lifter):
    """Also more people than the largest profile of a GPU engine has rows."""
    rng = np.random.default_rng(3)
    age: dict[int, int] = {}
    for _ in range(40):
        keys = rng.permutation(20)[: rng.integers(0, 20)].tolist()
        again = {k for k in keys if rng.random() < 0.1}
        age = {k: 1 if k in again else age.get(k, 0) + 1 for k in keys}
        assert counts(lifter, keys, again) == [age[k] for k in keys]


def test_twin_keys_are_refused(lifter):
    with pytest.raises(TensorShapeError, match="distinct"):
        lifter.run(feed(2), [1, 1])


def test_the_state_can_be_carried_to_another_engine(lifter, tmp_path):
    """Key by key, whatever the order and the number, into an engine that is in the middle of something else."""
    other = OrtEngine(counting_lifter(tmp_path / "other.onnx"))
    for _ in range(3):
        counts(lifter, [1, 2, 3])
    counts(lifter, [3, 1])
    carried = lifter.carried()
    assert set(carried) == {1, 3}
    counts(other, [1, 7])
    other.adopt(carried)
    assert counts(other, [7, 3, 1, 2]) == [1, 5, 5, 1]
    counts(lifter, list(range(5)))
    lifter.adopt({key: other.carried()[key] for key in (2, 3)})
    assert counts(lifter, [1, 2, 3]) == [1, 2, 6]
    lifter.adopt({})
    assert counts(lifter, [2]) == [1]


def test_a_foreign_state_is_refused(lifter):
    with pytest.raises(TensorShapeError, match=r"count_in must be \(1, 1\) float32, got \(2,\)"):
        lifter.adopt({"a": {"count_in": np.zeros(2, np.float32)}})
    with pytest.raises(TensorShapeError, match="missing input 'count_in'"):
        lifter.adopt({"a": {}})


@pytest.mark.parametrize("backend", BACKENDS)
class TestBadFiles:
    def test_missing(self, backend, tmp_path):
        with pytest.raises(EngineError, match="no model file"):
            open_on(tmp_path / "none.onnx", backend)

    def test_garbage(self, backend, tmp_path):
        path = tmp_path / "bad.onnx"
        path.write_bytes(b"\x08\x07garbage" * 100)
        with pytest.raises(EngineError, match="damaged or not an ONNX file"):
            open_on(path, backend)

    def test_truncated(self, backend, tmp_path):
        path = counting_lifter(tmp_path / "cut.onnx")
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(EngineError, match=r"cut\.onnx"):
            open_on(path, backend)

    def test_foreign(self, backend, tmp_path):
        path = counting_lifter(tmp_path / "foreign.onnx", metadata={"author": "somebody"})
        with pytest.raises(EngineError, match="not a posestream model"):
            open_on(path, backend)

    def test_metadata_that_contradicts_the_graph(self, backend, tmp_path):
        path = counting_lifter(tmp_path / "liar.onnx", spec=wrong_keep_spec())
        with pytest.raises(EngineError, match="export the model again"):
            open_on(path, backend)

    def test_other_schema_version(self, backend, tmp_path):
        path = counting_lifter(tmp_path / "new.onnx", metadata={"posestream": '{"schema": 99}'})
        with pytest.raises(EngineError, match="schema 99, this program reads schema 1"):
            open_on(path, backend)


def test_unknown_backend_is_refused(tmp_path):
    with pytest.raises(EngineError, match="unknown backend 'cuda'"):
        open_engine(counting_lifter(tmp_path / "x.onnx"), "cuda")
