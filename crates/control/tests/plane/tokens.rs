//! Tokens of the API.

use std::time::Duration;

use dormouse_control::token::{GRACE, LIFETIME, Unfit};
use dormouse_control::{
    AddToken, EventFilter, NewToken, Principal, Refused, Role, RotateToken, TokenId,
};

use crate::machine::Machine;
use crate::run::{MS, Run, config, name, spec, virtually, with};

fn wanted(role: Role, database: Option<&str>) -> AddToken {
    AddToken {
        name: "ci".parse().unwrap(),
        role,
        database: database.map(name),
        lifetime: Some(LIFETIME),
    }
}

async fn add(run: &Run, role: Role) -> NewToken {
    run.plane.tokens().add(wanted(role, None)).await.unwrap()
}

async fn unfit(run: &Run, text: &str) -> Option<Unfit> {
    let refused = run.plane.tokens().admit(text).await.err()?;
    assert!(matches!(refused, Refused::Unfit(_)), "{refused}");
    match refused {
        Refused::Unfit(unfit) => Some(unfit),
        Refused::Unread(_) => None,
    }
}

const AS_BEFORE: RotateToken = RotateToken {
    grace: GRACE,
    lifetime: None,
};

#[test]
fn a_token_admits_until_it_is_removed_also_after_a_restart() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let token = virtually(&machine, async {
        let run = Run::start_with(&machine, config(dir.path())).await.unwrap();
        let token = add(&run, Role::Viewer).await;
        let admitted = run.plane.tokens().admit(&token.token).await.unwrap();
        assert_eq!((admitted.role, admitted.database), (Role::Viewer, None));
        token
    })
    .unwrap();
    virtually(&machine, async {
        let run = Run::start_with(&machine, config(dir.path())).await.unwrap();
        let tokens = run.plane.tokens();
        let admitted = tokens.admit(&token.token).await.unwrap();
        assert!(tokens.still_admits(&admitted).await);
        let listed = tokens.list().await.unwrap();
        assert_eq!((listed.len(), &listed[0].id), (1, &token.about.id));
        tokens.remove(&token.about.id).await.unwrap();
        assert_eq!(unfit(&run, &token.token).await, Some(Unfit::Unknown));
        assert!(!tokens.still_admits(&admitted).await);
        assert_eq!(tokens.list().await.unwrap(), []);
        let gone = tokens.remove(&token.about.id).await.unwrap_err();
        assert_eq!(gone.kind().as_str(), "not_found");
    });
}

#[test]
fn only_its_own_secret_admits() {
    with(async |run| {
        let (one, two) = (add(&run, Role::Admin).await, add(&run, Role::Viewer).await);
        let secret = |token: &NewToken| token.token.rsplit('_').next().unwrap().to_owned();
        let mixed = format!("dm_{}_{}", one.about.id, secret(&two));
        assert_eq!(unfit(&run, &mixed).await, Some(Unfit::Unknown));
        let nobody = format!("dm_{}_{}", "x".repeat(12), secret(&two));
        assert_eq!(unfit(&run, &nobody).await, Some(Unfit::Unknown));
        assert_eq!(unfit(&run, "").await, Some(Unfit::Unknown));
        assert_eq!(unfit(&run, &one.token).await, None);
    });
}

#[test]
fn secrets_are_not_in_the_data_directory() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let token = virtually(&machine, async {
        let run = Run::start_with(&machine, config(dir.path())).await.unwrap();
        let token = add(&run, Role::Admin).await;
        run.plane.tokens().admit(&token.token).await.unwrap();
        token.token
    })
    .unwrap();
    let secret = token.rsplit('_').next().unwrap().as_bytes();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|at| at == secret));
    }
}

#[test]
fn a_rotated_token_keeps_its_former_secret_for_the_grace_that_was_chosen() {
    with(async |run| {
        let first = add(&run, Role::Operator).await;
        let tokens = run.plane.tokens();
        let second = tokens.rotate(&first.about.id, AS_BEFORE).await.unwrap();
        assert_eq!(second.about.id, first.about.id);
        assert!(second.about.expires >= first.about.expires);
        assert!(second.about.former_until.is_some());
        assert_eq!(unfit(&run, &first.token).await, None);
        assert_eq!(unfit(&run, &second.token).await, None);
        let at_once = RotateToken {
            grace: Duration::ZERO,
            lifetime: Some(None),
        };
        let third = tokens.rotate(&first.about.id, at_once).await.unwrap();
        assert_eq!(
            (third.about.expires, third.about.former_until),
            (None, None)
        );
        assert_eq!(unfit(&run, &first.token).await, Some(Unfit::Unknown));
        assert_eq!(unfit(&run, &second.token).await, Some(Unfit::Unknown));
        assert_eq!(unfit(&run, &third.token).await, None);
    });
}

