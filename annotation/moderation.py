"""A reading as moderators see it, and the form by which they correct it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from annotation.calibration.labels import NONE_OF_THESE
from annotation.models import Calibration
from annotation.schema import (
    NOT_VISIBLE,
    SCHEMA,
    Attribute,
    Attributes,
    Distribution,
    Group,
    Kind,
)

GATES_ONLY = "only the gates were kept: the photo may show somebody who is under age"
# Likelier values are drawn, all others are listed in small print.
DRAWN = 0.1
REASON_LENGTH = 500


@dataclass(frozen=True)
class Value:
    """A value of an attribute and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Row:
    """One attribute of a reading, likeliest value first."""

    name: str
    label: str
    drawn: list[Value]
    others: list[Value]
    corrected: bool


@dataclass(frozen=True)
class Section:
    """The attributes of one group."""

    title: str
    rows: list[Row]


def label(name: str) -> str:
    """An attribute or a value as a moderator reads it."""
    return name.replace("_", " ")


def sections(
    attributes: Attributes, *, corrected: Collection[str] = ()
) -> list[Section]:
    """Every attribute that there is with every probability, by group."""
    return [
        Section(
            group.capitalize(),
            [
                _row(attribute, attributes[attribute.name], corrected)
                for attribute in SCHEMA
                if attribute.group is group and attribute.name in attributes
            ],
        )
        for group in Group
    ]


def _row(
    attribute: Attribute, distribution: Distribution, corrected: Collection[str]
) -> Row:
    ordered = sorted(distribution.items(), key=lambda item: -item[1])
    values = [Value(label(value), p) for value, p in ordered]
    return Row(
        name=attribute.name,
        label=label(attribute.name),
        drawn=[value for value in values if value.probability >= DRAWN],
        others=[value for value in values if value.probability < DRAWN],
        corrected=attribute.name in corrected,
    )


def said(distribution: Distribution) -> str:
    """What a correction says, in words."""
    sure = [label(value) for value, p in distribution.items() if p]
    return ", ".join(sure) or label(NONE_OF_THESE)


def gate_badges(gates: Mapping[str, str]) -> SafeString:
    """Every gate with its verdict, as HTML; a dash for none."""
    badges = ((verdict, label(gate), verdict) for gate, verdict in gates.items())
    html = format_html_join(" ", '<span class="gate {}">{}: {}</span>', badges)
    return html or SafeString("-")


def when(moment: dt.datetime) -> str:
    """A moment that breaks into two lines at most."""
    day, time = date_format(localtime(moment), "Y-m-d H:i").split()
    return day.replace("-", "\N{NON-BREAKING HYPHEN}") + f" {time}"


def cut(text: str) -> SafeString:
    """A long name on one line; all of it where it is pointed at."""
    return format_html('<span class="cut" title="{0}">{0}</span>', text)


def dollars(amount: Decimal) -> str:
    """Dollars as exact as a single photo needs; a dash for nothing."""
    return f"${amount:,.5f}" if amount else "-"


@dataclass(frozen=True)
class Figures:
    """What a calibration is worth by one attribute's labels, on photos held out."""

    label: str
    labels: int
    before: dict[str, Any]
    after: dict[str, Any]


def calibration_figures(row: Calibration) -> list[Figures]:
    """Of all labels together, then by attribute; nothing where there were none."""
    overall, attributes = row.metrics.get("overall"), row.metrics.get("attributes", {})
    named = {"all": overall, **attributes} if overall else {}
    return [
        Figures(label(name), one["labels"], one["before"], one["after"])
        for name, one in named.items()
    ]


class CorrectionForm(forms.Form):
    """What one attribute really is, and why."""

    def __init__(
        self, attribute: Attribute, current: Distribution | None, data: Any = None
    ) -> None:
        super().__init__(data)
        self.attribute = attribute
        self.current = current
        none = [] if attribute.kind is Kind.ONE else [NONE_OF_THESE]
        choices = [(v, label(v)) for v in (*attribute.values, *none, NOT_VISIBLE)]
        self.fields["values"] = (
            forms.ChoiceField(choices=choices, widget=forms.RadioSelect)
            if attribute.kind is Kind.ONE
            else forms.MultipleChoiceField(
                choices=choices, widget=forms.CheckboxSelectMultiple
            )
        )
        self.fields["reason"] = forms.CharField(
            max_length=REASON_LENGTH,
            widget=forms.TextInput(attrs={"autocomplete": "off"}),
        )

    def options(self) -> Iterator[tuple[Any, float | None]]:
        """Each choice, with what is taken to be its probability at present."""
        for option in self["values"].subwidgets:
            value = option.data["value"]
            yield option, self.current.get(value) if self.current else None

    def clean_values(self) -> list[str]:
        """What `services.correct` takes: values, "not_visible", or none at all."""
        given = self.cleaned_data["values"]
        values = [given] if isinstance(given, str) else list(given)
        if len(values) > 1 and {NOT_VISIBLE, NONE_OF_THESE} & set(values):
            raise forms.ValidationError("That goes with no other value.")
        return [value for value in values if value != NONE_OF_THESE]
