"""How much memory the embedded Postgres takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinby.embedded import memory


@pytest.mark.parametrize(
    ("gigabytes", "buffers"), [(0.5, "128MB"), (16, "2048MB"), (256, "4096MB")]
)
def test_it_keeps_an_eighth_of_the_memory(
    gigabytes: float, buffers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda: int(gigabytes * 2**30))
    assert memory.settings()["shared_buffers"] == buffers


def test_a_container_may_use_no_more_than_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", (tmp_path / "other", limit))
    whole = memory.memory_bytes()
    limit.write_text("max\n")
    assert memory.memory_bytes() == whole
    limit.write_text("536870912\n")
    assert memory.memory_bytes() == min(whole, 2**29)


@pytest.mark.parametrize(("free", "kind"), [(2**26, "mmap"), (2**31, None)])
def test_parallel_work_goes_elsewhere_where_shared_memory_is_small(
    free: int, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SHARED", tmp_path)
    usage = memory.shutil.disk_usage(tmp_path)._replace(free=free)  # type: ignore[attr-defined]
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _: usage)  # type: ignore[attr-defined]
    assert memory.settings().get("dynamic_shared_memory_type") == kind
