"""The detector frame by frame, its state going in and out: the graph that is exported.

Every form of the memory (see `MemoryConfig`) has its streaming form here, which computes what the training graph does:

* carried: hidden map and memory of the frame before;
* windowed: a ring of the last frames' features, with the input sides of the gates (`TceCell.see`);
* bidirectional: the answer is that of the frame `look_ahead` calls ago. The ring of the frames since then gives the
  direction from the future; the hidden maps from the past, and what goes to the decoder directly, wait in rings too.

A window that reaches before the first frame has the first frame there. At the end of a clip a bidirectional model is
given the last frame `look_ahead` more times; its first `look_ahead` answers are of no frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engines.skeletons import H36M17
from engines.spec import PEOPLE, EngineSpec, StateSpec, TensorSpec
from train.models.detector import Detector
from train.models.memory import run_window
from train.models.reader import JOINTS, Calibration
from train.models.tce import State

CROP_SCALE = 1.25


def lined_up(keep: Tensor, ring: Tensor, new: Tensor) -> Tensor:
    """Put a frame's map (P, ...) behind the ring (P, L, ...) of those before; for new people the ring is full of it."""
    on = keep.view(-1, *(1,) * (ring.dim() - 1)) > 0.5
    return torch.cat([torch.where(on, ring, new[:, None]), new[:, None]], 1)


class DetectorStep(nn.Module):
    """One frame of a detector.

    Args:
        detector: In the form to be streamed.
        calibration: Of the scores; None = the sigmoid of their logits.
    """

    def __init__(self, detector: Detector, calibration: Calibration | None = None) -> None:
        super().__init__()
        self.detector, self.calibration = detector, calibration
        self.memory = detector.config.memory
        self.remembers = detector.tce is not None
        self.has_ring = self.remembers and (self.memory.windowed or self.memory.bidirectional)
        self.look_ahead = self.memory.reach if self.remembers and self.memory.bidirectional else 0

    def states(self) -> tuple[StateSpec, ...]:
        """Return what is carried from call to call."""
        detector, reach, shapes = self.detector, self.memory.reach, dict[str, tuple[int, ...]]()
        if self.remembers and not self.memory.windowed:
            for name, channels in zip(("hidden", "memory"), detector.tce.state_channels, strict=False):
                shapes[name] = (channels, *detector.grid_hw)
        if self.has_ring and reach:
            shapes["past"] = (reach, detector.tce.seen_channels, *detector.grid_hw)
        if self.look_ahead:
            shapes["waiting"] = (reach, detector.tce.channels, *detector.grid_hw)
            shapes |= {f"skip{i}": (reach, *shape) for i, shape in enumerate(detector.skip_shapes)}
        return tuple(StateSpec(f"{n}_in", f"{n}_out", (PEOPLE, *s), "float32") for n, s in shapes.items())

    def forward(self, crops: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Do one frame.

        Args:
            crops: (people, H, W, 3) uint8 RGB.
            rest: keep (people,) float32, 0 = ignore the states; then the states, in the order of `states`. Nothing
                where there are none.

        Returns:
            xy (people, 17, 2) in crop pixels, score (people, 17), the new states.
        """
        look = self.detector.look(crops)
        specs = self.states()
        keep, *states = rest or (look.x.new_zeros(()),)  # without states nothing asks for keep
        old = dict(zip((s.input[:-3] for s in specs), states, strict=True))
        skips, enhanced, new = self._remember(look.x, look.skips, keep, old)
        joints = self.detector.answer(skips, enhanced)
        score = self.calibration or torch.sigmoid
        return joints.xy, score(joints.score_logit), *(new[s.input[:-3]] for s in specs)

    def _remember(
        self, x: Tensor, skips: tuple[Tensor, ...], keep: Tensor, old: dict[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor, dict[str, Tensor]]:
        """Return the skips and the enhanced map of the frame that is answered, and the new states by name."""
        cell, new = self.detector.tce, dict[str, Tensor]()
        if cell is None:
            return skips, x, new
        line = x[:, None]
        if self.has_ring:
            seen = cell.see(x)
            line = lined_up(keep, old["past"], seen) if "past" in old else seen[:, None]
            new["past"] = line[:, 1:]
        if self.memory.windowed:
            state: State = run_window(cell, line[:, :: self.memory.stride].unbind(1))
        else:
            carried = tuple(old[name] for name in ("hidden", "memory") if name in old)
            state = cell(x, keep, carried, self.memory.gain)[1]
            new |= dict(zip(("hidden", "memory"), state, strict=False))
        hiddens = [state[0]]
        if self.memory.bidirectional:
            future = run_window(cell, line[:, :: self.memory.stride].flip(1).unbind(1))[0]
            x = cell.input_of(line[:, 0])
            (hidden, *skips), waiting = self._wait(keep, old, (state[0], *skips))
            hiddens, new = [hidden, future], new | waiting
        return tuple(skips), cell.enhance(x, hiddens), new

    def _wait(
        self, keep: Tensor, old: dict[str, Tensor], maps: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Put maps into their rings; return those of `look_ahead` frames ago and the new rings."""
        if not self.look_ahead:
            return list(maps), {}
        names = ["waiting", *(f"skip{i}" for i in range(len(maps) - 1))]
        lines = [lined_up(keep, old[name], new) for name, new in zip(names, maps, strict=True)]
        return [line[:, 0] for line in lines], {n: line[:, 1:] for n, line in zip(names, lines, strict=True)}

    def spec(self, name: str, provenance: dict[str, Any]) -> EngineSpec:
        """Return the metadata of the exported file."""
        width, height = self.detector.config.input_wh
        settings: dict[str, Any] = {"input_wh": [width, height], "crop_scale": CROP_SCALE}
        if self.look_ahead:
            settings["look_ahead_frames"] = self.look_ahead
        states = self.states()
        return EngineSpec(
            kind="detector",
            name=name,
            precision="fp32",
            inputs=(TensorSpec("crops", (PEOPLE, height, width, 3), "uint8", "RGB crops of one person each"),),
            outputs=(
                TensorSpec("xy", (PEOPLE, JOINTS, 2), "float32", "crop pixels, from the corner of the first"),
                TensorSpec("score", (PEOPLE, JOINTS), "float32", "probability that the joint is right, 0..1"),
            ),
            states=states,
            keep="keep" if states else "",
            skeleton=H36M17.name,
            settings=settings,
            provenance=provenance,
        )

    def example_inputs(self, people: int = 3, seed: int = 0) -> dict[str, Tensor]:
        """Return inputs for export and parity: random crops and states, the second person new."""
        generator = torch.Generator().manual_seed(seed)
        width, height = self.detector.config.input_wh
        crops = torch.randint(0, 256, (people, height, width, 3), generator=generator, dtype=torch.uint8)
        inputs = {"crops": crops}
        for number, spec in enumerate(self.states()):
            if number == 0:
                inputs["keep"] = (torch.arange(people) != 1).float()
            shape = (people, *(int(n) for n in spec.shape[1:]))
            inputs[spec.input] = torch.rand(shape, generator=generator) - 0.5
        return inputs
