//! A store whose listings are odd, or wrong: everything is shown, or the listing fails; it never ends early and looks whole.

use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use axum::http::header::CONTENT_LENGTH;
use axum::http::response::Parts;
use bucketport::storage::{EntryKind, Error, Listed};
use bytes::Bytes;

use crate::data::body;
use crate::fixture::Fixture;
use crate::server::{Call, Edit, Fault, Faults};

const FILES: usize = 2500;
const SOON: Duration = Duration::from_secs(20);

/// A directory of several pages.
async fn run(case: impl AsyncFnOnce(&Fixture, &Faults)) {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let server = fixture.server().expect("S3");
    for number in 0..FILES {
        server.bucket().expect("flat").plant(&format!("pre/fix/d/{number:04}"), b"x");
    }
    let faults = std::sync::Arc::clone(&server.faults);
    case(&fixture, &faults).await;
    fixture.finish(Ok(())).await;
}

/// The answer with another text in it.
fn edited(mut parts: Parts, body: &Bytes, edit: impl FnOnce(String) -> String) -> Response<Body> {
    parts.headers.remove(CONTENT_LENGTH);
    let text = String::from_utf8(body.to_vec()).expect("XML");
    Response::from_parts(parts, Body::from(edit(text)))
}

/// `text` without the element `name`.
fn without(text: &str, name: &str) -> String {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("no {name} in {text}"));
    let to = text.find(&end).expect("closed") + end.len();
    format!("{}{}", &text[..from], &text[to..])
}

fn with_the_same_token(parts: Parts, body: &Bytes) -> Response<Body> {
    edited(parts, body, |text| {
        let text = without(&text, "NextContinuationToken");
        text.replace(
            "</ListBucketResult>",
            "<NextContinuationToken>pre/fix/d/0001</NextContinuationToken></ListBucketResult>",
        )
    })
}

fn cut_short(parts: Parts, body: &Bytes) -> Response<Body> {
    edited(parts, body, |text| without(&text, "NextContinuationToken"))
}

fn empty_with_a_token(parts: Parts, _body: &Bytes) -> Response<Body> {
    let tokens = format!("<NextContinuationToken>{}</NextContinuationToken>", rand::random::<u64>());
    let text = format!("<ListBucketResult><IsTruncated>true</IsTruncated>{tokens}</ListBucketResult>");
    edited(parts, &Bytes::new(), |_| text)
}

fn no_listing(parts: Parts, _body: &Bytes) -> Response<Body> {
    edited(parts, &Bytes::new(), |_| "<html>a proxy's own page".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_without_progress_fails() {
    run(async |fixture, faults| {
        let edits: [(&str, Edit); 4] = [
            ("same token", with_the_same_token),
            ("cut short", cut_short),
            ("empty pages", empty_with_a_token),
            ("no listing", no_listing),
        ];
        for (name, edit) in edits {
            faults.add(Call::List, 0, usize::MAX, Fault::Edited(edit));
            let listing = tokio::time::timeout(SOON, fixture.entries("d")).await.expect(name);
            faults.clear();
            assert!(matches!(listing, Err(Error::Store(_))), "{name}: {listing:?}");
        }
        assert_eq!(fixture.entries("d").await.expect("a directory").len(), FILES);
    })
    .await;
}

/// A token is not said to be of any use; that the same page comes again shows that it was not.
#[tokio::test]
async fn a_listing_that_begins_again_fails() {
    fn with_another_token(parts: Parts, body: &Bytes) -> Response<Body> {
        // Sorts before everything, so that the server begins again.
        edited(parts, body, |text| {
            let token = format!("<NextContinuationToken>a{}</NextContinuationToken>", rand::random::<u64>());
            let text = without(&text, "NextContinuationToken");
            text.replace("</ListBucketResult>", &format!("{token}</ListBucketResult>"))
        })
    }
    run(async |fixture, faults| {
        faults.add(Call::List, 0, usize::MAX, Fault::Edited(with_another_token));
        let listing = tokio::time::timeout(SOON, fixture.entries("d")).await.expect("in time");
        faults.clear();
        assert!(matches!(listing, Err(Error::Store(_))), "{listing:?}");
    })
    .await;
}

/// It goes round in a circle that is longer than one page.
#[tokio::test]
async fn a_listing_that_goes_round_fails() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static PAGES: AtomicUsize = AtomicUsize::new(0);
    fn of_two(parts: Parts, _body: &Bytes) -> Response<Body> {
        let page = PAGES.fetch_add(1, Ordering::Relaxed) % 2;
        let text = format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated>\
             <CommonPrefixes><Prefix>pre/fix/d/{page}/</Prefix></CommonPrefixes>\
             <NextContinuationToken>{}</NextContinuationToken></ListBucketResult>",
            rand::random::<u64>()
        );
        edited(parts, &Bytes::new(), |_| text)
    }
    run(async |fixture, faults| {
        faults.add(Call::List, 0, usize::MAX, Fault::Edited(of_two));
        let listing = tokio::time::timeout(SOON, fixture.entries("d")).await.expect("in time");
        faults.clear();
        assert!(matches!(listing, Err(Error::Store(_))), "{listing:?}");
    })
    .await;
}

