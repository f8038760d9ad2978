"""Both FCM transports' behaviour, over HTTP/1.1 and TLS HTTP/2, under faults of the token endpoint, load and shut-down."""

import asyncio
import json
import secrets
import threading

import pytest
import pytest_asyncio

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency, collapse_id, new_notice_id
from push.outcome import Delivered, Misconfigured, Rejected, RetryAfter, RetryCause
from push.payload import build
from push.transports import FcmWire, open_fcm
from server.demo.fcm import Step

NOW_US = 1_800_000_000_000_000


def device(number, kind=AddressKind.FID):
    return Address(kind=kind, value=f"device-{number}")


def payload(lane=Lane.URGENT, urgency=Urgency.TIME_SENSITIVE, **fields):
    fields.setdefault("notice_id", new_notice_id(secrets.token_bytes))
    fields.setdefault("expires_us", NOW_US + 600_000_000)
    return build(Notice(lane=lane, urgency=urgency, **fields), language=Language.VIETNAMESE, now_us=NOW_US)


@pytest_asyncio.fixture
async def lanes(fcm, open_lanes):
    opened = await open_lanes(fcm.service_account, base_url=fcm.url, timeout_s=3.0)
    yield opened
    await asyncio.gather(*(lane.close() for lane in opened.values()))


