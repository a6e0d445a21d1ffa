"""The Rust core, as Python sees it: four classes, no decision left to the caller.

Nothing here reads the environment; settings come in as JSON, the catalogue as bytes. Only `Books`
and `settle_by_hand` touch files: those of the ledger's data directory.
"""

from asyncio import Future
from collections.abc import Sequence
from os import PathLike
from typing import Any, TypeAlias, final

__all__ = [
    "DEBUG_BUILD",
    "Books",
    "Gateway",
    "ManualClock",
    "Reply",
    "__version__",
    "cache_file",
    "cache_rules",
    "guard_limits",
    "settle_by_hand",
]

__version__: str
DEBUG_BUILD: bool

def cache_rules(gateways: str, tenants: str | None = None) -> None:
    """Judges the JSON tables `[cache]` and, over it, `[tenant.cache]`. ValueError(key, why) names
    the key that is wrong."""

def cache_file(data_dir: str | PathLike[str], purge: str | None = None) -> bytes:
    """What the cache's file in a data directory holds, as JSON, after taking from it what `purge`
    (JSON: tenant, entry, model, older_than_s) names. OSError where a gateway runs on it."""

def guard_limits(written: Sequence[str]) -> str:
    """The limits that JSON tables of the guard come to, later ones over earlier ones, as JSON.
    ValueError(key, why) names the key that is wrong."""

_Headers: TypeAlias = list[tuple[bytes, bytes]]
_Answer: TypeAlias = tuple[int, _Headers, bytes | None]

