from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.commands import options, replay, run
from pipeline.config import Policy
from pipeline.errors import OutputError, PipelineError, UsageError

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "PySide6", "pyqtgraph", "tensorrt", "onnxruntime", "av", "cv2", "zmq", "rich")


def test_importing_the_command_imports_nothing_heavy() -> None:
    script = f"import sys, pipeline.cli; print([m for m in {HEAVY} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_the_supervising_process_imports_no_networks_windows_or_codecs() -> None:
    script = (
        f"import sys, pipeline.commands.replay, pipeline.commands.run; print([m for m in {HEAVY} if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize("name", [n for n, c in cli.COMMANDS.items() if not c.parts])
def test_every_command_of_the_table_exists(name: str) -> None:
    module, _, function = cli.COMMANDS[name].target.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    assert f"def {function}(" in Path(spec.origin).read_text()


@pytest.mark.parametrize("target", [p.target for c in cli.COMMANDS.values() for p in c.parts.values()])
def test_every_part_of_a_command_exists(target: str) -> None:
    module, _, function = target.partition(":")
    path = ROOT / (module.replace(".", "/") + ".py")
    assert f"def {function}(" in path.read_text()


def test_help_shows_examples_and_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "posestream --camera 0" in text
    assert all(f"  {name} " in text for name in cli.COMMANDS)
    assert cli.main([]) == 2
    assert cli.main(["--version"]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch.mp4"], "nosuch.mp4 does not exist"),
        (["repaly", "a.mp4"], "no command and no file is called 'repaly' (did you mean: posestream replay)"),
        (["evla"], "did you mean: posestream eval"),
        (["0"], "--camera 0"),
        (["--no-view"], "one source, please"),
        (["a.mp4", "--camera", "0"], "one source, please"),
        (["--camera", "0", "--lifter", "nosuch"], "nosuch"),
        (["--camera", "0", "--publish", "tcp://0.0.0.0:5570", "--no-view"], "this machine only"),
        (["--camera", "0", "--no-view", "--save", "/proc/none/o.npz"], "cannot write /proc/none/o.npz"),
        (["train"], "train what?"),
        (["eval", "nonsense"], "eval what?"),
        (["replay", "nosuch.mp4"], "nosuch.mp4 does not exist"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "nosuch" not in words:
        monkeypatch.setattr(options, "find_weights", lambda model: Path(model))
    if words[0] in ("train", "eval"):
        monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: True)
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_command_without_its_packages_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["train", "lifter"]) == 2
    assert "pip install 'posestream[train]'" in capsys.readouterr().err


def test_a_bug_is_one_line_unless_debug(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, words: list[str]) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cli, "dispatch", broken)
    assert cli.main(["clip.mp4"]) == 1
    assert capsys.readouterr().err == "posestream: ZeroDivisionError: oops (this is a bug; --debug shows where)\n"
    assert cli.main(["clip.mp4", "--debug"]) == 1
    assert "in broken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "kind"),
    [("rtsp://x/y", "stream"), ("http://x/y.mp4", "stream"), ("/dev/video3", "camera"), (".", "images")],
)
def test_a_source_is_known_by_its_name(target: str, kind: str) -> None:
    assert run.source_of(target).kind == kind


def test_file_urls_and_files_are_files(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.touch()
    assert run.source_of(f"file://{clip}", real_time=True).target == str(clip)
    assert run.source_of(str(clip), real_time=True).real_time


def jobs(*words: str) -> list[replay.Job]:
    return replay._jobs(replay._parser().parse_args(list(words)))


def test_where_results_go(tmp_path: Path) -> None:
    assert jobs("x/clip.mp4")[0].save == Path("clip.npz")
    assert jobs("clip.mp4", "--save", "o.npz")[0].save == Path("o.npz")
    assert jobs("clip.mp4", "--save", str(tmp_path))[0].save == tmp_path / "clip.npz"
    many = jobs("a/clip.mp4", "b/clip.mp4", "pics/", "--save", "out", "--save-video", "vid")
    assert [j.save for j in many] == [Path("out/clip.npz"), Path("out/clip-2.npz"), Path("out/pics.npz")]
    assert many[1].video == Path("vid/clip-2.mp4")
    with pytest.raises(UsageError, match="cannot share"):
        jobs("a.mp4", "b.mp4", "--save", "o.npz")


def test_outputs_are_checked_before_anything_starts(tmp_path: Path) -> None:
    options.check_writable(tmp_path / "new" / "o.npz")
    assert (tmp_path / "new").is_dir()
    with pytest.raises(OutputError, match="it is a folder") as caught:
        options.check_writable(tmp_path)
    assert caught.value.exit_code == 2


def test_the_fingerprint_changes_with_what_changes_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"weights")
    monkeypatch.setattr(replay, "find_weights", lambda name: model)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"a" * 100)
    args = replay._parser().parse_args([str(clip)])
    models, pose = replay.ModelConfig(), replay.pose_of(args)

    def mark(**changes: object) -> str:
        changed = replay._parser().parse_args([str(clip), *[f"--{k}={v}" for k, v in changes.items()]])
        return replay.fingerprint(run.source_of(str(clip)), models, replay.pose_of(changed))

    first = mark()
    assert mark() == first
    assert replay.fingerprint(run.source_of(str(clip)), models, pose) == first
    assert mark(focal=900) != first
    clip.write_bytes(b"b" * 100)
    second = mark()
    assert second != first
    model.write_bytes(b"better weights")
    assert mark() != second


def test_a_replay_waits_and_a_live_run_does_not() -> None:
    assert Policy.EVERY.value == "every"
    with pytest.raises(PipelineError, match="cannot be replayed"):
        replay._replay(
            replay.Job("/dev/video0", None, None), replay._parser().parse_args(["x"]), replay.ModelConfig(),
            replay.PoseConfig(), None,  # type: ignore[arg-type]
        )  # fmt: skip
