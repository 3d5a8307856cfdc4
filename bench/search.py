"""./run bench search: how long a search takes, beside a plain numpy scan.

Over the people of the client who has most of them in the active space (`./run manage
seedpeople` makes as many as one likes). Writes nothing: its viewer is rolled back.
"""

from __future__ import annotations

import argparse
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from bench._bench import quantiles, report, timed
from matching import search, selectors, spaces
from matching.features import WIDTH, FeatureSpace
from matching.metrics import recall_at_k
from matching.models import Space
from matching.search import Query
from matching.selectors import Filters
from profiles import services as people
from profiles.models import Gender, Photo, Profile, years_before
from twinby.progress import Progress

LIKED = DISLIKED = 5
K = 20
FETCHED = 5_000


@dataclass(frozen=True, eq=False)
class Oracle:
    """Everybody who passes the filters, in memory: the exact answer, and the peer."""

    ids: list[uuid.UUID]
    vectors: npt.NDArray[np.float32]

    def nearest(
        self, query: npt.NDArray[np.float64], exclude: set[uuid.UUID]
    ) -> list[uuid.UUID]:
        """The first K by inner product, of a scan over all."""
        scores = self.vectors @ query.astype(np.float32)
        enough = min(len(scores), K + len(exclude))
        best = np.argpartition(-scores, enough - 1)[:enough]
        ordered = (self.ids[i] for i in best[np.argsort(-scores[best])])
        return [pk for pk in ordered if pk not in exclude][:K]


def load(viewer: Profile, space: Space) -> Oracle:
    """All vectors that the viewer's filters let through, in binary form."""
    rows = selectors.eligible(viewer, space=space, filters=Filters())
    wanted = rows.values_list("profile_id", "vector").query.sql_with_params()
    ids, vectors = [], []
    # Django's own cursors bind on the client, which has no binary form.
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(*wanted, binary=True)
        while found := cursor.fetchmany(FETCHED):
            ids += [pk for pk, _ in found]
            # A halfvec comes as its width, two bytes of nothing, and the numbers.
            halves = [np.frombuffer(raw[4:], ">f2") for _, raw in found]
            vectors.append(np.array(halves)[:, :WIDTH].astype(np.float32))
    return Oracle(ids, np.concatenate(vectors))


def viewer_of(space: Space) -> Profile:
    """A man of thirty who seeks women, among the most people there are."""
    rows = space.vectors.values("profile__client").annotate(people=Count("pk"))
    biggest = rows.order_by("-people").first()
    if biggest is None:
        raise SystemExit("Nobody is there: ./run demo or ./run manage seedpeople.")
    return people.create_profile(
        client_id=biggest["profile__client"],
        consent=True,
        synthetic=True,
        birth_date=years_before(timezone.localdate(), 30),
        gender=Gender.MAN,
        seeking=[Gender.WOMAN],
    )


def queries(viewer: Profile, oracle: Oracle, count: int) -> list[Query]:
    """Five liked and five disliked photos of random people who may be seen."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(oracle.ids), (count, LIKED + DISLIKED))
    owners = [[oracle.ids[i] for i in dict.fromkeys(row)] for row in drawn]
    photos = dict(
        Photo.objects.published()
        .filter(owner__in={pk for row in owners for pk in row})
        .values_list("owner_id", "pk")
    )
    examples = [tuple(photos[pk] for pk in row) for row in owners]
    return [Query(liked=row[:LIKED], disliked=row[LIKED:], limit=K) for row in examples]


def measure(count: int) -> dict[str, Any]:
    """The figures of `count` searches, each answered by us and by the peer."""
    stored = spaces.active_space()
    space, viewer = spaces.feature_space(stored), viewer_of(stored)
    oracle = load(viewer, stored)
    asked = queries(viewer, oracle, count + 1)
    one_query(viewer, asked[0], space, oracle)  # caches fill
    rows, progress = [], Progress("Searching", count)
    for query in asked[1:]:
        rows.append(one_query(viewer, query, space, oracle))
        progress.step()
    progress.finish()
    ours, counts, peers, overlaps = zip(*rows, strict=True)
    return {
        "people": stored.vectors.count(),
        "eligible": len(oracle.ids),
        "queries": count,
        "search_ms": quantiles(ours),
        "count_ms": quantiles(counts),
        "peer": "numpy scan of the same vectors in memory, filters applied before",
        "peer_ms": quantiles(peers),
        f"overlap_at_{K}": round(float(np.mean(overlaps)), 4),
    }


def one_query(
    viewer: Profile, query: Query, space: FeatureSpace, oracle: Oracle
) -> tuple[float, float, float, float]:
    """Milliseconds of search, count and peer, and how far the answers agree."""
    page, ours = timed(lambda: search.search(viewer, query))
    rows = selectors.eligible(
        viewer, space=spaces.active_space(), filters=query.filters
    )
    _, counted = timed(rows.count)
    weights = search.learn(viewer, query, space).probes()[0]
    owners = Photo.objects.filter(pk__in=query.examples).values_list("owner_id")
    shown = {pk for (pk,) in owners}
    exact, peer = timed(lambda: oracle.nearest(weights, shown))
    found = [match.profile_id for match in page.matches]
    return ours, counted, peer, recall_at_k(found, exact=exact, k=K)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench search")
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()
    with transaction.atomic():
        figures = measure(options.queries)
        transaction.set_rollback(True)
    report("search", figures)


if __name__ == "__main__":
    main()
