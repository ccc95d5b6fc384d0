"""What the examples for case management share: which events are for them, and how they hand one in."""

import json
import os
import pathlib
import time
import urllib.error
import urllib.request

from backburn import Backburn


def secret(name):
    """The text of the file that an environment variable names."""
    return pathlib.Path(os.environ[name]).read_text().strip()


def malicious(verdicts, wanted):
    """The events with one of the verdicts, from the first on; 0 wants them all, without an end."""
    api = Backburn(os.environ.get("BACKBURN_API", "http://127.0.0.1:9465"), secret("BACKBURN_TOKEN_FILE"))
    told = 0
    for event in api.events(last="1970-01-02T00:00:00Z"):
        if event["type"] in ("backburn.verdict.v1", "backburn.changed.v1") and event["data"]["verdict"] in verdicts:
            yield event
            told += 1
            if 0 < wanted <= told:
                return


def hand_in(system, url, headers, body, known):
    """Posts JSON, again while the system is away. known says of an answer, by its code and text,
    that the system has it already, which is fine."""
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
