//! Drivers of the end-to-end tests: the server as a process, and every real client that it
//! has to serve, each behind a few calls.
//!
//! Nothing here sleeps to let things happen: [`wait::eventually`] polls a condition until a
//! deadline that is far longer than the condition needs. Every process is killed with its
//! group when its driver is dropped, so that a failed test leaves nothing behind.

pub mod browser;
pub mod capture;
pub mod clip;
pub mod ffmpeg;
pub mod hls;
pub mod http;
pub mod machine;
pub mod obs;
pub mod peer;
pub mod picture;
pub mod proc;
pub mod proxy;
pub mod rest;
pub mod rtmp_client;
pub mod rtmp_wire;
pub mod seen;
pub mod server;
pub mod throwaway;
pub mod tls;
pub mod tour;
pub mod wait;
pub mod websocket;
