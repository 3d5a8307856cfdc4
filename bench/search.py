"""./run bench search: what searches find and how long they take, beside other ways.

With --people N over so many seeded people in a database of its own, which is dropped
afterwards; without, over the people who are there, and nothing of it stays.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
import uuid
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from django.test.utils import override_settings
from rest_framework.test import APIClient

from bench import _peers as peers
from bench._awake import awake
from bench._bench import quantiles, report, timed
from bench._crowd import crowd, sizes
from bench._fuzzy import winners
from bench._shapes import K, Oracle, Shape, anchors, queries, searcher, shapes
from matching import cache, facets, search, selectors, spaces
from matching.features import FeatureSpace, person_presence
from matching.models import Space
from matching.search import Query
from matching.selectors import Filters
from profiles.models import Profile
from twinby.progress import Progress
from twinby.rest.callers import Caller, issue_token

WORKERS = 2
WORKER_SECONDS = 5.0
FUZZY_QUERIES = 5
WARMING = 10  # calls before any counts, as a server has answered that is looked at
PEER_SHAPE = "gender"
UNLIMITED = 1_000_000_000
PEERS = (*peers.ENGINES, "pgvector_defaults", "fuzzy_python")


class Bench:
    """One searcher, their queries, and everybody in memory."""

    def __init__(self, viewer: Profile, stored: Space, count: int) -> None:
        self.viewer, self.stored = viewer, stored
        self.space: FeatureSpace = spaces.feature_space(stored)
        self.oracle = Oracle(viewer, stored)
        self.asked = queries(anchors(viewer), count + 1)
        self.tastes = [
            search.learn(viewer, query, self.space, usable=query.examples).probes()[0]
            for query in self.asked
        ]
        self.api = APIClient(HTTP_HOST="127.0.0.1")
        token = issue_token(Caller(client_id=viewer.client_id, person_id=viewer.pk))
        self.api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        for query in self.asked[:WARMING]:
            self.call(query)
        # As twinby.wsgi does once it is loaded.
        gc.collect()
        gc.freeze()

    def passing(self, shape: Shape) -> Any:
        """The oracle's rows of those who pass."""
        rows = selectors.eligible(self.viewer, space=self.stored, filters=shape.filters)
        return self.oracle.rows(rows.values_list("profile_id", flat=True))

    def shape(self, shape: Shape) -> dict[str, Any]:
        """What is found by it, and how long that takes; the first query warms up.

        All is asked before anything is judged: whoever reads everybody in memory leaves
        the processor's caches to nobody else.
        """
        rows = self.passing(shape)
        left = [self._left(shape, taste, rows) for taste in self.tastes]
        progress = Progress(f"Searching, {shape.name}", 2 * len(left))
        found, database, calls = [], [], []
        for taste, (filters, _) in zip(self.tastes, left, strict=True):
            page, took = timed(lambda t=taste, f=filters: self.candidates(t, f))  # type: ignore[misc]
            found.append(page)
            database.append(took)
            progress.step()
        for query, (filters, _) in zip(self.asked, left, strict=True):
            calls.append(self.call(replace(query, filters=filters)))
            progress.step()
        progress.finish()
        return {
            "eligible": len(rows),
            **self._judged(found, [kept for _, kept in left]),
            **{f"db_{name}_ms": took for name, took in quantiles(database[1:]).items()},
            "db_p99_ms": round(float(np.percentile(database[1:], 99)), 2),
            **{f"call_{name}_ms": took for name, took in quantiles(calls[1:]).items()},
        }

    def _left(self, shape: Shape, taste: Any, rows: Any) -> tuple[Filters, Any]:
        """The filters of one query, and the rows of those who pass them."""
        if not shape.nearest_seen:
            return shape.filters, rows
        seen = self.oracle.nearest(taste, rows, shape.nearest_seen)
        ids = frozenset(self.oracle.ids[row] for row in seen)
        return replace(shape.filters, exclude=ids), np.setdiff1d(rows, seen)

    def _judged(self, found: list[Any], left: list[Any]) -> dict[str, Any]:
        recalls = [
            self.oracle.recall(
                taste, self.oracle.rows(p.profile_id for p in page), rows
            )
            for taste, page, rows in zip(self.tastes, found, left, strict=True)
        ][1:]
        pairs = list(zip(found, left, strict=True))
        return {
            "recall_at_20": round(float(np.mean(recalls)), 4),
            "worst_recall": round(float(np.min(recalls)), 4),
            "short_pages": sum(len(page) < min(K, len(rows)) for page, rows in pairs),
            "exact_pages": sum(all(one.is_exact for one in page) for page in found),
        }

    def candidates(self, taste: Any, filters: selectors.Filters) -> Any:
        """The database's part of a search, with the last look at who may be shown."""
        return selectors.candidates(
            self.viewer, space=self.stored, query=taste, filters=filters, limit=K
        )

    def call(self, query: Query) -> float:
        """Milliseconds of a whole request, from JSON to JSON."""
        return self.post("visual", as_sent(query))[1]

    def kept(self, shape: Shape) -> dict[str, Any]:
        """What is kept in Valkey, beside the same made anew: medians in milliseconds.

        A page behind a cursor, beside the first; facets a second time.
        """
        names = ("first_page_ms", "next_page_ms", "facets_ms", "facets_kept_ms")
        rows = []
        for query in self.asked:
            body = as_sent(replace(query, filters=shape.filters))
            first, opened = self.post("visual", body)
            following = {**body, "cursor": first.json()["next_cursor"]}
            _, turned = self.post("visual", following)
            counted = {"filters": body["filters"]}
            cache.forget(facets.kept_for(self.viewer.pk))
            times = [self.post("facets", counted)[1] for _ in range(2)]
            rows.append([opened, turned, *times])
        medians = np.median(rows[1:], axis=0).round(2).tolist()
        return dict(zip(names, medians, strict=True))

    def post(self, door: str, body: dict[str, Any]) -> tuple[Any, float]:
        """What /v1/search/… answers, and after how many milliseconds."""
        path = f"/v1/search/{door}"
        answer, took = timed(lambda: self.api.post(path, body, format="json"))
        if answer.status_code != 200:
            raise SystemExit(f"A search was answered {answer.status_code}.")
        return answer, took

    def peers(self, names: list[str], shape: Shape) -> dict[str, Any]:
        """The same queries by others."""
        rows, tastes = self.passing(shape), self.tastes[1:]
        vectors = peers.with_slack(self.space, self.oracle.vectors[rows])
        figures: dict[str, Any] = {
            name: peers.engine(name, self.oracle, rows, vectors, tastes)
            for name in names
            if name in peers.ENGINES
        }
        if "pgvector_defaults" in names:
            wanted = selectors.wanted_of(self.viewer, shape.filters)
            figures["pgvector_defaults"] = peers.pgvector_defaults(
                self.stored, wanted, self.oracle, rows, tastes
            )
        if "fuzzy_python" in names:
            asked = [self._as_winners(query) for query in self.asked[:FUZZY_QUERIES]]
            figures["fuzzy_python"] = peers.fuzzy(
                self.stored, self.oracle, rows, asked, self.tastes[:FUZZY_QUERIES]
            )
        return figures

    def _as_winners(self, query: Query) -> Any:
        seen = spaces.sightings_in(self.space, query.examples)
        shown = (person_presence([seen[pk].attributes]) for pk in query.examples)
        read = [winners(presence) for presence in shown]
        return read[: len(query.liked)], read[len(query.liked) :]


