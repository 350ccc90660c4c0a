use std::collections::BTreeSet;

use super::*;

const SHOP: &str = "shop";

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

fn grant(role: Role) -> Grant {
    let database = (role == Role::Owner).then(|| name(SHOP));
    Grant { role, database }
}

#[test]
fn the_documentation_has_this_table() {
    let page = include_str!("../../../../docs/api-access.md");
    for verb in Verb::ALL {
        let fields = Role::ALL.map(|role| match field(role, verb) {
            Field::Yes => "yes",
            Field::Own => "its own",
            Field::No => "–",
        });
        let row = format!("| {} | {} |", verb.as_str(), fields.join(" | "));
        assert!(page.lines().any(|line| line == row), "not there: {row}");
    }
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.matches('|').count() == 6);
    // and the heading
    assert_eq!(rows.count(), Verb::ALL.len() + 1);
}

#[test]
fn every_role_and_verb_has_a_decision_for_its_own_and_another_database() {
    for role in Role::ALL {
        for verb in Verb::ALL {
            let (own, other) = (name(SHOP), name("other"));
            let of = |database| decide(&grant(role), verb, database);
            let (none, own_db, foreign) = (of(None), of(Some(&own)), of(Some(&other)));
            let said = format!("{role} {verb:?}");
            match (field(role, verb), role) {
                (Field::Yes, _) => {
                    assert_ne!(role, Role::Owner, "{said}");
                    for one in [none, own_db, foreign] {
                        assert_eq!(one, Decision::Allowed, "{said}");
                    }
                }
                (Field::Own, _) => {
                    assert_eq!(role, Role::Owner, "{said}");
                    assert_eq!(none, Decision::Only(own.clone()), "{said}");
                    assert_eq!(own_db, Decision::Only(own), "{said}");
                    assert_eq!(foreign, Decision::Hidden(other), "{said}");
                }
                (Field::No, Role::Owner) => {
                    assert_eq!(none, Decision::Denied(role), "{said}");
                    assert_eq!(own_db, Decision::Denied(role), "{said}");
                    assert_eq!(foreign, Decision::Hidden(other), "{said}");
                }
                (Field::No, _) => {
                    for one in [none, own_db, foreign] {
                        assert_eq!(one, Decision::Denied(role), "{said}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_grant_for_one_database_is_never_one_for_all_and_an_owner_without_one_may_nothing() {
    for verb in Verb::ALL {
        for role in Role::ALL {
            let one = Grant {
                role,
                database: Some(name(SHOP)),
            };
            for database in [None, Some(name("other")), Some(name(SHOP))] {
                let decided = decide(&one, verb, database.as_ref());
                assert_ne!(decided, Decision::Allowed, "{role} {verb:?}");
            }
        }
        let nobody = Grant {
            role: Role::Owner,
            database: None,
        };
        for database in [None, Some(name(SHOP))] {
            let decided = decide(&nobody, verb, database.as_ref());
            assert_eq!(decided, Decision::Denied(Role::Owner), "{verb:?}");
        }
    }
}

#[test]
fn only_admins_manage_tokens_and_viewers_change_nothing() {
    use Verb::{AddToken, ListTokens, RemoveToken, RotateToken};
    for role in [Role::Operator, Role::Viewer, Role::Owner] {
        for verb in [AddToken, ListTokens, RemoveToken, RotateToken] {
            assert_eq!(field(role, verb), Field::No, "{role} {verb:?}");
        }
    }
    for (method, path, verb) in RULES {
        if method != "GET" {
            assert_eq!(field(Role::Viewer, verb), Field::No, "{method} {path}");
        }
    }
}

/// The routes in the source of the router: each path with its methods.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../routes.rs");
    let router = source.split("fn router(").nth(1).unwrap();
    let router = router.split("\n}").next().unwrap();
    let mut found = BTreeSet::new();
    for route in router.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        let methods = route.split_once(',').unwrap().1;
        for method in [
            "get", "post", "patch", "put", "delete", "head", "options", "any", "on",
        ] {
            let called = [format!(" {method}("), format!(".{method}(")];
            if called.iter().any(|call| methods.contains(call.as_str())) {
                found.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_route_has_exactly_one_rule() {
    let rules: BTreeSet<_> = { RULES.iter() }
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(rules.len(), RULES.len(), "a route has two rules");
    assert_eq!(routes(), rules);
    let verbs: Vec<_> = RULES.iter().map(|(_, _, verb)| verb).collect();
    for verb in Verb::ALL.iter().filter(|verb| **verb != Verb::ParkAndLose) {
        assert_eq!(verbs.iter().filter(|v| **v == verb).count(), 1, "{verb:?}");
    }
}

#[test]
fn a_route_without_a_rule_is_missing_and_head_is_get() {
    assert_eq!(rule("GET", "/v1/secrets"), Rule::Missing);
    assert_eq!(rule("GET", ""), Rule::Missing);
    assert_eq!(rule("PUT", "/v1/databases/{name}"), Rule::NoMethod);
    assert_eq!(rule("HEAD", "/v1/databases"), Rule::Does(Verb::List));
    assert_eq!(rule("get", "/v1/databases"), Rule::NoMethod);
}
