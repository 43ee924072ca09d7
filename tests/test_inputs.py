"""
Inputs: what comes in is cleaned at the door, or refused by name.
"""

from __future__ import annotations

import copy
import pickle
import unicodedata
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from escrowflow.errors import InvalidInputError
from escrowflow.inputs import (
    FILES_MAX,
    ID_LENGTH_MAX,
    METADATA_MAX,
    TEXT_BYTES_MAX,
    Text,
    as_id,
    as_ids,
    as_key,
    as_metadata,
    as_text,
)
from tests.given import any_text

# Spelled by number: these characters cannot be seen, or are no characters.
UNSEEN = {
    "null": "a\x00b",
    "line break": "a\nb",
    "delete": "a\x7fb",
    "zero width space": "a\u200bb",
    "zero width joiner": "a\u200db",
    "byte order mark": "\ufeffab",
    "left to right override": "a\u202eb",
    "isolate": "a\u2066b",
    "soft hyphen": "a\u00adb",
    "line separator": "a\u2028b",
    "lone surrogate": "a\ud800b",
    "null at the end": "ab\x00",
}


class Named(str):
    """
    A text that is not quite `str`.
    """

    __slots__ = ()


class TestIds:
    """
    Identifiers are kept as text.
    """

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ("ana", "ana"),
            ("  ana ", "ana"),
            (Named(" ana"), "ana"),
            ("Ana Maria", "Ana Maria"),
            (7, "7"),
            (-7, "-7"),
            (0, "0"),
            (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            ("e\u0301", "\u00e9"),
            ("\u00a0\u00e9\u00a0", "\u00e9"),
            ("'; DROP TABLE orders --", "'; DROP TABLE orders --"),
            ("%s :x ?", "%s :x ?"),
            ("x" * ID_LENGTH_MAX, "x" * ID_LENGTH_MAX),
        ],
    )
    def test_what_is_kept(self, value: object, kept: str) -> None:
        """
        Text, whole numbers and UUIDs become trimmed text in NFC.
        """
        found = as_id(value, "seller_id")

        assert found == kept
        assert type(found) is str

    @pytest.mark.parametrize("value", [True, False, 1.0, None, b"ana", ["ana"], {}])
    def test_other_types(self, value: object) -> None:
        """
        A `bool` is no number here, and bytes are no text.
        """
        with pytest.raises(InvalidInputError, match="an id is text") as caught:
            as_id(value, "seller_id")

        assert caught.value.field == "seller_id"

    @pytest.mark.parametrize("value", ["", " ", "\t\n", "\u00a0", "\u3000"])
    def test_empty(self, value: str) -> None:
        """
        Spaces of any kind are no id.
        """
        with pytest.raises(InvalidInputError, match="cannot be empty"):
            as_id(value, "seller_id")

    @pytest.mark.parametrize("value", ["x" * 256, "\u00e9" * 300, "a b" * 100])
    def test_too_long(self, value: str) -> None:
        """
        Every index can hold an id, so it has an end.
        """
        with pytest.raises(InvalidInputError, match="at most 255 characters, not"):
            as_id(value, "seller_id")

    @pytest.mark.parametrize(
        "value", [10**255, 10**5000, -(10**5000)], ids=["just", "far", "below"]
    )
    def test_a_number_too_long(self, value: int) -> None:
        """
        A number has no more digits than a text has characters.
        """
        with pytest.raises(InvalidInputError, match="at most 255 characters"):
            as_id(value, "seller_id")

    @pytest.mark.parametrize("value", UNSEEN.values(), ids=UNSEEN)
    def test_unseen(self, value: str) -> None:
        """
        Two ids that look alike are alike.
        """
        with pytest.raises(InvalidInputError) as caught:
            as_id(value, "seller_id")

        assert caught.value.field == "seller_id"
        caught.value.problem.encode()

    @given(any_text(max_size=300))
    def test_cleaning_twice_changes_nothing(self, value: str) -> None:
        """
        What came through the door comes through again, unchanged and in NFC.
        """
        try:
            once = as_id(value, "id")
        except InvalidInputError:
            return

        assert as_id(once, "id") == once
        assert unicodedata.is_normalized("NFC", once)
        assert 0 < len(once) <= ID_LENGTH_MAX

    def test_no_key(self) -> None:
        """
        A key may be missing, but not be empty.
        """
        assert as_key(None) is None
        assert as_key(" k ") == "k"
        with pytest.raises(InvalidInputError, match="key: an id cannot be empty"):
            as_key("")


class TestSequences:
    """
    References to files and the like.
    """

    def test_order_is_kept(self) -> None:
        """
        They stay in the order they came in, doubles included.
        """
        assert as_ids(["b", " a", 1, "b"], "files") == ("b", "a", "1", "b")

    @pytest.mark.parametrize("values", ["logo.svg", b"logo.svg", 5, None])
    def test_no_sequence(self, values: object) -> None:
        """
        A single text is a sequence of letters to Python, and an accident here.
        """
        with pytest.raises(InvalidInputError, match="files: a sequence of references"):
            as_ids(values, "files")

    def test_an_item_is_named(self) -> None:
        """
        The error says which one.
        """
        with pytest.raises(InvalidInputError) as caught:
            as_ids(["a", 1.5], "files")

        assert caught.value.field == "files[1]"

    def test_too_many(self) -> None:
        """
        A list has an end.
        """
        assert len(as_ids(map(str, range(FILES_MAX)), "files")) == FILES_MAX
        with pytest.raises(InvalidInputError, match="files: at most 100, not 101"):
            as_ids(map(str, range(FILES_MAX + 1)), "files")


