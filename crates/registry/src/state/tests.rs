use actix::prelude::*;
use contract::registry::ListSessions;
use contract::session::Moment;
use contract::session::{Close, Fenced, Hush, SetStanding};
use contract::{Action, AppName, Standing, StreamId};
use media::{EndReason, Event, Frame, MediaTime, TrackKind, Tracks};

use super::*;

/// A session that only needs to exist.
struct Idle;
impl Actor for Idle {
    type Context = Context<Self>;
}
impl Handler<SetStanding> for Idle {
    type Result = Fenced;
    fn handle(&mut self, _: SetStanding, _: &mut Self::Context) -> Fenced {
        Fenced::Confirmed
    }
}
impl Handler<Hush> for Idle {
    type Result = Fenced;
    fn handle(&mut self, _: Hush, _: &mut Self::Context) -> Fenced {
        Fenced::Confirmed
    }
}
impl Handler<Close> for Idle {
    type Result = ();
    fn handle(&mut self, _: Close, _: &mut Self::Context) {}
}

fn session() -> SessionRef {
    let addr = Idle.start();
    SessionRef {
        id: SessionId::new(),
        standing: addr.clone().recipient(),
        hush: addr.clone().recipient(),
        close: addr.recipient(),
        traffic: Arc::default(),
    }
}

fn key(id: &str) -> StreamKey {
    StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse(id).unwrap() }
}

fn publish(id: &str, replaces: Option<SessionId>) -> Publish {
    Publish {
        stream: key(id),
        tracks: Tracks::default(),
        form: Form::Frames,
        protocol: Protocol::Rtmp,
        peer: IpAddr::from([127, 0, 0, 1]),
        subscriber: None,
        session: session(),
        standing: standing(),
        replaces,
    }
}

fn play(id: &str, protocol: Protocol) -> Play {
    Play {
        stream: key(id),
        protocol,
        peer: IpAddr::from([192, 0, 2, 1]),
        subscriber: SubscriberId::parse("viewer").ok(),
        session: session(),
        standing: standing(),
    }
}

fn standing() -> Arc<StandingCell> {
    Arc::new(StandingCell::new(Standing::Granted))
}

fn sound(n: i64) -> Frame {
    let at = MediaTime::from_millis(n);
    Frame { track: TrackKind::Audio, pts: at, dts: at, keyframe: true, data: bytes::Bytes::from_static(b"x") }
}

const NOW: WallMs = WallMs(1_700_000_000_000);

#[actix_rt::test]
async fn one_publisher_at_a_time_and_the_place_is_free_after_him() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let first = publish("cam", None);
    state.publish(&first, &settings, NOW).unwrap();
    let second = publish("cam", None);
    assert_eq!(state.publish(&second, &settings, NOW).unwrap_err(), PublishRefused::AlreadyPublishing);
    state.end(&key("cam"), first.session.id);
    state.publish(&second, &settings, NOW).unwrap();
    assert!(state.get(&key("cam"), &settings, NOW).unwrap().live.is_some());
}

#[actix_rt::test]
async fn a_take_over_keeps_the_players_and_the_late_end_of_the_old_session_harms_nobody() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let first = publish("cam", None);
    state.publish(&first, &settings, NOW).unwrap();
    let mut live = state.play(&play("cam", Protocol::Rtmp), &settings, NOW).unwrap();
    let generation = live.borrow_and_update().as_ref().unwrap().generation;
    let second = publish("cam", Some(first.session.id));
    state.publish(&second, &settings, NOW).unwrap();
    state.end(&key("cam"), first.session.id);
    let now = live.borrow_and_update().as_ref().map(|l| l.generation);
    assert!(now.is_some_and(|now| now > generation), "{now:?}");
}

