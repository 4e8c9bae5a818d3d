//! What `scripts/fuzz` calls: bytes as a peer may send them, and what must hold
//! whatever they are. Compiled for fuzzing and for the tests here, which run it on the
//! seeds, so that it does not rot.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is a finding")]

use bytes::{Bytes, BytesMut};
use media::{Frame, TrackKind, Tracks};

use crate::amf0::{self, Value, object};
use crate::chunk::{Head, Writer};
use crate::flv::avc::AvcConfig;
use crate::link::{LinkError, kind};
use crate::{Engine, EngineError, Event, HANDSHAKE_LEN, Status};

/// How far the connection has come before the peer's bytes.
#[derive(Debug, Clone, Copy)]
enum Until {
    Handshake,
    Connected,
    Playing,
    Publishing,
}

/// A connection. The first byte says how far it has come, the second in which pieces
/// the rest arrives.
pub fn engine(bytes: &[u8]) {
    let [how, piece, rest @ ..] = bytes else { return };
    let until = match how & 7 {
        0 => None,
        1 => Some(Until::Handshake),
        2 | 3 => Some(Until::Connected),
        4 | 5 => Some(Until::Playing),
        _ => Some(Until::Publishing),
    };
    let piece = usize::from(*piece) + 1;
    answered(until, rest, piece);
    let (pieces, first) = unanswered(until, rest, piece);
    let (whole, second) = unanswered(until, rest, rest.len().max(1));
    let common = pieces.len().min(whole.len());
    assert_eq!(pieces[..common], whole[..common], "a split changes events");
    // How many answers wait to be written depends on how often they are fetched.
    let answers = Some(EngineError::Link(LinkError::Answers));
    assert!(first == second || second == answers, "a split changes {first:?} to {second:?}");
}

/// Tags of a publisher: each is a byte for its kind, two for its time, two for its
/// length, and its body.
pub fn flv(bytes: &[u8]) {
    let mut engine = begun(Some(Until::Publishing));
    let (mut rest, mut tracks) = (bytes, Tracks::default());
    while let Some(([what, t1, t0, l1, l0], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*l1, *l0])).min(after.len());
        let (body, after) = after.split_at(length);
        let timestamp = u32::from(u16::from_be_bytes([*t1, *t0])) << (what >> 4);
        let kind = [kind::VIDEO, kind::AUDIO, kind::AGGREGATE, kind::DATA][usize::from(what & 3)];
        // A command that is malformed ends the connection; media never does.
        let took = engine.receive(&message(6, kind, timestamp, body));
        took.expect("a connection ended by media");
        for event in drain(&mut engine) {
            judge(event, &mut tracks);
        }
        assert_eq!(engine.failure(), None, "a connection ended by media");
        rest = after;
    }
}

/// A parameter set, as this crate reads it: width and height.
pub fn sps(nal: &[u8]) -> Option<(u32, u32)> {
    crate::flv::picture_size(nal)
}

/// What the rest of the server relies on.
fn judge(event: Event, tracks: &mut Tracks) {
    match event {
        Event::Tracks(new) => {
            if let Some(video) = &new.video {
                let config = AvcConfig::parse(&video.config).expect("a record that can be read");
                let again = config.track().expect("a record with sets");
                assert_eq!(again, *video, "a record is not read as it was written");
            }
            *tracks = new;
        }
        Event::Frame(frame) => judge_frame(&frame, tracks),
        _ => {}
    }
}

fn judge_frame(frame: &Frame, tracks: &Tracks) {
    let belongs = match frame.track {
        TrackKind::Video => tracks.video.is_some(),
        TrackKind::Audio => tracks.audio.is_some(),
    };
    assert!(belongs, "a frame of no track");
    if frame.track == TrackKind::Video {
        let mut rest = &frame.data[..];
        assert!(!rest.is_empty(), "an access unit of nothing");
        while let Some((length, after)) = rest.split_first_chunk() {
            rest = after.get(u32::from_be_bytes(*length) as usize..).expect("a length past the end");
        }
        assert!(rest.is_empty(), "half a length");
    }
}

/// Feeds pieces and agrees to everything; no more is held than what came makes worth it.
fn answered(until: Option<Until>, bytes: &[u8], piece: usize) {
    let mut engine = begun(until);
    for part in bytes.chunks(piece) {
        if engine.receive(part).is_err() {
            break;
        }
        drain(&mut engine);
        engine.take_output();
        let most = 4 * bytes.len() + HELD_FOR_NOTHING;
        assert!(engine.held() <= most, "{} bytes are held for {}", engine.held(), bytes.len());
    }
    assert!(engine.failure().is_none() || engine.held() == 0, "something is held for nothing");
}

