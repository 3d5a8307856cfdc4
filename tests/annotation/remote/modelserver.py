"""A server of models on a real socket, for chat or predictions: it errs to order.

What it is told to do is done once each, in order; after that it answers well.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from annotation.compact import JSON, LINES, SLOTS, Form, letters
from annotation.prompt import QUESTIONS

USAGE = {"prompt_tokens": 900, "completion_tokens": 170}
SURE = 0.9


@dataclass
class Asked:
    """One request as the server received it."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def form(self) -> Form:
        held = "regex" in self.body or "structured_outputs" in self.body
        return LINES if held else JSON


@dataclass
class Answer:
    """What to send back: as it is, however wrong."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # closes the connection after so many bytes
    wait: bool = False  # says nothing until the server is stopped


Behaviour = Callable[[Asked], Answer]


class ModelServer:
    """`do` says what to do next; `asked` is all that was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.busiest = 0
        self._under_way = 0
        self._orders: list[Behaviour | Answer] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def do(self, *orders: Behaviour | Answer) -> None:
        self._orders += orders

    def stop(self) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            order = self._orders.pop(0) if self._orders else completion
        answer = order if isinstance(order, Answer) else order(asked)
        if answer.wait:
            self._stopping.wait()
        with self._lock:
            self._under_way -= 1
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(text) if text else None
                self._send(server._answer(Asked(self.path, dict(self.headers), body)))

            def do_GET(self) -> None:
                self._send(server._answer(Asked(self.path, dict(self.headers), None)))

            def _send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                told = {"Content-Type": "application/json", **answer.headers}
                for name, value in told.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                try:
                    self.end_headers()
                    self.wfile.write(answer.body[: answer.cut_at])
                except OSError:  # nobody waits any more
                    self.close_connection = True
                if answer.cut_at is not None:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


# What a model writes -----------------------------------------------------------------


def sheet(**choices: str) -> list[str]:
    """A letter for each question: the first option's, or what is chosen by subject.

    Of several answers to one subject, `choices` holds a letter each.
    """
    chosen = {name: list(text) for name, text in choices.items()}
    return [
        chosen[q.subject].pop(0) if q.subject in chosen else letters(q)[0]
        for q in QUESTIONS
    ]


def written(form: Form, chosen: Sequence[str]) -> str:
    """The form as a model fills it in."""
    rest = iter(chosen)
    rows = {slot.name: [next(rest) for _ in slot.letters] for slot in SLOTS}
    if form is LINES:
        return "\n".join(f"{name}: {' '.join(row)}" for name, row in rows.items())
    is_row = {slot.name: slot.is_row for slot in SLOTS}
    return json.dumps({n: row if is_row[n] else row[0] for n, row in rows.items()})


def tokens_of(text: str) -> list[str]:
    """Words with the space before them, and everything else on its own."""
    return re.findall(r" ?[A-Za-z]+|.", text, re.DOTALL)


def logprobs_of(text: str, sure: float = SURE) -> dict[str, Any]:
    """Every token as likely as `sure`; a single letter has the next one beside it."""
    return {"content": [_token(token, sure) for token in tokens_of(text)]}


def _token(token: str, sure: float) -> dict[str, Any]:
    listed = {token: sure}
    if re.fullmatch(" ?[A-Z]", token):
        other = {"Y": "N", "N": "Y", "A": "B"}.get(token.strip(), "A")
        listed |= {token.replace(token.strip(), other): (1 - sure) / 2}
    top = [{"token": t, "logprob": math.log(p)} for t, p in listed.items()]
    return {**top[0], "top_logprobs": top}


def completion(asked: Asked, text: str | None = None, **changed: Any) -> Answer:
    """A good answer in the form that was asked for, but for what is `changed`."""
    text = written(asked.form, sheet()) if text is None else text
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": logprobs_of(text) if asked.body.get("logprobs") else None,
        "finish_reason": "stop",
    } | changed.pop("choice", {})
    return Answer(json.dumps({"choices": [choice], "usage": USAGE} | changed).encode())


def saying(text: str | None = None, **changed: Any) -> Behaviour:
    """An answer with this text, or with these fields of the completion changed."""
    return lambda asked: completion(asked, text, **dict(changed))


def refusal(status: int, message: str = "", **headers: str) -> Answer:
    """An error as such servers send it."""
    body = json.dumps({"error": {"message": message, "code": status}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(body, status, named)


def cut(at: int = 200) -> Behaviour:
    """A good answer whose connection breaks in the middle."""

    def behave(asked: Asked) -> Answer:
        return Answer(completion(asked).body, cut_at=at)

    return behave


SILENCE = Answer(wait=True)
