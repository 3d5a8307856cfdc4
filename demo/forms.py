"""What a visitor of the demo page asks: examples on two sides, and what matters."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from annotation.schema import Group
from matching.features import VISUAL
from profiles.models import Gender

SIDES = ("liked", "disliked")
USUAL = 1.0
MOST = 2.0
CURSOR_LENGTH = 1000


class PhotoIdsField(forms.Field):
    """Repeated values, each a photo's id."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> tuple[uuid.UUID, ...]:
        try:
            return tuple(dict.fromkeys(uuid.UUID(text) for text in value or ()))
        except ValueError:
            raise forms.ValidationError("This is not the id of a photo.") from None


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files, as they came; what they are is for the ingest to say."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        return list(data or ())


def _importance(label: str) -> forms.FloatField:
    slider = forms.NumberInput(attrs={"type": "range", "step": "0.25"})
    return forms.FloatField(
        label=label,
        min_value=0,
        max_value=MOST,
        required=False,
        initial=USUAL,
        widget=slider,
    )


class ExamplesForm(forms.Form):
    """A search in the address bar: it can be reloaded, changed and gone back to."""

    liked = PhotoIdsField(required=False)
    disliked = PhotoIdsField(required=False)
    gender = forms.ChoiceField(
        label="Looking for",
        choices=[("", "everybody"), (Gender.WOMAN, "women"), (Gender.MAN, "men")],
        required=False,
        widget=forms.RadioSelect,
    )
    appearance = _importance("Appearance: hair, eyes, build, glasses")
    style = _importance("Style: clothes, expression, mood")
    context = _importance("Context: places, activities, things")
    visual = _importance("Overall look, beyond words")
    cursor = forms.CharField(required=False, max_length=CURSOR_LENGTH)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        liked, disliked = cleaned["liked"], cleaned["disliked"]
        if set(liked) & set(disliked):
            raise forms.ValidationError("A photo can be liked or disliked, not both.")
        self._check_count("like", self.given("liked"), least=1)
        self._check_count("do not like", self.given("disliked"), least=0)
        return cleaned

    def given(self, side: str) -> Sequence[Any]:
        """The examples of a side that count towards its limit."""
        examples: Sequence[Any] = self.cleaned_data[side]
        return examples

    @staticmethod
    def _check_count(verb: str, examples: Sequence[Any], *, least: int) -> None:
        most = settings.SEARCH_MAX_EXAMPLES
        if len(examples) < least:
            raise forms.ValidationError("Choose at least one photo that you like.")
        if len(examples) > most:
            raise forms.ValidationError(
                f"Choose at most {most} photos that you {verb}; "
                f"these are {len(examples)}."
            )

    @property
    def importance(self) -> dict[str, float]:
        """The sliders by group and "visual", as the search takes them."""
        found = {name: self.cleaned_data.get(name) for name in (*Group, VISUAL)}
        return {str(k): USUAL if v is None else v for k, v in found.items()}

    @property
    def sliders(self) -> list[forms.BoundField]:
        return [self[name] for name in (*Group, VISUAL)]

    def complaints(self) -> list[str]:
        """All that is wrong, in words."""
        return [str(text) for found in self.errors.values() for text in found]

    def query(
        self, sides: Mapping[str, Collection[uuid.UUID]], *, cursor: str = ""
    ) -> str:
        """The same wishes with these examples, as a query string."""
        pairs = [(side, str(pk)) for side in SIDES for pk in sides[side]]
        changed = [(k, f"{v:g}") for k, v in self.importance.items() if v != USUAL]
        rest = [("gender", self.cleaned_data.get("gender", "")), ("cursor", cursor)]
        return urlencode(pairs + changed + [pair for pair in rest if pair[1]])


class UploadForm(ExamplesForm):
    """The same, with photos of one's own on either side."""

    liked_files = FilesField(label="Photos that you like", required=False)
    disliked_files = FilesField(label="Photos that you do not like", required=False)

    def given(self, side: str) -> Sequence[Any]:
        return [*super().given(side), *self.cleaned_data[f"{side}_files"]]

    @property
    def brings_photos(self) -> bool:
        return any(self.cleaned_data[f"{side}_files"] for side in SIDES)
