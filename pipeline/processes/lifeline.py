"""The pipe between the supervisor and one child. Its end closing means: stop.

Upwards goes StageStatus, downwards GO, END and what other stages report. What is written to a pipe
survives its writer's exit, which a ZeroMQ message does not; and when the supervisor is killed, the kernel
closes its end, so no child outlives it.
"""

from __future__ import annotations

from multiprocessing.connection import Connection

from pipeline.messages import StageStatus
from pipeline.processes.wire import pack, unpack

GO = b"go"
"""To a source: the stages behind it are loaded, begin."""
END = b"end"
"""To a source: finish the stream as if the input had ended here."""
READY = "ready"
"""Note of a source that has opened its input and waits for GO."""
FINISHING = "finishing"
"""Note of a stage that has seen the end of the stream and writes its files."""


class Stopped(Exception):
    """The supervisor closed the lifeline, or is gone: leave."""


class Lifeline:
    """The child's end. It has a `fileno`, so it can stand in any poller."""

    def __init__(self, connection: Connection[bytes, bytes]) -> None:
        """Wrap the child's end of a duplex pipe."""
        self._connection = connection

    def fileno(self) -> int:
        """Return the file descriptor; readable when there is something to `read`."""
        return self._connection.fileno()

    def read(self) -> list[bytes | StageStatus]:
        """Return what came down without waiting: GO, END or another stage's status.

        Raises:
            Stopped: If the supervisor closed its end.
        """
        came: list[bytes | StageStatus] = []
        try:
            while self._connection.poll():
                data = self._connection.recv_bytes()
                message = data if data in (GO, END) else unpack(data)
                if isinstance(message, bytes | StageStatus):
                    came.append(message)
        except (EOFError, OSError) as error:
            raise Stopped from error
        return came

    def stopped(self) -> bool:
        """Return True once the supervisor closed its end; throws away what else came down."""
        try:
            self.read()
        except Stopped:
            return True
        return False

    def report(self, status: StageStatus) -> None:
        """Send a status up.

        Raises:
            Stopped: If the supervisor closed its end.
        """
        try:
            self._connection.send_bytes(pack(status))
        except OSError as error:
            raise Stopped from error
