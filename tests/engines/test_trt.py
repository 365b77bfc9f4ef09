"""TensorRT's engine on stand-ins for driver and library: what is queued, in which order, on which memory."""

from __future__ import annotations

import numpy as np
import pytest

from engines.device.cuda import CudaError, Driver
from engines.errors import EngineError
from engines.modelfile import read_model
from engines.ort import OrtEngine
from engines.trt import TrtEngine
from tests.engines.standin import make_plan, make_toolkit, open_standin
from tests.engines.standin_cuda import StandInCuda
from tests.engines.tiny_models import counting_lifter, drifting_detector, fixed_finder, wrong_keep_spec


@pytest.fixture
def lifter_path(tmp_path):
    return counting_lifter(tmp_path / "lifter.onnx")


def feed(people: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "xy": rng.normal(size=(people, 17, 2)).astype(np.float32),
        "score": rng.random((people, 17)).astype(np.float32),
        "dt_s": np.zeros(people, np.float32),
    }


def test_graphs_give_exactly_what_plain_runs_give(lifter_path):
    plain, graph = open_standin(lifter_path, graphs=False), open_standin(lifter_path)
    for t in range(6):
        people = (1, 3, 2, 9, 1, 4)[t]
        a, b = (e.run(feed(people, t), range(people), {0} if t == 4 else ()) for e in (plain, graph))
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert "no CUDA graphs" in plain.backend
    assert graph.backend == "stand-in 1.0 (Stand-in GPU, CUDA graphs)"


def test_a_frame_is_one_graph_launch(lifter_path):
    cuda = StandInCuda()
    engine = open_standin(lifter_path, cuda=cuda)
    for people in (1, 2, 4, 8, 3):
        before, recorded = cuda.launches, len(cuda.graphs)
        engine.run(feed(people), range(people))
        assert cuda.launches - before == 1
        assert len(cuda.graphs) == recorded, "a frame waited for a recording; all of them belong into the start"
    assert len(cuda.graphs) == 8  # four sizes, two directions


def test_state_is_read_from_one_set_and_written_to_the_other_in_turn(lifter_path):
    engine = open_standin(lifter_path, people=(2,))
    contexts = engine._loaded.engine.contexts
    pairs = {(c.addresses["count_in"], c.addresses["count_out"]) for c in contexts}
    assert len(pairs) == 2
    (a, b), (c, d) = pairs
    assert (a, b) == (d, c)
    assert a != b


def test_where_recording_fails_it_says_so_and_runs_plain(lifter_path):
    cuda = StandInCuda()
    cuda.can_record = False
    engine = open_standin(lifter_path, cuda=cuda)
    assert "no CUDA graphs: cuStreamEndCapture failed: CUDA_ERROR_STREAM_CAPTURE (900)" in engine.backend
    assert engine.run(feed(2), "ab")["xyz_m"].shape == (2, 17, 3)
    assert cuda.launches == 0


def test_rtx_says_itself_what_it_cannot_record(lifter_path):
    cuda = StandInCuda()
    cuda.can_record = False
    engine = open_standin(lifter_path, cuda=cuda, rtx=True)
    assert engine.backend.endswith("no CUDA graphs: TensorRT says that this network cannot be recorded)")
    assert engine.run(feed(1), "a")["xyz_m"].shape == (1, 17, 3)
    assert cuda.graphs == {}


def test_rtx_kernels_are_kept_for_the_next_start(lifter_path, tmp_path):
    kernels = tmp_path / "lifter.jit"
    open_standin(lifter_path, people=(1,), rtx=True, jit_cache=kernels).close()
    assert kernels.read_bytes() == b"kk"  # one per context
    open_standin(lifter_path, people=(1,), rtx=True, jit_cache=kernels).close()
    assert kernels.read_bytes() == b"kkkk"
    open_standin(lifter_path, rtx=True, jit_cache=tmp_path / "no such folder" / "lifter.jit").close()


@pytest.mark.parametrize("make", [drifting_detector, lambda p: fixed_finder(p, [[1, 2, 3, 4]], [0.9], (16, 12))])
def test_other_kinds_agree_with_onnx_runtime(make, tmp_path):
    path = make(tmp_path / "model.onnx")
    ours, theirs = open_standin(path), OrtEngine(path)
    rng = np.random.default_rng(0)
    for _ in range(3):
        tensor = ours.spec.inputs[0]
        shape = tuple(3 if s == "people" else s for s in tensor.shape)
        inputs = {tensor.name: rng.integers(0, 255, shape, np.uint8)}
        keys = "abc" if ours.spec.states else ()
        a, b = ours.run(inputs, keys), theirs.run(inputs, keys)
        for name in b:
            np.testing.assert_array_equal(a[name], b[name])
            assert a[name].dtype == b[name].dtype


def test_what_nobody_uses_is_never_read_back(lifter_path):
    """Rows that a bigger profile drags along hold old people's state; a newcomer must not inherit it."""
    engine = open_standin(lifter_path)
    for _ in range(5):
        engine.run(feed(3), "abc")
    engine.run(feed(1), "a")
    assert (engine.run(feed(3), "axy")["xyz_m"][:, 0, 2] / feed(3)["score"][:, 0]).round(3).tolist() == [7, 1, 1]


def test_turning_graphs_off_and_on_keeps_the_state(lifter_path):
    engine = open_standin(lifter_path)
    ages = []
    for t in range(6):
        if t in (2, 4):
            engine.use_graphs(t == 4)
        ages.append(float((engine.run(feed(1), "a")["xyz_m"][0, 0, 2] / feed(1)["score"][0, 0]).round(3)))
    assert ages == [1, 2, 3, 4, 5, 6]


