#!/usr/bin/env python3
"""Writes seeds/: small, harmless inputs of our own making, from which the fuzzers start."""

import struct
from pathlib import Path

here = Path(__file__).parent / "seeds"

# x264's sets for 640x360 and 1280x720, and a picture's first bytes.
SPS = bytes.fromhex("6742c01ed900a02ff970110000030001000003003c0f162e48")
SPS_B = bytes.fromhex("6764001facb200a00b760220000003002000000791e30649")
SPS_HRD = bytes.fromhex("6764001eacb201405ff2e02200000300020000030078c04003d08000f427261803c58b92")
SPS_LISTS = bytes.fromhex("6764001eacd940a02ff970110000030001000003003c0f162d96")
PPS = bytes.fromhex("68cb83cb20")
IDR = bytes.fromhex("65888404ffffffff")
P = bytes.fromhex("419a246c41ffffff")


def save(target, name, data):
    folder = here / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def text(value):
    return b"\x02" + struct.pack(">H", len(value)) + value.encode()


def number(value):
    return b"\x00" + struct.pack(">d", value)


def fields(kind, values):
    body = b"".join(struct.pack(">H", len(k)) + k.encode() + v for k, v in values)
    return kind + body + b"\x00\x00\x09"


def message(kind, body, stream=1, timestamp=0, lane=3):
    head = bytes([lane]) + timestamp.to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind])
    out = head + struct.pack("<I", stream)
    for at in range(0, len(body), 128):
        out += (bytes([0xC0 | lane]) if at else b"") + body[at : at + 128]
    return out


def record(sps=SPS, pps=PPS):
    head = b"\x01" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps
    return head + b"\x01" + struct.pack(">H", len(pps)) + pps


def unit(*nals):
    return b"".join(struct.pack(">I", len(nal)) + nal for nal in nals)


connect = message(20, text("connect") + number(1) + fields(b"\x03", [("app", text("live"))]), stream=0)
create = message(20, text("createStream") + number(2) + b"\x05", stream=0)
publish = message(20, text("publish") + number(3) + b"\x05" + text("k") + text("live"))
play = message(20, text("play") + number(3) + b"\x05" + text("k"))
close = message(20, text("deleteStream") + number(0) + b"\x05" + number(1))
pause = message(20, text("pause") + number(0) + b"\x05" + b"\x01\x01" + number(0))
metadata = text("onMetaData") + fields(b"\x08\0\0\0\x02", [("width", number(640)), ("audiocodecid", number(10))])
config = b"\x17\0\0\0\0" + record()
key = b"\x17\x01\0\0\x28" + unit(IDR)
inter = b"\x27\x01\0\0\0" + unit(b"\x09\xf0", P)
in_band = b"\x17\x01\0\0\0" + unit(SPS_B, PPS, IDR)
aac = b"\xaf\x00\x12\x10"
sound = b"\xaf\x01sound"
opus = b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"
avc1 = b"\x90avc1" + record(SPS_B)
coded = b"\xa1avc1\0\0\0" + unit(P)
hevc = b"\x90hvc1\x01"


def tag(kind, time, body):
    head = bytes([kind]) + len(body).to_bytes(3, "big") + time.to_bytes(3, "big") + b"\0\0\0\0"
    return head + body + struct.pack(">I", 11 + len(body))


aggregate = tag(9, 1000, inter) + tag(8, 1003, sound) + tag(18, 1004, metadata) + tag(9, 1040, inter)

media = message(9, config, lane=6) + message(8, aac, lane=4) + message(9, key, lane=6) + message(22, aggregate, lane=5)
save("rtmp_engine", "publish", b"\x01\x1f" + connect + create + publish + message(18, metadata) + media + close)
save("rtmp_engine", "play", b"\x01\x7f" + connect + create + play + pause + close)
save("rtmp_engine", "media", b"\x06\x07" + media + message(4, b"\0\x06\0\0\0\x09", 0, lane=2) + close)
save("rtmp_engine", "sizes", b"\x02\x01" + message(1, b"\0\0\x10\0", 0, lane=2) + message(5, b"\0\0\x10\0", 0, lane=2))
save("rtmp_engine", "handshake", b"\x00\xff" + b"\x03" + bytes(200))


def flv(*tags):
    return b"".join(bytes([kind]) + struct.pack(">HH", time, len(body)) + body for kind, time, body in tags)


save("flv", "legacy", flv((3, 0, metadata), (0, 0, config), (1, 0, aac), (0, 0, key), (1, 20, sound), (0, 40, inter)))
save("flv", "in_band", flv((0, 0, in_band), (0, 40, inter), (1, 40, aac), (1, 1200, sound), (0, 1300, in_band)))
save("flv", "enhanced", flv((0, 0, avc1), (1, 0, opus), (0, 40, coded), (1, 40, b"\x91Opus\xfc\0"), (0, 80, hevc)))
save("flv", "aggregate", flv((0, 0, config), (1, 0, aac), (0, 0, key), (2, 900, aggregate)))

