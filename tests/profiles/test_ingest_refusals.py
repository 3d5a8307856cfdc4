"""What is refused, with which kind of error, and what it may cost us."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from profiles.ingest import IngestError, Limits, apart, ingest, pixels
from profiles.ingest.refusal import STATUS_OF_KIND
from tests.profiles import images

PHOTO = images.waves(160, 120)
JPEG = images.encoded(images.quadrants(640, 384), "JPEG")
FILES = {
    "jpeg": JPEG,
    "progressive jpeg": images.encoded(PHOTO, "JPEG", progressive=True),
    "png": images.encoded(PHOTO, "PNG"),
    "webp": images.encoded(PHOTO, "WEBP"),
    "lossless webp": images.encoded(PHOTO, "WEBP", lossless=True),
    "avif": images.encoded(PHOTO, "AVIF"),
    "heic": images.heic("turned_with_gps"),
}


def _refusal(data: bytes, limits: Limits | None = None) -> IngestError:
    with pytest.raises(IngestError) as caught:
        ingest(data, limits=limits or Limits())
    return caught.value


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test when a pixel is about to be decoded in this process."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("decoded before the caps were checked")

    monkeypatch.setattr(pixels, "rendition", fail)


# What is no photo


def test_it_refuses_an_empty_file() -> None:
    assert _refusal(b"").kind == "empty-file"


@pytest.mark.parametrize(
    "data", [b"hello", b"\xff", b"\0" * 5000, bytes(range(256)) * 9, b"<p>hello</p>"]
)
def test_it_refuses_what_is_not_an_image(data: bytes) -> None:
    assert _refusal(data).kind == "not-an-image"


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'\xef\xbb\xbf <?xml version="1.0"?><svg/>',
        b"%PDF-1.7",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"GIF89a/*\x01\0=0;*/alert(1)//",
        *(images.encoded(images.quadrants(), name) for name in ("GIF", "BMP", "TIFF")),
    ],
    ids=["svg", "xml", "pdf", "video", "sound", "gif and script", "gif", "bmp", "tiff"],
)
def test_it_refuses_other_kinds_of_file(data: bytes) -> None:
    assert _refusal(data).kind == "unsupported-format"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_it_refuses_a_file_cut_short(name: str, share: float) -> None:
    data = FILES[name]

    assert _refusal(data[: int(len(data) * share)]).kind == "truncated-image"


@pytest.mark.parametrize("name", FILES)
def test_it_refuses_a_file_without_its_last_byte(name: str) -> None:
    assert _refusal(FILES[name][:-1]).kind == "truncated-image"


def test_it_refuses_pixels_that_cannot_be_read() -> None:
    data = images.png(
        images.ihdr(160, 96, bits=8, colour_type=2), (b"IDAT", b"not deflated")
    )

    assert _refusal(data).kind == "damaged-image"


# Two files in one


def _zip() -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("index.html", "x")
    return target.getvalue()


SECOND_FILES = {
    "zip": _zip(),
    "pdf": b"%PDF-1.4\n1 0 obj",
    "page": b"\n<!DOCTYPE html><html>",
    "script": b"<SCRIPT>alert(1)</SCRIPT>",
    "php": b"<?php system($_GET['c']);",
    "gif": b"GIF89a\x01\0\x01\0",
    "program": b"\x7fELF\x02\x01\x01",
    "shell": b"\n#!/bin/sh\n",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("second", SECOND_FILES)
def test_it_refuses_a_second_file_behind_the_photo(name: str, second: str) -> None:
    assert _refusal(FILES[name] + SECOND_FILES[second]).kind == "polyglot"


@pytest.mark.parametrize("second", ["zip", "pdf", "php"])
def test_it_refuses_a_second_file_inside_a_comment(second: str) -> None:
    data = images.encoded(images.quadrants(), "JPEG", comment=SECOND_FILES[second])

    assert _refusal(data).kind == "polyglot"


def test_it_refuses_an_archive_deep_inside_a_photo() -> None:
    """A reader of ZIP searches from the end of the file, wherever that lies."""
    header = images.ihdr(160, 96, bits=8, colour_type=2)
    data = images.png(header, (b"teXt", bytes(2_000)), (b"zipp", _zip()))

    assert _refusal(data).kind == "polyglot"


@pytest.mark.parametrize(
    "trailer",
    [b"\0" * 64, JPEG, b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", b"SEFH\x6a\0\0\0SEFT"],
    ids=["padding", "second jpeg", "video", "maker's trailer"],
)
def test_it_takes_what_phones_append(trailer: bytes) -> None:
    ingested = ingest(JPEG + trailer)

    assert trailer not in ingested.display
    assert images.close(images.shown(ingested), images.QUADRANTS)


def test_it_takes_a_jpeg_of_several_pictures() -> None:
    data = images.animated("MPO", [images.GREEN, images.RED])

    ingested = ingest(data)

    assert ingested.format == "jpeg"
    assert images.close(images.shown(ingested), [images.GREEN] * 4)


# Caps, all before decoding


def test_it_refuses_too_many_bytes() -> None:
    error = _refusal(JPEG, Limits(max_bytes=len(JPEG) - 1))

    assert (error.kind, error.status) == ("file-too-large", 413)


def _resized_jpeg(width: int, height: int) -> bytes:
    frame = re.search(rb"\xff\xc0..\x08", JPEG, re.DOTALL)
    assert frame
    return (
        JPEG[: frame.end()]
        + struct.pack(">HH", height, width)
        + JPEG[frame.end() + 4 :]
    )


def _resized_boxes(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def _resized_webp(width: int, height: int) -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    body += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    frame = FILES["webp"][12:]
    placed = (
        bytes(6) + struct.pack("<I", 159)[:3] + struct.pack("<I", 119)[:3] + bytes(4)
    )
    body += b"ANMF" + struct.pack("<I", len(placed + frame)) + placed + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _claiming(width: int, height: int) -> dict[str, bytes]:
    """Tiny files whose headers promise that many pixels."""
    header = images.ihdr(width, height, bits=8, colour_type=2)
    return {
        "jpeg": _resized_jpeg(width, height),
        "png": images.png(header, (b"IDAT", zlib.compress(b""))),
        "webp": _resized_webp(width, height),
        "avif": _resized_boxes(FILES["avif"], width, height),
        "heic": _resized_boxes(FILES["heic"], width, height),
    }


# Our cap; beyond Pillow's warning; beyond Pillow's error.
@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("side", [7_300, 10_000, 16_000])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "heic"])
def test_it_refuses_too_many_pixels_by_the_header(name: str, side: int) -> None:
    data = _claiming(side, side)[name]
    assert len(data) < 10_000

    assert _refusal(data).kind == "image-too-large"


def test_pillows_bomb_alarm_refuses_even_where_our_cap_is_raised() -> None:
    """In a fresh interpreter: pytest itself turns warnings into errors."""
    script = (
        "import sys\n"
        "from profiles.ingest import IngestError, Limits, ingest\n"
        "try:\n"
        "    ingest(sys.stdin.buffer.read(), limits=Limits(max_pixels=10**9))\n"
        "except IngestError as error:\n"
        "    sys.exit(error.kind)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=_claiming(10_000, 10_000)["png"],
        capture_output=True,
        check=False,
    )

    assert done.stderr.decode().strip() == "image-too-large"


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("container", ["WEBP", "PNG"])
def test_it_refuses_a_long_animation(container: str) -> None:
    data = images.animated(container, [images.RED, images.GREEN, images.BLUE])

    error = _refusal(data, Limits(max_frames=2))

    assert error.kind == "too-many-frames"


def test_it_refuses_a_long_heic_burst() -> None:
    assert (
        _refusal(images.heic("burst"), Limits(max_frames=2)).kind == "too-many-frames"
    )


@pytest.mark.usefixtures("no_decoding")
def test_it_refuses_a_jpeg_of_many_scans() -> None:
    """Each scan may be a few bytes and still costs a walk over the whole picture."""
    progressive = FILES["progressive jpeg"]
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    data = progressive[:-2] + scan * 100 + progressive[-2:]

    assert _refusal(data).kind == "too-many-scans"


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ((63, 500), "image-too-small"),
        ((500, 63), "image-too-small"),
        ((64, 641), "image-too-narrow"),
    ],
)
def test_it_refuses_what_shows_nobody(size: tuple[int, int], kind: str) -> None:
    assert _refusal(images.encoded(images.quadrants(*size), "PNG")).kind == kind


# A decoder that breaks


def test_a_file_that_crashes_the_heic_decoder_is_one_refused_file() -> None:
    """The type of an item that is not UTF-8: SIGSEGV in pi_heif 1.4.0."""
    data = FILES["heic"].replace(b"\0\0Exif\0", b"\0\0\xffxif\0")
    assert data != FILES["heic"]

    assert _refusal(data).kind == "damaged-image"


def test_a_heic_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_TIMEOUT_SECONDS", 0.001)

    assert _refusal(FILES["heic"]).kind == "damaged-image"


def test_of_many_uploads_at_once_two_are_decoded_apart_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, running, counts = subprocess.run, [], list[int]()

    def run(*args: Any, **kwargs: Any) -> Any:
        running.append(1)
        counts.append(len(running))
        try:
            return real(*args, **kwargs)
        finally:
            running.pop()

    monkeypatch.setattr(subprocess, "run", run)
    with ThreadPoolExecutor(5) as threads:
        widths = list(threads.map(lambda _: ingest(FILES["avif"]).width, range(5)))
    assert widths == [160] * 5
    assert max(counts) == 2


def test_an_upload_does_not_wait_for_ever_for_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apart, "_PATIENCE_SECONDS", 0.01)
    with apart._place(), apart._place():
        refusal = _refusal(FILES["heic"])
    assert (refusal.kind, refusal.status) == ("busy", 503)
    assert ingest(FILES["heic"]).width == 160


@pytest.mark.parametrize("name", ["heic", "avif"])
def test_a_photo_that_takes_too_much_memory_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_MEMORY_BYTES", 64 * 1024**2)

    assert _refusal(FILES[name]).kind == "damaged-image"


def test_an_avif_that_hides_its_pixels_meets_the_limit_on_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It promises what an honest one holds, and holds 80 megapixels."""
    hidden = Image.new("RGB", (10_000, 8_000), images.RED)
    data = _resized_boxes(images.encoded(hidden, "AVIF", speed=10), 160, 120)
    monkeypatch.setattr(apart, "_MEMORY_BYTES", 220 * 1024**2)

    assert ingest(FILES["avif"]).width == 160
    assert _refusal(data).kind == "damaged-image"


