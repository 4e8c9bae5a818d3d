//! AMS's names for settings, their defaults and their kinds (C§3.10). The one
//! place that knows them.

/// A key and what it is when nobody set it, which also says what it may be.
pub(crate) type Key = (&'static str, Kind);

/// What values a key takes, with its default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Real(f64),
    /// A text.
    Text(&'static str),
    /// A text that holds a number; AMS keeps some numbers so.
    Number(&'static str),
    /// A text, or `null`, which is the default.
    Optional,
    /// A list, empty by default.
    List,
    /// An object, empty by default.
    Object,
}

use Kind::{Bool, Int, List, Number, Object, Optional, Real, Text};

pub(crate) const TOTP_PUBLISH: &str = "enableTimeTokenForPublish";
pub(crate) const TOTP_PLAY: &str = "enableTimeTokenForPlay";
pub(crate) const TOTP_BOTH: &str = "timeTokenSubscriberOnly";
pub(crate) const SECRET_PUBLISH: &str = "timeTokenSecretForPublish";
pub(crate) const SECRET_PLAY: &str = "timeTokenSecretForPlay";
pub(crate) const PERIOD: &str = "timeTokenPeriod";
pub(crate) const REGISTERED_ONLY: &str = "acceptOnlyStreamsInDataStore";
pub(crate) const PUBLISHER_NETWORKS: &str = "allowedPublisherCIDR";
pub(crate) const REST_FILTER: &str = "ipFilterEnabled";
pub(crate) const REST_NETWORKS: &str = "remoteAllowedCIDR";
/// Ours.
pub(crate) const HLS_BOUND: &str = "hlsGrantBoundToAddress";
pub(crate) const HLS: &str = "hlsMuxingEnabled";
pub(crate) const HLS_TYPE: &str = "hlsSegmentType";
/// The one kind of segment that is built.
pub(crate) const FMP4: &str = "fmp4";
pub(crate) const HLS_TIME: &str = "hlsTime";
pub(crate) const HLS_LIST: &str = "hlsListSize";
pub(crate) const RTMP_PLAY: &str = "rtmpPlaybackEnabled";
pub(crate) const WEBRTC: &str = "webRTCEnabled";
pub(crate) const START_TIMEOUT: &str = "webRTCClientStartTimeoutMs";
pub(crate) const STUN: &str = "stunServerURI";
pub(crate) const TURN_USER: &str = "turnServerUsername";
pub(crate) const TURN_CREDENTIAL: &str = "turnServerCredential";
pub(crate) const LIVE_LIMIT: &str = "ingestingStreamLimit";
pub(crate) const PLAYER_LIMIT: &str = "webRTCViewerLimit";
pub(crate) const WRITE_EVENTS: &str = "writeSubscriberEventsToDatastore";
/// Always the application's own name.
pub(crate) const APP_NAME: &str = "appName";

/// Kinds of token that exclude each other, per direction (C§5.7). Codes come
/// first; [`TOTP_BOTH`] may stand for them.
pub(crate) const EXCLUSIVE: [[&str; 3]; 2] = [
    [TOTP_PUBLISH, "publishTokenControlEnabled", "publishJwtControlEnabled"],
    [TOTP_PLAY, "playTokenControlEnabled", "playJwtControlEnabled"],
];

/// Protection that this server does not have. Accepting such a setting would
/// leave its author believing that something guards his streams.
pub(crate) const NOT_BUILT: &[&str] = &[
    "publishTokenControlEnabled",
    "playTokenControlEnabled",
    "publishJwtControlEnabled",
    "playJwtControlEnabled",
    "hashControlPublishEnabled",
    "hashControlPlayEnabled",
    "jwtControlEnabled",
    "acceptOnlyRoomsInDataStore",
    "secureAnalyticEndpoint",
    "webhookAuthenticateURL",
    "webhookPlayAuthUrl",
    "contentSecurityPolicyHeaderValue",
    "hlsEncryptionKeyInfoFile",
    "maxResolutionAccept",
    "maxFpsAccept",
    "maxBitrateAccept",
];

/// Keys whose values are never shown.
pub(crate) const SECRETS: &[&str] = &[
    SECRET_PUBLISH,
    SECRET_PLAY,
    TURN_CREDENTIAL,
    "jwtStreamSecretKey",
    "jwtSecretKey",
    "tokenHashSecret",
    "clusterCommunicationKey",
    "subscriberAuthenticationKey",
    "s3AccessKey",
    "s3SecretKey",
];

/// What is shown of a secret, and what keeps it when written back.
pub(crate) const MASK: &str = "********";

/// The key, if we know it.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    all().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
}

/// All keys that we know.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    [SECURITY, SEGMENTS, REALTIME, INGEST, RECORDING, EVENTS].into_iter().flatten()
}