#[actix_rt::test]
async fn a_silenced_stream_is_empty_for_everyone_and_its_players_stay_for_the_next_publisher() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let ask = publish("cam", None);
    let mut granted = state.publish(&ask, &settings, NOW).unwrap();
    let player = play("cam", Protocol::Whep);
    let live = state.play(&player, &settings, NOW).unwrap();
    let mut reader = live.borrow().as_ref().unwrap().frames.reader();
    granted.frames.push(sound(1));
    let hushed = state.silence(&key("cam"), ask.session.id);
    assert_eq!(hushed.iter().map(|s| s.id).collect::<Vec<_>>(), [player.session.id]);
    granted.frames.push(sound(2));
    assert!(live.borrow().is_none());
    while let Some(event) = reader.try_next() {
        match event {
            Event::Item(_) => panic!("a frame after silence"),
            Event::Ended(reason) => {
                assert_eq!(reason, EndReason::Silenced);
                break;
            }
            Event::Tracks(_) | Event::Gap(_) => {}
        }
    }
    state.publish(&publish("cam", None), &settings, NOW).unwrap();
    assert!(live.borrow().is_some());
    assert_eq!(state.get(&key("cam"), &settings, NOW).unwrap().players.webrtc, 1);
}

#[actix_rt::test]
async fn silence_of_another_session_does_nothing() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    state.publish(&publish("cam", None), &settings, NOW).unwrap();
    assert!(state.silence(&key("cam"), SessionId::new()).is_empty());
    assert!(state.get(&key("cam"), &settings, NOW).unwrap().live.is_some());
}

#[actix_rt::test]
async fn nobody_plays_a_stream_that_is_not_live_and_limits_hold() {
    let (mut state, mut settings) = (State::default(), AppSettings::default());
    assert_eq!(state.play(&play("cam", Protocol::Rtmp), &settings, NOW).unwrap_err(), PlayRefused::NotLive);
    settings.streams.webrtc_player_limit = Some(1);
    settings.streams.live_limit = Some(1);
    state.publish(&publish("cam", None), &settings, NOW).unwrap();
    assert_eq!(state.publish(&publish("b", None), &settings, NOW).unwrap_err(), PublishRefused::Limit);
    state.play(&play("cam", Protocol::Webrtc), &settings, NOW).unwrap();
    assert_eq!(state.play(&play("cam", Protocol::Whep), &settings, NOW).unwrap_err(), PlayRefused::Limit);
    state.play(&play("cam", Protocol::Rtmp), &settings, NOW).unwrap();
}

#[actix_rt::test]
async fn no_stream_more_is_taken_than_there_is_memory_for_and_who_is_live_stays() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    state.memory = Memory::new(1 << 20);
    let first = publish("cam", None);
    let Granted { mut frames, .. } = state.publish(&first, &settings, NOW).unwrap();
    frames.push(sound(0));
    assert!(state.memory.used() > 0, "what it brings is counted");
    let others = state.memory.charge(800 << 10).unwrap();
    assert_eq!(state.publish(&publish("b", None), &settings, NOW).unwrap_err(), PublishRefused::Memory);
    let again = publish("cam", Some(first.session.id));
    state.publish(&again, &settings, NOW).unwrap();
    state.end(&key("cam"), again.session.id);
    drop((frames, others));
    assert_eq!(state.memory.used(), 0);
    state.publish(&publish("b", None), &settings, NOW).unwrap();
}

#[actix_rt::test]
async fn an_hls_player_that_asks_for_nothing_any_more_is_not_counted() {
    let (mut state, mut settings) = (State::default(), AppSettings::default());
    settings.hls.segment = Duration::from_secs(2);
    state.publish(&publish("cam", None), &settings, NOW).unwrap();
    for protocol in [Protocol::Hls, Protocol::Rtmp] {
        let player = play("cam", protocol);
        player.session.traffic.heard(NOW);
        state.play(&player, &settings, NOW).unwrap();
    }
    let counts = |after: u64| state.get(&key("cam"), &settings, WallMs(NOW.0 + after)).unwrap().players;
    assert_eq!((counts(19_999).hls, counts(19_999).rtmp), (1, 1));
    assert_eq!((counts(20_000).hls, counts(20_000).rtmp), (0, 1));
}

#[actix_rt::test]
async fn nobody_keeps_anything_of_a_stream_that_is_removed() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    state.create(StreamRecord::new(key("cam"), NOW), &settings, NOW).unwrap();
    let (publisher, player) = (publish("cam", None), play("cam", Protocol::Hls));
    state.publish(&publisher, &settings, NOW).unwrap();
    let ring = state.play(&player, &settings, NOW).unwrap().borrow().as_ref().unwrap().frames.clone();
    let told: Vec<_> = state.evict(&key("cam")).iter().map(|session| session.id).collect();
    assert_eq!(told, [publisher.session.id, player.session.id]);
    assert_eq!(ring.ended(), Some(EndReason::Silenced));
}

