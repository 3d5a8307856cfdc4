from __future__ import annotations

from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "profiles"
    verbose_name = "People and photos"

    def ready(self) -> None:
        from profiles import checks, privacy

        self.wired = (checks,)
        privacy.register("profile", privacy.export_profile)
