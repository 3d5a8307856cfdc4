"""One provider: asked with what it can do, tried again, left alone when it fails."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

from annotation import parsing
from annotation.answers import Answer
from annotation.backends.base import Call, Source
from annotation.backends.remote.abilities import Abilities
from annotation.backends.remote.breaker import Breaker
from annotation.backends.remote.configuration import Provider
from annotation.backends.remote.dialects import (
    Dialect,
    Feature,
    Reply,
    chat_reply,
    chat_request,
    form_of,
    minded,
)
from annotation.backends.remote.faults import TROUBLES, Fault
from annotation.backends.remote.replicate import Predictions
from annotation.backends.remote.standing import Absence, Rejections
from annotation.backends.remote.transport import Pace, Transport

logger = logging.getLogger(__name__)
# Statuses with which servers refuse a parameter; OpenRouter says 404 if nobody has it.
COMPLAINTS: Final = {400, 404, 422}
# Elsewhere it is about the key; OpenRouter says it of what its moderation holds back.
FLAGGED: Final = (Dialect.OPENROUTER, 403)
# Tries that do not use up those that may cost something.
FREE: Final = ("busy", "parameter-refused")


@dataclass(frozen=True)
class Heard:
    """One answer to each question, and whether they are probabilities."""

    answers: list[Answer]
    source: Source


@dataclass
class Inquiry:
    """One photo, all tries at it so far, and the next best thing that was heard."""

    photo_url: str
    calls: list[Call]
    certain: Heard | None = None  # without the probabilities that should be there


class ParameterFault(Fault):
    """The server refuses what one feature adds to a request."""

    def __init__(self, feature: Feature) -> None:
        super().__init__("parameter-refused")
        self.feature = feature


class Server:
    """Asks one provider about photos. Belongs to one event loop."""

    def __init__(self, provider: Provider, transport: Transport, pace: Pace) -> None:
        self.provider = provider
        self._transport, self._pace = transport, pace
        self._breaker = Breaker(pace.failures, pace.left_alone, pace.clock)
        self._absence = Absence(pace.longest_absence, pace.clock)
        self._rejections = Rejections(pace.rejections)
        self._abilities = Abilities(provider.dialect, pace)
        self._predictions = Predictions(transport, provider, pace)
        self._backoff = wait_random_exponential(
            multiplier=pace.first_pause, max=pace.longest_pause
        )
        self._why_down = ""

    @property
    def is_left_alone(self) -> bool:
        """Whether it has failed too often just now."""
        return self._breaker.is_open

    async def ask(self, inquiry: Inquiry) -> Heard:
        """The answers about a photo, within a few tries; each is added to its calls.

        Raises the last Fault; at once, while the provider is left alone or wants no
        requests for longer than a photo waits.
        """
        retrying = AsyncRetrying(
            sleep=self._pace.sleep,
            stop=lambda _: self._is_enough(inquiry.calls),
            retry=retry_if_exception(self._is_worth_another_try),
            wait=self._backoff,
            reraise=True,
        )
        try:
            return await retrying(self._watched, inquiry)
        except Fault:
            if inquiry.certain is None:
                raise
            return inquiry.certain

    def _is_enough(self, calls: Sequence[Call]) -> bool:
        """Whether the tries that this provider gets are used up."""
        own = [call.outcome for call in calls if call.provider == self.provider.name]
        made = sum(outcome not in FREE for outcome in own)
        return made >= self._pace.tries or own.count("busy") >= self._pace.patience

    def _is_worth_another_try(self, error: BaseException) -> bool:
        return (
            isinstance(error, Fault)
            and error.trouble.again
            and self._absence.seconds <= self._pace.longest_wait
            and not self.is_left_alone
        )

    async def _watched(self, inquiry: Inquiry) -> Heard:
        """One try, where it may be asked now; what it shows is true of all photos."""
        await self._welcome()
        if not self._breaker.admits():
            raise Fault(self._why_down)
        try:
            heard = await self._adapted(inquiry)
        except Fault as fault:
            if fault.trouble.down:
                self._why_down = fault.reason
            self._breaker.note(failed=fault.trouble.down)
            self._absence.extend(fault.wait or 0)
            raise
        self._breaker.note(failed=False)
        return heard

    async def _welcome(self) -> None:
        """Wait until the server wants requests again; Fault if that is too long."""
        while left := self._absence.seconds:
            if left > self._pace.longest_wait:
                raise Fault("busy")
            jitter = random.uniform(0, self._pace.first_pause)  # noqa: S311
            await self._pace.sleep(left + jitter)  # all others wait for it as well

    async def _adapted(self, inquiry: Inquiry) -> Heard:
        """One try, repeated without each parameter that the server refuses.

        It is remembered for others only if it helped: one odd photo may be refused in
        words that sound like a parameter's.
        """
        features = left = self._abilities.features()
        while True:
            try:
                heard = await self._counted(inquiry, left)
            except ParameterFault as fault:
                left = tuple(f for f in left if f is not fault.feature)
            else:
                for feature in set(features) - set(left):
                    self._abilities.lacks(feature)
                return heard

    async def _counted(self, inquiry: Inquiry, features: tuple[Feature, ...]) -> Heard:
        """One request, with its row in the ledger however it ends."""
        started, reply = time.perf_counter(), Reply()
        try:
            async with asyncio.timeout(self._pace.whole):
                reply = await self._reply(inquiry.photo_url, features)
            heard = self._heard(reply, features, inquiry)
        except BaseException as error:
            fault = self._fault_of(error, inquiry.photo_url)
            inquiry.calls.append(self._call(started, reply, fault.reason))
            if not isinstance(error, Exception):
                raise
        else:
            inquiry.calls.append(self._call(started, reply, "done"))
            return heard
        raise fault  # outside, so that no other exception becomes its context

    def _fault_of(self, error: BaseException, photo_url: str) -> Fault:
        """What is said of a try that ended so."""
        if isinstance(error, Fault):
            is_rejection = error.reason == "rejected"
            if is_rejection and not self._rejections.is_own(photo_url):
                return Fault("rejects-all", error.wait)
            return error
        if isinstance(error, TimeoutError):
            made = self.provider.dialect is Dialect.REPLICATE  # and is not made twice
            return Fault("not-fetched" if made else "timed-out")
        if not isinstance(error, Exception):  # cancelled
            return Fault("out-of-time")
        logger.warning("A try broke: %s", type(error).__name__)
        return Fault("annotator-broke")

    async def _reply(self, photo_url: str, features: tuple[Feature, ...]) -> Reply:
        if self.provider.dialect is Dialect.REPLICATE:
            return await self._predictions.reply(photo_url)
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

    def _heard(
        self, reply: Reply, features: tuple[Feature, ...], inquiry: Inquiry
    ) -> Heard:
        """The answers in a reply; Fault if it is none, or may be a better one."""
        if reply.problem:
            raise Fault(reply.problem)
        self._rejections.note_read()
        try:
            found = parsing.match(reply.text, form_of(features))
        except parsing.UnreadableError as error:
            raise Fault(error.reason) from None
        likely = parsing.likely(found, parsing.tokens(reply.logprobs))
        if Feature.LOGPROBS in features:
            self._abilities.note_probabilities(given=likely is not None)
        if likely is not None:
            return Heard(likely, Source.PROBABILITIES)
        certain = Heard(parsing.certain(found), Source.ONE_HOT)
        if Feature.LOGPROBS in features and self._is_a_lapse(inquiry):
            inquiry.certain = certain
            raise Fault("no-probabilities")
        return certain

    def _is_a_lapse(self, inquiry: Inquiry) -> bool:
        """Whether one more try may bring the probabilities that an answer lacks."""
        first = inquiry.certain is None
        return first and self._abilities.usually_gives_probabilities

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
