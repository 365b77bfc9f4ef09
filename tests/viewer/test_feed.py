"""The feed over a real PUB socket."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq

from pipeline.config import LinkConfig
from pipeline.messages import EndOfStream, People3D, StageStatus
from pipeline.processes.links import Sender, Subscriber
from pipeline.processes.wire import pack
from pipeline.results.record import load_results
from tests.viewer.people import people, picture
from viewer.feed import Feed, display_age_ms, latency_ms
from viewer.session import LiveSession


def until(what: Callable[[], object], seconds: float = 10.0) -> None:
    end_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/view"


@pytest.fixture
def publisher(endpoint: str) -> Iterator[Sender]:
    context: zmq.Context = zmq.Context()
    yield Sender(context, LinkConfig(endpoint, publish=True, depth=1000))
    context.destroy(linger=0)


@pytest.fixture
def feed(endpoint: str, publisher: Sender) -> Iterator[Feed]:
    """A feed that is connected: it has heard a status."""
    feed = Feed("test feed", lambda: Subscriber(None, endpoint, (People3D, StageStatus, EndOfStream)))
    feed.start()
    ping = pack(StageStatus(stage="decode", state="running"))

    def heard() -> bool:
        publisher.try_send(ping)
        return feed.counters.messages > 0

    until(heard)
    yield feed
    feed.close()


def state(feed: Feed):
    return feed.state(time.monotonic_ns())


def test_before_the_first_message(feed: Feed):
    now = state(feed)
    assert (now.people, now.source, now.fps) == (None, "test feed", 0.0)
    assert math.isnan(now.latency_ms)


def test_the_newest_message_wins_and_none_is_lost(feed: Feed, publisher: Sender):
    preview = picture()
    for seq in range(200):
        publisher.try_send(pack(people(seq=seq, preview=preview)))
    until(lambda: feed.counters.people == 200)
    now = state(feed)
    assert now.people.stamp.seq == 199
    assert now.people.preview is not None
    assert np.array_equal(now.people.preview, preview)
    assert now.source == "test"
    assert now.latency_ms == pytest.approx(20, abs=5)
    assert len(feed.take_latencies()) == 200
    assert feed.take_latencies() == []


def test_rate_and_silence(feed: Feed, publisher: Sender):
    for seq in range(40):
        publisher.try_send(pack(people(seq=seq)))
        time.sleep(0.02)
    until(lambda: feed.counters.people == 40)
    assert 15 < state(feed).fps < 55
    later = feed.state(time.monotonic_ns() + 1_200_000_000)
    assert 1.1 < later.silent_s < 3
    assert feed.state(time.monotonic_ns() + 5_000_000_000).fps == 0


def test_garbage_is_counted_and_does_no_harm(feed: Feed, publisher: Sender):
    good = pack(people(seq=1))
    for bad in (good[:3] + b"\xff" + good[4:], good[:40], good[:8] + b"\xc1" * 64, good + b"x"):
        publisher.try_send(bad)
    publisher.try_send(good)
    until(lambda: feed.counters.people == 1)
    assert feed.counters.garbage == 4
    assert state(feed).garbage == 4


def test_the_end_and_a_restart(feed: Feed, publisher: Sender, endpoint: str):
    publisher.try_send(pack(people(seq=500)))
    publisher.try_send(pack(StageStatus(stage="lift", state="running", note="hot")))
    publisher.try_send(pack(EndOfStream(last_seq=500, reason="end")))
    until(lambda: state(feed).ended is not None)
    assert state(feed).statuses["lift"].note == "hot"
    publisher.close()  # the run is gone; another one takes its place
    context: zmq.Context = zmq.Context()
    again = _bound(context, endpoint)

    def flows() -> bool:
        again.try_send(pack(people(seq=0)))
        return feed.counters.people > 1

    until(flows)
    now = state(feed)
    assert now.ended is None
    assert now.people.stamp.seq == 0
    assert feed.counters.restarts == 1
    assert now.statuses == {}
    context.destroy(linger=0)


def _bound(context: zmq.Context, endpoint: str) -> Sender:
    return Sender(context, LinkConfig(endpoint, publish=True, depth=1000))


def test_a_recording_holds_everything_and_reads_back(feed: Feed, publisher: Sender, tmp_path: Path):
    session = LiveSession(feed)
    session.record()
    sent = [people([(0, 0, 4)] * (seq % 3), seq=seq, pts_s=seq / 30, preview=picture()) for seq in range(100, 130)]
    for message in sent:
        publisher.try_send(pack(message))
    until(lambda: feed.counters.people == 30)
    session.toggle_pause()
    assert session.tick(time.monotonic_ns()) is None  # a paused picture does not stop the recording
    assert session.state.recorded == 30
    path = tmp_path / "kept.npz"
    assert session.save_recording(path) == 30
    results = load_results(path)
    assert results.frames == 130
    assert results.frame.tolist() == [seq for seq in range(100, 130) for _ in range(seq % 3)]
    assert np.array_equal(results.xyz_m[0], sent[1].xyz_m[0])
    assert results.size_wh.tolist() == [640, 360]
    assert results.info["first_frame"] == 100
    assert path.stat().st_size < 100_000  # no pictures in it
    assert session.save_recording(path) is None


def test_a_recording_goes_on_over_a_restart(feed: Feed, publisher: Sender, tmp_path: Path):
    feed.start_recording()
    for seq in (7, 8, 0, 1):
        publisher.try_send(pack(people(seq=seq)))
    until(lambda: feed.counters.people == 4)
    recording = feed.stop_recording()
    assert recording is not None
    recording.save(tmp_path / "r.npz")
    assert load_results(tmp_path / "r.npz").frame.tolist() == [7, 8, 9, 10]


def test_closing_is_quick_even_without_a_publisher(tmp_path: Path):
    feed = Feed("nobody", lambda: Subscriber(None, f"ipc://{tmp_path}/nobody", (People3D,)))
    feed.start()
    start_s = time.monotonic()
    feed.close()
    assert time.monotonic() - start_s < 1.0


def test_ages():
    message = people()
    assert latency_ms(message) == pytest.approx(20, abs=1)
    assert latency_ms(replace(message, stamp=replace(message.stamp, t_stage_ns={}))) != latency_ms(message)
    now_ns = message.stamp.t_capture_ns + 35_000_000
    assert display_age_ms(message, now_ns) == pytest.approx(35)
    assert math.isnan(display_age_ms(message, message.stamp.t_capture_ns - 10**12))  # another machine's clock
    assert math.isnan(display_age_ms(message, message.stamp.t_capture_ns + 10**12))
