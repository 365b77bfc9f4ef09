"""The hierarchical dictionary, orthographic views, and non-rigid structure from motion on a made-up body."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from engines.measure.metrics3d import p_mpjpe_mm
from train.methods.dictionary import FreeShapes, HierarchicalDictionary, shrunk
from train.methods.nrsfm import Nrsfm, nrsfm_losses
from train.methods.orthographic import (
    Factors,
    frobenius,
    normalised_pose,
    reprojection_loss,
    rotation_matrix,
)
from train.methods.viewpoint import mirrored_depth

OMEGAS = [(0, 0, 0), (1e-9, 0, 0), (0.02, -0.01, 0.015), (0.03, 0.01, 0), (0.1, 0.2, -0.3), (2, -1, 2), (0, 3.14159, 0)]


@pytest.mark.parametrize("omega", OMEGAS)
def test_exponential_coordinates_agree_with_opencv(omega: tuple[float, ...]) -> None:
    ours = rotation_matrix(torch.tensor(omega, dtype=torch.float32))
    assert np.allclose(ours.numpy(), cv2.Rodrigues(np.array(omega, np.float64))[0], atol=2e-6)
    assert torch.allclose(ours @ ours.T, torch.eye(3), atol=2e-6)


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-4, 0.0316, 0.0317, 1.0, 4.0])
def test_rotation_gradient_is_that_of_differences(size: float) -> None:
    omega = (torch.tensor([0.6, -0.48, 0.64], dtype=torch.float64) * size).requires_grad_()
    assert torch.autograd.gradcheck(rotation_matrix, omega, eps=1e-7, atol=1e-6)


def test_rotation_gradient_is_finite_at_zero_in_float32() -> None:
    omega = torch.zeros(2, 3, requires_grad=True)
    (rotation_matrix(omega) ** 3).sum().backward()
    assert torch.isfinite(omega.grad).all()
    assert torch.equal(rotation_matrix(torch.zeros(3)), torch.eye(3))


def test_projection_drops_the_depth_of_the_turned_pose() -> None:
    factors = _factors(5)
    assert torch.allclose(factors.projection, factors.pose[..., :2], atol=1e-6)
    quarter = Factors(
        torch.tensor([[[1.0, 2, 3]]]), rotation_matrix(torch.tensor([[0, torch.pi / 2, 0]])), torch.ones(1, 1)
    )
    assert torch.allclose(quarter.pose, torch.tensor([[[-3.0, 2, 1]]]), atol=1e-5)  # rows: Y R, not R Y
    assert torch.allclose(quarter.projection, torch.tensor([[[-3.0, 2]]]), atol=1e-5)


def test_reprojection_loss_is_the_norm_of_the_matrix() -> None:
    factors = _factors(2)
    assert reprojection_loss(factors, factors.projection) < 1e-4
    off = torch.zeros(2, 17, 2)
    off[0, 3] = torch.tensor([3.0, 4.0])
    assert reprojection_loss(factors, factors.projection + off) == pytest.approx(2.5, abs=1e-4)
    still = torch.zeros(1, 17, 2, requires_grad=True)
    frobenius(still).backward()
    assert torch.isfinite(still.grad).all()


def test_normalised_pose_has_the_pelvis_at_0_and_mean_distance_1() -> None:
    xy = torch.randn(3, 4, 17, 2) * 50 + 300
    pose, size = normalised_pose(xy)
    assert (pose[..., 0, :] == 0).all()
    assert torch.allclose(pose.norm(dim=-1).mean(-1), torch.ones(3, 4))
    assert torch.allclose(pose * size + xy[..., :1, :], xy, atol=1e-3)
    assert torch.isfinite(normalised_pose(torch.ones(1, 17, 2))[0]).all()


def test_decoder_is_equation_4_6() -> None:
    dictionary = _random_dictionary((7, 5, 3))
    code = torch.rand(4, 3)
    low = torch.relu(code @ dictionary.upper[1].T - dictionary.thresholds[1])
    low = torch.relu(low @ dictionary.upper[0].T - dictionary.thresholds[0])
    flat = dictionary.atoms.flatten(1).T  # D_1 (3P, K_1)
    assert torch.allclose(dictionary.decode(code), (low @ flat.T).unflatten(1, (17, 3)), atol=1e-5)


def test_one_level_is_the_plain_dictionary_and_no_dictionary_is_the_pose() -> None:
    dictionary = _random_dictionary((4,))
    code = torch.randn(2, 4)
    assert torch.allclose(dictionary.decode(code), torch.einsum("bk,kpc->bpc", code, dictionary.atoms), atol=1e-6)
    pose = torch.randn(2, 17, 3)
    assert torch.equal(FreeShapes().decode(pose.flatten(1)), pose)
    for sizes in ((), (5, 0)):
        with pytest.raises(ValueError, match="levels"):
            HierarchicalDictionary(sizes)


def test_encoder_is_equation_4_5_with_kronecker_products() -> None:
    dictionary = _random_dictionary((6, 4))
    biases = nn.ParameterList([torch.rand(6), torch.rand(4)])
    xy = torch.randn(2, 17, 2)
    reshaped = dictionary.atoms.permute(1, 0, 2).reshape(17, 18)  # D_1# (P, 3 K_1)
    spread = [bias.repeat_interleave(3)[:, None] for bias in biases]
    psi = torch.relu(reshaped.T @ xy - spread[0])
    psi = torch.relu(torch.kron(dictionary.upper[0], torch.eye(3)).T @ psi - spread[1])
    found = dictionary.analyse(xy, biases, "relu")
    assert torch.allclose(found.flatten(1, 2), psi, atol=1e-5)


def test_block_threshold_keeps_signs_and_kills_whole_blocks() -> None:
    blocks = torch.randn(3, 2, 3, 2)
    bias = torch.tensor([0.5, 100.0])
    out = shrunk(blocks, bias, "block")
    length = blocks[:, 0].norm(dim=(-1, -2), keepdim=True)
    assert torch.allclose(out[:, 0], blocks[:, 0] * (1 - 0.5 / length).clamp(min=0), atol=1e-5)
    assert (out[:, 1] == 0).all()
    assert (shrunk(blocks, bias, "relu") >= 0).all()


def test_structure_from_motion_recovers_a_made_up_set_from_2d_alone() -> None:
    """Bodies of rank 2 seen from many sides: the shape found is far better than the flat one that 2D shows."""
    torch.manual_seed(2)
    pose, xy = _low_rank_views(256)
    model = Nrsfm(HierarchicalDictionary((16, 4)), "block", hidden=32)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(200):
        optimiser.zero_grad()
        loss = nrsfm_losses(model, {"xy": xy})["reprojection"]
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = model(xy).pose
    ours = min(p_mpjpe_mm(y.numpy(), pose.numpy()) for y in (found, mirrored_depth(found)))
    flat = p_mpjpe_mm(torch.cat([xy, torch.zeros_like(xy[..., :1])], -1).numpy(), pose.numpy())
    assert ours < 0.2 * flat


def _factors(count: int) -> Factors:
    return Factors(torch.randn(count, 17, 3), rotation_matrix(torch.randn(count, 3)), torch.rand(count, 4))


def _random_dictionary(sizes: tuple[int, ...]) -> HierarchicalDictionary:
    dictionary = HierarchicalDictionary(sizes)
    for threshold in dictionary.thresholds:
        nn.init.uniform_(threshold, 0, 0.3)
    return dictionary.requires_grad_(False)


def _low_rank_views(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    shapes = torch.randn(2, 17, 3)
    shapes[:, 0] = 0
    canonical = torch.einsum("bk,kpc->bpc", torch.rand(count, 2) + 0.2, shapes)
    omega = torch.stack([0.2 * torch.randn(count), 2 * torch.rand(count) - 1, 0.2 * torch.randn(count)], -1)
    pose = canonical @ rotation_matrix(omega)
    xy, size = normalised_pose(pose[..., :2])
    return pose / size, xy
