use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::*;

/// A place that does what it is told to at each attempt; when that ends, it never answers.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<Vec<Result<Bytes, Fail>>>,
    attempts: AtomicU32,
}

impl Scripted {
    fn new(answers: &[Result<&'static str, FailKind>]) -> Remote<Self> {
        let answers = answers.iter().rev().map(|answer| match answer {
            Ok(text) => Ok(Bytes::from(*text)),
            Err(kind) => Err(Fail::new(*kind, "no")),
        });
        let service = Self {
            answers: Mutex::new(answers.collect()),
            attempts: AtomicU32::new(0),
        };
        Remote::new(service, Duration::from_millis(1))
    }

    async fn next(&self) -> Result<Bytes, Fail> {
        self.attempts.fetch_add(1, Relaxed);
        let answer = self.answers.lock().unwrap().pop();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Service for Scripted {
    async fn create(&self) -> Result<(), Fail> {
        self.next().await.map(drop)
    }
    async fn length(&self, _path: &str) -> Result<Option<u64>, Fail> {
        self.next().await.map(|bytes| Some(bytes.len() as u64))
    }
    async fn list(&self, _folder: &str) -> Result<Vec<Entry>, Fail> {
        self.next().await.map(|_| Vec::new())
    }
    async fn read(&self, _path: &str, _part: Option<Part>) -> Result<Bytes, Fail> {
        self.next().await
    }
    async fn write(&self, _path: &str, _content: &[Bytes]) -> Result<(), Fail> {
        self.next().await.map(drop)
    }
    async fn remove(&self, _path: &str) -> Result<(), Fail> {
        self.next().await.map(drop)
    }
}

fn attempts(remote: &Remote<Scripted>) -> u32 {
    remote.service.attempts.load(Relaxed)
}

#[test]
fn what_may_pass_is_tried_again_and_what_does_not_is_not() {
    let remote = Scripted::new(&[Err(FailKind::Away), Ok("yes")]);
    let length = remote.length("x", &Cancel::default());
    assert_eq!(length.unwrap(), Some(3));
    assert_eq!(attempts(&remote), 2);
    for kind in [
        FailKind::Gone,
        FailKind::Denied,
        FailKind::Full,
        FailKind::Setup,
    ] {
        let remote = Scripted::new(&[Err(kind), Ok("yes")]);
        let failed = remote.remove("x", &Cancel::default()).unwrap_err();
        assert_eq!((failed.kind, attempts(&remote)), (kind, 1));
    }
}

#[test]
fn a_place_that_never_answers_ends_in_an_error() {
    let remote = Scripted::new(&[]);
    let failed = remote.create(&Cancel::default()).unwrap_err();
    assert_eq!(failed.kind, FailKind::Away);
    assert!(failed.text.contains("no answer"), "{failed}");
    assert_eq!(attempts(&remote), LATE);
}

#[test]
fn an_operation_that_waits_is_cancelled() {
    let mut remote = Scripted::new(&[]);
    remote.timeout = Duration::from_secs(3600);
    let cancel = Cancel::default();
    let failed = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| remote.write("x", &[], &cancel));
        while attempts(&remote) == 0 {
            std::thread::yield_now();
        }
        cancel.cancel();
        waiting.join().unwrap().unwrap_err()
    });
    assert_eq!(failed.kind, FailKind::Cancelled);
}

#[test]
fn less_than_was_asked_for_is_an_error() {
    let part = Part {
        offset: 0,
        length: 5,
    };
    let remote = Scripted::new(&[Ok("1234"), Ok("12345")]);
    let short = remote
        .read("x", Some(part), &Cancel::default())
        .unwrap_err();
    assert_eq!(short.kind, FailKind::Short);
    let whole = remote.read("x", Some(part), &Cancel::default());
    assert_eq!(whole.unwrap(), "12345");
}
