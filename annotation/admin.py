"""What the machine saw, with every probability, and a moderator's word on it."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from annotation import services
from annotation.models import Annotation, Correction
from annotation.schema import BY_NAME, NOT_VISIBLE, SCHEMA, Attribute, Attributes
from profiles.admin import PhotoAdmin, ReadOnlyAdmin
from profiles.models import Photo
from twinby.errors import InvalidError


class CorrectionForm(forms.Form):
    """One attribute, what it really is, and why. No value means: not visible."""

    attribute = forms.ChoiceField(choices=[(a.name, a.name) for a in SCHEMA])
    values = forms.MultipleChoiceField(
        required=False,
        choices=[
            (a.name, [(f"{a.name}.{v}", v.replace("_", " ")) for v in a.values])
            for a in SCHEMA
        ],
        help_text="Values of the attribute chosen above; none: it is not visible.",
        widget=forms.SelectMultiple(attrs={"size": 12}),
    )
    reason = forms.CharField(max_length=500)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        chosen = [v.partition(".") for v in cleaned.get("values", [])]
        odd = [value for name, _, value in chosen if name != cleaned.get("attribute")]
        if odd:
            raise forms.ValidationError(f"Not values of it: {', '.join(odd)}.")
        cleaned["values"] = [value for _, _, value in chosen]
        return cleaned


def probability_table(attributes: Attributes, corrected: frozenset[str]) -> SafeString:
    """Every attribute with every probability, likeliest first, corrections marked."""
    rows = (
        (
            name,
            " ✎" if name in corrected else "",
            _bars(BY_NAME[name], attributes),
        )
        for name in BY_NAME
    )
    body = format_html_join("", "<tr><th>{}{}</th><td>{}</td></tr>", rows)
    return format_html('<table class="probabilities">{}</table>', body)


def _bars(attribute: Attribute, attributes: Attributes) -> SafeString:
    distribution = attributes[attribute.name]
    ordered = sorted(distribution.items(), key=lambda item: -item[1])
    return format_html_join(
        "",
        '<span class="probability"><meter max="1" value="{}"></meter> {} {}</span>',
        ((f"{p:.3f}", v.replace("_", " "), f"{p:.0%}") for v, p in ordered if p > 0),
    )


class CorrectionInline(admin.TabularInline[Correction, Photo]):
    model = Correction
    fields = readonly_fields = (
        "attribute",
        "says",
        "reason",
        "moderator",
        "created_at",
        "withdrawn_at",
    )
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="says")
    def says(self, correction: Correction) -> str:
        sure = [v for v, p in correction.distribution.items() if p and v != NOT_VISIBLE]
        return ", ".join(sure) or NOT_VISIBLE


@admin.register(Photo)
class AnnotatedPhotoAdmin(PhotoAdmin):
    """A photo with what is taken to be true of it, and the door to correct it."""

    change_form_template = "admin/photo_change_form.html"
    readonly_fields: ClassVar[tuple[str, ...]] = ("picture", "attributes")
    inlines = (CorrectionInline,)

    @admin.display(description="attributes")
    def attributes(self, photo: Photo) -> SafeString | str:
        seen = services.effective_readings([photo.pk]).get(photo.pk)
        if seen is None:
            status, failure = services.reading_status(photo.pk)
            return f"{status} {failure}".strip()
        return probability_table(seen.attributes, seen.corrected)

    def get_urls(self) -> list[URLPattern]:
        correct = path(
            "<uuid:photo_id>/correct/",
            self.admin_site.admin_view(self.correct),
            name="photo-correct",
        )
        return [correct, *super().get_urls()]

    def correct(self, request: HttpRequest, photo_id: Any) -> HttpResponse:
        """Record a correction of one attribute; the person is indexed again."""
        photo = get_object_or_404(self.get_queryset(request), pk=photo_id)
        if not self.has_change_permission(request, photo):
            return HttpResponse("You may not correct photos.", status=403)
        form = CorrectionForm(request.POST or None)
        if (
            request.method == "POST"
            and form.is_valid()
            and self._save(request, photo, form)
        ):
            back = reverse("admin:profiles_photo_change", args=[photo.pk])
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Correct an attribute",
            "form": form,
            "photo": photo,
            "picture": self.picture(photo),
            "opts": self.model._meta,
        }
        return render(request, "admin/photo_correct.html", context)

    def _save(self, request: HttpRequest, photo: Photo, form: CorrectionForm) -> bool:
        try:
            services.correct(
                photo,
                attribute=form.cleaned_data["attribute"],
                values=form.cleaned_data["values"],
                reason=form.cleaned_data["reason"],
                moderator=request.user if request.user.is_authenticated else None,
            )
        except InvalidError as error:
            form.add_error(None, error.message)
            return False
        messages.success(request, "Corrected; the person is being indexed again.")
        return True


@admin.register(Annotation)
class AnnotationAdmin(ReadOnlyAdmin):
    """Machine output, as it was: nobody edits it."""

    list_display = ("photo", "model", "status", "failure", "seconds", "updated_at")
    list_filter = ("status", "backend", "model")
    search_fields = ("photo__id",)
    ordering = ("-updated_at",)
    readonly_fields = ("probabilities",)
    exclude = ("attributes", "features")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Anchors are private: not even moderators browse them."""
        rows = super().get_queryset(request).defer("features")
        return rows.exclude(photo__purpose=Photo.Purpose.ANCHOR)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = super().get_readonly_fields(request, obj)
        return [name for name in fields if name not in self.exclude]

    @admin.display(description="attributes")
    def probabilities(self, row: Annotation) -> SafeString | str:
        if row.status != Annotation.Status.DONE:
            return row.failure or row.status
        return probability_table(row.attributes, frozenset())


@admin.register(Correction)
class CorrectionAdmin(ReadOnlyAdmin):
    """All corrections; withdrawing one is an action, and can be seen afterwards."""

    list_display = (
        "photo",
        "attribute",
        "reason",
        "moderator",
        "created_at",
        "withdrawn_at",
    )
    list_filter = ("attribute",)
    search_fields = ("photo__id",)
    list_select_related = ("moderator",)
    ordering = ("-created_at",)
    actions = ("withdraw",)

    @admin.action(description="Withdraw the correction", permissions=["change"])
    def withdraw(self, request: HttpRequest, corrections: Any) -> None:
        done = sum(services.withdraw_correction(row) for row in corrections)
        self.message_user(request, f"{done} withdrawn.")
