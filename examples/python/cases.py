"""Shared by the examples for case management: selects events and posts them."""

import json
import os
import pathlib
import time
import urllib.error
import urllib.request

from backburn import Backburn


def secret(name):
    """Returns the text of the file that an environment variable names."""
    return pathlib.Path(os.environ[name]).read_text().strip()


def malicious(verdicts, wanted):
    """Yields events with one of the verdicts, from the first one; 0: all, without an end."""
    api = Backburn(os.environ.get("BACKBURN_API", "http://127.0.0.1:9465"), secret("BACKBURN_TOKEN_FILE"))
    told = 0
    for event in api.events(last="1970-01-02T00:00:00Z"):
        if event["type"] in ("backburn.verdict.v1", "backburn.changed.v1") and event["data"]["verdict"] in verdicts:
            yield event
            told += 1
            if 0 < wanted <= told:
                return


def hand_in(system, url, headers, body, known):
    """Posts JSON, and retries while the system is unreachable. known(code, text) reports whether
    an answer means that the system already has the item, which counts as success."""
    headers = {"Content-Type": "application/json", **headers}
    while True:
        request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except urllib.error.HTTPError as answer:
            with answer:
                said = answer.read(4096).decode(errors="replace")
            if known(answer.code, said.lower()):
                return
            if answer.code < 500 and answer.code != 429:
                raise SystemExit(f"{system} answers {answer.code}: {said}") from None
        except OSError:
            pass
        time.sleep(1)
