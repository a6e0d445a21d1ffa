"""Decides how a price text becomes an integer rate: pico-dollars per token, rounded up.
Does not know which source a price comes from, nor which of two prices is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext

PICO_PER_MTOK_DOLLAR = 1_000_000
_SIX_DIGITS = Decimal("0.000001")
_NOISE = Decimal("1e-9")
# Enough digits that no product of a price below is ever rounded by the context.
EXACT = Context(prec=60)


@dataclass
class Rounding:
    """Rates that are no whole pico-dollar, kept so that the builder can list them."""

    seen: dict[str, str] = field(default_factory=dict)

    def note(self, where: str, text: str) -> None:
        self.seen[where] = text


def pico(price: str | Decimal, where: str = "", rounding: Rounding | None = None) -> int:
    """Dollars per million tokens → pico-dollars per token; a remainder is rounded up."""
    value = Decimal(price)
    if value.is_nan() or value.is_infinite() or value < 0:
        raise ValueError(f"{where}: {price!r} is no price")
    with localcontext(EXACT):
        # A float that was printed: 0.0024499999999999995 was meant as 0.00245.
        near = value.quantize(_SIX_DIGITS, rounding=ROUND_HALF_EVEN)
        if near and abs(near - value) <= _NOISE:
            value = near
        exact = value * PICO_PER_MTOK_DOLLAR
        whole = exact.to_integral_value(rounding=ROUND_CEILING)
        if whole != exact and rounding is not None:
            rounding.note(where, str(price))
    return int(whole)


def scaled(rate: int, factor: Decimal) -> int:
    """A rate times a decimal factor (an off-peak multiplier, a write surcharge), rounded up."""
    with localcontext(EXACT):
        return int((rate * factor).to_integral_value(rounding=ROUND_CEILING))


def ratio(rate: int, above: int, below: int) -> int:
    """`rate · above / below`, rounded up, in integers."""
    return -(-rate * above // below)


def nano_per_request(dollars_per_thousand: Decimal) -> int:
    """Dollars per thousand requests → nano-dollars per request, rounded up."""
    with localcontext(EXACT):
        nano = dollars_per_thousand * 1_000_000
        return int(nano.to_integral_value(rounding=ROUND_CEILING))
