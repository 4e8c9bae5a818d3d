//! From a document to typed settings. What does not parse is not stored.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use contract::settings::{Hls, PatchError, Rtmp, Security, Streams, Webrtc};
use contract::{AppSettings, Secret, canonical};
use ipnet::IpNet;
use serde_json::Value;

use crate::dialect as key;
use crate::document::{Document, invalid};

/// Steps of a code in seconds: AMS's own bounds for subscribers (C§2.1.1).
pub(crate) const PERIOD: RangeInclusive<i64> = 10..=2_147_483_647;
/// AMS raises what is below to these (C§3.10); above, a playlist would hold more
/// media in memory than any player asks for.
pub(crate) const SEGMENT_SECONDS: RangeInclusive<f64> = 1.0..=60.0;
pub(crate) const LIST_SIZE: RangeInclusive<f64> = 5.0..=300.0;
/// A publisher that sends nothing holds a place for so long at most.
pub(crate) const MAX_START_MS: i64 = 600_000;

/// Typed settings of a document, or the first thing that is wrong with it.
pub(crate) fn parse(document: &Document) -> Result<AppSettings, PatchError> {
    refuse_two_tokens(document)?;
    refuse_what_is_not_built(document)?;
    Ok(AppSettings {
        security: security(document)?,
        hls: hls(document)?,
        rtmp: Rtmp { playback: on(document, key::RTMP_PLAY) },
        webrtc: webrtc(document)?,
        streams: Streams {
            live_limit: limit(document, key::LIVE_LIMIT),
            webrtc_player_limit: limit(document, key::PLAYER_LIMIT),
            write_events: on(document, key::WRITE_EVENTS),
        },
    })
}

fn refuse_two_tokens(document: &Document) -> Result<(), PatchError> {
    let both = both_by_subscriber_only(document);
    for group in key::EXCLUSIVE {
        let chosen = group.iter().enumerate().filter(|&(at, name)| on(document, name) || (at == 0 && both));
        let mut names = chosen.map(|(at, &name)| if at == 0 && both { key::TOTP_BOTH } else { name });
        if let (Some(first), Some(second)) = (names.next(), names.next()) {
            return Err(PatchError::Conflict { first: first.to_owned(), second: second.to_owned() });
        }
    }
    Ok(())
}

fn refuse_what_is_not_built(document: &Document) -> Result<(), PatchError> {
    let set = |name: &&&str| match document.get(name) {
        Value::Bool(on) => on,
        Value::String(text) => !text.trim().is_empty(),
        Value::Number(limit) => limit.as_i64().is_some_and(|limit| limit > 0),
        _ => false,
    };
    match key::NOT_BUILT.iter().find(set) {
        Some(name) => {
            Err(invalid(name, "this server does not implement this protection, so it cannot be set"))
        }
        None => Ok(()),
    }
}

/// `timeTokenSubscriberOnly` with both flags off stands for both (C§16.3c).
fn both_by_subscriber_only(document: &Document) -> bool {
    on(document, key::TOTP_BOTH) && !on(document, key::TOTP_PUBLISH) && !on(document, key::TOTP_PLAY)
}

fn security(document: &Document) -> Result<Security, PatchError> {
    let both = both_by_subscriber_only(document);
    let period = whole(document, key::PERIOD);
    if !PERIOD.contains(&period) {
        return Err(invalid(key::PERIOD, "must be between 10 and 2147483647 seconds"));
    }
    let rest_networks = networks(document, key::REST_NETWORKS)?;
    Ok(Security {
        totp_publish: both || on(document, key::TOTP_PUBLISH),
        totp_play: both || on(document, key::TOTP_PLAY),
        secret_publish: secret(document, key::SECRET_PUBLISH),
        secret_play: secret(document, key::SECRET_PLAY),
        period: u32::try_from(period).unwrap_or(u32::MAX),
        registered_only: on(document, key::REGISTERED_ONLY),
        publisher_networks: networks(document, key::PUBLISHER_NETWORKS)?,
        rest_networks: on(document, key::REST_FILTER).then_some(rest_networks),
        hls_grant_bound_to_address: on(document, key::HLS_BOUND),
    })
}

