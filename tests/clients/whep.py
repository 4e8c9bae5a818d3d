"""whep.py URL: plays, and tells {"n": number} per picture and {"peak": x} per louder sound."""

import asyncio
import sys

import numpy
from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from peer import run, tell


def number(grey):
    """The frame's number from the strip below the picture; see tests/src/picture.rs."""
    height, width = grey.shape
    cell = width / 20
    line = lambda y: slice(int(height * (y - 4) / 360), max(int(height * (y + 4) / 360), int(height * (y - 4) / 360) + 1))
    bits = []
    for i in range(20):
        columns = slice(int(cell * (i + 0.25)), int(cell * (i + 0.75)))
        difference = float(grey[line(330), columns].mean()) - float(grey[line(350), columns].mean())
        if abs(difference) < 40:
            return None
        bits.append(difference > 0)
    if not bits[0] or bits[1] or not bits[19]:
        return None
    return sum(1 << i for i in range(16) if bits[2 + i])


async def watch(track):
    while True:
        frame = await track.recv()
        plane = frame.planes[0]
        grey = numpy.frombuffer(plane, numpy.uint8).reshape(-1, plane.line_size)[:, : frame.width]
        tell(n=number(grey))


async def listen(track):
    loudest = 0.0
    while True:
        frame = await track.recv()
        peak = float(numpy.abs(frame.to_ndarray().astype(numpy.float32)).max()) / 32768
        if peak > loudest + 0.05:
            loudest = peak
            tell(peak=peak)


async def follow(track):
    try:
        await (watch if track.kind == "video" else listen)(track)
    except MediaStreamError:
        tell(ended=track.kind)


async def main(url):
    pc = RTCPeerConnection()
    tasks = []
    pc.add_listener("track", lambda track: tasks.append(asyncio.ensure_future(follow(track))))
    pc.addTransceiver("video", direction="recvonly")
    pc.addTransceiver("audio", direction="recvonly")
    await run(pc, url)


asyncio.run(main(sys.argv[1]))
