"""What the description of the API adds by hand: examples of the main operations, and the problem types that are theirs.

Examples fit together: one document, its sheet, its approval. Keys, names and signatures are samples, those of `openapi/vectors/`.
"""

import json
from typing import Any

from signing.pdf.errors import REFUSALS

__all__ = ["EXAMPLES", "METADATA", "PROBLEM", "PROBLEMS_OF", "WEBHOOK"]

_APPROVAL = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImhvYXRvYy1hcHByb3ZhbCtqd3MiLCJraWQiOiJ6TDNYSHRlSGo4NnAwRzNyOVNLcWRQcHcydF9ESDgtN2I1"
    "T1liQ2I1NUdNIn0.eyJ2IjoxLCJraW5kIjoiZG9jdW1lbnQiLCJjaGFsbGVuZ2UiOiJBQUVDQXdRRkJnY0lDUW9MREEwT0R4QVJFaE1VRlJZWEdC"
    "a2FHeHdkSGg4Iiwib3JnYW5pc2F0aW9uIjoiSDAxLjAxIiwiY3JlZGVudGlhbCI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHciLCJkZXZpY2UiOiJ6"
    "TDNYSHRlSGo4NnAwRzNyOVNLcWRQcHcydF9ESDgtN2I1T1liQ2I1NUdNIiwiaXRlbXMiOlt7InRicyI6InNQU3k1NWxxWDA4eFc5dkdJemx6TjJG"
    "RWh3N05aU1RrRjhCY050M29oMFUiLCJtYW5pZmVzdCI6Ims0WERLbTlOSkxWN21OUTRmLVZqbVNCbjhCM0Q5ZDNCQ0o0aGVVeGNQNFUifV0sInBp"
    "bl9zaGEyNTYiOiJDaHhuczd6akxMcXlVOGNNWXBWb0p1cF9Eb2RoMkdnUHFPUWs4YUM1aVlnIiwidm91Y2hlcl9zaGEyNTYiOiIifQ.cODk1IXXL"
    "7CTcuyweWzIsUJTUBwmnGz7KU5S2ktxhSICDEw6ei8Q39EslOO-wMgOzMFEqh_5V75SH3q-zTgL7g"
)
_VOUCHER = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImhvYXRvYy12b3VjaGVyK2p3cyIsImtpZCI6ImtBb0RaeTZza0lvUHhWMWtWQW9sSXRsV1dQY3JISEF0YnJn"
    "WlhHTUNRc3MifQ.eyJ2IjoxLCJraW5kIjoiZW5yb2wiLCJvcmdhbmlzYXRpb24iOiJIMDEuMDEiLCJwZXJzb24iOiJzYW1wbGUtcGVyc29uIiwiY"
    "3JlZGVudGlhbCI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHciLCJrZXlfdHlwZSI6InAyNTYiLCJzdWJqZWN0IjoiQ049Tmd1eeG7hW4gVsSDbiBN4"
    "bqrdSxPPUPGoSBxdWFuIG3huqt1LEM9Vk4iLCJhcHByb3ZhbF9rZXkiOnsiY3J2IjoiUC0yNTYiLCJrdHkiOiJFQyIsIngiOiJBSFNoR29JMjNKb"
    "WRtQXE3eUczeUtGbGMyN0gzWF8zZVZveUk1V0N5alhzIiwieSI6Ii1GUzB3MXA4ekk4cHV3WG9tbXdhTUZOZV9NZTJfWjR4Q0tGZUdZdXRFTVEif"
    "SwicGluX2ZvcmJpZGRlbiI6WyIxOTgwMDEzMSJdLCJub3RfYWZ0ZXIiOjIwMDAwMDAwMDAwMDAwMDAsIm5vbmNlIjoiQUFFQ0F3UUZCZ2NJQ1FvT"
    "ERBME9EdyJ9.LxmXmql4pITJmomtXDfKYTegBIXKfb3wUc4LwOjb9_Hdn9hosjxB1nR9uLO50OQY4FUABbmwf_HW4PNM3efwQg"
)
_SEALED = (
    "BHDFuzu_7mkexVqlO0MvkO2aBgnhDLi-"
    "iZQWm8QSTfK_HAZ_j7WCoDEYN8r0kpJyvt7WaGEWFgsimcJ08X8DC4zSFVR6ufnNHaljmE1S__tN_He3aYv_Imbcu5BtZsCtS_G_03OgQVk6IAg-"
    "bOR3ricXftBQPuCUh5zwoqW35GLGnFnMs_FrLhq7GQjCtptLTQ"
)
_STATEMENT = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImhvYXRvYy1zZWFsaW5nLWtleStqd3MiLCJraWQiOiJtT25WazlCVnZiZmxGSWtMNkJxck91THR0YjlwSkNq"
    "c3RCWDEycDMwaTlvIn0.eyJ2IjoxLCJrZXkiOnsiY3J2IjoiUC0yNTYiLCJrdHkiOiJFQyIsIngiOiJDa05jcl9fWFdjV1dtT3U0R0ZkaFJOQUNn"
    "V3VkYkpsaUR0UnNIWDQ5LU00IiwieSI6Ik5QQUhpSW9zVnkyTU03RWVxeGhLQ3VZZmhteWpuUGh0d2tmUE1QZFA4RVkifSwiaWQiOiJ4NmVhYnhF"
    "UHI2ODNUQVVjQ2d1emNIRDYwX18yMjZLaE1NOXZ2bDdlazRrIiwibm90X2FmdGVyIjoyMDAwMDAwMDAwMDAwMDAwfQ.ZxOgnWZMFjjfAC3BfaWnG"
    "yyn067EaO61JQ6bn-invER0Ch3NE-sz8Mj5n07x5-NBlGexircs9Zo7w0h9qHpTRQ"
)
_IDENTITY = {
    "crv": "P-256",
    "kty": "EC",
    "x": "K-a1BLuMgiKcSosuNpWfWILYyPPS4xliPU-LuliRVkA",
    "y": "ffO76MHs24N-hWTL3l66vUSEIXpwK24xLPSKQ5xJUOo",
}
_CREDENTIAL, _CHALLENGE = "AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
_TBS = "b0f4b2e7996a5f4f315bdbc6233973376144870ecd6524e417c05c36dde88745"
_MANIFEST = "9385c32a6f4d24b57b98d4387fe563992067f01dc3f5ddc1089e21794c5c3f85"
_DOCUMENT, _PERSON, _PREPARED = (
    "01a2012af6b27683b835a10e4179e051",
    "01a20121bcac756e949e03037675214e",
    "01a2012b03c27f3c8f1f0c3f2b8f4f11",
)
_GRANT_ID = "01a2012c11d47e5c8b1f5f0c2a9d7e31"
_GRANT = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImhvYXRvYy1ncmFudCtqd3MiLCJraWQiOiJsXzlzckN4dGduODFXVzdaMEhHZEZzX2pVOWdXUWFaZlBLUnZq"
    "Y2I5bnFVIn0.eyJ2IjoxLCJvcmdhbmlzYXRpb24iOiJIMDEuMDEiLCJmb3JtIjoiS1QiLCJncmFudG9yIjoiMDFhMjAxMjFiY2FjNzU2ZTk0OWUw"
    "MzAzNzY3NTIxNGUiLCJob2xkZXIiOiIwMWEyMDEyMWMwZGU3YjBmYTFiMmMzZDRlNWY2MDcxOCIsImxpbmUiOiJDSOG7piBU4buKQ0giLCJwYXBl"
    "ciI6IlF1eeG6v3QgxJHhu4tuaCBz4buRIDEyL1HEkC1VQk5EIG5nw6B5IDAyLzExLzIwMjYiLCJ0eXBlcyI6WyJRdXnhur90IMSR4buLbmgiLCJD"
    "w7RuZyB2xINuIl0sInVyZ2VuY3kiOjQsInBhcmVudCI6IiIsIm5vdF9iZWZvcmUiOjE3OTM1Nzc2MDAwMDAwMDAsIm5vdF9hZnRlciI6MTgyNTEx"
    "MzYwMDAwMDAwMCwibm9uY2UiOiJBQUVDQXdRRkJnY0lDUW9MREEwT0R3In0.HJe5LO4_i_BfecEOuSDYLSQnvhcRjB5Pncxvi2uPoihGnxKCTuzV"
    "PLuUFEq_ADxObt9J1WY6Mj1cIlPDLkewIg"
)
_GRANT_DIGEST = "f1ce387bcfe9b5de98007727bc4ce8662f71b0fee8fd40dd67845d776a119a42"
_REVISION = "a2897b8a56b376e3e770deed42d136d32f61b51737ec8a85727a58a6d65c4e0a"
_AT = "2026-11-22T02:43:07.060132Z"