const SECURITY: &[Key] = &[
    (REGISTERED_ONLY, Bool(false)),
    ("acceptOnlyRoomsInDataStore", Bool(false)),
    (TOTP_PUBLISH, Bool(false)),
    (TOTP_PLAY, Bool(false)),
    (SECRET_PUBLISH, Optional),
    (SECRET_PLAY, Optional),
    (PERIOD, Int(60)),
    (TOTP_BOTH, Bool(false)),
    ("publishTokenControlEnabled", Bool(false)),
    ("playTokenControlEnabled", Bool(false)),
    ("publishJwtControlEnabled", Bool(false)),
    ("playJwtControlEnabled", Bool(false)),
    ("jwtStreamSecretKey", Text("")),
    ("hashControlPublishEnabled", Bool(false)),
    ("hashControlPlayEnabled", Bool(false)),
    ("tokenHashSecret", Text("")),
    ("jwtControlEnabled", Bool(false)),
    ("jwtSecretKey", Text("")),
    ("jwksURL", Text("")),
    (REST_FILTER, Bool(true)),
    (REST_NETWORKS, Text("127.0.0.1")),
    (PUBLISHER_NETWORKS, Text("")),
    (HLS_BOUND, Bool(false)),
    ("webhookAuthenticateURL", Text("")),
    ("webhookPlayAuthUrl", Text("")),
    ("contentSecurityPolicyHeaderValue", Text("")),
    ("clusterCommunicationKey", Text("")),
    ("subscriberAuthenticationKey", Text("")),
    ("secureAnalyticEndpoint", Bool(false)),
    ("maxResolutionAccept", Int(0)),
    ("maxFpsAccept", Int(0)),
    ("maxBitrateAccept", Int(0)),
    (LIVE_LIMIT, Int(-1)),
];

const SEGMENTS: &[Key] = &[
    (HLS, Bool(true)),
    (HLS_LIST, Number("15")),
    (HLS_TIME, Number("2")),
    ("hlsPlayListType", Text("")),
    (HLS_TYPE, Text(FMP4)),
    ("hlsSegmentFileSuffixFormat", Text("%09d")),
    ("hlsflags", Text("delete_segments+program_date_time")),
    ("deleteHLSFilesOnEnded", Bool(true)),
    ("addDateTimeToHlsFileName", Bool(false)),
    ("addOriginalMuxerIntoHLSPlaylist", Bool(true)),
    ("hlsEncryptionKeyInfoFile", Text("")),
    ("hlsHttpEndpoint", Text("")),
    ("lLHLSEnabled", Bool(false)),
    ("lLDashEnabled", Bool(true)),
    ("hlsEnabledViaDash", Bool(false)),
    ("httpForwardingExtension", Text("")),
    ("httpForwardingBaseURL", Text("")),
    ("dashMuxingEnabled", Bool(false)),
    ("dashSegDuration", Number("6")),
    ("dashFragmentDuration", Number("0.5")),
    ("targetLatency", Number("3.5")),
    ("dashWindowSize", Number("5")),
    ("dashExtraWindowSize", Number("5")),
    ("deleteDASHFilesOnEnded", Bool(true)),
    ("dashHttpStreaming", Bool(true)),
    ("id3TagEnabled", Bool(false)),
];

