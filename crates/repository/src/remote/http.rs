//! The HTTP client of object stores and REST servers, and what its errors mean.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, StatusCode};

use crate::files::{Fail, FailKind};

/// How long a connection may take until it stands.
const CONNECT: Duration = Duration::from_secs(15);

/// How long sent bytes may stay without an answer from the other host's kernel.
const SILENT: Duration = Duration::from_secs(30);

/// Makes a client; it trusts the authorities of this machine, and those of a file.
pub(crate) fn client(authorities: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("dormouse/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tcp_user_timeout(SILENT)
        .tcp_keepalive(SILENT)
        .pool_idle_timeout(SILENT)
        // A place that sends elsewhere is none: credentials must not go there.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = authorities {
        let read = std::fs::read(path);
        let pem = read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let all = Certificate::from_pem_bundle(&pem)
            .map_err(|error| format!("{} has no certificates: {error}", path.display()))?;
        builder = builder.tls_certs_merge(all);
    }
    builder.build().map_err(|error| {
        let error = error.without_url();
        format!("no HTTP client can be made: {}", chain(&error))
    })
}

/// What an error without a response means.
pub(crate) fn failed(error: reqwest::Error) -> Fail {
    let error = error.without_url();
    let text = chain(&error);
    let kind = match () {
        () if is_untrusted(&text) => FailKind::Setup,
        () if error.is_builder() => FailKind::Broken,
        () => FailKind::Away,
    };
    Fail::new(kind, explained(text))
}

/// Whether a text speaks of a certificate that is not trusted.
pub(crate) fn is_untrusted(text: &str) -> bool {
    text.contains("invalid peer certificate")
}

/// A text with what to do about a certificate that is not trusted.
pub(crate) fn explained(text: String) -> String {
    if is_untrusted(&text) {
        format!("{text}: name a file with the certificate of its authority in the option ca_file")
    } else {
        text
    }
}

/// What the status of a response that is no success means.
pub(crate) fn of_status(status: StatusCode, text: &str) -> Fail {
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailKind::Denied,
        StatusCode::NOT_FOUND => FailKind::Gone,
        StatusCode::RANGE_NOT_SATISFIABLE => FailKind::Short,
        StatusCode::INSUFFICIENT_STORAGE | StatusCode::PAYLOAD_TOO_LARGE => FailKind::Full,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => FailKind::Away,
        status if status.is_server_error() => FailKind::Away,
        _ => FailKind::Broken,
    };
    let text = one_line(text);
    let said = match (text.is_empty(), kind) {
        (_, FailKind::Denied) => format!("it answered {status}"),
        (true, _) => format!("it answered {status}"),
        (false, _) => format!("it answered {status}: {text}"),
    };
    Fail::new(kind, said)
}

/// An error with its causes on one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    one_line(&text)
}

/// The beginning of a text, on one line.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
