"""Both link policies over real sockets: what arrives, in which order, and what survives a peer's death."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from pipeline.config import LinkConfig, Policy
from pipeline.errors import OutputError, WireError
from pipeline.messages import EndOfStream, Frame, Message, StageStatus, Stamp
from pipeline.processes.links import Receiver, Sender, Subscriber
from pipeline.processes.wire import pack


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ps") as folder:  # a socket's path must be short
        yield f"ipc://{Path(folder) / 'link'}"


def frame(seq: int, side: int = 4) -> Frame:
    image = np.full((side, side, 3), seq % 256, np.uint8)
    return Frame(stamp=Stamp("test", seq, time.monotonic_ns()), image=image, source_wh=(side, side))


def drain(receiver: Receiver | Subscriber, quiet_ms: int = 300) -> list[Message]:
    got = []
    while receiver.socket.poll(quiet_ms):
        got.append(receiver.try_receive())
    return got


def push(sender: Sender, message: Message, timeout_s: float = 2.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not sender.try_send(pack(message)):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.002)
    return True


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("first", ["reader", "writer"])
def test_a_message_arrives_whoever_comes_first(
    context: zmq.Context[Any], endpoint: str, policy: Policy, first: str
) -> None:
    link = LinkConfig(endpoint, policy)
    if first == "reader":
        receiver, sender = Receiver(context, link), Sender(context, link)
    else:
        sender = Sender(context, link)
        assert sender.try_send(pack(frame(3))), "a writer may write before its reader is there"
        receiver = Receiver(context, link)
    assert push(sender, frame(5))
    got = drain(receiver, 1000)
    assert got[-1].stamp.seq == 5
    assert got[-1].image.tolist() == frame(5).image.tolist()


@pytest.mark.parametrize("policy", list(Policy))
def test_what_arrives_from_a_fast_writer(context: zmq.Context[Any], endpoint: str, policy: Policy) -> None:
    link = LinkConfig(endpoint, policy)
    receiver, sender = Receiver(context, link), Sender(context, link)
    drain(receiver, 50)
    got, sent = [], 0
    while sent < 30:
        taken = sender.try_send(pack(frame(sent, 400)))
        sent += taken
        if (not taken or sent % 5 == 0) and (message := receiver.try_receive()) is not None:
            got.append(message)
    seqs = [message.stamp.seq for message in got + drain(receiver)]
    if policy is Policy.EVERY:
        assert seqs == list(range(30)), "EVERY loses nothing and keeps the order"
    else:
        assert seqs[-1] == 29, "LATEST ends with the newest"
        assert len(seqs) < 30
        assert seqs == sorted(seqs)


@pytest.mark.parametrize("policy", list(Policy))
def test_a_reader_that_does_not_read_holds_up_only_an_every_link(
    context: zmq.Context[Any], endpoint: str, policy: Policy
) -> None:
    link = LinkConfig(endpoint, policy)
    receiver, sender = Receiver(context, link), Sender(context, link)
    accepted = sum(sender.try_send(pack(frame(seq, 600))) for seq in range(40))
    if policy is Policy.LATEST:
        assert accepted == 40
        got = drain(receiver)
        assert got[-1].stamp.seq == 39
        assert len(got) <= 3, "nothing piles up"
    else:
        assert accepted < 20, "memory stays bounded"


@pytest.mark.parametrize("policy", list(Policy))
def test_a_restarted_reader_is_found_again(context: zmq.Context[Any], endpoint: str, policy: Policy) -> None:
    link = LinkConfig(endpoint, policy)
    sender, old = Sender(context, link), Receiver(context, link)
    assert push(sender, frame(1))
    assert drain(old)[0].stamp.seq == 1
    old.close()
    time.sleep(0.05)
    new = Receiver(context, link)
    time.sleep(0.7)  # the longest pause between attempts
    assert push(sender, frame(2))
    assert drain(new, 1000)[-1].stamp.seq == 2


@pytest.mark.parametrize("policy", list(Policy))
def test_garbage_is_refused_and_the_next_message_read(context: zmq.Context[Any], endpoint: str, policy: Policy) -> None:
    link = LinkConfig(endpoint, policy)
    receiver, sender = Receiver(context, link), Sender(context, link)
    sender.socket.send(b"GET / HTTP/1.1")
    assert receiver.socket.poll(2000)
    with pytest.raises(WireError, match="not a posestream message"):
        receiver.try_receive()
    assert push(sender, frame(1))
    assert drain(receiver)[0].stamp.seq == 1
    assert receiver.try_receive() is None


def test_a_subscriber_hears_only_its_kinds_and_can_keep_the_newest(context: zmq.Context[Any], endpoint: str) -> None:
    publisher = Sender(context, LinkConfig(endpoint, publish=True, depth=100))
    newest = Subscriber(context, endpoint, (Frame,), newest=True)
    others = Subscriber(context, endpoint, (StageStatus, EndOfStream))
    time.sleep(0.3)
    for seq in range(20):
        assert publisher.try_send(pack(frame(seq)))
        assert publisher.try_send(pack(StageStatus(stage="lift", state="running", frames_in=seq)))
    publisher.try_send(pack(EndOfStream(last_seq=19, reason="end")))
    assert others.wait(2000)
    heard = drain(others)
    assert [type(m) for m in heard] == [StageStatus] * 20 + [EndOfStream]
    assert [m.stamp.seq for m in drain(newest)] == [19]


def test_a_subscriber_learns_of_another_wire_version(context: zmq.Context[Any], endpoint: str) -> None:
    publisher = Sender(context, LinkConfig(endpoint, publish=True))
    subscriber = Subscriber(context, endpoint, (EndOfStream,))
    time.sleep(0.3)
    wire = bytearray(pack(EndOfStream(last_seq=1, reason="end")))
    wire[3] += 1
    publisher.try_send(bytes(wire))
    assert subscriber.wait(2000), "a version mismatch must not look like silence"
    with pytest.raises(WireError, match="wire version"):
        subscriber.try_receive()


def test_a_taken_or_malformed_endpoint_is_said(context: zmq.Context[Any]) -> None:
    taken = zmq.Context.instance().socket(zmq.PUB)
    port = taken.bind_to_random_port("tcp://127.0.0.1")
    with pytest.raises(OutputError, match=f"cannot publish on tcp://127.0.0.1:{port}: .*in use") as caught:
        Sender(context, LinkConfig(f"tcp://127.0.0.1:{port}", publish=True))
    assert "--publish" in caught.value.hint
    assert caught.value.exit_code == 2
    taken.close(linger=0)
    with pytest.raises(OutputError, match="nonsense"):
        Subscriber(context, "nonsense", (EndOfStream,))
