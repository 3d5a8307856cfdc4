"""News from `profiles` for the apps above. Services emit; receivers only enqueue.

Every signal is sent inside the transaction that makes it true: a receiver acts on
commit. Arguments are ids, never rows.
"""

from __future__ import annotations

from django.dispatch import Signal

photo_added = Signal()  # photo_id: a photo was stored and waits to be read
photo_approved = Signal()  # photo_id, profile_id: others may see it from now on
photo_withdrawn = Signal()  # photo_id, profile_id: it is gone, or nobody may see it
profile_changed = Signal()  # profile_id: a declared field, a consent, a status
profile_erased = Signal()  # profile_id: the person and all that hung on them is gone
