"""A photo in a bucket: all of it, in its own proportions, and nothing but photos."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from annotation.backends.local.framing import (
    LIMITS,
    Bucket,
    Framed,
    best_bucket,
    frame,
    placed,
)

SQUARE, TALL, WIDE = Bucket(224, 224), Bucket(224, 168), Bucket(168, 224)
BUCKETS = (SQUARE, TALL, WIDE)
GREY = (122, 116, 104)
ORIENTATION = 0x0112


def encoded(
    width: int,
    height: int,
    container: str = "JPEG",
    mode: str = "RGB",
    **options: object,
) -> bytes:
    """Red on the left and blue on the right."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (0, 0, width // 2, height))
    out = io.BytesIO()
    image.convert(mode).save(out, container, **options)
    return out.getvalue()


def framed(data: bytes) -> Framed:
    found = frame(data, buckets=BUCKETS, padding=GREY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("width", "height", "bucket"),
    [
        (448, 448, SQUARE),
        (336, 448, TALL),
        (448, 336, WIDE),
        (200, 3000, TALL),
        (3000, 200, WIDE),
        (100, 110, SQUARE),
    ],
)
def test_a_photo_comes_into_the_bucket_of_its_shape(
    width: int, height: int, bucket: Bucket
) -> None:
    found = framed(encoded(width, height))
    assert found.bucket == bucket
    assert found.pixels.shape == (*bucket, 3)
    assert found.pixels.dtype == np.uint8


def test_the_best_bucket_leaves_the_smallest_share_empty() -> None:
    def filled(bucket: Bucket, height: int, width: int) -> float:
        box = placed(height, width, bucket)
        return box.height * box.width / (bucket.height * bucket.width)

    rng = np.random.default_rng(0)
    for height, width in rng.integers(100, 1_000, (200, 2)).tolist():
        best = best_bucket(height, width, BUCKETS)
        most = max(filled(bucket, height, width) for bucket in BUCKETS)
        assert filled(best, height, width) == pytest.approx(most, rel=0.02)


@pytest.mark.parametrize(
    ("width", "height"), [(640, 401), (99, 400), (448, 448), (40, 500)]
)
def test_nothing_is_cut_off_or_bent(width: int, height: int) -> None:
    found = framed(encoded(width, height, "PNG"))
    box = found.box
    assert box.height == found.bucket.height or box.width == found.bucket.width
    assert box.height / height == pytest.approx(
        box.width / width, abs=1 / min(width, height)
    )
    inside = found.pixels[
        box.top : box.top + box.height, box.left : box.left + box.width
    ]
    assert (inside[:, 0] == (255, 0, 0)).all()
    assert (inside[:, -1] == (0, 0, 255)).all()
    outside = np.ones(found.bucket, bool)
    outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    assert (found.pixels[outside] == GREY).all()


def test_the_photo_lies_in_the_middle() -> None:
    box = framed(encoded(448, 112)).box
    assert (box.left, box.width, box.height) == (0, 224, 56)
    assert box.top == (168 - 56) // 2


def test_a_rendition_of_the_buckets_size_keeps_every_pixel() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (224, 168, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    assert (framed(out.getvalue()).pixels == noise).all()


@pytest.mark.parametrize(
    ("container", "mode"),
    [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("WEBP", "RGB")],
)
def test_every_kind_of_pixels_becomes_rgb(container: str, mode: str) -> None:
    found = framed(encoded(224, 224, container, mode))
    left, right = found.pixels[100, 20], found.pixels[100, 200]
    if mode == "L":
        assert left[0] == left[1] == left[2]
    else:
        assert left[0] > 150 > left[2]
        assert right[2] > 150 > right[0]


def test_a_photo_that_lies_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    found = framed(encoded(448, 336, exif=exif))
    assert found.bucket == TALL
    assert found.pixels[10, 84, 0] > 150 > found.pixels[10, 84, 2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a photo",
        encoded(448, 448)[:2_000],
        encoded(448, 448, "PNG")[:300],
        encoded(448, 448, "GIF"),
        b"\xff\xd8\xff\xe0" + bytes(500),
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "GIF", "nothing behind the header"],
)
def test_what_is_no_whole_photo_is_none(data: bytes) -> None:
    assert frame(data, buckets=BUCKETS, padding=GREY) is None


def test_a_risky_decoder_is_never_run_in_this_process() -> None:
    """Uploads in such formats are decoded apart; no rendition of ours is in one."""
    assert frame(encoded(224, 224, "AVIF"), buckets=BUCKETS, padding=GREY) is None


def test_a_photo_of_too_many_pixels_is_not_even_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side = int(LIMITS.max_pixels**0.5) + 1
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG")
    monkeypatch.setattr(Image.Image, "load", pytest.fail)
    assert frame(out.getvalue(), buckets=BUCKETS, padding=GREY) is None
