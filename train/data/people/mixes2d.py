"""What the detector is trained on: which sets there are, and how much of each goes into a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from train.data.people.annotated import STILL_READERS, VIDEO_READERS
from train.data.people.augment2d import AugmentConfig
from train.data.people.lspet import HARD, HARD_SHARE, load_lspet, third_opinions
from train.data.people.nobody import load_nobody
from train.data.people.people2d import Mixer, StillSet, load_shard
from train.errors import reading

WEIGHTS = Path("weights/movenet_lightning_f16.npz")
JUDGE = "MediaPipe Pose (Google, Apache-2.0)"
UNLICENSED = "LSPET (no licence stated: research data inside)"


@dataclass(frozen=True)
class DataChoice:
    """Where the pictures come from; whatever is None or not there is left out.

    Attributes:
        data: The data folder, for LSPET and backgrounds without people.
        labels: Folder written by `train.tasks.label2d`, and by `train.tasks.hard2d` if that was run.
        rendered: Folder of rendered shards, stills and clips; looked through again now and then.
        lspet: Whether to use LSPET, which states no licence.
        sets: (name, folder) of published sets, see `annotated.STILL_READERS` and `VIDEO_READERS`.
    """

    data: Path
    labels: Path | None = None
    rendered: Path | None = None
    lspet: bool = True
    sets: tuple[tuple[str, Path], ...] = ()

    @property
    def backgrounds(self) -> Path | None:
        """The folder of pictures without people, if the data folder has one."""
        folder = self.data / "backgrounds"
        return folder if folder.is_dir() else None

    def beside(self, name: str) -> Path | None:
        """Return a file of the labels' folder, if it is there."""
        path = self.labels / name if self.labels else None
        return path if path and path.exists() else None

    def note(self) -> list[str]:
        """Return what the weights are made from, for a file's provenance."""
        notes = ["development clips labelled by MoveNet"] if self.labels else []
        notes += ["rendered people"] if self.rendered else []
        notes += [UNLICENSED] if self.lspet else []
        notes += [f"pictures of {HARD} {HARD_SHARE:g} times as often"] if self.lspet and self.beside(HARD) else []
        notes += [f"sides of labels judged by {JUDGE}"] if self.lspet and third_opinions(self.beside(HARD)) else []
        notes += ["backgrounds (CC0, MIT)"] if self.backgrounds else []
        readers = STILL_READERS | VIDEO_READERS
        return notes + [readers[name].terms for name, _ in self.sets]


def load_sets(choice: DataChoice) -> tuple[list[StillSet], ...]:
    """Load photographs, video, rendered shards that exist by now, and crops without people; each may be empty.

    Raises:
        DataError: If a set is not there or damaged.
    """
    with reading():
        return _stills(choice), _video(choice), _rendered(choice), _nobody(choice)


def _stills(choice: DataChoice) -> list[StillSet]:
    noses, hard = choice.beside("noses.npz"), choice.beside(HARD)
    stills = []
    if choice.lspet:
        stills = [load_lspet(choice.data / "images" / "lspet", held_out=False, noses=noses, hard=hard)]
    return stills + [STILL_READERS[name].load(folder, "train") for name, folder in choice.sets if name in STILL_READERS]


def _video(choice: DataChoice) -> list[StillSet]:
    video = [load_shard(p) for p in sorted(choice.labels.glob("clip_train_*.npz"))] if choice.labels else []
    return video + [VIDEO_READERS[name].load(folder, "train") for name, folder in choice.sets if name in VIDEO_READERS]


def _rendered(choice: DataChoice) -> list[StillSet]:
    return [load_shard(p) for p in sorted(choice.rendered.glob("*.npz"))] if choice.rendered else []


def _nobody(choice: DataChoice) -> list[StillSet]:
    return [load_nobody(choice.backgrounds)] if choice.backgrounds else []


def mixer_maker(
    choice: DataChoice,
    shares: Sequence[float],
    frames: int,
    seed: int,
    change: Callable[[AugmentConfig], AugmentConfig] = lambda augment: augment,
) -> Callable[[int], Mixer]:
    """Return a function that builds the mixer anew, looking again for rendered shards.

    Args:
        choice: What to read.
        shares: Of photographs, video, rendered people and nobody in a batch.
        frames: Length of a sequence.
        seed: Of what is drawn; with the steps already done added, a resumed run sees new pictures.
        change: Applied to how each set is augmented.
    """

    def make(round_: int) -> Mixer:
        kinds, sets = load_sets(choice), list[tuple[StillSet, float]]()
        if not any(kinds[:-1]):
            raise SystemExit("nothing to train on: give --labels, --rendered or --set, or drop --no-lspet")
        for kind, share in zip(kinds, shares, strict=True):
            people = sum(len(s) ** 0.5 for s in kind)  # a clip's frames are all alike: less than proportional
            sets += [(replace(s, augment=change(s.augment)), share * len(s) ** 0.5 / people) for s in kind]
        return Mixer(sets, frames, seed + 1000 * round_)

    return make
