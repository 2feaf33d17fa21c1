"""The paper's measures against an independent formulation in PyTorch, and where they end."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from hyperstyle_deploy.runtime.quality.metrics import LEAST_SIDE, WEIGHTS, l2, ms_ssim, paper_input

DATA = Path(__file__).parents[2] / "data"
FACE = np.asarray(Image.open(DATA / "faces.png").convert("RGB"))


def reference(result: np.ndarray, original: np.ndarray) -> float:
    """MS-SSIM as a two-dimensional convolution a channel, by the definition, with the script's dynamic range."""
    x, y = (torch.from_numpy(image).double()[:, None] for image in (result, original))
    line = torch.tensor([math.exp(-(d**2) / 4.5) for d in range(-5, 6)], dtype=torch.float64)
    window = torch.outer(line, line)[None, None] / line.sum() ** 2
    terms = []
    for _ in WEIGHTS:
        value_range = (255 if x.max() > 128 else 1) - (-1 if x.min() < -0.5 else 0)
        mx, my = F.conv2d(x, window), F.conv2d(y, window)
        vx, vy = F.conv2d(x**2, window) - mx**2, F.conv2d(y**2, window) - my**2
        cov = F.conv2d(x * y, window) - mx * my
        c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
        contrast = (2 * cov + c2) / (vx + vy + c2)
        full = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        terms.append((full.mean(), contrast.mean()))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    values = torch.stack([*(contrast for _, contrast in terms[:-1]), terms[-1][0]])
    return float(torch.prod(values ** torch.tensor(WEIGHTS, dtype=torch.float64)))


def images(height: int, width: int, noise: float, dark: bool = False) -> tuple[np.ndarray, np.ndarray]:
    picture = np.asarray(Image.fromarray(FACE).resize((width, height)), np.float32).transpose(2, 0, 1) / 127.5 - 1
    picture = np.ascontiguousarray(np.abs(picture) if dark else picture)
    generate = np.random.default_rng(0)
    return picture + noise * generate.standard_normal(picture.shape, np.float32), picture


@pytest.mark.parametrize(
    ("height", "width", "noise", "dark"),
    [(256, 256, 0.1, False), (256, 256, 0.02, True), (176, 301, 0.3, False), (333, 177, 0.05, True)],
)
def test_ms_ssim_is_the_scripts(height: int, width: int, noise: float, dark: bool) -> None:
    result, original = images(height, width, noise, dark)
    want = reference(result, original)
    assert 0.2 < want < 0.9999
    assert ms_ssim(result, original) == pytest.approx(want, abs=1e-9)


def test_the_range_is_guessed_from_the_result() -> None:
    result, original = images(256, 256, 0.1)
    assert ms_ssim(result, np.abs(original)) != pytest.approx(ms_ssim(np.abs(original), result), abs=1e-4)


def test_equal_images_are_perfect_and_opposite_ones_have_no_value() -> None:
    _, original = images(256, 256, 0.0)
    assert ms_ssim(original, original) == pytest.approx(1.0, abs=1e-12)
    assert l2(original, original) == 0
    assert math.isnan(ms_ssim(-original, original))
    assert math.isnan(reference(-original, original))
    assert math.isnan(ms_ssim(np.full_like(original, np.nan), original))


def test_l2_is_the_mean_squared_error_over_the_networks_range() -> None:
    result, original = images(256, 256, 0.1)
    want = float(F.mse_loss(torch.from_numpy(result), torch.from_numpy(original)))
    assert l2(result, original) == pytest.approx(want, rel=1e-5)


def test_pictures_are_squeezed_to_256_by_pillow() -> None:
    picture = Image.fromarray(FACE).resize((301, 199))
    want = np.asarray(picture.resize((256, 256), Image.Resampling.BILINEAR), np.float32) / 127.5 - 1
    found = paper_input(picture)
    assert found.shape == (3, 256, 256)
    np.testing.assert_allclose(found, want.transpose(2, 0, 1), atol=1e-6)


def test_too_small_an_image_is_no_silent_number() -> None:
    with pytest.raises(AssertionError):
        ms_ssim(np.zeros((3, LEAST_SIDE - 1, 256), np.float32), np.zeros((3, LEAST_SIDE - 1, 256), np.float32))
