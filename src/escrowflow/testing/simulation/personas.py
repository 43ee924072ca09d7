"""
The people of a simulation: what somebody does who is shown an order.

A persona plays one role.  It is asked again and again, each time with a scene: the order
as its page shows it, what its options say, the instant.  It answers with an act, or not
at all.  One of your own is any object with `name`, `role` and `act`:

    class Haggler:
        name, role = "haggler", ef.parties.BUYER

        def act(self, scene):
            return scene.send("propose_partial_refund") or scene.anything()
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol, final

import attrs
from pendulum import DateTime

from ...clock import to_micros
from ...commands import AssignMediator, Command
from ...decisions import Option, options
from ...errors import InvalidInputError
from ...forms import Field, form_of, narrowed
from ...order import Order
from ...parties import Actor, Buyer, Mediator, Operator, Provider, Role, Seller
from ...states import Process
from ..payloads import UndrawableError, command_within
from .tape import Tape

__all__ = [
    "Act",
    "Persona",
    "Scene",
    "attacker",
    "default",
    "double_clicker",
    "griefer",
    "last_second",
    "prompt",
    "self_dealer",
    "silent",
    "staff",
    "vanishing",
]

# So often in a thousand what is sent is an option that is allowed.
_LEGAL: Final = 750

# What leads on is done more often than what goes round in circles, and what ends an order
# or stops it less often: else few get far.
_OFTEN: Final[Mapping[str, int]] = {
    "accept_cancellation": 6,
    "accept_order": 80,
    "approve_delivery": 5,
    "ask_parties": 10,
    "assign_mediator": 40,
    "cancel_order": 1,
    "convert_claim": 25,
    "deliver_order": 30,
    "extend_deadlines": 4,
    "file_claim": 8,
    "freeze_order": 2,
    "leave_conversation": 6,
    "leave_review": 4,
    "open_dispute": 40,
    "propose_partial_refund": 8,
    "refuse_order": 1,
    "refuse_revision": 30,
    "request_revision": 40,
    "rule_dispute": 30,
    "send_message": 4,
    "unfreeze_order": 30,
}
_USUAL: Final = 15

# What keeps an order from getting on, for ever if nobody stops it.
_GRIEF: Final = (
    "request_revision",
    "request_cancellation",
    "withdraw_cancellation",
    "refuse_cancellation",
    "refuse_revision",
    "propose_partial_refund",
    "withdraw_partial_refund",
    "file_claim",
    "withdraw_claim",
    "send_offer",
    "send_message",
)

_ACTORS: Final[Mapping[Role, type[Actor]]] = {
    kind.role: kind for kind in (Buyer, Seller, Mediator, Operator, Provider)
}

# What somebody types who means harm.  No storage keeps half a character, or NUL.
_HOSTILE: Final = (
    "'; DROP TABLE orders; --",
    "%s%n:x{0}",
    "a\x00b",
    "\ud800",
    "\u202egnp.exe",
    "<script>",
    "system",
    "",
    "x" * 70_000,
)


@final
@attrs.frozen(kw_only=True)
class Act:
    """
    A command that somebody sends.

    Attributes:
        command: What.

        by: As whom.

        times: How often at once, all under the same key.

        if_version: The version of the page it was sent from, if that matters.

        keyed: Whether it carries a key; then it is repeated if no answer comes.
    """

    command: Command
    by: Actor
    times: int = 1
    if_version: int | None = None
    keyed: bool = True


@final
@attrs.frozen(kw_only=True)
class Scene:
    """
    What somebody sees when asked whether to act.

    Attributes:
        process: The process of the order.

        order: The order, as the page shows it: perhaps no longer as it is.

        me: Who acts.

        now: When.

        tape: Whatever is chosen is chosen by it.

        deadlines: The deadlines that ran when the order was last written: those that
            are over by now, too.

        parties: The ids of everybody there is, of other orders, too.

        own: What fills fields of a kind, such as a payment that really arrived.
    """

    process: Process[Any]
    order: Order
    me: Actor
    now: DateTime
    tape: Tape
    deadlines: tuple[DateTime, ...] = ()
    parties: tuple[str, ...] = ()
    own: Mapping[str, Any] = attrs.field(factory=dict)

    def options(self, by: Actor | None = None) -> tuple[Option, ...]:
        """
        Return what this actor can do, and cannot.
        """
        return options(
            self.process, self.order, by=self.me if by is None else by, now=self.now
        )

    def send(self, *names: str, by: Actor | None = None, **how: Any) -> Act | None:
        """
        Return an act that sends one of these commands, if one is allowed.

        Args:
            names: Those that may be sent; without, all that are allowed.

            how: The other fields of the act.
        """
        allowed = [
            option
            for option in self.options(by)
            if option.allowed and (not names or option.name in names)
        ]
        while allowed:
            weights = [_OFTEN.get(option.name, _USUAL) for option in allowed]
            called = [option.name for option in allowed]
            option = allowed.pop(self.tape.weighted("option", weights, called))
            act = self._with(option.command, option.fields, by, how)
            if act is not None:
                return act
        return None

    def anything(self, by: Actor | None = None, **how: Any) -> Act | None:
        """
        Return an act that sends any command of the process, allowed or not, with any
        payload that could be right somewhere.
        """
        command = self.tape.pick("command", [*self.process.commands.values()])
        fields = narrowed(form_of(command), (), self.order.currency)
        return self._with(command, fields, by, how)

    def _with(
        self,
        command: type[Command],
        fields: tuple[Field, ...],
        by: Actor | None,
        how: Mapping[str, Any],
    ) -> Act | None:
        try:
            drawn = command_within(self.tape.choose, command, fields, own=self.own)
        except (InvalidInputError, UndrawableError):
            # Beyond what is offered something may be malformed: that shows elsewhere.
            return None
        return Act(command=drawn, by=self.me if by is None else by, **how)

    def is_due(self) -> bool:
        """
        Whether a deadline is at most a microsecond away, before or behind.
        """
        return any(
            abs(to_micros(due_at) - to_micros(self.now)) <= 1
            for due_at in self.deadlines
        )


class Persona(Protocol):
    """
    Somebody who plays a role.
    """

    @property
    def name(self) -> str:
        """
        What it is called in reports.
        """
        ...

    @property
    def role(self) -> Role:
        """
        The role it plays; one.
        """
        ...

    def act(self, scene: Scene) -> Act | None:
        """
        Return what it does; `None` for nothing.
        """
        ...


# --- those there are --------------------------------------------------------------


@attrs.frozen
class _Player:
    role: Role

    @property
    def name(self) -> str:
        """
        What it is called in reports.
        """
        kind = type(self).__name__.strip("_").lower()
        return f"{kind} {self.role.text}"


@final
class _Silent(_Player):
    def act(self, scene: Scene) -> Act | None:
        return None


@final
class _Prompt(_Player):
    def act(self, scene: Scene) -> Act | None:
        if scene.tape.chance("legal", _LEGAL):
            return scene.send()
        return scene.anything()


@final
class _Last(_Player):
    def act(self, scene: Scene) -> Act | None:
        if scene.is_due() or scene.tape.chance("early", 300):
            return scene.send()
        return None


@final
class _Griefer(_Player):
    def act(self, scene: Scene) -> Act | None:
        if scene.tape.chance("grief", 800):
            return scene.send(*_GRIEF) or scene.send()
        return scene.send()


@final
class _Clicker(_Player):
    def act(self, scene: Scene) -> Act | None:
        times = scene.tape.pick("clicks", (1, 2, 2, 3, 3, 8))
        return scene.send(times=times)


@final
class _Vanishing(_Player):
    def act(self, scene: Scene) -> Act | None:
        if scene.order.mediator_id is None:
            return scene.send("assign_mediator")
        return None


@final
class _Staff(_Player):
    def act(self, scene: Scene) -> Act | None:
        if scene.order.state == "frozen":
            return scene.send("unfreeze_order", "rule_dispute")
        return scene.send()


@final
class _Attacker(_Player):
    """
    Sends what is none of his business: as a stranger, under a role that is not his,
    from a page that is out of date, and with what no form takes.
    """

    def act(self, scene: Scene) -> Act | None:
        tape = scene.tape
        how = tape.choose("attack", 5)
        if how == 0:
            return self._stranger(scene)
        if how == 1:
            # One of the parties, in a role that is not his.
            name = tape.pick("victim", scene.parties)
            role = tape.pick("role", [*_ACTORS])
            if role in (Role.OPERATOR, Role.PROVIDER):
                # Whoever may say so, is: the host vouches for it.
                role = Role.MEDIATOR
            return scene.anything(by=_ACTORS[role](name))
        if how == 2:
            old = tape.choose("version", scene.order.version + 2)
            return scene.send(by=self._party(scene), if_version=old)
        if how == 3:
            return self._hostile(scene)
        return scene.anything(by=self._party(scene))

    @staticmethod
    def _party(scene: Scene) -> Actor:
        order = scene.order
        both: tuple[Actor, ...] = (Buyer(order.buyer_id), Seller(order.seller_id))
        return scene.tape.pick("party", both)

    def _stranger(self, scene: Scene) -> Act | None:
        order = scene.order
        stranger = f"eve-{scene.tape.choose('stranger', 3)}"
        kind = _ACTORS[scene.tape.pick("role", (Role.BUYER, Role.SELLER))]
        whose = order.buyer_id if kind is Buyer else order.seller_id
        act = scene.send(by=kind(whose))
        return None if act is None else attrs.evolve(act, by=kind(stranger))

    def _hostile(self, scene: Scene) -> Act | None:
        """
        Put nonsense into a field of a command that is allowed.
        """
        by = self._party(scene)
        act = scene.send(by=by)
        if act is None:
            return None
        fields = [
            field
            for field in form_of(type(act.command))
            if field.kind in ("text", "id", "integer", "references")
        ]
        if not fields:
            return None
        field = scene.tape.pick("field", fields)
        value: Any = scene.tape.pick("nonsense", (*_HOSTILE, -1, 2**63, 1.5, None))
        try:
            command = attrs.evolve(act.command, **{field.name: value})
        except (InvalidInputError, UnicodeError):
            # Refused before it was sent: that is what is asked for.
            return None
        return attrs.evolve(act, command=command)


@final
class _Dealer(_Player):
    """
    Plays more than one part: rules on his own order.
    """

    def act(self, scene: Scene) -> Act | None:
        order = scene.order
        name = scene.tape.pick("party", (order.buyer_id, order.seller_id))
        spelt = scene.tape.pick("spelling", spellings(name))
        try:
            mediator = Mediator(spelt)
            assign = AssignMediator(mediator_id=spelt)
        except InvalidInputError:
            return None
        if AssignMediator.name in scene.process.commands and scene.tape.choose("as", 2):
            return Act(command=assign, by=mediator)
        return scene.anything(by=mediator)


def spellings(name: str) -> tuple[str, ...]:
    """
    Return ways to write an id that a person would take for the same.
    """
    return (
        name,
        f" {name} ",
        unicodedata.normalize("NFD", name),
        unicodedata.normalize("NFC", name),
    )


def silent(role: Role | str) -> Persona:
    """
    Return somebody who never says a word.
    """
    return _Silent(_role(role))


def prompt(role: Role | str) -> Persona:
    """
    Return somebody who does what can be done, mostly.
    """
    return _Prompt(_role(role))


def last_second(role: Role | str) -> Persona:
    """
    Return somebody who waits until a deadline, a microsecond more or less.
    """
    return _Last(_role(role))


def griefer(role: Role | str) -> Persona:
    """
    Return somebody who asks, withdraws and asks again, without an end.
    """
    return _Griefer(_role(role))


def double_clicker(role: Role | str) -> Persona:
    """
    Return somebody who sends everything one to eight times, all at once.
    """
    return _Clicker(_role(role))


def vanishing() -> Persona:
    """
    Return a mediator who takes a case on, and is never seen again.
    """
    return _Vanishing(Role.MEDIATOR)


def staff() -> Persona:
    """
    Return somebody of the platform.
    """
    return _Staff(Role.OPERATOR)


def attacker() -> Persona:
    """
    Return somebody who has no business here.
    """
    return _Attacker(Role.BUYER)


def self_dealer() -> Persona:
    """
    Return a party who would rule on his own order.
    """
    return _Dealer(Role.MEDIATOR)


def default() -> list[Persona]:
    """
    Return the usual people: some of each role, and some who mean harm.
    """
    parties = (Role.BUYER, Role.SELLER)
    return [
        *(kind(role) for role in parties for kind in (_Prompt, _Last, _Griefer)),
        *(kind(role) for role in parties for kind in (_Clicker, _Silent)),
        _Prompt(Role.MEDIATOR),
        _Last(Role.MEDIATOR),
        _Silent(Role.MEDIATOR),
        vanishing(),
        staff(),
        attacker(),
        self_dealer(),
    ]


def is_outsider(persona: Persona) -> bool:
    """
    Whether somebody takes no part in an order, and acts on all of them.
    """
    return isinstance(persona, (_Attacker, _Dealer))


def as_people(people: Collection[Persona] | None) -> tuple[Persona, ...]:
    """
    Return people, checked; the usual ones for `None`.

    Raises:
        InvalidInputError: If one of them is none, or a party is played by nobody.
    """
    if people is None:
        return tuple(default())
    found = tuple(people)
    for one in found:
        if not callable(getattr(one, "act", None)) or not isinstance(
            getattr(one, "role", None), Role
        ):
            raise InvalidInputError(
                "people", "personas: what has a name, a role, and act(scene)"
            )
    for role in (Role.BUYER, Role.SELLER):
        if not any(one.role is role and not is_outsider(one) for one in found):
            raise InvalidInputError("people", f"nobody plays the {role.text}")
    return found


def _role(value: Role | str) -> Role:
    return Role.of(value) if isinstance(value, str) else value
