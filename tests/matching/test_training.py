"""A head learns whom photos show, and numpy applies exactly what torch has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")
pytest.importorskip("pytorch_metric_learning", reason="needs requirements/vlm.txt")

import torch

from matching.projection import HeadWeights, Projection, untrained
from matching.training import pipeline
from matching.training.cached import CachedFeatures, FeaturesError
from matching.training.feedback import Triplets, divided, read_triplets
from matching.training.fit import Recipe, fit
from matching.training.network import HeadNetwork
from matching.training.objectives import (
    PHOTOS_PER_PERSON,
    FeedbackTriplets,
    SemiHardTriplets,
    SupervisedContrast,
)
from matching.training.splits import Part, parts

pytestmark = pytest.mark.torch

WIDTH = 40
QUICK = Recipe(epochs=6)


def photos_of(
    people: int, *, seed: int = 0, width: int = WIDTH, each: int = 4
) -> CachedFeatures:
    """People who differ in a quarter of the features; the others are louder noise."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    features = rng.normal(scale=3.0, size=(len(who), width))
    telling = width // 4
    features[:, :telling] = rng.normal(size=(people, telling))[who]
    features[:, :telling] += rng.normal(scale=0.2, size=(len(who), telling))
    names = np.array([f"person-{index}" for index in who])
    return CachedFeatures(features.astype(np.float32), names, "fake:fake-1")


def trained(cached: CachedFeatures, recipe: Recipe = QUICK) -> pipeline.Trained:
    lesson = pipeline.identity_lesson(cached)
    return pipeline.train_head(
        lesson, untrained(width=cached.width), recipe, tell=lambda loss, epoch: None
    )


@pytest.fixture(scope="module")
def learned() -> pipeline.Trained:
    return trained(photos_of(250))


def test_a_head_beats_chance_raw_features_and_no_head_on_people_it_has_not_seen(
    learned: pipeline.Trained,
) -> None:
    figures = learned.metrics["headlines"]
    assert set(figures) == {
        "recall_at_1",
        "recall_at_5",
        "recall_at_10",
        "map_at_r",
        "silhouette",
    }
    for rival in ("random", "raw", f"untrained-orthonormal-{WIDTH}"):
        before = learned.metrics["beside"][rival]
        for name, value in figures.items():
            assert value > before[name], (rival, name)
    assert figures["recall_at_1"] > 0.6


def test_both_losses_are_reported_and_the_better_validated_is_kept(
    learned: pipeline.Trained,
) -> None:
    beside = learned.metrics["beside"]
    assert {"triplet", "supcon"} <= set(beside)
    kept = learned.metrics["loss"]
    assert beside[kept] == learned.metrics["headlines"]
    best = {
        loss: max(epoch.validation for epoch in history)
        for loss, history in learned.history.items()
    }
    assert best[kept] == max(best.values())


def test_nobody_is_learned_from_and_measured_on() -> None:
    names = np.array([f"person-{index}" for index in range(2_000)])
    part = parts(names)
    shares = {p: float((part == p).mean()) for p in Part}
    assert shares == pytest.approx(
        {Part.TRAINING: 0.7, Part.VALIDATION: 0.1, Part.UNSEEN: 0.2}, abs=0.03
    )
    shuffled = np.random.default_rng(0).permutation(2_000)
    assert (parts(names[shuffled]) == part[shuffled]).all()


def test_people_given_to_be_measured_on_are_not_learned_from() -> None:
    cached = photos_of(60)
    held_out = cached.where(np.isin(cached.people, [f"person-{i}" for i in range(20)]))
    lesson = pipeline.identity_lesson(cached, held_out)
    assert not set(lesson.photos.people) & set(held_out.people)
    assert lesson.about["unseen"]["people"] == 20
    assert lesson.about["training"]["people"] < 40


