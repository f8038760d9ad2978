"""`python -m tests.bench [NAME]...`: every figure of the product, one JSON object a line.

`{"bench", "ours", "against", "unit", "ratio", "goal", "met"}`, both sides measured in the same run, in turn, as medians. A NAME chooses benches by
a part of their names; those that take minutes (`ON_REQUEST`) run only so. A bench that fails gives a row with `error`, and the others run. Ends with 1 if any failed, whatever was met: a
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
    "pdf_safety",
    "storage",
    "exchange",
    "web",
    "memory",
    "fcm",
    "fcm_broadcast",
)
ON_REQUEST = {"fcm_broadcast"}


def main(wanted: list[str]) -> int:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    chosen = [name for name in BENCHES if any(one in name for one in wanted) or not (wanted or name in ON_REQUEST)]
    if not chosen:
        print(f"no such bench; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
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
