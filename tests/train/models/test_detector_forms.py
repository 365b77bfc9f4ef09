"""Every form of the detector: the streaming graph answers what the training graph answers, and is exported with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from engines.runtime import open_engine
from train.deliver.export import export_model
from train.models.detector import Detector, DetectorConfig, Look
from train.models.family import FAMILY, build_detector
from train.models.memory import MemoryConfig, remember
from train.models.reader import Calibration, Joints
from train.models.resnet import ResNet, load_imagenet
from train.models.streaming import DetectorStep
from train.models.tce import TceCell

WH = (64, 96)
KINDS = {
    "none": MemoryConfig(aggregation="none"),
    "sum": MemoryConfig(aggregation="sum", neighbours=2),
    "sum-both-ways": MemoryConfig(aggregation="sum", windowed=True, bidirectional=True, neighbours=1),
    "carried": MemoryConfig(neighbours=2),
    "window": MemoryConfig(windowed=True, neighbours=2),
    "window-alone": MemoryConfig(windowed=True, neighbours=0),
    "window-stride": MemoryConfig(windowed=True, neighbours=2, stride=2),
    "thesis-offsets": MemoryConfig(windowed=True, neighbours=2, see_input=False),
    "carried-look-ahead": MemoryConfig(bidirectional=True, neighbours=2),
    "both-ways": MemoryConfig(windowed=True, bidirectional=True, neighbours=1, stride=2),
    "multi-scale": MemoryConfig(multi_scale=True),
    "paper": MemoryConfig(multi_scale=True, windowed=True, bidirectional=True, neighbours=2),
}


class Tiny(Detector):
    """One convolution for an encoder, one for a decoder, and something that goes past the memory."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config, torch.nn.Conv2d(3, 6, 16, 16), 6, 16)
        self.skip_shapes = ((6, *self.grid_hw),)
        self.maps = torch.nn.Conv2d(self.enhanced + 6, 34, 1)

    def look(self, crops: torch.Tensor) -> Look:
        features = self.encoder(crops.permute(0, 3, 1, 2) / 64 - 2)
        return Look((features,), self.scales(features))

    def answer(self, skips: tuple[torch.Tensor, ...], enhanced: torch.Tensor) -> Joints:
        maps = F.interpolate(self.maps(torch.cat([enhanced, *skips], 1)), scale_factor=4.0)
        return Joints(maps[:, :17], *self.reader(maps[:, :17], maps[:, 17:]))


