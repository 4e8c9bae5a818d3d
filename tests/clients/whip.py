"""whip.py URL VIDEO.ts SOUND: publishes H.264 as it is, and the sound as Opus, in a loop."""

import asyncio
import sys

from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.contrib.media import MediaPlayer

from peer import run


async def main(url, video, sound):
    pc = RTCPeerConnection()
    # Without decoding, the file has to be Annex B, which a transport stream is.
    picture = MediaPlayer(video, decode=False, loop=True)
    transceiver = pc.addTransceiver(picture.video, direction="sendonly")
    h264 = [c for c in RTCRtpSender.getCapabilities("video").codecs if "H264" in c.mimeType]
    transceiver.setCodecPreferences(h264)
    pc.addTransceiver(MediaPlayer(sound, loop=True).audio, direction="sendonly")
    await run(pc, url)


asyncio.run(main(*sys.argv[1:4]))
