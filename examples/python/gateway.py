"""Hands files in, as raw jobs: python gateway.py SOURCE FILE...

Needs nats-py. It reaches the server by NATS_URL, and NATS_TOKEN where that is the embedded one. With
permissions of `backburn acl gateway --raw` set NATS_USER, NATS_PASSWORD and NATS_API_PREFIX. Files have to fit a message (the server's max_payload, 1 MiB unless it says otherwise).
"""

import asyncio
import os
import pathlib
import sys
import uuid

import nats


async def main(source: str, files: list[str]) -> None:
    nc = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        user=os.environ.get("NATS_USER"),
        password=os.environ.get("NATS_PASSWORD"),
        token=os.environ.get("NATS_TOKEN"),
        inbox_prefix=f"_INBOX_backburn_gateway-{source}".encode(),
    )
    js = nc.jetstream(prefix=os.environ.get("NATS_API_PREFIX", "$JS.API"))
    for name in files:
        path = pathlib.Path(name)
        job = str(uuid.uuid4())
        # Without the acknowledgement, which is waited for here, nothing was accepted.
        await js.publish(
            f"backburn.jobs.normal.{source}",
            path.read_bytes(),
            headers={
                "Nats-Msg-Id": job,
                "Content-Type": "application/octet-stream",
                "Backburn-Filename": path.name,
            },
        )
        print(f"{name} is job {job}")
    await nc.drain()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python gateway.py SOURCE FILE...")
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
