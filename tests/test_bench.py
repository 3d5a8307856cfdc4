"""The benchmarks: one JSON line each, true figures, and nothing left behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection
from PIL import Image

from annotation.models import Annotation
from bench import annotate, search
from bench._awake import awake
from bench._bench import quantiles
from bench._photos import multiplied
from bench._stages import GPU, Round
from bench._surroundings import own_surroundings
from matching import selectors
from matching.services import fit_feature_space
from profiles.models import Client, Gender, Photo, Profile
from profiles.storage import annotation_bytes
from tests.conftest import MakePerson, MakePhoto
from twinby.embedded.process import wait_until

ROOT = Path(__file__).resolve().parents[1]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def women(
    work: Callable[[], None], make_person: MakePerson, make_photo: MakePhoto
) -> None:
    """Twenty-four women who seek men, read and indexed."""
    for _ in range(24):
        make_photo(make_person(seeking=[Gender.MAN]))
    work()
    fit_feature_space()


def searched(
    monkeypatch: pytest.MonkeyPatch, capsys: Out, peers: str = "none"
) -> dict[str, Any]:
    """What `./run bench search` prints over the people who are there."""
    # Two more processes would look for the people in another database.
    monkeypatch.setattr(search, "throughput", lambda viewer_id: 1.0)
    arguments = ["search", "--queries", "2", "--peers", peers]
    monkeypatch.setattr(sys, "argv", arguments)
    search.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_search_agrees_with_everybody_in_memory(
    women: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    people = Profile.objects.count()
    answer = searched(monkeypatch, capsys, "pgvector_defaults,fuzzy_python")
    assert answer["benchmark"] == "search"
    assert answer["people"] == 24
    assert answer["shapes"].keys() >= {"none", "gender", "gender+age", "rare"}
    for shape in answer["shapes"].values():
        assert shape["recall_at_20"] == 1
        assert shape["short_pages"] == 0
        assert 0 < shape["db_p50_ms"] <= shape["db_p95_ms"] <= shape["db_p99_ms"]
        assert shape["call_p95_ms"] > shape["db_p50_ms"] / 2
    assert answer["shapes"]["gender"]["eligible"] == 24
    assert answer["kept"].keys() >= {"first_page_ms", "next_page_ms", "facets_kept_ms"}
    assert all(took > 0 for took in answer["kept"].values())
    assert answer["peers"]["fuzzy_python"]["people"] == 24
    assert answer["peers"]["pgvector_defaults"]["recall_at_20"] > 0.5
    assert Profile.objects.count() == people


def test_a_search_that_loses_people_is_seen(
    women: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    whole = selectors.candidates

    def worse(*args: Any, **options: Any) -> Any:
        return whole(*args, **options)[::2]

    monkeypatch.setattr(selectors, "candidates", worse)
    shape = searched(monkeypatch, capsys)["shapes"]["gender"]
    assert shape["recall_at_20"] < 0.6
    assert shape["short_pages"] == 3


def test_no_worker_sees_anchors_before_their_readings(
    women: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    store, unseen = Annotation.objects.bulk_create, list[bool]()

    def storing(*args: Any, **options: Any) -> Any:
        unseen.append(connection.in_atomic_block)
        return store(*args, **options)

    monkeypatch.setattr(Annotation.objects, "bulk_create", storing)
    searched(monkeypatch, capsys)
    assert unseen == [True]


def test_peers_that_are_not_installed_are_said_to_be_absent(
    women: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    answer = searched(monkeypatch, capsys, "faiss_flat")
    assert "requirements/bench.txt" in answer["peers"]["faiss_flat"]["absent"]


def test_cores_are_kept_awake_by_what_gives_way_to_all_else() -> None:
    with awake() as spinning:
        assert len(spinning) == len(os.sched_getaffinity(0))
        assert wait_until(
            lambda: (
                {os.sched_getscheduler(one.pid) for one in spinning} == {os.SCHED_IDLE}
            ),
            seconds=20,
        )
    assert all(one.returncode for one in spinning)


def test_search_says_when_nobody_is_there(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["search"])
    with pytest.raises(SystemExit, match="Nobody is there"):
        search.main()


def annotated(
    monkeypatch: pytest.MonkeyPatch, capsys: Out, *arguments: str
) -> dict[str, Any]:
    """What `./run bench annotate` prints with these arguments."""
    monkeypatch.setattr(sys, "argv", ["annotate", *arguments])
    annotate.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_annotate_counts_photos_and_leaves_nothing_behind(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
    broker: Any,
    media: Path,
) -> None:
    answer = annotated(
        monkeypatch, capsys, *("--photos", "7", "--rounds", "2", "--workers", "2")
    )
    assert (answer["photos"], answer["failed"]) == (7, 0)
    assert answer["annotator"] == "fake-1"
    assert answer["photos_per_second"] == pytest.approx(7 / answer["seconds"], rel=1e-3)
    assert set(answer["stages"]) == {"read", "write"}
    for stage in answer["stages"].values():
        assert stage["photos_per_second"] > 0
        assert stage["busy_seconds"] < 2 * answer["seconds"]
    assert answer["machine"]["cores"] >= 1
    assert 20 < answer["resident_megabytes"] < 4_000
    assert 0.01 < answer["first_photo_seconds"] < 60
    single = answer["peer"]["one_photo_at_a_time_per_second"]
    ratio = answer["photos_per_second"] / single
    assert answer["peer"]["batches_over_single"] == pytest.approx(ratio, rel=1e-2)
    assert not Photo.objects.exists()
    assert not Client.objects.exists()
    assert not media.exists()
    assert all(queue.empty() for queue in broker.queues.values())
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE '%_bench'")
        assert cursor.fetchall() == []


def test_copies_of_photos_show_the_same_in_other_bytes(
    transactional_db: None, alice: Profile, make_photo: MakePhoto
) -> None:
    photos = multiplied([make_photo(alice), make_photo(alice)], 6)
    files = [annotation_bytes(photo) for photo in photos]
    assert len({photo.sha256 for photo in photos}) == len(set(files)) == 6
    seen = {Image.open(io.BytesIO(file)).tobytes() for file in files}
    assert len(seen) == 2


@pytest.mark.torch
def test_annotate_runs_a_model_of_random_weights(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    pytest.importorskip("torch", reason="needs requirements/vlm.txt")
    answer = annotated(
        monkeypatch,
        capsys,
        *("--random-weights", "tiny_qwen2_5", "--photos", "6", "--rounds", "1"),
        *("--side", "112", "--batch", "4", "--usd-per-hour", "3.6"),
    )
    assert (answer["photos"], answer["failed"], answer["batch"]) == (6, 0, 4)
    assert answer["annotator"].startswith("random-tiny_qwen2_5-")
    assert set(answer["stages"]) == {"decode", "model", "write"}
    assert 0 < answer["stages"]["model"]["busy_share"] <= 1
    assert "gpu_busy_share" not in answer  # there is no GPU whose clock could say
    assert answer["peak_source"].startswith("measured here: float32")
    speed = answer["photos_per_second"]
    assert answer["dollars_per_100k"] == pytest.approx(100 / speed, rel=1e-3)
    share = answer["flops_per_photo"] * speed / answer["peak_flops"]
    assert answer["achieved_share_of_peak"] == pytest.approx(share, rel=2e-3)
    # At the least, the language model's 110,592 weights for every token.
    assert answer["flops_per_photo"] > 2 * 110_592 * answer["tokens_per_photo"]
    assert answer["peak_memory_bytes"] > 4 * answer["parameters"]
    assert answer["peer"]["packed_over_unpacked"] > 1
    assert answer["peer"]["largest_difference"] < 1e-4


def test_a_gpu_is_busy_by_its_own_clock() -> None:
    busy = {"decode": 1.0, "model": 8.0, "write": 1.0, GPU: 6.0}
    alone = dict.fromkeys(("decode", "model", "write"), 100.0)
    speeds = annotate.speeds(Round(10.0, busy), alone, photos=50)
    assert speeds["gpu_busy_share"] == 0.6
    assert set(speeds["stages"]) == {"decode", "model", "write"}


def test_a_slice_of_a_card_has_not_all_of_its_peak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="needs requirements/vlm.txt")
    from bench import _device

    monkeypatch.setattr(_device, "gemm_flops", lambda kind: (1e12, f"here: {kind}"))
    assert _device.peak_of("NVIDIA H200")[0] == 989e12
    assert _device.peak_of("NVIDIA H200 MIG 1g.18gb") == (1e12, "here: cuda")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--batch", "0"], "must be from 1 to"),
        (["--side", "900"], "must be from 112 to 448"),
        (["--rounds", "0"], "must be 1 or more"),
        (["--photos", "-3"], "must be 1 or more"),
        (["--workers", "0"], "must be from 1 to 8"),
        (["--workers", "9"], "must be from 1 to 8"),
        (["--usd-per-hour", "nan"], "must be 0 or more"),
        (["--backend", "small", "--random-weights", "x"], "of --backend local"),
    ],
)
def test_annotate_refuses_numbers_that_make_no_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: Out, arguments: list[str], says: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["annotate", *arguments])
    with pytest.raises(SystemExit):
        annotate.parsed()
    assert says in capsys.readouterr().err


def bench_databases() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE '%_bench'")
        return [name for (name,) in cursor.fetchall()]


def test_what_a_killed_benchmark_left_is_in_nobodys_way(
    transactional_db: None, capsys: Out
) -> None:
    left = f"{connection.settings_dict['NAME']}_bench"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{left}"')

    def benchmark() -> None:
        with own_surroundings():
            assert left in bench_databases()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(SystemExit):
        benchmark()
    assert left not in bench_databases()
    assert "Got an error" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--backend", "oracle"], "there are fake"),
        (["--random-weights", "oracle"], "No architecture 'oracle'; there are"),
    ],
)
def test_annotate_says_what_it_cannot_measure(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    pytest.importorskip("torch", reason="needs requirements/vlm.txt")
    monkeypatch.setattr(sys, "argv", ["annotate", "--photos", "2", *arguments])
    with pytest.raises(SystemExit, match=says):
        annotate.main()


def test_other_back_ends_are_measured_without_torch() -> None:
    script = (
        "import sys; from bench import annotate; sys.argv = ['', '--backend', 'small'];"
        "subject = annotate.subject_of(annotate.parsed()).__enter__();"
        "assert subject.annotator.version.backend == 'small';"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "twinby.settings.test"},
        check=False,
    )
    assert done.returncode == 0


def test_quantiles_are_of_the_times_given() -> None:
    assert quantiles(np.arange(101.0).tolist()) == {"p50": 50.0, "p95": 95.0}
