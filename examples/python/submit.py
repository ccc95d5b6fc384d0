"""Submits files and waits for their verdicts: python3 submit.py FILE...

BACKBURN_API is the address of the HTTP API, BACKBURN_TOKEN_FILE the file with its token. The exit
code is 1 where something is malicious, 2 where there is no verdict.
"""

import os
import pathlib
import sys

from backburn import Backburn, Refused


def main(files):
    token = pathlib.Path(os.environ["BACKBURN_TOKEN_FILE"]).read_text().strip()
    api = Backburn(os.environ.get("BACKBURN_API", "http://127.0.0.1:9465"), token)
    code = 0
    for name in files:
        try:
            event = api.submit(name, wait=10)
            if "data" not in event:  # not in ten seconds
                event = api.wait(event["job_id"])
        except Refused as why:
            print(f"{name}: refused: {why}")
            code = 2
            continue
        data = event["data"]
        if "verdict" not in data:
            print(f"{name}: no verdict: {data['error']['reason']}")
            code = 2
            continue
        print(f"{name}: {data['verdict']}")
        if data["verdict"] not in ("benign", "unrecognised"):
            code = code or 1
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python3 submit.py FILE...")
    sys.exit(main(sys.argv[1:]))
