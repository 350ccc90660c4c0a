//! A parsed greeting is unchanged by encoding and parsing it again.
#![no_main]

use dormouse_wire::Greeting;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(greeting) = Greeting::parse(bytes) {
        assert_eq!(Greeting::parse(&greeting.encode()), Ok(greeting));
    }
});
