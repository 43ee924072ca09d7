"""
Every exception of the library, in one tree, told apart by who has to act.

    EscrowflowError
    |-- ProcessError             the author of a process; raised while it is built
    |-- InvalidInputError        the caller: wrong by itself (also a ValueError)  .field
    |-- OrderNotFoundError       unknown, or not yours: the same answer  .order_id
    |-- OrderExistsError         the id is taken                         .order_id
    |-- CommandRefusedError      the person who sent it; expected        .blockers .order
    |-- KeyReusedError           the caller: a key was used for something else  .key
    |-- OrderChangedError        somebody was faster; look again and retry
    |                                                        .expected .actual
    |-- UnknownProcessError      the operator: a process is missing from the engine
    |                                                        .fingerprint
    |-- StorageError             the operator: retry or repair         .repeat
    |   |-- OutcomeUnknownError      a commit may or may not have happened; reading decides
    |   |-- NoTransactionError       the host's connection is in autocommit
    |   `-- CorruptJournalError      what was read is not what was written
    |-- WalletRefusedError       whoever asked for it; expected          .code .params
    |                                                        .user_id
    |-- GatewayError             the operator: a payment provider did not do it
    |                                                        .gateway .code .repeat
    |-- NoticeRefusedError       whoever sent it: a webhook that is not believed  .code
    |-- MissingExtraError        the operator: something is not installed (also an
    |                            ImportError)                        .extra .package
    `-- LedgerError              us: an invariant of the books broke.  Do not catch

A message says the facts first, then the way out, in lower case.  Its parts are
attributes, so that nobody has to parse text.  Errors of other libraries never
leave this one: they are translated where they can occur, `from` the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = [
    "CommandRefusedError",
    "CorruptJournalError",
    "EscrowflowError",
    "GatewayError",
    "InvalidInputError",
    "KeyReusedError",
    "LedgerError",
    "MissingExtraError",
    "NoTransactionError",
    "NoticeRefusedError",
    "OrderChangedError",
    "OrderExistsError",
    "OrderNotFoundError",
    "OrdersRunningError",
    "OutcomeUnknownError",
    "ProcessError",
    "StorageError",
    "UnknownProcessError",
    "WalletRefusedError",
]


# How many orders a message names.
_NAMED_MAX: Final = 3


class EscrowflowError(Exception):
    """
    Anything this library raises on purpose.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # By its parts, not by its message: a task queue sends errors as pickles.
        return _restored, (type(self), self.args, vars(self))


def _restored(
    kind: type[EscrowflowError], args: tuple[Any, ...], parts: dict[str, Any]
) -> EscrowflowError:
    error = kind.__new__(kind, *args)
    vars(error).update(parts)
    return error


class ProcessError(EscrowflowError):
    """
    A process contradicts itself; raised while it is built, never later.

    Attributes:
        process: The name of the process.

        findings: Each contradiction as one sentence; never empty.
    """

    def __init__(self, process: str, findings: Sequence[str]) -> None:
        self.process = process
        self.findings = tuple(findings)
        super().__init__(f"process {process!r}: " + "; ".join(self.findings))


class InvalidInputError(EscrowflowError, ValueError):
    """
    What was passed in is wrong by itself, whatever the order.

    Nothing was written.

    Attributes:
        field: The name of the argument or field, dotted where it is nested:
            `terms.delivery_window`.

        problem: What is wrong with it, and what would be right.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class OrderNotFoundError(EscrowflowError):
    """
    There is no such order for this actor.

    An unknown order and somebody else's order get the same answer, so that
    ids cannot be probed.  Nothing was written.

    Attributes:
        order_id: The id that was asked for.
    """

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(
            f"there is no order {order_id!r}, or this actor has no part in it"
        )


class OrderExistsError(EscrowflowError):
    """
    An order with this id was placed before.  Nothing was written.

    Attributes:
        order_id: The id that is taken.
    """

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(
            f"order {order_id!r} exists already: place with another id, "
            "or repeat the same key to get the first answer again"
        )


class CommandRefusedError(EscrowflowError):
    """
    The rules do not allow this command to this actor now.

    What had become due was settled, and a payment that came with the command
    was booked and is refunded whole; nothing else was written.  An order that
    could not be placed books nothing: its payment is yours to give back.

    Attributes:
        blockers: Every reason, the most telling first; never empty.

        order: The order as it is now; `None` when an order could not be placed.
    """

    # Typed loosely on purpose: `Blocker` and `Order` live on higher floors.
    blockers: tuple[Any, ...]
    order: Any

    def __init__(self, blockers: Sequence[Any], order: Any = None) -> None:
        self.blockers = tuple(blockers)
        self.order = order
        # Whole sentences, one after the other.
        super().__init__(" ".join(blocker.message() for blocker in self.blockers))


class KeyReusedError(EscrowflowError):
    """
    This actor used the key before, for a command with other content.

    Nothing was written.

    Attributes:
        key: The key.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"key {key!r} was used for another command: "
            "repeat the same command, or take a new key"
        )


class OrderChangedError(EscrowflowError):
    """
    The order is not at the version the caller saw; look again, then decide.

    The command was not executed.

    Attributes:
        order_id: The order.

        expected: The version the caller saw.

        actual: The version it has; `None` if it moved while we were writing.
    """

    def __init__(self, order_id: str, *, expected: int, actual: int | None) -> None:
        self.order_id = order_id
        self.expected = expected
        self.actual = actual
        now = "moved on" if actual is None else f"is at version {actual}"
        super().__init__(
            f"order {order_id!r} {now}, not at version {expected}: "
            "read it again before you decide"
        )


