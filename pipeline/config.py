"""What a run needs to know, as frozen dataclasses: picklable, passed down, never changed.

RunConfig is one run as the user asked for it; StageConfig is one row of the process table: the run plus
what this process reads from and writes to. No zmq, av, cv2 or Qt here: the supervisor imports it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5570"
"""Where skeletons are published when no other place is named."""
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""What counts as a picture in a folder of pictures."""


class Policy(Enum):
    """What a link does when its reader is slower than its writer."""

    LATEST = "latest"
    """Live: the newest message replaces older ones, nobody waits."""
    EVERY = "every"
    """Replay and recording: every message arrives, the writer waits."""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where pictures come from.

    Attributes:
        kind: "file" (a video), "stream" (a URL), "camera" or "images" (a folder of pictures).
        target: Path, URL, camera number or camera device, or folder.
        real_time: Play a file or folder at its own speed; without it as fast as it is taken.
        loop: Start a file or folder again at its end, for ever.
        stills: Each picture of the folder stands alone: nothing is carried from one to the next.
        camera_wh: Size to ask a camera for in pixels; None leaves it to the camera.
        camera_fps: Frame rate to ask a camera for; None leaves it to the camera.
        nvdec: Decode a file on the graphics card.
    """

    kind: str
    target: str
    real_time: bool = False
    loop: bool = False
    stills: bool = False
    camera_wh: tuple[int, int] | None = None
    camera_fps: float | None = None
    nvdec: bool = False

    @property
    def endless(self) -> bool:
        """True if the source is expected to go on until it is stopped."""
        return self.kind in ("camera", "stream") or self.loop


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which networks run on what.

    Attributes:
        finder, detector, lifter: Name of a shipped model, or path of an .onnx file.
        backend: "auto", "ort" or "tensorrt".
        threads: CPU threads of one call of one model. Two are worth it where there are two cores: 75 against
            64 frames/s for the whole path, and a lower latency.
    """

    finder: str = "finder-mnv2"
    detector: str = "detector-mnv2-tce64"
    lifter: str = "lifter-tcn"
    backend: str = "auto"
    threads: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class PoseConfig:
    """How people are found and lifted.

    Attributes:
        focal_px: Focal length in pixels; None assumes an ordinary camera (engines.geometry.default_focal_px).
        max_people: Most people followed at once.
        smooth: Give smoothed joints beside the raw ones.
        steady: Filter the detector's joints over time (engines.joint_filter) before they are told and lifted.
        find_every_s: How often the finder looks while people are followed, in seconds of the source's time.
    """

    focal_px: float | None = None
    max_people: int = 4
    smooth: bool = False
    steady: bool = True
    find_every_s: float = 0.33


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """What leaves a run; None or False for what nobody asked for.

    Attributes:
        view: Open the viewer.
        save: Results file (.npz).
        save_video: Video of the skeletons over the frames (.mp4).
        publish: Endpoint that other programs subscribe to, e.g. "tcp://127.0.0.1:5570".
        preview_px: Longest side of the preview that travels with the people; 0 = no preview.
    """

    view: bool = False
    save: Path | None = None
    save_video: Path | None = None
    publish: str | None = None
    preview_px: int = 0


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One run.

    Attributes:
        source, models, pose, output: See there.
        policy: LATEST for live runs, EVERY for replay.
        fingerprint: Hash over input, models and options; results that carry it need not be made again.
        debug: Show tracebacks and leave the stages' stderr on the terminal.
    """

    source: SourceConfig
    models: ModelConfig = field(default_factory=ModelConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    policy: Policy = Policy.LATEST
    fingerprint: str = ""
    debug: bool = False

    @property
    def live(self) -> bool:
        """True if nobody waits and dead stages are restarted."""
        return self.policy is Policy.LATEST


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A link as one of its ends sees it.

    Attributes:
        endpoint: ZeroMQ address: "ipc://..." in the run's private directory, or "tcp://127.0.0.1:port".
        policy: Of both ends of a PUSH/PULL link; not for PUB.
        depth: Messages that may wait on either side of an EVERY link, or for one subscriber.
        publish: The writing end is a PUB socket that binds, not a PUSH socket that connects to its reader.
        preview: False takes the preview picture out before sending.
    """

    endpoint: str
    policy: Policy = Policy.EVERY
    depth: int = 2
    publish: bool = False
    preview: bool = True


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One row of the process table.

    Attributes:
        name: "decode", "detect", "lift", "record", "view".
        target: Dotted name of `make(config) -> handler`, e.g. "pipeline.inference.lift:make"; with `own_loop` of a
            function `(config, lifeline) -> None` that does everything itself (the viewer).
        run: The run it belongs to.
        reads: The link that the stage reads; None for a source, or with `own_loop`.
        writes: Where its messages go.
        subscribe: Endpoint of the run's PUB link, for the viewer.
        own_loop: See `target`.
        essential: The run cannot go on without it. When another stage (the viewer) cannot be kept up, the run
            goes on alone.
        told: The supervisor passes every stage's status on to it: to publish, or to write down.
        attempt: 0 at first, counting restarts.
        restarted: Why it was restarted; "" at first.
        first_seq: `Stamp.seq` of the first frame to give out: after a restart decode goes on from there, and a
            file skips the frames before it.
        stop_s: How long it may take to leave once its lifeline is closed.
        log_path: File that takes the process's log and stderr; None leaves them on the terminal.
    """

    name: str
    target: str
    run: RunConfig
    reads: LinkConfig | None = None
    writes: tuple[LinkConfig, ...] = ()
    subscribe: str | None = None
    own_loop: bool = False
    essential: bool = True
    told: bool = False
    attempt: int = 0
    restarted: str = ""
    first_seq: int = 0
    stop_s: float = 3.0
    log_path: Path | None = None

    @property
    def is_source(self) -> bool:
        """True for the stage that everything begins with."""
        return self.reads is None and not self.own_loop
