"""Settings name every server; what is wrong in them is named, and no secret is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation import checks, compact
from annotation.backends import annotator_version, backend
from annotation.backends.base import AnnotatorVersion, BackendUnavailableError
from annotation.backends.remote import configuration
from annotation.backends.remote.configuration import (
    MOST_TOKENS_IN,
    MOST_TOKENS_OUT,
    TRIES,
    configured,
    is_private,
)
from annotation.backends.remote.dialects import Dialect
from annotation.models import Annotation

SECRET = "sk-secret-of-this-test"
SETTINGS = {
    "MODEL": "Qwen/Qwen3-VL-8B-Instruct",
    "PROVIDERS": "gpu1, Router",
    "CONCURRENCY": "",
    "GPU1_URL": "http://gpu1.internal:8000/v1/",
    "GPU1_MODEL": "qwen",
    "GPU1_DIALECT": "vllm",
    "ROUTER_URL": "https://router.example/api/v1",
    "ROUTER_MODEL": "qwen/qwen3-vl-8b",
    "ROUTER_DIALECT": "openrouter",
    "ROUTER_KEY": SECRET,
    "ROUTER_USD_IN": "0.08",
    "ROUTER_USD_OUT": "0.5",
}


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set all settings, but for those that a test changes."""

    def configure(**changed: str) -> None:
        for name, value in (SETTINGS | changed).items():
            monkeypatch.setenv(f"TWINBY_REMOTE_{name}", value)

    configure()
    return configure


@pytest.mark.usefixtures("env")
def test_servers_are_known_in_the_order_of_preference() -> None:
    gpu1, router = configured().providers
    assert (gpu1.name, gpu1.url) == ("gpu1", "http://gpu1.internal:8000/v1")
    assert (gpu1.key, gpu1.usd_in, gpu1.usd_out) == ("", 0, 0)
    assert (router.name, router.dialect) == ("router", Dialect.OPENROUTER)
    assert (router.key, router.usd_in, router.usd_out) == (SECRET, 0.08, 0.5)
    assert configured().concurrency == 32
    assert SECRET not in repr(configured())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("MODEL", ""),
        ("PROVIDERS", ""),
        ("PROVIDERS", "gpu1,gpu1"),
        ("PROVIDERS", "gpu-1"),
        ("PROXY", "http://proxy.example:3128"),
        ("PROXY", f"https://user:{SECRET}@proxy.example"),
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "many"),
        ("GPU1_URL", ""),
        ("GPU1_URL", "gpu1:8000/v1"),
        ("GPU1_URL", "ftp://gpu1/v1"),
        ("GPU1_URL", "http://[gpu1/v1"),
        ("GPU1_URL", "http://gpu1:port/v1"),
        ("GPU1_URL", f"https://user:{SECRET}@gpu1.example/v1"),
        ("GPU1_URL", f"https://gpu1.example/v1?key={SECRET}"),
        ("ROUTER_URL", "http://router.example/v1"),
        ("ROUTER_URL", "http://8.8.8.8/v1"),
        ("GPU1_MODEL", ""),
        ("GPU1_DIALECT", ""),
        ("GPU1_DIALECT", "grpc"),
        ("ROUTER_KEY", ""),
        ("ROUTER_KEY", f"{SECRET}\nX-Other: 1"),
        ("ROUTER_KEY", f"{SECRET}\N{SNOWMAN}"),
        ("ROUTER_USD_IN", ""),
        ("ROUTER_USD_OUT", ""),
        ("ROUTER_USD_IN", "-1"),
        ("ROUTER_USD_IN", "nan"),
        ("ROUTER_USD_IN", "inf"),
        ("ROUTER_USD_IN", "cheap"),
    ],
)
def test_a_wrong_setting_is_named_without_its_secret(
    env: Callable[..., None], settings: Any, setting: str, value: str
) -> None:
    env(**{setting: value})
    with pytest.raises(BackendUnavailableError) as caught:
        configured()
    assert f"TWINBY_REMOTE_{setting} " in str(caught.value)
    assert SECRET not in str(caught.value)
    settings.ANNOTATOR = "remote"
    errors = [*checks.remote_servers_are_well_described()]
    if (setting, value) != ("PROVIDERS", ""):
        assert [error.id for error in errors] == ["annotation.E004"]
        assert errors[0].msg == str(caught.value)


def test_a_key_may_lie_in_a_file(env: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}-of-a-file\n")
    env(ROUTER_KEY_FILE=str(file))
    assert configured().providers[1].key == f"{SECRET}-of-a-file"
    env(ROUTER_KEY_FILE=str(tmp_path / "none"))
    with pytest.raises(BackendUnavailableError, match="TWINBY_REMOTE_ROUTER_KEY_FILE"):
        configured()


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost", True),
        ("vllm", True),
        ("gpu1.internal", True),
        ("printer.local", True),
        ("127.0.0.1", True),
        ("10.2.3.4", True),
        ("192.168.1.5", True),
        ("::1", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("api.example", False),
        ("internal.example", False),
        ("local.host.example", False),
        ("2001:4860:4860::8888", False),
    ],
)
def test_only_what_cannot_be_reached_from_outside_is_private(
    host: str, *, private: bool
) -> None:
    assert is_private(host) is private


def test_the_version_names_the_model_and_the_prompt_but_no_server(
    env: Callable[..., None],
) -> None:
    version = annotator_version("remote")
    assert version.backend == "remote"
    assert version.model.startswith("Qwen3-VL-8B-Instruct-")
    assert version.prompt == compact.VERSION
    assert AnnotatorVersion.of_name(version.name) == version
    env(PROVIDERS="router")
    assert annotator_version("remote") == version
    env(MODEL="Other/Qwen3-VL-8B-Instruct")
    assert annotator_version("remote") != version


def test_any_name_of_a_model_fits_its_column(env: Callable[..., None]) -> None:
    env(MODEL=f"a/{'long name@1:' * 40}")
    version = annotator_version("remote")
    assert len(version.model) <= (Annotation._meta.get_field("model").max_length or 0)
    assert AnnotatorVersion.of_name(version.name) == version


def test_the_worst_cost_is_that_of_all_tries_with_all_servers(
    env: Callable[..., None],
) -> None:
    router = (MOST_TOKENS_IN * 0.08 + MOST_TOKENS_OUT * 0.5) / 1e6
    assert backend("remote").worst_cost_usd() == pytest.approx(TRIES * router)
    env(GPU1_USD_IN="1")
    gpu1 = MOST_TOKENS_IN / 1e6
    assert backend("remote").worst_cost_usd() == pytest.approx(TRIES * (router + gpu1))
    env(PROVIDERS="")
    assert configuration.worst_cost_usd() == 0


@pytest.mark.usefixtures("env")
def test_good_settings_pass_the_checks(settings: Any) -> None:
    settings.ANNOTATOR = "remote"
    assert checks.remote_servers_are_well_described() == []
    assert checks.remote_servers_are_named_somewhere() == []


def test_a_process_without_servers_is_told_so_at_deployment(
    env: Callable[..., None], settings: Any
) -> None:
    env(PROVIDERS="")
    settings.ANNOTATOR = "remote"
    assert checks.remote_servers_are_well_described() == []
    [warning] = checks.remote_servers_are_named_somewhere()
    assert warning.id == "annotation.W003"
    settings.ANNOTATOR = "small"
    assert checks.remote_servers_are_named_somewhere() == []