const REALTIME: &[Key] = &[
    (WEBRTC, Bool(true)),
    ("useOriginalWebRTCEnabled", Bool(false)),
    ("webRTCFrameRate", Int(30)),
    ("webRTCPortRangeMin", Int(50_000)),
    ("webRTCPortRangeMax", Int(60_000)),
    (STUN, Text("stun:stun1.l.google.com:19302")),
    (TURN_USER, Text("")),
    (TURN_CREDENTIAL, Text("")),
    ("webRTCTcpCandidatesEnabled", Bool(false)),
    ("webRTCSdpSemantics", Text("unifiedPlan")),
    ("portAllocatorFlags", Int(0)),
    ("replaceCandidateAddrWithServerAddr", Bool(false)),
    ("disableIPv6Candidates", Bool(true)),
    (START_TIMEOUT, Int(10_000)),
    (PLAYER_LIMIT, Int(-1)),
    ("webRTCKeyframeTime", Int(2000)),
    ("iceGatheringTimeoutMs", Int(2000)),
    ("playWebRTCStreamOnceForEachSession", Bool(true)),
    ("h264Enabled", Bool(true)),
    ("vp8Enabled", Bool(false)),
    ("h265Enabled", Bool(false)),
    ("av1Enabled", Bool(false)),
    ("dataChannelEnabled", Bool(true)),
    ("dataChannelPlayerDistribution", Text("all")),
    ("dataChannelWebHookURL", Text("")),
    ("maxAudioTrackCount", Int(-1)),
    ("maxVideoTrackCount", Int(-1)),
    ("dropWebRTCIngestIfNoPacketReceived", Bool(false)),
    ("sendAudioLevelToViewers", Bool(false)),
    ("audioLevelThreshold", Int(120)),
    ("heightRtmpForwarding", Int(360)),
    ("audioBitrateSFU", Int(96_000)),
    ("signalingEnabled", Bool(false)),
    ("signalingAddress", Text("")),
    ("statsBasedABREnabled", Bool(true)),
    ("abrDownScalePacketLostRatio", Real(1.0)),
    ("abrUpScalePacketLostRatio", Real(0.1)),
    ("abrUpScaleRTTMs", Int(150)),
    ("abrUpScaleJitterMs", Int(30)),
    ("participantVisibilityMatrix", Object),
];

const INGEST: &[Key] = &[
    (RTMP_PLAY, Bool(true)),
    ("rtmpIngestBufferTimeMs", Int(0)),
    ("aacEncodingEnabled", Bool(true)),
    ("gopSize", Int(0)),
    ("encoderSettings", List),
    ("encoderSettingsString", Text("")),
    ("encoderSelectionPreference", Text("gpu_and_cpu")),
    ("forceDecoding", Bool(false)),
    ("maxAnalyzeDurationMS", Int(1500)),
    ("relayRTMPMetaDataToMuxers", Bool(true)),
    ("srtReceiveLatencyInMs", Int(150)),
    ("rtspPullTransportType", Number("3")),
    ("rtspTimeoutDurationMs", Int(5000)),
    ("startStreamFetcherAutomatically", Bool(false)),
    ("restartStreamFetcherPeriod", Int(0)),
    ("streamFetcherBufferTime", Int(0)),
    ("encodingQueueSize", Int(150)),
];

const RECORDING: &[Key] = &[
    ("mp4MuxingEnabled", Bool(false)),
    ("webMMuxingEnabled", Bool(false)),
    ("addDateTimeToMp4FileName", Bool(false)),
    ("fileNameFormat", Text("%r%b")),
    ("recordingSubfolder", Optional),
    ("subFolder", Text("")),
    ("muxerFinishScript", Text("")),
    ("vodUploadFinishScript", Text("")),
    ("generatePreview", Bool(false)),
    ("previewHeight", Int(480)),
    ("previewFormat", Text("png")),
    ("previewQuality", Int(75)),
    ("createPreviewPeriod", Int(5000)),
    ("previewOverwrite", Bool(false)),
    ("s3RecordingEnabled", Bool(false)),
    ("s3AccessKey", Optional),
    ("s3SecretKey", Optional),
    ("s3BucketName", Optional),
    ("s3RegionName", Optional),
    ("s3Endpoint", Optional),
    ("s3Permission", Text("public-read")),
    ("s3StreamsFolderPath", Text("streams")),
    ("s3PreviewsFolderPath", Text("previews")),
    ("uploadExtensionsToS3", Int(7)),
    ("endpointHealthCheckPeriodMs", Int(2000)),
    ("endpointRepublishLimit", Int(3)),
];

const EVENTS: &[Key] = &[
    ("listenerHookURL", Text("")),
    ("webhookRetryCount", Int(0)),
    ("webhookRetryDelay", Int(1000)),
    ("webhookContentType", Text("application/json")),
    ("webhookStreamStatusUpdatePeriodMs", Int(-1)),
    ("writeStatsToDatastore", Bool(true)),
    (WRITE_EVENTS, Bool(false)),
    ("streamStartedScript", Text("")),
    ("streamEndedScript", Text("")),
    ("streamIdleTimeoutScript", Text("")),
    ("appStatus", Text("installed")),
    ("updateTime", Int(0)),
    ("appInstallationTime", Int(0)),
    ("customSettings", Object),
    ("encoderParameters", Object),
];
