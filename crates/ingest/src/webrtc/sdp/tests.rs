use super::*;
use bytes::Bytes;
use media::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};
use proptest::prelude::*;

fn candidates() -> Vec<Candidate> {
    vec![Candidate::host("127.0.0.1:5000".parse().unwrap(), "udp").unwrap()]
}

fn both() -> Tracks {
    let (config, codec) = (Bytes::new(), VideoCodec::H264);
    Tracks {
        video: Some(VideoTrack { codec, config: config.clone(), width: 1, height: 1, reordered: false }),
        audio: Some(AudioTrack { codec: AudioCodec::Opus, config, sample_rate: 48_000, channels: 2 }),
    }
}

/// What Chromium 156 offers, shortened: sound first, VP8 before H.264, a data
/// channel.
fn chromium(directions: &str, codecs: &[&str]) -> String {
    let mut sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
        a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n"
        .to_owned();
    let transport = "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:0123456789abcdefghijklmn\r\na=ice-options:trickle\r\na=fingerprint:sha-256 \
        01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20\r\n\
        a=setup:actpass\r\n";
    let pts: Vec<String> = (0..codecs.len()).map(|i| (96 + i).to_string()).collect();
    sdp += &format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n{transport}a=mid:0\r\na={directions}\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\n"
    );
    sdp += &format!(
        "m=video 9 UDP/TLS/RTP/SAVPF {}\r\n{transport}a=mid:1\r\n\
         a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
         a={directions}\r\na=rtcp-mux\r\n",
        pts.join(" ")
    );
    for (pt, codec) in pts.iter().zip(codecs) {
        match codec.split_once(' ') {
            Some((name, fmtp)) => sdp += &format!("a=rtpmap:{pt} {name}\r\na=fmtp:{pt} {fmtp}\r\n"),
            None => sdp += &format!("a=rtpmap:{pt} {codec}\r\n"),
        }
    }
    sdp + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
        + transport
        + "a=mid:2\r\na=sctp-port:5000\r\n"
}

const CODECS: &[&str] = &[
    "VP8/90000",
    "H264/90000 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    "H264/90000 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    "AV1/90000",
];

#[test]
fn a_browsers_h264_is_taken_first_and_its_vp8_not_at_all() {
    let made = answer_publisher(&chromium("sendrecv", CODECS), candidates(), Instant::now()).unwrap();
    let video = made.sdp.lines().find(|line| line.starts_with("m=video")).unwrap();
    assert!(video.starts_with("m=video 9 UDP/TLS/RTP/SAVPF 98"), "{video}");
    // Not in the whole text: the answer's random password may spell anything.
    let mut codecs = made.sdp.lines().filter(|line| line.starts_with("a=rtpmap:"));
    assert!(codecs.all(|line| !line.contains("VP8") && !line.contains("AV1")), "{}", made.sdp);
    for line in ["a=setup:passive", "a=ice-lite", "a=recvonly"] {
        assert!(made.sdp.contains(line), "{line} in {}", made.sdp);
    }
    assert!(!made.sdp.contains("a=sendrecv"));
    assert!(made.sdp.contains("m=application 9"), "the data channel is accepted");
    assert!(made.sdp.contains("transport-wide-cc"));
}

#[test]
fn a_publisher_without_a_codec_of_ours_is_refused_and_not_half_taken() {
    let sdp = chromium("sendonly", &["VP8/90000", "AV1/90000"]);
    let refused = answer_publisher(&sdp, candidates(), Instant::now());
    assert_eq!(refused.err(), Some(SdpError::NoCodec));
}

#[test]
fn our_offer_has_sound_first_constrained_baseline_and_a_data_channel() {
    let made = offer(&both(), "s1", candidates(), Instant::now()).unwrap();
    let kinds: Vec<&str> =
        made.sdp.lines().filter(|l| l.starts_with("m=")).filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(kinds, ["m=audio", "m=video", "m=application"]);
    let label = made.sdp.lines().find(|line| line.contains("profile-level-id")).unwrap();
    assert!(label.contains("42e01f"), "{label}");
    assert!(!made.sdp.contains("64001f"), "browsers refuse High by name");
    assert!(!made.sdp.contains("transport-wide-cc"), "players would report for nothing");
    assert!(made.sdp.contains("a=candidate") && made.sdp.contains("127.0.0.1 5000"));
    assert_eq!(made.mids.len(), 2);
}

#[test]
fn what_was_negotiated_is_shown_without_its_password() {
    let made = offer(&both(), "s1", candidates(), Instant::now()).unwrap();
    let password = made.sdp.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap();
    let shown = format!("{made:?}");
    assert!(!shown.contains(password) && !shown.contains("ice-ufrag"), "{shown}");
}

#[test]
fn an_answer_that_refuses_the_first_section_is_refused() {
    let answer = chromium("recvonly", CODECS).replace("m=audio 9", "m=audio 0");
    assert_eq!(read_answer(&answer).err(), Some(SdpError::FirstRefused));
}

