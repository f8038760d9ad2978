/** Every text of the client, Vietnamese and English. `{name}` is replaced. Official words as in the decrees; plain words elsewhere. */

/** @type {Record<string, [string, string]>} */
const TEXTS = {
  app: ["Hỏa Tốc", "Hỏa Tốc"],
  back: ["Quay lại", "Back"],
  close: ["Đóng", "Close"],
  cancel: ["Không, quay lại", "No, go back"],
  again: ["Thử lại", "Try again"],
  loading: ["Đang tải…", "Loading…"],
  more: ["Xem thêm", "Show more"],
  offline: ["Mất mạng. Đang thử kết nối lại…", "No network. Trying again…"],
  failedOffline: ["Không có mạng. Kiểm tra kết nối rồi thử lại.", "No network. Check the connection and try again."],
  internal: ["Có lỗi trên thiết bị này. Hãy thử lại.", "Something failed on this device. Try again."],
  trace: ["Mã hỗ trợ: {id}", "Support code: {id}"],

  navInbox: ["Hộp thư", "Inbox"],
  navSeal: ["Đóng dấu", "Seal"],
  navNotices: ["Thông báo", "Notices"],
  navMe: ["Của tôi", "Mine"],
  skip: ["Đến nội dung chính", "Skip to content"],

  welcomeTitle: ["Ghép thiết bị", "Pair this device"],
  welcome: [
    "Mở đường liên kết hoặc quét mã QR do quản trị viên của cơ quan gửi cho bạn. Mỗi mã chỉ dùng một lần.",
    "Open the link or scan the QR code that your administrator gave you. Each code works once.",
  ],
  pairFound: ["Thiết bị này sẽ được ghép với tài khoản của bạn tại {host}.", "This device will be paired with your account at {host}."],
  pairName: ["Thiết bị sẽ hiện với tên", "The device will be shown as"],
  pairDo: ["Ghép thiết bị này", "Pair this device"],
  pairing: ["Đang tạo khóa của thiết bị…", "Making the device's keys…"],
  pairNoSigner: [
    "Liên kết này thiếu dấu nhận dạng của bộ ký số nên không an toàn. Hãy xin liên kết mới.",
    "This link does not name the signer, so it is not safe. Ask for a new link.",
  ],
  pairKnown: ["Thiết bị này đã được ghép. Liên kết mới không được dùng.", "This device is already paired. The new link was not used."],
  deviceAndroid: ["Điện thoại Android", "Android phone"],
  deviceIphone: ["iPhone", "iPhone"],
  deviceDesk: ["Máy tính", "Computer"],

  revokedTitle: ["Thiết bị đã bị thu hồi", "This device was revoked"],
  revoked: ["Thiết bị này không còn quyền truy cập. Khóa ký không còn dùng được từ đây.", "This device may no longer call. Its keys can sign nothing."],
  revokedDo: ["Xóa dữ liệu trên thiết bị", "Erase this device's data"],
  closedTitle: ["Đã đăng xuất", "Logged out"],
  closed: ["Khóa của thiết bị vẫn được giữ. Mở lại phiên khi bạn cần.", "The device keeps its keys. Start a session when you need one."],
  closedDo: ["Mở lại phiên", "Start a session"],

  codeTitle: ["Mã đối chiếu", "Code to compare"],
  codeHelp: [
    "Đọc mã này cho cán bộ đăng ký. Hai bên phải thấy cùng một mã.",
    "Read this code to the registration officer. Both must see the same one.",
  ],
  codeWait: ["Đang chờ phiếu cấp khóa…", "Waiting for the officer's voucher…"],
  codeLater: ["Để sau", "Later"],
  enrolCard: ["Chưa có khóa ký", "No signing key yet"],
  enrolCardHelp: ["Hoàn tất cấp khóa để ký trên máy này.", "Finish enrolment to sign on this device."],
  enrolReady: ["Phiếu cấp khóa đã đến. Chọn mã PIN để hoàn tất.", "The voucher is here. Choose a PIN to finish."],
  enrolDo: ["Chọn mã PIN", "Choose a PIN"],
  addReady: ["Bạn đã có khóa ký. Phiếu cho máy này đã đến.", "You have a signing key. The voucher for this device is here."],
  addDo: ["Nhập mã PIN đang dùng", "Enter your present PIN"],
  purposeSeal: ["Con dấu số của cơ quan", "The organisation's seal"],
  purposePerson: ["Chữ ký số cá nhân", "Personal signature"],
  enrolWaits: ["Đã tạo khóa. Đang chờ chứng thư số.", "The key is made. Its certificate is awaited."],
  enrolWaitsHelp: ["Cơ quan chứng thực đang cấp chứng thư. Bạn sẽ ký được khi chứng thư đến.", "You can sign as soon as the certificate is here."],
  enrolHolder: ["Đã gửi. Chờ người đang giữ con dấu bàn giao.", "Sent. The present holder has to hand over."],
  enrolDone: ["Thiết bị đã sẵn sàng ký", "This device is ready to sign"],
  toInbox: ["Vào hộp thư", "Go to the inbox"],
  pinChoose: ["Chọn mã PIN mới", "Choose a new PIN"],
  pinChooseHelp: ["Từ 6 số, nên 8 số. Không dùng ngày sinh, số điện thoại.", "6 digits or more, better 8. No birthday, no phone number."],
  pinRepeat: ["Nhập lại mã PIN", "Enter the PIN again"],
  pinRepeatHelp: ["Nhập đúng các số vừa chọn.", "The same digits once more."],
  pinDiffers: ["Hai lần nhập không giống nhau. Chọn lại.", "The two entries differ. Choose again."],
  pinWeak: ["Mã PIN này quá dễ đoán. Chọn mã khác.", "This PIN is too easy to guess. Choose another."],
  pinOld: ["Nhập mã PIN hiện tại", "Enter the present PIN"],
  pinNext: ["Tiếp tục", "Continue"],
  pinLabel: ["Bàn phím mã PIN", "PIN pad"],
  pinCount: ["Đã nhập {n} số", "{n} digits entered"],
  pinErase: ["Xóa một số", "Erase one digit"],
  pinWrong: ["Sai mã PIN. Còn {n} lần thử.", "Wrong PIN. {n} tries left."],
  pinWrongLast: ["Sai mã PIN. Còn 1 lần, sau đó khóa tạm thời.", "Wrong PIN. 1 try left before it locks."],
  pinLocked: ["Mã PIN bị khóa đến {time}.", "The PIN is locked until {time}."],
  triesLeft: ["Còn {n} lần thử PIN", "{n} PIN tries left"],
  pinChanged: ["Đã đổi mã PIN", "The PIN was changed"],
  pinChange: ["Đổi mã PIN", "Change PIN"],
  unsafeSigner: [
    "Bộ ký số không khớp với lúc ghép thiết bị. Không nhập mã PIN. Báo ngay cho quản trị viên.",
    "The signer is not the one this device was paired with. Enter no PIN. Tell your administrator now.",
  ],
  unsafeBytes: [
    "Nội dung nhận được không khớp mã băm. Văn bản chưa được ký. Báo ngay cho quản trị viên.",
    "What arrived does not match its digest. Nothing was signed. Tell your administrator now.",
  ],
  unsafeVoucher: ["Phiếu cấp khóa không dành cho thiết bị này.", "The voucher is not for this device."],

  inboxTitle: ["Hộp thư", "Inbox"],
  inboxWaiting: ["Chờ tôi xử lý", "Waiting for me"],
  inboxDone: ["Đã xử lý, để biết", "Done, for information"],
  inboxEmpty: ["Không có văn bản nào chờ bạn.", "Nothing waits for you."],
  inboxNone: ["Hộp thư trống.", "The inbox is empty."],
  sealTitle: ["Chờ đóng dấu", "Waiting for the seal"],
  sealEmpty: ["Không có văn bản chờ đóng dấu.", "Nothing waits for the seal."],
  pages: ["{n} trang", "{n} pages"],
  onePage: ["1 trang", "1 page"],
  overdue: ["Quá hạn", "Overdue"],
  due: ["Hạn {date}", "Due {date}"],

  u0: ["Thường", "Normal"],
  u1: ["Khẩn", "Urgent"],
  u2: ["Thượng khẩn", "Very urgent"],
  u3: ["Hỏa tốc", "Express"],
  u4: ["Hỏa tốc hẹn giờ", "Express, timed"],

  s_in_review: ["Chờ ký", "Awaits signature"],
  s_signing: ["Đang ký", "Being signed"],
  s_signed_pending_timestamp: ["Đã ký, chờ dấu thời gian", "Signed, time stamp awaited"],
  s_signed: ["Đã ký, chờ đóng dấu", "Signed, awaits the seal"],
  s_sealing: ["Đang đóng dấu", "Being sealed"],
  s_sealed_pending_timestamp: ["Đã đóng dấu, chờ dấu thời gian", "Sealed, time stamp awaited"],
  s_sealed: ["Đã đóng dấu", "Sealed"],
  s_forwarded: ["Đã gửi lên trục", "Sent to the exchange"],
  s_delivered: ["Nơi nhận đã nhận", "Delivered"],
  s_accepted: ["Nơi nhận đã tiếp nhận", "Accepted"],
  s_returned: ["Đã trả lại", "Returned"],
  s_refused: ["Nơi nhận từ chối", "Refused"],
  s_recalled: ["Đã thu hồi", "Recalled"],

  docTitle: ["Văn bản", "Document"],
  docPage: ["Trang {n}/{all}", "Page {n} of {all}"],
  docAlt: ["Trang {n} của văn bản", "Page {n} of the document"],
  docInfo: ["Thông tin", "Details"],
  docNumber: ["Số, ký hiệu", "Number"],
  docType: ["Loại", "Kind"],
  docPlace: ["Nơi, ngày ban hành", "Place and date"],
  docDue: ["Hạn xử lý", "Due"],
  docRoute: ["Luồng ký", "Route"],
  docSeal: ["Đóng dấu cơ quan", "The organisation's seal"],
  r_waiting: ["Chưa đến lượt", "Not yet"],
  r_open: ["Đang chờ", "Waiting"],
  r_pending_timestamp: ["Đã ký, chờ dấu thời gian", "Signed, time stamp awaited"],
  r_done: ["Xong {time}", "Done {time}"],
  r_returned: ["Trả lại", "Returned"],
  docFiles: ["Tệp và biên nhận", "Files and receipts"],
  fileOriginal: ["Bản gốc (PDF)", "Original (PDF)"],
  fileSigned: ["Bản đã ký (PDF)", "Signed (PDF)"],
  fileFinal: ["Bản đã đóng dấu (PDF)", "Sealed (PDF)"],
  receipt: ["Biên nhận {time}", "Receipt {time}"],
  noReceipt: ["Chưa có biên nhận.", "No receipt yet."],
  docSign: ["Ký", "Sign"],
  docSealDo: ["Đóng dấu", "Seal"],
  docReturn: ["Trả lại", "Return"],
  docRecalled: ["Văn bản đã bị thu hồi và không còn xem được.", "The document was recalled and can no longer be read."],
  docChanged: ["Văn bản vừa thay đổi. Đang hiện bản mới.", "The document has changed. This is the new one."],
  zoomIn: ["Phóng to", "Zoom in"],
  zoomOut: ["Thu nhỏ", "Zoom out"],

  signTitle: ["Ký văn bản", "Sign the document"],
  signSealTitle: ["Đóng dấu văn bản", "Seal the document"],
  signPreparing: ["Đang lập bản trình ký…", "Preparing what is signed…"],
  signStamped: ["Trang {n} có chữ ký của bạn", "Page {n} with your signature"],
  signSealed: ["Trang {n} có con dấu", "Page {n} with the seal"],
  signCode: ["Mã văn bản", "Document code"],
  signAs: ["Thẩm quyền", "Authority"],
  signCert: ["Chứng thư", "Certificate"],
  signPin: ["Nhập mã PIN để ký", "Enter your PIN to sign"],
  signPinSeal: ["Nhập mã PIN để đóng dấu", "Enter your PIN to seal"],
  signDo: ["Ký văn bản này", "Sign this document"],
  signSealDo: ["Đóng dấu văn bản này", "Seal this document"],
  signWorking: ["Đang ký…", "Signing…"],
  signSealWorking: ["Đang đóng dấu…", "Sealing…"],
  signLost: [
    "Mất mạng khi đang gửi. Đừng ký lại: đang hỏi kết quả…",
    "The network was lost while sending. Do not sign again: asking for the outcome…",
  ],
  signExpired: ["Bản trình ký đã cũ. Đã lập bản mới, xin xem lại.", "The sheet was too old. A new one is here; please look again."],
  doneSigned: ["Đã ký", "Signed"],
  doneSealed: ["Đã đóng dấu", "Sealed"],
  doneStamping: ["Chữ ký đã được ghi. Đang chờ dấu thời gian.", "The signature is recorded. Its time stamp is awaited."],
  doneStamped: ["Chữ ký và dấu thời gian đã được ghi.", "Signature and time stamp are recorded."],
  doneOpen: ["Chưa ký", "Not signed"],
  doneOpenHelp: ["Văn bản chưa được ký. Bạn có thể ký lại.", "The document was not signed. You may sign again."],
  doneUnknown: ["Chưa biết kết quả", "Outcome not known"],
  doneUnknownHelp: [
    "Đừng ký lại. Trạng thái của văn bản sẽ tự cập nhật khi có kết quả.",
    "Do not sign again. The document's state will update by itself.",
  ],
  doneNext: ["Văn bản tiếp theo", "Next document"],

  returnTitle: ["Trả lại văn bản", "Return the document"],
  returnReason: ["Lý do trả lại", "Reason"],
  returnHelp: ["Người trình sẽ thấy lý do này.", "The drafter will see it."],
  returnDo: ["Trả lại văn bản", "Return the document"],
  returned: ["Đã trả lại văn bản", "The document was returned"],
  returnEmpty: ["Hãy ghi lý do.", "Please give a reason."],

  noticesTitle: ["Thông báo", "Notices"],
  noticesEmpty: ["Chưa có thông báo.", "No notices yet."],
  noticeAck: ["Đã biết", "Acknowledge"],
  noticeAcked: ["Đã xác nhận", "Acknowledged"],

  meTitle: ["Của tôi", "Mine"],
  meKeys: ["Khóa ký", "Signing keys"],
  meNoKeys: ["Chưa có khóa ký.", "No signing key yet."],
  keyValid: ["Dùng được đến {date}", "Valid until {date}"],
  keyWaits: ["Chờ chứng thư", "Awaits its certificate"],
  freeze: ["Tạm khóa ký khẩn cấp", "Freeze my key now"],
  freezeHelp: ["Dùng khi mất máy hoặc nghi lộ PIN. Chỉ cán bộ đăng ký hoặc trực ban mở lại được.", "For a lost phone or a leaked PIN. Only an officer can lift it."],
  freezeAsk: ["Tạm khóa ngay? Bạn sẽ không ký được cho đến khi cán bộ mở lại.", "Freeze now? You cannot sign until an officer lifts it."],
  frozen: ["Khóa ký đang bị tạm khóa. Liên hệ cán bộ đăng ký để mở lại.", "Your key is frozen. An officer can lift it."],
  meDevices: ["Thiết bị của tôi", "My devices"],
  deviceHere: ["Máy này", "This one"],
  deviceSeen: ["Dùng lần cuối {time}", "Last used {time}"],
  deviceRevoked: ["Đã thu hồi", "Revoked"],
  deviceOffice: ["Máy tại cơ quan", "Office device"],
  deviceCode: ["Mã {code}", "Code {code}"],
  deviceRevoke: ["Thu hồi", "Revoke"],
  deviceRevokeAsk: ["Thu hồi “{label}”? Không hoàn tác được.", "Revoke “{label}”? This cannot be undone."],
  settings: ["Cài đặt", "Settings"],
  lang: ["Ngôn ngữ", "Language"],
  theme: ["Giao diện", "Theme"],
  themeAuto: ["Theo máy", "System"],
  themeLight: ["Sáng", "Light"],
  themeDark: ["Tối", "Dark"],
  logOut: ["Đăng xuất", "Log out"],
  logOutAsk: ["Đăng xuất khỏi máy này? Khóa của máy vẫn được giữ.", "Log out here? The device keeps its keys."],
  trust: [
    "Ứng dụng này do chính máy chủ của cơ quan cung cấp: tin ứng dụng là tin máy chủ.",
    "This client is served by your agency's server: trusting it is trusting the server.",
  ],
  missing: ["Không có trang này.", "There is no such page."],
};

