"""Find the LSPET pictures in which a detector takes left for right; training then shows them more often.

The detector fits its training pictures hardly better than others: what it gets wrong there it has not learnt yet. Only
sides are asked for, since a person found elsewhere is more often a wrong label (compare online hard example mining,
Shrivastava et al., CVPR 2016). With MediaPipe at hand, a third opinion is asked for:
where it reads sides as the detector does the label is mirrored, where it confirms the label the picture is a hard one,
where it cannot say a label that MoveNet doubts is hardly used (see `load_lspet`).

The table tells how often sides are exchanged by what MoveNet says of the label. These pictures were trained on, so what
stays exchanged where MoveNet reads the label mirrored is a measure of wrong labels: `--held-out` for the others.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.detector import Detector
from engines.runtime import open_engine
from train.data.motion.mocap import data_root
from train.data.people.lspet import HARD, file_names, load_lspet, verdicts
from train.data.people.people2d import StillSet
from train.measure.evaluate2d import Person, set_people
from train.measure.metrics2d import can_tell_sides, fits_exchanged, side_opinion
from train.measure.peers2d import mediapipe_joints

EXAMPLES = """examples:
  python -m train.tasks.hard2d --out ../detector/labels            # the folder of train.tasks.label2d
  python -m train.tasks.hard2d --held-out                          # nothing is written
  python -m train.tasks.hard2d --model runs/new.onnx --out labels --mediapipe ../mediapipe/bin/python
"""


def opinions(people: list[Person], python: Path) -> npt.NDArray[np.int8]:
    """Return (N,) 1 where MediaPipe confirms the label, -1 where it reads it mirrored, 0 where it cannot say.

    Raises:
        DataError: If there is no MediaPipe in that environment.
    """
    xy, score = mediapipe_joints([p.image for p in people], [p.box for p in people], python)
    return side_opinion(xy, score, np.stack([p.xy for p in people]), np.stack([p.labelled for p in people]))


def exchanged_people(
    stills: StillSet, model: str, threads: int, most: int | None = None
) -> tuple[npt.NDArray[np.bool_], list[Person]]:
    """Return (N,) in which pictures a detector exchanges sides, and those people; it sees each picture alone."""
    engine = open_engine(model, "ort", threads)
    detector, exchanged, those = Detector(engine), [], list[Person]()
    for number, person in enumerate(islice(set_people(stills), most)):
        xy, _ = detector.detect(person.image, person.box[None], [0], [0])
        exchanged.append(fits_exchanged(xy, person.xy[None], person.labelled[None])[0])
        those += [person] if exchanged[-1] else []
        if number % 100 == 99:
            print(f"\r{number + 1}/{len(stills)}", end="", flush=True)
    engine.close()
    return np.array(exchanged, bool), those


def print_by_verdict(verdict: npt.NDArray[np.str_], exchanged: npt.NDArray[np.bool_]) -> None:
    """Print of how many people sides are exchanged, by what MoveNet says of the label."""
    groups = {"all": exchanged} | {name or "not asked": exchanged[verdict == name] for name in np.unique(verdict)}
    for name, those in groups.items():
        if len(those):
            print(f"{name:14}{those.sum():5} of {len(those):5} exchanged, {those.mean():.1%}")


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    p = argparse.ArgumentParser(
        "train.tasks.hard2d", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--out", type=Path, help=f"folder for {HARD}")
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    p.add_argument("--model", default="detector-mnv2-tce64", help="name or .onnx (default: %(default)s)")
    p.add_argument("--held-out", action="store_true", help="only the table, of the pictures not trained on")
    p.add_argument("--people", type=int, help="look at so many only")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--mediapipe", type=Path, metavar="PYTHON", help="a third opinion, of an environment that has it")
    args = p.parse_args(argv)
    if (args.out is None) != args.held_out:
        p.error("give --out, the folder of the labels, or --held-out")
    folder = args.data / "images" / "lspet"
    stills, names = load_lspet(folder, args.held_out), np.array(file_names(folder, args.held_out))
    hard, those = exchanged_people(stills, args.model, args.threads, args.people)
    told = can_tell_sides(stills.weight[: len(hard)] > 0)
    print("\r", end="")
    print_by_verdict(verdicts(folder, names[: len(hard)])[told], hard[told])
    if args.out is None:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    third = opinions(those, args.mediapipe) if args.mediapipe and those else np.zeros(len(those), np.int8)
    np.savez(args.out / HARD, picture=names[: len(hard)][hard], third=third)
    print(
        f"\r{args.out / HARD}: sides exchanged in {hard.sum()} of {len(hard)} pictures; "
        f"{(third > 0).sum()} labels confirmed, {(third < 0).sum()} mirrored"
    )


if __name__ == "__main__":
    main()
