//! One stream, any number of players, a thread each: `relay 127.0.0.1:19350`.
//! For trying the engine against real encoders and players.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use media::{Frame, TrackKind, Tracks};
use sluice_rtmp::{Engine, Event, HANDSHAKE_LEN, Status, publish_target};

#[derive(Default)]
struct Stream {
    tracks: Mutex<(u64, Tracks, Vec<Frame>)>,
    news: Condvar,
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:19350".into());
    let stream = Arc::new(Stream::default());
    for socket in TcpListener::bind(address)?.incoming() {
        let (socket, stream) = (socket?, stream.clone());
        std::thread::spawn(move || println!("closed: {:?}", serve(socket, &stream)));
    }
    Ok(())
}

fn serve(mut socket: TcpStream, stream: &Stream) -> io::Result<()> {
    let mut engine = Engine::new(&[7; HANDSHAKE_LEN]);
    let mut buffer = [0; 16384];
    let mut app = String::new();
    let (mut frames, mut keys, mut last) = (0, 0, [0, 0]);
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            println!("{frames} frames, {keys} keyframes, last video {} audio {} ms", last[0], last[1]);
            return Ok(());
        }
        engine.receive(&buffer[..count]).map_err(io::Error::other)?;
        let mut play = false;
        while let Some(event) = engine.poll_event() {
            match event {
                Event::Connect(connect) => {
                    println!("connect {} {} {}", connect.app, connect.tc_url, connect.flash_ver);
                    app = connect.app;
                    engine.accept_connect(&Status::good("NetConnection.Connect.Success", "Connected."));
                }
                Event::Publish(request) => {
                    println!("publish {:?} from {}", publish_target(&app, &request.name), request.name);
                    let status = Status::good("NetStream.Publish.Start", "Publishing.");
                    engine.accept_publish(request.id, &status).map_err(io::Error::other)?;
                }
                Event::Play(request) => {
                    println!("play {:?}", publish_target(&app, &request.name));
                    let statuses = [
                        Status::good("NetStream.Play.Reset", "r"),
                        Status::good("NetStream.Play.Start", "s"),
                    ];
                    engine.accept_play(request.id, &statuses).map_err(io::Error::other)?;
                    play = true;
                }
                Event::Tracks(tracks) => {
                    println!("{tracks:?}");
                    let mut guard = stream.tracks.lock().map_err(|_| io::ErrorKind::Other)?;
                    *guard = (guard.0 + 1, tracks, Vec::new());
                }
                Event::Frame(frame) => {
                    frames += 1;
                    keys += usize::from(frame.keyframe && frame.track == TrackKind::Video);
                    last[usize::from(frame.track == TrackKind::Audio)] = frame.pts.as_millis();
                    stream.tracks.lock().map_err(|_| io::ErrorKind::Other)?.2.push(frame);
                    stream.news.notify_all();
                }
                other => println!("{other:?}"),
            }
        }
        socket.write_all(&engine.take_output())?;
        if play {
            return send(socket, engine, stream);
        }
    }
}

fn send(mut socket: TcpStream, mut engine: Engine, stream: &Stream) -> io::Result<()> {
    let (mut version, mut at) = (0, 0);
    loop {
        let guard = stream.tracks.lock().map_err(|_| io::ErrorKind::Other)?;
        let wait = stream.news.wait_timeout(guard, Duration::from_millis(500));
        let guard = wait.map_err(|_| io::ErrorKind::Other)?.0;
        if version != guard.0 {
            (version, at) = (guard.0, 0);
            engine.send_tracks(&guard.1);
        }
        guard.2[at..].iter().for_each(|frame| engine.send_frame(frame));
        at = guard.2.len();
        drop(guard);
        socket.write_all(&engine.take_output())?;
    }
}
