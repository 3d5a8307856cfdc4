"""Many people's ids as one value."""

from __future__ import annotations

import uuid

from matching.ids import fingerprint


def test_a_fingerprint_names_people_in_whatever_order() -> None:
    ann, bob, eve = (uuid.uuid4() for _ in range(3))
    assert fingerprint([ann, bob]) == fingerprint({bob, ann})
    some: list[list[uuid.UUID]] = [[], [ann], [bob], [ann, bob], [ann, bob, eve]]
    assert len({fingerprint(ids) for ids in some}) == len(some)
