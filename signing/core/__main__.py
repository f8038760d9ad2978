"""`python -m signing.core CONFIG`: run the signer; `python -m signing.core --init CONFIG`: create keys, store and
head.
"""

import sys

from signing.core import daemon


def run(arguments: list[str]) -> int:
    match arguments:
        case ["--init", path]:
            print(daemon.init(daemon.load_config(path)))  # noqa: T201 - the identity thumbprint is the command's answer
            return 0
        case [path]:
            return daemon.main(path)
        case _:
            print(__doc__, file=sys.stderr)  # noqa: T201 - usage
            return 64


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
