"""What a label counts, by its kind and its age."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.preference.labels import LabelKind, weight

KINDS = st.sampled_from(LabelKind)
DAYS = st.floats(0, 5000)


@given(kind=KINDS, age=DAYS, half_life=st.floats(1, 1000))
def test_a_label_counts_half_as_much_with_every_half_life(
    kind: LabelKind, age: float, half_life: float
) -> None:
    now = weight(kind, age, half_life_days=half_life)
    later = weight(kind, age + half_life, half_life_days=half_life)
    assert later == pytest.approx(now / 2)


def test_a_super_like_counts_more_than_a_like_and_a_pass_less_than_a_dislike() -> None:
    assert weight(LabelKind.SUPER_LIKE, 0) > weight(LabelKind.LIKE, 0)
    assert weight(LabelKind.PASS, 0) < weight(LabelKind.ANCHOR_DISLIKE, 0)


def test_likes_are_told_from_dislikes() -> None:
    liked = {kind for kind in LabelKind if kind.liked}
    assert liked == {LabelKind.LIKE, LabelKind.SUPER_LIKE, LabelKind.ANCHOR_LIKE}


def test_a_label_of_tomorrow_counts_as_one_of_today() -> None:
    assert weight(LabelKind.LIKE, -1) == weight(LabelKind.LIKE, 0)


def test_a_half_life_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        weight(LabelKind.LIKE, 1, half_life_days=0)
