import io

import numpy as np
import pytest

from matching.features import VISUAL_WIDTH
from matching.projection import HeadWeights, Projection, untrained


def test_512_features_are_their_own_embedding() -> None:
    features = np.random.default_rng(0).normal(size=(3, VISUAL_WIDTH))
    projection = untrained(width=VISUAL_WIDTH)
    assert projection.version == "identity"
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    assert projection(features) == pytest.approx(features / norms)


@pytest.mark.parametrize("width", [64, 512, 768, 2048])
def test_an_embedding_is_a_unit_vector_of_512(width: int) -> None:
    features = np.random.default_rng(0).normal(size=(4, width)).astype(np.float32)
    embeddings = untrained(width=width)(features)
    assert embeddings.shape == (4, VISUAL_WIDTH)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1)


def test_without_a_trained_head_the_version_says_so() -> None:
    assert untrained(width=1024).version == "untrained-orthonormal-1024"


def test_the_untrained_projection_is_the_same_every_time() -> None:
    features = np.random.default_rng(0).normal(size=768)
    assert (untrained(width=768)(features) == untrained(width=768)(features)).all()


def test_few_features_keep_their_angles_exactly() -> None:
    features = np.random.default_rng(0).normal(size=(2, 64))
    one, other = features / np.linalg.norm(features, axis=1, keepdims=True)
    embedded = untrained(width=64)(features)
    assert embedded[0] @ embedded[1] == pytest.approx(one @ other)


def test_many_features_keep_their_angles_roughly() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=2048)
    features = common + rng.normal(size=(2, 2048))
    embedded = untrained(width=2048)(features)
    assert embedded[0] @ embedded[1] == pytest.approx(0.5, abs=0.15)


def test_no_features_at_all_stay_no_direction() -> None:
    assert not untrained(width=768)(np.zeros(768)).any()


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="takes 768 features, not 512"):
        untrained(width=768)(np.ones(512))


def test_features_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        untrained(width=512)(np.full(512, np.nan))


# Trained heads ------------------------------------------------------------------------


def random_head(*, width: int = 64, hidden: int = 32, seed: int = 0) -> HeadWeights:
    rng = np.random.default_rng(seed)
    outward = [(hidden, VISUAL_WIDTH), (VISUAL_WIDTH,)]
    shapes = [(width, hidden), *[(hidden,)] * 3, *outward]
    return HeadWeights(*(rng.normal(size=s).astype(np.float32) for s in shapes))


def test_a_trained_head_gives_unit_vectors_of_512() -> None:
    head = Projection("h-1", 64, random_head())
    features = np.random.default_rng(1).normal(size=(4, 64))
    embeddings = head(features)
    assert embeddings.shape == (4, VISUAL_WIDTH)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1)
    assert embeddings[2] == pytest.approx(head(features[2]))
    assert not head(np.zeros(64)).any()


def test_a_head_is_named_by_its_weights_and_by_whose_features_it_takes() -> None:
    version = random_head().version("small:small-1")
    assert version.startswith("h-")
    assert random_head().version("small:small-1") == version
    assert random_head().version("local:qwen") != version
    assert random_head(seed=1).version("small:small-1") != version


def test_a_head_survives_its_file_bitwise() -> None:
    head = random_head()
    data = head.to_npz()
    again = HeadWeights.from_npz(data)
    assert again.version("a") == head.version("a")
    assert again.to_npz() == data


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def with_array(name: str, array: object) -> bytes:
    return npz(**{**vars(random_head()), name: array})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a file of arrays",
        random_head().to_npz()[:-2000],
        npz(inward=np.zeros((3, 4), np.float32)),
        with_array("gain", np.zeros(7, np.float32)),
        with_array("gain", np.zeros(32, np.float64)),
        with_array("gain", np.full(32, np.nan, np.float32)),
        with_array("inward", np.zeros(3, np.float32)),
        with_array("gain", np.array([object()])),
    ],
)
def test_a_file_that_holds_no_whole_head_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        HeadWeights.from_npz(data)
