"""The sentences of `hoatoc verify`, Vietnamese first (rule SW-7): by code, so that JSON and screen say the same."""

from typing import Final

__all__ = ["CERTIFICATE", "INTEGRITY", "STEPS", "TEXTS", "text"]

TEXTS: Final[dict[str, tuple[str, str]]] = {
    # What cannot be read at all.
    "not-a-receipt": ("Tệp không phải là biên nhận của Hỏa Tốc.", "The file is not a receipt of Hỏa Tốc."),
    "not-a-file": ("Không phải là một tệp thường.", "Not a regular file."),
    "not-trust": ("Tệp --trust không có chứng thư PEM nào đọc được.", "The --trust file holds no readable PEM certificate."),
    "not-a-manifest": ("Tệp --redraw không phải là bản kê ảnh trang.", "The --redraw file is not a manifest of page images."),
    "not-a-pdf": ("Tệp không phải là PDF và cũng không phải là biên nhận.", "The file is neither a PDF nor a receipt."),
    "file-unreadable": ("Không đọc được tệp.", "The file cannot be read."),
    "file-empty": ("Tệp rỗng.", "The file is empty."),
    "file-too-large": ("Tệp quá lớn.", "The file is too large."),
    "broken-structure": ("Cấu trúc PDF bị hỏng.", "The structure of the PDF is broken."),
    "encrypted": ("PDF được mã hóa nên không kiểm tra được.", "The PDF is encrypted and cannot be checked."),
    "too-large": ("PDF vượt các giới hạn an toàn.", "The PDF exceeds the safety bounds."),
    "unsupported-filter": ("PDF dùng kiểu nén không hỗ trợ.", "The PDF uses an unsupported filter."),
    "child-timeout": ("Kiểm tra PDF mất quá nhiều thời gian, đã dừng.", "Checking the PDF took too long and was stopped."),
    "child-memory": ("Kiểm tra PDF cần quá nhiều bộ nhớ, đã dừng.", "Checking the PDF needed too much memory and was stopped."),
    "child-crashed": ("Tiến trình kiểm tra PDF đã dừng bất thường.", "The process that checks the PDF ended abnormally."),
    "child-refused": ("Máy này không cho chạy tiến trình giới hạn để mở PDF.", "This machine does not let the limited process open the PDF."),
    # The record of a document.
    "record-unreadable": ("Tệp ZIP không phải là hồ sơ văn bản của Hỏa Tốc.", "The ZIP is not a record of Hỏa Tốc."),
    "record-incomplete": ("Hồ sơ thiếu, thừa hoặc có tệp bị sửa.", "A file of the record is missing, added or changed."),
    "record-chain-broken": ("Các bản của văn bản không nối tiếp nhau.", "The document's revisions do not continue one another."),
    "record-whole": ("Hồ sơ đủ tệp, đúng mã băm; các bản nối tiếp nhau từng byte.", "The record is whole; its revisions continue one another byte for byte."),
    "record-receipt-right": ("Biên nhận đúng, và đúng với bản đã ký.", "The receipt holds, and is about its revision."),
    "record-receipt-wrong": ("Biên nhận không đúng.", "The receipt does not hold."),
    "record-log-proven": (
        "Mọi sự kiện của log.json đều có trong nhật ký đã ký; không chứng minh là không thiếu sự kiện nào (số sự kiện / khóa nhật ký).",
        "Every event of log.json stands in the signed log; that none was left out is not proven (events / log key).",
    ),
    "record-log-unproven": ("Hồ sơ không kèm chứng minh cho quá trình xử lý.", "The record brings no proof of its course of handling."),
    "record-log-wrong": ("Quá trình xử lý KHÔNG đúng với nhật ký đã ký.", "The course of handling is NOT the signed log's."),
    "record-log-differs": ("Văn bản, gói tin hoặc số đến trong hồ sơ KHÔNG đúng với nhật ký.", "The record's document, packet or arrival number is NOT the log's."),
    "record-log-lacks": ("Quá trình xử lý THIẾU sự kiện mà một biên nhận nêu.", "The course of handling LACKS the event of a receipt."),
    "record-packet-right": ("Các tệp đúng từng byte với gói tin đã đến.", "The files are the packet's, byte for byte."),
    "record-packet-differs": ("Các tệp KHÔNG đúng với gói tin đã đến.", "The files are NOT the packet's."),
    "record-withheld": ("Nơi gửi đã thu hồi: hồ sơ không có nội dung văn bản.", "Recalled by its sender: the record goes without the text."),
    "record-file-valid": ("Chữ ký trên tệp hợp lệ, như đã kết luận khi đến.", "The file's signatures are valid, as was said when it came."),
    "record-file-not-valid": ("Khi đến được kết luận hợp lệ, nay kiểm tra KHÔNG hợp lệ với gốc tin cậy đã cho.", "Said to be valid when it came, NOT valid now with the given roots."),
    "record-file-was-not-valid": ("Khi đến đã được kết luận không hợp lệ.", "It was found not valid when it came."),
    "authority-holds": ("Giấy giao quyền ký đúng người, đúng phạm vi, đúng thời hạn.", "The grant of authority fits person, scope and time."),
    "authority-not-signed": ("Thiếu giấy giao quyền ký, hoặc giấy không đúng là bản đã ghi nhật ký.", "A grant is missing, or is not the one that was logged."),
    "authority-other-person": ("Giấy giao quyền ký không phải của người đã ký.", "The grant is not the signer's."),
    "authority-of-replaced": ("Giấy giao quyền ký đúng người, đúng thời hạn; bản này đã được thay thế.", "The grant of authority fits person and time; this text was replaced."),
    "authority-out-of-scope": ("Giấy giao quyền ký không bao gồm văn bản này.", "The grant does not cover this document."),
    "authority-other-time": ("Thời điểm ký không nằm trong thời hạn giao quyền.", "The time of signing is not within the grant's time."),
    "openings-whole": ("Thiết bị của người ký đã báo mở đủ mọi trang trước khi ký.", "The signer's devices said that every page was opened before signing."),
    "openings-wrong": ("Danh sách trang đã mở thiếu hoặc không đúng với văn bản.", "The list of opened pages is missing or does not fit the document."),
    # Signatures of a PDF.
    "no-signature": ("Văn bản chưa có chữ ký số.", "The document has no signature."),
    "range-not-exact": ("Phạm vi ký không đúng bằng phần ngoài chữ ký.", "The byte range does not leave out exactly the signature."),
    "range-not-whole": ("Chữ ký không bao trùm toàn bộ bản của nó.", "The signature does not cover its whole revision."),
    "hole-not-empty": ("Có dữ liệu lạ sau chữ ký trong vùng chứa.", "Foreign bytes stand behind the signature in its place."),
    "malformed": ("Chữ ký không đúng định dạng.", "The signature is malformed."),
    "content-changed": ("Nội dung đã bị thay đổi sau khi ký.", "The content was changed after signing."),
    "signature-wrong": ("Chữ ký không khớp với khóa trong chứng thư.", "The signature does not verify with the certificate's key."),
    "changed-after-signing": ("Có bản sau thay đổi ngoài những gì được phép.", "A later revision changes more than is allowed."),
    "attribute-missing": ("Chữ ký thiếu thuộc tính bắt buộc.", "The signature lacks a mandatory attribute."),
    "signing-certificate-missing": ("Chữ ký không kèm chứng thư của người ký.", "The signature does not carry its signer's certificate."),
    "signing-certificate-differs": ("Chữ ký nêu một chứng thư khác.", "The signature names another certificate."),
    "weak-digest": ("Thuật toán băm yếu hoặc không được phép.", "The digest algorithm is weak or not allowed."),
    "weak-key": ("Khóa ngắn hơn mức cho phép.", "The key is shorter than allowed."),
    "unknown-algorithm": ("Thuật toán ký không được phép.", "The signature algorithm is not allowed."),
    "expired": ("Chứng thư đã hết hạn tại thời điểm xét.", "The certificate had expired at the time of judgement."),
    "not-yet-valid": ("Chứng thư chưa có hiệu lực tại thời điểm xét.", "The certificate was not yet valid at the time of judgement."),
    "no-chain": ("Chứng thư không dẫn đến gốc tin cậy đã cho.", "The certificate does not chain to a given root."),
    "key-usage": ("Chứng thư không được dùng để ký văn bản.", "The certificate may not sign documents."),
    "timestamp-untrusted": ("Dấu thời gian không do tổ chức tin cậy cấp.", "The time stamp is not by a trusted authority."),
    "timestamp-wrong": ("Dấu thời gian không khớp với chữ ký.", "The time stamp does not fit the signature."),
    "timestamp-expired": (
        "Chứng thư của tổ chức cấp dấu thời gian đã hết hạn và không có dấu thời gian lưu trữ nào nối tiếp.",
        "The time-stamping certificate has ended and no archive time stamp continues it.",
    ),
    "revoked": ("Chứng thư đã bị thu hồi trước thời điểm xét.", "The certificate was revoked before the time of judgement."),
    "cannot-be-checked": ("Không kiểm tra được tệp này, nên không coi là hợp lệ.", "The file could not be checked, so it is not held valid."),
    # The certificate's status (SW-5, SW-8).
    "revocation-good": ("Không bị thu hồi", "not revoked"),
    "revocation-revoked": ("Đã bị thu hồi", "revoked"),
    "revocation-unknown": (
        "Chưa có thông tin thu hồi đáng tin cho mọi chứng thư.",
        "No conclusive revocation information for every certificate.",
    ),
    "revocation-not-checked": ("Chưa tra cứu thu hồi", "not looked up"),
    # Steps of a receipt.
    "log-key-pinned": ("Khóa nhật ký đúng là khóa đã biết.", "The log's key is the known one."),
    "log-key-shown": ("Khóa nhật ký lấy từ biên nhận; hãy đối chiếu dấu vân tay này.", "The log's key comes from the receipt; compare this thumbprint."),
    "log-key-differs": ("Khóa nhật ký KHÁC với khóa đã biết.", "The log's key is NOT the known one."),
    "head-signed": ("Đầu nhật ký được ký bằng khóa nhật ký.", "The log's head is signed by the log's key."),
    "head-not-signed": ("Đầu nhật ký không được ký bằng khóa nhật ký.", "The log's head is not signed by the log's key."),
    "head-other-size": ("Đầu nhật ký nói về nhật ký có kích thước khác.", "The log's head is about a log of another size."),
    "no-head": ("Không có đầu nhật ký để xét vị trí sự kiện.", "There is no head to judge the event's place by."),
    "leaf-included": ("Sự kiện nằm trong nhật ký đã ký.", "The event is in the signed log."),
    "leaf-not-included": ("Sự kiện KHÔNG nằm trong nhật ký đã ký.", "The event is NOT in the signed log."),
    "event-names-all": ("Sự kiện nêu đúng văn bản, bản kê, chữ ký và phê duyệt.", "The event names this document, manifest, signature and approval."),
    "event-unreadable": ("Sự kiện trong nhật ký không đọc được.", "The log's event cannot be read."),
    "event-other-kind": ("Sự kiện không phải là việc ký văn bản.", "The event is not the signing of a document."),
    "event-other-document": ("Sự kiện nói về văn bản khác.", "The event is about another document."),
    "event-other-tbs": ("Sự kiện nêu nội dung ký khác.", "The event names another content to be signed."),
    "event-other-manifest": ("Sự kiện nêu bản kê ảnh trang khác.", "The event names another manifest."),
    "event-other-revision": ("Sự kiện nêu bản đã ký khác.", "The event names another revision."),
    "event-other-approval": ("Sự kiện nêu phê duyệt khác.", "The event names another approval."),
    "event-other-cms": ("Sự kiện nêu chữ ký khác.", "The event names another signature."),
    "approval-holds": ("Thiết bị đã phê duyệt đúng nội dung và bản kê này.", "The device approved exactly this content and manifest."),
    "approval-not-signed": ("Phê duyệt không được ký bằng khóa phê duyệt.", "The approval is not signed by the approval key."),
    "approval-other-kind": ("Phê duyệt dành cho việc khác, không phải ký văn bản.", "The approval is for something else than signing a document."),
    "approval-other-device": ("Phê duyệt nêu thiết bị khác.", "The approval names another device."),
    "approval-other-document": ("Phê duyệt không nêu nội dung và bản kê này.", "The approval does not name this content and manifest."),
    "approval-other-activation": ("Phê duyệt thuộc về lần ký khác.", "The approval belongs to another activation."),
    "signature-holds": ("Chữ ký đúng, chứng thư dẫn đến gốc tin cậy.", "The signature verifies and its certificate chains to a root."),
    "timestamp-holds": ("Dấu thời gian đúng và tin cậy.", "The time stamp verifies and is trusted."),
    "timestamp-missing": ("Chữ ký không có dấu thời gian.", "The signature has no time stamp."),
    "timestamp-not-read": ("Chưa xét được dấu thời gian vì chữ ký không đúng.", "The time stamp was not judged, because the signature does not hold."),
    "pdf-is-revision": ("Tệp PDF đúng là bản mà biên nhận nêu.", "The PDF is the receipt's revision."),
    "pdf-other": ("Tệp PDF KHÔNG phải là bản mà biên nhận nêu.", "The PDF is NOT the receipt's revision."),
    "pdf-extends": (
        "Tệp PDF bắt đầu bằng bản mà biên nhận nêu nhưng đã có bản sau; hãy kiểm tra riêng tệp đó.",
        "The PDF begins with the receipt's revision but later ones follow; verify that file itself.",
    ),
    "pdf-archived": (
        "Tệp PDF là bản mà biên nhận nêu; sau đó chỉ thêm dữ liệu lưu trữ hợp lệ.",
        "The PDF is the receipt's revision, behind which only valid archival data were added.",
    ),
    "pdf-without-signature": ("Tệp PDF không chứa chữ ký của biên nhận.", "The PDF does not hold the receipt's signature."),
    "pdf-other-content": ("Nội dung ký tính lại từ PDF không khớp.", "The content to be signed, computed from the PDF, differs."),
    # Drawing the pages again.
    "manifest-file": ("Bản kê nói về đúng tệp này.", "The manifest is about this file."),
    "manifest-file-longer": ("Bản kê nói về phần đầu của tệp này; phần đó được vẽ lại.", "The manifest is about this file's beginning, which is drawn again."),
    "manifest-other-file": ("Bản kê nói về tệp KHÁC.", "The manifest is about ANOTHER file."),
    "manifest-approved": ("Bản kê đúng là bản đã được phê duyệt.", "The manifest is the one that was approved."),
    "manifest-not-approved": ("Bản kê KHÔNG phải là bản đã được phê duyệt.", "The manifest is NOT the one that was approved."),
    "pages-same": ("Mọi ảnh trang vẽ lại giống hệt bản kê.", "Every page drawn again is identical to the manifest."),
    "pages-differ": ("Có ảnh trang vẽ lại KHÁC bản kê.", "Some pages drawn again DIFFER from the manifest."),
    "pages-other-renderer": ("Bản kê do phiên bản bộ vẽ khác làm ra, không so sánh được ở đây.", "Another renderer made the manifest; it cannot be compared here."),
    "pages-not-shown": ("Không vẽ lại được các trang.", "The pages cannot be drawn."),
}  # fmt: skip

