"""What the server sends for the client: size, policy, caching; and the published vectors in the browser's own modules."""

import gzip
import json
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import brotli
import pytest
from PIL import Image

from server.identity.dpop import Verifier
from server.web import icon, joined, phrases, spare
from server.web.routes import POLICY, files, packed
from tests.web.conftest import Hand, Site, own

pytestmark = pytest.mark.asyncio(loop_scope="session")
REPOSITORY = Path(__file__).parents[2]
LIMIT = 60_000


async def test_the_whole_client_is_small() -> None:
    """Compressed as every current browser takes it over https (brotli)."""
    sizes = {path: len(packed(path, "br")) for path in files() if path != "/pair"}
    assert sum(sizes.values()) <= LIMIT, sizes
    for path, file in files().items():
        assert brotli.decompress(packed(path, "br")) == gzip.decompress(packed(path, "gzip")) == file.body, path


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"), ("br;q=0.5, gzip;q=1.0", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("br; q=0.000,gzip ;q=0.1", "gzip"),
        ("identity", None), ("", None), ("GZIP", "gzip"), ("brotli", None),
    ],
)  # fmt: skip
async def test_whoever_takes_brotli_gets_it(site: Site, accepted: str, coding: str | None) -> None:
    """RFC 9110 §12.5.3; an ETag names one coding's bytes (§8.8.3.3), so a cache never mixes them."""
    answer = await site.stack.http.get("/assets/js/app.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.content == files()["/assets/js/app.js"].body
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["etag"].endswith({"br": '-br"', "gzip": '-gz"', None: '"'}[coding])
    assert ("-" in answer.headers["etag"]) == (coding is not None)


async def test_the_page_names_every_module() -> None:
    """A module that is not preloaded costs a slow network one more round trip; what few people open is fetched when it is opened."""
    page = files()["/"].body.decode()
    named = set(re.findall(r'(?:href|src)="/assets/js/([a-z]+)\.js"', page))
    modules = {path: file.body.decode() for path, file in files().items() if path.startswith("/assets/js/")}
    assert named == {"app"}
    (later,) = set(modules) - {"/assets/js/app.js"}
    assert re.fullmatch(r"/assets/js/later-[0-9a-f]{12}\.js", later)
    for path, text in modules.items():
        assert set(re.findall(r'from"\./([\w-]+)\.js"', text)) <= named, path
        assert {f"/assets/js/{name}" for name in re.findall(r'import\("\./([^"]*)"\)', text)} <= {later}, path
    # Each of them asks for a newer client where its file is gone.
    app = (REPOSITORY / "server" / "web" / "static" / "js" / "app.js").read_text()
    assert app.count('opened(import("./') == len(re.findall(r'\bawait.*\bimport\("', app)) > 10
    shell = json.loads(files()["/sw.js"].body.decode().partition("=")[2].partition(";\n")[0])
    assert set(shell["files"]) == set(files()) - {"/sw.js", "/pair"}


def judged(value: Any, judge: str = "scopes.mjs") -> list[str]:
    """What differs beside the numbers of texts, or in joining the modules, by acorn and eslint-scope."""
    folder = Path(__file__).parent
    assert (folder / "node_modules" / "eslint-scope").exists(), "npm ci --prefix tests/web (make test does it)"
    found = subprocess.run(
        ["node", judge],
        cwd=folder,
        input=json.dumps(value),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return list(json.loads(found.stdout))


def bare(**sources: str) -> dict[str, str]:
    return {name: spare.script(text.encode()).decode() for name, text in sources.items()}


def joins(modules: dict[str, str], worker: str, *changes: tuple[str, str]) -> list[str]:
    """What is wrong with bare modules as they are joined, after `changes` of what is sent."""
    found = joined.scripts(modules, worker)
    files = {name: found.modules[name].decode() for name in sorted(found.modules)}
    for old, new in changes:
        assert any(old in text for text in files.values()), old
        files = {name: text.replace(old, new, 1) for name, text in files.items()}
    return judged({"modules": modules, "files": files, "worker": [worker, found.worker.decode()]}, "joins.mjs")


async def test_what_is_sent_is_its_source_but_for_private_names() -> None:
    """Every number says what the text's name said; then the same trees, every name bound to the same declaration, in whichever module it stands."""
    folder = REPOSITORY / "server" / "web" / "static"
    sources = {path.stem: path.read_text() for path in [*folder.glob("js/*.js"), folder / "sw.js"]}
    sent = phrases.columns(bare(**sources), "texts")
    pairs = [
        {"path": name, "source": text, "sent": sent[name], "table": name == "texts"} for name, text in sources.items()
    ]
    assert judged(pairs) == []
    worker = sent.pop("sw")
    assert joins(sent, worker) == []
    length = sum(map(len, sent.values()))
    assert length - sum(len(body) for body in joined.scripts(sent, worker).modules.values()) > 30_000


TABLE = 'const TEXTS = { one: ["một", "one"], two: ["hai", "two"], r_a: ["ba", "three"], two_too: ["hai", "two"] };\n'
SPEAKING = TABLE + (
    'let told = "";\nexport const inWorker = (value) => { told = value; };\n'
    'export const t = (name) => TEXTS[name]?.[told === "en" ? 1 : 0] ?? name;\n'
)


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ('t("one"); t(a ? "two" : "one");', "t(2);t(a?3:2);"),
        ('t("one", { two: "two" });', 't(3,{two:"two"});'),
        ('t(a === "one" ? "two" : f("two_too"));', 't(a==="one"?3:f("two_too"));'),
        ('t(`r_${a}`); t("r_a"); u.t("one"); [t("two"), "two"];', 't(`r_${a}`);t("r_a");u.t("one");[t("two"),"two"];'),
        ('t(`${t("one")}`, `${a}`); t(({ a: "two" }).a);', 't(`${t("one")}`,`${a}`);t(({a:"two"}).a);'),
    ],
)
async def test_only_what_is_asked_for_becomes_a_number(source: str, sent: str) -> None:
    source = f'import {{ t }} from "./texts.js"; {source}'
    found = phrases.columns(bare(texts=SPEAKING, uses=source), "texts")
    assert found["uses"] == f'import{{t}}from"./texts.js";{sent}\n'
    pairs = [
        {"path": "texts", "source": SPEAKING, "sent": found["texts"], "table": True},
        {"path": "uses", "source": source, "sent": found["uses"]},
    ]
    assert judged(pairs) == []
    if "t(2" in sent:
        wrong = [pairs[0], {**pairs[1], "sent": found["uses"].replace("t(2", "t(0")}]
        assert judged(wrong) == ["uses: another tree"]
    if "(`r_" in sent:
        wrong = [{**pairs[0], "sent": found["texts"].replace("r_a", "r_b")}, pairs[1]]
        assert judged(wrong) == ["uses: nothing is said for r_a"] * 2


