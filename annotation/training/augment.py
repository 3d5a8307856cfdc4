"""What users' cameras, apps and hands do to photos, done to training views."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from annotation.small.pixels import Image

MAX_DEGREES = 15.0


@dataclass(frozen=True)
class Changes:
    """How far views are changed.

    `zoom`: scaled by up to e**zoom either way; `hidden`: the share of views in which
    something is held before a part.
    """

    zoom: float
    hidden: float = 0.0


@dataclass(frozen=True)
class Augmented:
    """A changed view and how much of its resolution is left, in (0, 1]."""

    image: Image
    resolution: float


def augment(
    image: Image, size: tuple[int, int], changes: Changes, rng: np.random.Generator
) -> Augmented:
    """Turn, shift, scale, flip, shrink, compress and tint to `size` (height, width)."""
    moved = _move(image, size, changes.zoom, rng)
    resolution = _resolution(rng)
    degraded = _compress(_shrink(moved, resolution), rng)
    tinted = _tint(degraded, rng)
    return Augmented(_hide(tinted, changes.hidden, rng), resolution)


def plain(image: Image, size: tuple[int, int]) -> Image:
    """The view as it is, resized to `size` (height, width)."""
    if image.shape[:2] == size:
        return image
    return np.asarray(
        cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8
    )


def _move(
    image: Image, size: tuple[int, int], zoom: float, rng: np.random.Generator
) -> Image:
    height, width = size
    angle = float(np.clip(rng.normal(0, 5), -MAX_DEGREES, MAX_DEGREES))
    scale = float(np.exp(rng.uniform(-zoom, zoom)))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    shift = rng.uniform(-0.05, 0.05, 2) * (width, height)
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + shift])
    if rng.random() < 0.5:
        matrix[0] = -matrix[0]
        matrix[0, 2] += width - 1
    # Resized first: warping alone would skip pixels and alias.
    moved = cv2.warpAffine(
        plain(image, size), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def _resolution(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.04:
        return float(rng.uniform(0.12, 0.4))
    return float(rng.uniform(0.4, 1.0)) if kind < 0.25 else 1.0


def _shrink(image: Image, resolution: float) -> Image:
    if resolution == 1.0:
        return image
    height, width = image.shape[:2]
    small = (max(4, round(width * resolution)), max(4, round(height * resolution)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8
    )


def _compress(image: Image, rng: np.random.Generator) -> Image:
    if rng.random() > 0.25:
        return image
    quality = int(rng.integers(30, 90))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _tint(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast and white balance, as one table per channel.

    Mild: hair that is tinted further has another colour.
    """
    contrast = rng.uniform(0.85, 1.15)
    gains = rng.normal(1, 0.02, 3) * rng.uniform(0.9, 1.1)
    levels: npt.NDArray[np.float64] = np.arange(256)[:, None] * gains
    table = np.clip((levels - 120) * contrast + 120, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None, :]), np.uint8)


def _hide(image: Image, share: float, rng: np.random.Generator) -> Image:
    """A rectangle of one colour somewhere (random erasing: Zhong et al., 2020)."""
    if share == 0 or rng.random() >= share:
        return image
    height, width = image.shape[:2]
    rows, columns = (rng.uniform(0.15, 0.45, 2) * (height, width)).astype(int)
    top, left = rng.integers(0, height - rows), rng.integers(0, width - columns)
    hidden = image.copy()
    hidden[top : top + rows, left : left + columns] = rng.integers(0, 256, 3)
    return hidden
