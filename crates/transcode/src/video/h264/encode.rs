//! openh264 as an encoder of our own pictures, the only file that names it.

use bytes::{BufMut, Bytes, BytesMut};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, ColorPrimaries, Encoder, EncoderConfig, FrameRate, Level, MatrixCoefficients, Profile,
    RateControlMode, TransferCharacteristics, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;

use super::avcc::{IDR, PPS, ParameterSets, SLICE, SPS, nal_type};
use super::decode::Picture;
use super::sps::Colour;

/// The encoder failed, or skipped the picture to keep its bit rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotEncoded;

/// One coded picture.
pub(super) struct Coded {
    /// Slices, each behind a 4-byte length.
    pub(super) data: Bytes,
    pub(super) keyframe: bool,
}

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Bits per second.
    pub(super) bitrate: u32,
    /// Pictures per second.
    pub(super) rate: f32,
    pub(super) colour: Option<Colour>,
    /// Luma samples of a picture.
    pub(super) samples: u32,
}

/// Encodes pictures as Constrained Baseline, in the order given.
pub(super) struct Coder {
    encoder: Encoder,
    started: bool,
    /// Those of the newest IDR picture.
    pub(super) sets: ParameterSets,
}

impl Coder {
    pub(super) fn new(target: &Target) -> Result<Self, NotEncoded> {
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config(target));
        Ok(Self { encoder: encoder.map_err(|_| NotEncoded)?, started: false, sets: ParameterSets::default() })
    }

    /// The next picture becomes an IDR picture, as the first one does anyway.
    pub(super) fn force_keyframe(&mut self) {
        if self.started {
            self.encoder.force_intra_frame();
        }
    }

    /// Encodes one picture.
    pub(super) fn encode(&mut self, picture: &Picture) -> Result<Coded, NotEncoded> {
        let (w, h) = (picture.width, picture.height);
        let even = w.is_multiple_of(2) && h.is_multiple_of(2) && w.min(h) >= 16;
        let chroma = w / 2 * (h / 2);
        if !even || picture.y.len() != w * h || picture.u.len() != chroma || picture.v.len() != chroma {
            return Err(NotEncoded);
        }
        let planes = YUVSlices::new((&picture.y, &picture.u, &picture.v), (w, h), (w, w / 2, w / 2));
        let stream = self.encoder.encode(&planes).map_err(|_| NotEncoded)?;
        self.started = true;
        let (mut sets, mut data, mut keyframe) = (ParameterSets::default(), BytesMut::new(), false);
        for layer in (0..stream.num_layers()).filter_map(|i| stream.layer(i)) {
            for nal in (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)).map(without_start_code) {
                match nal_type(nal) {
                    SPS => sets.sps.push(Bytes::copy_from_slice(nal)),
                    PPS => sets.pps.push(Bytes::copy_from_slice(nal)),
                    kind @ (SLICE | IDR) => {
                        keyframe |= kind == IDR;
                        data.put_u32(nal.len() as u32);
                        data.put_slice(nal);
                    }
                    _ => {}
                }
            }
        }
        if keyframe && !sets.sps.is_empty() && !sets.pps.is_empty() {
            self.sets = sets;
        }
        if data.is_empty() { Err(NotEncoded) } else { Ok(Coded { data: data.freeze(), keyframe }) }
    }
}

fn config(target: &Target) -> EncoderConfig {
    let config = EncoderConfig::new()
        .bitrate(BitRate::from_bps(target.bitrate))
        .max_frame_rate(FrameRate::from_hz(target.rate))
        .rate_control_mode(RateControlMode::Bitrate)
        .usage_type(UsageType::CameraVideoRealTime)
        .profile(Profile::Baseline)
        // Fixed by size alone, so that the parameter sets are known before the
        // frame rate is.
        .level(level(target.samples))
        // Without leave to skip a picture after an expensive one, the rate is not
        // kept (and the library says so on standard error, past our log).
        .skip_frames(true)
        .num_threads(1);
    match target.colour {
        Some(colour) => config.vui(vui(colour)),
        None => config,
    }
}

/// Room for 60 pictures a second (ITU-T H.264 table A-1).
fn level(samples: u32) -> Level {
    match samples {
        ..=414_720 => Level::Level_3_1,
        414_721..=921_600 => Level::Level_3_2,
        921_601..=2_088_960 => Level::Level_4_2,
        _ => Level::Level_5_2,
    }
}

fn vui(colour: Colour) -> VuiConfig {
    let primaries = match colour.primaries {
        1 => ColorPrimaries::Bt709,
        5 => ColorPrimaries::Bt470BG,
        6 => ColorPrimaries::Smpte170M,
        9 => ColorPrimaries::Bt2020,
        _ => ColorPrimaries::Unspecified,
    };
    let transfer = match colour.transfer {
        1 => TransferCharacteristics::Bt709,
        5 => TransferCharacteristics::Bt470Bg,
        6 => TransferCharacteristics::Smpte170M,
        13 => TransferCharacteristics::Srgb,
        _ => TransferCharacteristics::Unspecified,
    };
    let matrix = match colour.matrix {
        1 => MatrixCoefficients::Bt709,
        5 => MatrixCoefficients::Bt470Bg,
        6 => MatrixCoefficients::Smpte170M,
        9 => MatrixCoefficients::Bt2020Ncl,
        _ => MatrixCoefficients::Unspecified,
    };
    let vui = VuiConfig::new().color_primaries(primaries).transfer_characteristics(transfer);
    vui.matrix_coefficients(matrix).full_range(colour.full_range)
}

fn without_start_code(nal: &[u8]) -> &[u8] {
    let zeros = nal.iter().take_while(|&&byte| byte == 0).count();
    nal.get(zeros + 1..).unwrap_or_default()
}