for name, sps in [("base", SPS), ("b", SPS_B), ("hrd", SPS_HRD), ("lists", SPS_LISTS)]:
    save("sps", name, sps)
    body = record(sps)
    units = b"".join(struct.pack(">H", len(au)) + au for au in [unit(IDR), unit(P), unit(P, P)])
    save("h264", name, struct.pack(">H", len(body)) + body + units)


def packets(*payloads):
    return b"".join(struct.pack(">H", marker << 15 | len(body)) + body for marker, body in payloads)


stap = b"\x78" + b"".join(struct.pack(">H", len(nal)) + nal for nal in [SPS, PPS])
save("rtp", "stap", packets((0, stap), (1, IDR)))
save("rtp", "fragments", packets((0, b"\x7c\x85abc"), (0, b"\x7c\x05def"), (1, b"\x7c\x45gh"), (1, P)))
save("rtp", "sound", packets((1, b"\xfc\0\1"), (1, b"\x03\x02\1\2")))

sdp = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
m=audio 9 UDP/TLS/RTP/SAVPF 111 9
c=IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=fingerprint:sha-256 00:11
a=setup:actpass
a=mid:0
a=candidate:1 1 udp 1 192.0.2.1 5000 typ host
a=sendrecv
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10
m=video 0 UDP/TLS/RTP/SAVPF 108 109
a=bundle-only
a=mid:1
a=rtpmap:108 H264/90000
a=rtcp-fb:108 nack pli
a=fmtp:108 profile-level-id=42e01f;packetization-mode=1
a=rtpmap:109 rtx/90000
a=ssrc-group:FID 1 2
a=ssrc:1 cname:x
a=end-of-candidates
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=mid:2
"""
save("sdp", "offer", sdp.replace("\n", "\r\n").encode())
save("sdp", "short", b"v=0\nm=video 0 X 1\na=rtpmap:1 VP8/90000\na=candidate:x\n")

for name, body in {
    "play": '{"command":"play","streamId":"cam","subscriberId":"ann","subscriberCode":"123456","token":"t"}',
    "room": '{"command":"play","streamId":"cam","room":"ann","trackList":"123456","token":""}',
    "publish": '{"command":"publish","streamId":"cam","subscriberId":"ann","subscriberCode":123,"video":true}',
    "offer": '{"command":"takeConfiguration","streamId":"cam","type":"offer","sdp":"v=0\\r\\n"}',
    "answer": '{"command":"takeConfiguration","streamId":"cam","type":"answer","sdp":"v=0\\r\\n"}',
    "candidate": '{"command":"takeCandidate","streamId":"cam","label":0,"id":"0","candidate":"candidate:1 1 udp"}',
    "ping": '{"command":"ping"}',
    "others": '[{"command":"stop"},{"command":"getStreamInfo","streamId":" "},{"command":"getTrackList"}]',
}.items():
    save("signalling", name, b"\x03" + body.encode())
save("signalling", "frames", b"\x01\x81\x85\0\0\0\0hello\x89\x80\0\0\0\0\x81\xfe\0\x80" + bytes(4 + 128))

for at, name in enumerate(
    [
        "cam.m3u8",
        "cam_adaptive.m3u8?subscriberId=ann&subscriberCode=123456&token=t",
        "cam~7.m4s?grant=3.AAAA",
        "cam~0.mp4?grant=7.8yWnb0vU8v1SpqRkXb5gZJyB3M3c5f9y1a2b3c4d5e8",
        "a.m3u8.m3u8?subscriberId=%41nn%20&x=1;y",
    ]
):
    save("hls", str(at), name.encode())

save("csv", "comma", b'\xef\xbb\xbfsubscriberId,subscriberName,type\r\nann,"A, ""x""",play\r\n\r\nbob,\'=1,\r\n')
save("csv", "semicolon", b'subscriberId;subscriberName\n"a\nb";c\n;\n')

head = b"SLUICE-BACKUP\n\0\x01"
pair = b"\0\0\0\x01a\0\0\0\x02bc"
save("archive", "open", head + b"\0" + struct.pack(">Q", 2) + pair + pair)
save("archive", "key", head + b"\x01" + bytes(32) + struct.pack(">Q", 1) + pair)


def stun(kind, attributes):
    body = b"".join(struct.pack(">HH", name, len(v)) + v + bytes(-len(v) % 4) for name, v in attributes)
    return struct.pack(">HHI", kind, len(body), 0x2112A442) + bytes(12) + body


check = stun(1, [(0x8022, b"abc"), (6, b"ours:theirs"), (0x24, bytes(4)), (8, bytes(20))])
save("door", "check", b"\x01\x02" + struct.pack(">H", len(check)) + check)
save("door", "others", b"".join(b"\x01\x02" + struct.pack(">H", len(d)) + d for d in [check, stun(0x11, []), b"\x16\xfe\xfd", b"\x80\x6c" + bytes(10)]))
