"""Find the LSPET pictures in which a detector takes left for right; training then shows them more often.

The detector fits its training pictures hardly better than others: what it gets wrong there it has not learnt yet. Only
sides are asked for, since a person found elsewhere is more often a wrong label (compare online hard example mining,
Shrivastava et al., CVPR 2016). Of the labels suspected of mirroring, those in the list stay suspected: `load_lspet`
shows them seldom, and believes the others. MediaPipe, a third opinion, was clearly for the label in 54 of 70 such whole
bodies that the detector confirms, and in 21 of 151 that it does not (where it had found the person).
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from engines.detector import Detector
from engines.runtime import open_engine
from train.data.motion.mocap import data_root
from train.data.people.lspet import HARD, file_names, load_lspet
from train.measure.evaluate2d import set_people
from train.measure.metrics2d import fits_exchanged

EXAMPLES = """examples:
  python -m train.tasks.hard2d --out ../detector/labels            # the folder of train.tasks.label2d
  python -m train.tasks.hard2d --model runs/new.onnx --out labels
"""


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
    args = p.parse_args(argv)
    folder = args.data / "images" / "lspet"
    stills, names = load_lspet(folder, held_out=False), np.array(file_names(folder, held_out=False))
    engine = open_engine(args.model, "ort", args.threads)
    detector, exchanged = Detector(engine), []
    for number, person in enumerate(islice(set_people(stills), args.people)):
        xy, _ = detector.detect(person.image, person.box[None], [0], [0])  # each alone: no memory
        exchanged.append(fits_exchanged(xy, person.xy[None], person.labelled[None])[0])
        if number % 100 == 99:
            print(f"\r{number + 1}/{len(stills)}", end="", flush=True)
    engine.close()
    hard = np.array(exchanged, bool)
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / HARD, picture=names[: len(hard)][hard])
    print(f"\r{args.out / HARD}: sides exchanged in {hard.sum()} of {len(hard)} pictures")


if __name__ == "__main__":
    main()
