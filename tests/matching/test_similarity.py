import numpy as np
import pytest

from annotation.schema import BY_NAME, SCHEMA, Attribute
from matching.similarity import ALIKE, factor, table, tables

EVERY = pytest.mark.parametrize("attribute", SCHEMA, ids=lambda a: a.name)


def alike(name: str, one: str, other: str) -> float:
    attribute = BY_NAME[name]
    i, j = attribute.values.index(one), attribute.values.index(other)
    return float(table(attribute)[i, j])


def test_every_attribute_has_a_table_of_its_values() -> None:
    shapes = {name: table.shape for name, table in tables().items()}
    assert shapes == {a.name: (len(a.values),) * 2 for a in SCHEMA}


@EVERY
def test_a_table_is_symmetric_with_unit_diagonal_between_0_and_1(
    attribute: Attribute,
) -> None:
    similarity = table(attribute)
    assert (similarity == similarity.T).all()
    assert (np.diag(similarity) == 1).all()
    assert ((similarity >= 0) & (similarity <= 1)).all()


@EVERY
def test_a_table_is_positive_definite_as_written(attribute: Attribute) -> None:
    similarity = table(attribute)
    assert np.linalg.eigvalsh(similarity).min() > 0.1
    lower = factor(similarity)
    assert np.allclose(lower @ lower.T, similarity, atol=1e-12)


@EVERY
def test_different_values_are_never_the_same(attribute: Attribute) -> None:
    similarity = table(attribute)
    assert similarity[~np.eye(len(similarity), dtype=bool)].max() <= 0.6


def test_a_table_that_is_no_similarity_has_no_factor() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        factor(np.array([[1.0, 1.0], [1.0, 1.0]]) - 0.1 * np.eye(2))


def test_exceptions_are_written_for_unordered_attributes_of_the_schema_only() -> None:
    for name, pairs in ALIKE.items():
        assert not BY_NAME[name].ordered
        assert all({*pair} <= {*BY_NAME[name].values} for pair in pairs)


def test_no_pair_is_written_twice() -> None:
    for pairs in ALIKE.values():
        assert len({frozenset(pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    ("name", "value", "near", "far"),
    [
        ("hair_color", "light_brown", "blonde", "black"),
        ("hair_color", "light_brown", "dark_brown", "black"),
        ("hair_color", "black", "dark_brown", "blonde"),
        ("hair_length", "medium", "long", "bald"),
        ("hair_texture", "wavy", "curly", "coily"),
        ("facial_hair", "stubble", "full_beard", "moustache"),
        ("tattoos", "none", "some", "many"),
        ("clothing_items", "blouse", "shirt", "swimwear"),
        ("clothing_items", "coat", "jacket", "shorts"),
        ("setting", "mountains", "nature", "office"),
        ("setting", "cafe", "street", "gym"),
        ("expression", "laugh", "smile", "serious"),
    ],
)
def test_a_value_is_nearer_to_one_than_to_another(
    name: str, value: str, near: str, far: str
) -> None:
    assert alike(name, value, near) > alike(name, value, far)