#[test]
fn an_expired_token_admits_nobody_and_rotating_it_does_not_revive_its_secret() {
    with(async |run| {
        let tokens = run.plane.tokens();
        let ended = AddToken {
            lifetime: Some(Duration::ZERO),
            ..wanted(Role::Admin, None)
        };
        let token = tokens.add(ended).await.unwrap();
        assert_eq!(unfit(&run, &token.token).await, Some(Unfit::Expired));
        let rotate = RotateToken {
            grace: GRACE,
            lifetime: Some(Some(LIFETIME)),
        };
        let new = tokens.rotate(&token.about.id, rotate).await.unwrap();
        assert_eq!(new.about.former_until, None);
        assert_eq!(unfit(&run, &new.token).await, None);
        assert_eq!(unfit(&run, &token.token).await, Some(Unfit::Unknown));
    });
}

#[test]
fn an_owners_token_needs_a_database_and_ends_with_it() {
    with(async |run| {
        let tokens = run.plane.tokens();
        let shop = name("shop");
        for (role, database, told) in [
            (Role::Owner, None, "for one database: name it"),
            (Role::Owner, Some("shop"), "there is no database 'shop'"),
            (
                Role::Admin,
                Some("shop"),
                "the role for one database is owner",
            ),
        ] {
            let refused = tokens.add(wanted(role, database)).await.unwrap_err();
            assert!(refused.to_string().contains(told), "{refused}");
        }
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        let token = tokens.add(wanted(Role::Owner, Some("shop"))).await.unwrap();
        let admitted = tokens.admit(&token.token).await.unwrap();
        assert_eq!(admitted.database, Some(shop.clone()));
        run.plane.drop_database(&shop).await.unwrap();
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        assert_eq!(unfit(&run, &token.token).await, Some(Unfit::Unknown));
        assert!(!tokens.still_admits(&admitted).await);
    });
}

#[test]
fn each_change_of_a_token_is_in_the_ledger_with_who_made_it_and_without_a_secret() {
    with(async |run| {
        let plane = run.plane.acting_for(Principal::Local { uid: 0 });
        let tokens = plane.tokens();
        let token = tokens.add(wanted(Role::Viewer, None)).await.unwrap();
        let id = &token.about.id;
        let rotated = tokens.rotate(id, AS_BEFORE).await.unwrap();
        tokens.remove(id).await.unwrap();
        let filter = EventFilter {
            limit: 99,
            ..EventFilter::default()
        };
        let events = run.plane.events(filter).unwrap();
        let started: Vec<_> = events.iter().map(|e| e.reason.as_str()).collect();
        let lines = [
            "was added: viewer, expires ",
            "was rotated: viewer, ",
            "was removed",
        ];
        assert_eq!(events.len(), lines.len(), "{started:?}");
        for (event, line) in events.iter().zip(lines) {
            assert!(
                event.reason.starts_with(&format!("token ci ({id}) {line}")),
                "{event:?}"
            );
            assert_eq!(event.actor.as_deref(), Some("local:uid=0"));
            assert_eq!((event.event.as_str(), &event.database), ("token", &None));
            for text in [&token.token, &rotated.token] {
                let secret = text.rsplit('_').next().unwrap();
                assert!(!format!("{event:?}").contains(secret));
            }
        }
        let nobody: TokenId = "abcdefghij01".parse().unwrap();
        assert!(tokens.rotate(&nobody, AS_BEFORE).await.is_err());
    });
}

#[test]
fn the_last_use_is_noted_at_most_once_an_hour() {
    with(async |run| {
        let token = add(&run, Role::Viewer).await;
        let tokens = run.plane.tokens();
        let used = async || tokens.list().await.unwrap()[0].used;
        assert_eq!(used().await, None);
        tokens.admit(&token.token).await.unwrap();
        let first = loop {
            if let Some(at) = used().await {
                break at;
            }
            tokio::time::sleep(MS).await;
        };
        for _ in 0..9 {
            tokens.admit(&token.token).await.unwrap();
        }
        tokens.rotate(&token.about.id, AS_BEFORE).await.unwrap();
        assert_eq!(used().await, Some(first));
        let other = if token.token.ends_with('x') { "y" } else { "x" };
        let bad = format!("{}{other}", &token.token[..token.token.len() - 1]);
        assert_eq!(unfit(&run, &bad).await, Some(Unfit::Unknown));
        assert_eq!(used().await, Some(first));
    });
}
