//! WebRTC alone, with a make-believe control plane: for trying browsers against
//! it. `webrtc_dev HTTP_PORT MEDIA_PORT [WEB_ROOT]`;
//! RTMP listens on the TCP port of that number.

#![allow(clippy::expect_used, unreachable_pub, reason = "a tool for developers")]

#[path = "../tests/support/mod.rs"]
mod support;

use actix::Addr;
use actix_web::{App, HttpResponse, HttpServer, web};
use contract::session::{CloseReason, SetStanding};
use contract::{AppName, AppSettings, Clock, StreamId, StreamKey, SubscriberId, WallMs};
use session::Protocol;
use sluice_ingest::webrtc::{Config, Webrtc};
use std::sync::Arc;
use support::{Plane, SetAll};

async fn standing(plane: web::Data<Addr<Plane>>, path: web::Path<(String, String, String)>) -> HttpResponse {
    let (stream, subscriber, standing) = path.into_inner();
    let set = match standing.as_str() {
        "granted" => SetStanding::Grant,
        "suspended" => SetStanding::Suspend { until: WallMs(0) },
        _ => SetStanding::Revoke(CloseReason::Blocked),
    };
    let app = AppName::parse("live").expect("a name");
    let stream = StreamKey { app, id: StreamId::parse(&stream).expect("a name") };
    let subscriber = SubscriberId::parse(&subscriber).expect("a name");
    let confirmed = plane.send(SetAll { stream, subscriber, set }).await.unwrap_or_default();
    HttpResponse::Ok().body(confirmed.to_string())
}

async fn file(root: web::Data<String>, path: web::Path<String>) -> HttpResponse {
    let Ok(bytes) = std::fs::read(format!("{}/{path}", root.as_str())) else {
        return HttpResponse::NotFound().finish();
    };
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("html") => "text/html",
        _ => "application/octet-stream",
    };
    HttpResponse::Ok().content_type(kind).body(bytes)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_env_filter(std::env::var("RUST_LOG").unwrap_or("info".into())).init();
    let args: Vec<String> = std::env::args().collect();
    let http: u16 = args[1].parse().expect("a port");
    let udp: u16 = args[2].parse().expect("a port");
    let rtmp = sluice_ingest::rtmp::Config {
        tls: None,
        listen: ([127, 0, 0, 1], udp).into(),
        max_connections: 100,
        threads: 1,
    };
    let root = args.get(3).cloned().unwrap_or_else(|| "/work/node".to_owned());
    let (plane, admission) = Plane::start_here(AppSettings::default());
    let config = Config {
        listen: ([0, 0, 0, 0], udp).into(),
        announced: vec![],
        transcoding: transcode::Transcoding::new(2, transcode::Decoding::Here),
        proxies: Default::default(),
    };
    let webrtc = Webrtc::start(config, admission.clone(), Clock::system()).expect("a free port");
    let rtmp =
        sluice_ingest::rtmp::Rtmp::bind(rtmp, admission.clone(), Clock::system()).expect("a free port");
    actix_web::rt::spawn(Arc::new(rtmp).serve(Default::default()));
    let service = webrtc;
    HttpServer::new(move || {
        let service = service.clone();
        App::new()
            .app_data(web::Data::new(plane.clone()))
            .app_data(web::Data::new(root.clone()))
            .route("/standing/{stream}/{subscriber}/{standing}", web::get().to(standing))
            .route("/files/{path:.*}", web::get().to(file))
            .configure(move |config| service.routes(config))
    })
    .workers(1)
    .bind(("127.0.0.1", http))?
    .run()
    .await
}