STEPS: Final[dict[str, tuple[str, str]]] = {
    "log-key": ("Khóa nhật ký", "Log key"),
    "record": ("Hồ sơ", "Record"),
    "log": ("Quá trình xử lý", "Course of handling"),
    "packet": ("Gói tin", "Packet"),
    "file": ("Tệp đến", "File that came"),
    "receipt": ("Biên nhận", "Receipt"),
    "authority": ("Thẩm quyền", "Authority"),
    "openings": ("Trang đã mở", "Opened pages"),
    "head": ("Đầu nhật ký", "Log head"),
    "inclusion": ("Vị trí trong nhật ký", "Inclusion"),
    "event": ("Sự kiện", "Event"),
    "approval": ("Phê duyệt", "Approval"),
    "signature": ("Chữ ký", "Signature"),
    "timestamp": ("Dấu thời gian", "Time stamp"),
    "pdf": ("Tệp PDF", "PDF"),
    "manifest-file": ("Bản kê", "Manifest"),
    "manifest": ("Bản kê và phê duyệt", "Manifest and approval"),
    "pages": ("Ảnh trang", "Page images"),
}

INTEGRITY: Final = frozenset({
    "range-not-exact", "range-not-whole", "hole-not-empty", "malformed", "content-changed", "signature-wrong",
    "changed-after-signing", "attribute-missing", "signing-certificate-differs",
})  # fmt: skip
"""Reasons of `signing.pdf.validation` that speak against the integrity of what was signed."""
CERTIFICATE: Final = frozenset(
    {"expired", "not-yet-valid", "no-chain", "key-usage", "weak-key", "signing-certificate-missing", "revoked"}
)
"""Reasons that speak against the certificate at the time of signing."""


def text(code: str) -> tuple[str, str]:
    """The Vietnamese and the English sentence of a code; a code without one stands for itself."""
    return TEXTS.get(code, (code, code))