def test_closing_frees_everything(lifter_path):
    cuda = StandInCuda()
    engine = open_standin(lifter_path, cuda=cuda)
    engine.run(feed(9), range(9))
    engine.close()
    assert cuda.memory == {}


def test_closing_gives_the_stream_back_and_may_be_done_twice(lifter_path):
    cuda = StandInCuda()
    engine = open_standin(lifter_path, cuda=cuda)
    assert cuda.streams == {7}
    engine.close()
    engine.close()
    assert cuda.streams == set()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.run(feed(1), "a")


def test_a_start_that_fails_leaves_nothing_behind(lifter_path, monkeypatch):
    cuda = StandInCuda()
    with monkeypatch.context() as patch:
        patch.setattr("tests.engines.standin._Context.execute_async_v3", lambda self, stream: False)
        with pytest.raises(EngineError, match="running the network failed"):
            open_standin(lifter_path, cuda=cuda)
    assert (cuda.memory, cuda.streams) == ({}, set())


@pytest.mark.parametrize("room", [100, 3000, 5000])
def test_too_little_memory_leaves_nothing_behind(lifter_path, room):
    cuda = StandInCuda()
    cuda.room = room
    with pytest.raises(CudaError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        open_standin(lifter_path, cuda=cuda)
    assert (cuda.memory, cuda.streams) == ({}, set())


def test_graphs_for_some_sizes_only_count_as_none(lifter_path, monkeypatch):
    """The third recording fails: two graphs among eight lanes would be timed as one thing and be another."""
    cuda, record = StandInCuda(), Driver.record
    calls = []

    def fail_third(driver, enqueue):
        calls.append(1)
        if len(calls) == 3:
            raise CudaError("cuStreamEndCapture failed")
        return record(driver, enqueue)

    monkeypatch.setattr("engines.device.cuda.Driver.record", fail_third)
    engine = open_standin(lifter_path, cuda=cuda)
    cuda.launches = 0
    engine.run(feed(1), "a")
    assert (engine.mode, cuda.launches) == ("plain", 0)


def test_mode_and_backend_say_how_it_runs_now(lifter_path):
    cuda = StandInCuda()
    engine = open_standin(lifter_path, cuda=cuda)
    assert engine.mode == "graph"
    engine.use_graphs(False)
    assert (engine.mode, engine.backend) == ("plain", "stand-in 1.0 (Stand-in GPU, no CUDA graphs)")
    cuda.can_record = False
    engine.use_graphs(True)
    engine.run(feed(1), "a")
    assert engine.mode == "plain"
    assert "cuStreamEndCapture failed" in engine.backend


def test_a_refused_plan_quotes_tensorrt(lifter_path):
    cuda = StandInCuda()
    with pytest.raises(EngineError, match=r"refuses the engine of .*lifter\.onnx: the plan has a wrong magic tag"):
        TrtEngine(read_model(lifter_path), b"rubbish", make_toolkit(cuda), Driver(cuda))


def test_a_plan_of_another_model_is_refused(lifter_path, tmp_path):
    cuda = StandInCuda()
    other = read_model(counting_lifter(tmp_path / "other.onnx", spec=wrong_keep_spec()))
    with pytest.raises(EngineError, match=r"count_in.*export the model again"):
        TrtEngine(other, make_plan(read_model(lifter_path)), make_toolkit(cuda), Driver(cuda))


def test_a_network_that_fails_is_named(lifter_path, monkeypatch):
    engine = open_standin(lifter_path, graphs=False)
    monkeypatch.setattr("tests.engines.standin._Context.execute_async_v3", lambda self, stream: False)
    with pytest.raises(EngineError, match="lifter-tiny: running the network failed"):
        engine.run(feed(1), "a")


class TestDriver:
    def test_a_machine_without_one_says_so(self, monkeypatch):
        monkeypatch.setattr("engines.device.cuda._LIBRARY", "libcuda-that-is-not-there.so.1")
        with pytest.raises(CudaError, match="no NVIDIA driver here"):
            Driver()

    def test_a_driver_without_a_gpu_says_so(self):
        cuda = StandInCuda()
        cuda.cuInit.body = lambda flags: 100
        with pytest.raises(CudaError, match="finds no GPU"):
            Driver(cuda)

    def test_it_describes_the_gpu(self):
        gpu = Driver(StandInCuda()).gpu
        assert (gpu.name, gpu.capability, gpu.driver) == ("Stand-in GPU", (9, 0), "13.0")

    def test_a_failed_call_names_itself_and_the_error(self):
        driver = Driver(StandInCuda())
        with pytest.raises(CudaError, match=r"cuMemFree_v2 failed: CUDA_ERROR_INVALID_VALUE \(1\)"):
            driver.free(12345)

    def test_new_memory_is_zero_and_pinned_arrays_are_what_is_copied(self):
        driver = Driver(StandInCuda())
        host, device = driver.pinned((3, 5), "float32"), driver.allocate(60)
        host.array[...] = 7
        driver.download(host.address, device, 60)
        assert (host.array == 7).all(), "nothing has waited yet"
        driver.wait()
        assert (host.array == 0).all()

    def test_recording_that_fails_leaves_the_stream_usable(self):
        cuda = StandInCuda()
        driver = Driver(cuda)
        with pytest.raises(CudaError, match="cuStreamSynchronize"):
            driver.record(driver.wait)
        driver.wait()
