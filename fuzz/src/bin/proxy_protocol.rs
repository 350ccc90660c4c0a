//! The header of the PROXY protocol is read within its limit, and bytes are asked for only until it ends.
#![no_main]

use dormouse_wire::proxy_protocol::{Header, LONGEST, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut at = 0;
    loop {
        match bytes.get(..at).map(parse) {
            Some(Ok(Header::Needs(n))) => {
                assert!(n > 0);
                at += n;
                assert!(at <= LONGEST);
            }
            Some(Ok(Header::Complete(_)) | Err(_)) | None => break,
        }
    }
    let _ = parse(bytes);
});
