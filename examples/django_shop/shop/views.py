"""
The pages: what is for sale, and one page for each order.

Nothing here decides what an order may do.  A page draws what `engine().view` says, and
one view sends whatever command a button names.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST

import escrowflow as ef
from escrowflow.contrib.django import engine
from escrowflow.contrib.django.models import EscrowOrder
from escrowflow.timeline import as_html
from escrowflow.words import state_text

from .models import Listing, Sale

__all__ = ["index", "order", "place", "send"]

ZONE = "Europe/Paris"


def index(request: HttpRequest) -> HttpResponse:
    """
    What is for sale, and what you bought and sold.
    """
    mine = EscrowOrder.objects.of(request.user.get_username())
    return render(
        request,
        "shop/index.html",
        {
            "listings": Listing.objects.select_related("seller"),
            "sales": Sale.objects.filter(order__in=mine.values("order_id"))
            .select_related("listing", "order")
            .order_by("-pk"),
            # Made with the form: a form that is sent twice buys once.
            "key": uuid4().hex,
        },
    )


@login_required
@require_POST
def place(request: HttpRequest, listing_id: int) -> HttpResponse:
    """
    Buy: the order, our row for it, and the count are written together, or not at all.
    """
    listing = get_object_or_404(Listing.objects.select_related("seller"), pk=listing_id)
    key = request.POST["key"]
    command = ef.PlaceOrder(
        seller_id=listing.seller.get_username(),
        price=listing.price,
        # A real shop lets its provider take the money, and confirms it by webhook.
        payment=ef.Payment(method="card", reference=f"pay-{key}"),
        terms=ef.Terms(delivery_window=f"P{listing.days}D", title=listing.title),
    )
    try:
        with transaction.atomic():
            placed = engine().place(
                command, by=ef.Buyer(request.user.get_username()), key=key
            )
            if not placed.replayed:
                Sale.objects.create(listing=listing, order_id=placed.order.id)
                Listing.objects.filter(pk=listing.pk).update(sold=F("sold") + 1)
    except (ef.CommandRefusedError, ef.InvalidInputError) as error:
        messages.error(request, str(error))
        return redirect("index")
    return redirect("order", placed.order.id)


@login_required
def order(request: HttpRequest, order_id: str) -> HttpResponse:
    """
    One order: its state, its story, its money, and what you can do.
    """
    by = _actor(request, order_id)
    view = engine().view(order_id, by=by)
    return render(
        request,
        "shop/order.html",
        {
            "order": view.order,
            "state": state_text(view.order.state),
            "sale": Sale.objects.select_related("listing").get(order_id=order_id),
            "story": mark_safe(as_html(view.timeline, zone=ZONE)),
            "options": [
                {
                    "name": one.name,
                    "label": one.label(),
                    "fields": [
                        {
                            "name": field.name,
                            "label": field.label(),
                            "choices": field.choices,
                            "required": field.required,
                        }
                        for field in one.fields
                        if not field.vouched and field.kind in _KINDS
                    ],
                }
                for one in view.options
                if one.allowed and _is_simple(one)
            ],
            "not_yet": [
                (one.label(), [blocker.message(zone=ZONE) for blocker in one.blockers])
                for one in view.options
                if any(blocker.unblocked_at for blocker in one.blockers)
            ],
            "key": uuid4().hex,
        },
    )


@login_required
@require_POST
def send(request: HttpRequest, order_id: str, name: str) -> HttpResponse:
    """
    Send a command.  A refusal is an answer: it says what is in the way.
    """
    by = _actor(request, order_id)
    data: dict[str, Any] = {
        field: value
        for field, value in request.POST.items()
        if value and field not in ("csrfmiddlewaretoken", "key")
    }
    if "files" in data:
        data["files"] = data["files"].split()
    try:
        command = engine().process.parse(name, data, by=by)
        # What was due is settled, and kept, also when the answer is no.
        answer = engine().attempt(order_id, command, by=by, key=request.POST["key"])
    except ef.InvalidInputError as error:
        messages.error(request, str(error))
    else:
        if isinstance(answer, ef.Refusal):
            for blocker in answer.blockers:
                messages.error(request, blocker.message(zone=ZONE))
    return redirect("order", order_id)


# --- who, and what this small shop can draw -------------------------------------------

_KINDS = ("text", "references", "reference", "integer", "id")


def _is_simple(option: ef.Option) -> bool:
    """
    Whether a form of plain fields is enough: see the other example for all of them, and
    for messages, which a shop keeps itself.
    """
    return option.command is not ef.SendMessage and not any(
        field.vouched or (field.required and field.kind not in _KINDS)
        for field in option.fields
    )


def _actor(request: HttpRequest, order_id: str) -> ef.Actor:
    """
    Return who somebody is on an order: Django knows who, the library what that may do.
    """
    person = request.user.get_username()
    for actor in (ef.Buyer(person), ef.Seller(person)):
        try:
            engine().order(order_id, by=actor)
        except ef.OrderNotFoundError:
            continue
        return actor
    raise Http404
