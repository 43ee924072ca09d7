"""
Two stand-ins for Stripe: its wire, played by ourselves, and localstripe.

- `Wire` is an HTTP client for the SDK that answers as Stripe's documentation says:
  idempotency keys and what is stored under them, what is refused, balances, lists in
  pages, events.  It fails when it is told to.
- `Localstripe` is somebody else's mock, in a process of its own.
- `Completed` is localstripe with the rules that it lacks, those of the wire.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import httpx
import stripe
from requests.structures import CaseInsensitiveDict
from stripe import WebhookSignature

from escrowflow.clock import as_utc

if TYPE_CHECKING:
    from types import TracebackType

    from escrowflow.clock import Clock

__all__ = [
    "KEY",
    "SECRET",
    "Completed",
    "Localstripe",
    "Receiver",
    "Wire",
    "signed",
]

# It would write a file into the home of whoever runs the tests.
stripe.enable_telemetry = False

KEY: Final = "sk_test_canary_4f1c"
SECRET: Final = "whsec_canary_9ab2"

_Object: TypeAlias = dict[str, Any]
_Answer: TypeAlias = tuple[int, _Object]

_KEYS_LIVE: Final = timedelta(hours=24)


def signed(event: Any, at: Any, secret: str = SECRET) -> tuple[bytes, str]:
    """
    Return the payload of a webhook, and its signature.
    """
    payload = json.dumps(event)
    header = WebhookSignature.generate_signature_header(
        payload, secret, int(at.timestamp())
    )
    return payload.encode(), header


def _unreached(words: str) -> Exception:
    """
    Return what an HTTP client of the SDK raises when there is no answer.
    """
    error: Exception = stripe.APIConnectionError(words)  # type: ignore[no-untyped-call]
    return error


class RefusalError(Exception):
    """
    An answer that is an error.
    """

    def __init__(self, status: int, code: str, message: str, kind: str = "") -> None:
        self.status = status
        self.error = {
            "type": kind or "invalid_request_error",
            "code": code,
            "message": message,
        }
        super().__init__(message)


# What happens to a request: before anything is stored, or while it is carried out.
TURNED_AWAY: Final[Mapping[str, RefusalError]] = {
    "locked": RefusalError(409, "idempotency_key_in_use", "Another request is running"),
    "limited": RefusalError(429, "rate_limit", "Too many requests"),
    "lock_timeout": RefusalError(429, "lock_timeout", "Another request has it"),
    "expired": RefusalError(401, "api_key_expired", "Expired API Key provided: " + KEY),
    "forbidden": RefusalError(403, "account_invalid", "The key has no access to this"),
}
CARRIED_OUT: Final[Mapping[str, RefusalError]] = {
    "error": RefusalError(500, "", "Something went wrong", "api_error"),
    "refused": RefusalError(400, "charge_disputed", "The charge is disputed"),
    "declined": RefusalError(
        402, "card_declined", "Your card was declined", "card_error"
    ),
    "poor": RefusalError(400, "balance_insufficient", "Insufficient funds"),
}


class Wire(stripe.HTTPClient):
    """
    Stripe, as somebody sees it who sends it requests.

    Attributes:
        troubles: What happens to the next requests, one each: a name of the tables
            above, or `lost` (it never arrives), `unanswered` (it is done), `garbled`
            (it is done, and answered with nonsense), `gateway` (a proxy fails).

        pending: Whether refunds are under way at first.

        page: How many objects a list shows at once, at most.
    """

    name = "wire"

    def __init__(self, clock: Clock, key: str = KEY) -> None:
        super().__init__()
        self._clock = clock
        self._key = key
        self.troubles: list[str | RefusalError] = []
        self.pending = False
        self.page = 100
        self.made: dict[str, dict[str, _Object]] = {
            kind: {}
            for kind in (
                "payment_intents",
                "refunds",
                "transfers",
                "payouts",
                "disputes",
            )
        }
        self.requests: list[tuple[str, str, _Object, Mapping[str, str]]] = []
        self.events: list[_Object] = []
        self._memory: dict[tuple[str, str], tuple[Any, str, _Answer, Any]] = {}
        self._numbers = 0
        self._lock = RLock()

    # --- what a test does -----------------------------------------------------------

    def pay(
        self, amount: int, currency: str, capture: str = "automatic", **metadata: str
    ) -> _Object:
        """
        Have a buyer pay; return the payment.
        """
        intent = self._new(
            "payment_intents",
            "pi",
            amount=amount,
            currency=currency,
            metadata=metadata,
            status="requires_payment_method",
            capture_method=capture,
        )
        return self.paid(intent["id"])

    def let_go(self, intent_id: str) -> None:
        """
        Have a bank let go what it held, because its time is over.
        """
        intent = self.made["payment_intents"][intent_id]
        intent |= {"status": "canceled", "cancellation_reason": "expired"}
        self._tell("payment_intent.canceled", intent)

    def paid(self, intent_id: str) -> _Object:
        """
        Have a buyer pay what was asked for; or have it held, if that was asked.
        """
        intent = self.made["payment_intents"][intent_id]
        if intent["capture_method"] == "manual":
            intent |= {
                "status": "requires_capture",
                "amount_capturable": intent["amount"],
                "amount_received": 0,
                "latest_charge": "ch_of_" + intent_id,
            }
            self._tell("payment_intent.amount_capturable_updated", intent)
        else:
            intent |= {"status": "succeeded", "amount_received": intent["amount"]}
            self._tell("payment_intent.succeeded", intent)
        return intent

    def end(self, object_id: str, status: str, **more: Any) -> None:
        """
        Say how a refund or payout ended.
        """
        kind = "refunds" if object_id in self.made["refunds"] else "payouts"
        made = self.made[kind][object_id]
        made |= {"status": status, **more}
        name = "failed" if status == "failed" else "updated"
        self._tell(f"{made['object']}.{name}", made)

    def reverse(self, transfer_id: str) -> None:
        """
        Take a transfer back.
        """
        made = self.made["transfers"][transfer_id]
        made |= {"reversed": True, "amount_reversed": made["amount"]}
        self._tell("transfer.reversed", made)

    def charge_back(self, intent_id: str, amount: int, status: str) -> _Object:
        """
        Have a bank take a payment back, or inquire.
        """
        intent = self.made["payment_intents"][intent_id]
        taken = not status.startswith("warning_")
        dispute = self._new(
            "disputes",
            "du",
            amount=amount,
            currency=intent["currency"],
            payment_intent=intent_id,
            charge="ch_of_" + intent_id,
            status=status,
            metadata={},
            balance_transactions=[
                {"amount": -amount, "currency": intent["currency"], "fee": 1500}
            ]
            * taken,
        )
        self._tell("charge.dispute.created", dispute)
        return dispute

    def judge(self, dispute_id: str, status: str, back: int = 0) -> None:
        """
        Say what a bank decided, and how much it gave back.
        """
        dispute = self.made["disputes"][dispute_id]
        dispute["status"] = status
        if back:
            dispute["balance_transactions"].append(
                {"amount": back, "currency": dispute["currency"], "fee": 0}
            )
        self._tell("charge.dispute.closed", dispute)

    # --- what the SDK does ----------------------------------------------------------

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: str | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """
        Answer a request.
        """
        with self._lock:
            parts = urlsplit(url)
            params = _unflat(
                parse_qsl(post_data or parts.query, keep_blank_values=True)
            )
            trouble = self.troubles.pop(0) if self.troubles else ""
            if trouble == "lost":
                raise _unreached("nobody is there")
            self.requests.append((method, parts.path, params, headers))
            self._numbers += 1
            told = CaseInsensitiveDict({"Request-Id": f"req_{self._numbers}"})
            if trouble == "gateway":
                return "<html>Bad Gateway</html>", 502, {}
            status, answer = self._answered(
                method, parts.path, params, headers, trouble
            )
            if trouble == "unanswered":
                raise _unreached("no answer")
            text = "{" if trouble == "garbled" else json.dumps(answer)
            return text, status, told

    def close(self) -> None:
        """
        There is nothing to close.
        """

    def _answered(
        self,
        method: str,
        path: str,
        params: _Object,
        headers: Mapping[str, str],
        trouble: str | RefusalError,
    ) -> _Answer:
        """
        Answer from memory, or by doing something.
        """
        try:
            if headers["Authorization"] != f"Bearer {self._key}":
                raise RefusalError(401, "", f"Invalid API Key provided: {self._key}")
            if isinstance(trouble, RefusalError):
                raise trouble
            if trouble in TURNED_AWAY:
                raise TURNED_AWAY[trouble]
            account = headers.get("Stripe-Account", "")
            if method == "get":
                return 200, self._read(path, params, account)
            return self._once(path, params, headers, account, trouble)
        except RefusalError as refusal:
            return refusal.status, {"error": refusal.error}

    def _once(
        self,
        path: str,
        params: _Object,
        headers: Mapping[str, str],
        account: str,
        trouble: str,
    ) -> _Answer:
        now = self._now()
        key = account, headers["Idempotency-Key"]
        known = self._memory.get(key)
        if known is not None and now < known[3] + _KEYS_LIVE:
            if known[:2] != (params, path):
                raise RefusalError(
                    400,
                    "",
                    "Keys for idempotent requests can only be used with the same "
                    "parameters they were first used with.",
                    "idempotency_error",
                )
            return known[2]
        # What is malformed is not stored.
        self._checked(path, params, account)
        try:
            if trouble in CARRIED_OUT:
                raise CARRIED_OUT[trouble]
            answer: _Answer = 200, deepcopy(self._do(path, params, account))
        except RefusalError as refusal:
            answer = refusal.status, {"error": refusal.error}
        self._memory[key] = params, path, answer, now
        return answer

    # --- how it does it ---------------------------------------------------------------

    def _now(self) -> Any:
        return as_utc(self._clock.now(), "clock")

    def _new(self, kind: str, prefix: str, **fields: Any) -> _Object:
        self._numbers += 1
        made = {
            "id": f"{prefix}_{self._numbers}",
            "object": kind.removesuffix("s"),
            "created": int(self._now().timestamp()),
            **fields,
        }
        self.made[kind][made["id"]] = made
        return made

    def _tell(self, name: str, about: _Object, account: str = "") -> None:
        self._numbers += 1
        event = {
            "id": f"evt_{self._numbers}",
            "object": "event",
            "type": name,
            "data": {"object": deepcopy(about)},
            "created": int(self._now().timestamp()),
        }
        account = account or about.get("_account", "")
        if account:
            event["account"] = account
        self.events.append(event)

    def _checked(self, path: str, params: _Object, account: str) -> None:
        """
        Refuse what is malformed.
        """
        for name, value in params.get("metadata", {}).items():
            if len(name) > 40 or len(value) > 500:
                raise RefusalError(400, "parameter_invalid", "Metadata is too long")
        if "amount" in params:
            if not params["amount"].isdecimal() or not int(params["amount"]):
                raise RefusalError(
                    400, "parameter_invalid_integer", "Invalid positive integer"
                )
            if int(params["amount"]) > 99_999_999:
                raise RefusalError(400, "amount_too_large", "Amount must be less")
        if account and not account.startswith("acct_"):
            raise RefusalError(403, "account_invalid", f"No access to {account}")

    def _do(self, path: str, params: _Object, account: str) -> _Object:
        """
        Carry out what is asked for.
        """
        kind = path.split("/")[2]
        if path.count("/") > 2:
            return self._do_to(path.split("/")[3], path.split("/")[4], params)
        if kind == "payment_intents":
            intent = self._new(
                kind,
                "pi",
                **{
                    "amount": int(params["amount"]),
                    "currency": params["currency"],
                    "metadata": params.get("metadata", {}),
                    "status": "requires_payment_method",
                    "capture_method": params.get("capture_method", "automatic_async"),
                },
            )
            return intent | {"client_secret": f"{intent['id']}_secret_1"}
        if kind == "refunds":
            return self._refund(params)
        if kind == "transfers":
            if not params["destination"].startswith("acct_"):
                raise RefusalError(400, "resource_missing", "No such destination")
            transfer = self._new(
                kind,
                "tr",
                **{
                    **params,
                    "amount": int(params["amount"]),
                    "amount_reversed": 0,
                    "reversed": False,
                },
            )
            self._tell("transfer.created", transfer)
            return transfer
        payout = self._new(
            kind,
            "po",
            **{
                **params,
                "amount": int(params["amount"]),
                "status": "pending",
                "_account": account,
            },
        )
        self._tell("payout.created", payout)
        return payout

    def _do_to(self, object_id: str, verb: str, params: _Object) -> _Object:
        """
        Do something to a payment that is held.
        """
        intent = self._found("payment_intents", object_id)
        if intent["status"] != "requires_capture":
            raise RefusalError(
                400,
                "payment_intent_unexpected_state",
                f"This PaymentIntent could not be changed: it is {intent['status']}",
            )
        if verb == "cancel":
            intent |= {"status": "canceled", "amount_capturable": 0}
            self._tell("payment_intent.canceled", intent)
            return intent
        amount = int(params.get("amount_to_capture") or intent["amount"])
        if amount > intent["amount"]:
            raise RefusalError(400, "amount_too_large", "More than is held")
        intent |= {
            "metadata": {**intent["metadata"], **params.get("metadata", {})},
            "status": "succeeded",
            "amount_received": amount,
            "amount_capturable": 0,
        }
        self._tell("payment_intent.succeeded", intent)
        return intent

    def _refund(self, params: _Object) -> _Object:
        intent = self._found("payment_intents", params["payment_intent"])
        if intent["status"] != "succeeded":
            raise RefusalError(400, "charge_not_refundable", "It was never paid")
        amount = int(params["amount"])
        left = intent["amount_received"] - sum(
            one["amount"]
            for one in self.made["refunds"].values()
            if one["payment_intent"] == intent["id"]
            and one["status"] not in ("failed", "canceled")
        )
        if not left:
            raise RefusalError(
                400, "charge_already_refunded", "It was refunded already"
            )
        if amount > left:
            raise RefusalError(400, "", f"Refund amount is greater than {left}")
        refund = self._new(
            "refunds",
            "re",
            **{
                **params,
                "amount": amount,
                "currency": intent["currency"],
                "status": "pending" if self.pending else "succeeded",
            },
        )
        self._tell("refund.created", refund)
        return refund

    def _found(self, kind: str, object_id: str) -> _Object:
        found = self.made[kind].get(object_id)
        if found is None:
            raise RefusalError(404, "resource_missing", f"No such {kind}: {object_id}")
        return found

    def _read(self, path: str, params: _Object, account: str) -> _Object:
        """
        Return an object, or a page of a list: the newest first.
        """
        kind, *rest = path.split("/")[2:]
        if rest:
            return self._found(kind, rest[0])
        if "payment_intent" in params:
            self._found("payment_intents", params["payment_intent"])
        named = {
            name: params[name]
            for name in ("payment_intent", "transfer_group")
            if name in params
        }
        found = [
            one
            for one in reversed(self.made[kind].values())
            if all(one.get(name) == value for name, value in named.items())
            and one.get("_account", "") == account
        ]
        if "starting_after" in params:
            ids = [one["id"] for one in found]
            found = found[ids.index(params["starting_after"]) + 1 :]
        size = min(int(params.get("limit", 10)), self.page)
        return {
            "object": "list",
            "url": path,
            "data": found[:size],
            "has_more": len(found) > size,
        }


def _unflat(pairs: list[tuple[str, str]]) -> _Object:
    """
    Return parameters as they were before they were sent: `a[b]=c` is `{a: {b: c}}`.
    """
    params: _Object = {}
    for name, value in pairs:
        outer, bracket, inner = name.partition("[")
        if bracket:
            params.setdefault(outer, {})[inner.removesuffix("]")] = value
        else:
            params[outer] = value
    return params


# --- localstripe ------------------------------------------------------------------

# Its own command listens on all interfaces, and keeps a pickle.
_SERVER: Final = """
import socket
import sys

