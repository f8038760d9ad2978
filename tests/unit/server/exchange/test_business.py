"""Typed values of business packets and statuses: what is written is read as the same value (reference §4.6, §5, §6.3)."""

import uuid

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.exchange import edxml
from server.exchange.business import New, Replace, Revoke, Update, business, meaning, status
from server.exchange.model import (
    REASON_REQUIRED,
    Business,
    BusinessKind,
    ExchangeError,
    Organisation,
    ReceiverChange,
    Replacement,
    ResponseFor,
    StaffInfo,
    StatusCode,
    StatusPacket,
    UpdateInfo,
)
from tests.shared import SAMPLES, needs_samples
from tests.unit.server.exchange.samples import AT_US, DAY, make_packet

ROUNDS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORD = st.text("aăâbcdđeêghiklmnoôơpqrstuưvxyABC0123456789.,/-&<>", min_size=1, max_size=20).filter(
    lambda text: text != "null"  # the one word that means nothing on this wire
)
INFO = st.builds(
    UpdateInfo, document_changed=st.none() | st.integers(0, 1), receivers_changed=st.none() | st.integers(0, 1),
    receivers=st.lists(st.builds(ReceiverChange, organ_id=WORD, change=st.integers(0, 1)), max_size=3).map(tuple),
)  # fmt: skip
REPLACED = st.lists(
    st.builds(Replacement, document_id=WORD, organ_ids=st.lists(WORD, min_size=1, max_size=3).map(tuple)),
    min_size=1, max_size=3, unique_by=lambda one: one.document_id,
).map(tuple)  # fmt: skip
ASKED = (
    st.builds(New, reason=WORD)
    | st.builds(Revoke, document_id=WORD, reason=WORD)
    | st.builds(Update, document_id=WORD, info=INFO, reason=WORD)
    | st.builds(Replace, replaced=REPLACED, reason=WORD)
)
STATUS = st.builds(
    status, st.sampled_from(list(StatusCode)), sender=st.builds(Organisation, organ_id=WORD, name=WORD),
    answered=st.builds(ResponseFor, organ_id=WORD, code=WORD, document_id=WORD, promulgated=st.just(DAY)),
    at_us=st.integers(0, 4_000_000_000).map(lambda s: s * 1_000_000), reason=WORD,
    staff=st.none() | st.builds(StaffInfo, staff=WORD, email=WORD),
)  # fmt: skip


def again(packet, folder):
    """The packet written and read."""
    path, files = folder / f"{uuid.uuid4().hex}.edxml", folder / uuid.uuid4().hex
    files.mkdir()
    edxml.write(packet, path)
    return edxml.parse(path, files).packet


@ROUNDS
@given(asked=ASKED)
def test_what_a_packet_asks_is_read_as_it_was_written_and_again(tmp_path, asked):
    packet = make_packet(tmp_path, business=business(asked, staff=StaffInfo(staff="Trần Thị Mẫu")))
    once = again(packet, tmp_path)
    assert (meaning(once), once.business) == (asked, packet.business)
    twice = again(once, tmp_path)
    assert (meaning(twice), twice.header, twice.business) == (asked, once.header, once.business)


@ROUNDS
@given(packet=STATUS)
def test_a_status_is_read_as_it_was_written_and_again(tmp_path, packet):
    once = again(packet, tmp_path)
    assert once == packet
    assert isinstance(once, StatusPacket)
    assert StatusCode(once.status) in StatusCode
    assert again(once, tmp_path) == packet


@pytest.mark.parametrize("code", list(StatusCode))
def test_codes_that_need_a_reason_are_not_written_without(code):
    """EXC-3."""
    given_ = {"sender": Organisation(organ_id="X01"), "answered": ResponseFor(organ_id="X02"), "at_us": AT_US}
    if code in REASON_REQUIRED:
        with pytest.raises(ExchangeError, match="reason-missing"):
            status(code, **given_, reason=" ")
    else:
        assert status(code, **given_).status == code.value


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Business(kind=BusinessKind.REPLACE), "business-incomplete"),
        (Business(kind=4), "business-unknown"),
        (Business(kind=-1), "business-unknown"),
    ],
)
def test_a_packet_that_does_not_say_what_it_asks_is_refused(tmp_path, said, code):
    with pytest.raises(ExchangeError, match=code):
        meaning(make_packet(tmp_path, business=said))


def test_without_a_document_named_anywhere_nothing_is_revoked(tmp_path):
    packet = make_packet(tmp_path, business=Business(kind=BusinessKind.REVOKE))
    assert meaning(packet).document_id == packet.header.document_id
    bare = msgspec.structs.replace(packet, header=msgspec.structs.replace(packet.header, document_id=""))
    with pytest.raises(ExchangeError, match="business-incomplete"):
        meaning(bare)


@needs_samples
@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("01_edoc_new", New, None),
        ("02_edoc_update", Update, "000.00.00.G22,2014/02/30,7806/VPCP-TTĐT"),
        ("03_edoc_revocation", Revoke, "000.00.00.G22,2015/09/30,7816/VPCP-TTĐT"),
        ("04_edoc_replacement", Replace, "000.00.00.G22,2014/01/30,7806/VPCP-TTĐT"),
    ],
)
def test_samples_mean_what_their_readme_says(tmp_path, name, kind, target):
    asked = meaning(edxml.parse(SAMPLES / "edxml" / f"{name}.edxml", tmp_path).packet)
    assert type(asked) is kind
    named = asked.replaced[0].document_id if isinstance(asked, Replace) else getattr(asked, "document_id", None)
    assert named == target
