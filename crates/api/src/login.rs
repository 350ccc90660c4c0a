//! The login data of a new database, as a command and a URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dormouse_types::DatabaseName;

use crate::model::{Branched, Created, Listening, OWNER};

/// The response to a create.
pub(crate) fn created(name: DatabaseName, password: String, listen: &Listening) -> Created {
    let user = format!("{name}.{OWNER}");
    let reach = listen.tcp.map(from_here);
    let socket = listen.socket.display().to_string();
    let secret = percent_encode(&password);
    let url = match reach {
        Some(address) => format!("mysql://{user}:{secret}@{address}/"),
        None => format!(
            "mysql://{user}:{secret}@localhost/?socket={}",
            percent_encode(&socket)
        ),
    };
    let place = place(listen);
    Created {
        command: format!("mariadb {place} -u{user} -p{}", shell_quote(&password)),
        host: reach.map(|a| a.ip().to_string()),
        port: reach.map(|a| a.port()),
        socket: listen.socket.clone(),
        name,
        user,
        password,
        url,
    }
}

/// The response to a branch.
pub(crate) fn branched(made: dormouse_control::Branched, listen: &Listening) -> Branched {
    let user = format!("{}.{OWNER}", made.name);
    let reach = listen.tcp.map(from_here);
    Branched {
        command: format!("mariadb {} -u{user} -p", place(listen)),
        user,
        host: reach.map(|a| a.ip().to_string()),
        port: reach.map(|a| a.port()),
        socket: listen.socket.clone(),
        name: made.name,
        branch: made.of,
        size: made.size,
        shared: made.shared,
        frozen_ms: u64::try_from(made.frozen.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The options of a client that say where to connect.
fn place(listen: &Listening) -> String {
    match listen.tcp.map(from_here) {
        Some(address) => format!("-h{} -P{}", address.ip(), address.port()),
        None => format!("-S{}", shell_quote(&listen.socket.display().to_string())),
    }
}

/// The address at which a listener is reached from this machine: loopback for the "any" address.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Quotes for a POSIX shell, if necessary.
fn shell_quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:@%+=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(tcp: Option<&str>, password: &str) -> Created {
        let tcp = tcp.map(|a| a.parse().unwrap());
        let listen = Listening {
            tcp,
            socket: "/run/d.sock".into(),
        };
        created("shop".parse().unwrap(), password.to_owned(), &listen)
    }

    #[test]
    fn the_command_and_the_url_use_tcp_if_it_is_served() {
        let c = made(Some("127.0.0.1:3306"), "s3cret");
        assert_eq!(
            c.command,
            "mariadb -h127.0.0.1 -P3306 -ushop.admin -ps3cret"
        );
        assert_eq!(c.url, "mysql://shop.admin:s3cret@127.0.0.1:3306/");
        assert_eq!((c.host.as_deref(), c.port), (Some("127.0.0.1"), Some(3306)));
    }

    #[test]
    fn a_listener_on_any_address_is_reached_on_loopback() {
        assert_eq!(
            made(Some("0.0.0.0:1"), "x").url,
            "mysql://shop.admin:x@127.0.0.1:1/"
        );
        assert_eq!(
            made(Some("[::]:1"), "x").url,
            "mysql://shop.admin:x@[::1]:1/"
        );
        assert!(
            made(Some("[::]:1"), "x")
                .command
                .starts_with("mariadb -h::1 -P1 ")
        );
    }

    #[test]
    fn without_tcp_the_unix_socket_is_used() {
        let c = made(None, "x");
        assert_eq!(c.command, "mariadb -S/run/d.sock -ushop.admin -px");
        assert_eq!(
            c.url,
            "mysql://shop.admin:x@localhost/?socket=%2Frun%2Fd.sock"
        );
        assert_eq!((c.host, c.port), (None, None));
    }

    #[test]
    fn special_characters_are_quoted_for_shell_and_url() {
        let c = made(Some("127.0.0.1:1"), "a'b /é");
        assert!(c.command.ends_with(r"-p'a'\''b /é'"), "{}", c.command);
        assert!(c.url.contains(":a%27b%20%2F%C3%A9@"), "{}", c.url);
    }

    #[test]
    fn the_password_is_not_in_the_debug_text() {
        assert!(!format!("{:?}", made(None, "s3cret")).contains("s3cret"));
    }
}
