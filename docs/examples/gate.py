"""Admits, blocks and unblocks a subscriber of a stream.

    python3 gate.py admit STREAM SUBSCRIBER
    python3 gate.py block STREAM SUBSCRIBER SECONDS
    python3 gate.py unblock STREAM SUBSCRIBER

SLUICE is the application's address, such as http://127.0.0.1:5080/live.
"""

import base64
import json
import os
import secrets
import sys
from itertools import count
from urllib.parse import quote
from urllib.request import Request, urlopen

SLUICE = os.environ["SLUICE"]


def ask(method, url, body=None):
    text = json.dumps(body).encode() if body else None
    request = Request(url, text, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=10) as response:
        return json.load(response)


def call(method, url, body=None):
    result = ask(method, url, body)
    # Sluice answers as Ant Media Server does: a refusal may come with status 200.
    if not result["success"]:
        raise SystemExit(result["message"])
    return result


def is_registered(stream, subscriber):
    size = 50
    for offset in count(0, size):
        search = f"list/{offset}/{size}?search={quote(subscriber, safe='')}"
        some = ask("GET", f"{subscribers(stream)}/{search}")
        if any(each["subscriberId"] == subscriber for each in some):
            return True
        if len(some) < size:
            return False


def admit(stream, subscriber):
    # To register again would replace the secret, and end what its codes have opened.
    if not is_registered(stream, subscriber):
        # 20 bytes are 160 bits, what RFC 4226 (section 4) recommends: 32 characters of base32.
        secret = base64.b32encode(secrets.token_bytes(20)).decode()
        body = {"subscriberId": subscriber, "b32Secret": secret, "type": "play"}
        call("POST", subscribers(stream), body)
    code = call("GET", f"{one(stream, subscriber)}/totp?type=play")["dataId"]
    print(f"{SLUICE}/play.html?id={stream}&subscriberId={subscriber}&subscriberCode={code}")


def block(stream, subscriber, seconds):
    call("PUT", f"{one(stream, subscriber)}/block/{int(seconds)}/play")
    print(f"{subscriber} sees nothing of {stream} for {seconds} s")


def unblock(stream, subscriber):
    call("PUT", f"{one(stream, subscriber)}/block/0/play")
    print(f"{subscriber} sees {stream} again")


def subscribers(stream):
    return f"{SLUICE}/rest/v2/broadcasts/{quote(stream, safe='')}/subscribers"


def one(stream, subscriber):
    return f"{subscribers(stream)}/{quote(subscriber, safe='')}"


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    {"admit": admit, "block": block, "unblock": unblock}[action](*rest)