fn hls(document: &Document) -> Result<Hls, PatchError> {
    if text(document, key::HLS_TYPE) != key::FMP4 {
        return Err(invalid(key::HLS_TYPE, "must be fmp4, the only kind that is built"));
    }
    let seconds = in_text(document, key::HLS_TIME);
    let count = in_text(document, key::HLS_LIST);
    if seconds > *SEGMENT_SECONDS.end() {
        return Err(invalid(key::HLS_TIME, "must be at most 60 seconds"));
    }
    if count > *LIST_SIZE.end() {
        return Err(invalid(key::HLS_LIST, "must be at most 300 segments"));
    }
    Ok(Hls {
        enabled: on(document, key::HLS),
        segment: Duration::from_secs_f64(seconds.max(*SEGMENT_SECONDS.start())),
        // Between 5 and 300, so nothing is lost.
        list_size: count.max(*LIST_SIZE.start()) as usize,
    })
}

fn webrtc(document: &Document) -> Result<Webrtc, PatchError> {
    let start = whole(document, key::START_TIMEOUT);
    if !(1..=MAX_START_MS).contains(&start) {
        return Err(invalid(key::START_TIMEOUT, "must be between 1 and 600000 milliseconds"));
    }
    Ok(Webrtc {
        enabled: on(document, key::WEBRTC),
        start_timeout: Duration::from_millis(start.unsigned_abs()),
        stun_uri: ice_server(document, key::STUN)?,
        turn_username: text(document, key::TURN_USER),
        turn_credential: Secret::new(text(document, key::TURN_CREDENTIAL)),
    })
}

/// An address of RFC 7064 or RFC 7065 (section 3.1 of each), or none.
fn ice_server(document: &Document, name: &str) -> Result<String, PatchError> {
    let text = text(document, name);
    let host = ["stun:", "stuns:", "turn:", "turns:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let plain = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || host.is_some_and(plain) {
        Ok(text)
    } else {
        Err(invalid(name, "must be empty or begin with stun:, stuns:, turn: or turns: and a host"))
    }
}

// The kinds of known keys were checked when they were set.

fn on(document: &Document, name: &str) -> bool {
    document.get(name) == Value::Bool(true)
}

fn whole(document: &Document, name: &str) -> i64 {
    document.get(name).as_i64().unwrap_or_default()
}

fn text(document: &Document, name: &str) -> String {
    document.get(name).as_str().unwrap_or_default().to_owned()
}

fn in_text(document: &Document, name: &str) -> f64 {
    document.get(name).as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn secret(document: &Document, name: &str) -> Option<Secret<String>> {
    let text = text(document, name);
    (!text.trim().is_empty()).then(|| Secret::new(text))
}

/// Negative: no limit.
fn limit(document: &Document, name: &str) -> Option<u64> {
    u64::try_from(whole(document, name)).ok()
}

/// Networks and single addresses, separated by commas, in canonical form: a rule
/// for a v4-mapped address is one for the v4 address that peers have here.
fn networks(document: &Document, name: &str) -> Result<Vec<IpNet>, PatchError> {
    let text = text(document, name);
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let wrong = || invalid(name, "must be a list of networks or addresses, separated by commas");
    parts.map(|part| network(part).ok_or_else(wrong)).collect()
}

fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(canonical(address).into());
    }
    let network: IpNet = text.parse().ok()?;
    let address = canonical(network.addr());
    match (network, address) {
        (IpNet::V6(v6), IpAddr::V4(v4)) if v6.prefix_len() >= 96 => {
            IpNet::new(v4.into(), v6.prefix_len() - 96).ok()
        }
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests;
