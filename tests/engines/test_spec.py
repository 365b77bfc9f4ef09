from __future__ import annotations

from dataclasses import replace

import pytest

from engines.errors import EngineError
from engines.spec import EngineSpec
from tests.engines.tiny_models import LIFTER_SPEC


def test_json_round_trip():
    assert EngineSpec.from_json(LIFTER_SPEC.to_json()) == LIFTER_SPEC


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "oracle"}, "unknown model kind 'oracle'"),
        ({"inputs": LIFTER_SPEC.inputs[:1]}, "a lifter has inputs"),
        ({"settings": {}}, "lacks the settings"),
        ({"keep": ""}, "come together"),
        ({"skeleton": "alien"}, "unknown skeleton 'alien'"),
    ],
)
def test_spec_that_breaks_its_kinds_contract(change, words):
    with pytest.raises(EngineError, match=words):
        replace(LIFTER_SPEC, **change)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema": 1}', '{"schema": 1, "inputs": 3}', "{"])
def test_unreadable_metadata_names_the_file(text):
    with pytest.raises(EngineError, match=r"model\.onnx"):
        EngineSpec.from_json(text, "model.onnx")
