/** The page of the stand-in axis: what passes, who waits, and faults to switch. It asks for what is newer and waits for the answer. */
import { field, fill, h, outside } from "./view.js";

const GRADES = { "-1": "Độ khẩn không rõ", 1: "Khẩn", 2: "Thượng khẩn", 3: "Hỏa tốc", 4: "Hỏa tốc hẹn giờ" };
const STATUSES = {
  "01": "Đã đến", "02": "Từ chối tiếp nhận", "03": "Đã tiếp nhận", "04": "Phân công xử lý", "05": "Đang xử lý", "06": "Hoàn thành", 13: "Đề nghị lấy lại", 15: "Đồng ý cập nhật, lấy lại",
  16: "Từ chối cập nhật, lấy lại",
};
const BUSINESS = ["Văn bản", "Thu hồi", "Cập nhật", "Thay thế"];
const COPIES = { initial: "đang chờ lấy", processing: "đang xử lý", done: "đã nhận", fail: "nhận hỏng" };
const FAULTS = {
  "drop-after": "Nhận rồi mất trả lời", twice: "Nhận thành hai bản", "500-after": "Nhận rồi báo lỗi 500", late: "Mất trả lời, nhận muộn", "drop-before": "Mất kết nối, chưa nhận",
  "500-before": "Lỗi 500, chưa nhận", html: "Trả trang HTML", slow: "Chậm", 401: "Báo 401", refuse: "Từ chối có mã lỗi", duplicate: "Danh sách lặp dòng", truncate: "Gói tin bị cắt",
  damage: "Gói tin hỏng một byte", junk: "Gói tin có rác ở đầu", prefix: "Gói tin mất tiền tố",
};
const DOWNLOADS = new Set(["truncate", "damage", "junk", "prefix"]);
const CALLS = {
  sendEdoc: "Gửi gói tin", getReceivedEdocList: "Xem danh sách nhận", downloadEdoc: "Tải gói tin", updateStatus: "Báo đã nhận", getSentEdocList: "Xem danh sách gửi",
  getSynchronizeUnit: "Đồng bộ đơn vị", getAgenciesListQD20: "Danh sách cơ quan",
};

const page = /** @type {HTMLElement} */ (document.getElementById("page"));
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
const head = h("header", { class: "head" });
const traffic = h("section", { class: "traffic", "aria-labelledby": "traffic" });
const units = h("section", { class: "card", "aria-labelledby": "units" });
const faults = h("section", { class: "card", "aria-labelledby": "faults" });
const fired = h("section", { class: "card", "aria-labelledby": "fired" });
let seen = 0;
/** @type {any} */
let state = null;
let asked = new AbortController();

/** @param {string} text @param {boolean} [good] */
function tell(text, good = false) {
  if (said.textContent !== text) said.textContent = text;
  said.classList.toggle("good", good);
}

/** @param {string} method @param {string} path @param {unknown} body @param {string} done */
async function control(method, path, body, done) {
  try {
    const answer = await fetch(path, { method, body: JSON.stringify(body) });
    const told = answer.ok ? await answer.json() : { status: "FAIL", ErrorDesc: `HTTP ${answer.status}` };
    if (told.status === "FAIL") tell(`Không làm được: ${told.ErrorDesc}`);
    else tell(done, true);
  } catch {
    tell("Trục mẫu không trả lời.");
  }
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(`/_traffic?seen=${seen}`, { signal: asked.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      state = await answer.json();
      if (said.textContent === "Trục mẫu không trả lời.") tell("");
      if (state.version !== seen) draw();
      seen = state.version;
    } catch {
      seen = 0;
      if (!document.hidden) tell("Trục mẫu không trả lời.");
      await new Promise((done) => setTimeout(done, 2000));
      asked = new AbortController();
    }
  }
}

