"""Measure the shipped finder .onnx through the runtime's own path: letterbox, network, threshold, suppression.

Clips (the held-out last third, and the whole), the free COCO pictures, held-out LSPET crops, and pictures without
people: held-out backgrounds, and parts of held-out clip frames away from everybody.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from engines.finder import Finder
from engines.runtime import open_engine
from train.data.motion.mocap import data_root
from train.data.people.boxes import LspetSource, shard_scenes
from train.data.people.boxes_augment import Scene, decode_rgb, empty_part
from train.data.people.boxes_backgrounds import Backgrounds
from train.data.people.boxes_clips import PEOPLE, ROOMS, Clip, read_clip
from train.data.people.boxes_lspet import held_out, lspet_boxes
from train.measure.evaluate_boxes import Judged, figures, judge, recall_at_rate, sweep
from train.measure.report_boxes import write_sheets

EXAMPLES = """examples:
  python -m train.tasks.eval_finder
  python -m train.tasks.eval_finder --model runs/finder/finder-mnv2.onnx --sweep --json eval.json
  python -m train.tasks.eval_finder --sheets runs/finder/sheets --lspet-cache runs/finder/lspet_seen.npz
"""
RARE = "one ghost in 1000 empty pictures"
PARTS, RENDERED = "parts of held-out frames", "rendered scenes"
LOW = 0.05  # detections are gathered down to this score, then judged at any threshold above


def clip_scenes(clip: Clip, first: int = 0) -> Iterator[Scene]:
    """Yield a clip's frames from `first` on."""
    for k in range(first, len(clip.jpegs)):
        yield Scene(decode_rgb(clip.jpegs[k]), clip.boxes[k], clip.unclear[k])


def coco_scenes(folder: Path) -> Iterator[Scene]:
    """Yield the free COCO pictures: people of at least 40 px height; smaller ones and crowds are ignored."""
    table = json.loads((folder / "keypoints.json").read_text())
    for entry in table["images"]:
        boxes, ignore = [], []
        for row in table["annotations"]:
            if row["image_id"] == entry["id"]:
                x, y, w, h = row["bbox"]
                (ignore if row["iscrowd"] or h < 40 else boxes).append((x, y, x + w, y + h))
        image = decode_rgb(np.fromfile(folder / "images" / entry["file_name"], np.uint8))
        yield Scene(image, np.array(boxes, np.float32).reshape(-1, 4), np.array(ignore, np.float32).reshape(-1, 4))


def background_scenes(data: Path, count: int) -> Iterator[Scene]:
    """Yield views of the backgrounds that training never saw."""
    rng = np.random.default_rng(0)
    backgrounds = Backgrounds(data / "backgrounds", held_out=True)
    for _ in range(count):
        yield backgrounds.draw(rng)


def empty_parts(clips: Sequence[Clip], count: int) -> Iterator[Scene]:
    """Yield up to `count` parts of held-out clip frames away from everybody, each as a picture of its own."""
    rng = np.random.default_rng(0)
    for k in range(count):
        clip = clips[k % len(clips)]
        frame = int(rng.integers(clip.held_out_from, len(clip.jpegs)))
        part = empty_part(Scene(decode_rgb(clip.jpegs[frame]), clip.boxes[frame], clip.unclear[frame]), rng)
        if part is not None:
            yield part


def lspet_scenes(data: Path, cache: Path, count: int) -> Iterator[Scene]:
    """Yield held-out LSPET pictures, as they are."""
    folder = data / "images" / "lspet"
    rows = [r for r in lspet_boxes(folder, data / "weights" / "FastestDet.onnx", cache) if held_out(r.file)][:count]
    for row in rows:
        image = LspetSource(folder, [row]).draw(np.random.default_rng(0)).image
        yield Scene(image, row.box[None], row.ignore)