_ANNOUNCEMENT_ID = "01a2012f1a2b7c3d8e4f5a6b7c8d9e0f"
_DOSSIER_ID = "01a2012e5b6c7d2e8f1a3c5d7e9b0a1c"
_DIRECTIVE_ID = "01a2012d5b6f7c1d8e0f4a6b8c2d1e3f"
_MEETING_ID = "01a2012d3a5f7b1c9e0d4f6a8b2c1d3e"
_MEETING: dict[str, Any] = {
    "title": "Giao ban tháng 12", "place": "Phòng họp A", "starts_at": "2026-12-01T08:00:00+07:00", "ends_at": "2026-12-01T10:00:00+07:00",
    "chair": _PERSON, "attendees": ["01a20121c0de7b0fa1b2c3d4e5f60718"], "agenda": "1. Kết quả tháng 11", "asked": "Chuẩn bị báo cáo của đơn vị",
}  # fmt: skip

METADATA: dict[str, Any] = {
    "number": "31", "notation": "QĐ-UBND", "subject": "Về việc phân công trực", "type_name": "Quyết định", "urgency": 2,
    "promulgation_place": "Xã Mẫu", "promulgation_date": "2026-11-22", "due_date": "2026-11-25",
    "receivers": [{"organ_id": "X02", "name": "Ủy ban nhân dân xã Mẫu Hai"}],
    "signers": [{"person": _PERSON, "placement": {"page": 1, "x_mm": 118, "y_mm": 212, "width_mm": 60, "height_mm": 24}}],
    "source_reference": "qlvb-2026-000031",
}  # fmt: skip

