"""What is made of a good photo: colours, turn, size, fingerprints, and nothing else."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import time
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from profiles.ingest import Ingested, ingest
from tests.profiles import images
from tests.profiles.images import BLUE, GREEN, QUADRANTS, RED, WHITE, YELLOW

FORMATS = ["JPEG", "PNG", "WEBP", "AVIF"]
ORIENTATION = 0x0112
GPS_IFD = 0x8825
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("container", FORMATS)
def test_it_takes_a_photo_and_shows_its_colours(container: str) -> None:
    ingested = ingest(images.encoded(images.quadrants(), container))

    assert ingested.format == container.lower()
    assert (ingested.width, ingested.height) == (160, 96)
    assert images.close(images.shown(ingested), QUADRANTS)


def test_it_takes_heic() -> None:
    ingested = ingest(images.heic("ten_bit"))

    assert ingested.format == "heic"
    assert images.close(images.shown(ingested), QUADRANTS)


# How the stored picture must lie so that the EXIF orientation turns it upright.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("container", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_it_turns_every_photo_upright(container: str, orientation: int) -> None:
    lying = STORED[orientation]
    upright = images.quadrants()
    stored = upright if lying is None else upright.transpose(lying)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    ingested = ingest(images.encoded(stored, container, exif=exif))

    assert (ingested.width, ingested.height) == (160, 96)
    assert images.close(images.shown(ingested), QUADRANTS)


def test_it_turns_a_heic_upright_once() -> None:
    """Its decoder applies the turn that the container holds; its EXIF repeats it."""
    ingested = ingest(images.heic("turned_with_gps"))

    assert (ingested.width, ingested.height) == (160, 96)
    assert images.close(images.shown(ingested), QUADRANTS)


def _talkative(container: str, profile: bytes | None = None) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (51.0, 30.0, 26.0)})
    image = images.quadrants()
    image.info["comment"] = b"SECRET comment"
    options = {"xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>"} if container != "PNG" else {}
    return images.encoded(image, container, exif=exif, icc_profile=profile, **options)


@pytest.mark.parametrize("profile", [None, SRGB], ids=["plain", "with a profile"])
@pytest.mark.parametrize("container", FORMATS)
def test_it_keeps_nothing_but_pixels(container: str, profile: bytes | None) -> None:
    data = _talkative(container, profile)
    assert b"SECRET" in data

    _assert_bare(ingest(data))


def test_it_drops_a_profile_that_it_cannot_use() -> None:
    _assert_bare(ingest(_talkative("JPEG", b"ICC of nothing")))


def test_it_forgets_where_a_heic_was_taken() -> None:
    _assert_bare(ingest(images.heic("turned_with_gps")))


def _assert_bare(ingested: Ingested) -> None:
    for rendition in (ingested.display, ingested.annotation):
        with Image.open(BytesIO(rendition)) as image:
            assert not image.getexif()
            assert not {"exif", "xmp", "icc_profile", "comment"} & image.info.keys()
        for trace in (b"SECRET", b"Exif", b"ICC", b"xmp"):
            assert trace not in rendition
    assert ingested.display[12:16] == b"VP8 ", "the extended form carries metadata"


def test_it_shrinks_to_both_sides_and_keeps_the_shape() -> None:
    ingested = ingest(images.encoded(images.quadrants(3000, 1500), "JPEG"))

    assert (ingested.width, ingested.height) == (1280, 640)
    assert images.display(ingested).size == (1280, 640)
    assert images.display(ingested).format == "WEBP"
    assert images.annotation(ingested).size == (448, 224)
    assert images.annotation(ingested).format == "JPEG"
    assert images.close(images.shown(ingested), QUADRANTS)


def test_it_never_enlarges() -> None:
    ingested = ingest(images.encoded(images.quadrants(96, 160), "PNG"))

    assert images.display(ingested).size == (96, 160)
    assert images.annotation(ingested).size == (96, 160)


# Modes


def test_it_shows_a_print_photo_in_screen_colours() -> None:
    ingested = ingest(images.encoded(images.quadrants().convert("CMYK"), "JPEG"))

    assert images.close(images.shown(ingested), QUADRANTS)


def _sixteen_bit_grey() -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    grey = np.full((96, 160), 0x2000, dtype=np.uint16)
    grey[:, 80:] = 0xC000
    return grey


def test_it_scales_sixteen_bit_grey_instead_of_clipping_it() -> None:
    image = Image.fromarray(_sixteen_bit_grey())

    left, right, *_ = images.shown(ingest(images.encoded(image, "PNG")))

    assert images.close([left, right], [(0x20,) * 3, (0xC0,) * 3])


def test_it_lays_transparent_sixteen_bit_grey_on_white() -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in _sixteen_bit_grey())
    data = images.png(
        images.ihdr(160, 96, bits=16, colour_type=0),
        (b"tRNS", b"\x20\x00"),
        (b"IDAT", zlib.compress(rows)),
    )

    left, right, *_ = images.shown(ingest(data))

    assert images.close([left, right], [WHITE, (0xC0,) * 3])


def test_it_reads_sixteen_bit_colour() -> None:
    deep = np.asarray(images.quadrants()).astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    data = images.png(
        images.ihdr(160, 96, bits=16, colour_type=2), (b"IDAT", zlib.compress(rows))
    )

    assert images.close(images.shown(ingest(data)), QUADRANTS)


def test_it_reads_a_palette() -> None:
    palette = images.quadrants().quantize(8)

    assert images.close(images.shown(ingest(images.encoded(palette, "PNG"))), QUADRANTS)


def test_it_lays_a_transparent_palette_colour_on_white() -> None:
    palette = images.quadrants().quantize(8)
    clear = palette.getpixel((5, 5))

    ingested = ingest(images.encoded(palette, "PNG", transparency=clear))

    assert images.close(images.shown(ingested), [WHITE, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("container", ["PNG", "WEBP", "AVIF"])
def test_it_lays_transparency_on_white(container: str) -> None:
    image = images.quadrants().convert("RGBA")
    image.paste((0, 0, 0, 0), (80, 0, 160, 48))

    ingested = ingest(images.encoded(image, container))

    assert images.close(images.shown(ingested), [RED, WHITE, BLUE, YELLOW])


def test_it_lays_a_transparent_heic_on_white() -> None:
    ingested = ingest(images.heic("transparent"))

    assert images.close(images.shown(ingested), [RED, WHITE, BLUE, YELLOW])


def test_it_mixes_half_transparent_grey_with_white() -> None:
    image = Image.new("LA", (96, 96), (100, 128))

    (seen, *_) = images.shown(ingest(images.encoded(image, "PNG")))

    assert images.close([seen], [(177, 177, 177)])


def test_it_reads_black_and_white() -> None:
    image = Image.new("1", (160, 96), 0)
    image.paste(1, (80, 0, 160, 96))

    left, right, *_ = images.shown(ingest(images.encoded(image, "PNG")))

    assert images.close([left, right], [(0, 0, 0), WHITE])


def test_it_reads_grey() -> None:
    image = Image.new("L", (96, 96), 99)

    (seen, *_) = images.shown(ingest(images.encoded(image, "JPEG")))

    assert images.close([seen], [(99, 99, 99)])


@pytest.mark.parametrize("container", ["WEBP", "PNG", "AVIF"])
def test_it_shows_the_first_frame_of_an_animation(container: str) -> None:
    ingested = ingest(images.animated(container, [GREEN, RED, BLUE]))

    assert images.close(images.shown(ingested), [GREEN] * 4)


def test_it_shows_the_first_picture_of_a_heic_burst() -> None:
    ingested = ingest(images.heic("burst"))

    assert images.close(images.shown(ingested), [(255, 0, 0)] * 4)


# Profiles


def _profile_with_red_and_blue_swapped() -> bytes:
    swapped = SRGB.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ")
    return swapped.replace(b"tmp!", b"bXYZ")


@pytest.mark.parametrize("container", FORMATS)
def test_it_converts_to_srgb_by_the_embedded_profile(container: str) -> None:
    image = Image.new("RGB", (96, 96), (200, 100, 30))
    profile = _profile_with_red_and_blue_swapped()

    ingested = ingest(images.encoded(image, container, icc_profile=profile))

    assert images.close(images.shown(ingested), [(30, 100, 200)] * 4)


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        _profile_with_red_and_blue_swapped()[:200],
    ],
    ids=["garbage", "another colour space", "cut short"],
)
def test_it_shows_a_photo_whose_profile_does_not_fit(profile: bytes) -> None:
    data = images.encoded(images.quadrants(), "JPEG", icc_profile=profile)

    assert images.close(images.shown(ingest(data)), QUADRANTS)


def test_it_shows_a_grey_photo_with_a_colour_profile() -> None:
    data = images.encoded(
        Image.new("L", (96, 96), 99),
        "JPEG",
        icc_profile=_profile_with_red_and_blue_swapped(),
    )

    assert images.close(images.shown(ingest(data)), [(99, 99, 99)] * 4)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_it_shows_a_photo_whose_exif_is_broken() -> None:
    broken = b"Exif\0\0II*\0" + struct.pack("<I", 0xFFFF) + b"\xff" * 20
    data = images.encoded(images.quadrants(), "WEBP", exif=broken)

    assert images.close(images.shown(ingest(data)), QUADRANTS)


# Fingerprints


def test_it_hashes_the_bytes_as_uploaded() -> None:
    data = images.encoded(images.waves(), "JPEG")

    assert ingest(data).sha256 == hashlib.sha256(data).hexdigest()


def test_it_gives_the_same_answer_twice() -> None:
    data = _talkative("JPEG")

    assert ingest(data) == ingest(data)


def test_its_dhash_is_one_where_grey_rises_to_the_right() -> None:
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (90, 1)))
    upper = Image.new("L", (256, 180))
    upper.paste(ramp, (0, 0))
    upper.paste(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (0, 90))

    assert ingest(images.encoded(upper, "PNG")).dhash == "1" * 32 + "0" * 32


def _distance(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_its_dhash_survives_a_smaller_copy_and_tells_photos_apart() -> None:
    photo = images.waves(seed=1)
    smaller = photo.resize((200, 150))

    original = ingest(images.encoded(photo, "JPEG", quality=95)).dhash
    copy = ingest(images.encoded(smaller, "WEBP", quality=60)).dhash
    other = ingest(images.encoded(images.waves(seed=2), "JPEG")).dhash

    assert len(original) == 64
    assert _distance(original, copy) <= 4
    assert _distance(original, other) >= 16


# Cost


def test_it_takes_less_than_a_second_for_twelve_megapixels() -> None:
    data = images.encoded(images.waves(4000, 3000), "JPEG", quality=92)

    started = time.thread_time()
    ingest(data)

    assert time.thread_time() - started < 1.0


def test_a_server_never_loads_the_heic_decoder_itself() -> None:
    script = (
        "import sys; from profiles.ingest import ingest\n"
        "ingest(sys.stdin.buffer.read())\n"
        "assert 'pi_heif' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", script], input=images.heic("ten_bit"), check=True
    )
