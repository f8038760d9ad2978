"""`python -m tests.bench [NAME]...`: every figure of the product, one JSON object a line.

`{"bench", "ours", "against", "unit", "ratio", "goal", "met"}`, both sides measured in the same run, in turn, as medians. NAMEs choose
benches; those that take minutes (`ON_REQUEST`) run only so. A bench that fails gives a row with `error`, and the others run. Ends with 1 if any failed, whatever was met: a
figure depends on the machine, only an error is a defect.
"""

import importlib
import logging
import sys

import structlog

from tests.bench.measure import show

BENCHES = (
    "signer",
    "road",
    "http",
    "previews",
    "pdf_write",
    "pdf_levels",
    "pdfbox",
    "batch",
    "pdf_safety",
    "storage",
    "exchange",
    "exchange_latency",
    "web",
    "memory",
    "fcm",
    "fcm_broadcast",
    "urgent",
    "sse",
    "push_down",
)
ON_REQUEST = {"exchange_latency"}


def main(wanted: list[str]) -> int:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if unknown := set(wanted) - set(BENCHES):
        print(f"no such bench: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    chosen = [name for name in BENCHES if name in wanted or not (wanted or name in ON_REQUEST)]
    failed = False
    for name in chosen:
        try:
            for row in importlib.import_module(f"tests.bench.{name}").rows():
                show(row)
        except Exception as error:
            failed = True
            show({"bench": name, "error": f"{type(error).__name__}: {error}"[:300], "met": False})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
