//! Makes packets of a frame publisher's frames, while somebody plays them over
//! WebRTC.

use contract::StreamKey;
use media::{Bus, PacketRing};

use super::fanout::Keyframes;

pub(crate) struct Packetiser {
    ring: PacketRing,
}
impl Packetiser {
    pub(crate) fn start(frames: &Bus, _key: &StreamKey) -> std::io::Result<Self> {
        Ok(Self { ring: media::packet_ring((*frames.tracks()).clone()).ring() })
    }
    pub(crate) fn ring(&self) -> &PacketRing {
        &self.ring
    }
    pub(crate) fn keyframes(&self) -> Keyframes {
        Keyframes::Scheduled
    }
    pub(crate) fn ask_keyframe(&mut self) {}
}