@pytest.mark.asyncio
async def test_the_wire_carries_the_closed_set_of_fields_and_no_other_text(fcm, lanes):
    collapse = collapse_id(b"k" * 16, "meeting")
    await lanes[Lane.URGENT].send(
        device(1), payload(notice_id="N" * 22, collapse_id=collapse, revision=3, key_id="key-1")
    )
    expires = str(NOW_US // 1_000_000 + 600)
    data = {"id": "N" * 22, "l": "u", "x": expires, "r": "3", "k": "key-1"}
    body = fcm.records[0].body
    assert body == {
        "message": {
            "fid": "device-1",
            "data": data,
            "android": {
                "priority": "high",
                "ttl": "600s",
                "collapse_key": collapse,
                "notification": {
                    "title": "Hỏa Tốc",
                    "body": "Bạn có thông báo khẩn mới",
                    "title_loc_key": "notice_urgent_title",
                    "body_loc_key": "notice_urgent_body",
                    "tag": collapse,
                    "channel_id": "notice_urgent",
                    "visibility": "PRIVATE",
                },
            },
            "apns": {
                "headers": {
                    "apns-priority": "10",
                    "apns-expiration": expires,
                    "apns-push-type": "alert",
                    "apns-collapse-id": collapse,
                },
                "payload": {
                    "aps": {
                        "alert": {
                            "title": "Hỏa Tốc",
                            "body": "Bạn có thông báo khẩn mới",
                            "title-loc-key": "notice_urgent_title",
                            "loc-key": "notice_urgent_body",
                        },
                        "mutable-content": 1,
                        "thread-id": "notice_urgent",
                        "sound": "default",
                        "interruption-level": "time-sensitive",
                    },
                    **data,
                },
            },
        }
    }
    assert "validate_only" not in fcm.records[0].raw


@pytest.mark.asyncio
async def test_a_registration_token_of_an_older_app_is_served(fcm, lanes):
    assert isinstance(await lanes[Lane.NORMAL].send(device(1, AddressKind.TOKEN), payload()), Delivered)
    assert fcm.records[0].body["message"]["token"] == "device-1"


@pytest.mark.asyncio
async def test_lanes_share_one_token_but_no_connection(fcm, lanes):
    await asyncio.gather(*(lane.send(device(1), payload()) for lane in lanes.values()))
    assert fcm.tokens_issued == 1
    assert len({record.connection for record in fcm.records}) == len(Lane) == 3


@pytest.mark.asyncio
async def test_a_revoked_token_is_renewed_once_for_all_waiting_sends(fcm, lanes):
    lane = lanes[Lane.NORMAL]
    await lane.send(device(0), payload())
    fcm.revoke_tokens()
    outcomes = await asyncio.gather(*(lane.send(device(number), payload()) for number in range(1, 41)))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert fcm.tokens_issued == 2


@pytest.mark.asyncio
async def test_renewing_a_token_does_not_hold_the_loop(fcm, lanes, monkeypatch):
    lane = lanes[Lane.NORMAL]
    entered, release = asyncio.Event(), asyncio.Event()
    original, loop = fcm._issue, asyncio.get_running_loop()
    handle = fcm._handle

    async def slow(request):
        if request.path == "/token":
            loop.call_soon(entered.set)
            await release.wait()
            return original(request)
        return await handle(request)

    monkeypatch.setattr(fcm._server, "_handler", slow)
    sending = asyncio.create_task(lane.send(device(1), payload()))
    # If the SDK's blocking refresh ran in this loop, the double (in the same loop) could never get this far.
    await asyncio.wait_for(entered.wait(), 10)
    release.set()
    assert isinstance(await sending, Delivered)


@pytest.mark.asyncio
async def test_token_endpoint_down_is_a_retry_and_is_not_asked_again_by_each_send(fcm, lanes):
    fcm.switch_tokens("off")
    lane = lanes[Lane.NORMAL]
    outcomes = await asyncio.gather(*(lane.send(device(number), payload()) for number in range(20)))
    assert {type(outcome) for outcome in outcomes} == {RetryAfter}
    asked = fcm.token_requests
    assert await lane.send(device(21), payload()) == outcomes[0]
    assert fcm.token_requests == asked
    assert fcm.records == []


@pytest.mark.asyncio
async def test_refused_credentials_are_our_fault_and_keep_the_message(fcm, lanes):
    fcm.switch_tokens("refuse")
    assert await lanes[Lane.URGENT].check() == Misconfigured("credentials-refused")
    assert await lanes[Lane.URGENT].send(device(1), payload()) == Misconfigured("credentials-refused")
    assert fcm.records == []


@pytest.mark.asyncio
async def test_check_sends_nothing(fcm, lanes):
    assert await lanes[Lane.URGENT].check() is None
    assert (fcm.records, fcm.tokens_issued) == ([], 1)


@pytest.mark.asyncio
async def test_nobody_listening_is_a_retry(fcm, open_lanes):
    lanes = await open_lanes(
        {**fcm.service_account, "token_uri": "http://127.0.0.1:1/token"}, base_url="http://127.0.0.1:1"
    )
    assert await lanes[Lane.URGENT].send(device(1), payload()) == RetryAfter(RetryCause.UNREACHABLE)
    await asyncio.gather(*(lane.close() for lane in lanes.values()))


@pytest.mark.asyncio
async def test_one_broken_answer_loses_no_other_result(fcm, lanes):
    lane = lanes[Lane.NORMAL]
    fcm.script("device-7", Step("html"))
    outcomes = await asyncio.gather(*(lane.send(device(number), payload()) for number in range(20)))
    assert outcomes[7] == RetryAfter(RetryCause.UNREACHABLE)
    assert sum(isinstance(outcome, Delivered) for outcome in outcomes) == 19


@pytest.mark.asyncio
async def test_an_oversize_payload_never_leaves(fcm, lanes):
    import msgspec

    big = msgspec.structs.replace(payload(), data={"id": "x" * 5000})
    assert await lanes[Lane.URGENT].send(device(1), big) == Rejected("payload-too-large")
    assert fcm.records == []


@pytest.mark.asyncio
async def test_an_urgent_push_does_not_wait_for_a_stuck_normal_lane(fcm, lanes):
    fcm.script("*", Step("ok"))
    for number in range(30):
        fcm.script(f"device-{number}", Step("hang", times=None))
    stuck = [asyncio.create_task(lanes[Lane.NORMAL].send(device(number), payload())) for number in range(30)]
    await asyncio.sleep(0)
    assert isinstance(await lanes[Lane.URGENT].send(device(99), payload()), Delivered)
    assert not any(task.done() for task in stuck)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


@pytest.mark.asyncio
async def test_closing_twice_inside_the_loop_is_safe(fcm, open_lanes):
    lanes = await open_lanes(fcm.service_account, base_url=fcm.url)
    for lane in lanes.values():
        await lane.send(device(1), payload())
        await lane.close()
        await lane.close()


@pytest.mark.asyncio
async def test_connections_close_in_their_own_loop_before_the_sdk_cleans_up_in_another(fcm, monkeypatch):
    from push.transports import fcm as module

    lanes = await open_fcm(fcm.service_account, base_url=fcm.url, wire=FcmWire.STOCK)
    for lane in lanes.values():
        await lane.send(device(1), payload())
    left, delete = [], module.firebase_admin.delete_app
    server = fcm._tls_server or fcm._server

    def open_connections():
        return len(server._open)

    def watched(app):
        # This runs in a thread, so the loop is free to see the closed connections meanwhile.
        patience = threading.Event()
        for _ in range(100):
            if not open_connections():
                break
            patience.wait(0.05)
        left.append(open_connections())
        delete(app)

    monkeypatch.setattr(module.firebase_admin, "delete_app", watched)
    await asyncio.gather(*(lane.close() for lane in lanes.values()))
    assert left == [0] * len(Lane)


def test_each_loop_opens_its_own(fcm_process, open_lanes):
    """A second `asyncio.run` in one process works, because nothing of the first loop is kept."""
    account = json.loads(fcm_process["service_account"].read_text())

    async def once():
        lanes = await open_lanes(account, base_url=fcm_process["url"])
        try:
            return await lanes[Lane.URGENT].send(device(1), payload())
        finally:
            await asyncio.gather(*(lane.close() for lane in lanes.values()))

    assert isinstance(asyncio.run(once()), Delivered)
    assert isinstance(asyncio.run(once()), Delivered)


@pytest.mark.asyncio
async def test_unreadable_credentials_are_named_without_their_content(tmp_path, open_lanes):
    from push.transports.fcm import TransportUnavailableError

    key_file = tmp_path / "account.json"
    key_file.write_text('{"type": "service_account", "private_key": "canary-secret"}')
    with pytest.raises(TransportUnavailableError) as caught:
        await open_lanes(key_file)
    assert "canary" not in str(caught.value)
    with pytest.raises(TransportUnavailableError):
        await open_lanes(tmp_path / "absent.json")


@pytest.mark.asyncio
async def test_an_sdk_without_the_private_names_fails_at_start(fcm, monkeypatch):
    from push.transports import fcm as module

    monkeypatch.delattr(module.messaging, "_get_messaging_service")
    with pytest.raises(module.TransportUnavailableError):
        module._send_to(object(), fcm.url, fcm.project)
