"""What the machine saw, with every probability, and a moderator's word on it."""

from annotation.admin import photos, readings, records

__all__ = ["photos", "readings", "records"]
