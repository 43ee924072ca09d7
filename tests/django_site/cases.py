"""
What the app does in Django: tried by Django's own runner, on its test databases.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from io import StringIO
from typing import Any
from unittest import skipUnless

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.test import Client, TestCase, TransactionTestCase, override_settings

import escrowflow as ef
from escrowflow.contrib.django import DjangoStorage, configured, engine
from escrowflow.contrib.django.checks import check_database, check_settings
from escrowflow.contrib.django.models import EscrowOrder
from escrowflow.errors import NoTransactionError, StorageError
from escrowflow.storage import Capability, Storage
from escrowflow.storage.postgres import PostgresStorage
from escrowflow.storage.sqlite import SqliteStorage
from tests.django_site.settings import CLOCK, ESCROWFLOW
from tests.django_site.work import SENT
from tests.pg import say, wait_until, waits

ANA, LUC = ef.Buyer("ana"), ef.Seller("luc")
SCRIPT = "<script>alert(1)</script>"


def place(key: str, seller_id: str = "luc") -> str:
    """
    Place an order, and return its id.
    """
    command = ef.PlaceOrder(
        seller_id=seller_id,
        price=ef.Money.of("100.00", "EUR"),
        payment=ef.Payment(method="card", reference=f"pi-{key}"),
        terms=ef.Terms(delivery_window="P5D"),
    )
    return engine().place(command, by=ANA, key=key).order.id


def exists(order_id: str) -> bool:
    """
    Whether there is an order.
    """
    return bool(engine().storage.load(order_id).version)


def own_storage(alias: str) -> Storage:
    """
    Return the library's own storage of a test database.
    """
    there = connections[alias].settings_dict
    if connections[alias].vendor == "sqlite":
        return SqliteStorage(there["NAME"])
    names = {"host": there["HOST"], "user": there["USER"], "dbname": there["NAME"]}
    return PostgresStorage(" ".join(f"{name}={value}" for name, value in names.items()))


# --- transactions ---------------------------------------------------------------------


class TestInTransaction(TransactionTestCase):
    """
    Your rows and the order, together.
    """

    databases = frozenset({"default", "other"})

    def test_seen_inside_gone_after_rollback(self) -> None:
        """
        Before the commit the order is there for this transaction, and for nobody else;
        after a rollback it never was.
        """
        with own_storage("default") as others:
            with transaction.atomic():
                order_id = place("rolled back")
                assert exists(order_id)
                assert EscrowOrder.objects.filter(pk=order_id).exists()
                assert not others.load(order_id).version
                transaction.set_rollback(True)
            assert not exists(order_id)
            with transaction.atomic():
                order_id = place("committed")
            assert others.load(order_id).version

    def test_committed_at_once(self) -> None:
        """
        Outside of a transaction what was said to be written is written.
        """
        order_id = place("at once")
        with own_storage("default") as others:
            assert others.load(order_id).version

    def test_savepoint(self) -> None:
        """
        An inner block that is rolled back takes only its own orders with it.
        """
        with transaction.atomic():
            kept = place("outer")
            with transaction.atomic():
                lost = place("inner")
                transaction.set_rollback(True)
        assert (exists(kept), exists(lost)) == (True, False)

    def test_refusal_keeps_the_transaction(self) -> None:
        """
        A refusal is no failed statement: what comes after it is committed.
        """
        with transaction.atomic():
            order_id = place("refused")
            with self.assertRaises(ef.CommandRefusedError):
                engine().execute(order_id, ef.ApproveDelivery(), by=ANA)
            engine().execute(order_id, ef.AcceptOrder(), by=LUC)
        assert engine().order(order_id).state == "in_progress"

    def test_no_claims(self) -> None:
        """
        Sweeps and effects are refused in a transaction of yours, and in any block.
        """
        for durable in (True, False):
            with transaction.atomic(durable=durable):
                with self.assertRaisesRegex(ef.InvalidInputError, "nothing is claimed"):
                    engine().run_due()
                with self.assertRaisesRegex(ef.InvalidInputError, "nothing is claimed"):
                    engine().run_effects(configured().handlers or {})

    def test_transaction_of_another_database(self) -> None:
        """
        A sweep is outside of it, and leaves it open.
        """
        with transaction.atomic(using="other"):
            with connections["other"].cursor() as cursor:
                cursor.execute("CREATE TABLE basket (buyer TEXT)")
            engine().run_due()
            with connections["other"].cursor() as cursor:
                cursor.execute("DROP TABLE basket")

    def test_insisting(self) -> None:
        """
        `within` wants a transaction, and is in it.
        """
        with self.assertRaises(NoTransactionError):
            engine().within("default").order("o-1")
        order_id = place("within")
        with transaction.atomic():
            engine().within("default").execute(order_id, ef.AcceptOrder(), by=LUC)
            transaction.set_rollback(True)
        assert engine().order(order_id).state == "pending"

    @skipUnless(connection.vendor == "postgresql", "on SQLite it is refused")
    def test_autocommit_switched_off(self) -> None:
        """
        Whoever commits by hand commits the order, too, and claims nothing meanwhile.
        """
        order_id = place("by hand")
        transaction.set_autocommit(False)
        try:
            engine().execute(order_id, ef.AcceptOrder(), by=LUC)
            with self.assertRaisesRegex(ef.InvalidInputError, "nothing is claimed"):
                engine().run_due()
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)
        assert engine().order(order_id).state == "pending"

    def test_threads(self) -> None:
        """
        Each thread has a connection, and a transaction, of its own.
        """
        order_id = place("threads")
        seen = []

        def look() -> None:
            with closing(connection):
                seen.append(engine().order(order_id).state)

        if connection.vendor == "postgresql":
            with transaction.atomic():
                engine().execute(order_id, ef.AcceptOrder(), by=LUC)
                self._in_thread(look)
        self._in_thread(look)
        expected = ["pending", "in_progress"]
        assert seen == (expected if len(seen) == 2 else ["pending"])

    def _in_thread(self, work: Any) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def test_event_loop(self) -> None:
        """
        Django's own word on event loops is said in ours.
        """

        async def ask() -> None:
            engine().order("o-1")

        with self.assertRaisesRegex(StorageError, "async context"):
            asyncio.run(ask())

    def test_unknown_alias(self) -> None:
        """
        A database that Django does not know is named, with those it does.
        """
        with self.assertRaisesRegex(
            ef.InvalidInputError, "'nowhere' in DATABASES, only"
        ):
            DjangoStorage("nowhere").load("o-1")
        with self.assertRaisesRegex(ef.InvalidInputError, "the alias of a Django"):
            DjangoStorage(None)  # type: ignore[arg-type]

    def test_closed(self) -> None:
        """
        A storage that is closed says so, and Django goes on.
        """
        storage = DjangoStorage()
        storage.load("o-1")
        storage.close()
        with self.assertRaisesRegex(StorageError, "closed"):
            storage.load("o-1")
        assert not exists("o-1")

    @skipUnless(connection.vendor == "postgresql", "a file does not hang up")
    def test_server_hangs_up(self) -> None:
        """
        A worker's next round, and the next command, find a connection that works.
        """
        order_id = place("hung up")
        self._hang_up()
        engine().run_due()
        self._hang_up()
        with self.assertRaises(StorageError):
            engine().execute(order_id, ef.AcceptOrder(), by=LUC)
        assert engine().order(order_id).state == "pending"

    def _hang_up(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            ((pid,),) = cursor.fetchall()
        with own_storage("default") as other:
            assert isinstance(other, PostgresStorage)
            say(other.dsn, f"SELECT pg_terminate_backend({pid}, 5000)")


class TestInTestCase(TestCase):
    """
    In a test's transaction everything works, and nothing of it stays.
    """

    def setUp(self) -> None:
        SENT.clear()

    def test_worker(self) -> None:
        """
        Deadlines are settled and effects carried out by the command, unseen by others.
        """
        order_id = place("worker")
        CLOCK.advance(days=3)
        said = StringIO()
        call_command("escrow_worker", "--once", stdout=said)

        assert engine().order(order_id).state == "cancelled"
        assert EscrowOrder.objects.get(pk=order_id).state == "cancelled"
        assert ef.Refund in {type(effect) for effect in SENT}
        assert said.getvalue().startswith("orders settled: 1, ")
        with own_storage("default") as others:
            assert not others.load(order_id).version

    def test_capabilities(self) -> None:
        """
        A file and a server keep what they are given, for others too; a server has a
        clock.
        """
        server = connection.vendor == "postgresql"
        clock = set() if server else {Capability.CLOCK}
        assert engine().storage.capabilities == set(Capability) - clock
        if clock:
            with self.assertRaisesRegex(ef.InvalidInputError, "no clock of its own"):
                DjangoStorage().clock()

    def test_claims_in_a_block_of_yours(self) -> None:
        """
        A transaction of yours is one in a test, too.
        """
        with (
            transaction.atomic(),
            self.assertRaisesRegex(ef.InvalidInputError, "nothing is claimed"),
        ):
            engine().run_due()

    def test_deadlines_only(self) -> None:
        """
        Effects are left to another worker, or to one for some kinds.
        """
        place("deadlines")
        CLOCK.advance(days=3)
        call_command("escrow_worker", "--once", "--deadlines-only", stdout=StringIO())
        assert SENT == []
        call_command("escrow_worker", "--once", "--kinds", "refund", stdout=StringIO())
        assert {type(effect) for effect in SENT} == {ef.Refund}

    @override_settings(
        ESCROWFLOW={
            **ESCROWFLOW,
            "HANDLERS": "tests.django_site.work.DOWN",
            "RETRIES": "tests.django_site.work.ONCE",
        }
    )
    def test_retries(self) -> None:
        """
        How often an effect is tried before a human looks is a setting.
        """
        place("retries")
        CLOCK.advance(days=3)
        call_command("escrow_worker", "--once", stdout=StringIO())
        assert "refund" in {stuck.kind for stuck in engine().stuck()}

    @override_settings(
        ESCROWFLOW={**ESCROWFLOW, "HANDLERS": "tests.django_site.work.LEAPS"}
    )
    def test_caution(self) -> None:
        """
        Who holds something back ends with an error, for cron to see.
        """
        place("caution")
        with self.assertRaisesRegex(CommandError, "no order is settled"):
            call_command("escrow_worker", "--once", "--caution", stdout=StringIO())

    def test_wrong_options(self) -> None:
        """
        What cannot be meant is refused before anything is done.
        """
        for options, said in (
            (["--poll", "0"], "seconds from 0.001"),
            (["--poll", "soon"], "seconds from 0.001"),
            (["--kinds", "refund,"], "names of effects"),
            (["--kinds", "refnd"], "did you mean 'refund'"),
            (["--kinds", "refund", "--deadlines-only"], "do not go together"),
        ):
            with self.subTest(options), self.assertRaisesRegex(CommandError, said):
                call_command("escrow_worker", "--once", *options)


# --- the model ------------------------------------------------------------------------


class TestModel(TestCase):
    """
    Orders to read and to join.
    """

    def test_fields(self) -> None:
        """
        What the view shows comes as Python has it.
        """
        order_id = place("fields")
        order = engine().order(order_id)
        (found,) = EscrowOrder.objects.filter(
            state="pending", late=False, due_at__gt=order.placed_at, seller_id="luc"
        )

        assert str(found) == order_id
        assert found.price == order.price
        assert found.late is False
        assert found.due_at == engine().next_due_at()
        assert not EscrowOrder.objects.filter(late=True).exists()
        with self.assertRaises(ef.InvalidInputError):
            EscrowOrder.objects.filter(due_at="soon").exists()

    def test_of_somebody(self) -> None:
        """
        The orders of a person are found whatever part the person has.
        """
        place("of luc")
        place("of lou", "lou")
        assert [
            EscrowOrder.objects.of(who).count() for who in ("ana", "lou", "eve")
        ] == [*(2, 1, 0)]

    def test_read_only(self) -> None:
        """
        Whatever would write says whose work that is.
        """
        place("read only")
        found = EscrowOrder.objects.get()
        objects = EscrowOrder.objects
        for write in (
            found.save,
            found.delete,
            lambda: objects.create(order_id="o-1"),
            lambda: objects.update(state="completed"),
            lambda: objects.all().delete(),
            lambda: objects.bulk_create([found]),
            lambda: objects.bulk_update([found], ["state"]),
            lambda: objects.get_or_create(order_id="o-1"),
        ):
            with self.assertRaisesRegex(ef.InvalidInputError, "orders are only read"):
                write()
        assert EscrowOrder.objects.get().state == "pending"


# --- the admin ------------------------------------------------------------------------

LIST = "/admin/escrowflow/escroworder/"


class TestAdmin(TestCase):
    """
    What staff sees.
    """

    client: Client

    def setUp(self) -> None:
        self.client.force_login(get_user_model().objects.create_superuser("sam"))

    def test_list(self) -> None:
        """
        Orders are listed, filtered by state, and found by id and by person.
        """
        mine = place("mine")
        other = place("other", "lou")
        engine().execute(mine, ef.AcceptOrder(), by=LUC)

        for query, found in (
            ("", {mine, other}),
            ("?state=in_progress", {mine}),
            ("?late__exact=1", set()),
            ("?q=lou", {other}),
            (f"?q={mine}", {mine}),
            ("?q=nobody", set()),
        ):
            page = self.client.get(LIST + query).content.decode()
            assert {id_ for id_ in (mine, other) if f">{id_}<" in page} == found, query
        assert "100.00 EUR" in page or "In progress" in page

    def test_story(self) -> None:
        """
        The page of an order has its state, its money and its timeline, and what people
        wrote is text in it.
        """
        order_id = place("story")
        engine().execute(order_id, ef.RefuseOrder(reason=SCRIPT), by=LUC)
        page = self.client.get(f"{LIST}{order_id}/change/")
        told = page.content.decode()

        assert '<ol class="escrowflow-timeline"' in told
        assert "&lt;script&gt;" in told
        assert SCRIPT not in told
        assert "100.00 EUR" in told
        assert "<td>refund</td><td>waiting</td>" in told
        assert 'name="_save"' not in told

    def test_unreadable(self) -> None:
        """
        An order whose process is not known, or that is damaged, has a page that says so.
        """
        order_id = place("unreadable")
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE escrowflow_order SET snapshot = head WHERE order_id = %s",
                [order_id],
            )
        page = self.client.get(f"{LIST}{order_id}/change/")
        self.assertContains(page, "it cannot be read")

    def test_nothing_is_changed(self) -> None:
        """
        Not even a superuser adds, changes or deletes an order here.
        """
        order_id = place("kept")
        for url in (f"{LIST}add/", f"{LIST}{order_id}/delete/"):
            assert self.client.get(url).status_code == 403
        changing = self.client.post(f"{LIST}{order_id}/change/", {"state": "completed"})
        assert changing.status_code == 403

    def test_who_may_look(self) -> None:
        """
        Staff needs the permission to view.
        """
        place("seen")
        kim = get_user_model().objects.create_user("kim", is_staff=True)
        self.client.force_login(kim)
        assert self.client.get(LIST).status_code == 403
        kim.user_permissions.add(Permission.objects.get(codename="view_escroworder"))
        assert self.client.get(LIST).status_code == 200
        assert Permission.objects.filter(codename__endswith="escroworder").count() == 1


# --- the schema -----------------------------------------------------------------------

AT_OTHER = override_settings(ESCROWFLOW={**ESCROWFLOW, "DATABASE": "other"})


def migrated(*target: str) -> None:
    """
    Migrate the other database.
    """
    call_command("migrate", "escrowflow", *target, database="other", verbosity=0)


def made_anew() -> None:
    """
    Make the other database anew, whatever is in it: an order in it stays else.
    """
    with connections["other"].cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
    call_command("migrate", database="other", verbosity=0)


class TestSchema(TransactionTestCase):
    """
    The tables, whoever makes them.
    """

    databases = frozenset({"default", "other"})

    def test_same_as_the_library_makes(self) -> None:
        """
        What the migrations made is what the library expects, to the last index: it opens
        it, and has nothing to do.
        """
        with own_storage("default") as own:
            own.migrate()
            own.load("o-1")
        assert DjangoStorage().versions() == (1, 1)
        DjangoStorage().migrate()

    def test_no_changes(self) -> None:
        """
        The models are those of the migrations.
        """
        call_command("makemigrations", check=True, dry_run=True, stdout=StringIO())

    def test_each_version_has_a_migration(self) -> None:
        """
        The newest migration makes the newest version of the library's schema.
        """
        plan = StringIO()
        call_command("showmigrations", "escrowflow", stdout=plan)
        _, newest = DjangoStorage().versions()
        assert plan.getvalue().split()[-1].endswith(f"schema_{newest}")

    def test_shown(self) -> None:
        """
        `sqlmigrate` shows the statements.
        """
        with AT_OTHER:
            migrated("zero")
            said = StringIO()
            call_command(
                "sqlmigrate", "escrowflow", "0001", database="other", stdout=said
            )
            migrated()
            migrated("zero")
        assert "CREATE VIEW escrowflow_orders" in said.getvalue()
        assert "INSERT INTO escrowflow_schema" in said.getvalue()

    def test_other_databases_are_left_alone(self) -> None:
        """
        Only the database of the orders gets their tables.
        """
        migrated()
        assert DjangoStorage("other").versions() == (0, 1)
        with self.assertRaisesRegex(StorageError, "run manage.py migrate"):
            DjangoStorage("other").load("o-1")

    @AT_OTHER
    def test_there_and_back(self) -> None:
        """
        Undone while it is empty, made by the library, taken over by a migration; with an
        order in it, it stays.
        """
        storage = DjangoStorage("other")
        # Recorded when another database was that of the orders.
        with override_settings(ESCROWFLOW=ESCROWFLOW):
            migrated()
        (found,) = check_database(databases=["other"])
        assert "storage.migrate()" in found.hint
        migrated("zero")
        migrated()
        assert storage.versions() == (1, 1)
        migrated("zero")
        assert storage.versions() == (0, 1)
        (found,) = check_database(databases=["other"])
        assert (found.id, found.hint) == ("escrowflow.W001", "run manage.py migrate")
        with own_storage("other") as own:
            own.migrate()
        migrated()
        assert storage.versions() == (1, 1)
        assert check_database(databases=["other"]) == []

        order_id = place("stays")
        assert EscrowOrder.objects.get(pk=order_id).state == "pending"
        with self.assertRaisesRegex(IrreversibleError, "there are orders"):
            migrated("zero")
        assert exists(order_id)

        with connections["other"].cursor() as cursor:
            cursor.execute("DROP INDEX escrowflow_order_held")
        (found,) = check_database(databases=["other"])
        assert found.id == "escrowflow.E005"
        assert "the schema was changed" in found.msg

    @skipUnless(connection.vendor == "postgresql", "a file has one writer")
    @AT_OTHER
    def test_undone_while_somebody_places(self) -> None:
        """
        An order that is not committed yet is waited for, and then it stays.
        """
        said = []

        def undo() -> None:
            try:
                migrated("zero")
            except IrreversibleError as error:
                said.append(str(error))
            finally:
                connections.close_all()

        made_anew()
        self.addCleanup(made_anew)
        with own_storage("other") as own:
            assert isinstance(own, PostgresStorage)
            thread = threading.Thread(target=undo)
            with transaction.atomic(using="other"):
                order_id = place("meanwhile")
                thread.start()
                wait_until(lambda: waits(own.dsn))
            thread.join()

        assert "there are orders" in said[0]
        assert exists(order_id)


# --- the checks -----------------------------------------------------------------------


class TestChecks(TestCase):
    """
    What is wrong is said before it hurts.
    """

    def found(self, **changes: Any) -> list[tuple[str, str]]:
        """
        Return what is said of other settings.
        """
        with override_settings(ESCROWFLOW={**ESCROWFLOW, **changes}):
            return [(found.id, found.msg) for found in check_settings()]

    def test_nothing_is_wrong(self) -> None:
        """
        With these settings nothing is said.
        """
        assert self.found() == []
        assert check_database(databases=["default"]) == []
        assert check_database(databases=None) == []

    def test_settings(self) -> None:
        """
        Each thing that can be wrong has a sentence that names it.
        """
        for changes, id_, said in (
            ({"PROCESS": None}, "E004", "ESCROWFLOW['PROCESS']: name the process"),
            ({"PROCESS": 7}, "E004", "a text or a list of texts"),
            ({"PROCESS": [7]}, "E004", "a text such as"),
            ({"PROCESS": "shop.none"}, "E004", "'shop.none' cannot be found"),
            ({"PROCESS": "escrowflow.Money"}, "E004", "'escrowflow.Money' fails"),
            ({"PROCESS": "escrowflow.SystemClock"}, "E004", "is not a process"),
            ({"HANDLERS": "escrowflow.money.AMOUNT_MAX"}, "E004", "a dict of handlers"),
            ({"HANDLERS": "tests.django_site.cases.SOME"}, "W002", "refund"),
            ({"CLOCK": "tests.django_site.cases.LIST"}, "E004", "not a clock"),
            ({"RETRIES": "tests.django_site.cases.LIST"}, "E004", "not an ef.Retries"),
            ({"DATABASE": 7}, "E001", "one of the names in DATABASES"),
            ({"DATABASE": "nowhere"}, "E002", "DATABASES has only default, other"),
            ({"PROCES": "x"}, "E001", "no PROCES in it"),
        ):
            with self.subTest(changes):
                ((found, message),) = self.found(**changes)
                assert found == f"escrowflow.{id_}"
                assert said in message
        with override_settings(ESCROWFLOW=7):
            (found,) = check_settings()
            assert found.id == "escrowflow.E001"
            assert check_database(databases=["default"]) == []

    def test_databases(self) -> None:
        """
        Another kind of database is refused; SQLite is told how to begin transactions.
        """
        there = connections.settings
        there["dummy"] = {**there["other"], "ENGINE": "django.db.backends.dummy"}
        there["plain"] = {
            **there["other"],
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ":memory:",
            "OPTIONS": {},
        }
        try:
            ((found, message),) = self.found(DATABASE="dummy")
            assert (found, "'dummy' is of unknown" in message) == (
                *("escrowflow.E003", True),
            )
            with self.assertRaisesRegex(ef.InvalidInputError, "a database of unknown"):
                DjangoStorage("dummy").load("o-1")
            ((found, _),) = self.found(DATABASE="plain")
            assert found == "escrowflow.W003"
            assert DjangoStorage("plain").capabilities == {Capability.WITHIN}
        finally:
            del there["dummy"], there["plain"]

    def test_forgotten(self) -> None:
        """
        Settings that a test overrides make another engine, and the old one comes back
        with them as they were.
        """
        before = engine()
        assert engine() is before
        with override_settings(ESCROWFLOW={**ESCROWFLOW, "HANDLERS": None}):
            assert engine() is not before
            assert configured().handlers is None
        assert configured().handlers is not None
        assert engine().process.fingerprint == before.process.fingerprint


SOME = {ef.Notify: SENT.append}
