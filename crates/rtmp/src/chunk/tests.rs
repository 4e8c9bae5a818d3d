//! Both directions of the chunk layer against each other, and against hostile bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{ChunkError, DEFAULT_CHUNK, Head, Message, Reader, Writer};
use crate::limits::{MAX_MESSAGE, PUBLISHER_PARTIALS, STRANGER_PARTIALS};

fn read_all(reader: &mut Reader, mut bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut bytes)? {
        messages.push(message);
    }
    assert!(bytes.is_empty());
    Ok(messages)
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    read_all(&mut Reader::new(), bytes)
}

fn full(chunk_stream: u8, time: u32, length: u32, kind: u8) -> Vec<u8> {
    [&[chunk_stream][..], &time.to_be_bytes()[1..], &length.to_be_bytes()[1..], &[kind, 1, 0, 0, 0]].concat()
}

fn times(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|message| message.timestamp).collect()
}

#[test]
fn a_message_that_another_interrupts_arrives_whole() {
    let mut bytes = full(6, 10, 200, 9);
    bytes.extend([1; 128]);
    bytes.extend(full(4, 12, 3, 8));
    bytes.extend([7; 3]);
    bytes.push(0xc6);
    bytes.extend([2; 72]);
    let messages = read(&bytes).unwrap();
    assert_eq!(messages[0].payload, Bytes::from_static(&[7; 3]));
    assert_eq!(messages[1].payload, Bytes::from([[1; 128].to_vec(), [2; 72].to_vec()].concat()));
    assert_eq!(times(&messages), [12, 10]);
}

#[test]
fn short_headers_take_the_rest_from_the_last() {
    let mut bytes = full(4, 1000, 2, 8);
    bytes.extend(*b"aa");
    bytes.extend(*b"\x44\0\0\x14\0\0\x03\x08bbb"); // same stream, +20, length 3
    bytes.extend(*b"\x84\0\0\x15ccc"); // +21
    bytes.extend(*b"\xc4ddd"); // +21 again
    let messages = read(&bytes).unwrap();
    assert_eq!(times(&messages), [1000, 1020, 1041, 1062]);
    assert_eq!(
        messages[3],
        Message { kind: 8, stream: 1, timestamp: 1062, payload: Bytes::from_static(b"ddd") }
    );
}

#[test]
fn chunk_streams_of_two_and_three_bytes_are_read() {
    let fields = &full(0, 5, 1, 8)[1..];
    let bytes = [&[0, 10][..], fields, b"a", &[1, 1, 2], fields, b"b"].concat();
    assert_eq!(read(&bytes).unwrap().len(), 2);
}

/// 300 bytes at a time past 24 bits; `repeat` says what the second and third chunk carry.
fn extended(repeat: &[u8]) -> Vec<u8> {
    let mut bytes = full(6, 0xff_ffff, 300, 9);
    bytes.extend(0x0102_0304u32.to_be_bytes());
    for length in [128, 128, 44] {
        bytes.extend(vec![9; length]);
        if length == 128 {
            bytes.push(0xc6);
            bytes.extend(repeat);
        }
    }
    bytes.extend(full(4, 7, 1, 8));
    bytes.push(1);
    bytes
}

#[test]
fn an_extended_timestamp_may_be_repeated_or_not() {
    for repeat in [&0x0102_0304u32.to_be_bytes()[..], &[]] {
        let messages = read(&extended(repeat)).unwrap();
        assert_eq!(times(&messages), [0x0102_0304, 7]);
        assert_eq!(messages[0].payload, Bytes::from(vec![9; 300]));
    }
}

#[test]
fn a_last_chunk_shorter_than_a_timestamp_gives_back_what_is_not_its() {
    let mut bytes = full(6, 0xff_ffff, 130, 9);
    bytes.extend(0x0102_0304u32.to_be_bytes());
    bytes.extend([9; 128]);
    bytes.extend([0xc6, 9, 9]); // not repeated; two bytes end the message
    bytes.extend(full(4, 7, 1, 8));
    bytes.push(1);
    let messages = read(&bytes).unwrap();
    assert_eq!(messages[0].payload, Bytes::from(vec![9; 130]));
    assert_eq!(messages[1].timestamp, 7);
}

#[test]
fn a_peer_that_does_not_repeat_is_believed_from_then_on() {
    let mut bytes = extended(&[]);
    bytes.push(0xc6); // a message like the last, its timestamp not repeated either
    bytes.extend([9; 128]);
    bytes.push(0xc6);
    bytes.extend([9; 128]);
    bytes.push(0xc6);
    bytes.extend([9; 44]);
    let messages = read(&bytes).unwrap();
    assert_eq!(messages[2].payload, Bytes::from(vec![9; 300]));
}

