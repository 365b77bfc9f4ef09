"""Label clips and LSPET noses with the MoveNet teacher: the second half of the detector's training data."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from train.data.motion.mocap import data_root
from train.data.people.clips import label_clip, label_noses
from train.data.people.lspet import file_names, load_lspet
from train.data.people.mixes2d import WEIGHTS
from train.data.people.people2d import save_shard
from train.data.people.teacher import Teacher

EXAMPLES = """examples:
  python -m train.tasks.label2d --out ../detector/labels
  python -m train.tasks.label2d --out labels --no-lspet --clips pose_1.mp4
"""


def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        "train.tasks.label2d",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the label files")
    parser.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    parser.add_argument("--clips", nargs="*", help="file names in DATA/clips (default: all)")
    parser.add_argument("--noses", type=int, default=4000, help="LSPET pictures asked (default: %(default)s)")
    parser.add_argument("--no-lspet", action="store_true", help="leave LSPET's noses out")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(args.data / WEIGHTS)
    clips = sorted(p for p in (args.data / "clips").iterdir() if p.suffix in (".mp4", ".mkv"))
    for clip in clips:
        if args.clips is None or clip.name in args.clips:
            train, held_out = label_clip(teacher, clip)
            print(f"{clip.name}: {len(train)} people to train on, {len(held_out)} held out", flush=True)
            for part, people in (("train", train), ("held_out", held_out)):
                if len(people):
                    save_shard(args.out / f"clip_{part}_{clip.stem}.npz", people)
    if not args.no_lspet:
        folder = args.data / "images" / "lspet"
        stills = load_lspet(folder, held_out=False)
        names = file_names(folder, held_out=False)
        count = label_noses(teacher, stills, names, args.out / "noses.npz", args.noses)
        print(f"LSPET: {count} noses of {len(stills)} pictures", flush=True)


if __name__ == "__main__":
    main()
