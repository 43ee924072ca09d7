"""
A wallet as a storage keeps it: what is written of it, and what proves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pendulum import DateTime

from ..clock import to_micros
from ..errors import CorruptJournalError, EscrowflowError
from ..events import Event, Recorded
from ..money import Money
from ..storage import (
    Books,
    Change,
    EffectResult,
    NewEffect,
    Receipt,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    Summary,
)
from ..storage.chain import first_broken
from ..storage.codec import (
    decode_event,
    decode_wallet,
    encode_effect,
    encode_event,
    encode_wallet,
    entry_hash,
)
from ..wallet import (
    BY,
    EVENTS,
    FINGERPRINT,
    METHOD,
    DebitReturned,
    Keyed,
    OpenWithdrawal,
    Wallet,
    WalletDebited,
    WithdrawalAsked,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRepeated,
    effects_of,
    evolve_wallet,
    stored_key,
)
from .core import Asking, naming, summarised
from .money import again_wait

__all__ = [
    "asked_withdrawal",
    "change_of",
    "decoded",
    "event_of",
    "faults",
    "following",
    "recorded_by",
    "wallet_of",
    "wallet_summary",
]

_STATE: Final = "open"
_BARRED: Final = "barred"


def wallet_of(loaded: StoredOrder) -> Wallet:
    """
    Return the wallet of what was loaded.

    Raises:
        CorruptJournalError: If it is none, or cannot be read.
    """
    with naming(loaded.order_id):
        wallet = decode_wallet(loaded.snapshot)
    if (wallet.id, wallet.version) != (loaded.order_id, loaded.version):
        raise CorruptJournalError(
            f"{loaded.order_id!r}: its row is at version {loaded.version}, and has "
            f"{wallet.id!r} at version {wallet.version} in it"
        )
    return wallet


def wallet_summary(wallet: Wallet, *, new: bool) -> dict[str, Any]:
    """
    Return what a storage may know of a wallet without reading it.

    The books are those of the currency that moved last: so a schema that refuses
    books below zero refuses a balance below zero.
    """
    account = wallet.account(wallet.currency)
    return {
        "order_id": wallet.id,
        "version": wallet.version,
        "process": METHOD,
        "fingerprint": FINGERPRINT,
        "state": _STATE if wallet.user_id else _BARRED,
        "late": False,
        "books": Books(
            currency=wallet.currency,
            price=0,
            paid_in=account.balance + account.leaving,
            held=account.balance,
            refunded=0,
            released=account.leaving,
            kept=0,
        ),
        # A person's orders are found by him; his wallet is found by its id.
        "parties": () if new else None,
        "unassigned": False,
    }


def change_of(
    loaded: StoredOrder,
    before: Wallet | None,
    after: Wallet,
    recorded: tuple[Recorded, ...],
    now: DateTime,
    *,
    results: tuple[EffectResult, ...] = (),
) -> Change:
    """
    Return everything that is to be written.
    """
    head, events = loaded.head, []
    for one in recorded:
        event = encode_event(one, after.id, head)
        events.append(event)
        head = event.hash
    effects: tuple[NewEffect, ...] = ()
    receipt = None
    if recorded:
        last = recorded[-1]
        effects = _effects(after, last, to_micros(now))
        if isinstance(last.event, Keyed):
            receipt = _receipt(last.seq, last.event)
    due_at = after.due_at
    return Change(
        **wallet_summary(after, new=before is None),
        expected_version=loaded.version,
        snapshot=encode_wallet(after),
        due_at=None if due_at is None else to_micros(due_at),
        events=tuple(events),
        effects=effects,
        results=results,
        receipt=receipt,
    )


def _effects(
    wallet: Wallet, recorded: Recorded, ready_at: int
) -> tuple[NewEffect, ...]:
    return tuple(
        encode_effect(
            effect,
            # What did not leave before waits.
            ready_at + again_wait(one.epoch),
            f"proved {one.epoch} times that nothing left: look at the gateway",
        )
        for effect in effects_of(wallet, recorded)
        if (one := wallet.withdrawal(effect.key)) is not None
    )


def _receipt(seq: int, event: Keyed) -> Receipt:
    return Receipt(
        key=stored_key(event.receipt_key),
        fingerprint=entry_hash(event),
        first=seq,
        last=seq,
    )


def recorded_by(
    seq: int, event: Event, effective_at: DateTime, recorded_at: DateTime
) -> Recorded:
    """
    Return an event as the history of a wallet keeps it.
    """
    return Recorded(
        seq=seq, event=event, by=BY, effective_at=effective_at, recorded_at=recorded_at
    )


def following(wallet: Wallet, event: Event, now: DateTime) -> Recorded:
    """
    Return an event as the next one of a wallet.
    """
    # Instants never decrease, whatever a clock says (I13).
    at = max(now, wallet.effective_at)
    return recorded_by(wallet.version + 1, event, at, max(at, wallet.recorded_at))


def decoded(wallet_id: str, row: StoredEvent) -> Recorded:
    """
    Return an event of a wallet.
    """
    with naming(wallet_id):
        return decode_event(row, {}, EVENTS)


def event_of(wallet_id: str, seq: int) -> Asking[Recorded]:
    """
    Return the event of a number.

    Raises:
        CorruptJournalError: If it is not there.
    """
    rows: Sequence[StoredEvent] = yield "events", (wallet_id, seq - 1, 1)
    if not rows or rows[0].seq != seq:
        raise CorruptJournalError(f"{wallet_id!r}: event {seq} is not there")
    return decoded(wallet_id, rows[0])


# --- the evidence -----------------------------------------------------------------


def asked_withdrawal(
    claim: StoredEffect,
) -> Asking[tuple[Wallet, OpenWithdrawal] | None]:
    """
    Return the wallet and the withdrawal that an effect is to send: no money leaves
    because somebody wrote a row (I5).  `None` if nothing is sent under its key any
    more.

    Only the event that asked for it is read, not the years before it.

    Raises:
        CorruptJournalError: If the history does not ask for it.
    """
    loaded: StoredOrder = yield "load", (claim.order_id,)
    wallet = wallet_of(loaded)
    rows: Sequence[StoredEvent] = yield (
        "events",
        (claim.order_id, max(claim.seq - 2, 0), 2),
    )
    asked = [row for row in rows if row.seq == claim.seq]
    head = next((row.hash for row in rows if row.seq == claim.seq - 1), b"")
    names = (WithdrawalAsked.name, WithdrawalRepeated.name)
    if not asked or asked[0].name not in names:
        raise CorruptJournalError("the history of its wallet does not ask for this")
    if first_broken(claim.order_id, asked, head) is not None:
        raise CorruptJournalError("the history of its wallet was changed")
    open_ = wallet.withdrawal(claim.key)
    if open_ is None:
        return None
    recorded = decode_event(asked[0], {}, EVENTS)
    for effect in effects_of(wallet, recorded):
        made = encode_effect(effect, 0)
        if (made.key, made.body) == (claim.key, claim.body):
            return wallet, open_
    raise CorruptJournalError("the history of its wallet does not ask for this")


def faults(
    loaded: StoredOrder,
    journal: Sequence[StoredEvent],
    receipts: Sequence[Receipt],
    summary: Summary | None,
    asked: dict[str, NewEffect],
) -> Iterator[tuple[str, int | None]]:
    """
    Yield what is wrong with a wallet whose chain of hashes holds, the first thing
    first, each with the number of its event.

    Args:
        asked: The effects that it has asked for are put here.
    """
    wallet: Wallet | None = None
    kept: dict[str, Receipt] = {}
    debits: dict[int, WalletDebited] = {}
    returned: Counter[int] = Counter()
    paid: dict[int, tuple[Money, str]] = {}
    for stored in journal:
        try:
            recorded = decode_event(stored, {}, EVENTS)
            wallet = evolve_wallet(wallet, recorded, loaded.order_id)
        except EscrowflowError as error:
            yield str(error), stored.seq
            return
        event = recorded.event
        for effect in effects_of(wallet, recorded):
            asked[effect.key] = encode_effect(effect, 0)
        if not all(one.adds_up() for one in wallet.accounts):
            yield "the books do not add up", stored.seq
        if isinstance(event, Keyed):
            receipt = _receipt(stored.seq, event)
            if receipt.key in kept:
                yield "its key is there a second time", stored.seq
            kept[receipt.key] = receipt
        if isinstance(event, WalletDebited):
            debits[stored.seq] = event
        if isinstance(event, DebitReturned):
            returned[event.debit] += event.amount.minor
            debit = debits.get(event.debit)
            if (
                debit is None
                or debit.amount.currency != event.amount.currency
                or returned[event.debit] != event.returned.minor
                or event.returned > debit.amount
            ):
                yield "more of a debit came back than there was", stored.seq
        if isinstance(event, WithdrawalPaid):
            paid[event.withdrawal] = event.amount, event.key
        if (
            isinstance(event, WithdrawalFailed)
            and event.paid
            and paid.get(event.withdrawal) != (event.amount, event.key)
        ):
            yield "a withdrawal came back that never left", stored.seq
    if wallet is None:
        return
    if encode_wallet(wallet) != loaded.snapshot:
        yield "the stored wallet is not what its history adds up to", None
    due_at = wallet.due_at
    if loaded.due_at != (None if due_at is None else to_micros(due_at)):
        yield "it waits for another instant than its history says", None
    if summary != summarised(wallet_summary(wallet, new=True)):
        yield "what is kept beside the stored wallet is not what it says", None
    there = {receipt.key: receipt for receipt in receipts}
    for key in {**kept, **there}:
        if kept.get(key) != there.get(key):
            yield f"key {key!r} does not stand for what it stood for", None
