"""Tables and small rules of the exchange's values."""

import datetime as dt

import msgspec
import pytest

from server.exchange.model import (
    DOCUMENT_TYPES,
    OtherInfo,
    TooLong,
    Urgency,
    document_id,
    document_type,
    receivers,
    same_organ,
    too_long,
)
from tests.unit.server.exchange.samples import make_packet, make_status


def test_the_29_kinds_of_decree_30_with_their_abbreviations():
    assert [kind.code for kind in DOCUMENT_TYPES] == list(range(1, 30))
    assert [kind.code for kind in DOCUMENT_TYPES if not kind.abbreviation] == [18, 29]
    with_letters = [kind.abbreviation for kind in DOCUMENT_TYPES if kind.abbreviation]
    assert len(set(with_letters)) == 27
    assert (DOCUMENT_TYPES[4].name, DOCUMENT_TYPES[4].abbreviation) == ("Quy định", "QyĐ")


@pytest.mark.parametrize("name", ["CÔNG VĂN", " công   văn ", "Công văn"])
def test_a_kind_is_found_by_name_whatever_its_case_and_spaces(name):
    assert document_type(name).code == 18


def test_a_kind_is_found_without_its_bracket_and_an_unknown_one_is_none():
    assert document_type("Quyết định").code == document_type("quyết định (cá biệt)").code == 2
    assert document_type("Thông tư") is None
    assert document_type("") is None


@pytest.mark.parametrize(("priority", "grade"), [(3, Urgency.EXPRESS), (0, Urgency.NORMAL), (5, None), (None, None)])
def test_an_unknown_urgency_is_never_normal(priority, grade):
    assert OtherInfo(priority=priority).urgency is grade


def test_document_id():
    made = document_id("000.00.00.G22", dt.date(2015, 9, 30), "7816", "VPCP-TTĐT")
    assert made == "000.00.00.G22,2015/09/30,7816/VPCP-TTĐT"


def test_fields_longer_than_the_register_allows_are_named_without_content(tmp_path):
    header = make_packet(tmp_path).header
    assert too_long(header) == ()
    long = msgspec.structs.replace(header, subject="x" * 501, number="1" * 12, other=OtherInfo(page_amount=1000))
    assert too_long(long) == (TooLong("CodeNumber", 12, 11), TooLong("Subject", 501, 500), TooLong("PageAmount", 4, 3))


def test_addressees_of_both_kinds(tmp_path):
    assert receivers(make_packet(tmp_path, receivers=("X02", "X03"))) == ("X02", "X03")
    assert receivers(make_status()) == ("X01",)
    assert same_organ(" h37.DN.001", "H37.dn.001 ")
