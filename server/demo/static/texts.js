/** Every text of the demonstration's page, Vietnamese and English. `{name}` is replaced. */

/** @type {Record<string, [string, string]>} */
const TEXTS = {
  title: ["Hỏa Tốc · trình diễn", "Hỏa Tốc · demonstration"],
  legal: [
    "Dữ liệu mẫu. Khóa và chứng thư trình diễn không có giá trị pháp lý.",
    "Sample data. Demonstration keys and certificates have no legal value.",
  ],
  lead: [
    "Hai máy thật, hai địa chỉ, hai bộ khóa. Bấm một nút rồi xem điều gì xảy ra ở hai máy và ở các bảng.",
    "Two real clients, two origins, two sets of keys. Press a button and watch both clients and the panels.",
  ],
  other: ["English", "Tiếng Việt"],
  api: ["API", "API"],
  starting: ["Phần trình diễn đang đi vòng đầu tiên…", "The first walk is still under way…"],
  lost: ["Buổi trình diễn không trả lời. Nó còn chạy không?", "The demonstration does not answer. Is it still running?"],

  leader: ["Lãnh đạo", "Leader"],
  clerk: ["Văn thư", "Clerk"],
  pin: ["PIN mẫu", "Sample PIN"],
  repair: ["Ghép lại", "Pair anew"],
  steps: [
    "Lần đầu: bấm “Ghép thiết bị này”, chờ phiếu của cán bộ đăng ký vài giây, rồi nhập PIN mẫu ở trên.",
    "The first time: press “Ghép thiết bị này” (pair), wait some seconds for the officer's voucher, then enter the sample PIN above.",
  ],
  frameLeader: ["Máy của lãnh đạo", "The leader's client"],
  frameClerk: ["Máy của văn thư", "The clerk's client"],

  deeds: ["Gây ra một việc", "Make something happen"],
  urgent: ["Gửi hỏa tốc", "Send an urgent one"],
  urgentHelp: ["QLVB gửi một quyết định mức hỏa tốc.", "The document system hands in an urgent decision."],
  own: ["PDF của bạn", "My own PDF"],
  ownHelp: ["Tệp của bạn đi đúng con đường ấy.", "A file of yours takes the same road."],
  tsaOff: ["Tắt dấu thời gian", "TSA off"],
  tsaOn: ["Bật dấu thời gian", "TSA on"],
  tsaHelp: ["Chữ ký vẫn được ghi, rồi chờ dấu thời gian.", "Signatures are still recorded, then wait for their stamp."],
  exchangeOff: ["Cắt trục 60 giây", "Exchange off 60 s"],
  exchangeOn: ["Nối lại trục", "Join it again"],
  exchangeHelp: ["Văn bản đã đóng dấu chờ, không mất, không gửi hai lần.", "What is sealed waits; nothing is lost or sent twice."],
  worker: ["Giết tiến trình nền", "Kill the worker"],
  workerHelp: ["kill -9 giữa chừng; tiến trình mới làm tiếp.", "kill -9 in the middle; another one carries on."],
  recall: ["Thu hồi", "Recall"],
  recallHelp: ["QLVB lấy lại văn bản mới nhất; các máy xóa nó.", "The newest document is taken back; the clients purge it."],
  byteChange: ["Đổi một byte", "Change one byte"],
  byteBack: ["Trả byte về cũ", "Put it back"],
  byteHelp: ["Sửa một byte của tệp đã đóng dấu mới nhất, ngay trên đĩa.", "One byte of the newest sealed file is changed on the disk."],
  verify: ["Kiểm lại tất cả", "Verify again"],
  copy: ["Chép", "Copy"],
  copied: ["Đã chép", "Copied"],

  working: ["Đang làm…", "Working…"],
  sent: ["Đã gửi số {number}/{notation}, {ms} ms", "Handed in {number}/{notation}, {ms} ms"],
  refused: ["Bị từ chối: {reason} ({code})", "Refused: {reason} ({code})"],
  tooLarge: ["Tệp lớn hơn 32 MB.", "The file is larger than 32 MB."],
  tsaIsOff: ["Đã tắt. Hãy ký một văn bản: nó chờ dấu thời gian.", "It is off. Sign something: it waits for its stamp."],
  tsaIsOn: ["Đã bật. Những gì đang chờ được đóng dấu trong vài giây.", "It is on. What waits is stamped in some seconds."],
  exchangeIsOff: ["Đã cắt đường truyền tới trục.", "The line to the exchange is cut."],
  exchangeIsOn: ["Đã nối. Văn bản đang chờ đi sau nửa phút.", "It is joined. What waits leaves within half a minute."],
  killed: ["Đã giết tiến trình {killed}; tiến trình {started} làm tiếp.", "Process {killed} was killed; {started} carries on."],
  recalled: ["Đã thu hồi số {number}.", "Number {number} was recalled."],
  byteRefused: ["Số {number}: byte {offset} đã đổi. Máy chủ không đưa tệp ra: {reason}.", "Number {number}: byte {offset} is changed. The server does not hand the file out: {reason}."],
  byteSame: ["Số {number}: tệp lại đúng từng byte, máy chủ lại đưa ra.", "Number {number}: the file is whole again, and handed out again."],
  byteWrong: ["Số {number}: máy chủ đưa ra byte sai!", "Number {number}: the server handed out wrong bytes!"],
  byteReceipt: ["Biên nhận: {reason}", "The receipt: {reason}"],
  receiptFits: ["khớp", "fits"],

  docs: ["Văn bản của QLVB", "Documents of the document system"],
  docsNone: ["Chưa có văn bản.", "No documents yet."],
  google: ["Google thấy gì", "What Google saw"],
  googleHelp: ["{n} yêu cầu tới máy đóng vai FCM. Không tên, không trích yếu, không số văn bản.", "{n} requests at the FCM double. No name, no subject, no number."],
  whole: ["Toàn bộ yêu cầu {id}", "All of request {id}"],
  axis: ["Trục có gì", "What the exchange has"],
  axisHelp: ["{n} gói đã nhận vào, kể cả trạng thái của nơi nhận.", "{n} packets accepted, the receivers' statuses among them."],
  axisCut: ["Đang cắt, nối lại sau {s} giây", "Cut, back in {s} s"],
  edoc: ["Văn bản", "Document"],
  status: ["Trạng thái {code}", "Status {code}"],
  log: ["Nhật ký: kiểm chứng", "Log: verify"],
  logHelp: ["Băm lại từng lá, so với gốc đã ký.", "Every leaf is hashed again and compared with the signed root."],
  logSize: ["Số lá", "Leaves"],
  logRoot: ["Gốc đã ký", "Signed root"],
  logIncluded: ["Lá nằm trong gốc", "Leaves under the root"],
  logConsistent: ["Đầu cũ vẫn đúng", "Old heads that still hold"],
  logHolds: ["Nhật ký còn nguyên", "The log is whole"],
  logBroken: ["Nhật ký không khớp: {fault}", "The log does not fit: {fault}"],
  allHolds: ["Nhật ký, biên nhận và tệp của số {number} đều khớp.", "Log, receipts and files of number {number} all fit."],
  notAll: ["Có chỗ không khớp.", "Something does not fit."],
  receiptHolds: ["{name}: khớp với tệp đang lưu", "{name}: fits the stored file"],
  receiptFails: ["{name}: {reason}", "{name}: {reason}"],
  silent: ["Không trả lời", "No answer"],

  tsaState: ["Dấu thời gian", "Time stamps"],
  lineState: ["Trục liên thông", "Exchange"],
  workerState: ["Tiến trình nền", "Worker"],
  on: ["bật", "on"],
  off: ["tắt", "off"],
  cut: ["cắt, còn {s} s", "cut, {s} s left"],
  workerIs: ["số {pid}, kịp việc", "{pid}, keeps up"],
  workerLate: ["số {pid}, việc chờ {s} s", "{pid}, {s} s behind"],
  dead: ["không chạy", "not running"],

  s_in_review: ["Chờ ký", "Awaits signature"],
  s_signing: ["Đang ký", "Being signed"],
  s_signed_pending_timestamp: ["Đã ký, chờ dấu thời gian", "Signed, awaits its stamp"],
  s_signed: ["Đã ký, chờ đóng dấu", "Signed, awaits the seal"],
  s_sealing: ["Đang đóng dấu", "Being sealed"],
  s_sealed_pending_timestamp: ["Đã đóng dấu, chờ dấu thời gian", "Sealed, awaits its stamp"],
  s_sealed_pending_archive: ["Đã đóng dấu, chờ chứng cứ lâu dài", "Sealed, awaits its evidence"],
  s_sealed: ["Đã đóng dấu", "Sealed"],
  s_forwarded: ["Đã lên trục", "At the exchange"],
  s_delivered: ["Nơi nhận đã nhận", "Delivered"],
  s_accepted: ["Nơi nhận đã tiếp nhận", "Accepted"],
  s_returned: ["Đã trả lại", "Returned"],
  s_refused: ["Nơi nhận từ chối", "Refused"],
  s_recalled: ["Đã thu hồi", "Recalled"],
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

/** The sentence of an answer in the page's language. @param {{vi: string, en: string}} said */
export const sentence = (said) => (language() === "en" ? said.en : said.vi);