/** @param {number} us */
const clock = (us) => new Date(us / 1000).toLocaleTimeString("vi-VN", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
/** @param {string} code */
const nameOf = (code) => state.units.find((/** @type {any} */ one) => one.code === code)?.name || "";
/** @param {number} bytes */
const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1).replace(".", ",")} MB`);

function draw() {
  const { counts } = state;
  const tally = (/** @type {string} */ name, /** @type {number} */ count) => h("span", {}, h("strong", {}, String(count)), ` ${name}`);
  fill(
    head,
    h("h1", {}, "Trục liên thông mẫu"),
    h("p", { class: "counts" }, tally("gói văn bản", counts.edoc || 0), tally("gói trạng thái", counts.status || 0), tally("đang chờ lấy", (counts.initial || 0) + (counts.processing || 0)), tally("nhận hỏng", counts.fail || 0), tally("lỗi đã gây", state.fired_count)),
  );
  fill(
    traffic,
    h("h2", { id: "traffic" }, "Văn bản đi qua trục"),
    state.documents.length ? h("ul", {}, state.documents.map(documentCard)) : h("p", { class: "card empty" }, "Chưa có gói tin nào."),
  );
  drawUnits();
  drawFaults();
  fill(fired, h("h2", { id: "fired" }, "Lỗi vừa gây"), firedRows());
}

/** @param {any} one */
function documentCard(one) {
  return h(
    "li", { class: "card document" },
    h("p", { class: "of" }, h("strong", {}, outside(one.notation || one.document_id)), outside(one.type_name, "soft"), GRADES[/** @type {1} */ (one.urgency)] && h("span", { class: `grade u${Math.min(3, Math.abs(one.urgency))}` }, GRADES[/** @type {1} */ (one.urgency)])),
    one.title && h("h3", {}, outside(one.title)),
    h("p", { class: "soft small" }, "Mã định danh ", outside(one.document_id)),
    h("ol", { class: "moves" }, one.packets.map(move)),
  );
}

/** @param {any} packet */
function move(packet) {
  const isStatus = packet.kind === "status";
  const what = isStatus ? `${packet.status} ${STATUSES[/** @type {13} */ (packet.status)] || "Trạng thái lạ"}` : BUSINESS[packet.business] || `Nghiệp vụ ${packet.business}`;
  const tone = isStatus && ["02", "16"].includes(packet.status) ? " bad" : isStatus && ["03", "06", "15"].includes(packet.status) ? " good" : "";
  return h(
    "li", {},
    h("time", {}, clock(packet.at_us)),
    h(
      "div", { class: "move" },
      h("p", {}, h("span", { class: `word${tone}` }, what), packet.said ? ": " : "", packet.said && outside(packet.said)),
      h("p", { class: "road" }, h("span", { title: nameOf(packet.sender) }, packet.sender, " → "), packet.copies.map(copy)),
      packet.files.map((/** @type {[string, string, number]} */ [name, , bytes]) => h("p", { class: "soft small" }, outside(name), ` · ${size(bytes)}`)),
    ),
  );
}

/** @param {any} one */
const copy = (one) => h("span", { class: `copy ${one.state}`, title: nameOf(one.receiver) }, `${one.receiver} ${COPIES[/** @type {"done"} */ (one.state)] || one.state}`, one.reason ? h("span", {}, ": ", outside(one.reason)) : "");

function drawUnits() {
  const open = state.units.filter((/** @type {any} */ one) => !one.closed);
  const form = units.querySelector("form");
  const rows = h("ul", { class: "rows" }, state.units.map(unitRow));
  if (form) return units.querySelector("ul")?.replaceWith(rows);
  const codes = h("input", { name: "codes", placeholder: "X02, X03", autocomplete: "off", required: true });
  const into = h("input", { name: "into", placeholder: open[0]?.code, autocomplete: "off", required: true });
  const name = h("input", { name: "name", autocomplete: "off" });
  fill(
    units, h("h2", { id: "units" }, "Cơ quan"), rows,
    h(
      "details", {}, h("summary", {}, "Sáp nhập, đổi mã"),
      h(
        "form", { onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          control("POST", "/_mergers", { codes: codes.value.split(/[\s,]+/).filter(Boolean), into: into.value.trim(), name: name.value.trim() }, "Đã sáp nhập.");
        } },
        field("Các mã kết thúc", codes), field("Vào mã (đã có hoặc mới)", into), field("Tên mới, nếu đổi", name), h("button", { class: "main" }, "Sáp nhập"),
      ),
    ),
  );
}

/** @param {any} one */
function unitRow(one) {
  const own = one.system === one.code;
  const act = one.rotated ? "hand_over" : "rotate";
  return h(
    "li", { class: one.closed ? "closed" : "" },
    h(
      "span", { class: "grow" }, h("strong", { class: "name" }, one.code), " ", outside(one.name),
      one.successor ? h("span", { class: "soft small" }, ` → ${one.successor}`) : one.closed ? h("span", { class: "soft small" }, " đã đóng") : one.parent ? h("span", { class: "soft small" }, ` thuộc ${one.parent}`) : "",
      one.test ? h("span", { class: "soft small" }, " thử nghiệm") : "",
    ),
    one.waiting ? h("span", { class: "waits" }, `chờ ${one.waiting}`) : "",
    own && !one.closed ? h("button", { onclick: () => control("POST", "/_secrets", { system: one.code, do: act }, one.rotated ? "Hệ thống đã có khóa mới." : "Khóa cũ bị từ chối từ bây giờ.") }, one.rotated ? "Trao khóa mới" : "Đổi khóa") : "",
  );
}

function drawFaults() {
  const active = h(
    "ul", { class: "rows" },
    state.faults.filter((/** @type {any} */ one) => one.times).map((/** @type {any} */ one) =>
      h("li", {}, h("span", { class: "grow" }, FAULTS[/** @type {"late"} */ (one.fault)] || one.fault, h("span", { class: "soft small" }, ` · ${CALLS[/** @type {"sendEdoc"} */ (one.call)] || one.call} · ${one.times < 0 ? "luôn luôn" : `còn ${one.times} lần`}${one.probability < 1 ? ` · ${Math.round(one.probability * 100)} %` : ""}${one.system ? ` · ${one.system}` : ""}`)))),
  );
  const list = faults.querySelector("ul");
  if (list) return list.replaceWith(active);
  const option = (/** @type {Record<string, string>} */ texts) => Object.entries(texts).map(([value, text]) => h("option", { value }, text));
  const call = h("select", {}, option(CALLS));
  const kind = h("select", { onchange: () => { if (DOWNLOADS.has(kind.value)) call.value = "downloadEdoc"; if (kind.value === "duplicate") call.value = "getReceivedEdocList"; } }, option(FAULTS));
  const times = h("input", { type: "number", value: "1", min: "-1", max: "100000" });
  const share = h("input", { type: "number", value: "100", min: "1", max: "100" });
  const system = h("input", { placeholder: "mọi hệ thống", autocomplete: "off" });
  const delay = h("input", { type: "number", value: "2000", min: "0", max: "600000" });
  const put = (/** @type {any[]} */ script, /** @type {string} */ done) => control("PUT", "/_faults", script, done);
  fill(
    faults, h("h2", { id: "faults" }, "Gây lỗi"), active,
    h(
      "form", { onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        const made = { fault: kind.value, call: call.value, times: Number(times.value), probability: Number(share.value) / 100, delay_ms: Number(delay.value), system: system.value.trim() };
        put([...state.faults.filter((/** @type {any} */ one) => one.times), made], "Đã đặt lỗi.");
      } },
      field("Lỗi", kind), field("Khi", call),
      h("div", { class: "pair" }, field("Số lần (−1: luôn)", times), field("Xác suất, %", share)),
      h("div", { class: "pair" }, field("Chậm, ms", delay), field("Hệ thống", system)),
      h("button", { class: "main" }, "Đặt lỗi"), h("button", { class: "plain", type: "button", onclick: () => put([], "Đã bỏ mọi lỗi.") }, "Bỏ mọi lỗi"),
    ),
  );
}

function firedRows() {
  if (!state.fired.length) return h("p", { class: "soft" }, "Chưa có.");
  return h("ul", { class: "rows" }, [...state.fired].reverse().slice(0, 12).map((one) => h("li", {}, h("span", { class: "grow" }, FAULTS[/** @type {"late"} */ (one.fault)] || one.fault, h("span", { class: "soft small" }, ` · ${CALLS[/** @type {"sendEdoc"} */ (one.call)] || one.call} · ${one.system}`)), h("time", { class: "soft" }, clock(one.at_us)))));
}

page.append(head, traffic, h("div", { class: "side" }, faults, units, fired));
follow();
