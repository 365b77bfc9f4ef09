"""`posestream eval lifter`: 2D tracks of a file lifted as a live run does it, or a lifter measured on motion capture.

With a FILE the base install is enough. Without one the training room films its motion pack and measures.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.lifter import Lifter
from engines.measure.score3d import LEGEND, Truth, lines, score
from engines.runtime import BACKENDS, Engine, open_engine
from engines.tracks import Tracks, lift_tracks
from pipeline.commands.launch import spare_the_inputs, write_json
from pipeline.commands.options import check_writable, lifter_of, positive, positive_float
from pipeline.commands.terminal import Terminal, progress_bar
from pipeline.config import ModelConfig
from pipeline.errors import OutputError, PipelineError, SourceError, UsageError
from pipeline.inference.detect import describe
from pipeline.results.record import Results, load_results, save_results
from pipeline.results.track_file import load_tracks

OF_A_FILE = ("save", "force")
OF_THE_PACK = ("data", "seconds", "seed", "detections", "plots", "against_batch")
FORMAT = 2
"""Of the results: one more when other code gives other results of the same tracks and model."""
HINT = "pip install 'posestream[train]'"
EPILOG = """FILE.npz holds, for N rows in C clips: xy_px (N, 17, 2) pixels, score (N, 17) 0..1 (0 = missing), pts_s (N,)
seconds, clip (N,) whole numbers 0..C-1 with the rows of a clip together, size_wh (C, 2) and focal_px (C,) pixels.
With the truth xyz_m (N, 17, 3), and maybe root_m (N, 3), action (C,) and subject (C,), the errors are told as well.

examples:
  posestream eval lifter tracks.npz --save out.npz
  posestream eval lifter tracks.npz --json errors.json --model lstm
  posestream eval lifter                                  the shipped lifter on the motion pack
  posestream eval lifter --model tcn --model new.onnx --seconds 2 --json report.json --plots plots/
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    _check_options(args)
    models = [lifter_of(choice) for choice in args.model or [ModelConfig().lifter]]
    if args.file is None:
        return _measure_pack(args, models)
    if len(models) > 1:
        raise UsageError("one --model, please, for the tracks of a file")
    tracks, truth = load_tracks(args.file)
    if truth is None and (args.save is None or args.json is not None):
        raise UsageError(f"{args.file} does not hold the truth (xyz_m): nothing to measure", "--save OUT.npz lifts it")
    terminal = Terminal(quiet_stdout=args.json == "-")
    engine = open_engine(models[0], args.backend, args.threads)
    try:
        lifter = Lifter(engine)
        results = _results(args, tracks, lifter, terminal)
    finally:
        engine.close()
    if truth is not None:
        report = {"file": str(args.file), "joints_2d": "as in the file", **lifter.conditions()}
        report |= score(results.xyz_m, results.root_m, truth, tracks)
        if args.json is not None:
            write_json(report, args.json)
        terminal.write(table(report))
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """See that the options belong together and that the JSON can be written, before anything is lifted."""
    default = _parser().get_default
    wrong = [name for name in (OF_THE_PACK if args.file else OF_A_FILE) if getattr(args, name) != default(name)]
    if wrong:
        option = f"--{wrong[0].replace('_', '-')}"
        if args.file:
            raise UsageError(f"{option} is for the motion pack, not for the tracks of a file", "leave it out")
        raise UsageError(f"{option} is for the tracks of a file", "posestream eval lifter FILE.npz --save OUT.npz")
    if args.json not in (None, "-"):
        spare_the_inputs([Path(args.json)], [args.file, args.detections])
        check_writable(Path(args.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "posestream eval lifter",
        description="Lift 2D tracks as a live run lifts them, every clip from a fresh start; or measure a lifter.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.npz", help="2D tracks; see below")
    parser.add_argument("--model", action="append", metavar="tcn|lstm|FILE", help="3D lifter")
    parser.add_argument("--backend", choices=BACKENDS, default=ModelConfig().backend, help="what runs the model")
    parser.add_argument("--threads", type=positive, default=ModelConfig().threads, help="CPU threads of the model")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="figures as JSON, into FILE or printed")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a bug")
    group = parser.add_argument_group("with FILE.npz")
    group.add_argument("--save", type=Path, metavar="OUT.npz", help="results file, one row for each row of FILE")
    group.add_argument("--force", action="store_true", help="replace what is there already")
    group = parser.add_argument_group("without: the motion pack (--plots and --against-batch need posestream[train])")
    group.add_argument("--data", type=Path, help="folder of motion.npz (default: $POSESTREAM_DATA/mocap)")
    group.add_argument("--seconds", type=positive_float, default=4.0, help="of each clip (4)")
    group.add_argument("--seed", type=int, default=11, help="of the cameras and the imitated detector (11)")
    group.add_argument("--detections", type=Path, metavar="FILE.npz", help="real detections and their truth; see below")
    group.add_argument("--plots", type=Path, metavar="DIR", help="pictures of the errors")
    group.add_argument("--against-batch", action="store_true", help="also compare the stream with the PyTorch network")
    return parser


