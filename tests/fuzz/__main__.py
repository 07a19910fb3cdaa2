"""`python -m tests.fuzz --count 10000`: feeds bad input of every kind; exit code 1 if any was handled wrongly."""

import argparse
import faulthandler
import sys
import time
from collections import Counter

from tests.fuzz.harness import HEAD
from tests.fuzz.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", default=[], help="that one alone; several times for several")
    options = parser.parse_args()
    faulthandler.enable()
    began = time.monotonic()
    print(HEAD)
    tally = fuzz(options.count, options.kind, options.seed)
    print(f"{'all':18} {tally.count:7} {time.monotonic() - began:40.0f}")
    bugs = Counter((failure.kind, failure.what, failure.place) for failure in tally.failures)
    for (kind, what, place), count in bugs.most_common():
        print(f"\n{count} × {kind}: {what} at {place}")
        sample = next(f for f in tally.failures if (f.kind, f.what, f.place) == (kind, what, place))
        print("\n".join(sample.trace.strip().splitlines()[-4:]))
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(main())
