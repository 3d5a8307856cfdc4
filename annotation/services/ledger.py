"""What reading takes: a row for every try, a budget for every day, a table of costs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotation.backends import BACKENDS
from annotation.backends.base import Call
from annotation.models import Annotation, Attempt, DayCost

DONE, COPIED, LOST = "done", "copied", "lost"
SMALLEST = Decimal("1e-8")  # as exact as the columns
PHOTOS = 100_000
HOUR_SECONDS = 3600.0


def usd(amount: float | Decimal) -> Decimal:
    """Dollars as the ledger keeps them."""
    return Decimal(amount).quantize(SMALLEST)


def entry(row: Annotation, call: Call, *, retry: int) -> Attempt:
    """A try at this row's photo as a row of the ledger, not yet saved."""
    return Attempt(
        backend=row.backend,
        model=row.model,
        provider=call.provider,
        retry=retry,
        outcome=call.outcome,
        tokens_in=call.tokens_in,
        tokens_out=call.tokens_out,
        gpu_seconds=call.gpu_seconds,
        seconds=call.seconds,
        cost_usd=usd(call.cost_usd),
    )


def write(tries: Iterable[tuple[Annotation, Iterable[Call]]]) -> None:
    """Keep a row of every try, numbered on from its photo's earlier ones.

    The last thing in a transaction: all that cost something wait for one another at the
    day's total, until they commit.
    """
    kept = Attempt.objects.bulk_create(
        entry(row, call, retry=row.tries + number)
        for row, calls in tries
        for number, call in enumerate(calls)
    )
    _add_to_today(sum((attempt.cost_usd for attempt in kept), Decimal(0)))


def number_of_tries(calls: Iterable[Call]) -> int:
    """How many of the calls asked about a photo: a copy asks nobody."""
    return sum(call.outcome != COPIED for call in calls)


def write_lost(rows: Sequence[Annotation]) -> None:
    """Keep what a dead worker's tries may have cost, which nobody else will tell."""
    write((row, [Call(0.0, outcome=LOST, cost_usd=worst(row.backend))]) for row in rows)


def _add_to_today(cost: Decimal) -> None:
    if not cost:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO annotation_daycost AS total (day, cost_usd) VALUES (%s, %s) "
            "ON CONFLICT (day) DO UPDATE "
            "SET cost_usd = total.cost_usd + EXCLUDED.cost_usd",
            [_today(), cost],
        )


@transaction.atomic
def recount() -> None:
    """Make the days' totals anew from the ledger, while nobody adds to them."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE annotation_daycost IN EXCLUSIVE MODE")
    DayCost.objects.all().delete()
    days = Attempt.objects.filter(cost_usd__gt=0).values(
        day=TruncDate("created_at", tzinfo=dt.UTC)
    )
    totals = days.annotate(cost_usd=Sum("cost_usd"))
    DayCost.objects.bulk_create(DayCost(**total) for total in totals)


def worst(backend: str) -> float:
    """Dollars that one photo may cost at the most; 0 for a back end that is gone."""
    return BACKENDS[backend].worst_cost_usd() if backend in BACKENDS else 0.0


def affordable(wanted: int, backend: str) -> int:
    """How many of so many photos today's budget pays for, whatever they cost.

    What others are reading now counts at its worst. True only while nobody else claims.
    """
    budget, price = _limits(backend)
    if not budget or not price:
        return wanted
    # In this order: what is settled in between counts twice, not never.
    left = budget - reserved_today() - spent_today()
    return max(0, min(wanted, int(left // price)))


def is_spent(backend: str) -> bool:
    """Whether no further photo can be paid today, however little the others took."""
    budget, price = _limits(backend)
    return bool(budget and price) and spent_today() + price > budget


def _limits(backend: str) -> tuple[Decimal, Decimal]:
    """Dollars of a day and, at the worst, of a photo; 0 for any number."""
    return usd(settings.ANNOTATION_DAILY_BUDGET_USD), usd(worst(backend))


def spent_today() -> Decimal:
    """Dollars of all tries since midnight UTC."""
    totals = DayCost.objects.filter(day=_today())
    return totals.values_list("cost_usd", flat=True).first() or Decimal(0)


def reserved_today() -> Decimal:
    """Dollars that rows under a lease may cost, whether or not their worker lives."""
    held = Annotation.objects.pending().filter(
        lease__isnull=False,
        leased_until__gte=dt.datetime.combine(_today(), dt.time(), dt.UTC),
    )
    rows = held.values_list("backend").annotate(Count("pk"))
    return sum((usd(worst(name)) * photos for name, photos in rows), Decimal(0))


def _today() -> dt.date:
    return timezone.now().astimezone(dt.UTC).date()


@dataclass(frozen=True)
class Costs:
    """What one back end, model and provider took for the photos it has read."""

    backend: str
    model: str
    provider: str
    photos: int
    copied: int
    tries: int
    failures: int
    tokens_in: int
    tokens_out: int
    gpu_seconds: float
    seconds: float
    cost_usd: Decimal

    @property
    def usd_per_100k(self) -> float | None:
        """Dollars per 100,000 photos, failed tries included; None before the first."""
        return float(self.cost_usd) / self.photos * PHOTOS if self.photos else None

    @property
    def hours_per_100k(self) -> float | None:
        """Hours of one worker's time per 100,000 photos; None before the first."""
        seconds = self.seconds / self.photos * PHOTOS if self.photos else None
        return None if seconds is None else seconds / HOUR_SECONDS


def costs(*, days: float | None = None) -> list[Costs]:
    """The ledger by back end, model and provider, of all time or the last `days`."""
    tries: Any = Attempt.objects.all()
    if days is not None:
        tries = tries.filter(created_at__gte=timezone.now() - dt.timedelta(days=days))
    rows = (
        tries.values("backend", "model", "provider")
        .annotate(
            photos=Count("pk", filter=Q(outcome=DONE)),
            copied=Count("pk", filter=Q(outcome=COPIED)),
            tries=Count("pk", filter=~Q(outcome=COPIED)),
            failures=Count("pk", filter=~Q(outcome__in=[DONE, COPIED])),
            **{name: Sum(name) for name in SUMS},
        )
        .order_by("backend", "model", "provider")
    )
    return [Costs(**row) for row in rows]


SUMS = ("tokens_in", "tokens_out", "gpu_seconds", "seconds", "cost_usd")
