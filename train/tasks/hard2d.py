"""Find the LSPET pictures in which a detector takes left for right; training then shows them more often.

The detector fits its training pictures hardly better than others: what it gets wrong there it has not learnt yet. Only
sides are asked for, since a person found elsewhere is more often a wrong label (compare online hard example mining,
Shrivastava et al., CVPR 2016). With MediaPipe at hand, a third opinion is asked for:
where it reads sides as the detector does the label is mirrored, where it confirms the label the picture is a hard one,
where it cannot say a label that MoveNet doubts is hardly used (see `load_lspet`).
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
from train.data.people.lspet import HARD, file_names, load_lspet
from train.measure.evaluate2d import Person, set_people
from train.measure.metrics2d import fits_exchanged, side_opinion
from train.measure.peers2d import mediapipe_joints

EXAMPLES = """examples:
  python -m train.tasks.hard2d --out ../detector/labels            # the folder of train.tasks.label2d
  python -m train.tasks.hard2d --model runs/new.onnx --out labels --mediapipe ../mediapipe/bin/python
"""


def opinions(people: list[Person], python: Path) -> npt.NDArray[np.int8]:
    """Return (N,) 1 where MediaPipe confirms the label, -1 where it reads it mirrored, 0 where it cannot say.

    Raises:
        DataError: If there is no MediaPipe in that environment.
    """
    xy, score = mediapipe_joints([p.image for p in people], [p.box for p in people], python)
    return side_opinion(xy, score, np.stack([p.xy for p in people]), np.stack([p.labelled for p in people]))


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    p = argparse.ArgumentParser(
        "train.tasks.hard2d", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--out", type=Path, required=True, help=f"folder for {HARD}")
    p.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    p.add_argument("--model", default="detector-mnv2-tce64", help="name or .onnx (default: %(default)s)")
    p.add_argument("--people", type=int, help="look at so many only")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--mediapipe", type=Path, metavar="PYTHON", help="a third opinion, of an environment that has it")
    args = p.parse_args(argv)
    folder = args.data / "images" / "lspet"
    stills, names = load_lspet(folder, held_out=False), np.array(file_names(folder, held_out=False))
    engine = open_engine(args.model, "ort", args.threads)
    detector, exchanged, those = Detector(engine), [], list[Person]()
    for number, person in enumerate(islice(set_people(stills), args.people)):
        xy, _ = detector.detect(person.image, person.box[None], [0], [0])  # each alone: no memory
        exchanged.append(fits_exchanged(xy, person.xy[None], person.labelled[None])[0])
        those += [person] if exchanged[-1] else []
        if number % 100 == 99:
            print(f"\r{number + 1}/{len(stills)}", end="", flush=True)
    engine.close()
    hard = np.array(exchanged, bool)
    args.out.mkdir(parents=True, exist_ok=True)
    third = opinions(those, args.mediapipe) if args.mediapipe and those else np.zeros(len(those), np.int8)
    np.savez(args.out / HARD, picture=names[: len(hard)][hard], third=third)
    print(
        f"\r{args.out / HARD}: sides exchanged in {hard.sum()} of {len(hard)} pictures; "
        f"{(third > 0).sum()} labels confirmed, {(third < 0).sum()} mirrored"
    )


if __name__ == "__main__":
    main()
