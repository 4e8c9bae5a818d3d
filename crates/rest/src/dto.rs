//! AMS's JSON. Every field is always there; what is absent is `null` (C§1.4).

mod answer;
mod broadcast;
mod statistics;
mod subscriber;

pub(crate) use answer::{Answer, Applications, Liveness, SettingsAnswer, Version};
pub(crate) use broadcast::{BroadcastEdit, Site, broadcast};
pub(crate) use statistics::{AppStatistics, Number, StreamInfo, StreamStatistics};
pub(crate) use subscriber::{Event, Stats, Subscriber};
