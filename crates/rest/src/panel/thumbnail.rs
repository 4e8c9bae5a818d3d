//! A stream's newest key frame as a small picture.
//!
//! Made only when somebody asks, one at a time, and kept for [`FRESH`]. Whoever is
//! logged in sees it: he may see who publishes and stop him, and a thumbnail gives
//! nothing to anybody else, whatever codes the stream needs. It shows nothing of a
//! publisher who was silenced: the registry is asked each time, and what was made of
//! another publish is never shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use contract::StreamKey;
use contract::registry::{GetLive, Live};
use media::{EndReason, Event, Frame, VideoTrack};
use tokio::sync::Semaphore;

use super::streams::key;
use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::gate::{Leave, Streams};
use crate::path::{OfStream, read};

/// How old a picture may be.
const FRESH: Duration = Duration::from_secs(5);

/// Width in pixels, and half of the largest height.
const WIDTH: u32 = 320;

/// Requests that wait for their picture. A page shows fifty.
const WAITING: usize = 128;

/// Pictures that are kept, of some 10 KB each; the oldest goes first.
const KEPT: usize = 256;

type Answered = Result<HttpResponse, Refused>;

/// Adds the route.
pub(super) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/streams/{app}/{id}/thumbnail").route(read().to(thumbnail)));
}

/// Pictures of streams, and the one place where they are made.
pub(crate) struct Stills {
    kept: Mutex<HashMap<StreamKey, Kept>>,
    waiting: Semaphore,
    making: Arc<Semaphore>,
}

impl Default for Stills {
    fn default() -> Self {
        Self { kept: Mutex::default(), waiting: Semaphore::new(WAITING), making: Arc::new(Semaphore::new(1)) }
    }
}

#[derive(Clone)]
struct Kept {
    /// Of which publish.
    generation: u64,
    since: Instant,
    /// `None`: there is no picture to be had of it.
    jpeg: Option<Bytes>,
}

impl Stills {
    fn table(&self) -> MutexGuard<'_, HashMap<StreamKey, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of this publish, if it is fresh.
    fn find(&self, stream: &StreamKey, live: &Live, now: Instant) -> Option<Kept> {
        let fresh = |kept: &&Kept| {
            kept.generation == live.generation && now.saturating_duration_since(kept.since) < FRESH
        };
        self.table().get(stream).filter(fresh).cloned()
    }

    fn keep(&self, stream: StreamKey, kept: Kept) {
        let mut table = self.table();
        table.retain(|_, old| kept.since.saturating_duration_since(old.since) < FRESH);
        if table.len() >= KEPT
            && let Some(oldest) = table.iter().min_by_key(|(_, k)| k.since).map(|(stream, _)| stream.clone())
        {
            table.remove(&oldest);
        }
        table.insert(stream, kept);
    }
}

async fn thumbnail(shared: Data<Shared>, _leave: Leave<Streams>, path: Path<OfStream>) -> Answered {
    let stream = key(&path)?;
    let live = shared.ask(&shared.links.get_live, GetLive { stream: stream.clone() }).await?;
    let live = live.ok_or(Refused::NotFound)?;
    let kept = match shared.stills.find(&stream, &live, shared.clock.now().mono) {
        Some(kept) => kept,
        None => made(&shared, stream, &live).await?,
    };
    let silenced = live.frames.ended() == Some(EndReason::Silenced);
    let jpeg = kept.jpeg.filter(|_| !silenced).ok_or(Refused::NotFound)?;
    Ok(dialect::respond().content_type("image/jpeg").body(jpeg))
}

/// Waits for the one place, and makes the picture unless somebody else just did.
async fn made(shared: &Shared, stream: StreamKey, live: &Arc<Live>) -> Result<Kept, Refused> {
    let stills = &shared.stills;
    let _waits = stills.waiting.try_acquire().map_err(|_| Refused::Crowded)?;
    let makes = stills.making.clone().acquire_owned().await.map_err(|_| Refused::Unavailable)?;
    let now = shared.clock.now().mono;
    if let Some(kept) = stills.find(&stream, live, now) {
        return Ok(kept);
    }
    // One may come soon, so that there is none yet is not kept.
    let (track, frame) = newest(live).ok_or(Refused::NotFound)?;
    let decoding = shared.options.decoding.clone();
    let jpeg = web::block(move || {
        // Whoever asked may go away; the place is taken until the work is done.
        let _makes = makes;
        transcode::still(&decoding, &track, &frame, WIDTH)
    });
    let jpeg = jpeg.await.map_err(|_| Refused::Unavailable)?;
    let jpeg = jpeg.inspect_err(|error| tracing::debug!(%stream, %error, "no thumbnail")).ok();
    let kept = Kept { generation: live.generation, since: now, jpeg: jpeg.map(Bytes::from) };
    stills.keep(stream, kept.clone());
    Ok(kept)
}

/// The newest key frame that is held, with what a decoder must know. Readers begin
/// with one.
fn newest(live: &Live) -> Option<(VideoTrack, Arc<Frame>)> {
    let mut reader = live.frames.reader();
    let mut track = None;
    loop {
        match reader.try_next()? {
            Event::Tracks(tracks) => track = Some(tracks.video.clone()?),
            Event::Item(frame) if frame.keyframe && frame.track == media::TrackKind::Video => {
                return Some((track?, frame));
            }
            Event::Item(_) | Event::Gap(_) => {}
            Event::Ended(_) => return None,
        }
    }
}
