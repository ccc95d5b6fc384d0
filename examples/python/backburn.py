"""A client of Backburn's HTTP API that uses only Python's standard library.

    api = Backburn("http://127.0.0.1:9465", token)
    job = api.submit("invoice.exe", wait=60)
    for event in api.events():
        print(event["data"])

Backburn answers 2xx when what was submitted is durable. Everything here may be repeated: a
submission with the same key and contents does nothing twice, and events come at least once.
"""

import http.client
import json
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid


class Refused(Exception):
    """Backburn refuses the request, and would refuse it again; the text says why."""


class Backburn:
    def __init__(self, url, token, patience=300.0):
        """patience: how long to retry while the API is unreachable, in seconds."""
        self.url, self.token, self.patience = url.rstrip("/"), token, patience

    def submit(self, path, wait=0, key=None):
        """Submits a file.

        Returns its final event where that is there within wait seconds, and otherwise an object
        with its job_id. key: the job's id; the same one again, after a crash, is the same job.
        """
        path = pathlib.Path(path)
        query = {"filename": path.name}
        if wait:
            query["wait"] = f"{wait}s"
        headers = {"Idempotency-Key": key or str(uuid.uuid4()), "Content-Type": "application/octet-stream"}
        with self._call("POST", "/v1/submit?" + urllib.parse.urlencode(query), headers, path, wait + 30) as answer:
            return json.load(answer)

    def job(self, job_id):
        """Returns the "state" of a job and, once it has ended, its "event"."""
        with self._call("GET", "/v1/jobs/" + urllib.parse.quote(job_id, safe="")) as answer:
            return json.load(answer)

    def wait(self, job_id, every=2.0):
        """Waits for the final event of a job."""
        while True:
            job = self.job(job_id)
            if "event" in job:
                return job["event"]
            time.sleep(every)

    def events(self, last=None):
        """Yields events as they arrive, each once, without an end.

        last: a time in RFC 3339, or the value of api.last of an earlier stream, from which on to
        continue. Which events were seen is kept in memory.
        """
        self.last, seen = last, {}
        while True:
            try:
                headers = {"Accept": "text/event-stream"}
                if self.last:
                    headers["Last-Event-ID"] = self.last
                # Backburn sends comments regularly, so silence means a broken connection.
                with self._call("GET", "/v1/events", headers, timeout=60) as stream:
                    for at, event in _parse(stream):
                        self.last = at or self.last
                        identity = event["source"], event["id"]
                        if identity in seen:
                            continue
                        seen[identity] = True
                        if len(seen) > 100_000:
                            del seen[next(iter(seen))]
                        yield event
            except (OSError, http.client.HTTPException):  # the latter if an answer was cut short
                time.sleep(1)

    def _call(self, method, path, headers=None, body=None, timeout=30.0):
        """Makes a request, and retries it while Backburn is unreachable or asks to wait."""
        until = time.monotonic() + self.patience
        pause = 0.2
        while True:
            data = body.open("rb") if body else None
            try:
                request = urllib.request.Request(self.url + path, data=data, method=method)
                request.add_header("Authorization", "Bearer " + self.token)
                for name, value in (headers or {}).items():
                    request.add_header(name, value)
                if body:
                    request.add_header("Content-Length", str(body.stat().st_size))
                return urllib.request.urlopen(request, timeout=timeout)
            except urllib.error.HTTPError as answer:
                with answer:
                    if answer.code < 500 and answer.code != 429:
                        raise Refused(f"{answer.code}: {_detail(answer)}") from None
                    after = answer.headers.get("Retry-After", "")
                wait = float(after) if after.isdigit() else pause
                if time.monotonic() + wait > until:
                    raise
            except (OSError, http.client.HTTPException):
                wait = pause
                if time.monotonic() + wait > until:
                    raise
            finally:
                if data:
                    data.close()
            time.sleep(wait)
            pause = min(2 * pause, 30)


def _detail(answer):
    try:
        return json.load(answer)["detail"]
    except (ValueError, KeyError, OSError):
        return answer.reason


def _parse(lines):
    """Yields the ID and data of server-sent events."""
    at, data = None, []
    for line in lines:
        line = line.decode().rstrip("\r\n")
        if not line:
            if data:
                yield at, json.loads("\n".join(data))
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("id:"):
            at = line[3:].strip()