async def test_a_text_that_no_column_holds_stops_the_start() -> None:
    for text in (r"a\nb", "a`b", "a${b}", r"a\\b"):
        with pytest.raises(ValueError, match="column"):
            phrases.columns({"texts": f'const a={{one:["{text}",""]}};'}, "texts")
    with pytest.raises(ValueError, match="no table"):
        phrases.columns({"texts": 'const a={one:["a"]};'}, "texts")


async def test_what_is_needed_together_is_one_file() -> None:
    """Each module after those that it draws in, under names that differ; without a document the page does not begin; what is opened later apart."""
    worker = 'import{bytes}from"/assets/js/bytes.js";out(bytes);\n'
    sources = {
        "app": 'import { one, two as second } from "./part.js";\nimport * as all from "./bytes.js";\nout(one, second(), all.bytes, () => import("./more.js"));\n',
        "part": 'import { bytes } from "./bytes.js";\nconst own = bytes;\nexport const one = own;\nexport async function two() { return own; }\n',
        "bytes": "export const bytes = 7;\n",
        "more": 'import { bytes } from "./bytes.js";\nimport { one } from "./part.js";\nimport { all } from "./most.js";\nout(bytes, one, all, () => import("./last.js"));\n',
        "most": "export const all = 9;\n",
        "last": "export class Last {}\n",
    }

    def sent(**changed: str) -> joined.Scripts:
        return joined.scripts(bare(**{**sources, **changed}), worker)

    found = sent()
    called = next(name for name in found.modules if name != "app")
    mark = re.findall(r" as (\$[0-9a-f]{8})}", found.modules["app"].decode())[0]
    assert {name: body.decode() for name, body in found.modules.items()} == {
        "app": "let e=7,t=e,o=t;async function a(){return t}"
        f'if(globalThis.document){{out(o,a(),e,()=>import("./{called}.js").then(a=>a.$more));}}\nexport{{a,e,o,a as {mark}}};\n',
        called: 'import{e,o}from"./app.js";class a{}'
        "let t=9;out(e,o,t,()=>Promise.resolve($last));export let $last={Last:a};\nexport let $more={};\n",
    }
    assert found.worker.decode() == f'import{{e,{mark}}}from"/assets/js/app.js";out(e);'
    # Where the names mean something else the worker asks for what is not there.
    assert mark not in sent(bytes="export const bits = 8;\nexport const bytes = 7;").worker.decode()
    assert mark in sent(bytes="export const bytes = 8;").worker.decode()
    assert found.names == {"part": {"one": "o", "two": "a"}, "bytes": {"bytes": "e"}}
    assert joins(bare(**sources), worker) == []
    # A page asks by the name for those very bytes.
    assert called not in sent(most="export const all = 10;").modules
    with pytest.raises(ValueError, match="idle"):
        sent(idle="export const idle = 1;")
    with pytest.raises(ValueError, match="most"):
        sent(
            part='import { all } from "./most.js";\nexport const one = all;\nexport const two = () => import("./most.js");'
        )
    with pytest.raises(ValueError, match="no declaration"):
        sent(part="export let one = 1;")
    for several in ("export const one = [1, 2], two = () => 2;", "export const { one, two } = { one: 1, two: 2 };"):
        with pytest.raises(ValueError, match="several names"):
            sent(part=several)


