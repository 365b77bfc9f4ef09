"""The keys: what they do, and the table of them on the help sheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence, QShortcut

if TYPE_CHECKING:
    from viewer.window import Window

_KEYS_FIRST = (("Space", "pause, go on"), ("S", "screenshot"))
_KEYS_LIVE = (("C", "record a results file; again to save it"), ("G", "show or hide the plots"))
_KEYS_PLAYBACK = (("←  →", "one frame back, on"), ("[  ]", "slower, faster"), ("Home  End", "first frame, last frame"))
_KEYS_LAST = (
    ("1  2  3  4", "front, side, top, back"),
    ("R", "reset the 3D view"),
    ("Shift + arrows", "turn the 3D view"),
    ("+  −", "zoom the 3D view"),
    ("Mouse", "drag turns, wheel zooms, right drag shifts"),
    ("B", "boxes and track numbers"),
    ("T", "trails of hands and feet"),
    ("F", "full screen"),
    ("H", "this sheet"),
    ("Tab, Enter", "walk through the buttons, press one"),
    ("Ctrl + Q", "quit"),
)


def key_table(playback: bool) -> tuple[tuple[str, str], ...]:
    """Return (key, meaning) rows for the help sheet."""
    return _KEYS_FIRST + (_KEYS_PLAYBACK if playback else _KEYS_LIVE) + _KEYS_LAST


def bind_keys(window: Window) -> None:
    """Give the window its keys."""
    look, camera = window.scene.look, window.scene.camera
    keys: dict[str, Callable[[], object]] = {
        "Space": window.toggle_pause, "S": window.screenshot, "R": lambda: look("reset"),
        "1": lambda: look("front"), "2": lambda: look("side"), "3": lambda: look("top"), "4": lambda: look("back"),
        "Shift+Left": lambda: camera.orbit(-6, 0), "Shift+Right": lambda: camera.orbit(6, 0),
        "Shift+Up": lambda: camera.orbit(0, 4), "Shift+Down": lambda: camera.orbit(0, -4),
        "+": lambda: camera.magnify(1.15), "=": lambda: camera.magnify(1.15), "-": lambda: camera.magnify(1 / 1.15),
        "B": window.toggle_boxes, "T": window.toggle_trails, "F": window.toggle_full_screen, "H": window.help.toggle,
        "F1": window.help.toggle, "Esc": window.escape, "Ctrl+Q": window.close, "Ctrl+W": window.close,
    }  # fmt: skip
    if window.playback:
        frames = window.playback.frames
        keys |= {
            "Left": lambda: window.step(-1), "Right": lambda: window.step(1),
            "[": lambda: window.change_speed(-1), "]": lambda: window.change_speed(1),
            "Home": lambda: window.step(-frames), "End": lambda: window.step(frames),
        }  # fmt: skip
    else:
        keys |= {"C": window.toggle_recording, "G": window.toggle_plots}
    for key, act in keys.items():
        QShortcut(QKeySequence(key), window).activated.connect(lambda act=act: _press(window, act))


def _press(window: Window, act: Callable[[], object]) -> None:
    act()
    window.scene.update()
