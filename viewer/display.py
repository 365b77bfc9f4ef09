"""Is there a screen for a window? Asked before Qt is, because Qt aborts the process where there is none."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import socket
import sys
from pathlib import Path

from pipeline.errors import UsageError

NO_WINDOW_EXIT = 3
INSTALL_QT = "pip install 'posestream[viewer]'"
XCB_PACKAGES = (
    "libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 libxcb-randr0 libxcb-render-util0"
    " libxcb-image0 libxkbcommon-x11-0 libx11-xcb1 libegl1 libgl1 libdbus-1-3 libfontconfig1"
)


class NoWindow(UsageError):
    """No window can be opened here: no Qt, no screen, or a library is missing."""

    exit_code = NO_WINDOW_EXIT


def check_qt() -> None:
    """Check that Qt and the plots' library are installed.

    Raises:
        NoWindow: If one is missing; the hint is the command that mends it.
    """
    for module in ("PySide6", "pyqtgraph"):
        if importlib.util.find_spec(module) is None:
            raise NoWindow(f"the viewer needs {module}, which is not installed", INSTALL_QT)


def check_screen() -> None:
    """Check that there is a screen to open a window on; QT_QPA_PLATFORM (e.g. "offscreen") is taken at its word.

    Raises:
        NoWindow: If there is none, it does not answer, or a system library that Qt needs for it is missing.
    """
    if os.environ.get("QT_QPA_PLATFORM") or not sys.platform.startswith("linux"):
        return
    if _wayland_answers():
        return
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise NoWindow("there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)", "log in with a desktop")
    if not _x_answers(display):
        raise NoWindow(f"the display {display} does not answer", "is DISPLAY right, and X running there?")
    _check_xcb()


def _wayland_answers() -> bool:
    name = os.environ.get("WAYLAND_DISPLAY", "")
    return bool(name) and _connects(str(Path(os.environ.get("XDG_RUNTIME_DIR", "/run")) / name))


def _x_answers(display: str) -> bool:
    """Return whether something listens where an X display's name points."""
    match = re.fullmatch(r"(.*):(\d+)(\.\d+)?", display)
    if match is None:
        return False
    host, number = match[1], int(match[2])
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return _connects(path) or _connects(f"\0{path}")
    if host.startswith("/"):  # macOS style: the socket's path
        return _connects(display)
    try:
        socket.create_connection((host.strip("[]"), 6000 + number), timeout=2.0).close()
    except OSError:
        return False
    return True


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        return probe.connect_ex(path) == 0


def _check_xcb() -> None:
    """Load Qt's X11 plugin by hand: a missing library then has a name instead of ending the process."""
    import PySide6

    plugin = Path(PySide6.__file__).parent / "Qt" / "plugins" / "platforms" / "libqxcb.so"
    if not plugin.exists():  # a distribution's own build lies elsewhere, with its libraries
        return
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        raise NoWindow(f"Qt cannot open a window: {error}", f"sudo apt-get install {XCB_PACKAGES}") from error