def test_the_same_seed_gives_the_same_head_and_another_another() -> None:
    cached = photos_of(150)  # so many that something is learned, and not the start kept

    def version(seed: int) -> str:
        recipe = Recipe(seed=seed, epochs=3)
        return trained(cached, recipe).weights.version("fake:fake-1")

    assert version(1) == version(1)
    assert version(1) != version(2)


@pytest.mark.parametrize("width", [64, 512, 1536])
def test_numpy_applies_what_torch_has_learned(width: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=width), rng.uniform(0.5, 2.0, size=width)
    network = HeadNetwork(mean.astype(np.float32), scale.astype(np.float32))
    with torch.no_grad():  # away from its start, where half of it is zero
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network.eval()
    features = rng.normal(size=(64, width)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(features)).numpy()
    weights = network.weights()
    embeddings = Projection("head", weights.width, weights)(features)
    assert np.abs(embeddings - expected).max() < 1e-5
    assert embeddings.shape == (64, 512)


@pytest.mark.parametrize("width", [64, 512, 1536])
def test_training_starts_at_the_untrained_projection(width: int) -> None:
    network = HeadNetwork(np.zeros(width, np.float32), np.ones(width, np.float32))
    weights = network.weights()
    features = np.random.default_rng(0).normal(size=(8, width))
    start = Projection("head", width, weights)(features)
    assert start == pytest.approx(untrained(width=width)(features), abs=1e-5)


def test_weights_that_were_taken_stay_as_they_were_while_training_goes_on() -> None:
    network = HeadNetwork(np.zeros(64, np.float32), np.ones(64, np.float32))
    taken = network.weights()
    version = taken.version("a")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert taken.version("a") == version != network.weights().version("a")


def test_training_stops_when_validation_sees_no_gain() -> None:
    rng = np.random.default_rng(0)
    noise = CachedFeatures(
        rng.normal(size=(240, 16)).astype(np.float32),
        np.repeat([f"person-{index}" for index in range(60)], 4),
        "fake:fake-1",
    )
    history = trained(noise, Recipe(epochs=60, patience=2)).history
    assert all(len(epochs) < 30 for epochs in history.values())


def starts(features: npt.NDArray[np.float32]) -> tuple[HeadWeights, HeadWeights]:
    """What training can start as: the features as they are, and standardised."""
    judged: list[HeadWeights] = []

    def judge(weights: HeadWeights) -> float:
        judged.append(weights)
        return 0.0

    nobody_apart = SemiHardTriplets(np.full(len(features), "somebody"))
    nothing = Recipe(epochs=0)
    fit(nobody_apart, features, judge, nothing, step=lambda epoch: None)
    return judged[0], judged[1]


def test_a_feature_that_is_always_the_same_gets_no_more_weight() -> None:
    features = np.full((50_000, 3), 0.1, np.float32)
    features[:, 1] = 7.0
    features[::2, 1] = np.nextafter(np.float32(7.0), np.float32(8.0))  # by rounding
    features[:, 2] = np.random.default_rng(0).normal(5.0, 0.01, size=50_000)
    as_they_are, standardised = starts(features)
    constant = slice(0, 2)
    assert (standardised.inward[constant] == as_they_are.inward[constant]).all()
    spread = features[:, 2].std(dtype=np.float64)
    expected = as_they_are.inward[2] / spread
    assert standardised.inward[2] == pytest.approx(expected, rel=1e-6)


def test_standardised_features_are_centred() -> None:
    features = np.full((50_000, 2), 0.1, np.float32)
    features[:, 1] = np.random.default_rng(0).normal(5.0, 0.01, size=50_000)
    _, standardised = starts(features)
    middle = features.mean(axis=0, dtype=np.float64)
    hidden = middle @ standardised.inward + standardised.inward_bias
    assert np.abs(hidden).max() < 1e-4


