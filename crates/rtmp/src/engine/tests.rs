//! Whole connections: against our client, against golden bytes, against hostile peers.

use bytes::{Buf, BytesMut};
use media::{AudioCodec, AudioTrack, MediaTime, VideoCodec, VideoTrack};
use proptest::prelude::*;

use super::*;
use crate::Amf0Error;
use crate::chunk::{ChunkError, Reader, Writer};
use crate::client::{Client, ClientEvent, Purpose};
use crate::limits::{MAX_MESSAGE, MAX_MESSAGE_STREAMS, MAX_TAGS_AT_A_TIME};
use crate::link::LinkError;

const SUCCESS: Status<'_> = Status::good("NetConnection.Connect.Success", "Connected.");
const START: Status<'_> = Status::good("NetStream.Publish.Start", "Go.");
const PLAY: [Status<'_>; 1] = [Status::good("NetStream.Play.Start", "Go.")];

fn tracks() -> Tracks {
    let config = b"\x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48\x01\0\x05\x68\xcb\x83\xcb\x20";
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::from_static(config),
            width: 640,
            height: 360,
            reordered: false,
        }),
        audio: Some(AudioTrack {
            codec: AudioCodec::Aac,
            config: Bytes::from_static(&[0x12, 0x10]),
            sample_rate: 44_100,
            channels: 2,
        }),
    }
}

fn opus_tracks() -> Tracks {
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    let audio = AudioTrack {
        codec: AudioCodec::Opus,
        config: Bytes::from_static(head),
        sample_rate: 48_000,
        channels: 2,
    };
    Tracks { audio: Some(audio), ..tracks() }
}

fn picture(ms: i64, size: usize) -> Frame {
    let mut data = (size as u32 + 1).to_be_bytes().to_vec();
    let keyframe = ms % 1000 == 0;
    data.push(if keyframe { 0x65 } else { 0x41 });
    data.resize(size + 5, ms as u8);
    let time = MediaTime::from_millis;
    Frame { track: TrackKind::Video, pts: time(ms + 80), dts: time(ms), keyframe, data: data.into() }
}

fn sound(ms: i64) -> Frame {
    let time = MediaTime::from_millis(ms);
    Frame {
        track: TrackKind::Audio,
        pts: time,
        dts: time,
        keyframe: true,
        data: Bytes::from_static(b"sound"),
    }
}

fn media() -> Vec<Frame> {
    (0..60).flat_map(|n| [picture(n * 40, 10 + 2000 * n as usize), sound(n * 40 + 3)]).collect()
}

/// Answers everything with yes, and gives the events that needed no answer.
fn agree(engine: &mut Engine) -> Vec<Event> {
    let mut rest = Vec::new();
    while let Some(event) = engine.poll_event() {
        match event {
            Event::Connect(_) => engine.accept_connect(&SUCCESS),
            Event::Publish(request) => engine.accept_publish(request.id, &START).unwrap(),
            Event::Play(request) => engine.accept_play(request.id, &PLAY).unwrap(),
            other => rest.push(other),
        }
    }
    rest
}

/// Moves bytes until neither side has more to say; the events of both.
fn talk(client: &mut Client, engine: &mut Engine) -> (Vec<ClientEvent>, Vec<Event>) {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    loop {
        let (up, down) = (client.take_output(), engine.take_output());
        if up.is_empty() && down.is_empty() {
            return (theirs, ours);
        }
        engine.receive(&up).unwrap();
        ours.extend(agree(engine));
        client.receive(&down).unwrap();
        theirs.extend(std::iter::from_fn(|| client.poll_event()));
    }
}

fn connected(purpose: Purpose) -> (Client, Engine) {
    let mut client = Client::new(purpose, "live", "k", &[1; PACKET]);
    let mut engine = Engine::new(&[2; PACKET]);
    talk(&mut client, &mut engine);
    (client, engine)
}

fn frames(events: &[Event]) -> Vec<Frame> {
    let frame = |event: &Event| match event {
        Event::Frame(frame) => Some(frame.clone()),
        _ => None,
    };
    events.iter().filter_map(frame).collect()
}

/// All that a message consists of, in order.
fn pieces(message: &Outgoing) -> Vec<&[u8]> {
    let mut at = 0;
    let piece = || {
        let piece = message.piece(at);
        at += piece.len();
        Some(piece).filter(|piece| !piece.is_empty())
    };
    std::iter::from_fn(piece).collect()
}