def all_groups(args: argparse.Namespace, finder: Finder) -> dict[str, list[Judged]]:
    """Run the finder on everything; return what it said by the name of the group."""
    clips = [read_clip(args.data / "clips" / name) for name in (*ROOMS, *PEOPLE)]
    groups: dict[str, list[Judged]] = {}
    for clip in clips:
        whole = judge(finder, clip_scenes(clip))
        groups[f"{clip.name}, held-out third"] = whole[clip.held_out_from :]
        groups[f"{clip.name}, whole"] = whole
    groups["coco_free"] = judge(finder, coco_scenes(args.data / "coco_free"))
    groups["backgrounds, held out"] = judge(finder, background_scenes(args.data, args.empties))
    groups[PARTS] = judge(finder, empty_parts(clips, args.empties))
    for path in sorted(args.rendered.glob("*.npz")) if args.rendered else ():
        groups[f"{RENDERED} {path.stem}"] = judge(finder, shard_scenes(path))
    if args.lspet_cache:
        groups["lspet, held out"] = judge(finder, lspet_scenes(args.data, args.lspet_cache, 400))
    return groups


def milliseconds(finder: Finder, rounds: int = 60) -> float:
    """Return the median time of one look at a 1280 x 720 picture, letterbox and suppression included."""
    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        finder.find(picture)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def print_table(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print one line per group, one column per figure."""
    columns = list(next(iter(rows.values())))
    print(f"{'':48}" + "".join(f"{c.replace('_', ' '):>20}" for c in columns))
    for name, row in rows.items():
        print(f"{name:48}" + "".join(f"{row[c]:20.3f}" if row[c] % 1 else f"{row[c]:20.0f}" for c in columns))


def print_rare(found: Mapping[str, float]) -> None:
    """Print the recall where only one ghost in a thousand empty pictures is allowed."""
    print(f"{RARE} ({found['empty']} real ones seen): threshold {found['threshold']:.2f}")
    print("recall of people of 60 px and more in 1280 x 720:")
    for key, value in found.items():
        if key.startswith("recall"):
            print(f"{key.removeprefix('recall, '):48}{value:20.3f}")


def print_sweep(by_threshold: Mapping[float, Mapping[str, float]]) -> None:
    """Print one line per group, one column per threshold."""
    print(f"\n{'':56}" + "".join(f"{t:7.2f}" for t in by_threshold))
    for name in next(iter(by_threshold.values())):
        print(f"{name:56}" + "".join(f"{row[name]:7.3f}" for row in by_threshold.values()))


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        "python -m train.tasks.eval_finder",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="finder-mnv2", help="name or path of the .onnx (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=data_root(), help="data folder (default: %(default)s)")
    parser.add_argument("--empties", type=int, default=300, help="pictures of either empty sort (default: %(default)s)")
    parser.add_argument("--lspet-cache", type=Path, help="also held-out LSPET; FastestDet's findings are kept here")
    parser.add_argument("--rendered", type=Path, help="also rendered scenes (--split val), a folder of shards")
    parser.add_argument("--sweep", action="store_true", help="also recall and ghosts at other thresholds")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--sheets", type=Path, help="folder for overview pictures (LSPET: not to be handed on)")
    args = parser.parse_args(argv)
    engine = open_engine(args.model, "ort", 1)
    threshold = float(engine.spec.settings["score_threshold"])
    finder = Finder(engine, LOW)
    groups = all_groups(args, finder)
    report: dict[str, object] = {"model": engine.spec.name, "sha256": engine.sha256, "score_threshold": threshold}
    report["milliseconds"] = milliseconds(finder)
    table = {name: figures(judged, threshold) for name, judged in groups.items()}
    report["groups"] = table
    print_table(table)
    print(f"threshold {threshold}; one look at 1280 x 720: {report['milliseconds']:.1f} ms, 1 thread")
    # rendered rooms hold boxes of a person's size, the parts show the same few spots: both are no usual frames
    real = {name: group for name, group in groups.items() if name != PARTS and not name.startswith(RENDERED)}
    rare = recall_at_rate(groups, [one for group in real.values() for one in group])
    report[RARE] = rare
    print_rare(rare)
    if args.sweep:
        by_threshold = sweep(groups)
        report["sweep"] = by_threshold
        print_sweep(by_threshold)
    if args.sheets:
        write_sheets(args.sheets, groups, threshold)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