@pytest.mark.parametrize(
    "change",
    [
        ("let t=7", "let t=8"),
        ("e=t,o=e", "e=t,o=t"),
        ("return e}", "return o}"),
        ("function a()", "function a(e)"),
        ("out(o,a()", "out(a,o()"),
        ("import{o,t}", "import{o as t,t as o}"),
        ("out(t,o,e", "out(o,t,e"),
        ("out(t,o,e", "put(t,o,e"),
        ("class a{}", "class a extends e{}"),
        ("let e=9;", ""),
    ],
)
async def test_the_judge_sees_a_wrong_name(change: tuple[str, str]) -> None:
    more = 'import { bytes } from "./bytes.js";\nimport { one } from "./part.js";\nclass Last {}\nconst all = 9;\nout(bytes, one, all, Last);\n'
    modules = bare(
        app='import { one, two } from "./part.js";\nout(one, two(), () => import("./more.js"));\n',
        part='import { bytes } from "./bytes.js";\nconst own = bytes;\nexport const one = own;\nexport async function two() { return own; }\n',
        bytes="export const bytes = 7;\n",
        more=more,
    )
    worker = 'import{bytes}from"/assets/js/bytes.js";out(bytes);\n'
    assert joins(modules, worker) == []
    assert joins(modules, worker, change)


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ("a = b / c / d; // x", "a=b/c/d;"),
        ('if (/["/*]/.test(s)) return /`/g;', 'if(/["/*]/.test(s))return/`/g;'),
        ("x = `a  ${ b ? `// ${'}'}` : '' }  c`; /* y */ z", "x=`a  ${b?`// ${'}'}`:''}  c`;z"),
        ("f(`${ { a: 1 }.a } $ \\${`)", "f(`${{a:1}.a} $ \\${`)"),
        ("a\n++\nb", "a\n++\nb"),
        ("return a + +b - -c\n(d)", "return a+ +b- -c\n(d)"),
        ("x = {\n  // why\n  a,\n}\ny()", "x={a}\ny()"),
        ("f([a, ,], [,], b,)", "f([a,,],[,],b)"),
        ('const url = "http://x"; /** @type {any} */ (url)', 'const url="http://x";(url)'),
        ("for (const [a] of [1 .toFixed()]) a\n  ?.b()", "for(const[a]of[1 .toFixed()])a?.b()"),
        ("f = (a) => { for (;;) b((c) => c); }; d(async (e) => e)", "f=a=>{for(;;)b(c=>c)};d(async(e)=>e)"),
        ("{ while (f(a)); } { do b(); while (f()) } { g(); }", "{while(f(a));}{do b();while(f())}{g()}"),
    ],
)
async def test_a_lexer_tells_code_from_words(source: str, sent: str) -> None:
    """ECMA-262 §12: strings, templates in templates, regular expressions after what cannot be divided, semicolon insertion."""
    assert spare.script(source.encode()).decode() == sent + "\n"


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ("const long = 1; f(long, o.long, { long: 2 });", "let e=1;f(e,o.long,{long:2});"),
        ("const long = 1; f({ long });", "let e=1;f({long:e});"),
        ("const g = (long) => f({ long }, long);", "let e=long=>f({long},long);"),
        ("const g = (document) => document.x; document.y();", "let e=e=>e.x;document.y();"),
        (
            "const f = (one, two = (undefined), three = [window], { four: five } = {}) => five;",
            "let e=(o,a=(undefined),t=[window],{four:e}={})=>e;",
        ),
        ("function first(second) { const third = second; return third; }", "function e(t){let e=t;return e}"),
        ("for (const one of all) f(...one, `${one}`); one();", "for(let e of all)f(...e,`${e}`);one();"),
        (
            "for (const one of all) if (one) f(one); else { g(one); } const one = 2; f(one);",
            "for(let e of all)if(e)f(e);else{g(e)}let e=2;f(e);",
        ),
        (
            "const { key: name, ...rest } = f(); try { g(); } catch (error) { f(error, rest); }",
            "let{key:e,...t}=f();try{g()}catch(e){f(e,t)}",
        ),
        (
            "const h = async ([one, two]) => { let three = one, four = two; b(three + four); };",
            "let e=async([o,a])=>{let t=o,e=a;b(t+e)};",
        ),
        (
            "class One extends Error { two(three) { return three; } get four() { return new One(this.four); } }",
            "class e extends Error{two(e){return e}get four(){return new e(this.four)}}",
        ),
        (
            "const a = 1; f(() => { const b = a; return (c) => ({ b: c, [b]: a }); });",
            "let e=1;f(()=>{let a=e;return(t)=>({b:t,[a]:e})});",
        ),
    ],
)
async def test_private_names_become_short(source: str, sent: str) -> None:
    """Members and what the browser may mean stay; a name is used again wherever it is not taken for another."""
    found = joined.scripts(bare(app=source), "").modules["app"].decode()
    assert found == f"if(globalThis.document){{{sent}}}\nexport{{}};\n"
    assert joins(bare(app=source), "") == []