#[actix_rt::test]
async fn a_record_outlives_its_publisher_and_an_unregistered_stream_does_not() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    state.create(StreamRecord::new(key("kept"), NOW), &settings, NOW).unwrap();
    for id in ["kept", "gone"] {
        let ask = publish(id, None);
        let granted = state.publish(&ask, &settings, NOW).unwrap();
        assert_eq!(granted.write.is_some(), id == "kept");
        assert_eq!(state.get(&key(id), &settings, NOW).unwrap().registered, id == "kept");
        state.end(&key(id), ask.session.id);
    }
    assert!(
        state
            .get(&key("kept"), &settings, NOW)
            .is_some_and(|view| view.record.finished && view.live.is_none())
    );
    assert!(state.get(&key("gone"), &settings, NOW).is_none());
    assert!(state.rows.len() == 1);
}

#[actix_rt::test]
async fn publishing_is_refused_outside_the_planned_dates() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let mut record = StreamRecord::new(key("cam"), NOW);
    record.planned_start = NOW.0 / 1000 + 10;
    record.planned_end = NOW.0 / 1000 + 20;
    state.create(record, &settings, NOW).unwrap();
    let at = |seconds: u64| WallMs(NOW.0 + seconds * 1000);
    for (now, allowed) in [(at(9), false), (at(10), true), (at(20), true), (at(21), false)] {
        let ask = publish("cam", None);
        assert_eq!(state.publish(&ask, &settings, now).is_ok(), allowed);
        state.end(&key("cam"), ask.session.id);
    }
}

#[actix_rt::test]
async fn lists_search_sort_and_page() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    for (id, name, created) in [("a1", "Zoo", 3), ("b2", "Attic", 1), ("c3", "Zoom", 2)] {
        let mut record = StreamRecord::new(key(id), WallMs(created));
        record.name = Some(name.to_owned());
        state.create(record, &settings, NOW).unwrap();
    }
    let list = |search: &str, sort, offset, size| {
        let ask = ListStreams {
            app: AppName::parse("live").unwrap(),
            search: Some(search.to_owned()),
            sort,
            offset,
            size,
        };
        let page = state.list(&ask, &settings, NOW);
        let ids: Vec<_> = page.streams.iter().map(|s| s.record.key.id.to_string()).collect();
        (ids.join(" "), page.matching)
    };
    assert_eq!(list("zoo", StreamSort::Id, 0, 10), ("a1 c3".to_owned(), 2));
    assert_eq!(list("", StreamSort::Name(Order::Ascending), 0, 2), ("b2 a1".to_owned(), 3));
    assert_eq!(list("", StreamSort::Created(Order::Descending), 1, 10), ("c3 b2".to_owned(), 3));
}

#[actix_rt::test]
async fn what_is_left_of_an_ended_publish_is_silenced_for_its_own_publisher_only() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let alice = contract::SubscriberId::parse("alice").unwrap();
    let mut ask = publish("cam", None);
    ask.subscriber = Some(alice.clone());
    let granted = state.publish(&ask, &settings, NOW).unwrap();
    let player = play("cam", Protocol::Hls);
    let live = state.play(&player, &settings, NOW).unwrap();
    let his = live.borrow().clone().unwrap();
    let ring = his.frames.clone();
    drop(granted);
    state.end(&key("cam"), ask.session.id);
    // Somebody else may publish meanwhile.
    let other = publish("cam", None);
    let _granted = state.publish(&other, &settings, NOW).unwrap();
    assert!(state.silence_ended(&key("cam"), &contract::SubscriberId::parse("mallory").unwrap()).is_empty());
    assert_eq!(ring.ended(), Some(EndReason::Finished));
    assert_eq!(state.silence_ended(&key("cam"), &alice).len(), 1);
    assert_eq!(ring.ended(), Some(EndReason::Silenced));
    assert!(state.get(&key("cam"), &settings, NOW).unwrap().live.is_some());
    drop(his);
    state.end(&key("cam"), other.session.id);
    assert!(state.past.is_empty(), "nothing is left to be silenced");
}

