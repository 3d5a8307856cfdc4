"""Learned priors as rows: learned from feedback, judged, found by who is sought."""

from __future__ import annotations

import json
import uuid
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from matching import priors, spaces
from matching.evaluation.prior_worth import Worth
from matching.features import WIDTH, pack
from matching.models import Feedback, LearnedPrior, PersonVector
from matching.preference import Prior
from matching.preference.labels import LabelKind
from matching.preference.learning import version_of
from matching.services.feedback import record
from profiles.models import Gender, Profile
from tests.conftest import MakePerson
from tests.matching.people import event
from tests.matching.test_preference import random_prior

pytestmark = pytest.mark.django_db
BETTER = Worth(tests=9, auc=0.7, plain_auc=0.6, low=0.05, high=0.15)


def made(seed: int = 0) -> Prior:
    return random_prior(np.random.default_rng(seed))


def kept(prior: Prior, *, seeking: str = "woman") -> LearnedPrior:
    return priors.keep(
        prior, space=spaces.active_space(), seeking=seeking, raters=9, worth=BETTER
    )


@pytest.fixture
def crowd(make_person: MakePerson) -> list[Profile]:
    """Thirty women whose first feature, their look, is bright or dark."""
    stored = spaces.active_space()
    frame, rng = spaces.feature_space(stored), np.random.default_rng(0)
    women = [make_person(gender=Gender.WOMAN) for _ in range(30)]
    for place, woman in enumerate(women):
        features = 0.1 * rng.normal(size=WIDTH)
        features[0] = 2 if place % 2 else -2
        PersonVector.objects.create(
            profile=woman, space=stored, vector=pack(frame, features).tolist()
        )
    return women


@pytest.fixture
def feedback(crowd: list[Profile], make_person: MakePerson, tmp_path: Path) -> Path:
    """Twelve men, all of whom like the bright ones."""
    rng = np.random.default_rng(1)
    lines = []
    for _ in range(12):
        man = make_person(gender=Gender.MAN, seeking=[Gender.WOMAN])
        for _ in range(8):
            bright, dark = rng.integers(15, size=2)
            liked, passed = crowd[2 * bright + 1], crowd[2 * dark]
            row = {"person": man.pk, "matched": liked.pk, "passed": passed.pk}
            lines.append(json.dumps({role: str(pk) for role, pk in row.items()}))
    file = tmp_path / "feedback.jsonl"
    file.write_text("\n".join(lines))
    return file


def learnprior(file: Path, *options: str, capsys: Any) -> list[dict[str, Any]]:
    call_command("learnprior", "--feedback", str(file), *options)
    answer: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return answer


def test_nobody_has_a_prior_before_one_was_learned() -> None:
    assert priors.active_prior(["woman"]).version == "cold"


def test_an_active_prior_is_bitwise_the_one_that_was_kept() -> None:
    prior = made()
    priors.activate(kept(prior))
    active = priors.active_prior(["woman"])
    assert version_of(active) == version_of(prior)
    assert active.version == prior.version
    assert priors.active_prior(["man"]).version == "cold"
    assert priors.active_prior(["woman", "man"]).version == "cold"


def test_genders_sought_have_one_name_in_any_order() -> None:
    priors.activate(kept(made(), seeking=priors.seeking_key(["woman", "man"])))
    assert priors.active_prior(["man", "woman"]).version == "random"


def test_one_prior_follows_another() -> None:
    first, second = made(1), made(2)
    rows = [kept(first)]
    rows.append(
        priors.keep(
            Prior(second.mean, second.variance, version="second"),
            space=spaces.active_space(),
            seeking="woman",
            raters=9,
            worth=BETTER,
        )
    )
    for row in rows:
        priors.activate(row)
    assert priors.active_prior(["woman"]).version == "second"
    rows[0].refresh_from_db()
    assert rows[0].status == LearnedPrior.Status.RETIRED


def test_the_database_refuses_two_active_priors_of_the_same_genders() -> None:
    row = kept(made())
    priors.activate(row)
    row.pk, row.version, row.status = None, "other", LearnedPrior.Status.ACTIVE
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_what_is_no_prior_is_not_loaded() -> None:
    with pytest.raises(ValueError, match="not the bytes"):
        priors.from_npz(b"nonsense")


def test_learnprior_uses_what_beats_the_plain_formula(
    feedback: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(priors, "worth", lambda group: BETTER)
    (learned,) = learnprior(feedback, capsys=capsys)
    assert (learned["seeking"], learned["raters"]) == ("woman", 12)
    assert learned["activated"]
    active = priors.active_prior(["woman"])
    assert active.version == learned["version"] != "cold"
    assert active.mean[0] > 0.1  # all like the bright


def test_learnprior_keeps_but_does_not_use_what_is_no_better(
    feedback: Path, capsys: Any
) -> None:
    # Ten examples show it as well as any prior: the plain formula loses nobody.
    (learned,) = learnprior(feedback, capsys=capsys)
    assert not learned["activated"]
    assert learned["worth"]["plain_auc"] == 1
    assert priors.active_prior(["woman"]).version == "cold"
    assert LearnedPrior.objects.get().version == learned["version"]
    (forced,) = learnprior(feedback, "--force", capsys=capsys)
    assert forced["version"] == learned["version"]
    assert priors.active_prior(["woman"]).version == learned["version"]


def test_the_last_word_about_somebody_counts(
    crowd: list[Profile], make_person: MakePerson
) -> None:
    man = make_person(gender=Gender.MAN, seeking=[Gender.WOMAN])
    said = [
        priors.Label(man.pk, crowd[0].pk, LabelKind.PASS, age_days=1),
        priors.Label(man.pk, crowd[0].pk, LabelKind.LIKE, age_days=9),
        priors.Label(man.pk, crowd[1].pk, LabelKind.LIKE, age_days=5),
        priors.Label(man.pk, uuid.uuid4(), LabelKind.LIKE),
    ]
    (rater,) = priors.raters(said, spaces.active_space())["woman"]
    assert sorted(rater.liked.tolist()) == [False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "Line 1"),
        ('{"person": "x", "matched": "y", "passed": "z"}', "Line 1"),
        ("[]", "Line 1"),
        ("", "tell nothing"),
    ],
)
def test_learnprior_says_what_is_wrong_with_its_file(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "feedback.jsonl"
    file.write_text(text)
    with pytest.raises(CommandError, match=says):
        call_command("learnprior", "--feedback", str(file), stdout=StringIO())
    assert not LearnedPrior.objects.exists()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("learnprior", "--feedback", str(tmp_path / "none"))


def test_feedback_of_people_who_have_said_little_is_left_out(
    make_person: MakePerson,
) -> None:
    women = [make_person(gender=Gender.WOMAN) for _ in range(priors.LEAST_LABELS)]
    talkative, silent = (make_person(gender=Gender.MAN) for _ in range(2))
    record(talkative, [event(Feedback.Kind.LIKE, woman) for woman in women])
    record(silent, [event(Feedback.Kind.LIKE, woman) for woman in women[1:]])
    assert {label.person for label in priors.labels_said()} == {talkative.pk}