async def test_no_text_is_missing_and_none_is_idle() -> None:
    folder = REPOSITORY / "server" / "web" / "static"
    sources = {path.name: path.read_text() for path in [*folder.glob("js/*.js"), folder / "sw.js"]}
    table = sources.pop("texts.js")
    known = set(re.findall(r"^ *(\w+): \[(?:$|\")", table, re.MULTILINE))
    rest = "\n".join(sources.values()) + table.partition("export const language")[2]
    used = set(re.findall(r"\bt\(\"(\w+)\"", rest)) | {name for name in known if f'"{name}"' in rest}
    prefixes = [f"{name}" for name in re.findall(r"\bt\(`(\w+?)\$\{", rest)]
    assert used <= known, used - known
    assert {name for name in known - used if not any(name.startswith(prefix) for prefix in prefixes)} == set()


async def test_no_way_to_set_markup() -> None:
    """C9: the only sinks that a text could reach are text nodes and attributes."""
    for path, file in files().items():
        if path.endswith(".js"):
            found = re.search(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|srcdoc", file.body.decode()
            )
            assert found is None, f"{path}: {found}"


async def test_every_file_has_the_policy_and_a_tag(site: Site) -> None:
    http = site.stack.http
    for path, file in files().items():
        answer = await http.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, path
        assert answer.content == file.body, path
        assert answer.headers["content-security-policy"] == POLICY
        charset = "; charset=utf-8" if file.media_type.startswith("text/") else ""
        assert answer.headers["content-type"] == file.media_type + charset
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await http.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        plain = await http.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == file.body
        assert plain.headers["etag"] != answer.headers["etag"]
    for path in ("/assets/js/none.js", "/assets/../routes.py", "/assets/js/%2e%2e/sw.js", "/assets/icon-64.png"):
        assert (await http.get(path)).status_code == 404, path


