//! What AMS says over RTMP (C§5.2, C§5.3, C§10, C§14): typed answer in, status out.

use contract::auth::Denied;
use contract::registry::{PlayRefused, PublishRefused};
use contract::session::CloseReason;
use contract::{Action, InvalidId};
use rtmp::Status;
use session::Refused;

pub(super) const CONNECTED: Status<'_> =
    Status::good("NetConnection.Connect.Success", "Connection succeeded.");
pub(super) const UNKNOWN_APP: Status<'_> =
    Status::error("NetConnection.Connect.InvalidApp", "There is no such application.");
pub(super) const PUBLISH_START: Status<'_> = Status::good("NetStream.Publish.Start", "Publishing.");
pub(super) const PLAY_START: [Status<'_>; 2] = [
    Status::good("NetStream.Play.Reset", "Playing and resetting."),
    Status::good("NetStream.Play.Start", "Playing."),
];
pub(super) const PLAYBACK_DISABLED: Status<'_> =
    Status::error("NetStream.Failed", "RTMP playback is disabled.");
pub(super) const NO_PLACE: Status<'_> =
    Status::error("NetStream.Failed", "The server has no place for another player.");
pub(super) const UNPUBLISHED: Status<'_> =
    Status::good("NetStream.Play.UnpublishNotify", "The publisher has left.");
pub(super) const PUBLISHED: Status<'_> =
    Status::good("NetStream.Play.PublishNotify", "A publisher is there.");
pub(super) const STOPPED: Status<'_> = Status::error("NetStream.Failed", "The stream was stopped.");
/// Players such as ffmpeg hang up at any status of level `error`, and at
/// `UnpublishNotify`; who is only silenced is told in words that they read on after.
pub(super) const PAUSED: &str = "NetStream.Pause.Notify";
pub(super) const SILENCED: Status<'_> = Status::good(PAUSED, "The stream is paused.");
pub(super) const RESUMED: Status<'_> = Status::good("NetStream.Unpause.Notify", "Playing again.");

/// `Subscriber {sid} is blocked to {action} stream.`
pub(super) fn blocked_text(action: Action, subscriber: &str) -> String {
    format!("Subscriber {subscriber} is blocked to {action} stream.")
}

/// The stream name names no stream.
pub(super) fn bad_id(error: InvalidId) -> Status<'static> {
    match error {
        InvalidId::Empty => Status::error("NetStream.Failed", "The stream name may not be empty."),
        InvalidId::TooLong | InvalidId::Character => {
            Status::error("NetStream.Publish.BadName", "The stream name is not valid.")
        }
    }
}

/// Why a session ends. `blocked` is [`blocked_text`] for it. Ant Media has no word
/// for a session that another took over, so that one is ours.
pub(super) const fn ended(action: Action, why: CloseReason, blocked: &str) -> Status<'_> {
    match why {
        CloseReason::Stopped => STOPPED,
        CloseReason::Blocked => Status::error("NetStream.Failed", blocked),
        CloseReason::TakenOver => Status::error("NetStream.Failed", "The same subscriber connected anew."),
        CloseReason::Withdrawn => not_allowed(action),
    }
}

/// Why a request is refused. `blocked` is [`blocked_text`] for it.
pub(super) fn refused<'a>(action: Action, why: Refused, name: &'a str, blocked: &'a str) -> Status<'a> {
    match why {
        Refused::UnknownApp => UNKNOWN_APP,
        Refused::Denied(Denied::Blocked) => Status::error("NetStream.Failed", blocked),
        Refused::Denied(Denied::Unavailable)
        | Refused::Unavailable
        | Refused::Publish(PublishRefused::Unavailable)
        | Refused::Play(PlayRefused::Unavailable) => {
            Status::error("NetStream.Failed", "The server cannot answer now.")
        }
        Refused::Publish(PublishRefused::AlreadyPublishing) => {
            Status::error("NetStream.Publish.BadName", name)
        }
        Refused::Publish(PublishRefused::Memory) => {
            Status::error("NetStream.Failed", "The server has no memory for another stream.")
        }
        Refused::Play(PlayRefused::NotLive) => {
            Status::error("NetStream.Play.StreamNotFound", "The stream is not live.")
        }
        Refused::Play(PlayRefused::Limit) => {
            Status::error("NetStream.Failed", "The stream has as many players as it may.")
        }
        Refused::Ended(why) => ended(action, why, blocked),
        Refused::Denied(_) | Refused::Publish(_) => not_allowed(action),
    }
}

const fn not_allowed(action: Action) -> Status<'static> {
    match action {
        Action::Publish => {
            Status::error("NetStream.Publish.BadName", "You are not allowed to publish the stream.")
        }
        Action::Play => Status::error(
            "NetStream.Publish.BadName",
            "You are not allowed to play the stream due to security.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_worded_as_ant_media_words_them() {
        let say = |action, why| {
            let blocked = blocked_text(action, "lastpeony");
            let status = refused(action, why, "cam", &blocked);
            format!("{} {}", status.code, status.description)
        };
        let (publish, play) = (Action::Publish, Action::Play);
        assert_eq!(
            say(publish, Denied::Credentials.into()),
            "NetStream.Publish.BadName You are not allowed to publish the stream."
        );
        assert_eq!(
            say(play, Denied::Credentials.into()),
            "NetStream.Publish.BadName You are not allowed to play the stream due to security."
        );
        assert_eq!(
            say(publish, Denied::Blocked.into()),
            "NetStream.Failed Subscriber lastpeony is blocked to publish stream."
        );
        assert_eq!(
            say(play, Denied::Blocked.into()),
            "NetStream.Failed Subscriber lastpeony is blocked to play stream."
        );
        assert_eq!(say(publish, PublishRefused::AlreadyPublishing.into()), "NetStream.Publish.BadName cam");
        assert_eq!(bad_id(InvalidId::Empty).description, "The stream name may not be empty.");
        assert_eq!(PLAYBACK_DISABLED.description, "RTMP playback is disabled.");
    }

    #[test]
    fn who_is_ended_is_told_why_and_only_who_is_blocked_that_he_is() {
        let say = |action, why| {
            let blocked = blocked_text(action, "lastpeony");
            let status = ended(action, why, &blocked);
            assert_eq!(status, refused(action, Refused::Ended(why), "cam", &blocked), "also before it began");
            format!("{} {}", status.code, status.description)
        };
        let (publish, play) = (Action::Publish, Action::Play);
        assert_eq!(
            say(publish, CloseReason::Blocked),
            "NetStream.Failed Subscriber lastpeony is blocked to publish stream."
        );
        for action in [publish, play] {
            assert_eq!(
                say(action, CloseReason::TakenOver),
                "NetStream.Failed The same subscriber connected anew."
            );
            assert_eq!(say(action, CloseReason::Stopped), "NetStream.Failed The stream was stopped.");
        }
        assert_eq!(
            say(publish, CloseReason::Withdrawn),
            "NetStream.Publish.BadName You are not allowed to publish the stream."
        );
        assert_eq!(
            say(play, CloseReason::Withdrawn),
            "NetStream.Publish.BadName You are not allowed to play the stream due to security."
        );
    }
}
