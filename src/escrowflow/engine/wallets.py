"""
Wallets: what is asked of a storage for them, written once, like that of orders.

- A change of a wallet is one commit, by the version it had: no balance is ever spent
  twice, whoever else is at it.
- Each key has a receipt in the same commit, for ever; nothing that is read or written
  grows with the history.
- A debit is never just believed to have reached its order.  The order says so, or its
  id is barred first, and only then the money goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar, final

import attrs
from pendulum import DateTime

from ..clock import Clock, SystemClock, as_utc, to_micros
from ..commands import ConfirmPayment
from ..effects import Done, Movement, NotDone, PayOut, Refund, Result
from ..errors import (
    CorruptJournalError,
    InvalidInputError,
    KeyReusedError,
    OrderChangedError,
    WalletRefusedError,
)
from ..events import Event, PaymentBooked, Recorded
from ..inputs import as_id, has_all, kind_of
from ..money import Money, Payment
from ..order import Order
from ..parties import Actor, Buyer
from ..refusals import Blocker
from ..storage import (
    Page,
    Parked,
    StoredEvent,
    StoredOrder,
)
from ..storage.codec import (
    decode_order,
    entry_hash,
)
from ..wallet import (
    BY,
    FINGERPRINT,
    METHOD,
    DebitCounted,
    DebitReturned,
    Entry,
    Keyed,
    OpenDebit,
    OrderBarred,
    Wallet,
    WalletCredited,
    WalletDebited,
    WalletOpened,
    booked,
    debit_key,
    entry_of,
    evolve_wallet,
    is_wallet,
    place_of,
    reference_of,
    stored_key,
    wallet_id_of,
)
from .answers import Outcome, SweepReport
from .core import Asking, commit, naming
from .doubts import Doubts
from .sweep import Retries, as_limit, said_by
from .wallet_rows import change_of, decoded, event_of, following, recorded_by, wallet_of

__all__ = ["WalletCore"]

_T = TypeVar("_T")

# How often a change is made anew when somebody else was faster: as with orders.
_ROUNDS_MAX: Final = 64

# How long a sweep keeps a wallet to itself, and how many at a time: as with orders.
_LEASE: Final = 60_000_000
_BATCH: Final = 50

_MICROSECOND: Final = timedelta(microseconds=1)

# What becomes of a wallet: an event, what was recorded before, or nothing.
_Judged: TypeAlias = Event | Recorded | None
_Judge: TypeAlias = Callable[[Wallet, StoredOrder], Asking[_Judged]]


@final
class WalletCore:
    """
    What both kinds of `Wallets` are made of.

    Args:
        window: How long a debit waits before somebody looks whether its order has it.
    """

    def __init__(
        self, clock: Clock | None, window: timedelta, retries: Retries
    ) -> None:
        self.clock: Clock = clock if clock is not None else SystemClock()
        if not has_all(self.clock, Clock):
            raise InvalidInputError("clock", f"a Clock, not {kind_of(clock)}")
        self._window = window
        self._retries = retries

    def now(self) -> DateTime:
        """
        Return what time it is, in UTC.
        """
        return as_utc(self.clock.now(), "clock")

    # --- what changes a balance ---------------------------------------------------

    def entry(self, user_id: str, asked: Keyed) -> Asking[Entry]:
        """
        Record what somebody asked of a wallet, once for its key; return its line.

        Raises:
            KeyReusedError: If the key stands for something else.

            WalletRefusedError: If the wallet does not allow it.
        """
        recorded, _ = yield from self._keyed(user_id, asked)
        entry = entry_of(recorded, wallet_id_of(user_id))
        assert entry is not None
        return entry

    def _keyed(self, user_id: str, asked: Keyed) -> Asking[tuple[Recorded, bool]]:
        """
        Return what was recorded, and whether that was before.
        """
        wallet_id = wallet_id_of(user_id)
        key = stored_key(asked.receipt_key)
        replayed = False

        def judge(wallet: Wallet, loaded: StoredOrder) -> Asking[_Judged]:
            nonlocal replayed
            if loaded.receipt is None:
                return booked(wallet, asked)
            replayed = True
            if loaded.receipt.fingerprint != entry_hash(asked):
                raise KeyReusedError(getattr(asked, "key", ""))
            return (yield from event_of(wallet_id, loaded.receipt.first))

        recorded = yield from self._written(wallet_id, judge, user_id, key)
        assert recorded is not None
        return recorded, replayed

    def debit(
        self, user_id: str, amount: Money, key: str, order_id: str, item: str
    ) -> Asking[Payment]:
        """
        See `Wallets.debit`.
        """
        asked = WalletDebited(
            amount=amount,
            balance=amount,
            key=key,
            order_id=order_id,
            item=item,
            due_at=self.now() + self._window,
        )
        recorded, replayed = yield from self._keyed(user_id, asked)
        wallet_id = wallet_id_of(user_id)
        if replayed and (yield from self._given_back(wallet_id, recorded.seq)):
            raise WalletRefusedError(
                user_id, Blocker(code="given_back", params={"key": key})
            )
        return _payment(wallet_id, recorded)

    def _given_back(self, wallet_id: str, seq: int) -> Asking[bool]:
        parts = yield from self._parts(wallet_id, seq, 1)
        return any(not part.key for _, part in parts)

    # --- a gateway ----------------------------------------------------------------

    def refund(self, effect: Refund) -> Asking[Result]:
        """
        See `Wallets.refund`.
        """
        _check_effect(effect, Refund)
        amount, place = effect.amount, place_of(effect.payment.reference)
        debit = None if place is None else (yield from self._debited(*place))
        if (
            place is None
            or debit is None
            or debit.amount.currency != amount.currency
            or debit.order_id not in ("", effect.order_id)
        ):
            return NotDone("no wallet has paid this order with such a payment")
        wallet_id, seq = place

        def judge(wallet: Wallet, _: StoredOrder) -> Asking[_Judged]:
            parts = yield from self._parts(wallet_id, seq)
            for recorded, part in parts:
                if part.key == effect.key:
                    if part.amount != amount:
                        raise KeyReusedError(effect.key)
                    return recorded
            before = parts[-1][1].returned if parts else Money.zero(amount.currency)
            returned = before + amount
            if returned > debit.amount:
                raise WalletRefusedError(
                    wallet.user_id,
                    Blocker(
                        code="not_in_the_debit",
                        params={
                            "payment": effect.payment.reference,
                            "paid": debit.amount,
                            "returned": before,
                        },
                    ),
                )
            event = DebitReturned(
                amount=amount,
                balance=amount,
                debit=seq,
                part=len(parts) + 1,
                returned=returned,
                order_id=effect.order_id,
                key=effect.key,
            )
            return booked(wallet, event)

        try:
            recorded = yield from self._written(wallet_id, judge)
        except WalletRefusedError as error:
            return NotDone(str(error))
        assert recorded is not None
        return Done(reference_of(wallet_id, recorded.seq))

    def pay_out(self, effect: PayOut) -> Asking[Result]:
        """
        See `Wallets.pay_out`.
        """
        _check_effect(effect, PayOut)
        user_id = as_id(effect.payee_id, "payee_id")
        try:
            entry = yield from self.entry(user_id, _earned(effect))
        except WalletRefusedError as error:
            return NotDone(str(error))
        return Done(entry.reference)

    def look_up(self, effect: Movement) -> Asking[Result | None]:
        """
        See `Wallets.look_up`.
        """
        _check_effect(effect, Movement)
        if isinstance(effect, Refund):
            place = place_of(effect.payment.reference)
            if place is None:
                return None
            parts = yield from self._parts(*place)
            for recorded, part in parts:
                if part.key == effect.key:
                    return Done(reference_of(place[0], recorded.seq))
            return None
        if not isinstance(effect, PayOut):
            return None
        wallet_id = wallet_id_of(as_id(effect.payee_id, "payee_id"))
        key = stored_key(_earned(effect).receipt_key)
        loaded: StoredOrder = yield "load", (wallet_id, key)
        if loaded.receipt is None:
            return None
        return Done(reference_of(wallet_id, loaded.receipt.first))

    # --- debits and their orders --------------------------------------------------

    def pay(
        self,
        engine: Any,
        order_id: str,
        by: Actor,
        key: str,
        amount: Money | None,
        item: str,
    ) -> Asking[Outcome]:
        """
        See `Wallets.pay`.
        """
        if not isinstance(by, Buyer):
            raise InvalidInputError(
                "by", "only a Buyer pays an order, from his own wallet"
            )
        user_id, wallet_id = by.id, wallet_id_of(by.id)
        order = yield "call", (lambda _: engine.order(order_id, by=by), None)
        if amount is not None and amount.currency != order.currency:
            raise InvalidInputError("amount", f"the order is in {order.currency}")
        before = yield from self._asked_before(wallet_id, key)
        if before is None:
            due = yield from _due(engine, order, user_id, item)
            amount = _owed(user_id, item, amount, due)
        elif amount is None:
            amount = before
        payment = yield from self.debit(user_id, amount, key, order_id, item)
        outcome: Outcome = yield "call", (_confirming(engine, order_id, payment, item))
        place = place_of(payment.reference)
        assert place is not None
        yield from self._counted(*place)
        return outcome

    def _asked_before(self, wallet_id: str, key: str) -> Asking[Money | None]:
        """
        Return the amount of a key that was used before.
        """
        loaded: StoredOrder = yield "load", (wallet_id, stored_key(f"key\x1f{key}"))
        if loaded.receipt is None:
            return None
        recorded = yield from event_of(wallet_id, loaded.receipt.first)
        return getattr(recorded.event, "amount", None)

    def give_back(
        self, engine: Any, payment: Payment, order_id: str | None
    ) -> Asking[bool]:
        """
        See `Wallets.give_back`.
        """
        place = None
        if isinstance(payment, Payment) and payment.method == METHOD:
            place = place_of(payment.reference)
        debit = None if place is None else (yield from self._debited(*place))
        if place is None or debit is None:
            raise InvalidInputError("payment", "this is no payment out of a wallet")
        return (yield from self._resolved(engine, *place, order_id))

    def _resolved(
        self, engine: Any, wallet_id: str, seq: int, order_id: str | None
    ) -> Asking[bool]:
        """
        See to it that a debit has come to something: its order has it, or it is back
        in the wallet.

        Returns:
            Whether it is back.
        """
        for _ in range(_ROUNDS_MAX):
            wallet = yield from self._wallet(wallet_id)
            debit = wallet.debit(seq)
            if debit is None:
                return (yield from self._given_back(wallet_id, seq))
            name = debit.order_id or order_id
            if not name:
                reference = reference_of(wallet_id, seq)
                raise WalletRefusedError(
                    wallet.user_id,
                    Blocker(code="no_order", params={"payment": reference}),
                )
            target: StoredOrder = yield "load", (name,)
            if not target.version:
                # Nobody can place it any more, however late he comes (F2, F3).
                yield from self._barred(wallet, debit, name)
                continue
            if is_wallet(target.snapshot):
                yield from self._returned(wallet_id, debit)
                continue
            with naming(name):
                order = decode_order(target.snapshot, target.texts)
            payment = Payment(METHOD, reference_of(wallet_id, seq), debit.amount)
            if order.counted(payment.reference):
                yield from self._counted(wallet_id, seq)
            elif order.currency != debit.amount.currency:
                # It could never count there.
                yield from self._returned(wallet_id, debit)
            else:
                # The order holds it, or books it and gives it back: never both.
                yield "call", _confirming(engine, name, payment, debit.item)
        raise OrderChangedError(wallet_id, expected=wallet.version, actual=None)

    def _counted(self, wallet_id: str, seq: int) -> Asking[None]:
        def judge(wallet: Wallet, _: StoredOrder) -> Asking[_Judged]:
            yield from ()
            return None if wallet.debit(seq) is None else DebitCounted(debit=seq)

        yield from self._written(wallet_id, judge)

    def _returned(self, wallet_id: str, debit: OpenDebit) -> Asking[None]:
        def judge(wallet: Wallet, _: StoredOrder) -> Asking[_Judged]:
            yield from ()
            if wallet.debit(debit.seq) is None:
                return None
            event = DebitReturned(
                amount=debit.amount,
                balance=debit.amount,
                debit=debit.seq,
                part=1,
                returned=debit.amount,
                order_id=debit.order_id,
            )
            return booked(wallet, event)

        yield from self._written(wallet_id, judge)

    def _barred(self, wallet: Wallet, debit: OpenDebit, order_id: str) -> Asking[None]:
        """
        Take an order's id, so that nobody can; or find that somebody has it.
        """
        event = OrderBarred(order_id=order_id, debit=reference_of(wallet.id, debit.seq))
        now = self.now()
        recorded = Recorded(
            seq=1, event=event, by=BY, effective_at=now, recorded_at=now
        )
        barred = evolve_wallet(None, recorded, order_id)
        change = change_of(
            StoredOrder(order_id=order_id), None, barred, (recorded,), now
        )
        yield from commit(change)

    def run_due(self, engine: Any, limit: int) -> Asking[SweepReport]:
        """
        See `Wallets.run_due`.
        """
        limit = as_limit(limit)
        report = SweepReport()
        while limit > 0:
            now = to_micros(self.now())
            claimed: tuple[StoredOrder, ...] = yield (
                "claim_due",
                (now, now + _LEASE, min(limit, _BATCH), (FINGERPRINT,)),
            )
            if not claimed:
                break
            limit -= len(claimed)
            for loaded in claimed:
                try:
                    moves = yield from self._looked_at(engine, loaded)
                    report = attrs.evolve(
                        report, orders=report.orders + 1, moves=report.moves + moves
                    )
                except Exception as error:
                    # Whatever is in the way of one, the others go on.
                    why = said_by(error)
                    # It may have moved on before that.
                    current: StoredOrder = yield "load", (loaded.order_id,)
                    parked = self._parked(current, why)
                    yield "park", (current.order_id, current.version, parked)
                    named = (*report.parked, (current.order_id, why))
                    report = attrs.evolve(report, parked=named)
        return report

    def _looked_at(self, engine: Any, loaded: StoredOrder) -> Asking[int]:
        """
        Look at the debits of a wallet that are due; return how many there were.
        """
        wallet, now = wallet_of(loaded), self.now()
        due = [debit for debit in wallet.debits if debit.due_at <= now]
        # Those that name no order come last: they are for a human.
        failed: Exception | None = None
        for debit in sorted(due, key=lambda one: not one.order_id):
            try:
                yield from self._resolved(engine, wallet.id, debit.seq, None)
            except Exception as error:
                # Whatever is in the way of one, the others go on.
                failed = failed or error
        if failed is not None:
            raise failed
        return len(due)

    def _parked(self, loaded: StoredOrder, why: str) -> Parked:
        now, before = to_micros(self.now()), loaded.parked
        attempts = 1 if before is None else before.attempts + 1
        wait = self._retries.wait(attempts, loaded.order_id)
        return Parked(
            since=now if before is None else before.since,
            until=now + wait // _MICROSECOND,
            attempts=attempts,
            reason=why,
        )

    # --- reading ------------------------------------------------------------------

    def wallet(self, user_id: str) -> Asking[Wallet]:
        """
        See `Wallets.wallet`.
        """
        wallet_id = wallet_id_of(user_id)
        loaded: StoredOrder = yield "load", (wallet_id,)
        if loaded.version:
            return wallet_of(loaded)
        now = self.now()
        return Wallet(
            id=wallet_id, user_id=user_id, version=0, effective_at=now, recorded_at=now
        )

    def statement(
        self, user_id: str, currency: str | None, after: str | None, limit: int
    ) -> Asking[Page[Entry]]:
        """
        See `Wallets.statement`.
        """
        wallet_id, last = wallet_id_of(user_id), _place(after)
        found: list[Entry] = []
        while True:
            rows: Sequence[StoredEvent] = yield "events", (wallet_id, last, limit)
            for row in rows:
                entry = entry_of(decoded(wallet_id, row), wallet_id)
                if entry is None or currency not in (None, entry.amount.currency):
                    continue
                if len(found) == limit:
                    return Page(tuple(found), str(found[-1].seq))
                found.append(entry)
            if len(rows) < limit:
                return Page(tuple(found))
            last = rows[-1].seq

    # --- below the verbs ----------------------------------------------------------

    def _written(
        self,
        wallet_id: str,
        judge: _Judge,
        user_id: str = "",
        key: str | None = None,
    ) -> Asking[Recorded | None]:
        """
        Record what is judged of a wallet as it is, and again if it moved meanwhile.

        Args:
            user_id: Whose wallet it is, if it may be a new one.

            key: Whose receipt is loaded with it.
        """
        doubts: Doubts[Recorded] = Doubts(wallet_id)
        for _ in range(_ROUNDS_MAX):
            loaded = yield from doubts.load(key)
            answer = yield from doubts.answer(loaded)
            if answer is not None:
                return answer
            now = self.now()
            before: Wallet | None = None
            new: tuple[Recorded, ...] = ()
            if loaded.version or not user_id:
                before = wallet = wallet_of(loaded)
            else:
                opened = WalletOpened(user_id=user_id)
                new = (recorded_by(1, opened, now, now),)
                wallet = evolve_wallet(None, new[0], wallet_id)
            judged = yield from judge(wallet, loaded)
            if not isinstance(judged, Event):
                return judged
            recorded = following(wallet, judged, now)
            after = evolve_wallet(wallet, recorded, wallet_id)
            change = change_of(loaded, before, after, (*new, recorded), now)
            written = yield from commit(change)
            if written:
                return recorded
            if written is None:
                doubts.add(change, recorded)
        if doubts.changes:
            raise doubts.unknown()
        raise OrderChangedError(wallet_id, expected=loaded.version, actual=None)

    def _wallet(self, wallet_id: str) -> Asking[Wallet]:
        loaded: StoredOrder = yield "load", (wallet_id,)
        return wallet_of(loaded)

    def _debited(self, wallet_id: str, seq: int) -> Asking[WalletDebited | None]:
        """
        Return a debit; `None` if this is none.
        """
        rows: Sequence[StoredEvent] = yield "events", (wallet_id, seq - 1, 1)
        if not rows or rows[0].seq != seq or rows[0].name != WalletDebited.name:
            return None
        event = decoded(wallet_id, rows[0]).event
        return event if isinstance(event, WalletDebited) else None

    def _parts(
        self, wallet_id: str, seq: int, limit: int | None = None
    ) -> Asking[list[tuple[Recorded, DebitReturned]]]:
        """
        Return the parts of a debit that came back, in their order, at most *limit*.

        There is one for each refund of its order: as many as that has events, at most.
        """
        found: list[tuple[Recorded, DebitReturned]] = []
        while limit is None or len(found) < limit:
            key = stored_key(debit_key(seq, len(found) + 1))
            loaded: StoredOrder = yield "load", (wallet_id, key)
            if loaded.receipt is None:
                break
            recorded = yield from event_of(wallet_id, loaded.receipt.first)
            if not isinstance(recorded.event, DebitReturned):
                raise CorruptJournalError(f"{wallet_id!r}: {key!r} is no debit")
            found.append((recorded, recorded.event))
        return found


# --- small parts ------------------------------------------------------------------


def _check_effect(effect: object, kind: type[Movement]) -> None:
    if not isinstance(effect, kind):
        raise InvalidInputError("effect", f"a {kind.__name__}, not {kind_of(effect)}")


def _earned(effect: PayOut) -> WalletCredited:
    return WalletCredited(
        amount=effect.amount,
        balance=effect.amount,
        key=effect.key,
        order_id=effect.order_id,
    )


def _payment(wallet_id: str, recorded: Recorded) -> Payment:
    assert isinstance(recorded.event, WalletDebited)
    return Payment(METHOD, reference_of(wallet_id, recorded.seq), recorded.event.amount)


def _due(engine: Any, order: Order, user_id: str, item: str) -> Asking[Money | None]:
    """
    Return what may be paid now; `None` if that is nothing.
    """
    if item == "order":
        return None if order.ending is not None else order.amount_due
    # No entry has this number, and no amount is the price.
    price = Payment(METHOD, reference_of(wallet_id_of(user_id), 0))
    command = ConfirmPayment(payment=price, item=item)
    try:
        said = yield "call", (lambda _: engine.preview(order.id, command, by=BY), None)
    except InvalidInputError:
        # There is nothing with this id.
        return None
    for recorded in said.events if isinstance(said, Outcome) else ():
        if isinstance(recorded.event, PaymentBooked):
            booked: Money | None = recorded.event.payment.amount
            return booked
    return None


def _owed(user_id: str, item: str, amount: Money | None, due: Money | None) -> Money:
    """
    Return what is to be paid: all that is due, unless less of an order was asked for.

    Raises:
        WalletRefusedError: If nothing is due, or something else than this.
    """
    if not due:
        raise WalletRefusedError(
            user_id, Blocker(code="nothing_due", params={"item": item})
        )
    if amount is None or amount == due:
        return due
    if item != "order":
        raise WalletRefusedError(
            user_id, Blocker(code="payment_differs", params={"amount": due})
        )
    if amount > due:
        raise WalletRefusedError(
            user_id, Blocker(code="payment_exceeds_price", params={"maximum": due})
        )
    return amount


def _confirming(
    engine: Any, order_id: str, payment: Payment, item: str
) -> tuple[Callable[[None], Any], None]:
    """
    Return what tells an order that money arrived.
    """
    command = ConfirmPayment(payment=payment, item=item)
    return (lambda _: engine.execute(order_id, command, by=BY)), None


def _place(after: str | None) -> int:
    if after is None:
        return 0
    place = place_of(f"after:{after}") if isinstance(after, str) else None
    if place is None:
        raise InvalidInputError("after", "the `after` of a page of a statement")
    return place[1]
