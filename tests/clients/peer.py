"""What both aiortc peers share: one connection offered over HTTP, told in JSON lines."""

import asyncio
import json
import re
import sys

import aiohttp
import aioice.ice

# aioice leaves loopback out; the server under test listens nowhere else.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


def tell(**event):
    print(json.dumps(event), flush=True)


async def offer(pc, session, url):
    """POSTs our offer and takes the answer. Gives the session's URL, or None if refused."""
    await pc.setLocalDescription(await pc.createOffer())
    sdp = pc.localDescription.sdp
    tell(ports=sorted({int(p) for p in re.findall(r"a=candidate:\S+ \d+ udp \d+ \S+ (\d+)", sdp)}))
    async with session.post(url, data=sdp, headers={"Content-Type": "application/sdp"}) as answer:
        text = await answer.text()
        tell(status=answer.status, text="" if answer.status == 201 else text)
        if answer.status != 201:
            return None
        location = aiohttp.client.URL(url).join(aiohttp.client.URL(answer.headers["Location"]))
    from aiortc import RTCSessionDescription

    await pc.setRemoteDescription(RTCSessionDescription(sdp=text, type="answer"))
    return location


async def until_stopped():
    """Returns when our standard input says so or ends."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def run(pc, url):
    pc.add_listener("connectionstatechange", lambda: tell(state=pc.connectionState))
    # A test's certificate signs itself.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        location = await offer(pc, session, url)
        if location is not None:
            await until_stopped()
            async with session.delete(location) as answer:
                tell(deleted=answer.status)
    await pc.close()
