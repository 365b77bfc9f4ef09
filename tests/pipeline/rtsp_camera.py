"""A small RTSP camera: enough of RFC 2326 for one reader over TCP, Basic authentication; can be unplugged."""

import base64
import contextlib
import socket
import threading
import time

import av
import av.error

from tests.pipeline.clips import picture

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
)


class RtspCamera:
    """Plays for whoever comes with the right user name and password."""

    def __init__(self, user: str = "me", password: str = "s3cret", wh: tuple[int, int] = (64, 48)) -> None:
        self._wanted = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._wh = wh
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://{user}:{password}@127.0.0.1:{self.port}/live"
        self._open: list[socket.socket] = []
        self._plugged = threading.Event()
        self.plug()

    def plug(self) -> None:
        self._plugged.set()
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        self._plugged.clear()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(4096).decode(errors="replace"):
                method = request.split(" ", 1)[0]
                lines = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
                said = {"CSeq": lines.get("CSeq", "0"), "Session": "1"}
                body, status = "", "200 OK"
                if method != "OPTIONS" and lines.get("Authorization") != f"Basic {self._wanted}":
                    status, said["WWW-Authenticate"] = "401 Unauthorized", 'Basic realm="camera"'
                elif method == "OPTIONS":
                    said["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
                elif method == "DESCRIBE":
                    body, said["Content-Type"] = SDP, "application/sdp"
                elif method == "SETUP":
                    said["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
                said["Content-Length"] = str(len(body))
                head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
                connection.sendall(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())
                if method == "PLAY":
                    self._play(connection)

    def _play(self, connection: socket.socket) -> None:
        """Encode to RTP over a local UDP socket, and wrap each packet for the TCP connection."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", 0))
            packets.settimeout(2.0)
            threading.Thread(target=self._encode, args=(packets.getsockname()[1],), daemon=True).start()
            while self._plugged.is_set():
                packet = packets.recv(65536)
                connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)

    def _encode(self, port: int) -> None:
        with (
            contextlib.suppress(av.error.FFmpegError),
            av.open(f"rtp://127.0.0.1:{port}?pkt_size=1200", "w", format="rtp") as out,
        ):
            stream = out.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = *self._wh, "yuv420p"
            stream.options = {
                "preset": "ultrafast",
                "tune": "zerolatency",
                "g": "15",
                "x264-params": "repeat-headers=1",
            }
            start_s, n = time.monotonic(), 0
            while self._plugged.is_set():
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n, self._wh), format="rgb24")))
                n += 1
                time.sleep(max(0.0, start_s + n / 30 - time.monotonic()))
