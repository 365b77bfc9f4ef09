"""A live run whose engines are changed in the middle: frame for frame the same people and skeletons as without."""

import itertools
import time

import numpy as np

from engines.detector import Detector
from engines.finder import Finder
from engines.joint_filter import JointFilter
from engines.lifter import Lifter
from engines.ort import OrtEngine
from engines.plans.handover import HandoverEngine
from engines.runtime import Engine, find_weights
from pipeline.commands.demo import CLIP
from pipeline.config import SourceConfig
from pipeline.inference.detect import DetectStage
from pipeline.inference.lift import LiftStage
from pipeline.inference.track import TrackConfig, Tracker
from pipeline.messages import Frame, People3D, Stamp
from pipeline.sources.video import open_source
from tests.engines.test_handover import Later

FRAMES, FIRST = 14, 100
SWITCH = {4: "finder-mnv2", 7: "detector-mnv2-tce64", 9: "lifter-tcn"}


def stages(engines: dict[str, Engine]) -> tuple[DetectStage, LiftStage]:
    finder, detector, lifter = (engines[name] for name in sorted(engines, key=list(SWITCH.values()).index))
    networks, tracker = (Finder(finder), Detector(detector)), Tracker(TrackConfig(max_people=2))
    detect = DetectStage(*networks, tracker, JointFilter(), find_every_s=0.1, stills=False, preview_px=0)
    return detect, LiftStage(Lifter(lifter), smoother=None, focal_px=None)


def test_no_frame_is_lost_and_no_skeleton_changes() -> None:
    later = {name: Later(lambda name=name: OrtEngine(find_weights(name))) for name in SWITCH.values()}
    changing = {n: HandoverEngine(OrtEngine(find_weights(n)), later[n]) for n in later}
    plain = stages({n: OrtEngine(find_weights(n)) for n in later})
    handed = stages(changing)
    film = open_source(SourceConfig("file", str(CLIP)))
    seen = 0
    for t, picture in enumerate(itertools.islice(film.pictures(FIRST), FRAMES)):
        if t in SWITCH:
            later[SWITCH[t]].go.set()
            while changing[SWITCH[t]]._next is None:
                time.sleep(0.01)
        want, have = (_skeletons(pair, picture.image, t, picture.pts_s) for pair in (plain, handed))
        assert want.track.tolist() == have.track.tolist()
        for name in ("xy_px", "score", "xyz_m", "root_m", "filled"):
            np.testing.assert_array_equal(getattr(want, name), getattr(have, name), err_msg=f"frame {t}, {name}")
        seen += len(have.track)
    film.close()
    assert seen >= FRAMES - 3, "there was nobody to lose"
    for engine in changing.values():
        assert "; took over after " in engine.backend
        engine.close()


def _skeletons(pair: tuple[DetectStage, LiftStage], image: np.ndarray, seq: int, pts_s: float | None) -> People3D:
    stamp = Stamp(source="film", seq=seq, t_capture_ns=time.monotonic_ns(), pts_s=pts_s)
    out = pair[1].handle(pair[0].handle(Frame(stamp=stamp, image=image, source_wh=(image.shape[1], image.shape[0]))))
    return out[0] if isinstance(out, list) else out
