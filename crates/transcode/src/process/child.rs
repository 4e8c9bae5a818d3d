//! The process that decodes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::wire::{self, Malformed, Pushed, Reply, Request};
use crate::still;
use crate::video::VideoTranscoder;

/// Address space beside the memory that can be written: the program itself, and what
/// an allocator reserves for each of a few threads.
const RESERVED: u64 = 1 << 30;

/// Answers requests from standard input on standard output until there are no more.
/// Before that it limits itself: to so many bytes of memory that can be written, no
/// further descriptors, no files and no core dumps. A kernel that refuses one of
/// these limits is an error.
pub fn run(memory: u64) -> io::Result<()> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    limit(memory)?;
    let (say, said) = sync_channel(1);
    std::thread::Builder::new().name("requests".to_owned()).spawn(move || read(input, &say))?;
    serve(&said, &mut output)
}

fn limit(memory: u64) -> io::Result<()> {
    // When the machine has no memory left, a picture goes before the server does. Not
    // every kernel has it, and it is only advice.
    let _unheard = std::fs::write("/proc/self/oom_score_adj", "500");
    let limits = [
        (Resource::Data, memory),
        (Resource::As, memory.saturating_add(RESERVED)),
        (Resource::Nofile, 0),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// On a thread of its own, so that the process ends with its input even while it
/// decodes.
fn read(mut input: File, say: &SyncSender<Request>) {
    while let Ok(request) = next(&mut input) {
        if say.send(request).is_err() {
            return;
        }
    }
    std::process::exit(0)
}

fn next(input: &mut impl Read) -> io::Result<Request> {
    let malformed = |Malformed| io::Error::from(ErrorKind::InvalidData);
    let mut head = [0; 4];
    input.read_exact(&mut head)?;
    let mut body = vec![0; wire::length(head).map_err(malformed)?];
    input.read_exact(&mut body)?;
    Request::decode(body.into()).map_err(malformed)
}

fn serve(said: &Receiver<Request>, output: &mut impl Write) -> io::Result<()> {
    let mut desk = Desk::default();
    while let Ok(request) = said.recv() {
        output.write_all(&desk.answer(request).encode())?;
    }
    Ok(())
}

/// What is decoded here: one stream.
#[derive(Default)]
pub(super) struct Desk {
    transcoder: Option<VideoTranscoder>,
}

impl Desk {
    pub(super) fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Open { track, settings } => match VideoTranscoder::new(&track, settings) {
                Ok(transcoder) => Reply::Opened(self.transcoder.insert(transcoder).track().clone()),
                Err(cause) => Reply::Unsupported(cause),
            },
            Request::Push { frame, effort, keyframe, lost } => self.work(|transcoder| {
                if lost {
                    transcoder.lost();
                }
                if keyframe {
                    transcoder.force_keyframe();
                }
                transcoder.push(&frame, effort)
            }),
            Request::Flush => self.work(VideoTranscoder::flush),
            Request::Still { track, keyframe, width } => {
                match still::make(&track, &keyframe, width as usize) {
                    Ok(jpeg) => Reply::Still(jpeg.into()),
                    Err(error) => Reply::NoStill(error),
                }
            }
        }
    }

    fn work(&mut self, work: impl FnOnce(&mut VideoTranscoder) -> Vec<media::Frame>) -> Reply {
        let Some(transcoder) = &mut self.transcoder else { return Reply::Pushed(Pushed::default()) };
        let before = transcoder.track().clone();
        let frames = work(transcoder);
        let track = Some(transcoder.track().clone()).filter(|track| *track != before);
        Reply::Pushed(Pushed {
            frames,
            track,
            corrupt: transcoder.corrupt(),
            skipped: transcoder.skipped(),
            gives_up: transcoder.gives_up(),
        })
    }
}
