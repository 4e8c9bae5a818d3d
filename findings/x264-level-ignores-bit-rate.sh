#!/usr/bin/env bash
# x264 labels a stream with a level whose bit rate the stream exceeds.
#
# A good engineer would guess that the level in a sequence parameter set bounds the bit rate:
# ITU-T H.264 Table A-1 has MaxBR for each level, and a decoder may count on it.
#
# What happens: without a rate-control buffer (`-maxrate`, `-bufsize`) x264 chooses the level by
# picture size, macroblocks a second and reference frames alone. A noisy 640x360 picture at
# a fine quantiser comes as level 3.0 (12.5 Mbit/s in High profile) with several times as much.
#
# Why it matters here: a server that holds publishers to the limits of the level that they
# claim, before it gives their pictures to a decoder, must not hold them to MaxBR and MaxCPB
# over time, or it refuses honest encoders. Picture size, references and macroblocks a second
# are what an encoder does keep.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install imageio-ffmpeg==0.6.0
ffmpeg=$(venv/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -version | head -n 1

seconds=4
"$ffmpeg" -loglevel error -f lavfi -i "testsrc2=s=640x360:r=30,noise=alls=60:allf=t" -t $seconds \
    -c:v libx264 -preset veryfast -profile:v high -crf 12 -pix_fmt yuv420p -f h264 stream.h264
venv/bin/python - stream.h264 $seconds <<'PY'
import sys

stream, seconds = open(sys.argv[1], "rb").read(), int(sys.argv[2])
sps = stream.index(b"\0\0\1\x67") + 4
profile, level = stream[sps], stream[sps + 2]
# MaxBR in kbit/s of Table A-1; High profile has 5/4 of it.
max_br = {10: 64, 11: 192, 12: 384, 13: 768, 20: 2000, 21: 4000, 22: 4000, 30: 10000, 31: 14000}
allowed = max_br[level] * 5 // 4
measured = len(stream) * 8 // seconds // 1000
print(f"profile_idc {profile}, level_idc {level}: {allowed} kbit/s allowed, {measured} kbit/s sent")
sys.exit(0 if profile == 100 and measured > 2 * allowed else 1)
PY