def make(memory: MemoryConfig, encoder: str = "", **more) -> Detector:
    """A small network whose parts that start at zero have been woken up."""
    torch.manual_seed(3)
    config = DetectorConfig(WH, encoder, channels=8, deconv=8, memory=memory, **more)
    net = (build_detector(config) if encoder else Tiny(config)).eval()
    for name, parameter in net.named_parameters():
        if name.endswith(("offset.weight", "tell.weight", "coarse.out.weight")):
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def clip(frames: int, people: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (people, frames, WH[1], WH[0], 3), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def stream(net: Detector, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Go through (B, T, H, W, 3) frame by frame, from states full of rubbish; xy (B, T, 17, 2), score (B, T, 17)."""
    step, last = DetectorStep(net), crops.shape[1] - 1
    states = [torch.full((len(crops), *(int(n) for n in s.shape[1:])), float("nan")) for s in step.states()]
    found = []
    for t in range(last + 1 + step.look_ahead):
        keep = [torch.full((len(crops),), float(t > 0))] if states else []
        (*answer,) = step(crops[:, min(t, last)], *keep, *states)
        states = answer[2:]
        found.append(answer[:2])
    xy, score = (torch.stack(column, 1)[:, step.look_ahead :] for column in zip(*found, strict=True))
    return xy, score


@pytest.mark.parametrize(("kind", "encoder"), [*((k, "") for k in KINDS), ("paper", "mnv2"), ("paper", "resnet18")])
def test_streaming_equals_the_training_graph(kind, encoder):
    net, crops = make(KINDS[kind], encoder), clip(5, people=2)
    with torch.no_grad():
        whole = net(crops)
    xy, score = stream(net, crops)
    torch.testing.assert_close(xy, whole.xy.unflatten(0, (2, 5)), atol=1e-3, rtol=0)
    torch.testing.assert_close(score, whole.score_logit.sigmoid().unflatten(0, (2, 5)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["window-stride", "carried-look-ahead", "both-ways"])
def test_somebody_new_in_a_row_starts_afresh_and_the_others_go_on(kind):
    net, crops = make(KINDS[kind]), clip(9, people=2)
    step = DetectorStep(net).eval()
    states = [torch.zeros(2, *(int(n) for n in s.shape[1:])) for s in step.states()]
    found = []
    with torch.no_grad():
        for t in range(9):
            xy, _, *states = step(crops[:, t], torch.tensor([float(t > 0), float(t not in (0, 3))]), *states)
            found.append(xy)
        first, second = net(crops[:1]).xy, net(crops[1:, 3:]).xy
    for t in range(9 - 2 * step.look_ahead):
        torch.testing.assert_close(found[t + step.look_ahead][0], first[t], atol=1e-3, rtol=0)
    for t in range(6 - 2 * step.look_ahead):
        torch.testing.assert_close(found[3 + t + step.look_ahead][1], second[t], atol=1e-3, rtol=0)


def test_what_each_form_can_see():
    frames, t = clip(6), 3
    reach = {"none": (0, 0), "carried": (3, 0), "window": (2, 0), "window-alone": (0, 0), "window-stride": (3, 0)}
    reach |= {"carried-look-ahead": (3, 2), "both-ways": (2, 2)}
    for kind, (back, ahead) in reach.items():
        net = make(KINDS[kind])
        with torch.no_grad():
            before = net(frames).logits[t]
            for other in range(6):
                poked = frames.clone()
                poked[:, other] = clip(1, seed=9)[:, 0]
                seen = not torch.equal(net(poked).logits[t], before)
                wanted = -back <= other - t <= ahead
                if kind == "window-stride":  # the first frame stands for those before it
                    wanted = other in (0, 1, 3)
                if kind == "both-ways":
                    wanted = other in (1, 3, 5)
                assert seen == wanted, f"{kind}: frame {other} from frame {t}"


def test_the_same_weights_in_every_form():
    net, crops = make(MemoryConfig(neighbours=8)), clip(4)
    windowed = net.in_form(windowed=True)
    with torch.no_grad():
        # a window that reaches past the beginning starts with the first frame again and again: not the same
        assert not torch.allclose(net(crops).logits, windowed(crops).logits)
        alone = net.in_form(windowed=True, neighbours=0)
        assert torch.allclose(alone(crops).logits[0], net(crops).logits[0], atol=1e-4)
    assert windowed.tce is net.tce
    assert not net.config.memory.windowed
    with pytest.raises(ValueError, match="aggregation"):
        net.in_form(aggregation="sum")


def test_the_cached_input_side_changes_nothing():
    torch.manual_seed(0)
    for see_input, gated in ((True, True), (False, True), (True, False)):
        cell = TceCell(3, (4, 4), see_input, gated)
        torch.nn.init.normal_(cell.offset.weight)
        x, state = torch.randn(2, 3, 4, 4), tuple(torch.randn(2, 3, 4, 4) for _ in cell.state_channels)
        seen = cell.see(x)
        assert seen.shape[1] == cell.seen_channels
        for a, b in zip(cell.step(x, state, 0.5), cell.step(x, state, 0.5, seen), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_the_sum_is_a_mean_over_the_window():
    cell = TceCell(2, (3, 3), see_input=False, gated=False)  # offsets are zero
    x = torch.randn(1, 4, 2, 3, 3)
    out = remember(cell, MemoryConfig(aggregation="sum", windowed=True, neighbours=2), x)
    torch.testing.assert_close(out[:, 3], x[:, 1:4].mean(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["none", "carried", "both-ways"])
def test_each_form_is_exported_with_its_state(tmp_path, kind):
    net = make(KINDS[kind])
    levels = torch.linspace(0, 1, 5).expand(17, 5) ** 2
    step = DetectorStep(net, Calibration(torch.ones(17), torch.zeros(17), levels)).eval()
    spec = step.spec("detector-test", {})
    assert export_model(step, step.example_inputs(), spec, tmp_path / "d.onnx", True, tolerance=0.05) < 0.05
    engine, crops = open_engine(tmp_path / "d.onnx", "ort"), clip(3)
    assert engine.spec.settings.get("look_ahead_frames", 0) == step.look_ahead
    keys, xy = (["me"] if spec.states else []), []
    for t in range(3 + step.look_ahead):
        xy.append(engine.run({"crops": crops[:, min(t, 2)].numpy()}, keys)["xy"])
    with torch.no_grad():
        np.testing.assert_allclose(np.concatenate(xy[step.look_ahead :]), net(crops).xy.numpy(), atol=0.02)


@pytest.mark.parametrize("encoder", ["mnv2", "resnet18"])
def test_crops_are_made_numbers_before_anything_else_is_done_to_them(tmp_path, encoder):
    """TensorRT refuses a Transpose of uint8."""
    step = DetectorStep(make(KINDS["none"], encoder)).eval()
    export_model(step, step.example_inputs(), step.spec("detector-test", {}), tmp_path / "d.onnx", True, tolerance=0.05)
    nodes = onnx.load(tmp_path / "d.onnx").graph.node
    assert {n.op_type for n in nodes if "crops" in n.input} == {"Cast"}


def test_regression_needs_no_heatmaps():
    net = make(KINDS["window"], "resnet18", head="regression")
    with torch.no_grad():
        joints = net(clip(2))
    assert joints.logits is None
    assert joints.xy.shape == (2, 17, 2)
    assert (joints.xy.mean((0, 1)) - torch.tensor([32.0, 48.0])).abs().max() < 20
    with pytest.raises(ValueError, match="heatmaps"):
        make(KINDS["none"], "mnv2", head="regression")


def test_calibration_bends_scores_and_leaves_them_alone_when_straight():
    logits = torch.linspace(-4, 4, 34).view(2, 17)
    straight = Calibration(torch.ones(17), torch.zeros(17), torch.linspace(0, 1, 11).expand(17, 11))
    torch.testing.assert_close(straight(logits), logits.sigmoid(), atol=1e-6, rtol=0)
    steps = Calibration(torch.ones(17), torch.zeros(17), torch.tensor([0.1, 0.1, 0.9]).expand(17, 3))
    torch.testing.assert_close(steps(torch.full((1, 17), 0.0)), torch.full((1, 17), 0.1))
    torch.testing.assert_close(steps(torch.full((1, 17), 20.0)), torch.full((1, 17), 0.9))


def test_sizes_of_the_family():
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in build_detector(c).parameters()) / 1e6 for name, c in FAMILY.items()}
        paper = build_detector(FAMILY["r50-tce512"])
    assert 2.5 < sizes["mnv2-tce64"] < 2.9
    assert sizes["mnv2-tce64"] < sizes["mnv2-tce128"] < 5
    assert 11 < sizes["r18-tce128"] < 16
    assert 110 < sizes["r50-tce512"] < 125
    assert paper.enhanced == 2048
    assert paper.grid_hw == (8, 8)


def test_a_frozen_resnet_keeps_its_means_and_loads_torchvisions_names(tmp_path):
    net = ResNet("resnet18").requires_grad_(False).train()
    assert not net.bn1.training
    assert ResNet("resnet18").train().bn1.training
    state = {**net.state_dict(), "fc.weight": torch.zeros(3), "bn1.bias": torch.full((64,), 7.0)}
    torch.save(state, tmp_path / "r18.pt")
    assert load_imagenet(ResNet("resnet18"), tmp_path / "r18.pt").bn1.bias[0] == 7
    names = {n.rsplit(".", 1)[0] for n in state}
    assert {"layer1.0.conv1", "layer2.0.downsample.0", "layer4.1.bn2"} <= names


def test_memory_configs_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="stride"):
        MemoryConfig(stride=2)
    with pytest.raises(ValueError, match="none, sum, lstm"):
        MemoryConfig(aggregation="mean")
    assert replace(MemoryConfig(), windowed=True, stride=3).reach == 18
