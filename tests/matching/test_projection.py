import numpy as np
import pytest

from matching.features import VISUAL_WIDTH
from matching.projection import Projection, untrained


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


def test_a_trained_head_is_applied() -> None:
    head = Projection("head-1", np.eye(3, VISUAL_WIDTH))
    assert head(np.array([0.0, 2.0, 0.0]))[:3].tolist() == [0.0, 1.0, 0.0]
