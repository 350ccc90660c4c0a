//! Login packets of client and server survive encoding and parsing. First eight bytes: the server's
//! capabilities.
#![no_main]

use dormouse_wire::{AuthSwitch, Capabilities, ChangeUser, Login, SslRequest};
use libfuzzer_sys::fuzz_target;

const ALL: Capabilities = Capabilities(u64::MAX);

fuzz_target!(|bytes: &[u8]| {
    let Some((offered, payload)) = bytes.split_first_chunk() else { return };
    let offered = Capabilities(u64::from_le_bytes(*offered));
    if let Ok(login) = Login::parse(payload, offered) {
        let again = Login::parse(&login.encode(), ALL).expect("written by ourselves");
        assert_eq!(Login { capabilities: login.capabilities, ..again }, login);
    }
    if let Ok(request) = SslRequest::parse(payload) {
        assert_eq!(SslRequest::parse(&request.encode()), Ok(request));
    }
    if let Ok(switch) = AuthSwitch::parse(payload) {
        assert!(AuthSwitch::parse(&switch.encode()).is_ok());
    }
    if let Ok(change) = ChangeUser::parse(payload, offered) {
        let again = change.encode(offered);
        assert_eq!(ChangeUser::parse(&again[1..], offered), Ok(change));
    }
});
