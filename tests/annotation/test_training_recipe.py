"""A recipe is read whole, or refused with the place that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

from django.core.management import CommandError, call_command

from annotation.training import recipe
from annotation.training.recipe import RecipeError

pytestmark = pytest.mark.torch
SHIPPED = recipe.DEFAULT.read_text()


def test_the_shipped_recipe_can_be_read() -> None:
    found = recipe.read()
    assert found.start == "imagenet"
    assert [stage.name for stage in found.face.stages] == [
        "warm-up",
        "fine-tuning",
        "refinement",
    ]


def test_a_recipe_is_known_by_what_it_says(tmp_path: Path) -> None:
    remarked, other = tmp_path / "remarked.toml", tmp_path / "other.toml"
    remarked.write_text(f"# the same\n{SHIPPED}")
    other.write_text(SHIPPED.replace("zoom = 0.12", "zoom = 0.13"))
    assert recipe.digest(remarked) == recipe.digest() != recipe.digest(other)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed = 1", "seed = -1", "seed is a number of at least 0"),
        ('start = "imagenet"', 'start = "moon"', "start is one of imagenet, nothing"),
        ("batch = 64", "batch = 1", "face: batch is a number of at least 2"),
        ("batch = 64", "", "[face] lacks batch"),
        ("celeba = 0.88", "faces = 0.88", "[face] shares is a table of celeba"),
        ("trunk_rate = 6e-4", 'trunk_rate = "fast"', "trunk_rate is a number"),
        ("patience", "patiense", "unknown patiense"),
        ("[photo]", "[photos]", "the file has unknown photos"),
        ("seed = 1", "seed =", "cannot be read"),
        ("celeba = 0.88, ", "", "[face] shares lacks celeba"),
        ("frozen_blocks = 4", "frozen_blocks = -1", "frozen_blocks is a number"),
        ("passed_over = 0.1", "passed_over = 1.0", "passed_over is a chance below 1"),
        ("jewellery = 3.0", "hats = 3.0", "weights is a table of expression, eyewear"),
        ("jewellery = 3.0", "jewellery = -1", "weights: jewellery is a number of"),
        ("self_taught = 0.6", "self_taught = 1.0", "self_taught is a chance below 1"),
        ('name = "warm-up"', 'name = "../warm"', "small letters and hyphens"),
        ("people = true", "people = 1", "people is true or false"),
        ('name = "fine-tuning"', 'name = "warm-up"', "two have one name"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = SHIPPED.replace("metric = 0.5\n", "metric = 0.5\npatience = 3\n")
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError) as refused:
        recipe.read(path)
    assert says in str(refused.value)


def test_a_try_on_a_few_photos_does_not_replace_what_is_shipped(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="needs an --out of its own"):
        call_command("trainencoder", data=tmp_path, run=tmp_path / "run", limit=8)
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_is_wrong_with_a_recipe(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(CommandError, match="cannot be read"):
        call_command(
            "trainencoder", data=tmp_path, config=missing, run=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()
