use bytes::Bytes;
use ropus::{Channels, DecodeMode, Decoder};

use super::*;
use crate::testing::{Clip, Dice};

fn transcode(clip: &Clip) -> (AudioTranscoder, Vec<Frame>) {
    let mut transcoder = AudioTranscoder::new(clip.audio()).unwrap();
    let packets = clip.frames.iter().flat_map(|frame| transcoder.push(frame)).collect();
    (transcoder, packets)
}

/// The first channel of what a player hears.
fn listen(packets: &[Frame], channels: usize) -> Vec<f32> {
    let layout = if channels == 1 { Channels::Mono } else { Channels::Stereo };
    let mut decoder = Decoder::new(RATE, layout).unwrap();
    let mut heard = Vec::new();
    for packet in packets {
        let mut samples = vec![0.0_f32; PACKET * channels];
        let count = decoder.decode_float(&packet.data, &mut samples, DecodeMode::Normal).unwrap();
        assert_eq!(count, PACKET, "20 ms");
        heard.extend(samples.iter().step_by(channels));
    }
    heard
}

/// Amplitude of one frequency (Goertzel's sum, written out).
fn amplitude(samples: &[f32], hz: f64) -> f64 {
    let turn = std::f64::consts::TAU * hz / f64::from(RATE);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &x) in samples.iter().enumerate() {
        re += f64::from(x) * (turn * n as f64).cos();
        im += f64::from(x) * (turn * n as f64).sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

fn rms(samples: &[f32]) -> f64 {
    (samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
}

#[test]
fn a_tone_keeps_its_pitch_and_its_level() {
    for (rate, channels) in [(48_000, 2), (44_100, 2), (44_100, 1), (32_000, 2), (22_050, 1)] {
        let (transcoder, packets) = transcode(&Clip::tone(rate, channels, 3));
        let track = transcoder.track();
        assert_eq!(
            (track.codec, track.sample_rate, u32::from(track.channels)),
            (AudioCodec::Opus, RATE, channels)
        );
        let heard = listen(&packets, channels as usize);
        // A whole number of periods from the middle.
        let middle = &heard[RATE as usize / 2..RATE as usize * 5 / 2];
        let tone = amplitude(middle, 1000.0);
        assert!((tone - 0.125).abs() < 0.01, "{rate} Hz, {channels} channels: amplitude {tone}");
        let rest = (rms(middle).powi(2) - tone.powi(2) / 2.0).max(0.0).sqrt();
        assert!(rest < 0.01, "{rate} Hz, {channels} channels: {rest} beside the tone");
    }
}

#[test]
fn packets_follow_each_other_every_20_ms_from_the_first_time_on() {
    for rate in [48_000, 44_100] {
        let mut clip = Clip::tone(rate, 2, 3);
        for frame in &mut clip.frames {
            let later = frame.pts + Duration::from_secs(7);
            *std::sync::Arc::make_mut(frame) = Frame { pts: later, dts: later, ..(**frame).clone() };
        }
        let (_, packets) = transcode(&clip);
        assert!((148..=153).contains(&packets.len()), "{} packets", packets.len());
        for (n, packet) in packets.iter().enumerate() {
            let expected = clip.frames[0].pts + Duration::from_millis(20 * n as u64);
            assert_eq!((packet.pts, packet.dts, packet.keyframe), (expected, expected, true));
        }
    }
}

#[test]
fn a_gap_in_the_input_is_a_gap_in_the_output() {
    for rate in [48_000, 44_100] {
        let mut clip = Clip::tone(rate, 2, 3);
        let cut = clip.frames.len() / 3;
        let resumes = clip.frames[cut * 2].pts;
        clip.frames.drain(cut..cut * 2);
        let (_, packets) = transcode(&clip);
        let jump =
            packets.windows(2).find(|w| w[1].pts.since(w[0].pts) != Duration::from_millis(20)).unwrap();
        assert_eq!(jump[1].pts, resumes);
        assert!(jump[1].pts.since(jump[0].pts) > Duration::from_millis(900));
    }
}

#[test]
fn rounded_and_jittering_times_make_no_gap() {
    let mut clip = Clip::tone(44_100, 2, 3);
    for (n, frame) in clip.frames.iter_mut().enumerate() {
        let late = frame.pts + Duration::from_millis(if n % 3 == 0 { 40 } else { 0 });
        std::sync::Arc::make_mut(frame).pts = late;
    }
    let (_, packets) = transcode(&clip);
    assert!(packets.windows(2).all(|w| w[1].pts.since(w[0].pts) == Duration::from_millis(20)));
}

#[test]
fn frames_that_do_not_decode_are_counted_and_cost_only_their_own_time() {
    let mut clip = Clip::tone(48_000, 2, 3);
    for frame in clip.frames[40..50].iter_mut() {
        std::sync::Arc::make_mut(frame).data = Bytes::from_static(&[0x40; 20]);
    }
    let (transcoder, packets) = transcode(&clip);
    assert_eq!(transcoder.corrupt(), 10);
    assert!(packets.windows(2).all(|w| w[1].pts.since(w[0].pts) == Duration::from_millis(20)));
    let heard = listen(&packets, 2);
    let at = |frame: usize| &heard[frame * 1024..(frame + 1) * 1024];
    assert!(rms(at(45)) < 0.01, "silence for what was lost");
    assert!((amplitude(&heard[60 * 1024..60 * 1024 + 48_000], 1000.0) - 0.125).abs() < 0.01, "then the tone");
}

#[test]
fn mutated_frames_neither_panic_nor_stop_the_stream() {
    let clip = Clip::tone(44_100, 2, 1);
    let mut dice = Dice(1);
    let mut transcoder = AudioTranscoder::new(clip.audio()).unwrap();
    for _ in 0..100 {
        for frame in &clip.frames {
            transcoder.push(&Frame { data: dice.mutate(&frame.data), ..(**frame).clone() });
        }
    }
    assert!(transcoder.corrupt() > 100, "the mutations hurt");
    let mut transcoder_again = transcoder;
    let packets: Vec<_> = clip.frames.iter().flat_map(|frame| transcoder_again.push(frame)).collect();
    assert!(amplitude(&listen(&packets, 2)[24_000..36_000], 1000.0) > 0.1, "it still works");
}

#[test]
fn mutated_configurations_do_not_panic() {
    let clip = Clip::tone(44_100, 2, 1);
    let mut dice = Dice(2);
    for _ in 0..2000 {
        let config = dice.mutate(&clip.audio().config);
        if let Ok(mut transcoder) = AudioTranscoder::new(&AudioTrack { config, ..clip.audio().clone() }) {
            clip.frames.iter().take(4).for_each(|frame| drop(transcoder.push(frame)));
        }
    }
}

fn refused(codec: AudioCodec, config: &'static [u8]) -> AudioUnsupported {
    let track = AudioTrack { codec, config: Bytes::from_static(config), sample_rate: 48_000, channels: 2 };
    AudioTranscoder::new(&track).err().unwrap()
}

#[test]
fn what_cannot_be_transcoded_is_named() {
    assert_eq!(refused(AudioCodec::Opus, &[0x11, 0x90]), AudioUnsupported::NotAac);
    assert_eq!(refused(AudioCodec::Aac, &[0x11, 0xB0]), AudioUnsupported::Profile, "5.1");
    assert_eq!(refused(AudioCodec::Aac, &[0x2B, 0x11, 0x88, 0x00]), AudioUnsupported::Profile, "HE-AAC");
    assert_eq!(refused(AudioCodec::Aac, &[]), AudioUnsupported::Profile);
}

#[test]
fn the_configuration_that_obs_sends_is_understood() {
    // AAC-LC, 48 kHz, stereo, and a sync extension that says there is no SBR.
    let config = Bytes::from_static(&[0x11, 0x90, 0x56, 0xE5, 0x00]);
    let track = AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 };
    let clip = Clip::tone(48_000, 2, 1);
    let mut transcoder = AudioTranscoder::new(&track).unwrap();
    let packets: Vec<_> = clip.frames.iter().flat_map(|frame| transcoder.push(frame)).collect();
    assert_eq!(transcoder.corrupt(), 0);
    assert!(packets.len() > 40);
}
