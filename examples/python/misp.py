"""Creates events in MISP for malicious files: python3 misp.py [HOW-MANY]

BACKBURN_API and BACKBURN_TOKEN_FILE as for follow.py; MISP is the address of MISP, and MISP_KEY_FILE
has the key of a user that may make events. The UUIDs follow from our event, so that one that comes
twice makes one event in MISP.
"""

import os
import sys
import uuid

import cases

LEVEL = {"grayware": "3", "malware": "2", "phishing": "2", "c2": "1"}  # threat_level_id: 1 is high


def misp_event(event):
    """Returns the MISP event for a Backburn event."""
    data = event["data"]
    own = uuid.uuid5(uuid.NAMESPACE_URL, event["source"] + " " + event["id"])

    def attribute(relation, kind, value, to_ids, category="Payload delivery"):
        return {
            "uuid": str(uuid.uuid5(own, relation)),
            "object_relation": relation,
            "type": kind,
            "category": category,
            "value": value,
            "to_ids": to_ids,
            "disable_correlation": not to_ids,
            "distribution": "5",  # as the event
        }

    attributes, objects = [], []
    if data.get("sha256"):
        parts = [attribute("sha256", "sha256", data["sha256"], True)]
        if data.get("md5"):
            parts.append(attribute("md5", "md5", data["md5"], True))
        if data.get("filename"):
            parts.append(attribute("filename", "filename", data["filename"], False))
        if data.get("size"):
            parts.append(attribute("size-in-bytes", "size-in-bytes", str(data["size"]), False, "Other"))
        objects.append({
            "uuid": str(uuid.uuid5(own, "file")),
            "name": "file",
            "meta-category": "file",
            "template_uuid": "688c46fb-5edb-40a3-8273-1af7923e2215",
            "template_version": "24",
            "description": "File object describing a file with meta-information",
            "distribution": "5",
            "Attribute": parts,
        })
    if data.get("url"):
        link = attribute("url", "url", data["url"], True, "Network activity")
        del link["object_relation"]
        attributes.append(link)
    name = data.get("filename") or data.get("url") or data.get("sha256")
    return {"Event": {
        "uuid": str(own),
        "info": f"WildFire: {data['verdict']}: {name}"[:512],
        "date": data["decided_at"][:10],
        "threat_level_id": LEVEL[data["verdict"]],
        "analysis": "2",  # completed
        "distribution": "0",  # this organization alone
        "published": False,
        "Attribute": attributes,
        "Object": objects,
        "Tag": [{"name": 'wildfire:verdict="' + data["verdict"] + '"'}, {"name": "tlp:amber"}],
    }}


def publish(url, key, body):
    """Creates an event. An existing one counts as success."""
    cases.hand_in(
        "MISP", url + "/events/add", {"Authorization": key, "Accept": "application/json"}, body,
        lambda code, said: code in (403, 409) and "already exists" in said)


def main(wanted):
    for event in cases.malicious(LEVEL, wanted):
        publish(os.environ["MISP"].rstrip("/"), cases.secret("MISP_KEY_FILE"), misp_event(event))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