/// Bytes that may be held for a peer that has sent next to nothing.
const HELD_FOR_NOTHING: usize = 8192;

/// Feeds pieces and answers nothing.
fn unanswered(until: Option<Until>, bytes: &[u8], piece: usize) -> (Vec<Event>, Option<EngineError>) {
    let (mut engine, mut events) = (begun(until), Vec::new());
    for part in bytes.chunks(piece) {
        let took = engine.receive(part);
        while let Some(event) = next(&mut engine) {
            events.push(event);
        }
        engine.take_output();
        if took.is_err() {
            break;
        }
    }
    (events, engine.failure())
}

/// The next event, however many turns it takes.
fn next(engine: &mut Engine) -> Option<Event> {
    loop {
        let event = engine.poll_event();
        if event.is_some() || !engine.is_reading() {
            return event;
        }
    }
}

const CONNECTED: Status<'_> = Status::good("NetConnection.Connect.Success", "Connected.");
const PLAY: [Status<'_>; 1] = [Status::good("NetStream.Play.Start", "Go.")];
const PUBLISH: Status<'_> = Status::good("NetStream.Publish.Start", "Go.");

/// Agrees to everything; the other events.
fn drain(engine: &mut Engine) -> Vec<Event> {
    let mut others = Vec::new();
    while let Some(event) = next(engine) {
        match event {
            Event::Connect(_) => engine.accept_connect(&CONNECTED),
            // A request that was given up by a later one is stale.
            Event::Publish(request) => drop(engine.accept_publish(request.id, &PUBLISH)),
            Event::Play(request) => drop(engine.accept_play(request.id, &PLAY)),
            other => others.push(other),
        }
    }
    others
}

fn begun(until: Option<Until>) -> Engine {
    let mut engine = Engine::new(&[2; HANDSHAKE_LEN]);
    let Some(until) = until else { return engine };
    let mut say = |bytes: &[u8]| {
        engine.receive(bytes).expect("a good beginning");
        drain(&mut engine);
        engine.take_output();
    };
    say(&[&[3][..], &[0; 2 * HANDSHAKE_LEN]].concat());
    if matches!(until, Until::Handshake) {
        return engine;
    }
    say(&command(0, &["connect".into(), 1.0.into(), object([("app", "live".into())])]));
    match until {
        Until::Playing => say(&command(1, &["play".into(), 2.0.into(), Value::Null, "k".into()])),
        Until::Publishing => {
            say(&command(1, &["publish".into(), 2.0.into(), Value::Null, "k".into(), "live".into()]));
        }
        Until::Handshake | Until::Connected => {}
    }
    engine
}

fn command(stream: u32, values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    let head = Head { chunk_stream: 3, kind: kind::COMMAND, stream, timestamp: 0 };
    Writer::default().write(&mut out, &head, &[], &amf0::encode(values));
    out
}

fn message(chunk_stream: u8, kind: u8, timestamp: u32, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let head = Head { chunk_stream, kind, stream: 1, timestamp };
    Writer::default().write(&mut out, &head, &[], body);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &[u8] = b"\x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48\x01\0\x05\x68\xcb\x83\xcb\x20";

    #[test]
    fn seeds_are_read() {
        let config = [b"\x17\0\0\0\0", RECORD].concat();
        let key = b"\x17\x01\0\0\x28\0\0\0\x03\x65\x88\x84";
        let sound = b"\xaf\x00\x12\x10";
        for how in 0..8 {
            let media = [message(6, kind::VIDEO, 0, &config), message(4, kind::AUDIO, 0, sound)].concat();
            let close = command(1, &["deleteStream".into(), 0.0.into(), Value::Null, 1.0.into()]);
            engine(&[&[how, 6][..], &media, &message(6, kind::VIDEO, 40, key), &close].concat());
        }
        let tag = |what: u8, body: &[u8]| [&[what, 0, 9, 0, body.len() as u8][..], body].concat();
        flv(&[tag(0, &config), tag(1, sound), tag(0, key)].concat());
        assert_eq!(sps(&RECORD[8..33]), Some((640, 360)));
    }
}
