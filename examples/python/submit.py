"""Submits files and waits for their verdicts: python3 submit.py FILE...

BACKBURN_API is the address of the HTTP API, BACKBURN_TOKEN_FILE the file with its token. The exit
code is 1 if a file is malicious, and otherwise 2 if a file has no verdict that this program knows.
"""

import os
import pathlib
import sys

from backburn import Backburn, Refused

MALICIOUS = ("malware", "grayware", "phishing", "c2")


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
            code = code or 2
            continue
        data = event["data"]
        if "verdict" not in data:
            print(f"{name}: no verdict: {data['error']['reason']}")
            code = code or 2
            continue
        print(f"{name}: {data['verdict']}")
        if data["verdict"] in MALICIOUS:
            code = 1
        elif data["verdict"] != "benign":
            code = code or 2
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python3 submit.py FILE...")
    sys.exit(main(sys.argv[1:]))
