"""Makes alerts in TheHive (version 5) of what is malicious: python3 thehive.py [HOW-MANY]

BACKBURN_API and BACKBURN_TOKEN_FILE as for follow.py; THEHIVE is the address of TheHive, and
THEHIVE_KEY_FILE has the key of a user that may make alerts. TheHive knows an alert by its type,
source and sourceRef, so that an event that comes twice makes one alert.
"""

import datetime
import hashlib
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

from backburn import Backburn

SEVERITY = {"grayware": 2, "malware": 3, "phishing": 3, "c2": 4}


def alert(event):
    """The alert of an event."""
    data = event["data"]
    observables = []
    for kind, field in (("hash", "sha256"), ("hash", "md5"), ("filename", "filename"), ("url", "url")):
        if data.get(field):
            observables.append({"dataType": kind, "data": data[field]})
    name = data.get("filename") or data.get("url") or data.get("sha256")
    decided = datetime.datetime.fromisoformat(data["decided_at"].split(".")[0].rstrip("Z") + "+00:00")
    return {
        "type": "wildfire",
        "source": "backburn",
        "sourceRef": hashlib.sha256(f"{event['source']} {event['id']}".encode()).hexdigest()[:32],
        "title": f"WildFire: {data['verdict']}: {name}"[:512],
        "description": json.dumps(data, indent=2),
        "date": int(decided.timestamp() * 1000),
        "severity": SEVERITY[data["verdict"]],
        "tags": ["wildfire", "verdict:" + data["verdict"], "source:" + data["source"]],
        "observables": observables,
    }


def publish(url, key, body):
    """Makes an alert, again while TheHive is away. One that is there is fine."""
    while True:
        request = urllib.request.Request(url + "/api/v1/alert", data=json.dumps(body).encode(), method="POST")
        request.add_header("Authorization", "Bearer " + key)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except urllib.error.HTTPError as answer:
            with answer:
                said = answer.read(4096).decode(errors="replace")
            if answer.code == 400 and "already exist" in said.lower():
                return
            if answer.code < 500 and answer.code != 429:
                raise SystemExit(f"TheHive answers {answer.code}: {said}") from None
        except OSError:
            pass
        time.sleep(1)


def main(wanted):
    def secret(name):
        return pathlib.Path(os.environ[name]).read_text().strip()

    api = Backburn(os.environ.get("BACKBURN_API", "http://127.0.0.1:9465"), secret("BACKBURN_TOKEN_FILE"))
    made = 0
    for event in api.events(last="1970-01-02T00:00:00Z"):
        if event["type"] in ("backburn.verdict.v1", "backburn.changed.v1") and event["data"]["verdict"] in SEVERITY:
            publish(os.environ["THEHIVE"].rstrip("/"), secret("THEHIVE_KEY_FILE"), alert(event))
            made += 1
            if 0 < wanted <= made:
                return


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
