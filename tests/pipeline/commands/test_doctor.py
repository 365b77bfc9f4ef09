"""posestream doctor: says what is there, what is missing, and what mends it; exit 0 if the base path works."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines import runtime
from engines.errors import EngineError
from pipeline.commands import doctor
from pipeline.commands.doctor import Check
from pipeline.sources import camera

ROOT = Path(__file__).parents[3]


def test_a_machine_that_works_passes_and_tells_in_json(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "doctor", "--json", str(tmp_path / "d.json")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = json.loads((tmp_path / "d.json").read_text())
    bad = [c for c in told["checks"] if c["state"] == "bad"]
    assert done.returncode == (1 if bad else 0), done.stderr
    assert told["ok"] is not bool(bad)
    names = {c["name"] for c in told["checks"]}
    assert {
        "Python",
        "processor",
        "numpy",
        "onnxruntime",
        "GPU",
        "TensorRT",
        "viewer",
        "cameras",
        "video codecs",
    } <= names
    for check in told["checks"]:
        assert check["name"] in done.stdout
        assert check["said"] in done.stdout
        assert check["state"] == "ok" or check["said"]
    models = [c for c in told["checks"] if c["name"].startswith("model ") and c["state"] == "ok"]
    assert all(len(c["facts"]["sha256"]) == 64 for c in models)


def test_json_alone_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Check("a", "ok", "fine")])
    assert doctor.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["said"] == "fine"


def test_one_bad_check_fails_and_is_marked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("a", "ok", "fine"), Check("b", "absent", "none"), Check("c", "bad", "broken", "mend it")]
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    assert doctor.main([]) == 1
    out = capsys.readouterr().out
    assert "BAD  c  broken" in out
    assert "-> mend it" in out
    assert "cannot run here" in out
    monkeypatch.setattr(doctor, "examine", lambda: checks[:2])
    assert doctor.main([]) == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'av'", name="av"), "does not load: No module named 'av'"),
        (OSError("libGL.so.1: cannot open shared object file"), "does not load: libGL.so.1"),
    ],
)
def test_a_package_that_does_not_load_is_bad(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(name: str, package: str | None = None) -> object:
        if name in ("av", "pyqtgraph"):
            raise error
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    by_name = {check.name: check for check in doctor.look_at_packages()}
    assert by_name["av"].state == "bad"
    assert said in by_name["av"].said
    assert by_name["av"].mend == "pip install av"
    assert by_name["pyqtgraph"].state == "absent"  # only the viewer needs it
    assert by_name["pyqtgraph"].mend == "pip install 'posestream[viewer]'"
    assert by_name["numpy"].state == "ok"


def test_a_package_that_is_missing_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", (("no-such-thing", "no_such_thing", ""), ("nor-this", "", "train")))
    needed, optional = doctor.look_at_packages()
    assert (needed.state, needed.said, needed.mend) == ("bad", "not installed", "pip install no-such-thing")
    assert (optional.state, optional.mend) == ("absent", "pip install 'posestream[train]'")


def test_a_broken_pyside_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", (("PySide6-Essentials", "", "viewer"),))
    monkeypatch.setattr(doctor, "_version", lambda name: "6.12.0")
    (check,) = doctor.look_at_packages()
    assert check.state == ("absent" if sys.version_info < (3, 12) else "ok")


def test_a_missing_or_damaged_model_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "finder-x.onnx").write_bytes(b"no model")
    monkeypatch.setattr(doctor, "WEIGHTS_DIR", tmp_path)
    monkeypatch.setattr(runtime, "WEIGHTS_DIR", tmp_path)
    checks = {check.name: check for check in doctor.look_at_models()}
    assert checks["model finder-x"].state == "absent"  # damaged, but no run needs it
    default = doctor.ModelConfig().detector
    assert checks[f"model {default}"].state == "bad"
    assert "no model file" in checks[f"model {default}"].said
    assert "pip install" in checks[f"model {default}"].mend


def test_cameras_are_listed_by_number_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "list_cameras", lambda: {2: "Desk Cam", 0: "Door Cam"})
    (check,) = doctor.look_at_cameras()
    assert (check.state, check.said) == ("ok", "0: Door Cam, 2: Desk Cam")
    monkeypatch.setattr(camera, "list_cameras", dict)
    (check,) = doctor.look_at_cameras()
    assert check.state == "absent"
    assert check.mend


def test_no_gpu_and_no_tensorrt_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise EngineError("not here; get it with: pip install it")

    monkeypatch.setattr("engines.device.cuda.Driver", gone)
    monkeypatch.setattr("engines.measure.readiness.find_tensorrt", gone)
    checks = {check.name: check for check in doctor.look_at_gpu()}
    assert checks["GPU"].state == checks["TensorRT"].state == "absent"
    assert checks["TensorRT"].mend == ""  # without a GPU there is nothing to install it for
    assert "CPUExecutionProvider" in checks["ONNX Runtime"].said


def test_a_run_folder_that_cannot_be_made_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: object) -> None:
        raise PermissionError(13, "Permission denied", "/tmp/x")

    monkeypatch.setattr("pipeline.processes.rundir.RunDir.__init__", denied)
    checks = {check.name: check for check in doctor.look_at_space()}
    assert checks["run folder"].state == "bad"
    assert "TMPDIR" in checks["run folder"].mend
    assert checks["disk here"].facts["free_mb"] > 0


def test_little_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOW_MB", 1 << 40)
    assert any(check.mend.startswith("make room") for check in doctor.look_at_space())
