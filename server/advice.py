"""What a person can do about a problem: the `detail` of its document where the refusal itself gives none (RFC 9457, 3.1.4).

Only where the title leaves somebody who holds a phone and not a manual in doubt. Short, in the words of the client's screens.
"""

from typing import Final

__all__ = ["ADVICE"]

ADVICE: Final[dict[str, tuple[str, str]]] = {
    "approval-invalid": (
        "Phê duyệt không khớp với bản trình ký. Hãy mở lại văn bản và ký lại.",
        "The approval does not fit the sheet. Open the document and sign again.",
    ),
    "approval-used": (
        "Lần ký này đã được gửi rồi. Xem trạng thái văn bản, đừng ký lại.",
        "This approval was sent already. Look at the document's state; do not sign again.",
    ),
    "arrival-asked-back": (
        "Nơi gửi đang xin lấy lại văn bản. Hãy trả lời yêu cầu đó trước.",
        "Its sender asks for the document back. Answer that request first.",
    ),
    "arrival-not-judged": (
        "Chữ ký đang được kiểm tra. Đợi một lát rồi thử lại.",
        "The signatures are being verified. Wait a moment and try again.",
    ),
    "arrival-not-valid": (
        "Chữ ký không hợp lệ. Trả lại nơi gửi, hoặc ghi rõ lý do vẫn vào sổ.",
        "The signatures are not valid. Return it, or say why it is registered all the same.",
    ),
    "authentication-required": (
        "Phiên làm việc đã kết thúc. Hãy mở lại ứng dụng.",
        "The session has ended. Open the application again.",
    ),
    "authority-missing": (
        "Giấy giao quyền ký không dùng được cho văn bản này. Chưa ký gì. Báo người giao quyền.",
        "The grant does not cover this document. Nothing was signed. Tell whoever gave it.",
    ),
    "busy": (
        "Máy chủ đang bận. Đợi một lát rồi thử lại.",
        "The server is busy. Wait a moment and try again.",
    ),
    "cannot-be-shown": (
        "Không dựng được hình trang này. Hãy báo người trình gửi lại tệp khác.",
        "This page cannot be drawn. Ask the drafter for another file.",
    ),
    "challenge-expired": (
        "Đã quá 2 phút. Nhập lại mã PIN.",
        "More than 2 minutes have passed. Enter the PIN again.",
    ),
    "changed-beyond-signature": (
        "Bản trình ký không đúng với văn bản. Chưa ký gì. Báo quản trị viên.",
        "The sheet differs from the document. Nothing was signed. Tell your administrator.",
    ),
    "conflict": (
        "Vừa có người thay đổi. Hãy mở lại.",
        "Somebody has just changed it. Open it again.",
    ),
    "deputy-unusable": (
        "Hãy chọn một người khác đang làm việc trong cơ quan.",
        "Choose another person who works in the organisation.",
    ),
    "credential-unavailable": (
        "Bạn chưa có chứng thư số còn hạn. Liên hệ cán bộ đăng ký.",
        "You have no certificate in force. Ask the registration officer.",
    ),
    "device-key-known": (
        "Máy này đã từng được ghép. Xin mã ghép mới và thử lại.",
        "This device was paired before. Ask for a new code and try again.",
    ),
    "device-not-admitted": (
        "Máy này chưa được phép ký. Vào “Của tôi” để xem mã và gặp cán bộ đăng ký.",
        "This device may not sign yet. See its code under “Mine” and ask the officer.",
    ),
    "document-signing": (
        "Văn bản đang được ký. Đợi một lát rồi mở lại.",
        "The document is being signed. Open it again in a moment.",
    ),
    "file-pending": (
        "Tệp chưa xong: đang chờ dấu thời gian. Thử lại sau ít phút.",
        "The file is not ready: its time stamp is awaited. Try again in some minutes.",
    ),
    "forbidden": (
        "Vai trò của bạn không được làm việc này.",
        "Your role may not do this.",
    ),
    "grant-invalid": (
        "Kiểm tra lại người giao, người nhận và thời hạn của giấy giao quyền.",
        "Look again at who gives the grant, who holds it and how long it lasts.",
    ),
    "integrity-failed": (
        "Tệp lưu trữ bị hỏng. Không hiện, không ký. Báo quản trị viên.",
        "The stored file is damaged. Nothing is shown or signed. Tell your administrator.",
    ),
    "key-destroyed": (
        "Khóa ký đã bị hủy sau 9 lần sai mã PIN. Gặp trực tiếp cán bộ đăng ký để cấp khóa và chứng thư mới.",
        "The key was destroyed after 9 wrong PINs. See the registration officer in person for a new key and certificate.",
    ),
    "image-refused": (
        "Hãy chọn ảnh PNG nền trong suốt, nhỏ hơn 2 MB: chữ ký màu xanh, con dấu màu đỏ.",
        "Choose a PNG with a transparent background below 2 MB: a signature in blue, a seal in red.",
    ),
    "key-frozen": (
        "Khóa ký đang bị tạm khóa. Liên hệ cán bộ đăng ký hoặc trực ban để mở lại.",
        "Your key is frozen. The registration or duty officer can lift it.",
    ),
    "directive-changed": (
        "Ý kiến chỉ đạo vừa có thay đổi. Xem lại rồi báo cáo.",
        "The direction has just changed. Look again, then report.",
    ),
    "directive-over": (
        "Công việc này đã hoàn thành hoặc đã được rút.",
        "This was completed or withdrawn already.",
    ),
    "directive-open-below": (
        "Chờ phần việc đã chuyển tiếp hoàn thành, hoặc rút phần việc đó trước.",
        "Wait until what you directed onwards is completed, or withdraw it first.",
    ),
    "assignee-unknown": (
        "Chọn lại người hoặc đơn vị: thuộc cơ quan hoặc là đơn vị trực thuộc.",
        "Choose again: people of the organisation, or organisations below it.",
    ),
    "meeting-changed": (
        "Cuộc họp vừa có thay đổi. Xem lại rồi trả lời.",
        "The meeting has just changed. Look again, then answer.",
    ),
    "meeting-over": (
        "Cuộc họp đã bắt đầu hoặc đã hủy nên không đổi được nữa.",
        "The meeting has started or was cancelled; nothing can be changed.",
    ),
    "answer-invalid": (
        "Vắng mặt cần nêu lý do; người dự thay phải thuộc cơ quan và chưa có trong thành phần họp.",
        "Say why you do not come; a substitute belongs to the organisation and is not on the list.",
    ),
    "attendee-unknown": (
        "Chọn lại thành phần họp: chỉ mời được người đang công tác tại cơ quan.",
        "Choose the attendees again: only active members of the organisation can be invited.",
    ),
    "not-found": (
        "Không còn tìm thấy, hoặc bạn không có quyền xem.",
        "It is not there any more, or you may not see it.",
    ),
    "not-the-route": (
        "Ô ký trong tệp không khớp luồng ký. Báo người trình lập lại văn bản.",
        "The field in the file does not fit the route. Tell the drafter.",
    ),
    "not-your-turn": (
        "Văn bản không còn chờ bạn: đã được xử lý hoặc đã đổi.",
        "The document does not wait for you any more.",
    ),
    "office-device-required": (
        "Chỉ đóng dấu được trên máy đặt tại cơ quan.",
        "Sealing is possible only on an office device.",
    ),
    "outcome-unknown": (
        "Chưa biết kết quả. Xem trạng thái trước khi làm lại.",
        "The outcome is not known. Look at the state before doing it again.",
    ),
    "pairing-code-invalid": (
        "Mã ghép đã dùng hoặc hết hạn. Xin mã mới.",
        "The pairing code was used or has ended. Ask for a new one.",
    ),
    "personal-signature-missing": (
        "Chưa có chữ ký hợp lệ của người có thẩm quyền nên chưa đóng dấu được.",
        "Without a valid personal signature the document cannot be sealed.",
    ),
    "pin-weak": (
        "Mã PIN này quá dễ đoán. Chọn mã khác.",
        "This PIN is too easy to guess. Choose another.",
    ),
    "placement-required": (
        "Người trình cần chỉ rõ chỗ ký và đóng dấu trên trang. Hãy báo người trình.",
        "The drafter has to say where signature and seal stand. Tell the drafter.",
    ),
    "pages-unopened": (
        "Văn bản này phải mở đủ mọi trang trước khi ký. Chưa ký gì. Mở các trang còn lại rồi ký.",
        "Every page of this document must be opened before it is signed. Nothing was signed. Open the others, then sign.",
    ),
    "prepared-expired": (
        "Bản trình ký đã cũ. Mở lại để xem và ký.",
        "The sheet is too old. Open it again to look and sign.",
    ),
    "push-address-invalid": (
        "Máy này không nhận được thông báo đẩy.",
        "This device cannot receive push messages.",
    ),
    "receiver-unknown": (
        "Nơi nhận này đã có, hoặc mã không còn trong danh sách cơ quan.",
        "This receiver stands there already, or the list of agencies has its code no more.",
    ),
    "route-invalid": (
        "Luồng ký có người không ký được hoặc bị lặp. Hãy báo người trình.",
        "The route names somebody who may not sign, or names one twice. Tell the drafter.",
    ),
    "signer-busy": (
        "Bộ ký số đang bận. Văn bản chưa được ký; đợi vài giây rồi ký lại.",
        "The signer is busy. Nothing was signed; wait some seconds and sign again.",
    ),
    "signer-unavailable": (
        "Bộ ký số tạm ngừng. Văn bản chưa được ký; thử lại sau ít phút.",
        "The signer is not available. Nothing was signed; try again in some minutes.",
    ),
    "temporarily-unavailable": (
        "Máy chủ tạm ngừng phục vụ. Thử lại sau ít phút.",
        "The server is not available. Try again in some minutes.",
    ),
    "time-stamps-overdue": (
        "Dịch vụ dấu thời gian ngừng quá lâu nên chưa ký được. Quản trị viên đã được báo.",
        "Time stamps have failed for too long, so nothing can be signed now.",
    ),
    "too-large": (
        "Tệp quá lớn.",
        "The file is too large.",
    ),
    "voucher-invalid": (
        "Phiếu cấp khóa không có giá trị hoặc đã dùng. Cán bộ đăng ký cấp phiếu khác.",
        "The voucher is not valid or was used. The officer must give another.",
    ),
    "certificate-revoked": (
        "Chứng thư của bạn đã bị thu hồi. Chưa ký gì. Liên hệ cán bộ đăng ký.",
        "Your certificate was revoked. Nothing was signed. Ask the registration officer.",
    ),
    "certificate-status-unavailable": (
        "Chưa hỏi được trạng thái chứng thư nên chưa ký được. Thử lại sau ít phút.",
        "The certificate's status could not be learned, so nothing was signed. Try again in some minutes.",
    ),
    "certificate-invalid": (
        "Chứng thư không đúng khóa, không đúng tên, hết hạn hoặc không do đơn vị tin cậy cấp.",
        "The certificate has another key or name, has ended, or comes from no trusted authority.",
    ),
    "rate-limited": (
        "Bạn làm quá nhanh. Đợi một lát rồi thử lại.",
        "Too many requests. Wait a moment and try again.",
    ),
}
