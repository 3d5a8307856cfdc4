"""What a model prefers when there is nothing to see: corrected before there are labels.

The prior of contextual calibration (Zhao et al., 2021), from pictures without content:
the mean log-probability of each value is a bias of its letter or word, and is divided
out. Never the mean over real photos: that would take every value for equally common.

1. Only among the values of an attribute. A grey picture truly shows no hair: that its
   `not_visible` is likely is no bias but the right answer, so that share is left as it
   is, and an empty photo looks no less empty than before.
2. Only exclusive values. That a grey picture shows no car is a right answer as well:
   the attributes of many values wait for labels.
3. Centred and bounded: no preference is believed beyond `MOST`.

Pure: numpy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from annotation.calibration.calibrator import FLOOR, Calibrator, RawReading, table_of
from annotation.calibration.scaling import Floats, Scaling
from annotation.schema import NOT_VISIBLE, SCHEMA, Attribute, Kind

WIDTH_PIXELS: Final = 336
HEIGHT_PIXELS: Final = 448
SHADES: Final = (0, 64, 128, 192, 255)
SEEDS: Final = range(4)
BLUR_PIXELS: Final = 24
# In nats: a preference of one value over the average one by a factor of about seven.
MOST: Final = 2.0


def neutral_images() -> list[bytes]:
    """Pictures without content, JPEG: greys from black to white, and blurred noise."""
    return [_jpeg(image) for image in _pictures()]


def _pictures() -> Iterator[Image.Image]:
    size = (WIDTH_PIXELS, HEIGHT_PIXELS)
    for shade in SHADES:
        yield Image.new("RGB", size, (shade,) * 3)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        noise = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        yield Image.fromarray(noise).filter(ImageFilter.GaussianBlur(BLUR_PIXELS))


def _jpeg(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def fit(neutral: Sequence[RawReading]) -> Calibrator:
    """Divides out what the readings of neutral images prefer; see above."""
    biases = {a.name: _bias(a, neutral) for a in SCHEMA if a.kind is Kind.ONE}
    return Calibrator(
        {
            name: Scaling(np.ones(len(bias)), bias)
            for name, bias in biases.items()
            if bias is not None
        }
    )


def _bias(attribute: Attribute, neutral: Sequence[RawReading]) -> Floats | None:
    """(values,); None where the model saw nothing, or named values only."""
    answers = [r.answer(attribute.name) for r in neutral if not r.one_hot]
    said = [one for one in answers if one is not None and one[NOT_VISIBLE] < 1]
    if not said:
        return None
    values = table_of(attribute, said)[:, :-1]
    share = values / np.maximum(values.sum(1, keepdims=True), FLOOR)
    preferred = np.log(np.maximum(share, FLOOR)).mean(0)
    return np.asarray(np.clip(preferred.mean() - preferred, -MOST, MOST))
