"""What `hoatoc doctor` says: by code, the finding and its cure in one sentence each, Vietnamese and English.

`{}` marks take the finding's own values. A finding that needs no cure has empty cures.
"""

from typing import Final

import msgspec

__all__ = ["TEXTS", "Text"]


class Text(msgspec.Struct, frozen=True):
    vi: str
    en: str
    cure_vi: str = ""
    cure_en: str = ""


TEXTS: Final[dict[str, Text]] = {
    "clock-right": Text(
        "Đồng hồ lệch {skew_s} s so với dấu thời gian.", "The clock is {skew_s} s from the time stamp."
    ),
    "clock-off": Text(
        "Đồng hồ lệch {skew_s} s so với dấu thời gian.",
        "The clock is {skew_s} s from the time stamp.",
        "Bật đồng bộ giờ (chrony hoặc systemd-timesyncd) trên máy này.",
        "Enable time synchronisation (chrony or systemd-timesyncd) on this machine.",
    ),
    "clock-wrong": Text(
        "Đồng hồ lệch hơn 60 s so với tổ chức cấp dấu thời gian.",
        "The clock is more than 60 s from the time-stamp authority's.",
        "Chỉnh lại giờ ngay và bật đồng bộ giờ: dấu thời gian đang bị từ chối.",
        "Correct the clock now and enable time synchronisation: time stamps are being refused.",
    ),
    "clock-went-back": Text(
        "Nhật ký có sự kiện ở tương lai ({ahead_s} s): đồng hồ đã chạy lùi.",
        "The log has an event {ahead_s} s in the future: the clock went back.",
        "Chỉnh lại giờ và bật đồng bộ giờ trước khi phục vụ tiếp.",
        "Correct the clock and enable time synchronisation before serving on.",
    ),
    "clock-jumped": Text(
        "Đồng hồ nhảy {jump_s} s trong lúc kiểm tra.",
        "The clock jumped by {jump_s} s during the check.",
        "Tìm chương trình chỉnh giờ đột ngột và cấu hình nó chỉnh từ từ.",
        "Find what sets the clock in steps and let it slew instead.",
    ),
    "clock-alone": Text(
        "Không có nguồn giờ nào để so sánh.",
        "There is no source to compare the clock with.",
        "Cấu hình tsa.urls để đồng hồ được đối chiếu.",
        "Configure tsa.urls, so that the clock is compared.",
    ),
    "disk-free": Text("Còn trống {free_mb} MB.", "{free_mb} MB are free."),
    "disk-low": Text(
        "Chỉ còn trống {free_mb} MB trên {folder}.",
        "Only {free_mb} MB are free on {folder}.",
        "Dọn bớt hoặc mở rộng ổ đĩa của {folder} trước khi đầy.",
        "Clear or enlarge the volume of {folder} before it is full.",
    ),
    "disk-full": Text(
        "Ổ đĩa của {folder} chỉ còn {free_mb} MB, dưới mức dự trữ.",
        "The volume of {folder} has {free_mb} MB left, below the reserve.",
        "Mở rộng hoặc dọn ổ đĩa của {folder} ngay: văn bản mới đang bị từ chối.",
        "Enlarge or clear the volume of {folder} now: new documents are being refused.",
    ),
    "permissions-right": Text(
        "Thư mục trạng thái và tệp bí mật chỉ chủ sở hữu đọc được.",
        "State folder and secrets are open to their owner alone.",
    ),
    "state-missing": Text(
        "Chưa có thư mục trạng thái.",
        "There is no state folder yet.",
        "Chạy hoatoc serve (hoặc hoatoc migrate) để tạo thư mục trạng thái.",
        "Run hoatoc serve (or hoatoc migrate) to make the state folder.",
    ),
    "permissions-open": Text(
        "{path} mở cho người dùng khác ({mode}).",
        "{path} is open to other users ({mode}).",
        "Chạy chmod go-rwx {path}.",
        "Run chmod go-rwx {path}.",
    ),
    "permissions-not-ours": Text(
        "Không ghi được vào {path}.",
        "{path} cannot be written.",
        "Đổi chủ sở hữu của {path} thành người dùng chạy hoatoc.",
        "Change the owner of {path} to the user that runs hoatoc.",
    ),
    "secret-unusable": Text(
        "Tệp bí mật {setting} không dùng được.",
        "The secret file {setting} cannot be used.",
        "Kiểm tra tệp của {setting}: phải tồn tại, không rỗng, quyền 0600.",
        "Check the file of {setting}: it must exist, not be empty, and have mode 0600.",
    ),
    "database-right": Text(
        "Cơ sở dữ liệu trả lời, lược đồ {version}, không hỏng.", "The database answers, schema {version}, intact."
    ),
    "database-missing": Text(
        "Chưa có tệp cơ sở dữ liệu.",
        "There is no database file yet.",
        "Chạy hoatoc migrate, hoặc kiểm tra database.url.",
        "Run hoatoc migrate, or check database.url.",
    ),
    "database-down": Text(
        "Không kết nối được cơ sở dữ liệu.",
        "The database cannot be reached.",
        "Khởi động cơ sở dữ liệu và kiểm tra database.url.",
        "Start the database and check database.url.",
    ),
    "database-schema": Text(
        "Lược đồ cơ sở dữ liệu không đúng phiên bản này.",
        "The schema is not this version's.",
        "Chạy hoatoc migrate; nếu lược đồ mới hơn thì cài phiên bản hoatoc mới.",
        "Run hoatoc migrate; if the schema is newer, install the newer hoatoc.",
    ),
    "database-corrupt": Text(
        "Cơ sở dữ liệu bị hỏng.",
        "The database is corrupt.",
        "Dừng dịch vụ, giữ nguyên tệp hỏng và phục hồi từ bản sao lưu.",
        "Stop the service, keep the damaged file and restore the backup.",
    ),
    "database-slow": Text(
        "Kiểm tra toàn vẹn cơ sở dữ liệu chưa xong trong thời hạn.",
        "The integrity check did not finish in time.",
        "Chạy lại hoatoc doctor lúc ít tải.",
        "Run hoatoc doctor again when there is less load.",
    ),
    "not-asked": Text(
        "Chưa hỏi được vì cơ sở dữ liệu không trả lời.",
        "Not asked, because the database does not answer.",
        "Khắc phục cơ sở dữ liệu trước.",
        "Cure the database first.",
    ),
    "signer-right": Text(
        "Bộ ký trả lời, đầu nhật ký cách đây {age_s} s.", "The signer answers; its head is {age_s} s old."
    ),
    "signer-down": Text(
        "Bộ ký không trả lời.",
        "The signer does not answer.",
        "Khởi động hoatoc signer run và kiểm tra signer.socket.",
        "Start hoatoc signer run and check signer.socket.",
    ),
    "signer-head-wrong": Text(
        "Đầu nhật ký của bộ ký không được ký đúng.",
        "The signer's head is not signed by its key.",
        "Dừng ký ngay và kiểm tra xem tiến trình nào đang nghe ở signer.socket.",
        "Stop signing now and find out which process listens at signer.socket.",
    ),
    "signer-behind": Text(
        "Kho của bộ ký cũ hơn chữ ký mới nhất {behind_s} s.",
        "The signer's store is {behind_s} s older than the newest signature.",
        "Kho có thể đã bị phục hồi từ bản cũ: dừng ký và làm theo thủ tục phục hồi bộ ký.",
        "The store may have been restored: stop signing and follow the signer's restore procedure.",
    ),
    "signer-ahead": Text(
        "Đầu nhật ký của bộ ký ở tương lai {ahead_s} s.",
        "The signer's head is {ahead_s} s in the future.",
        "Đồng bộ giờ giữa máy chạy bộ ký và máy chủ.",
        "Synchronise the clocks of signer and server.",
    ),
    "signer-organisations": Text(
        "Bộ ký chưa phục vụ: {codes}.",
        "The signer does not sign for: {codes}.",
        "Chạy hoatoc signer add-organisation cho từng mã rồi khởi động lại bộ ký.",
        "Run hoatoc signer add-organisation for each code and start the signer again.",
    ),
    "sandbox-right": Text("Tiến trình con bị cách ly đầy đủ.", "Child processes are walled in completely."),
    "sandbox-partial": Text(
        "Thiếu lớp cách ly: {missing}.",
        "Walls are missing: {missing}.",
        "Cho phép user namespace, seccomp và Landlock trên nhân hệ điều hành này.",
        "Allow user namespaces, seccomp and Landlock on this kernel.",
    ),
    "sandbox-open": Text(
        "Tiến trình con mở được mạng.",
        "Child processes can reach the network.",
        "Bật seccomp hoặc user namespace trước khi nhận PDF từ bên ngoài.",
        "Enable seccomp or user namespaces before taking PDF files from outside.",
    ),
    "sandbox-down": Text(
        "Không khởi động được tiến trình con.",
        "Child processes do not start.",
        "Kiểm tra giới hạn tiến trình và bộ nhớ của dịch vụ (ulimit, cgroup).",
        "Check the service's process and memory limits (ulimit, cgroup).",
    ),
    "axis-right": Text(
        "Trục liên thông trả lời và nhận ra hệ thống {code}.", "The axis answers and knows the system {code}."
    ),
    "systems-right": Text(
        "{count} hệ thống trên trục, mỗi cơ quan một.", "{count} systems at the axis, one an organisation."
    ),
    "systems-unknown": Text(
        "exchange.systems nêu mã không cơ quan nào ở đây có: {codes}.",
        "exchange.systems names codes that no organisation here has: {codes}.",
        "Sửa organisations trong exchange.systems; cơ quan không được nêu gửi qua hệ thống chung.",
        "Correct organisations in exchange.systems; who is not named sends through the system of all others.",
    ),
    "systems-stranded": Text(
        "{count} gói tin đang gửi dở qua hệ thống không còn được cấu hình: {codes}.",
        "{count} packets under way were sent through a system that is configured no more: {codes}.",
        "Ghi lại hệ thống đó (cùng url và system_id, dưới [exchange] hay [[exchange.systems]]) cho đến khi các gói tin có kết quả.",
        "Configure that system again (same url and system_id, under [exchange] or [[exchange.systems]]) until their outcome is known.",
    ),
    "axis-clock-ahead": Text(
        "Đồng hồ máy này nhanh hơn trục liên thông {seconds} giây ({code}).",
        "This machine's clock is {seconds} s ahead of the axis' ({code}).",
        "Đồng bộ giờ của máy (NTP); trục từ chối yêu cầu ký lệch giờ, văn bản chờ và tự gửi khi giờ đúng.",
        "Synchronise this machine's clock (NTP); the axis refuses requests signed at another time, documents wait and leave once it is right.",
    ),
    "axis-clock-behind": Text(
        "Đồng hồ máy này chậm hơn trục liên thông {seconds} giây ({code}).",
        "This machine's clock is {seconds} s behind the axis' ({code}).",
        "Đồng bộ giờ của máy (NTP); trục từ chối yêu cầu ký lệch giờ, văn bản chờ và tự gửi khi giờ đúng.",
        "Synchronise this machine's clock (NTP); the axis refuses requests signed at another time, documents wait and leave once it is right.",
    ),
    "axis-off": Text(
        "Chưa cấu hình trục liên thông: văn bản ký xong không được gửi đi.",
        "No axis is configured: sealed documents are not sent.",
        "Cấu hình exchange.url, exchange.system_id và exchange.secret_file.",
        "Configure exchange.url, exchange.system_id and exchange.secret_file.",
    ),
    "axis-down": Text(
        "Trục liên thông không trả lời ({cause}).",
        "The axis does not answer ({cause}).",
        "Kiểm tra mạng tới {setting}.url; văn bản đang chờ sẽ được gửi lại tự động.",
        "Check the network to {setting}.url; waiting documents are sent again by themselves.",
    ),
    "axis-refused": Text(
        "Trục liên thông từ chối hệ thống {code} ({cause}).",
        "The axis refuses the system {code} ({cause}).",
        "Kiểm tra {setting}.system_id, khóa trong {setting}.secret_file và giờ của máy.",
        "Check {setting}.system_id, the key in {setting}.secret_file and the clock.",
    ),
    "axis-stranger": Text(
        "Trục không liệt kê mã {code}.",
        "The axis does not list the code {code}.",
        "Đối chiếu {setting}.system_id với danh sách đơn vị của trục.",
        "Compare {setting}.system_id with the axis' list of agencies.",
    ),
    "tsa-right": Text("{count} dịch vụ dấu thời gian trả lời đúng.", "{count} time-stamp authorities answer rightly."),
    "tsa-off": Text(
        "Chưa cấu hình dấu thời gian: chữ ký không hoàn tất được.",
        "No time-stamp authority is configured: signatures cannot be completed.",
        "Cấu hình tsa.urls và tsa.roots.",
        "Configure tsa.urls and tsa.roots.",
    ),
    "tsa-no-roots": Text(
        "Không đọc được gốc tin cậy của dấu thời gian.",
        "The time-stamp roots cannot be read.",
        "Đặt tsa.roots tới tệp PEM chứa chứng thư gốc của tổ chức cấp dấu thời gian.",
        "Point tsa.roots to a PEM file with the authority's root.",
    ),
    "tsa-some": Text(
        "{down}/{count} dịch vụ dấu thời gian không dùng được ({cause}).",
        "{down} of {count} time-stamp authorities cannot be used ({cause}).",
        "Kiểm tra hoặc thay địa chỉ không dùng được trong tsa.urls.",
        "Check or replace the unusable address in tsa.urls.",
    ),
    "tsa-down": Text(
        "Không dịch vụ dấu thời gian nào dùng được ({cause}).",
        "No time-stamp authority can be used ({cause}).",
        "Kiểm tra mạng tới tsa.urls và gốc trong tsa.roots: chữ ký mới đang chờ dấu thời gian.",
        "Check the network to tsa.urls and the roots in tsa.roots: new signatures wait for their time stamp.",
    ),
    "fcm-right": Text("Lấy được mã truy cập FCM.", "An FCM access token can be had."),
    "fcm-off": Text(
        "Chưa cấu hình FCM: điện thoại không nhận được thông báo đẩy.",
        "FCM is not configured: phones get no push.",
        "Cấu hình push.fcm_credentials bằng tệp tài khoản dịch vụ của Firebase.",
        "Set push.fcm_credentials to the service account file of Firebase.",
    ),
    "fcm-credentials": Text(
        "FCM từ chối hoặc không đọc được tài khoản dịch vụ ({cause}).",
        "The FCM service account is refused or unreadable ({cause}).",
        "Tạo lại khóa tài khoản dịch vụ và thay tệp push.fcm_credentials.",
        "Make a new key of the service account and replace the file push.fcm_credentials.",
    ),
    "fcm-down": Text(
        "Không liên lạc được với FCM ({cause}).",
        "FCM cannot be reached ({cause}).",
        "Cho phép máy chủ ra mạng tới dịch vụ của Google hoặc chờ dịch vụ hồi phục.",
        "Let the server reach Google's services, or wait until they recover.",
    ),
    "webpush-right": Text("Khóa VAPID dùng được.", "The VAPID key can be used."),
    "webpush-new": Text("Khóa VAPID được tạo ở lần chạy đầu.", "The VAPID key is made at the first start."),
    "webpush-off": Text(
        "Chưa có khóa VAPID: trình duyệt không nhận được thông báo đẩy.",
        "There is no VAPID key: browsers get no push.",
        "Tạo khóa P-256 (openssl ecparam -name prime256v1 -genkey -noout) và đặt push.vapid_key_file.",
        "Make a P-256 key (openssl ecparam -name prime256v1 -genkey -noout) and set push.vapid_key_file.",
    ),
    "webpush-key": Text(
        "Không dùng được khóa VAPID {path} ({cause}).",
        "The VAPID key {path} cannot be used ({cause}).",
        "Khôi phục tệp từ bản sao lưu, chỉ chủ sở hữu đọc được; khóa mới làm mất mọi đăng ký nhận thông báo.",
        "Restore the file from a backup, readable by its owner alone; a new key ends every subscription.",
    ),
    "webpush-contact": Text(
        "Dịch vụ thông báo đẩy không biết liên hệ ai.",
        "Push services know nobody to write to.",
        "Đặt push.vapid_contact (mailto: hoặc https:): có dịch vụ từ chối nếu thiếu.",
        "Set push.vapid_contact (mailto: or https:): some services refuse without it.",
    ),
    "sms-off": Text("Chưa dùng tin nhắn SMS.", "SMS is not used."),
    "sms-right": Text("Kết nối được cổng tin nhắn.", "The SMS gateway can be reached."),
    "sms-token": Text(
        "Không đọc được mã của cổng tin nhắn ({path}).",
        "The token of the SMS gateway cannot be read ({path}).",
        "Sửa push.sms_token_file hoặc quyền đọc của tệp.",
        "Correct push.sms_token_file, or who may read the file.",
    ),
    "sms-down": Text(
        "Không kết nối được cổng tin nhắn.",
        "The SMS gateway cannot be reached.",
        "Kiểm tra push.sms_url, mạng và chứng thư TLS của cổng.",
        "Check push.sms_url, the network and the gateway's TLS certificate.",
    ),
    "email-off": Text("Chưa dùng thư điện tử.", "E-mail is not used."),
    "email-right": Text("Đăng nhập được máy chủ thư.", "The mail server lets us in."),
    "email-password": Text(
        "Không đọc được mật khẩu của máy chủ thư ({path}).",
        "The mail server's password cannot be read ({path}).",
        "Sửa push.smtp_password_file hoặc quyền đọc của tệp.",
        "Correct push.smtp_password_file, or who may read the file.",
    ),
    "email-refused": Text(
        "Máy chủ thư từ chối đăng nhập hoặc không có STARTTLS.",
        "The mail server refuses the sign-in or offers no STARTTLS.",
        "Kiểm tra push.smtp_user, push.smtp_password_file và STARTTLS của máy chủ thư.",
        "Check push.smtp_user, push.smtp_password_file and the mail server's STARTTLS.",
    ),
    "email-down": Text(
        "Không kết nối được máy chủ thư.",
        "The mail server cannot be reached.",
        "Kiểm tra push.smtp_url, mạng và chứng thư TLS của máy chủ thư.",
        "Check push.smtp_url, the network and the mail server's TLS certificate.",
    ),
    "second-right": Text(
        "Mọi kênh của chuỗi báo khẩn đều dùng được.", "The chains of escalation have every channel that they name."
    ),
    "second-off": Text(
        "Chuỗi báo khẩn của {codes} dùng tin nhắn hoặc thư, nhưng chưa có cổng nào: bước đó bị bỏ qua.",
        "Chains of {codes} tell by SMS or e-mail, and there is no gateway: the step is passed over.",
        "Đặt push.sms_url hoặc push.smtp_url, hoặc sửa chuỗi tại #/rules.",
        "Set push.sms_url or push.smtp_url, or change the chain at #/rules.",
    ),
    "font-right": Text("Phông dấu ký có đủ chữ tiếng Việt.", "The stamp's font has all Vietnamese letters."),
    "font-wrong": Text(
        "Phông dấu ký thiếu chữ hoặc không dùng được.",
        "The stamp's font lacks letters or cannot be used.",
        "Bỏ stamp.font_file để dùng phông kèm theo, hoặc chọn phông TrueType đủ chữ tiếng Việt.",
        "Unset stamp.font_file to use the bundled font, or choose a TrueType font with all Vietnamese letters.",
    ),
    "certificates-right": Text(
        "Chứng thư gần hết hạn nhất còn {days} ngày.", "The certificate that ends first has {days} days left."
    ),
    "certificates-none": Text("Chưa có chứng thư nào đang dùng.", "No certificate is in use yet."),
    "certificate-ends": Text(
        "Chứng thư của {subject} còn {days} ngày.",
        "The certificate of {subject} has {days} days left.",
        "Xin gia hạn chứng thư của {subject} ngay.",
        "Have the certificate of {subject} renewed now.",
    ),
    "certificate-ended": Text(
        "Chứng thư của {subject} đã hết hạn {days} ngày.",
        "The certificate of {subject} ended {days} days ago.",
        "Gia hạn chứng thư của {subject}: đến khi đó việc ký bị từ chối.",
        "Renew the certificate of {subject}: until then signing is refused.",
    ),
    "certificate-unreadable": Text(
        "Không đọc được tệp chứng thư {subject}.",
        "The certificate file {subject} cannot be read.",
        "Sửa đường dẫn hoặc nội dung PEM của {subject}.",
        "Correct the path or the PEM content of {subject}.",
    ),
    "trust-off": Text(
        "Chưa cấu hình gốc tin cậy của chứng thư ký.",
        "No roots of signing certificates are configured.",
        "Đặt trust.roots tới tệp PEM của các tổ chức chứng thực được chấp nhận.",
        "Point trust.roots to a PEM file of the accepted authorities.",
    ),
    "outbox-right": Text("Hàng đợi việc chạy kịp.", "The outbox is worked in time."),
    "outbox-late": Text(
        "Việc đến hạn cũ nhất đã chờ {age_s} s.",
        "The oldest due job has waited {age_s} s.",
        "Kiểm tra hoatoc worker có đang chạy; thêm tiến trình nếu hàng đợi dài ({due}).",
        "Check that hoatoc worker runs; add processes if the queue is long ({due}).",
    ),
    "outbox-stuck": Text(
        "Việc đến hạn cũ nhất đã chờ {age_s} s: không ai làm.",
        "The oldest due job has waited {age_s} s: nobody works.",
        "Khởi động hoatoc worker (hoặc hoatoc serve ở chế độ nhúng) ngay.",
        "Start hoatoc worker (or hoatoc serve in embedded mode) now.",
    ),
    "jobs-none-buried": Text("Không có việc nào bị bỏ.", "No job is buried."),
    "jobs-buried": Text(
        "{count} việc đã bị bỏ sau nhiều lần thử.",
        "{count} jobs were given up after many tries.",
        "Xem lý do bằng hoatoc jobs list, sửa nguyên nhân rồi cho chạy lại: hoatoc jobs again ID.",
        "Read the reasons with hoatoc jobs list, cure the cause, then let them run again: hoatoc jobs again ID.",
    ),
    "packets-none-parked": Text("Không có gói tin đến nào bị giữ lại.", "No packet that came is parked."),
    "packets-parked": Text(
        "{count} gói tin đến bị giữ lại, gói cũ nhất đã {days} ngày.",
        "{count} packets that came are parked, the oldest for {days} days.",
        "Xem lý do bằng hoatoc parked list (lấy gói ra: hoatoc parked save ID FILE), sửa nguyên nhân rồi hoatoc parked again ID, hoặc hoatoc parked dismiss ID.",
        "Read the reasons with hoatoc parked list (the bytes: hoatoc parked save ID FILE), cure the cause, then hoatoc parked again ID, or hoatoc parked dismiss ID.",
    ),
    "stamps-right": Text(
        "Không chữ ký nào chờ dấu thời gian quá lâu.", "No signature waits too long for its time stamp."
    ),
    "stamps-late": Text(
        "Chữ ký cũ nhất chờ dấu thời gian đã {age_s} s.",
        "The oldest signature has waited {age_s} s for its time stamp.",
        "Khắc phục dịch vụ dấu thời gian trước khi việc ký bị dừng.",
        "Cure the time-stamp authority before signing stops.",
    ),
    "stamps-stopped": Text(
        "Chữ ký chờ dấu thời gian {age_s} s: việc ký đã dừng.",
        "A signature has waited {age_s} s: signing has stopped.",
        "Khôi phục dịch vụ dấu thời gian; việc ký tự chạy lại khi hết chữ ký chờ.",
        "Restore the time-stamp authority; signing resumes by itself when none waits.",
    ),
    "check-failed": Text(
        "Phép kiểm tra gặp lỗi bất ngờ ({cause}).",
        "The check itself failed unexpectedly ({cause}).",
        "Chạy lại; nếu còn lỗi hãy gửi kết quả hoatoc doctor --json cho người phát triển.",
        "Run it again; if it persists, send the output of hoatoc doctor --json to the developers.",
    ),
    "check-slow": Text(
        "Phép kiểm tra không xong trong {limit_s} s.",
        "The check did not finish within {limit_s} s.",
        "Kiểm tra mạng và tải của máy rồi chạy lại.",
        "Check network and load of the machine, then run it again.",
    ),
}