impl Engine {
    fn send_frame(&mut self, frame: &Frame) {
        if let Some(message) = self.outgoing(frame) {
            self.link.out().extend_from_slice(&pieces(&message).concat());
        }
    }
}

/// A connection up to the end of connect, by hand: the engine, with no output.
fn raw() -> Engine {
    let mut engine = Engine::new(&[2; PACKET]);
    engine.receive(&[&[3][..], &[0; 2 * PACKET]].concat()).unwrap();
    send(&mut engine, 0, &["connect".into(), 1.0.into(), object([("app", "live".into())])]);
    agree(&mut engine);
    engine.take_output();
    engine
}

fn command_bytes(stream: u32, values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    let head = Head { chunk_stream: 3, kind: kind::COMMAND, stream, timestamp: 0 };
    Writer::default().write(&mut out, &head, &[], &amf0::encode(values));
    out
}

fn send(engine: &mut Engine, stream: u32, values: &[Value]) {
    engine.receive(&command_bytes(stream, values)).unwrap();
}

fn message(kind: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    Writer::default().write(&mut out, &Head { chunk_stream: 2, kind, stream: 0, timestamp: 0 }, &[], body);
    out
}

/// Each message in the output, type first.
fn messages(engine: &mut Engine) -> Vec<(u8, Bytes)> {
    let output = engine.take_output();
    let mut reader = Reader::new();
    reader.allow(PUBLISHER_PARTIALS);
    reader.set_chunk_size(crate::link::CHUNK_SIZE as u32).unwrap();
    let mut rest = &output[..];
    std::iter::from_fn(|| reader.read(&mut rest).unwrap()).map(|m| (m.kind, m.payload)).collect()
}

/// Each command in the output: name, transaction, and the code or value of the answer.
fn answers(engine: &mut Engine) -> Vec<String> {
    let commands = messages(engine).into_iter().filter(|(kind, _)| *kind == kind::COMMAND);
    commands
        .map(|(_, body)| {
            let values = amf0::decode(&body).unwrap();
            let last = values.last().unwrap();
            let code = last.get("code").and_then(Value::as_str).map(str::to_owned);
            let number = last.as_number().map(|number| number.to_string());
            format!(
                "{} {} {}",
                values[0].as_str().unwrap(),
                values[1].as_number().unwrap(),
                code.or(number).unwrap_or_else(|| format!("{last:?}"))
            )
        })
        .collect()
}

#[test]
fn what_is_published_arrives_frame_for_frame() {
    let (mut client, mut engine) = connected(Purpose::Publish);
    client.send_tracks(&tracks());
    let sent = media();
    sent.iter().for_each(|frame| client.send_frame(frame));
    let (_, events) = talk(&mut client, &mut engine);
    assert_eq!(events[0], Event::Tracks(tracks()));
    assert_eq!(frames(&events), sent);
    assert_eq!(engine.dropped_messages(), 0);
    client.delete_stream();
    assert!(matches!(talk(&mut client, &mut engine).1[..], [Event::Ended(_)]));
}

#[test]
fn what_is_played_starts_at_zero_and_loses_nothing() {
    for tracks in [tracks(), opus_tracks()] {
        let (mut client, mut engine) = connected(Purpose::Play);
        engine.send_tracks(&tracks);
        let hour = 3_600_000;
        let shifted = |frame: &Frame, by| Frame {
            pts: MediaTime::from_millis(frame.pts.as_millis() + by),
            dts: MediaTime::from_millis(frame.dts.as_millis() + by),
            ..frame.clone()
        };
        media().iter().for_each(|frame| engine.send_frame(&shifted(frame, hour)));
        let (events, _) = talk(&mut client, &mut engine);
        assert_eq!(events[0], ClientEvent::Tracks(tracks));
        let expected: Vec<_> = media().into_iter().map(ClientEvent::Frame).collect();
        assert_eq!(events[1..], expected);
    }
}

#[test]
fn a_second_publisher_continues_the_clock_of_a_player() {
    let (mut client, mut engine) = connected(Purpose::Play);
    engine.send_tracks(&tracks());
    engine.send_frame(&picture(500_000, 5));
    engine.send_frame(&picture(500_040, 5));
    engine.send_tracks(&tracks());
    engine.send_frame(&picture(1000, 5));
    engine.send_frame(&picture(1040, 5));
    let (events, _) = talk(&mut client, &mut engine);
    let times: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Frame(frame) => Some(frame.dts.as_millis()),
            _ => None,
        })
        .collect();
    assert_eq!(times, [0, 40, 80, 120]);
}

