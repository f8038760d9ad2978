"""`openapi/types.d.ts`: the types of every wire struct and operation, for clients that are checked by TypeScript.

Made from the OpenAPI document alone. `AnswerOf<"GET", path>` is what an operation answers with, for a path as it is called: with
its identifiers filled in and with or without a query; a path of no operation gives `never`.
"""

import json
import re
from typing import Any, Final

_HEAD: Final = "// Types of the API, made from openapi.json by `hoatoc openapi`.\n"
_TAIL: Final = """
type Bare<Path> = Path extends `${infer Before}?${string}` ? Before : Path;
type Found<Method, Path, One = Operation> = One extends { method: Method; path: infer Known }
  ? [Path] extends [Known] ? [Known] extends [Path] ? One : never : never
  : never;
type Called<Method, Path> = Path extends unknown ? Found<Method, Bare<Path>> : never;
/** What an operation answers with; `never` for a path of none. */
export type AnswerOf<Method, Path> = Called<Method, Path>["answer"];
export type BodyOf<Method, Path> = Called<Method, Path>["body"];
type Paths<One> = One extends { path: infer Path extends string } ? Path | `${Path}?${string}` : never;
/** Paths as they are called, as far as a type can tell: one identifier may hide several parts. */
export type PathOf<Method> = Paths<Extract<Operation, { method: Method }>>;
"""
_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*")


def types_document(schema: dict[str, Any]) -> bytes:
    """The declarations of an OpenAPI 3.1 document as `server.openapi` writes it."""
    parts = [_HEAD]
    for name, one in sorted(schema["components"]["schemas"].items()):
        parts.append(f"\n{_words(one)}export type {name} = {_type(one)};\n")
    operations = "\n".join(
        f"  | {_operation(method.upper(), path, operation)}"
        for path, item in sorted(schema["paths"].items())
        for method, operation in sorted(item.items())
    )
    parts.append(f"\nexport type Operation =\n{operations};\n{_TAIL}")
    return "".join(parts).encode()


def _words(schema: dict[str, Any]) -> str:
    text = " ".join(schema.get("description", "").split())
    return f"/** {text.replace('*/', '* /')} */\n" if text else ""


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    answers = [_content(answer) for status, answer in sorted(operation["responses"].items()) if status.startswith("2")]
    body = operation.get("requestBody")
    filled = re.sub(r"\{\w+\}", "${string}", path)
    return (
        f"{{ name: {json.dumps(operation['operationId'])}; method: {json.dumps(method)}; path: `{filled}`; "
        f"body: {_content(body) if body else 'undefined'}; answer: {' | '.join(answers)} }}"
    )


def _content(part: dict[str, Any]) -> str:
    """JSON as its type; what is no JSON travels as bytes, an empty answer as null."""
    content = part.get("content", {})
    if not content:
        return "null"
    return _type(content["application/json"]["schema"]) if "application/json" in content else "ArrayBuffer"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return " | ".join(_type(one) for one in schema[union])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}) for one in kind)
    if kind == "array":
        return _array(schema)
    if kind == "object":
        return _object(schema)
    return {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}.get(
        kind or "", "any"
    )


def _array(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(one) for one in schema['prefixItems'])}]"
    inner = _type(schema.get("items") or {})
    return f"({inner})[]" if " | " in inner else f"{inner}[]"


def _object(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    members = [
        f"{name if _NAME.fullmatch(name) else json.dumps(name)}{'' if name in required else '?'}: {_type(one)}"
        for name, one in sorted(schema.get("properties", {}).items())
    ]
    open_ = schema.get("additionalProperties", False)
    if open_ or open_ == {}:
        members.append(f"[name: string]: {_type(open_) if isinstance(open_, dict) and not members else 'any'}")
    return f"{{ {'; '.join(members)} }}" if members else "Record<string, never>"
