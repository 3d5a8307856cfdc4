"""Probes: is the process alive, and can it serve?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from twinby.rest.redis import impatient

TIMEOUT_SECONDS = 2

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class LiveOutput(serializers.Serializer[Any]):
    status = serializers.CharField()


class ReadyOutput(LiveOutput):
    checks = serializers.DictField(child=serializers.BooleanField())


class Probe(APIView):
    """Open to whoever can reach it; says nothing but yes or no."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class LiveView(Probe):
    @extend_schema(responses=LiveOutput, operation_id="livez", auth=[])
    def get(self, request: Request) -> Response:
        """200 while the process answers at all; touches nothing."""
        return Response({"status": "ok"})


class ReadyView(Probe):
    @extend_schema(
        responses={200: ReadyOutput, 503: ReadyOutput}, operation_id="readyz", auth=[]
    )
    def get(self, request: Request) -> Response:
        """200 if database, migrations and pgvector are there, else 503.

        Without the `queue`, requests are answered all the same: work waits for it.
        """
        checks = {"database": _passes(_database), "queue": _passes(_queue)}
        ready = checks["database"]
        status = "ok" if ready else "unavailable"
        return Response(
            {"status": status, "checks": checks}, status=200 if ready else 503
        )


def answer_probes(get_response: GetResponse) -> GetResponse:
    """The outermost middleware: probes come from inside, by address and without TLS.

    What is asked of everybody else, a host of ALLOWED_HOSTS and https, comes after it.
    """
    probes = {"/v1/livez": LiveView.as_view(), "/v1/readyz": ReadyView.as_view()}

    def middleware(request: HttpRequest) -> HttpResponseBase:
        probe = probes.get(request.path_info)
        return probe(request).render() if probe else get_response(request)

    return middleware


def _passes(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (DatabaseError, RedisError):
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
        if cursor.fetchone() is None:
            return False
    return _wanted() <= MigrationRecorder(connection).applied_migrations().keys()


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """The last migrations of every app, as they were when this process first looked.

    An upgrade puts newer ones on the disk while older processes serve on.
    """
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _queue() -> bool:
    options = impatient(TIMEOUT_SECONDS)
    with redis.Redis.from_url(settings.REDIS_URL, **options) as client:
        return bool(client.ping())