#[actix_rt::test]
async fn who_came_back_is_silenced_with_what_he_sent_before() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let mut first = publish("cam", None);
    first.subscriber = contract::SubscriberId::parse("alice").ok();
    state.publish(&first, &settings, NOW).unwrap();
    let live = state.play(&play("cam", Protocol::Hls), &settings, NOW).unwrap();
    let before = live.borrow().clone().unwrap();
    let mut second = publish("cam", Some(first.session.id));
    second.subscriber = first.subscriber.clone();
    state.publish(&second, &settings, NOW).unwrap();
    state.silence(&key("cam"), second.session.id);
    assert_eq!(before.frames.ended(), Some(EndReason::Silenced));
}

#[actix_rt::test]
async fn it_is_seen_while_some_packetiser_has_key_frames_only_and_not_of_other_streams() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    for id in ["cam", "other"] {
        state.publish(&publish(id, None), &settings, NOW).unwrap();
    }
    let live = state.play(&play("cam", Protocol::Whep), &settings, NOW).unwrap();
    let cell = live.borrow().as_ref().unwrap().keyframes_only.clone();
    let short = |id| state.get(&key(id), &settings, NOW).unwrap().live.unwrap().keyframes_only;
    let (first, second) = (cell.claim(), cell.claim());
    drop(first);
    assert_eq!((short("cam"), short("other")), (true, false));
    drop(second);
    assert!(!short("cam"));
}

#[actix_rt::test]
async fn what_a_publisher_has_sent_is_shown_by_track() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let ask = publish("cam", None);
    state.publish(&ask, &settings, NOW).unwrap();
    for (track, bytes) in [(TrackKind::Video, 700), (TrackKind::Audio, 20), (TrackKind::Video, 300)] {
        ask.session.traffic.received_track(track, bytes);
    }
    let live = state.get(&key("cam"), &settings, NOW).unwrap().live.unwrap();
    assert_eq!((live.video_bytes, live.audio_bytes), (1000, 20));
}

#[actix_rt::test]
async fn everybody_who_has_a_place_is_seen_and_who_has_left_is_not() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let publisher = publish("cam", None);
    let _granted = state.publish(&publisher, &settings, NOW).unwrap();
    let (rtmp, hls) = (play("cam", Protocol::Rtmp), play("cam", Protocol::Hls));
    let _live = [&rtmp, &hls].map(|player| state.play(player, &settings, NOW).unwrap());
    publisher.session.traffic.received(700);
    rtmp.session.traffic.sent(30);
    rtmp.session.traffic.gap();
    rtmp.standing.set(Standing::Suspended);
    hls.session.traffic.heard(NOW);
    let ask = |size| ListSessions { stream: key("cam"), search: None, offset: 0, size };
    let page = state.sessions(&ask(10), &settings, NOW).unwrap();
    assert_eq!((page.stream.players.hls, page.stream.players.rtmp), (1, 1));
    let seen: Vec<_> = page.sessions.iter().map(|s| (s.id, s.role, s.bytes, s.gaps, s.standing)).collect();
    assert_eq!(
        seen,
        [
            (publisher.session.id, Action::Publish, 700, 0, Standing::Granted),
            (rtmp.session.id, Action::Play, 30, 1, Standing::Suspended),
            (hls.session.id, Action::Play, 0, 0, Standing::Granted),
        ]
    );
    assert_eq!(page.sessions[1].subscriber.as_ref().unwrap().as_str(), "viewer");
    assert_eq!((page.sessions[1].peer, page.sessions[1].since), (rtmp.peer, NOW));
    let later = NOW.after(settings.hls.patience());
    assert_eq!(state.sessions(&ask(10), &settings, later).unwrap().sessions.len(), 2);
    assert_eq!(state.sessions(&ask(1), &settings, NOW).unwrap().sessions.len(), 1);
    let nothing = ListSessions { stream: key("dam"), ..ask(1) };
    assert!(state.sessions(&nothing, &settings, NOW).is_none());
}

