"""Which servers there are, what they are called, and what they cost: from settings.

TWINBY_REMOTE_PROVIDERS names them in the order of preference, such as "gpu1,router".
All of them serve the one model that TWINBY_REMOTE_MODEL labels. For each NAME:

TWINBY_REMOTE_GPU1_URL      where its API begins: https://gpu1.example/v1
TWINBY_REMOTE_GPU1_MODEL    what it calls the model
TWINBY_REMOTE_GPU1_DIALECT  vllm, sglang, openai, openrouter or replicate
TWINBY_REMOTE_GPU1_KEY      or TWINBY_REMOTE_GPU1_KEY_FILE, where it wants one
TWINBY_REMOTE_GPU1_USD_IN   dollars per million tokens read, and
TWINBY_REMOTE_GPU1_USD_OUT  written; they may be left out in a private network

TWINBY_REMOTE_PROXY is where requests with https go through, if they have to.

Loads no HTTP client: web processes want to know the version.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from annotation import compact
from annotation.backends.base import AnnotatorVersion, BackendUnavailableError
from annotation.backends.remote.dialects import Dialect
from twinby.env import EnvError, env_float, env_int, env_list, env_secret, env_text

MOST_CONCURRENT: Final = 1024
NAME: Final = re.compile("[a-z][a-z0-9_]{0,39}")
KEY: Final = re.compile("[!-~]*")  # what an HTTP header can carry
# Names that lead nowhere outside a private network (RFC 6761, RFC 6762, ICANN 2024).
PRIVATE_NAMES: Final = (".localhost", ".local", ".internal")
NEED_A_KEY: Final = {Dialect.OPENROUTER, Dialect.REPLICATE}
# No prompt has more: the text, and a photo as the greediest tilers cut it (2,880).
MOST_TOKENS_IN: Final = 6_144
MOST_TOKENS_OUT: Final = max(compact.LINES.max_tokens, compact.JSON.max_tokens)
TRIES: Final = 2  # with one provider; then the next one is asked


@dataclass(frozen=True)
class Provider:
    """One server of the model; prices in dollars per million tokens."""

    name: str
    url: str
    model: str
    dialect: Dialect
    usd_in: float = 0.0
    usd_out: float = 0.0
    key: str = field(default="", repr=False)

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost here."""
        return (tokens_in * self.usd_in + tokens_out * self.usd_out) / 1e6

    @property
    def worst_cost_usd(self) -> float:
        """What one try can cost at the most."""
        return self.cost_usd(MOST_TOKENS_IN, MOST_TOKENS_OUT)


@dataclass(frozen=True)
class Configuration:
    """Providers in the order of preference, and how many photos are asked at a time.

    `proxy` is a URL, or "": what is encrypted goes through it.
    """

    providers: tuple[Provider, ...]
    concurrency: int
    proxy: str = ""


def version() -> AnnotatorVersion:
    """Named by the model's label alone: providers come and go, readings stay.

    Raises BackendUnavailableError without a label.
    """
    label = env_text("TWINBY_REMOTE_MODEL")
    if not label:
        raise BackendUnavailableError("TWINBY_REMOTE_MODEL must name the model.")
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", label.rsplit("/", 1)[-1])[:60]
    digest = hashlib.sha256(label.encode()).hexdigest()[:8]
    return AnnotatorVersion("remote", f"{short}-{digest}", compact.VERSION)


def names() -> list[str]:
    """The providers that the settings name; none where nobody is to be asked from."""
    return [name.lower() for name in env_list("TWINBY_REMOTE_PROVIDERS")]


def worst_cost_usd() -> float:
    """What one photo can cost at the most: every try with every provider.

    Nothing where none is named. Raises BackendUnavailableError as `configured` does.
    """
    providers = configured().providers if names() else ()
    return sum(TRIES * provider.worst_cost_usd for provider in providers)


def configured() -> Configuration:
    """The settings as they are; BackendUnavailableError names what is wrong in them."""
    version()
    try:
        concurrency = env_int("TWINBY_REMOTE_CONCURRENCY", 32)
        providers = tuple(_provider(name) for name in names())
    except EnvError as error:
        raise BackendUnavailableError(f"{error}.") from None
    if not 1 <= concurrency <= MOST_CONCURRENT:
        raise _wrong("TWINBY_REMOTE_CONCURRENCY", f"must be 1 to {MOST_CONCURRENT}")
    if not providers or len({p.name for p in providers}) < len(providers):
        raise _wrong("TWINBY_REMOTE_PROVIDERS", "must name servers, each once")
    return Configuration(providers, concurrency, _proxy("TWINBY_REMOTE_PROXY"))


def _wrong(variable: str, demand: str) -> BackendUnavailableError:
    return BackendUnavailableError(f"{variable} {demand}.")


def _provider(name: str) -> Provider:
    if not NAME.fullmatch(name):
        raise _wrong("TWINBY_REMOTE_PROVIDERS", "takes names of letters, digits and _")
    prefix = f"TWINBY_REMOTE_{name.upper()}"
    dialect = _dialect(f"{prefix}_DIALECT")
    url = _url(f"{prefix}_URL")
    model = env_text(f"{prefix}_MODEL")
    if not model:
        raise _wrong(f"{prefix}_MODEL", "must say what this server calls the model")
    return Provider(
        name=name,
        url=url.geturl().rstrip("/"),
        model=model,
        dialect=dialect,
        usd_in=_price(f"{prefix}_USD_IN", url),
        usd_out=_price(f"{prefix}_USD_OUT", url),
        key=_key(f"{prefix}_KEY", dialect),
    )


def _dialect(variable: str) -> Dialect:
    try:
        return Dialect(env_text(variable))
    except ValueError:
        raise _wrong(variable, f"must be one of {', '.join(Dialect)}") from None


def _url(variable: str) -> SplitResult:
    """Encrypted, or in a private network; without a secret that a log could show."""
    try:
        url = urlsplit(env_text(variable))
        url.port  # noqa: B018 - is checked when it is asked for
    except ValueError:
        raise _wrong(variable, "must be a URL") from None
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise _wrong(variable, "must be a URL that begins with https://")
    if url.username or url.password or url.query or url.fragment:
        raise _wrong(variable, "must not carry a key: there is a setting for it")
    if url.scheme == "http" and not is_private(url.hostname):
        raise _wrong(variable, "must begin with https:// outside a private network")
    return url


def _proxy(variable: str) -> str:
    return _url(variable).geturl() if env_text(variable) else ""


def is_private(host: str) -> bool:
    """Whether a host is this machine or can only be one of a private network.

    A name without a dot is one of Docker's or Kubernetes' own.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_NAMES)
    return address.is_private or address.is_loopback


def _price(variable: str, url: SplitResult) -> float:
    """Servers that anybody can reach want money: a forgotten price ends no budget."""
    if not env_text(variable) and not is_private(url.hostname or ""):
        raise _wrong(variable, "must say the price, in dollars per million tokens")
    price = env_float(variable, 0.0)
    if not (math.isfinite(price) and price >= 0):
        raise _wrong(variable, "must not be negative")
    return price


def _key(variable: str, dialect: Dialect) -> str:
    key = env_secret(variable)
    if not KEY.fullmatch(key):
        raise _wrong(variable, "must be printable, without spaces")
    if not key and dialect in NEED_A_KEY:
        raise _wrong(variable, "must hold the key, or its _FILE name a file with it")
    return key
