use std::collections::HashMap;

use dormouse_types::Bytes;

use super::*;

/// Rendered settings for a server that knows these options.
fn rendered(options: &[(&str, &str)]) -> HashMap<String, String> {
    rendered_at(None, options)
}

fn rendered_at(address: Option<SocketAddr>, options: &[(&str, &str)]) -> HashMap<String, String> {
    let installation = Installation::for_tests(options, Bytes::mib(16 << 10));
    let layout = Layout::new("/d/i 7").unwrap();
    let text = render(
        &installation,
        &layout,
        Units(2),
        address,
        None,
        None,
        REDO_LOG,
    );
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with('#')));
    assert_eq!(lines.next(), Some("[mariadbd]"));
    let mut settings = HashMap::new();
    for line in lines {
        let (name, value) = line.split_once('=').unwrap();
        assert!(
            settings.insert(name.to_owned(), value.to_owned()).is_none(),
            "{name} twice"
        );
    }
    settings
}

#[test]
fn unknown_options_are_left_out() {
    let settings = rendered(&[("feedback", "ON"), ("innodb-purge-threads", "4")]);
    assert_eq!(settings["feedback"], "OFF");
    assert_eq!(settings["innodb-purge-threads"], "1");
    assert!(!settings.contains_key("query-cache-size"));
}

#[test]
fn a_server_listens_on_tcp_only_with_an_address() {
    let local = rendered(&[]);
    assert_eq!(local["skip-networking"], "ON");
    assert_eq!(local["proxy-protocol-networks"], "localhost");
    assert!(!local.contains_key("port"));
    let remote = rendered_at(Some(([127, 0, 0, 1], 4000).into()), &[]);
    assert!(!remote.contains_key("skip-networking"));
    assert_eq!(remote["bind-address"], "127.0.0.1");
    assert_eq!(remote["port"], "4000");
    assert_eq!(remote["require-secure-transport"], "ON");
    assert_eq!(remote["proxy-protocol-networks"], "localhost,127.0.0.1");
}

#[test]
fn the_size_of_the_redo_log_can_be_read_from_the_configuration() {
    let options = [("innodb-log-file-size", "96M")];
    let installation = Installation::for_tests(&options, Bytes::mib(16 << 10));
    let layout = Layout::new("/d/7").unwrap();
    for size in [REDO_LOG, LONG_REDO_LOG] {
        let text = render(&installation, &layout, Units(2), None, None, None, size);
        assert_eq!(log_size(&text), Some(size));
    }
}

#[test]
fn paths_are_the_instances_own_and_may_hold_blanks() {
    let settings = rendered(&[]);
    assert_eq!(settings["datadir"], "\"/d/i 7/data\"");
    assert_eq!(settings["socket"], "\"/d/i 7/mysqld.sock\"");
    assert_eq!(settings["secure-file-priv"], "\"/d/i 7/files\"");
    assert_eq!(settings["ssl-key"], "\"/d/i 7.pem\"");
    assert_eq!(settings["ssl-ca"], "\"/d/i 7.ca.pem\"");
}

#[test]
fn the_pool_can_grow_on_every_version() {
    let chunked = rendered(&[]);
    assert_eq!(chunked["innodb-buffer-pool-size"], (256 << 20).to_string());
    assert_eq!(
        chunked["innodb-buffer-pool-chunk-size"],
        (8 << 20).to_string()
    );
    let free = rendered(&[(POOL_MAX, "8796093022208")]);
    assert!(!free.contains_key(POOL_MAX) && !free.contains_key("innodb-buffer-pool-chunk-size"));
    let bounded = rendered(&[(POOL_MAX, "0")]);
    assert_eq!(
        bounded[POOL_MAX],
        (8_u64 << 30).to_string(),
        "half of the machine's memory"
    );
}