@final
class ManualClock:
    """A clock that stands until it is moved; for tests and replays."""

    def __new__(cls, utc_micros: int) -> ManualClock:
        """Starts at this many microseconds since 1970-01-01T00:00:00Z."""
    def advance_ms(self, ms: int) -> None:
        """Moves the wall clock and the monotonic clock forward by milliseconds."""
    @property
    def utc_micros(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""

@final
class Books:
    """The ledger of a data directory, for reading; a gateway may run beside it. OSError where it
    cannot be read, ValueError where a day or an id is none."""

    def __new__(cls, data_dir: str | PathLike[str], index: str | None = None) -> Books:
        """`index` is a PostgreSQL URL or a file; without it `ledger.sqlite` in the directory."""
    def ledger_id(self) -> str:
        """The ledger's own id."""
    def usage(self, params: Sequence[tuple[str, str]]) -> bytes:
        """The body of `GET /usage` as the operator may ask for it, without limits."""
    def request(self, id: str) -> bytes:
        """The rows of one request as a JSON array, in the order they were written."""
    def open_requests(self) -> bytes:
        """Requests that have not ended, as a JSON array."""
    def balances(self, since: str) -> list[tuple[str, str, int]]:
        """What counted against caps from a day on: (tenant, UTC day of admission, nano)."""
    def audit(self) -> bytes:
        """Adds every row up again and compares, as a JSON object."""
    def csv(self, from_: int, to: int, /) -> bytes:
        """The rows written from one microsecond to before another, as CSV sorted by tenant."""
    def span(self) -> tuple[int, int] | None:
        """The first and last instant of a row, in microseconds; None without rows."""

def settle_by_hand(
    data_dir: str | PathLike[str],
    id: str,
    cost_usd: str | None = None,
    index: str | None = None,
) -> bytes:
    """Ends an open request at `cost_usd` (its hold without it), or corrects an ended one, and
    returns the row that says so. OSError where a gateway runs on the directory."""

@final
class Reply:
    """One reply on its way. Dropping or closing it says that the client has left."""

    def next(self, future: Future[Any]) -> Any | None:
        """The next part: first `(status, headers, bytes, more)`, then `(bytes, more)` until `more`
        is false. Returned at once if it is there; otherwise None, and `future` is resolved with
        it. One call at a time, on the event loop's thread."""
    def close(self) -> None:
        """The client has left: the upstream is cut or drained, the usage still accounted."""

@final
class Gateway:
    """One gateway process: catalogue, routing state, upstream connections."""

    def __new__(
        cls,
        config: bytes,
        *,
        catalog: Sequence[bytes],
        data_dir: str | None = None,
        transport: str = "http",
        clock: ManualClock | None = None,
        embedder: str | PathLike[str] | None = None,
    ) -> Gateway:
        """`config` is the JSON of the core's `Config`, `catalog` its JSON-lines layers, later ones
        overriding. `data_dir` is taken for this process, or BlockingIOError says that another one
        has it; without one the gateway explains and lists, and serves nothing. `transport` is
        "http" or a JSON list of scripts. `embedder` is the path of the encoder's weights, read when
        they are first needed, or "hashed", which knows no meaning; without one the cache finds
        equal questions alone. Raises ValueError naming layer, line or key."""
    def start(self) -> int:
        """Starts the lane (a thread with its own runtime) once; returns the descriptor that turns
        readable when `drain` is due. Call it in the worker, never before a fork."""
    @property
    def wake_fd(self) -> int:
        """The descriptor that `start` returned."""
    def drain(self) -> None:
        """Resolves every future whose part has come."""
    def stop(self, drain_ms: int) -> None:
        """Refuses new requests, waits `drain_ms` for open ones, ends the rest, stops the lane."""
    def refuse_new(self) -> None:
        """Open requests go on; new ones are told `shutting_down`."""
    @property
    def draining(self) -> bool: ...
    @property
    def in_flight(self) -> int:
        """Requests on their way."""
    def ticks(self) -> int:
        """Microseconds of the gateway's monotonic clock."""
    def reload(self, config: bytes, catalog: Sequence[bytes]) -> None:
        """Swaps configuration and catalogue whole. ValueError changes nothing."""
    def chat(self, tenant: str, headers: _Headers, body: bytes, received: int, path: str) -> Reply:
        """Starts one request that came to this path; `received` is `ticks()` when its head was
        read."""
    def models(self) -> bytes:
        """The body of `GET /models`."""
    def listing(self, headers: _Headers, params: Sequence[tuple[str, str]], path: str) -> _Answer:
        """The reply to `GET /models` in the words of the door at `path`: one page."""
    def model(self, headers: _Headers, id: str, path: str) -> _Answer:
        """The reply to `GET /models/{id}`, in the words of the door at `path`."""
    def explain(self, tenant: str, headers: _Headers, body: bytes, all: bool) -> _Answer:
        """The reply to `POST /route`: the decision, without calling anyone."""
    def count_tokens(self, tenant: str, asked: tuple[_Headers, str], body: bytes) -> _Answer:
        """How long the request is that came with (headers, path): an estimate, without calling
        anyone."""
    def request(self, tenant: str, id: str) -> _Answer | None:
        """The reply to `GET /requests/{id}` for this tenant; None for what this node does not
        remember."""
    def booked_request(self, tenant: str, headers: _Headers, id: str) -> Reply:
        """The same from the ledger."""
    def usage(
        self, tenant: str | None, headers: _Headers, params: Sequence[tuple[str, str]]
    ) -> Reply:
        """The reply to `GET /usage`: to a tenant what it spent, to the operator (None) what
        everybody did."""
    def standing(self, tenant: str) -> _Headers:
        """What is left to a tenant, as headers."""
    def price(
        self,
        offer: str,
        usage: tuple[int, int, int, int, int],
        at: int,
        service: str | None = None,
    ) -> int | None:
        """What `usage` (fresh, cache_read, cache_write, cache_write_1h, output) costs at
        `provider/model` at `at` (microseconds since 1970), in nano-dollars; the one pricing
        function, for audits. None for a name that is not one offer."""
    def events(self) -> tuple[list[str], int]:
        """Lines for the operator's log since the last call, and how many were dropped before."""
    def alarms(self) -> list[bytes]:
        """Alarms since the last call, as JSON bodies for a webhook."""
    def metrics(self) -> str:
        """All that is counted, in Prometheus' text format. It looks at the disk: not on the loop
        that serves."""
    def cache_stats(self, tenant: str, headers: _Headers) -> _Answer:
        """The reply to `GET /cache`: how much of this node's cache is the tenant's."""
    def forget(self, tenant: str, headers: _Headers, entry: str) -> _Answer:
        """The reply to `DELETE /cache/{entry}`."""
    def purge(self, tenant: str, headers: _Headers, what: tuple[str | None, int | None]) -> _Answer:
        """The reply to `DELETE /cache`: all of a tenant's, or of a model, or of an age."""
    def feedback(self, tenant: str, headers: _Headers, body: bytes) -> _Answer:
        """The reply to `POST /feedback`; it may wait for a database, so not on the loop that
        serves."""
    def refusal(self, code: str, message: str, asked: tuple[_Headers, str | None]) -> _Answer:
        """The error reply of a stable code, in the form that the request's headers accept, as
        the API at its path words errors. ValueError where the table has no such code."""