ANNEX_METADATA: dict[str, Any] = {
    **METADATA, "subject": "Phụ lục I. Lịch trực", "type_name": "Phụ lục", "signers": [], "annex_of": _DOCUMENT, "due_date": None,
}  # fmt: skip
COPY_METADATA: dict[str, Any] = {
    **METADATA, "number": "05", "notation": "SY-UBND", "type_name": "Sao y", "signers": [], "source_reference": None,
    "copy": {"form": "sao_y", "of": "Quyết định số 12/QĐ-CQM ngày 02/11/2026 của Cơ quan Mẫu", "original": "paper", "ordered_by": "Nguyễn Văn Mẫu, Chủ tịch"},
}  # fmt: skip
_MOVED: dict[str, Any] = {"page": 1, "x_mm": 120, "y_mm": 212, "width_mm": 60, "height_mm": 24}

PROBLEM: dict[str, Any] = {
    "type": "/problems/pin-wrong", "title": "Sai mã PIN", "status": 403, "code": "pin-wrong", "trace_id": "6f1c0d5e9b7a4c22", "retry": False,
    "tries_left": 2,
}  # fmt: skip

WEBHOOK: dict[str, Any] = {
    "type": "document.signed", "timestamp": _AT,
    "data": {
        "document": _DOCUMENT, "source_reference": "qlvb-2026-000031", "state": "signed", "seq": 4,
        "revision": "aa64678a792d9c4ac777525f58951f4dc2ff5ca8c3418906d7f977bdb7cb0446", "step": 1,
    },
}  # fmt: skip

_LINE = {
    "id": _DOCUMENT, "waiting": True, "reason": "sign", "urgency": 2, "state": "in_review", "number": "31", "notation": "QĐ-UBND",
    "subject": "Về việc phân công trực", "type_name": "Quyết định", "page_count": 1, "revision": _REVISION, "due_date": "2026-11-25",
    "overdue_at": "2026-11-22T06:43:07.060132Z", "at": _AT,
}  # fmt: skip

_ARRIVAL = {
    "id": "01a2012d33e07d1b9c5a0b7e64f1c2d8", "kind": "new", "state": "waiting", "words": {"vi": "Chờ vào sổ", "en": "Waits to be registered"},
    "about": None, "sender": "H01.02", "sender_name": "Cơ quan Mẫu Hai",
    "reference": "57/CV-CQM", "subject": "Về việc phối hợp công tác mẫu", "type_name": "Công văn", "urgency": 2, "promulgation_date": "2026-11-20",
    "due_date": None, "year": None, "number": None, "own_number": None, "received_at": _AT,
}  # fmt: skip

