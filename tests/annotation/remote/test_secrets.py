"""Keys and photos go to the server that was named, and nowhere else."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.backends.remote.annotator import RemoteAnnotator
from tests.annotation.remote.conftest import (
    HASTY,
    KEY,
    PACE,
    MakeAnnotator,
    jpeg,
)
from tests.annotation.remote.failures import FAILURES
from tests.annotation.remote.modelserver import (
    SILENCE,
    Answer,
    Behaviour,
    ModelServer,
    refusal,
)


def test_a_key_does_not_travel_with_a_redirect(
    server: ModelServer, spare: ModelServer, annotator: RemoteAnnotator
) -> None:
    server.do(refusal(307, Location=f"{spare.url}/chat/completions"))
    with pytest.raises(BackendUnavailableError):
        annotator.read([jpeg()])
    assert spare.asked == []


def test_no_proxy_of_the_environment_sees_a_key_or_a_photo(
    server: ModelServer,
    spare: ModelServer,
    annotator: RemoteAnnotator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, spare.url.removesuffix("/v1"))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert (len(server.asked), len(spare.asked)) == (1, 0)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that reaches nobody: its URL, and what it is told."""
    told: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    told.append(connection.recv(2**16))
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", told
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_a_proxy_of_our_own_is_for_what_it_cannot_read(
    server: ModelServer, annotator_of: MakeAnnotator, proxy: tuple[str, list[bytes]]
) -> None:
    url, told = proxy
    [reading] = annotator_of(server, PROXY=url).read([jpeg()])
    assert isinstance(reading, Reading)
    assert told == []  # unencrypted, so it goes straight to the server
    annotator = annotator_of(server, PROXY=url, GPU1_URL="https://gpu1.internal/v1")
    [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)
    assert error.reason == "no-connection"
    assert told[0].startswith(b"CONNECT gpu1.internal:443 ")
    assert KEY.encode() not in b"".join(told)


@pytest.mark.parametrize(
    "behaviour",
    [
        *(pytest.param(behaviour, id=name) for name, behaviour, *_ in FAILURES),
        pytest.param(refusal(401, f"Incorrect API key provided: {KEY}"), id="401"),
        pytest.param(refusal(400, f"no such parameter: {KEY}"), id="400"),
    ],
)
def test_neither_key_nor_photo_nor_text_reaches_a_log_an_error_or_a_call(
    server: ModelServer,
    annotator_of: MakeAnnotator,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour | Answer,
) -> None:
    annotator = annotator_of(server, pace=HASTY if behaviour is SILENCE else PACE)
    for logger in ("", "httpx2", "httpcore2", "tenacity"):
        caplog.set_level(logging.DEBUG, logger)
    server.do(*[behaviour] * 6)
    photo = jpeg()
    try:
        [outcome] = annotator.read([photo])
    except BackendUnavailableError as error:
        outcome = PermanentError(str(error))
    assert isinstance(outcome, AnnotationError)
    told = [repr(outcome), str(outcome), repr(outcome.calls), repr(vars(outcome))]
    told += [repr(outcome.__context__), repr(annotator), repr(vars(annotator))]
    told += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    assert len(told) > 7  # the HTTP client does log
    sent = server.asked[0].body["messages"][1]["content"][0]["image_url"]["url"]
    for secret in (KEY, sent[40:80], "can't describe", "Sign in"):
        assert secret not in "\n".join(told)
