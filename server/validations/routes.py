"""Validation over HTTP: the API for whoever is signed in, and a plain page at /verify for everybody (rule SW-7)."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body

from server.errors import Refused
from server.http import Given, save_upload
from server.identity.guard import PERSON, allow, public
from server.identity.model import Scope
from server.limits import Rate
from server.settings import Settings
from server.storage import Blobs
from server.validations import page, sheet
from server.validations.model import Report
from server.validations.service import ValidationService

_PDF: Final = "application/pdf"
_PUBLIC_BYTES: Final = 50 * 1024 * 1024


class ValidationForm(msgspec.Struct):
    """multipart/form-data: `file` is the PDF to be judged."""

    file: UploadFile


class PageForm(msgspec.Struct):
    """The page's own form. `answer`: "page", "pdf" or "json"; `lang`: "vi" or "en"."""

    file: UploadFile
    answer: str = "page"
    lang: str = "vi"


@post(
    "/api/v1/validations",
    operation_id="validateFile",
    summary="Verify the signatures of a PDF",
    tags=["validations", "phone"],
    status_code=200,
    opt={**allow(roles=PERSON, scopes={scope.value for scope in Scope}), "rate": Rate.VALIDATE},
    responses={200: ResponseSpec(Report, generate_examples=False)},
    request_max_body_size=None,
)
async def validate_file(
    request: Request[Any, Any, Any],
    data: Annotated[ValidationForm, Body(media_type=RequestEncodingType.MULTI_PART)],
    validations: Given[ValidationService],
    blobs: Given[Blobs],
    settings: Given[Settings],
) -> Response[Any]:
    """A file that is not valid is an answer, not an error. Nothing is stored. With `Accept: application/pdf` the report is a PDF."""
    report = await _judged(data.file, validations, blobs, settings.limits.document_bytes)
    if _PDF in request.headers.get("accept", ""):
        return await _as_pdf(report)
    return Response(content=report, headers={"Cache-Control": "no-store"})


@get("/verify", operation_id="verifyPage", opt=public(), include_in_schema=False)
async def verify_page(request: Request[Any, Any, Any]) -> Response[str]:
    return _html(page.form(request.query_params.get("lang", "vi")))


@post(
    "/verify",
    operation_id="verifyPageAnswer",
    opt={**public(), "rate": Rate.VALIDATE},
    include_in_schema=False,
    status_code=200,
    request_max_body_size=None,
)
async def verify_upload(
    data: Annotated[PageForm, Body(media_type=RequestEncodingType.MULTI_PART)],
    validations: Given[ValidationService],
    blobs: Given[Blobs],
    settings: Given[Settings],
) -> Response[Any]:
    """For anybody, without sign-in and without script; nothing is stored, nothing but the verdict is shown."""
    lang = "en" if data.lang == "en" else "vi"
    limit = min(_PUBLIC_BYTES, settings.limits.document_bytes)
    try:
        report = await _judged(data.file, validations, blobs, limit, waiting=False)
    except Refused as refused:
        return _html(page.refusal(lang, refused), status=413 if refused.code == "too-large" else 503)
    match data.answer:
        case "pdf":
            return await _as_pdf(report)
        case "json":
            return Response(content=report, headers={"Cache-Control": "no-store"})
        case _:
            return _html(page.answer(lang, report))


async def _judged(
    upload: UploadFile, validations: ValidationService, blobs: Blobs, limit: int, *, waiting: bool = True
) -> Report:
    """`waiting` False: behind everybody who is signed in, whose sheets need the same children (threat D13)."""
    path, _digest = await save_upload(upload, blobs.scratch(), limit)
    try:
        return await validations.judge(path, waiting=waiting)
    finally:
        path.unlink(missing_ok=True)


async def _as_pdf(report: Report) -> Response[bytes]:
    return Response(
        content=await sheet.render(report),
        media_type=_PDF,
        headers={
            "Content-Disposition": 'attachment; filename="ket-qua-kiem-tra-chu-ky.pdf"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "no-store",
        },
    )


def _html(body: str, status: int = 200) -> Response[str]:
    return Response(
        content=body,
        status_code=status,
        media_type="text/html",
        headers={
            "Content-Security-Policy": page.POLICY,
            "X-Robots-Tag": "noindex, nofollow",
            "Cache-Control": "no-store",
        },
    )


HANDLERS: list[Any] = [validate_file, verify_page, verify_upload]
