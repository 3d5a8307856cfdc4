"""The embedded annotator reads real portraits, and says what it cannot see."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation.backends import annotator_version, weights
from annotation.backends.base import (
    AnnotatorVersion,
    BackendUnavailableError,
    PermanentError,
    Reading,
)
from annotation.backends.small import BATCH, SmallAnnotator
from annotation.schema import NOT_VISIBLE, Gate, Verdict, problems, visible
from annotation.small.readout import Readout, ReadoutError

PORTRAITS = sorted((Path(__file__).parents[2] / "demo" / "photos").rglob("*.webp"))
FACIAL = ("hair_color", "facial_hair", "makeup", "expression", "eyewear", "headwear")
NEVER_LABELLED = ("eye_color", "body_type", "tattoos", "vibe", "setting", "activity")
MAX_BYTES = 12 * 1024 * 1024


@pytest.fixture(scope="module")
def small() -> SmallAnnotator:
    return SmallAnnotator()


@pytest.fixture(scope="module")
def portraits() -> list[bytes]:
    return [path.read_bytes() for path in PORTRAITS[:8]]


def wall() -> bytes:
    """A plain wall with a window, and nobody there."""
    pixels = np.full((448, 336, 3), 180, np.uint8)
    cv2.rectangle(pixels, (60, 80), (240, 300), (90, 60, 40), -1)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def read_one(small: SmallAnnotator, photo: bytes) -> Reading:
    outcome = small.read([photo])[0]
    assert isinstance(outcome, Reading)
    return outcome


def test_it_reads_portraits_into_valid_readings(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    for outcome in small.read(portraits):
        assert isinstance(outcome, Reading)
        assert problems(outcome.attributes) == []
        assert outcome.features is not None
        assert outcome.features.shape == (512,)
        assert outcome.features.dtype == np.float32
        assert np.linalg.norm(outcome.features) == pytest.approx(1, abs=1e-4)
        assert outcome.seconds > 0


def test_it_sees_the_hair_and_the_face_of_a_portrait(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    for photo in portraits:
        attributes = read_one(small, photo).attributes
        assert visible(attributes["hair_color"]) > 0.5
        assert visible(attributes["facial_hair"]) > 0.5
        assert attributes["headwear"]["none"] > 0.5


def test_it_says_nothing_of_what_its_data_do_not_label(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    attributes = read_one(small, portraits[0]).attributes
    for name in NEVER_LABELLED:
        assert attributes[name][NOT_VISIBLE] == 1


def test_a_photo_without_a_face_says_nothing_of_faces(small: SmallAnnotator) -> None:
    attributes = read_one(small, wall()).attributes
    assert problems(attributes) == []
    for name in FACIAL:
        assert attributes[name][NOT_VISIBLE] > 0.5


def test_it_never_judges_nudity_or_age(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    for photo in (portraits[0], wall()):
        gates = read_one(small, photo).gates
        assert set(gates) == set(Gate)
        assert gates[Gate.NUDITY] is Verdict.UNKNOWN
        assert gates[Gate.ADULTS] is Verdict.UNKNOWN


def test_one_face_passes_and_none_is_for_a_person_to_judge(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    assert read_one(small, portraits[0]).gates[Gate.FACE_COUNT] is Verdict.PASS
    assert read_one(small, wall()).gates[Gate.FACE_COUNT] is Verdict.UNKNOWN


def test_one_bad_photo_fails_alone(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    outcomes = small.read([b"", portraits[0], b"GIF89a, nearly", portraits[1][:50]])
    reasons = [getattr(outcome, "reason", None) for outcome in outcomes]
    assert reasons == ["not-an-image", None, "not-an-image", "not-an-image"]
    assert isinstance(outcomes[0], PermanentError)


def test_no_photos_give_no_readings(small: SmallAnnotator) -> None:
    assert small.read([]) == []


def test_a_photo_reads_the_same_alone_and_in_a_large_batch(
    small: SmallAnnotator, portraits: list[bytes]
) -> None:
    many = [portraits[i % len(portraits)] for i in range(BATCH + 3)]
    read = small.read(many)
    assert len(read) == len(many)
    last = read[-1]
    alone = read_one(small, many[-1])
    assert isinstance(last, Reading)
    assert last.features == pytest.approx(alone.features, abs=1e-4)
    for name, distribution in alone.attributes.items():
        assert last.attributes[name] == pytest.approx(distribution, abs=1e-3)


def test_threads_may_share_it(portraits: list[bytes]) -> None:
    shared = SmallAnnotator()
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: read_one(shared, portraits[0]), range(8)))
    for reading in seen:
        assert reading.features == pytest.approx(seen[0].features, abs=1e-4)


def test_two_photos_of_one_person_lie_near_each_other(
    small: SmallAnnotator,
) -> None:
    by_folder: dict[str, list[Path]] = {}
    for path in PORTRAITS:
        by_folder.setdefault(path.parent.name, []).append(path)
    neutral, smiling = (
        np.array([read_one(small, path.read_bytes()).features for path in paths[:40]])
        for paths in by_folder.values()
    )
    nearest = (neutral @ smiling.T).argmax(1)
    by_chance = 1 / len(neutral)
    assert (nearest == np.arange(len(neutral))).mean() > 10 * by_chance


def test_its_version_names_the_weights(small: SmallAnnotator) -> None:
    sha256 = hashlib.sha256(weights.NETWORK.read_bytes()).hexdigest()
    named = AnnotatorVersion(backend="small", model=f"{weights.NAME}-{sha256[:8]}")
    assert small.version == annotator_version("small") == named
    assert AnnotatorVersion.of_name(named.name) == named
    assert weights.metadata()["model"] == weights.NAME


def test_the_weights_are_those_the_metadata_describes() -> None:
    data = weights.NETWORK.read_bytes()
    assert hashlib.sha256(data).hexdigest() == weights.metadata()["sha256"]
    assert len(data) <= MAX_BYTES


def test_another_network_than_the_metadata_tell_of_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / weights.NETWORK.name
    other.write_bytes(weights.NETWORK.read_bytes() + b"\0")
    for path in (other, tmp_path / "missing.onnx"):
        monkeypatch.setattr(weights, "NETWORK", path)
        with pytest.raises(BackendUnavailableError, match=path.name):
            SmallAnnotator().read([b"a photo"])


def test_the_weights_say_that_research_data_made_them() -> None:
    about = weights.metadata()
    assert about["research_data"] is True
    assert all(one["terms"] for one in about["data_sets"])


def test_a_calibration_of_other_heads_is_refused() -> None:
    kept = dict(weights.metadata()["calibration"])
    kept["heads"] = kept["heads"] | {"hair_color": ["black"]}
    with pytest.raises(ReadoutError):
        Readout.of_json(kept)


def test_reading_the_metadata_loads_no_model() -> None:
    script = (
        "import sys; from annotation.backends.weights import metadata; metadata();"
        "assert 'onnxruntime' not in sys.modules and 'cv2' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    assert done.returncode == 0