def test_a_batch_holds_people_with_several_photos_each() -> None:
    people = np.array(["a"] * 6 + ["b"] * 2 + ["alone"] + ["c"] * 3)
    rng = np.random.default_rng(0)
    (rows,) = SemiHardTriplets(people).batches(rng)
    names, count = np.unique(people[rows], return_counts=True)
    assert dict(zip(names, count, strict=True)) == {
        "a": PHOTOS_PER_PERSON,
        "b": 2,
        "c": 3,
    }
    assert len(set(rows.tolist())) == len(rows)


def embeddings_at(degrees: list[float]) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    plane = torch.zeros(len(degrees), 512)
    plane[:, 0], plane[:, 1] = torch.cos(angle), torch.sin(angle)
    return plane


def test_semi_hard_triplets_have_a_margin_of_half_on_squared_distances() -> None:
    people = np.array(["a", "a", "b"])
    objective = SemiHardTriplets(people)
    rows = np.arange(3)
    # Squared distances, 2 - 2 cos: a-a 0.268 (30 degrees), a-b 2 and 1 (90 and 60).
    assert objective.loss(embeddings_at([0, 30, 90]), rows).item() == 0
    # a-b 0.586 and 0.068 (45 and 15): the first is semi-hard, the second too hard.
    loss = objective.loss(embeddings_at([0, 30, 45]), rows).item()
    assert loss == pytest.approx(0.268 - 0.586 + 0.5, abs=1e-3)


def test_supervised_contrast_remembers_earlier_batches() -> None:
    objective = SupervisedContrast(np.array(["a", "a", "b", "b", "c", "c"]))
    one = embeddings_at([0, 10, 90, 100, 20, 30])
    rows = np.array([0, 1, 2, 3])
    alone = objective.loss(one[rows], rows).item()
    objective.loss(one[[4, 5, 2, 3]], np.array([4, 5, 2, 3]))
    assert objective.loss(one[rows], rows).item() > alone  # c is near a


# Feedback -----------------------------------------------------------------------------