#[test]
fn a_player_five_hours_in_gets_extended_timestamps() {
    let (mut client, mut engine) = connected(Purpose::Play);
    engine.send_tracks(&tracks());
    engine.send_frame(&picture(0, 5));
    let late = picture(18_000_000, 150_000); // three chunks
    engine.send_frame(&late);
    let (events, _) = talk(&mut client, &mut engine);
    assert!(
        matches!(&events[2], ClientEvent::Frame(frame) if *frame == Frame { dts: frame.dts, pts: frame.pts, ..late })
    );
}

#[test]
fn a_picture_is_not_copied_for_a_player_however_large_it_is() {
    let (_, mut engine) = connected(Purpose::Play);
    for size in [1000, 100_000, 1_000_000] {
        let picture = picture(0, size);
        let message = engine.outgoing(&picture).unwrap();
        let within = |piece: &&[u8]| picture.data.as_ptr_range().contains(&piece.as_ptr());
        let (shared, own): (Vec<_>, Vec<_>) = pieces(&message).into_iter().partition(within);
        let bytes = |pieces: &[&[u8]]| pieces.iter().map(|piece| piece.len()).sum::<usize>();
        assert_eq!(bytes(&shared), picture.data.len());
        assert!(bytes(&own) <= 17 + size / 60_000, "{size}: {} bytes of its own", bytes(&own));
        assert_eq!(message.len(), bytes(&shared) + bytes(&own));
    }
}

#[test]
fn media_on_the_wire_is_what_flv_says() {
    let (_, mut engine) = connected(Purpose::Play);
    engine.send_tracks(&opus_tracks());
    engine.send_frame(&picture(0, 1));
    engine.send_frame(&sound(1));
    let messages = messages(&mut engine);
    assert_eq!(messages[0].0, kind::DATA);
    assert_eq!(messages[1].1[..6], [0x17, 0, 0, 0, 0, 1]);
    assert_eq!(messages[2].1[..13], *b"\x90OpusOpusHead");
    assert_eq!(messages[3].1[..], *b"\x17\x01\0\0\x50\0\0\0\x02\x65\0");
    assert_eq!(messages[4].1[..], *b"\x91Opussound");
    engine.send_tracks(&tracks());
    engine.send_frame(&picture(1, 1));
    engine.send_frame(&picture(1000, 1));
    engine.send_frame(&sound(1));
    let messages = self::messages(&mut engine);
    assert_eq!(messages[2].1[..], [0xaf, 0, 0x12, 0x10]);
    assert_eq!(messages[3].1[0], 0x17, "after new tracks pictures wait for a keyframe");
    assert_eq!(messages[4].1[..], *b"\xaf\x01sound");
}

#[test]
fn a_player_switches_what_he_gets() {
    let (_, mut engine) = connected(Purpose::Play);
    let switch = |engine: &mut Engine, name: &str, on: bool| {
        send(engine, 1, &[name.into(), 0.0.into(), Value::Null, on.into()]);
    };
    let got = |engine: &mut Engine, ms| {
        engine.take_output();
        engine.send_frame(&picture(ms, 1));
        engine.send_frame(&sound(ms));
        messages(engine).iter().map(|(kind, _)| *kind).collect::<Vec<_>>()
    };
    assert_eq!(got(&mut engine, 40), [kind::AUDIO], "pictures begin with a keyframe");
    assert_eq!(got(&mut engine, 1000), [kind::VIDEO, kind::AUDIO]);
    switch(&mut engine, "receiveAudio", false);
    assert_eq!(got(&mut engine, 1040), [kind::VIDEO]);
    switch(&mut engine, "receiveAudio", true);
    switch(&mut engine, "pause", true);
    assert_eq!(answers(&mut engine), ["onStatus 0 NetStream.Pause.Notify"]);
    assert_eq!(got(&mut engine, 2000), []);
    switch(&mut engine, "pause", false);
    assert_eq!(got(&mut engine, 2040), [kind::AUDIO]);
    assert_eq!(got(&mut engine, 3000), [kind::VIDEO, kind::AUDIO]);
}

