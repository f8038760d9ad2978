"""The manifest: one encoding, one digest, the same in another implementation (vectors of `openapi/vectors/manifest.json`)."""

import hashlib
import json
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.previews.model import (
    WIDTHS,
    FieldArea,
    ManifestError,
    PageImage,
    PreparedManifest,
    RevisionManifest,
    encode,
    manifest_digest,
    parse,
    redraw_differences,
    with_touched_pages,
)

VECTORS = Path(__file__).resolve().parents[4] / "openapi" / "vectors"
CASES = json.loads((VECTORS / "manifest.json").read_text(encoding="utf-8"))["cases"]
OLD, NEW = "a" * 64, "b" * 64


def images(pages, revision=OLD):
    return tuple(
        PageImage(
            page,
            width,
            width * 3 // 2,
            hashlib.sha256(f"{revision}{page}{width}".encode()).hexdigest(),
            1000 + page,
            revision,
        )
        for page in pages
        for width in WIDTHS
    )


def revision(pages=2):
    return RevisionManifest(
        v=1, revision=OLD, length=5000, renderer="pdfium-1+q80", page_count=pages, images=images(range(1, pages + 1))
    )


def prepared(**changes):
    stamp = FieldArea("HT_1", "filled", 1, (10_000, 20_000, 110_000, 80_000))
    seal = FieldArea("HT_2", "reserved", 2, (0, 0, 0, 0))
    value = PreparedManifest(
        1, OLD, 5000, NEW, 60_000, "c" * 64, 6000, 50_000, (stamp, seal), "pdfium-1+q80", 2, images([1, 2])
    )
    return msgspec.structs.replace(value, **changes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors(case):
    body = case["bytes"].encode()
    if case["valid"]:
        assert manifest_digest(parse(body)) == case["digest"] == hashlib.sha256(body).hexdigest()
    else:
        with pytest.raises(ManifestError):
            parse(body)


def test_vectors_hold_in_another_language():
    subprocess.run(["node", VECTORS / "manifest.mjs"], check=True, capture_output=True)


@given(st.integers(1, 5), st.integers(1, 2**53 - 1), st.integers(1, 65_535))
@settings(max_examples=50, deadline=None)
def test_canonical_bytes_survive_parsing(pages, length, height):
    value = msgspec.structs.replace(revision(pages), length=length)
    value = msgspec.structs.replace(
        value, images=tuple(msgspec.structs.replace(image, height=height) for image in value.images)
    )
    assert parse(encode(value)) == value


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_changed_byte_changes_the_digest_or_is_refused(data):
    body = encode(prepared())
    place = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != body[place]))
    changed = body[:place] + bytes([byte]) + body[place + 1 :]
    try:
        assert manifest_digest(parse(changed)) != manifest_digest(prepared())
    except ManifestError:
        return


@pytest.mark.parametrize(
    "changes",
    [
        {"hole_start": 5000},
        {"hole_end": 60_000},
        {"hole_start": 50_000},
        {"fields": ()},
        {"fields": prepared().fields + prepared().fields[:1]},
        {"fields": (FieldArea("HT_1", "filled", 3, (0, 0, 1, 1)),)},
        {"fields": (FieldArea("HT_1", "filled", 1, (5, 0, 5, 1)),)},
        {"images": prepared().images[::-1]},
        {"images": prepared().images[:-1]},
        {"images": prepared().images[:3]},
        {"page_count": 3},
        {"tbs": "C" * 64},
        {"length": 2**53},
        {"renderer": 'x"y'},
        {"v": 2},
    ],
)
def test_manifest_that_contradicts_itself_has_no_digest(changes):
    with pytest.raises(ManifestError):
        manifest_digest(prepared(**changes))


def test_untouched_pages_keep_the_parent_images():
    merged = with_touched_pages(images([1, 2, 3]), images([2], NEW))
    assert [(image.page, image.from_revision) for image in merged if image.width == 360] == [
        (1, OLD),
        (2, NEW),
        (3, OLD),
    ]
    assert [(image.page, image.width) for image in merged] == sorted((image.page, image.width) for image in merged)


def test_redraw_names_every_difference():
    value = revision()
    fresh = [(image.page, image.width, image.digest) for image in value.images]
    assert redraw_differences(value, value.renderer, fresh) == []
    assert redraw_differences(value, "pdfium-2+q80", fresh) == [
        "another renderer: pdfium-1+q80 made the images, pdfium-2+q80 is here"
    ]
    changed = [(1, 360, "0" * 64), *fresh[1:-1], (3, 360, "0" * 64)]
    assert redraw_differences(value, value.renderer, changed) == [
        "page 1, 360 px: differs",
        "page 2, 1080 px: not rendered",
        "page 3, 360 px: not in the manifest",
    ]