def _measure_pack(args: argparse.Namespace, models: list[str]) -> int:
    """Hand over to the training room, which has the motion pack and the cameras."""
    if args.against_batch and importlib.util.find_spec("torch") is None:
        raise PipelineError("--against-batch needs torch, which is not installed", HINT, exit_code=2)
    if args.plots is not None and importlib.util.find_spec("matplotlib") is None:
        raise PipelineError("--plots needs matplotlib, which is not installed", HINT, exit_code=2)
    terminal = Terminal(quiet_stdout=args.json == "-")
    detected = _with_truth(args.detections) if args.detections is not None else None
    try:
        reports = importlib.import_module("train.tasks.eval_lifter").measure_pack(
            models, terminal.write, (lambda line: None) if args.quiet else terminal.say,
            lambda reports: write_json(reports, args.json) if args.json not in (None, "-") else None, folder=args.data,
            seconds=args.seconds, seed=args.seed, detected=detected, plots=args.plots,
            against_batch=args.against_batch, backend=args.backend, threads=args.threads,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SourceError(
            f"{error.filename} does not exist", "--data FOLDER or POSESTREAM_DATA says where it is"
        ) from error
    if args.json == "-":
        write_json(reports, args.json)
    return 0


def _with_truth(path: Path) -> tuple[Tracks, Truth]:
    tracks, truth = load_tracks(path)
    if truth is None:
        raise UsageError(f"{path} does not hold the truth (xyz_m): nothing to measure")
    return tracks, truth


def _results(args: argparse.Namespace, tracks: Tracks, lifter: Lifter, terminal: Terminal) -> Results:
    """Lift, and save where asked to; or take what is saved already."""
    mark = _fingerprint(tracks, lifter.engine)
    if args.save is not None and args.save.exists() and not args.force:
        if args.save.is_file() and (done := _saved(args.save)) is not None and done.info.get("fingerprint") == mark:
            terminal.say(f"{args.file}: done already, {args.save} (--force does it again)")
            return done
        raise OutputError(f"{args.save} is there already", "--force replaces it", exit_code=2)
    if args.save is not None:
        spare_the_inputs([args.save], [args.file])
        check_writable(args.save)
    began_s = time.perf_counter()
    with _progress(len(tracks), args.quiet) as tell:
        xyz_m, root_m = lift_tracks(lifter, tracks, tell)
    ms = (time.perf_counter() - began_s) * 1000 / max(1, len(tracks))
    results = _as_results(tracks, xyz_m, root_m, lifter.engine, str(args.file), mark)
    if args.save is not None:
        save_results(args.save, results)
    if not args.quiet:
        where = f" -> {args.save}" if args.save is not None else ""
        clips, engine = len(tracks.spans()), lifter.engine
        terminal.say(
            f"{args.file}: {len(tracks)} rows in {clips} clips{where}; {engine.spec.name} on {engine.backend}, "
            f"{ms:.2f} ms a row"
        )
    return results


def _saved(path: Path) -> Results | None:
    try:
        return load_results(path)
    except PipelineError:
        return None


def _fingerprint(tracks: Tracks, engine: Engine) -> str:
    """Return a hash over everything that the results depend on."""
    digest = hashlib.sha256(f"{FORMAT} {engine.sha256} {engine.backend}".encode())
    for array in (tracks.xy_px, tracks.score, tracks.pts_s, tracks.clip, tracks.size_wh, tracks.focal_px):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _as_results(
    tracks: Tracks, xyz_m: np.ndarray, root_m: np.ndarray, engine: Engine, source: str, mark: str
) -> Results:
    """Return a row for each row of the tracks: `track` is the clip, `frame` the number of the row in its clip."""
    spans = tracks.spans()
    frame = np.concatenate([np.zeros(0, np.int32), *(np.arange(s.stop - s.start, dtype=np.int32) for s in spans)])
    steps_s = np.diff(tracks.pts_s)[np.diff(tracks.clip) == 0]
    return Results(
        frame=frame,
        pts_s=tracks.pts_s,
        track=tracks.clip.astype(np.int32),
        xy_px=tracks.xy_px,
        score=tracks.score,
        xyz_m=xyz_m,
        root_m=root_m,
        size_wh=tracks.size_wh[0] if len(tracks.size_wh) else np.zeros(2, np.int32),
        fps=float(1 / np.median(steps_s)) if len(steps_s) else 0.0,
        skeleton=engine.spec.skeleton,
        frames=int(frame.max(initial=-1)) + 1,
        info={
            "models": {"lifter": describe(engine)},
            "source": {"source": source, "kind": "tracks"},
            "clips": {"size_wh": tracks.size_wh.tolist(), "focal_px": tracks.focal_px.tolist()},
            "fingerprint": mark,
            "complete": True,
            "reason": "end",
        },
    )


def table(report: dict[str, Any]) -> str:
    """Return the report for people."""
    how = "causal" if report["causal"] else f"looks {report['look_ahead_frames']} frames ahead"
    out = [f"{report['model']['name']}, {how}, without flip, 2D joints {report['joints_2d']}; {LEGEND}"]
    out += lines({f"{report['rows']} rows, {report['clips']} clips": report})
    for what in ("per_action", "per_subject"):
        if what in report:
            out += ["", *lines(report[what], what.replace("_", " "))]
    out += ["", "joint            MPJPE"] + [f"{name:15}{mm:7.1f}" for name, mm in report["per_joint_mm"].items()]
    return "\n".join(out) + "\n"


@contextlib.contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda rows: None
        return
    bar, task = progress_bar("rows", total)
    try:
        yield lambda rows: bar.update(task, completed=rows)
    finally:
        bar.stop()
