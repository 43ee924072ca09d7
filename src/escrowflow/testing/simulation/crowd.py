"""
The crowd: who is around an order, what they send, and the money that comes with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, final

import attrs

from ...clock import from_micros, to_micros
from ...commands import Command, ConfirmPayment, PlaceOrder
from ...decisions import decide, place
from ...engine.driving import undriven
from ...errors import InvalidInputError
from ...events import PaymentBooked, PaymentHeld, PaymentReturned
from ...money import Money, Payment
from ...order import Order
from ...parties import Actor, Buyer, Mediator, Operator, Provider, Role, Seller
from ...terms import AddOn, Terms
from ...wallet import BY, wallet_id_of
from .hosting import Hosts
from .personas import Act, Persona, Scene, spellings
from .shadow import Said
from .world import DAY, Node, World

__all__ = ["Crowd"]

_BUYERS: Final = ("ana", "zoé", "bo")
_SELLERS: Final = ("luc", "léa", "max")
_MEDIATORS: Final = ("mia", "mo")

# Whoever has so much in his wallet can pay for something at once.
_RICH: Final = 5_000

_BOTH: Final = (Role.BUYER, Role.SELLER)

_ROLES: Final = (Role.BUYER, Role.SELLER, Role.MEDIATOR, Role.OPERATOR)

# What everybody writes: it must turn up nowhere but in the texts of an order (I31).
_WRITTEN: Final = ("canary", "canary: trop sombre", "canary\n")


@final
class Crowd:
    """
    The people of a world.
    """

    def __init__(self, world: World, hosts: Hosts) -> None:
        self._world = world
        self._hosts = hosts
        self._begun = 0

    def acts(self) -> None:
        """
        Let somebody place an order, or do something about one.
        """
        tape = self._world.tape
        ids = [*self._world.auditor.orders]
        if not ids or (self._begun < self._world.orders and tape.chance("new", 150)):
            self._place()
            return
        node = self._world.pinned if self._world.hot else None
        node = node or tape.pick("node", self._world.nodes)
        focus = self._world.focus if self._world.focus in ids else None
        if focus is None or not tape.chance("focus", 850):
            focus = tape.pick("order", ids)
        shown = self._world.shown(focus, node)
        if shown is None:
            return
        outsiders = 350 if self._world.workload == "hostile" else 60
        for _ in range(3):
            # Of somebody who keeps silent nothing is to be seen.
            if self._world.outsiders and tape.chance("outsider", outsiders):
                persona = tape.pick("who", self._world.outsiders)
            else:
                persona = self._cast(shown)
            act = persona.act(self._scene(shown, persona, node))
            if act is not None:
                self._send(focus, act, node)
                return

    def _cast(self, order: Order) -> Persona:
        """
        Return one of those around an order: the same people for its whole life.
        """
        tape = self._world.tape
        judged = order.claim is not None or order.dispute is not None
        frozen = order.state == "frozen"
        weights = (40, 40, 50 if judged else 2, 40 if frozen else 3)
        role = _ROLES[tape.weighted("role", weights)]
        some = [one for one in self._world.insiders if one.role is role]
        if not some:
            some = [one for one in self._world.insiders if one.role is Role.BUYER]
        text = f"{tape.seed}\x1f{order.id}\x1f{role.text}"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        return some[number % len(some)]

    def _scene(self, order: Order, persona: Persona, node: Node) -> Scene:
        return Scene(
            process=self._world.auditor.orders[order.id].process,
            order=order,
            me=self._played(order, persona),
            now=max(node.now(), order.effective_at),
            tape=self._world.tape,
            deadlines=tuple(
                wait.due_at for wait in self._world.auditor.orders[order.id].waits()
            ),
            parties=(*_BUYERS, *_SELLERS, *_MEDIATORS),
            own={"payment": self._payment, "text": self._text},
        )

    def _played(self, order: Order, persona: Persona) -> Actor:
        role = persona.role
        if role is Role.BUYER:
            return Buyer(order.buyer_id)
        if role is Role.SELLER:
            return Seller(order.seller_id)
        if role is Role.MEDIATOR:
            free = [one for one in _MEDIATORS if not order.role_of(one)]
            name = order.mediator_id or self._world.tape.pick(
                "mediator", free or _MEDIATORS
            )
            return Mediator(name)
        return Operator("ops") if role is Role.OPERATOR else Provider("bank")

    def _text(self, field: Any) -> str:
        return self._world.tape.pick(
            field.name, ("canary", "canary: trop sombre", "canary\n")
        )

    def _payment(self, field: Any) -> Payment:
        """
        Return a payment without its amount: that is known once it is known what for.
        """
        method = self._world.tape.pick("method", ("card", "paypal"))
        return Payment(
            method, f"pay-{len(self._world.payments) + 1}-{self._world.step}"
        )

    def _send(self, order_id: str, act: Act, node: Node) -> None:
        command = self._wired(order_id, act, node)
        if command is None:
            return
        # Who sends without a key does not repeat what he sent, either.
        keyed = act.keyed and (
            act.times > 1 or not self._world.tape.chance("bare", 120)
        )
        key = f"key-{self._world.step}" if keyed else None
        said = Said(order_id, act.by, command, key, act.if_version)
        self._world.say(f"{act.by.role.text} sends {command.name} {act.times} times")
        self._timed(order_id, node)
        self._hosts.gives(said, node, act.times)

    def _timed(self, order_id: str, node: Node) -> None:
        """
        Count what comes at a deadline, and a microsecond before and behind it.
        """
        shadow = self._world.auditor.orders[order_id]
        now = to_micros(node.now())
        for wait in shadow.waits():
            name = {
                0: "at the deadline",
                -1: "just before a deadline",
                1: "just after a deadline",
            }.get(now - shadow.armed(wait))
            if name is not None:
                self._world.count[name] += 1

    def _wired(self, order_id: str, act: Act, node: Node) -> Command | None:
        """
        Return a command whose payments have really arrived at the gateway.
        """
        command: Any = act.command
        payments: Sequence[Payment] = getattr(command, "payment", ())
        if not payments or not isinstance(payments, tuple):
            return act.command
        order = self._world.shown(order_id, node)
        if order is None:
            return None
        try:
            answer: Any = decide(
                self._world.auditor.orders[order_id].process,
                order,
                command,
                by=act.by,
                now=node.now(),
            )
        except InvalidInputError:
            return None
        prices = {
            **{
                one.event.payment.reference: one.event.payment.amount
                for one in answer.recorded
                if isinstance(one.event, (PaymentBooked, PaymentHeld))
            },
            **{
                one.event.refund.payment.reference: one.event.refund.amount
                for one in answer.recorded
                if isinstance(one.event, PaymentReturned)
            },
        }
        wired = []
        for payment in payments:
            amount = payment.amount or prices.get(payment.reference)
            if amount is None:
                return None
            if self._world.tape.chance("another amount", 60):
                amount = Money(max(1, amount.minor // 2), amount.currency)
            wired.append(self._arrived(order_id, payment, amount))
        wired_: Command = attrs.evolve(command, payment=tuple(wired))
        return wired_

    def _arrived(self, order_id: str, payment: Payment, amount: Money) -> Payment:
        whole = attrs.evolve(payment, amount=amount)
        self._world.payments[payment.reference] = order_id, amount
        self._world.gateway.paid(whole, order_id)
        return whole

    def migrates(self) -> None:
        """
        Let staff move an order to other rules, with or without the consent of all.
        """
        tape, world = self._world.tape, self._world
        if not world.goes_wrong("rules changed", 800):
            return
        order_id = tape.pick("order", [*world.auditor.orders])
        to = tape.pick("rules", world.processes)
        consents = tape.pick("consents", ((), (Role.BUYER,), _BOTH, _BOTH))
        node = tape.pick("node", world.nodes)
        world.auditor.moves(order_id, to)
        world.say(f"staff moves {order_id} to {to.fingerprint}")
        asking = world.bare(node).migrate(
            order_id, to, by=Operator("ops"), consents=consents
        )
        world.begin(f"migration {order_id}", node, asking)

    def uses_wallet(self) -> None:
        """
        Let a buyer top his wallet up, or pay an order from it that waits for that.
        """
        tape, world = self._world.tape, self._world
        node = tape.pick("node", world.nodes)
        orders = world.auditor.orders
        unpaid = [one for one in orders if orders[one].state == "awaiting_payment"]
        if not unpaid or tape.chance("tops up", 150):
            self._tops_up(tape.pick("buyer", _BUYERS), node)
            return
        order_id = tape.pick("order", unpaid)
        nothing = ConfirmPayment(payment=Payment("wallet", "-", Money(1, "EUR")))
        purse = f"pay-{world.step}"
        said = Said(order_id, BY, nothing, None, purse=purse)
        world.say(f"buyer pays {order_id} from his wallet")
        self._hosts.gives(said, node, 1 + (tape.choose("clicks", 3) == 0))

    def _tops_up(self, name: str, node: Node) -> None:
        tape, world = self._world.tape, self._world
        amount = Money(1 + tape.choose("amount", 60_000), "EUR")
        world.say(f"{name} tops his wallet up")
        for _ in range(1 + (tape.choose("clicks", 3) == 0)):
            asking = undriven(world.wallets(node)).credit(
                name, amount, f"topup-{world.step}"
            )
            world.begin(f"top-up {name}", node, asking)

    def _place(self) -> None:
        """
        Let a buyer place an order.
        """
        tape = self._world.tape
        number = self._begun
        self._begun += 1
        node = tape.pick("node", self._world.nodes)
        order_id = f"order-{number}"
        rich = self._rich()
        beforehand = bool(rich) and tape.chance("debits first", 600)
        buyer = tape.pick("buyer", rich if beforehand else _BUYERS)
        seller = tape.pick("seller", _SELLERS)
        if tape.chance("with himself", 60):
            seller = tape.pick("spelling", spellings(buyer))
        most = 20_000
        if beforehand:
            # With all that may come on top of it.
            most = self._world.auditor.purses.balance(wallet_id_of(buyer)) // 4
        price = Money(1 + tape.choose("price", most), "EUR")
        try:
            command = PlaceOrder(
                seller_id=seller,
                price=price,
                payment=None,
                terms=self._terms(),
                tip=Money(max(1, price.minor // 10), "EUR")
                if price.minor > 10 and tape.chance("tip", 250)
                else None,
                add_ons=(AddOn(title="canary", price=Money(999, "EUR")),)
                if tape.chance("add_on", 200)
                else (),
            )
            placed: Any = place(
                self._world.process,
                command,
                by=Buyer(buyer),
                order_id=order_id,
                now=node.now(),
            )
        except InvalidInputError:
            self._world.count["dealt with himself"] += 1
            return
        if placed.order is None:
            return
        owed = placed.order.amount_due
        payment = self._payment(None)
        debits: Money | None = None
        if beforehand:
            self._world.count["debited first"] += 1
            debits = owed
        elif self._world.held:
            until = from_micros(self._world.now + (1 + tape.choose("hold", 9)) * DAY)
            payment = attrs.evolve(payment, amount=owed, held_until=until)
            self._world.gateway.holds(payment)
            command = attrs.evolve(command, payment=(payment,))
        elif self._world.has_wallets and tape.chance("by wallet", 700):
            # He will pay it from his wallet, if there is enough in it.
            self._tops_up(buyer, node)
        elif tape.chance("paid at once", 800):
            if tape.chance("in parts", 200) and owed.minor > 1:
                first = Money(1 + tape.choose("part", owed.minor - 1), owed.currency)
                rest = attrs.evolve(payment, reference=f"{payment.reference}-b")
                parts = [
                    self._arrived(order_id, payment, first),
                    self._arrived(order_id, rest, owed - first),
                ]
            else:
                parts = [self._arrived(order_id, payment, owed)]
            command = attrs.evolve(command, payment=tuple(parts))
        else:
            whole = self._arrived(order_id, payment, owed)
            self._world.mail.append((order_id, ConfirmPayment(payment=whole)))
        said = Said(
            order_id,
            Buyer(buyer),
            command,
            f"place-{number}",
            placing=True,
            purse="" if debits is None else f"debit-{number}",
            debits=debits,
        )
        self._world.say(f"buyer places {order_id}")
        self._hosts.gives(said, node, 1 + (tape.choose("clicks", 3) == 0))

    def _rich(self) -> Sequence[str]:
        """
        Return the buyers who may place an order that is paid already, from a wallet.
        """
        world = self._world
        if not world.has_wallets or "within" not in world.rates:
            return ()
        has = world.auditor.purses.balance
        return [one for one in _BUYERS if has(wallet_id_of(one)) >= _RICH]

    def _terms(self) -> Terms:
        tape = self._world.tape
        return Terms(
            delivery_window=tape.pick("delivery", ("PT12H", "P2D", "P5D", "P30D")),
            revisions=tape.pick("revisions", (None, 0, 1, "unlimited")),
            acceptance_window=tape.pick("acceptance", (None, None, None, "P1D")),
            verification_window=tape.pick("verification", (None, None, "P1D")),
            brief_required=tape.pick("brief", (None, True, False)),
            title="canary",
        )
