"""Decides which request is to be answered wrongly, and by which fault.

Does not perform faults: the table of names and the scripts are elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from p402.sandbox.dice import roll
from p402.sandbox.models import FAULT_PREFIX
from p402.sandbox.perform import Job
from p402.sandbox.script import Script

SPEC_CHARS_MAX = 256
PROBABILITY = "p"


class UnknownFaultError(ValueError):
    """A fault name or parameter that no table row explains."""


@dataclass(slots=True)
class Fault:
    """One fault, asked for by name; on a provider path also how often and for which model.

    `hits` counts how often it struck; a fault with a `count` is spent after that many.
    """

    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    probability: float = 1.0
    count: int | None = None
    model: str | None = None
    hits: int = 0

    def number(self, key: str) -> float:
        """A parameter as a number; `complete` has seen to it that it is one."""
        return float(self.params[key])

    def integer(self, key: str) -> int:
        """A parameter as a whole number."""
        return int(self.number(key))


Play = Callable[[Job, Fault], Script]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A row of the fault table."""

    doc: str
    play: Play
    defaults: Mapping[str, str] = field(default_factory=dict)


FaultTable = Mapping[str, FaultKind]


def parse(spec: str, table: FaultTable) -> Fault:
    """`NAME[;k=v]` or `NAME[,k=v]` as a fault with all parameters filled in."""
    name, *pairs = re.split(r"[;,]", spec[:SPEC_CHARS_MAX].strip())
    params: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        params[key.strip()] = value.strip()
    probability = params.pop(PROBABILITY, "1")
    try:
        return complete(Fault(name.strip(), params, probability=float(probability)), table)
    except ValueError as error:
        raise UnknownFaultError(str(error)) from error


def complete(fault: Fault, table: FaultTable) -> Fault:
    """The fault with the table's defaults; unknown names and parameters are errors."""
    kind = table.get(fault.name)
    if kind is None:
        raise UnknownFaultError(
            f"unknown fault {fault.name!r}; python -m p402.sandbox --list-faults"
        )
    unknown = sorted(set(fault.params) - set(kind.defaults))
    if unknown:
        raise UnknownFaultError(f"{fault.name} takes {sorted(kind.defaults)}, not {unknown}")
    params = {**kind.defaults, **fault.params}
    for key, default in kind.defaults.items():
        if _is_number(default) and not _is_number(params[key]):
            raise UnknownFaultError(f"{fault.name}: {key} must be a number from 0 on")
    return Fault(fault.name, params, fault.probability, fault.count, fault.model)


Faults = dict[str, "Fault | Sequence[Fault]"]


class Chooser:
    """Picks the fault of a request: header, then model name, then what is set for its path."""

    def __init__(self, table: FaultTable, by_path: Faults, seed: int) -> None:
        self._table = table
        self._by_path = by_path
        self._dice = roll(seed)

    def choose(self, base: str, model_id: str, header: str | None) -> Fault | None:
        """The fault to perform, None for a regular reply."""
        if header:
            return self._drawn(parse(header, self._table))
        if model_id.startswith(FAULT_PREFIX):
            return self._drawn(parse(model_id[len(FAULT_PREFIX) :], self._table))
        listed = self._by_path.get(base, ())
        for fault in (listed,) if isinstance(listed, Fault) else listed:
            if fault.model not in (None, model_id) or _spent(fault):
                continue
            drawn = self._drawn(complete(fault, self._table))
            if drawn is not None:
                fault.hits += 1
                return drawn
        return None

    def _drawn(self, fault: Fault) -> Fault | None:
        if fault.probability >= 1 or self._dice.random() < fault.probability:
            return fault
        return None


def _spent(fault: Fault) -> bool:
    return fault.count is not None and fault.hits >= fault.count


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False
