"""
Withdrawals: what became of the money that a wallet sends to a bank (R92).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile
from typing import Final

import attrs
from pendulum import DateTime

from ..clock import to_micros
from ..commands import ReportPayout
from ..errors import (
    CorruptJournalError,
    InvalidInputError,
    OrderChangedError,
    WalletRefusedError,
)
from ..events import Event
from ..inputs import kind_of
from ..money import Money
from ..refusals import Blocker
from ..storage import Change, EffectResult, StoredEffect, StoredOrder
from ..storage.codec import dump_result
from ..wallet import (
    PREFIX,
    Wallet,
    WithdrawalAsked,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalRepeated,
    WithdrawalSent,
    booked,
    evolve_wallet,
    is_wallet,
    later_keys,
    stored_key,
    withdrawal_key,
)
from .core import Asking, commit
from .doubts import Doubts
from .money import noted_before
from .wallet_rows import change_of, event_of, following, wallet_of

__all__ = ["report"]

# How often a change is made anew when somebody else was faster: as with orders.
_ROUNDS_MAX: Final = 64


def report(
    now: DateTime, wallet_id: str, command: ReportPayout, result: EffectResult | None
) -> Asking[bool]:
    """
    Write what became of a withdrawal, and what it makes of the wallet, at once.

    Args:
        result: What became of the attempt, if it is one that says so; false is
            returned if its token is stale.
    """
    if not isinstance(command, ReportPayout):
        raise InvalidInputError("command", f"a ReportPayout, not {kind_of(command)}")
    doubts: Doubts[bool] = Doubts(wallet_id)
    for _ in range(_ROUNDS_MAX):
        loaded = yield from doubts.load(None)
        answer = yield from doubts.answer(loaded)
        if answer is not None:
            return True
        if not (loaded.version and _is_wallets(loaded)):
            raise WalletRefusedError(wallet_id, Blocker(code="unknown_withdrawal"))
        wallet = wallet_of(loaded)
        rows: tuple[StoredEffect, ...] = ()
        if result is None:
            rows = yield "effects", (wallet_id,)
            command = _with_key(wallet, command, rows)
            _is_it(wallet, command, rows)
        event: Event | None = None
        if wallet.withdrawal(command.key) is not None:
            event = _under_way(wallet, command)
        elif result is None:
            event = yield from _over(wallet, command, rows)
        if event is None and result is None:
            return True
        written, change = yield from _settled(
            now, loaded, wallet, event, _results(rows, command, event, result, now)
        )
        if written:
            return True
        if written is None:
            doubts.add(change, True)
        elif result is not None:
            again: StoredOrder = yield "load", (wallet_id,)
            if again.version == loaded.version:
                # Nobody was faster: somebody else has the effect.
                return bool(doubts.changes)
    raise OrderChangedError(wallet_id, expected=loaded.version, actual=None)


def _is_wallets(loaded: StoredOrder) -> bool:
    # What is called like a wallet and cannot be read as one is damaged.
    return loaded.order_id.startswith(PREFIX) or is_wallet(loaded.snapshot)


def _settled(
    now: DateTime,
    loaded: StoredOrder,
    wallet: Wallet,
    event: Event | None,
    results: tuple[EffectResult, ...],
) -> Asking[tuple[bool | None, Change]]:
    recorded = () if event is None else (following(wallet, event, now),)
    after = wallet
    for one in recorded:
        after = evolve_wallet(wallet, one, wallet.id)
    change = change_of(loaded, wallet, after, recorded, now, results=results)
    return (yield from commit(change)), change


def _under_way(wallet: Wallet, command: ReportPayout) -> Event | None:
    """
    Return what is new in a report of a withdrawal that is on its way.
    """
    open_ = wallet.withdrawal(command.key)
    assert open_ is not None
    _same(wallet, command, open_.amount)
    if command.status == "paid":
        return WithdrawalPaid(
            withdrawal=open_.seq,
            amount=open_.amount,
            key=open_.key,
            reference=command.reference,
        )
    if command.status == "sent":
        return None if open_.sent else WithdrawalSent(withdrawal=open_.seq)
    if command.again:
        return WithdrawalRepeated(withdrawal=open_.seq)
    return booked(wallet, _failed(open_.amount, open_.seq, open_.key, paid=False))


def _over(
    wallet: Wallet, command: ReportPayout, rows: Sequence[StoredEffect]
) -> Asking[Event | None]:
    """
    Return what is new in a report of a key under which nothing is on its way.
    """
    key, paid = command.key, command.status == "paid"
    row = next((row for row in rows if row.key == key), None)
    if row is None:
        raise WalletRefusedError(
            wallet.user_id, Blocker(code="unknown_withdrawal", params={"key": key})
        )
    asked = yield from event_of(wallet.id, row.seq)
    number = getattr(asked.event, "withdrawal", asked.seq)
    first = yield from event_of(wallet.id, number)
    keys = _keys(wallet.id, first.event, rows)
    if key not in keys or not isinstance(first.event, WithdrawalAsked):
        raise CorruptJournalError(f"{wallet.id!r}: it never asked for {key!r}")
    if paid and key != keys[-1]:
        raise WalletRefusedError(
            wallet.user_id,
            Blocker(code="other_key", params={"key": key, "current": keys[-1]}),
        )
    if key != keys[-1] or command.status == "sent":
        # However often it is said of a key that was given up: it is known.
        return None
    _same(wallet, command, first.event.amount)
    back = _failed(first.event.amount, number, key, paid=True)
    receipt: StoredOrder = yield (
        "load",
        (wallet.id, stored_key(back.receipt_key)),
    )
    if receipt.receipt is None:
        # It was paid.
        return None if paid else booked(wallet, back)
    before = yield from event_of(wallet.id, receipt.receipt.first)
    if paid and not getattr(before.event, "paid", False):
        raise WalletRefusedError(
            wallet.user_id,
            Blocker(
                code="was_given_back",
                params={"key": key, "amount": first.event.amount},
            ),
        )
    return None


def _keys(
    wallet_id: str, first: Event, rows: Sequence[StoredEffect]
) -> tuple[str, ...]:
    """
    Return the keys under which a withdrawal was to be sent, oldest first.
    """
    there, name = {row.key for row in rows}, getattr(first, "key", "")
    every = (withdrawal_key(wallet_id, name, epoch) for epoch in count())
    return tuple(takewhile(there.__contains__, every))


def _same(wallet: Wallet, command: ReportPayout, amount: Money) -> None:
    if command.amount not in (None, amount):
        raise WalletRefusedError(
            wallet.user_id,
            Blocker(
                code="amount_differs",
                params={"amount": command.amount, "expected": amount},
            ),
        )


def _is_it(wallet: Wallet, command: ReportPayout, rows: Sequence[StoredEffect]) -> None:
    """
    Raise if a report tells the end of something else that was sent under the same key:
    after a restored backup it may have left twice.
    """
    row = next((row for row in rows if row.key == command.key), None)
    ours = "" if row is None else str(noted_before(row).get("reference", ""))
    if "" in (ours, command.reference) or ours == command.reference:
        return
    over = wallet.withdrawal(command.key) is None
    if command.status == "failed" or (command.status == "paid" and over):
        raise WalletRefusedError(
            wallet.user_id,
            Blocker(
                code="reference_differs",
                params={"name": command.reference, "ours": ours},
            ),
        )


def _results(
    rows: Sequence[StoredEffect],
    command: ReportPayout,
    event: Event | None,
    result: EffectResult | None,
    now: DateTime,
) -> tuple[EffectResult, ...]:
    """
    Return what is written of the effect that a report tells of.
    """
    if result is not None:
        return (result,)
    if isinstance(event, WithdrawalSent):
        return ()
    said = {"reference": command.reference}
    if not isinstance(event, WithdrawalPaid):
        said = {"reason": "it was reported that nothing was paid"}
    return tuple(
        EffectResult(
            key=row.key,
            token=row.token,
            status="done",
            attempts=row.attempts,
            ready_at=row.ready_at,
            body=dump_result(at=to_micros(now), **said),
        )
        for row in rows
        if row.key == command.key and row.status != "done"
    )


def _with_key(
    wallet: Wallet, command: ReportPayout, rows: Sequence[StoredEffect]
) -> ReportPayout:
    """
    Return a report with the key of what it calls by the name that the gateway gave it:
    it says no key, or one that a restored backup has forgotten.
    """
    if not command.reference or any(row.key == command.key for row in rows):
        return command
    for open_ in wallet.withdrawals:
        if command.key in later_keys(wallet.id, open_):
            # All of one batch may be called the same: it is about no other.
            rows = [row for row in rows if row.key == open_.key]
    for row in rows:
        if noted_before(row).get("reference") == command.reference:
            return attrs.evolve(command, key=row.key)
    return command


def _failed(amount: Money, seq: int, key: str, *, paid: bool) -> WithdrawalFailed:
    return WithdrawalFailed(
        amount=amount, balance=amount, withdrawal=seq, key=key, paid=paid
    )