# operationId -> "request" or a status -> the body.
EXAMPLES: dict[str, dict[str, Any]] = {
    "issueToken": {
        "request": {"grant_type": "client_credentials", "client_id": "01a20121bcce702ea724541fb1eb34ee", "client_secret": "htc_sample-secret"},
        "200": {"access_token": "hts_sample-token", "token_type": "Bearer", "expires_at": _AT, "expires_in": 600, "scope": "documents:write documents:read"},
    },
    "takeInDocument": {
        "request": {"metadata": json.dumps(METADATA, ensure_ascii=False), "file": "%PDF-1.7 …"},
        "201": {"id": _DOCUMENT, "state": "in_review", "revision": _REVISION, "page_count": 1, "duplicates": [], "warnings": [], "placements": [None, None]},
    },
    "replaceDocument": {
        "request": {
            "metadata": json.dumps({**METADATA, "signers": [{"person": _PERSON, "placement": _MOVED}]}, ensure_ascii=False), "file": "%PDF-1.7 …",
        },
        "200": {"id": _DOCUMENT, "state": "in_review", "revision": _REVISION, "page_count": 1, "duplicates": [], "warnings": [], "placements": [_MOVED, None]},
    },
    "readSealQueue": {
        "200": {
            "items": [
                {
                    "id": "01a2012f5c6d7e1f8a9b0c1d2e3f4a5b", "state": "signed", "number": "31", "notation": "QĐ-UBND", "subject": "Phụ lục I. Lịch trực",
                    "urgency": 2, "page_count": 3, "revision": _REVISION, "created_at": _AT, "annex_of": _DOCUMENT, "copy": None,
                }
            ],
            "next": None,
        }
    },
    "listArrivals": {"200": {"items": [_ARRIVAL], "next": None}},
    "readArrival": {
        "200": {
            "arrival": _ARRIVAL, "receiver": "H01.01", "exchange_id": "H01.02,2026/11/20,57/CV-CQM", "asked": "", "judgement": "valid",
            "judged": {"words": {"vi": "Chữ ký hợp lệ", "en": "The signatures are valid"}},
            "files": [{
                "position": 1, "name": "Công văn mẫu.pdf", "content_type": "application/pdf", "sha256": _REVISION, "size": 48211, "pdf": True,
                "verdict": "valid", "reasons": [], "findings": [],
            }],
            "related": [], "directed": [], "decided_at": None, "remark": "", "header": {"document_id": "H01.02,2026/11/20,57/CV-CQM", "number": "57"},
        },
    },
    "registerArrival": {"request": {"despite": ""}, "200": {"state": "registered", "number": 118, "year": 2026}},
    "returnArrival": {"request": {"reason": "Gửi nhầm nơi nhận"}, "200": {"state": "returned"}},
    "answerArrival": {"request": {"agree": False, "reason": "Văn bản đã xử lý xong"}, "200": {"state": "refused"}},
    "numberArrival": {"request": {"number": "118"}},
    "changeReceivers": {
        "request": {"add": [{"organ_id": "H01.03", "name": "Cơ quan Mẫu Ba"}], "remove": ["H01.02"]}, "200": {"receivers": ["H01.03"]},
    },
    "reportPurges": {"request": {"documents": [_DOCUMENT]}, "200": {"recorded": 1}},
    "putSignatureImage": {"request": {"file": "PNG …"}, "200": {"width": 600, "height": 240, "diameter_mm": None}},
    "putSealImage": {"request": {"file": "PNG …"}, "200": {"width": 1000, "height": 1000, "diameter_mm": 36.0}},
    "readInbox": {"200": {"items": [_LINE], "next": None}},
    "findAgencies": {
        "200": {
            "items": [
                {
                    "code": "H01.151", "name": "UBND xã Mẫu", "old_code": "000.00.51.H01", "level": 2, "parent": {"code": "H01", "name": "UBND tỉnh Mẫu"},
                    "test": False, "closed": False, "closed_at": None, "successor": None,
                }
            ],
            "synchronised_at": "2026-11-22T01:00:04.120000Z",
        }
    },
    "openSheet": {
        "201": {
            "prepared": _PREPARED, "document": _DOCUMENT, "kind": "person", "parent": _REVISION, "tbs": _TBS, "manifest_digest": _MANIFEST, "organisation": "H01.01",
            "credential": _CREDENTIAL, "subject": "CN=Nguyễn Văn Mẫu,O=Cơ quan mẫu,C=VN", "field": "HT_4179e051_S1", "page": 1, "page_count": 1, "unopened": [], "unopened_in": _DOCUMENT,
            "expires_at": "2026-11-22T02:58:07.060132Z",
            "certificate_status": {"state": "good", "source": "ocsp", "checked_at": "2026-11-22T02:43:06.881004Z", "signing_stops_at": None},
        }
    },
    "reportOpenings": {"request": {"pages": [{"page": 1, "image": _MANIFEST}]}, "200": {"counted": 1}},
    "askChallenge": {"201": {"challenge": _CHALLENGE, "statement": _STATEMENT, "identity": _IDENTITY}},
    "approve": {"request": {"approval": _APPROVAL, "sealed_pin": _SEALED}, "200": {"documents": [_DOCUMENT]}},
    "readApproval": {"200": {"documents": [{"document": _DOCUMENT, "state": "signed", "revision": _REVISION, "at": "2026-11-22T02:43:09.511203Z"}]}},
    "giveAuthority": {
        "request": {"grant": _GRANT},
        "201": {"id": _GRANT_ID, "digest": _GRANT_DIGEST, "authority": "KT. CHỦ TỊCH"},
    },
    "handOverStep": {"request": {"grant": _GRANT_ID}, "200": {"state": "in_review"}},
    "returnDocument": {"request": {"reason": "Đề nghị ghi rõ thời hạn ở Điều 2"}, "200": {"state": "returned"}},
    "carryVoucher": {
        "request": {"voucher": _VOUCHER, "purpose": "person"},
        "201": {"digest": "bbca58ba298866fc23ca461067a31ff38b41d2120d9faa9fab236f909fdc659d"},
    },
    "listCredentials": {
        "200": [
            {
                "id": _CREDENTIAL, "kind": "person", "state": "active", "subject": "CN=Nguyễn Văn Mẫu,O=Cơ quan mẫu,C=VN",
                "not_after": "2029-11-22T00:00:00Z", "holders": [_PERSON],
            }
        ]
    },
    "validateFile": {
        "request": {"file": "%PDF-1.7 …"},
        "200": {
            "verdict": "valid", "vi": "HỢP LỆ", "en": "Valid", "sha256": _REVISION, "size": 90112, "checked_at": _AT, "revisions": 2, "reasons": [],
            "notes": [],
            "signatures": [
                {
                    "field": "HT_4179e051_S1", "kind": "signature", "indication": "TOTAL-PASSED", "sub_indication": "", "level": "B-LT",
                    "signer": "Nguyễn Văn Mẫu", "organisation": "Cơ quan mẫu", "issuer": "CA mẫu", "serial": "1f2e3d", "algorithm": "ecdsa-sha256",
                    "certificate_sha256": _MANIFEST, "not_before": "2026-01-01T00:00:00.000000Z", "not_after": "2029-01-01T00:00:00.000000Z",
                    "time": _AT, "time_source": "signature", "integrity": True, "valid_at_signing": True, "revocation": "good", "covers": 90112,
                    "whole_file": True, "purpose": "", "reasons": [],
                }
            ],
        },
    },
    "registerWebhook": {
        "request": {"url": "https://qlvb.example/hoatoc", "events": ["document.signed", "document.sealed", "document.accepted"]},
        "201": {"id": "01a2012af80170c8a98e40c3fcd64435", "secret": "whsec_c2FtcGxlLXNlY3JldC1vZi0zMi1ieXRlcy1sb25nISE="},
    },
    "followLive": {"200": "id: 41-7-2\nevent: notices\ndata: {}\n\n"},
    "readChanges": {
        "200": {
            "items": [
                {
                    "seq": 4, "document": _DOCUMENT, "kind": "document.signed", "tombstone": False, "state": "signed",
                    "detail": {"revision": "aa64678a792d9c4ac777525f58951f4dc2ff5ca8c3418906d7f977bdb7cb0446", "step": 1}, "at": _AT,
                }
            ],
            "next": "NA",
        }
    },
    "reportReceipts": {
        "request": {"reports": [{"notice": "AAECAwQFBgcICQoLDA0ODw", "event": "shown", "at": "2026-11-22T02:43:09Z"}]},
        "200": {"recorded": 1},
    },
    "setNoticeSettings": {
        "request": {"quiet": {"start": 1290, "end": 390}, "deputy": _PERSON, "phone": "+84900000000", "email": "lanh.dao@example.vn"}
    },
    "setAbsence": {
        "request": {"kind": "travel", "from": "2026-11-23T00:00:00Z", "to": "2026-11-27T17:00:00Z", "deputy": _PERSON}
    },
    "setNoticeRules": {
        "request": {
            "quiet": {"start": 1320, "end": 360}, "days": {"2026-08-22": True, "2026-08-31": False},
            "idle": {"handler_hours": 16, "head_hours": 32}, "digest": 450, "heads": [_PERSON],
            "policies": [
                {
                    "urgency": 3,
                    "steps": [
                        {"after_s": 300, "target": "person", "channel": "push"},
                        {"after_s": 300, "target": "deputy", "channel": "all"},
                        {"after_s": 300, "target": "duty_officer", "channel": "all"},
                    ],
                }
            ],
        }
    },
    "getWebPushAddress": {
        "200": {
            "vapid_key": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "state": "active",
        }
    },
    "activateWebPushAddress": {"request": {"challenge": "AAECAwQFBgcICQoLDA0ODw"}},
    "announce": {
        "request": {"people": [_PERSON], "headline": "Trực ban: mực nước báo động 2", "urgency": 3, "source_reference": "trucban-0042"},
        "201": {"id": _ANNOUNCEMENT_ID, "notices": [{"person": _PERSON, "notice": "qv0sW1i8mS2Yc7uJk3Tn5Q"}]},
    },
    "readAnnouncement": {
        "200": {
            "id": _ANNOUNCEMENT_ID, "source_reference": "trucban-0042", "headline": "Trực ban: mực nước báo động 2", "urgency": 3, "created_at": _AT,
            "withdrawn_at": None,
            "people": [
                {
                    "person": _PERSON, "notice": "qv0sW1i8mS2Yc7uJk3Tn5Q", "state": "acknowledged", "chain": "stopped", "told_at": _AT, "received_at": _AT,
                    "seen_at": _AT, "acknowledged_at": _AT,
                }
            ],
        }
    },
    "listDeadLetters": {
        "200": {
            "items": [
                {
                    "message": f"msg_{_DOCUMENT}", "event": "document.signed", "reason": "HTTP 503", "attempts": 41, "created_at": _AT, "given_up_at": _AT,
                }
            ],
            "next": None,
        }
    },
    "retryDeadLetters": {"request": {"messages": [f"msg_{_DOCUMENT}"]}, "200": {"queued": 1}},
    "putUnit": {"request": {"name": "Bộ phận Địa chính", "name_en": "Land unit", "responsible": [_PERSON]}},
    "listUnits": {"200": [{"code": "dia-chinh", "name": "Bộ phận Địa chính", "name_en": "Land unit", "responsible": [_PERSON]}]},
    "openDossier": {
        "request": {"reference": "H01.23-261122-0007", "step": "received", "unit": "dia-chinh", "promised": "2026-11-30", "handled": False},
        "201": {"id": _DOSSIER_ID, "sequence": 0, "link": "https://hoatoc.example/f/sample-of-thirty-two-characters-"},
    },
    "advanceDossier": {
        "request": {"sequence": 0, "step": "processing", "unit": "dia-chinh", "promised": "2026-11-30", "handled": True},
        "200": {"id": _DOSSIER_ID, "sequence": 1, "link": None},
    },
    "relinkDossier": {"200": {"id": _DOSSIER_ID, "sequence": 1, "link": "https://hoatoc.example/f/another-of-thirty-two-characters"}},
    "readDossier": {
        "200": {
            "id": _DOSSIER_ID, "sequence": 1, "step": "processing", "words": {"vi": "Đang xử lý", "en": "Being processed"}, "unit": "dia-chinh",
            "promised": "2026-11-30", "handled": True, "since": _AT, "late": None, "closed": False,
        }
    },
    "giveDirective": {
        "request": {
            "arrival": _ARRIVAL["id"], "text": "Văn phòng chủ trì tham mưu văn bản trả lời, trình tôi trước hạn.", "lead": _PERSON,
            "coordinators": ["01a20121bcac756e949e030376752150"], "due_date": "2026-11-27",
        },
        "201": {"id": _DIRECTIVE_ID, "sequence": 0, "state": "open"},
    },
    "changeDirective": {
        "request": {"sequence": 0, "text": "Văn phòng chủ trì, báo cáo tôi trong ngày.", "lead": _PERSON, "coordinators": [], "due_date": "2026-11-24"},
        "200": {"id": _DIRECTIVE_ID, "sequence": 1, "state": "open"},
    },
    "reportDirective": {
        "request": {"sequence": 1, "state": "in_work", "progress": 60, "word": "Đã có dự thảo, đang lấy ý kiến."},
        "200": {"id": _DIRECTIVE_ID, "sequence": 1, "state": "open"},
    },
    "listDirectives": {
        "200": {
            "items": [
                {
                    "id": _DIRECTIVE_ID, "title": "Về việc phối hợp công tác phòng, chống thiên tai", "reference": "57/CV-CQM", "urgency": 1,
                    "author": "Nguyễn Văn Mẫu", "author_unit": "Ủy ban nhân dân xã Mẫu", "open": True, "sequence": 1,
                    "line": {
                        "directive": _DIRECTIVE_ID, "assignee": _PERSON, "depth": 0, "kind": "person", "name": "Trần Văn Mẫu", "position": "Chánh Văn phòng",
                        "lead": True, "state": "in_work", "words": {"vi": "Đang xử lý", "en": "In progress"}, "due_date": "2026-11-24", "progress": 60,
                        "days_late": 0, "word": "Đã có dự thảo, đang lấy ý kiến.", "told_at": "2026-11-23T03:00:00.000000Z",
                        "text": "Văn phòng chủ trì, báo cáo tôi trong ngày.", "opens": True,
                    },
                }
            ],
            "next": None,
        }
    },
    "readReport": {
        "200": {
            "from": "2026-11-01", "to": "2026-11-22", "at": _AT, "issued": {"count": 12, "by_day": [{"day": "2026-11-20", "count": 12}]},
            "deliveries": {"count": 80, "by_day": [{"day": "2026-11-20", "count": 80}]}, "signing": {"documents": 12, "median_s": 5400.0, "p90_s": 21600.5},
            "acknowledgement": {"in_time": 9, "late": 1, "share": 0.9}, "overdue": [{"kind": "document", "unit": "Văn thư (đóng dấu)", "count": 1}],
            "postage": {"deliveries": 80, "tariff_dong": 7000, "total_dong": 560000, "formula": "deliveries × tariff_dong"},
            "lines": [{"name": "Bưu phí tiết kiệm", "value": "560.000 đ"}], "charts": [{"name": "issued", "title": "Văn bản phát hành"}],
        }
    },
    "conveneMeeting": {
        "request": {**_MEETING, "source_reference": "lich-2026-0131"},
        "201": {"id": _MEETING_ID, "sequence": 0, "state": "planned", "urgency": 0},
    },
    "changeMeeting": {
        "request": {**_MEETING, "place": "Phòng họp B", "sequence": 0},
        "200": {"id": _MEETING_ID, "sequence": 1, "state": "planned", "urgency": 1},
    },
    "answerMeeting": {
        "request": {"sequence": 1, "answer": "decline", "reason": "Đi công tác theo Kế hoạch số 12"},
        "200": {"id": _MEETING_ID, "sequence": 1, "state": "planned", "urgency": 1},
    },
    "listMeetings": {
        "200": {
            "items": [
                {
                    "id": _MEETING_ID, "state": "planned", "sequence": 1, "title": "Giao ban tháng 12", "place": "Phòng họp B",
                    "starts_at": "2026-12-01T01:00:00.000000Z", "ends_at": "2026-12-01T03:00:00.000000Z", "time": "08:00–10:00 01/12/2026", "urgency": 1,
                    "open": True, "managed": False, "attends": True, "answer": "", "silent": None,
                    "changes": [{"field": "place", "name": "Địa điểm", "name_en": "Place", "before": "Phòng họp A", "after": "Phòng họp B"}],
                }
            ],
            "next": None,
        }
    },
}  # fmt: skip