#[actix_rt::test]
async fn sessions_are_searched_and_paged_with_the_publisher_first() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    // He comes last, and is shown first.
    let players: Vec<_> = (0..9)
        .map(|n| if n % 3 == 0 { Protocol::Rtmp } else { Protocol::Whep })
        .map(|p| play("cam", p))
        .collect();
    let publisher = publish("cam", None);
    let _granted = state.publish(&publisher, &settings, NOW).unwrap();
    let _live: Vec<_> = players.iter().map(|player| state.play(player, &settings, NOW).unwrap()).collect();
    let ids = |search: &str, offset, size| {
        let search = Some(search.to_owned());
        let ask = ListSessions { stream: key("cam"), search, offset, size };
        let page = state.sessions(&ask, &settings, NOW).unwrap();
        (page.total, page.matching, page.sessions.iter().map(|s| s.id).collect::<Vec<_>>())
    };
    let id = |n: usize| players[n].session.id;
    assert_eq!(ids("", 0, 2), (10, 10, vec![publisher.session.id, id(0)]));
    assert_eq!(ids("", 8, 5), (10, 10, vec![id(7), id(8)]));
    assert_eq!(ids("WHEP", 1, 2), (10, 6, vec![id(2), id(4)]));
    assert_eq!(ids("publisher", 0, 9), (10, 1, vec![publisher.session.id]));
    assert_eq!(ids("Viewer", 0, 0), (10, 9, vec![]));
    assert_eq!(ids(&players[0].peer.to_string(), 7, usize::MAX), (10, 9, vec![id(7), id(8)]));
    assert_eq!(ids("nobody", 0, 9), (10, 0, vec![]));
    assert_eq!(ids("", usize::MAX, usize::MAX), (10, 10, vec![]));
}

#[actix_rt::test]
async fn one_session_is_found_in_its_own_stream_only() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let (publisher, player) = (publish("cam", None), play("cam", Protocol::Rtmp));
    let _granted = state.publish(&publisher, &settings, NOW).unwrap();
    let _live = state.play(&player, &settings, NOW).unwrap();
    for id in [publisher.session.id, player.session.id] {
        assert_eq!(state.session(&key("cam"), id).unwrap().id, id);
        assert!(state.session(&key("dam"), id).is_none());
    }
    state.end(&key("cam"), player.session.id);
    assert!(state.session(&key("cam"), player.session.id).is_none());
}

#[actix_rt::test]
async fn a_survey_has_what_is_registered_or_live_of_all_applications() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let other = StreamKey { app: AppName::parse("LiveApp").unwrap(), id: key("idle").id };
    let record = StreamRecord { name: Some("Idle".to_owned()), ..StreamRecord::new(other.clone(), NOW) };
    state.create(record, &settings, NOW).unwrap();
    let publisher = publish("cam", None);
    let _granted = state.publish(&publisher, &settings, NOW).unwrap();
    let board = state.survey(|_| Arc::default(), NOW);
    let mut seen: Vec<_> =
        board.streams.iter().map(|row| (row.key.clone(), row.registered, row.live.is_some())).collect();
    seen.sort();
    assert_eq!(seen, [(other, true, false), (key("cam"), false, true)]);
    assert!(state.live(&key("cam")).is_some());
    state.silence(&key("cam"), publisher.session.id);
    assert!(state.live(&key("cam")).is_none(), "a silenced stream has no picture to show");
}

#[actix_rt::test]
async fn a_player_lags_behind_the_newest_media_unless_it_is_held_back_or_nobody_publishes() {
    let (mut state, settings) = (State::default(), AppSettings::default());
    let mut granted = state.publish(&publish("cam", None), &settings, NOW).unwrap();
    let player = play("cam", Protocol::Rtmp);
    let _live = state.play(&player, &settings, NOW).unwrap();
    let lag = |state: &State| {
        let ask = ListSessions { stream: key("cam"), search: Some("player".to_owned()), offset: 0, size: 1 };
        state.sessions(&ask, &settings, NOW).unwrap().sessions[0].lag
    };
    assert_eq!(lag(&state), None);
    let newest = sound(9);
    player.session.traffic.reached(Moment { generation: 1, at: newest.dts });
    granted.frames.push(newest);
    assert_eq!(lag(&state), Some(Duration::ZERO));
    let newest = sound(20);
    let behind = newest.dts.since(sound(9).dts);
    granted.frames.push(newest);
    assert_eq!(lag(&state), Some(behind));
    player.standing.set(Standing::Suspended);
    assert_eq!(lag(&state), None, "that he gets nothing is no lag");
    player.standing.set(Standing::Granted);
    state.create(StreamRecord::new(key("cam"), NOW), &settings, NOW).unwrap();
    let publisher = state.publisher(&key("cam")).unwrap();
    state.end(&key("cam"), publisher.id);
    assert_eq!(lag(&state), None);
}
