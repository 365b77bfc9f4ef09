"""`posestream replay`: every frame of files or folders of pictures, nothing dropped, results saved.

Several inputs are taken in turn. An input whose results are there already, complete and made by the same
models with the same options, is skipped; so an interrupted batch goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engines.joint_filter import JointFilterConfig
from engines.runtime import find_weights
from pipeline.commands.launch import launch, write_json
from pipeline.commands.options import add_shared, decoded_as_asked, models_of, output_of, pose_of
from pipeline.commands.run import source_of
from pipeline.commands.summary import Summary
from pipeline.commands.terminal import Terminal
from pipeline.config import PICTURE_SUFFIXES, ModelConfig, Policy, PoseConfig, RunConfig, SourceConfig
from pipeline.errors import PipelineError, SourceError, UsageError
from pipeline.inference.track import TrackConfig
from pipeline.results.record import PART, load_results

_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One input and where its results go."""

    target: str
    save: Path | None
    video: Path | None


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: that of the first input that failed, 0 if none did."""
    args = _parser().parse_args(argv)
    terminal = Terminal(quiet_stdout=args.json == "-", progress=True)
    models, pose = models_of(args), pose_of(args)
    code, summaries = 0, []
    for job in _jobs(args):
        try:
            summary = _replay(job, args, models, pose, terminal)
        except PipelineError as error:
            terminal.say(f"posestream: {error}{f' ({error.hint})' if error.hint else ''}")
            code = code or error.exit_code
            continue
        if summary is not None:
            summaries.append(summary)
            code = code or summary.exit_code
            if summary.exit_code >= 128:
                break
    if args.json is not None:
        files = [summary.to_json() for summary in summaries]
        write_json(files[0] if files and len(args.paths) == 1 else {"files": files}, args.json)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("posestream replay", description="Offline: every frame, nothing dropped.")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="video files, folders of pictures, or URLs")
    parser.add_argument("--stills", action="store_true", help="the pictures of a folder are unrelated")
    parser.add_argument("--save", type=Path, metavar="OUT", help="results file, or folder for several inputs (here)")
    parser.add_argument("--save-video", type=Path, metavar="OUT", help="overlay video, or folder for several inputs")
    parser.add_argument("--force", action="store_true", help="do again what is there already")
    parser.add_argument("--nvdec", action="store_true", help="decode a video file on the graphics card")
    add_shared(parser)
    return parser


def _jobs(args: argparse.Namespace) -> list[Job]:
    many = len(args.paths) > 1
    saves = _names(args.paths, args.save or Path(), ".npz", many)
    videos = _names(args.paths, args.save_video, ".mp4", many) if args.save_video else [None] * len(args.paths)
    return [Job(*job) for job in zip(args.paths, saves, videos, strict=True)]


def _names(targets: list[str], where: Path, suffix: str, many: bool) -> list[Path]:
    """Return an output path for each input; inputs of the same name get numbers."""
    if not many and where.suffix and not where.is_dir():
        return [where]
    if where.suffix == suffix:
        raise UsageError(f"{len(targets)} inputs cannot share the output {where}", "give a folder")
    names: list[Path] = []
    for target in targets:
        stem = Path(target.rstrip("/")).stem or "results"
        path, number = where / f"{stem}{suffix}", 2
        while path in names:
            path, number = where / f"{stem}-{number}{suffix}", number + 1
        names.append(path)
    return names


def _replay(
    job: Job, args: argparse.Namespace, models: ModelConfig, pose: PoseConfig, terminal: Terminal
) -> Summary | None:
    source = decoded_as_asked(source_of(job.target, stills=args.stills), args)
    if source.kind == "camera":
        raise UsageError(f"{job.target} is a camera: it cannot be replayed", f"posestream --camera {job.target}")
    if args.stills and source.kind != "images":
        raise UsageError(f"--stills is for folders of pictures, {job.target} is none")
    mark = fingerprint(source, models, pose)
    # What a URL holds may have changed: only files are known by their content.
    if not args.force and source.kind != "stream" and _done(job, mark):
        terminal.say(f"{job.target}: done already, {job.save} (--force does it again)")
        return None
    output = output_of(save=job.save, save_video=job.video)
    run = RunConfig(source, models, pose, output, Policy.EVERY, mark, args.debug)
    return launch(run, terminal)


def fingerprint(source: SourceConfig, models: ModelConfig, pose: PoseConfig) -> str:
    """Return a hash over the input's content, the models' files and the options that change results.

    Large files are told apart by their size, beginning and end.

    Raises:
        SourceError: If the input cannot be read.
    """
    path = Path(source.target.removeprefix("file://"))
    tuned = [asdict(TrackConfig()), asdict(JointFilterConfig())]  # as much part of the result as a model's weights
    digest = hashlib.sha256(json.dumps([source.kind, source.stills, asdict(pose), models.backend, tuned]).encode())
    try:
        for file in _files(path):
            with file.open("rb") as content:
                size = file.stat().st_size
                digest.update(f"{file.name if path.is_dir() else ''}:{size}:".encode())
                digest.update(content.read(_SAMPLE_BYTES))
                content.seek(max(0, size - _SAMPLE_BYTES))
                digest.update(content.read(_SAMPLE_BYTES))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    for model in (models.finder, models.detector, models.lifter):
        digest.update(find_weights(model).read_bytes())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    """Return the files that an input consists of; outputs saved beside the pictures of a folder are none of it."""
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in PICTURE_SUFFIXES)
    return [path] if path.is_file() else []


def _done(job: Job, mark: str) -> bool:
    if job.save is None or not job.save.is_file() or (job.video is not None and not job.video.is_file()):
        return False
    if job.save.with_name(job.save.name + PART).exists():
        return False  # a later run was cut off: its video may be torn
    try:
        info = load_results(job.save).info
    except PipelineError:
        return False
    return bool(info.get("complete")) and info.get("fingerprint") == mark