#[test]
fn an_extended_delta_counts_on() {
    let mut bytes = full(4, 1, 1, 8);
    bytes.push(0);
    bytes.extend(*b"\x84\xff\xff\xff\x01\0\0\0a");
    bytes.extend(*b"\xc4\x01\0\0\0b");
    assert_eq!(times(&read(&bytes).unwrap()), [1, 0x0100_0001, 0x0200_0001]);
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut reader = Reader::new();
    let begun = [full(6, 0, 200, 9), vec![1; 128]].concat();
    assert_eq!(read_all(&mut reader, &begun).unwrap(), []);
    reader.abort(6);
    let next = [full(6, 5, 1, 9), vec![3]].concat();
    assert_eq!(read_all(&mut reader, &next).unwrap()[0].payload, Bytes::from_static(&[3]));
    assert_eq!(reader.held, 0);
}

#[test]
fn nonsense_headers_are_refused() {
    assert_eq!(read(&[0xc5]), Err(ChunkError::NoHeader(5)));
    assert_eq!(read(&[0x85, 0, 0, 0]), Err(ChunkError::NoHeader(5)));
    let overlap = [full(6, 0, 200, 9), vec![1; 128], full(6, 0, 200, 9)].concat();
    assert_eq!(read(&overlap), Err(ChunkError::Overlap(6)));
    let many: Vec<u8> = (0..65u8).flat_map(|id| [&[0, id][..], &full(0, 0, 0, 8)[1..]].concat()).collect();
    assert_eq!(read(&many), Err(ChunkError::TooManyStreams));
    for size in [0, 0x8000_0000] {
        assert_eq!(Reader::new().set_chunk_size(size), Err(ChunkError::ChunkSize(size)));
    }
}

#[test]
fn a_chunk_of_13_megabytes_for_a_message_of_16_is_refused_before_it_is_held() {
    let mut reader = Reader::new();
    reader.allow(PUBLISHER_PARTIALS);
    reader.set_chunk_size(13 << 20).unwrap();
    let header = full(6, 0, (16 << 20) - 1, 9);
    assert_eq!(read_all(&mut reader, &header), Err(ChunkError::MessageTooLong((16 << 20) - 1)));
}

#[test]
fn a_message_of_exactly_the_cap_is_taken() {
    let mut reader = Reader::new();
    reader.allow(PUBLISHER_PARTIALS);
    reader.set_chunk_size(i32::MAX as u32).unwrap();
    let bytes = [full(6, 0, MAX_MESSAGE as u32, 9), vec![1; MAX_MESSAGE]].concat();
    assert_eq!(read_all(&mut reader, &bytes).unwrap()[0].payload.len(), MAX_MESSAGE);
    assert!(read_all(&mut reader, &full(6, 0, MAX_MESSAGE as u32 + 1, 9)).is_err());
}

#[test]
fn what_is_announced_costs_nothing_until_it_arrives() {
    let mut reader = Reader::new();
    for id in 2..60 {
        let begun = [full(id, 0, MAX_MESSAGE as u32, 9), vec![1; 128]].concat();
        read_all(&mut reader, &begun).unwrap();
    }
    assert!(reader.capacity() <= 2 * 58 * 128, "{}", reader.capacity());
}

#[test]
fn a_stranger_holds_no_more_than_his_allowance() {
    let mut reader = Reader::new();
    reader.set_chunk_size(1 << 20).unwrap();
    let bytes = [full(6, 0, 1 << 20, 9), vec![1; STRANGER_PARTIALS]].concat();
    read_all(&mut reader, &bytes).unwrap();
    assert!(reader.capacity() <= 2 * STRANGER_PARTIALS);
    assert_eq!(read_all(&mut reader, &[1]), Err(ChunkError::PartialsTooLarge));
}

fn any_message() -> impl Strategy<Value = (Head, Vec<u8>)> {
    let time = prop_oneof![0..0x0100_0010u32, any::<u32>()];
    (2u8..8, any::<u8>(), any::<u32>(), time, prop::collection::vec(any::<u8>(), 0..600)).prop_map(
        |(chunk_stream, kind, stream, timestamp, payload)| {
            (Head { chunk_stream, kind, stream, timestamp }, payload)
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_split(
        messages in prop::collection::vec(any_message(), 1..6), cuts in prop::collection::vec(1usize..300, 1..8)
    ) {
        let mut out = BytesMut::new();
        for (head, payload) in &messages {
            let (prefix, body) = payload.split_at(payload.len() / 3);
            Writer::with_chunk_size(DEFAULT_CHUNK).write(&mut out, head, prefix, body);
        }
        let mut reader = Reader::new();
        let mut read = Vec::new();
        let (mut rest, mut cuts) = (&out[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            read.extend(read_all(&mut reader, now).unwrap());
            rest = later;
        }
        let expected: Vec<_> = messages.into_iter().map(|(head, payload)| Message {
            kind: head.kind, stream: head.stream, timestamp: head.timestamp, payload: payload.into(),
        }).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_pile_up(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut reader = Reader::new();
        let _ = read_all_lossy(&mut reader, &bytes);
        prop_assert!(reader.capacity() <= 2 * bytes.len());
    }
}

fn read_all_lossy(reader: &mut Reader, mut bytes: &[u8]) -> Result<(), ChunkError> {
    while reader.read(&mut bytes)?.is_some() {}
    Ok(())
}