_OUTCOME = ("signer-unavailable", "outcome-unknown")
_PIN = ("pin-wrong", "pin-locked", "key-frozen", "key-destroyed")
_INTAKE = (
    "route-invalid", "authority-missing", "authority-required", "receiver-unknown", "secret-document", "too-many-pages", "cannot-be-checked",
    "insufficient-storage", "placement-required", *sorted(REFUSALS),
)  # fmt: skip

# operationId -> problem types of its own; what every guarded route may answer is added from its access and parameters.
PROBLEMS_OF: dict[str, tuple[str, ...]] = {
    "validateFile": ("too-large", "busy"),
    "takeInDocument": ("conflict", "not-found", *_INTAKE),
    "replaceDocument": ("document-signing", "conflict", *_INTAKE),
    "returnDocument": ("not-your-turn", "document-signing", "conflict"),
    "recallDocument": ("document-signing", "conflict"),
    "fetchFile": ("file-pending", "integrity-failed"),
    "readReceipt": ("file-pending",),
    "fetchPage": ("cannot-be-shown", "busy"),
    "readManifest": ("cannot-be-shown", "busy"),
    "putSignatureImage": ("image-refused", "too-large", "busy"),
    "putSealImage": ("image-refused", "too-large", "busy"),
    "openSheet": (
        "authority-missing",
        "placement-required", "not-your-turn", "document-signing", "credential-unavailable", "office-device-required", "key-frozen", "not-the-route", "time-stamps-overdue",
        "changed-beyond-signature", "personal-signature-missing", "conflict", "certificate-revoked", "certificate-status-unavailable",
    ),
    "askChallenge": ("key-frozen", "credential-unavailable", "device-not-admitted", "signer-unavailable"),
    "approve": (
        "approval-invalid", "approval-used", "challenge-expired", "prepared-expired", "device-not-admitted", "credential-unavailable",
        "not-your-turn", "pages-unopened", "authority-missing", "time-stamps-overdue", "certificate-revoked", "certificate-status-unavailable", *_PIN, *_OUTCOME, "signer-busy",
    ),
    "giveAuthority": ("grant-invalid", "device-not-admitted", "conflict"),
    "handOverStep": ("authority-missing", "not-your-turn", "document-signing", "route-invalid", "conflict"),
    "carryVoucher": ("voucher-invalid",),
    "enrol": ("voucher-invalid", "approval-invalid", "pin-weak", *_OUTCOME),
    "addDevice": ("voucher-invalid", "approval-invalid", "approval-used", "challenge-expired", *_PIN, *_OUTCOME),
    "handOver": ("voucher-invalid", "approval-invalid", "approval-used", "challenge-expired", *_PIN, *_OUTCOME),
    "changePin": ("approval-invalid", "approval-used", "challenge-expired", "pin-weak", *_PIN, *_OUTCOME),
    "importCertificate": ("certificate-invalid", "signer-unavailable"),
    "registerWebhook": ("webhook-url-invalid",),
    "giveDirective": ("conflict", "directive-over", "directive-changed", "assignee-unknown"),
    "changeDirective": ("directive-over", "directive-changed", "assignee-unknown"),
    "withdrawDirective": ("directive-over", "directive-changed"),
    "reportDirective": ("directive-over", "directive-changed", "directive-open-below"),
    "fetchDirectiveFile": ("integrity-failed",),
    "readDirectiveManifest": ("cannot-be-shown", "busy"),
    "fetchDirectivePage": ("cannot-be-shown", "busy"),
    "conveneMeeting": ("attendee-unknown",),
    "changeMeeting": ("meeting-over", "meeting-changed", "attendee-unknown"),
    "cancelMeeting": ("meeting-over", "meeting-changed"),
    "answerMeeting": ("meeting-over", "meeting-changed", "answer-invalid"),
    "checkIn": ("meeting-over", "attendee-unknown"),
    "putPaper": ("meeting-over", "too-large", "secret-document", "too-many-pages", "cannot-be-checked", "busy", "insufficient-storage", *sorted(REFUSALS)),
    "readPaperManifest": ("cannot-be-shown", "busy"),
    "fetchPaperPage": ("cannot-be-shown", "busy"),
    "fetchPaper": ("integrity-failed",),
}  # fmt: skip