/// The server gives two keys at most, however many are asked for.
#[tokio::test]
async fn short_pages_are_put_together() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let bucket = fixture.server().and_then(|server| server.bucket()).expect("flat");
    bucket.limit_pages(2);
    for number in 0..9 {
        fixture.put(&format!("d/{number}"), &body(1, 1)).await;
    }
    fixture.put("d/sub/file", &body(1, 1)).await;
    assert_eq!(fixture.entries("d").await.expect("a directory").len(), 10);
    bucket.limit_pages(1);
    // The marker comes first and is not all.
    fixture.store().make_directory(&fixture.path("e")).await.expect("new");
    fixture.put("e/z", &body(1, 1)).await;
    assert_err!(fixture.store().remove_directory(&fixture.path("e")).await, NotEmpty);
    fixture.finish(Ok(())).await;
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_left_out() {
    fn edit(parts: Parts, body: &Bytes) -> Response<Body> {
        edited(parts, body, |text| text.replacen("<LastModified>", "<LastModified>about ", 1))
    }
    run(async |fixture, faults| {
        faults.add(Call::List, 0, 1, Fault::Edited(edit));
        let Ok(Listed::Directory(mut listing)) = fixture.store().list(&fixture.path("d")).await else {
            panic!("not a directory");
        };
        let page = listing.next_page().await.expect("a page").expect("not the last");
        assert_eq!(page[0].modified, None);
        assert_eq!(page[0].kind, EntryKind::File { size: 1 });
        assert!(page[1..].iter().all(|entry| entry.modified.is_some()));
    })
    .await;
}

/// One key that has no name must not cost a request of its own.
#[tokio::test]
async fn odd_keys_cost_no_requests() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let server = fixture.server().expect("S3");
    let bucket = server.bucket().expect("flat");
    for number in 0..30 {
        bucket.plant(&format!("pre/fix/d/control\u{7f}{number}"), b"foreign");
        bucket.plant(&format!("pre/fix/d/bell\u{7}{number}"), b"foreign");
        bucket.plant(&format!("pre/fix/d/plain{number}"), b"foreign");
    }
    bucket.plant("pre/fix/d//empty", b"foreign");
    bucket.plant("/lead", b"foreign");
    let before = server.faults.count(Call::List);
    assert_eq!(fixture.entries("d").await.expect("a directory").len(), 30);
    assert_eq!(server.faults.count(Call::List) - before, 1);
    let left_out = fixture.metric("bucketport_unlisted_keys_total{store=\"landing\"}");
    assert_eq!(left_out, "61");
    fixture.finish(Ok(())).await;
}
