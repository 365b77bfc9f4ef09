"""Who is who, and where to look: person boxes -> tracks with stable ids, each following its own joints.

The finder proposes people now and then; in between a track keeps its crop from its own joints. A track
is dropped when its joints stay weak, when the finder misses it again and again, or when it has slid
onto another track's person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.geometry import Float, box_iou


@dataclass(frozen=True, slots=True)
class TrackConfig:
    """Thresholds of the tracker.

    Attributes:
        max_people: Most tracks at once.
        joint_score: A joint counts as seen from this score on.
        good_score: Mean score of a person's better half of joints that makes a frame a good one.
        unsure_score: The same for somebody whom the finder is not sure of, and who is dropped at the first worse frame.
        patience_s: A track without a good frame for so long is dropped.
        finder_misses: So many finder passes in a row without its person end a track.
        box_margin: A person's box is that of the seen joints, grown on each side by this share of its longer side
            (hands, feet and crown lie beyond the last joints).
        box_smoothing: Share of the old box in the new one; damps the crop's jitter, not its motion.
        match_iou: A found box belongs to a track if they overlap so much.
        same_person: Two tracks whose joints are closer than this share of the person's size are one.
    """

    max_people: int = 4
    joint_score: float = 0.3
    good_score: float = 0.35
    unsure_score: float = 0.45
    patience_s: float = 0.5
    finder_misses: int = 3
    box_margin: float = 0.12
    box_smoothing: float = 0.4
    match_iou: float = 0.2
    same_person: float = 0.12


@dataclass(slots=True)
class Track:
    """One followed person.

    Attributes:
        id: Never told of two people in a run.
        box_xyxy_px: (4,) where the next crop is taken.
        last_good_s: Time of the last frame with good joints (or of birth).
        misses: Finder passes in a row that did not see this person.
        fresh: True until the first frame was detected: no memory yet.
        good: Whether the newest frame was good; only then is the person reported.
        sure: Whether the finder was ever sure of this person.
        known: Whether the person was ever reported.
    """

    id: int
    box_xyxy_px: Float
    last_good_s: float
    misses: int = 0
    fresh: bool = True
    good: bool = False
    sure: bool = True
    known: bool = False
    age: int = 0


class Tracker:
    """Keeps the tracks of one source."""

    def __init__(self, config: TrackConfig = TrackConfig()) -> None:
        """Start with nobody."""
        self.config = config
        self.tracks: list[Track] = []
        self._next_id = 0

    def clear(self) -> None:
        """Forget everybody; ids go on."""
        self.tracks = []

    @property
    def doubtful(self) -> bool:
        """True if a known person was not seen well in the newest frame: worth asking the finder."""
        return any(not t.good and not t.fresh for t in self.tracks)

    def propose(self, boxes_xyxy_px: Float, time_s: float, sure: npt.NDArray[np.bool_] | None = None) -> None:
        """Take in a finder pass: match boxes to tracks, start tracks for new people, drop those missed too often.

        Args:
            boxes_xyxy_px: (F, 4) found boxes, best first.
            time_s: Time of the frame.
            sure: (F,) which boxes the finder is sure of; by default all. Another box makes a track that has to
                convince by its joints (`TrackConfig.unsure_score`): who just steps into the picture has a low score.
        """
        sure = np.ones(len(boxes_xyxy_px), bool) if sure is None else sure
        unmatched = list(range(len(boxes_xyxy_px)))
        if self.tracks and unmatched:
            overlap = box_iou(np.stack([t.box_xyxy_px for t in self.tracks]), boxes_xyxy_px)
            self._match(overlap, boxes_xyxy_px, sure, unmatched)
        else:
            for track in self.tracks:
                track.misses += 1
        self.tracks = [t for t in self.tracks if t.misses < self.config.finder_misses]
        for i in unmatched[: max(0, self.config.max_people - len(self.tracks))]:
            box = boxes_xyxy_px[i].astype(np.float32)
            self.tracks.append(Track(self._next_id, box, time_s, sure=bool(sure[i])))
            self._next_id += 1

    def _match(self, overlap: Float, boxes: Float, sure: npt.NDArray[np.bool_], unmatched: list[int]) -> None:
        """Pair tracks and boxes greedily by overlap; a box that overlaps any track starts no new one."""
        pairs = sorted(np.argwhere(overlap >= self.config.match_iou).tolist(), key=lambda p: -overlap[p[0], p[1]])
        matched: set[int] = set()
        used: set[int] = set()
        for row, column in pairs:
            if row not in matched and column not in used:
                track = self.tracks[row]
                # whose joints were not good has no crop worth keeping: somebody stepping into the picture grows fast
                keep = 0.5 if track.good else 0.0
                track.box_xyxy_px = (keep * track.box_xyxy_px + (1 - keep) * boxes[column]).astype(np.float32)
                track.misses, track.sure = 0, track.sure or bool(sure[column])
                matched.add(row)
                used.add(column)
        for row, track in enumerate(self.tracks):
            track.misses += row not in matched
        # A second box on a person who is already tracked (arms, a shadow) must not become somebody new.
        unmatched[:] = [i for i in unmatched if i not in used and overlap[:, i].max() < 0.6]

    def observe(self, xy_px: Float, score: Float, image_wh: tuple[int, int], time_s: float) -> npt.NDArray[np.bool_]:
        """Take in the detected joints, one row per track in order; drop lost and doubled tracks.

        Args:
            xy_px: (P, 17, 2) joints in pixels.
            score: (P, 17) 0..1.
            image_wh: Picture size in pixels.
            time_s: Time of the frame.

        Returns:
            (P,) which rows are good enough to report.
        """
        for track, xy, s in zip(self.tracks, xy_px, score, strict=True):
            track.age += 1
            least = self.config.good_score if track.sure else self.config.unsure_score
            track.good = bool(np.sort(s)[len(s) // 2 :].mean() >= least) and not self._collapsed(track, xy, s)
            if track.good:
                track.last_good_s = time_s
                self._follow(track, xy, s, image_wh)
        good = np.array([t.good for t in self.tracks], bool)
        double = self._doubles(xy_px, score)
        report = good & ~double
        for track, told in zip(self.tracks, report, strict=True):
            track.fresh, track.known = False, track.known or bool(told)
        limit, before = time_s - self.config.patience_s, self.tracks
        self.tracks = [
            t for t, twice in zip(before, double, strict=True)
            if not twice and (t.good or (t.sure and t.last_good_s >= limit)) and _inside(t.box_xyxy_px, image_wh)
        ]  # fmt: skip
        self._take_back_ids(before)
        return report

    def _take_back_ids(self, before: list[Track]) -> None:
        """Let ids that were never told be given again, or the first person to come would be number 317."""
        free = {t.id for t in before if not t.known} - {t.id for t in self.tracks}
        while self._next_id - 1 in free:
            self._next_id -= 1

    def _collapsed(self, track: Track, xy: Float, score: Float) -> bool:
        """Whether the seen joints lie on top of each other: no person, whatever the scores say."""
        seen = xy[score >= self.config.joint_score]
        extent = np.ptp(seen, axis=0).max() if len(seen) else 0.0
        return bool(extent < 0.1 * (track.box_xyxy_px[2:] - track.box_xyxy_px[:2]).max())

    def _follow(self, track: Track, xy: Float, score: Float, image_wh: tuple[int, int]) -> None:
        """Move a track's box towards the extent of its seen joints."""
        seen = xy[score >= self.config.joint_score]
        if len(seen) < 4:
            return
        low, high = seen.min(0), seen.max(0)
        margin = self.config.box_margin * float((high - low).max())
        box = np.concatenate([low - margin, high + margin])
        keep = 0.0 if track.fresh else self.config.box_smoothing
        track.box_xyxy_px = (keep * track.box_xyxy_px + (1 - keep) * box).astype(np.float32)

    def _doubles(self, xy_px: Float, score: Float) -> npt.NDArray[np.bool_]:
        """(P,) rows that show the same person as an older or better row."""
        double = np.zeros(len(self.tracks), bool)
        for i, a in enumerate(self.tracks):
            for j in range(i + 1, len(self.tracks)):
                both = (score[i] >= self.config.joint_score) & (score[j] >= self.config.joint_score)
                if double[i] or double[j] or both.sum() < 4:
                    continue
                size = float((a.box_xyxy_px[2:] - a.box_xyxy_px[:2]).max())
                apart = np.linalg.norm(xy_px[i][both] - xy_px[j][both], axis=1).mean()
                if apart < self.config.same_person * size:
                    double[j if a.age >= self.tracks[j].age else i] = True
        return double


def _inside(box: Float, image_wh: tuple[int, int]) -> bool:
    """Whether a box still overlaps the picture by more than a sliver."""
    low, high = np.maximum(box[:2], 0), np.minimum(box[2:], np.asarray(image_wh, np.float32))
    return bool(((high - low) > 4).all())