def _changed(data: bytes, edits: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for at, value in edits:
        changed[at % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


# Half of the edits go to the head, where the structure is.
_EDITS = st.lists(
    st.tuples(st.integers(0, 300) | st.integers(0, 10_000), st.integers(0, 255)),
    max_size=8,
)
_CUTS = st.just(0) | st.integers(0, 1_000)


def _assert_taken_or_refused(data: bytes) -> None:
    with suppress(IngestError):
        image = images.display(ingest(data))
        assert image.load()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=200, deadline=None)
@given(
    data=st.sampled_from([FILES[n] for n in FILES if n not in {"heic", "avif"}]),
    edits=_EDITS,
    cut=_CUTS,
)
def test_damaged_files_are_taken_or_refused_and_nothing_else(
    data: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    _assert_taken_or_refused(_changed(data, edits, cut))


@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.sampled_from([FILES["heic"], FILES["avif"]]), edits=_EDITS)
def test_damaged_heic_and_avif_are_taken_or_refused_and_nothing_else(
    data: bytes, edits: list[tuple[int, int]]
) -> None:
    _assert_taken_or_refused(_changed(data, edits, 0))


@given(data=st.binary(max_size=2_000))
def test_random_bytes_are_refused(data: bytes) -> None:
    _refusal(data)


# The message


def test_every_refusal_suggests_a_client_error_but_that_we_are_busy() -> None:
    statuses = {**STATUS_OF_KIND}
    assert statuses.pop("busy") == 503
    assert set(statuses.values()) <= {400, 413, 415, 422}


def test_a_refusal_says_what_to_do_and_nothing_of_the_file() -> None:
    error = _refusal(b"SECRET" * 100)

    assert str(error) == error.message
    assert error.message.endswith("Send a JPEG, PNG, WebP, AVIF or HEIC photo.")
    assert "SECRET" not in repr(error)
    assert error.__cause__ is None
