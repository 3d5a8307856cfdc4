"""One provider: asked with what it can do, tried again, left alone when it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from annotation import parsing
from annotation.answers import Answer
from annotation.backends.base import Call, Source
from annotation.backends.remote import replicate
from annotation.backends.remote.breaker import Breaker
from annotation.backends.remote.configuration import Provider
from annotation.backends.remote.dialects import (
    FEATURES,
    Dialect,
    Feature,
    Reply,
    chat_reply,
    chat_request,
    form_of,
    minded,
)
from annotation.backends.remote.faults import TROUBLES, Fault
from annotation.backends.remote.transport import Pace, Transport

# Statuses with which servers refuse a parameter; OpenRouter says 404 if nobody has it.
COMPLAINTS: Final = {400, 404, 422}
# Elsewhere it is about the key; OpenRouter says it of what its moderation holds back.
FLAGGED: Final = (Dialect.OPENROUTER, 403)


@dataclass(frozen=True)
class Heard:
    """One answer to each question, and whether they are probabilities."""

    answers: list[Answer]
    source: Source


class ParameterFault(Fault):
    """The server refuses what one feature adds to a request."""

    def __init__(self, feature: Feature) -> None:
        super().__init__("parameter-refused")
        self.feature = feature


class Abilities:
    """What a provider was seen to be unable to do; now and then it is tried again."""

    def __init__(
        self, dialect: Dialect, seconds: float, clock: Callable[[], float]
    ) -> None:
        self._all, self._seconds, self._clock = FEATURES[dialect], seconds, clock
        self._lacking: dict[Feature, float] = {}

    def features(self) -> tuple[Feature, ...]:
        """What to ask for now."""
        now = self._clock()
        return tuple(f for f in self._all if self._lacking.get(f, now) <= now)

    def lacks(self, feature: Feature) -> None:
        """Go without it for now."""
        self._lacking[feature] = self._clock() + self._seconds


class Server:
    """Asks one provider about photos. Belongs to one event loop."""

    def __init__(self, provider: Provider, transport: Transport, pace: Pace) -> None:
        self.provider = provider
        self._transport, self._pace = transport, pace
        self._breaker = Breaker(pace.failures, pace.left_alone, pace.clock)
        self._abilities = Abilities(provider.dialect, pace.until_probe, pace.clock)
        self._backoff = wait_random_exponential(
            multiplier=pace.first_pause, max=pace.longest_pause
        )
        self._why_down = ""

    @property
    def is_left_alone(self) -> bool:
        """Whether it has failed too often just now."""
        return self._breaker.is_open

    async def ask(self, photo_url: str, calls: list[Call]) -> Heard:
        """The answers about a photo, within a few tries; each is added to `calls`.

        Raises the last Fault; at once, while the provider is left alone, the one why.
        """
        if not self._breaker.admits():
            raise Fault(self._why_down)
        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            stop=lambda _: self._is_enough(calls),
            retry=retry_if_exception(self._is_worth_another_try),
            wait=self._wait,
            reraise=True,
        )
        return await retrying(self._watched, photo_url, calls)

    def _is_enough(self, calls: Sequence[Call]) -> bool:
        """Whether the tries that this provider gets are used up."""
        own = [call.outcome for call in calls if call.provider == self.provider.name]
        busy = own.count("busy")
        made = len(own) - busy - own.count("parameter-refused")
        return made >= self._pace.tries or busy >= self._pace.patience

    def _is_worth_another_try(self, error: BaseException) -> bool:
        return (
            isinstance(error, Fault)
            and error.trouble.again
            and (error.wait or 0) <= self._pace.longest_wait
            and not self.is_left_alone
        )

    def _wait(self, state: RetryCallState) -> float:
        """What the server asks for, and jitter: not all come back at the same time."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, Fault) else None
        return (asked or 0) + self._backoff(state)

    async def _watched(self, photo_url: str, calls: list[Call]) -> Heard:
        """One try that the breaker knows of."""
        try:
            heard = await self._adapted(photo_url, calls)
        except Fault as fault:
            if fault.trouble.down:
                self._why_down = fault.reason
            self._breaker.note(failed=fault.trouble.down)
            raise
        self._breaker.note(failed=False)
        return heard

    async def _adapted(self, photo_url: str, calls: list[Call]) -> Heard:
        """One try, repeated without each parameter that the server refuses.

        It is remembered for others only if it helped: one odd photo may be refused in
        words that sound like a parameter's.
        """
        features = left = self._abilities.features()
        while True:
            try:
                heard = await self._counted(photo_url, left, calls)
            except ParameterFault as fault:
                left = tuple(f for f in left if f is not fault.feature)
            else:
                for feature in set(features) - set(left):
                    self._abilities.lacks(feature)
                return heard

    async def _counted(
        self, photo_url: str, features: tuple[Feature, ...], calls: list[Call]
    ) -> Heard:
        """One request, with its row in the ledger."""
        started, reply = time.perf_counter(), Reply()
        try:
            async with asyncio.timeout(self._pace.whole):
                reply = await self._reply(photo_url, features)
            heard = self._heard(reply, features)
        except TimeoutError:
            fault = Fault("timed-out")
        except Fault as failure:
            fault = failure
        else:
            calls.append(self._call(started, reply, "done"))
            return heard
        calls.append(self._call(started, reply, fault.reason))
        raise fault

    async def _reply(self, photo_url: str, features: tuple[Feature, ...]) -> Reply:
        if self.provider.dialect is Dialect.REPLICATE:
            return await replicate.predict(
                self._transport, self.provider, photo_url, self._pace
            )
        body = chat_request(
            self.provider.dialect, self.provider.model, features, photo_url
        )
        received = await self._transport.post(self.provider, "chat/completions", body)
        if (self.provider.dialect, received.status) == FLAGGED:
            raise Fault("flagged")
        if received.status in COMPLAINTS:
            refused = minded(received.complaint, features)
            if refused is not None:
                raise ParameterFault(refused)
        return chat_reply(received.payload())

    def _heard(self, reply: Reply, features: tuple[Feature, ...]) -> Heard:
        """The answers in a reply; Fault if it is none."""
        if reply.problem:
            raise Fault(reply.problem)
        try:
            found = parsing.match(reply.text, form_of(features))
        except parsing.UnreadableError as error:
            raise Fault(error.reason) from None
        written = parsing.tokens(reply.logprobs)
        if not written and Feature.LOGPROBS in features:
            self._abilities.lacks(Feature.LOGPROBS)
        likely = parsing.likely(found, written)
        if likely is None:
            return Heard(parsing.certain(found), Source.ONE_HOT)
        return Heard(likely, Source.PROBABILITIES)

    def _call(self, started: float, reply: Reply, outcome: str) -> Call:
        return Call(
            seconds=time.perf_counter() - started,
            provider=self.provider.name,
            outcome=outcome,
            tokens_in=reply.tokens_in or 0,
            tokens_out=reply.tokens_out or 0,
            cost_usd=self._cost_usd(reply, outcome),
        )

    def _cost_usd(self, reply: Reply, outcome: str) -> float:
        """As it is said, else by its tokens, else the worst where it may cost."""
        if reply.cost_usd is not None:
            return reply.cost_usd
        if reply.tokens_in is not None and reply.tokens_out is not None:
            return self.provider.cost_usd(reply.tokens_in, reply.tokens_out)
        may_cost = outcome == "done" or TROUBLES[outcome].billed
        return self.provider.worst_cost_usd if may_cost else 0.0
