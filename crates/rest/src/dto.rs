//! AMS's JSON. Every field is always there; what is absent is `null` (C§1.4).

mod answer;
mod broadcast;
mod panel;
mod statistics;
mod subscriber;
mod user;

pub(crate) use answer::{Answer, Applications, Liveness, SettingsAnswer, Version};
pub(crate) use broadcast::{BroadcastEdit, Site, broadcast};
pub(crate) use panel::{
    Addresses, AuditList, GuessedCodes, Reach, Setting, StreamBoard, StreamDetail, StreamLine,
};
pub(crate) use statistics::{AppStatistics, Number, StreamInfo, StreamStatistics};
pub(crate) use subscriber::{Event, Stats, Subscriber};
pub(crate) use user::{Me, User};
