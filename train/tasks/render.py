"""Draw synthetic training pictures and the demo clip: `python -m train.tasks.render --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from train.data.motion.mocap import data_root
from train.data.render import stills
from train.data.render.demo import DemoConfig, make_demo
from train.data.render.scenes import Studio
from train.data.render.shards import Row, write_shard
from train.errors import RendererUnavailable

EXAMPLES = """examples:
  python -m train.tasks.render stills --out render/stills --count 8000
  python -m train.tasks.render scenes --out render/scenes --count 2500 --per-shard 250
  python -m train.tasks.render clips --out render/clips --count 2400 --per-shard 480
  python -m train.tasks.render contact-sheet --out sheet.png --count 24
  python -m train.tasks.render demo --out pipeline
  LP_NUM_THREADS=1 nice -n 12 python -m train.tasks.render stills --out render/stills   (without a GPU)

A shard's number is its seed: the same number gives the same pictures, shards that exist are kept, and several
processes can share the work with --first.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    top = argparse.ArgumentParser(
        prog="python -m train.tasks.render",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = top.add_subparsers(dest="kind", required=True)
    what = {
        "stills": "pictures cut round one person, with joints",
        "scenes": "whole pictures with any number of people, with boxes",
        "clips": "as stills, but twelve pictures in a row of each person; `following` is the row of the next one or -1",
        "contact-sheet": "one PNG of stills with the joints drawn",
    }
    for kind, text in what.items():
        sub = kinds.add_parser(kind, help=text, description=text)
        sub.add_argument("--out", type=Path, required=True, help="folder for shards, or the file")
        sub.add_argument("--data", type=Path, default=data_root(), help="body/, mocap/, backgrounds/ (POSESTREAM_DATA)")
        sub.add_argument("--count", type=int, default=24 if kind == "contact-sheet" else 500, help="pictures in all")
        sub.add_argument("--per-shard", type=int, default=500)
        sub.add_argument("--first", type=int, default=0, help="number of the first shard")
        sub.add_argument("--split", choices=("train", "val"), default="train", help="mocap split of the poses")
        sub.add_argument("--seed", type=int, default=0)
    demo = kinds.add_parser(
        "demo", help="demo.mp4 and demo_truth.npz", description="The package's demo clip and its exact truth."
    )
    demo.add_argument("--out", type=Path, required=True, help="folder")
    demo.add_argument("--data", type=Path, default=data_root(), help="body/, mocap/, backgrounds/ (POSESTREAM_DATA)")
    demo.add_argument(
        "--supersample", type=float, default=DemoConfig().supersample, help="samples along each side of a pixel"
    )
    return top


def _still_rows(studio: Studio, rng: np.random.Generator) -> Iterator[Row]:
    while True:
        row = stills.still(studio, rng, stills.StillConfig())[1]
        if stills.usable(row):
            yield row


def _scene_rows(studio: Studio, rng: np.random.Generator) -> Iterator[Row]:
    while True:
        yield stills.crowd(studio, rng)[1]


def _clip_rows(studio: Studio, rng: np.random.Generator) -> Iterator[Row]:
    while True:
        rows = stills.clip(studio, rng, stills.StillConfig())
        if min(int(row["visible"].sum()) for row in rows) >= 6:
            yield from rows


def linked(rows: list[Row]) -> list[Row]:
    """Tell every row of a shard of clips which row shows the same person next, -1 for the last of each clip."""
    ends = [(n + 1) % stills.CLIP_FRAMES == 0 or n + 1 == len(rows) for n in range(len(rows))]
    return [row | {"following": np.asarray(-1 if ends[n] else n + 1, np.int64)} for n, row in enumerate(rows)]


def _shards(
    args: argparse.Namespace, rows_of: Callable[[Studio, np.random.Generator], Iterator[Row]], joined: tuple[str, ...]
) -> None:
    studio = Studio(args.data, args.split, args.seed)
    shards = -(-args.count // args.per_shard)
    print(f"{args.count} pictures in {shards} shards to {args.out}, drawn by {studio.renderer.device}", flush=True)
    for number in range(args.first, args.first + shards):
        path = args.out / f"{number:04d}.npz"
        if path.exists():
            print(f"{path} exists, kept", flush=True)
            continue
        wanted = min(args.per_shard, args.count - (number - args.first) * args.per_shard)
        source = rows_of(studio, np.random.default_rng([args.seed, number]))
        rows, since = [], time.monotonic()
        for row, _ in zip(source, range(wanted), strict=False):
            rows.append(row)
            if len(rows) % 50 == 0:
                rate = len(rows) / (time.monotonic() - since)
                print(f"shard {number}: {len(rows)}/{wanted}  {rate:.2f} pictures/s", flush=True)
        rows = linked(rows) if args.kind == "clips" else rows
        write_shard(path, rows, joined)
        print(f"wrote {path}", flush=True)


def contact_sheet(args: argparse.Namespace) -> None:
    """Draw stills in a grid, every second with its joints, box and hidden joints (black)."""
    from train.data.render.sheet import sheet

    studio, rng = Studio(args.data, args.split, args.seed), np.random.default_rng(args.seed)
    rows = [row for row, _ in zip(_still_rows(studio, rng), range(args.count), strict=False)]
    sheet(rows, args.out)
    print(f"wrote {args.out}")


def _demo(args: argparse.Namespace) -> None:
    since = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            left = (time.monotonic() - since) / done * (total - done)
            print(f"frame {done}/{total}  eta {left / 60:.1f} min", flush=True)

    path = make_demo(args.data, args.out, replace(DemoConfig(), supersample=args.supersample), progress)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB) and {path.parent / 'demo_truth.npz'}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        if args.kind == "stills":
            _shards(args, _still_rows, ())
        elif args.kind == "clips":
            _shards(args, _clip_rows, ())
        elif args.kind == "scenes":
            _shards(args, _scene_rows, ("box_xyxy_px", "box_visible"))
        elif args.kind == "demo":
            _demo(args)
        else:
            contact_sheet(args)
    except (RendererUnavailable, FileNotFoundError) as error:
        print(f"render: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