async def test_the_pictures_of_the_readme_are_small_and_stay_at_home(site: Site) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    pictures = sorted((REPOSITORY / "server" / "web" / "pictures").iterdir())
    assert len(pictures) == 3
    for path in pictures:
        assert f"(server/web/pictures/{path.name})" in readme
        assert path.stat().st_size <= 40_000, path.name
        with Image.open(path) as picture:
            assert picture.width <= 390, path.name
        for address in (f"/pictures/{path.name}", f"/assets/pictures/{path.name}", f"/assets/../pictures/{path.name}"):
            assert (await site.stack.http.get(address)).status_code == 404, address


async def test_the_icons_are_pictures_of_their_size(site: Site) -> None:
    manifest = json.loads(files()["/manifest.webmanifest"].body)
    for one in manifest["icons"]:
        body = (await site.stack.http.get(one["src"])).content
        assert body.startswith(b"\x89PNG\r\n\x1a\n")
        assert "{}x{}".format(*struct.unpack(">II", body[16:24])) == one["sizes"]
    assert icon.svg().startswith("<svg")


async def test_the_published_vectors_pass_in_the_browser(hand: Hand) -> None:
    folder = REPOSITORY / "openapi" / "vectors"
    names = ("approval", "voucher", "signed_head", "sealed_pin", "manifest", "dpop")
    vectors = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    source = own((Path(__file__).parent / "vectors.mjs").read_text())
    await hand.page.route(
        "**/assets/js/vectors.js", lambda route: route.fulfill(body=source, content_type="text/javascript")
    )
    await hand.page.goto("/")
    found = await hand.page.evaluate("async (vectors) => (await import('/assets/js/vectors.js')).run(vectors)", vectors)
    assert found["wrong"] == []
    assert found["cases"] > 60
    proof = Verifier().verify(
        found["proof"],
        method="POST",
        target="https://sign.example/api/v1/people",
        now_us=found["now"] * 1_000_000,
        token=found["token"],
    )
    assert proof.thumbprint == found["thumbprint"]


async def test_a_server_outside_the_demonstration_knows_nothing_of_its_page(site: Site) -> None:
    """The page, its controls and its way to empty a browser live in the demonstration's own processes (C2, C8)."""
    for path in ("/demo", "/demo/", "/demo/fresh", "/demo/fresh?key=", "/state", "/page.js"):
        assert (await site.stack.http.get(path)).status_code == 404, path
    for name in ("urgent", "own", "tsa", "exchange", "worker", "recall", "byte", "verify", "link"):
        for path in (f"/controls/{name}", f"/demo/controls/{name}"):
            assert (await site.stack.http.post(path, json={})).status_code == 404, path
    client = await site.stack.http.get("/")
    assert client.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in client.headers["content-security-policy"]
