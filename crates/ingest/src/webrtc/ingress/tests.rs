use super::*;
use media::{bus, packet_ring};

const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
const BOTH: Announced = Announced { video: true, audio: true };
const VIDEO: Announced = Announced { video: true, audio: false };

struct Sender {
    ingress: Ingress,
    now: Instant,
    seq: u64,
    time: u64,
}

impl Sender {
    fn new(announced: Announced) -> Self {
        Self { ingress: Ingress::new(announced), now: Instant::now(), seq: 65_530, time: 1_000_000 }
    }

    fn packet(&mut self, payload: Vec<u8>, marker: bool) -> Rtp {
        self.seq += 1;
        let (seq, time) = (self.seq, self.time);
        Rtp { track: TrackKind::Video, seq, time, marker, payload: payload.into() }
    }

    fn send(&mut self, payload: Vec<u8>, marker: bool) {
        let rtp = self.packet(payload, marker);
        self.ingress.receive(rtp, self.now);
    }

    fn sets(&mut self) {
        let both = [Bytes::from_static(SPS), Bytes::from_static(PPS)];
        let payload = super::super::payload::h264::packetise(&both, 1200).remove(0);
        self.send(payload.to_vec(), false);
    }

    fn keyframe(&mut self) {
        self.sets();
        self.send(vec![0x65; 50], true);
        self.next();
    }

    fn delta(&mut self) {
        self.send(vec![0x41; 50], true);
        self.next();
    }

    fn next(&mut self) {
        self.time += 3000;
        self.now += Duration::from_millis(33);
    }

    fn sound(&mut self, seq: u64, time: u64) {
        let rtp = Rtp { track: TrackKind::Audio, seq, time, marker: false, payload: vec![0xfc, 1, 2].into() };
        self.ingress.receive(rtp, self.now);
    }

    fn live(&mut self) -> (media::PacketRing, media::Bus) {
        let tracks = self.ingress.take_tracks(self.now).unwrap();
        let (packets, frames) = (packet_ring(tracks.clone()), bus(tracks));
        let rings = (packets.ring(), frames.ring());
        self.ingress.go_live(packets, frames, self.now);
        rings
    }
}

fn items<T: media::ring::Item>(reader: &mut media::ring::Reader<T>) -> Vec<std::sync::Arc<T>> {
    std::iter::from_fn(|| reader.try_next())
        .filter_map(|event| match event {
            media::Event::Item(item) => Some(item),
            _ => None,
        })
        .collect()
}

#[test]
fn tracks_are_known_when_both_have_come_and_nothing_since_the_key_frame_is_lost() {
    let mut sender = Sender::new(BOTH);
    sender.keyframe();
    assert_eq!(sender.ingress.take_tracks(sender.now), None);
    sender.sound(1, 500);
    let (packets, _) = sender.live();
    let tracks = packets.tracks();
    let video = tracks.video.as_ref().unwrap();
    assert_eq!((video.width, video.height, tracks.audio.is_some()), (640, 480, true));
    let got = items(&mut packets.reader());
    assert_eq!(got.len(), 3);
    assert!(got[0].starts_gop && !got[1].starts_gop);
}

#[test]
fn a_silent_microphone_does_not_hold_the_stream_back_for_ever() {
    let mut sender = Sender::new(BOTH);
    sender.keyframe();
    sender.now += WAIT_AUDIO;
    assert!(sender.ingress.take_tracks(sender.now).is_some_and(|t| t.audio.is_none()));
}

#[test]
fn after_a_loss_players_get_nothing_until_a_key_frame_that_is_asked_for_at_most_twice_a_second() {
    let mut sender = Sender::new(VIDEO);
    sender.keyframe();
    let (packets, _) = sender.live();
    let mut reader = packets.reader();
    assert_eq!(items(&mut reader).len(), 2);
    sender.seq += 1;
    sender.delta();
    sender.now += VIDEO_PATIENCE;
    sender.ingress.advance(sender.now);
    assert_eq!(items(&mut reader).len(), 0);
    assert!(sender.ingress.ask_keyframe(sender.now));
    sender.delta();
    assert!(!sender.ingress.ask_keyframe(sender.now));
    assert!(sender.ingress.ask_keyframe(sender.now + ASK_INTERVAL));
    sender.keyframe();
    assert_eq!(items(&mut reader).len(), 2);
    assert!(!sender.ingress.ask_keyframe(sender.now + ASK_INTERVAL * 2));
}

#[test]
fn frames_are_made_only_while_somebody_reads_them() {
    let mut sender = Sender::new(VIDEO);
    sender.keyframe();
    let (_, frames) = sender.live();
    sender.delta();
    let mut reader = frames.reader();
    sender.delta();
    assert_eq!(items(&mut reader).len(), 0);
    assert!(sender.ingress.ask_keyframe(sender.now));
    sender.keyframe();
    sender.delta();
    let got = items(&mut reader);
    assert_eq!(got.iter().map(|f| f.keyframe).collect::<Vec<_>>(), [true, false]);
    assert_eq!(got[0].data.len(), 54, "parameter sets stay with the track");
    assert_eq!((got[1].pts - got[0].pts).as_micros(), 33_333);
}

#[test]
fn a_key_frame_without_parameter_sets_gets_them_again() {
    let mut sender = Sender::new(VIDEO);
    sender.keyframe();
    let (packets, _) = sender.live();
    let mut reader = packets.reader();
    items(&mut reader);
    sender.send(vec![0x65; 50], true);
    let got = items(&mut reader);
    assert_eq!(got.len(), 2);
    assert!(got[0].starts_gop);
    assert_eq!(got[0].timestamp, got[1].timestamp);
}

#[test]
fn hostile_payloads_neither_panic_nor_grow() {
    let mut sender = Sender::new(BOTH);
    let mut state = 1u32;
    for i in 0..20_000u64 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let payload = vec![(state >> 24) as u8; (state >> 16) as usize % 40];
        let rtp = sender.packet(payload, i % 7 == 0);
        sender.ingress.receive(rtp, sender.now);
        if i % 11 == 0 {
            sender.next();
        }
    }
    let Output::Pending(pending) = &sender.ingress.output else { panic!("not live") };
    assert!(pending.len() <= MAX_PENDING);
}
