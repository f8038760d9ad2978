"""The payload is content-free (threat C12): only the opaque fields given and a fixed set of words can appear."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.model import (
    Address,
    AddressKind,
    InvalidNoticeError,
    Lane,
    Language,
    Notice,
    Urgency,
    collapse_id,
    new_notice_id,
)
from push.payload import (
    MAX_BYTES,
    MAX_TTL_S,
    NoticeExpiredError,
    PayloadTooLargeError,
    apns_payload,
    build,
    check_size,
)

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SHOWN = {
    "Hỏa Tốc",
    "Bạn có thông báo khẩn mới",
    "Bạn có thông báo mới",
    "You have a new urgent notice",
    "You have a new notice",
}
NOW_US = 1_800_000_000_000_000


@st.composite
def notices(draw):
    lane = draw(st.sampled_from(Lane))
    levels = [level for level in Urgency if lane is Lane.URGENT or level is not Urgency.TIME_SENSITIVE]
    return Notice(
        notice_id=draw(st.text(BASE64URL, min_size=22, max_size=64)),
        lane=lane,
        urgency=draw(st.sampled_from(levels)),
        expires_us=draw(st.integers(NOW_US + 1_000_000, NOW_US + 10**15)),
        revision=draw(st.integers(0, 2**31 - 1)),
        collapse_id=draw(st.none() | st.text(BASE64URL, min_size=16, max_size=32)),
        key_id=draw(st.none() | st.text(BASE64URL, min_size=1, max_size=32)),
    )


def strings(value):
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


@given(notices(), st.sampled_from(Language))
def test_every_string_is_given_opaque_or_one_of_the_fixed_words(notice, language):
    payload = build(notice, language=language, now_us=NOW_US)
    given_ones = {notice.notice_id, notice.collapse_id, notice.key_id, str(notice.revision), notice.lane.value}
    given_ones |= {str(notice.expires_us // 1_000_000), notice.urgency.value}
    left = set(strings(msgspec.to_builtins(payload))) | set(strings(apns_payload(payload)))
    fixed = {word for word in left - given_ones - SHOWN if not re.fullmatch(r"[a-z][a-z_-]{0,24}", word)}
    assert fixed == set()
    assert {payload.title, payload.body} <= SHOWN


@given(notices(), st.sampled_from(Language))
def test_no_notice_exceeds_the_limit_of_either_service(notice, language):
    payload = build(notice, language=language, now_us=NOW_US)
    check_size(payload)
    assert len(json.dumps(apns_payload(payload), ensure_ascii=False).encode()) <= MAX_BYTES


@given(notices(), st.integers(0, 10**15 - 1))
def test_life_shrinks_with_each_attempt_and_never_exceeds_the_end(notice, later_us):
    now_us = NOW_US + later_us
    if notice.expires_us - now_us < 1_000_000:
        with pytest.raises(NoticeExpiredError):
            build(notice, language=Language.ENGLISH, now_us=now_us)
        return
    payload = build(notice, language=Language.ENGLISH, now_us=now_us)
    assert 1 <= payload.ttl_s <= MAX_TTL_S
    assert now_us + payload.ttl_s * 1_000_000 <= notice.expires_us


@pytest.mark.parametrize(
    "text", ["Nguyễn", "Quyết định về việc", "a b", 'x"y', "<b>", "số:12/QĐ", "A" * 22 + "\n", "tên@x"]
)
@pytest.mark.parametrize("field", ["notice_id", "collapse_id", "key_id"])
def test_no_field_takes_content(field, text):
    fields = {"notice_id": "A" * 22, "collapse_id": "B" * 16, "key_id": "C"} | {field: text}
    with pytest.raises(InvalidNoticeError):
        Notice(lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=1, **fields)


def test_a_waking_push_cannot_travel_in_the_broadcast_lane():
    with pytest.raises(InvalidNoticeError):
        Notice(notice_id="A" * 22, lane=Lane.NORMAL, urgency=Urgency.TIME_SENSITIVE, expires_us=1)


def test_size_limit_counts_bytes_not_letters():
    payload = build(
        Notice(notice_id="A" * 22, lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=NOW_US * 2),
        language=Language.ENGLISH,
        now_us=NOW_US,
    )
    check_size(msgspec.structs.replace(payload, data={"id": "x" * 3000}))
    with pytest.raises(PayloadTooLargeError):
        check_size(msgspec.structs.replace(payload, data={"id": "ỏ" * 3000}))


def test_passive_is_silent_and_later_revisions_replace_what_is_shown():
    fields = {"notice_id": "A" * 22, "lane": Lane.NORMAL, "expires_us": NOW_US * 2, "collapse_id": "M" * 16}
    first = build(Notice(urgency=Urgency.PASSIVE, revision=1, **fields), language=Language.ENGLISH, now_us=NOW_US)
    moved = Notice(urgency=Urgency.PASSIVE, revision=2, **(fields | {"notice_id": "B" * 22}))
    second = build(moved, language=Language.ENGLISH, now_us=NOW_US)
    assert "sound" not in apns_payload(first)["aps"]
    assert first.tag == second.tag
    assert int(first.data["r"]) < int(second.data["r"])


def test_collapse_ids_depend_on_the_key_and_hide_the_subject():
    one, other = collapse_id(b"k" * 16, "meeting-7"), collapse_id(b"j" * 16, "meeting-7")
    assert one != other
    assert one == collapse_id(b"k" * 16, "meeting-7")
    assert "meeting" not in one
    Notice(notice_id="A" * 22, lane=Lane.NORMAL, urgency=Urgency.ACTIVE, expires_us=1, collapse_id=one)
    with pytest.raises(InvalidNoticeError):
        collapse_id(b"short", "meeting-7")


def test_collapse_id_vector():
    """HMAC-SHA-256, RFC 4231 test case 1, cut to 192 bits."""
    mac = bytes.fromhex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
    import base64

    assert base64.urlsafe_b64decode(collapse_id(b"\x0b" * 20, "Hi There")) == mac[:24]


def test_ids_use_every_random_bit():
    assert new_notice_id(lambda count: b"\xff" * count) == "_" * 21 + "w"


@pytest.mark.parametrize("value", ["", "a b", "tab\t", "đ", "x" * 4097, "nl\n"])
def test_addresses_are_bounded(value):
    with pytest.raises(InvalidNoticeError):
        Address(kind=AddressKind.TOKEN, value=value)


def test_an_address_never_shows_itself():
    address = Address(kind=AddressKind.FID, value="canary-device-secret")
    assert "canary" not in f"{address} {address!r} {[address]} { ({'a': address}) }"
    assert address.fingerprint in repr(address)
