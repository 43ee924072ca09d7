"""
A test bed: the life of one order, told as it would be told aloud.

    bed = Bed(comeup())
    bed.place(price="100.00 EUR")
    bed.seller.accept_order()
    bed.wait(days=5)
    bed.expect("in_progress", late=True)

It works on any process, also on yours.  Time is a fake clock; storage is memory, unless
you bring your own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, TypeVar, final

from ..clock import FakeClock, WindowLike, as_window
from ..commands import Command, PlaceOrder
from ..decisions import Coming, Refusal
from ..effects import Effect
from ..engine import Engine, Outcome
from ..forms import form_of
from ..inputs import kind_of
from ..money import Money, Payment
from ..order import Order
from ..parties import Actor, Buyer, Mediator, Operator, Provider, Seller
from ..processes import comeup
from ..states import Process
from ..storage import Storage
from ..storage.memory import MemoryStorage
from ..terms import Terms
from ..timeline import as_text, timeline

__all__ = ["START", "Bed", "Player"]

START: Final = "2026-05-05T10:00:00+02:00"

_TERMS: Final = frozenset(field.name for field in form_of(PlaceOrder))

# What a story need not say: any words, any file.
_FILLED: Final = {"text": "-", "references": ("-",)}

_E = TypeVar("_E", bound=Effect)


@final
class Player:
    """
    Somebody around an order.  What he may send are his methods: of the seller,
    `bed.seller.accept_order()`.

    A required text, or a file, that a story does not say is filled in.
    """

    def __init__(self, bed: Bed, actor: Actor) -> None:
        self._bed = bed
        self.actor = actor

    def __getattr__(self, name: str) -> Callable[..., Outcome | Refusal]:
        command = self._bed.process.commands.get(name)
        if command is None:
            raise AttributeError(f"{self._bed.process.name} has no command {name!r}")
        kind = command

        def send(**fields: Any) -> Outcome | Refusal:
            return self._bed.send(_made(kind, fields), by=self.actor)

        return send

    def __dir__(self) -> Iterable[str]:
        commands = self._bed.process.commands_of(self.actor.role)
        return [*super().__dir__(), *(command.name for command in commands)]

    def __repr__(self) -> str:
        return f"<{self.actor}>"


@final
class Bed:
    """
    One order, the people around it, and a clock.

    Args:
        process: The process the order runs on; `comeup()` unless said.

        storage: Where it is kept; in memory unless said.

        start: When it begins.

        engine: An engine of yours in their place, whose clock is a `FakeClock`.

    Attributes:
        process: The process.

        engine: The engine.

        clock: The clock.

        order_id: The id of the order; empty before it is placed.

        buyer, seller, mediator, staff, provider: The people: `Player`.
    """

    def __init__(
        self,
        process: Process[Any] | None = None,
        *,
        storage: Storage | None = None,
        start: str = START,
        engine: Engine | None = None,
    ) -> None:
        if engine is None:
            engine = Engine(
                comeup() if process is None else process,
                MemoryStorage() if storage is None else storage,
                clock=FakeClock(start),
            )
        clock = engine.clock
        if not isinstance(clock, FakeClock):
            raise TypeError(f"a test bed turns a FakeClock, not {kind_of(clock)}")
        self.engine, self.clock = engine, clock
        self.process = engine.process if process is None else process
        self.order_id = ""
        self.buyer = Player(self, Buyer("ana"))
        self.seller = Player(self, Seller("luc"))
        self.mediator = Player(self, Mediator("mia"))
        self.staff = Player(self, Operator("ops"))
        self.provider = Player(self, Provider("bank"))
        self._refusal: tuple[Command, Refusal] | None = None

    # --- what happens -------------------------------------------------------------

    def place(self, command: PlaceOrder | None = None, **fields: Any) -> Order:
        """
        Let the buyer place the order: 100.00 EUR by card and five days to deliver,
        unless it is said.

        Args:
            command: All of it, in place of fields.

            fields: Those of `PlaceOrder`, and those of `Terms`: `price="250.00 EUR"`,
                `payment=None`, `delivery_window="P3D"`, `revisions=2`.
        """
        self._heard()
        if command is None:
            command = self._usual(fields)
        placed = self.engine.place(command, by=self.buyer.actor)
        self.order_id = placed.order.id
        return placed.order

    def _usual(self, fields: dict[str, Any]) -> PlaceOrder:
        terms = {"delivery_window": "P5D"}
        terms |= {name: fields.pop(name) for name in [*fields] if name not in _TERMS}
        given: dict[str, Any] = {
            "seller_id": self.seller.actor.id,
            "price": "100.00 EUR",
            "payment": Payment("card", f"pi_{self.order_id or 1}"),
            "terms": Terms(**terms),  # type: ignore[arg-type]
            **fields,
        }
        placed: PlaceOrder = _made(PlaceOrder, given)
        return placed

    def send(self, command: Command, *, by: Actor) -> Outcome | Refusal:
        """
        Let somebody send a command.

        One that is refused must be expected next: see `expect_refused`.
        """
        self._heard()
        answer = self.engine.attempt(self._placed(), command, by=by)
        if isinstance(answer, Refusal):
            self._refusal = command, answer
        return answer

    def wait(self, window: WindowLike | None = None, **lengths: float) -> Order:
        """
        Let time pass, and a worker settle what became due.

        Args:
            window: How much: `"P7D"`, a `timedelta`.

            lengths: Or so: `days=7`, `hours=48`.
        """
        self._heard()
        if window is not None:
            self.clock.advance(as_window(window, "window"))
        if lengths:
            self.clock.advance(**lengths)
        self.engine.run_due()
        return self.order

    def next_deadline(self, name: str | None = None) -> Coming:
        """
        Let time pass until the next deadline, reminders included; return what the
        system did then.

        Args:
            name: Until the next one of this name: `"verification"`.
        """
        self._heard()
        steps = self.engine.forecast(self._placed()).steps
        coming = [step for step in steps if name in (None, step.deadline)]
        if not coming:
            which = "deadline" if name is None else f"deadline {name!r}"
            self._fail(f"no {which} is to come")
        self.clock.advance_to(coming[0].at)
        self.engine.run_due()
        return coming[0]

    # --- what is seen -------------------------------------------------------------

    @property
    def order(self) -> Order:
        """
        The order as of now.
        """
        return self.engine.order(self._placed())

    def effects(self, kind: type[_E]) -> list[_E]:
        """
        Return what the host was asked for, oldest first: `bed.effects(Refund)`.
        """
        self._heard()
        asked = (one.effect for one in self.engine.effects(self._placed()))
        return [effect for effect in asked if isinstance(effect, kind)]

    def story(self, locale: str = "en") -> str:
        """
        Return everything that happened, a line each.
        """
        if not self.order_id:
            return ""
        history = self.engine.history(self.order_id)
        return as_text(timeline(history), locale=locale)

    def expect(
        self,
        state: str | None = None,
        *,
        late: bool | None = None,
        held: Money | str | None = None,
        refunded: Money | str | None = None,
        released: Money | str | None = None,
        kept: Money | str | None = None,
    ) -> Order:
        """
        Fail, with the story, unless the order stands like this.

        Args:
            state: Its state: `"completed"`.

            late: Whether it is late.

            held, refunded, released, kept: What its ledger says: `"100.00 EUR"`.
        """
        self._heard()
        order = self.order
        is_so: dict[str, Any] = {"state": str(order.state), "late": order.late}
        should: dict[str, Any] = {"state": state, "late": late}
        money = {"held": held, "refunded": refunded, "released": released, "kept": kept}
        for name, amount in money.items():
            is_so[name] = getattr(order.ledger, name)
            should[name] = None if amount is None else _money(amount)
        wrong = [
            f"{name} is {is_so[name]}, not {value}"
            for name, value in should.items()
            if value is not None and is_so[name] != value
        ]
        if wrong:
            self._fail("; ".join(wrong))
        return order

    def expect_refused(self, *codes: str) -> Refusal:
        """
        Fail, with the story, unless what was sent last is refused with these codes.

        Returns:
            The refusal, with everything that is in the way.
        """
        if self._refusal is None:
            self._fail("nothing was refused")
        command, refusal = self._refusal
        self._refusal = None
        found = {blocker.code for blocker in refusal.blockers}
        if missing := sorted(set(codes) - found):
            self._fail(
                f"{command.name} is refused with {', '.join(sorted(found))}, "
                f"not with {', '.join(missing)}"
            )
        return refusal

    def close(self) -> None:
        """
        Fail if the last command was refused, and nobody expected it.
        """
        self._heard()

    # --- telling ------------------------------------------------------------------

    def _placed(self) -> str:
        if not self.order_id:
            self._fail("no order is placed yet: bed.place()")
        return self.order_id

    def _heard(self) -> None:
        if self._refusal is not None:
            command, refusal = self._refusal
            self._refusal = None
            says = " ".join(blocker.message() for blocker in refusal.blockers)
            self._fail(f"{command.name} was refused: {says}")

    def _fail(self, problem: str) -> NoReturn:
        __tracebackhide__ = True
        raise AssertionError(f"{problem}\n\n{self.story()}".rstrip())


def _made(kind: type[Command], given: dict[str, Any]) -> Any:
    fields = dict(given)
    for field in form_of(kind):
        if field.kind == "money" and isinstance(fields.get(field.name), str):
            fields[field.name] = _money(fields[field.name])
        needed = field.required or field.one_of[:1] == (field.name,)
        spoken = field.name in fields or any(name in fields for name in field.one_of)
        if needed and not spoken and field.kind in _FILLED:
            fields[field.name] = _FILLED[field.kind]
    return kind(**fields)


def _money(amount: Money | str) -> Money:
    """
    Return an amount that may be said as `"100.00 EUR"`.
    """
    if isinstance(amount, Money):
        return amount
    number, _, currency = amount.partition(" ")
    return Money.of(number, currency)
