//! Real media for tests: a clip that ffmpeg encodes, as tracks and frames.

use std::path::Path;
use std::process::Command;

use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};
use shiguredo_mp4::Encode;
use shiguredo_mp4::boxes::{AvccBox, DopsBox, SampleEntry};
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};

/// A clip in the order in which a publisher would send it.
pub struct Clip {
    pub tracks: Tracks,
    pub frames: Vec<Frame>,
}

/// Encodes with ffmpeg into an MP4 in `dir`; `args` name inputs and codecs.
pub fn encode(dir: &Path, args: &str) -> Clip {
    let file = dir.join("clip.mp4");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(args.split_whitespace())
        .arg(&file)
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success());
    read(&std::fs::read(file).unwrap())
}

/// Pictures with B-frames and a keyframe each second.
pub const VIDEO: &str = "-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=440:sample_rate=48000 -t 6 -c:v libx264 \
     -preset ultrafast -bf 2 -g 30 -sc_threshold 0 -pix_fmt yuv420p";

fn read(bytes: &[u8]) -> Clip {
    let mut demuxer = Mp4FileDemuxer::new();
    demuxer.handle_input(Input { position: 0, data: bytes });
    let mut clip = Clip { tracks: Tracks::default(), frames: Vec::new() };
    while let Some(sample) = demuxer.next_sample().unwrap() {
        if let Some(entry) = sample.sample_entry {
            describe(entry, &mut clip.tracks);
        }
        let rate = sample.track.timescale.get();
        let (dts, offset) = (sample.timestamp as i64, sample.composition_time_offset.unwrap_or(0));
        let track = match sample.track.kind {
            shiguredo_mp4::TrackKind::Video => TrackKind::Video,
            _ => TrackKind::Audio,
        };
        let at = sample.data_offset as usize;
        clip.frames.push(Frame {
            track,
            pts: MediaTime::from_ticks(dts + offset, rate),
            dts: MediaTime::from_ticks(dts, rate),
            keyframe: sample.keyframe,
            data: bytes[at..at + sample.data_size].to_vec().into(),
        });
    }
    clip.frames.sort_by_key(|f| f.dts);
    clip
}

fn describe(entry: &SampleEntry, tracks: &mut Tracks) {
    match entry {
        SampleEntry::Avc1(avc) => {
            tracks.video = Some(VideoTrack {
                codec: VideoCodec::H264,
                config: avcc(&avc.avcc_box),
                width: avc.visual.width.into(),
                height: avc.visual.height.into(),
                reordered: true,
            });
        }
        SampleEntry::Mp4a(aac) => {
            let specific = aac.esds_box.es.dec_config_descr.dec_specific_info.as_ref().unwrap();
            tracks.audio = Some(AudioTrack {
                codec: AudioCodec::Aac,
                config: specific.payload.clone().into(),
                sample_rate: aac.audio.samplerate.integer.into(),
                channels: aac.audio.channelcount as u8,
            });
        }
        SampleEntry::Opus(opus) => {
            tracks.audio = Some(AudioTrack {
                codec: AudioCodec::Opus,
                config: opus_head(&opus.dops_box),
                sample_rate: 48_000,
                channels: opus.dops_box.output_channel_count,
            });
        }
        other => panic!("{other:?}"),
    }
}

/// The record without the box around it.
fn avcc(avcc: &AvccBox) -> bytes::Bytes {
    avcc.encode_to_vec().unwrap()[8..].to_vec().into()
}

fn opus_head(dops: &DopsBox) -> bytes::Bytes {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(dops.output_channel_count);
    head.extend_from_slice(&dops.pre_skip.to_le_bytes());
    head.extend_from_slice(&dops.input_sample_rate.to_le_bytes());
    head.extend_from_slice(&dops.output_gain.to_le_bytes());
    head.push(0);
    head.into()
}
