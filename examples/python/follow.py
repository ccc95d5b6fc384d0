"""Prints events as they arrive, one line of JSON each: python3 follow.py [HOW-MANY-FINAL]

BACKBURN_API is the address of the HTTP API, BACKBURN_TOKEN_FILE the file with its token.
"""

import json
import os
import pathlib
import sys

from backburn import Backburn


def main(wanted):
    token = pathlib.Path(os.environ["BACKBURN_TOKEN_FILE"]).read_text().strip()
    api = Backburn(os.environ.get("BACKBURN_API", "http://127.0.0.1:9465"), token)
    final = 0
    # Start at the oldest stored event, so that no earlier event is missed.
    for event in api.events(last="1970-01-02T00:00:00Z"):
        print(json.dumps(event), flush=True)
        final += event["type"] in ("backburn.verdict.v1", "backburn.failed.v1")
        if 0 < wanted <= final:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
