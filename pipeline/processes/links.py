"""Sockets. Every ZeroMQ option of posestream is set here.

Two policies over one PUSH/PULL pair: LATEST conflates on both ends (the newest message replaces older
ones), EVERY holds at most `depth` messages per side and makes the writer wait. The reader binds and the
writer connects, so that a writer has somewhere to put its messages from the start and finds a restarted
reader again. Results leave by PUB; subscribers may come and go. Messages have one part: CONFLATE would
lose the others. LINGER is 0: it would not save a message anyway (libzmq 4660), so nobody may close a
socket before the other side has got what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import zmq

from pipeline.config import LinkConfig, Policy
from pipeline.errors import OutputError
from pipeline.messages import Message
from pipeline.processes.wire import topic, unpack

RECONNECT_MS = (20, 500)  # first pause and longest pause between attempts to reach a peer that is not there


class Sender:
    """The writing end of a link: PUSH to one reader, or PUB to whoever listens."""

    def __init__(self, context: zmq.Context[Any], link: LinkConfig) -> None:
        """Open it.

        Raises:
            OutputError: If a PUB endpoint cannot be bound: in use, not an address of this machine, malformed.
        """
        self.link = link
        self.socket = context.socket(zmq.PUB if link.publish else zmq.PUSH)
        _set_options(self.socket, link.policy, link.depth)
        if not link.publish:
            self.socket.connect(link.endpoint)
            return
        try:
            self.socket.bind(link.endpoint)
        except zmq.ZMQError as error:
            self.socket.close()
            hint = "is another run publishing there? choose another port with --publish tcp://127.0.0.1:PORT"
            raise OutputError(f"cannot publish on {link.endpoint}: {error}", hint, exit_code=2) from error

    def try_send(self, data: bytes) -> bool:
        """Send wire bytes without waiting; False if an EVERY link is full.

        A PUB or LATEST link always takes the message, and may drop it or an older one.
        """
        try:
            self.socket.send(data, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Close the socket; what has not left yet is lost."""
        self.socket.close()


class Receiver:
    """The reading end of a PUSH link: binds its endpoint."""

    def __init__(self, context: zmq.Context[Any], link: LinkConfig) -> None:
        """Open it.

        Raises:
            OutputError: If the endpoint cannot be bound.
        """
        self.socket = context.socket(zmq.PULL)
        _set_options(self.socket, link.policy, link.depth)
        try:
            self.socket.bind(link.endpoint)
        except zmq.ZMQError as error:
            self.socket.close()
            raise OutputError(f"cannot open the link {link.endpoint}: {error}") from error

    def try_receive(self) -> Message | None:
        """Return the next message, or None if there is none now.

        Raises:
            WireError: If what arrived is not a message of this wire version.
        """
        return _try_receive(self.socket)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class Subscriber:
    """A listener to a PUB link. It may connect before the publisher is there and outlives its restarts."""

    def __init__(
        self, context: zmq.Context[Any] | None, endpoint: str, kinds: Iterable[type[Any]], newest: bool = False
    ) -> None:
        """Connect.

        Args:
            context: A ZeroMQ context; None for the process's own (rooms that do not know zmq).
            endpoint: What the publisher bound.
            kinds: Message classes to hear.
            newest: Keep only the newest message (of all kinds together: ask for one kind then).

        Raises:
            OutputError: If the endpoint is not an address.
        """
        self.socket = (context or zmq.Context.instance()).socket(zmq.SUB)
        _set_options(self.socket, Policy.LATEST if newest else Policy.EVERY, depth=1000)
        if endpoint.startswith("tcp:"):  # a peer's machine may vanish without a word; a local pipe cannot
            self.socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)
            self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6000)
        for kind in kinds:
            self.socket.subscribe(topic(kind))
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.socket.close()
            hint = "an endpoint looks like tcp://127.0.0.1:5570"
            raise OutputError(f"cannot listen to {endpoint}: {error}", hint, exit_code=2) from error

    def try_receive(self) -> Message | None:
        """Return the next message, or None if there is none now.

        Raises:
            WireError: If what arrived is not a message of this wire version.
        """
        return _try_receive(self.socket)

    def wait(self, timeout_ms: int) -> bool:
        """Wait for a message; True if there is one."""
        return bool(self.socket.poll(timeout_ms))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _set_options(socket: zmq.Socket[Any], policy: Policy, depth: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS[0])
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS[1])
    if policy is Policy.LATEST and socket.type != zmq.PUB:
        socket.setsockopt(zmq.CONFLATE, 1)
    else:
        socket.setsockopt(zmq.SNDHWM, depth)
        socket.setsockopt(zmq.RCVHWM, depth)


def _try_receive(socket: zmq.Socket[Any]) -> Message | None:
    try:
        part = socket.recv(zmq.DONTWAIT, copy=False)
    except zmq.Again:
        return None
    return unpack(part.buffer)