def as_sent(query: Query) -> dict[str, Any]:
    """A query as a dating app would send it."""
    wanted = query.filters
    names = ("age_min", "age_max", "radius_km")
    filters = {name: getattr(wanted, name) for name in names}
    filters |= {"genders": list(wanted.genders)}
    filters |= {"exclude_user_ids": [str(pk) for pk in wanted.exclude]}
    return {
        "positive_photo_ids": [str(pk) for pk in query.liked],
        "negative_photo_ids": [str(pk) for pk in query.disliked],
        "filters": {name: v for name, v in filters.items() if v},
        "limit": query.limit,
    }


def throughput(viewer_id: uuid.UUID) -> float:
    """Searches a second of two processes, by the same queries without a filter."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(WORKERS) as pool:
        counts = pool.map(_searches, [viewer_id] * WORKERS, chunksize=1)
    return round(sum(counts) / WORKER_SECONDS, 1)


def _searches(viewer_id: uuid.UUID) -> int:
    viewer = Profile.objects.get(pk=viewer_id)
    photos = viewer.photos.order_by("pk").values_list("pk", flat=True)[:10]
    query = Query(liked=tuple(photos[:5]), disliked=tuple(photos[5:]), limit=K)
    search.search(viewer, query)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < WORKER_SECONDS:
        search.search(viewer, query)
        done += 1
    return done


def measure(count: int, names: list[str]) -> dict[str, Any]:
    """All figures over the people who are there."""
    stored = spaces.active_space()
    with searcher(stored) as viewer, override_settings(REQUESTS_PER_MINUTE=UNLIMITED):
        bench = Bench(viewer, stored, count)
        every = shapes(viewer, stored)
        figures = {shape.name: bench.shape(shape) for shape in every}
        chosen = next(shape for shape in every if shape.name == PEER_SHAPE)
        return {
            "people": stored.vectors.count(),
            "queries": count,
            "shapes": figures,
            "kept": bench.kept(chosen),
            "peers": bench.peers(names, chosen),
            "peers_shape": PEER_SHAPE,
            "searches_per_second_2_workers": throughput(viewer.pk),
            **sizes(stored),
        }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench search")
    parser.add_argument("--people", type=int, default=0, metavar="N")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--peers", default=",".join(PEERS), help="some, or none")
    parser.add_argument("--awake", action="store_true", help="let no core sleep")
    options = parser.parse_args()
    options.peers = [] if options.peers == "none" else options.peers.split(",")
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"No peers {sorted(unknown)}; there are {', '.join(PEERS)}.")
    if options.queries < 1 or options.people < 0:
        parser.error("--queries and --people must be 1 or more.")
    return options


def main() -> None:
    options = parsed()
    made = crowd(options.people) if options.people else nullcontext({})
    with made as figures, awake() if options.awake else nullcontext():  # type: ignore[attr-defined]
        found = measure(options.queries, options.peers)
        report("search", {"awake": options.awake, **found, **figures})


if __name__ == "__main__":
    main()