class UnknownProcessError(EscrowflowError):
    """
    The order runs on a process, or a version of one, that this engine lacks.

    The order stays readable.  Pass the process to the engine in `also`.

    Attributes:
        fingerprint: The fingerprint the order is pinned to.
    """

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(
            f"no process with fingerprint {fingerprint!r} in this engine: "
            "pass it in `also`, as it was when the order was placed"
        )


class StorageError(EscrowflowError):
    """
    The storage did not do what it was asked to.  Nothing was recorded.

    Attributes:
        repeat: Whether the same thing may simply be done again: somebody else was in
            the way, or the connection was lost before anything was sent.  Inside a
            transaction of the host's it is the whole transaction.
    """

    def __init__(self, *words: object, repeat: bool = False) -> None:
        self.repeat = repeat
        super().__init__(*words)


class OutcomeUnknownError(StorageError):
    """
    A commit may or may not have happened.  Repeat with the same key: the
    engine reads before it says anything.
    """


class NoTransactionError(StorageError):
    """
    The host's connection is in autocommit: there is no transaction to share.
    """


class CorruptJournalError(StorageError):
    """
    What was read from the storage is not what was written to it.
    """


class OrdersRunningError(EscrowflowError):
    """
    A person's texts cannot be erased while an order of that person runs.

    Attributes:
        subject_id: The person.

        order_ids: The orders that still run, and those that cannot be read.
    """

    subject_id: str
    order_ids: tuple[str, ...]

    def __init__(self, subject_id: str, order_ids: Sequence[str]) -> None:
        self.subject_id = subject_id
        self.order_ids = tuple(order_ids)
        super().__init__(
            f"orders of {subject_id!r} still run: {', '.join(self.order_ids[:_NAMED_MAX])}"
            f"{', ...' if len(self.order_ids) > _NAMED_MAX else ''}; "
            "erase when they have ended"
        )


class GatewayError(EscrowflowError):
    """
    A payment provider did not do what a host asked of it, or did not say so.

    What becomes of an effect is a `Result` instead, and never raised.

    Attributes:
        gateway: What the provider is called.

        code: The provider's own code; empty if it gave none.

        problem: What it said.

        repeat: Whether the same call, with the same key, may be made again: it was
            busy, could not be reached, or did not answer.
    """

    def __init__(
        self, gateway: str, problem: str, *, code: str = "", repeat: bool = False
    ) -> None:
        self.gateway = gateway
        self.code = code
        self.problem = problem
        self.repeat = repeat
        way_out = "make the same call again" if repeat else "the same call fails again"
        super().__init__(f"{gateway}: {problem}; {way_out}")


class NoticeRefusedError(EscrowflowError):
    """
    A webhook is not believed, or cannot be read.  Nothing is known from it.

    Answer it with an error, so that its sender tries again and its owner sees it.

    Attributes:
        code: Why: `unsigned`, `wrong_signature`, `stale`, `early` (it was signed in the
            future), `malformed` (it is no notice), `unreadable` (it is about an order,
            but makes no sense).

        problem: The same as a sentence.
    """

    def __init__(self, code: str, problem: str) -> None:
        self.code = code
        self.problem = problem
        super().__init__(f"{code}: {problem}")


class MissingExtraError(EscrowflowError, ImportError):
    """
    A module was imported whose extra is not installed.

    Attributes:
        extra: The extra: `stripe`.

        package: What could not be imported.
    """

    def __init__(self, extra: str, package: str) -> None:
        self.extra = extra
        self.package = package
        super().__init__(f"this needs {package}: pip install 'escrowflow[{extra}]'")


class WalletRefusedError(EscrowflowError):
    """
    A wallet does not allow this as it stands.  Nothing was written.

    Attributes:
        code: Why: `balance_too_low`, `balance_too_high`, `too_many_open` (debits or
            withdrawals that nobody has heard of since), `nothing_due`,
            `payment_exceeds_price` or `payment_differs` (what is to be paid is not what
            is due), `given_back` (this very debit is back in the wallet: take a new
            key), `no_order` (a debit that names no order), `unknown_withdrawal`,
            `amount_differs`, `other_key` (it was sent under another key since),
            `was_given_back` (this withdrawal failed, it was said, and is back in the
            wallet), `reference_differs` (something else that was sent under its key),
            `not_in_the_debit` (in the reason of a refund: more was to come
            back than was paid).

        params: The parts of the sentence, by name, such as `balance` and `amount`.

        user_id: Whose wallet.
    """

    # Typed loosely on purpose: `Blocker` lives on a higher floor.
    def __init__(self, user_id: str, blocker: Any) -> None:
        self.user_id = user_id
        self._blocker = blocker
        super().__init__(f"wallet of {user_id!r}: {blocker.message()}")

    @property
    def code(self) -> str:
        """
        Why; stable, for a program to switch on.
        """
        code: str = self._blocker.code
        return code

    @property
    def params(self) -> Mapping[str, Any]:
        """
        The parts of the sentence, by name.
        """
        params: Mapping[str, Any] = self._blocker.params
        return params

    def message(self, locale: str = "en", zone: str = "UTC") -> str:
        """
        Return the reason as a sentence for the wallet's owner; it names nobody.
        English where a language is unknown.
        """
        message: str = self._blocker.message(locale, zone)
        return message


class LedgerError(EscrowflowError):
    """
    The books of an order would no longer add up.

    This is a defect, never an expected answer: nothing was written.
    """
