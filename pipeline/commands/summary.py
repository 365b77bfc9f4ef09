"""What a run did, in figures: made of the stages' last statuses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config import RunConfig
from pipeline.messages import StageStatus
from pipeline.processes.outcome import Outcome
from pipeline.sources.redact import redact


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a run.

    Attributes:
        exit_code: Of the command.
        failure: Stage and cause, if it failed.
        source: What the source is.
        frames: "decoded", "processed", "dropped", "with_people".
        fps: Processed frames per second, first to last.
        latency_ms: p50, p95, p99 from capture to skeleton. In a replay frames wait in line: not a latency.
        first_skeleton_s: From the command's start to its first result.
        cpu_ms_per_frame: Of all processes together, after loading.
        stages: By name: p50, p95, p99 ms in the stage, frames in and out, drops, CPU seconds, MiB, restarts.
        models: By kind: name, precision, hash, backend.
        outputs: What was written or published.
    """

    exit_code: int
    failure: dict[str, str] | None
    source: dict[str, Any]
    frames: dict[str, int]
    fps: float
    latency_ms: dict[str, float]
    first_skeleton_s: float
    cpu_ms_per_frame: float
    stages: dict[str, dict[str, Any]]
    models: dict[str, dict[str, str]]
    outputs: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def text(self) -> str:
        """Return it for people."""
        lines = [self._frames_line(), self._speed_line(), ""]
        lines.append(f"{'stage':10}{'p50 ms':>8}{'p95 ms':>8}{'frames':>8}{'CPU s':>8}{'MiB':>7}")
        for name, s in self.stages.items():
            restarts = f"  restarted {s['restarts']}x" if s["restarts"] else ""
            lines.append(
                f"{name:10}{s['p50']:8.2f}{s['p95']:8.2f}{s['frames_in']:8d}{s['cpu_s']:8.2f}{s['rss_mb']:7.0f}{restarts}"
            )
        lines.append("")
        for kind, m in self.models.items():
            lines.append(f"{kind:10}{m['name']} ({m.get('precision', '')}, {m['sha256'][:8]})")
        lines += [f"{'backend':10}{name}" for name in sorted({m["backend"] for m in self.models.values()})]
        lines += [f"{name:10}{where}" for name, where in self.outputs.items()]
        return "\n".join(lines) + "\n"

    def _frames_line(self) -> str:
        f = self.frames
        return (
            f"{f['decoded']} frames from {self.source.get('source', 'the source')}: {f['processed']} processed, "
            f"{f['dropped']} dropped, people in {f['with_people']}"
        )

    def _speed_line(self) -> str:
        latency = ""
        if self.latency_ms:
            p50, p95, p99 = (self.latency_ms[key] for key in ("p50", "p95", "p99"))
            latency = f", capture to skeleton {p50:.0f} ms (p95 {p95:.0f}, p99 {p99:.0f})"
        return (
            f"{self.fps:.1f} frames/s{latency}, {self.cpu_ms_per_frame:.1f} ms CPU per frame, "
            f"first skeleton after {self.first_skeleton_s:.1f} s"
        )


def summarise(run: RunConfig, outcome: Outcome, supervisor_cpu_s: float) -> Summary:
    """Make the summary of a run.

    Args:
        run: The run.
        outcome: How it went.
        supervisor_cpu_s: CPU time of this process meanwhile.
    """
    attempts = outcome.statuses
    lift = attempts.get("lift", [])
    processed = sum(s.frames_out for s in lift)
    decoded = 1 + max((_run(s).get("last_seq", -1) for all_of in attempts.values() for s in all_of), default=-1)
    cpu_s = supervisor_cpu_s + sum(_run(s).get("cpu_s", 0.0) for all_of in attempts.values() for s in all_of)
    times = [t for s in lift for t in (_run(s).get("first_ns", 0), _run(s).get("last_ns", 0)) if t]
    seconds = (max(times) - min(times)) / 1e9 if times else 0.0
    failure = outcome.failure
    latency = _run(lift[-1]).get("latency_ms", {}) if lift else {}
    return Summary(
        exit_code=outcome.exit_code,
        failure={"stage": failure.stage, "cause": failure.cause} if failure else None,
        source=_source(attempts.get("decode", []), run),
        frames={
            "decoded": decoded,
            "processed": processed,
            "dropped": max(0, decoded - processed),
            "with_people": sum(_run(s).get("people_frames", 0) for s in lift),
        },
        fps=round((processed - 1) / seconds, 2) if seconds > 0 else 0.0,
        latency_ms=latency if run.live else {},
        first_skeleton_s=round((min(times) - outcome.started_ns) / 1e9, 3) if times else 0.0,
        cpu_ms_per_frame=round(cpu_s * 1e3 / processed, 3) if processed else 0.0,
        stages={name: _stage(all_of) for name, all_of in attempts.items()},
        models={k: m for all_of in attempts.values() for s in all_of for k, m in s.facts.get("models", {}).items()},
        outputs=_outputs(run),
    )


def _run(status: StageStatus) -> dict[str, Any]:
    return status.facts.get("run", {})  # type: ignore[no-any-return]


def _stage(all_of: list[StageStatus]) -> dict[str, Any]:
    last = _run(all_of[-1])
    return {
        **last.get("stage_ms", {"p50": 0.0, "p95": 0.0, "p99": 0.0}),
        "frames_in": sum(s.frames_in for s in all_of),
        "frames_out": sum(s.frames_out for s in all_of),
        "dropped": sum(s.dropped for s in all_of),
        "cpu_s": round(sum(_run(s).get("cpu_s", 0.0) for s in all_of), 3),
        "rss_mb": last.get("rss_mb", 0.0),
        "restarts": len(all_of) - 1,
    }


def _source(decode: list[StageStatus], run: RunConfig) -> dict[str, Any]:
    known = next((s.facts for s in reversed(decode) if "source" in s.facts), {"source": redact(run.source.target)})
    return {key: value for key, value in known.items() if key not in ("run", "hint", "permanent", "exit_code")}


def _outputs(run: RunConfig) -> dict[str, str]:
    out = run.output
    told = {"results": out.save, "video": out.save_video, "published": out.publish}
    return {name: str(where) for name, where in told.items() if where is not None}
