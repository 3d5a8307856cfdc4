"""Who lives near a place, for the database: a box for its index, then the circle."""

from __future__ import annotations

from functools import reduce
from operator import or_

from django.db import models
from django.db.models import F, FloatField, Q, Value
from django.db.models.functions import ASin, Cos, Least, Power, Radians, Sin, Sqrt

from matching.index.base import EARTH_RADIUS_KM, Circle
from profiles.models import Profile


def near(people: models.QuerySet[Profile], circle: Circle) -> models.QuerySet[Profile]:
    """Those who live within the circle; who has no place lives nowhere."""
    around = reduce(or_, (Q(longitude__range=pair) for pair in circle.longitudes()))
    boxed = people.filter(around, latitude__range=circle.latitudes())
    distance = _haversine_km(circle.latitude, circle.longitude)
    return boxed.annotate(distance_km=distance).filter(
        distance_km__lte=circle.radius_km
    )


def _haversine_km(latitude: float, longitude: float) -> models.Expression:
    """Great-circle distance to a row's place, in km (Sinnott 1984)."""
    here_lat, here_lon = Radians(Value(latitude)), Radians(Value(longitude))
    lat, lon = Radians(F("latitude")), Radians(F("longitude"))
    chord = Power(Sin((lat - here_lat) / 2), 2) + Cos(here_lat) * Cos(lat) * Power(
        Sin((lon - here_lon) / 2), 2
    )
    angle = ASin(Sqrt(Least(chord, Value(1.0))))
    return models.ExpressionWrapper(
        2 * EARTH_RADIUS_KM * angle, output_field=FloatField()
    )