#[test]
fn connect_is_answered_byte_for_byte() {
    let mut engine = Engine::new(&[2; PACKET]);
    engine.receive(&[&[3][..], &[0; 2 * PACKET]].concat()).unwrap();
    engine.take_output();
    send(&mut engine, 0, &["connect".into(), 1.0.into(), object([("app", "live".into())])]);
    agree(&mut engine);
    let mut expected = Vec::new();
    expected.extend(*b"\x02\0\0\0\0\0\x04\x05\0\0\0\0\x00\x26\x25\xa0");
    expected.extend(*b"\x02\0\0\0\0\0\x05\x06\0\0\0\0\x00\x26\x25\xa0\x02");
    expected.extend(*b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\x00\x00\xea\x60");
    expected.extend(*b"\x03\0\0\0\0\0\xe8\x14\0\0\0\0\x02\0\x07_result\0\x3f\xf0\0\0\0\0\0\0");
    expected.extend(*b"\x03\0\x06fmsVer\x02\0\x0dFMS/3,0,1,123\0\x0ccapabilities\0\x40\x3f\0\0\0\0\0\0");
    expected.extend(*b"\0\x04mode\0\x3f\xf0\0\0\0\0\0\0\0\x0afourCcList\x0a\0\0\0\x03");
    expected.extend(*b"\x02\0\x04avc1\x02\0\x04mp4a\x02\0\x04Opus\0\0\x09");
    expected.extend(*b"\x03\0\x05level\x02\0\x06status\0\x04code\x02\0\x1dNetConnection.Connect.Success");
    expected.extend(*b"\0\x0bdescription\x02\0\x0aConnected.\0\x0eobjectEncoding\0\0\0\0\0\0\0\0\0\0\0\x09");
    assert_eq!(engine.take_output().escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn publish_and_play_are_answered_byte_for_byte() {
    let mut engine = raw();
    send(&mut engine, 1, &["publish".into(), 5.0.into(), Value::Null, "k".into(), "live".into()]);
    agree(&mut engine);
    let mut expected = b"\x02\0\0\0\0\0\x06\x04\0\0\0\0\0\0\0\0\0\x01".to_vec();
    expected.extend(*b"\x05\0\0\0\0\0\x5c\x14\x01\0\0\0\x02\0\x08onStatus\0\0\0\0\0\0\0\0\0\x05");
    expected.extend(*b"\x03\0\x05level\x02\0\x06status\0\x04code\x02\0\x17NetStream.Publish.Start");
    expected.extend(*b"\0\x0bdescription\x02\0\x03Go.\0\0\x09");
    assert_eq!(engine.take_output().escape_ascii().to_string(), expected.escape_ascii().to_string());

    let mut engine = raw();
    send(&mut engine, 1, &["play".into(), 5.0.into(), Value::Null, "k".into()]);
    agree(&mut engine);
    let output = engine.take_output();
    let access = b"\x08\0\0\0\0\0\x18\x12\x01\0\0\0\x02\0\x11|RtmpSampleAccess\x01\x01\x01\x01";
    assert_eq!(output[output.len() - access.len()..], *access);
}

#[test]
fn the_small_questions_of_encoders_and_players_have_answers() {
    let mut engine = raw();
    for (transaction, name) in ["releaseStream", "FCPublish", "createStream", "_checkbw", "getStreamLength"]
        .into_iter()
        .chain(["FCSubscribe", "FCUnpublish", "somethingElse", "createStream"])
        .enumerate()
    {
        send(&mut engine, 0, &[name.into(), (transaction as f64 + 2.0).into(), Value::Null, "k".into()]);
    }
    send(&mut engine, 0, &["FCUnpublish".into(), 0.0.into(), Value::Null, "k".into()]);
    let expected = [
        "_result 2 Undefined",
        "_result 3 Undefined",
        "_result 4 1",
        "_result 5 Undefined",
        "_result 6 0",
        "_result 7 Undefined",
        "_result 8 Undefined",
        "_error 9 NetConnection.Call.Failed",
        "_result 10 2",
    ];
    assert_eq!(answers(&mut engine), expected);
}

#[test]
fn refusals_carry_the_words_of_the_caller() {
    let mut engine = raw();
    send(&mut engine, 1, &["publish".into(), 5.0.into(), Value::Null, "k".into(), "live".into()]);
    let Some(Event::Publish(request)) = engine.poll_event() else { panic!("no publish") };
    engine.refuse(request.id, &Status::error("NetStream.Publish.BadName", "No.")).unwrap();
    assert_eq!(answers(&mut engine), ["onStatus 0 NetStream.Publish.BadName"]);
    assert_eq!(engine.refuse(request.id, &START), Err(Stale));

    let mut engine = Engine::new(&[2; PACKET]);
    engine.receive(&[&[3][..], &[0; 2 * PACKET]].concat()).unwrap();
    engine.take_output();
    send(&mut engine, 0, &["connect".into(), 1.0.into(), object([("app", "nope".into())])]);
    engine.reject_connect(&Status::error("NetConnection.Connect.InvalidApp", "No."));
    assert_eq!(answers(&mut engine), ["_error 1 NetConnection.Connect.InvalidApp"]);
}

#[test]
fn a_late_answer_never_grants_what_was_asked_after_it() {
    let mut engine = raw();
    let publish = |engine: &mut Engine, name: &str| {
        send(engine, 1, &["publish".into(), 5.0.into(), Value::Null, name.into()]);
        let mut events = std::iter::from_fn(|| engine.poll_event());
        events
            .find_map(|event| if let Event::Publish(request) = event { Some(request.id) } else { None })
            .unwrap()
    };
    let first = publish(&mut engine, "mine");
    let second = publish(&mut engine, "yours");
    assert_eq!(engine.accept_publish(first, &START), Err(Stale));
    assert_eq!(engine.accept_play(second, &PLAY), Err(Stale));
    assert_eq!(engine.accept_publish(second, &START), Ok(()));
    assert_eq!(engine.accept_publish(second, &START), Err(Stale));
}

#[test]
fn closing_a_stream_ends_its_role_and_no_other() {
    let mut engine = raw();
    send(&mut engine, 1, &["play".into(), 5.0.into(), Value::Null, "k".into()]);
    agree(&mut engine);
    send(&mut engine, 0, &["deleteStream".into(), 0.0.into(), Value::Null, 7.0.into()]);
    assert_eq!(engine.poll_event(), None);
    send(&mut engine, 1, &["closeStream".into(), 0.0.into(), Value::Null]);
    assert!(matches!(engine.poll_event(), Some(Event::Ended(_))));
    engine.take_output();
    engine.send_frame(&picture(0, 1));
    assert!(engine.take_output().is_empty());
}

#[test]
fn pings_are_answered_and_only_asked_pongs_are_told() {
    let mut engine = raw();
    engine.receive(&message(kind::USER_CONTROL, &[0, 6, 1, 2, 3, 4])).unwrap();
    assert_eq!(messages(&mut engine), [(kind::USER_CONTROL, Bytes::from_static(&[0, 7, 1, 2, 3, 4]))]);
    let pong = message(kind::USER_CONTROL, &[0, 7, 0, 0, 0, 9]);
    engine.receive(&pong).unwrap();
    assert_eq!(engine.poll_event(), None);
    engine.ping(9);
    assert_eq!(messages(&mut engine), [(kind::USER_CONTROL, Bytes::from_static(&[0, 6, 0, 0, 0, 9]))]);
    engine.receive(&pong).unwrap();
    assert_eq!(engine.poll_event(), Some(Event::Pong(9)));
}

#[test]
fn a_full_window_is_acknowledged_with_the_bytes_so_far() {
    let mut engine = raw();
    let received = engine.link.received();
    engine.receive(&message(kind::WINDOW_SIZE, &6000u32.to_be_bytes())).unwrap();
    let filler = message(kind::DATA, &[0x05; 2000]);
    engine.receive(&filler).unwrap();
    engine.receive(&filler).unwrap();
    let expected = (received + 16 + 2 * filler.len() as u64) as u32;
    assert_eq!(
        messages(&mut engine),
        [(kind::ACKNOWLEDGEMENT, Bytes::from(expected.to_be_bytes().to_vec()))]
    );
    engine.receive(&filler).unwrap();
    assert_eq!(messages(&mut engine), []);
}

#[test]
fn an_aggregate_is_taken_apart() {
    let (mut client, mut engine) = connected(Purpose::Publish);
    client.send_tracks(&tracks());
    talk(&mut client, &mut engine);
    let tag = |kind: u8, time: u8, body: &[u8]| {
        [&[kind, 0, 0, body.len() as u8, 0, 0, time, 0, 0, 0, 0][..], body, &[0, 0, 0, 11 + body.len() as u8]]
            .concat()
    };
    let key = b"\x17\x01\0\0\0\0\0\0\x02\x65\x01";
    let aggregate = [tag(9, 100, key), tag(8, 110, b"\xaf\x01sound"), tag(18, 111, b"x"), vec![9]].concat();
    let mut out = BytesMut::new();
    let head = Head { chunk_stream: 6, kind: kind::AGGREGATE, stream: 1, timestamp: 5000 };
    Writer::with_chunk_size(crate::link::CHUNK_SIZE).write(&mut out, &head, &[], &aggregate);
    engine.receive(&out).unwrap();
    let times: Vec<_> = frames(&agree(&mut engine)).iter().map(|frame| frame.dts.as_millis()).collect();
    assert_eq!(times, [5000, 5010]);
}

/// A publisher that was accepted and has sent its tracks.
fn publishing() -> Engine {
    let (mut client, mut engine) = connected(Purpose::Publish);
    client.send_tracks(&tracks());
    talk(&mut client, &mut engine);
    engine
}

/// An aggregate message of so many tags with this kind and body.
fn aggregate(kind: u8, body: &[u8], count: usize) -> BytesMut {
    let length = body.len() as u8;
    let tag = [&[kind, 0, 0, length, 0, 0, 0, 0, 0, 0, 0][..], body, &[0, 0, 0, 11 + length]].concat();
    let mut out = BytesMut::new();
    let head = Head { chunk_stream: 6, kind: kind::AGGREGATE, stream: 1, timestamp: 0 };
    Writer::with_chunk_size(crate::link::CHUNK_SIZE).write(&mut out, &head, &[], &tag.repeat(count));
    out
}

#[test]
fn tags_of_an_aggregate_are_handed_out_as_they_are_read() {
    let mut engine = publishing();
    let count = MAX_TAGS_AT_A_TIME + 44;
    engine.receive(&aggregate(kind::AUDIO, b"\xaf\x01sound", count)).unwrap();
    let pong = message(kind::USER_CONTROL, &[0, 7, 0, 0, 0, 9]);
    engine.ping(9);
    engine.receive(&pong).unwrap();
    assert!(engine.events.len() <= MAX_TAGS_AT_A_TIME && engine.is_reading());
    let events = agree(&mut engine);
    assert_eq!(frames(&events).len(), count);
    assert_eq!(events.last(), Some(&Event::Pong(9)), "what came behind it is read behind it");
    assert!(!engine.is_reading() && engine.held() < 1000, "{}", engine.held());
}

#[test]
fn tags_without_media_give_others_a_turn() {
    for (kind, body) in [(kind::AUDIO, &b""[..]), (kind::DATA, b"x"), (kind::AGGREGATE, b"x")] {
        let mut engine = publishing();
        engine.receive(&aggregate(kind, body, 2 * MAX_TAGS_AT_A_TIME + 1)).unwrap();
        let mut turns = 0;
        while engine.is_reading() {
            assert_eq!(engine.poll_event(), None);
            turns += 1;
        }
        assert_eq!(turns, 2, "behind the first, in which they were received");
    }
}

#[test]
fn what_is_wrong_behind_an_aggregate_is_found_when_it_is_read() {
    let mut engine = publishing();
    engine.receive(&aggregate(kind::AUDIO, b"\xaf\x01sound", MAX_TAGS_AT_A_TIME + 1)).unwrap();
    let error = EngineError::Link(LinkError::Chunk(ChunkError::ChunkSize(0)));
    engine.receive(&message(kind::SET_CHUNK_SIZE, &[0; 4])).unwrap();
    assert_eq!(frames(&agree(&mut engine)).len(), MAX_TAGS_AT_A_TIME + 1);
    assert_eq!((engine.failure(), engine.receive(&[])), (Some(error), Err(error)));
    assert!(!engine.is_reading(), "nothing is read of a failed connection");
}

#[test]
fn order_and_form_of_commands_are_checked() {
    let fresh = || {
        let mut engine = Engine::new(&[2; PACKET]);
        engine.receive(&[&[3][..], &[0; 2 * PACKET]].concat()).unwrap();
        engine
    };
    let early = command_bytes(0, &["createStream".into(), 1.0.into()]);
    assert_eq!(fresh().receive(&early), Err(EngineError::Order));
    let connect = command_bytes(0, &["connect".into(), 1.0.into(), object([])]);
    assert_eq!(raw().receive(&connect), Err(EngineError::Order));
    assert_eq!(raw().receive(&command_bytes(0, &[Value::Null])), Err(EngineError::Command));
    let mut engine = raw();
    assert!(engine.receive(&command_bytes(0, &[Value::Null])).is_err());
    assert_eq!(engine.receive(&[]), Err(EngineError::Command), "a failed connection stays failed");
}

#[test]
fn hostile_amf0_ends_the_connection_and_costs_nothing() {
    for (body, error) in [
        (&b"\x02\0\x04play\x0a\xff\xff\xff\xff"[..], Amf0Error::Truncated),
        (&[&[0x0a, 0, 0, 0, 1].repeat(20)[..], &[5]].concat(), Amf0Error::TooDeep),
        (&[5; 5000], Amf0Error::TooMany),
        (&b"\x02\0\x04play\x11"[..], Amf0Error::Marker(0x11)),
    ] {
        let mut engine = raw();
        assert_eq!(engine.receive(&message(kind::COMMAND, body)), Err(LinkError::Amf0(error).into()));
        // The same as metadata is left out.
        assert_eq!(raw().receive(&message(kind::DATA, body)), Ok(()));
    }
}

#[test]
fn hostile_sizes_end_the_connection() {
    let mut engine = raw();
    engine.receive(&message(kind::SET_CHUNK_SIZE, &(13u32 << 20).to_be_bytes())).unwrap();
    let header = [6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
    let error = ChunkError::MessageTooLong(0xff_ffff);
    assert_eq!(engine.receive(&header), Err(LinkError::Chunk(error).into()));
    assert!(engine.held() == 0, "nothing is held for a failed connection");

    let error = EngineError::Link(LinkError::Chunk(ChunkError::ChunkSize(0)));
    assert_eq!(raw().receive(&message(kind::SET_CHUNK_SIZE, &[0; 4])), Err(error));
    assert_eq!(raw().receive(&message(kind::SET_CHUNK_SIZE, &[0; 3])), Err(LinkError::Control(1).into()));
}

#[test]
fn streams_requests_and_answers_are_limited() {
    let many = |bytes: &[u8], count| raw().receive(&bytes.repeat(count));
    let create = command_bytes(0, &["createStream".into(), 2.0.into(), Value::Null]);
    assert_eq!(many(&create, MAX_MESSAGE_STREAMS), Ok(()));
    assert_eq!(many(&create, MAX_MESSAGE_STREAMS + 1), Err(EngineError::TooManyStreams));
    let play = command_bytes(1, &["play".into(), 2.0.into(), Value::Null, "k".into()]);
    assert_eq!(many(&play, 16), Ok(()));
    assert_eq!(many(&play, 17), Err(EngineError::TooManyRequests));
    let ping = message(kind::USER_CONTROL, &[0, 6, 0, 0, 0, 0]);
    assert_eq!(many(&ping, 1000), Ok(()));
    assert_eq!(many(&ping, 10_000), Err(LinkError::Answers.into()));
}

#[test]
fn only_an_accepted_publisher_may_send_large_messages() {
    let begun = |engine: &mut Engine| {
        engine.receive(&message(kind::SET_CHUNK_SIZE, &(1u32 << 24).to_be_bytes())).unwrap();
        let header = [&[6, 0, 0, 0][..], &(MAX_MESSAGE as u32).to_be_bytes()[1..], &[9, 1, 0, 0, 0]].concat();
        engine.receive(&header).unwrap();
        engine.receive(&vec![0; MAX_MESSAGE])
    };
    assert_eq!(begun(&mut raw()), Err(LinkError::Chunk(ChunkError::PartialsTooLarge).into()));
    let mut engine = raw();
    send(&mut engine, 1, &["publish".into(), 5.0.into(), Value::Null, "k".into(), "live".into()]);
    agree(&mut engine);
    assert_eq!(begun(&mut engine), Ok(()));
    send_large(&mut engine, 0, &["deleteStream".into(), 0.0.into(), Value::Null, 1.0.into()]);
    assert_eq!(begun(&mut engine), Err(LinkError::Chunk(ChunkError::PartialsTooLarge).into()));
}

/// For a connection whose chunks are never split.
fn send_large(engine: &mut Engine, stream: u32, values: &[Value]) {
    let head = Head { chunk_stream: 3, kind: kind::COMMAND, stream, timestamp: 0 };
    let mut out = BytesMut::new();
    Writer::with_chunk_size(1 << 20).write(&mut out, &head, &[], &amf0::encode(values));
    engine.receive(&out).unwrap();
}

#[test]
fn a_deleted_stream_makes_room_for_another() {
    let mut engine = raw();
    for number in 0..MAX_MESSAGE_STREAMS {
        send(&mut engine, 0, &["createStream".into(), (number as f64 + 2.0).into(), Value::Null]);
    }
    engine.take_output();
    send(&mut engine, 0, &["deleteStream".into(), 0.0.into(), Value::Null, 3.0.into()]);
    send(&mut engine, 0, &["createStream".into(), 20.0.into(), Value::Null]);
    assert_eq!(answers(&mut engine), ["_result 20 3"]);
}

#[test]
fn nothing_that_a_peer_sent_shows_in_an_event_or_error() {
    let mut engine = Engine::new(&[2; PACKET]);
    engine.receive(&[&[3][..], &[0; 2 * PACKET]].concat()).unwrap();
    let connect = object([("app", "live/k/s3cret".into()), ("tcUrl", "rtmp://h/live/k/s3cret".into())]);
    send(&mut engine, 0, &["connect".into(), 1.0.into(), connect]);
    send(&mut engine, 1, &["publish".into(), 5.0.into(), Value::Null, "k?token=s3cret".into()]);
    let text = format!("{:?}", std::iter::from_fn(|| engine.poll_event()).collect::<Vec<_>>());
    assert!(text.contains("Connect") && text.contains("Publish") && !text.contains("s3cret"), "{text}");
}

/// A publishing session as bytes, and what it must give.
fn recorded() -> (Vec<u8>, Vec<Event>) {
    let mut client = Client::new(Purpose::Publish, "live", "k", &[1; PACKET]);
    let mut engine = Engine::new(&[2; PACKET]);
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    let mut turn = |client: &mut Client| {
        let up = client.take_output();
        engine.receive(&up).unwrap();
        events.extend(agree(&mut engine));
        client.receive(&engine.take_output()).unwrap();
        bytes.extend_from_slice(&up);
    };
    (0..8).for_each(|_| turn(&mut client));
    client.send_tracks(&tracks());
    media().iter().take(12).for_each(|frame| client.send_frame(frame));
    client.delete_stream();
    turn(&mut client);
    (bytes, events)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_events(cuts in prop::collection::vec(1usize..4000, 1..40)) {
        let (bytes, expected) = recorded();
        prop_assert_eq!(frames(&expected).len(), 12);
        let mut engine = Engine::new(&[2; PACKET]);
        let mut events = Vec::new();
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while rest.has_remaining() {
            let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            engine.receive(now).unwrap();
            events.extend(agree(&mut engine));
            rest = later;
        }
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn a_damaged_session_neither_panics_nor_piles_up(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)
    ) {
        let (mut bytes, _) = recorded();
        for (at, value) in damage {
            let at = 2 * PACKET + at.index(bytes.len() - 2 * PACKET);
            bytes[at] = value;
        }
        let mut engine = Engine::new(&[2; PACKET]);
        for part in bytes.chunks(1000) {
            if engine.receive(part).is_err() {
                break;
            }
            agree(&mut engine);
            engine.take_output();
            prop_assert!(engine.held() <= 3 * bytes.len(), "{}", engine.held());
        }
    }

    #[test]
    fn arbitrary_bytes_after_the_handshake_neither_panic_nor_pile_up(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let mut engine = raw();
        let _ = engine.receive(&bytes);
        prop_assert!(engine.held() <= 2 * STRANGER_PARTIALS);
    }
}

#[test]
fn bytes_one_by_one_give_the_same_events() {
    let (bytes, expected) = recorded();
    let mut engine = Engine::new(&[2; PACKET]);
    let mut events = Vec::new();
    for byte in bytes {
        engine.receive(&[byte]).unwrap();
        events.extend(agree(&mut engine));
    }
    assert_eq!(events, expected);
}
