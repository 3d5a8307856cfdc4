"""The file of labels: clear about what is wrong, and never repeating it."""

from __future__ import annotations

import pytest

from annotation.calibration.labels import LabelsError, parse, refuse_twice
from annotation.schema import NOT_VISIBLE

HEADER = "photo,attribute,value\n"


def lines(text: str) -> list[str]:
    return (HEADER + text).splitlines(keepends=True)


def test_labels_are_read_with_their_lines() -> None:
    found = parse(
        lines(
            "a.jpg,hair_color,red | blonde\n"
            "a.jpg,objects,dog|cat\n"
            '"b,c.jpg",objects,none_of_these\n'
            "b.jpg,hair_color,not_visible\n"
        )
    )
    assert [(x.line, x.photo, x.attribute, x.allowed) for x in found] == [
        (2, "a.jpg", "hair_color", {"red", "blonde"}),
        (3, "a.jpg", "objects", {"dog", "cat"}),
        (4, "b,c.jpg", "objects", frozenset()),
        (5, "b.jpg", "hair_color", {NOT_VISIBLE}),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("secret.jpg,beauty,high\n", "Line 2: no such attribute; there are hair_col"),
        ("secret.jpg,hair_color,purple\n", "Line 2: hair_color has no such value"),
        ("secret.jpg,hair_color,\n", "Line 2: hair_color has no such value"),
        ("secret.jpg,hair_color,none_of_these\n", "Line 2: hair_color has no such"),
        ("secret.jpg,objects,dog|not_visible\n", "go with no other value"),
        ("secret.jpg,objects\n", "Line 2 must have photo, attribute, value"),
        ("secret.jpg,objects,dog,cat\n", "Line 2 must have photo, attribute, value"),
        (",objects,dog\n", "Line 2 must have photo, attribute, value"),
        ('a.jpg,objects,dog\n"secret.jpg,objects,dog\n', "no CSV"),
        ("", "no label"),
    ],
)
def test_it_says_which_line_is_wrong_and_names_no_photo(text: str, says: str) -> None:
    with pytest.raises(LabelsError, match=says) as refusal:
        parse(lines(text))
    assert "secret" not in str(refusal.value)


def test_another_header_is_refused() -> None:
    with pytest.raises(LabelsError, match="header photo,attribute,value"):
        parse(["file,attribute,value\n", "a,objects,dog\n"])
    with pytest.raises(LabelsError, match="header"):
        parse([])


def test_a_photo_is_labelled_once_whatever_it_is_called() -> None:
    labels = parse(
        lines(
            "secret.jpg,objects,dog\n"
            "secret.jpg,makeup,none\n"
            "b.jpg,objects,cat\n"
            "./secret.jpg,objects,cat\n"
        )
    )
    refuse_twice((label.photo, label) for label in labels)
    with pytest.raises(LabelsError, match="Line 5 labels what line 2 has") as refusal:
        refuse_twice((label.photo.removeprefix("./"), label) for label in labels)
    assert "It is the same photo by its bytes" in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_what_is_labelled_twice_by_one_name_is_no_riddle() -> None:
    twice = parse(lines("a.jpg,objects,dog\na.jpg,objects,cat\n"))
    with pytest.raises(LabelsError, match="Line 3 labels what line 2 has") as refusal:
        refuse_twice((label.photo, label) for label in twice)
    assert "bytes" not in str(refusal.value)