def taste_triplets(cached: CachedFeatures, file: Path) -> Path:
    """Everybody matches with who is like them in the telling features."""
    rng = np.random.default_rng(1)
    names, first = np.unique(cached.people, return_index=True)
    telling = cached.features[first, : WIDTH // 4]
    lines = []
    for me in range(len(names)):
        for _ in range(12):
            one, other = rng.choice(len(names), 2, replace=False)
            if me in (one, other):
                continue
            near, far = sorted(
                (one, other),
                key=lambda i: float(((telling[i] - telling[me]) ** 2).sum()),
            )
            lines.append(
                f'{{"person": "{names[me]}", "matched": "{names[near]}", '
                f'"passed": "{names[far]}"}}'
            )
    file.write_text("\n".join(lines))
    return file


def test_a_head_learns_whom_people_match_with(tmp_path: Path) -> None:
    cached = photos_of(120)
    triplets, unknown = read_triplets(
        taste_triplets(cached, tmp_path / "feedback.jsonl"), cached
    )
    assert unknown == 0
    lesson = pipeline.feedback_lesson(cached, triplets)
    result = pipeline.train_head(
        lesson, untrained(width=WIDTH), QUICK, tell=lambda loss, epoch: None
    )
    accuracy = result.metrics["headlines"]["triplet_accuracy"]
    beside = result.metrics["beside"]
    assert beside["random"]["triplet_accuracy"] == pytest.approx(0.5, abs=0.1)
    assert accuracy > beside["raw"]["triplet_accuracy"] + 0.05


def test_triplets_of_people_without_features_are_left_out(tmp_path: Path) -> None:
    cached = photos_of(3)
    file = tmp_path / "feedback.jsonl"
    line = '{"person": "person-0", "matched": "person-2", "passed": "%s"}\n'
    file.write_text(line % "person-1" + line % "somebody" + line % "person-1")
    triplets, unknown = read_triplets(file, cached)
    assert triplets.tolist() == [[0, 2, 1]]
    assert unknown == 1


@pytest.mark.parametrize("text", ["no json", '{"person": "a"}', "[1]", '{"person": 1'])
def test_a_file_that_holds_no_triplets_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "feedback.jsonl"
    file.write_text(text)
    with pytest.raises(FeaturesError, match="person, matched, passed"):
        read_triplets(file, photos_of(2))


def test_a_step_shows_one_photo_of_each_of_the_three() -> None:
    cached = photos_of(5)
    triplets = np.array([[0, 1, 2], [3, 4, 0]])
    objective = FeedbackTriplets(cached.people, triplets)
    (rows,) = objective.batches(np.random.default_rng(0))
    seen = [int(name.removeprefix("person-")) for name in cached.people[rows]]
    assert sorted(zip(seen[:2], seen[2:4], seen[4:], strict=True)) == [
        (0, 1, 2),
        (3, 4, 0),
    ]


def mutual_triplets(people: int, *, each: int, seed: int = 0) -> Triplets:
    """Everybody's draws from likes and dislikes that are mutual and without reason."""
    rng = np.random.default_rng(seed)
    likes = np.triu(rng.random((people, people)) < 0.5, 1)
    likes |= likes.T
    others = ~np.eye(people, dtype=bool)
    found = [
        (me, rng.choice(np.flatnonzero(likes[me])), rng.choice(passed))
        for me in range(people)
        for passed in [np.flatnonzero(~likes[me] & others[me])]
        for _ in range(each)
    ]
    return np.unique(np.array(found, dtype=np.intp), axis=0)


def pairs_of(triplets: Triplets) -> set[frozenset[int]]:
    return {
        frozenset((person, other))
        for person, *two in triplets.tolist()
        for other in two
    }


def test_no_pair_is_learned_from_or_stopped_by_and_measured_on() -> None:
    triplets = mutual_triplets(100, each=60)
    chooser = np.array([f"person-{index}" for index in triplets[:, 0]])
    part = parts(chooser)
    learned, validation, unseen = divided(triplets, part)
    assert not pairs_of(learned) & (pairs_of(validation) | pairs_of(unseen))
    assert not pairs_of(validation) & pairs_of(unseen)
    assert unseen.tolist() == triplets[part == Part.UNSEEN].tolist()
    # Nothing is left out but for such a pair.
    kept_back = pairs_of(validation) | pairs_of(unseen)
    assert learned.tolist() == [
        triplet
        for triplet in triplets[part == Part.TRAINING].tolist()
        if not pairs_of(np.array([triplet])) & kept_back
    ]
    assert min(map(len, (learned, validation, unseen))) > 100


def test_what_was_learned_by_heart_is_worth_nothing_on_the_unseen() -> None:
    people = 100
    cached = photos_of(people, each=1)
    place = np.unique(cached.people, return_inverse=True)[1]
    lesson = pipeline.feedback_lesson(cached, mutual_triplets(people, each=60))
    objective = lesson.losses["triplet"]()
    assert isinstance(objective, FeedbackTriplets)
    person, matched, passed = objective.triplets.T
    near = np.zeros((people, people))
    near[person, matched] = near[matched, person] = 1
    near[person, passed] = near[passed, person] = -1

    def by_heart(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return (np.eye(people) + 0.01 * near)[place]

    accuracy = lesson.measure(by_heart)["triplet_accuracy"]
    assert accuracy == pytest.approx(0.5, abs=0.05)
    assert lesson.validate(by_heart) == pytest.approx(0.5, abs=0.1)


def test_too_few_triplets_are_refused() -> None:
    triplets = np.array([[0, 1, 2], [3, 4, 0]])
    with pytest.raises(FeaturesError, match="2 triplets are too few"):
        pipeline.feedback_lesson(photos_of(5), triplets)


@pytest.mark.parametrize("people", [0, 1, 3])
def test_too_few_people_are_refused(people: int) -> None:
    cached: Any = photos_of(people) if people else photos_of(20, each=1)
    with pytest.raises(FeaturesError, match="too few"):
        pipeline.identity_lesson(cached)
