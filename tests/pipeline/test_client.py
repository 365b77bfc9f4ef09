from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import zmq

from pipeline.client import subscribe
from pipeline.config import LinkConfig
from pipeline.errors import OutputError, WireError
from pipeline.messages import EndOfStream, Message, StageStatus, Stamp
from pipeline.processes.links import Sender
from pipeline.processes.wire import pack
from tests.pipeline.fake_stages import people_2d, people_3d

Publish = Callable[[list[Message | bytes], float], str]


@pytest.fixture
def publish() -> Iterator[Publish]:
    """Publish messages from a thread once somebody had time to connect; returns the endpoint."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    threads = []

    def go(messages: list[Message | bytes], pause_s: float = 0.0) -> str:
        sender = Sender(context, LinkConfig("tcp://127.0.0.1:*", publish=True, depth=1000))

        def send() -> None:
            time.sleep(0.5)
            for message in messages:
                sender.try_send(message if isinstance(message, bytes) else pack(message))
                time.sleep(pause_s)

        threads.append(threading.Thread(target=send))
        threads[-1].start()
        return sender.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    yield go
    for thread in threads:
        thread.join()
    context.destroy(linger=0)


def frames(count: int) -> list[Message | bytes]:
    return [people_3d(people_2d(Stamp("x", seq, time.monotonic_ns()))) for seq in range(count)]


END = EndOfStream(last_seq=9, reason="end")


def test_every_frame_up_to_the_end_is_given(publish: Publish) -> None:
    endpoint = publish([*frames(10), END, *frames(3)], 0.0)
    assert [p.stamp.seq for p in subscribe(endpoint, timeout_s=10)] == list(range(10))


def test_a_slow_reader_can_skip_to_the_newest(publish: Publish) -> None:
    got = []
    for people in subscribe(publish([*frames(40), END], 0.005), timeout_s=10, newest=True):
        got.append(people.stamp.seq)
        time.sleep(0.05)
    assert got[-1] == 39
    assert len(got) < 20
    assert got == sorted(got)


def test_status_is_not_a_frame(publish: Publish) -> None:
    endpoint = publish([StageStatus(stage="lift", state="running"), *frames(2), END], 0.0)
    assert len(list(subscribe(endpoint, timeout_s=10))) == 2


def test_silence_is_a_timeout(publish: Publish) -> None:
    listener = subscribe(publish(frames(1), 0.0), timeout_s=1.0)
    assert next(listener).stamp.seq == 0
    began_s = time.monotonic()
    with pytest.raises(TimeoutError, match="nothing from tcp"):
        next(listener)
    assert 0.9 < time.monotonic() - began_s < 5


def test_a_foreign_publisher_is_said(publish: Publish) -> None:
    good = pack(replace(END, reason="x"))
    with pytest.raises(WireError, match="wire version 9"):
        list(subscribe(publish([good[:3] + b"\x09" + good[4:]], 0.0), timeout_s=10))
    with pytest.raises(OutputError, match="cannot listen"):
        list(subscribe("nonsense", timeout_s=1))