from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda store: None
listening = socket.socket(fileno=int(sys.argv[1]))
web.run_app(server.app, sock=listening, print=None, access_log=None)
"""


class Localstripe:
    """
    localstripe on this machine, in a process of its own.

    Attributes:
        address: Where it is: `"http://127.0.0.1:..."`.
    """

    address: str
    _process: subprocess.Popen[bytes]
    _client: httpx.Client

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            # Whoever calls before it is there waits.
            self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(listening.fileno())],
                pass_fds=[listening.fileno()],
                stdout=subprocess.DEVNULL,
            )
        # One for all: each would read all the certificates of this machine again.
        self._client = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=30,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(timeout=30)

    def ask(self, method: str, path: str, **params: Any) -> _Object:
        """
        Ask it something, past the adapter.
        """
        said = self._client.request(
            method,
            path,
            **{"params" if method == "GET" else "json": params},  # type: ignore[arg-type]
        )
        found: _Object = said.json() if said.content else {}
        if said.is_error:
            told = found["error"]
            raise RefusalError(
                said.status_code, told.get("code", ""), told.get("message", "")
            )
        return found

    def card(self, number: str = "4242424242424242") -> str:
        """
        Return a card.
        """
        made = self.ask(
            "POST",
            "/v1/payment_methods",
            type="card",
            card={"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"},
        )
        return str(made["id"])

    def paid(self, intent_id: str) -> None:
        """
        Have a buyer pay what was asked for.
        """
        path = f"/v1/payment_intents/{intent_id}"
        self.ask("POST", path, payment_method=self.card())
        self.ask("POST", f"{path}/confirm")


class Completed(Wire):
    """
    localstripe, with what it lacks: idempotency keys, a limit to refunds, transfers,
    payouts that are not in euros, and troubles.
    """

    def __init__(self, clock: Clock, mock: Localstripe) -> None:
        super().__init__(clock)
        self.mock = mock

    def pay(
        self, amount: int, currency: str, capture: str = "automatic", **metadata: str
    ) -> _Object:
        made = self.mock.ask(
            "POST",
            "/v1/payment_intents",
            amount=amount,
            currency=currency,
            metadata=metadata,
            capture_method=capture,
        )
        self.mock.paid(made["id"])
        return made

    def _do_to(self, object_id: str, verb: str, params: _Object) -> _Object:
        path = f"/v1/payment_intents/{object_id}"
        held = self.mock.ask("GET", path)
        if held["status"] != "requires_capture":
            raise RefusalError(
                400, "payment_intent_unexpected_state", f"It is {held['status']}"
            )
        metadata = params.pop("metadata", None)
        if metadata:
            # It takes no metadata with a capture.
            self.mock.ask("POST", path, metadata=metadata)
        return self.mock.ask("POST", f"{path}/{verb}", **params)

    def _do(self, path: str, params: _Object, account: str) -> _Object:
        if path.count("/") > 3:
            _, _, _, object_id, verb = path.split("/")
            return self._do_to(object_id, verb, dict(params))
        if path.startswith("/v1/payment_intents"):
            return self.mock.ask("POST", path, **params)
        if path != "/v1/refunds":
            return super()._do(path, params, account)
        of = {"payment_intent": params["payment_intent"]}
        paid = self.mock.ask("GET", f"/v1/payment_intents/{params['payment_intent']}")
        gone = self.mock.ask("GET", path, limit=100, **of)
        left = paid["amount"] - sum(one["amount"] for one in gone["data"])
        if int(params["amount"]) > left:
            raise RefusalError(400, "", f"Refund amount is greater than {left}")
        return self.mock.ask("POST", path, **params)

    def _read(self, path: str, params: _Object, account: str) -> _Object:
        if path.startswith(("/v1/payment_intents", "/v1/refunds")):
            return self.mock.ask("GET", path, **params)
        return super()._read(path, params, account)


class Receiver:
    """
    A server that takes webhooks in.

    Attributes:
        address: Where it is.
    """

    def __init__(self) -> None:
        self._came: Queue[tuple[bytes, str | None]] = Queue()
        came = self._came

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                came.put((self.rfile.read(size), self.headers["Stripe-Signature"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self) -> tuple[bytes, str | None]:
        """
        Return the next webhook that comes.
        """
        return self._came.get(timeout=30)

    def __iter__(self) -> Iterator[tuple[bytes, str | None]]:
        while True:
            yield self.next()
