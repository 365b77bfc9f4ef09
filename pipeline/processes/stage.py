"""The one loop that every stage runs, and the process around it.

A stage is `make(config: StageConfig) -> handler`. The loop owns sockets, lifeline, time stamps, drops,
status, end of stream and crash; a stage file holds none of that.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import zmq

from pipeline.config import StageConfig
from pipeline.errors import WireError
from pipeline.messages import EndOfStream, Frame, Message, People2D, People3D, StageStatus
from pipeline.processes.handler import Given, Handler, Source, load
from pipeline.processes.lifeline import END, FINISHING, GO, READY, Lifeline, Stopped
from pipeline.processes.links import Receiver, Sender
from pipeline.processes.timing import Meter
from pipeline.processes.wire import pack

STATUS_EVERY_S = 1.0
PUBLISH_GRACE_S = 0.25


def run_stage(config: StageConfig, lifeline: Lifeline) -> None:
    """Run a stage until its lifeline closes.

    Raises:
        Stopped: When the lifeline closes: the only way out, but for the stage's own errors.
    """
    context: zmq.Context[Any] = zmq.Context()
    loop, handler = None, None
    try:
        loop = _Loop(config, lifeline, context)
        loop.report("starting")
        handler = loop.handler = load(config.target)(config)
        loop.produce(handler) if config.reads is None else loop.consume(handler)
    finally:
        if loop is not None:
            loop.last_words()
        if handler is not None and hasattr(handler, "close"):
            handler.close()
        context.destroy(linger=0)


class _Loop:
    """Sockets, lifeline and counters of one stage."""

    def __init__(self, config: StageConfig, lifeline: Lifeline, context: zmq.Context[Any]) -> None:
        self.handler: Any = None
        self._config, self._lifeline = config, lifeline
        self._state = "starting"
        self._senders = [Sender(context, link) for link in config.writes]
        self._receiver = Receiver(context, config.reads) if config.reads else None
        self._meter = Meter(config.name, config.first_seq, from_start=config.is_source or config.attempt == 0)
        self._next_status_s = 0.0
        self._note = ""
        self._facts: dict[str, Any] = {}
        self._going = self._ending = False

    # ---- the two loops

    def produce(self, source: Source) -> None:
        """Give out a source's frames, then the end of the stream; stay until the lifeline closes."""
        self.report("starting", READY)
        while not (self._going or self._ending):
            self._wait(None)
        self._start()
        frames = source.messages()
        cpu_s = time.process_time()
        for frame in frames:
            self._listen()
            if self._ending:
                break
            if frame is None:
                self._tick()
                continue
            self._meter.take(frame.stamp.seq)
            now_s = time.process_time()  # not wall time: a source waits for its next frame
            self._emit([frame], (now_s - cpu_s) * 1e3)
            cpu_s = time.process_time()
        self._meter.end(getattr(source, "last_seq", -1))
        self._finish(EndOfStream(last_seq=self._meter.last_seq, reason="stopped" if self._ending else "end"))

    def consume(self, handler: Handler) -> None:
        """Handle messages up to the end of the stream; stay until the lifeline closes."""
        self._start()
        try:
            end = self._handle_all(handler)
        except Stopped:
            self._complete(EndOfStream(last_seq=self._meter.last_seq, reason="stopped"))
            raise
        self._meter.end(end.last_seq)
        self.report("running", FINISHING)
        self._give(self._complete(end))
        self._finish(end)

    def _handle_all(self, handler: Handler) -> EndOfStream:
        while True:
            message = self._receive()
            if isinstance(message, EndOfStream):
                return message
            if isinstance(message, Frame | People2D | People3D):
                self._meter.take(message.stamp.seq)
                start_ns = time.monotonic_ns()
                given = _as_list(handler.handle(message))
                self._emit(given, (time.monotonic_ns() - start_ns) / 1e6)

    def _complete(self, end: EndOfStream) -> list[Message]:
        return _as_list(self.handler.finish(end)) if hasattr(self.handler, "finish") else []

    def _finish(self, end: EndOfStream) -> None:
        # The end marker is on its way once the reader has it; a sender that left now would take it along.
        self._send(end)
        self.report("finished")
        finished_s = time.monotonic()
        try:
            while True:
                self._wait(None)
        except Stopped:
            if any(sender.link.publish for sender in self._senders):  # nobody tells when subscribers have read it
                time.sleep(max(0.0, finished_s + PUBLISH_GRACE_S - time.monotonic()))
            raise

    # ---- messages

    def _receive(self) -> Message | None:
        assert self._receiver is not None
        self._wait(self._receiver.socket)
        try:
            return self._receiver.try_receive()
        except WireError as error:
            if not self._config.run.live:
                raise
            self._note = f"ignored an unreadable message: {error}"
            logging.getLogger(self._config.name).warning(self._note)
            return None

    def _emit(self, given: list[Message], took_ms: float) -> None:
        self._meter.spent(took_ms)
        self._give(given)
        self._tick()

    def _give(self, given: list[Message]) -> None:
        for message in given:
            now_ns = time.monotonic_ns()
            if isinstance(message, Frame | People2D | People3D):
                message.stamp.t_stage_ns[self._config.name] = now_ns
                self._meter.give(message, now_ns)
            if isinstance(message, People2D | People3D):
                message = replace(message, dropped=self._meter.dropped)
            self._send(message)

    def _send(self, message: Message) -> None:
        packed: dict[bool, bytes] = {}
        for sender in self._senders:
            bare = not sender.link.preview
            if bare not in packed:
                packed[bare] = pack(_without_preview(message) if bare else message)
            while not sender.try_send(packed[bare]):
                self._wait(sender.socket, zmq.POLLOUT)

    # ---- lifeline and status

    def _wait(self, socket: zmq.Socket[Any] | None, event: int = zmq.POLLIN) -> None:
        """Wait for a socket, or without one for the lifeline; report every second meanwhile."""
        poller = zmq.Poller()
        poller.register(self._lifeline.fileno(), zmq.POLLIN)
        if socket is not None:
            poller.register(socket, event)
        while True:
            self._tick()
            ready = dict(poller.poll(1 + int(max(0.0, self._next_status_s - time.monotonic()) * 1e3)))
            if self._lifeline.fileno() in ready:
                self._listen()
            if socket is None or socket in ready:
                return

    def _listen(self) -> None:
        for word in self._lifeline.read():
            self._going |= word == GO
            self._ending |= word == END
            if isinstance(word, StageStatus):
                self._pass_on(word)

    def _pass_on(self, status: StageStatus) -> None:
        self._publish(pack(status))
        if hasattr(self.handler, "told"):
            self.handler.told(status)

    def _publish(self, data: bytes) -> None:
        for sender in self._senders:
            if sender.link.publish:
                sender.try_send(data)

    def _start(self) -> None:
        self._meter.start_clock()
        self.report("running")

    def _tick(self) -> None:
        if time.monotonic() >= self._next_status_s:
            self.report(self._state)

    def report(self, state: str, note: str = "") -> None:
        """Send a status up and remember the state."""
        self._state = state
        self._facts = dict(self.handler.facts()) if self.handler is not None else {}
        told = str(getattr(self.handler, "note", ""))
        self._next_status_s = time.monotonic() + STATUS_EVERY_S
        status = self._meter.status(state, note or told or self._note, self._facts)
        self._lifeline.report(status)
        if self._config.told:  # its subscribers cannot have heard why it was away
            status = replace(status, note=status.note or self._config.restarted)
        self._publish(pack(status))

    def last_words(self) -> None:
        """Send up the counters as they stand when the stage fails; nothing if the lifeline is closed."""
        with contextlib.suppress(Stopped):
            self._lifeline.report(self._meter.status(self._state, self._note, self._facts))


def _without_preview(message: Message) -> Message:
    return replace(message, preview=None) if isinstance(message, People2D | People3D) else message


def _as_list(given: Given) -> list[Message]:
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) else [given]
