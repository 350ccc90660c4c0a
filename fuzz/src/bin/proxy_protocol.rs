//! The header of the PROXY protocol is read within its limit, and bytes are asked for only until it ends.
#![no_main]

use dormouse_wire::proxy_protocol::{Header, LONGEST, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut at = 0;
    while let Some(Ok(Header::Needs(n))) = bytes.get(..at).map(parse) {
        assert!(n > 0);
        at += n;
        assert!(at <= LONGEST);
    }
    let _ = parse(bytes);
});
