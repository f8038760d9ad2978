"""The page at `/api`: ours and self-hosted, drawn from `/api/openapi.json`; no script from anywhere else, nothing inline."""

from pathlib import Path

__all__ = ["text"]


def text(name: str) -> str:
    """One of `page.html`, `page.css`, `page.js`."""
    return (Path(__file__).parent / name).read_text("utf-8")
