use super::*;
use crate::testing::Dice;
use crate::video::Refusal;

impl Fields {
    pub(in crate::process) fn of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

fn track() -> VideoTrack {
    let config = Bytes::from_static(b"record");
    VideoTrack { codec: VideoCodec::H264, config, width: 640, height: 360, reordered: true }
}

fn frame(data: &'static [u8]) -> Frame {
    let (pts, dts) = (MediaTime::from_millis(40), MediaTime::from_millis(-40));
    Frame { track: TrackKind::Video, pts, dts, keyframe: true, data: Bytes::from_static(data) }
}

fn requests() -> Vec<Request> {
    let some = VideoSettings { bitrate: Some(1), ..VideoSettings::default() };
    vec![
        Request::Open { track: track(), settings: VideoSettings::default() },
        Request::Open { track: track(), settings: some },
        Request::Push { frame: frame(b"au"), effort: Effort::Full, keyframe: true, lost: false },
        Request::Push { frame: frame(b""), effort: Effort::DecodeOnly, keyframe: false, lost: true },
        Request::Flush,
        Request::Still { track: track(), keyframe: frame(b"idr"), width: 320 },
    ]
}

fn replies() -> Vec<Reply> {
    let pushed = Pushed {
        frames: vec![frame(b"one"), frame(b"two")],
        track: Some(track()),
        corrupt: 3,
        skipped: 4,
        gives_up: Some(Refusal::Interlaced.into()),
    };
    vec![
        Reply::Opened(track()),
        Reply::Unsupported(VideoUnsupported::Format),
        Reply::Pushed(pushed),
        Reply::Pushed(Pushed::default()),
        Reply::Still(Bytes::from_static(b"jpeg")),
        Reply::NoStill(StillError::Encoder),
        Reply::NoStill(VideoUnsupported::Tools.into()),
    ]
}

fn body(message: &[u8]) -> Bytes {
    let (head, body) = message.split_first_chunk().unwrap();
    assert_eq!(length(*head), Ok(body.len()));
    Bytes::copy_from_slice(body)
}

#[test]
fn what_is_written_is_read() {
    for request in requests() {
        assert_eq!(Request::decode(body(&request.encode())), Ok(request));
    }
    for reply in replies() {
        assert_eq!(Reply::decode(body(&reply.encode())), Ok(reply));
    }
}

#[test]
fn a_message_that_is_cut_or_too_long_is_none() {
    for whole in requests().iter().map(Request::encode).chain(replies().iter().map(Reply::encode)) {
        let whole = body(&whole);
        for cut in 0..whole.len() {
            assert_eq!(Request::decode(whole.slice(..cut)), Err(Malformed));
            assert_eq!(Reply::decode(whole.slice(..cut)), Err(Malformed));
        }
        let longer: Bytes = [&whole[..], &[0]].concat().into();
        assert_eq!(Request::decode(longer.clone()), Err(Malformed));
        assert_eq!(Reply::decode(longer), Err(Malformed));
    }
}

#[test]
fn each_length_is_bounded() {
    let head = |length: usize| (length as u32).to_be_bytes();
    assert_eq!(length(head(MAX_MESSAGE)), Ok(MAX_MESSAGE));
    assert_eq!(length(head(MAX_MESSAGE + 1)), Err(Malformed));
    let still = |bytes| body(&Reply::Still(vec![0; bytes].into()).encode());
    assert!(Reply::decode(still(MAX_JPEG)).is_ok());
    assert_eq!(Reply::decode(still(MAX_JPEG + 1)), Err(Malformed));
    let opened =
        |bytes| body(&Reply::Opened(VideoTrack { config: vec![0; bytes].into(), ..track() }).encode());
    assert!(Reply::decode(opened(MAX_CONFIG)).is_ok());
    assert_eq!(Reply::decode(opened(MAX_CONFIG + 1)), Err(Malformed));
    let pushed = |count| Reply::Pushed(Pushed { frames: vec![frame(b"x"); count], ..Pushed::default() });
    assert!(Reply::decode(body(&pushed(MAX_FRAMES).encode())).is_ok());
    assert_eq!(Reply::decode(body(&pushed(MAX_FRAMES + 1).encode())), Err(Malformed));
}

#[test]
fn mutated_messages_do_not_panic() {
    let mut dice = Dice(11);
    for whole in requests().iter().map(Request::encode).chain(replies().iter().map(Reply::encode)) {
        let whole = body(&whole);
        for _ in 0..500 {
            let _ = Request::decode(dice.mutate(&whole));
            let _ = Reply::decode(dice.mutate(&whole));
        }
    }
}
