"""The timing cache: TensorRT-RTX has the calls, which do nothing there; what it would do is played by a stand-in."""

from __future__ import annotations

import pytest

from engines.plans.plan import find_tensorrt
from engines.plans.tactics import attach, keep


class Measured:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b"+"


class Config:
    """Takes only what begins with its own version, as TensorRT does."""

    cache = None

    def create_timing_cache(self, content: bytes) -> Measured | None:
        return None if content.startswith(b"damaged") else Measured(content)

    def set_timing_cache(self, cache: Measured, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache if cache.content[:2] in (b"", b"v1") else self.cache
        return self.cache is cache

    def get_timing_cache(self) -> Measured:
        return self.cache


@pytest.mark.parametrize(
    ("known", "after"), [(None, b"+"), (b"v1", b"v1+"), (b"v0 of another version", b"+"), (b"damaged", b"+")]
)
def test_what_was_measured_is_kept_for_the_next_build(tmp_path, known, after):
    path, config = tmp_path / "engines" / "x.timing", Config()
    if known is not None:
        path.parent.mkdir()
        path.write_bytes(known)
    assert attach(config, "tensorrt", path)
    keep(config, path)
    assert path.read_bytes() == after


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    config = Config()
    assert attach(config, "tensorrt", tmp_path / "file" / "x.timing")
    keep(config, tmp_path / "file" / "x.timing")


def test_none_without_a_place_or_a_use_for_it(tmp_path):
    assert not attach(None, "tensorrt", None)
    assert not attach(None, "tensorrt_rtx", tmp_path / "x.timing")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_calls_are_those_of_the_real_api(tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13, which is in the dev extra")
    toolkit = find_tensorrt()
    path = tmp_path / "x.timing"
    for _ in range(2):
        config = toolkit.trt.Builder(toolkit.logger).create_builder_config()
        assert attach(config, "tensorrt", path)
        keep(config, path)
        assert path.stat().st_size > 0
