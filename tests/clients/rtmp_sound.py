"""rtmp_sound.py URL: decodes the sound of an RTMP stream with a libavformat that knows Opus in
FLV (Debian's does not), and tells {"codec": …, "peak": …} as soon as it is loud."""

import json
import sys

import av
import numpy

with av.open(sys.argv[1], options={"rtmp_live": "live"}, timeout=20) as stream:
    track = stream.streams.audio[0]
    for frame in stream.decode(track):
        samples = numpy.abs(frame.to_ndarray().astype(numpy.float32))
        peak = float(samples.max()) / (1 if frame.format.name.startswith("flt") else 32768)
        if peak > 0.1:
            print(json.dumps({"codec": track.codec_context.name, "peak": peak}), flush=True)
            break
