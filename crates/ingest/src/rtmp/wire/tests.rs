//! Fences over a real socket, whose peer takes nothing.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use media::{AudioCodec, AudioTrack, MediaTime, TrackKind};
use rtmp::{Client, ClientEvent, Purpose};
use tokio::net::{TcpListener, TcpSocket};

use super::super::{dialect, tls};
use super::*;

async fn wire() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let socket = listener.accept().await.unwrap().0;
    (Wire::new(socket, None, &[7; rtmp::HANDSHAKE_LEN]).unwrap(), peer)
}

/// A wire with TLS whose peer has shaken hands and takes nothing more.
async fn sealed_wire() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Little, so that ours is full soon.
    let narrow = TcpSocket::new_v4().unwrap();
    narrow.set_recv_buffer_size(4096).unwrap();
    let peer = narrow.connect(listener.local_addr().unwrap()).await.unwrap();
    let socket = listener.accept().await.unwrap().0;
    let (server, mut client) = tls::tests::pair();
    let mut wire = Wire::new(socket, Some(server), &[7; rtmp::HANDSHAKE_LEN]).unwrap();
    while client.is_handshaking() || client.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        peer.writable().await.unwrap();
        assert_eq!(peer.try_write(&bytes).unwrap(), bytes.len());
        wire.pump().await.unwrap();
        wire.write().unwrap();
        if client.is_handshaking() {
            peer.readable().await.unwrap();
            let mut answer = vec![0; 1 << 16];
            let read = peer.try_read(&mut answer).unwrap();
            client.read_tls(&mut &answer[..read]).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    (wire, peer)
}

#[tokio::test]
async fn what_is_sealed_and_cannot_leave_is_held_or_breaks_the_connection() {
    for begun in [Begun::Hold, Begun::Break] {
        let (mut wire, _peer) = sealed_wire().await;
        while wire.socket.try_write(&[0; 4096]).is_ok() {}
        // A whole message: the queue knows nothing of it any more.
        wire.tls.as_mut().unwrap().seal(&[IoSlice::new(&[7; 100])]).unwrap();
        wire.push(Carries::Media, Outgoing::whole(Bytes::from_static(&[7; 100])));
        // Either way: the peer takes nothing, so the kernel cannot be drained.
        assert_eq!(wire.silence(begun).await, Drained::Reset);
        assert!(wire.outbox.is_empty(), "media is still queued");
        assert!(wire.held && wire.has_begun(), "the record that was begun waits");
    }
}

#[tokio::test]
async fn sealed_bytes_wait_while_a_peer_is_held() {
    let (mut wire, _peer) = sealed_wire().await;
    wire.push(Carries::Media, Outgoing::whole(vec![7; 8 << 20].into()));
    wire.write().unwrap();
    wire.held = true;
    let queued = wire.queued();
    assert_eq!((wire.write().unwrap(), wire.queued(), wire.wants_write()), (0, queued, false));
    wire.release();
    assert!(wire.wants_write());
}

#[tokio::test]
async fn a_held_peer_that_asks_for_more_answers_than_can_wait_is_stalled() {
    let (mut wire, _peer) = wire().await;
    wire.held = true;
    wire.push(Carries::Control, Outgoing::whole(vec![0; UNREAD].into()));
    assert!(matches!(wire.pump().await, Err(WireError::Stalled)));
}

#[tokio::test]
async fn a_message_that_a_fence_cannot_finish_waits_for_the_release() {
    let (mut wire, _peer) = wire().await;
    let picture = Bytes::from(vec![7; 8 << 20]);
    wire.push(Carries::Media, Outgoing::whole(picture.clone()));
    wire.push(Carries::Media, Outgoing::whole(picture));
    wire.write().unwrap();
    assert!(wire.outbox.has_begun_media());
    wire.held = true;
    let queued = wire.queued();
    assert_eq!((wire.write().unwrap(), wire.queued()), (0, queued));
    wire.release();
    assert!(wire.wants_write());
}

#[tokio::test]
async fn a_peer_is_stuck_when_no_message_goes_from_one_look_to_the_next() {
    let (mut wire, _peer) = wire().await;
    assert_eq!([wire.is_stuck(), wire.is_stuck()], [false; 2], "there is nothing to take");
    wire.push(Carries::Media, Outgoing::whole(vec![7; 8 << 20].into()));
    wire.write().unwrap();
    assert_eq!([wire.is_stuck(), wire.is_stuck()], [false, true]);
    wire.outbox.advance(wire.outbox.len());
    wire.push(Carries::Media, Outgoing::whole(vec![7; 100].into()));
    assert!(!wire.is_stuck(), "one went");
}

/// A publisher that has sent so many blocks of sound, all before this returns.
async fn published(blocks: i64) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let mut client = Client::new(Purpose::Publish, "live", "s", &[1; rtmp::HANDSHAKE_LEN]);
        let mut bytes = [0; 4096];
        let publishes =
            |event| matches!(event, ClientEvent::Status { code, .. } if code == "NetStream.Publish.Start");
        while !std::iter::from_fn(|| client.poll_event()).any(publishes) {
            socket.write_all(&client.take_output()).unwrap();
            let count = socket.read(&mut bytes).unwrap();
            client.receive(&bytes[..count]).unwrap();
        }
        let config = Bytes::from_static(&[0x12, 0x10]);
        let audio = AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 44_100, channels: 2 };
        client.send_tracks(&Tracks { video: None, audio: Some(audio) });
        let data = Bytes::from_static(b"sound");
        for ms in (0..blocks).map(MediaTime::from_millis) {
            let data = data.clone();
            client.send_frame(&Frame { track: TrackKind::Audio, pts: ms, dts: ms, keyframe: true, data });
        }
        socket.write_all(&client.take_output()).unwrap();
        socket
    });
    let socket = listener.accept().await.unwrap().0;
    let mut wire = Wire::new(socket, None, &[7; rtmp::HANDSHAKE_LEN]).unwrap();
    loop {
        match wire.event().await.unwrap() {
            Event::Connect(_) => wire.engine.accept_connect(&dialect::CONNECTED),
            Event::Publish(request) => {
                wire.engine.accept_publish(request.id, &dialect::PUBLISH_START).unwrap();
                break;
            }
            _ => {}
        }
    }
    wire.write().unwrap();
    peer.join().unwrap();
    wire
}

#[tokio::test]
async fn a_peer_with_much_to_say_gives_others_a_turn() {
    let blocks = 3000;
    let mut wire = published(blocks).await;
    let had_turn = Arc::new(AtomicBool::new(false));
    let other = had_turn.clone();
    for n in 0..blocks {
        while !matches!(wire.event().await.unwrap(), Event::Frame(_)) {}
        if n == 0 {
            let other = other.clone();
            tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
        }
    }
    assert!(had_turn.load(Ordering::Relaxed));
}
