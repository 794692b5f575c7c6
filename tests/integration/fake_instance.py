"""A program that speaks an instance's protocol and behaves as its first argument says."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

HEARTBEAT_SECONDS = 0.1
TERMINAL_EXIT = 3


def say(**status):
    sys.stdout.write(json.dumps({"state": "running", "total": 7, "rejected": 1, **status}) + "\n")
    sys.stdout.flush()


def read_to_the_end():
    for _ in sys.stdin:
        pass


def main():
    order = json.loads(sys.stdin.readline())
    behaviour, *rest = order["arguments"]
    folder = Path(os.environ["FOLDER"])
    with (folder / f"started-{order['number']}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    sys.stderr.write(f"started as {behaviour}\n")
    sys.stderr.flush()
    if behaviour == "crash":
        say(total=1, rejected=0)
        sys.exit(1)
    if behaviour == "crash-once" and not (folder / "crashed").exists():
        (folder / "crashed").touch()
        sys.exit(1)
    if behaviour == "terminal":
        say(state="failed", cause="topic_missing", error="the topic is gone")
        sys.exit(TERMINAL_EXIT)
    if behaviour == "family":
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with (folder / "children").open("a") as file:
            file.write(f"{child.pid}\n")
    if behaviour == "silent":
        time.sleep(600)
    listener = threading.Thread(target=read_to_the_end, daemon=True)
    listener.start()
    while listener.is_alive() or behaviour in {"deaf", "family"}:
        if behaviour == "garbage":
            os.write(1, b"\xff\xfe{]\n" + b"x" * 200_000 + b"\n[1, 2]\n")
            os.write(2, b"\x1b[31m" + b"y" * 200_000)
        say(lag=5, rate=2.5, last_message_at="2026-11-23T10:00:00Z", partitions=["readings/0"])
        time.sleep(HEARTBEAT_SECONDS)
    time.sleep(float(rest[0]) if rest else 0)
    (folder / f"drained-{order['number']}").touch()


if __name__ == "__main__":
    main()