#[test]
fn bundled_sections_without_a_port_are_not_refused_ones() {
    let sdp = "m=audio 9 x 1\r\nm=video 0 x 2\r\na=bundle-only\r\nm=video 0 x 3\r\n";
    let refused: Vec<bool> = sections(sdp).iter().map(|s| s.refused).collect();
    assert_eq!(refused, [false, false, true]);
}

#[test]
fn what_is_too_large_or_no_sdp_is_refused() {
    let now = Instant::now();
    let long = "v=0\r\n".to_owned() + &"a=x\r\n".repeat(20_000);
    let many = chromium("sendonly", CODECS) + &"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(9);
    for (sdp, error) in [
        (long.as_str(), SdpError::TooLarge),
        (many.as_str(), SdpError::TooLarge),
        ("", SdpError::Malformed),
        ("v=0", SdpError::Malformed),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", SdpError::Malformed),
    ] {
        assert_eq!(answer_publisher(sdp, candidates(), now).err(), Some(error));
    }
}

#[test]
fn more_lines_of_a_kind_than_any_browser_has_are_refused_before_they_are_parsed() {
    let sdp = chromium("sendonly", CODECS);
    assert_eq!(look(&sdp), Ok(()));
    let with = |line: &str, times: usize| sdp.clone() + &format!("{line}\r\n").repeat(times);
    for (line, kind, most) in [
        ("a=rtpmap:96 VP8/90000", "a=rtpmap:", 128),
        ("a=fmtp:96 x=1", "a=fmtp:", 128),
        ("a=rtcp-fb:96 nack", "a=rtcp-fb:", 512),
        ("a=extmap:3 urn:x", "a=extmap:", 64),
        ("a=ssrc:1 cname:x", "a=ssrc:", 64),
        ("a=ssrc-group:FID 1 2", "a=ssrc-group:", 16),
        ("a=rid:x send", "a=rid:", 16),
        ("a=fingerprint:sha-256 01", "a=fingerprint:", 16),
        ("a=x", "other", 200),
    ] {
        assert_eq!(look(&with(line, most / 2)), Ok(()), "{line}");
        assert_eq!(look(&with(line, most + 1)), Err(SdpError::TooMany(kind)));
        assert_eq!(read_answer(&with(line, most + 1)).err(), Some(SdpError::TooMany(kind)));
        let refused = answer_publisher(&with(line, most + 1), candidates(), Instant::now());
        assert_eq!(refused.err(), Some(SdpError::TooMany(kind)));
    }
    assert_eq!(look(&with(&format!("a=x:{}", "y".repeat(1021)), 1)), Err(SdpError::TooLarge));
    assert_eq!(look(&with("a=candidate:1 1 udp 1 192.0.2.1 9 typ host", 1500)), Err(SdpError::TooLarge));
    assert_eq!(look(&sdp.replace("a=ice-pwd", "a=x")), Err(SdpError::Malformed));
}

#[test]
fn candidates_are_not_parsed_and_the_agent_has_none() {
    let lines = "a=candidate:1 1 udp 1 not-an-address x typ host\r\na=remote-candidates:1 192.0.2.1 9\r\n\
        a=end-of-candidates\r\n";
    let sdp = chromium("sendonly", CODECS).replace("a=ice-options:trickle\r\n", lines);
    let outlined = outline(&sdp).unwrap();
    assert!(!outlined.text.contains("candidate"), "{}", outlined.text);
    assert_eq!(outlined.text.lines().count(), sdp.lines().count() - 9);
    assert!(answer_publisher(&sdp, candidates(), Instant::now()).is_ok());
}

#[test]
fn a_kind_without_a_codec_of_ours_is_refused_before_it_is_parsed() {
    assert_eq!(look(&chromium("sendonly", &["VP8/90000"])), Err(SdpError::NoCodec));
    assert_eq!(look(&chromium("sendonly", &["h264/90000"])), Ok(()));
    let sound = chromium("sendonly", CODECS).replace("opus/48000/2", "ISAC/16000");
    assert_eq!(look(&sound), Err(SdpError::NoCodec));
}

#[test]
fn candidates_are_recognised() {
    for good in ["", "candidate:1 1 udp 1 a.local 9 typ host", "a=candidate:1 1 udp 1 1.2.3.4 9 typ host"] {
        assert!(is_candidate(good), "{good}");
    }
    assert!(!is_candidate("<script>") && !is_candidate(&format!("candidate:{}", "1".repeat(2000))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn mutated_offers_do_not_panic(at in 0usize..3000, with in "\\PC{0,20}", cut in 0usize..40) {
        let sdp = chromium("sendrecv", CODECS);
        let at = at.min(sdp.len());
        let end = (at + cut).min(sdp.len());
        let mutated = format!("{}{with}{}", &sdp[..at], &sdp[end..]);
        let _ = answer_publisher(&mutated, candidates(), Instant::now());
        let _ = answer_player(&mutated, candidates(), Instant::now());
    }
}
