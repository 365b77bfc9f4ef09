"""What other programs import: skeletons of a live stream or of a recording, one message per frame.

Example:
    from pipeline.client import subscribe

    for people in subscribe("tcp://127.0.0.1:5570"):
        for track, xyz_m in zip(people.track, people.xyz_m):
            print(track, xyz_m[10])

"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zmq

from pipeline.config import DEFAULT_ENDPOINT
from pipeline.errors import SourceError
from pipeline.messages import EndOfStream, People3D, Stamp
from pipeline.processes.links import Subscriber
from pipeline.results.record import Results, load_film, load_results

__all__ = ["Results", "load_results", "recorded", "subscribe"]


def subscribe(
    endpoint: str = DEFAULT_ENDPOINT, timeout_s: float | None = None, newest: bool = False
) -> Iterator[People3D]:
    """Yield the people of every frame that a run publishes from now on, until it ends.

    The run may begin later than the subscription, and is waited for again when it is restarted.

    Args:
        endpoint: What `posestream --publish` was given.
        timeout_s: Give up after so long without a message; None waits for ever.
        newest: For slow readers: skip to the newest frame. Without it up to 1000 frames wait in line.

    Raises:
        TimeoutError: If nothing came for `timeout_s`.
        WireError: If the publisher is no posestream, or one of another wire version.
        OutputError: If the endpoint is not an address.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    people = Subscriber(context, endpoint, (People3D,) if newest else (People3D, EndOfStream), newest)
    # A conflating socket keeps one message of all kinds together: the end needs its own.
    end = Subscriber(context, endpoint, (EndOfStream,)) if newest else people
    try:
        yield from _listen(people, end, endpoint, timeout_s)
    finally:
        context.destroy(linger=0)


def _listen(people: Subscriber, end: Subscriber, endpoint: str, timeout_s: float | None) -> Iterator[People3D]:
    heard_s = time.monotonic()
    while True:
        if people.wait(timeout_ms=100):
            message = people.try_receive()
            heard_s = time.monotonic()
            if isinstance(message, EndOfStream):
                return
            if isinstance(message, People3D):
                yield message
        elif end is not people and isinstance(end.try_receive(), EndOfStream):
            return
        elif timeout_s is not None and time.monotonic() - heard_s > timeout_s:
            raise TimeoutError(f"nothing from {endpoint} for {timeout_s:g} s")


def recorded(path: Path | str) -> Iterator[People3D]:
    """Yield the people of every frame of a results file, frames without people included.

    Boxes are those of the joints; `filled` is 1 and there is no preview.

    Raises:
        SourceError: If there is no such file, or it holds no results or those of several clips.
    """
    results = load_film(path)
    if results.frames and not results.size_wh.all():
        raise SourceError(f"{path} does not say how large its pictures are")
    for frame in range(results.frames):
        rows = np.flatnonzero(results.frame == frame)
        xy_px = results.xy_px[rows]
        pts_s = float(results.pts_s[rows[0]]) if len(rows) else np.nan
        yield People3D(
            stamp=Stamp(str(path), frame, 0, None if np.isnan(pts_s) else pts_s),
            image_wh=(int(results.size_wh[0]), int(results.size_wh[1])),
            track=results.track[rows],
            box_xyxy_px=np.concatenate([xy_px.min(1), xy_px.max(1)], 1),
            xy_px=xy_px,
            score=results.score[rows],
            xyz_m=results.xyz_m[rows],
            root_m=results.root_m[rows],
            filled=np.ones(len(rows), np.float32),
            xyz_smooth_m=None if results.xyz_smooth_m is None else results.xyz_smooth_m[rows],
            skeleton=results.skeleton,
        )
