from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.messages import EndOfStream
from pipeline.results.record import collect
from tests.viewer.people import people
from tests.viewer.windows import SilentEar, gone
from viewer.feed import Feed
from viewer.playback import Playback
from viewer.session import LiveSession

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"


@pytest.fixture(scope="session")
def app() -> object:
    """The one Qt application of the test run."""
    pytest.importorskip("PySide6", reason="the viewer's extra is not installed")
    pytest.importorskip("pyqtgraph", reason="the viewer's extra is not installed")
    from viewer.app import _application

    return _application()


@pytest.fixture
def live(app: object, tmp_path: Path) -> Iterator[object]:
    from viewer.window import Window

    window = Window(LiveSession(Feed("the door", SilentEar)), tmp_path)
    window.show()
    yield window
    gone(window)


@pytest.fixture
def playback(app: object, tmp_path: Path) -> Iterator[object]:
    from viewer.window import Window

    messages = [people([(0, 0, 4)] * (i < 60), seq=i, pts_s=i / 30) for i in range(90)]
    window = Window(Playback(collect([*messages, EndOfStream(last_seq=89, reason="end")]), "out.npz"), tmp_path)
    window.show()
    yield window
    gone(window)
