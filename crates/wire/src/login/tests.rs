use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::NATIVE;

const ALL: Capabilities = Capabilities(u64::MAX);

fn login() -> Login {
    Login {
        capabilities: Capabilities::MARIADB_OFFER - Capabilities::COMPRESS,
        max_packet: 1 << 24,
        collation: 45,
        user: b"shop.admin".to_vec(),
        auth: vec![7; 20],
        schema: Some(b"shop".to_vec()),
        plugin: Some(NATIVE.to_owned()),
        attributes: vec![
            (b"_pid".to_vec(), b"1".to_vec()),
            (b"_os".to_vec(), b"Linux".to_vec()),
        ],
    }
}

#[test]
fn is_decoded_with_attributes_in_order() {
    let parsed = Login::parse(&login().encode(), ALL).unwrap();
    assert_eq!(parsed, login());
    assert_eq!(parsed.attribute("_os"), Some(&b"Linux"[..]));
    assert_eq!(parsed.attribute("os"), None);
}

#[test]
fn bits_that_were_not_offered_are_ignored() {
    let loud = Login {
        capabilities: login().capabilities | Capabilities::QUERY_ATTRIBUTES,
        ..login()
    };
    let parsed = Login::parse(&loud.encode(), Capabilities::MARIADB_OFFER).unwrap();
    assert_eq!(parsed.capabilities, login().capabilities);
}

#[test]
fn a_client_of_mysql_has_no_extended_bits() {
    let mysql = Login {
        capabilities: login().capabilities | Capabilities::LONG_PASSWORD,
        ..login()
    };
    let parsed = Login::parse(&mysql.encode(), Capabilities::MARIADB_OFFER).unwrap();
    assert_eq!(
        (parsed.capabilities.extended(), parsed.schema),
        (0, Some(b"shop".to_vec()))
    );
}

#[test]
fn the_length_of_a_proof_depends_on_the_capabilities() {
    let head = |bits: u32| [&(bits | 0x200).to_le_bytes()[..], &[0; 28]].concat();
    let cases: [(u32, &[u8], &[u8]); 3] = [
        (1 << 21, b"u\0\xfc\x02\x00pw", b"pw"),
        (1 << 15, b"u\0\x02pw", b"pw"),
        (0, b"u\0pw\0", b"pw"),
    ];
    for (bits, tail, auth) in cases {
        let parsed = Login::parse(&[&head(bits), tail].concat(), ALL).unwrap();
        assert_eq!((parsed.user, parsed.auth), (b"u".to_vec(), auth.to_vec()));
    }
}

#[test]
fn the_last_name_may_lack_its_nul() {
    let payload = Login {
        attributes: Vec::new(),
        ..login()
    }
    .encode();
    let caps = login().capabilities - Capabilities::CONNECT_ATTRS;
    let cut = &payload[..payload.len() - 2];
    assert_eq!(
        Login::parse(cut, caps).unwrap().plugin.as_deref(),
        Some(NATIVE)
    );
}

#[test]
fn truncated_or_too_old_logins_are_refused() {
    let full = login().encode();
    for cut in 0..32 + b"shop.admin\0".len() + 21 {
        assert!(Login::parse(&full[..cut], ALL).is_err(), "cut at {cut}");
    }
    let old = [&0x8d_u32.to_le_bytes()[..], &[0; 60]].concat();
    assert_eq!(
        Login::parse(&old, ALL).unwrap_err().to_string(),
        "the peer sent a malformed packet: the client speaks the protocol of before 4.1"
    );
}

#[test]
fn a_request_for_tls_is_32_bytes_with_the_bit() {
    let caps = Capabilities::MARIADB_OFFER | Capabilities::SSL;
    let request = SslRequest {
        capabilities: caps,
        max_packet: 1 << 30,
        collation: 8,
    };
    let payload = request.encode();
    assert_eq!(
        (payload.len(), SslRequest::parse(&payload)),
        (SSL_REQUEST_LEN, Ok(request))
    );
    assert!(SslRequest::is_one(&payload) && !SslRequest::is_one(&login().encode()));
    let plain = SslRequest {
        capabilities: Capabilities::MARIADB_OFFER,
        ..request
    };
    assert!(SslRequest::parse(&plain.encode()).is_err());
    assert!(SslRequest::parse(&[&payload[..], &[0]].concat()).is_err());
    assert!(SslRequest::parse(&payload[..31]).is_err());
}

#[test]
fn a_switch_of_plugins_carries_a_salt() {
    let switch = AuthSwitch::with_salt(NATIVE, b"12345678abcdefghijkl");
    let payload = switch.encode();
    assert_eq!(
        payload,
        b"\xfemysql_native_password\x0012345678abcdefghijkl\0"
    );
    assert_eq!(
        AuthSwitch::parse(&payload).unwrap().salt(),
        Some(*b"12345678abcdefghijkl")
    );
    assert_eq!(
        AuthSwitch::parse(b"\xfe").unwrap().plugin,
        "mysql_old_password"
    );
    assert!(AuthSwitch::parse(b"\xfeno end").is_err() && AuthSwitch::parse(b"\0").is_err());
    assert_eq!(auth_more(&[4]), [1, 4]);
}

#[test]
fn a_change_of_user_may_end_after_the_schema() {
    let change = ChangeUser::parse(b"u\0\x02pw\0", Capabilities::MARIADB_OFFER).unwrap();
    assert_eq!(
        (change.user, change.auth, change.schema),
        (b"u".to_vec(), b"pw".to_vec(), None)
    );
    assert_eq!(
        (change.collation, change.plugin, change.attributes),
        (0, None, Vec::new())
    );
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1u8.., 1..40)
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..300)), 0..5)
}

proptest! {
    #[test]
    fn every_login_is_decoded_as_encoded(
        bits: u64, max_packet: u32, collation: u8, user in text(), auth in vec(any::<u8>(), 0..300),
        schema in option::of(text()), plugin in option::of("[a-z_0-9]{1,30}"), attributes in attributes(),
    ) {
        let given = Login {
            capabilities: Capabilities(bits), max_packet, collation, user, auth, schema, plugin, attributes,
        };
        let parsed = Login::parse(&given.encode(), ALL).unwrap();
        prop_assert_eq!(&Login { capabilities: given.capabilities, ..parsed.clone() }, &given);
        prop_assert_eq!(Login::parse(&parsed.encode(), ALL), Ok(parsed));
    }

    #[test]
    fn every_change_of_user_is_decoded_as_encoded(
        bits: u64, user in text(), auth in vec(1u8.., 0..255), schema in option::of(text()),
        collation: u16, plugin in "[a-z_0-9]{1,30}", attributes in attributes(),
    ) {
        let caps = Capabilities(bits);
        let has = |bit| caps.contains(bit);
        let given = ChangeUser {
            user, auth, schema, collation,
            plugin: has(Capabilities::PLUGIN_AUTH).then_some(plugin),
            attributes: if has(Capabilities::CONNECT_ATTRS) { attributes } else { Vec::new() },
        };
        let payload = given.encode(caps);
        prop_assert_eq!(payload[0], 17);
        prop_assert_eq!(ChangeUser::parse(&payload[1..], caps), Ok(given));
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes: Vec<u8>, bits: u64) {
        let _ = SslRequest::parse(&bytes);
        let _ = ChangeUser::parse(&bytes, Capabilities(bits));
        let _ = AuthSwitch::parse(&bytes);
        let _ = Login::parse(&bytes, Capabilities(bits));
        let whole = [&(bits as u32 | 0x200).to_le_bytes()[..], &[0; 28], &bytes].concat();
        let _ = Login::parse(&whole, ALL);
    }
}
