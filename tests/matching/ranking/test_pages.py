"""Pages are slices of ranked blocks: nobody is lost, nobody comes twice."""

from hypothesis import given
from hypothesis import strategies as st

from matching.ranking.base import Ranked
from matching.ranking.pages import Block, Start, page
from tests.matching.ranking.people import names, person

SIZE = 5


def somebody(number: int) -> Ranked:
    return Ranked(person(f"p{number:03}"), float(-number), 0.5, {})


def everybody(count: int, after: int | None) -> Block[int]:
    """So many people in blocks of five; each block is ranked backwards."""
    begin = 0 if after is None else after + 1
    end = min(begin + SIZE, count)
    ranked = [somebody(number) for number in range(begin, end)][::-1]
    return Block(ranked, last=end - 1 if end < count else None)


def ranking(count: int) -> list[str]:
    """All blocks, one after the other."""
    found: list[str] = []
    for begin in range(0, count, SIZE):
        found += names(everybody(count, begin - 1 if begin else None).ranked)
    return found


@given(count=st.integers(0, 23), limits=st.lists(st.integers(1, 12), min_size=23))
def test_pages_of_any_length_follow_each_other_through_all_blocks(
    count: int, limits: list[int]
) -> None:
    shown: list[str] = []
    start: Start[int] | None = Start()
    for limit in limits:
        assert start is not None
        found, start = page(
            start, limit=limit, block_after=lambda after: everybody(count, after)
        )
        assert len(found) <= limit
        assert found or not count  # no empty page to find out that nobody is left
        shown += names(found)
        if start is None:
            break
        assert len(found) == limit  # no short page while there are more
    assert shown == ranking(count)


def test_nobody_at_all_is_one_empty_page() -> None:
    assert page(Start(), limit=3, block_after=lambda after: everybody(0, after)) == (
        [],
        None,
    )


def test_a_block_that_has_become_shorter_loses_nobody_after_it() -> None:
    found, _ = page(
        Start(after=4, offset=4),
        limit=3,
        block_after=lambda after: (
            Block([somebody(5)], last=9) if after == 4 else everybody(20, after)
        ),
    )
    assert names(found) == ["p014", "p013", "p012"]


def test_only_the_blocks_that_a_page_needs_are_ranked() -> None:
    asked: list[int | None] = []

    def block_after(after: int | None) -> Block[int]:
        asked.append(after)
        return everybody(100, after)

    page(Start(), limit=SIZE, block_after=block_after)
    assert asked == [None]
