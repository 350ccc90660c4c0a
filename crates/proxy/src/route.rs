//! Which database a login is for: by SNI, by user name, by connection attribute, in this order.

/// A login's destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The database, as the client wrote it.
    pub(crate) database: String,
    /// The user within it.
    pub(crate) user: String,
}

/// The connection attribute that names a database.
const ATTRIBUTE: &[u8] = b"dormouse_database";

/// Finds the destination; `None` if the login names no database.
pub(crate) fn route(
    server_name: Option<&str>,
    domain: Option<&str>,
    user: &str,
    attributes: &[(Vec<u8>, Vec<u8>)],
) -> Option<Route> {
    if let Some(database) = server_name.and_then(|name| below(name, domain?)) {
        // `shop.admin` at shop.<domain> means the same as `admin`
        let user = user.strip_prefix(&format!("{database}.")).unwrap_or(user);
        return Some(Route {
            database,
            user: user.to_owned(),
        });
    }
    if let Some((database, user)) = user.split_once('.') {
        return Some(Route {
            database: database.to_owned(),
            user: user.to_owned(),
        });
    }
    let (_, database) = attributes.iter().find(|(name, _)| name == ATTRIBUTE)?;
    let database = String::from_utf8_lossy(database).into_owned();
    Some(Route {
        database,
        user: user.to_owned(),
    })
}

/// The part of `name` in front of the domain, in lower case, if it is a single label.
fn below(name: &str, domain: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let label = name
        .strip_suffix(&domain.to_ascii_lowercase())?
        .strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sni_then_user_name_then_attribute() {
        let attribute = vec![(ATTRIBUTE.to_vec(), b"attr".to_vec())];
        let to = |database: &str, user: &str| {
            Some(Route {
                database: database.to_owned(),
                user: user.to_owned(),
            })
        };
        let table = [
            (Some("shop.db.example"), "admin", to("shop", "admin")),
            (Some("SHOP.DB.example."), "shop.admin", to("shop", "admin")),
            (
                Some("shop.db.example"),
                "other.admin",
                to("shop", "other.admin"),
            ),
            (Some("a.b.db.example"), "u.v", to("u", "v")),
            (Some("db.example"), "u.v.w", to("u", "v.w")),
            (Some("shop.elsewhere"), "admin", to("attr", "admin")),
            (None, "u.v", to("u", "v")),
            (None, "admin", to("attr", "admin")),
        ];
        for (sni, user, expected) in table {
            assert_eq!(
                route(sni, Some("db.example"), user, &attribute),
                expected,
                "{sni:?} {user}"
            );
        }
        assert_eq!(route(Some("shop.db.example"), None, "admin", &[]), None);
    }
}