class TestTexts:
    """
    Prose: trimmed, NFC, with an end.
    """

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ("", ""),
            ("  why \n", "why"),
            ("one\n\ttwo\r\nthree", "one\n\ttwo\r\nthree"),
            ("e\u0301", "\u00e9"),
            (
                "\u202eright to left is writing, too",
                "\u202eright to left is writing, too",
            ),
            ("x" * TEXT_BYTES_MAX, "x" * TEXT_BYTES_MAX),
            ("\u00e9" * (TEXT_BYTES_MAX // 2), "\u00e9" * (TEXT_BYTES_MAX // 2)),
        ],
        ids=["empty", "trimmed", "lines", "nfc", "bidi", "long", "long in two bytes"],
    )
    def test_what_is_kept(self, value: str, kept: str) -> None:
        """
        Line breaks and tabs belong to prose.
        """
        found = as_text(value, "reason")

        assert found == kept
        assert type(found) is Text
        assert (found.commitment, found.erased) == ("", False)

    @pytest.mark.parametrize("value", [None, 5, 5.0, True, b"why", ["why"]])
    def test_other_types(self, value: object) -> None:
        """
        Nothing is turned into text by itself.
        """
        with pytest.raises(InvalidInputError, match="reason: a text, not "):
            as_text(value, "reason")

    @pytest.mark.parametrize("value", ["", " ", "\n\n", "\u3000"])
    def test_required(self, value: str) -> None:
        """
        A reason that says nothing is none.
        """
        with pytest.raises(InvalidInputError, match="a text is required: say why"):
            as_text(value, "reason", required=True)

    @pytest.mark.parametrize(
        "value",
        ["x" * (TEXT_BYTES_MAX + 1), "\u00e9" * (TEXT_BYTES_MAX // 2 + 1)],
        ids=["ascii", "two bytes"],
    )
    def test_too_long(self, value: str) -> None:
        """
        16 KiB of UTF-8, counted in bytes.
        """
        with pytest.raises(InvalidInputError, match=r"16384 bytes, not 1638[56]"):
            as_text(value, "reason")

    @pytest.mark.parametrize("value", ["a\x00b", "a\x1bb", "a\x7fb", "a\x85b"])
    def test_control_characters(self, value: str) -> None:
        """
        The other control characters do not belong to prose.
        """
        with pytest.raises(InvalidInputError, match=r"cannot contain U\+00"):
            as_text(value, "reason")

    def test_lone_surrogate(self) -> None:
        """
        What cannot be stored is not taken.
        """
        with pytest.raises(InvalidInputError, match="half of a surrogate pair"):
            as_text("a\udc00", "reason")

    def test_a_sealed_text_passes(self) -> None:
        """
        What was recorded before is not judged again.
        """
        text = Text("why", commitment="c")
        gone = Text(commitment="c", erased=True)

        assert as_text(text, "reason") is text
        assert as_text(gone, "reason", required=True) is gone

    @pytest.mark.parametrize(
        "clone",
        [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))],
    )
    def test_copies_keep_what_is_known(self, clone: Any) -> None:
        """
        A copy of a text knows its commitment, and whether it was erased.
        """
        text = Text("why", commitment="c", erased=True)

        found = clone(text)

        assert (found, found.commitment, found.erased) == ("why", "c", True)

    @given(any_text(max_size=200))
    def test_cleaning_twice_changes_nothing(self, value: str) -> None:
        """
        What came through the door comes through again, unchanged and in NFC.
        """
        try:
            once = as_text(value, "text")
        except InvalidInputError:
            return

        assert as_text(once, "text") == once
        assert unicodedata.is_normalized("NFC", once)


class TestMetadata:
    """
    The host's own labels.
    """

    def test_sorted_and_clean(self) -> None:
        """
        Two ways to write the same labels are one.
        """
        found = as_metadata({"shop": " Paris ", 7: "", "a": "e\u0301"}, "metadata")

        assert list(found.items()) == [("7", ""), ("a", "\u00e9"), ("shop", "Paris")]
        assert {type(label) for label in found.values()} == {str}

    @pytest.mark.parametrize(
        ("value", "field"),
        [
            (None, "metadata"),
            ("shop", "metadata"),
            ([("shop", "Paris")], "metadata"),
            ({1.5: "x"}, "metadata"),
            ({"": "x"}, "metadata"),
            ({"a\x00": "x"}, "metadata"),
            ({"shop": 7}, "metadata['shop']"),
            ({"shop": None}, "metadata['shop']"),
            ({"shop": "\ud800"}, "metadata['shop']"),
            ({"shop": "x" * (TEXT_BYTES_MAX + 1)}, "metadata['shop']"),
            ({str(i): "" for i in range(METADATA_MAX + 1)}, "metadata"),
        ],
    )
    def test_what_is_refused(self, value: object, field: str) -> None:
        """
        Labels are text to text, and not too many.
        """
        with pytest.raises(InvalidInputError) as caught:
            as_metadata(value, "metadata")

        assert caught.value.field == field
