"""The REST API, called over HTTP exactly as a dating app's backend would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demo.accounts import Credentials
from demo.failure import DemoError

TIMEOUT_SECONDS = 60
PAGE = 20


@dataclass(frozen=True)
class Api:
    """A client of the API at `url`, with a token once it has logged in."""

    url: str
    token: str = ""

    def logged_in(self, known: Credentials) -> Api:
        """POST /v1/tokens with a client's id and secret."""
        body = {"client_id": str(known.client_id), "client_secret": known.secret}
        return Api(self.url, self._post("/v1/tokens", body)["access_token"])

    def search(
        self,
        person_id: uuid.UUID,
        *,
        liked: Sequence[uuid.UUID],
        disliked: Sequence[uuid.UUID],
        genders: Sequence[str],
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """POST /v1/search/visual, page after page: all matches, and what was asked."""
        body = {
            "person_id": str(person_id),
            "positive_photo_ids": [str(pk) for pk in liked],
            "negative_photo_ids": [str(pk) for pk in disliked],
            "filters": {"genders": list(genders)},
            "limit": PAGE,
        }
        page = self._post("/v1/search/visual", body)
        matches, understood = page["matched_users"], page["query"]
        while page["next_cursor"]:
            page = self._post(
                "/v1/search/visual", {**body, "cursor": page["next_cursor"]}
            )
            matches = matches + page["matched_users"]
        return matches, understood

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        asked = urllib.request.Request(  # noqa: S310 - the URL is our own setting
            self.url.rstrip("/") + path, json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            raise DemoError(f"{path} answered {error.code}: {said}") from None
        except OSError as error:
            raise DemoError(
                f"Nobody answers at {self.url} ({error}). ./run serve starts it."
            ) from None
