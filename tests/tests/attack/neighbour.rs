//! The owner of another database of the same machine.

use dormouse_testkit::{Client, Created, Reply};
use dormouse_wire::command::Command;

use crate::suite::{Attempt, Must, World};

const SEPARATE: &str = "a database's data is its own";

const ATTEMPTS: [Attempt; 6] = [
    Attempt {
        why: SEPARATE,
        statements: &["SELECT s FROM app.t"],
        must: Must::Hide(&["shop-secret"]),
    },
    Attempt {
        why: SEPARATE,
        statements: &["SELECT * FROM `shop.app`.t"],
        must: Must::Hide(&["shop-secret"]),
    },
    Attempt {
        why: SEPARATE,
        statements: &["SHOW FULL PROCESSLIST"],
        must: Must::Hide(&["shop"]),
    },
    Attempt {
        why: SEPARATE,
        statements: &["SHOW DORMOUSE SESSIONS"],
        must: Must::Hide(&["shop"]),
    },
    Attempt {
        why: SEPARATE,
        statements: &["SHOW DATABASES"],
        must: Must::Hide(&["shop"]),
    },
    Attempt {
        why: SEPARATE,
        statements: &["SELECT @@datadir, @@socket, @@hostname, LOAD_FILE(@@socket)"],
        must: Must::Hide(&["shop"]),
    },
];

pub(crate) fn count() -> usize {
    ATTEMPTS.len() + 7
}

#[test]
fn a_neighbour_reaches_nothing_of_a_database() {
    let world = World::new();
    world.try_all(&world.other, &ATTEMPTS);
}

#[test]
fn a_password_holds_in_its_own_database_only() {
    let world = World::new();
    let shop_with_own_password = Created {
        user: "shop.admin".to_owned(),
        password: world.other.password.clone(),
    };
    let mut client = Client::tcp(world.dormouse.address());
    let reply = client.login(
        &shop_with_own_password.user,
        &shop_with_own_password.password,
        None,
    );
    assert_eq!(reply.err().code, 1045);
    // the name in the attribute does not change the database of the user name
    let mut client = Client::tcp(world.dormouse.address());
    client.attributes = vec![(b"dormouse_database".to_vec(), b"shop".to_vec())];
    client
        .login(&world.other.user, &world.other.password, None)
        .ok();
    assert_eq!(client.query("SELECT s FROM app.t").value(), "blog-secret");
}

#[test]
fn a_change_of_user_does_not_change_to_another_database_without_its_password() {
    let world = World::new();
    for user in ["shop.admin", "shop.dormouse", "shop."] {
        let mut client = world.dormouse.connect(&world.other);
        let packet = [user.as_bytes(), b"\0\0app\0\x2d\0mysql_native_password\0"].concat();
        client.command(Command::ChangeUser, &packet);
        // an error, or a request for a password, which is then wrong
        let first = client.receive().unwrap();
        assert_ne!(first[0], 0, "{user}");
        if first[0] == 0xfe {
            client.send(&[7; 20]);
            let answer = client.receive().unwrap();
            assert_eq!(answer[0], 0xff, "{user}");
        }
        let after = client.try_query("SELECT s FROM app.t");
        let text = format!("{after:?}");
        assert!(!text.contains("shop-secret"), "{user}: {text}");
    }
}

#[test]
fn a_neighbours_session_cannot_be_killed() {
    let world = World::new();
    let mut victim = world.dormouse.connect(&world.owner);
    let mut client = world.dormouse.connect(&world.other);
    for verb in ["KILL", "KILL QUERY", "KILL HARD CONNECTION"] {
        let reply = client.query(&format!("{verb} {}", victim.id()));
        assert!(matches!(reply, Reply::Err(_)), "{verb}: {reply:?}");
    }
    client.command(Command::ProcessKill, &victim.id().to_le_bytes());
    assert_eq!(client.receive().unwrap()[0], 0xff);
    assert_eq!(victim.query("SELECT 1").value(), "1");
}
