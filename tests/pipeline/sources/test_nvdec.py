"""--nvdec: the choice and its one line; the source over a stand-in for PyNvVideoCodec that decodes with FFmpeg."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import av
import numpy as np
import pytest

from pipeline.commands.options import decoded_as_asked
from pipeline.config import SourceConfig
from pipeline.errors import SourceError, UsageError
from pipeline.sources.file import FileSource
from pipeline.sources.video import open_source
from tests.pipeline.clips import make_clip, number, turn

HAVE_IT = importlib.util.find_spec("PyNvVideoCodec") is not None


@pytest.fixture
def nvdec(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    def decoder(path: str, *, gpu_id: int, use_device_memory: bool, output_color_type: str) -> list[np.ndarray]:
        assert (gpu_id, use_device_memory, output_color_type) == (0, False, "native")
        with av.open(path) as container:
            return [f.reformat(format="nv12").to_ndarray() for f in container.decode(video=0)]

    module = ModuleType("PyNvVideoCodec")
    module.SimpleDecoder, module.OutputColorType = decoder, SimpleNamespace(NATIVE="native")
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", module)
    return module


@pytest.mark.skipif(HAVE_IT, reason="PyNvVideoCodec is installed")
def test_without_it_it_says_what_to_install(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 2)
    with pytest.raises(SourceError, match="needs PyNvVideoCodec, which is not installed") as caught:
        open_source(SourceConfig("file", str(clip), nvdec=True))
    assert caught.value.hint.startswith("pip install PyNvVideoCodec")


def test_frames_times_and_colours_are_those_of_the_processor(nvdec: ModuleType, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "vfr.mp4", 6, times_s=[0, 0.033, 0.2, 0.21, 0.5, 1.0])
    ours, theirs = open_source(SourceConfig("file", str(clip), nvdec=True)), FileSource(str(clip))
    pairs = list(zip(ours.pictures(), theirs.pictures(), strict=True))
    assert [number(a.image) for a, _ in pairs] == list(range(6))
    assert [a.pts_s for a, _ in pairs] == [b.pts_s for _, b in pairs]
    assert max(np.abs(a.image.astype(int) - b.image).mean() for a, b in pairs) < 3  # chroma is interpolated otherwise
    assert ours.facts() == {**theirs.facts(), "decoder": "NVDEC"}
    ours.close()
    theirs.close()


def test_what_it_cannot_do_is_one_line(nvdec: ModuleType, tmp_path: Path) -> None:
    turned = turn(make_clip(tmp_path / "turned.mp4", 3), (0, 1, -1, 0))
    with pytest.raises(SourceError, match="stored turned"):
        open_source(SourceConfig("file", str(turned), nvdec=True))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("codec not\n supported")

    nvdec.SimpleDecoder = refuse
    with pytest.raises(SourceError, match=r"cannot decode .*: codec not supported"):
        open_source(SourceConfig("file", str(make_clip(tmp_path / "clip.mp4", 2)), nvdec=True))


def test_it_is_for_files_only() -> None:
    args = SimpleNamespace(nvdec=True)
    assert decoded_as_asked(SourceConfig("file", "x"), args).nvdec
    with pytest.raises(UsageError, match="--nvdec is for video files"):
        decoded_as_asked(SourceConfig("camera", "0"), args)
