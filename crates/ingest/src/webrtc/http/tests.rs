use super::*;
use futures_util::{FutureExt, stream};

const LONG: Duration = Duration::from_secs(3600);

fn chunks(texts: &[&'static str]) -> impl Stream<Item = Result<web::Bytes, ()>> + Unpin {
    stream::iter(texts.iter().map(|text| Ok(web::Bytes::from_static(text.as_bytes()))).collect::<Vec<_>>())
}

#[actix_rt::test]
async fn a_description_that_does_not_come_in_time_is_given_up() {
    let stalls = chunks(&["v=0\r\n"]).chain(stream::pending());
    let read = description(stalls, Duration::ZERO).await;
    assert!(matches!(read, Err(Refusal::Slow)));
    assert_eq!(Refusal::Slow.status(), StatusCode::REQUEST_TIMEOUT);
}

#[actix_rt::test]
async fn a_description_in_pieces_is_put_together_and_an_endless_one_is_not_kept() {
    let whole = description(chunks(&["v=", "0\r\n"]), LONG).await;
    assert_eq!(whole.ok().as_deref(), Some("v=0\r\n"));
    // Never ends, and is answered at once all the same.
    let endless = stream::repeat_with(|| Ok::<_, ()>(web::Bytes::from_static(&[b'v'; 4096])));
    let refused = description(endless, LONG).now_or_never();
    assert!(matches!(refused, Some(Err(Refusal::Sdp(SdpError::TooLarge)))));
    let broken = description(stream::iter([Err(())]), LONG).await;
    assert!(matches!(broken, Err(Refusal::Sdp(SdpError::Malformed))));
}
