"""`posestream view`, and the viewer as a child of a run. Qt is imported only when a window is really opened."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import DEFAULT_ENDPOINT, StageConfig
from pipeline.errors import UsageError
from pipeline.messages import EndOfStream, People3D, StageStatus
from pipeline.processes.lifeline import Lifeline, Stopped
from pipeline.processes.links import Subscriber
from pipeline.sources.redact import redact
from viewer.display import check_qt, check_screen
from viewer.feed import Feed

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from viewer.session import Session
    from viewer.window import Window

REPORT_MS = 1000
LIFELINE_MS = 50
RESULTS_SUFFIXES = (".npz", ".part")
EXAMPLES = """examples:
  posestream view                               watch the stream published on this machine
  posestream view tcp://127.0.0.1:5571          a stream published elsewhere (of another machine: through ssh -L)
  posestream view out.npz --video clip.mp4      scrub through saved results on their video
  posestream view out.npz --screenshot pic.png --at 2.5
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `posestream view`; returns when the window is closed.

    Raises:
        PipelineError: If no window can be opened (exit code 3), or the file or endpoint is none (2).
    """
    args = _parser().parse_args(argv)
    check_qt()
    if args.screenshot is None:
        check_screen()
    else:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return _view(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="posestream view",
        description="Watch a live stream of skeletons, or scrub through a results file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", default=DEFAULT_ENDPOINT, metavar="ENDPOINT|out.npz")
    parser.add_argument("--video", type=Path, metavar="CLIP", help="the video that the results were made from")
    parser.add_argument("--out-dir", type=Path, default=Path(), help="where screenshots and recordings go (here)")
    parser.add_argument("--screenshot", type=Path, metavar="PNG", help="save one picture of the window and exit")
    parser.add_argument("--at", type=float, metavar="SECONDS", help="moment of the screenshot (file) or wait (stream)")
    parser.add_argument("--size", type=_size, default=(1280, 720), metavar="WxH", help="size of the window")
    parser.add_argument("--view", choices=("three-quarter", "front", "side", "top", "back"), default="three-quarter")
    parser.add_argument("--trails", action="store_true", help="show trails of hands and feet from the start")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _view(args: argparse.Namespace) -> int:
    app = _application()
    session, feed = _open(args)
    from viewer.window import Window

    window = Window(session, args.out_dir)
    window.resize(*args.size)
    window.scene.look(args.view)
    if args.trails:
        window.toggle_trails()
    if feed is not None:
        feed.on_news = window.news.emit
        feed.start()
    window.show()
    if args.screenshot is None:
        _close_on_signals(window)
        app.exec()
        return 0
    return _screenshot(app, window, args.screenshot, args.at)


def _application() -> QApplication:
    import cv2
    from PySide6.QtWidgets import QApplication

    cv2.setNumThreads(1)  # one small resize per frame: a pool of threads would only take cores from the networks
    app = QApplication.instance() or QApplication(["posestream"])
    app.setApplicationName("posestream")
    return app  # type: ignore[return-value]


def _open(args: argparse.Namespace) -> tuple[Session, Feed | None]:
    """Open a results file if the argument looks like one, else a stream.

    Raises:
        PipelineError: If it cannot be read, or is neither.
    """
    what = str(args.what)
    if Path(what).suffix in RESULTS_SUFFIXES or Path(what).exists():
        from pipeline.results.record import load_film
        from viewer.film import Film
        from viewer.playback import Playback

        film = Film(args.video) if args.video is not None else None
        return Playback(load_film(Path(what)), Path(what).name, film), None
    endpoint = what if "://" in what else f"tcp://{what}"
    if ":" not in endpoint.partition("://")[2] and not endpoint.startswith("ipc:"):
        raise UsageError(f"{what} is neither a results file nor an endpoint", "an endpoint is tcp://HOST:PORT")
    feed = _feed(endpoint, endpoint)
    from viewer.session import LiveSession

    return LiveSession(feed), feed


def _feed(name: str, endpoint: str) -> Feed:
    """Return a feed on an endpoint; the address is tried here, so that a bad one is heard of at once."""
    kinds = (People3D, StageStatus, EndOfStream)
    Subscriber(None, endpoint, kinds).close()
    return Feed(name, lambda: Subscriber(None, endpoint, kinds))


def _close_on_signals(window: Window) -> None:
    """Let SIGINT and SIGTERM close the window: from the event loop, for Python may hear them amid drawing."""
    from PySide6.QtCore import QTimer

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: QTimer.singleShot(0, window.close))


def _screenshot(app: QApplication, window: Window, path: Path, at_s: float | None) -> int:
    """Render the window at a moment and save it."""
    if window.playback is not None:
        window.show_moment(at_s)
    else:
        _run_for(app, 3.0 if at_s is None else at_s)
    window.settle()
    app.processEvents()
    saved = window.grab().save(str(path))
    window.close()
    if not saved:
        raise UsageError(f"cannot write {path}", "the name must end in .png or .jpg, in a folder that exists")
    sys.stdout.write(f"{path}\n")
    return 0


def _run_for(app: QApplication, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        app.processEvents()
        time.sleep(0.004)


def run_viewer(config: StageConfig, lifeline: Lifeline) -> None:
    """Be the window of a run: `own_loop` row of the process table.

    Returns when the user closes the window, or when the lifeline does.

    Raises:
        NoWindow: If there is no screen or no Qt.
    """
    check_qt()
    check_screen()
    app = _application()
    from viewer.session import LiveSession
    from viewer.window import Window

    assert config.subscribe is not None
    feed = _feed(redact(config.run.source.target), config.subscribe)
    window = Window(LiveSession(feed), Path())
    feed.on_news = window.news.emit
    feed.start()
    window.show()
    status = StageStatus(stage=config.name, state="running")
    timers = [
        _every(window, REPORT_MS, lambda: _unless_stopped(window, lambda: lifeline.report(status))),
        _every(window, LIFELINE_MS, lambda: _unless_stopped(window, lifeline.read)),
    ]
    lifeline.report(status)
    app.exec()
    del timers


def _every(window: Window, ms: int, act: Callable[[], object]) -> object:
    from PySide6.QtCore import QTimer

    timer = QTimer(window)
    timer.timeout.connect(act)
    timer.start(ms)
    return timer


def _unless_stopped(window: Window, act: Callable[[], object]) -> None:
    """Do something with the lifeline; close the window if it is cut."""
    try:
        act()
    except Stopped:
        window.close()
