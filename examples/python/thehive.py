"""Creates alerts in TheHive (version 5) for malicious files: python3 thehive.py [HOW-MANY]

BACKBURN_API and BACKBURN_TOKEN_FILE as for follow.py; THEHIVE is the address of TheHive, and
THEHIVE_KEY_FILE has the key of a user that may make alerts. TheHive knows an alert by its type,
source and sourceRef, so that an event that comes twice makes one alert.
"""

import datetime
import hashlib
import json
import os
import sys

import cases

SEVERITY = {"grayware": 2, "malware": 3, "phishing": 3, "c2": 4}


def alert(event):
    """Returns the alert for an event."""
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
    """Creates an alert. An existing one counts as success."""
    cases.hand_in(
        "TheHive", url + "/api/v1/alert", {"Authorization": "Bearer " + key}, body,
        lambda code, said: code == 400 and "already exist" in said)


def main(wanted):
    for event in cases.malicious(SEVERITY, wanted):
        publish(os.environ["THEHIVE"].rstrip("/"), cases.secret("THEHIVE_KEY_FILE"), alert(event))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
