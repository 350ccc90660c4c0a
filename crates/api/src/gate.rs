//! The gate in front of all handlers: who is it, may they do this, and is the request small and complete.
//!
//! Order: the caller's token or local user id; the verb of the route; the database that it names. Only then the
//! body is read. Every request passes here, also on a connection whose earlier requests did.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dormouse_control::token::Unfit;
use dormouse_control::{Admitted, Plane, Principal, Refused, Role};
use dormouse_types::DatabaseName;

use crate::access::{Decision, Grant, Rule, Verb, decide, rule};
use crate::bucket::Source;
use crate::context::Context;
use crate::error::{Answer, Failure};
use crate::routes::MAX_BODY;

/// Deadline for the body of a request.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Longest header with a token.
const AUTHORIZATION_MOST: usize = 200;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A local user on the Unix socket, by the kernel's word.
    Local(u32),
    /// A client over TLS.
    Remote(IpAddr),
}

impl Peer {
    fn source(self) -> Source {
        match self {
            Self::Local(uid) => Source::Uid(uid),
            Self::Remote(address) => Source::of(address),
        }
    }
}

/// Whoever sent a request that passed the gate.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    principal: Principal,
    grant: Grant,
    admitted: Option<Admitted>,
    /// The only database that the answer may be about.
    pub(crate) only: Option<DatabaseName>,
}

impl Caller {
    /// The plane, for orders of this caller.
    pub(crate) fn plane(&self, context: &Context) -> Plane {
        context.plane.acting_for(self.principal.clone())
    }

    /// The token, for a response that lasts.
    pub(crate) fn token(&self) -> Option<Admitted> {
        self.admitted.clone()
    }

    /// Refuses what the caller may not do to this database.
    pub(crate) fn may(&self, verb: Verb, database: Option<&DatabaseName>) -> Answer<()> {
        allowed(decide(&self.grant, verb, database), verb).map(drop)
    }
}

/// Lets a request pass to its handler, with its [`Caller`].
pub(crate) async fn pass(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&context, request).await {
        Ok(request) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    // some responses have a secret, and none is worth keeping
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

async fn admit(context: &Context, request: Request) -> Answer<Request> {
    let (mut parts, body) = request.into_parts();
    let mut caller = authenticate(context, &parts).await?;
    let path = parts.extensions.get::<MatchedPath>();
    if let Some(path) = path.map(|path| path.as_str().to_owned()) {
        let verb = match rule(parts.method.as_str(), &path) {
            Rule::Does(verb) => verb,
            Rule::NoMethod => return Err(Failure::no_method()),
            Rule::Missing => {
                tracing::error!(path, "a route without a rule of access");
                return Err(Failure::internal("nobody may use this resource"));
            }
        };
        let params = RawPathParams::from_request_parts(&mut parts, &()).await;
        let params = params.map_err(|e| Failure::invalid(e.body_text()))?;
        let named = params.iter().find(|(key, _)| *key == "name");
        let named = named
            .map(|(_, name)| crate::routes::parse(name))
            .transpose()?;
        caller.only = allowed(decide(&caller.grant, verb, named.as_ref()), verb)?;
    }
    parts.extensions.insert(caller);
    let body = whole(&parts.headers, body).await?;
    Ok(Request::from_parts(parts, body))
}

/// The database to which the answer is restricted; or the refusal.
fn allowed(decision: Decision, verb: Verb) -> Answer<Option<DatabaseName>> {
    match decision {
        Decision::Allowed => Ok(None),
        Decision::Only(name) => Ok(Some(name)),
        // the same answer as if there were no such database
        Decision::Hidden(name) => Err(dormouse_control::Error::NotFound(name).into()),
        Decision::Denied(role) => Err(Failure::denied(role, verb)),
    }
}

async fn authenticate(context: &Context, request: &Parts) -> Answer<Caller> {
    let Some(peer) = request.extensions.get::<Peer>().copied() else {
        return Err(Failure::internal("the caller of this request is not known"));
    };
    match (bearer(&request.headers)?, peer) {
        // a token decides, also for root: it may be given to try what it allows
        (Some(token), peer) => with_token(context, token, peer).await,
        (None, Peer::Local(uid)) if uid == 0 || uid == context.own_uid => Ok(Caller {
            principal: Principal::Local { uid },
            grant: Grant {
                role: Role::Admin,
                database: None,
            },
            admitted: None,
            only: None,
        }),
        (None, _) => Err(Failure::no_token()),
    }
}

async fn with_token(context: &Context, token: &str, peer: Peer) -> Answer<Caller> {
    let source = peer.source();
    if let Some(wait) = context.failed_tokens.wait(source, Instant::now()) {
        return Err(Failure::too_many_tokens(wait));
    }
    let unfit = match context.plane.tokens().admit(token).await {
        Ok(admitted) => {
            return Ok(Caller {
                principal: Principal::Token {
                    name: admitted.name.clone(),
                    id: admitted.id.clone(),
                },
                grant: Grant {
                    role: admitted.role,
                    database: admitted.database.clone(),
                },
                admitted: Some(admitted),
                only: None,
            });
        }
        Err(Refused::Unread(error)) => return Err(error.into()),
        Err(Refused::Unfit(unfit)) => unfit,
    };
    tracing::debug!(?peer, ?unfit, "a token was refused");
    if context.failed_tokens.failed(source, Instant::now()) {
        tracing::warn!(
            ?peer,
            "too many invalid tokens: further ones are refused for a while"
        );
    }
    Err(match unfit {
        Unfit::Unknown => Failure::bad_token("the token is not valid"),
        Unfit::Expired => Failure::bad_token("the token has expired"),
    })
}

/// The token in the request's header, if there is one.
fn bearer(headers: &HeaderMap) -> Answer<Option<&str>> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let malformed = || Failure::bad_token("the header Authorization is not 'Bearer TOKEN'");
    if all.next().is_some() || value.len() > AUTHORIZATION_MOST {
        return Err(malformed());
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed());
    }
    Ok(Some(token.trim_matches(' ')))
}

/// The body, complete and within its limit.
async fn whole(headers: &HeaderMap, body: Body) -> Answer<Body> {
    let said = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let said = said.and_then(|text| text.parse::<u64>().ok());
    if said.is_some_and(|said| said > MAX_BODY as u64) {
        return Err(Failure::too_large(MAX_BODY));
    }
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(Body::from(bytes)),
        Ok(Err(error)) => Err(broken(error)),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!(
                "the request's body did not arrive within {} s",
                BODY_DEADLINE.as_secs()
            ),
        )),
    }
}

fn broken(error: axum::Error) -> Failure {
    let error = error.into_inner();
    if error.is::<http_body_util::LengthLimitError>() {
        Failure::too_large(MAX_BODY)
    } else {
        Failure::invalid(format!("the request's body is broken: {error}"))
    }
}

#[cfg(test)]
mod tests;
