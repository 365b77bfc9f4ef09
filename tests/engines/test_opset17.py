"""The copy that TensorRT 8.6 gets: legal at opset 17, and the same numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.errors import EngineError
from engines.modelfile import onnx_metadata, read_model
from engines.plans.opset17 import to_opset17
from engines.plans.plan import PlanOptions, Toolkit, build_plan
from engines.runtime import WEIGHTS_DIR
from train.deliver.precision import recurrent_feeds

SHIPPED = sorted(WEIGHTS_DIR.glob("*.onnx"))


def session(content: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_model_is_legal_and_gives_the_same_bits(path):
    from engines.measure.parity import recorded_frames

    model = read_model(path)
    older = to_opset17(model.content)
    loaded = onnx.load_from_string(older)
    assert ([o.version for o in loaded.opset_import], loaded.ir_version) == ([17], 8)
    onnx.checker.check_model(loaded, full_check=True)
    assert onnx_metadata(older) == onnx_metadata(model.content)
    new, old = session(model.content), session(older)
    for feed in recurrent_feeds(onnx.load(path), recorded_frames(model.spec, 1)[:2]):
        for a, b in zip(new.run(None, feed), old.run(None, feed), strict=True):
            np.testing.assert_array_equal(a, b)


def split_model(opset: int) -> bytes:
    value = helper.make_tensor_value_info
    count = {"num_outputs": 2} if opset >= 18 else {}
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["y"]),
        helper.make_node("Split", ["y"], ["a", "b"], axis=0, **count),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [4])],
        [value("a", TensorProto.FLOAT, [2]), value("b", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.float32([1, -2, 3, -4]), "w")],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()


def test_split_loses_its_count_and_nothing_else_changes():
    older = to_opset17(split_model(18))
    loaded = onnx.load_from_string(older)
    assert [a.name for a in loaded.graph.node[1].attribute] == ["axis"]
    assert {o.domain: o.version for o in loaded.opset_import} == {"": 17, "com.microsoft": 1}
    a, b = session(older).run(None, {"x": np.ones(4, np.float32)})
    assert (a.tolist(), b.tolist()) == ([1, -2], [3, -4])


def test_an_old_file_stays_as_it_is():
    content = split_model(17)
    assert to_opset17(content) is content


@pytest.mark.parametrize("typed", [True, False])
def test_only_a_tensorrt_without_strong_typing_gets_it(typed):
    """8.6 cannot be installed here: what its parser is handed."""
    handed = []

    class Enum:
        __members__ = {"STRONGLY_TYPED": 0} if typed else {"EXPLICIT_BATCH": 0}

    def parse(content: bytes) -> bool:
        handed.append(onnx.load_from_string(content).opset_import[0].version)
        return False

    trt = SimpleNamespace(
        Builder=lambda logger: SimpleNamespace(create_network=lambda flags: None),
        NetworkDefinitionCreationFlag=Enum,
        OnnxParser=lambda network, logger: SimpleNamespace(parse=parse, num_errors=0),
    )
    toolkit = Toolkit(trt, "tensorrt", "8.6.0", SimpleNamespace(tail=[]))
    with pytest.raises(EngineError, match="TensorRT cannot read"):
        build_plan(read_model(WEIGHTS_DIR / "lifter-tcn.onnx"), PlanOptions(), toolkit)
    assert handed == [18 if typed else 17]
