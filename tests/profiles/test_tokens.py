"""Tokens: who gets one, for whom, for how long, and what it opens."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from rest_framework.test import APIClient

from profiles import services
from profiles.models import Client, Photo, Profile
from tests.conftest import MakePerson, MakePhoto
from twinby.rest.callers import Caller, issue_token

URL = "/v1/tokens"
ApiAs = Callable[[Profile], APIClient]


@pytest.fixture
def credentials(db: None) -> dict[str, str]:
    client, secret = services.create_client("credentials")
    return {"client_id": str(client.pk), "client_secret": secret}


def ask(body: dict[str, Any]) -> Any:
    return APIClient().post(URL, body, format="json")


def bearer(token: str) -> APIClient:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return api


def status(api: APIClient, person: Profile) -> int:
    return int(api.get(f"/v1/people/{person.pk}").status_code)


# Getting one --------------------------------------------------------------------------


def test_a_client_gets_a_token_for_itself(credentials: dict[str, str]) -> None:
    answer = ask(credentials)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] == 900
    declared = {"birth_date": "1990-01-01", "gender": "man", "seeking": ["woman"]}
    api = bearer(answer.json()["access_token"])
    assert api.post("/v1/people", declared, format="json").status_code == 201


def test_a_client_gets_a_token_for_one_of_its_people(
    credentials: dict[str, str], make_person: MakePerson
) -> None:
    mine = make_person(client_id=uuid.UUID(credentials["client_id"]))
    other = make_person(client_id=mine.client_id)
    answer = ask({**credentials, "person_id": str(mine.pk)})
    api = bearer(answer.json()["access_token"])
    assert status(api, mine) == 200
    assert status(api, other) == 404


def test_a_client_gets_no_token_for_another_clients_person(
    credentials: dict[str, str], alice: Profile
) -> None:
    strange = ask({**credentials, "person_id": str(alice.pk)})
    absent = ask({**credentials, "person_id": str(uuid.uuid4())})
    assert strange.status_code == absent.status_code == 404
    assert strange.json() == absent.json()  # nothing tells the two apart


def test_a_wrong_secret_and_an_unknown_client_look_the_same(
    credentials: dict[str, str],
) -> None:
    wrong = ask({**credentials, "client_secret": "wrong"})
    unknown = ask({**credentials, "client_id": str(uuid.uuid4())})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["type"] == "urn:twinby:problem:invalid-credentials"
    assert wrong["WWW-Authenticate"] == "Bearer"


def test_an_empty_secret_opens_nothing(credentials: dict[str, str]) -> None:
    assert ask({**credentials, "client_secret": ""}).status_code == 400
    with pytest.raises(services.CredentialsError):
        services.authenticate_client(client_id=uuid.uuid4(), secret="")


def test_an_inactive_client_gets_none(credentials: dict[str, str]) -> None:
    Client.objects.filter(pk=credentials["client_id"]).update(active=False)
    assert ask(credentials).status_code == 401


def test_a_new_secret_ends_the_old_one(credentials: dict[str, str]) -> None:
    client = Client.objects.get(pk=credentials["client_id"])
    services.set_client_secret(client, "another secret, as random as the first")
    assert ask(credentials).status_code == 401
    new = {**credentials, "client_secret": "another secret, as random as the first"}
    assert ask(new).status_code == 200


def test_the_secret_itself_is_not_stored(credentials: dict[str, str]) -> None:
    client = Client.objects.get(pk=credentials["client_id"])
    assert credentials["client_secret"] not in str(vars(client))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"client_id": "not a uuid", "client_secret": "x"},
        {"client_id": str(uuid.uuid4()), "client_secret": "x", "scope": "all"},
        {"client_id": str(uuid.uuid4()), "client_secret": "x" * 201},
        {"client_id": str(uuid.uuid4()), "client_secret": {"$ne": ""}},
        {"client_id": str(uuid.uuid4()), "client_secret": "x\x00"},
    ],
)
def test_it_refuses_requests_it_does_not_understand(
    db: None, body: dict[str, Any]
) -> None:
    answer = ask(body)
    assert answer.status_code == 400
    assert answer.json()["errors"]


# Using one ----------------------------------------------------------------------------


def test_nobody_comes_in_without_a_token(alice: Profile) -> None:
    answer = APIClient().get(f"/v1/people/{alice.pk}")
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:twinby:problem:not-authenticated"
    assert answer["WWW-Authenticate"] == "Bearer"


def _claims(person: Profile) -> dict[str, Any]:
    token = issue_token(Caller(client_id=person.client_id, person_id=person.pk))
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _expired(person: Profile) -> str:
    claims = {**_claims(person), "exp": 1_000_000_000}
    return _signed(claims)


def _signed(claims: dict[str, Any], key: str = "", algorithm: str = "HS256") -> str:
    own_key = str(django_settings.SIMPLE_JWT["SIGNING_KEY"])
    return jwt.encode(claims, key or own_key, algorithm=algorithm)


FORGERIES: dict[str, Callable[[Profile], str]] = {
    "expired": _expired,
    "of another key": lambda p: _signed(_claims(p), "k" * 64),
    "unsigned": lambda p: jwt.encode(_claims(p), "", algorithm="none"),
    "of another algorithm": lambda p: _signed(_claims(p), algorithm="HS512"),
    "for another audience": lambda p: _signed({**_claims(p), "aud": "elsewhere"}),
    "of another issuer": lambda p: _signed({**_claims(p), "iss": "elsewhere"}),
    "of another kind": lambda p: _signed({**_claims(p), "token_type": "refresh"}),
    "without a client": lambda p: _signed(
        {k: v for k, v in _claims(p).items() if k != "client"}
    ),
    "of nonsense ids": lambda p: _signed({**_claims(p), "person": "'; DROP TABLE"}),
    "cut short": lambda p: _signed(_claims(p))[:-4],
    "no token at all": lambda p: "x",
}


# The signing key of tests is too short for HS512, which is not what is tested here.
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_it_refuses_a_token_that_is(
    alice: Profile, forge: Callable[[Profile], str]
) -> None:
    token = forge(alice)
    answer = bearer(token).get(f"/v1/people/{alice.pk}")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert token not in answer.content.decode()


def test_the_forgeries_are_refused_for_what_is_wrong_with_them(alice: Profile) -> None:
    assert status(bearer(_signed(_claims(alice))), alice) == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Basic YTpi", "Bearer é"])
def test_it_refuses_odd_headers(alice: Profile, header: str) -> None:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=header)
    assert status(api, alice) == 401


def test_a_token_lives_as_long_as_it_says(alice: Profile, settings: Any) -> None:
    claims = _claims(alice)
    lifetime = dt.timedelta(seconds=claims["exp"] - claims["iat"])
    assert lifetime == settings.TOKEN_LIFETIME


# Whose is whose -----------------------------------------------------------------------


def test_a_person_sees_nobody_elses_things(
    api_as: ApiAs, alice: Profile, make_person: MakePerson, make_photo: MakePhoto
) -> None:
    bella = make_person()
    photo = make_photo(bella)
    mine = api_as(alice)
    for answer in (
        mine.get(f"/v1/people/{bella.pk}"),
        mine.patch(f"/v1/people/{bella.pk}", {"about": "x"}, format="json"),
        mine.delete(f"/v1/people/{bella.pk}"),
        mine.post(f"/v1/people/{bella.pk}/photos", {}, format="multipart"),
        mine.get(f"/v1/photos/{photo.pk}"),
        mine.delete(f"/v1/photos/{photo.pk}"),
    ):
        assert answer.status_code == 404
    assert Profile.objects.filter(pk=bella.pk, about="").exists()
    assert Photo.objects.filter(pk=photo.pk).exists()


def test_a_service_reaches_its_own_people_only(
    api: APIClient, alice: Profile, make_person: MakePerson, make_photo: MakePhoto
) -> None:
    stranger = make_person(client_id=services.create_client("another app")[0].pk)
    photo = make_photo(stranger)
    assert status(api, alice) == 200
    for answer in (
        api.get(f"/v1/people/{stranger.pk}"),
        api.patch(f"/v1/people/{stranger.pk}", {"about": "x"}, format="json"),
        api.delete(f"/v1/people/{stranger.pk}"),
        api.post(f"/v1/people/{stranger.pk}/photos", {}, format="multipart"),
        api.get(f"/v1/photos/{photo.pk}"),
        api.delete(f"/v1/photos/{photo.pk}"),
    ):
        assert answer.status_code == 404
    assert Profile.objects.filter(pk=stranger.pk, about="").exists()


def test_a_person_cannot_create_people(api_as: ApiAs, alice: Profile) -> None:
    declared = {"birth_date": "1990-01-01", "gender": "man", "seeking": ["woman"]}
    answer = api_as(alice).post("/v1/people", declared, format="json")
    assert answer.status_code == 403


# The end of one -----------------------------------------------------------------------


def test_an_erased_persons_token_opens_nothing_any_more(
    api_as: ApiAs, alice: Profile
) -> None:
    own = api_as(alice)
    services.erase_profile(Profile.objects.get(pk=alice.pk))
    assert status(own, alice) == 401


def test_tokens_of_a_deactivated_client_open_nothing_any_more(
    api: APIClient, api_as: ApiAs, alice: Profile
) -> None:
    own = api_as(alice)
    Client.objects.update(active=False)
    assert status(api, alice) == status(own, alice) == 401
    assert api.post("/v1/people", {}, format="json").status_code == 401
    Client.objects.update(active=True)
    assert status(api, alice) == status(own, alice) == 200
