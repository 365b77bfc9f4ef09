"""MobileNetV2 and MoveNet's path: shapes, padding, and loading weights by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from train.data.people.teacher import MoveNet
from train.models.mobilenet import CHANNELS, WILD, Conv, MobileNetV2, load_movenet, normalise


def weight_file(path, wild=()):
    """Write random weights in the layout of MoveNet's file; return the arrays."""
    torch.manual_seed(0)
    arrays = {k: v.numpy().astype(np.float16) for k, v in MoveNet().state_dict().items()}
    for name, channel in wild:
        arrays[name][channel] = 2 * WILD
    np.savez(path, **arrays, notice=np.array("made for a test"))
    return arrays


def test_features_have_the_promised_strides_and_channels():
    features = MobileNetV2()(torch.zeros(1, 3, 64, 96))
    strides = {"s4": 4, "s8": 8, "s16": 16, "s16_96": 16, "s32": 32, "s32_1280": 32}
    assert {k: tuple(v.shape[1:]) for k, v in features.items()} == {
        k: (CHANNELS[k], 64 // s, 96 // s) for k, s in strides.items()
    }


def test_without_its_top_there_are_no_1280_channels():
    net = MobileNetV2(top=False)
    assert "s32_1280" not in net(torch.zeros(1, 3, 32, 32))
    assert not any(name.startswith("head") for name in net.state_dict())


def test_stride_two_pads_only_the_far_side():
    torch.manual_seed(1)
    conv, x = Conv(3, 4, 3, stride=2), torch.randn(1, 3, 8, 8)
    first = F.conv2d(x[:, :, :3, :3], conv.weight, conv.bias)[0, :, 0, 0]  # starts at the first pixel, not one before
    torch.testing.assert_close(conv(x)[0, :, 0, 0], first)
    assert conv(x).shape == (1, 4, 4, 4)


def test_loading_fills_every_parameter_and_tames_wild_filters(tmp_path):
    arrays = weight_file(tmp_path / "w.npz", wild=[("block03.depthwise.weight", 5)])
    net = load_movenet(MobileNetV2(), tmp_path / "w.npz")
    assert not net.block03.depthwise.weight[5].any()
    np.testing.assert_allclose(net.block03.depthwise.weight[4].detach(), arrays["block03.depthwise.weight"][4])
    np.testing.assert_allclose(net.head.bias.detach(), arrays["head.bias"])
    untamed = load_movenet(MobileNetV2(), tmp_path / "w.npz", tame=False)
    assert float(untamed.block03.depthwise.weight[5].max()) == 2 * WILD


def test_a_file_that_lacks_a_layer_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", nothing=np.zeros(1))
    with pytest.raises(KeyError):
        load_movenet(MobileNetV2(), tmp_path / "w.npz")


def test_normalise_maps_bytes_to_minus_one_and_one():
    rgb = torch.tensor([0, 255], dtype=torch.uint8)
    assert normalise(rgb).tolist() == [-1.0, 1.0]
