from __future__ import annotations

import os

import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["PYQTGRAPH_QT_LIB"] = "PySide6"


@pytest.fixture(scope="session")
def app() -> object:
    """The one Qt application of the test run."""
    pytest.importorskip("PySide6", reason="the viewer's extra is not installed")
    pytest.importorskip("pyqtgraph", reason="the viewer's extra is not installed")
    from viewer.app import _application

    return _application()