/** @returns {"vi" | "en"} */
export const language = () => (localStorage.getItem("language") === "en" ? "en" : "vi");

/** @param {"vi" | "en"} value */
export function speak(value) {
  localStorage.setItem("language", value);
  document.documentElement.lang = value;
}

/** @param {string} name @param {Record<string, string | number>} [values] @returns {string} */
export function t(name, values = {}) {
  const text = TEXTS[name]?.[language() === "en" ? 1 : 0] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

/** @param {number} count */
export const pageCount = (count) => (count === 1 ? t("onePage") : t("pages", { n: count.toLocaleString(language()) }));

/** @param {Intl.DateTimeFormatOptions} options */
const format = (options) => (/** @type {string} */ time) =>
  new Intl.DateTimeFormat(language() === "en" ? "en-GB" : "vi-VN", options).format(new Date(time));

/** Day and month, with the year. @param {string} time */
export const date = (time) => format({ day: "2-digit", month: "2-digit", year: "numeric" })(time);
/** @param {string} time */
export const dateTime = (time) => format({ hour: "2-digit", minute: "2-digit", day: "2-digit", month: "2-digit" })(time);

/** How long ago, else the day. @param {string} time */
export function ago(time) {
  const minutes = Math.round((Date.now() - Date.parse(time)) / 60_000);
  if (minutes >= 24 * 60) return date(time);
  const relative = new Intl.RelativeTimeFormat(language(), { numeric: "auto", style: "short" });
  return minutes >= 60 ? relative.format(-Math.round(minutes / 60), "hour") : relative.format(-Math.max(0, minutes), "minute");
}
