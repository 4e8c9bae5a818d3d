#![no_main]
//! One sequence parameter set in each of the readers that we have, which must agree.

libfuzzer_sys::fuzz_target!(|nal: &[u8]| {
    let rtmp = sluice_rtmp::fuzzing::sps(nal);
    let webrtc = sluice_ingest::webrtc::payload::sps::parse(nal).map(|sps| (sps.width, sps.height));
    let transcode = sluice_transcode::fuzzing::sps(nal);
    for (one, other) in [(rtmp, webrtc), (rtmp, transcode), (webrtc, transcode)] {
        if let (Some(one), Some(other)) = (one, other) {
            assert_eq!(one, other, "readers disagree about a picture's size");
        }
    }
});
